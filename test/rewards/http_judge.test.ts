/**
 * The judge over HTTP, against a server on a loopback port: what it is sent, what it may answer, and every way to fail.
 */
import { afterEach, describe, expect, test } from 'vitest';
import { formatError, type SightlineError } from '../../src/errors.ts';
import { MAX_ANSWER_BYTES } from '../../src/rewards/http_judge/exchange.ts';
import { HttpJudge } from '../../src/rewards/http_judge/index.ts';
import { createRewards } from '../../src/rewards/registry.ts';
import { runRewards } from '../../src/rewards/run.ts';
import { type Answerer, type JudgeServer, judgeServer, reply } from '../helpers/judge_server.ts';
import { rewardKwargs } from '../helpers/reward_kwargs.ts';

const servers: JudgeServer[] = [];
afterEach(async () => {
  delete process.env.JUDGE_TOKEN;
  for (const server of servers.splice(0)) await server.close();
});

async function serve(answer: Answerer): Promise<JudgeServer> {
  const server = await judgeServer(answer);
  servers.push(server);
  return server;
}

/** Length of each completion as its value. */
const byLength: Answerer = ({ body }, response) =>
  reply(
    response,
    body.completions.map(({ length }) => length),
  );

const texts = ['', 'a', 'bb', 'ccc'];
const quick = { http_judge_backoff: 0.001 };

/** The reward's values for these four completions, two groups of two. */
async function judge(server: Pick<JudgeServer, 'url'>, options: Record<string, unknown> = {}, changes = {}) {
  const kwargs = rewardKwargs(4, null, { num_generations: 2, ...changes });
  const rewards = createRewards(['http_judge'], { http_judge_url: server.url, ...quick, ...options });
  const [column] = await runRewards(rewards, texts, kwargs);
  return { values: column!.values, kwargs };
}

/** The error that a judge of this kind leads to, as users read it. */
async function failure(answer: Answerer, options: Record<string, unknown> = {}) {
  const server = await serve(answer);
  const error = await judge(server, options).then(
    () => undefined,
    (thrown: unknown) => thrown as SightlineError,
  );
  return { code: error?.code, text: error === undefined ? 'no error' : formatError(error), asked: server.asked.length };
}

describe('what is sent', () => {
  test('completions, prompts without answers and pictures, ids, groups, the solution', async () => {
    const server = await serve(byLength);
    const image = { type: 'image', image: Buffer.from('pixels') };
    const box = { type: 'box', corners: [1, 2, 3, 4], unit: 'pixels', image: 0 };
    const question = {
      role: 'user',
      content: [image, { type: 'text', text: 'where?' }, box, { type: 'ref', text: 'dog' }],
    };
    const conversation = [
      { role: 'system', content: 'Be brief.' },
      question,
      { role: 'assistant', content: 'the answer' },
    ];
    const { values } = await judge(
      server,
      {},
      {
        solution: ['x', 'x', null, undefined],
        messages: [conversation, conversation, [], []],
        trainer_state: { global_step: 7, max_steps: 9 },
      },
    );
    expect(values).toEqual([0, 1, 2, 3]);
    const [{ body, headers }] = server.asked as [(typeof server.asked)[0]];
    const prompt = [
      { role: 'system', content: 'Be brief.' },
      {
        role: 'user',
        content: [{ type: 'image' }, { type: 'text', text: 'where?' }, box, { type: 'ref', text: 'dog' }],
      },
    ];
    expect(body).toEqual({
      step: 7,
      max_steps: 9,
      ids: ['7-0-0', '7-0-1', '7-0-2', '7-0-3'],
      groups: [0, 0, 1, 1],
      completions: texts,
      messages: [prompt, prompt, [], []],
      columns: { solution: ['x', 'x', null, null] },
    });
    expect(headers['content-type']).toBe('application/json');
    expect(headers.authorization).toBeUndefined();
  });

  test('columns that are asked for; one that no row has as nulls, which is told once', async () => {
    const server = await serve(byLength);
    const options = { http_judge_columns: 'level, levle' };
    const { kwargs } = await judge(server, options, { solution: texts, level: [1, 2, undefined, { deep: [3] }] });
    expect(server.asked[0]!.body.columns).toEqual({
      level: [1, 2, null, { deep: [3] }],
      levle: [null, null, null, null],
    });
    const told =
      'warn http_judge: no row of these completions has the column "levle" of --http_judge_columns; the judge gets nulls.';
    expect(kwargs.lines).toEqual([told]);
  });

  test('in requests of the batch size, no more at once than allowed, put together in order', async () => {
    let [open, most] = [0, 0];
    const server = await serve((asked, response) => {
      most = Math.max(most, ++open);
      const wait = asked.body.completions[0] === '' ? 60 : 5;
      setTimeout(() => {
        open--;
        byLength(asked, response, 0);
      }, wait);
    });
    const { values } = await judge(server, { http_judge_batch_size: 1, http_judge_concurrency: 2 });
    expect(values).toEqual([0, 1, 2, 3]);
    expect(server.asked.map(({ body }) => body.completions)).toHaveLength(4);
    expect(server.asked.map(({ body }) => [body.ids, body.groups]).toSorted()).toEqual([
      [['1-0-0'], [0]],
      [['1-0-1'], [0]],
      [['1-0-2'], [1]],
      [['1-0-3'], [1]],
    ]);
    expect(most).toBe(2);
    await judge(server, { http_judge_batch_size: 3 });
    expect(
      server.asked
        .slice(4)
        .map(({ body }) => body.completions.length)
        .toSorted(),
    ).toEqual([1, 3]);
  });

  test('ids are unique over the calls of a run', async () => {
    const server = await serve(byLength);
    const reward = new HttpJudge({ http_judge_url: server.url });
    for (let i = 0; i < 3; i++) await reward.call(texts, rewardKwargs(4, null));
    const ids = server.asked.flatMap(({ body }) => body.ids);
    expect(new Set(ids).size).toBe(12);
  });

  test('the token of the named variable, which appears nowhere else', async () => {
    process.env.JUDGE_TOKEN = 'tok-SECRET-1';
    const server = await serve(({ headers, body }, response) =>
      reply(response, {
        rewards: body.completions.map(() => null),
        reasons: body.completions.map(() => `saw ${headers.authorization}`),
      }),
    );
    const { kwargs } = await judge(server, { http_judge_token_env: 'JUDGE_TOKEN' });
    expect(server.asked[0]!.headers.authorization).toBe('Bearer tok-SECRET-1');
    expect(JSON.stringify([kwargs.lines, [...kwargs.extras]])).not.toContain('SECRET');
    expect(kwargs.extras.get('http_judge_reason')).toEqual(texts.map(() => 'saw Bearer ***'));
    const echoed = await failure(({ headers }, response) => reply(response, `no: ${headers.authorization}`, 403), {
      http_judge_token_env: 'JUDGE_TOKEN',
    });
    expect(echoed.text).toContain('status 403: "no: Bearer ***"');
    expect(echoed.text).not.toContain('SECRET');
  });

  test('a token that leaves the machine unencrypted is told of, once', async () => {
    process.env.JUDGE_TOKEN = 'tok-1';
    const reward = new HttpJudge({
      http_judge_url: 'http://judge.invalid/',
      http_judge_token_env: 'JUDGE_TOKEN',
      http_judge_retries: 0,
    });
    const kwargs = rewardKwargs(4, null);
    for (let i = 0; i < 2; i++) await reward.call(texts, kwargs).catch(() => undefined);
    expect(kwargs.lines).toEqual([
      'warn http_judge: the token goes to judge.invalid unencrypted; use an https:// address.',
    ]);
  });
});

describe('what may come back', () => {
  test.each<[string, unknown]>([
    ['a list', [0, 0.5, -1, null]],
    ['under "rewards"', { rewards: [0, 0.5, -1, null] }],
    ['with reasons and more', { rewards: [0, 0.5, -1, null], reasons: [null, 'half', null, 'empty'], model: 'x' }],
  ])('%s', async (_, answer) => {
    const server = await serve((__, response) => reply(response, answer));
    const { values, kwargs } = await judge(server);
    expect(values).toEqual([0, 0.5, -1, null]);
    expect(kwargs.lines).toEqual([
      expect.stringMatching(/^warn http_judge: the judge gives null for a completion \(the first: /),
    ]);
    const reasons = (answer as { reasons?: unknown }).reasons;
    expect(kwargs.extras.get('http_judge_reason')).toEqual(reasons);
    expect(kwargs.metrics.size).toBe(0);
  });

  test.each<[string, unknown, string]>([
    ['too few', [1, 2, 3], 'has 3 rewards for 4 completions'],
    ['too many', [1, 2, 3, 4, 5], 'has 5 rewards for 4 completions'],
    ['NaN', '[1, NaN, 2, 3]', 'is not JSON; NaN and Infinity are no JSON: send null: "[1, NaN, 2, 3]"'],
    [
      'a number too large for a float',
      '[1, 1e999, 2, 3]',
      'has Infinity as reward 1, expected a finite number or null',
    ],
    ['text for a number', [1, '2', 3, 4], 'has "2" as reward 1'],
    ['true', [1, true, 3, 4], 'has true as reward 1'],
    ['no JSON', '<html>hello</html>', 'is not JSON: "<html>hello</html>"'],
    ['nothing', '', 'is not JSON: ""'],
    ['another object', { scores: [1, 2, 3, 4] }, 'has no list of numbers under "rewards": '],
    ['a number', '4', 'has no list of numbers under "rewards": "4"'],
    ['null', 'null', 'has no list of numbers under "rewards": "null"'],
    ['reasons of another length', { rewards: [1, 2, 3, 4], reasons: ['a'] }, 'has "reasons" that are not a list of 4'],
    ['a reason that is no text', { rewards: [1, 2, 3, 4], reasons: [1, null, null, null] }, 'has 1 as reason 0'],
  ])('%s is refused at once, with what was sent', async (_, answer, message) => {
    const { code, text, asked } = await failure((__, response) => reply(response, answer));
    expect(code).toBe('E_REWARD_JUDGE');
    expect(text).toContain(`sent an answer that ${message}`);
    expect(text).toMatch(/at: --http_judge_url\n {2}fix: an answer is \{"rewards"/);
    expect(asked).toBe(1);
  });

  test('a status of 201 is as good as 200', async () => {
    const server = await serve((_, response) => reply(response, [1, 2, 3, 4], 201));
    expect((await judge(server)).values).toEqual([1, 2, 3, 4]);
  });
});

describe('a judge that fails', () => {
  test('a status of 500 is asked again, then told with what it says', async () => {
    const { code, text, asked } = await failure((_, response) => reply(response, 'out of memory', 500), {
      http_judge_retries: 2,
    });
    expect(code).toBe('E_REWARD_JUDGE');
    expect(text).toMatch(
      /the judge at http:\/\/127\.0\.0\.1:\d+\/judge failed: it answers with status 500: "out of memory" \(after 2 retries\)/,
    );
    expect(asked).toBe(3);
  });

  test.each([408, 425, 429, 502, 503])('a status of %d that passes is only counted', async (status) => {
    const server = await serve((asked, response, number) =>
      number < 3 ? reply(response, '', status) : byLength(asked, response, number),
    );
    const { values, kwargs } = await judge(server);
    expect(values).toEqual([0, 1, 2, 3]);
    expect([...kwargs.metrics]).toEqual([['http_judge/retries', 2]]);
  });

  test.each([400, 401, 404, 422])('a status of %d is told at once', async (status) => {
    const { text, asked } = await failure((_, response) => reply(response, 'no', status));
    expect(text).toContain(`status ${status}: "no"`);
    expect(asked).toBe(1);
  });

  test('Retry-After is kept', async () => {
    const server = await serve((asked, response, number) => {
      if (number > 1) return byLength(asked, response, number);
      response.setHeader('retry-after', '1');
      reply(response, '', 503);
    });
    const start = performance.now();
    await judge(server);
    expect(performance.now() - start).toBeGreaterThan(990);
  });

  test('a slow one is cut off, asked again, and told with the flag to raise', async () => {
    const { text, asked } = await failure(() => undefined, { http_judge_timeout: 0.1, http_judge_retries: 1 });
    expect(text).toContain('no answer within 0.1 s (after 1 retry)');
    expect(text).toContain('raise --http_judge_timeout');
    expect(asked).toBe(2);
  });

  test('one that begins to answer and then stalls is cut off as well', async () => {
    const { text } = await failure((_, response) => void response.write('[1, '), {
      http_judge_timeout: 0.1,
      http_judge_retries: 0,
    });
    expect(text).toContain('no answer within 0.1 s');
  });

  test('one that breaks off in the middle is asked again', async () => {
    const server = await serve((asked, response, number) => {
      if (number > 1) return byLength(asked, response, number);
      response.writeHead(200, { 'content-length': 100 });
      response.write('[1, ', () => response.destroy());
    });
    expect((await judge(server)).values).toEqual([0, 1, 2, 3]);
  });

  test('one that is gone in mid-run is told with its address; one that comes back goes on', async () => {
    const server = await judgeServer(byLength);
    const { port } = new URL(server.url);
    expect((await judge(server)).values).toEqual([0, 1, 2, 3]);
    await server.close();
    const error = await judge(server, { http_judge_retries: 1 }).catch((thrown: unknown) => thrown as SightlineError);
    expect(error).toMatchObject({ code: 'E_REWARD_JUDGE', exitCode: 2 });
    expect((error as SightlineError).message).toMatch(
      new RegExp(
        `^reward "http_judge": the judge at http://127\\.0\\.0\\.1:${port}/judge failed: no answer: .*ECONNREFUSED.*\\(after 1 retry\\)$`,
      ),
    );
    expect((error as SightlineError).hint).toContain('--reward_error skip');
  });

  test('a redirect is not followed', async () => {
    process.env.JUDGE_TOKEN = 'tok-1';
    const other = await serve(byLength);
    const { text, asked } = await failure(
      (_, response) => {
        response.writeHead(307, { location: other.url });
        response.end();
      },
      { http_judge_token_env: 'JUDGE_TOKEN' },
    );
    expect(text).toContain(`it redirects (status 307) to "${other.url}", which is not followed`);
    expect([asked, other.asked.length]).toEqual([1, 0]);
  });

  test('a huge answer is not read to its end', async () => {
    let sent = 0;
    const { text, asked } = await failure((_, response) => {
      const block = Buffer.alloc(2 ** 20, '1');
      const more = (): void => {
        while (!response.destroyed && sent < 20 * MAX_ANSWER_BYTES) {
          sent += block.length;
          if (!response.write(block)) return void response.once('drain', more);
        }
      };
      more();
    });
    expect(text).toContain('its answer is larger than expected: more than 16 MiB');
    expect(asked).toBe(1);
    expect(sent).toBeLessThan(3 * MAX_ANSWER_BYTES);
  });

  test('one bad request ends the others', async () => {
    const server = await serve(({ body }, response) => {
      if (body.completions[0] === '') reply(response, 'no', 400);
    });
    const start = performance.now();
    await expect(judge(server, { http_judge_batch_size: 1 })).rejects.toThrow('status 400');
    expect(performance.now() - start).toBeLessThan(20_000); // the others would wait for a minute
  });

  test('the end of the run ends the wait, also between two tries', async () => {
    for (const answer of [
      () => undefined,
      (_: unknown, response: Parameters<Answerer>[1]) => reply(response, '', 500),
    ]) {
      const server = await serve(answer);
      const controller = new AbortController();
      const rewards = createRewards(['http_judge'], { http_judge_url: server.url, http_judge_backoff: 60 });
      const running = runRewards(rewards, texts, rewardKwargs(4, null), { signal: controller.signal });
      setTimeout(() => controller.abort(new Error('stopped')), 100);
      await expect(running).rejects.toThrow(/^stopped$/);
    }
  });

  test('--reward_error skip makes nulls of it, and --reward_timeout ends its tries', async () => {
    const server = await serve((_, response) => reply(response, '', 500));
    const rewards = createRewards(['http_judge', 'format'], { http_judge_url: server.url, http_judge_backoff: 60 });
    const kwargs = rewardKwargs(4, null);
    const columns = await runRewards(rewards, texts, kwargs, { rule: { timeout: 0.2, onError: 'skip' } });
    expect(columns.map(({ values }) => values)).toEqual([
      [null, null, null, null],
      [0, 0, 0, 0],
    ]);
    expect(kwargs.lines).toEqual([
      expect.stringMatching(/^warn reward "http_judge" has not answered for 0\.2 s.*are null/),
    ]);
  });
});

describe('settings', () => {
  const made = (options: Record<string, unknown>) => () =>
    new HttpJudge({ http_judge_url: 'http://localhost:1/', ...options });

  test.each<[string, Record<string, unknown>, string]>([
    ['no address', { http_judge_url: null }, '--http_judge_url has no value'],
    [
      'no address at all',
      { http_judge_url: 'localhost:8000' },
      'is "localhost:8000", which is no http:// or https:// address',
    ],
    ['a file', { http_judge_url: 'file:///judge' }, 'which is no http:// or https:// address'],
    [
      'a password in the address',
      { http_judge_url: 'https://me:hunter2@host.invalid/x' },
      'has a user name or a password in it (host host.invalid)',
    ],
    [
      'a variable that is not set',
      { http_judge_token_env: 'JUDGE_TOKEN' },
      'names the environment variable JUDGE_TOKEN, which is not set',
    ],
    ['a token in place of a name', { http_judge_token_env: 'sk-hunter2' }, 'names a variable, which is not set'],
    ['an empty column', { http_judge_columns: 'a,,b' }, 'in which a name is empty'],
    ['a column that is none', { http_judge_columns: 'images' }, 'names "images", which is no column of the dataset'],
    ['a part of a request', { http_judge_batch_size: 0.5 }, '--http_judge_batch_size is 0.5'],
    ['no time', { http_judge_timeout: 0 }, '--http_judge_timeout is 0'],
  ])('%s is refused by name, without secrets', (_, options, message) => {
    expect(made(options)).toThrow(expect.objectContaining({ code: 'E_REWARD_OPTION', exitCode: 2 }));
    expect(made(options)).toThrow(message);
    expect(made(options)).not.toThrow(/hunter2/);
  });

  test('a token with a line break is refused without being shown', () => {
    process.env.JUDGE_TOKEN = 'hunter2\nX-Other: 1';
    expect(made({ http_judge_token_env: 'JUDGE_TOKEN' })).toThrow('whose value is no token');
    expect(made({ http_judge_token_env: 'JUDGE_TOKEN' })).not.toThrow(/hunter2/);
    process.env.JUDGE_TOKEN = 'good\n';
    expect(made({ http_judge_token_env: 'JUDGE_TOKEN' })).not.toThrow();
  });
});
