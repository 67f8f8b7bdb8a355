/**
 * Reward `cosine`: right answers gain by being short, wrong answers by being long.
 * Knows lengths; `accuracy` decides whether an answer is right.
 */
import { MathAccuracy } from '../accuracy/index.ts';
import type { ORM, RewardArgs, RewardFlag, RewardKwargs } from '../contract.ts';
import { numberOption, wrongOption } from '../options.ts';

const FLAGS = {
  cosine_min_len_value_wrong: {
    kind: 'number',
    default: -0.5,
    help: 'Value of a wrong answer of 0 tokens.',
  },
  cosine_max_len_value_wrong: {
    kind: 'number',
    default: 0,
    help: 'Value of a wrong answer of --cosine_max_len tokens.',
  },
  cosine_min_len_value_correct: {
    kind: 'number',
    default: 1,
    help: 'Value of a right answer of 0 tokens.',
  },
  cosine_max_len_value_correct: {
    kind: 'number',
    default: 0.5,
    help: 'Value of a right answer of --cosine_max_len tokens.',
  },
  cosine_max_len: {
    kind: 'number',
    default: null,
    unset: '--max_completion_length',
    integer: true,
    min: 1,
    unit: 'tokens',
    help: 'Length at which the half cosine ends. Beyond it the value goes back, so it should be at least --max_completion_length.',
  },
} as const satisfies Readonly<Record<string, RewardFlag>>;

/** `accuracy` under the name of this reward, for messages. */
class Verdicts extends MathAccuracy {
  protected override readonly reward = 'cosine';
}

/**
 * ms-swift's `CosineReward` (swift/rewards/orm.py, after arXiv 2502.03373); logged as `rewards/CosineReward/mean`.
 *
 * Null where `accuracy` is null: the row has no solution, or one that is not mathematics. ms-swift counts such answers as wrong.
 */
export class CosineReward implements ORM {
  static readonly columns = ['solution'];
  static readonly flags: Readonly<Record<string, RewardFlag>> = FLAGS;
  private readonly verdicts = new Verdicts();
  private readonly right: Ends;
  private readonly wrong: Ends;
  private readonly maxLength: number;
  private toldOfLength = false;

  /** @throws SightlineError E_REWARD_OPTION: a length or a value is missing */
  constructor(args: RewardArgs = {}) {
    const value = (name: Exclude<keyof typeof FLAGS, 'cosine_max_len'>): number =>
      numberOption(args, name, FLAGS[name]);
    this.right = { atNone: value('cosine_min_len_value_correct'), atMax: value('cosine_max_len_value_correct') };
    this.wrong = { atNone: value('cosine_min_len_value_wrong'), atMax: value('cosine_max_len_value_wrong') };
    const maxLength =
      numberOption(args, 'cosine_max_len', FLAGS.cosine_max_len) ??
      numberOption(args, 'max_completion_length', FLAGS.cosine_max_len);
    if (maxLength === null) {
      throw wrongOption('cosine_max_len', 'has no value, and cosine needs one', 'write --cosine_max_len N');
    }
    this.maxLength = maxLength;
  }

  async call(completions: readonly string[], kwargs: RewardKwargs): Promise<(number | null)[]> {
    const verdicts = await this.verdicts.call(completions, kwargs);
    return verdicts.map((verdict, i) => {
      if (verdict === null) return null;
      const { length } = kwargs.completion_ids[i]!;
      if (length > this.maxLength) this.tellOfLength(length, kwargs);
      return cosineOf(length, this.maxLength, verdict >= 1 ? this.right : this.wrong);
    });
  }

  private tellOfLength(length: number, { logger }: Pick<RewardKwargs, 'logger'>): void {
    if (this.toldOfLength) return;
    this.toldOfLength = true;
    logger.warn(
      `cosine: a completion has ${length} tokens, more than --cosine_max_len ${this.maxLength}; beyond this length the value goes back. Raise --cosine_max_len to --max_completion_length.`,
    );
  }
}

/** Values at both ends of the cosine. */
interface Ends {
  /** Of a completion without any token. */
  readonly atNone: number;
  /** Of a completion of `maxLength` tokens. */
  readonly atMax: number;
}

/** atNone at length 0, atMax at `maxLength`, and half a cosine between them. Lengths in tokens. */
export function cosineOf(length: number, maxLength: number, { atNone, atMax }: Ends): number {
  return atNone - ((atNone - atMax) * (1 - Math.cos((length * Math.PI) / maxLength))) / 2;
}
