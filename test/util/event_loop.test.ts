import { setImmediate } from 'node:timers';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { createPause } from '../../src/util/event_loop.ts';

afterEach(() => vi.restoreAllMocks());

/** Whether the event loop had a turn while `work` was awaited. */
async function letsOthersIn(work: () => Promise<void>): Promise<boolean> {
  let turn = false;
  const immediate = setImmediate(() => {
    turn = true;
  });
  await work();
  clearImmediate(immediate);
  return turn;
}

describe('a pause', () => {
  test('is none after little work, one after much, and then none again', async () => {
    const clock = vi.spyOn(performance, 'now').mockReturnValue(0);
    const pause = createPause();
    clock.mockReturnValue(9);
    expect(await letsOthersIn(pause)).toBe(false);
    clock.mockReturnValue(10);
    expect(await letsOthersIn(pause)).toBe(true);
    clock.mockReturnValue(19);
    expect(await letsOthersIn(pause)).toBe(false);
  });
});
