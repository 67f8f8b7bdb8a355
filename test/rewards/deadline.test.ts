/**
 * --reward_timeout and --reward_error: what becomes of rewards that are late or fail.
 */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { formatError, SightlineError } from '../../src/errors.ts';
import type { OrmConstructor, RewardKwargs, RewardValues } from '../../src/rewards/contract.ts';
import type { FailureRule } from '../../src/rewards/deadline.ts';
import { createRewards, orms } from '../../src/rewards/registry.ts';
import { runRewards } from '../../src/rewards/run.ts';
import { rewardKwargs } from '../helpers/reward_kwargs.ts';

const before = { ...orms };
beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  vi.useRealTimers();
  for (const name of Object.keys(orms)) if (!(name in before)) delete orms[name];
});

function register(name: string, call: (kwargs: RewardKwargs) => unknown, more: Partial<OrmConstructor> = {}): void {
  class Made {
    call(_: readonly string[], kwargs: RewardKwargs) {
      return call(kwargs) as RewardValues;
    }
  }
  orms[name] = Object.assign(Made, more);
}

const never = () => new Promise(() => undefined);
const skip: FailureRule = { timeout: 5, onError: 'skip' };
const stop: FailureRule = { timeout: 5, onError: 'stop' };

/** Values by reward and what was said; time passes while it runs. */
async function run(names: string[], rule: FailureRule, seconds = 6) {
  const kwargs = rewardKwargs(2, null);
  const running = runRewards(createRewards(names), ['a', 'b'], kwargs, { rule });
  running.catch(() => undefined);
  await vi.advanceTimersByTimeAsync(seconds * 1000);
  const columns = await running;
  return { values: columns.map(({ values }) => values), spoke: columns.map(({ spoke }) => spoke), kwargs };
}

describe('a reward that is late', () => {
  test('ends the run, told by name, number and flag', async () => {
    register('stuck', never);
    const error = await run(['stuck'], stop).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(SightlineError);
    expect(error).toMatchObject({ code: 'E_REWARD_TIMEOUT', exitCode: 2 });
    expect(formatError(error as SightlineError)).toBe(
      'error: reward "stuck" has not answered for 5 s, asked about 2 completions\n  at: --reward_timeout 5\n  fix: look at what the reward waits for, raise --reward_timeout, or go on without its values: --reward_error skip',
    );
  });

  test('is null where errors are skipped; the others keep their values', async () => {
    register('stuck', never);
    register('quick', () => [1, 2]);
    const { values, spoke, kwargs } = await run(['stuck', 'quick'], skip);
    expect(values).toEqual([
      [null, null],
      [1, 2],
    ]);
    expect(spoke).toEqual([true, false]);
    expect(kwargs.lines).toEqual([
      'warn reward "stuck" has not answered for 5 s, asked about 2 completions. Its values are null for these 2 completions (--reward_error skip); rewards/stuck/null_frac counts them. The next warning about "stuck" comes after 2 times.',
    ]);
  });

  test('two late ones cost the time of one', async () => {
    register('stuck', never);
    register('also', never);
    const started = Date.now();
    await run(['stuck', 'also'], skip, 5);
    expect(Date.now() - started).toBe(5000);
  });

  test('hears of it by its signal, and what it logs afterwards is dropped', async () => {
    const heard: unknown[] = [];
    register('stuck', async ({ signal, logger, log_metric, log_extra }) => {
      log_metric('stuck/begun', 1);
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      heard.push(signal.reason);
      log_metric('stuck/late', 1);
      log_extra('late', [1, 1]);
      logger.warn('late');
      return [1, 1];
    });
    const { values, kwargs } = await run(['stuck'], skip);
    expect(values).toEqual([[null, null]]);
    expect(heard).toEqual([expect.objectContaining({ code: 'E_REWARD_TIMEOUT' })]);
    await vi.advanceTimersByTimeAsync(1000);
    expect([...kwargs.metrics.keys()]).toEqual(['stuck/begun']);
    expect(kwargs.extras.size).toBe(0);
    expect(kwargs.lines).toHaveLength(1);
  });

  test('an error that it throws when it is told counts as the deadline', async () => {
    register(
      'stuck',
      ({ signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('gone')))),
    );
    await expect(run(['stuck'], stop)).rejects.toThrow('has not answered for 5 s');
  });

  test('one that is in time leaves no clock behind', async () => {
    register('slow', () => new Promise((resolve) => setTimeout(() => resolve([1, 1]), 4999)));
    expect((await run(['slow'], stop)).values).toEqual([[1, 1]]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('a reward that runs the policy has no deadline', async () => {
    register('attentive', () => new Promise((resolve) => setTimeout(() => resolve([1, 1]), 50_000)), {
      needs: ['attention'],
    });
    expect((await run(['attentive'], stop, 51)).values).toEqual([[1, 1]]);
  });
});

describe('a reward that fails', () => {
  const fails = () => {
    throw new Error('offline');
  };

  test('is null where errors are skipped, and told each time their number has doubled', async () => {
    register('bad', fails);
    const rewards = createRewards(['bad']);
    const kwargs = rewardKwargs(2, null);
    for (let i = 0; i < 20; i++) {
      const [column] = await runRewards(rewards, ['a', 'b'], kwargs, { rule: skip });
      expect(column!.values).toEqual([null, null]);
    }
    expect(kwargs.lines.map((line) => /, (\d+) times so far/.exec(line)?.[1])).toEqual([
      undefined,
      '2',
      '4',
      '8',
      '16',
    ]);
  });

  test('ends the run by default', async () => {
    register('bad', fails);
    await expect(runRewards(createRewards(['bad']), ['a', 'b'], rewardKwargs(2, null))).rejects.toThrow(
      'threw: offline',
    );
  });

  test.each<[string, () => unknown, string]>([
    ['returns what it must not', () => [1, Number.NaN], 'E_REWARD_RETURN'],
    ['returns too little', () => [1], 'E_REWARD_RETURN'],
    [
      'lacks a column',
      () => {
        throw new SightlineError('E_REWARD_COLUMN', 'no such column');
      },
      'E_REWARD_COLUMN',
    ],
  ])('one that %s ends the run all the same', async (_, call, code) => {
    register('bad', call);
    await expect(run(['bad'], skip)).rejects.toMatchObject({ code });
  });

  test('the end of the run is no error of a reward', async () => {
    register('stuck', never);
    const controller = new AbortController();
    const running = runRewards(createRewards(['stuck']), ['a', 'b'], rewardKwargs(2, null), {
      signal: controller.signal,
      rule: skip,
    });
    controller.abort(new Error('stopped'));
    await expect(running).rejects.toBe(controller.signal.reason);
  });
});
