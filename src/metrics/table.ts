/**
 * The numbers that runs log, each declared once: what it means, in which unit, which direction is better, and where it is shown.
 * The terminal, the page of runs, the report of a run and docs/metrics.md read this table.
 */

export interface Metric {
  /** As in a log of training; an evaluation logs it as `eval_` and the name. `NAME` stands for any text without a slash. */
  readonly name: string;
  /** Part of a sentence, without a full stop. */
  readonly meaning: string;
  /** Empty for a number without one. */
  readonly unit: string;
  /** Null if neither direction is better by itself. */
  readonly better: 'higher' | 'lower' | null;
  /** Whether a run is judged by it, so that pages show it before the others, in the order of this table. */
  readonly isMain: boolean;
  /** Whether the terminal compares its first and its last value when a run ends. */
  readonly isCompared: boolean;
  /** Whether a reward logs it, and not the run itself. */
  readonly isOfReward: boolean;
}

export const METRICS: readonly Metric[] = [
  compared('reward', 'weighted sum of the rewards, the mean over completions', { better: 'higher' }),
  compared(
    'reward_std',
    'standard deviation of the reward within a group, the mean over groups; at 0 there is nothing to learn',
  ),
  compared('rewards/NAME/mean', 'one reward, the mean over completions', { better: 'higher' }),
  {
    ...main(
      'attention/tdr_mean',
      'text-dominance ratio: attention per word of the prompt over attention per visual token',
      { better: 'lower' },
    ),
    isOfReward: true,
  },
  main('attention/image_mass', 'share of the attention of completions that is on the image'),
  { ...main('attention/NAME_mean', 'what a reward measures on completions, the mean over them'), isOfReward: true },
  main(
    'perception/NAME_mean',
    'how much the log-probabilities change when the image is changed, the mean over completions',
  ),
  compared('loss', 'loss of the optimizer step; near 0 by construction in steps of GRPO on fresh completions'),
  compared('acc', 'share of correct tokens', { better: 'higher' }),
  compared('accuracy', 'share of correct tokens', { better: 'higher' }),
  compared('token_acc', 'share of correct tokens', { better: 'higher' }),
  compared('kl', 'divergence from the reference, the mean over tokens', { unit: 'nats' }),
  compared('entropy/mean', 'entropy of the distributions that tokens were drawn from, the mean over completions', {
    unit: 'nats',
  }),
  compared('completions/mean_length', 'length of completions, the mean', { unit: 'tokens' }),
  main('completions/clipped_ratio', 'share of completions that the length limit cut off', { better: 'lower' }),
  main('frac_reward_zero_std', 'share of groups in which all completions have the same reward', { better: 'lower' }),
  main('grad_norm', 'norm of the gradient before clipping'),
  main('learning_rate', 'learning rate of the step'),

  other('rewards/NAME/std', 'one reward, the standard deviation over completions'),
  other('rewards/NAME/null_frac', 'share of completions for which the reward gave no value', { better: 'lower' }),
  other('completions/min_length', 'length of the shortest completion', { unit: 'tokens' }),
  other('completions/max_length', 'length of the longest completion', { unit: 'tokens' }),
  other('completions/mean_terminated_length', 'length of completions that ended by themselves, the mean', {
    unit: 'tokens',
  }),
  other('completions/min_terminated_length', 'length of the shortest completion that ended by itself', {
    unit: 'tokens',
  }),
  other('completions/max_terminated_length', 'length of the longest completion that ended by itself', {
    unit: 'tokens',
  }),
  other('entropy', 'entropy of the distributions that tokens were drawn from, the mean over tokens', { unit: 'nats' }),
  other('entropy/max', 'greatest mean entropy of a completion', { unit: 'nats' }),
  other('entropy/min', 'least mean entropy of a completion', { unit: 'nats' }),
  other('entropy/threshold', 'entropy above which tokens are learned from (`--top_entropy_quantile`)', {
    unit: 'nats',
  }),
  other('clip_ratio/low_mean', 'share of tokens whose ratio was clipped from below'),
  other('clip_ratio/low_min', 'the same, in the micro-batch with the least'),
  other('clip_ratio/high_mean', 'share of tokens whose ratio was clipped from above'),
  other('clip_ratio/high_max', 'the same, in the micro-batch with the most'),
  other('clip_ratio/region_mean', 'share of tokens whose ratio was clipped'),
  other('cispo_clip_ratio', 'share of tokens whose weight was capped (`--loss_type cispo`)'),
  other('off_policy_masked_frac', 'share of completions that the off-policy mask left out'),
  other('perception/kl', 'divergence between the true and the changed image, the mean over tokens', { unit: 'nats' }),
  other(
    'perception/NAME_std',
    'how much the log-probabilities change when the image is changed, the standard deviation',
  ),
  other(
    'sampling/sampling_logp_difference/mean',
    'distance of the log-probabilities of sampling from those of a forward, the mean',
    { unit: 'nats', better: 'lower' },
  ),
  other('sampling/sampling_logp_difference/max', 'the same, the greatest', { unit: 'nats', better: 'lower' }),
  other('rollout_correction/kl', 'divergence of a forward from sampling, the mean over tokens', {
    unit: 'nats',
    better: 'lower',
  }),
  other('rollout_correction/k3_kl', 'the same by an estimate that is never negative', {
    unit: 'nats',
    better: 'lower',
  }),
  other('rollout_correction/is_weight_mean', 'weights of `--rollout_importance_sampling_mode`, the mean over tokens'),
  other('rollout_correction/ess', 'effective sample size of these weights, as a share of the tokens', {
    better: 'higher',
  }),
  other(
    'rollout_correction/clipped_frac',
    'share of tokens, or of completions, beyond the threshold of these weights',
    {
      better: 'lower',
    },
  ),
  other('attention/text_mass', 'share of the attention of completions that is on the text of the prompt'),
  other('attention/system_mass', 'share of the attention of completions that is on the system block'),
  other('attention/own_mass', "share of the attention of completions that is on the completion's own tokens"),
  other(
    'attention/image_entropy',
    'entropy of the attention over the visual tokens, the mean over tokens and logged layers',
    {
      unit: 'nats',
    },
  ),
  other('attention/image_mass/NAME', 'share of the attention that is on the image, in one layer'),
  {
    ...other('attention/undefined_frac', 'share of completions without a ratio', { better: 'lower' }),
    isOfReward: true,
  },
  {
    ...other('attention/corr_NAME', 'correlation of what a reward measures with another reward, within groups'),
    isOfReward: true,
  },
  { ...other('attention/NAME_std', 'what a reward measures on completions, the standard deviation'), isOfReward: true },
  other('num_gen_batches', 'batches that were sampled for the step (`--dynamic_sample`)'),
  other('skipped_steps', 'share of steps that were skipped because the gradient was not finite', { better: 'lower' }),
  other('step_time', 'time of the optimizer step', { unit: 's', better: 'lower' }),
  other('step_time/NAME', 'time of a part of the step', { unit: 's', better: 'lower' }),
  other('train_speed(s/it)', 'time of a step, the mean since the start', { unit: 's', better: 'lower' }),
  other('memory(GiB)', 'greatest use of memory so far', { unit: 'GiB', better: 'lower' }),
  other('device_memory(GiB)', 'most memory held on a graphics processor so far', { unit: 'GiB', better: 'lower' }),
  other('epoch', 'passes over the data'),
];

/** What a logged name means; null for a name that only a reward or another program knows. */
export function metricOf(name: string): Metric | null {
  const trained = name.startsWith(EVALUATION) ? name.slice(EVALUATION.length) : name;
  const place = PATTERNS.findIndex((pattern) => pattern.test(trained));
  return METRICS[place] ?? null;
}

/** The main ones of these names, in the order of the table, evaluations after training. A family keeps the order of the names. */
export function mainMetrics(names: readonly string[]): string[] {
  const ranked = names.flatMap((name) => {
    const metric = metricOf(name);
    return metric?.isMain ? [{ name, rank: 2 * METRICS.indexOf(metric) + Number(name.startsWith(EVALUATION)) }] : [];
  });
  return ranked.sort((a, b) => a.rank - b.rank).map(({ name }) => name);
}

// --- internal ---

const EVALUATION = 'eval_';

/** `NAME` may hold slashes within a reward's own name, so that only what surrounds it decides. */
const PATTERNS = METRICS.map(({ name }) => new RegExp(`^${name.replace(/[()/]/g, '\\$&').replace('NAME', '.+')}$`));

type Options = Partial<Pick<Metric, 'unit' | 'better'>>;

function other(name: string, meaning: string, { unit = '', better = null }: Options = {}): Metric {
  return { name, meaning, unit, better, isMain: false, isCompared: false, isOfReward: false };
}

function main(name: string, meaning: string, options?: Options): Metric {
  return { ...other(name, meaning, options), isMain: true };
}

function compared(name: string, meaning: string, options?: Options): Metric {
  return { ...main(name, meaning, options), isCompared: true };
}
