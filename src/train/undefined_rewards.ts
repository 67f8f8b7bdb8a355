/**
 * Warns about rewards that return no values: once for each reward that is null for a whole rollout, and once for a rollout
 * without any reward. Knows nulls, not their reasons, which the rewards report themselves.
 */
import type { RewardColumn } from '../rewards/run.ts';
import type { Judged } from './judge.ts';

export interface ValueWatch {
  /** Warnings about one rollout, which was judged at this step. */
  observe(judged: Pick<Judged, 'columns' | 'totals'>, step: number): string[];
}

export function createValueWatch(): ValueWatch {
  const reported = new Set<string>();
  let hasReportedAll = false;
  return {
    observe({ columns, totals }, step) {
      const undefinedColumns = columns.filter(
        ({ name, values }) => !reported.has(name) && values.every((value) => value === null),
      );
      const hasNoReward = totals.every((total) => total === null);
      if (hasNoReward && hasReportedAll) return [];
      for (const { name } of undefinedColumns) reported.add(name);
      if (!hasNoReward) return undefinedColumns.map((column) => noValue(step, column));
      hasReportedAll = true;
      return [noReward(step, columns)];
    },
  };
}

// --- internal ---

function noReward(step: number, columns: readonly RewardColumn[]): string {
  const names = columns.map(({ name }) => name).join(', ');
  return `step ${step}: no completion got a reward (${names}: null), so nothing is learned from this step. Null means that a reward does not apply: check the columns and images of the dataset, and what the rewards need.`;
}

function noValue(step: number, { name, label, values, spoke }: RewardColumn): string {
  const why = spoke ? 'See its own message above.' : 'Check the columns and images that it needs.';
  return `step ${step}: reward "${name}" returned no value for any of the ${values.length} completions, so they are judged without it. Null means that the reward does not apply. ${why} rewards/${label}/null_frac is the fraction of nulls; this warning is not repeated.`;
}
