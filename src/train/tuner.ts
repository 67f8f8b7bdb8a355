/**
 * Decides by a command's flags what is trained: the model's parameters (`full`) or an adapter (`lora`).
 * Defaults and meanings are ms-swift's; docs/parity.md lists the exceptions.
 */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { AdapterConfig } from '../adapters/config.ts';
import type { NewWeights } from '../adapters/init.ts';
import { allLinearPattern, moduleShorthands } from '../adapters/swift_targets.ts';
import type { ModelConfig } from '../models/architecture.ts';
import type { AdapterOptions } from './adapter.ts';
import { DEFAULT_FREEZE, type Freeze, type TrainedRule } from './trained_parameters.ts';

/** The flags that this depends on. */
export interface TunerArguments {
  readonly model: string;
  readonly tunerType: 'full' | 'lora';
  readonly freezeLlm: boolean;
  readonly freezeVit: boolean;
  readonly freezeAligner: boolean;
  readonly freezeParameters: readonly string[];
  readonly freezeParametersRegex: string | null;
  readonly freezeParametersRatio: number;
  readonly trainableParameters: readonly string[];
  readonly trainableParametersRegex: string | null;
  readonly adapters: readonly string[];
  readonly refAdapters: readonly string[];
  readonly loraRank: number;
  readonly loraAlpha: number;
  readonly loraDropout: number;
  readonly useRslora: boolean;
  readonly initWeights: 'true' | 'false' | 'gaussian';
  readonly targetModules: readonly string[];
  readonly targetRegex: string | null;
  readonly modulesToSave: readonly string[];
  readonly seed: number;
}

export function trainedRule(args: Partial<TunerArguments>): TrainedRule {
  return {
    freeze: freezeOf(args),
    freezeParameters: args.freezeParameters ?? [],
    freezeParametersRegex: args.freezeParametersRegex ?? null,
    freezeParametersRatio: args.freezeParametersRatio ?? 0,
    trainableParameters: args.trainableParameters ?? [],
    trainableParametersRegex: args.trainableParametersRegex ?? null,
  };
}

/** The adapter of a policy; null if it has none. The settings in an adapter's folder take precedence over flags for new adapters. */
export function adapterOptions(args: Partial<TunerArguments>): AdapterOptions | null {
  const reference = args.refAdapters?.[0] ?? null;
  const [dir] = args.adapters ?? [];
  if (dir !== undefined) return { dir, reference };
  if (args.tunerType !== 'lora') return null;
  const flags = args as TunerArguments;
  return {
    settings: (config) => newConfig(flags, config),
    init: INIT[flags.initWeights],
    seed: flags.seed,
    reference,
  };
}

// --- internal ---

const INIT: Readonly<Record<TunerArguments['initWeights'], NewWeights>> = {
  true: true,
  false: false,
  gaussian: 'gaussian',
};

const freezeOf = (args: Partial<TunerArguments>): Freeze => ({
  llm: args.freezeLlm ?? DEFAULT_FREEZE.llm,
  vit: args.freezeVit ?? DEFAULT_FREEZE.vit,
  aligner: args.freezeAligner ?? DEFAULT_FREEZE.aligner,
});

function newConfig(args: TunerArguments, config: ModelConfig): AdapterConfig {
  const targets = args.targetModules.includes('all-linear')
    ? allLinearPattern(config, freezeOf(args))
    : args.targetModules;
  return {
    rank: args.loraRank,
    alpha: args.loraAlpha,
    dropout: args.loraDropout,
    rslora: args.useRslora,
    targetModules: args.targetRegex ?? targets,
    excludeModules: null,
    modulesToSave: moduleShorthands(args.modulesToSave, config),
    layersToTransform: null,
    layersPattern: [],
    rankPattern: {},
    alphaPattern: {},
    initWeights: INIT[args.initWeights],
    // The name of a model is more informative than the folder in which it was found.
    baseModel: existsSync(args.model) ? resolve(args.model) : args.model,
  };
}
