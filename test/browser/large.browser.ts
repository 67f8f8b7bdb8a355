/**
 * A run of 10,000 steps and 100,000 completions in the real program and a real browser. Memory of the server and the number of
 * rows that are drawn are checked; times depend on the machine and are printed.
 */
import { appendFileSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { RunSummary } from '../../src/ui/api.ts';
import { startCli, written } from '../helpers/cli.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { repositoryRoot } from '../helpers/repository.ts';
import { completionsLine, jsonLines, logRecord } from '../ui/made_runs.ts';
import { launch, openTab, shoot, type Tab } from './browser.ts';

const STEPS = 10_000;
const COMPLETIONS = 100_000;
const PER_LINE = 64;
const METRICS = 40;

const folder = temporaryFolder();
const run = join(folder, 'output', 'v0-large');
let browser: Browser;
let server: ReturnType<typeof startCli>;

beforeAll(async () => {
  mkdirSync(run, { recursive: true });
  writeLarge();
  browser = await launch();
  server = startCli(join(repositoryRoot, 'dist/cli/main.js'), ['ui', join(folder, 'output'), '--port', '0']);
  await written(server.child, server.text, /login\?token=\S+\n/);
});
afterAll(async () => {
  await browser.close();
  server.child.kill('SIGTERM');
});

test('a page on 100,000 completions draws few rows, and its server keeps little', async () => {
  const figures: Record<string, string> = {
    files: `${megabytes(['logging.jsonl', 'completions.jsonl'].reduce((sum, name) => sum + statSync(join(run, name)).size, 0))} MB`,
  };
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const opened = Date.now();
  const { page, complaints }: Tab = await openTab(context, /http\S+/.exec(server.text.stdout)![0]);
  figures['first paint'] = `${Math.round(await paint(page))} ms after the request`;
  await page.waitForSelector('.chart .legend li', { timeout: 60_000 });
  figures['first chart'] = `${Date.now() - opened} ms after the link was opened, while the files are read`;
  await expect.poll(async () => (await summary(page)).completions, { timeout: 60_000 }).toBe(COMPLETIONS);
  figures['all read'] = `${Date.now() - opened} ms`;
  // A second visit, with everything read.
  await page.reload();
  const again = Date.now();
  await page.waitForSelector('.chart .legend li');
  figures['first paint, all read'] = `${Math.round(await paint(page))} ms`;
  figures['first chart, all read'] = `${Date.now() - again} ms`;
  await shoot(page, 'large-runs');

  const { id, groups } = await summary(page);
  await page.evaluate(`location.hash = '#/completions/${id}'`);
  await page.waitForSelector('.row .num');
  await page.selectOption('[aria-label="What to list"]', 'completion');
  await expect.poll(() => page.textContent('.list-foot')).toBe('100\u202f000 of 100\u202f000 completions');
  const scrolled = await page.evaluate<{ rows: number; frames: number; seconds: number }>(SCROLL);
  expect(scrolled.rows).toBeGreaterThan(10);
  expect(scrolled.rows).toBeLessThanOrEqual(60);
  figures.scrolling = `${scrolled.rows} rows drawn at most, ${(scrolled.frames / scrolled.seconds).toFixed(0)} frames a second`;
  await page.focus('.rows');
  await page.keyboard.press('End');
  await expect.poll(() => page.textContent('.panel h2')).toContain(`group ${groups} of ${groups}`);

  const sorted = Date.now();
  await page.selectOption('[aria-label="Sort by"]', 'accuracy');
  await page.waitForResponse((response) => response.url().includes('sort=accuracy'));
  figures['sort by a reward'] = `${Date.now() - sorted} ms`;
  const searched = Date.now();
  await page.fill('[data-search]', 'number 77777 ');
  await expect
    .poll(() => page.textContent('.list-foot'), { timeout: 60_000, interval: 20 })
    .toBe('1 of 100\u202f000 completions');
  figures['search in all texts'] = `${Date.now() - searched} ms`;
  await shoot(page, 'large-completions');

  const status = readFileSync(`/proc/${server.child.pid}/status`, 'utf8');
  const peak = Number(/VmHWM:\s+(\d+)/.exec(status)![1]) / 1024;
  figures['peak memory of the server'] = `${peak.toFixed(0)} MiB`;
  console.log(
    Object.entries(figures)
      .map(([name, value]) => `${name}: ${value}`)
      .join('\n'),
  );
  expect(peak).toBeLessThan(300);
  expect(complaints).toEqual([]);
  await context.close();
});

// --- internal ---

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0);

/** Milliseconds from the request of the page to its first content. */
const paint = (page: Page): Promise<number> =>
  page.evaluate<number>(`new Promise((resolve) => {
    const look = () => {
      const entry = performance.getEntriesByName('first-contentful-paint')[0];
      if (entry) resolve(entry.startTime); else requestAnimationFrame(look);
    };
    look();
  })`);

async function summary(page: Page): Promise<RunSummary> {
  const { runs } = await page.evaluate<{ runs: RunSummary[] }>(
    `fetch('/api/runs').then((response) => response.json())`,
  );
  return runs[0]!;
}

/** Scrolls through the list in 120 frames of 900 rows. */
const SCROLL = `(async () => {
  const list = document.querySelector('.rows');
  const frame = () => new Promise(requestAnimationFrame);
  let rows = 0;
  const begun = performance.now();
  for (let i = 0; i < 120; i++) {
    list.scrollTop += 34 * 900 * (i < 100 ? 1 : -4);
    await frame();
    rows = Math.max(rows, document.querySelectorAll('.row').length);
  }
  return { rows, frames: 120, seconds: (performance.now() - begun) / 1000 };
})()`;

function writeLarge(): void {
  const records: unknown[] = [];
  for (let step = 1; step <= STEPS; step++) {
    const metrics = Array.from({ length: METRICS }, (_, i) => [
      i === 0 ? 'reward' : `made/metric_${i}`,
      Math.sin(step / (50 + i)) + i,
    ]);
    records.push(logRecord(step, STEPS, Object.fromEntries(metrics)));
  }
  appendFileSync(join(run, 'logging.jsonl'), jsonLines(records));
  const thought = 'The picture has a round shape in it, and another one beside it, which is larger. '.repeat(8);
  for (let first = 0; first < COMPLETIONS; first += PER_LINE) {
    const rows = Array.from({ length: Math.min(PER_LINE, COMPLETIONS - first) }, (_, i) => ({
      index: Math.floor((first + i) / 8) % 500,
      prompt: `<|im_start|>user\nWhat is in picture ${Math.floor((first + i) / 8) % 500}?<|im_end|>\n<|im_start|>assistant\n`,
      completion: `<think>${thought}This is number ${first + i} of all.</think><answer>${(first + i) % 7}</answer>`,
      reward: ((first + i) % 7) / 6,
      advantage: ((first + i) % 8) / 4 - 0.875,
    }));
    appendFileSync(
      join(run, 'completions.jsonl'),
      jsonLines([completionsLine(1 + Math.floor(first / PER_LINE), rows)]),
    );
  }
}
