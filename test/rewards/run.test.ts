import { afterEach, describe, expect, test, vi } from 'vitest';
import { formatError, SightlineError } from '../../src/errors.ts';
import { columnArrays } from '../../src/rewards/columns.ts';
import type { ORM, OrmConstructor, RewardArgs, RewardKwargs, RewardValues } from '../../src/rewards/contract.ts';
import { createRewards, orms } from '../../src/rewards/registry.ts';
import { runRewards } from '../../src/rewards/run.ts';
import { rewardKwargs } from '../helpers/reward_kwargs.ts';

const added: string[] = [];
afterEach(() => {
  for (const name of added.splice(0)) delete orms[name];
});

/** Registers a reward whose call is the given function. */
function register(
  name: string,
  call: (completions: readonly string[], kwargs: RewardKwargs) => unknown,
): OrmConstructor {
  class Made implements ORM {
    call(completions: readonly string[], kwargs: RewardKwargs) {
      return call(completions, kwargs) as RewardValues; // what a plugin returns is not checked by types at run time
    }
  }
  orms[name] = Made;
  added.push(name);
  return Made;
}

const texts = ['a', 'b', 'c'];
const run = (names: string[], weights?: number[]) =>
  runRewards(createRewards(names, {}, weights), texts, rewardKwargs(3, null));

/** A reward that calls one of its tools with these arguments ends the run with its name. */
async function expectRefused(
  tool: 'log_metric' | 'log_extra',
  args: readonly unknown[],
  message: string,
  others: string[] = [],
) {
  register('bad', (completions, kwargs) => {
    (kwargs[tool] as (...any: unknown[]) => void)(...args);
    return completions.map(() => 0);
  });
  const error: unknown = await run([...others, 'bad']).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: 'E_REWARD_RETURN', exitCode: 2, hint: expect.any(String) });
  expect((error as Error).message).toContain(`reward "bad" logged ${message}`);
}

describe('runRewards', () => {
  test('one column a reward, with its label and weight', async () => {
    register('one', () => [1, null, undefined]);
    register('two', async () => [0.5, 2, null]);
    const columns = await run(['one', 'two'], [3, 2]);
    expect(columns.map(({ name, label, weight, values }) => [name, label, weight, values])).toEqual([
      ['one', 'one', 3, [1, null, null]],
      ['two', 'two', 2, [0.5, 2, null]],
    ]);
  });

  test('a null beside a value is not a 0 that counts', async () => {
    register('one', () => [null, 0, 1]);
    expect((await run(['one']))[0]!.values).toEqual([null, 0, 1]);
  });

  test('asynchronous rewards run together', async () => {
    const order: string[] = [];
    register('slow', async () => {
      order.push('slow starts');
      await new Promise((resolve) => setTimeout(resolve, 20));
      order.push('slow ends');
      return [1, 1, 1];
    });
    register('quick', async () => {
      order.push('quick');
      return [1, 1, 1];
    });
    await run(['slow', 'quick']);
    expect(order).toEqual(['slow starts', 'quick', 'slow ends']);
  });

  test('one that does not answer is told of by name; a signal ends the wait', async () => {
    vi.useFakeTimers();
    register('quick', () => [1, 1, 1]);
    register('stuck', () => new Promise(() => undefined));
    const kwargs = rewardKwargs(3, null);
    const controller = new AbortController();
    const running = runRewards(createRewards(['quick', 'stuck']), texts, kwargs, { signal: controller.signal });
    await vi.advanceTimersByTimeAsync(130_000);
    expect(kwargs.lines).toEqual([
      expect.stringMatching(/^warn reward "stuck" has not returned after 60 s for 3 completions/),
      expect.stringMatching(/^warn reward "stuck" has not returned after 120 s/),
    ]);
    controller.abort(new Error('stop'));
    await expect(running).rejects.toBe(controller.signal.reason);
    vi.useRealTimers();
  });

  test('a reward that edits its input does not reach the next one', async () => {
    register('vandal', (completions) => (completions as string[]).splice(0).map(() => 1));
    register('reader', (completions) => completions.map((text) => text.length));
    expect((await run(['vandal', 'reader'])).map(({ values }) => values)).toEqual([
      [1, 1, 1],
      [1, 1, 1],
    ]);
  });

  test.each([
    [
      'throws',
      () => {
        throw new Error('no such key');
      },
      /reward "bad" threw: no such key/,
    ],
    [
      'rejects',
      async () => {
        throw new Error('offline');
      },
      /reward "bad" threw: offline/,
    ],
    [
      'throws a string',
      () => {
        throw 'oops';
      },
      /reward "bad" threw: oops/,
    ],
    [
      'throws an object that cannot be converted to text',
      () => {
        throw Object.create(null);
      },
      /reward "bad" threw: a value that cannot be converted to text/,
    ],
    [
      'throws an error that throws when it is read',
      () => {
        const fail = () => {
          throw new Error('again');
        };
        throw Object.defineProperties(new Error(), { stack: { get: fail }, message: { get: fail } });
      },
      /reward "bad" threw: a value that cannot be converted to text/,
    ],
    ['returns too few', () => [1, 2], /"bad" returned 2 values for 3 completions/],
    ['returns NaN', () => [1, Number.NaN, 1], /"bad" returned NaN for sample 1/],
    ['returns infinity', () => [1, 1, Number.POSITIVE_INFINITY], /"bad" returned Infinity for sample 2/],
    ['returns what squares to infinity', () => [1, -1e200, 1], /"bad" returned -1e\+200 for sample 1/],
    ['returns a string', () => [1, 1, '1'], /"bad" returned the string "1" for sample 2/],
    ['returns a BigInt', () => [1n, 1, 1], /"bad" returned the BigInt 1n for sample 0/],
    ['returns a function', () => () => [1, 1, 1], /"bad" returned a function instead of an array/],
    ['returns a boolean', () => [true, 1, 1], /"bad" returned true for sample 0/],
    ['returns a list in the list', () => [1, [1], 1], /"bad" returned an object \(Array\) for sample 1/],
    ['returns one number', () => 1, /"bad" returned 1 instead of an array/],
    ['returns nothing', () => undefined, /"bad" returned undefined instead of an array/],
  ])('a reward that %s gives one clear message', async (_, call, message) => {
    register('bad', call);
    const error: unknown = await run(['bad']).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(SightlineError);
    const told = error as SightlineError;
    expect(told.exitCode).toBe(2);
    expect(formatError(told)).toMatch(message);
    expect(formatError(told)).toMatch(/fix: /);
    expect(formatError(told)).not.toMatch(/at .*\.ts:\d+:\d+\)/);
  });

  test('a value that is none comes with its row and its place in the group, where rows are known', async () => {
    register('bad', () => [1, 1, 1, Number.NaN]);
    const rows = ['a.jsonl:7', 'a.jsonl:7', 'b.jsonl:2', 'b.jsonl:2'];
    const kwargs = rewardKwargs(4, null, { num_generations: 2 });
    const running = runRewards(createRewards(['bad']), ['a', 'b', 'c', 'd'], kwargs, { rows });
    await expect(running).rejects.toThrow('reward "bad" returned NaN for sample 3 (completion 1 of the row b.jsonl:2)');
  });

  test('it is known which reward said something', async () => {
    register('loud', (completions, { logger }) => {
      logger.info('none of these');
      return completions.map(() => null);
    });
    register('quiet', (completions, { logger }) => {
      logger.debug('none of these');
      return completions.map(() => null);
    });
    const kwargs = rewardKwargs(3, null);
    const columns = await runRewards(createRewards(['loud', 'quiet']), texts, kwargs);
    expect(columns.map(({ spoke }) => spoke)).toEqual([true, false]);
    expect(kwargs.lines).toEqual(['info none of these', 'debug none of these']);
  });

  test('a value that its weight makes too large is refused with the weight; one at the bound is not', async () => {
    register('big', () => [0, 1e25, 0]);
    await expect(run(['big'], [1e10])).rejects.toMatchObject({
      code: 'E_REWARD_RETURN',
      message: 'reward "big" returned 1e+25 for sample 1, which is 1e+35 with its weight 10000000000',
      hint: expect.stringContaining('--reward_weights'),
    });
    await expect(run(['big'], [-1e300])).rejects.toThrow('which is -Infinity with its weight -1e+300');
    register('bound', () => [1e30, -1e30, 0]);
    expect((await run(['bound']))[0]!.values).toEqual([1e30, -1e30, 0]);
  });

  test.each([
    ['no number', ['mine', '3'], 'the string "3" as the metric "mine"'],
    ['a number that is none', ['mine', Number.NaN], 'NaN as the metric "mine"'],
    ['nothing', ['mine'], 'undefined as the metric "mine"'],
    ['no name', [3, 3], 'a metric whose name is 3'],
    ['an empty name', ['', 3], 'a metric whose name is the string ""'],
    ['a name of the trainer', ['grad_norm', 3], 'a metric as "grad_norm", a name that the trainer uses itself'],
    [
      'a name of another reward',
      ['rewards/Format/mean', 3],
      'a metric as "rewards/Format/mean", a name that the trainer uses itself',
    ],
  ])('a reward that logs %s is refused by name', async (_, args, message) => {
    await expectRefused('log_metric', args, message);
  });

  test.each([
    ['no name', [3, [0, 0, 0]], 'a column whose name is 3'],
    ['a column that the file has', ['advantages', [0, 0, 0]], 'a column as "advantages", which completions.jsonl has'],
    ['the column of a reward', ['bad', [0, 0, 0]], 'a column as "bad", which completions.jsonl has'],
  ])('a reward that writes %s into completions.jsonl is refused by name', async (_, args, message) => {
    await expectRefused('log_extra', args, message);
  });

  test.each([
    [
      'log_metric',
      ['attention/tdr_std', 3],
      'a metric as "attention/tdr_std", which the run computes from the column "tdr"',
    ],
    ['log_metric', ['attention/corr_tdr_bad', 3], 'a metric as "attention/corr_tdr_bad", which the run computes from'],
    ['log_extra', ['tdr', [0, 0, 0]], 'a column as "tdr", the signal of "owner"'],
  ] as const)('%s: the signal of another reward of the run is not its own', async (tool, args, message) => {
    register('owner', (completions) => completions.map(() => 0));
    Object.assign(orms.owner!, { signals: [{ column: 'tdr', metric: 'attention/tdr' }] });
    await expectRefused(tool, args, message, ['owner']);
  });

  test('a name and a number of its own are logged', async () => {
    register('good', (completions, { log_metric }) => {
      log_metric('good/share', 0.5);
      log_metric('attention/tdr_mean', -1);
      return completions.map(() => 0);
    });
    const kwargs = rewardKwargs(3, null);
    await runRewards(createRewards(['good']), texts, kwargs);
    expect(kwargs.metrics).toEqual(
      new Map([
        ['good/share', 0.5],
        ['attention/tdr_mean', -1],
      ]),
    );
  });

  test('holes of a sparse array are null', async () => {
    register('sparse', () => {
      const values: number[] = new Array(3);
      values[0] = 1;
      return values;
    });
    expect((await run(['sparse']))[0]!.values).toEqual([1, null, null]);
  });
});

test('columnArrays: every column of any row, undefined where a row lacks it', () => {
  const rows = [{ solution: '4', level: 1 }, { solution: '5' }, JSON.parse('{"__proto__": 3}')];
  const columns = columnArrays(rows);
  expect(Object.keys(columns)).toEqual(['solution', 'level', '__proto__']);
  expect(columns.solution).toEqual(['4', '5', undefined]);
  expect(columns.level).toEqual([1, undefined, undefined]);
  expect(columnArrays([{ a: 1 }, {}], ['b', 'a'])).toEqual({ a: [1, undefined], b: [undefined, undefined] });
});

describe('createRewards', () => {
  test('an unknown name comes with the nearest and with the list', () => {
    expect(() => createRewards(['fromat'])).toThrow(/no reward is registered as "fromat"/);
    const error = grab(() => createRewards(['fromat']));
    expect(error.hint).toMatch(
      /did you mean "format"\? known: accuracy, attention_entropy, cosine, ddapo_attention, external_r1v_acc, format, http/,
    );
    expect(grab(() => createRewards(['zzzzzzzz'])).hint).toMatch(/^known: /);
  });

  test('names of Object are not rewards', () => {
    for (const name of ['constructor', '__proto__', 'toString'])
      expect(() => createRewards([name])).toThrow(/no reward/);
  });

  test('weights: one each, finite', () => {
    expect(() => createRewards(['format'], {}, [1, 2])).toThrow(/2 reward weights for 1 rewards/);
    expect(() => createRewards(['format'], {}, [Number.NaN])).toThrow(/NaN is not a finite number/);
    expect(createRewards(['format', 'accuracy']).map(({ weight }) => weight)).toEqual([1, 1]);
  });

  test('arguments and options reach the constructor, needs and class name the run', () => {
    const got: RewardArgs[] = [];
    orms.probe = class Probe implements ORM {
      static readonly needs = ['attention'] as const;
      constructor(args: RewardArgs) {
        got.push(args);
      }
      call() {
        return [];
      }
    };
    added.push('probe');
    const [reward] = createRewards(['probe'], { seed: 1, beta: 0 }, [2], { probe: { beta: 3 } });
    expect(got).toEqual([{ seed: 1, beta: 3 }]);
    expect(reward).toMatchObject({ name: 'probe', label: 'Probe', needs: ['attention'], weight: 2 });
    expect(() => createRewards(['probe'], {}, [1], { format: {} })).toThrow(/not in --reward_funcs/);
  });

  test('rewards whose classes have one name are told apart by their registered names', () => {
    register('one', () => []);
    register('two', () => []);
    orms.other = class two extends (orms.one!) {}; // by its class name, the label that `two` falls back on
    orms.again = orms.format!;
    added.push('other', 'again');
    const labels = (...names: string[]) => createRewards(names).map(({ label }) => label);
    expect(labels('one', 'format')).toEqual(['Made', 'Format']);
    expect(labels('one', 'two', 'format')).toEqual(['one', 'two', 'Format']);
    expect(labels('two', 'one', 'other')).toEqual(['two', 'one', 'other']);
    expect(labels('format', 'again')).toEqual(['format', 'again']);
    expect(labels('other', 'one')).toEqual(['two', 'Made']);
    expect(labels('format', 'format')).toEqual(['Format', 'Format']); // the same reward twice
  });

  test.each([
    ['a need that is not known', ['attention', 'attnetion'], 'the string "attnetion"'],
    ['a need that is no name', [3], '3'],
    ['no list', 'attention', 'the string "attention"'],
    ['an object', { attention: true }, 'an object (Object)'],
  ])('needs: %s is refused, with those that are known', (_, needs, told) => {
    Object.assign(
      register('bad', () => []),
      { needs },
    );
    const error = grab(() => createRewards(['bad']));
    expect(error).toMatchObject({ code: 'E_REWARD_CLASS', message: `reward "bad" has \`static needs\` with ${told}` });
    expect(error.hint).toContain(
      "known: 'attention', attention({ spans: ['image'] }), attentionMap(), transformedImage(",
    );
  });

  test.each([
    ['a name', 'solution', 'the string "solution"'],
    ['what is no name', ['solution', 3], '3'],
    ['an empty name', [''], 'the string ""'],
    ['a hole', new Array(1), 'undefined'],
    ['an object', { solution: true }, 'an object (Object)'],
  ])('columns: %s is refused', (_, columns, told) => {
    Object.assign(
      register('bad', () => []),
      { columns },
    );
    const error = grab(() => createRewards(['bad']));
    expect(error).toMatchObject({
      code: 'E_REWARD_CLASS',
      message: `reward "bad" has \`static columns\` with ${told}`,
    });
    expect(error.hint).toContain("['solution']");
  });

  test('columns: none, or those of the class', () => {
    const columnsOf = (name: string) => createRewards([name])[0]!.columns;
    expect(['accuracy', 'external_r1v_acc', 'format', 'ddapo_attention'].map(columnsOf)).toEqual([
      ['solution'],
      ['solution'],
      [],
      [],
    ]);
  });

  test('what is no class with call is refused by name', () => {
    for (const bad of [(() => [1]) as unknown, class {}, { call: () => [1] }]) {
      orms.bad = bad as OrmConstructor;
      added.push('bad');
      expect(() => createRewards(['bad'])).toThrow(/orms\['bad'\] is not a class with a method call/);
    }
  });
});

function grab(run: () => unknown): SightlineError {
  try {
    run();
  } catch (error) {
    if (error instanceof SightlineError) return error;
  }
  throw new Error('no SightlineError was thrown');
}
