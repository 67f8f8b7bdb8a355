/**
 * Where tensors of a graphics processor lie in its buffers, and what a run is given in their place.
 *
 * The library knows whole buffers and their beginnings, no rows in the middle of one, and no kernel may write what it reads. So
 * a run gets copies of rows that lie further on, writes such rows elsewhere, and they are put into their place afterwards; a
 * tensor that is also read gets the buffer with the result in place of its own.
 */

import { commonDivisor } from '../util/common_divisor.ts';
import type { Buffer, BufferPool } from './buffer_pool.ts';
import { type Moves, wordsOf } from './moves.ts';
import type { Ort, OrtTensor } from './session.ts';
import { type DeviceTensor, dimsOfRows, type ElementType, sizeOf } from './tensor.ts';

/** Memory that tensors share. */
interface Cell {
  /** Null: it has not been used yet. */
  buffer: Buffer | null;
  /** Bytes that tensors use. */
  used: number;
  /** Whether it keeps its size. */
  readonly exact: boolean;
  released: boolean;
}

interface Place {
  readonly cell: Cell;
  /** Bytes of the cell before it. */
  readonly offset: number;
  /** The library's tensor, over this buffer. */
  known?: { readonly own: OrtTensor; readonly over: Buffer };
}

/** What a run is given for tensors of the device, and what remains to be done once it has been issued. */
export interface BoundMemory {
  readonly feeds: Readonly<Record<string, OrtTensor>>;
  readonly fetches: Readonly<Record<string, OrtTensor>>;
  settle(): Promise<void>;
}

export interface ReserveOptions {
  /** Whether it keeps its size; default false. */
  readonly exact?: boolean;
  /** What it is for. */
  readonly name?: string;
}

export interface DeviceMemory {
  /** A tensor without memory; it gets some when it is first used. */
  reserve(dtype: ElementType, dims: readonly number[], options?: ReserveOptions): DeviceTensor;
  /** The same memory from its beginning for a tensor of other sizes. What was in it may be lost; other tensors over it are. */
  reuse(tensor: DeviceTensor, dims: readonly number[]): DeviceTensor;
  view(tensor: DeviceTensor, dims: readonly number[], dtype?: ElementType): DeviceTensor;
  rows(tensor: DeviceTensor, start: number, end: number): DeviceTensor;
  release(tensor: DeviceTensor): void;
  /** Bytes of tensors by what they are for, as far as they have been reserved with a name. */
  use(): Map<string, number>;
  /** The library's tensor, for one that begins a cell. */
  own(tensor: DeviceTensor): Promise<OrtTensor>;
  /** @param inPlace outputs that only change some slices of an input, which they name */
  bind(
    feeds: Readonly<Record<string, DeviceTensor>>,
    into: Readonly<Record<string, DeviceTensor>>,
    inPlace: Readonly<Record<string, string>>,
  ): Promise<BoundMemory>;
}

export function createDeviceMemory(device: string, ort: Ort, pool: BufferPool, moves: Moves): DeviceMemory {
  const places = new WeakMap<DeviceTensor, Place>();
  let named: { readonly name: string; readonly cell: WeakRef<Cell> }[] = [];

  const placeOf = (tensor: DeviceTensor): Place => {
    const known = places.get(tensor);
    if (known === undefined || known.cell.released)
      throw new Error(`internal: a tensor [${tensor.dims}] of another device, or released`);
    return known;
  };
  const placed = (dtype: ElementType, dims: readonly number[], place: Place): DeviceTensor => {
    const tensor: DeviceTensor = { dtype, dims, device };
    places.set(tensor, place);
    return tensor;
  };
  const bufferOf = async (cell: Cell): Promise<Buffer> => {
    cell.buffer ??= await pool.take(cell.used, cell.exact);
    return cell.buffer;
  };
  const over = (buffer: Buffer, dataType: ElementType, dims: readonly number[]): OrtTensor =>
    ort.Tensor.fromGpuBuffer(buffer.own.gpuBuffer, { dataType, dims });
  /** The library's tensor over the beginning of a cell. */
  const first = async (tensor: DeviceTensor, place: Place): Promise<OrtTensor> => {
    const buffer = await bufferOf(place.cell);
    if (place.known?.over !== buffer) place.known = { own: over(buffer, tensor.dtype, tensor.dims), over: buffer };
    return place.known.own;
  };
  /** Copies a tensor that lies further on into a buffer of its own. */
  const copied = async (tensor: DeviceTensor, { cell, offset }: Place): Promise<Buffer> => {
    const buffer = await pool.take(bytesOf(tensor));
    if (bytesOf(tensor) === 0) return buffer;
    const source = over(await bufferOf(cell), 'float32', [wordsOf(cell.used)]);
    const words = { start: offset / 4, end: wordsOf(offset + bytesOf(tensor)) };
    await moves.cut(source, words, over(buffer, 'float32', [words.end - words.start]));
    return buffer;
  };
  /** Puts rows that a run has written elsewhere into their place. */
  const putBack = async (tensor: DeviceTensor, { cell, offset }: Place, written: Buffer): Promise<void> => {
    const bytes = bytesOf(tensor);
    if (bytes === 0) return;
    // The widest rows of which there is a whole number, before it and in it.
    const width = [offset, bytes, cell.used].reduce(commonDivisor) / 4;
    const target = over(await bufferOf(cell), 'float32', [cell.used / 4 / width, width]);
    await moves.put(target, offset / 4 / width, over(written, 'float32', [bytes / 4 / width, width]));
  };

  return {
    reserve(dtype, dims, { exact = false, name } = {}) {
      const cell: Cell = { buffer: null, used: bytesIn(dtype, dims), exact, released: false };
      if (name !== undefined) named.push({ name, cell: new WeakRef(cell) });
      return placed(dtype, dims, { cell, offset: 0 });
    },
    reuse(tensor, dims) {
      const { cell } = placeOf(tensor);
      cell.used = bytesIn(tensor.dtype, dims);
      if (cell.buffer !== null && cell.used > cell.buffer.bytes) {
        pool.give(cell.buffer);
        cell.buffer = null;
      }
      return placed(tensor.dtype, dims, { cell, offset: 0 });
    },
    view(tensor, dims, dtype = tensor.dtype) {
      const { cell, offset } = placeOf(tensor);
      return placed(dtype, dims, { cell, offset });
    },
    rows(tensor, start, end) {
      const { cell, offset } = placeOf(tensor);
      const dims = dimsOfRows(tensor, start, end);
      return placed(tensor.dtype, dims, { cell, offset: offset + start * bytesIn(tensor.dtype, dims.slice(1)) });
    },
    release(tensor) {
      const { cell } = placeOf(tensor);
      cell.released = true;
      if (cell.buffer !== null) pool.give(cell.buffer);
      cell.buffer = null;
    },
    use() {
      named = named.filter(({ cell }) => cell.deref()?.released === false);
      const bytes = new Map<string, number>();
      for (const { name, cell } of named) bytes.set(name, (bytes.get(name) ?? 0) + (cell.deref()?.buffer?.bytes ?? 0));
      return bytes;
    },
    async own(tensor) {
      const place = placeOf(tensor);
      if (place.offset !== 0) throw new Error(`internal: [${tensor.dims}] does not begin its memory`);
      return first(tensor, place);
    },
    async bind(feeds, into, inPlace) {
      const lent: Buffer[] = [];
      const read = new Set<Cell>();
      const boundFeeds: Record<string, OrtTensor> = {};
      for (const [name, tensor] of Object.entries(feeds)) {
        const place = placeOf(tensor);
        read.add(place.cell);
        if (place.offset === 0) boundFeeds[name] = await first(tensor, place);
        else {
          const copy = await copied(tensor, place);
          lent.push(copy);
          boundFeeds[name] = over(copy, tensor.dtype, tensor.dims);
        }
      }
      const written = new Set<Cell>();
      const fetches: Record<string, OrtTensor> = {};
      const after: (() => Promise<void>)[] = [];
      for (const [name, tensor] of Object.entries(into)) {
        const place = placeOf(tensor);
        const { cell, offset } = place;
        const isWhole = offset === 0 && bytesOf(tensor) === cell.used;
        const source = feeds[inPlace[name] ?? ''];
        const changesSlices = source !== undefined && isWhole && placeOf(source).cell === cell;
        const isAlone = !read.has(cell) && !written.has(cell);
        // A beginning that is no multiple of what kernels write at once would lose the words behind it.
        const fits = isWhole || (offset === 0 && bytesOf(tensor) % 16 === 0);
        if (changesSlices || (isAlone && fits)) {
          if (!changesSlices) written.add(cell);
          fetches[name] = await first(tensor, place);
          continue;
        }
        const elsewhere = await pool.take(bytesOf(tensor), isWhole && cell.exact);
        fetches[name] = over(elsewhere, tensor.dtype, tensor.dims);
        after.push(async () => {
          if (isWhole) {
            lent.push(await bufferOf(cell));
            cell.buffer = elsewhere;
          } else {
            await putBack(tensor, place, elsewhere);
            lent.push(elsewhere);
          }
        });
      }
      return {
        feeds: boundFeeds,
        fetches,
        async settle() {
          for (const step of after) await step();
          for (const buffer of lent) pool.give(buffer);
        },
      };
    },
  };
}

// --- internal ---

const BYTES: Readonly<Record<ElementType, number>> = { float32: 4, int32: 4, float16: 2, uint8: 1 };

const bytesIn = (dtype: ElementType, dims: readonly number[]): number => BYTES[dtype] * sizeOf(dims);
const bytesOf = ({ dtype, dims }: DeviceTensor): number => bytesIn(dtype, dims);
