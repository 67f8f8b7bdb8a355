/**
 * Watches for reward hacking: the correlation, within groups, between a signal that one reward pays for and every other
 * reward. If the other rewards start to fall as the paid signal improves, the model trades them for it (docs/demo.md has a run).
 */
import { type FlipWatch, newFlipWatch, watchFlip, withinGroupCorrelation } from '../grpo/correlation.ts';
import type { RewardSignal } from '../rewards/contract.ts';
import { metricsOfSignal } from '../rewards/metric.ts';
import type { Reward } from '../rewards/reward.ts';
import { hasSignal, signalsOf } from '../rewards/signals.ts';
import type { Metrics } from './events.ts';
import type { Judged } from './judge.ts';

export interface HackingWatch {
  /** Returns the correlations of one rollout, and a warning for each one that has just changed its sign. */
  observe(judged: Judged, numGenerations: number): { metrics: Metrics; warnings: string[] };
}

export function createHackingWatch(rewards: readonly Reward[]): HackingWatch {
  const pairs = signalsOf(rewards).flatMap((signal) => {
    const { watch } = signal;
    if (watch === undefined) return [];
    const payers = rewards.filter((reward) => hasSignal(reward, signal.column)).map(({ label }) => label);
    const others = rewards.filter((reward) => !hasSignal(reward, signal.column));
    return others.map(({ label }) => ({ signal, watch, payers, label, flip: newFlipWatch as FlipWatch }));
  });
  return {
    observe({ extras, columns }, numGenerations) {
      const metrics: Record<string, number> = {};
      const warnings: string[] = [];
      for (const pair of pairs) {
        const { signal, watch, label } = pair;
        const column = extras.get(signal.column)?.map((value) => (typeof value === 'number' ? value : null));
        if (column === undefined) continue;
        const { values } = columns.find((other) => other.label === label)!;
        const { correlation } = withinGroupCorrelation(column, values, numGenerations);
        if (correlation !== null) metrics[metricsOfSignal(signal).correlation + label] = correlation;
        const against = correlation === null || watch.pays === 'low' ? correlation : -correlation;
        const { watch: flip, flipped } = watchFlip(pair.flip, against);
        pair.flip = flip;
        if (flipped) warnings.push(turned(signal.column, watch, label, pair.payers));
      }
      return { metrics, warnings };
    },
  };
}

// --- internal ---

function turned(
  column: string,
  { pays, turned: meaning }: NonNullable<RewardSignal['watch']>,
  label: string,
  payers: readonly string[],
): string {
  const turn = pays === 'low' ? 'from negative to positive' : 'from positive to negative';
  return `the correlation of ${column} with ${label} within groups has turned ${turn}: ${meaning}, so the model may be hacking ${payers.join(' or ')}. Look at completions.jsonl; lower its weight in --reward_weights, or stop the run.`;
}
