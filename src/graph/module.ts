/**
 * A module: one symbolic function, from which a forward graph and a backward graph are derived.
 * The backward graph recomputes the forward (gradient checkpointing) or starts from values that the forward kept.
 */
import { gradients } from './autodiff.ts';
import type { DType } from './dtype.ts';
import type { Graph } from './graph.ts';
import { accumulate } from './ops/matmul.ts';
import type { Shape } from './shape.ts';
import { input, type Value } from './value.ts';

export interface Module {
  readonly name: string;
  /** Weights, by name; their gradients are added to accumulators. */
  readonly params: Readonly<Record<string, Shape>>;
  /** Activations, by name; their gradients are returned. */
  readonly inputs: Readonly<Record<string, Shape>>;
  /** Tables, masks and indices, by name; they get no gradient. */
  readonly constants: Readonly<Record<string, Constant>>;
  /** From the values of params, inputs and constants to outputs and kept values. */
  readonly build: (values: Readonly<Record<string, Value>>) => Readonly<Record<string, Value>>;
  /**
   * Names of the values that `build` returns besides the outputs and that backward can start from: expensive results, of
   * matrix products. Everything between them is recomputed, which costs next to nothing.
   */
  readonly keeps?: readonly string[];
  /** Forms of parameters that are not fed as they are, by their names. */
  readonly forms?: Readonly<Record<string, ParamForm>>;
}

/** What is fed in place of a parameter, which is not trained. */
export interface ParamForm {
  /** By the ends of the names: `<param>.<end>`. `build` gets them too. */
  readonly fed: Readonly<Record<string, Constant>>;
  /** The parameter's value, from what is fed by those ends. */
  readonly value: (fed: Readonly<Record<string, Value>>) => Value;
}

export interface Constant {
  readonly shape: Shape;
  readonly dtype?: DType;
}

export interface BackwardOptions {
  /** Which parameters are trained; default: all that are fed. */
  readonly trainable?: (param: string) => boolean;
  /** Outputs that have a cotangent; default: all. */
  readonly from?: readonly string[];
  /** Inputs whose cotangents are added to an accumulator, as those of weights are: for inputs that many runs share. */
  readonly accumulateInputs?: readonly string[];
}

export interface ModuleGraphs {
  /** params, inputs, constants -> outputs */
  readonly forward: Graph;
  /** params, inputs, constants -> outputs and kept values */
  readonly forwardKeeping: Graph;
  /** params, inputs, constants, `d.<output>`, `acc.<param>` -> `d.<input>`, `grad.<param>` = acc + gradient */
  readonly backward: Graph;
  /** as `backward`, with the kept values as additional inputs */
  readonly backwardFromKept: Graph;
}

/** Builds a module's graphs; sizes stay symbolic. Gradients are derived when a backward graph is first read. */
export function buildModule(module: Module, options: BackwardOptions = {}): ModuleGraphs {
  const { params, fed } = paramsOf(module);
  const inputs = mapValues(module.inputs, (shape, name) => input(name, shape));
  const constants = mapValues(module.constants, ({ shape, dtype }, name) => input(name, shape, dtype));
  const leaves = { params, inputs, fed: { ...fed, ...inputs, ...constants } };
  const built = module.build({ ...leaves.fed, ...params });
  const isKept = (name: string): boolean => module.keeps?.includes(name) ?? false;
  const outputs = Object.fromEntries(Object.entries(built).filter(([name]) => !isKept(name)));
  const kept = Object.fromEntries(Object.entries(built).filter(([name]) => isKept(name)));
  let differentiated: Differentiated | undefined;
  const differentiate = (): Differentiated => {
    differentiated ??= differentiateModule(module, leaves, outputs, options);
    return differentiated;
  };
  return {
    forward: { name: module.name, inputs: leaves.fed, outputs },
    forwardKeeping: { name: `${module.name} (keeping)`, inputs: leaves.fed, outputs: built },
    get backward() {
      const { feeds, results } = differentiate();
      return { name: `${module.name} backward`, inputs: feeds, outputs: results };
    },
    get backwardFromKept() {
      const { feeds, results } = differentiate();
      return { name: `${module.name} backward (from kept)`, inputs: { ...feeds, ...kept }, outputs: results };
    },
  };
}

// --- internal ---

type Values = Readonly<Record<string, Value>>;

interface Leaves {
  readonly params: Values;
  readonly inputs: Values;
  /** The inputs of the graphs. */
  readonly fed: Values;
}

/** The parameters' values, and what is fed for them. */
function paramsOf({ params: shapes, forms = {} }: Module): { params: Values; fed: Values } {
  const params: Record<string, Value> = {};
  const fed: Record<string, Value> = {};
  for (const [name, shape] of Object.entries(shapes)) {
    const form = forms[name];
    if (form === undefined) {
      params[name] = input(name, shape);
      fed[name] = params[name];
      continue;
    }
    const parts = mapValues(form.fed, (part, end) => input(`${name}.${end}`, part.shape, part.dtype));
    params[name] = form.value(parts);
    for (const [end, part] of Object.entries(parts)) fed[`${name}.${end}`] = part;
  }
  return { params, fed };
}

interface Differentiated {
  /** Leaves, cotangents of the outputs, accumulators. */
  readonly feeds: Values;
  readonly results: Values;
}

function differentiateModule(
  module: Module,
  leaves: Leaves,
  outputs: Values,
  options: BackwardOptions,
): Differentiated {
  const from = options.from ?? Object.keys(outputs);
  const to = Object.keys(leaves.inputs);
  const isFed = (name: string): boolean => Object.hasOwn(leaves.fed, name);
  const trained = Object.keys(leaves.params).filter((name) => options.trainable?.(name) ?? isFed(name));
  const accumulated = [...trained, ...(options.accumulateInputs ?? [])];
  const plain = to.filter((name) => !accumulated.includes(name));
  const cotangents = Object.fromEntries(from.map((name) => [`d.${name}`, input(`d.${name}`, outputs[name]!.shape)]));
  const accumulators = Object.fromEntries(
    accumulated.map((name) => [`acc.${name}`, input(`acc.${name}`, leaves.fed[name]!.shape)]),
  );

  const wrt = [...plain, ...accumulated];
  const pulled = gradients(
    from.map((name) => ({ value: outputs[name]!, cotangent: cotangents[`d.${name}`]! })),
    wrt.map((name) => leaves.fed[name]!),
  );
  const results: Record<string, Value> = {};
  wrt.forEach((name, i) => {
    const gradient = pulled[i];
    if (gradient == null) throw new Error(`internal: module ${module.name}: no gradient reaches '${name}'`);
    if (plain.includes(name)) results[`d.${name}`] = gradient;
    else results[`grad.${name}`] = accumulate(accumulators[`acc.${name}`]!, gradient);
  });

  return { feeds: { ...leaves.fed, ...cotangents, ...accumulators }, results };
}

function mapValues<T, U>(record: Readonly<Record<string, T>>, map: (value: T, name: string) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(value, name)]));
}
