/**
 * Writes the attention of logged completions within a limit of bytes. When the limit is reached, every second step is removed and
 * from then on every second one is written, so that what remains covers the whole run evenly.
 */
import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { narrow } from '../checkpoint/dtypes.ts';
import { writeFileAtomically } from '../util/atomic_write.ts';
import { makeFolders } from '../util/make_folders.ts';
import { type AttentionEntry, indexName, stepOfName, valueCount, valuesName, writeIndex } from './format.ts';

/** One completion of a step. */
export interface CompletionAttention {
  /** Place among the completions of the step. */
  readonly row: number;
  readonly tokens: readonly string[];
  readonly grids: AttentionEntry['grids'];
  /** Attention weights, the mean over the heads. [tokens, layers, image tokens] */
  readonly weights: Float32Array;
  /** Further numbers by name. Each [tokens] */
  readonly channels: Readonly<Record<string, Float32Array>>;
}

export interface AttentionLog {
  /**
   * Writes a step, or leaves it out to stay within the limit. Completions that alone do not fit are left out from the last one
   * on. Throws system errors.
   *
   * @returns number of completions written
   */
  write(step: number, layers: readonly number[], completions: readonly CompletionAttention[]): number;
}

/**
 * The log in a folder, which is created with the first step. Steps that are there already count towards the limit.
 *
 * @param limit bytes of all files
 */
export function createAttentionLog(folder: string, limit: number): AttentionLog {
  let kept = stepsIn(folder);
  let calls = kept.length;
  let stride = 1;

  function remove(step: number): void {
    // The index first: numbers without an index are invisible.
    rmSync(join(folder, indexName(step)), { force: true });
    rmSync(join(folder, valuesName(step)), { force: true });
  }

  function thin(): void {
    stride *= 2;
    for (const { step, call } of kept) if (call % stride !== 0) remove(step);
    kept = kept.filter(({ call }) => call % stride === 0);
  }

  return {
    write(step, layers, completions) {
      const call = calls++;
      if (call % stride !== 0) return 0;
      const chosen = [...completions];
      let text = '';
      let bytes = Number.POSITIVE_INFINITY;
      for (; chosen.length > 0; chosen.pop()) {
        text = writeIndex({ step, layers, completions: entriesOf(layers.length, chosen) });
        bytes = Buffer.byteLength(text) + 2 * sum(chosen.map((each) => countOf(layers.length, each)));
        if (bytes <= limit) break;
      }
      if (chosen.length === 0) return 0;
      while (sum(kept.map((each) => each.bytes)) + bytes > limit) {
        thin();
        if (call % stride !== 0) return 0;
      }
      makeFolders(folder);
      writeFileAtomically(join(folder, valuesName(step)), valuesOf(layers.length, chosen));
      writeFileAtomically(join(folder, indexName(step)), text);
      kept = [...kept.filter((each) => each.step !== step), { step, call, bytes }];
      return chosen.length;
    },
  };
}

// --- internal ---

interface KeptStep {
  readonly step: number;
  /** How many writes came before. */
  readonly call: number;
  readonly bytes: number;
}

function stepsIn(folder: string): KeptStep[] {
  if (statSync(folder, { throwIfNoEntry: false }) === undefined) return [];
  const steps = readdirSync(folder)
    .map(stepOfName)
    .filter((step) => step !== null)
    .sort((a, b) => a - b);
  const size = (name: string): number => statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0;
  return steps.map((step, call) => ({ step, call, bytes: size(indexName(step)) + size(valuesName(step)) }));
}

function entriesOf(layers: number, completions: readonly CompletionAttention[]): AttentionEntry[] {
  let offset = 0;
  return completions.map((completion) => {
    const { row, tokens, grids, channels } = completion;
    const entry = { row, tokens, grids, channels: Object.keys(channels), offset };
    offset += 2 * countOf(layers, completion);
    return entry;
  });
}

function countOf(layers: number, { tokens, grids, channels }: CompletionAttention): number {
  return valueCount(layers, { tokens, grids, channels: Object.keys(channels) });
}

function valuesOf(layers: number, completions: readonly CompletionAttention[]): Uint8Array {
  const parts = completions.flatMap(({ row, tokens, grids, weights, channels }) => {
    const columns = Object.entries(channels);
    if (weights.length !== valueCount(layers, { tokens, grids, channels: [] })) {
      throw new Error(`internal: ${weights.length} attention weights for ${tokens.length} tokens of row ${row}`);
    }
    for (const [name, values] of columns) {
      if (values.length !== tokens.length)
        throw new Error(`internal: ${values.length} values of ${name} for row ${row}`);
    }
    return [weights, ...columns.map(([, values]) => values)];
  });
  const words = new Uint16Array(sum(parts.map((part) => part.length)));
  let position = 0;
  for (const part of parts) {
    narrow('F16', part, words.subarray(position, position + part.length));
    position += part.length;
  }
  return new Uint8Array(words.buffer);
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
