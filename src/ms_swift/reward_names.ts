/**
 * Names of rewards, here and in ms-swift, which has an accuracy and a format of its own.
 */
import type { MsSwiftArguments } from '../arguments/arguments.ts';
import { isPython } from '../arguments/arguments.ts';
import { SightlineError } from '../errors.ts';
import { ormFiles, orms } from '../rewards/registry.ts';
import { nearestName } from '../util/nearest_name.ts';

/** What the plugin registers the reward as: integrations/ms_swift/sightline_swift/register.py has the same names. */
export function nameThere(name: string): string {
  return name in orms && name in OWN_THERE && !ormFiles.has(name) ? OWN_THERE[name as keyof typeof OWN_THERE] : name;
}

/** A name that neither knows would be found out when the model is loaded. Error: E_REWARD_UNKNOWN. */
export function checkRewardNames({ args }: Pick<MsSwiftArguments, 'args'>): void {
  if (args.externalPlugins.some(isPython)) return; // these register what they like
  const known = [...Object.keys(orms), ...ONLY_THERE];
  const unknown = args.rewardFuncs.find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const near = nearestName(unknown, known);
  throw new SightlineError('E_REWARD_UNKNOWN', `no reward is registered as "${unknown}", here or in ms-swift`, {
    where: '--reward_funcs',
    hint: `${near === null ? '' : `did you mean "${near}"? `}known: ${known.toSorted().join(', ')}; others come from --external_plugins`,
  });
}

/** Rewards of ms-swift 4.6 that are none here (rewards/orm.py). */
export const ONLY_THERE = ['cosine', 'math', 'react_format', 'repetition', 'soft_overlong', 'toolbench'] as const;

// --- internal ---

const OWN_THERE = { accuracy: 'sightline_accuracy', format: 'sightline_format' } as const;
