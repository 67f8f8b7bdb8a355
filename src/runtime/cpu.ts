/**
 * The CPU as a device. Its memory is this process's memory, so tensors never move.
 */
import { ALL_KERNELS } from '../graph/kernels.ts';
import { measureChannelBlock } from './channel_block.ts';
import { type Device, here } from './device.ts';
import { openSession, pin } from './session.ts';
import { rows as cutRows, emptyTensor, type HostTensor, resized } from './tensor.ts';

export const cpu: Device = {
  name: 'cpu',
  kernels: ALL_KERNELS,
  sharesMemory: true,
  largestTensor: Number.POSITIVE_INFINITY,
  traffic: { toDevice: 0, fromDevice: 0 },
  compile: (graph) => openSession(graph, { kernels: ALL_KERNELS }),
  allocate: async (dtype, dims) => emptyTensor(dtype, dims),
  reserve: (dtype, dims) => emptyTensor(dtype, dims),
  reuse: (tensor, dims) => emptyTensor(tensor.dtype, dims),
  clear: async (tensor) => void here<HostTensor>(tensor).data.fill(0),
  upload: async (tensor) => tensor,
  download: async (tensor) => here(tensor),
  write: async (target, { data }) => here<HostTensor>(target).data.set(data),
  view: (tensor, dims) => resized(tensor, dims),
  rows: (tensor, start, end) => cutRows(here<HostTensor>(tensor), start, end) as typeof tensor,
  hold: (tensor) => pin(tensor),
  tidy: () => undefined,
  memory: () => null,
  release: () => undefined, // the garbage collector frees what is no longer used
  channelBlock: () => {
    known ??= measureChannelBlock(cpu.compile);
    return known;
  },
};

// --- internal ---

let known: Promise<number | null> | undefined;
