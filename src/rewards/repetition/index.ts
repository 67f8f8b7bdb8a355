/**
 * Reward `repetition`: a penalty on word n-grams that occur more than once.
 * Knows words, not tokens.
 */
import type { ORM, RewardArgs, RewardFlag } from '../contract.ts';
import { numberOption } from '../options.ts';

const FLAGS = {
  repetition_n_grams: {
    kind: 'number',
    default: 3,
    integer: true,
    min: 1,
    unit: 'words',
    help: 'Length of the word sequences that repetition counts.',
  },
  repetition_max_penalty: {
    kind: 'number',
    default: -1,
    help: 'Value that repetition approaches when all word sequences of a completion repeat.',
  },
} as const satisfies Readonly<Record<string, RewardFlag>>;

/** ms-swift's `RepetitionPenalty` (swift/rewards/orm.py, after arXiv 2502.03373); logged as `rewards/RepetitionPenalty/mean`. */
export class RepetitionPenalty implements ORM {
  static readonly flags: Readonly<Record<string, RewardFlag>> = FLAGS;
  private readonly size: number;
  private readonly maxPenalty: number;

  constructor(args: RewardArgs = {}) {
    this.size = numberOption(args, 'repetition_n_grams', FLAGS.repetition_n_grams);
    this.maxPenalty = numberOption(args, 'repetition_max_penalty', FLAGS.repetition_max_penalty);
  }

  call(completions: readonly string[]): number[] {
    return completions.map((text) => this.maxPenalty * repeatedShare(text, this.size) + 0); // + 0: not -0
  }
}

/**
 * 1 - (different n-grams) / (all n-grams) of the lower-case words; 0 where there are fewer than n words.
 *
 * @param size n, in words
 */
export function repeatedShare(text: string, size: number): number {
  const words = text.toLowerCase().split(BLANKS).filter(Boolean);
  const count = words.length - size + 1;
  if (count < 1) return 0;
  const different = new Set<string>();
  for (let i = 0; i < count; i++) different.add(words.slice(i, i + size).join(' '));
  return 1 - different.size / count;
}

// --- internal ---

/** The blanks of Python's `str.split()`. JavaScript's \s lacks U+001C to U+001F and U+0085, and includes U+FEFF. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they count as blanks
const BLANKS = /[\t-\r\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/;
