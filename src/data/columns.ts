/**
 * A row's columns by name, whatever their case, and values of them in words.
 * Knows JSON, not what any column means.
 */

import { SightlineError } from '../errors.ts';
import { isJsonObject, type JsonObject, shownJson } from '../util/json.ts';

/** A column that holds something. */
export interface Column {
  /** As the row spells it. */
  readonly key: string;
  readonly value: unknown;
}

/** By lower-case name. A column that is null counts as absent. */
export type Columns = ReadonlyMap<string, Column>;

/** Of two spellings of one name, the lower-case one wins, then the first. */
export function columnsOf(json: JsonObject): Columns {
  const columns = new Map<string, Column>();
  for (const [key, value] of Object.entries(json)) {
    if (value === null || value === undefined) continue;
    const name = key.toLowerCase();
    if (key === name || !columns.has(name)) columns.set(name, { key, value });
  }
  return columns;
}

/** The first of the names that the row has; null where it has none. */
export function firstColumn(columns: Columns, names: readonly string[]): Column | null {
  const name = names.find((each) => columns.has(each));
  return name === undefined ? null : columns.get(name)!;
}

/** A value as an entry of a list; null and absence are an empty list. */
export function listOf(value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? value : [value];
}

/** A value in words, for errors: what it is, and only so much of it that it can be found. */
export function inWords(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null || typeof value === 'boolean') return String(value);
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : `a list of ${value.length}`;
  if (isJsonObject(value)) {
    const keys = Object.keys(value);
    return keys.length === 0 ? 'an empty object' : `an object with the keys ${shownNames(keys)}`;
  }
  if (typeof value === 'string') return value === '' ? 'an empty text' : `the text ${shownJson(value, 60)}`;
  return `the ${typeof value} ${shownJson(value, 60)}`;
}

/** Names as an error lists them: quoted, the first eight. */
export function shownNames(names: readonly string[]): string {
  const shown = names.slice(0, 8).map((name) => shownJson(name, 40));
  return `${shown.join(', ')}${names.length > shown.length ? ', ...' : ''}`;
}

export function invalidRow(message: string, where: string, hint: string): SightlineError {
  return new SightlineError('E_DATASET_ROW', message, { where, hint });
}
