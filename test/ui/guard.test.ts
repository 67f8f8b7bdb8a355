/**
 * Who may see the page: names of hosts, origins, links that work once, and nothing from outside of the given folders.
 */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { RunSummary } from '../../src/ui/api.ts';
import { createApp } from '../../src/ui/app.ts';
import { createGuard } from '../../src/ui/guard.ts';
import { createFence } from '../../src/ui/inside.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { completionsLine, logRecord, PIXEL, writeRun } from './made_runs.ts';
import { files, serve } from './served.ts';

const folder = temporaryFolder();
const root = join(folder, 'output');
const secret = 'what must never be served';
mkdirSync(join(root, 'images'), { recursive: true });
writeFileSync(join(folder, 'secret.txt'), secret);
writeFileSync(join(folder, 'secret.png'), Buffer.concat([PIXEL, Buffer.from(secret)]));
writeFileSync(join(root, 'images', 'inside.png'), PIXEL);
writeFileSync(join(root, 'images', 'picture.svg'), '<svg xmlns="http://www.w3.org/2000/svg"/>');
symlinkSync(join(folder, 'secret.png'), join(root, 'images', 'link.png'));
const images = ['inside.png', '../../secret.png', 'link.png', 'picture.svg', 'gone.png'].map((name) =>
  join(root, 'images', name),
);
writeRun(join(root, 'v0'), {
  log: [logRecord(1, 2, { reward: 0.5 })],
  completions: [
    completionsLine(1, [{ completion: 'A cat.', reward: 1, images: [...images, `${root}/images/\0.png`, null] }]),
  ],
  args: { model: 'm', _sightline: {} },
});
mkdirSync(join(root, 'v1'));
writeFileSync(
  join(folder, 'elsewhere.jsonl'),
  `${JSON.stringify(completionsLine(1, [{ completion: secret, reward: 1 }]))}\n`,
);
symlinkSync(join(folder, 'elsewhere.jsonl'), join(root, 'v1', 'completions.jsonl'));
writeFileSync(join(root, 'v1', 'logging.jsonl'), `${JSON.stringify(logRecord(1, 2, { reward: 1 }))}\n`);
mkdirSync(join(folder, 'other'));
writeRun(join(folder, 'other', 'v9'), { log: [logRecord(1, 2, { reward: 1 })] });
symlinkSync(join(folder, 'other'), join(root, 'linked'));

const served = await serve([root]);
const { cookie, get } = served;
const { runs } = await served.json<{ runs: RunSummary[] }>('/api/runs');
const run = runs.find(({ name }) => name === 'v0')!;
const row = `/api/runs/${run.id}/completions/0`;

/** Every route, with a place for it to answer from. A test below compares them with the server's own list. */
const routes = [
  '/',
  '/app.js',
  '/api/runs',
  `/api/runs/${run.id}/args`,
  `/api/runs/${run.id}/verdicts`,
  `/api/runs/${run.id}/checkpoints`,
  `/api/curves?run=${run.id}&metric=reward`,
  `/api/curves.csv?run=${run.id}&metric=reward`,
  `/api/runs/${run.id}/correlations?column=accuracy`,
  `/api/runs/${run.id}/step_times`,
  `/api/runs/${run.id}/list`,
  `/api/runs/${run.id}/groups/0`,
  row,
  `${row}/images/0`,
  `${row}/attention`,
  `${row}/attention/values`,
];

test('the list of routes is complete', () => {
  const fence = createFence([root]);
  const app = createApp({
    library: served.ui.library,
    fence,
    guard: createGuard({ hosts: [], anyAddress: false, port: () => 1 }),
    files,
    signal: AbortSignal.timeout(0),
    onFault: () => undefined,
  });
  const patterns = app.routes.filter(({ method }) => method === 'GET').map(({ path }) => path);
  const answers = (pattern: string, address: string): boolean =>
    new RegExp(`^${pattern.replace(/:\w+(?:\{[^}]+\}+)?/g, '[^/]+')}$`).test(address.replace(/\?.*/, ''));
  const untested = patterns.filter((pattern) => !routes.some((address) => answers(pattern, address)));
  // These two are not open to a plain request: one takes a token, the other one does not end.
  expect(untested).toEqual(['/login', '/api/events']);
});

describe('the Host header', () => {
  const allowed = ['localhost', '127.0.0.1', '[::1]', 'LOCALHOST'].flatMap((name) => [
    name,
    `${name}:${served.ui.port}`,
  ]);
  test.each(allowed)('%s is served', async (host) => {
    expect((await get('/', { headers: { host, cookie } })).status).toBe(200);
  });

  const refused = [
    'evil.example',
    'localhost.evil.example',
    '127.0.0.1.nip.io',
    '2130706433',
    '0x7f000001',
    '127.1',
    '0.0.0.0',
    'localhost:80:80',
    'evil.example:7788',
    '[::2]',
  ];
  test.each(refused)('%s is refused, on every route and without data', async (host) => {
    for (const path of [...routes, '/login?token=x']) {
      const { status, body } = await get(path, { headers: { host, cookie } });
      expect([400, 403]).toContain(status);
      expect(body.toString()).not.toContain('v0');
    }
  });

  test.each([
    ['two', `Host: localhost\r\nHost: evil.example\r\n`],
    ['two equal ones', `Host: localhost\r\nhost: localhost\r\n`],
    ['none', ''],
    ['an empty one', 'Host:\r\n'],
  ])('%s is refused', async (_, lines) => {
    const answer = await raw(`GET / HTTP/1.1\r\n${lines}Cookie: ${cookie}\r\nConnection: close\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 40[03] /);
  });

  test('of another name is served if the command allows it', async () => {
    const other = await serve([root], { hosts: ['box.example'] });
    expect((await other.get('/', { headers: { host: 'box.example', cookie: other.cookie } })).status).toBe(200);
    expect((await other.get('/', { headers: { host: 'a.box.example', cookie: other.cookie } })).status).toBe(403);
  });

  test('may be any address, but no name, if the server listens to the network', async () => {
    const open = await serve([root], { host: '0.0.0.0', token: 'a-token-of-the-user' });
    const status = async (host: string) => (await open.get('/', { headers: { host, cookie: open.cookie } })).status;
    expect(await status('192.0.2.7:80')).toBe(200);
    expect(await status('evil.example')).toBe(403);
    expect(await status('192.0.2.7.nip.io')).toBe(403);
  });
});

describe('the link', () => {
  test('is exchanged once for a cookie that scripts and other sites do not get', async () => {
    const other = await serve([root]);
    const used = new URL(other.links[0]!);
    const again = await other.get(`${used.pathname}${used.search}`, { headers: {} });
    expect(again.status).toBe(401);
    expect(again.headers['set-cookie']).toBeUndefined();
    expect(other.links).toHaveLength(2);
    const next = new URL(other.links[1]!);
    const answer = await other.get(`${next.pathname}${next.search}`, { headers: {} });
    expect(answer.headers['set-cookie']![0]).toMatch(/^sightline_\d+=[\w-]{32}; Path=\/; HttpOnly; SameSite=Strict$/);
    // The page does not hold the token, so that it cannot end up in a history or a referrer.
    expect(answer.body.toString()).not.toContain(next.searchParams.get('token')!);
  });

  test.each([
    ['none', {}],
    ['a wrong one', { cookie: cookie.replace(/=.*/, '=wrong') }],
    ['that of another port', { cookie: cookie.replace(/sightline_\d+/, 'sightline_1') }],
    ['the token instead', { cookie: `token=${new URL(served.links.at(-1)!).searchParams.get('token')}` }],
  ] as [string, Record<string, string>][])(
    'without it, with %s, every route answers 401 and no data',
    async (_, headers) => {
      for (const path of routes) {
        const { status, body } = await get(path, { headers });
        expect([path, status]).toEqual([path, 401]);
        expect(body.toString()).toBe('Open the link that `sightline ui` has printed.\n');
      }
    },
  );
});

describe('requests of other sites', () => {
  test.each([
    ['a foreign origin', { origin: 'http://evil.example' }],
    ['an origin that begins alike', { origin: `http://127.0.0.1:${served.ui.port}.evil.example` }],
    ['the null origin', { origin: 'null' }],
    ['another port', { origin: 'http://127.0.0.1:1' }],
    ['https', { origin: `https://127.0.0.1:${served.ui.port}` }],
    ['Sec-Fetch-Site', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' }],
    [
      'another port of this machine',
      { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' },
    ],
    ['a frame', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe' }],
  ] as [string, Record<string, string>][])('are refused: %s', async (_, headers) => {
    for (const path of [...routes, '/api/events']) {
      const { status, headers: given } = await get(path, { headers: { cookie, ...headers } });
      expect([path, status]).toEqual([path, 403]);
      expect(given['access-control-allow-origin']).toBeUndefined();
    }
  });

  test('a form that is sent from another site is refused', async () => {
    const headers = { cookie, origin: 'http://evil.example', 'content-type': 'text/plain', 'content-length': '0' };
    for (const path of routes) expect((await get(path, { method: 'POST', headers })).status).toBe(403);
  });

  test('a WebSocket is refused, with and without a foreign origin', async () => {
    for (const origin of ['', 'Origin: http://evil.example\r\n']) {
      const answer = await raw(
        `GET /api/events HTTP/1.1\r\nHost: localhost\r\nCookie: ${cookie}\r\n${origin}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
        (text) => text.includes('\r\n\r\n'),
      );
      expect(answer).not.toMatch(/^HTTP\/1\.1 101 /);
      expect(answer).not.toContain('v0');
      if (origin !== '') expect(answer).toMatch(/^HTTP\/1\.1 403 /);
    }
  });

  test('of the page itself are answered', async () => {
    const headers = { cookie, origin: `http://127.0.0.1:${served.ui.port}`, 'sec-fetch-site': 'same-origin' };
    expect((await get('/api/runs', { headers })).status).toBe(200);
  });

  test.each(['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'])('%s is refused on every route', async (method) => {
    for (const path of routes) expect((await get(path, { method, headers: { cookie } })).status).toBe(405);
  });
});

test('every answer has its type and the headers that keep other content out', async () => {
  const answers = [...routes, '/login?token=x', '/nothing', `${row}/images/1`];
  for (const path of answers) {
    const { headers } = await get(path);
    expect([path, headers['content-type']]).toEqual([path, expect.stringMatching(/^[a-z]+\/[a-z]+/)]);
    expect(headers['x-content-type-options']).toBe('nosniff');
    expect(headers['x-frame-options']).toBe('DENY');
    expect(headers['referrer-policy']).toBe('no-referrer');
    const policy = headers['content-security-policy'] as string;
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("script-src 'self'");
    expect(policy).not.toContain('unsafe');
    expect(headers['access-control-allow-origin']).toBeUndefined();
  }
});

describe('files', () => {
  test('an image inside the folder is served', async () => {
    const { status, headers, body } = await get(`${row}/images/0`);
    expect([status, headers['content-type']]).toEqual([200, 'image/png']);
    expect(body.equals(PIXEL)).toBe(true);
  });

  test.each([
    [1, 'outside, by its path', /outside/],
    [2, 'outside, over a symbolic link', /outside/],
    [3, 'an SVG', /not a picture/],
    [4, 'gone', /no longer there/],
    [5, 'of a name with a null byte', /no longer there/],
    [6, 'not logged', /not found/],
    [7, 'one too many', /not found/],
  ])('image %i is not served: %s', async (image, _, reason) => {
    const { status, body } = await get(`${row}/images/${image}`);
    expect(status).toBe(404);
    expect(body.toString()).toMatch(reason);
    expect(body.toString()).not.toContain(secret);
  });

  test('a log that is a symbolic link to outside is not read, and linked folders are not entered', async () => {
    const linked = runs.find(({ name }) => name === 'v1')!;
    expect(linked.completions).toBe(0);
    expect(runs.map(({ name }) => name)).toEqual(['v0', 'v1']);
  });

  test.each([
    '/../secret.txt',
    '/%2e%2e/secret.txt',
    '/..%2fsecret.txt',
    '/\\..\\secret.txt',
    '/app.js%00.txt',
    '//etc/passwd',
  ])('no path leads out: %s', async (path) => {
    const answer = await raw(
      `GET ${path} HTTP/1.1\r\nHost: localhost\r\nCookie: ${cookie}\r\nConnection: close\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 (?:40[04]) /);
    expect(answer).not.toContain(secret);
  });

  test('no id, number or query of any form gives anything but an answer', async () => {
    const part = fc.oneof(
      fc.constantFrom('..', '%2e%2e', '%00', '\\', '/etc/passwd', run.id, '0', '-1', '1e9', '__proto__', 'constructor'),
      fc.string({ maxLength: 12 }).map(encodeURIComponent),
    );
    const path = fc.oneof(
      fc.array(part, { maxLength: 5 }).map((parts) => `/${parts.join('/')}`),
      fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => `/api/runs/${parts.join('/')}`),
      fc
        .tuple(part, part, part)
        .map(([a, b, c]) => `/api/runs/${run.id}/list?sort=${a}&limit=${b}&offset=${c}&fromStep=${a}`),
      fc.tuple(part, part).map(([a, b]) => `/api/curves?run=${a}&metric=${b}&points=${b}`),
    );
    await fc.assert(
      fc.asyncProperty(path, async (made) => {
        const { status, body } = await get(
          encodeURI(decodeURI(made.replaceAll(/%(?![0-9a-f]{2})/gi, ''))).replaceAll(' ', ''),
        );
        expect([200, 400, 404]).toContain(status);
        expect(body.toString()).not.toContain(secret);
        expect(body.toString()).not.toContain('root:');
      }),
      { numRuns: 10_000 },
    );
    expect(served.faults).toEqual([]);
  });
});

describe('limits', () => {
  test('a header of more than 16 KiB is refused', async () => {
    const answer = await raw(`GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 431 /);
  });

  test.each([
    ['GET', 413],
    ['HEAD', 413],
    ['POST', 405],
  ])('content that comes with %s is refused', async (method, status) => {
    for (const content of [
      'Content-Length: 4\r\n\r\nword',
      'Transfer-Encoding: chunked\r\n\r\n4\r\nword\r\n0\r\n\r\n',
    ]) {
      const answer = await raw(
        `${method} /api/runs HTTP/1.1\r\nHost: localhost\r\nCookie: ${cookie}\r\nConnection: close\r\n${content}`,
      );
      expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    }
  });

  test('a client that does not finish its headers is cut off', async () => {
    const answer = await raw('GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ');
    expect(answer).toMatch(/^HTTP\/1\.1 408 /);
  });

  test('of streams of changes there are 64', async () => {
    const other = await serve([root]);
    const open = Array.from({ length: 70 }, () => stream(other.ui.port, other.cookie));
    const statuses = await Promise.all(open.map(({ status }) => status));
    expect(statuses.filter((status) => status === 200)).toHaveLength(64);
    expect(statuses.filter((status) => status === 429)).toHaveLength(6);
    for (const { close } of open) close();
    // Each closed one makes room.
    await expect
      .poll(async () => {
        const next = stream(other.ui.port, other.cookie);
        const status = await next.status;
        next.close();
        return status;
      })
      .toBe(200);
  });
});

// --- internal ---

/** Sends bytes as they are and returns all that comes back until the server closes, or until it is enough. */
function raw(text: string, isEnough: (answer: string) => boolean = () => false): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(served.ui.port, '127.0.0.1', () => socket.write(text));
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1');
      if (isEnough(answer)) socket.destroy();
    });
    socket.on('close', () => resolve(answer));
    socket.on('error', reject);
    socket.setTimeout(20_000, () => socket.destroy());
  });
}

function stream(port: number, cookieOfServer: string) {
  const socket = connect(port, '127.0.0.1');
  const status = new Promise<number>((resolve, reject) => {
    socket.once('data', (chunk) => resolve(Number(/^HTTP\/1\.1 (\d+)/.exec(chunk.toString('latin1'))![1])));
    socket.on('error', reject);
  });
  socket.write(`GET /api/events HTTP/1.1\r\nHost: localhost\r\nCookie: ${cookieOfServer}\r\n\r\n`);
  return { status, close: () => socket.destroy() };
}
