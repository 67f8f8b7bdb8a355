import { expect, test } from 'vitest';
import { broadcast } from '../../src/report/broadcast.ts';
import type { TrainEvent } from '../../src/train/events.ts';
import { logEvent } from './events.ts';

test('a listener that fails is told once, and never stops the others or the run', async () => {
  const seen: TrainEvent[] = [];
  const told: string[] = [];
  let full = true;
  const { emit, close } = broadcast(
    [
      {
        onEvent: () => {
          if (full) throw new Error('ENOSPC');
        },
        close: () => Promise.reject(new Error('gone')),
      },
      { onEvent: async (event) => void seen.push(event) },
    ],
    (text) => told.push(text),
  );
  for (const step of [1, 2]) await emit(logEvent(step, {}));
  full = false;
  await emit(logEvent(3, {}));
  full = true;
  await emit(logEvent(4, {}));
  full = false;
  await emit(logEvent(5, {}));
  await close();
  expect(seen).toHaveLength(5);
  expect(told).toEqual([
    expect.stringContaining('ENOSPC'),
    expect.stringContaining('ENOSPC'),
    expect.stringContaining('gone'),
  ]);
});
