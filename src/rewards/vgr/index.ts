/**
 * Reward `vgr`: how much less than its siblings a completion leans on the question's words rather than on the image.
 * Knows masses and groups; not how attention is measured.
 *
 * The vision-text gain ratio is the attention per word of the question divided by the attention per visual token. Attention is
 * averaged over heads, layers and the completion's tokens; of each token it is taken relative to all prompt tokens but the first.
 * JuncyLu/trl_DAPO (src/rewards/attention_rewards.py, src/utils/attention_metrics.py) has it, as an ancestor of DDAPO's ratio.
 * Differs from it in one thing: where a ratio or its group is missing the reward is null, there 0.
 */
import type { ORM, RewardArgs, RewardFlag, RewardKwargs, RewardSignal } from '../contract.ts';
import { attention, attentionOf } from '../needs.ts';
import { createNullReasons } from '../null_reasons.ts';
import { numberOption } from '../options.ts';
import { ratioOf, sharesOf } from './shares.ts';
import { tokenWeights } from './token_weights.ts';

const NEED = attention({ spans: ['question', 'image', 'prompt', 'first'], layers: 'all' });

const FLAGS = {
  vgr_sigma: {
    kind: 'number',
    default: 1,
    above: 0,
    help: 'Number of robust deviations over which vgr saturates: it gives tanh(z / sigma) / 2.',
  },
  vgr_token_weights: {
    kind: 'boolean',
    default: false,
    help: 'vgr also weighs the policy loss of each token by how much it looks at the image.',
  },
  vgr_smooth_sigma: {
    kind: 'number',
    default: 0,
    min: 0,
    max: 64,
    unit: 'tokens',
    help: 'Width of the Gaussian that smooths the token weights of vgr; 0 does not smooth.',
  },
} as const satisfies Readonly<Record<string, RewardFlag>>;

const SIGNAL = {
  column: 'text_gain',
  metric: 'attention/vgr',
  watch: { pays: 'low', turned: 'completions that look at the picture less now score better' },
} as const satisfies RewardSignal;

/** Logged as `rewards/VGRReward/mean`; the ratio as attention/vgr_mean and attention/vgr_std. */
export class VGRReward implements ORM {
  static readonly needs = [NEED];
  static readonly flags: Readonly<Record<string, RewardFlag>> = FLAGS;
  static readonly signals: readonly RewardSignal[] = [SIGNAL];
  private readonly because = createNullReasons('vgr');
  private readonly sigma: number;
  private readonly weighs: boolean;
  private readonly smoothing: number;

  constructor(args: RewardArgs = {}) {
    this.sigma = numberOption(args, 'vgr_sigma', FLAGS.vgr_sigma);
    this.weighs = args.vgr_token_weights === true;
    this.smoothing = numberOption(args, 'vgr_smooth_sigma', FLAGS.vgr_smooth_sigma);
  }

  call(completions: readonly string[], kwargs: RewardKwargs): (number | null)[] {
    const { num_generations: groupSize, logger } = kwargs;
    const measured = attentionOf(NEED, kwargs).map(sharesOf);
    const ratios = measured.map((shares) => {
      if (typeof shares === 'string') return this.because(logger, shares);
      return ratioOf(shares) ?? this.because(logger, 'no attention reaches the image');
    });
    kwargs.log_extra(SIGNAL.column, ratios);
    if (this.weighs) {
      kwargs.weigh_tokens(
        measured.map((shares, i) =>
          typeof shares === 'string'
            ? new Float64Array(kwargs.completion_ids[i]!.length).fill(1)
            : tokenWeights(shares, this.smoothing),
        ),
      );
    }
    return completions.map((_, i) => {
      const ratio = ratios[i]!;
      if (ratio === null) return null;
      const first = i - (i % groupSize);
      const group = ratios.slice(first, first + groupSize).filter((other) => other !== null);
      if (group.length < 2) return this.because(logger, 'a group has fewer than two completions with a ratio');
      return robustReward(ratio, group, this.sigma);
    });
  }
}

/**
 * tanh((median - ratio) / (1.4826 MAD + eps) / sigma) / 2 with the median and the median absolute deviation of the group; 0 if the
 * deviation is below eps.
 */
export function robustReward(ratio: number, group: readonly number[], sigma: number): number {
  const middle = median(group);
  const deviation = median(group.map((other) => Math.abs(other - middle)));
  if (deviation < EPS) return 0;
  return 0.5 * Math.tanh((middle - ratio) / (1.4826 * deviation + EPS) / sigma);
}

// --- internal ---

const EPS = 1e-8;

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}
