/**
 * Sessions of a node or two that allocate and clear a device's memory and copy to it, from it and within it. (`Tensor.getData` of ONNX
 * Runtime 1.30 would copy from it too, but ends the process.) Tensors are flat here: copies do not depend on sizes.
 */
import { type LoweredGraph, lower, type Port } from '../graph/graph.ts';
import { counting } from '../util/index_lists.ts';
import { putRows } from './row_graphs.ts';
import { createSession, type InferenceSession, loadOrt, type OrtTensor, toOrt } from './session.ts';
import { type ElementType, type HostTensor, resized, sizeOf } from './tensor.ts';

export interface Moves {
  /** New memory, float32 [words], of zeros. */
  allocate(words: number): Promise<OrtTensor>;
  /** Sets float32 [rows, words] to zero. */
  clear(target: OrtTensor): Promise<void>;
  /** Over the elements of a tensor of the device, which has the same type and is flat. */
  up(tensor: HostTensor, target: OrtTensor): Promise<void>;
  /** Elements in memory of this process. */
  down(tensor: OrtTensor, dtype: ElementType): Promise<HostTensor['data']>;
  /** Words [start, end) of float32 [words]. */
  cut(from: OrtTensor, words: { readonly start: number; readonly end: number }, into: OrtTensor): Promise<void>;
  /** Puts rows [n, w] into float32 [rows, w], from this row on. */
  put(into: OrtTensor, first: number, rows: OrtTensor): Promise<void>;
}

/**
 * @param options of sessions on the device
 * @param onIndex told of the bytes that copies move to the device besides what they copy
 */
export function createMoves(options: InferenceSession.SessionOptions, onIndex: (bytes: number) => void): Moves {
  const sessions = new Map<string, Promise<InferenceSession>>();
  const session = (key: string, graph: () => LoweredGraph, more: InferenceSession.SessionOptions = {}) => {
    const known =
      sessions.get(key) ??
      // The optimiser would leave copies out.
      createSession(graph(), { ...options, graphOptimizationLevel: 'disabled', ...more });
    sessions.set(key, known);
    return known;
  };
  const copy = (dtype: ElementType) => session(`copy ${dtype}`, () => copyGraph(dtype));
  const integers = async (...values: number[]): Promise<OrtTensor> => {
    const ort = await loadOrt();
    return new ort.Tensor('int64', BigInt64Array.from(values, BigInt), [values.length]);
  };
  return {
    async allocate(words) {
      const filling = await session('allocate', () => zerosGraph('N'), { preferredOutputLocation: 'gpu-buffer' });
      return (await filling.run({ shape: await integers(words) }, ['y'])).y!;
    },
    async clear(target) {
      await (await session('clear', () => zerosGraph('N', 'W'))).run(
        { shape: await integers(...target.dims) },
        { y: target },
      );
    },
    async up(tensor, target) {
      const x = toOrt(await loadOrt(), resized(tensor, [sizeOf(tensor.dims)]));
      await (await copy(tensor.dtype)).run({ x }, { y: target });
    },
    async down(tensor, dtype) {
      const { y } = await (await copy(dtype)).run({ x: tensor }, ['y']);
      return y!.data as HostTensor['data'];
    },
    async cut(x, { start, end }, into) {
      const [from, to] = [await integers(start), await integers(end)];
      await (await session('cut', cutGraph)).run({ x, start: from, end: to }, { y: into });
    },
    async put(into, first, rows) {
      const ort = await loadOrt();
      const [count] = rows.dims as [number];
      const places = counting(count, first);
      const index = new ort.Tensor('int32', places, [count]);
      onIndex(places.byteLength);
      await (await session('put', () => lower(putRows()))).run({ x: into, index, rows }, { moved: into });
    },
  };
}

/** Words of memory that hold so many bytes. */
export const wordsOf = (bytes: number): number => Math.ceil(bytes / 4);

// --- internal ---

const port = (name: string, dtype: Port['dtype'], ...shape: Port['shape'][number][]): Port => ({ name, dtype, shape });

function oneNode(
  opType: string,
  inputs: readonly Port[],
  output: Port,
  constants: LoweredGraph['constants'] = [],
): LoweredGraph {
  const names = [...constants, ...inputs].map(({ name }) => name);
  return {
    name: opType,
    inputs,
    outputs: [output],
    intermediates: [],
    nodes: [{ opType, domain: '', inputs: names, outputs: [output.name], attributes: {} }],
    constants,
  };
}

const copyGraph = (dtype: ElementType): LoweredGraph =>
  oneNode('Identity', [port('x', dtype, 'N')], port('y', dtype, 'N'));

const zerosGraph = (...axes: string[]): LoweredGraph =>
  oneNode('Expand', [port('shape', 'int64', axes.length)], port('y', 'float32', ...axes), [
    { name: 'zero', dtype: 'float32', dims: [], values: new Float32Array(1) },
  ]);

const cutGraph = (): LoweredGraph =>
  oneNode(
    'Slice',
    [port('x', 'float32', 'N'), port('start', 'int64', 1), port('end', 'int64', 1)],
    port('y', 'float32', 'M'),
  );
