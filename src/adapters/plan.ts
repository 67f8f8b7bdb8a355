/**
 * The plan of an adapter on a given model: its configuration, the low-rank update of each layer, and the tensors that are
 * trained in full. A plan is made from the settings of a run or from a folder that PEFT has written.
 */
import { treeName } from '../checkpoint/names.ts';
import { SightlineError } from '../errors.ts';
import type { ModelConfig } from '../models/architecture.ts';
import { isTable } from '../models/linear_layers.ts';
import type { Adapters } from '../nn/adapter.ts';
import { nearestName } from '../util/nearest_name.ts';
import type { AdapterConfig } from './config.ts';
import { type ModelModules, modulesOf, SPELLINGS, type Spelling } from './model_modules.ts';
import { adaptersOn, endsAs, savedTensors, scaleDivisor, targetedModules } from './targets.ts';

export interface AdapterPlan {
  readonly config: AdapterConfig;
  /** By canonical layer name, in the model's order. */
  readonly adapters: Adapters;
  /** Canonical names of the tensors that are trained in full. */
  readonly saved: readonly string[];
}

/**
 * The plan of a new adapter.
 *
 * Errors: E_TARGET_MODULES (a target matches no linear layer of the model, or a module that cannot carry an adapter),
 * E_MODULES_TO_SAVE, E_PATTERN.
 */
export function planAdapter(config: AdapterConfig, model: ModelConfig): AdapterPlan {
  const modules = modulesOf(model);
  const targetFlag = typeof config.targetModules === 'string' ? '--target_regex' : '--target_modules';
  const spelling = chooseSpelling(config, modules, targetFlag);
  const { layers, others } = targetedModules(config, modules, spelling, targetFlag);
  if (typeof config.targetModules !== 'string')
    for (const target of config.targetModules) requireTarget(target, modules, spelling);
  if (layers.length === 0) {
    throw new SightlineError('E_TARGET_MODULES', `no linear layer matches ${String(config.targetModules)}`, {
      where: targetFlag,
      hint: `the whole path of a module has to match, e.g. ${treeName(firstOf(modules))}`,
    });
  }
  if (others[0] !== undefined) throw notLinear(treeName(others[0]), others[0], targetFlag);
  const saved = savedTensors(config.modulesToSave, modules, spelling);
  for (const name of config.modulesToSave) {
    if (savedTensors([name], modules, spelling).length > 0) continue;
    throw new SightlineError('E_MODULES_TO_SAVE', `no module of the model ends as "${name}"`, {
      where: '--modules_to_save',
      hint: `the modules are ${namesOf(modules.modules).join(', ')}`,
    });
  }
  const plan = { config, adapters: adaptersOn(layers, config, modules, spelling, targetFlag), saved };
  return { ...plan, config: currentConfig(plan, modules) };
}

/**
 * The configuration of a plan with the module names of current transformers, in whichever spelling it was given. With it, PEFT
 * finds the same layers, ranks and scales.
 */
export function currentConfig(
  { config, adapters }: Pick<AdapterPlan, 'config' | 'adapters'>,
  modules: ModelModules,
): AdapterConfig {
  const [current] = SPELLINGS;
  const { layers, others } = targetedModules(config, modules, current, 'adapter_config.json');
  const again = adaptersOn(layers, config, modules, current, 'adapter_config.json');
  if (others.length === 0 && JSON.stringify(again) === JSON.stringify(adapters)) return config;
  const patterns = (of: (name: string) => number, otherwise: number): Record<string, number> =>
    Object.fromEntries(
      Object.keys(adapters).flatMap((name) =>
        of(name) === otherwise ? [] : [[treeName(name).replaceAll('.', '\\.'), of(name)]],
      ),
    );
  const alphaOf = (name: string): number => {
    const { rank, scale } = adapters[name]!;
    return scale * scaleDivisor(config, rank);
  };
  return {
    ...config,
    targetModules: Object.keys(adapters).map(treeName),
    excludeModules: null,
    layersToTransform: null,
    layersPattern: [],
    rankPattern: patterns((name) => adapters[name]!.rank, config.rank),
    alphaPattern: patterns(alphaOf, config.alpha),
  };
}

/** The last names in the paths of linear layers, which a list of targets may contain. */
export const targetNames = ({ layers }: ModelModules): string[] => namesOf(layers.keys());

// --- internal ---

/** The current spelling, unless only the former one matches a linear layer. */
function chooseSpelling(config: AdapterConfig, modules: ModelModules, where: string): Spelling {
  const hits = (spelling: Spelling): boolean => targetedModules(config, modules, spelling, where).layers.length > 0;
  return SPELLINGS.find(hits) ?? SPELLINGS[0];
}

function requireTarget(target: string, modules: ModelModules, spelling: Spelling): void {
  const hit = [...modules.modules].filter((module) => endsAs(spelling(module), target));
  if (hit.some((module) => modules.layers.has(module))) return;
  const where = '--target_modules';
  if (hit[0] !== undefined) throw notLinear(target, hit[0], where);
  const names = targetNames(modules);
  const near = nearestName(target, names);
  throw new SightlineError('E_TARGET_MODULES', `no layer of the model is called "${target}"`, {
    where,
    hint: `${near === null ? '' : `did you mean ${near}? `}linear layers are ${names.join(', ')}; all-linear takes all of them`,
  });
}

function notLinear(target: string, module: string, where: string): SightlineError {
  const kind = isTable(module) ? 'an embedding table' : 'no linear layer';
  return new SightlineError('E_TARGET_MODULES', `"${target}" is ${kind}: it cannot carry an adapter`, {
    where,
    hint: `train it whole with --modules_to_save ${module.split('.').at(-1)}, or leave it out`,
  });
}

const firstOf = ({ layers }: ModelModules): string => [...layers.keys()][0]!;

const namesOf = (paths: Iterable<string>): string[] => [
  ...new Set([...paths].map((path) => path.split('.').at(-1)!).filter((name) => !/^\d+$/.test(name))),
];
