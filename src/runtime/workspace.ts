/**
 * Named buffers that are reused from step to step: a name always gets the same memory, which grows when a step needs more.
 * The contents of a buffer are valid until the same name is requested again.
 */
import type { Device } from './device.ts';
import { type FloatTensor, floats, sizeOf, type Tensor } from './tensor.ts';

export interface Workspace {
  /** A tensor of these sizes in the buffer of that name. Its contents are left over from earlier use. */
  get(name: string, ...dims: number[]): Tensor;
  /** Elements of this process in the device's memory, in the buffer of that name; where memory is shared, the tensor itself. */
  upload(name: string, tensor: FloatTensor): Promise<Tensor>;
}

/** In the memory of this process. */
export interface HostWorkspace extends Workspace {
  get(name: string, ...dims: number[]): FloatTensor;
}

/** In the memory of a device. */
export function createWorkspace(device: Device): Workspace {
  if (device.sharesMemory) return createHostWorkspace();
  const tensors = new Map<string, Tensor>();
  const get: Workspace['get'] = (name, ...dims) => {
    const known = tensors.get(name);
    const tensor = known === undefined ? device.reserve('float32', dims, name) : device.reuse(known, dims);
    tensors.set(name, tensor);
    return tensor;
  };
  return {
    get,
    async upload(name, tensor) {
      const there = get(name, ...tensor.dims);
      await device.write(there, tensor);
      return there;
    },
  };
}

export function createHostWorkspace(): HostWorkspace {
  const buffers = new Map<string, Float32Array>();
  return {
    get(name, ...dims) {
      const size = sizeOf(dims);
      let buffer = buffers.get(name);
      if (buffer === undefined || buffer.length < size) {
        buffer = new Float32Array(withRoom(size));
        buffers.set(name, buffer);
      }
      return floats(buffer.subarray(0, size), dims);
    },
    upload: async (_, tensor) => tensor,
  };
}

// --- internal ---

/**
 * Rounds a size up to one of four per octave. Growing a buffer leaves its old memory to the garbage collector, so a step
 * slightly longer than earlier ones should still fit. Untouched pages cost nothing.
 */
function withRoom(size: number): number {
  const step = 2 ** Math.max(0, Math.floor(Math.log2(Math.max(1, size))) - 2);
  return Math.ceil(size / step) * step;
}
