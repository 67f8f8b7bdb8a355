/**
 * Adds the flags of registered rewards to `sightline rlhf`. Knows no reward and no flag by name.
 */
import { SightlineError } from '../errors.ts';
import type { RewardFlag } from '../rewards/contract.ts';
import { type StatedFlag, statedFlags } from '../rewards/flags.ts';
import type { CommandSpec } from './command.ts';
import { msSwiftFlags } from './engine_flags.ts';
import { boolean, camelCase, choice, type Flag, type Flags, number, type RewardGroup, text } from './flag.ts';
import { rlhfCommand, rlhfFlags } from './rlhf.ts';

/**
 * The command with the flags of all rewards registered at present, including those of loaded plugins.
 *
 * Error: E_REWARD_CLASS if a reward's flag has a name that is taken, or is not a valid flag.
 */
export function rlhfWithRewards(): CommandSpec<typeof rlhfFlags> {
  return { ...rlhfCommand, flags: { ...rlhfFlags, ...rewardFlags(rlhfFlags) } };
}

/** The command with `--engine ms-swift`: more flags, and choices that only ms-swift has. Throws as `rlhfWithRewards`. */
export function rlhfForMsSwift(): CommandSpec<typeof rlhfFlags & typeof msSwiftFlags> {
  const own = { ...rlhfFlags, ...msSwiftFlags };
  const widened = Object.entries(own).map(([name, flag]) => [name, withChoicesOfMsSwift(flag)]);
  return { ...rlhfCommand, flags: { ...Object.fromEntries(widened), ...rewardFlags(own) } as typeof own };
}

/** The command with the flags of both engines, for its help. */
export function rlhfWithEngines(): CommandSpec {
  const spec = rlhfWithRewards();
  return { ...spec, flags: { ...spec.flags, ...msSwiftFlags } };
}

/** Names of the rewards that state this flag. */
export function ownersOf(name: string): readonly string[] {
  return statedFlags().find((stated) => stated.name === name)?.rewards ?? [];
}

// --- internal ---

function withChoicesOfMsSwift(flag: Flag<unknown>): Flag<unknown> {
  const { shape, msSwift = {} } = flag;
  if (shape.kind !== 'choice' || !('more' in msSwift) || msSwift.more === undefined) return flag;
  const { more } = msSwift;
  const absent = Object.entries(shape.absent ?? {}).filter(([word]) => !more.includes(word));
  return {
    ...flag,
    shape: { ...shape, choices: [...shape.choices, ...more], absent: Object.fromEntries(absent), ignorable: [] },
  };
}

/**
 * The flags of rewards by name, each under the heading of its reward.
 *
 * @param taken the command's own flags
 */
function rewardFlags(taken: Flags): Record<string, Flag<unknown>> {
  const keys = new Map<string, string>();
  for (const [name, { aliases = [] }] of Object.entries(taken)) {
    for (const spelling of [name, ...aliases]) keys.set(camelCase(spelling), `a flag --${spelling} of its own`);
  }
  return Object.fromEntries(
    statedFlags().map((stated) => {
      const { name, flag, rewards } = stated;
      const owner = keys.get(camelCase(name));
      if (owner !== undefined) throw clash(stated, owner);
      keys.set(camelCase(name), `the flag --${name} of "${rewards[0]}"`);
      return [name, flagOf(flag, `Reward ${rewards[0]}`)];
    }),
  );
}

function flagOf(flag: RewardFlag, group: RewardGroup): Flag<unknown> {
  const { help, unit, unset, env } = flag;
  const common = { group, help, unit, unset, env };
  switch (flag.kind) {
    case 'boolean':
      return boolean({ ...common, default: flag.default });
    case 'number': {
      const { integer, min, max, above, below } = flag;
      const metavar = integer === true ? 'N' : 'NUMBER';
      return number({ ...common, metavar, integer, min, max, above, below, default: flag.default });
    }
    case 'text':
      return text({ ...common, empty: flag.default === '', default: flag.default });
    case 'choice':
      return choice(flag.choices, { ...common, default: flag.default });
  }
}

function clash({ name, rewards, file }: StatedFlag, owner: string): SightlineError {
  return new SightlineError('E_REWARD_CLASS', `reward "${rewards[0]}" has a flag --${name}, but there is ${owner}`, {
    where: file,
    hint: `give it another name, such as --${rewards[0]}_${name}`,
  });
}
