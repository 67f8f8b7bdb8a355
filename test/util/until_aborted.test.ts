import { describe, expect, test } from 'vitest';
import { untilAborted } from '../../src/util/until_aborted.ts';

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
});
