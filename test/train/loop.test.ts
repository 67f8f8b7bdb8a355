/**
 * The loop that rlhf and sft share, around steps that only say numbers: what is told, in which order.
 */
import { expect, test } from 'vitest';
import { cpu } from '../../src/runtime/cpu.ts';
import type { Metrics, TrainEvent } from '../../src/train/events.ts';
import { createJournal } from '../../src/train/journal.ts';
import { type StepResult, type Training, trainingLoop } from '../../src/train/loop.ts';

const args = {
  ...{ evalOnStart: true, evalStrategy: 'no', saveStrategy: 'no', loggingSteps: 2, loggingFirstStep: false },
  ...{ dataSeed: 0, datasetShuffle: false, truncationStrategy: 'raise' },
};

/** The events of a run of three steps over four rows, two of them a step, as sentences. */
async function told(step: (done: number, rows: readonly number[]) => StepResult, stop = new AbortController()) {
  const events: TrainEvent[] = [];
  const context = {
    signal: stop.signal,
    emit: (event: TrainEvent) => void events.push(event),
    outputDir: 'output',
    changed: {},
  };
  const rows = { length: 4, row: (index: number) => ({ index }) };
  const training = {
    command: 'sft',
    args,
    context,
    journal: createJournal(context),
    data: { train: rows, evaluation: rows },
    policy: { source: null, parameters: { trained: [] }, model: { device: cpu } },
    updater: null,
    from: null,
    length: { maxSteps: 3, epochOf: (done: number) => done / 2 },
    best: { metric: 'loss', greaterIsBetter: false },
    tooLong: 'it is too long',
    encode: async ({ index }: { index: number }) => index,
    step: async (done: number, next: (count: number) => Promise<number[]>) => step(done, await next(2)),
    evaluate: async (_rows: unknown, done: number) => ({ loss: 10 - done }),
    logged: async (at: number) => void events.push({ type: 'notice', level: 'info', text: `logged ${at}` }),
  } as unknown as Training<number>;
  await trainingLoop(training);
  return events.flatMap((event) => {
    if (event.type === 'notice') return event.text;
    if (event.type === 'progress') return `step ${event.step}, epoch ${event.epoch}`;
    if (event.type === 'log' || event.type === 'eval')
      return `${event.type} ${JSON.stringify(event.metrics, withoutTimes)}`;
    return event.type === 'end' ? `${event.status} ${event.step}` : [];
  });
}

const withoutTimes = (name: string, value: unknown): unknown => (name.startsWith('step_time/') ? undefined : value);

test('a log has the means of its records, and the latest of what is no mean; rows go on over the end of an epoch', async () => {
  const seen: (readonly number[])[] = [];
  const events = await told((done, rows) => {
    seen.push(rows);
    const warnings = done === 1 ? ['the second step warns'] : [];
    const records: Metrics[] = [{ loss: done }, { loss: 3 * done, reward: 1 }];
    return { records, latest: { learning_rate: done }, warnings };
  });
  expect(events).toEqual([
    'eval {"loss":10}',
    'step 1, epoch 0.5',
    'the second step warns',
    'step 2, epoch 1',
    'log {"loss":1,"reward":1,"learning_rate":1}',
    'logged 2',
    'step 3, epoch 1.5',
    'log {"loss":4,"reward":1,"learning_rate":2}',
    'logged 3',
    'completed 3',
  ]);
  expect(seen).toEqual([
    [0, 1],
    [2, 3],
    [0, 1],
  ]);
});

test('a run that is stopped drops the step under way', async () => {
  const stop = new AbortController();
  const events = await told((done) => {
    if (done === 1) {
      stop.abort();
      stop.signal.throwIfAborted();
    }
    return { records: [{ loss: done }], warnings: [] };
  }, stop);
  expect(events).toEqual(['eval {"loss":10}', 'step 1, epoch 0.5', 'interrupted 1']);
});
