/**
 * Names of rewards in sightline and in ms-swift, which has its own rewards under some of the names.
 */
import type { MsSwiftArguments } from '../arguments/arguments.ts';
import { isPython } from '../arguments/arguments.ts';
import { SightlineError } from '../errors.ts';
import { attentionNeedsOf } from '../rewards/needs.ts';
import { ormFiles, orms } from '../rewards/registry.ts';
import { nearestName } from '../util/nearest_name.ts';

/** The name under which the plugin registers a reward, as in integrations/ms_swift/sightline_swift/register.py. */
export function nameThere(name: string): string {
  return BOTH.includes(name) && !ormFiles.has(name) ? `sightline_${name}` : name;
}

/**
 * Finds unknown names, and rewards that cannot be computed with ms-swift, before the model is loaded.
 *
 * @throws SightlineError E_REWARD_UNKNOWN, E_REWARD_NOT_HERE
 */
export function checkRewardNames({ args }: Pick<MsSwiftArguments, 'args'>): void {
  if (args.rewardFuncs.includes('iou') && !ormFiles.has('iou')) {
    throw new SightlineError(
      'E_REWARD_NOT_HERE',
      'reward "iou" needs the stored sizes of images, which rewards do not get from ms-swift',
      { where: '--reward_funcs', hint: 'leave it out, or train with --engine sightline' },
    );
  }
  const measured = args.rewardFuncs.find((name) => attentionNeedsOf([{ needs: orms[name]?.needs ?? [] }]).length > 0);
  if (measured !== undefined) {
    throw new SightlineError(
      'E_REWARD_NOT_HERE',
      `reward "${measured}" needs attention on spans or maps of it, which ms-swift does not measure`,
      { where: '--reward_funcs', hint: 'use ddapo_attention, or train with --engine sightline' },
    );
  }
  if (args.externalPlugins.some(isPython)) return; // their names are not known here
  const known = [...Object.keys(orms), ...ONLY_THERE];
  const unknown = args.rewardFuncs.find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const near = nearestName(unknown, known);
  throw new SightlineError('E_REWARD_UNKNOWN', `neither sightline nor ms-swift has a reward "${unknown}"`, {
    where: '--reward_funcs',
    hint: `${near === null ? '' : `did you mean "${near}"? `}known: ${known.toSorted().join(', ')}; others come from --external_plugins`,
  });
}

/** Rewards that only ms-swift 4.6 has (rewards/orm.py). */
export const ONLY_THERE = ['math', 'react_format', 'toolbench'] as const;

// --- internal ---

/** Names of built-in rewards that ms-swift has as well. */
const BOTH: readonly string[] = ['accuracy', 'cosine', 'format', 'repetition', 'soft_overlong'];
