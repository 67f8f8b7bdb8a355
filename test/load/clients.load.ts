/**
 * Many clients at once, slow ones and greedy ones: the server turns them away, keeps its memory and files, and answers its user.
 */
import { appendFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { RunSummary } from '../../src/ui/api.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { completionsLine, jsonLines, logRecord, writeRun } from '../ui/made_runs.ts';
import { type Program, startProgram } from './program.ts';

const folder = temporaryFolder();
const run = join(folder, 'output', 'v0');
const STEPS = 500;
let program: Program;
let id: string;

beforeAll(async () => {
  writeRun(run, {
    log: Array.from({ length: STEPS }, (_, i) => logRecord(i + 1, 10_000, { reward: i % 7, loss: 1 / (i + 1) })),
    completions: Array.from({ length: STEPS }, (_, i) =>
      completionsLine(
        i + 1,
        Array.from({ length: 8 }, (_, k) => ({ completion: `Answer ${k} of step ${i + 1}.`, reward: k % 2 })),
      ),
    ),
    args: { model: 'm', _sightline: {} },
  });
  program = await startProgram(join(folder, 'output'));
  ({ id } = await vi.waitFor(readAll, { timeout: 60_000 }));
});
afterAll(() => program.end());

async function summary(): Promise<RunSummary> {
  return (await program.json<{ runs: RunSummary[] }>('/api/runs')).runs[0]!;
}

async function readAll(): Promise<RunSummary> {
  const found = await summary();
  expect(found.completions).toBe(8 * STEPS);
  return found;
}

/** The user's own page is answered, and the server holds no more memory and files than its documentation says. */
async function expectHealthy(openFiles: number): Promise<void> {
  await expect.poll(async () => (await program.get('/')).status, { timeout: 60_000 }).toBe(200);
  // Connections of clients that have gone are closed within the time that they may stay idle.
  await expect.poll(() => program.openFiles(), { timeout: 30_000 }).toBeLessThanOrEqual(openFiles);
  expect(program.peakMemory()).toBeLessThan(300);
  expect(program.complaints()).toBe('');
}

test('6,000 requests, 50 at a time, while the run grows: all are answered, and nothing is left open', async () => {
  const paths = [
    '/',
    '/api/runs',
    `/api/curves?run=${id}&metric=reward&metric=loss&weight=0.6`,
    `/api/runs/${id}/args`,
    `/api/runs/${id}/list?sort=accuracy&descending=true&offset=50`,
    `/api/runs/${id}/list?search=${encodeURIComponent('step 77.')}`,
    `/api/runs/${id}/groups/123`,
    `/api/runs/${id}/correlations?column=accuracy`,
    `/api/runs/${id}/verdicts`,
    `/api/runs/${id}/completions/9`,
  ];
  for (const path of paths) await program.get(path);
  const openFiles = program.openFiles();
  const REQUESTS = 6000;
  const milliseconds: number[] = [];
  const statuses = new Map<number, number>();
  let next = 0;
  const client = async (): Promise<void> => {
    while (next < REQUESTS) {
      const number = next++;
      // Grown data empties what the server has kept of earlier answers.
      if (number % 100 === 0) {
        const step = STEPS + 1 + number / 100;
        appendFileSync(join(run, 'logging.jsonl'), jsonLines([logRecord(step, 10_000, { reward: 1 })]));
      }
      const begun = performance.now();
      const { status } = await program.get(paths[number % paths.length]!);
      milliseconds.push(performance.now() - begun);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
  };
  const begun = performance.now();
  await Promise.all(Array.from({ length: 50 }, client));
  const seconds = (performance.now() - begun) / 1000;
  expect([...statuses]).toEqual([[200, REQUESTS]]);
  await expect.poll(async () => (await summary()).step).toBe(STEPS + REQUESTS / 100);
  await expectHealthy(openFiles);
  milliseconds.sort((a, b) => a - b);
  console.log(
    `${(REQUESTS / seconds).toFixed(0)} requests a second; half of them within ${milliseconds[REQUESTS / 2]!.toFixed(0)} ms, ` +
      `99 % within ${milliseconds[0.99 * REQUESTS]!.toFixed(0)} ms; peak memory ${program.peakMemory().toFixed(0)} MiB`,
  );
});

test('of 1,000 streams of changes 64 are open, the others are turned away, and the user is answered after them', async () => {
  const openFiles = program.openFiles();
  const streams = await Promise.all(Array.from({ length: 1000 }, () => openStream()));
  const count = (wanted: number | null): number => streams.filter(({ status }) => status === wanted).length;
  expect(count(200)).toBe(64);
  expect(count(429) + count(null)).toBe(1000 - 64);
  for (const { close } of streams) close();
  await expectHealthy(openFiles);
});

test('500 clients that never finish their headers are cut off', async () => {
  const openFiles = program.openFiles();
  const endings = await Promise.all(
    Array.from({ length: 500 }, () =>
      exchange(['GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ']).then(({ text }) => text),
    ),
  );
  // Either told why, or not even accepted.
  for (const text of endings) expect(text).toMatch(/^(HTTP\/1\.1 408 |$)/);
  expect(endings.some((text) => text.startsWith('HTTP/1.1 408 '))).toBe(true);
  await expectHealthy(openFiles);
});

test('10 MB of header are refused', async () => {
  const openFiles = program.openFiles();
  const line = `X: ${'x'.repeat(1 << 16)}\r\n`;
  const { text } = await exchange(['GET / HTTP/1.1\r\nHost: localhost\r\n', ...Array<string>(160).fill(line), '\r\n']);
  // The answer is lost if it arrives while the client still writes.
  expect(text).toMatch(/^(HTTP\/1\.1 431 |$)/);
  await expectHealthy(openFiles);
});

test.each([
  ['GET', 413],
  ['POST', 405],
])('10 MB of content are refused with %s', async (method, status) => {
  const openFiles = program.openFiles();
  const { cookie } = program;
  const head = `${method} /api/runs HTTP/1.1\r\nHost: localhost\r\nCookie: ${cookie}\r\nConnection: close\r\n`;
  // The answer is lost if it arrives while the client still writes.
  const refused = new RegExp(`^(HTTP/1\\.1 ${status} |$)`);
  const piece = 'x'.repeat(1 << 16);
  const sized = await exchange([`${head}Content-Length: ${160 << 16}\r\n\r\n`, ...Array<string>(160).fill(piece)]);
  expect(sized.text).toMatch(refused);
  const chunked = await exchange([
    `${head}Transfer-Encoding: chunked\r\n\r\n`,
    ...Array<string>(160).fill(`10000\r\n${piece}\r\n`),
    '0\r\n\r\n',
  ]);
  expect(chunked.text).toMatch(refused);
  await expectHealthy(openFiles);
});

// --- internal ---

/** Sends the pieces and returns all that comes back until the server closes; the client may be cut off at any time. */
function exchange(pieces: readonly string[]): Promise<{ readonly text: string }> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect(program.port, '127.0.0.1', () => {
      for (const piece of pieces) socket.write(piece);
    });
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
    });
    socket.on('error', () => undefined); // closed by the server while the client writes; `close` follows
    socket.on('close', () => resolve({ text }));
  });
}

/** The status is null if the server closes without an answer. */
function openStream(): Promise<{ readonly status: number | null; readonly close: () => void }> {
  return new Promise((resolve) => {
    const socket = connect(program.port, '127.0.0.1');
    const close = (): void => void socket.destroy();
    socket.once('data', (chunk) =>
      resolve({ status: Number(/^HTTP\/1\.1 (\d+)/.exec(chunk.toString('latin1'))![1]), close }),
    );
    socket.on('error', () => undefined);
    socket.on('close', () => resolve({ status: null, close }));
    socket.write(`GET /api/events HTTP/1.1\r\nHost: localhost\r\nCookie: ${program.cookie}\r\n\r\n`);
  });
}
