/**
 * Signals of rewards as metrics: the mean and the deviation of their columns, and where a reader finds them.
 * Knows names and numbers, not what they mean.
 */
import { mean, sampleStd } from '../grpo/statistics.ts';
import { metricsOfSignal } from '../rewards/metric.ts';
import type { Reward } from '../rewards/reward.ts';
import { signalsOf } from '../rewards/signals.ts';
import type { Json } from '../util/json.ts';
import type { Metrics, ShownSignal } from './events.ts';

/** Mean and sample deviation of each signal over all completions of these batches; none of a signal without a number. */
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

export function shownSignals(rewards: readonly Pick<Reward, 'signals'>[]): ShownSignal[] {
  return signalsOf(rewards).map((signal) => {
    const { mean: metric, correlation } = metricsOfSignal(signal);
    return { label: signal.column, metric, correlation };
  });
}
