/**
 * The only importer of ONNX Runtime: compiles a graph to a session of one of its providers and runs it on tensors.
 * Tensors of this process are passed without a copy, and outputs are written directly into buffers that the caller provides.
 * Which provider, and what lives where, is up to the devices (`cpu.ts`, `webgpu.ts`).
 */
import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { messageOf } from '../errors.ts';
import { type Graph, type LoweredGraph, lower } from '../graph/graph.ts';
import type { Kernels } from '../graph/kernels.ts';
import { writeModel } from '../onnx/write.ts';
import { type Executable, type Feeds, here, isHere } from './device.ts';
import { floats, type HostTensor, ints, type Tensor } from './tensor.ts';

export type { InferenceSession, OrtTensor };
export type Ort = typeof import('onnxruntime-node');

/** How a device has its graphs compiled, and what it is told of their runs. */
export interface SessionPlan {
  readonly kernels: Kernels;
  /** Options on top of those of every session. */
  readonly options?: InferenceSession.SessionOptions;
  /** The library's tensor for what the device has in its own memory; null for what is in this process's alone. */
  readonly behind?: (tensor: Tensor) => OrtTensor | null;
  /** Called before a run with what is fed. */
  readonly beforeRun?: (feeds: readonly Tensor[]) => Promise<void>;
  /** Called after a run with the tensors that it has copied to the device and from it. */
  readonly afterRun?: (to: readonly HostTensor[], from: readonly HostTensor[]) => void;
}

/** Compiles a graph for a device. */
export async function openSession(graph: Graph, plan: SessionPlan): Promise<Executable> {
  const lowered = lower(graph, plan.kernels);
  const ort = await loadOrt();
  const session = await createSession(lowered, plan.options);
  const outputNames = new Set(lowered.outputs.map((output) => output.name));
  const behind = plan.behind ?? (() => null);
  const wrapped = (tensor: Tensor): OrtTensor => behind(tensor) ?? toOrt(ort, here<HostTensor>(tensor));
  return {
    name: lowered.name,
    inputs: lowered.inputs,
    outputs: lowered.outputs,
    release: () => session.release(),
    async run<Name extends string>(feeds: Feeds, into: Feeds = {}, want?: readonly Name[]) {
      if (plan.beforeRun !== undefined) await plan.beforeRun(Object.values(feeds));
      const ortFeeds: Record<string, OrtTensor> = {};
      for (const { name } of lowered.inputs) {
        const tensor = feeds[name];
        if (tensor === undefined) throw new Error(`internal: graph ${lowered.name}: input '${name}' is not fed`);
        ortFeeds[name] = wrapped(tensor);
      }
      const fetches: Record<string, OrtTensor | null> = {};
      for (const name of [...Object.keys(into), ...(want ?? [])]) {
        if (!outputNames.has(name)) throw new Error(`internal: graph ${lowered.name} has no output '${name}'`);
      }
      for (const name of want ?? outputNames) {
        const target = into[name];
        fetches[name] = target === undefined ? null : wrapped(target);
      }
      const names = Object.keys(fetches);
      const inPlace = shouldAvoidCopies(names, into);
      if (inPlace) fetches[END_MARK] = null;
      const results = await session.run(ortFeeds, fetches).catch((error: unknown) => {
        const message = messageOf(error);
        if (inPlace && message.includes(STOPPED_AT_MARK)) return null; // every output is in its buffer by now
        throw new Error(`internal: graph ${lowered.name}: ${message}`, { cause: error });
      });
      const outputs: Record<string, HostTensor> = {};
      for (const name of names) {
        const target = into[name];
        if (target === undefined) outputs[name] = fromOrt(results![name]!);
        else if (isHere(target)) outputs[name] = target;
      }
      if (plan.afterRun !== undefined) {
        const copied = lowered.inputs.map(({ name }) => feeds[name]!).filter((tensor) => behind(tensor) === null);
        plan.afterRun(copied.filter(isHere), Object.values(outputs));
      }
      return outputs as Record<Name, HostTensor>;
    },
  };
}

/** Name and version of the library that computes, for reports. */
export async function runtimeVersion(): Promise<string> {
  const ort = await loadOrt();
  return `onnxruntime-node ${ort.env.versions.node ?? 'unknown'}`;
}

/** Marks a tensor object that will be fed many times, such as a weight: its ONNX Runtime wrapper is kept as long as it lives. */
export function pin<T extends HostTensor>(tensor: T): T {
  pinned.set(tensor, null);
  return tensor;
}

let loaded: Promise<Ort> | undefined;

/** Loads the library on first use: loading takes 100 ms, and `--help` does not need it. */
export function loadOrt(): Promise<Ort> {
  // ONNX Runtime 1.30 sends telemetry about the machine and its runs, unless this is set when the library is loaded
  // (onnxruntime/core/platform/posix/telemetry.cc). Nothing about a run may leave the machine.
  process.env.ORT_DISABLE_TELEMETRY = '1';
  loaded ??= import('onnxruntime-node');
  return loaded;
}

/** A session of nodes. @param options on top of those of every session */
export async function createSession(
  lowered: LoweredGraph,
  options: InferenceSession.SessionOptions = {},
): Promise<InferenceSession> {
  const ort = await loadOrt();
  try {
    return await ort.InferenceSession.create(writeModel(lowered, END_MARK), {
      graphOptimizationLevel: 'all',
      executionMode: 'sequential',
      enableMemPattern: false, // patterns are planned per shape, and our shapes change with every run
      logSeverityLevel: 4, // failures are thrown; the library would print them as well
      extra: {
        session: {
          force_spinning_stop: '1', // an idle session must not spin beside the one that runs
          // Some processors are much slower on numbers below 1.2e-38, which softmax yields for nearly impossible tokens
          // (docs/log.md).
          set_denormal_as_zero: '1',
        },
      },
      ...options,
    });
  } catch (error) {
    throw new Error(`internal: graph ${lowered.name} does not compile: ${String(error)}`, { cause: error });
  }
}

/** The library's tensor over the memory of one of ours. */
export function toOrt(ort: Ort, tensor: HostTensor): OrtTensor {
  const known = pinned.get(tensor);
  if (known != null) return known;
  const made = wrap(ort, tensor);
  if (known === null) pinned.set(tensor, made);
  return made;
}

// --- internal ---

/**
 * After a run, onnxruntime-node 1.30 copies every output into a new ArrayBuffer, even an output that was written into a
 * buffer of ours (js/node/src/tensor_helper.cc, OrtValueToNapiValue). That costs allocation, page faults and garbage as
 * large as all results. The library copies in the order of outputs and throws at the first output that is not a tensor.
 * Every model therefore has an empty sequence as its first output, and a run that needs no copies asks for it: all kernels
 * have run by then, and the exception ends the copying before it begins.
 */
const END_MARK = 'all written';
const STOPPED_AT_MARK = 'Non tensor type is temporarily not supported';
/** From this many bytes on, the exception (some 10 µs) is cheaper than the copies. */
const WORTH_BYTES = 2 ** 17;

/** Whether every output has a buffer, and those in this process's memory are large enough together. */
function shouldAvoidCopies(names: readonly string[], into: Feeds): boolean {
  let bytes = 0;
  for (const name of names) {
    const target = into[name];
    if (target === undefined) return false;
    if (isHere(target)) bytes += target.data.byteLength;
  }
  return bytes >= WORTH_BYTES;
}

/** Wrappers of pinned tensors (see `pin`); null until the tensor is first fed. */
const pinned = new WeakMap<HostTensor, OrtTensor | null>();

function wrap(ort: Ort, tensor: HostTensor): OrtTensor {
  if (tensor.dtype === 'float32') return new ort.Tensor('float32', tensor.data, tensor.dims);
  if (tensor.dtype === 'int32') return new ort.Tensor('int32', tensor.data, tensor.dims);
  if (tensor.dtype === 'uint8') return new ort.Tensor('uint8', tensor.data, tensor.dims);
  return new ort.Tensor('float16', tensor.data, tensor.dims);
}

function fromOrt(tensor: OrtTensor): HostTensor {
  if (tensor.type === 'float32') return floats(tensor.data as Float32Array, tensor.dims);
  if (tensor.type === 'int32') return ints(tensor.data as Int32Array, tensor.dims);
  throw new Error(`internal: output of type ${tensor.type}`);
}
