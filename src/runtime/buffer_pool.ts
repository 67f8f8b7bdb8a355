/**
 * Memory of a graphics processor in buffers that are used again. Knows sizes, not tensors.
 */
import { explainDeviceMemory, outOfDeviceMemory, tooLargeTensor } from './out_of_memory.ts';
import type { OrtTensor } from './session.ts';

/** A tensor of float32 [words] that is nothing but memory. */
export interface Buffer {
  readonly own: OrtTensor;
  readonly bytes: number;
}

export interface BufferPool {
  /**
   * A buffer of at least so many bytes, with what an earlier use has left in it.
   *
   * Error: E_DEVICE_MEMORY.
   *
   * @param exact no larger than kernels need: for what keeps its size
   */
  take(bytes: number, exact?: boolean): Promise<Buffer>;
  /** Takes a buffer back. Work that has been issued on it is done before that of its next user. */
  give(buffer: Buffer): void;
  /** Frees what is in the pool. Returns whether there was anything. */
  drain(): boolean;
  /** Of all buffers, in use and in the pool: bytes now, and at most so far. */
  readonly bytes: number;
  readonly peak: number;
  /** Most bytes of one buffer. */
  readonly largest: number;
}

export interface MostBytes {
  readonly all?: number | undefined;
  readonly one?: number | undefined;
}

/**
 * @param allocate a tensor of so many float32
 * @param most bytes of all buffers, and of one
 */
export function createBufferPool(
  allocate: (words: number) => Promise<OrtTensor>,
  { all = Number.POSITIVE_INFINITY, one = Number.POSITIVE_INFINITY }: MostBytes = {},
): BufferPool {
  const free = new Map<number, Buffer[]>();
  let [bytes, peak] = [0, 0];
  const drain = (): boolean => {
    const buffers = [...free.values()].flat();
    for (const buffer of buffers) {
      buffer.own.dispose();
      bytes -= buffer.bytes;
    }
    free.clear();
    return buffers.length > 0;
  };
  async function allocated(size: number): Promise<OrtTensor> {
    const asked = { what: 'memory for a tensor', bytes: size, held: bytes };
    if (size > one) throw tooLargeTensor(one, asked);
    if (bytes + size > all) throw outOfDeviceMemory(asked);
    return allocate(size / 4).catch((error: unknown) => {
      throw explainDeviceMemory(error, asked);
    });
  }
  const bytesFree = (): number => [...free].reduce((sum, [size, { length }]) => sum + size * length, 0);
  async function made(size: number): Promise<Buffer> {
    if (bytesFree() > MOST_FREE * bytes) drain();
    // Buffers of other sizes make room for this one.
    const own = await allocated(size).catch((error: unknown) => {
      if (!drain()) throw error;
      return allocated(size);
    });
    bytes += size;
    peak = Math.max(peak, bytes);
    return { own, bytes: size };
  }
  return {
    async take(wanted, exact = false) {
      const size = exact || sizeClass(wanted) > one ? wholeVectors(wanted) : sizeClass(wanted);
      return free.get(size)?.pop() ?? made(size);
    },
    give(buffer) {
      const same = free.get(buffer.bytes) ?? [];
      free.set(buffer.bytes, same);
      same.push(buffer);
    },
    drain,
    largest: one,
    get bytes() {
      return bytes;
    },
    get peak() {
      return peak;
    },
  };
}

/** Sizes of buffers: eight to an octave, so that at most an eighth of one is unused. */
export function sizeClass(bytes: number): number {
  const step = Math.max(VECTOR, 2 ** (Math.floor(Math.log2(Math.max(1, bytes))) - 3));
  return Math.max(VECTOR, Math.ceil(bytes / step) * step);
}

// --- internal ---

/** Share of the memory that may be kept for later while more is taken. */
const MOST_FREE = 1 / 16;

/** Kernels write vectors of four words, past the end of a tensor that has no multiple of four. */
const VECTOR = 16;

const wholeVectors = (bytes: number): number => Math.max(VECTOR, Math.ceil(bytes / VECTOR) * VECTOR);
