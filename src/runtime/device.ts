/**
 * A device: memory for tensors, and kernels that run graphs on them. `cpu.ts` and `webgpu.ts` are devices; everything above
 * this folder knows this interface alone. test/runtime/device_contract.ts is what a device must keep.
 */
import type { Graph, Port } from '../graph/graph.ts';
import type { Kernels } from '../graph/kernels.ts';
import { type ElementType, type FloatTensor, type HostTensor, type Tensor, zeros } from './tensor.ts';

export const DEVICES = ['cpu', 'webgpu'] as const;
export type DeviceName = (typeof DEVICES)[number];

/** What may be asked for: a device, or the faster one of those that work. */
export const DEVICE_CHOICES = [...DEVICES, 'auto'] as const;
export type DeviceChoice = (typeof DEVICE_CHOICES)[number];

export interface Device {
  readonly name: DeviceName;
  /** What graphs for it are written with. */
  readonly kernels: Kernels;
  /** Whether its memory is that of this process. Uploads and downloads then return the tensor itself. */
  readonly sharesMemory: boolean;
  /** Bytes of its largest tensor. */
  readonly largestTensor: number;
  /** Bytes that have been copied to it and from it. */
  readonly traffic: Traffic;
  /** Compiles a graph, in about 10 to 50 ms. Sizes stay symbolic, so one executable serves every length. */
  compile(graph: Graph): Promise<Executable>;
  /** A tensor of zeros in its memory. */
  allocate(dtype: ElementType, dims: readonly number[]): Promise<Tensor>;
  /**
   * A tensor in its memory with what was there before. Where that is memory of its own, it is taken when the tensor is first
   * used.
   *
   * @param name what it is for, in `memory`
   */
  reserve(dtype: ElementType, dims: readonly number[], name?: string): Tensor;
  /**
   * A tensor of other sizes in the memory of a reserved one, or in larger memory. Its elements are what was there before; the
   * reserved tensor and its views must not be used again.
   */
  reuse(tensor: Tensor, dims: readonly number[]): Tensor;
  /** The same elements in its memory. */
  upload(tensor: HostTensor): Promise<Tensor>;
  /** The same elements in this process's memory. */
  download<T extends HostTensor = FloatTensor>(tensor: Tensor): Promise<T>;
  /** Copies elements of this process over those of a tensor of the same type and sizes, wherever it lives. */
  write(target: Tensor, elements: HostTensor): Promise<void>;
  /** Sets all elements to zero. */
  clear(tensor: Tensor): Promise<void>;
  /** The same memory under other sizes. Released with the tensor that it was made of. */
  view<T extends Tensor>(tensor: T, dims: readonly number[]): T;
  /** Rows [start, end) along the first axis, in the same memory. */
  rows<T extends Tensor>(tensor: T, start: number, end: number): T;
  /**
   * Says that a tensor of this process will be fed many times with the same elements, as a frozen weight is. A device with its own
   * memory keeps a copy from the first run on; views of the same elements share it.
   */
  hold<T extends HostTensor>(tensor: T): T;
  /** Frees a tensor that it has allocated, reserved or uploaded, and its views; they must not be used again. */
  release(tensor: Tensor): void;
  /** Frees memory that it keeps for later tensors. */
  tidy(): void;
  /** Memory of its own; null where that is this process's memory. */
  memory(): MemoryInUse | null;
  /** Channels in a block of the kernels in graph/ops/blocked.ts; null: it has none. */
  channelBlock(): Promise<number | null>;
}

/** Bytes that tensors take, now and at most so far. */
export interface MemoryInUse {
  readonly bytes: number;
  readonly peak: number;
  /**
   * Bytes now, by what tensors are for: `held`, `uploaded`, `allocated`, or the name that they were reserved with. What is kept for
   * later tensors is in none of them.
   */
  readonly use: ReadonlyMap<string, number>;
}

export interface Traffic {
  readonly toDevice: number;
  readonly fromDevice: number;
}

/** Tensors by the names of a graph's inputs or outputs, wherever they live. */
export type Feeds = Readonly<Record<string, Tensor>>;

export interface Executable {
  readonly name: string;
  /** Inputs that must be fed, with symbolic sizes. */
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /**
   * Runs the graph once. `into` maps outputs to the tensors that receive them; other outputs come back in newly allocated
   * memory of this process. Tensors of this process are copied to the device and back where it has memory of its own.
   *
   * An output may be written into the buffer of an input (accumulators add in place this way), provided that no node
   * reads the input after the node that computes the output. Several outputs may share one buffer, provided that every reader of
   * an earlier output runs before the node that computes the next one.
   *
   * @param want outputs to compute; default: all
   * @returns the outputs that are in this process's memory
   */
  run<Name extends string>(feeds: Feeds, into?: Feeds, want?: readonly Name[]): Promise<Record<Name, HostTensor>>;
  release(): Promise<void>;
}

/** Whether a tensor lives in the memory of this process, where its elements can be read. */
export const isHere = (tensor: Tensor): tensor is HostTensor => 'data' in tensor;

/** A tensor that must be in this process's memory, e.g. because a device that shares it has returned it. */
export function here<T extends HostTensor = FloatTensor>(tensor: Tensor): T {
  if (isHere(tensor)) return tensor as T;
  throw new Error(
    `internal: a tensor [${tensor.dims}] on ${tensor.device} is read as if it were in this process's memory`,
  );
}

/** Has the elements of a tensor written by `set`: in place where they are in this process's memory, else by way of a copy. */
export async function fill(device: Device, tensor: Tensor, set: (elements: Float32Array) => void): Promise<void> {
  if (isHere(tensor)) {
    set(here(tensor).data);
    return;
  }
  const copy = zeros(...tensor.dims);
  set(copy.data);
  await device.write(tensor, copy);
}
