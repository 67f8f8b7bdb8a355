/**
 * A graph: named inputs and named outputs over symbolic values; nothing else decides what is computed.
 * Any value can be declared an input, so a backward graph may take saved results in place of recomputing them.
 */
import { topological } from './autodiff.ts';
import { createEmitter, type OnnxConstant, type OnnxNode } from './emitter.ts';
import type { Shape } from './shape.ts';
import type { DType, Value } from './value.ts';

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

/** A graph written out as ONNX nodes, in order. */
export interface LoweredGraph {
  readonly name: string;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  readonly nodes: readonly OnnxNode[];
  readonly constants: readonly OnnxConstant[];
}

/** Writes the nodes that the outputs need, stopping at the inputs. Inputs nobody uses are dropped. */
export function lower(graph: Graph): LoweredGraph {
  const names = new Map<Value, string>(Object.entries(graph.inputs).map(([name, value]) => [value, name]));
  const order = topological(Object.values(graph.outputs), new Set(names.keys()));
  const used = new Set(order);
  const inputs = Object.entries(graph.inputs).map(([name, value]) => port(name, value));
  const emitter = createEmitter(inputs);
  const inputNames = new Set(Object.keys(graph.inputs));
  for (const value of order) {
    if (names.has(value)) continue;
    names.set(
      value,
      value.rule.emit(
        emitter,
        value.inputs.map((source) => names.get(source)!),
      ),
    );
  }
  for (const [name, value] of Object.entries(graph.outputs)) {
    // An own node per output: one value may have two names, and an input may be an output.
    (emitter.nodes as OnnxNode[]).push({
      opType: 'Identity',
      domain: '',
      inputs: [names.get(value)!],
      output: name,
      attributes: {},
    });
    if (inputNames.has(name)) throw new Error(`internal: graph ${graph.name}: '${name}' is an input and an output`);
  }
  const fed = new Set(emitter.nodes.flatMap((node) => node.inputs));
  return {
    name: graph.name,
    inputs: inputs.filter(({ name }) => fed.has(name) || used.has(graph.inputs[name]!)),
    outputs: Object.entries(graph.outputs).map(([name, value]) => port(name, value)),
    nodes: emitter.nodes,
    constants: emitter.constants,
  };
}

const port = (name: string, { dtype, shape }: Value): Port => ({ name, dtype, shape });
