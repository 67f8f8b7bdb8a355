/**
 * Reads the settings that the constructor of a reward gets, by flag name. The command line has checked them, but rewards are
 * also constructed by programs and by the reward server, so they are checked here again.
 */
import { SightlineError } from '../errors.ts';
import type { RewardArgs, RewardFlag } from './contract.ts';
import { show } from './describe_value.ts';

type NumberFlag = Extract<RewardFlag, { kind: 'number' }>;
type TextFlag = Extract<RewardFlag, { kind: 'text' }>;

/**
 * The value of a number flag, or its default if none is given.
 *
 * @throws SightlineError E_REWARD_OPTION: no number, or one out of the flag's range
 */
export function numberOption<F extends NumberFlag>(args: RewardArgs, name: string, flag: F): number | F['default'] {
  const value = args[name] ?? flag.default;
  if (value === null) return value as F['default'];
  const { integer = false, min, max, above, below } = flag;
  const fits =
    typeof value === 'number' &&
    Number.isFinite(value) &&
    (!integer || Number.isInteger(value)) &&
    !(min !== undefined && value < min) &&
    !(max !== undefined && value > max) &&
    !(above !== undefined && value <= above) &&
    !(below !== undefined && value >= below);
  if (fits) return value;
  throw wrongOption(name, `is ${show(value)}, which is not ${integer ? 'a whole number' : 'a number'} in its range`);
}

/**
 * The value of a text flag, or its default if none is given.
 *
 * @throws SightlineError E_REWARD_OPTION: not a text
 */
export function textOption<F extends TextFlag>(args: RewardArgs, name: string, flag: F): string | F['default'] {
  const value = args[name] ?? flag.default;
  if (value === null) return value as F['default'];
  if (typeof value === 'string' && value !== '') return value;
  throw wrongOption(name, `is ${show(value)}, which is not a text`);
}

/** The error for a setting that is wrong or missing. */
export function wrongOption(name: string, message: string, hint = 'see docs/rewards.md'): SightlineError {
  return new SightlineError('E_REWARD_OPTION', `--${name} ${message}`, { where: `--${name}`, hint });
}
