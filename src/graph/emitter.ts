/**
 * Collects the ONNX nodes of one graph and names them; resolves symbolic sizes from the inputs that carry them.
 * Knows the syntax of ONNX nodes, neither bytes nor the meaning of ops.
 */

import type { DType } from './dtype.ts';
import { ALL_KERNELS, type Kernels } from './kernels.ts';
import type { Dim, Shape } from './shape.ts';
import { termsOf } from './shape.ts';

/** A plain number is an integer attribute; floats are marked. */
export type Attribute = number | string | readonly number[] | { readonly float: number };

export interface OnnxNode {
  readonly opType: string;
  readonly domain: string;
  readonly inputs: readonly string[];
  /** Names of the results; nearly always one. */
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

export interface OnnxConstant {
  readonly name: string;
  readonly dtype: DType;
  readonly dims: readonly number[];
  readonly values: readonly number[] | Uint8Array | Float32Array;
}

export interface Emitter {
  /** What the device has kernels for that will run the graph. */
  readonly kernels: Kernels;
  /**
   * Adds a node, unless an equal one exists, and returns the name of its first output; further outputs are called
   * `<name>.1`, `<name>.2`, ... The domain '' is standard ONNX, 'com.microsoft' holds ONNX Runtime's own ops.
   */
  node(
    opType: string,
    inputs: readonly string[],
    attributes?: Readonly<Record<string, Attribute>>,
    domain?: string,
    outputs?: number,
  ): string;
  constant(dtype: DType, dims: readonly number[], values: readonly number[]): string;
  /** A constant with many values, which is not compared with others. */
  tensor(dtype: DType, dims: readonly number[], values: Uint8Array | Float32Array): string;
  /** The run-time sizes of a shape, as an int64 vector. */
  shapeVector(shape: Shape): string;
  readonly nodes: readonly OnnxNode[];
  readonly constants: readonly OnnxConstant[];
}

/** @param carriers the graph's inputs; every symbolic size must be a whole dimension of at least one of them */
export function createEmitter(
  carriers: readonly { name: string; shape: Shape }[],
  kernels: Kernels = ALL_KERNELS,
): Emitter {
  const nodes: OnnxNode[] = [];
  const made = new Map<string, string>();
  const constants = new Map<string, OnnxConstant>();

  const node: Emitter['node'] = (opType, inputs, attributes = {}, domain = '', outputs = 1) => {
    const key = JSON.stringify([domain, opType, inputs, attributes, outputs], exactNumber);
    const known = made.get(key);
    if (known !== undefined) return known;
    const output = `v:${nodes.length}`; // the colon avoids clashes with inputs that callers name 'v0'
    made.set(key, output);
    const further = Array.from({ length: outputs - 1 }, (_, i) => `${output}.${i + 1}`);
    nodes.push({ opType, domain, inputs, outputs: [output, ...further], attributes });
    return output;
  };

  const constant: Emitter['constant'] = (dtype, dims, values) => {
    const key = `${dtype}[${dims.join(',')}]${values.join(',')}`;
    const known = constants.get(key);
    if (known !== undefined) return known.name;
    const name = `c:${constants.size}`;
    constants.set(key, { name, dtype, dims, values });
    return name;
  };

  const tensor: Emitter['tensor'] = (dtype, dims, values) => {
    const name = `c:${constants.size}`;
    constants.set(name, { name, dtype, dims, values });
    return name;
  };

  /** int64 [1]: the run-time size of a named dimension. */
  const sizeOf = (name: string): string => {
    for (const carrier of carriers) {
      const axis = carrier.shape.indexOf(name);
      if (axis >= 0) return node('Shape', [carrier.name], { start: axis, end: axis + 1 });
    }
    throw new Error(`internal: no input of the graph has the size '${name}' as a whole dimension`);
  };

  const dimVector = (dim: Dim): string => {
    const terms = termsOf(dim).map(({ factor, names }) => {
      const factors = names.map(sizeOf);
      if (factor !== 1 || factors.length === 0) factors.push(constant('int64', [1], [factor]));
      return factors.reduce((a, b) => node('Mul', [a, b]));
    });
    if (terms.length === 0) return constant('int64', [1], [0]);
    return terms.reduce((a, b) => node('Add', [a, b]));
  };

  const shapeVector: Emitter['shapeVector'] = (shape) => {
    if (shape.every((dim) => typeof dim === 'number')) return constant('int64', [shape.length], shape as number[]);
    return node('Concat', shape.map(dimVector), { axis: 0 });
  };

  return {
    kernels,
    node,
    constant,
    tensor,
    shapeVector,
    nodes,
    get constants() {
      return [...constants.values()];
    },
  };
}

// --- internal ---

/** Distinguishes numbers that JSON writes alike: -0, infinities and NaN. */
const exactNumber = (_: string, value: unknown): unknown =>
  typeof value === 'number' && (Object.is(value, -0) || !Number.isFinite(value))
    ? `number ${1 / value} ${value}`
    : value;
