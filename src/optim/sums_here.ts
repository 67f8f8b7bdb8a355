/**
 * Sums of squares of arrays in this process's memory, computed mostly in the runtime, on all threads.
 */
import type { Graph } from '../graph/graph.ts';
import { matmul } from '../graph/ops/matmul.ts';
import { input } from '../graph/value.ts';
import type { Device } from '../runtime/device.ts';
import { floats } from '../runtime/tensor.ts';
import { BLOCK, isInRange } from './sum_blocks.ts';

export interface SumsHere {
  /**
   * Σ x² of each array. Blocks of 1024 elements are summed in float32, everything else in float64. An array whose squares
   * leave the range of float32 is summed in float64 altogether.
   */
  of(arrays: readonly Float32Array[]): Promise<number[]>;
  release(): Promise<void>;
}

export async function createSumsHere(device: Device): Promise<SumsHere> {
  const executable = await device.compile(blockSums());
  let sums = new Float32Array(0);

  async function sumOf(x: Float32Array): Promise<number> {
    const blocks = Math.floor(x.length / BLOCK);
    if (x.length < WORTH_A_RUN) return sumOfSquares(x);
    if (sums.length < blocks) sums = new Float32Array(blocks);
    const whole = blocks * BLOCK;
    const into = { sums: floats(sums.subarray(0, blocks), [blocks, 1, 1]) };
    await executable.run({ x: floats(x.subarray(0, whole), [blocks, 1, BLOCK]) }, into);
    let total = sumOfSquares(x.subarray(whole));
    for (let i = 0; i < blocks; i++) total += sums[i]!;
    return isInRange(total, x.length) ? total : sumOfSquares(x);
  }

  return {
    async of(arrays) {
      const totals: number[] = [];
      for (const array of arrays) totals.push(await sumOf(array));
      return totals;
    },
    release: () => executable.release(),
  };
}

/** Σ x² in float64. */
export function sumOfSquares(x: Float32Array): number {
  // Four independent sums, because each addition to a single one would wait for the previous addition.
  const whole = x.length - (x.length % 4);
  let [a, b, c, d] = [0, 0, 0, 0];
  for (let i = 0; i < whole; i += 4) {
    // Each element is read once; `x[i] * x[i]` would load and widen it twice.
    const p = x[i]!;
    const q = x[i + 1]!;
    const r = x[i + 2]!;
    const s = x[i + 3]!;
    a += p * p;
    b += q * q;
    c += r * r;
    d += s * s;
  }
  for (let i = whole; i < x.length; i++) a += x[i]! ** 2;
  return a + b + (c + d);
}

// --- internal ---

/** Arrays with fewer elements are faster in JavaScript than in a run. */
const WORTH_A_RUN = 2 ** 15;

/** The product of each block with itself; ReduceSumSquare would take twice as long. */
function blockSums(): Graph {
  const x = input('x', ['blocks', 1, BLOCK]);
  return { name: 'sum of squares', inputs: { x }, outputs: { sums: matmul(x, x, { transB: true }) } };
}
