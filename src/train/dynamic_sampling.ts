/**
 * `--dynamic_sample`: replaces groups whose rewards do not differ, and which therefore teach nothing, by groups of further
 * prompts. Knows groups and rewards, not how they are made.
 *
 * Source: Yu et al. 2025 (DAPO, arXiv 2503.14476, section 3.2); ms-swift rlhf_trainers/grpo_trainer.py `_dynamic_sampling`.
 * Differs from ms-swift in two points: further prompts are the next ones in the order of the run, so that its position is all
 * that has to be saved; and the groups of the last batch that is drawn are used, too.
 */
import { groupsOf } from '../grpo/advantages.ts';
import type { Rollout, RolloutGroup } from '../grpo/rollout.ts';
import { mean, present, sampleStd, ZERO_STD } from '../grpo/statistics.ts';
import type { Json } from '../util/json.ts';
import type { Judged } from './judge.ts';

/** A rollout and what the rewards say of it. */
export interface JudgedRollout {
  readonly rollout: Rollout;
  readonly judged: Judged;
}

export interface Replaced extends JudgedRollout {
  /** Batches of prompts that were sampled, the first one included. */
  readonly batches: number;
  /** False: after the last batch there were still too few groups, and the rollout is the first one, unchanged. */
  readonly isComplete: boolean;
}

/**
 * Draws further batches until there are as many groups with different rewards as the first rollout has groups. The rollout
 * is cut to that size. If anything was drawn, it has no tape: the tape of the first one is overwritten by then.
 *
 * @param most batches to draw at most, besides the first
 * @param draw samples and judges batch number 1, 2, ...
 * Errors: those of `draw`.
 */
export async function replaceEqualGroups(
  first: JudgedRollout,
  most: number,
  draw: (batch: number) => Promise<JudgedRollout>,
): Promise<Replaced> {
  const wanted = first.rollout.groups.length;
  let kept = differingGroups(first);
  const all = [first];
  while (kept.length < wanted && all.length <= most) {
    const next = await draw(all.length);
    all.push(next);
    kept = [...kept, ...differingGroups(next)];
  }
  const batches = all.length;
  if (batches === 1) return { ...first, batches, isComplete: kept.length === wanted };
  if (kept.length < wanted) return { ...first, rollout: withoutTape(first.rollout), batches, isComplete: false };
  const parts = kept.slice(0, wanted);
  const judged = joined(parts, averages(all.map(({ judged: { metrics } }) => metrics)));
  return { rollout: { groups: parts.map(({ group }) => group), tape: null }, judged, batches, isComplete: true };
}

// --- internal ---

/** A group of K completions and what belongs to it. */
interface Part {
  readonly group: RolloutGroup;
  readonly columns: Judged['columns'];
  readonly totals: Judged['totals'];
  readonly extras: Judged['extras'];
}

function differingGroups({ rollout, judged }: JudgedRollout): Part[] {
  const size = judged.totals.length / rollout.groups.length;
  const totals = groupsOf(judged.totals, size);
  const parts = rollout.groups.map((group, g): Part => {
    const cut = <T>(values: readonly T[]): T[] => values.slice(g * size, (g + 1) * size);
    return {
      group,
      columns: judged.columns.map((column) => ({ ...column, values: cut(column.values) })),
      totals: totals[g]!,
      extras: new Map([...judged.extras].map(([name, values]) => [name, cut(values)])),
    };
  });
  return parts.filter((part) => sampleStd(present(part.totals)) > ZERO_STD);
}

function joined(parts: readonly Part[], metrics: Judged['metrics']): Judged {
  const names = new Set(parts.flatMap(({ extras }) => [...extras.keys()]));
  const extraOf = (name: string): Json[] =>
    parts.flatMap(({ extras, totals }) => extras.get(name) ?? totals.map(() => null));
  return {
    columns: parts[0]!.columns.map((column, k) => ({
      ...column,
      values: parts.flatMap(({ columns }) => columns[k]!.values),
      spoke: parts.some(({ columns }) => columns[k]!.spoke),
    })),
    totals: parts.flatMap(({ totals }) => totals),
    metrics,
    extras: new Map([...names].map((name) => [name, extraOf(name)])),
  };
}

/** The mean of each number over the batches that have it. */
function averages(records: readonly Judged['metrics'][]): Record<string, number> {
  const names = new Set(records.flatMap((record) => Object.keys(record)));
  return Object.fromEntries(
    [...names].map((name) => [name, mean(records.flatMap((record) => record[name] ?? []))!] as const),
  );
}

const withoutTape = (rollout: Rollout): Rollout => ({ ...rollout, tape: null });
