/**
 * Checks of the flags that `rlhf` and `sft` share, against each other and against the data.
 */
import { SightlineError } from '../errors.ts';
import { createSchedule, lrSchedulerTypes } from '../optim/schedule.ts';
import { checkOutput, checkPixels, checkSizes } from './checks.ts';
import { checkColumns, checkDatasets } from './dataset_paths.ts';
import type { Faults } from './faults.ts';
import type { Values } from './flag.ts';
import type { rlhfFlags } from './rlhf.ts';
import type { sftFlags } from './sft.ts';
import { checkTuner } from './tuner_checks.ts';

export type TrainingValues = Values<typeof rlhfFlags> | Values<typeof sftFlags>;

/** ms-swift's. */
export const defaultRate = ({ tunerType }: Pick<TrainingValues, 'tunerType'>): number =>
  tunerType === 'full' ? 1e-5 : 1e-4;

export function checkTraining(values: TrainingValues, faults: Faults): void {
  checkPixels(values, faults);
  checkDatasets('dataset', values.dataset, faults);
  checkColumns(values.columns, faults);
  checkDatasets('val_dataset', values.valDataset, faults);
  checkOutput(values.outputDir, faults);
  checkSizes(
    {
      per_device_train_batch_size: values.perDeviceTrainBatchSize,
      per_device_eval_batch_size: values.perDeviceEvalBatchSize,
      gradient_accumulation_steps: values.gradientAccumulationSteps,
    },
    faults,
  );
  faults.check(
    ['warmup_steps', 'warmup_ratio'],
    values.warmupSteps === 0 || values.warmupRatio === 0,
    `given together with --warmup_ratio ${values.warmupRatio}`,
    'keep one of the two',
  );
  checkSchedule(values, faults);
  for (const flag of ['resume_only_model', 'ignore_data_skip'] as const) {
    faults.check(
      [flag, 'resume_from_checkpoint'],
      !(flag === 'resume_only_model' ? values.resumeOnlyModel : values.ignoreDataSkip) ||
        values.resumeFromCheckpoint !== null,
      'nothing is resumed',
      'give --resume_from_checkpoint as well',
    );
  }
  faults.check(
    ['max_steps'],
    values.maxSteps !== 0,
    'expected a number of steps above 0, got 0',
    'leave it out to train for --num_train_epochs',
  );
  faults.check(
    ['eval_strategy', 'val_dataset', 'split_dataset_ratio'],
    values.evalStrategy === null ||
      values.evalStrategy === 'no' ||
      values.valDataset.length > 0 ||
      values.splitDatasetRatio > 0,
    `${values.evalStrategy} needs evaluation rows, but there are none`,
    'give --val_dataset or --split_dataset_ratio',
  );
  // ms-swift has tuners and adapters that are none here, and checks them itself.
  if (!('engine' in values) || values.engine === 'sightline') checkTuner(values, faults);
}

// --- internal ---

/** Checks the schedule's settings with one step, because the number of steps is not known yet. */
function checkSchedule(values: TrainingValues, faults: Faults): void {
  const { lrSchedulerType: type, lrSchedulerKwargs, learningRate } = values;
  if (!lrSchedulerTypes.includes(type)) return; // only ms-swift has it, and checks it
  try {
    const options = { type, learningRate: learningRate ?? defaultRate(values), kwargs: lrSchedulerKwargs ?? {} };
    createSchedule({ ...options, totalSteps: 1, warmupSteps: 0 });
  } catch (error) {
    if (!(error instanceof SightlineError)) throw error;
    faults.check(['lr_scheduler_kwargs', 'lr_scheduler_type', 'learning_rate'], false, error.message, error.hint);
  }
}
