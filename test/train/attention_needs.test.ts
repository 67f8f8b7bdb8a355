/**
 * Attention on spans and maps in runs: what a plugin asks for is the same from a fused probe, from a forward that shows weights and from
 * eager forwards, with and without a recorded rollout. And what is refused.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { temporaryFolder } from '../helpers/folder.ts';
import { readRepositoryFile } from '../helpers/repository.ts';
import { type FlagValues, pictureRow, type TinyProject, tinyProject, tinyRun, writeRows } from '../helpers/tiny.ts';

const root = temporaryFolder();
let project: TinyProject;
let boxes: string;
let plugin: string;

beforeAll(async () => {
  project = await tinyProject(root, 6);
  boxes = join(root, 'boxes.jsonl');
  writeRows(
    boxes,
    Array.from({ length: 6 }, (_, i) => ({
      ...pictureRow(`${i}.png`, `which colour is shape ${i}?`),
      // in pixels of the stored image, 84 x 56: half of the tokens of the left column, and a box on its right; no box in the last row
      bbox:
        i === 5
          ? null
          : [
              [0, 0, 20, 56],
              [30 + i, 10, 70, 40],
            ],
    })),
  );
  plugin = join(root, 'spans.ts');
  writeFileSync(
    plugin,
    `import { attention, attentionMap, attentionMapOf, attentionOf, orms, region } from 'sightline';
const SPANS = attention({ spans: ['system', 'question', 'image', { image: 0 }, region('bbox'), 'completion', 'first'], layers: 'all' });
const PARTS = attention({ spans: ['think', 'answer', 'text'], layers: [1] });
const HEADS = attention({ spans: ['image'], layers: 'all', heads: { 0: [3], 1: [0, 2] }, per: 'completion' });
const NO_SINKS = attention({ spans: ['prompt', 'first'], withoutSinks: true });
const MAP = attentionMap({ layers: 'last 1' });
class Spans {
  static needs = [SPANS, PARTS, HEADS, NO_SINKS, MAP];
  call(completions, kwargs) {
    for (const [name, need] of Object.entries({ SPANS, PARTS, HEADS, NO_SINKS })) {
      kwargs.log_extra(name, attentionOf(need, kwargs).map(({ layers, masses, columns, reasons }) => ({
        layers, columns, reasons,
        masses: Object.fromEntries(Object.entries(masses).map(([span, of]) => [span, of && of.map((each) => [...each])])),
      })));
    }
    kwargs.log_extra('MAP', attentionMapOf(MAP, kwargs).map(({ weights, ...rest }) => ({ ...rest, weights: [...weights] })));
    return completions.map((text) => text.length / 10);
  }
}
orms['spans'] = Spans;
`,
  );
});

interface Logged {
  readonly layers: number[];
  readonly masses: Record<string, number[][] | null>;
  readonly columns: Record<string, number | null>;
  readonly reasons: Record<string, string>;
}

interface LoggedMap {
  readonly imageTokens: number;
  readonly grids: number[][];
  readonly weights: number[];
}

/** The completions of a run's first step, with what the plugin logged of each. */
async function firstStep(name: string, changes: FlagValues) {
  const { completions } = await tinyRun(project, name, {
    external_plugins: [plugin],
    reward_funcs: ['spans'],
    dataset: boxes,
    max_steps: '1',
    ...changes,
  });
  return completions as unknown as Record<string, Logged[]> & { MAP: LoggedMap[]; completion: string[] };
}

/** Every number in a value, by its place. */
function numbersIn(value: unknown, at = ''): [string, number][] {
  if (typeof value === 'number') return [[at, value]];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, part]) => numbersIn(part, `${at}.${key}`));
}

const NAMES = ['SPANS', 'PARTS', 'HEADS', 'NO_SINKS', 'MAP'];

describe('every path gives the same numbers', () => {
  let eager: Awaited<ReturnType<typeof firstStep>>;
  beforeAll(async () => {
    eager = await firstStep('eager', { attn_probe: 'eager' });
  });

  test.each([
    ['a recorded rollout', { attn_probe: 'fused', reuse_rollout: 'true' }],
    ['a forward after the rollout', { attn_probe: 'auto', reuse_rollout: 'false' }],
    ['tiles', { attn_probe: 'fused', attn_impl: 'flash_attention_2', reuse_rollout: 'false' }],
  ])('%s', async (name, flags) => {
    const step = await firstStep(name, flags);
    expect(step.completion).toEqual(eager.completion);
    for (const need of NAMES) {
      const [got, expected] = [numbersIn(step[need]), numbersIn(eager[need])];
      expect(got.map(([at]) => at)).toEqual(expected.map(([at]) => at));
      expect(got.length).toBeGreaterThan(0);
      const largest = got.reduce((most, [, value], i) => Math.max(most, Math.abs(value - expected[i]![1])), 0);
      expect(largest, need).toBeLessThan(1e-5);
    }
  });

  test('spans add up: prompt and completion to 1, image 0 to the image, a map to the image', () => {
    for (const [i, { masses, columns }] of eager.SPANS!.entries()) {
      const { completion, image, system, question, first } = masses;
      expect(masses['image 0']).toEqual(image);
      expect(columns.image).toBe(6); // 56 x 84 in merged patches of 28
      for (const [layer, own] of completion!.entries()) {
        for (const [t, mass] of own.entries()) {
          // question leaves out control tokens, and the first token is one of the system block
          expect(mass + image![layer]![t]! + system![layer]![t]! + question![layer]![t]!).toBeLessThan(1 + 1e-5);
          expect(first![layer]![t]!).toBeLessThanOrEqual(system![layer]![t]! + 1e-6);
        }
      }
      const { weights, imageTokens, grids } = eager.MAP[i]!;
      expect([imageTokens, grids]).toEqual([6, [[2, 3]]]);
      for (const [t, mass] of image!.at(-1)!.entries()) {
        const row = weights.slice(t * imageTokens, (t + 1) * imageTokens);
        expect(row.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(mass, 5);
      }
    }
  });

  test('a region is a part of the image; a row without boxes says so', () => {
    const regions = eager.SPANS!.map(({ masses, reasons }) => [masses['region bbox'], reasons['region bbox']] as const);
    expect(regions.some(([masses]) => masses !== null)).toBe(true);
    for (const [i, [masses, reason]] of regions.entries()) {
      if (masses === null) expect(reason).toBe('a row has no "bbox"');
      else
        for (const [layer, of] of masses!.entries())
          for (const [t, mass] of of.entries()) expect(mass).toBeLessThan(eager.SPANS![i]!.masses.image![layer]![t]!);
    }
  });
});

test('the example of docs/rewards.md, as a plugin outside of the program', async () => {
  const docs = readRepositoryFile('docs/rewards.md').toString('utf8');
  const example = [...docs.matchAll(/```ts\n([\s\S]*?)```/g)]
    .map(([, text]) => text!)
    .find((text) => text.includes("orms['looks']"));
  const file = join(root, 'looks.ts');
  writeFileSync(file, example!);
  const { logs } = await tinyRun(project, 'looks', {
    external_plugins: [file],
    reward_funcs: ['looks'],
    dataset: boxes,
    max_steps: '1',
  });
  expect(logs[0]!['rewards/Looks/mean']).toBeGreaterThan(0);
  expect(logs[0]!['rewards/Looks/mean']).toBeLessThan(1);
});

test('built-in attention rewards side by side with TDR, evaluated as well', async () => {
  const rows = join(root, 'objects.jsonl');
  writeRows(
    rows,
    Array.from({ length: 6 }, (_, i) => ({
      ...pictureRow(`${i}.png`, 'what?'),
      objects: { ref: [], bbox: [[0, 0, 40, 40]] },
    })),
  );
  const { logs } = await tinyRun(project, 'built-in', {
    reward_funcs: ['ddapo_attention', 'vgr', 'region_attention', 'attention_entropy', 'visual_decline'],
    vgr_token_weights: 'true',
    dataset: rows,
    val_dataset: rows,
    eval_steps: '1',
    max_steps: '1',
  });
  for (const name of ['VGRReward', 'RegionAttention', 'AttentionEntropy', 'VisualDecline', 'DDAPOAttentionORM']) {
    expect(logs[0]![`rewards/${name}/mean`], name).toEqual(expect.any(Number));
  }
  for (const metric of ['vgr', 'region_share', 'entropy', 'visual_change', 'tdr']) {
    expect(logs[0]![`attention/${metric}_mean`], metric).toEqual(expect.any(Number));
  }
});

test.each([
  ["attention({ spans: ['image'], layers: [0, 2] })", /asks for the attention of layer 2, but the model has 2 layers/],
  ["attention({ spans: ['image'], heads: [4] })", /head 4 of layer 0, but a layer has 4 heads/],
  ["attention({ spans: ['picture'] })", /attention got .*picture/],
  ['attention({ spans: [] })', /attention got/],
  ["attentionMap({ layers: 'some' })", /attentionMap got/],
])('%s is refused before anything is sampled', async (need, message) => {
  const file = join(root, 'refused.ts');
  writeFileSync(
    file,
    `import { attention, attentionMap, orms } from 'sightline';
class Refused { static needs = [${need}]; call(completions) { return completions.map(() => 0); } }
orms['refused'] = Refused;
`,
  );
  const flags = { external_plugins: [file], reward_funcs: ['refused'] };
  await expect(tinyRun(project, `refused ${need.replace(/\W/g, '')}`, flags)).rejects.toThrow(message);
});
