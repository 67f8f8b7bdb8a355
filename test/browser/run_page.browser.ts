/**
 * The page of `sightline report` in a real browser, opened as a file without a network: light, dark and phone width.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser } from 'playwright-core';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createAttentionLog } from '../../src/attention_log/writer.ts';
import { runPage } from '../../src/run_page/page.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { completionsLine, logRecord, writeRun } from '../ui/made_runs.ts';
import { launch, shoot } from './browser.ts';

const root = temporaryFolder();
const file = join(root, 'report.html');
const STEPS = 60;
const hostile =
  '</style><script>document.title="taken"</script><img src="http://evil.example/x.png" onerror="alert(1)">';
let browser: Browser;

beforeAll(async () => {
  const folder = join(root, 'v0-made');
  const picture = join(root, 'scene.png');
  const circle = '<svg width="224" height="168"><circle cx="70" cy="60" r="38" fill="#c2410c"/></svg>';
  const ground = sharp({ create: { width: 224, height: 168, channels: 3, background: '#b9c4cc' } });
  await ground.composite([{ input: Buffer.from(circle) }]).toFile(picture);
  const rows = [
    { completion: 'It is a circle.', reward: 1, images: [picture] },
    { completion: hostile, reward: 0, images: [picture] },
  ];
  writeRun(folder, {
    log: Array.from({ length: STEPS }, (_, i) =>
      logRecord(i + 1, STEPS, {
        reward: 1 - 0.9 ** i + Math.sin(i) / 9,
        loss: i === 7 ? 'NaN' : 1 / (1 + i),
        kl: i / 9e4,
      }),
    ),
    completions: [completionsLine(STEPS - 1, rows), completionsLine(STEPS, rows)],
    args: { model: hostile, learning_rate: 1e-5, _sightline: {} },
  });
  const weights = Float32Array.from({ length: 24 }, (_, i) => (i === 7 ? 0.4 : 0.01));
  const entry = { row: 0, tokens: ['It'], grids: [[4, 6]] as const, weights, channels: {} };
  createAttentionLog(join(folder, 'attention'), 2 ** 20).write(STEPS, [20], [entry]);
  writeFileSync(file, await runPage(folder, { images: true }));
  browser = await launch();
});
afterAll(() => browser.close());

test.each([
  ['light', 1200],
  ['dark', 1200],
  ['light', 390],
] as const)('%s, %d pixels wide', async (colorScheme, width) => {
  const context = await browser.newContext({ colorScheme, viewport: { width, height: 900 }, offline: true });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => complaints.push(message.text()));
  page.on('dialog', (dialog) => {
    complaints.push(dialog.message());
    void dialog.dismiss();
  });
  page.on('request', (request) => {
    if (!/^(data|file):/.test(request.url())) complaints.push(request.url());
  });
  await page.goto(pathToFileURL(file).href);
  expect(await page.title()).toBe('Run v0-made');
  expect(await page.locator('svg').count()).toBe(3);
  expect(await page.locator('img.heat').count()).toBe(1);
  expect(await page.locator('article .text', { hasText: hostile }).count()).toBe(2);
  const broken = await page.evaluate('[...document.images].filter((image) => image.naturalWidth === 0).length');
  expect(broken).toBe(0);
  expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width);
  await shoot(page, `report-${colorScheme}-${width}`);
  expect(complaints).toEqual([]);
  await context.close();
});
