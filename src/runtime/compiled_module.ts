/**
 * A module's graphs, each compiled on first use: the forward, the forward that keeps values for the backward, and the two
 * backwards.
 */

import type { Graph } from '../graph/graph.ts';
import { type BackwardOptions, buildModule, type Module, type ModuleGraphs } from '../graph/module.ts';
import { cpu } from './cpu.ts';
import type { Device, Executable, Feeds } from './device.ts';
import type { FloatTensor, HostTensor } from './tensor.ts';

export interface CompiledModule {
  readonly module: Module;
  readonly device: Device;
  /** Computes the module's outputs; `into` holds buffers to write them to. */
  forward(feeds: Feeds, into?: Feeds): Promise<Record<string, FloatTensor>>;
  /** Computes the outputs and the kept values. */
  forwardKeeping(feeds: Feeds, into?: Feeds): Promise<Record<string, FloatTensor>>;
  /** Computes `d.<input>` and `grad.<param>`; recomputes the forward unless its kept values are given. */
  backward(feeds: Feeds, into?: Feeds, kept?: Feeds): Promise<Record<string, FloatTensor>>;
  release(): Promise<void>;
}

export function compileModule(module: Module, backward: BackwardOptions = {}, device: Device = cpu): CompiledModule {
  let graphs: ModuleGraphs | undefined;
  const compiled = new Map<string, Promise<Executable>>();
  const executable = (which: keyof ModuleGraphs): Promise<Executable> => {
    graphs ??= buildModule(module, backward);
    const graph: Graph = graphs[which];
    const known = compiled.get(which) ?? device.compile(graph);
    compiled.set(which, known);
    return known;
  };
  const run = async (which: keyof ModuleGraphs, feeds: Feeds, into: Feeds = {}) =>
    onlyFloats(await (await executable(which)).run(feeds, into));
  return {
    module,
    device,
    forward: (feeds, into) => run('forward', feeds, into),
    forwardKeeping: (feeds, into) => run('forwardKeeping', feeds, into),
    backward: (feeds, into, kept) =>
      kept === undefined ? run('backward', feeds, into) : run('backwardFromKept', { ...feeds, ...kept }, into),
    async release() {
      for (const session of compiled.values()) await (await session).release();
      compiled.clear();
    },
  };
}

export interface ModuleCache {
  /** The module of a key. `make` is called the first time; each graph is compiled on first use. */
  get(key: string, make: () => Module, backward?: BackwardOptions): CompiledModule;
  /** Releases all modules. */
  release(): Promise<void>;
}

/** A cache for the variants of a module, of which a run needs only some. */
export function createModuleCache(device: Device = cpu): ModuleCache {
  const modules = new Map<string, CompiledModule>();
  return {
    get(key, make, backward) {
      const known = modules.get(key) ?? compileModule(make(), backward, device);
      modules.set(key, known);
      return known;
    },
    async release() {
      for (const module of modules.values()) await module.release();
      modules.clear();
    },
  };
}

// --- internal ---

function onlyFloats(tensors: Record<string, HostTensor>): Record<string, FloatTensor> {
  for (const [name, tensor] of Object.entries(tensors)) {
    if (tensor.dtype !== 'float32') throw new Error(`internal: output '${name}' is ${tensor.dtype}, expected float32`);
  }
  return tensors as Record<string, FloatTensor>;
}
