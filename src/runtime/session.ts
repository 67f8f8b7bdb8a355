/**
 * The only importer of ONNX Runtime: compiles a graph to a session and runs it on typed arrays.
 * Inputs are passed without a copy; outputs are written directly into buffers that the caller provides.
 */
import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { messageOf } from '../errors.ts';
import { type Graph, type LoweredGraph, lower, type Port } from '../graph/graph.ts';
import { writeModel } from '../onnx/write.ts';
import { floats, ints, type Tensor } from './tensor.ts';

type Ort = typeof import('onnxruntime-node');

export interface RuntimeOptions {
  /** Threads that one kernel may use; default: ONNX Runtime's choice, one per physical core. */
  readonly threads?: number;
}

export interface Executable {
  readonly name: string;
  /** Inputs that must be fed, with symbolic sizes. */
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /**
   * Runs the graph once. `into` maps outputs to the tensors whose buffers receive them; other outputs come back in newly
   * allocated memory.
   *
   * An output may be written into the buffer of an input (accumulators add in place this way), provided that no node
   * reads the input after the node that computes the output. Several outputs may share one buffer, provided that every
   * reader of an earlier output runs before the node that computes the next one.
   *
   * @param want outputs to compute; default: all
   */
  run<Name extends string>(
    feeds: Feeds,
    into?: Readonly<Record<string, Tensor>>,
    want?: readonly Name[],
  ): Promise<Record<Name, Tensor>>;
  release(): Promise<void>;
}

export type Feeds = Readonly<Record<string, Tensor>>;

/** Compiles a graph, in about 10 to 50 ms. Sizes stay symbolic, so one executable serves every length. */
export async function compile(graph: Graph, options: RuntimeOptions = {}): Promise<Executable> {
  const lowered = lower(graph);
  const ort = await loadOrt();
  const session = await createSession(ort, lowered, options);
  const outputNames = new Set(lowered.outputs.map((output) => output.name));
  return {
    name: graph.name,
    inputs: lowered.inputs,
    outputs: lowered.outputs,
    release: () => session.release(),
    async run<Name extends string>(feeds: Feeds, into: Readonly<Record<string, Tensor>> = {}, want?: readonly Name[]) {
      const ortFeeds: Record<string, OrtTensor> = {};
      for (const { name } of lowered.inputs) {
        const tensor = feeds[name];
        if (tensor === undefined) throw new Error(`internal: graph ${graph.name}: input '${name}' is not fed`);
        ortFeeds[name] = toOrt(ort, tensor);
      }
      const fetches: Record<string, OrtTensor | null> = {};
      for (const name of [...Object.keys(into), ...(want ?? [])]) {
        if (!outputNames.has(name)) throw new Error(`internal: graph ${graph.name} has no output '${name}'`);
      }
      for (const name of want ?? outputNames) {
        const target = into[name];
        fetches[name] = target === undefined ? null : toOrt(ort, target);
      }
      const names = Object.keys(fetches);
      const inPlace = shouldAvoidCopies(names, into);
      if (inPlace) fetches[END_MARK] = null;
      const results = await session.run(ortFeeds, fetches).catch((error: unknown) => {
        const message = messageOf(error);
        if (inPlace && message.includes(STOPPED_AT_MARK)) return null; // every output is in its buffer by now
        throw new Error(`internal: graph ${graph.name}: ${message}`, { cause: error });
      });
      const outputs: Record<string, Tensor> = {};
      for (const name of names) outputs[name] = into[name] ?? fromOrt(results![name]!);
      return outputs as Record<Name, Tensor>;
    },
  };
}

/** Name and version of the library that computes, for reports. */
export async function runtimeVersion(): Promise<string> {
  const ort = await loadOrt();
  return `onnxruntime-node ${ort.env.versions.node ?? 'unknown'}`;
}

/** Marks a tensor object that will be fed many times, such as a weight: its ONNX Runtime wrapper is kept as long as it lives. */
export function pin<T extends Tensor>(tensor: T): T {
  pinned.set(tensor, null);
  return tensor;
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

/** Whether every output has a buffer, and together they are large enough. */
function shouldAvoidCopies(names: readonly string[], into: Readonly<Record<string, Tensor>>): boolean {
  let bytes = 0;
  for (const name of names) {
    const target = into[name];
    if (target === undefined) return false;
    bytes += target.data.byteLength;
  }
  return bytes >= WORTH_BYTES;
}

let loaded: Promise<Ort> | undefined;

/** Loads the library on first use: loading takes 100 ms, and `--help` does not need it. */
function loadOrt(): Promise<Ort> {
  // ONNX Runtime 1.30 sends telemetry about the machine and its runs, unless this is set when the library is loaded
  // (onnxruntime/core/platform/posix/telemetry.cc). Nothing about a run may leave the machine.
  process.env.ORT_DISABLE_TELEMETRY = '1';
  loaded ??= import('onnxruntime-node');
  return loaded;
}

async function createSession(ort: Ort, lowered: LoweredGraph, options: RuntimeOptions): Promise<InferenceSession> {
  try {
    return await ort.InferenceSession.create(writeModel(lowered, END_MARK), {
      graphOptimizationLevel: 'all',
      executionMode: 'sequential',
      enableMemPattern: false, // patterns are planned per shape, and our shapes change with every run
      ...(options.threads === undefined ? {} : { intraOpNumThreads: options.threads }),
      logSeverityLevel: 4, // failures are thrown; the library would print them as well
      extra: {
        session: {
          force_spinning_stop: '1', // an idle session must not spin beside the one that runs
          // Some processors are much slower on numbers below 1.2e-38, which softmax yields for nearly impossible tokens
          // (docs/log.md).
          set_denormal_as_zero: '1',
        },
      },
    });
  } catch (error) {
    throw new Error(`internal: graph ${lowered.name} does not compile: ${String(error)}`, { cause: error });
  }
}

/** Wrappers of pinned tensors (see `pin`); null until the tensor is first fed. */
const pinned = new WeakMap<Tensor, OrtTensor | null>();

function toOrt(ort: Ort, tensor: Tensor): OrtTensor {
  const known = pinned.get(tensor);
  if (known != null) return known;
  const made = wrap(ort, tensor);
  if (known === null) pinned.set(tensor, made);
  return made;
}

function wrap(ort: Ort, tensor: Tensor): OrtTensor {
  if (tensor.dtype === 'float32') return new ort.Tensor('float32', tensor.data, tensor.dims);
  if (tensor.dtype === 'int32') return new ort.Tensor('int32', tensor.data, tensor.dims);
  return new ort.Tensor('float16', tensor.data, tensor.dims);
}

function fromOrt(tensor: OrtTensor): Tensor {
  if (tensor.type === 'float32') return floats(tensor.data as Float32Array, tensor.dims);
  if (tensor.type === 'int32') return ints(tensor.data as Int32Array, tensor.dims);
  throw new Error(`internal: output of type ${tensor.type}`);
}
