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
   * that input after the node that makes the output.
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
  const outputNames = lowered.outputs.map((output) => output.name);
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
        if (!outputNames.includes(name)) throw new Error(`internal: graph ${graph.name} has no output '${name}'`);
      }
      for (const name of want ?? outputNames) {
        const target = into[name];
        fetches[name] = target === undefined ? null : toOrt(ort, target);
      }
      // Everything goes into the caller's buffers: nothing has to be handed back.
      const silent = Object.values(fetches).every((target) => target !== null);
      if (silent) fetches[FENCE] = null;
      const results: InferenceSession.OnnxValueMapType = await session
        .run(ortFeeds, fetches)
        .catch((error: unknown) => {
          const message = messageOf(error);
          if (silent && message.includes(STOPPED_AT_FENCE)) return {};
          throw new Error(`internal: graph ${graph.name}: ${message}`, { cause: error });
        });
      delete fetches[FENCE];
      const outputs: Record<string, Tensor> = {};
      for (const name of Object.keys(fetches)) outputs[name] = into[name] ?? fromOrt(results[name] as OrtTensor);
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
 * The first output of every session, which is no tensor. Once a run has finished, ONNX Runtime's binding copies each
 * output into a new array, even one that was written into the caller's buffer: most of the time of a run that only moves
 * memory. It gives up at the first output it cannot convert, so a run that asks for this one as well ends there, with
 * all its results where they belong and nothing copied.
 */
const FENCE = 'fence';
const STOPPED_AT_FENCE = 'Non tensor type is temporarily not supported';

let loaded: Promise<Ort> | undefined;

/** Loaded on first use: the library takes 100 ms to load, and `--help` needs none of it. */
function loadOrt(): Promise<Ort> {
  loaded ??= import('onnxruntime-node');
  return loaded;
}

async function createSession(ort: Ort, lowered: LoweredGraph, options: RuntimeOptions): Promise<InferenceSession> {
  try {
    return await ort.InferenceSession.create(writeModel(lowered, FENCE), {
      graphOptimizationLevel: 'all',
      executionMode: 'sequential',
      enableMemPattern: false, // patterns are planned per shape, and ours change at every run
      ...(options.threads === undefined ? {} : { intraOpNumThreads: options.threads }),
      logSeverityLevel: 4, // what fails is thrown with its message; the library would print it as well
      extra: { session: { force_spinning_stop: '1' } }, // an idle session must not spin beside the one that runs
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
