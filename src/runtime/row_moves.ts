/**
 * Moves rows between tensors [n, width] of a device, by the numbers of rows.
 */
import { type Device, type Executable, here } from './device.ts';
import { pairedSums, type Round } from './paired_sums.ts';
import { addRows, gatherRows, pairsOfRows, putRows } from './row_graphs.ts';
import { floats, ints, sizeOf, type Tensor } from './tensor.ts';

export interface RowMoves {
  /** Copies row indices[i] of `from` to row i of `into`, and returns `into`. */
  gather<T extends Tensor>(from: Tensor, indices: Int32Array, into: T): Promise<T>;
  /** Copies row i of `from` to row indices[i] of `into`; no index occurs twice. */
  put(from: Tensor, indices: Int32Array, into: Tensor): Promise<void>;
  /** Copies row rows[i] of `from` to row places[i] of `into`; no place occurs twice. */
  copy(from: Tensor, rows: Int32Array, into: Tensor, places: Int32Array): Promise<void>;
  /** Adds row i of `from` to row indices[i] of `into`; an index may occur several times. The same bits every time. */
  add(from: Tensor, indices: Int32Array, into: Tensor): Promise<void>;
  release(): Promise<void>;
}

export function createRowMoves(device: Device): RowMoves {
  return device.sharesMemory ? inThisProcess : onDevice(device);
}

// --- internal ---

const inThisProcess: RowMoves = {
  async gather(from, indices, into) {
    const [source, target] = [here(from), here(into)];
    const width = widthOf(into);
    for (const { first, start, count } of runsOf(indices))
      target.data.set(source.data.subarray(first * width, (first + count) * width), start * width);
    return into;
  },
  async put(from, indices, into) {
    const [source, target] = [here(from), here(into)];
    const width = widthOf(into);
    for (const { first, start, count } of runsOf(indices))
      target.data.set(source.data.subarray(start * width, (start + count) * width), first * width);
  },
  async copy(from, rows, into, places) {
    const [source, target] = [here(from), here(into)];
    const width = widthOf(into);
    for (const { first, start, count } of runsOf(rows, places))
      target.data.set(source.data.subarray(first * width, (first + count) * width), places[start]! * width);
  },
  async add(from, indices, into) {
    const [source, target] = [here(from), here(into)];
    const width = widthOf(into);
    for (const [i, row] of indices.entries())
      for (let j = 0; j < width; j++) target.data[row * width + j]! += source.data[i * width + j]!;
  },
  release: async () => undefined,
};

function onDevice(device: Device): RowMoves {
  const compiled = new Map<string, Promise<Executable>>();
  const executableOf = (move: keyof typeof GRAPHS): Promise<Executable> => {
    const executable = compiled.get(move) ?? device.compile(GRAPHS[move]());
    compiled.set(move, executable);
    return executable;
  };
  // A view of a tensor that is held is another tensor, which is not: a table of embeddings would cross at every call.
  const flat = (tensor: Tensor): Tensor =>
    tensor.dims.length === 2 ? tensor : device.view(tensor, [tensor.dims[0]!, widthOf(tensor)]);
  async function run(move: 'gather' | 'put' | 'add', from: Tensor, indices: Int32Array, into: Tensor): Promise<void> {
    if (indices.length === 0) return;
    const x = flat(into);
    const index = ints(indices, [indices.length]);
    await (await executableOf(move)).run({ x, index, rows: flat(from) }, { moved: x });
  }
  async function pair(from: Tensor, { first, second, hasSecond }: Round, into: Tensor): Promise<void> {
    const feeds = {
      rows: flat(from),
      ...{ first: ints(first, [first.length]), second: ints(second, [first.length]) },
      hasSecond: floats(hasSecond, [first.length, 1]),
    };
    await (await executableOf('pair')).run(feeds, { moved: flat(into) });
  }
  return {
    async gather(from, indices, into) {
      await run('gather', from, indices, into);
      return into;
    },
    put: (from, indices, into) => run('put', from, indices, into),
    async copy(from, rows, into, places) {
      const between = device.reserve(from.dtype, [rows.length, widthOf(from)]);
      await run('gather', from, rows, between);
      await run('put', between, places, into);
      device.release(between);
    },
    async add(from, indices, into) {
      const { rounds, places } = pairedSums(indices);
      let sums: Tensor = from;
      for (const round of rounds) {
        const next = device.reserve('float32', [round.first.length, widthOf(from)]);
        await pair(sums, round, next);
        if (sums !== from) device.release(sums);
        sums = next;
      }
      await run('add', sums, places, into);
      if (sums !== from) device.release(sums);
    },
    async release() {
      for (const executable of compiled.values()) await (await executable).release();
      compiled.clear();
    },
  };
}

const GRAPHS = { gather: gatherRows, put: putRows, pair: pairsOfRows, add: addRows };

const widthOf = ({ dims }: Tensor): number => sizeOf(dims.slice(1));

/** Consecutive indices: `count` of them from `first` on, the first of which is number `start`. Where `others` go on as well. */
function* runsOf(
  indices: Int32Array,
  others: Int32Array | null = null,
): Generator<{ first: number; start: number; count: number }> {
  for (let start = 0; start < indices.length; ) {
    const first = indices[start]!;
    let count = 1;
    while (
      indices[start + count] === first + count &&
      (others === null || others[start + count] === others[start]! + count)
    )
      count++;
    yield { first, start, count };
    start += count;
  }
}
