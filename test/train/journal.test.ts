import { describe, expect, test, vi } from 'vitest';
import { createAverages } from '../../src/train/averages.ts';
import type { TrainEvent } from '../../src/train/events.ts';
import { countTokens, createJournal } from '../../src/train/journal.ts';

describe('createJournal', () => {
  test('passes events on and remembers the records', async () => {
    const told: TrainEvent[] = [];
    const journal = createJournal({ emit: (event) => void told.push(event) });
    const at = { maxSteps: 2, epoch: 0.5 };
    await journal.emit({ type: 'eval', step: 0, ...at, metrics: { loss: 4 } });
    await journal.emit({ type: 'log', step: 1, ...at, metrics: { loss: 3 } });
    await journal.emit({ type: 'log', step: 2, ...at, metrics: { loss: 2 } });
    await journal.emit({ type: 'eval', step: 2, ...at, metrics: { loss: 1 } });
    await journal.notice('warn', 'careful');
    expect(told.map(({ type }) => type)).toEqual(['eval', 'log', 'log', 'eval', 'notice']);
    expect(journal.history()).toEqual([
      { eval_loss: 4, epoch: 0.5, step: 0 },
      { loss: 3, epoch: 0.5, step: 1 },
      { loss: 2, epoch: 0.5, step: 2 },
      { eval_loss: 1, epoch: 0.5, step: 2 },
    ]);
    expect(journal.summary()).toMatchObject({
      firstLog: { loss: 3 },
      lastLog: { loss: 2 },
      evalBefore: { loss: 4 },
      evalAfter: { loss: 1 },
    });
    expect(journal.evaluationAt(2)).toEqual({ loss: 1 });
    expect(journal.evaluationAt(1)).toBeNull();
  });

  test('counts the seconds of a part, also of one that fails', async () => {
    const journal = createJournal({ emit: () => undefined });
    expect(await journal.time('rollout', () => 7)).toBe(7);
    await expect(journal.time('update', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(Object.keys(journal.summary().seconds)).toEqual(['rollout', 'update']);
  });
});

test('a phase is told when it begins, and its progress at most a few times a second', async () => {
  const told: TrainEvent[] = [];
  const journal = createJournal({ emit: (event) => void told.push(event) });
  vi.useFakeTimers();
  try {
    await journal.time('rollout', (tell) => {
      const count = countTokens(tell);
      for (let i = 0; i < 1000; i++) {
        count(8);
        vi.advanceTimersByTime(1);
      }
    });
    await journal.time('backward', () => undefined, { done: 1, total: 4 });
  } finally {
    vi.useRealTimers();
  }
  expect(told).toEqual([
    { type: 'phase', phase: 'rollout', begins: true },
    { type: 'phase', phase: 'rollout', begins: false, tokens: 8 * 251 },
    { type: 'phase', phase: 'rollout', begins: false, tokens: 8 * 501 },
    { type: 'phase', phase: 'rollout', begins: false, tokens: 8 * 751 },
    { type: 'phase', phase: 'backward', begins: true, done: 1, total: 4 },
  ]);
});

test('createAverages means over the records that have a name, then starts over', () => {
  const averages = createAverages();
  averages.add({ loss: 1, kl: 5 });
  averages.add({ loss: 3 });
  expect(averages.take()).toEqual({ loss: 2, kl: 5 });
  expect(averages.take()).toEqual({});
});
