/**
 * Sums of squares of tensors in a device's own memory. One number for each tensor comes back, all of them at once.
 */
import type { Graph } from '../graph/graph.ts';
import { max, mul, neg, square } from '../graph/ops/elementwise.ts';
import { reduceMax, sum } from '../graph/ops/reduce.ts';
import { input } from '../graph/value.ts';
import type { Device, Executable } from '../runtime/device.ts';
import { floats, sizeOf, type Tensor } from '../runtime/tensor.ts';
import { BLOCK, isInRange } from './sum_blocks.ts';

export interface SumsThere {
  /**
   * Σ x² of each tensor, in float32: of blocks of up to 1024 elements, then of as many blocks, and so on (`blocksOf`), so that
   * the error grows with the number of such rounds and not with the size. Where squares leave the range of float32, they are
   * those of elements divided by a power of two near the largest one.
   */
  of(tensors: readonly Tensor[]): Promise<number[]>;
  release(): Promise<void>;
}

/**
 * How many numbers are summed at once in each round, for so many elements: divisors of what is left, of at most 1024; where there
 * are none, all of it.
 */
export function blocksOf(elements: number): number[] {
  const blocks: number[] = [];
  let left = elements;
  do {
    let block = Math.min(BLOCK, left);
    while (left % block !== 0) block--;
    blocks.push(block === 1 ? left : block);
    left /= blocks.at(-1)!;
  } while (left > 1);
  return blocks;
}

export async function createSumsThere(device: Device): Promise<SumsThere> {
  const squares = await device.compile(scaledSquares());
  const sums = await device.compile(sumsOfRows());
  const sizes = await device.compile(largestSizes());
  const maxima = await device.compile(largestOfRows());

  /** Reduces each tensor to a number: a first run over its elements, further ones over the results of the one before. */
  async function reduced(
    tensors: readonly Scaled[],
    first: (x: Tensor, tensor: Scaled, y: Tensor) => Promise<unknown>,
    next: Executable,
  ): Promise<Float32Array> {
    const results = device.reserve('float32', [tensors.length, 1]);
    for (const [i, each] of tensors.entries()) {
      let [x, left] = [each.tensor, sizeOf(each.tensor.dims)];
      for (const [round, block] of blocksOf(left).entries()) {
        const whole = device.view(x, [block, left / block]);
        left /= block;
        const y = left === 1 ? device.rows(results, i, i + 1) : device.reserve('float32', [left]);
        const into = device.view(y, [left]);
        await (round === 0 ? first(whole, each, into) : next.run({ x: whole }, { y: into }));
        if (round > 0) device.release(x);
        x = y;
      }
    }
    const { data } = await device.download(results);
    device.release(results);
    return data;
  }

  async function sumsOf(tensors: readonly Scaled[]): Promise<number[]> {
    const scales = new Map<number, Tensor>();
    const scaleOf = async (scale: number): Promise<Tensor> => {
      const known = scales.get(scale) ?? (await device.upload(floats(Float32Array.of(scale), [])));
      scales.set(scale, known);
      return known;
    };
    const totals = await reduced(
      tensors,
      async (x, { scale }, y) => squares.run({ x, scale: await scaleOf(scale) }, { y }),
      sums,
    );
    for (const scale of scales.values()) device.release(scale);
    return Array.from(totals, (total, i) => total / tensors[i]!.scale ** 2);
  }

  return {
    async of(tensors) {
      const filled = tensors.filter(({ dims }) => sizeOf(dims) > 0);
      if (filled.length === 0) return tensors.map(() => 0);
      const totals = await sumsOf(filled.map((tensor) => ({ tensor, scale: 1 })));
      const doubtful = filled.flatMap((tensor, i) =>
        Number.isNaN(totals[i]!) || isInRange(totals[i]!, sizeOf(tensor.dims)) ? [] : [{ tensor, scale: 1, i }],
      );
      if (doubtful.length > 0) {
        const largest = await reduced(doubtful, (x, _, y) => sizes.run({ x }, { y }), maxima);
        const again = doubtful.flatMap(({ tensor, i }, k) => {
          const size = largest[k]!;
          const isNumber = size > 0 && size < Number.POSITIVE_INFINITY;
          if (!isNumber) totals[i] = size;
          return isNumber ? [{ tensor, scale: 2 ** -Math.floor(Math.log2(size)), i }] : [];
        });
        const scaled = again.length === 0 ? [] : await sumsOf(again);
        for (const [k, { i }] of again.entries()) totals[i] = scaled[k]!;
      }
      const remaining = [...totals];
      return tensors.map(({ dims }) => (sizeOf(dims) > 0 ? remaining.shift()! : 0));
    },
    async release() {
      for (const executable of [squares, sums, sizes, maxima]) await executable.release();
    },
  };
}

// --- internal ---

interface Scaled {
  readonly tensor: Tensor;
  /** Factor of its elements. */
  readonly scale: number;
}

// Results are sums over columns: neighbouring threads read neighbouring elements.

function scaledSquares(): Graph {
  const [x, scale] = [input('x', ['R', 'C']), input('scale', [])];
  return { name: 'sums of squares', inputs: { x, scale }, outputs: { y: sum(square(mul(x, scale)), [0]) } };
}

function sumsOfRows(): Graph {
  const x = input('x', ['R', 'C']);
  return { name: 'sums', inputs: { x }, outputs: { y: sum(x, [0]) } };
}

function largestSizes(): Graph {
  const x = input('x', ['R', 'C']);
  return { name: 'largest sizes', inputs: { x }, outputs: { y: reduceMax(max(x, neg(x)), [0]) } };
}

function largestOfRows(): Graph {
  const x = input('x', ['R', 'C']);
  return { name: 'maxima', inputs: { x }, outputs: { y: reduceMax(x, [0]) } };
}
