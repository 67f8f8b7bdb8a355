/**
 * Collects and validates the flags that registered rewards declare.
 * Knows the form of a declaration; does not know how a command line is read.
 */
import { isDeepStrictEqual } from 'node:util';
import { SightlineError } from '../errors.ts';
import type { RewardFlag } from './contract.ts';
import { show } from './describe_value.ts';
import { ormFiles, orms } from './registry.ts';

export interface StatedFlag {
  readonly name: string;
  readonly flag: RewardFlag;
  /** Names of the rewards that declare it; more than one for a class and its subclass. */
  readonly rewards: readonly string[];
  /** Plugin file of the first of these rewards. */
  readonly file: string | undefined;
}

/**
 * The flags of all rewards that are registered now.
 *
 * @throws SightlineError E_REWARD_CLASS if a declaration is malformed or two rewards declare one name differently
 */
export function statedFlags(): readonly StatedFlag[] {
  const found = new Map<string, StatedFlag>();
  for (const [reward, Orm] of Object.entries(orms)) {
    const file = ormFiles.get(reward);
    const stated: unknown = Orm?.flags ?? {};
    if (!isRecord(stated)) throw fault(reward, file, show(stated), FORM);
    for (const [name, given] of Object.entries(stated)) {
      const flag = checked(given, (message, hint = FORM) => fault(reward, file, `${message} for "${name}"`, hint));
      if (!NAME.test(name))
        throw fault(
          reward,
          file,
          `the name "${name}"`,
          'use lower-case letters, digits and underscores, as in other flags',
        );
      const known = found.get(name);
      if (known !== undefined && !isDeepStrictEqual(known.flag, flag)) {
        const message = `"${name}", which reward "${known.rewards[0]}" declares differently`;
        throw fault(reward, file ?? known.file, message, 'give one of the two another name');
      }
      found.set(name, known === undefined ? { name, flag, rewards: [reward], file } : joined(known, reward));
    }
  }
  return [...found.values()];
}

// --- internal ---

const NAME = /^[a-z][a-z0-9]*(_[a-z0-9]+)*$/;
const KINDS = ['boolean', 'number', 'text', 'choice'] as const;
const FORM =
  "write static flags = { place_bonus: { kind: 'number', default: 1, help: 'Reward for naming the right place.' } }; kinds: boolean, number, text, choice";

const joined = (known: StatedFlag, reward: string): StatedFlag => ({ ...known, rewards: [...known.rewards, reward] });

function fault(reward: string, file: string | undefined, message: string, hint: string): SightlineError {
  return new SightlineError('E_REWARD_CLASS', `reward "${reward}" has \`static flags\` with ${message}`, {
    where: file,
    hint,
  });
}

/** Checks types only; src/arguments checks that the default is a valid value of the flag. */
function checked(given: unknown, wrong: (message: string, hint?: string) => SightlineError): RewardFlag {
  if (!isRecord(given)) throw wrong(show(given));
  const { kind, help, choices } = given;
  if (!KINDS.some((known) => known === kind)) throw wrong(`${show(kind)} as a kind`);
  if (typeof help !== 'string' || help === '') throw wrong(`${show(help)} as help`);
  if (given.default === undefined)
    throw wrong('no default', 'give one; null if there is none, and what it means under unset');
  for (const key of ['unit', 'unset', 'env']) {
    if (given[key] !== undefined && typeof given[key] !== 'string') throw wrong(`${show(given[key])} as ${key}`);
  }
  for (const key of ['min', 'max', 'above', 'below']) {
    if (given[key] !== undefined && typeof given[key] !== 'number') throw wrong(`${show(given[key])} as ${key}`);
  }
  const isText = (choice: unknown): boolean => typeof choice === 'string' && choice !== '';
  if (kind === 'choice' && !(Array.isArray(choices) && choices.length > 0 && choices.every(isText)))
    throw wrong(`${show(choices)} as choices`, "give a list of words, such as ['low', 'high']");
  return given as unknown as RewardFlag;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
