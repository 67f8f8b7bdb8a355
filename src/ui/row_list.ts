/**
 * Lists of groups and of completions: what remains after filters, in order, and one window of it.
 */
import type { Column, ListedRow, Marks, RowList } from './api.ts';
import type { CompletionTable } from './completion_table.ts';

export const UNITS = ['group', 'completion'] as const;
export const FILTERS = ['all', 'clipped', 'unjudged', 'flat', 'mixed'] as const;

export interface ListQuery {
  readonly unit: (typeof UNITS)[number];
  /** `step`, or the name of a column. */
  readonly sort: string;
  readonly descending: boolean;
  /** `mixed` are groups with different rewards, and their completions. */
  readonly filter: (typeof FILTERS)[number];
  readonly fromStep: number | null;
  readonly toStep: number | null;
  /** Completions that a search has found; null without one. */
  readonly found: ReadonlySet<number> | null;
}

/** Ids that remain, in order. Values that are null come last in both directions; equal ones stay in the order of the file. */
export function orderedIds(table: CompletionTable, query: ListQuery): number[] {
  const byGroup = query.unit === 'group';
  const rewards = table.columns().filter(({ kind }) => kind === 'reward');
  const rowsOf = (id: number): readonly number[] => (byGroup ? table.groups[id]!.rows : [id]);
  const groupOf = (id: number) => table.groups[byGroup ? id : table.groupOf(id)]!;
  const ids = Array.from({ length: byGroup ? table.groups.length : table.rows }, (_, id) => id).filter((id) => {
    const { step } = groupOf(id);
    if (query.fromStep !== null && !(step >= query.fromStep)) return false;
    if (query.toStep !== null && !(step <= query.toStep)) return false;
    if (query.found !== null && !rowsOf(id).some((row) => query.found!.has(row))) return false;
    if (query.filter === 'all') return true;
    if (query.filter === 'clipped') return rowsOf(id).some((row) => table.isClipped(row) === true);
    if (query.filter === 'unjudged') return rowsOf(id).some((row) => isUnjudged(table, rewards, row));
    return isFlat(table, rewards, groupOf(id).rows) === (query.filter === 'flat');
  });
  if (query.sort === 'step') {
    // Groups and completions are in the order of the file, which is that of the steps.
    return query.descending ? ids.reverse() : ids;
  }
  const keys = new Map(ids.map((id) => [id, meanOf(table, query.sort, rowsOf(id))]));
  const sign = query.descending ? -1 : 1;
  return ids.sort((a, b) => {
    const [x, y] = [keys.get(a)!, keys.get(b)!];
    if (x === y) return a - b;
    if (x === null) return 1;
    if (y === null) return -1;
    return sign * (x - y);
  });
}

export function windowOf(
  table: CompletionTable,
  query: ListQuery,
  ids: readonly number[],
  offset: number,
  limit: number,
): RowList {
  const columns = table.columns();
  const rewards = columns.filter(({ kind }) => kind === 'reward');
  const rows = ids.slice(offset, offset + limit).map((id): ListedRow => {
    const group = query.unit === 'group' ? id : table.groupOf(id);
    const facts = table.groups[group]!;
    const members = query.unit === 'group' ? facts.rows : [id];
    return {
      id,
      group,
      step: facts.step,
      prompt: facts.prompt,
      answer: query.unit === 'group' ? '' : table.answer(id),
      size: members.length,
      values: columns.map(({ name }) => meanOf(table, name, members)),
      marks: marksOf(table, rewards, members, facts.rows),
    };
  });
  const all = query.unit === 'group' ? table.groups.length : table.rows;
  return { total: ids.length, offset, rows, all };
}

/** The mean of the values that are not null; null without any. */
export function meanOf(table: CompletionTable, column: string, rows: readonly number[]): number | null {
  let sum = 0;
  let count = 0;
  for (const row of rows) {
    const value = table.value(column, row);
    if (value === null) continue;
    sum += value;
    count++;
  }
  return count === 0 ? null : sum / count;
}

// --- internal ---

function marksOf(
  table: CompletionTable,
  rewards: readonly Column[],
  rows: readonly number[],
  group: readonly number[],
): Marks {
  return {
    clipped: rows.filter((row) => table.isClipped(row) === true).length,
    unjudged: rows.filter((row) => isUnjudged(table, rewards, row)).length,
    flat: Number(isFlat(table, rewards, group)),
  };
}

function isUnjudged(table: CompletionTable, rewards: readonly Column[], row: number): boolean {
  return rewards.some(({ name }) => table.value(name, row) === null);
}

/** Whether every reward is the same for all completions of the group. A group of one completion is not flat. */
function isFlat(table: CompletionTable, rewards: readonly Column[], rows: readonly number[]): boolean {
  if (rows.length < 2 || rewards.length === 0) return false;
  return rewards.every(({ name }) => rows.every((row) => table.value(name, row) === table.value(name, rows[0]!)));
}
