/**
 * Sessions of one node that fill a device's memory and copy tensors to it and from it, one for each element type and number
 * of axes. (`Tensor.getData` of ONNX Runtime 1.30 would do that too, but ends the process.)
 */
import type { LoweredGraph, Port } from '../graph/graph.ts';
import { createSession, type InferenceSession, loadOrt, type OrtTensor, toOrt } from './session.ts';
import { type ElementType, emptyTensor, type HostTensor } from './tensor.ts';

export interface Moves {
  zeros(dtype: ElementType, dims: readonly number[]): Promise<OrtTensor>;
  up(tensor: HostTensor): Promise<OrtTensor>;
  /** Over the elements of a tensor of the device, which has the same type and sizes. */
  into(target: OrtTensor, tensor: HostTensor): Promise<void>;
  /** In memory of this process. */
  down(tensor: OrtTensor, dtype: ElementType): Promise<OrtTensor>;
}

/** @param options of sessions on the device */
export function createMoves(options: InferenceSession.SessionOptions): Moves {
  const sessions = new Map<string, Promise<InferenceSession>>();
  const session = (direction: 'up' | 'down' | 'zeros', dtype: ElementType, rank: number) => {
    const key = `${direction} ${dtype} ${rank}`;
    const graph = direction === 'zeros' ? zerosGraph(dtype, rank) : copyGraph(dtype, rank);
    const known =
      sessions.get(key) ??
      createSession(graph, {
        ...options,
        graphOptimizationLevel: 'disabled', // or the copy would be optimised away
        ...(direction === 'down' ? {} : { preferredOutputLocation: 'gpu-buffer' }),
      });
    sessions.set(key, known);
    return known;
  };
  const up = async (tensor: HostTensor): Promise<OrtTensor> => {
    const x = toOrt(await loadOrt(), tensor);
    return (await (await session('up', tensor.dtype, tensor.dims.length)).run({ x }, ['y'])).y!;
  };
  return {
    async zeros(dtype, dims) {
      // Not every adapter computes with float16, and none with bytes.
      if (dtype === 'float16' || dtype === 'uint8') return up(emptyTensor(dtype, dims));
      const ort = await loadOrt();
      const shape = new ort.Tensor('int64', BigInt64Array.from(dims, BigInt), [dims.length]);
      return (await (await session('zeros', dtype, dims.length)).run({ shape }, ['y'])).y!;
    },
    up,
    async into(target, tensor) {
      const x = toOrt(await loadOrt(), tensor);
      await (await session('down', tensor.dtype, tensor.dims.length)).run({ x }, { y: target });
    },
    async down(tensor, dtype) {
      return (await (await session('down', dtype, tensor.dims.length)).run({ x: tensor }, ['y'])).y!;
    },
  };
}

// --- internal ---

const axes = (rank: number): string[] => Array.from({ length: rank }, (_, axis) => `n${axis}`);

function copyGraph(dtype: ElementType, rank: number): LoweredGraph {
  const port = (name: string): Port => ({ name, dtype, shape: axes(rank) });
  const node = { opType: 'Identity', domain: '', inputs: ['x'], outputs: ['y'], attributes: {} };
  return { name: 'copy', inputs: [port('x')], outputs: [port('y')], intermediates: [], nodes: [node], constants: [] };
}

function zerosGraph(dtype: ElementType, rank: number): LoweredGraph {
  return {
    name: 'zeros',
    inputs: [{ name: 'shape', dtype: 'int64', shape: [rank] }],
    outputs: [{ name: 'y', dtype, shape: axes(rank) }],
    intermediates: [],
    nodes: [{ opType: 'Expand', domain: '', inputs: ['zero', 'shape'], outputs: ['y'], attributes: {} }],
    constants: [{ name: 'zero', dtype, dims: [], values: new Uint8Array(BYTES[dtype]) }],
  };
}

const BYTES: Readonly<Record<ElementType, number>> = { float32: 4, int32: 4, float16: 2, uint8: 1 };
