/**
 * Computes metrics from the signals of rewards (mean and deviation of their columns), and names these metrics for reports.
 * Knows names and numbers, not what they mean.
 */
import { mean, sampleStd } from '../grpo/statistics.ts';
import { metricsOfSignal } from '../rewards/metric.ts';
import type { Reward } from '../rewards/reward.ts';
import { signalsOf } from '../rewards/signals.ts';
import type { Json } from '../util/json.ts';
import type { Metrics, ShownSignal } from './events.ts';

/** Mean and sample standard deviation of each signal over all completions. A signal without any number gives no metric. */
export function signalMetrics(
  rewards: readonly Reward[],
  judged: readonly { readonly extras: ReadonlyMap<string, readonly Json[]> }[],
): Metrics {
  const metrics: Record<string, number> = {};
  for (const signal of signalsOf(rewards)) {
    const values = judged.flatMap(({ extras }) => extras.get(signal.column) ?? []);
    const numbers = values.filter((value) => typeof value === 'number');
    if (numbers.length === 0) continue;
    const names = metricsOfSignal(signal);
    metrics[names.mean] = mean(numbers)!;
    metrics[names.std] = sampleStd(numbers);
  }
  return metrics;
}

/** For each signal, its label and the names of its metrics. */
export function shownSignals(rewards: readonly Pick<Reward, 'signals'>[]): ShownSignal[] {
  return signalsOf(rewards).map((signal) => {
    const { mean: metric, correlation } = metricsOfSignal(signal);
    return { label: signal.column, metric, correlation };
  });
}
