/**
 * Saves the checkpoints of a run: `checkpoint-N` folders that load like their source and contain the state for resuming.
 * Knows files and their order, not when to save or what a metric means.
 */
import { existsSync } from 'node:fs';
import { copyFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { AdapterPlan } from '../adapters/plan.ts';
import { writeAdapter } from '../adapters/write.ts';
import { besideFolder, writeFolderAtomically } from '../checkpoint/atomic_folder.ts';
import { bytesOf } from '../checkpoint/dtypes.ts';
import type { Checkpoint } from '../checkpoint/open.ts';
import { type TensorToWrite, writeSafetensors } from '../checkpoint/safetensors.ts';
import { saveCheckpoint } from '../checkpoint/save.ts';
import type { Parameters } from '../engine/parameters.ts';
import { messageOf } from '../errors.ts';
import type { ModelConfig } from '../models/architecture.ts';
import type { Tensor } from '../runtime/tensor.ts';
import type { Json } from '../util/json.ts';
import { OPTIMIZER_FILE, REFERENCE_FILE, SYSTEM_FILE, TRAINER_STATE_FILE } from './checkpoint_files.ts';
import type { CheckpointEvent, NoticeEvent } from './events.ts';
import type { MovingReference } from './moving_reference.ts';
import { type Best, type LoopState, writeLoopState } from './resume/loop_state.ts';
import type { Updater } from './update.ts';

/** Arguments that shaped the prompts. */
export interface PromptSettings {
  readonly minPixels: number | null;
  readonly maxPixels: number | null;
  readonly system: string | null;
}

export interface CheckpointsOptions {
  /** Folder of the run. */
  readonly outputDir: string;
  readonly source: Checkpoint;
  /** What is trained, if it is an adapter; and the model that it is on. */
  readonly adapter?: TrainedAdapter | null;
  readonly parameters: Parameters;
  readonly updater: Pick<Updater, 'state'>;
  /** A reference that follows the policy. */
  readonly moving?: Pick<MovingReference, 'names' | 'value'> | null;
  /** What shaped the prompts of the run, so that `infer` can use the same. */
  readonly prompts: PromptSettings;
  /** Number of checkpoints kept; null keeps all. The best and the last one are never removed. */
  readonly totalLimit: number | null;
  /** Leave out the files that only resuming needs. */
  readonly onlyModel: boolean;
  /** Whether a higher metric is better (reward), or a lower one (loss). */
  readonly greaterIsBetter: boolean;
  /** What the run has saved before it was resumed. */
  readonly earlier?: EarlierCheckpoints | null;
  readonly emit: (event: CheckpointEvent | NoticeEvent) => Promise<void>;
}

/** An adapter in training, as its files need it. */
export interface TrainedAdapter {
  readonly plan: AdapterPlan;
  readonly config: ModelConfig;
  readonly lorapLrRatio: number | null;
}

/** The checkpoints of a run up to the one that it continues from. */
export interface EarlierCheckpoints {
  /** Paths, the oldest first. */
  readonly saved: readonly string[];
  readonly best: Best | null;
}

export interface ProgressToSave {
  readonly step: number;
  readonly maxSteps: number;
  readonly epoch: number;
  /** The metric that decides the best checkpoint; null if there was no evaluation at this step. */
  readonly metric: number | null;
  readonly logHistory: readonly Json[];
  /** What the loop continues from. */
  readonly loop: LoopState;
}

export interface Checkpoints {
  /** Saves `checkpoint-<step>` completely or not at all, emits an event, then removes old ones. Returns the path. */
  save(progress: ProgressToSave): Promise<string>;
  /** Paths for the `end` event. */
  summary(): { lastCheckpoint: string | null; bestCheckpoint: string | null; bestMetric: number | null };
}

export function createCheckpoints(options: CheckpointsOptions): Checkpoints {
  const { outputDir, prompts, totalLimit, onlyModel, greaterIsBetter } = options;
  const saved = [...(options.earlier?.saved ?? [])]; // oldest first; only folders of this run are ever removed
  let best = options.earlier?.best ?? null;

  return {
    async save(progress) {
      const { step, metric } = progress;
      const dir = join(outputDir, `checkpoint-${step}`);
      if (saved.at(-1) === dir) return dir;
      const isBest =
        metric !== null && (best === null || (greaterIsBetter ? metric > best.metric : metric < best.metric));
      const nowBest: Best | null = isBest ? { dir, metric, step } : best;
      await saveWeights(dir, options, async (folder) => {
        await writeJson(join(folder, TRAINER_STATE_FILE), trainerState(progress, nowBest));
        if (prompts.system !== null) await writeFile(join(folder, SYSTEM_FILE), prompts.system);
        const args = join(outputDir, 'args.json');
        if (existsSync(args)) await copyFile(args, join(folder, 'args.json'));
        if (onlyModel) return;
        await writeLoopState(folder, progress.loop);
        await writeOptimizer(join(folder, OPTIMIZER_FILE), options);
        if (options.moving != null)
          await writeReference(join(folder, REFERENCE_FILE), options.moving, options.parameters);
      });
      best = nowBest;
      saved.push(dir);
      await options.emit({ type: 'checkpoint', step, dir });
      for (const old of beyondLimit(saved, best, totalLimit)) {
        try {
          await removeFolder(old);
        } catch (error) {
          // Too many checkpoints are no reason to end a run. The next save tries again.
          const text = `an old checkpoint could not be removed: ${messageOf(error)}`;
          await options.emit({ type: 'notice', level: 'warn', text });
        }
        if (!existsSync(old)) saved.splice(saved.indexOf(old), 1);
      }
      return dir;
    },
    summary: () => ({
      lastCheckpoint: saved.at(-1) ?? null,
      bestCheckpoint: best?.dir ?? null,
      bestMetric: best?.metric ?? null,
    }),
  };
}

// --- internal ---

/** A folder that loads as its source does; of an adapter, the folder that PEFT makes of it. */
async function saveWeights(
  dir: string,
  { source, adapter, parameters, prompts }: CheckpointsOptions,
  extra: (folder: string) => Promise<void>,
): Promise<void> {
  if (adapter != null) {
    const values = (name: string): Promise<Float32Array> => elementsOf(parameters.value(name), parameters);
    const fill = async (folder: string): Promise<void> => {
      await writeAdapter(folder, adapter.plan, adapter.config, values, adapter);
      await extra(folder);
    };
    await writeFolderAtomically(dir, fill, { overwrite: true });
    return;
  }
  const trained = new Set(parameters.trained);
  await saveCheckpoint(dir, {
    source,
    pixelLimits: { minPixels: prompts.minPixels ?? undefined, maxPixels: prompts.maxPixels ?? undefined },
    overwrite: true,
    // Frozen weights are copied from the source.
    weights: (name) => (trained.has(name) ? elementsOf(parameters.value(name), parameters) : undefined),
    extra,
  });
}

/** The fields of Trainer's file that scripts commonly read. */
function trainerState({ step, maxSteps, epoch, logHistory }: ProgressToSave, best: Best | null): Json {
  return {
    best_global_step: best?.step ?? null,
    best_metric: best?.metric ?? null,
    best_model_checkpoint: best?.dir ?? null,
    epoch,
    global_step: step,
    max_steps: maxSteps,
    is_world_process_zero: true,
    log_history: logHistory,
  };
}

/**
 * Writes `m.<name>` and `v.<name>` of every trained parameter. Where a weight is stored with fewer bits than float32, it also
 * writes `value.<name>` in float32, because a run resumed from rounded weights would differ. resume/restore.ts reads the file.
 */
async function writeOptimizer(
  path: string,
  { parameters, updater, source, adapter }: CheckpointsOptions,
): Promise<void> {
  const { counts, moments } = updater.state();
  const tensors: TensorToWrite[] = [];
  for (const [name, { m, v }] of moments) {
    tensors.push(float32(`m.${name}`, m, parameters), float32(`v.${name}`, v, parameters));
    const isFloat32 = adapter != null || source.tensors.get(name)?.dtype === 'F32';
    if (!isFloat32) tensors.push(float32(`value.${name}`, parameters.value(name), parameters));
  }
  await writeSafetensors(path, tensors, {
    format: 'pt',
    steps: String(counts.steps),
    updates: String(counts.updates),
    skipped_in_a_row: String(counts.skippedInARow),
  });
}

async function writeReference(
  path: string,
  { names, value }: Pick<MovingReference, 'names' | 'value'>,
  where: Pick<Parameters, 'device'>,
): Promise<void> {
  const tensors = names.map((name) => float32(name, value(name), where));
  await writeSafetensors(path, tensors, { format: 'pt' });
}

/** A tensor in float32; it comes from the device when it is written, so that no more than one is here at a time. */
function float32(name: string, tensor: Tensor, where: Pick<Parameters, 'device'>): TensorToWrite {
  return {
    name,
    dtype: 'F32',
    shape: tensor.dims,
    async *chunks() {
      yield bytesOf(await elementsOf(tensor, where));
    },
  };
}

const elementsOf = async (tensor: Tensor, { device }: Pick<Parameters, 'device'>): Promise<Float32Array> =>
  (await device.download(tensor)).data;

async function writeJson(path: string, value: Json): Promise<void> {
  await writeFile(path, `${JSON.stringify(value, null, 2)}\n`);
}

/** The oldest folders beyond the limit, except for the best and the newest. */
function beyondLimit(saved: readonly string[], best: Best | null, limit: number | null): string[] {
  if (limit === null) return [];
  const removable = saved.slice(0, -1).filter((dir) => dir !== best?.dir);
  return removable.slice(0, Math.max(0, saved.length - limit));
}

/** Renames the folder before deleting it, so that its name never refers to a partial checkpoint. */
async function removeFolder(dir: string): Promise<void> {
  const hidden = besideFolder(dir, 'removed');
  await rename(dir, hidden);
  await rm(hidden, { recursive: true, force: true });
}
