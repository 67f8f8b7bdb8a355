/**
 * Resolved arguments as JSON by flag name, for args.json and the start screen.
 */
import type { Json } from '../util/json.ts';
import type { CommandSpec } from './command.ts';
import { camelCase, isOfReward } from './flag.ts';

/** All arguments of a command by flag name, including those of rewards (`rewardOptions`). */
export function argumentsToJson(spec: CommandSpec, args: Readonly<Record<string, unknown>>): Record<string, Json> {
  const ofRewards = (args.rewardOptions ?? {}) as Readonly<Record<string, unknown>>;
  return Object.fromEntries(
    Object.entries(spec.flags)
      .filter(([name]) => !HOW_TO_RUN.has(name))
      .map(([name, flag]) => [name, (isOfReward(flag) ? ofRewards[name] : args[camelCase(name)]) as Json]),
  );
}

/** Arguments that were given and differ from the default, by flag name. */
export function changedArguments(
  spec: CommandSpec,
  args: Readonly<Record<string, unknown>>,
  given: ReadonlySet<string>,
): Record<string, Json> {
  const changed = Object.entries(argumentsToJson(spec, args)).filter(([name, value]) => {
    return given.has(name) && JSON.stringify(value) !== JSON.stringify(spec.flags[name]?.default);
  });
  return Object.fromEntries(changed);
}

// --- internal ---

/** Flags about how arguments are read or how errors are shown, not about what is trained. args.json leaves them out. */
const HOW_TO_RUN = new Set(['config', 'ignore_unsupported', 'debug', 'dry_run']);
