/**
 * Reward `attention_entropy`: how focused a completion's attention on the image is.
 * Knows maps over visual tokens; not how they are measured.
 *
 * The entropy of an attention row, as Zhai et al. 2023 (arXiv 2303.06296) have it, over the visual tokens alone and relative to its largest
 * value.
 */
import { averageOf, rowEntropies } from '../../attention/spans/averages.ts';
import type { ImageAttentionMap } from '../../attention/spans/need.ts';
import type { ORM, RewardArgs, RewardFlag, RewardKwargs, RewardSignal } from '../contract.ts';
import { attentionMap, attentionMapOf } from '../needs.ts';
import { createNullReasons } from '../null_reasons.ts';

const NEED = attentionMap();

const FLAGS = {
  attention_entropy_pays: {
    kind: 'choice',
    choices: ['low', 'high'],
    default: 'low',
    help: 'What attention_entropy rewards: low entropy, attention on few parts of the image, or high entropy, attention on many.',
  },
} as const satisfies Readonly<Record<string, RewardFlag>>;

const SIGNAL = { column: 'image_entropy', metric: 'attention/entropy' } as const satisfies RewardSignal;

/** H or -H, with H from `relativeEntropy`; logged as `rewards/AttentionEntropy/mean`. Null without an image or tokens. */
export class AttentionEntropy implements ORM {
  static readonly needs = [NEED];
  static readonly flags: Readonly<Record<string, RewardFlag>> = FLAGS;
  static readonly signals: readonly RewardSignal[] = [SIGNAL];
  private readonly because = createNullReasons('attention_entropy');
  private readonly sign: number;

  constructor({ attention_entropy_pays: pays = 'low' }: RewardArgs = {}) {
    this.sign = pays === 'high' ? 1 : -1;
  }

  call(_completions: readonly string[], kwargs: RewardKwargs): (number | null)[] {
    const entropies = attentionMapOf(NEED, kwargs).map((map) => {
      if (map.imageTokens < 2)
        return this.because(kwargs.logger, 'the prompt has no image of at least two visual tokens');
      return relativeEntropy(map) ?? this.because(kwargs.logger, 'the completion is empty');
    });
    kwargs.log_extra(SIGNAL.column, entropies);
    return entropies.map((entropy) => (entropy === null ? null : this.sign * entropy));
  }
}

/**
 * Mean over tokens of -Σ p log p / log n, where p is a token's attention on the n visual tokens divided by its sum: 0 if all of it lies
 * on one visual token, 1 if it is even. Null without tokens.
 */
export function relativeEntropy({
  weights,
  imageTokens: n,
}: Pick<ImageAttentionMap, 'weights' | 'imageTokens'>): number | null {
  const entropy = averageOf(rowEntropies(weights, n));
  return entropy === null ? null : entropy / Math.log(n);
}
