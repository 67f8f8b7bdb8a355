/**
 * A graphics processor as a device, through the WebGPU provider of ONNX Runtime (Vulkan, Metal or Direct3D 12). Its memory is
 * its own: tensors move by `upload` and `download`, or with a run that is given tensors of this process.
 */
import { ALL_KERNELS, type Kernels } from '../graph/kernels.ts';
import { type Device, isHere } from './device.ts';
import { createMoves } from './moves.ts';
import { loadOrt, type OrtTensor, openSession, type SessionPlan } from './session.ts';
import { type DeviceTensor, type ElementType, type HostTensor, resized, type Tensor } from './tensor.ts';

export const WEBGPU = 'webgpu';

/** Without these, ONNX Runtime 1.30 computes on the CPU what needs them. WGSL, the kernels' language, has no float64. */
const KERNELS: Kernels = { ...ALL_KERNELS, fusedMatMul: false, logSoftmax: false, int64: false, float64: false };

export interface WebgpuOptions {
  /** Whether the adapter computes with float16 (`findAdapter`); default false. */
  readonly float16?: boolean;
  /** Beginning of the paths of files to which sessions write what each node ran on, for tests. */
  readonly profile?: string | undefined;
}

/** The library's tensor over a tensor's memory; of a view also the one that it was made of, which keeps the memory. */
interface Behind {
  readonly own: OrtTensor;
  readonly of?: OrtTensor;
}

/** Elements of this process that are copied to the device. */
interface Copy {
  readonly own: OrtTensor;
  readonly revision: number;
}

/** A tensor of this process that is held; `of` null: it has not been fed yet. */
interface Held {
  readonly revision: () => number;
  of: (Behind & { readonly revision: number }) | null;
}

/** The adapter that ONNX Runtime takes. Errors come with the first call that runs or allocates; `findAdapter` checks it before. */
export async function openWebgpu({ float16 = false, profile }: WebgpuOptions = {}): Promise<Device> {
  const kernels: Kernels = { ...KERNELS, float16 };
  const ort = await loadOrt();
  const behind = new WeakMap<DeviceTensor, Behind>();
  const held = new WeakMap<HostTensor, Held>();
  /** Copies of held elements, by their buffer and their place in it. */
  const copies = new WeakMap<ArrayBufferLike, Map<string, Copy>>();
  const traffic = { toDevice: 0, fromDevice: 0 };
  const options: SessionPlan['options'] = { executionProviders: [WEBGPU] };
  const moves = createMoves(options);

  const ownOf = (tensor: DeviceTensor): OrtTensor => {
    const known = behind.get(tensor);
    if (known === undefined) throw new Error(`internal: a tensor [${tensor.dims}] of another device, or released`);
    return known.own;
  };
  const adopt = (own: OrtTensor, dtype: ElementType, dims: readonly number[]): DeviceTensor => {
    const adopted: DeviceTensor = { dtype, dims, device: WEBGPU };
    behind.set(adopted, { own });
    return adopted;
  };
  const under = (of: OrtTensor, dataType: ElementType, dims: readonly number[]): Behind => ({
    own: ort.Tensor.fromGpuBuffer(of.gpuBuffer, { dataType, dims }),
    of,
  });
  const renewed = async (copy: OrtTensor, tensor: HostTensor): Promise<OrtTensor> => {
    traffic.toDevice += tensor.data.byteLength;
    await moves.into(under(copy, tensor.dtype, tensor.dims).own, tensor);
    return copy;
  };
  const up = (tensor: HostTensor): Promise<OrtTensor> => {
    traffic.toDevice += tensor.data.byteLength;
    return moves.up(tensor);
  };
  /** The copy of a tensor's elements, as they are at this revision. */
  async function copyOf(tensor: HostTensor, revision: number): Promise<OrtTensor> {
    const { buffer, byteOffset, byteLength } = tensor.data;
    const ofBuffer = copies.get(buffer) ?? new Map<string, Copy>();
    copies.set(buffer, ofBuffer);
    const place = `${byteOffset} ${byteLength}`;
    const known = ofBuffer.get(place);
    if (known?.revision === revision) return known.own;
    const own = await (known === undefined ? up(tensor) : renewed(known.own, tensor));
    ofBuffer.set(place, { own, revision });
    return own;
  }
  const plan: SessionPlan = {
    kernels,
    options: profile === undefined ? options : { ...options, enableProfiling: true, profileFilePrefix: profile },
    behind: (tensor) => (isHere(tensor) ? (held.get(tensor)?.of?.own ?? null) : ownOf(tensor)),
    async beforeRun(feeds) {
      for (const tensor of feeds) {
        const known = isHere(tensor) ? held.get(tensor) : undefined;
        if (known === undefined) continue;
        const revision = known.revision();
        if (known.of?.revision === revision) continue;
        const of = await copyOf(tensor as HostTensor, revision);
        known.of = { revision, ...under(of, tensor.dtype, tensor.dims) };
      }
    },
    afterRun(to, from) {
      traffic.toDevice += bytesOf(to);
      traffic.fromDevice += bytesOf(from);
    },
  };

  return {
    name: WEBGPU,
    kernels,
    sharesMemory: false,
    traffic,
    compile: (graph) => openSession(graph, plan),
    allocate: async (dtype, dims) => adopt(await moves.zeros(dtype, dims), dtype, dims),
    upload: async (tensor) => adopt(await up(tensor), tensor.dtype, tensor.dims),
    async download(tensor) {
      if (isHere(tensor)) return tensor;
      const { data } = (await moves.down(ownOf(tensor), tensor.dtype)) as { data: HostTensor['data'] };
      traffic.fromDevice += data.byteLength;
      return { dtype: tensor.dtype, data, dims: tensor.dims } as HostTensor;
    },
    view<T extends Tensor>(tensor: T, dims: readonly number[]): T {
      const other = resized<T>(tensor, dims);
      if (!isHere(tensor) && !isHere(other)) behind.set(other, under(ownOf(tensor), tensor.dtype, dims));
      return other;
    },
    hold(tensor, revision = () => 0) {
      if (!held.has(tensor)) held.set(tensor, { revision, of: null });
      return tensor;
    },
    release(tensor) {
      if (isHere(tensor)) return;
      ownOf(tensor).dispose();
      behind.delete(tensor);
    },
    channelBlock: async () => null,
  };
}

// --- internal ---

const bytesOf = (tensors: readonly HostTensor[]): number => tensors.reduce((sum, { data }) => sum + data.byteLength, 0);
