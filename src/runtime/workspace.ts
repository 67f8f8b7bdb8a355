/**
 * Named buffers that are kept from step to step: a name always gets the same memory, grown when a step needs more.
 * What a buffer holds is valid until the same name is asked for again.
 */
import { type FloatTensor, floats, sizeOf } from './tensor.ts';

export interface Workspace {
  /** A tensor of these sizes in the buffer of that name; its contents are whatever was left there. */
  get(name: string, ...dims: number[]): FloatTensor;
  /** Bytes held. */
  readonly bytes: number;
}

const GROWTH = 9 / 8;

export function createWorkspace(): Workspace {
  const buffers = new Map<string, Float32Array>();
  return {
    get(name, ...dims) {
      const size = sizeOf(dims);
      let buffer = buffers.get(name);
      if (buffer === undefined || buffer.length < size) {
        // A buffer that has grown once may grow again: some room keeps it from leaving one behind at every longer step.
        buffer = new Float32Array(buffer === undefined ? size : Math.max(size, Math.ceil(GROWTH * buffer.length)));
        buffers.set(name, buffer);
      }
      return floats(buffer.subarray(0, size), dims);
    },
    get bytes() {
      let total = 0;
      for (const buffer of buffers.values()) total += buffer.byteLength;
      return total;
    },
  };
}
