/**
 * The flags that registered rewards bring, as flags of `sightline rlhf`. Knows no reward and no flag by name.
 */
import { SightlineError } from '../errors.ts';
import type { RewardFlag } from '../rewards/contract.ts';
import { type StatedFlag, statedFlags } from '../rewards/flags.ts';
import type { CommandSpec } from './command.ts';
import { boolean, camelCase, choice, type Flag, type Flags, number, type RewardGroup, text } from './flag.ts';
import { rlhfCommand, rlhfFlags } from './rlhf.ts';

/**
 * The command with the flags of the rewards that are registered at present, those of loaded plugins among them.
 *
 * @throws SightlineError E_REWARD_CLASS: a name that the command has, or a form that is none
 */
export function rlhfWithRewards(): CommandSpec<typeof rlhfFlags> {
  return { ...rlhfCommand, flags: { ...rlhfFlags, ...rewardFlags(rlhfFlags) } };
}

/** Names of the rewards that state a flag. */
export function ownersOf(name: string): readonly string[] {
  return statedFlags().find((stated) => stated.name === name)?.rewards ?? [];
}

// --- internal ---

/** By name, under headings of their own; `taken` are those of the command. */
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
