import { expect, test } from 'vitest';
import { createStopwatch } from '../../src/report/stopwatch.ts';
import type { Phase, TrainEvent } from '../../src/train/events.ts';
import { startEvent } from './events.ts';

const phase = (name: Phase): TrainEvent => ({ type: 'phase', phase: name, begins: true });
const evaluation = (step: number): TrainEvent => ({ type: 'eval', step, maxSteps: 10, epoch: 0, metrics: {} });
const progress = (step: number): TrainEvent => ({ type: 'progress', step, maxSteps: 10, epoch: 0 });

/** Lets so many seconds go by, then tells the event. */
function play(events: readonly (readonly [seconds: number, event: TrainEvent])[]) {
  let time = 5000;
  const stopwatch = createStopwatch(() => time);
  for (const [seconds, event] of events) {
    time += seconds * 1000;
    stopwatch.onEvent(event);
  }
  return { stopwatch, wait: (seconds: number) => (time += seconds * 1000) };
}

test('an evaluation before step 1 is no part of the time of a step', () => {
  const { stopwatch } = play([
    [0, startEvent({ maxSteps: 10 })],
    [0, phase('eval')],
    [9.6, evaluation(0)],
    [0, phase('rollout')],
    [1.3, progress(1)],
  ]);
  expect(stopwatch.columns(1, 10)).toMatchObject({
    elapsed_time: '11s',
    'train_speed(s/it)': 1.3,
    remaining_time: '12s', // 9 x 1.3
  });
});

test('the first step, which compiles, counts only while it is alone', () => {
  const { stopwatch, wait } = play([
    [0, startEvent({ maxSteps: 10 })],
    [30, progress(1)],
    [2, progress(2)],
    [4, progress(3)],
  ]);
  expect(stopwatch.secondsPerStep()).toBeCloseTo(3, 12);
  expect(stopwatch.remaining(10)).toBeCloseTo(21, 12);
  wait(2);
  expect(stopwatch.secondsPerStep(), 'amid a step').toBeCloseTo(3, 12);
  expect(stopwatch.remaining(10), 'amid a step').toBeCloseTo(19, 12);
  wait(1000);
  expect(stopwatch.remaining(10)).toBe(0);
});

test('evaluations and saves to come are added at what one has taken', () => {
  const { stopwatch, wait } = play([
    [0, startEvent({ maxSteps: 10, planned: { eval: 3, save: 2 } })],
    [0, phase('eval')],
    [8, evaluation(0)],
    [1, progress(1)],
    [1, progress(2)],
    [0, phase('eval')],
    [6, evaluation(2)],
    [0, phase('save')],
    [5, { type: 'checkpoint', step: 2, dir: 'checkpoint-2' }],
  ]);
  expect(stopwatch.secondsPerStep()).toBeCloseTo(1, 12);
  expect(stopwatch.remaining(10)).toBeCloseTo(8 * 1 + 1 * 7 + 1 * 5, 12);
  stopwatch.onEvent(phase('eval'));
  wait(3);
  expect(stopwatch.remaining(10), 'amid one of them').toBeCloseTo(8 * 1 + 1 * 4 + 1 * 5, 12);
});

test('what was not done yet is not guessed; a run that goes on counts its own steps', () => {
  const { stopwatch } = play([[0, startEvent({ step: 6, maxSteps: 10, planned: { eval: 2, save: 0 } })]]);
  expect(stopwatch.remaining(10)).toBeNull();
  expect(stopwatch.columns(6, 10)).not.toHaveProperty('train_speed(s/it)');
  const later = play([
    [0, startEvent({ step: 6, maxSteps: 10, planned: { eval: 2, save: 0 } })],
    [2, progress(7)],
  ]).stopwatch;
  expect(later.remaining(10)).toBeCloseTo(6, 12);
});

test('rows that are done several at a time: seconds of one', () => {
  const { stopwatch } = play([
    [0, startEvent({ maxSteps: 10 })],
    [6, progress(4)],
    [2, progress(8)],
  ]);
  expect(stopwatch.secondsPerStep()).toBeCloseTo(0.5, 12);
});

test('the memory of a device is a column once it is known, and stays the largest that was told', () => {
  const { stopwatch } = play([[0, startEvent({ maxSteps: 10 })]]);
  expect(stopwatch.deviceMemory()).toBeNull();
  const log = { type: 'log', step: 1, maxSteps: 10, epoch: 0, metrics: {} } as const;
  stopwatch.onEvent({ ...log, deviceMemory: null });
  expect(stopwatch.columns(1, 10)).not.toHaveProperty('device_memory(GiB)');
  stopwatch.onEvent({ ...log, deviceMemory: 1.25 * 2 ** 30 });
  expect(stopwatch.columns(1, 10)).toMatchObject({ 'device_memory(GiB)': 1.25 });
  stopwatch.onEvent(progress(2));
  expect(stopwatch.deviceMemory()).toBe(1.25);
});
