/**
 * A graph: named inputs and named outputs over symbolic values; they alone determine what is computed.
 * Any value can be declared an input, so a backward graph can take saved results instead of recomputing them.
 */
import type { DType } from './dtype.ts';
import { createEmitter, type OnnxConstant, type OnnxNode } from './emitter.ts';
import { ALL_KERNELS, type Kernels } from './kernels.ts';
import type { Shape } from './shape.ts';
import { emitInOrder, topological } from './topological.ts';
import type { Value } from './value.ts';

export interface Graph {
  readonly name: string;
  readonly inputs: Readonly<Record<string, Value>>;
  readonly outputs: Readonly<Record<string, Value>>;
}

export interface Port {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape;
}

/** A graph as a list of ONNX nodes, in topological order. */
export interface LoweredGraph {
  readonly name: string;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /** Shapes of all other values. The runtime plans memory by them and cannot infer all of them itself. */
  readonly intermediates: readonly Port[];
  readonly nodes: readonly OnnxNode[];
  readonly constants: readonly OnnxConstant[];
}

/** Emits the nodes that the outputs need, back to the inputs, for a device with these kernels. Unused inputs are dropped. */
export function lower(graph: Graph, kernels: Kernels = ALL_KERNELS): LoweredGraph {
  const names = new Map<Value, string>(Object.entries(graph.inputs).map(([name, value]) => [value, name]));
  const order = topological(Object.values(graph.outputs), new Set(names.keys()));
  const used = new Set(order);
  const inputs = Object.entries(graph.inputs).map(([name, value]) => port(name, value));
  // Symbolic sizes are read from inputs that are fed anyway, if one of those carries them.
  const carriers = [...inputs].sort((a, b) => rank(used, graph, a) - rank(used, graph, b));
  const emitter = createEmitter(carriers, kernels);
  emitInOrder(emitter, order, names);
  const nodes = nameOutputs(graph, emitter.nodes, names);
  const fed = new Set(nodes.flatMap((node) => node.inputs));
  const made = new Set(nodes.flatMap((node) => node.outputs));
  const intermediates = new Map<string, Port>();
  for (const value of order) {
    const name = names.get(value)!;
    if (made.has(name)) intermediates.set(name, port(name, value));
  }
  return {
    name: graph.name,
    inputs: inputs.filter(({ name }) => fed.has(name)),
    outputs: Object.entries(graph.outputs).map(([name, value]) => port(name, value)),
    intermediates: [...intermediates.values()],
    nodes,
    constants: emitter.constants,
  };
}

// --- internal ---

const port = (name: string, { dtype, shape }: Value): Port => ({ name, dtype, shape });

const rank = (used: ReadonlySet<Value>, graph: Graph, { name }: Port): number =>
  used.has(graph.inputs[name]!) ? 0 : 1;

/** Renames node results to the names of outputs. An input that is an output, or a value that is two outputs, is copied. */
function nameOutputs(graph: Graph, nodes: readonly OnnxNode[], names: ReadonlyMap<Value, string>): OnnxNode[] {
  const renamed = new Map<string, string>();
  const copies: OnnxNode[] = [];
  const made = new Set(nodes.flatMap(({ outputs }) => outputs));
  for (const [name, value] of Object.entries(graph.outputs)) {
    if (Object.hasOwn(graph.inputs, name))
      throw new Error(`internal: graph ${graph.name}: '${name}' is an input and an output`);
    const source = names.get(value)!;
    if (made.has(source) && !renamed.has(source)) renamed.set(source, name);
    else copies.push({ opType: 'Identity', domain: '', inputs: [source], outputs: [name], attributes: {} });
  }
  const rename = (name: string): string => renamed.get(name) ?? name;
  return [...nodes, ...copies].map((node) => ({
    ...node,
    inputs: node.inputs.map(rename),
    outputs: node.outputs.map(rename),
  }));
}
