/**
 * Lines as ms-swift 4.6.0 wrote them, shortened.
 */
import { expect, test } from 'vitest';
import { watchLog } from '../../src/ms_swift/watch_log.ts';
import type { TrainEvent } from '../../src/train/events.ts';

const signals = [{ label: 'tdr', metric: 'attention/tdr_mean', correlation: 'attention/corr_tdr_' }];
const watched = () => watchLog({ modelDir: 'MODEL', outputDir: 'RUN', changed: { beta: 0 }, signals });

const BEGINNING = [
  '[INFO:swift] train_dataset: Dataset({',
  "    features: ['messages', 'images'],",
  '    num_rows: 26',
  '})',
  '[INFO:swift] val_dataset: Dataset({',
  "    features: ['messages', 'images'],",
  '    num_rows: 6',
  '})',
  '[INFO:swift] model_parameter_info: Qwen2_5_VLForConditionalGeneration: 1.5350M Params (0.9453M Trainable [61.5802%]), 0.0000M Buffers.',
];
const STEP = { 'global_step/max_steps': '1/2', elapsed_time: '4s', remaining_time: '4s', 'train_speed(s/it)': 4.065 };
const LOG = { loss: -1e-8, 'rewards/DDAPOAttentionORM/mean': -1.11, epoch: 0.04, ...STEP };

const of = (events: readonly TrainEvent[], type: TrainEvent['type']) => events.filter((event) => event.type === type);

test('the start has the sizes that came before, and comes once, with the first word of steps', () => {
  const watch = watched();
  expect(BEGINNING.flatMap(watch.line)).toEqual([]);
  expect(watch.hasStarted()).toBe(false);
  const start = {
    type: 'start',
    command: 'rlhf',
    changed: { beta: 0 },
    model: {
      dir: 'MODEL',
      architecture: 'Qwen2_5_VLForConditionalGeneration',
      parameters: 1_535_000,
      trainable: 945_300,
    },
    data: { rows: 26, evalRows: 6, dropped: {} },
    outputDir: 'RUN',
    step: 0,
    maxSteps: 2,
    signals,
  };
  // The bar is not at the end of its line yet, and a warning may follow it.
  expect(watch.line('Train:   0%|          | 0/2 [00:00<?, ?it/s]a.py:1: UserWarning: x')).toEqual([start]);
  expect(watch.line('Train:   0%|          | 0/2 [00:00<?, ?it/s]')).toEqual([]);
  expect(watch.line('Train:  50%|█████     | 1/2 [00:04<00:04,  4.06s/it]')).toEqual([
    { type: 'progress', step: 1, maxSteps: 2, epoch: 0 },
  ]);
  expect(of(watched().record(JSON.stringify(LOG)), 'start')).toHaveLength(1);
});

test('records are logs and evaluations, and the last one names checkpoints', () => {
  const watch = watched();
  const evaluation = { eval_reward: 1.5, 'eval_rewards/Format/mean': 1, epoch: 0, 'global_step/max_steps': '0/2' };
  expect(of(watch.record(JSON.stringify(evaluation)), 'eval')).toEqual([
    { type: 'eval', step: 0, maxSteps: 2, epoch: 0, metrics: { reward: 1.5, 'rewards/Format/mean': 1 } },
  ]);
  expect(watch.record(JSON.stringify({ ...LOG, 'memory(GiB)': 3.5 })).at(-1)).toEqual({
    type: 'log',
    step: 1,
    maxSteps: 2,
    epoch: 0.04,
    metrics: { loss: -1e-8, 'rewards/DDAPOAttentionORM/mean': -1.11 },
  });
  expect(watch.memory()).toBe(3.5);
  watch.record(JSON.stringify({ ...LOG, loss: 2, 'global_step/max_steps': '2/2' }));
  watch.record(JSON.stringify({ ...evaluation, eval_reward: 2, 'global_step/max_steps': '2/2' }));
  expect(watch.record(JSON.stringify({ train_runtime: 8, 'global_step/max_steps': '2/2' }))).toEqual([]);
  const last = { last_model_checkpoint: 'RUN/checkpoint-2', best_model_checkpoint: null, best_metric: null };
  expect(watch.record(JSON.stringify({ ...last, log_history: [] }))).toEqual([]);
  expect(watch.end('completed')).toMatchObject({
    status: 'completed',
    step: 2,
    maxSteps: 2,
    firstLog: { loss: -1e-8 },
    lastLog: { loss: 2 },
    evalBefore: { reward: 1.5 },
    evalAfter: { reward: 2 },
    lastCheckpoint: 'RUN/checkpoint-2',
    bestCheckpoint: null,
  });
});

test('the plugin is heard, with what belongs to a line of it, and ms-swift itself is not', () => {
  const watch = watched();
  const lines = [
    '[WARNING:swift] Please install the package: decord',
    '[INFO:swift] [DDAPO_DEBUG] output_attentions: True',
    'Train:  50%|█████     | 1/2 [00:04<00:04][WARNING:swift] sightline: prompts could not be compared',
    '  at: row 0',
    '  fix: look',
    '  at: elsewhere',
    'x',
    '  at: nothing of ours',
  ];
  expect(of(lines.flatMap(watch.line), 'notice')).toEqual([
    { type: 'notice', level: 'debug', text: '[DDAPO_DEBUG] output_attentions: True' },
    { type: 'notice', level: 'warn', text: 'prompts could not be compared' },
    { type: 'notice', level: 'info', text: '  at: row 0' },
    { type: 'notice', level: 'info', text: '  fix: look' },
    { type: 'notice', level: 'info', text: '  at: elsewhere' },
  ]);
});

test('evaluations are phases, saves are checkpoints', () => {
  const watch = watched();
  watch.record(JSON.stringify(LOG));
  const phase = { type: 'phase', phase: 'eval', total: 6 };
  expect(watch.line('Val:   0%|          | 0/6 [00:00<?, ?it/s]')).toEqual([{ ...phase, begins: true, done: 0 }]);
  expect(watch.line('Val:  33%|███▎      | 2/6 [00:00<00:00,  5.12it/s]')).toEqual([
    { ...phase, begins: false, done: 2 },
  ]);
  expect(watch.line('[INFO:swift] Saving model checkpoint to RUN/checkpoint-2')).toEqual([
    { type: 'checkpoint', step: 2, dir: 'RUN/checkpoint-2' },
  ]);
});
