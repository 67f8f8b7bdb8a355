/**
 * A graphics processor as a device, through the WebGPU provider of ONNX Runtime (Vulkan, Metal or Direct3D 12). Its memory is
 * its own: tensors move by `upload` and `download`, or with a run that is given tensors of this process.
 */
import { ALL_KERNELS, type Kernels } from '../graph/kernels.ts';
import { createBufferPool } from './buffer_pool.ts';
import { type Device, isHere } from './device.ts';
import { createDeviceMemory } from './device_memory.ts';
import { createMoves, type Moves } from './moves.ts';
import {
  type BoundRun,
  createSession,
  loadOrt,
  type Ort,
  type OrtTensor,
  openSession,
  type Run,
  type SessionPlan,
  toOrt,
} from './session.ts';
import {
  rows as cutRows,
  type DeviceTensor,
  emptyTensor,
  type FloatTensor,
  type HostTensor,
  resized,
  sizeOf,
  type Tensor,
} from './tensor.ts';

export const WEBGPU = 'webgpu';

/** Without kernels, ONNX Runtime 1.30 computes on the CPU what needs them. WGSL, the kernels' language, has no float64. */
const KERNELS: Kernels = {
  ...ALL_KERNELS,
  ...{ fusedMatMul: false, logSoftmax: false, softmaxOfNaN: false, int64: false, float64: false },
};

export interface WebgpuOptions {
  readonly float16?: boolean | undefined;
  readonly largestTensor?: number | undefined;
  readonly memory?: number | undefined;
  readonly profile?: string | undefined;
  readonly library?: Library | undefined;
}

/** What a graphics processor is driven with. `counted.ts` has one that drives none. */
export interface Library {
  /** Makes tensors. */
  readonly ort: Ort;
  readonly moves: Moves;
  readonly create: NonNullable<SessionPlan['create']>;
}

/**
 * The adapter that ONNX Runtime takes. Errors come with the first call that runs or allocates; `findAdapter` checks it before.
 *
 * @param options.float16 whether the adapter computes with float16 (`findAdapter`); default false
 * @param options.largestTensor bytes of the adapter's largest tensor (`findAdapter`); default: not known, and larger ones fail
 * @param options.memory most bytes that tensors may take: beyond them, E_DEVICE_MEMORY
 * @param options.library default: ONNX Runtime
 * @param options.profile beginning of the paths of files to which sessions write what each node ran on and how long kernels took, for
 *   tests and benchmarks
 */
export async function openWebgpu({
  float16 = false,
  largestTensor = Number.POSITIVE_INFINITY,
  memory: limit,
  profile,
  library,
}: WebgpuOptions = {}): Promise<Device> {
  const kernels: Kernels = { ...KERNELS, float16 };
  const options: SessionPlan['options'] = { executionProviders: [WEBGPU] };
  /** Tensors of this process that are held, with their copies under their own sizes; null: it has not been fed yet. */
  const held = new WeakMap<HostTensor, DeviceTensor | null>();
  /** Copies of held elements, by their buffer and their place in it. */
  const copies = new WeakMap<ArrayBufferLike, Map<string, Promise<DeviceTensor>>>();
  const traffic = { toDevice: 0, fromDevice: 0 };
  const { ort, moves, create } = library ?? {
    ort: await loadOrt(),
    moves: createMoves(options, (bytes) => {
      traffic.toDevice += bytes;
    }),
    create: createSession,
  };
  const pool = createBufferPool(moves.allocate, { all: limit, one: largestTensor });
  const memory = createDeviceMemory(WEBGPU, ort, pool, moves);

  const flat = (tensor: DeviceTensor): DeviceTensor => memory.view(tensor, [sizeOf(tensor.dims)]);
  const write = async (target: DeviceTensor, tensor: HostTensor): Promise<void> => {
    traffic.toDevice += tensor.data.byteLength;
    if (tensor.data.length > 0) await moves.up(tensor, await memory.own(flat(target)));
  };
  async function upload(tensor: HostTensor, name = 'uploaded'): Promise<DeviceTensor> {
    const there = memory.reserve(tensor.dtype, tensor.dims, { exact: true, name });
    await write(there, tensor);
    return there;
  }
  async function clear(tensor: DeviceTensor): Promise<void> {
    if (sizeOf(tensor.dims) === 0) return;
    const [count = 1, ...rest] = tensor.dims;
    const words = memory.view(tensor, [count, sizeOf(rest)], 'float32');
    const { fetches, settle } = await memory.bind({}, { y: words }, {});
    await moves.clear(fetches.y!);
    await settle();
  }
  /** The copy of a held tensor. */
  async function copyOf(tensor: HostTensor): Promise<DeviceTensor> {
    const { buffer, byteOffset, byteLength } = tensor.data;
    const ofBuffer = copies.get(buffer) ?? new Map<string, Promise<DeviceTensor>>();
    copies.set(buffer, ofBuffer);
    const place = `${byteOffset} ${byteLength}`;
    const copy = ofBuffer.get(place) ?? upload(tensor, 'held');
    ofBuffer.set(place, copy);
    const there = memory.view(await copy, tensor.dims);
    held.set(tensor, there);
    return there;
  }
  async function bind({ feeds, into, inPlace }: Run): Promise<BoundRun> {
    const here: Record<'feeds' | 'fetches', Record<string, OrtTensor>> = { feeds: {}, fetches: {} };
    const there: Record<'feeds' | 'into', Record<string, DeviceTensor>> = { feeds: {}, into: {} };
    for (const [name, tensor] of Object.entries(feeds)) {
      const copy = isHere(tensor) ? held.get(tensor) : undefined;
      if (!isHere(tensor)) there.feeds[name] = tensor;
      else if (copy !== undefined) there.feeds[name] = copy ?? (await copyOf(tensor));
      else {
        here.feeds[name] = toOrt(ort, tensor);
        traffic.toDevice += tensor.data.byteLength;
      }
    }
    for (const [name, tensor] of Object.entries(into)) {
      if (isHere(tensor)) here.fetches[name] = toOrt(ort, tensor);
      else there.into[name] = tensor;
    }
    const bound = await memory.bind(there.feeds, there.into, inPlace);
    return {
      feeds: { ...here.feeds, ...bound.feeds },
      fetches: { ...here.fetches, ...bound.fetches },
      async settle(results) {
        traffic.fromDevice += bytesOf(results);
        await bound.settle();
      },
    };
  }
  /** ONNX Runtime names a session's file by the millisecond, in which several may begin. */
  const profiling = (): SessionPlan['options'] =>
    profile === undefined ? {} : { enableProfiling: true, profileFilePrefix: `${profile}-${profiled++}` };
  let profiled = 0;
  const plan: SessionPlan = {
    kernels,
    options,
    bind,
    room: pool,
    create,
  };

  return {
    name: WEBGPU,
    kernels,
    sharesMemory: false,
    largestTensor,
    traffic,
    compile: (graph) => openSession(graph, { ...plan, options: { ...options, ...profiling() } }),
    async allocate(dtype, dims) {
      if (dtype === 'float16') return upload(emptyTensor(dtype, dims)); // which not every adapter computes with
      const tensor = memory.reserve(dtype, dims, { exact: true, name: 'allocated' });
      await clear(tensor);
      return tensor;
    },
    reserve: (dtype, dims, name = 'reserved') => memory.reserve(dtype, dims, { name }),
    reuse: (tensor, dims) => memory.reuse(there(tensor), dims),
    clear: (tensor) => clear(there(tensor)),
    upload: (tensor) => upload(tensor),
    async download<T extends HostTensor = FloatTensor>(tensor: Tensor) {
      if (isHere(tensor)) return tensor as T;
      if (sizeOf(tensor.dims) === 0) return emptyTensor(tensor.dtype, tensor.dims) as T;
      const { feeds, settle } = await memory.bind({ x: flat(tensor) }, {}, {});
      const data = await moves.down(feeds.x!, tensor.dtype);
      await settle();
      traffic.fromDevice += data.byteLength;
      return { dtype: tensor.dtype, data, dims: tensor.dims } as T;
    },
    async write(target, elements) {
      if (isHere(target)) target.data.set(elements.data);
      else await write(target, elements);
    },
    view<T extends Tensor>(tensor: T, dims: readonly number[]): T {
      const other = resized<T>(tensor, dims);
      return isHere(tensor) ? other : (memory.view(tensor, dims) as T);
    },
    rows: (tensor, start, end) =>
      (isHere(tensor) ? cutRows(tensor, start, end) : memory.rows(tensor, start, end)) as typeof tensor,
    hold(tensor) {
      if (!held.has(tensor)) held.set(tensor, null);
      return tensor;
    },
    release(tensor) {
      if (!isHere(tensor)) memory.release(tensor);
    },
    tidy: pool.drain,
    memory: () => ({ bytes: pool.bytes, peak: pool.peak, use: memory.use() }),
    channelBlock: async () => null,
  };
}

// --- internal ---

const bytesOf = (tensors: readonly HostTensor[]): number => tensors.reduce((sum, { data }) => sum + data.byteLength, 0);

function there(tensor: Tensor): DeviceTensor {
  if (!isHere(tensor)) return tensor;
  throw new Error(`internal: a tensor [${tensor.dims}] of this process is used as if it were on a device`);
}
