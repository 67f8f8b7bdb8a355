/**
 * How much memory a run of a graph takes besides its inputs and outputs: the values between them that exist at the same time.
 * Knows sizes, not the library that runs the graph, which may need less where a node writes over what it reads.
 */
import type { DType } from './dtype.ts';
import type { LoweredGraph, Port } from './graph.ts';
import { type Dim, termsOf } from './shape.ts';

/** The values of named dimensions. */
export type Sizes = ReadonlyMap<string, number>;

/** Named dimensions, from the sizes of what is fed. */
export function namedSizes(inputs: readonly Port[], dimsOf: (name: string) => readonly number[]): Sizes {
  const sizes = new Map<string, number>();
  for (const { name, shape } of inputs) {
    const dims = dimsOf(name);
    for (const [axis, dim] of shape.entries()) if (typeof dim === 'string') sizes.set(dim, dims[axis]!);
  }
  return sizes;
}

/** A dimension as a number. */
export const sizeOfDim = (dim: Dim, sizes: Sizes): number =>
  termsOf(dim).reduce((sum, { factor, names }) => sum + names.reduce((all, name) => all * sizes.get(name)!, factor), 0);

/** Bytes of a value. */
export const bytesOf = ({ dtype, shape }: Port, sizes: Sizes): number =>
  shape.reduce<number>((product, dim) => product * sizeOfDim(dim, sizes), BYTES[dtype]);

/**
 * The most bytes that values between inputs and outputs take at a time. A value is there from the node that makes it to the last
 * one that reads it.
 */
export function workingBytes({ nodes, inputs, outputs, intermediates, constants }: LoweredGraph, sizes: Sizes): number {
  const bytes = new Map<string, number>(intermediates.map((port) => [port.name, bytesOf(port, sizes)]));
  const around = new Set([...inputs, ...outputs, ...constants].map(({ name }) => name));
  const outer = new Map([...inputs, ...outputs].map((port) => [port.name, bytesOf(port, sizes)]));
  const sizeOf = (name: string): number => bytes.get(name) ?? outer.get(name) ?? 0;
  /** The value whose memory another one shows under other sizes. */
  const shown = new Map<string, string>();
  const ownerOf = (name: string): string => shown.get(name) ?? name;
  const lastReader = new Map<string, number>();
  for (const [i, { opType, inputs: read, outputs: made }] of nodes.entries()) {
    for (const name of read) lastReader.set(ownerOf(name), i);
    for (const name of made) {
      if (around.has(name)) continue;
      if (VIEWS.has(opType)) shown.set(name, ownerOf(read[0]!));
      // Where an op takes several nodes, only the last result has known sizes. Those before it are taken for as large as what they
      // are made of.
      else if (!bytes.has(name)) bytes.set(name, INTEGERS.has(opType) ? 0 : Math.max(0, ...read.map(sizeOf)));
    }
  }
  const endsAt = new Map<number, string[]>();
  for (const [name, i] of lastReader) endsAt.set(i, [...(endsAt.get(i) ?? []), name]);
  const isOwn = (name: string): boolean => !around.has(name) && !shown.has(name);
  let [live, most] = [0, 0];
  for (const [i, { outputs: made }] of nodes.entries()) {
    for (const name of made) if (isOwn(name)) live += sizeOf(name);
    most = Math.max(most, live);
    for (const name of endsAt.get(i) ?? []) if (isOwn(name)) live -= sizeOf(name);
  }
  return most;
}

/** The largest value that a run makes: its sizes and bytes. */
export function largestValue(
  { intermediates, outputs }: Pick<LoweredGraph, 'intermediates' | 'outputs'>,
  sizes: Sizes,
): { readonly dims: readonly number[]; readonly bytes: number } {
  const [first, ...others] = [...outputs, ...intermediates].map((port) => ({ port, bytes: bytesOf(port, sizes) }));
  if (first === undefined) throw new Error('internal: a graph without outputs');
  const { port, bytes } = others.reduce((largest, each) => (each.bytes > largest.bytes ? each : largest), first);
  return { dims: port.shape.map((dim) => sizeOfDim(dim, sizes)), bytes };
}

// --- internal ---

const BYTES: Readonly<Record<DType, number>> = { float32: 4, int32: 4, int64: 8, bool: 1, float16: 2, uint8: 1 };

/** Nodes whose result is the memory of their first input. */
const VIEWS: ReadonlySet<string> = new Set(['Reshape', 'Squeeze', 'Unsqueeze', 'Flatten', 'Identity']);

/** Nodes that make sizes and indices, which are few. */
const INTEGERS: ReadonlySet<string> = new Set(['Shape', 'Size']);
