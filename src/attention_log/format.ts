/**
 * The files of a run's folder `attention`: what each generated token attended to in the images of its prompt.
 *
 * Each logged step N has two files. `step-N.json` is the index:
 *
 *   { "format": 1, "step": N, "layers": [20, 21], "completions": [
 *     { "row": 0, "tokens": ["A", " cat"], "grids": [[4, 6]], "channels": ["visual_share"], "offset": 0 } ] }
 *
 * `row` is the place of the completion among those that completions.jsonl has of the step; `grids` has the rows and columns of
 * image tokens of each image. `step-N.bin` has, at `offset` bytes, half-precision numbers in little-endian order: the attention
 * weights [tokens, layers, image tokens], the mean over the heads, images one after another and each row by row; then each
 * channel [tokens]. Numbers that are unknown are NaN.
 *
 * Knows the form, not where the files are.
 */
import { isJsonObject } from '../util/json.ts';

export interface AttentionIndex {
  readonly step: number;
  /** Decoder layers, counted from 0. */
  readonly layers: readonly number[];
  readonly completions: readonly AttentionEntry[];
}

export interface AttentionEntry {
  readonly row: number;
  readonly tokens: readonly string[];
  readonly grids: readonly (readonly [rows: number, columns: number])[];
  /** Names of further numbers per token; `channels.ts` has the usual ones. */
  readonly channels: readonly string[];
  /** Bytes before the completion's numbers. */
  readonly offset: number;
}

export const FORMAT = 1;

export const indexName = (step: number): string => `step-${step}.json`;
export const valuesName = (step: number): string => `step-${step}.bin`;

/** The step of an index's name; null for other names. */
export function stepOfName(name: string): number | null {
  const digits = /^step-(\d{1,15})\.json$/.exec(name)?.[1];
  return digits === undefined ? null : Number(digits);
}

/** Number of half-precision numbers of a completion. */
export function valueCount(
  layers: number,
  { tokens, grids, channels }: Omit<AttentionEntry, 'row' | 'offset'>,
): number {
  const imageTokens = grids.reduce((sum, [rows, columns]) => sum + rows * columns, 0);
  return tokens.length * (layers * imageTokens + channels.length);
}

/** The index as text. */
export function writeIndex({ step, layers, completions }: AttentionIndex): string {
  return `${JSON.stringify({ format: FORMAT, step, layers, completions })}\n`;
}

/**
 * Reads an index, which may come from anywhere.
 *
 * @param size bytes of the file of numbers
 * @returns the index, or the reason why it is not one
 */
export function readIndex(text: string, size: number): AttentionIndex | string {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return 'is not JSON';
  }
  if (!isJsonObject(parsed) || parsed.format !== FORMAT) return `is not in format ${FORMAT}`;
  const { step, layers, completions } = parsed;
  if (!isCount(step)) return 'has no step';
  if (!isListOf(layers, isCount)) return 'has no layers';
  if (!Array.isArray(completions)) return 'has no completions';
  for (const [i, entry] of (completions as readonly unknown[]).entries()) {
    const reason = entryFault(entry, layers.length, size);
    if (reason !== null) return `has completion ${i} that ${reason}`;
  }
  return { step, layers, completions: completions as readonly AttentionEntry[] };
}

// --- internal ---

function entryFault(entry: unknown, layers: number, size: number): string | null {
  if (!isJsonObject(entry)) return 'is not an object';
  const { row, tokens, grids, channels, offset } = entry;
  if (!isCount(row)) return 'has no row';
  if (!isListOf(tokens, isText)) return 'has no tokens';
  if (!isListOf(grids, isGrid)) return 'has no grids';
  if (!isListOf(channels, isText)) return 'has no channels';
  if (!isCount(offset) || offset % 2 !== 0) return 'has no offset';
  const end = offset + 2 * valueCount(layers, { tokens, grids, channels });
  return end <= size ? null : `ends at byte ${end} of ${size}`;
}

const isText = (value: unknown): value is string => typeof value === 'string';
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isGrid = (value: unknown): value is [number, number] =>
  Array.isArray(value) && value.length === 2 && value.every((side) => isCount(side) && side > 0 && side <= 4096);

function isListOf<T>(value: unknown, isOne: (each: unknown) => each is T): value is T[] {
  return Array.isArray(value) && value.every(isOne);
}
