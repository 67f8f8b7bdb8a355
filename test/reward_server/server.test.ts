import { existsSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { type ServerOptions, serveRewards } from '../../src/reward_server/server.ts';
import type { Handler } from '../../src/reward_server/service.ts';
import type { RewardKwargs } from '../../src/rewards/contract.ts';
import { orms } from '../../src/rewards/registry.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { readRepositoryFile } from '../helpers/repository.ts';
import { judgeBody } from './body.ts';

/** As much of an answer as a test looks at. */
interface Answer {
  readonly rewards: readonly unknown[];
  readonly values: readonly (number | null)[];
  readonly lines: readonly unknown[];
  readonly prompt_ids: readonly (readonly number[])[];
  readonly error: { readonly code: string; readonly message: string; readonly where: string };
}

const folder = temporaryFolder();
let sockets = 0;
const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

/** A server, and what asks it. */
async function start(changes: Partial<ServerOptions> = {}) {
  sockets += 1;
  const socket = join(folder, `${sockets}.sock`);
  const stop = new AbortController();
  let served: Promise<void> = Promise.resolve();
  await new Promise<void>((ready, fail) => {
    const options = { socket, deadline: 30, maxRequestBytes: 2 ** 20, signal: stop.signal, ...changes };
    served = serveRewards(options, ready);
    served.catch(fail);
  });
  ends.push(async () => {
    stop.abort(new Error('end of the test'));
    await served;
  });
  const ask = (path: string, body: unknown, method = 'POST'): Promise<{ status: number; body: Answer }> =>
    new Promise((resolve, reject) => {
      const asked = request({ socketPath: socket, path, method }, (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('end', () =>
          resolve({ status: response.statusCode!, body: JSON.parse(Buffer.concat(parts).toString()) }),
        );
      });
      asked.on('error', reject);
      asked.end(typeof body === 'string' ? body : JSON.stringify(body));
    });
  return { ask, socket, stop, served: () => served };
}

describe('the service', () => {
  test('lists, makes, judges', async () => {
    const { ask } = await start();
    const { body } = await ask('/rewards', {});
    expect(body.rewards).toContainEqual({
      name: 'ddapo_attention',
      label: 'DDAPOAttentionORM',
      needs: ['attention'],
      file: null,
    });
    expect((await ask('/make', { reward: 'format', args: {} })).body).toMatchObject({ label: 'Format', needs: [] });
    expect(await ask('/judge', judgeBody())).toEqual({
      status: 200,
      body: { values: [1, 0], metrics: {}, columns: {}, lines: [] },
    });
  });

  test("a reward gets what the contract promises, the dataset's columns, and nothing that is not here", async () => {
    let seen: RewardKwargs | undefined;
    orms.seeing = class {
      call(completions: readonly string[], kwargs: RewardKwargs) {
        seen = kwargs;
        kwargs.log_metric('seeing/step', kwargs.trainer_state.global_step);
        kwargs.log_extra(
          'place',
          completions.map((_, i) => i),
        );
        kwargs.logger.warn('look');
        return completions.map(() => null);
      }
    };
    try {
      const { ask } = await start();
      await ask('/make', { reward: 'seeing', args: {} });
      const { body } = await ask('/judge', judgeBody({ reward: 'seeing' }));
      expect(body).toEqual({
        values: [null, null],
        metrics: { 'seeing/step': 3 },
        columns: { place: [0, 1] },
        lines: [{ level: 'warn', text: 'look' }],
      });
      expect(seen).toMatchObject({
        num_generations: 2,
        system_prefix: [1, 1],
        solution: ['yes', 'yes'],
        attention_masses: null,
      });
      expect(seen!.messages[0]).toEqual([
        { role: 'user', content: [{ type: 'image' }, { type: 'text', text: 'What?' }] },
      ]);
      expect(seen!.images[0]![0]!.size.shown).toEqual({ width: 84, height: 56 });
      expect(() => seen!.images[0]![0]!.pixelValues).toThrow('not available in this process');
      expect(() => seen!.images[0]![0]!.size.stored).toThrow('not available in this process');
      expect(() => seen!.model.forward({ input_ids: [] })).toThrow('calls the policy');
    } finally {
      delete orms.seeing;
    }
  });

  test('a signal of a reward is averaged, as in a run', async () => {
    orms.looking = class {
      static readonly signals = [{ column: 'looks', metric: 'mine/looks' }];
      call(completions: readonly string[], kwargs: RewardKwargs) {
        kwargs.log_extra('looks', [1, 2]);
        return completions.map(() => 0);
      }
    };
    try {
      const { ask } = await start();
      await ask('/make', { reward: 'looking', args: {} });
      const { body } = await ask('/judge', judgeBody({ reward: 'looking' }));
      expect(body).toMatchObject({ metrics: { 'mine/looks_mean': 1.5, 'mine/looks_std': Math.SQRT1_2 } });
    } finally {
      delete orms.looking;
    }
  });

  test('a reward that fails is an error, or null by the rule', async () => {
    orms.failing = class {
      call(): number[] {
        throw new Error('no');
      }
    };
    try {
      const { ask } = await start();
      await ask('/make', { reward: 'failing', args: {} });
      expect((await ask('/judge', judgeBody({ reward: 'failing' }))).body.error.code).toBe('E_REWARD_THREW');
      const skipping = await start({ rule: { timeout: null, onError: 'skip' } });
      await skipping.ask('/make', { reward: 'failing', args: {} });
      const { body } = await skipping.ask('/judge', judgeBody({ reward: 'failing' }));
      expect(body.values).toEqual([null, null]);
      expect(body.lines).toEqual([{ level: 'warn', text: expect.stringContaining('reward "failing" threw: no') }]);
    } finally {
      delete orms.failing;
    }
  });

  test('rows that sightline does not read are handed on, and that is told', async () => {
    const { ask } = await start();
    await ask('/make', { reward: 'format', args: {} });
    const row = { messages: [{ role: 'user', content: '<video>What?' }], videos: ['a.mp4'] };
    const { body } = await ask('/judge', judgeBody({ rows: [row, row] }));
    expect(body.values).toEqual([1, 0]);
    expect(body.lines[0]).toMatchObject({ level: 'warn', text: expect.stringContaining("in ms-swift's form") });
  });

  test('prompt ids are those of transformers', async () => {
    const { ask } = await start();
    const { cases } = JSON.parse(readRepositoryFile('test/golden/published/golden/cases.json').toString('utf8'));
    const { messages, prompt_ids } = cases.find(({ name }: { name: string }) => name === 'text_only');
    const limits = { min_pixels: null, max_pixels: null };
    const { body } = await ask('/encode', { model: 'test/golden/published/model', ...limits, rows: [{ messages }] });
    expect(body.prompt_ids).toEqual([prompt_ids]);
    const error = { message: 'file not found', where: expect.stringContaining('/nowhere') };
    expect(await ask('/encode', { model: '/nowhere', ...limits, rows: [{ messages }] })).toMatchObject({
      status: 400,
      body: { error },
    });
  });
});

describe('a request', () => {
  test.each<[string, string, unknown, string, RegExp]>([
    ['to another path', '/__proto__', {}, 'POST', /POST \/__proto__ is not served/],
    ['to get', '/rewards', '', 'GET', /GET \/rewards is not served/],
    ['that is no JSON', '/judge', '{', 'POST', /is not JSON/],
    ['that is nested without end', '/judge', '['.repeat(500_000), 'POST', /is not JSON|the request is/],
    ['for a reward that was not made', '/judge', judgeBody(), 'POST', /"format" was not made; made: none/],
    [
      'for a reward that is not there',
      '/make',
      { reward: 'fromat', args: {} },
      'POST',
      /no reward is registered as "fromat"/,
    ],
  ])('%s is answered with an error', async (_, path, body, method, message) => {
    const { ask } = await start();
    const answer = await ask(path, body, method);
    expect(answer).toMatchObject({ status: 400, body: { error: { message: expect.stringMatching(message) } } });
    expect((await ask('/rewards', {})).status).toBe(200);
  });

  test('that is too large is refused', async () => {
    const { ask } = await start({ maxRequestBytes: 100 });
    expect(await ask('/judge', judgeBody())).toMatchObject({
      status: 413,
      body: { error: { code: 'E_REQUEST_TOO_LARGE' } },
    });
  });

  test('that takes too long is told of, and its signal aborted', async () => {
    let signal: AbortSignal | undefined;
    const slow: Handler = (_, ends) => {
      signal = ends;
      return new Promise(() => undefined);
    };
    const { ask } = await start({ deadline: 0.05, service: { '/slow': slow } });
    expect(await ask('/slow', {})).toMatchObject({ status: 400, body: { error: { code: 'E_REWARD_DEADLINE' } } });
    expect(signal!.aborted).toBe(true);
  });

  test('that meets a fault of ours has its stack', async () => {
    const { ask } = await start({ service: { '/fault': () => Promise.reject(new TypeError('oh')) } });
    const { status, body } = await ask('/fault', {});
    expect(status).toBe(500);
    expect(body.error.where).toContain('server.test.ts');
  });
});

describe('the socket', () => {
  const quick = { deadline: 1, maxRequestBytes: 10, signal: new AbortController().signal };

  test('is gone at the end', async () => {
    const { socket, stop, served } = await start();
    expect(existsSync(socket)).toBe(true);
    stop.abort();
    await served();
    expect(existsSync(socket)).toBe(false);
  });

  test('is not taken from another server, nor another file for one', async () => {
    const taken = join(folder, 'taken');
    const other = createServer().listen(taken);
    await new Promise((resolve) => other.once('listening', resolve));
    await expect(serveRewards({ ...quick, socket: taken }, () => undefined)).rejects.toThrow('another server uses it');
    other.close();
    writeFileSync(join(folder, 'file'), 'mine');
    await expect(serveRewards({ ...quick, socket: join(folder, 'file') }, () => undefined)).rejects.toThrow(
      'the path exists and is not a socket',
    );
    await expect(serveRewards({ ...quick, socket: `/tmp/${'a'.repeat(120)}` }, () => undefined)).rejects.toThrow(
      'the limit is 103',
    );
    await expect(
      serveRewards({ ...quick, socket: join(folder, 'no', 'where') }, () => undefined),
    ).rejects.toMatchObject({ code: 'E_SOCKET' });
  });
});
