/**
 * Finds the layers that an adapter changes and the modules that it trains in full, by PEFT's rules
 * (`check_target_module_exists`, `get_pattern_key` and `set_additional_trainable_modules` of peft 0.20).
 * Knows names of modules, not what an adapter computes.
 */
import { HEAD_LAYER } from '../models/names.ts';
import type { Adapter, Adapters } from '../nn/adapter.ts';
import type { AdapterConfig, TargetRule } from './config.ts';
import type { ModelModules, Spelling } from './model_modules.ts';
import { pythonPattern } from './patterns.ts';

/** PEFT's name for all linear layers except the head. */
export const ALL_LINEAR = 'all-linear';

/** The modules that match a rule, in the model's order: linear layers, and modules that cannot carry an adapter. */
export function targetedModules(
  rule: TargetRule,
  { layers, modules }: ModelModules,
  spelling: Spelling,
  where: string,
): { layers: string[]; others: string[] } {
  const isTargeted = targetTest(rule, where);
  const found = [...new Set([...layers.keys(), ...modules])].filter((name) => isTargeted(spelling(name)));
  if (isAllLinear(rule.targetModules)) {
    const linear = found.filter((name) => layers.get(name)?.patch === null && name !== HEAD_LAYER);
    return { layers: linear, others: [] };
  }
  return {
    layers: found.filter((name) => layers.has(name)),
    others: found.filter((name) => !layers.has(name)),
  };
}

/** The adapters of these layers, with the rank and scale that the config gives each. */
export function adaptersOn(
  names: readonly string[],
  config: AdapterConfig,
  { layers }: ModelModules,
  spelling: Spelling,
  where: string,
): Adapters {
  const rankOf = patternValue(config.rankPattern, config.rank, where);
  const alphaOf = patternValue(config.alphaPattern, config.alpha, where);
  return Object.fromEntries(
    names.map((name): [string, Adapter] => {
      const { out, inner } = layers.get(name)!;
      const [rank, alpha] = [rankOf(spelling(name)), alphaOf(spelling(name))];
      return [name, { rank, scale: alpha / scaleDivisor(config, rank), out, inner }];
    }),
  );
}

/** The divisor of alpha: the rank, or its square root (rank-stabilised LoRA). */
export const scaleDivisor = ({ rslora }: Pick<AdapterConfig, 'rslora'>, rank: number): number =>
  rslora ? Math.sqrt(rank) : rank;

/** Tensors of the modules that are trained and saved in full: as in PEFT, every module whose path ends in one of the names. */
export function savedTensors(
  names: readonly string[],
  { modules, tensors }: ModelModules,
  spelling: Spelling,
): string[] {
  const saved = [...modules].filter((module) => names.some((name) => spelling(module).endsWith(name)));
  return [...tensors.keys()].filter((tensor) => saved.some((module) => tensor.startsWith(`${module}.`)));
}

/** Modules whose path ends in a name of the list. */
export const endsAs = (path: string, name: string): boolean => path === name || path.endsWith(`.${name}`);

export const isAllLinear = (targets: TargetRule['targetModules']): boolean =>
  typeof targets === 'string' && targets.toLowerCase() === ALL_LINEAR;

// --- internal ---

/** Whether a rule matches the module with this path. */
function targetTest(rule: TargetRule, where: string): (path: string) => boolean {
  const { targetModules, excludeModules, modulesToSave, layersToTransform, layersPattern } = rule;
  const isExcluded = excludeModules === null ? () => false : matchTest(excludeModules, where);
  const saved = modulesToSave.map((name) => pythonPattern(`(^|.*\\.)${name}($|\\..*)`, where, { whole: true }));
  const isNamed = isAllLinear(targetModules) ? () => true : matchTest(targetModules, where);
  const layerPatterns = (layersPattern.length === 0 ? ['[^.]*'] : layersPattern).map((name) =>
    pythonPattern(`^.*?\\.${name}\\.(\\d+)\\.`, where),
  );
  const isInLayers = (path: string): boolean => {
    if (layersToTransform === null || typeof targetModules === 'string') return true;
    const found = layerPatterns.map((pattern) => pattern.exec(path)).find((match) => match !== null);
    return found != null && layersToTransform.includes(Number(found[1]));
  };
  return (path) =>
    !isExcluded(path) && !saved.some((pattern) => pattern.test(path)) && isNamed(path) && isInLayers(path);
}

function matchTest(names: string | readonly string[], where: string): (path: string) => boolean {
  if (typeof names !== 'string') return (path) => names.some((name) => endsAs(path, name));
  const pattern = pythonPattern(names, where, { whole: true });
  return (path) => pattern.test(path);
}

/** The value of the first key that matches the end of a path; keys are patterns. */
function patternValue(
  values: Readonly<Record<string, number>>,
  otherwise: number,
  where: string,
): (path: string) => number {
  const patterns = Object.entries(values).map(
    ([key, value]) => [pythonPattern(`(.*\\.)?(${key})`, where, { whole: true }), value] as const,
  );
  return (path) => patterns.find(([pattern]) => pattern.test(path))?.[1] ?? otherwise;
}
