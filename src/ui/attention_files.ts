/**
 * The per-token attention that a run has logged: which completions have it, and their numbers.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type AttentionEntry,
  type AttentionIndex,
  indexName,
  readIndex,
  stepOfName,
  valueCount,
  valuesName,
} from '../attention_log/format.ts';
import { type Fence, isRefusal } from './inside.ts';

export interface AttentionFiles {
  /** Looks for new and removed steps. Resolves to whether there are any. */
  poll(): Promise<boolean>;
  /** In ascending order. */
  steps(): readonly number[];
  /** Whether the completion at this place of the step has attention. */
  has(step: number, row: number): boolean;
  /** Null if there is none, or no longer. */
  entry(
    step: number,
    row: number,
  ): Promise<{ readonly layers: readonly number[]; readonly entry: AttentionEntry } | null>;
  /** The half-precision numbers of the completion, as in the file; null if there are none. */
  values(step: number, row: number): Promise<Buffer | null>;
}

export function createAttentionFiles(run: string, fence: Fence): AttentionFiles {
  const folder = join(run, 'attention');
  /** Rows by step; null for an index that cannot be read, which is not tried again. */
  let rows = new Map<number, ReadonlySet<number> | null>();

  async function readText(name: string): Promise<string | null> {
    const handle = await fence.open(join(folder, name));
    if (isRefusal(handle)) return null;
    try {
      return (await handle.stat()).size > INDEX_BYTES ? null : await handle.readFile('utf8');
    } finally {
      await handle.close();
    }
  }

  async function sizeOf(step: number): Promise<number> {
    const handle = await fence.open(join(folder, valuesName(step)));
    if (isRefusal(handle)) return 0;
    try {
      return (await handle.stat()).size;
    } finally {
      await handle.close();
    }
  }

  async function read(step: number): Promise<AttentionIndex | null> {
    const text = await readText(indexName(step));
    if (text === null) return null;
    const index = readIndex(text, await sizeOf(step));
    return typeof index === 'string' || index.step !== step ? null : index;
  }

  async function entry(step: number, row: number) {
    if (!rows.get(step)?.has(row)) return null;
    const index = await read(step);
    const found = index?.completions.find((each) => each.row === row);
    return index == null || found === undefined ? null : { layers: index.layers, entry: found };
  }

  return {
    async poll() {
      const real = await fence.resolve(folder);
      const names = isRefusal(real) ? [] : await readdir(real).catch(() => []);
      const steps = names.map(stepOfName).filter((step) => step !== null);
      const isSame = steps.length === rows.size && steps.every((step) => rows.has(step));
      if (isSame) return false;
      const next = new Map<number, ReadonlySet<number> | null>();
      for (const step of steps.sort((a, b) => a - b)) {
        const known = rows.get(step);
        if (known !== undefined) next.set(step, known);
        else {
          const index = await read(step);
          next.set(step, index === null ? null : new Set(index.completions.map(({ row }) => row)));
        }
      }
      rows = next;
      return true;
    },
    steps: () => [...rows].filter(([, known]) => known !== null).map(([step]) => step),
    has: (step, row) => rows.get(step)?.has(row) ?? false,
    entry,
    async values(step, row) {
      const found = await entry(step, row);
      if (found === null) return null;
      const handle = await fence.open(join(folder, valuesName(step)));
      if (isRefusal(handle)) return null;
      try {
        const bytes = Buffer.allocUnsafe(2 * valueCount(found.layers.length, found.entry));
        const { bytesRead } = await handle.read(bytes, 0, bytes.length, found.entry.offset);
        return bytesRead === bytes.length ? bytes : null;
      } finally {
        await handle.close();
      }
    },
  };
}

// --- internal ---

const INDEX_BYTES = 32 * 2 ** 20;
