/**
 * The facts of every completion that lists are sorted and filtered by. Texts stay in the file.
 * Knows the columns of a line of completions.jsonl, not where the line is.
 *
 * Source of the columns: ms-swift 4.6.0 rlhf_trainers/grpo_trainer.py; `src/report/records.ts` writes the same and more.
 */
import { answerText } from '../rewards/answer_text.ts';
import { isJsonObject } from '../util/json.ts';
import type { Column } from './api.ts';
import { createNumberColumn, type NumberColumn } from './numbers.ts';
import { questionOf } from './prompt_text.ts';

/** A line of completions.jsonl: one array per column, all of the same length. */
export type Table = Readonly<Record<string, readonly unknown[]>>;

export interface GroupFacts {
  readonly step: number;
  /** Numbers of its completions. */
  readonly rows: readonly number[];
  /** The question, shortened. */
  readonly prompt: string;
  /** Equal for groups of the same prompt. */
  readonly origin: number;
}

export interface CompletionTable {
  /** Takes a line. Returns the reason if it is not a table of completions. */
  line(text: string, line: number): string | null;
  clear(): void;
  readonly rows: number;
  readonly groups: readonly GroupFacts[];
  columns(): readonly Column[];
  value(column: string, row: number): number | null;
  groupOf(row: number): number;
  /** Whether the length limit ended the completion; null if the log does not say. */
  isClipped(row: number): boolean | null;
  answer(row: number): string;
  /** The line of a completion, and its place there. */
  placeOf(row: number): { readonly line: number; readonly index: number };
  /** Number of the first completion of a line; null if the line is not a table. */
  firstRow(line: number): number | null;
  /** Groups of a prompt, in the order of the file. */
  ofOrigin(origin: number): readonly number[];
}

/** Null if the text is not a table. */
export function parseTable(text: string): Table | null {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isJsonObject(parsed)) return null;
  const { prompt, completion } = parsed;
  if (!Array.isArray(prompt) || !Array.isArray(completion) || prompt.length !== completion.length) return null;
  if (![...prompt, ...completion].every((value) => typeof value === 'string')) return null;
  const columns = Object.entries(parsed).filter(
    (entry): entry is [string, unknown[]] => Array.isArray(entry[1]) && entry[1].length === prompt.length,
  );
  return Object.fromEntries(columns);
}

export function createCompletionTable(): CompletionTable {
  let columns = new Map<string, { readonly kind: Column['kind']; readonly values: NumberColumn }>();
  let groups: GroupFacts[] = [];
  let origins = new Map<number, number[]>();
  let answers: string[] = [];
  let lines = createNumberColumn();
  let indices = createNumberColumn();
  let groupNumbers = createNumberColumn();
  let truncated = createNumberColumn();
  let firstRows = new Map<number, number>();

  function addColumns(table: Table, first: number): void {
    const names = Object.keys(table);
    const advantage = names.indexOf('advantages');
    for (const [place, name] of names.entries()) {
      if (NOT_NUMBERS.has(name)) continue;
      const given = table[name]!;
      if (!columns.has(name)) {
        if (!given.some((value) => typeof value === 'number')) {
          // A reward that is null for all of a step is still a reward.
          if (!(place < advantage && given.every((value) => value === null || isNotFinite(value)))) continue;
        }
        const kind = name === 'advantages' ? 'advantage' : place < advantage ? 'reward' : 'signal';
        columns.set(name, { kind, values: createNumberColumn() });
      }
      const { values } = columns.get(name)!;
      for (const [i, value] of given.entries()) values.set(first + i, typeof value === 'number' ? value : null);
    }
  }

  function addGroups(table: Table, first: number): void {
    const here = new Map<string, { step: number; rows: number[]; prompt: string; origin: number }>();
    for (const [i, prompt] of (table.prompt as readonly string[]).entries()) {
      const origin = JSON.stringify([prompt, table.source?.[i], table.index?.[i], table.images?.[i]]);
      const step = Number(table.step?.[i] ?? Number.NaN);
      const key = `${step} ${origin}`;
      let group = here.get(key);
      if (group === undefined) {
        group = { step, rows: [], prompt: shortened(questionOf(prompt)), origin: hashOf(origin) };
        here.set(key, group);
      }
      group.rows.push(first + i);
    }
    for (const group of here.values()) {
      for (const row of group.rows) groupNumbers.set(row, groups.length);
      const earlier = origins.get(group.origin);
      if (earlier === undefined) origins.set(group.origin, [groups.length]);
      else earlier.push(groups.length);
      groups.push(group);
    }
  }

  return {
    line(text, line) {
      if (text.trim() === '') return null;
      const table = parseTable(text);
      if (table === null) return 'is not a table of prompts and completions';
      const first = answers.length;
      firstRows.set(line, first);
      for (const [i, completion] of (table.completion as readonly string[]).entries()) {
        const clipped = table.truncated?.[i];
        truncated.set(first + i, typeof clipped === 'boolean' ? Number(clipped) : null);
        lines.set(first + i, line);
        indices.set(first + i, i);
        answers.push(shortened(answerText(completion)));
      }
      addColumns(table, first);
      addGroups(table, first);
      return null;
    },
    clear() {
      columns = new Map();
      groups = [];
      origins = new Map();
      answers = [];
      lines = createNumberColumn();
      indices = createNumberColumn();
      groupNumbers = createNumberColumn();
      truncated = createNumberColumn();
      firstRows = new Map();
    },
    get rows() {
      return answers.length;
    },
    get groups() {
      return groups;
    },
    columns: () =>
      [...columns]
        .map(([name, { kind }]) => ({ name, kind }))
        .sort((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind)),
    value: (column, row) => columns.get(column)?.values.get(row) ?? null,
    groupOf: (row) => groupNumbers.get(row)!,
    isClipped: (row) => {
      const value = truncated.get(row);
      return value === null ? null : value === 1;
    },
    answer: (row) => answers[row]!,
    placeOf: (row) => ({ line: lines.get(row)!, index: indices.get(row)! }),
    firstRow: (line) => firstRows.get(line) ?? null,
    ofOrigin: (origin) => origins.get(origin) ?? [],
  };
}

// --- internal ---

const ORDER: readonly Column['kind'][] = ['reward', 'advantage', 'signal'];
const NOT_NUMBERS = new Set(['step', 'prompt', 'completion', 'index', 'source', 'images', 'solution', 'truncated']);

const isNotFinite = (value: unknown): boolean => value === 'NaN' || value === 'Infinity' || value === '-Infinity';

/** The first characters on one line, as a string that does not keep the long one in memory. */
function shortened(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return Buffer.from(line.length > LENGTH ? `${line.slice(0, LENGTH - 1)}…` : line).toString();
}
const LENGTH = 96;

/** A 53-bit hash (cyrb53, public domain): collisions among a run's prompts are out of the question. */
function hashOf(text: string): number {
  let a = 0xdeadbeef;
  let b = 0x41c6ce57;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    a = Math.imul(a ^ code, 2654435761);
    b = Math.imul(b ^ code, 1597334677);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  return 4294967296 * (2097151 & b) + (a >>> 0);
}
