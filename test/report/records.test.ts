import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { completionsJsonl, loggingJsonl } from '../../src/report/records.ts';
import { createStopwatch } from '../../src/report/stopwatch.ts';
import type { CompletionsEvent, Listener, TrainEvent } from '../../src/train/events.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { endEvent, logEvent, rowOrigin, startEvent } from './events.ts';

const root = temporaryFolder();

function written(name: string, make: (folder: string) => Listener, events: readonly TrainEvent[]): string | null {
  const folder = join(root, `${name}-${Math.random()}`);
  mkdirSync(folder);
  const listener = make(folder);
  for (const event of events) listener.onEvent(event);
  listener.close?.();
  const path = join(folder, name);
  return existsSync(path) ? readFileSync(path, 'utf8') : null;
}

/** A clock that stands still between events and goes on by 90 s at each; a phase begins where the last event ended. */
function steppingClock() {
  let time = 0;
  return {
    now: () => time,
    wrap: (listener: Listener): Listener => ({
      ...listener,
      onEvent(event) {
        time += event.type === 'start' || event.type === 'phase' ? 0 : 90_000;
        return listener.onEvent(event);
      },
    }),
  };
}

describe('logging.jsonl', () => {
  test("has ms-swift's keys, one record per log and evaluation, and the history at the end", () => {
    const clock = steppingClock();
    const text = written('logging.jsonl', (folder) => clock.wrap(loggingJsonl(folder, createStopwatch(clock.now))), [
      startEvent(),
      logEvent(1, { loss: 0.1234567891, reward: 1.5, 'rewards/DDAPOAttentionORM/mean': -1.09, grad_norm: Number.NaN }),
      { type: 'phase', phase: 'eval', begins: true },
      { type: 'eval', step: 1, maxSteps: 2, epoch: 0.5, metrics: { reward: 2 } },
      logEvent(2, { reward: 4.25 }),
      endEvent(),
    ]);
    const records = text!
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(records).toHaveLength(4);
    const memory = records[0]!['memory(GiB)'];
    expect(memory).toBeGreaterThan(0.01);
    expect(records[0]).toEqual({
      loss: 0.12345679,
      reward: 1.5,
      'rewards/DDAPOAttentionORM/mean': -1.09,
      grad_norm: 'NaN',
      epoch: 0.5,
      'global_step/max_steps': '1/2',
      elapsed_time: '1m 30s',
      remaining_time: '1m 30s',
      'memory(GiB)': memory,
      'train_speed(s/it)': 90,
    });
    expect(records[1]).toMatchObject({ eval_reward: 2, 'global_step/max_steps': '1/2', elapsed_time: '3m 0s' });
    expect(records[1]).not.toHaveProperty('reward');
    expect(records[2]).toMatchObject({ reward: 4.25, remaining_time: '0s', 'train_speed(s/it)': 90 });
    expect(records[3]).toMatchObject({
      train_runtime: 360,
      last_model_checkpoint: 'output/v0/checkpoint-2',
      best_model_checkpoint: null,
      best_metric: null,
      global_step: 2,
      log_history: [
        { step: 1, reward: 1.5 },
        { step: 1, eval_reward: 2 },
        { step: 2, reward: 4.25 },
      ],
    });
    expect(records[3]!.memory).toBeGreaterThan(0.01);
  });

  test('before the first step, speed and remaining time are unknown and left out', () => {
    const text = written('logging.jsonl', loggingJsonl, [
      startEvent(),
      { type: 'eval', step: 0, maxSteps: 2, epoch: 0, metrics: { reward: 2 } },
    ]);
    const record = JSON.parse(text!);
    expect(Object.keys(record)).toEqual([
      'eval_reward',
      'epoch',
      'global_step/max_steps',
      'elapsed_time',
      'memory(GiB)',
    ]);
  });

  test('memory on a device stands beside that of the process, and in no history', () => {
    const text = written('logging.jsonl', loggingJsonl, [
      startEvent(),
      { ...logEvent(1, { loss: 0.5 }), deviceMemory: 2 ** 31 },
      { ...endEvent(), deviceMemory: 2 ** 31 + 2 ** 29 },
    ]);
    const [record, last] = text!
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(record).toMatchObject({ 'device_memory(GiB)': 2 });
    expect(last).toMatchObject({ device_memory: 2.5, log_history: [{ step: 1, loss: 0.5 }] });
    expect((last!.log_history as object[])[0]).not.toHaveProperty('device_memory(GiB)');
  });

  test('a run that fails before its first log leaves no file', () => {
    expect(written('logging.jsonl', loggingJsonl, [startEvent()])).toBeNull();
  });
});

describe('completions.jsonl', () => {
  const event: CompletionsEvent = {
    type: 'completions',
    step: 5,
    rows: [
      {
        row: rowOrigin({ images: [{ kind: 'path', path: '/data/0.png', where: 'train.jsonl:3' }], solution: 'red' }),
        prompt: 'p',
        completion: 'red',
        rewards: { Format: 1, DDAPOAttentionORM: null },
        advantage: 0.7,
        extras: { tdr: null },
      },
      {
        row: rowOrigin({
          index: 3,
          images: [{ kind: 'base64', base64: 'AAAA', where: 'train.jsonl:4' }],
          solution: null,
        }),
        prompt: 'p',
        completion: '"\n\u2028',
        rewards: { Format: 0, DDAPOAttentionORM: -1.1 },
        advantage: -0.7,
        extras: { tdr: 1.1, note: 'x' },
      },
    ],
  };

  test('is a table of columns per log', () => {
    const text = written('completions.jsonl', completionsJsonl, [event, { ...event, rows: [] }, { ...event, step: 6 }]);
    const lines = text!.trimEnd().split('\n');
    expect(lines).toHaveLength(2);
    expect(JSON.parse(lines[0]!)).toEqual({
      step: ['5', '5'],
      prompt: ['p', 'p'],
      completion: ['red', '"\n\u2028'],
      Format: [1, 0],
      DDAPOAttentionORM: [null, -1.1],
      advantages: [0.7, -0.7],
      tdr: [null, 1.1],
      note: [null, 'x'],
      solution: ['red', null],
      source: ['train.jsonl:3', 'train.jsonl:3'],
      index: [2, 3],
      images: [['/data/0.png'], [null]],
    });
    expect(Object.keys(JSON.parse(lines[1]!)).slice(0, 4)).toEqual(['step', 'prompt', 'completion', 'Format']);
  });

  test('has a solution where every row has one, as in ms-swift', () => {
    const without = { ...event.rows[1]!, row: rowOrigin() };
    const text = written('completions.jsonl', completionsJsonl, [{ ...event, rows: [event.rows[0]!, without] }]);
    expect(JSON.parse(text!)).not.toHaveProperty('solution');
  });
});
