/**
 * Tensors at run time. In this process's memory, a tensor is a typed array and its sizes; a view of a larger buffer is a
 * subarray of it, and nothing is copied. A tensor in a device's own memory has sizes alone.
 */

export interface FloatTensor {
  readonly dtype: 'float32';
  readonly data: Float32Array;
  readonly dims: readonly number[];
}

export interface IntTensor {
  readonly dtype: 'int32';
  readonly data: Int32Array;
  readonly dims: readonly number[];
}

/** Words of float16, which JavaScript has no numbers for. */
export interface HalfTensor {
  readonly dtype: 'float16';
  readonly data: Uint16Array;
  readonly dims: readonly number[];
}

/** Bytes, which hold codes of 4 or 8 bits. */
export interface ByteTensor {
  readonly dtype: 'uint8';
  readonly data: Uint8Array;
  readonly dims: readonly number[];
}

/** A tensor in the memory of this process. */
export type HostTensor = FloatTensor | IntTensor | HalfTensor | ByteTensor;

export type ElementType = HostTensor['dtype'];

/** A tensor in a device's own memory, which only the device can read. */
export interface DeviceTensor {
  readonly dtype: ElementType;
  readonly dims: readonly number[];
  /** Name of the device. */
  readonly device: string;
}

export type Tensor = HostTensor | DeviceTensor;

/** A tensor of zeros in the memory of this process. */
export function emptyTensor(dtype: ElementType, dims: readonly number[]): HostTensor {
  const size = sizeOf(dims);
  if (dtype === 'float32') return floats(new Float32Array(size), dims);
  if (dtype === 'int32') return ints(new Int32Array(size), dims);
  if (dtype === 'float16') return halves(new Uint16Array(size), dims);
  return bytes(new Uint8Array(size), dims);
}

export function floats(data: Float32Array, dims: readonly number[]): FloatTensor {
  checkSize(data.length, dims);
  return { dtype: 'float32', data, dims };
}

export function ints(data: Int32Array, dims: readonly number[]): IntTensor {
  checkSize(data.length, dims);
  return { dtype: 'int32', data, dims };
}

export function halves(data: Uint16Array, dims: readonly number[]): HalfTensor {
  checkSize(data.length, dims);
  return { dtype: 'float16', data, dims };
}

export function bytes(data: Uint8Array, dims: readonly number[]): ByteTensor {
  checkSize(data.length, dims);
  return { dtype: 'uint8', data, dims };
}

export function zeros(...dims: number[]): FloatTensor {
  return floats(new Float32Array(sizeOf(dims)), dims);
}

/** Rows [start, end) along the first axis, sharing the tensor's buffer. */
export function rows<T extends HostTensor>(tensor: T, start: number, end: number): T {
  const dims = dimsOfRows(tensor, start, end);
  const width = sizeOf(dims.slice(1));
  return { ...tensor, data: tensor.data.subarray(start * width, end * width), dims };
}

/** Sizes of rows [start, end) of a tensor. */
export function dimsOfRows({ dims: [count, ...rest] }: Pick<Tensor, 'dims'>, start: number, end: number): number[] {
  if (start < 0 || end > count! || start > end)
    throw new Error(`internal: rows ${start}..${end} of a tensor with ${count} rows`);
  return [end - start, ...rest];
}

/** The same elements under other sizes. */
export function view(tensor: FloatTensor, ...dims: number[]): FloatTensor {
  return floats(tensor.data, dims);
}

/** The same for any element type, wherever the tensor is. */
export function resized<T extends Tensor>(tensor: T, dims: readonly number[]): T {
  checkSize(sizeOf(tensor.dims), dims);
  return { ...tensor, dims };
}

export const sizeOf = (dims: readonly number[]): number => dims.reduce((product, dim) => product * dim, 1);

// --- internal ---

function checkSize(length: number, dims: readonly number[]): void {
  if (sizeOf(dims) !== length) throw new Error(`internal: ${length} elements for dims [${dims}]`);
}
