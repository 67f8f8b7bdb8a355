/**
 * The page in a real browser: each view by mouse and by keyboard, in light, dark and phone width; live; and with runs that
 * try to be more than text.
 */
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createAttentionLog } from '../../src/attention_log/writer.ts';
import type { RunSummary } from '../../src/ui/api.ts';
import { readPageFiles } from '../../src/ui/page_files.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { completionsLine, jsonLines, logRecord, writeRun } from '../ui/made_runs.ts';
import { type Served, serve } from '../ui/served.ts';
import { launch, openTab, shoot, shots, type Tab } from './browser.ts';

const folder = temporaryFolder();
const root = join(folder, 'output');
const STEPS = 60;
const hostile = {
  name: '<img src=x onerror=alert(1)>',
  text: `<script>alert(2)</script></script><img src="http://evil.example/x.png" onerror="alert(3)">\u001b[31mred\u001b[0m \u202egnp.exe <|im_end|>`,
};

let browser: Browser;
let served: Served;

beforeAll(async () => {
  mkdirSync(join(root, 'pictures'), { recursive: true });
  const picture = await sharp({ create: { width: 224, height: 168, channels: 3, background: '#b9c4cc' } })
    .composite([
      {
        input: Buffer.from(
          '<svg width="224" height="168"><circle cx="70" cy="60" r="38" fill="#c2410c"/><rect x="130" y="80" width="60" height="60" fill="#1d4ed8"/></svg>',
        ),
      },
    ])
    .png()
    .toBuffer();
  writeFileSync(join(root, 'pictures', 'scene.png'), picture);
  for (const [name, rate] of [
    ['v0-first', 0.5],
    ['v1-second', 0.8],
  ] as const)
    writeRun(join(root, name), madeRun(rate));
  for (const step of [20, 40, 60]) mkdirSync(join(root, 'v1-second', `checkpoint-${step}`));
  const log = createAttentionLog(join(root, 'v1-second', 'attention'), 2 ** 22);
  for (const step of [1, STEPS]) log.write(step, [20, 23], madeAttention(step));
  writeRun(join(root, hostile.name), {
    log: [logRecord(1, 2, { [hostile.text]: 1, reward: 1 })],
    completions: [
      {
        ...completionsLine(1, [
          { completion: hostile.text, prompt: hostile.text, reward: 1, images: [`${hostile.text}.png`] },
        ]),
        [hostile.text]: [0.5],
        solution: [hostile.text],
      },
    ],
    args: { [hostile.text]: hostile.text, model: hostile.text, _sightline: {} },
  });
  served = await serve([root], { files: readPageFiles() });
  browser = await launch();
});
afterAll(() => browser.close());

async function tab(options: Parameters<Browser['newContext']>[0] = {}): Promise<Tab & { context: BrowserContext }> {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  // Each context is another browser: it takes a link of its own.
  return { context, ...(await openTab(context, served.links.at(-1)!)) };
}

async function show(page: Page, hash: string, selector: string): Promise<void> {
  await page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
  await page.waitForSelector(selector);
}

const runId = async (page: Page, name: string): Promise<string> => {
  const { runs } = await page.evaluate<{ runs: RunSummary[] }>(
    `fetch('/api/runs').then((response) => response.json())`,
  );
  return runs.find((run) => run.name === name)!.id;
};

describe('runs', () => {
  test('lie over one another, and a run that is unticked goes', async () => {
    const { page, context, complaints } = await tab();
    await page.waitForSelector('.chart .legend li:nth-child(2)');
    expect(await page.textContent('.chart:has-text("completions/mean_length") .chart-unit')).toBe('tokens ');
    expect(await page.getAttribute('.chart:first-of-type .chart-unit', 'title')).toBe('higher is better');
    expect(await page.getAttribute('.chart-title', 'title')).toContain('reward: weighted sum of the rewards');
    await shoot(page, 'runs-light');
    const names = () =>
      page.$$eval('.chart:first-of-type .legend .name', (found) => found.slice(0, 3).map((each) => each.textContent));
    expect(await names()).toContain('v1-second');
    await page.click('text=v1-second');
    await expect.poll(names).not.toContain('v1-second');
    expect(complaints).toEqual([]);
    await context.close();
  });

  test('are moved through by keyboard: search, cursor, tabs, theme, help', async () => {
    const { page, context, complaints } = await tab();
    await page.keyboard.press('/');
    await page.keyboard.type('grad');
    await expect
      .poll(() => page.$$eval('.chart-title', (found) => found.map((each) => each.textContent)))
      .toEqual(['grad_norm']);
    await page.keyboard.press('Escape');
    await page.focus('.plot');
    await page.keyboard.press('Home');
    await expect.poll(() => page.textContent('.chart-step')).toBe('step 1');
    await page.keyboard.press('ArrowRight');
    await expect.poll(() => page.textContent('.chart-step')).toBe('step 2');
    expect(await page.getAttribute('.plot', 'aria-valuetext')).toBe('step 2');
    await page.focus('.tabs button:nth-child(2)');
    await page.keyboard.press('Enter');
    await page.waitForSelector('table.plain');
    await expect
      .poll(() => page.$$eval('table.plain tbody th', (found) => found.map((each) => each.textContent)))
      .toContain('learning_rate');
    await shoot(page, 'arguments-light');
    const theme = () => page.textContent('.head [title="Colours (t)"]');
    await page.keyboard.press('t');
    await expect.poll(theme).toBe('light');
    await page.keyboard.press('t');
    await expect.poll(theme).toBe('dark');
    expect(await page.getAttribute('html', 'data-theme')).toBe('dark');
    await page.keyboard.press('?');
    await page.waitForSelector('dialog[open]');
    await page.keyboard.press('Escape');
    await expect.poll(() => page.$('dialog')).toBeNull();
    expect(complaints).toEqual([]);
    await context.close();
  });

  test('save every value as CSV and a picture as PNG', async () => {
    const { page, context } = await tab();
    await page.waitForSelector('.plot');
    await page.focus('.plot');
    const [csv] = await Promise.all([page.waitForEvent('download'), page.keyboard.press('c')]);
    const lines = readFileSync(await csv.path(), 'utf8')
      .trim()
      .split('\r\n');
    expect(lines[0]).toBe('run,metric,step,value');
    expect(lines.filter((line) => line.startsWith('v0-first,reward,'))).toHaveLength(STEPS);
    const [png] = await Promise.all([page.waitForEvent('download'), page.keyboard.press('p')]);
    expect(png.suggestedFilename()).toBe('reward.png');
    expect((await sharp(await png.path()).metadata()).format).toBe('png');
    await context.close();
  });

  test('are saved as one file without scripts, in which names are text', async () => {
    const { page, context, complaints } = await tab();
    await page.waitForSelector('.chart .legend li:nth-child(2)');
    const [saved] = await Promise.all([page.waitForEvent('download'), page.click('text=Save report')]);
    const html = readFileSync(await saved.path(), 'utf8');
    expect(html).toContain('learning_rate');
    expect(html).toContain('data:image/png;base64,');
    expect(html).toContain('&lt;img src=x onerror=alert(1)&gt;');
    expect(html.match(/<script|<img (?!src="data:)| on\w+="[^"]*"(?=[^<]*>)/g) ?? []).toEqual([]);
    expect(complaints).toEqual([]);
    await context.close();
  });

  test('show their checkpoints, times and correlations', async () => {
    const { page, context, complaints } = await tab();
    await page.click('text=Checkpoints and time');
    const checkpoints = () => page.$$eval('.checkpoints tbody tr', (found) => found.map((each) => each.textContent));
    await expect
      .poll(checkpoints)
      .toEqual([
        expect.stringMatching(/^checkpoint-60\d\.\d{3}.* last$/),
        expect.stringMatching(/^checkpoint-40\d\.\d{3}.*best $/),
        expect.stringMatching(/^checkpoint-20\d\.\d{3}/),
      ]);
    await page.waitForSelector('.run-end .legend li');
    await shoot(page, 'checkpoints-light');
    await page.click('.tabs >> text=Signals');
    await page.waitForSelector('.charts.wide .legend li');
    await shoot(page, 'signals-light');
    expect(complaints).toEqual([]);
    await context.close();
  });

  test('show where the time of each step went, as stacked bars', async () => {
    const { page, context, complaints } = await tab();
    await page.click('text=Checkpoints and time');
    const chart = '.run-end .chart:has-text("v1-second")';
    await page.waitForSelector(`${chart} .legend li`);
    expect(await page.textContent('.ends')).toContain('the log has no seconds of its steps');
    await page.focus(`${chart} .plot`);
    await page.keyboard.press('Home');
    const legend = () => page.$$eval(`${chart} .legend li`, (found) => found.map((each) => each.textContent));
    expect(await legend()).toEqual(['rollout1.500', 'backward0.7500', 'update0.2500', 'other0.5000']);
    // A bar has the colours of the parts from the bottom up, each as high as its share of 3 seconds.
    const heights = await page.evaluate<number[]>(HEIGHTS);
    const sum = heights.reduce((total, height) => total + height, 0);
    for (const [i, share] of [0.5, 0.25, 1 / 12, 1 / 6].entries()) {
      expect(Math.abs(heights[i]! / sum - share)).toBeLessThan(0.03);
    }
    const [csv] = await Promise.all([page.waitForEvent('download'), page.keyboard.press('c')]);
    const lines = readFileSync(await csv.path(), 'utf8')
      .trim()
      .split('\r\n');
    expect(lines).toHaveLength(1 + 4 * STEPS);
    expect(lines[1]).toBe('v1-second,step_time/rollout,1,1.5');
    const [png] = await Promise.all([page.waitForEvent('download'), page.keyboard.press('p')]);
    expect(png.suggestedFilename()).toBe('v1-second-seconds-of-a-step.png');
    expect(complaints).toEqual([]);
    await context.close();
  });

  test('grow without a reload', async () => {
    writeRun(join(root, 'v3-live'), { log: [logRecord(1, 9, { reward: 0.25 })] });
    const { page, context } = await tab();
    await served.ui.library.refresh();
    const value = () =>
      page.$$eval('.chart:first-of-type .legend li', (found) =>
        found.map((each) => each.textContent).find((text) => text?.startsWith('v3-live')),
      );
    await expect.poll(value, { timeout: 10_000 }).toBe('v3-live0.2500');
    appendFileSync(join(root, 'v3-live', 'logging.jsonl'), jsonLines([logRecord(2, 9, { reward: 0.75 })]));
    await expect.poll(() => page.textContent('.runs'), { timeout: 10_000 }).toContain('2 / 9');
    await expect.poll(value, { timeout: 10_000 }).not.toBe('v3-live0.2500');
    await context.close();
  });
});

describe('completions', () => {
  test('are searched, filtered, sorted and opened by keyboard', async () => {
    const { page, context, complaints } = await tab();
    await show(page, `#/completions/${await runId(page, 'v1-second')}`, '.row .num');
    await page.waitForSelector('.completion');
    await shoot(page, 'groups-light');
    const status = () => page.textContent('.list-foot');
    expect(await status()).toBe(`${STEPS * 2} of ${STEPS * 2} groups`);
    await page.focus('.rows');
    await page.keyboard.press('j');
    await expect.poll(() => page.textContent('.panel h2')).toContain('group 2 of');
    await page.keyboard.press('End');
    await expect.poll(() => page.textContent('.panel h2')).toContain(`group ${STEPS * 2} of`);
    await page.keyboard.press('[');
    await expect.poll(() => page.textContent('.panel h2')).toContain(`group ${STEPS * 2 - 1} of`);
    await page.selectOption('[aria-label="Filter"]', 'clipped');
    await expect.poll(status).toBe(`${STEPS} of ${STEPS * 2} groups`);
    await page.selectOption('[aria-label="Filter"]', 'all');
    await page.keyboard.press('Escape');
    await page.keyboard.press('/');
    await page.keyboard.type('STEP 7 ');
    await expect.poll(status).toBe(`2 of ${STEPS * 2} groups`);
    await page.waitForSelector('mark');
    await page.focus('.rows');
    await page.keyboard.press('j');
    await expect.poll(() => page.textContent('.panel h2')).toContain('group 14 of');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.completion:first-child .open:focus');
    await page.keyboard.press('j');
    await page.waitForSelector('.completion:nth-child(2) .open:focus');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.one');
    expect(await page.textContent('.one h2')).toMatch(/^Completion \d+$/);
    await page.keyboard.press('Escape');
    await page.waitForSelector('.panel');
    expect(complaints).toEqual([]);
    await context.close();
  });

  test('show null rewards, cut-off texts, advantages and targets', async () => {
    const { page, context } = await tab();
    await show(page, `#/completions/${await runId(page, 'v1-second')}/1`, '.completion');
    await expect.poll(() => page.textContent('.cards')).toContain('∅ null');
    expect(await page.textContent('.cards')).toContain('✂ clipped');
    const faults = () =>
      page.$$eval('.completion', (found) => found.map((each) => /≠[^∅]*?target/.exec(each.textContent!)?.[0]));
    expect(await faults()).toEqual([undefined, '≠ not the target', undefined, '≠ not the target']);
    await expect
      .poll(() => page.$eval('.images img', (image) => (image as unknown as { naturalWidth: number }).naturalWidth))
      .toBe(224);
    await context.close();
  });

  test('carry their attention: whole answer, a token, a layer, another step', async () => {
    const { page, context, complaints } = await tab();
    await show(page, `#/completion/${await runId(page, 'v1-second')}/0`, '.token');
    await shoot(page, 'attention-light');
    const caption = () => page.textContent('.cell-value');
    const mean = await caption();
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowRight');
    await expect.poll(() => page.textContent('.token.chosen')).toBe(' shape');
    expect(await caption()).not.toBe(mean);
    await page.hover('.token >> nth=4');
    await expect.poll(() => page.textContent('.token.chosen')).toBe(' is');
    await page.selectOption('.controls select', '1');
    await page.hover('.heatmap .layers', { position: { x: 5, y: 5 } });
    await expect.poll(caption).toMatch(/^row 1, column 1: /);
    await page.focus('.heatmap .layers');
    await page.keyboard.press('ArrowRight');
    await expect.poll(caption).toMatch(/^row 1, column 2: /);
    await shoot(page, 'attention-token-light');
    await page.focus('.history input');
    await page.keyboard.press('End');
    await expect.poll(() => page.textContent('.history output')).toContain(`${STEPS} (`);
    await page.waitForSelector('.token');
    expect(complaints).toEqual([]);
    await context.close();
  });
});

describe('the tokens of a completion', () => {
  for (const colorScheme of ['light', 'dark'] as const) {
    test(`are coloured by any number that is logged, and readable on every colour: ${colorScheme}`, async () => {
      const { page, context, complaints } = await tab({ colorScheme });
      await show(page, `#/completion/${await runId(page, 'v1-second')}/0`, '.token');
      const names = await page.$$eval('.said .toolbar option', (found) => found.map((each) => each.textContent!));
      expect(names).toEqual(['image attention', 'entropy', 'logprob_difference', 'advantage', 'of my own']);
      for (const name of names) {
        await page.selectOption('.said .toolbar select', name);
        await shoot(page, `tokens-${name.replaceAll(' ', '-')}-${colorScheme}`);
        const contrasts = await page.evaluate<number[]>(CONTRASTS);
        expect(contrasts).toHaveLength(8);
        expect([name, Math.min(...contrasts) >= 4.5]).toEqual([name, true]);
      }
      await page.selectOption('.said .toolbar select', 'entropy');
      const colours = () =>
        page.$$eval('.token', (found) =>
          found.map((each) => (each as unknown as { style: { background: string } }).style.background),
        );
      // Viridis from the highest number, 1, to the lowest, 1/8; the legend names both.
      expect([(await colours())[0], (await colours())[7]]).toEqual(['rgb(253, 231, 37)', 'rgb(68, 1, 84)']);
      expect(await page.textContent('.legend-of-tokens')).toContain('0.1250');
      expect(await page.textContent('.legend-of-tokens')).toContain('1 nats');

      await page.keyboard.press('Escape');
      await show(page, `#/completion/${await runId(page, 'v1-second')}/0`, '.token');
      await page.keyboard.press('s');
      await expect.poll(() => page.inputValue('.said .toolbar select')).toBe('logprob_difference');
      const signedColours = await colours();
      expect(signedColours[2]).toContain('0%'); // a difference of 0 is in the middle
      expect(signedColours[6]).toBe(''); // unknown
      expect(signedColours[7]).toContain('--above');
      expect(signedColours[4]).toContain('--below');
      expect(await page.textContent('.legend-of-tokens')).toMatch(/^-22 nats.*underlined: unknown$/);
      const numbers = () => page.textContent('.token-numbers');
      await page.hover('.token >> nth=4');
      await expect.poll(numbers).toContain('" is"');
      expect(await numbers()).toContain('logprob_difference-1 nats');
      expect(await numbers()).toContain('of my own1');
      await page.hover('.token >> nth=6');
      await expect.poll(numbers).toContain('logprob_difference– nats');
      await page.selectOption('.said .toolbar select', 'advantage');
      // The same in every token, but its sign is seen.
      expect(await page.textContent('.legend-of-tokens')).toContain('-0.75000.7500');
      expect(new Set(await colours()).size).toBe(1);

      const [csv] = await Promise.all([page.waitForEvent('download'), page.click('.said .toolbar >> text=CSV')]);
      const lines = readFileSync(await csv.path(), 'utf8').split('\r\n');
      expect(lines[0]).toBe('token,text,image attention,entropy,logprob_difference,advantage,of my own');
      expect(lines[7]).toMatch(/^7, circle,[\d.]+,[\d.]+,,0\.75,3$/);
      expect(complaints).toEqual([]);
      await context.close();
    });
  }
});

describe('what a run contains is text', () => {
  test('in every view, without a dialog, an error or a request', async () => {
    const { page, context, complaints } = await tab();
    const id = await runId(page, hostile.name);
    expect(await page.$$eval('.run-name', (found) => found.map((each) => each.textContent))).toContain(hostile.name);
    for (const name of ['Arguments', 'Checkpoints and time', 'Signals', 'Curves']) {
      await page.click(`.tabs >> text=${name}`);
      await page.waitForTimeout(300);
    }
    for (const section of await page.$$('.section:not([open]) summary')) await section.click();
    await show(page, `#/completions/${id}/0`, '.completion');
    await expect.poll(() => page.textContent('.completion .text')).toBe(hostile.text);
    await show(page, `#/completion/${id}/0`, '.one .text');
    await page.waitForSelector('.no-image');
    expect(await page.$$eval('#page img, #page script, iframe', (found) => found.length)).toBe(0);
    expect(complaints.filter((text) => !text.includes('status of 404'))).toEqual([]);
    await context.close();
  });
});

describe('pictures', () => {
  const views = async (page: Page) => {
    const id = await runId(page, 'v1-second');
    return [
      ['runs', '#/', '.chart .legend li'],
      ['arguments', '#/', '.tabs >> text=Arguments'],
      ['checkpoints', '#/', '.tabs >> text=Checkpoints'],
      ['signals', '#/', '.tabs >> text=Signals'],
      ['groups', `#/completions/${id}/0`, '.completion'],
      ['attention', `#/completion/${id}/0`, '.token'],
    ] as const;
  };

  test('in dark colours', async () => {
    const { page, context, complaints } = await tab({ colorScheme: 'dark' });
    for (const [name, hash, selector] of await views(page)) {
      await show(page, hash, selector);
      if (selector.startsWith('.tabs')) await page.click(selector);
      await page.waitForTimeout(400);
      await shoot(page, `${name}-dark`);
    }
    expect(await page.evaluate('getComputedStyle(document.documentElement).colorScheme')).toBe('dark');
    expect(complaints).toEqual([]);
    await context.close();
  });

  test('on a phone, where nothing is wider than the screen', async () => {
    const { page, context, complaints } = await tab({
      viewport: { width: 390, height: 844 },
      hasTouch: true,
      isMobile: true,
    });
    for (const [name, hash, selector] of await views(page)) {
      await show(page, hash, selector);
      if (selector.startsWith('.tabs')) await page.click(selector);
      await page.waitForTimeout(400);
      await page.screenshot({ path: join(shots, `${name}-phone.png`), animations: 'disabled', fullPage: true });
      expect([name, await page.evaluate('document.documentElement.scrollWidth')]).toEqual([name, 390]);
    }
    expect(complaints).toEqual([]);
    await context.close();
  });

  test('without motion if the reader wants none', async () => {
    const { page, context } = await tab({ reducedMotion: 'reduce' });
    const animations = () => page.evaluate<number>('document.getAnimations().length');
    await page.waitForSelector('.state.live');
    expect(await animations()).toBe(0);
    await page.emulateMedia({ reducedMotion: 'no-preference' });
    await expect.poll(animations).toBeGreaterThan(0);
    await context.close();
  });
});

// --- internal ---

/**
 * Contrast of each token's text with what is behind it, from 1 to 21 (WCAG 2.2), in the colours that the browser draws.
 */
const CONTRASTS = `(() => {
  const context = Object.assign(document.createElement('canvas'), { width: 1, height: 1 }).getContext('2d', { willReadFrequently: true });
  const draw = (...colours) => {
    for (const colour of colours) { context.fillStyle = colour; context.fillRect(0, 0, 1, 1); }
    return [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = getComputedStyle(document.documentElement).backgroundColor;
  return [...document.querySelectorAll('.token')].map((token) => {
    const { color, backgroundColor } = getComputedStyle(token);
    const pair = [luminance(draw(ground, backgroundColor)), luminance(draw(ground, backgroundColor, color))];
    return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
  });
})()`;

/**
 * In the first bar of the last chart, the number of pixels in the colour of each part of the legend; -1 for a part that does not
 * lie on the one before it.
 */
const HEIGHTS = `(() => {
  const chart = [...document.querySelectorAll('.run-end .chart')].at(-1);
  const canvas = chart.querySelector('canvas');
  const over = chart.querySelector('.u-over');
  const scale = canvas.width / canvas.clientWidth;
  const pixels = canvas.getContext('2d').getImageData(Math.round((over.offsetLeft + 2) * scale), 0, 1, canvas.height).data;
  const column = Array.from({ length: canvas.height }, (_, y) => 'rgb(' + [...pixels.slice(4 * y, 4 * y + 3)].join(', ') + ')');
  let top = canvas.height;
  return [...chart.querySelectorAll('.legend i')].map((swatch) => {
    const colour = getComputedStyle(swatch).backgroundColor;
    const last = column.lastIndexOf(colour);
    const height = last > top ? -1 : column.filter((each) => each === colour).length;
    top = column.indexOf(colour);
    return height;
  });
})()`;

function madeRun(rate: number) {
  const log = Array.from({ length: STEPS }, (_, i) => {
    const share = 1 - Math.exp((-rate * i) / 15);
    const noise = Math.sin(i * 12.9898) * 0.08;
    return logRecord(i + 1, STEPS, {
      reward: 0.3 + share + noise,
      'rewards/accuracy/mean': 0.2 + 0.7 * share + noise,
      loss: 0.02 * noise,
      grad_norm: 0.4 + Math.abs(noise),
      entropy: 0.9 - 0.5 * share,
      'completions/mean_length': 90 + 40 * share,
      'completions/clipped_ratio': 0.1,
      step_time: 3,
      'step_time/rollout': 1.5,
      'step_time/backward': 0.75,
      'step_time/update': 0.25,
      ...(i % 20 === 19 && { eval_reward: 0.4 + share - 0.3 * Number(i === 59) }),
    });
  });
  const end = {
    train_runtime: 125,
    status: 'completed',
    last_model_checkpoint: '/runs/checkpoint-60',
    best_model_checkpoint: '/runs/checkpoint-40',
    best_metric: 0.91,
    seconds: { rollout: 61, backward: 40, update: 9, reward: 4 },
  };
  const completions = Array.from({ length: STEPS }, (_, i) => ({
    solution: Array.from({ length: 8 }, () => '<answer>A circle</answer>'),
    ...completionsLine(
      i + 1,
      [0, 1].flatMap((index) =>
        [0, 1, 2, 3].map((place) => ({
          index,
          prompt: `<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>Which shape is ${index === 0 ? 'on the left' : 'blue'}?<|im_end|>\n<|im_start|>assistant\n`,
          completion: `<think>The shape is round, as far as I see at step ${i + 1} of the run.</think><answer>${place % 2 === 0 ? 'a circle' : 'a square'}</answer>`,
          reward:
            index === 1 && place === 3 ? null : Number(place % 2 === 0) * (0.5 + rate * Math.abs(Math.sin(i + place))),
          advantage: place % 2 === 0 ? 0.9 : -0.9,
          truncated: index === 1 && place === 0,
          images: [join(root, 'pictures', 'scene.png')],
        })),
      ),
    ),
  }));
  return {
    log: [...log, end],
    completions,
    args: { model: 'Qwen/Qwen2.5-VL-3B-Instruct', learning_rate: rate * 1e-5, beta: 0.04, _sightline: {} },
  };
}

/** Attention that moves over the picture from token to token. */
function madeAttention(step: number) {
  const tokens = ['The', ' shape', ' on', ' the', ' is', ' a', ' circle', '.'];
  const [rows, columns] = [6, 8];
  return [0, 1, 2, 3].map((row) => ({
    row,
    tokens,
    grids: [[rows, columns]] as const,
    weights: Float32Array.from({ length: tokens.length * 2 * rows * columns }, (_, i) => {
      const place = i % (rows * columns);
      const token = Math.floor(i / (2 * rows * columns));
      const [y, x] = [Math.floor(place / columns) - 2, (place % columns) - 2 - token / 4];
      return (0.004 + 0.04 * Math.exp(-(y * y + x * x) / 3)) * (1 + step / STEPS);
    }),
    channels: {
      entropy: Float32Array.from(tokens, (_, i) => 1 / (i + 1)),
      logprob_difference: Float32Array.from(tokens, (_, i) => [0.5, -0.25, 0, 1, -1, 0.125, Number.NaN, 2][i]!),
      advantage: new Float32Array(tokens.length).fill(0.75),
      'of my own': Float32Array.from(tokens, (_, i) => i - 3),
    },
  }));
}
