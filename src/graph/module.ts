/**
 * A module: one symbolic function, from which a forward graph and a backward graph are made.
 * Backward recomputes the forward (that is gradient checkpointing) or takes the forward's saved residuals.
 */
import { gradients, topological } from './autodiff.ts';
import type { Graph } from './graph.ts';
import { accumulate } from './ops/matmul.ts';
import type { Shape } from './shape.ts';
import { type DType, input, type Value } from './value.ts';

export interface Module<
  P extends string = string,
  I extends string = string,
  C extends string = string,
  O extends string = string,
> {
  readonly name: string;
  /** Weights: gradients are added to accumulators. */
  readonly params: Readonly<Record<P, Shape>>;
  /** Activations: gradients are returned. */
  readonly inputs: Readonly<Record<I, Shape>>;
  /** Tables, masks and indices: no gradient. */
  readonly constants: Readonly<Record<C, Constant>>;
  readonly build: (values: Readonly<Record<P | I | C, Value>>) => Readonly<Record<O, Value>>;
}

export interface Constant {
  readonly shape: Shape;
  readonly dtype?: DType;
}

export interface BackwardOptions {
  /** Parameters that are trained; default all. */
  readonly trainable?: (param: string) => boolean;
  /** Outputs that have a cotangent; default all. */
  readonly from?: readonly string[];
  /** Inputs whose cotangent is wanted; default all. */
  readonly to?: readonly string[];
  /** Cotangents of these inputs are added to an accumulator, as weights' are (for inputs shared by many runs). */
  readonly accumulateInputs?: readonly string[];
}

export interface ModuleGraphs {
  /** params, inputs, constants -> outputs */
  readonly forward: Graph;
  /** the same, and the residuals `r0`, `r1`, ... */
  readonly forwardSaving: Graph;
  /** params, inputs, constants, `d.<output>`, `acc.<param>` -> `d.<input>`, `grad.<param>` = acc + gradient */
  readonly backward: Graph;
  /** as `backward`, with the residuals as inputs in place of recomputing them */
  readonly backwardSaved: Graph;
  readonly residuals: readonly string[];
}

/** Builds a module's graphs; sizes stay symbolic. Gradients are worked out when a backward graph is first asked for. */
export function buildModule(module: Module, options: BackwardOptions = {}): ModuleGraphs {
  const params = mapValues(module.params, (shape, name) => input(name, shape));
  const inputs = mapValues(module.inputs, (shape, name) => input(name, shape));
  const constants = mapValues(module.constants, ({ shape, dtype }, name) => input(name, shape, dtype));
  const leaves = { params, inputs, all: { ...params, ...inputs, ...constants } };
  const outputs = module.build(leaves.all);
  let differentiated: Differentiated | undefined;
  const differentiate = (): Differentiated => {
    differentiated ??= differentiateModule(module, leaves, outputs, options);
    return differentiated;
  };
  return {
    forward: { name: module.name, inputs: leaves.all, outputs },
    get forwardSaving() {
      const saved = differentiate().residuals;
      return { name: `${module.name} (saving)`, inputs: leaves.all, outputs: { ...outputs, ...saved } };
    },
    get backward() {
      const { feeds, results } = differentiate();
      return { name: `${module.name} backward`, inputs: feeds, outputs: results };
    },
    get backwardSaved() {
      const { feeds, results, residuals } = differentiate();
      return { name: `${module.name} backward (saved)`, inputs: { ...feeds, ...residuals }, outputs: results };
    },
    get residuals() {
      return Object.keys(differentiate().residuals);
    },
  };
}

// --- internal ---

type Values = Readonly<Record<string, Value>>;

interface Leaves {
  readonly params: Values;
  readonly inputs: Values;
  readonly all: Values;
}

interface Differentiated {
  /** Leaves, cotangents of the outputs, accumulators. */
  readonly feeds: Values;
  readonly results: Values;
  /** Forward values that backward reads. */
  readonly residuals: Values;
}

function differentiateModule(
  module: Module,
  leaves: Leaves,
  outputs: Values,
  options: BackwardOptions,
): Differentiated {
  const from = options.from ?? Object.keys(outputs);
  const to = options.to ?? Object.keys(leaves.inputs);
  const trained = Object.keys(leaves.params).filter((name) => options.trainable?.(name) ?? true);
  const accumulated = [...trained, ...(options.accumulateInputs ?? [])];
  const plain = to.filter((name) => !accumulated.includes(name));
  const cotangents = Object.fromEntries(from.map((name) => [`d.${name}`, input(`d.${name}`, outputs[name]!.shape)]));
  const accumulators = Object.fromEntries(
    accumulated.map((name) => [`acc.${name}`, input(`acc.${name}`, leaves.all[name]!.shape)]),
  );

  const wrt = [...plain, ...accumulated];
  const pulled = gradients(
    from.map((name) => ({ value: outputs[name]!, cotangent: cotangents[`d.${name}`]! })),
    wrt.map((name) => leaves.all[name]!),
  );
  const results: Record<string, Value> = {};
  wrt.forEach((name, i) => {
    const gradient = pulled[i];
    if (gradient == null) throw new Error(`internal: module ${module.name}: no gradient reaches '${name}'`);
    if (plain.includes(name)) results[`d.${name}`] = gradient;
    else results[`grad.${name}`] = accumulate(accumulators[`acc.${name}`]!, gradient);
  });

  const saved = residualsOf(Object.values(outputs), Object.values(results), new Set(Object.values(leaves.all)));
  const residuals = Object.fromEntries(saved.map((value, i) => [`r${i}`, value]));
  return { feeds: { ...leaves.all, ...cotangents, ...accumulators }, results, residuals };
}

/** Forward values that a backward node reads and that are not leaves: what must live until backward. */
function residualsOf(outputs: readonly Value[], results: readonly Value[], leaves: ReadonlySet<Value>): Value[] {
  const forward = new Set(topological(outputs, leaves));
  const backward = topological(results, leaves).filter((value) => !forward.has(value));
  const read = backward.flatMap((value) => value.inputs);
  const worthSaving = (value: Value): boolean => forward.has(value) && !leaves.has(value) && value.inputs.length > 0;
  return [...new Set(read.filter(worthSaving))];
}

function mapValues<T, U>(record: Readonly<Record<string, T>>, map: (value: T, name: string) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(value, name)]));
}
