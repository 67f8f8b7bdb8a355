/**
 * The memory of scoring a sequence with tiled attention. Each measurement runs in a separate process.
 * Knows processes; memory_child.ts measures.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { MemorySample } from './goals.ts';

export const SHORT = 2048;
export const LONG = 8192;

/** The built file in the same folder. */
const CHILD = fileURLToPath(new URL('./memory_child.js', import.meta.url));

export async function measureMemory(model: string): Promise<MemorySample> {
  return { short: await peakBytes(model, SHORT), long: await peakBytes(model, LONG) };
}

// --- internal ---

async function peakBytes(model: string, length: number): Promise<number> {
  const { stdout } = await promisify(execFile)(process.execPath, [CHILD, model, String(length)]);
  const bytes = Number(stdout);
  if (!(bytes > 0)) throw new Error(`internal: ${CHILD} printed '${stdout}', expected bytes`);
  return bytes;
}
