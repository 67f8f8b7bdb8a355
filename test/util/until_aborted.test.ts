import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { newPatience, untilAborted } from '../../src/util/until_aborted.ts';
import { exitOf, startCli, written } from '../helpers/cli.ts';

afterEach(() => {
  vi.useRealTimers();
});

describe('untilAborted', () => {
  test('gives what the promise gives', async () => {
    const { signal } = new AbortController();
    expect(await untilAborted(Promise.resolve(3), signal)).toBe(3);
    await expect(untilAborted(Promise.reject(new Error('no')), signal)).rejects.toThrow('no');
  });

  test('a signal ends the wait for what never comes, before or after', async () => {
    const never = new Promise(() => undefined);
    const controller = new AbortController();
    const waiting = untilAborted(never, controller.signal);
    controller.abort(new Error('stop'));
    await expect(waiting).rejects.toThrow('stop');
    await expect(untilAborted(never, controller.signal)).rejects.toThrow('stop');
  });

  test('what fails after the signal troubles nobody', async () => {
    const controller = new AbortController();
    let fail = (_: Error): void => undefined;
    const late = new Promise((_, reject) => {
      fail = reject;
    });
    const waiting = untilAborted(late, controller.signal);
    controller.abort(new Error('stop'));
    await expect(waiting).rejects.toThrow('stop');
    fail(new Error('too late')); // an unhandled rejection would fail the test run
    await new Promise((resolve) => setTimeout(resolve, 5));
  });

  test('keeps the process alive for a signal, though nothing stands behind the promise', async () => {
    const program = fileURLToPath(new URL('./fixtures/never.ts', import.meta.url));
    const { child, text } = startCli('--import', ['jiti/register', program]);
    await written(child, text, /waiting/);
    await new Promise((resolve) => setTimeout(resolve, 100)); // it would have ended by now
    child.kill('SIGINT');
    expect(await exitOf(child)).toBe(0);
    expect(text.stdout).toBe('waiting\nsaved\n');
  });

  test('tells of a long wait, each time after twice as long, over all waits of one patience', async () => {
    vi.useFakeTimers();
    const { signal } = new AbortController();
    const told: number[] = [];
    const patience = newPatience();
    const waitFor = (ms: number) => {
      const waiting = untilAborted(
        new Promise((resolve) => setTimeout(resolve, ms)),
        signal,
        (seconds) => told.push(seconds),
        patience,
      );
      return Promise.all([vi.advanceTimersByTimeAsync(ms), waiting]);
    };
    await waitFor(59_000);
    expect(told).toEqual([]);
    await waitFor(90_000);
    await waitFor(90_000);
    expect(told).toEqual([60]);
    await waitFor(500_000);
    expect(told).toEqual([60, 120, 240, 480]);
    expect(vi.getTimerCount()).toBe(0);
  });
});
