/**
 * The cost of sampling and scoring with the head of a published model, which has a large vocabulary.
 * Knows processes and their reports; head_child.ts measures.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { MODEL_PRESETS } from '../src/models/qwen2_5_vl/presets.ts';

export const SAMPLED_ROWS = 8;
export const SCORED_ROWS = 512;

/** Median time of one run, and the peak growth of the process in bytes. */
export interface HeadPart {
  readonly ms: number;
  readonly bytes: number;
}

export interface HeadReport {
  readonly sampling: HeadPart;
  /** Sampling with top_p and without top_k. */
  readonly nucleus: HeadPart;
  /** The matrix product of sampling, alone. */
  readonly product: HeadPart;
  readonly forward: HeadPart;
  readonly backward: HeadPart;
}

/** The built file in the same folder. */
const CHILD = fileURLToPath(new URL('./head_child.js', import.meta.url));

export async function measureHead(repetitions: number): Promise<HeadReport> {
  const { stdout } = await promisify(execFile)(process.execPath, [CHILD, String(repetitions)]);
  return JSON.parse(stdout) as HeadReport;
}

/** The table of the report. */
export function headText({ sampling, nucleus, product, forward, backward }: HeadReport): string {
  const { hiddenSize, vocabSize } = MODEL_PRESETS['qwen2.5-vl-3b'];
  const weights = hiddenSize * vocabSize;
  const cells = (...columns: string[]): string => columns.map((cell) => cell.padStart(10)).join('');
  const line = (name: string, { ms, bytes }: HeadPart, flop: number): string =>
    name.padEnd(20) +
    cells(ms.toFixed(1), (flop / 1e9).toFixed(1), (flop / ms / 1e6).toFixed(1), (bytes / 2 ** 20).toFixed(0));
  const stream = (4 * weights) / product.ms / 1e6;
  return [
    `head of ${vocabSize} x ${hiddenSize}, made-up weights; medians`,
    `${'part'.padEnd(20)}${cells('ms', 'GFLOP', 'GFLOP/s', 'extra MiB')}`,
    line(`sampling, ${SAMPLED_ROWS} rows`, sampling, 2 * SAMPLED_ROWS * weights),
    line('  with top_p 0.9', nucleus, 2 * SAMPLED_ROWS * weights),
    line('  product alone', product, 2 * SAMPLED_ROWS * weights),
    line(`scoring, ${SCORED_ROWS} rows`, forward, 2 * SCORED_ROWS * weights),
    line('  gradient', backward, 3 * 2 * SCORED_ROWS * weights), // logits again, by activations, by weights
    `the product of sampling reads ${(weights * 4e-6).toFixed(0)} MB of weights at ${stream.toFixed(1)} GB/s`,
  ].join('\n');
}
