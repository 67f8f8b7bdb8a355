/**
 * The only importer of ONNX Runtime: compiles a graph to a session and runs it on typed arrays.
 * Inputs are passed without a copy; outputs are written straight into buffers the caller gives.
 */
import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { messageOf } from '../errors.ts';
import { type Graph, type LoweredGraph, lower, type Port } from '../graph/graph.ts';
import { writeModel } from '../onnx/write.ts';
import { floats, ints, type Tensor } from './tensor.ts';

type Ort = typeof import('onnxruntime-node');

export interface RuntimeOptions {
  /** Threads of one kernel; default: ONNX Runtime's choice, one per physical core. */
  readonly threads?: number;
}

export interface Executable {
  readonly name: string;
  /** What must be fed, with symbolic sizes. */
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /**
   * Runs once. `into` maps outputs to the tensors whose buffers receive them; outputs not named there come back in
   * fresh memory. An input's own buffer is allowed, and accumulators add up in place so, if nothing in the graph reads
   * that input after the node that makes the output. So is one buffer for several outputs, if what makes the next one has
   * waited for all that reads the one before.
   */
  run<Name extends string>(
    feeds: Feeds,
    into?: Readonly<Record<string, Tensor>>,
    want?: readonly Name[],
  ): Promise<Record<Name, Tensor>>;
  release(): Promise<void>;
}

export type Feeds = Readonly<Record<string, Tensor>>;

/** Compiles a graph. Takes some 10 to 50 ms; sizes stay symbolic, so one executable serves every length. */
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
      const inPlace = keepsCopiesAway(names, into);
      if (inPlace) fetches[END_MARK] = null;
      const results = await session.run(ortFeeds, fetches).catch((error: unknown) => {
        const message = messageOf(error);
        if (inPlace && message.includes(STOPPED_AT_MARK)) return null; // every output lies in its buffer by now
        throw new Error(`internal: graph ${graph.name}: ${message}`, { cause: error });
      });
      const outputs: Record<string, Tensor> = {};
      for (const name of names) outputs[name] = into[name] ?? fromOrt(results![name]!);
      return outputs as Record<Name, Tensor>;
    },
  };
}

/** Name and version of what computes, for reports. */
export async function runtimeVersion(): Promise<string> {
  const ort = await loadOrt();
  return `onnxruntime-node ${ort.env.versions.node ?? 'unknown'}`;
}

/** Says that this very tensor object will be fed often, as weights are: its wrapping is kept as long as it lives. */
export function pin<T extends Tensor>(tensor: T): T {
  pinned.set(tensor, null);
  return tensor;
}

// --- internal ---

/**
 * After a run, onnxruntime-node 1.30 copies every output into a new ArrayBuffer, also those that already lie in a buffer
 * of ours (js/node/src/tensor_helper.cc, OrtValueToNapiValue): allocation, page faults and garbage as large as all
 * results. It does so in the order of outputs, and gives up at one that is no tensor. So each model has an empty sequence
 * as its first output, and a run that needs no copies asks for it: the kernels have run by then.
 */
const END_MARK = 'all written';
const STOPPED_AT_MARK = 'Non tensor type is temporarily not supported';
/** From this size on, giving up (some 10 µs for the exception) is cheaper than copying. */
const WORTH_BYTES = 2 ** 17;

function keepsCopiesAway(names: readonly string[], into: Readonly<Record<string, Tensor>>): boolean {
  let bytes = 0;
  for (const name of names) {
    const target = into[name];
    if (target === undefined) return false;
    bytes += target.data.byteLength;
  }
  return bytes >= WORTH_BYTES;
}

let loaded: Promise<Ort> | undefined;

/** Loaded on first use: the library takes 100 ms to load, and `--help` needs none of it. */
function loadOrt(): Promise<Ort> {
  // ONNX Runtime 1.30 collects facts about machine and runs and sends them to its makers, unless this is set when its
  // library is loaded (onnxruntime/core/platform/posix/telemetry.cc). Nothing of a run leaves the machine.
  process.env.ORT_DISABLE_TELEMETRY = '1';
  loaded ??= import('onnxruntime-node');
  return loaded;
}

async function createSession(ort: Ort, lowered: LoweredGraph, options: RuntimeOptions): Promise<InferenceSession> {
  try {
    return await ort.InferenceSession.create(writeModel(lowered, END_MARK), {
      graphOptimizationLevel: 'all',
      executionMode: 'sequential',
      enableMemPattern: false, // patterns are planned per shape, and ours change at every run
      ...(options.threads === undefined ? {} : { intraOpNumThreads: options.threads }),
      logSeverityLevel: 4, // what fails is thrown with its message; the library would print it as well
      extra: {
        session: {
          force_spinning_stop: '1', // an idle session must not spin beside the one that runs
          // Numbers below 1.2e-38, which softmax makes of tokens that are as good as impossible, take some processors
          // very much longer than others (docs/log.md).
          set_denormal_as_zero: '1',
        },
      },
    });
  } catch (error) {
    throw new Error(`internal: graph ${lowered.name} does not compile: ${String(error)}`, { cause: error });
  }
}

/** What ONNX Runtime calls a tensor that is fed again and again, made once: `pin`. */
const pinned = new WeakMap<Tensor, OrtTensor | null>();

function toOrt(ort: Ort, tensor: Tensor): OrtTensor {
  const known = pinned.get(tensor);
  if (known != null) return known;
  const made = wrap(ort, tensor);
  if (known === null) pinned.set(tensor, made);
  return made;
}

function wrap(ort: Ort, tensor: Tensor): OrtTensor {
  return tensor.dtype === 'float32'
    ? new ort.Tensor('float32', tensor.data, tensor.dims)
    : new ort.Tensor('int32', tensor.data, tensor.dims);
}

function fromOrt(tensor: OrtTensor): Tensor {
  if (tensor.type === 'float32') return floats(tensor.data as Float32Array, tensor.dims);
  if (tensor.type === 'int32') return ints(tensor.data as Int32Array, tensor.dims);
  throw new Error(`internal: output of type ${tensor.type}`);
}
