/**
 * Flags that the registered rewards state: found, and looked at before anything is made of them.
 * Knows their form; not how a command line is read.
 */
import { isDeepStrictEqual } from 'node:util';
import { SightlineError } from '../errors.ts';
import type { RewardFlag } from './contract.ts';
import { show } from './describe_value.ts';
import { ormFiles, orms } from './registry.ts';

export interface StatedFlag {
  readonly name: string;
  readonly flag: RewardFlag;
  /** Names of the rewards that state it: of a class and its subclass, both. */
  readonly rewards: readonly string[];
  /** Plugin file of the first of them. */
  readonly file: string | undefined;
}

/**
 * The flags of all rewards that are registered at present.
 *
 * @throws SightlineError E_REWARD_CLASS: a form that is none; two rewards that mean different things by one name
 */
export function statedFlags(): readonly StatedFlag[] {
  const found = new Map<string, StatedFlag>();
  for (const [reward, Orm] of Object.entries(orms)) {
    const file = ormFiles.get(reward);
    const stated: unknown = Orm?.flags ?? {};
    if (!isRecord(stated)) throw fault(reward, file, show(stated), FORM);
    for (const [name, given] of Object.entries(stated)) {
      const flag = checked(given, (message, hint = FORM) => fault(reward, file, `${message} for "${name}"`, hint));
      if (!NAME.test(name)) throw fault(reward, file, `the name "${name}"`, 'write it as the others: small_letters_1');
      const known = found.get(name);
      if (known !== undefined && !isDeepStrictEqual(known.flag, flag)) {
        const message = `"${name}", which reward "${known.rewards[0]}" states otherwise`;
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
  "write static flags = { place_bonus: { kind: 'number', default: 1, help: 'Value of a right place.' } }; kinds: boolean, number, text, choice";

const joined = (known: StatedFlag, reward: string): StatedFlag => ({ ...known, rewards: [...known.rewards, reward] });

function fault(reward: string, file: string | undefined, message: string, hint: string): SightlineError {
  return new SightlineError('E_REWARD_CLASS', `reward "${reward}" has \`static flags\` with ${message}`, {
    where: file,
    hint,
  });
}

/** Kind and texts; whether the default is a value of the flag is found where values are checked. */
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
