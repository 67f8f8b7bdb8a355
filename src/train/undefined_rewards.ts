/**
 * Tells of rewards that give nothing: once of each that had no value in a whole rollout, once of a rollout without any.
 * Knows nulls, not why: that is for the reward to say.
 */
import type { RewardColumn } from '../rewards/run.ts';
import type { Judged } from './judge.ts';

export interface ValueWatch {
  /** Sentences about one rollout, judged at this step. */
  observe(judged: Pick<Judged, 'columns' | 'totals'>, step: number): string[];
}

export function createValueWatch(): ValueWatch {
  const told = new Set<string>();
  let toldOfAll = false;
  return {
    observe({ columns, totals }, step) {
      const silent = columns.filter(({ name, values }) => !told.has(name) && values.every((value) => value === null));
      const nothing = totals.every((total) => total === null);
      if (nothing && toldOfAll) return [];
      for (const { name } of silent) told.add(name);
      if (!nothing) return silent.map((column) => noValue(step, column));
      toldOfAll = true;
      return [noReward(step, columns)];
    },
  };
}

// --- internal ---

function noReward(step: number, columns: readonly RewardColumn[]): string {
  const names = columns.map(({ name }) => name).join(', ');
  return `step ${step}: no completion got a reward (${names}: null), so nothing is learned from it. A null says that a reward does not apply: check the columns and images of the dataset, and what the rewards ask for.`;
}

function noValue(step: number, { name, label, values, spoke }: RewardColumn): string {
  const why = spoke ? 'What it says itself stands above.' : 'Check the columns and images it asks for.';
  return `step ${step}: reward "${name}" returned no value for any of the ${values.length} completions, so they are judged without it. null means that the reward does not apply. ${why} rewards/${label}/null_frac counts them; this warning is not repeated.`;
}
