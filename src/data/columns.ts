/**
 * A row's columns by case-insensitive name, and their values in words for error messages.
 * Knows JSON, not what any column means.
 */

import { SightlineError } from '../errors.ts';
import { isJsonObject, type JsonObject, shownJson } from '../util/json.ts';

/** A column with a value other than null. */
export interface Column {
  /** As the row spells it. */
  readonly key: string;
  readonly value: unknown;
}

/** Columns by lower-case name. A null column counts as absent. */
export type Columns = ReadonlyMap<string, Column>;

/** If a row spells one name in two ways, the lower-case spelling wins, then the first one. */
export function columnsOf(json: JsonObject): Columns {
  const columns = new Map<string, Column>();
  for (const [key, value] of Object.entries(json)) {
    if (value === null || value === undefined) continue;
    const name = key.toLowerCase();
    if (key === name || !columns.has(name)) columns.set(name, { key, value });
  }
  return columns;
}

/** The column of the first of `names` that the row has; null if it has none of them. */
export function firstColumn(columns: Columns, names: readonly string[]): Column | null {
  const name = names.find((each) => columns.has(each));
  return name === undefined ? null : columns.get(name)!;
}

/** Wraps a single value in a list; null and undefined become an empty list. */
export function listOf(value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? value : [value];
}

/** Describes a value for an error message: its kind, and enough of it to find it in the file. */
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

/** Quotes and joins the first eight names for an error message. */
export function shownNames(names: readonly string[]): string {
  const shown = names.slice(0, 8).map((name) => shownJson(name, 40));
  return `${shown.join(', ')}${names.length > shown.length ? ', ...' : ''}`;
}

export function invalidRow(message: string, where: string, hint: string): SightlineError {
  return new SightlineError('E_DATASET_ROW', message, { where, hint });
}
