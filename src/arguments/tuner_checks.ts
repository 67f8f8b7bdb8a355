/**
 * Checks across the flags that say what of a model is trained: parameters, or an adapter.
 */
import type { Faults } from './faults.ts';
import { snakeCase, type Values } from './flag.ts';
import { isFolder } from './paths.ts';
import type { rlhfFlags } from './rlhf.ts';
import type { sftFlags } from './sft.ts';

type TrainingValues = Values<typeof rlhfFlags> | Values<typeof sftFlags>;

export function checkTuner(values: TrainingValues, faults: Faults): void {
  const isLora = values.tunerType === 'lora';
  const byParts = isLora
    ? values.adapters.length === 0 && values.targetRegex === null && values.targetModules.includes('all-linear')
    : values.trainableParameters.length === 0 && values.trainableParametersRegex === null;
  faults.check(
    ['freeze_llm', 'freeze_vit', 'freeze_aligner'],
    !(byParts && values.freezeLlm && values.freezeVit && values.freezeAligner),
    'nothing is left to train: decoder, vision tower and merger are all frozen',
    'set one of --freeze_llm, --freeze_vit, --freeze_aligner to false',
  );
  checkAdapters(values, faults);
  checkFrozen(values, faults);
  faults.check(
    ['adapters', 'tuner_type'],
    isLora || values.adapters.length === 0,
    'given with --tuner_type full, which trains the weights of --model',
    'set --tuner_type lora to train the adapter, or merge it first: sightline export --adapters DIR --merge_lora true',
  );
  const byName = ['freezeParameters', 'freezeParametersRegex', 'freezeParametersRatio'] as const;
  const trained = ['trainableParameters', 'trainableParametersRegex'] as const;
  for (const name of [...byName, ...trained]) {
    const value = values[name];
    const isGiven = Array.isArray(value) ? value.length > 0 : value !== null && value !== 0;
    faults.check(
      [snakeCase(name), 'tuner_type'],
      !(isLora && isGiven),
      'belongs to --tuner_type full: with lora nothing but the adapter is trained',
      'choose layers with --target_modules or --target_regex, and whole modules with --modules_to_save',
    );
  }
  faults.check(
    ['target_modules', 'target_regex'],
    values.targetRegex === null || values.targetModules.join() === 'all-linear',
    'given together with --target_regex',
    'keep one of the two',
  );
  faults.check(
    ['target_modules'],
    values.targetModules.length === 1 || !values.targetModules.includes('all-linear'),
    `all-linear stands beside other names: ${values.targetModules.join(' ')}`,
    'name all-linear alone, or single layers',
  );
  faults.check(['target_modules'], values.targetModules.length > 0, 'no layer is named', 'leave it out for all-linear');
  const rates = { vit_lr: values.vitLr, aligner_lr: values.alignerLr };
  for (const [flag, rate] of Object.entries(rates)) {
    faults.check(
      [flag, 'lorap_lr_ratio'],
      rate === null || values.lorapLrRatio === null || !isLora,
      `given together with --lorap_lr_ratio ${values.lorapLrRatio}`,
      'keep one of the two',
    );
    faults.check(
      [flag, 'learning_rate'],
      rate === null || values.learningRate !== 0,
      'given with --learning_rate 0, by which the schedule is scaled',
      'freeze what is not to learn instead',
    );
  }
}

export function checkAdapters(values: { readonly adapters: readonly string[] }, faults: Faults): void {
  faults.check(
    ['adapters'],
    values.adapters.length < 2,
    `${values.adapters.length} adapters are named: ${values.adapters.join(', ')}`,
    'name one; merge the others into the model first, with sightline export',
  );
  checkFolder('adapters', values.adapters, faults);
}

/** The faults of --ref_adapters. */
export function checkReference(values: Values<typeof rlhfFlags>, faults: Faults): void {
  faults.check(
    ['ref_adapters', 'tuner_type'],
    values.refAdapters.length === 0 || values.tunerType === 'lora',
    'belongs to --tuner_type lora, where the reference shares the weights of --model',
    'leave it out',
  );
  faults.check(['ref_adapters'], values.refAdapters.length < 2, `${values.refAdapters.length} adapters are named`);
  checkFolder('ref_adapters', values.refAdapters, faults);
}

/** Faults of `--quant_bits`, whatever command has it. */
export function checkBits(quantBits: number | null, faults: Faults): void {
  const isBits = quantBits === null || quantBits === 4 || quantBits === 8;
  faults.check(['quant_bits'], isBits, `expected 4 or 8, got ${quantBits}`);
}

// --- internal ---

/** The faults of the flags that say how frozen weights are kept. */
function checkFrozen({ quantBits, weightsMemory, tunerType }: TrainingValues, faults: Faults): void {
  checkBits(quantBits, faults);
  for (const [flag, value] of Object.entries({ quant_bits: quantBits, weights_memory: weightsMemory })) {
    faults.check(
      [flag, 'tuner_type'],
      value === null || tunerType === 'lora',
      'given with --tuner_type full, which trains the weights themselves, in float32',
      'set --tuner_type lora to train an adapter over frozen weights, or leave it out',
    );
  }
}

function checkFolder(flag: string, dirs: readonly string[], faults: Faults): void {
  for (const dir of dirs) faults.check([flag], isFolder(dir), `no such folder: ${dir}`, 'check the path');
}
