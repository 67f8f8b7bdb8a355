/**
 * Named buffers that are kept from step to step: a name always gets the same memory, grown when a step needs more.
 * What a buffer holds is valid until the same name is asked for again.
 */
import { type FloatTensor, floats, sizeOf } from './tensor.ts';

export interface Workspace {
  /** A tensor of these sizes in the buffer of that name; its contents are whatever was left there. */
  get(name: string, ...dims: number[]): FloatTensor;
  /** Bytes that were asked for, by the largest tensor of each name; room that was never touched takes no memory. */
  readonly bytes: number;
}

export function createWorkspace(): Workspace {
  const buffers = new Map<string, { array: Float32Array; used: number }>();
  return {
    get(name, ...dims) {
      const size = sizeOf(dims);
      let buffer = buffers.get(name);
      if (buffer === undefined || buffer.array.length < size) {
        buffer = { array: new Float32Array(withRoom(size)), used: 0 };
        buffers.set(name, buffer);
      }
      buffer.used = Math.max(buffer.used, size);
      return floats(buffer.array.subarray(0, size), dims);
    },
    get bytes() {
      let total = 0;
      for (const { used } of buffers.values()) total += Float32Array.BYTES_PER_ELEMENT * used;
      return total;
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
