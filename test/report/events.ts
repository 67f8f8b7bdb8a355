/**
 * Events of a short, invented run, for the tests of those who listen.
 */
import type { EndEvent, LogEvent, Metrics, RowOrigin, StartEvent } from '../../src/train/events.ts';

export function startEvent(changes: Partial<StartEvent> = {}): StartEvent {
  return {
    type: 'start',
    command: 'rlhf',
    changed: { learning_rate: 3e-5, reward_funcs: ['ddapo_attention', 'format'] },
    model: {
      dir: 'model',
      architecture: 'Qwen2_5_VLForConditionalGeneration',
      parameters: 1_620_000,
      trainable: 1_200_000,
    },
    data: { rows: 512, evalRows: 100, dropped: { 'too long': 3, unreadable: 0 } },
    signals: [{ label: 'tdr', metric: 'attention/tdr_mean', correlation: 'attention/corr_tdr_' }],
    outputDir: 'output/v0',
    step: 0,
    maxSteps: 2,
    ...changes,
  };
}

export function logEvent(step: number, metrics: Metrics): LogEvent {
  return { type: 'log', step, maxSteps: 2, epoch: step / 2, metrics };
}

export function endEvent(changes: Partial<EndEvent> = {}): EndEvent {
  return {
    type: 'end',
    status: 'completed',
    step: 2,
    maxSteps: 2,
    firstLog: { reward: 1.5, 'attention/tdr_mean': 1.09 },
    lastLog: { reward: 4.25, 'attention/tdr_mean': 1.05 },
    evalBefore: { reward: 1 },
    evalAfter: { reward: 4 },
    outputDir: 'output/v0',
    seconds: { rollout: 1.5, update: 2.5 },
    lastCheckpoint: 'output/v0/checkpoint-2',
    bestCheckpoint: null,
    bestMetric: null,
    ...changes,
  };
}

export function rowOrigin(changes: Partial<RowOrigin> = {}): RowOrigin {
  return { source: 'train.jsonl:3', index: 2, images: [], ...changes };
}
