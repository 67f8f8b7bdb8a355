/**
 * Binds a module's parameter names to a layer's tensors: values to feed, accumulators to feed and to write to.
 */
import type { Shape } from '../graph/shape.ts';
import type { CompiledModule } from '../runtime/compiled_module.ts';
import { type Device, type Feeds, isHere } from '../runtime/device.ts';
import { pin } from '../runtime/session.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { createPause } from '../util/event_loop.ts';
import { type Parameters, roleOf } from './parameters.ts';

/** Canonical name of a module's parameter, e.g. `w => 'model.layers.3.' + w`. */
export type NameOf = (param: string) => string;

/** Gives the tensor of a canonical name, for a module that takes it in this shape. */
export type TensorOf = (name: string, shape: Shape) => Tensor;

/**
 * A module's weights, to feed.
 *
 * @param tensorOf finds tensors that are not the parameters' own; it must find the same ones at every call for a module
 */
export function weightsOf(
  compiled: CompiledModule,
  parameters: Parameters,
  nameOf: NameOf,
  tensorOf: TensorOf = parameters.value,
): Feeds {
  if (!parameters.inMemory) return bind(compiled, parameters, nameOf, tensorOf);
  const layers = bound.get(compiled) ?? new Map<string, Feeds>();
  bound.set(compiled, layers);
  const layer = nameOf('');
  const known = layers.get(layer) ?? bind(compiled, parameters, nameOf, tensorOf);
  layers.set(layer, known);
  return known;
}

/**
 * The same, or what a device keeps in place of them. Where tensors are read from disk, the event loop gets its turns between them.
 */
export async function readWeightsOf(compiled: CompiledModule, parameters: Parameters, nameOf: NameOf): Promise<Feeds> {
  if (parameters.resident !== undefined) {
    const layers = residents.get(compiled) ?? new Map<string, Promise<Feeds>>();
    residents.set(compiled, layers);
    const layer = nameOf('');
    const known = layers.get(layer) ?? bindResidents(compiled, parameters, nameOf);
    layers.set(layer, known);
    return known;
  }
  if (!parameters.inMemory) {
    const pause = createPause();
    for (const param of Object.keys(compiled.module.params)) {
      await pause();
      await parameters.load?.(nameOf(param));
      parameters.value(nameOf(param));
    }
  }
  return weightsOf(compiled, parameters, nameOf);
}

/** A table [rows, width] that belongs to no layer, to take rows from: its pieces, in order. Most are in one piece. */
export function tableOf(device: Device, parameters: Parameters, name: string): Tensor[] {
  const resident = parameters.resident?.(name) ?? null;
  if (resident !== null && resident.form !== null) return Object.values(resident.feeds);
  return [held(device, parameters.value(name))];
}

/** Feeds `acc.<param>` and targets `grad.<param>` of the trained parameters: one buffer each, so gradients add up in place. */
export interface Accumulators {
  readonly feeds: Feeds;
  readonly into: Feeds;
}

export function accumulatorsOf(
  { module, device }: CompiledModule,
  parameters: Parameters,
  nameOf: NameOf,
): Accumulators {
  const feeds: Record<string, Tensor> = {};
  const into: Record<string, Tensor> = {};
  for (const [param, shape] of Object.entries(module.params)) {
    const name = nameOf(param);
    if (!parameters.isTrained(name)) continue;
    const gradient = device.view(parameters.gradient(name), sizes(shape));
    feeds[`acc.${param}`] = gradient;
    into[`grad.${param}`] = gradient;
  }
  return { feeds, into };
}

// --- internal ---

/** Weights of each module by layer. They are looked up once, because a decode step asks for all of them. */
const bound = new WeakMap<CompiledModule, Map<string, Feeds>>();

/** The same of weights that stay on a device. */
const residents = new WeakMap<CompiledModule, Map<string, Promise<Feeds>>>();

async function bindResidents(
  { module, device }: CompiledModule,
  parameters: Parameters,
  nameOf: NameOf,
): Promise<Feeds> {
  const feeds: Record<string, Tensor> = {};
  for (const [param, shape] of Object.entries(module.params)) {
    const name = nameOf(param);
    const resident = parameters.resident!(name);
    if (resident === null) feeds[param] = held(device, device.view(parameters.value(name), sizes(shape)));
    else if (resident.form === null) feeds[param] = device.view(await resident.load(), sizes(shape));
    else Object.assign(feeds, formFeeds(param, resident.feeds));
  }
  return feeds;
}

/** What a parameter in another form is fed, by the names in the graph. */
const formFeeds = (param: string, feeds: Feeds): Feeds =>
  Object.fromEntries(Object.entries(feeds).map(([end, tensor]) => [`${param}.${end}`, tensor]));

/** A tensor that is fed many times; what changes is on its device already. */
const held = (device: Device, tensor: Tensor): Tensor => (isHere(tensor) ? device.hold(tensor) : tensor);

function bind({ module, device }: CompiledModule, parameters: Parameters, nameOf: NameOf, tensorOf: TensorOf): Feeds {
  return Object.fromEntries(
    Object.entries(module.params).flatMap(([param, shape]) => {
      const name = nameOf(param);
      const resident = parameters.resident?.(name) ?? null;
      if (resident !== null && resident.form !== null) return Object.entries(formFeeds(param, resident.feeds));
      const tensor = device.view(tensorOf(name, shape), sizes(shape));
      // A buffer that holds the tensors of one layer after another is fed as it is at every run.
      const isShared = !parameters.inMemory && roleOf(name) !== name && isHere(tensor);
      return [[param, isShared ? pin(tensor) : held(device, tensor)]];
    }),
  );
}

/** A parameter's sizes in the module. (A convolution's weight is a matrix there.) */
function sizes(shape: Shape): number[] {
  return shape.map((dim) => {
    if (typeof dim === 'string') throw new Error(`internal: a parameter of symbolic size '${dim}'`);
    return dim;
  });
}
