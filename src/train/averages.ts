/**
 * Means of metrics between two log records. Knows names and numbers.
 */
import type { Metrics } from './events.ts';

/** Running means of metrics. A record without a name does not count for that name. */
export interface Averages {
  add(metrics: Metrics): void;
  /** Returns the means since the last call and starts over. */
  take(): Record<string, number>;
}

export function createAverages(): Averages {
  const sums = new Map<string, { sum: number; count: number }>();
  return {
    add(metrics) {
      for (const [name, value] of Object.entries(metrics)) {
        const { sum, count } = sums.get(name) ?? { sum: 0, count: 0 };
        sums.set(name, { sum: sum + value, count: count + 1 });
      }
    },
    take() {
      const means = Object.fromEntries([...sums].map(([name, { sum, count }]) => [name, sum / count]));
      sums.clear();
      return means;
    },
  };
}
