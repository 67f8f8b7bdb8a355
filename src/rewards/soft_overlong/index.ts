/**
 * Reward `soft_overlong`: 0 up to a length, then a penalty that grows with every token.
 * Knows the number of tokens, not the text.
 */
import type { ORM, RewardArgs, RewardFlag, RewardKwargs } from '../contract.ts';
import { numberOption, wrongOption } from '../options.ts';

const FLAGS = {
  soft_max_length: {
    kind: 'number',
    default: null,
    unset: '--max_completion_length',
    integer: true,
    min: 1,
    unit: 'tokens',
    help: 'Length at which soft_overlong gives -1.',
  },
  soft_cache_length: {
    kind: 'number',
    default: null,
    unset: 'required by soft_overlong',
    integer: true,
    min: 1,
    unit: 'tokens',
    help: 'Number of tokens before --soft_max_length in which the penalty of soft_overlong grows from 0 to -1.',
  },
} as const satisfies Readonly<Record<string, RewardFlag>>;

/** ms-swift's `SoftOverlong` (swift/rewards/orm.py, after DAPO, arXiv 2503.14476); logged as `rewards/SoftOverlong/mean`. */
export class SoftOverlong implements ORM {
  static readonly flags: Readonly<Record<string, RewardFlag>> = FLAGS;
  private readonly maxLength: number;
  private readonly cacheLength: number;

  /** @throws SightlineError E_REWARD_OPTION: a length is missing, or the cache length is not the smaller one */
  constructor(args: RewardArgs = {}) {
    const cacheLength = numberOption(args, 'soft_cache_length', FLAGS.soft_cache_length);
    if (cacheLength === null) {
      throw wrongOption(
        'soft_cache_length',
        'has no value, and soft_overlong needs one',
        'write --soft_cache_length N',
      );
    }
    const maxLength =
      numberOption(args, 'soft_max_length', FLAGS.soft_max_length) ??
      numberOption(args, 'max_completion_length', FLAGS.soft_max_length);
    if (maxLength === null) {
      throw wrongOption('soft_max_length', 'has no value, and soft_overlong needs one', 'write --soft_max_length N');
    }
    if (cacheLength >= maxLength) {
      throw wrongOption(
        'soft_cache_length',
        `is ${cacheLength}, expected less than --soft_max_length, which is ${maxLength}`,
        'lower it, or raise --soft_max_length (default: --max_completion_length)',
      );
    }
    this.maxLength = maxLength;
    this.cacheLength = cacheLength;
  }

  call(_: readonly string[], { completion_ids }: Pick<RewardKwargs, 'completion_ids'>): number[] {
    return completion_ids.map(({ length }) => this.ofLength(length));
  }

  /** min(-(length - (max - cache)) / cache, 0): below -1 beyond the longest length. */
  private ofLength(length: number): number {
    const excess = length - (this.maxLength - this.cacheLength);
    return excess <= 0 ? 0 : -excess / this.cacheLength;
  }
}
