/**
 * Checks the metrics that a reward adds to a step. Knows the names that belong to the run itself and to the signals of
 * rewards, not what they mean.
 */
import { SightlineError } from '../errors.ts';
import { METRICS, metricOf } from '../metrics/table.ts';
import type { RewardSignal } from './contract.ts';
import { show } from './describe_value.ts';
import type { Reward } from './reward.ts';
import { locationOfCaller } from './source_location.ts';

/** Columns of records that are no metrics. */
const COLUMNS: ReadonlySet<string> = new Set(['step', 'global_step/max_steps', 'elapsed_time', 'remaining_time']);

/** Beginnings of names that no reward may use, whether or not the table of metrics has such a name: evaluations and families. */
const OWNED_PREFIXES: readonly string[] = ['eval_', ...familiesOfTheRun()];

/** Names of the metrics of a signal. */
export interface SignalMetrics {
  readonly mean: string;
  readonly std: string;
  /** Prefix; the label of another reward follows. */
  readonly correlation: string;
}

/** For `attention/tdr`: attention/tdr_mean, attention/tdr_std and the prefix attention/corr_tdr_. */
export function metricsOfSignal({ metric }: Pick<RewardSignal, 'metric'>): SignalMetrics {
  const base = metric.lastIndexOf('/') + 1;
  return {
    mean: `${metric}_mean`,
    std: `${metric}_std`,
    correlation: `${metric.slice(0, base)}corr_${metric.slice(base)}_`,
  };
}

export function isOwnedMetric(name: string): boolean {
  if (COLUMNS.has(name) || OWNED_PREFIXES.some((prefix) => name.startsWith(prefix))) return true;
  return metricOf(name)?.isOfReward === false;
}

/**
 * @param signals the signals of all rewards of the run; their metrics belong to the run
 * @throws SightlineError E_REWARD_RETURN if the name is not a text, is empty or is taken, or if the value is not finite
 */
export function checkMetric(
  { name: reward, file }: Pick<Reward, 'name' | 'file'>,
  name: unknown,
  value: unknown,
  signals: readonly RewardSignal[] = [],
): void {
  const fault = (message: string, hint: string) =>
    new SightlineError('E_REWARD_RETURN', `reward "${reward}" logged ${message}`, {
      where: locationOfCaller(file),
      hint,
    });
  if (typeof name !== 'string' || name === '') {
    throw fault(`a metric whose name is ${show(name)}`, 'write log_metric(name, value) with a text and a number');
  }
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    throw fault(`${show(value)} as the metric "${name}"`, 'log a finite number, or nothing if there is none');
  }
  if (isOwnedMetric(name)) {
    throw fault(
      `a metric as "${name}", a name that the trainer uses itself`,
      `choose another, such as "${reward}/${name}"`,
    );
  }
  const signal = signals.find((candidate) => isMetricOf(candidate, name));
  if (signal !== undefined) {
    throw fault(
      `a metric as "${name}", which the run computes from the column "${signal.column}"`,
      `choose another, such as "${reward}/${name}"`,
    );
  }
}

// --- internal ---

/** What stands before the slash in names of the run, such as `completions/`, unless rewards log under it as well. */
function familiesOfTheRun(): string[] {
  const families = METRICS.filter(({ name }) => name.includes('/')).map(({ name, isOfReward }) => ({
    family: name.slice(0, name.indexOf('/') + 1),
    isOfReward,
  }));
  const shared = new Set(families.filter(({ isOfReward }) => isOfReward).map(({ family }) => family));
  return [...new Set(families.map(({ family }) => family))].filter((family) => !shared.has(family));
}

function isMetricOf(signal: RewardSignal, name: string): boolean {
  const { mean, std, correlation } = metricsOfSignal(signal);
  return name === mean || name === std || name.startsWith(correlation);
}
