/**
 * Resolved arguments as JSON by flag name: what args.json holds and what the start screen shows.
 */
import type { Json } from '../util/json.ts';
import type { CommandSpec } from './command.ts';
import { camelCase, isOfReward } from './flag.ts';

/** Every argument of a command by its flag name, those of rewards (`rewardOptions`) among them. */
export function argumentsToJson(spec: CommandSpec, args: Readonly<Record<string, unknown>>): Record<string, Json> {
  const ofRewards = (args.rewardOptions ?? {}) as Readonly<Record<string, unknown>>;
  return Object.fromEntries(
    Object.entries(spec.flags)
      .filter(([name]) => !HOW_TO_RUN.has(name))
      .map(([name, flag]) => [name, (isOfReward(flag) ? ofRewards[name] : args[camelCase(name)]) as Json]),
  );
}

/** Arguments that were given a value other than the default, by flag name. */
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

/** Flags that say how the arguments are read, not what is done; they have no place in a file of arguments. */
const HOW_TO_RUN = new Set(['config', 'ignore_unsupported', 'debug', 'dry_run']);
