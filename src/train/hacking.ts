/**
 * Watches for a reward being hacked: the within-group correlation of the text-dominance ratio with every other reward.
 * In experiments it turned from negative to positive before accuracy fell (docs/demo.md); knows numbers, not why.
 */
import {
  correlationMetric,
  type FlipWatch,
  newFlipWatch,
  watchFlip,
  withinGroupCorrelation,
} from '../grpo/correlation.ts';
import type { Reward } from '../rewards/registry.ts';
import type { Metrics } from './events.ts';
import type { Judged } from './judge.ts';

export interface HackingWatch {
  /** Correlations of one rollout, and a sentence for each that has just turned. */
  observe(judged: Judged, numGenerations: number): { metrics: Metrics; warnings: string[] };
}

/** The column attention rewards log their raw ratio under. */
export const TDR_COLUMN = 'tdr';

export function createHackingWatch(rewards: readonly Reward[]): HackingWatch {
  const others = rewards.filter(({ needs }) => !needs.includes('attention'));
  const watches = new Map<string, FlipWatch>();
  return {
    observe({ extras, columns }, numGenerations) {
      const signal = extras.get(TDR_COLUMN)?.map((value) => (typeof value === 'number' ? value : null));
      const metrics: Record<string, number> = {};
      const warnings: string[] = [];
      if (signal === undefined) return { metrics, warnings };
      for (const { label } of others) {
        const values = columns.find((column) => column.label === label)!.values;
        const { correlation } = withinGroupCorrelation(signal, values, numGenerations);
        if (correlation !== null) metrics[correlationMetric(label)] = correlation;
        const { watch, flipped } = watchFlip(watches.get(label) ?? newFlipWatch, correlation);
        watches.set(label, watch);
        if (flipped) {
          warnings.push(
            `the correlation of TDR with ${label} within groups has turned from negative to positive: completions that look at the picture less now score better, so the attention reward may be being hacked. Look at completions.jsonl; lower its weight in --reward_weights or stop here.`,
          );
        }
      }
      return { metrics, warnings };
    },
  };
}
