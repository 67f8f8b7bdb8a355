/**
 * A graphics processor that is not there: it computes nothing, and counts the memory that the same calls would take on a real one.
 * Everything but the library is that of `webgpu.ts`, so what it counts is what a run holds. The numbers that it returns are zeros.
 */
import type { LoweredGraph } from '../graph/graph.ts';
import { bytesOf, namedSizes, type Sizes, sizeOfDim, workingBytes } from '../graph/working_set.ts';
import type { Device } from './device.ts';
import type { Moves } from './moves.ts';
import { loadOrt, type Ort, type OrtTensor, type SessionOfNodes } from './session.ts';
import { type ElementType, emptyTensor } from './tensor.ts';
import { openWebgpu } from './webgpu.ts';

export interface CountedDevice {
  readonly device: Device;
  /** The run that takes the most memory besides the device's tensors; null: there was none. */
  largestRun(): CountedRun | null;
}

/** A run, and the bytes that it takes while it lasts: values inside it, and what is fed by the process and returned to it. */
export interface CountedRun {
  readonly name: string;
  readonly bytes: number;
}

/** @param float16 whether it computes with float16, as most cards do */
export async function openCounted({ float16 = true } = {}): Promise<CountedDevice> {
  let largest: CountedRun | null = null;
  const create = async (lowered: LoweredGraph): Promise<SessionOfNodes> => {
    const insideAt = new Map<string, number>();
    const inside = (sizes: Sizes): number => {
      const key = [...sizes].join();
      const bytes = insideAt.get(key) ?? workingBytes(lowered, sizes);
      insideAt.set(key, bytes);
      return bytes;
    };
    async function run(feeds: Record<string, OrtTensor>, fetches: Record<string, OrtTensor | null>) {
      const sizes = namedSizes(lowered.inputs, (name) => feeds[name]!.dims);
      const given = lowered.inputs.filter(({ name }) => !isThere(feeds[name]));
      const returned = lowered.outputs.filter(({ name }) => name in fetches && !isThere(fetches[name]));
      const bytes = [...given, ...returned].reduce((sum, port) => sum + bytesOf(port, sizes), inside(sizes));
      if (largest === null || bytes > largest.bytes) largest = { name: lowered.name, bytes };
      return Object.fromEntries(
        returned.map(({ name, dtype, shape }) => {
          const dims = shape.map((dim) => sizeOfDim(dim, sizes));
          return [name, fetches[name] ?? { type: dtype, data: emptyTensor(dtype as ElementType, dims).data, dims }];
        }),
      );
    }
    return { run, release: async () => undefined } as unknown as SessionOfNodes;
  };
  const device = await openWebgpu({
    float16,
    library: { ort: withoutBuffers(await loadOrt()), moves: NO_MOVES, create },
  });
  return { device, largestRun: () => largest };
}

// --- internal ---

/** In place of the library's tensor over a buffer. */
interface OverBuffer {
  readonly dims: readonly number[];
  readonly isThere: true;
}

const isThere = (tensor: unknown): boolean => typeof tensor === 'object' && tensor !== null && 'isThere' in tensor;

const overBuffer = (dims: readonly number[]): OrtTensor =>
  ({ dims, isThere: true, dispose: () => undefined }) satisfies OverBuffer & {
    dispose(): void;
  } as unknown as OrtTensor;

/** The library, whose tensors over a buffer have sizes alone. */
function withoutBuffers(ort: Ort): Ort {
  const fromGpuBuffer = (_: unknown, { dims }: { readonly dims: readonly number[] }) => overBuffer(dims);
  return {
    ...ort,
    Tensor: new Proxy(ort.Tensor, {
      get: (of, name) => (name === 'fromGpuBuffer' ? fromGpuBuffer : Reflect.get(of, name)),
    }),
  };
}

const NO_MOVES: Moves = {
  allocate: async (words) => overBuffer([words]),
  clear: async () => undefined,
  up: async () => undefined,
  down: async ({ dims }, dtype) => emptyTensor(dtype, dims).data,
  cut: async () => undefined,
  put: async () => undefined,
};
