/**
 * Which numbers a reward may add to a step's metrics. Knows the names that belong to the run itself and to the signals of
 * rewards, not what they mean.
 */
import { SightlineError } from '../errors.ts';
import type { RewardSignal } from './contract.ts';
import { show } from './describe_value.ts';
import type { Reward } from './reward.ts';
import { placeOfCaller } from './source_location.ts';

/** Names in records and event files that the trainer and the records themselves fill in. */
const OWNED: ReadonlySet<string> = new Set([
  'loss',
  'reward',
  'reward_std',
  'frac_reward_zero_std',
  'grad_norm',
  'learning_rate',
  'kl',
  'entropy',
  'skipped_steps',
  'step_time',
  'step',
  'epoch',
  'global_step/max_steps',
  'elapsed_time',
  'remaining_time',
  'memory(GiB)',
  'train_speed(s/it)',
]);
const OWNED_PREFIXES = ['rewards/', 'completions/', 'clip_ratio/', 'entropy/', 'eval_'];

/** Names of what is logged of a signal. */
export interface SignalMetrics {
  readonly mean: string;
  readonly std: string;
  /** The label of another reward comes after it. */
  readonly correlation: string;
}

/** Of `attention/tdr`: attention/tdr_mean, attention/tdr_std, and attention/corr_tdr_ before the label of a reward. */
export function metricsOfSignal({ metric }: Pick<RewardSignal, 'metric'>): SignalMetrics {
  const base = metric.lastIndexOf('/') + 1;
  return {
    mean: `${metric}_mean`,
    std: `${metric}_std`,
    correlation: `${metric.slice(0, base)}corr_${metric.slice(base)}_`,
  };
}

export function isOwnedMetric(name: string): boolean {
  return OWNED.has(name) || OWNED_PREFIXES.some((prefix) => name.startsWith(prefix));
}

/**
 * @param signals of all rewards of the run, whose metrics are the run's
 * @throws SightlineError E_REWARD_RETURN: a name that is none or is taken, a value that cannot be averaged
 */
export function checkMetric(
  { name: reward, file }: Pick<Reward, 'name' | 'file'>,
  name: unknown,
  value: unknown,
  signals: readonly RewardSignal[] = [],
): void {
  const fault = (message: string, hint: string) =>
    new SightlineError('E_REWARD_RETURN', `reward "${reward}" logged ${message}`, { where: placeOfCaller(file), hint });
  if (typeof name !== 'string' || name === '') {
    throw fault(`a metric whose name is ${show(name)}`, 'write log_metric(name, value) with a text and a number');
  }
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    throw fault(`${show(value)} as the metric "${name}"`, 'log a finite number, or nothing where there is none');
  }
  if (isOwnedMetric(name)) {
    throw fault(`a metric as "${name}", a name of the trainer's own`, `choose another, such as "${reward}/${name}"`);
  }
  const signal = signals.find((one) => isMetricOf(one, name));
  if (signal !== undefined) {
    throw fault(
      `a metric as "${name}", which the run makes of the column "${signal.column}"`,
      `choose another, such as "${reward}/${name}"`,
    );
  }
}

// --- internal ---

function isMetricOf(signal: RewardSignal, name: string): boolean {
  const { mean, std, correlation } = metricsOfSignal(signal);
  return name === mean || name === std || name.startsWith(correlation);
}
