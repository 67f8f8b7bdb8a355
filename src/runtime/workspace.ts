/**
 * Named buffers that are kept from step to step: a name always gets the same memory, grown when a step needs more.
 * What a buffer holds is valid until the same name is asked for again.
 */
import { type FloatTensor, floats, sizeOf } from './tensor.ts';

export interface Workspace {
  /** A tensor of these sizes in the buffer of that name; its contents are whatever was left there. */
  get(name: string, ...dims: number[]): FloatTensor;
}

export function createWorkspace(): Workspace {
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
  };
}

// --- internal ---

/**
 * The next of four sizes per octave: a buffer that has to grow leaves its old memory to the garbage collector, so steps
 * that are a little longer than those before should find room. Pages that nobody touches cost nothing.
 */
function withRoom(size: number): number {
  const step = 2 ** Math.max(0, Math.floor(Math.log2(Math.max(1, size))) - 2);
  return Math.ceil(size / step) * step;
}
