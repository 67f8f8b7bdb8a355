/**
 * Means of metrics between two log records. Knows names and numbers.
 */
import type { Metrics } from './events.ts';

/** Sum and number of values of each metric since the last log. Plain data, for checkpoints. */
export type AveragesState = Readonly<Record<string, { readonly sum: number; readonly count: number }>>;

/** Running means of metrics. A record without a name does not count for that name. */
export interface Averages {
  add(metrics: Metrics): void;
  /** Returns the means since the last call and starts over. */
  take(): Record<string, number>;
  state(): AveragesState;
}

export function createAverages(initial: AveragesState = {}): Averages {
  const sums = new Map(Object.entries(initial));
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
    state: () => Object.fromEntries(sums),
  };
}
