/**
 * Copies of weights in blocks of channels, which stream faster through products of few rows (graph/ops/blocked.ts). A copy
 * includes the update of an adapter. Knows names and sizes, not what the products are for.
 */
import type { Graph } from '../graph/graph.ts';
import { weightToBlocks } from '../graph/ops/blocked.ts';
import { add, mul } from '../graph/ops/elementwise.ts';
import { matmul } from '../graph/ops/matmul.ts';
import { reshape } from '../graph/ops/movement.ts';
import { input } from '../graph/value.ts';
import { adapterA, adapterB } from '../nn/adapter.ts';
import { cpu } from '../runtime/cpu.ts';
import { type Device, type Executable, here } from '../runtime/device.ts';
import { pin } from '../runtime/session.ts';
import { type FloatTensor, floats, rows, view, zeros } from '../runtime/tensor.ts';
import { createPause } from '../util/event_loop.ts';
import { jointParts, type Parameters } from './parameters.ts';
import { piecesOf } from './row_chunks.ts';

export interface BlockedWeights {
  /** The copy of a weight [out, in], as [out, in, 1, 1]. */
  value(name: string): FloatTensor;
  /** Copies the weights as they are now; the event loop gets its turns meanwhile. */
  refresh(): Promise<void>;
  release(): Promise<void>;
}

/**
 * Allocates copies of these weights. Null where the processor has no blocks, or where a size is no multiple of the block.
 *
 * @param layerOf the layer that a weight belongs to; the update of its adapter is added to the copy
 */
export async function createBlockedWeights(
  parameters: Parameters,
  names: readonly string[],
  device: Device = cpu,
  layerOf: (name: string) => string = (name) => name.replace(/\.weight$/, ''),
): Promise<BlockedWeights | null> {
  const block = await device.channelBlock();
  if (block === null) return null;
  const parts = names.flatMap((name) => partsOf(parameters, name, layerOf));
  const fits = ({ out, inner }: WeightPart): boolean => out % block === 0 && inner % block === 0;
  if (!parts.every(fits)) return null;
  const plain = await device.compile(copy());
  const updated = parts.some(({ adapter }) => adapter !== null) ? await device.compile(updatedCopy()) : null;
  const values = new Map(
    names.map((name) => {
      const [out, inner] = parameters.shape(name) as readonly [number, number];
      return [name, zeros(out, inner, 1, 1)];
    }),
  );
  const pieces = parts.flatMap(({ name, from, out, inner, adapter, changes }) => {
    // Cut between blocks of outputs, so that each block lies in one piece of the weight and of the copy.
    const most = Math.max(1, Math.floor(PIECE_BYTES / (4 * inner * block)));
    return piecesOf(out / block, most).map((piece): Piece => {
      const [start, end] = [block * piece.start, block * piece.end];
      const cut = (tensor: FloatTensor): FloatTensor =>
        pin(view(rows(tensor, from + start, from + end), 1, end - start, 1, inner));
      const feeds = { weight: cut(here(parameters.value(name))) };
      const into = { blocks: cut(values.get(name)!) };
      if (adapter === null) return { executable: plain, feeds, into, changes };
      const { a, b, scale } = adapter;
      const update = { a: pin(a), b: pin(rows(b, start, end)), scale: pin(floats(Float32Array.of(scale), [])) };
      return { executable: updated!, feeds: { ...feeds, ...update }, into, changes };
    });
  });
  let copied = false;
  return {
    value(name) {
      const tensor = values.get(name);
      if (tensor === undefined) throw new Error(`internal: no copy of '${name}' in blocks`);
      return tensor;
    },
    async refresh() {
      const pause = createPause();
      for (const { executable, feeds, into, changes } of pieces) {
        if (copied && !changes) continue;
        await pause();
        await executable.run(feeds, into);
      }
      copied = true;
    },
    async release() {
      await Promise.all([plain.release(), updated?.release()]);
    },
  };
}

// --- internal ---

/** Bytes of weights that one run copies: some 2 ms. */
const PIECE_BYTES = 16 * 2 ** 20;

interface Piece {
  readonly executable: Executable;
  readonly feeds: Readonly<Record<string, FloatTensor>>;
  readonly into: Readonly<Record<string, FloatTensor>>;
  /** Whether training changes it. */
  readonly changes: boolean;
}

/** Rows [from, from + out) of a weight [*, in], all with the same adapter or none. */
interface WeightPart {
  readonly name: string;
  readonly from: number;
  readonly out: number;
  readonly inner: number;
  readonly adapter: { readonly a: FloatTensor; readonly b: FloatTensor; readonly scale: number } | null;
  readonly changes: boolean;
}

/** A weight as one part; one of joint layers as theirs, if any has an adapter. */
function partsOf(parameters: Parameters, name: string, layerOf: (name: string) => string): WeightPart[] {
  const layers = jointParts(name) ?? [name];
  const trains = (part: string): boolean =>
    [part, adapterA(layerOf(part)), adapterB(layerOf(part))].some(parameters.isTrained);
  const adapterOf = (part: string): WeightPart['adapter'] => {
    const layer = layerOf(part);
    const adapter = parameters.adapters[layer];
    if (adapter === undefined) return null;
    const [a, b] = [adapterA(layer), adapterB(layer)].map((each) => here(parameters.value(each)));
    return { a: a!, b: b!, scale: adapter.scale };
  };
  const [out, inner] = parameters.shape(name) as readonly [number, number];
  if (layers.every((part) => adapterOf(part) === null))
    return [{ name, from: 0, out, inner, adapter: null, changes: layers.some(trains) }];
  let next = 0;
  return layers.map((part) => {
    const from = next;
    const [rowCount] = parameters.shape(part) as readonly [number, number];
    next += rowCount;
    return { name, from, out: rowCount, inner, adapter: adapterOf(part), changes: trains(part) };
  });
}

function copy(): Graph {
  const weight = input('weight', [1, 'out', 1, 'in']);
  return { name: 'a weight in blocks', inputs: { weight }, outputs: { blocks: weightToBlocks(weight) } };
}

/** The same of weight + scale · b · a. */
function updatedCopy(): Graph {
  const weight = input('weight', [1, 'out', 1, 'in']);
  const [a, b, scale] = [input('a', ['rank', 'in']), input('b', ['out', 'rank']), input('scale', [])];
  const update = reshape(matmul(mul(b, scale), a), [1, 'out', 1, 'in']);
  return {
    name: 'an updated weight in blocks',
    inputs: { weight, a, b, scale },
    outputs: { blocks: weightToBlocks(add(weight, update)) },
  };
}
