/**
 * Which parameters full training changes, by ms-swift's rules (`freeze_parameters` and `activate_parameters` of ms-swift 4.6):
 * first all are trained, then some are frozen, then some of the frozen ones are trained after all.
 * Knows names and sizes of parameters, not how they are trained.
 */
import { SPELLINGS } from '../adapters/model_modules.ts';
import { pythonPattern } from '../adapters/patterns.ts';
import { SightlineError } from '../errors.ts';
import type { ModelConfig } from '../models/architecture.ts';
import { type ModelPart, partOf } from '../models/names.ts';
import { parameterOrder } from '../models/parameter_order.ts';
import { expectedTensors } from '../models/tensors.ts';
import { sizeOf } from '../runtime/tensor.ts';

/** Parts that are frozen. */
export type Freeze = Readonly<Record<ModelPart, boolean>>;

/** ms-swift's default: the decoder is trained, the vision tower and the merger are not. */
export const DEFAULT_FREEZE: Freeze = { llm: false, vit: true, aligner: true };

export interface TrainedRule {
  readonly freeze: Freeze;
  /** What is frozen: names with these prefixes, names in which a pattern is found, and a share of all elements, counted from the first layer. */
  readonly freezeParameters?: readonly string[];
  readonly freezeParametersRegex?: string | null;
  readonly freezeParametersRatio?: number;
  /** What is trained nevertheless: prefixes, and a pattern found in a name. */
  readonly trainableParameters?: readonly string[];
  readonly trainableParametersRegex?: string | null;
}

/**
 * Canonical names of the parameters that are trained.
 *
 * Errors: E_PARAMETERS if a prefix or pattern matches nothing or if nothing is left to train; E_PATTERN.
 */
export function trainedParameters(rule: TrainedRule, config: ModelConfig): ReadonlySet<string> {
  const names = parameterOrder(config);
  const trained = new Set(names);
  const freeze = (hit: readonly string[]): void => hit.forEach((name) => void trained.delete(name));
  const train = (hit: readonly string[]): void => hit.forEach((name) => void trained.add(name));

  freeze(fromBelow(names, config, rule.freezeParametersRatio ?? 0));
  freeze(beginningWith(rule.freezeParameters ?? [], names, '--freeze_parameters'));
  freeze(names.filter((name) => rule.freeze[partOf(name)]));
  freeze(found(rule.freezeParametersRegex ?? null, names, '--freeze_parameters_regex'));
  // In ms-swift, a merger that is not frozen is among the parameters that are trained nevertheless.
  if (!rule.freeze.aligner) train(names.filter((name) => partOf(name) === 'aligner'));
  train(beginningWith(rule.trainableParameters ?? [], names, '--trainable_parameters'));
  train(found(rule.trainableParametersRegex ?? null, names, '--trainable_parameters_regex'));
  if (trained.size === 0) {
    throw new SightlineError('E_PARAMETERS', 'nothing is left to train: every parameter is frozen', {
      where: '--freeze_parameters, --freeze_parameters_regex, --freeze_parameters_ratio',
      hint: 'freeze less, or name what is trained with --trainable_parameters',
    });
  }
  return trained;
}

// --- internal ---

/** The first parameters, as many as fit into a share of all elements. */
function fromBelow(names: readonly string[], config: ModelConfig, ratio: number): string[] {
  if (ratio === 0) return [];
  const shapes = expectedTensors(config);
  const sizes = names.map((name) => sizeOf(shapes.get(name)!));
  const most = Math.floor(sizes.reduce((sum, size) => sum + size, 0) * ratio);
  let through = 0;
  return names.filter((_, i) => {
    through += sizes[i]!;
    return through <= most;
  });
}

function beginningWith(prefixes: readonly string[], names: readonly string[], flag: string): string[] {
  return prefixes.flatMap((prefix) =>
    hits(names, (spelled) => spelled.startsWith(prefix), `no parameter begins with "${prefix}"`, flag),
  );
}

function found(pattern: string | null, names: readonly string[], flag: string): string[] {
  if (pattern === null) return [];
  const regex = pythonPattern(pattern, flag);
  return hits(names, (spelled) => regex.test(spelled), `the pattern is found in no parameter's name: ${pattern}`, flag);
}

/** The names that match in the current spelling or, if there are none, in the former one. */
function hits(names: readonly string[], isHit: (spelled: string) => boolean, fault: string, flag: string): string[] {
  for (const spelling of SPELLINGS) {
    const hit = names.filter((name) => isHit(spelling(name)));
    if (hit.length > 0) return hit;
  }
  const examples = [names[0]!, names.at(-1)!].map(SPELLINGS[0]).join(' and ');
  throw new SightlineError('E_PARAMETERS', fault, { where: flag, hint: `names are such as ${examples}` });
}
