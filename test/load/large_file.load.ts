/**
 * A completions.jsonl of more than 2 GiB: what is behind byte 2^31 is found by its offset, and memory stays bounded.
 */
import { appendFileSync, mkdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Verdict } from '../../src/doctor/verdict.ts';
import type { Group, RowList, RunSummary } from '../../src/ui/api.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { completionsLine, jsonLines, logRecord, writeRun } from '../ui/made_runs.ts';
import { type Program, startProgram } from './program.ts';

const LINES = 520;
const PER_LINE = 8;
/** Letters of one completion: 520 lines of 8 make 2.18e9 bytes. */
const LENGTH = 1 << 19;

const folder = temporaryFolder();
const run = join(folder, 'output', 'v0-large');
const file = join(run, 'completions.jsonl');
let program: Program;

beforeAll(async () => {
  mkdirSync(run, { recursive: true });
  writeRun(run, {
    log: Array.from({ length: LINES }, (_, i) =>
      logRecord(i + 1, LINES, { reward: 0.5, 'rewards/accuracy/mean': 0.5 }),
    ),
    args: { model: 'm', num_generations: PER_LINE, reward_funcs: ['accuracy'], _sightline: {} },
  });
  const filler = 'A long thought about the picture. '.repeat(LENGTH / 34);
  for (let step = 1; step <= LINES; step++) appendFileSync(file, lineOf(step, filler));
  expect(statSync(file).size).toBeGreaterThan(2 ** 31);
  program = await startProgram(join(folder, 'output'));
});
afterAll(() => program.end());

const lineOf = (step: number, filler: string): string =>
  jsonLines([
    completionsLine(
      step,
      Array.from({ length: PER_LINE }, (_, k) => ({
        prompt: `Question of step ${step}`,
        completion: `<think>${filler}</think><answer>${step}-${k}</answer>`,
        reward: k % 2,
      })),
    ),
  ]);

async function summary(): Promise<RunSummary> {
  return (await program.json<{ runs: RunSummary[] }>('/api/runs')).runs[0]!;
}

test('is read, listed, searched, judged by the doctor, followed, replaced and deleted', async () => {
  await expect.poll(async () => (await summary()).completions, { timeout: 250_000 }).toBe(LINES * PER_LINE);
  const { id, read, faults } = await summary();
  expect([read.done, faults]).toEqual([read.total, []]);

  // The last line lies behind byte 2^31.
  const last = await program.json<Group>(`/api/runs/${id}/groups/${LINES - 1}`);
  expect([last.step, last.question]).toEqual([LINES, `Question of step ${LINES}`]);
  expect(last.completions.map(({ answer }) => answer)).toEqual(
    Array.from({ length: PER_LINE }, (_, k) => `${LINES}-${k}`),
  );
  expect(last.completions[7]!.text.length).toBeGreaterThan(LENGTH - 64);

  const found = await program.json<RowList>(`/api/runs/${id}/list?unit=completion&search=${LINES}-5%3C`);
  expect(found.rows.map(({ answer }) => answer)).toEqual([`${LINES}-5`]);
  const { verdicts } = await program.json<{ verdicts: Verdict[] }>(`/api/runs/${id}/verdicts`);
  expect(Array.isArray(verdicts)).toBe(true);

  // A line that is half-written is not shown until it is complete.
  const next = lineOf(LINES + 1, 'short');
  appendFileSync(file, next.slice(0, 100));
  appendFileSync(join(run, 'logging.jsonl'), jsonLines([logRecord(LINES + 1, LINES + 1, { reward: 1 })]));
  await expect.poll(async () => (await summary()).step, { timeout: 10_000 }).toBe(LINES + 1);
  expect((await summary()).groups).toBe(LINES);
  appendFileSync(file, next.slice(100));
  await expect.poll(async () => (await summary()).groups, { timeout: 10_000 }).toBe(LINES + 1);
  expect((await program.json<Group>(`/api/runs/${id}/groups/${LINES}`)).completions).toHaveLength(PER_LINE);

  // Cut as by a rotation of logs, then written anew.
  truncateSync(file, 0);
  await expect.poll(async () => (await summary()).completions, { timeout: 10_000 }).toBe(0);
  writeFileSync(file, lineOf(1, 'again'));
  await expect.poll(async () => (await summary()).completions, { timeout: 10_000 }).toBe(PER_LINE);

  rmSync(run, { recursive: true });
  await expect.poll(async () => (await summary()).state, { timeout: 10_000 }).toBe('gone');
  expect((await program.get(`/api/runs/${id}/groups/0`)).status).toBe(404);
  expect((await program.get('/')).status).toBe(200);

  console.log(`peak memory of the server: ${program.peakMemory().toFixed(0)} MiB`);
  expect(program.peakMemory()).toBeLessThan(300);
  expect(program.complaints()).toBe('');
});
