/**
 * Puts the weights and the optimizer's state of a checkpoint into a run. Frozen weights stay those of --model.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { AdapterPlan } from '../../adapters/plan.ts';
import { openAdapter } from '../../adapters/read.ts';
import { type Checkpoint, openCheckpoint } from '../../checkpoint/open.ts';
import { openSafetensors, type SafetensorsFile } from '../../checkpoint/safetensors.ts';
import type { Parameters } from '../../engine/parameters.ts';
import { SightlineError } from '../../errors.ts';
import type { ModelConfig } from '../../models/architecture.ts';
import { fill } from '../../runtime/device.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { sameSizes } from '../../util/same_sizes.ts';
import { OPTIMIZER_FILE, REFERENCE_FILE } from '../checkpoint_files.ts';
import type { MovingReference } from '../moving_reference.ts';
import type { Policy } from '../policy.ts';
import type { UpdateCounts, Updater } from '../update.ts';

/**
 * Replaces the trained weights by those of the checkpoint, and, unless only weights are wanted, the optimizer's state and the
 * reference that follows the policy.
 *
 * @param baseConfig of the model without its adapter
 * Errors: E_RESUME_MODEL if the checkpoint is not one of this model and these trained parameters; those of `openAdapter`,
 * `openCheckpoint` and `openSafetensors`.
 */
export async function restorePolicy(
  dir: string,
  { adapter, parameters }: Pick<Policy, 'adapter' | 'parameters'>,
  baseConfig: ModelConfig,
  updater: Updater | null,
  moving: MovingReference | null = null,
): Promise<void> {
  if (adapter === null) await restoreWeights(dir, parameters);
  else await restoreAdapter(dir, adapter, parameters, baseConfig);
  if (updater !== null) await restoreOptimizer(join(dir, OPTIMIZER_FILE), parameters, updater);
  if (updater !== null && moving !== null) await restoreReference(join(dir, REFERENCE_FILE), moving, parameters);
}

// --- internal ---

async function restoreWeights(dir: string, parameters: Parameters): Promise<void> {
  if (existsSync(join(dir, 'adapter_config.json'))) {
    throw otherModel('it is an adapter, but --tuner_type is full', dir, 'set --tuner_type lora, as the run did');
  }
  const saved: Checkpoint = openCheckpoint(dir);
  try {
    for (const name of parameters.trained) {
      const value = parameters.value(name);
      const stored = saved.tensors.get(name);
      if (stored === undefined) throw otherModel(`it has no tensor "${name}", which this run trains`, dir);
      if (!sameSizes(stored.shape, value.dims)) throw otherShape(name, stored.shape, value.dims, dir);
      await fill(parameters.device, value, (elements) => saved.readInto(name, elements));
    }
  } finally {
    saved.close();
  }
}

async function restoreAdapter(
  dir: string,
  plan: AdapterPlan,
  parameters: Parameters,
  baseConfig: ModelConfig,
): Promise<void> {
  if (!existsSync(join(dir, 'adapter_config.json'))) {
    throw otherModel('it is not an adapter, but --tuner_type is lora', dir, 'set --tuner_type full, as the run did');
  }
  const stored = openAdapter(dir, baseConfig);
  const layers = new Set([...Object.keys(stored.adapters), ...Object.keys(plan.adapters)]);
  for (const layer of layers) {
    const [there, here] = [stored.adapters[layer], plan.adapters[layer]];
    if (there === undefined) throw otherModel(`it has no adapter on ${layer}, which this run trains`, dir);
    if (here === undefined) throw otherModel(`it has an adapter on ${layer}, which this run does not train`, dir);
    if (there.rank !== here.rank)
      throw otherModel(`its rank on ${layer} is ${there.rank}, that of the run ${here.rank}`, dir);
    if (there.scale !== here.scale)
      throw otherModel(
        `its scale on ${layer} is ${there.scale}, that of the run ${here.scale}`,
        dir,
        'give the --lora_alpha of the run',
      );
  }
  const tensors = stored.read();
  for (const name of parameters.trained) {
    const tensor = tensors.get(name);
    if (tensor === undefined) throw otherModel(`it has no tensor "${name}", which this run trains`, dir);
    await parameters.device.write(parameters.value(name), tensor);
  }
}

async function restoreOptimizer(path: string, parameters: Parameters, updater: Updater): Promise<void> {
  if (!existsSync(path)) {
    throw new SightlineError('E_RESUME_MISSING', 'the optimizer state is missing', {
      where: path,
      hint: 'resume from another checkpoint, or set --resume_only_model true to begin with a new optimizer',
    });
  }
  const file = openSafetensors(path);
  try {
    const saved = new Set(
      [...file.entries.keys()].filter((name) => name.startsWith('m.')).map((name) => name.slice(2)),
    );
    const extra = [...saved].find((name) => !parameters.isTrained(name));
    if (extra !== undefined) throw otherModel(`its optimizer has "${extra}", which this run does not train`, path);
    const { moments } = updater.state();
    for (const [name, { m, v }] of moments) {
      await readFloats(file, `m.${name}`, m, parameters);
      await readFloats(file, `v.${name}`, v, parameters);
      if (file.entries.has(`value.${name}`))
        await readFloats(file, `value.${name}`, parameters.value(name), parameters);
    }
    updater.restoreCounts(countsOf(file));
  } finally {
    file.close();
  }
}

async function restoreReference(path: string, moving: MovingReference, parameters: Parameters): Promise<void> {
  if (!existsSync(path)) {
    throw new SightlineError('E_RESUME_MISSING', 'the reference that follows the policy is missing', {
      where: path,
      hint: 'the run was without --sync_ref_model true: leave it out, or set --resume_only_model true to begin with the initial reference',
    });
  }
  const file = openSafetensors(path);
  try {
    for (const name of moving.names) await readFloats(file, name, moving.value(name), parameters);
  } finally {
    file.close();
  }
  moving.changed();
}

async function readFloats(
  file: SafetensorsFile,
  name: string,
  target: Tensor,
  { device }: Pick<Parameters, 'device'>,
): Promise<void> {
  const entry = file.entries.get(name);
  if (entry === undefined) throw otherModel(`it has no "${name}", which belongs to what this run trains`, file.path);
  if (!sameSizes(entry.shape, target.dims)) throw otherShape(name, entry.shape, target.dims, file.path);
  await fill(device, target, (elements) => file.readWeights(name, elements));
}

function countsOf({ path, metadata }: SafetensorsFile): UpdateCounts {
  const count = (name: string): number => {
    const value = Number(metadata.get(name));
    if (Number.isSafeInteger(value) && value >= 0) return value;
    throw new SightlineError(
      'E_RESUME_STATE',
      `"${name}" in the header is ${metadata.get(name)}, expected a whole number`,
      {
        where: path,
        hint: 'resume from another checkpoint, or set --resume_only_model true',
      },
    );
  };
  return { steps: count('steps'), updates: count('updates'), skippedInARow: count('skipped_in_a_row') };
}

function otherShape(name: string, there: readonly number[], here: readonly number[], where: string): SightlineError {
  return otherModel(`"${name}" has shape [${there.join(', ')}], that of the run [${here.join(', ')}]`, where);
}

function otherModel(
  what: string,
  where: string,
  hint = 'resume with the --model and the flags of what is trained that the run had (see args.json beside the checkpoint)',
): SightlineError {
  return new SightlineError('E_RESUME_MODEL', `the checkpoint does not fit this run: ${what}`, { where, hint });
}
