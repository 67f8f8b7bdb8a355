/**
 * The only importer of ONNX Runtime: compiles a graph to a session of one of its providers and runs it on tensors.
 * Tensors of this process are passed without a copy, and outputs are written directly into buffers that the caller provides.
 * Which provider, and what lives where, is up to the devices (`cpu.ts`, `webgpu.ts`).
 */
import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { messageOf, SightlineError } from '../errors.ts';
import type { OnnxNode } from '../graph/emitter.ts';
import { type Graph, type LoweredGraph, lower } from '../graph/graph.ts';
import type { Kernels } from '../graph/kernels.ts';
import { largestValue, namedSizes, workingBytes } from '../graph/working_set.ts';
import { writeModel } from '../onnx/write.ts';
import { type Executable, type Feeds, here, isHere } from './device.ts';
import { explainDeviceMemory, tooLargeTensor } from './out_of_memory.ts';
import { floats, type HostTensor, ints, type Tensor } from './tensor.ts';

export type { InferenceSession, OrtTensor };
export type Ort = typeof import('onnxruntime-node');

/** How a device has its graphs compiled, and what runs are given for its tensors. */
export interface SessionPlan {
  readonly kernels: Kernels;
  /** Options on top of those of every session. */
  readonly options?: InferenceSession.SessionOptions;
  /** Default: all tensors are in this process's memory. */
  readonly bind?: (run: Run) => Promise<BoundRun>;
  /** Memory of the device's own; absent: it has none. */
  readonly room?: Room;
  /** What compiles nodes; default: the library. */
  readonly create?: (lowered: LoweredGraph, options?: InferenceSession.SessionOptions) => Promise<SessionOfNodes>;
}

/** Compiled nodes, as the library runs them. */
export type SessionOfNodes = Pick<InferenceSession, 'run' | 'release'>;

/** Memory that a device has taken. */
export interface Room {
  readonly bytes: number;
  /** Bytes of its largest tensor. */
  readonly largest: number;
  /** Frees what is kept for later. Returns whether there was anything. */
  drain(): boolean;
}

/** Tensors of one run, by the names of inputs and outputs. */
export interface Run {
  readonly feeds: Feeds;
  readonly into: Feeds;
  /** Outputs that only change some slices of an input, and that input. */
  readonly inPlace: Readonly<Record<string, string>>;
}

export interface BoundRun {
  readonly feeds: Readonly<Record<string, OrtTensor>>;
  readonly fetches: Readonly<Record<string, OrtTensor>>;
  /** Called once the run has been issued, with the results that are in this process's memory. */
  settle(results: readonly HostTensor[]): Promise<void>;
}

/** Compiles a graph for a device. */
export async function openSession(graph: Graph, plan: SessionPlan): Promise<Executable> {
  const lowered = lower(graph, plan.kernels);
  const ort = await loadOrt();
  const session = await (plan.create ?? createSession)(lowered, plan.options);
  const outputNames = new Set(lowered.outputs.map((output) => output.name));
  const inPlace = slicesPutInto(lowered);
  const bind = plan.bind ?? ((run) => boundHere(ort, run));
  const checked = new Set<string>();
  /** Some drivers go on with wrong numbers where a value is too large for a buffer. Error: E_DEVICE_MEMORY. */
  const checkValues = (feeds: Feeds): void => {
    if (plan.room === undefined || plan.room.largest === Number.POSITIVE_INFINITY) return;
    const sizes = namedSizes(lowered.inputs, (name) => feeds[name]!.dims);
    const key = [...sizes.values()].join();
    if (checked.has(key)) return;
    const value = largestValue(lowered, sizes);
    if (value.bytes > plan.room.largest) {
      const what = `a value [${value.dims}] of ${lowered.name}`;
      throw tooLargeTensor(plan.room.largest, { what, bytes: value.bytes, held: plan.room.bytes });
    }
    checked.add(key);
  };
  /** An error of a run for users, if the device has no memory for it; else null. */
  const explained = (error: unknown, feeds: Feeds): SightlineError | null => {
    if (plan.room === undefined) return null;
    const sizes = namedSizes(lowered.inputs, (name) => feeds[name]!.dims);
    const asked = { what: `a run of ${lowered.name}`, bytes: workingBytes(lowered, sizes), held: plan.room.bytes };
    const told = explainDeviceMemory(error, asked);
    return told instanceof SightlineError ? told : null;
  };
  return {
    name: lowered.name,
    inputs: lowered.inputs,
    outputs: lowered.outputs,
    release: () => session.release(),
    async run<Name extends string>(given: Feeds, targets: Feeds = {}, want?: readonly Name[]) {
      const feeds: Record<string, Tensor> = {};
      for (const { name } of lowered.inputs) {
        const tensor = given[name];
        if (tensor === undefined) throw new Error(`internal: graph ${lowered.name}: input '${name}' is not fed`);
        feeds[name] = tensor;
      }
      for (const name of [...Object.keys(targets), ...(want ?? [])]) {
        if (!outputNames.has(name)) throw new Error(`internal: graph ${lowered.name} has no output '${name}'`);
      }
      const names = [...(want ?? outputNames)];
      const into: Record<string, Tensor> = {};
      for (const name of names) if (targets[name] !== undefined) into[name] = targets[name];
      checkValues(feeds);
      const bound = await bind({ feeds, into, inPlace });
      const fetches: Record<string, OrtTensor | null> = {};
      for (const name of names) fetches[name] = bound.fetches[name] ?? null;
      const avoidsCopies = shouldAvoidCopies(names, into);
      if (avoidsCopies) fetches[END_MARK] = null;
      const issue = () =>
        session.run(bound.feeds, fetches).catch((error: unknown) => {
          const message = messageOf(error);
          if (avoidsCopies && message.includes(STOPPED_AT_MARK)) return null; // every output is in its buffer by now
          throw explained(error, feeds) ?? new Error(`internal: graph ${lowered.name}: ${message}`, { cause: error });
        });
      const results = await issue().catch((error: unknown) => {
        // No kernel writes what it reads, so a run that was cut short may be issued again.
        if (error instanceof SightlineError && plan.room?.drain() === true) return issue();
        throw error;
      });
      const outputs: Record<string, HostTensor> = {};
      for (const name of names) {
        const target = into[name];
        if (target === undefined) outputs[name] = fromOrt(results![name]!);
        else if (isHere(target)) outputs[name] = target;
      }
      await bound.settle(Object.values(outputs));
      return outputs as Record<Name, HostTensor>;
    },
  };
}

/** Name and version of the library that computes, for reports. */
export async function runtimeVersion(): Promise<string> {
  const ort = await loadOrt();
  return `onnxruntime-node ${ort.env.versions.node ?? 'unknown'}`;
}

/**
 * Marks a tensor object that will be fed many times, such as a weight: its ONNX Runtime wrapper is kept as long as it lives. Tensors of
 * a device have theirs with the device.
 */
export function pin<T extends Tensor>(tensor: T): T {
  if (isHere(tensor)) wrappers.set(tensor, null);
  return tensor;
}

let loaded: Promise<Ort> | undefined;

/** Loads the library on first use: loading takes 100 ms, and `--help` does not need it. */
export function loadOrt(): Promise<Ort> {
  // ONNX Runtime 1.30 sends telemetry about the machine and its runs, unless this is set when the library is loaded
  // (onnxruntime/core/platform/posix/telemetry.cc). Nothing about a run may leave the machine.
  process.env.ORT_DISABLE_TELEMETRY = '1';
  loaded ??= import('onnxruntime-node').then((ort) => {
    ort.env.logLevel = 'fatal'; // what is not about one session, such as a device without memory, fails a run as well
    return ort;
  });
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
  const known = wrappers.get(tensor);
  if (known != null) return known;
  const made = wrap(ort, tensor);
  if (known === null) wrappers.set(tensor, made);
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

/** The run's tensors, all of which are in this process's memory. */
async function boundHere(ort: Ort, { feeds, into }: Run): Promise<BoundRun> {
  const wrapped = (tensors: Feeds): Record<string, OrtTensor> => {
    const all: Record<string, OrtTensor> = {};
    for (const name in tensors) all[name] = toOrt(ort, here<HostTensor>(tensors[name]!));
    return all;
  };
  return { feeds: wrapped(feeds), fetches: wrapped(into), settle: async () => undefined };
}

/** Outputs that are an input with some slices or rows replaced (graph/ops/gather.ts), one or several times, and that input. */
function slicesPutInto({ nodes, inputs, outputs }: LoweredGraph): Record<string, string> {
  const isInput = new Set(inputs.map(({ name }) => name));
  const changed = new Map(nodes.filter(replacesParts).map((node) => [node.outputs[0]!, node.inputs[0]!]));
  const found: Record<string, string> = {};
  for (const { name } of outputs) {
    let source = name;
    while (changed.has(source)) source = changed.get(source)!;
    if (source !== name && isInput.has(source)) found[name] = source;
  }
  return found;
}

const replacesParts = ({ opType, attributes }: OnnxNode): boolean =>
  opType === 'ScatterND' || (opType === 'ScatterElements' && attributes.reduction === undefined);

/** Wrappers of pinned tensors (see `pin`); null until the tensor is first fed. */
const wrappers = new WeakMap<HostTensor, OrtTensor | null>();

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
