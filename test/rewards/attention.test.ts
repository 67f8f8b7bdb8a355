/**
 * The attention rewards against values that numpy and PyTorch compute from full weights (attention/make.py).
 */
import { describe, expect, test } from 'vitest';
import { averageOf, overLayers } from '../../src/attention/spans/averages.ts';
import {
  fromProbe,
  mapMeter,
  probeColumns,
  type SpannedCompletion,
  spanMeter,
} from '../../src/attention/spans/measure.ts';
import type { AttentionMapNeed, AttentionNeed } from '../../src/attention/spans/need.ts';
import type { SpannedPrompt } from '../../src/attention/spans/prompt_columns.ts';
import { type Corners, regionCoverage } from '../../src/attention/spans/region.ts';
import type { RewardKwargs } from '../../src/rewards/contract.ts';
import { attention } from '../../src/rewards/needs.ts';
import { createRewards } from '../../src/rewards/registry.ts';
import { largestDifference } from '../helpers/check_op.ts';
import { readRepositoryFile } from '../helpers/repository.ts';
import { rewardKwargs } from '../helpers/reward_kwargs.ts';

interface Reference {
  readonly layers: number;
  readonly prompt: number;
  readonly kinds: readonly ('system' | 'control' | 'visual' | 'question')[];
  readonly grid: readonly [number, number];
  readonly boxes: readonly Corners[];
  readonly coverage: readonly number[];
  readonly completions: readonly {
    readonly tokens: number;
    readonly maps: readonly (readonly number[])[];
    readonly vgr: number;
    readonly token_weights: Readonly<Record<string, readonly number[]>>;
    readonly region_share: number;
    readonly entropy: number;
    readonly change: number | null;
    readonly masses: Readonly<Record<string, readonly number[]>>;
  }[];
  readonly rewards: Readonly<Record<string, readonly number[]>>;
}

const reference = JSON.parse(readRepositoryFile('test/rewards/attention/values.json').toString('utf8')) as Reference;
const IDS = { system: 1, control: 2, visual: 3, question: 4 };
const prompt: SpannedPrompt = {
  ids: Int32Array.from(reference.kinds, (kind) => IDS[kind]),
  systemPrefix: reference.kinds.filter((kind) => kind === 'system').length,
  grids: [reference.grid],
  boxesOf: () => ({ image: 0, boxes: reference.boxes }),
};
const kinds = { visual: [IDS.visual], control: new Set([IDS.control]) };
const spanned = (tokens: number): SpannedCompletion => ({
  prompt,
  kinds,
  tokens,
  partsOf: () => ({ think: null, answer: { from: 0, to: tokens } }),
});

/** What the trainer would measure for a need: one entry per completion. */
function measured(need: AttentionNeed | AttentionMapNeed) {
  return reference.completions.map(({ tokens, maps }) => {
    const meter = need.need === 'attention' ? spanMeter(need, spanned(tokens)) : mapMeter(need, spanned(tokens));
    for (const [layer, map] of maps.entries()) meter.add(layer, Float32Array.from(map));
    return meter.result();
  });
}

function run(name: string, args: Record<string, unknown> = {}) {
  const [reward] = createRewards([name], args);
  const needs = reward!.needs.filter((need) => need !== 'attention' && need.need !== 'transformed_image');
  const weights: (readonly ArrayLike<number>[])[] = [];
  const kwargs = rewardKwargs(reference.completions.length, null, {
    num_generations: reference.completions.length,
    completion_ids: reference.completions.map(({ tokens }) => new Int32Array(tokens)),
    attention: Object.fromEntries(needs.map((need) => [need.name, measured(need)])),
    weigh_tokens: (of) => {
      weights.push(of);
    },
  });
  const values = reward!.orm.call(
    reference.completions.map(() => ''),
    kwargs as unknown as RewardKwargs,
  ) as (number | null)[];
  return { values, extras: kwargs.extras, weights, lines: kwargs.lines };
}

const near = (got: readonly number[] | Float64Array, expected: readonly number[], bound = 2e-6): void => {
  expect(got).toHaveLength(expected.length);
  expect(largestDifference(Float64Array.from(got), Float64Array.from(expected))).toBeLessThan(bound);
};

test('a region covers visual tokens by the part of their patch that its boxes cover', () => {
  near([...regionCoverage(reference.boxes, ...reference.grid)], reference.coverage, 1e-6);
  expect([...regionCoverage([[0, 0, 1, 1]], 2, 2)]).toEqual([1, 1, 1, 1]);
  expect([...regionCoverage([[1, 0, 2, 1]], 2, 2)]).toEqual([0, 0, 0, 0]);
});

test('masses on spans, from weights and from a probe', () => {
  const need = attention({ spans: ['system', 'image', 'first', 'completion'], layers: 'all' });
  for (const [i, { tokens, maps, masses }] of reference.completions.entries()) {
    const completion = spanned(tokens);
    const fromWeights = measured(need)[i]!;
    if (!('masses' in fromWeights)) throw new Error('no masses');
    // a probe sums the columns of the prompt by their weights
    const weights = need.spans.map((span) => probeColumns(span, prompt, kinds));
    const probed = fromProbe(need, completion, [0, 1, 2], (layer, span, token) => {
      const row = maps[layer]!.slice(token * (reference.prompt + tokens));
      return weights[span]!.reduce((sum, weight, column) => sum + weight * row[column]!, 0);
    });
    for (const span of ['system', 'image', 'first', 'completion']) {
      near(overLayers(fromWeights.masses[span]!), masses[span]!);
      near(overLayers(probed.masses[span]!), masses[span]!);
    }
    expect(probed.columns).toEqual(fromWeights.columns);
    expect(probed.columns).toEqual({ system: 3, image: 12, first: 1, completion: tokens });
  }
});

test('the mean over a completion is that of its tokens', () => {
  const [byToken, byCompletion] = (['token', 'completion'] as const).map(
    (per) => measured(attention({ spans: ['image'], layers: 'all', per }))[2]!,
  );
  if (!('masses' in byToken!) || !('masses' in byCompletion!)) throw new Error('no masses');
  expect(byCompletion.masses.image!.map((mass) => mass.length)).toEqual([1, 1, 1]);
  expect(averageOf(overLayers(byCompletion.masses.image!))).toBeCloseTo(
    averageOf(overLayers(byToken.masses.image!))!,
    6,
  );
});

describe('vgr', () => {
  test.each(Object.keys(reference.rewards))('ratios and rewards, sigma %s', (sigma) => {
    const { values, extras } = run('vgr', { vgr_sigma: Number(sigma) });
    near(
      extras.get('text_gain') as number[],
      reference.completions.map(({ vgr }) => vgr),
      1e-5,
    );
    near(values as number[], reference.rewards[sigma]!, 1e-4);
  });

  test.each(Object.keys(reference.completions[0]!.token_weights))('token weights, smoothed by %s', (sigma) => {
    const { weights } = run('vgr', { vgr_token_weights: true, vgr_smooth_sigma: Number(sigma) });
    for (const [i, { token_weights }] of reference.completions.entries()) {
      near(Float64Array.from(weights[0]![i]!), token_weights[sigma]!, 1e-4);
    }
  });
});

test('region_attention, attention_entropy, visual_decline', () => {
  near(
    run('region_attention').values as number[],
    reference.completions.map(({ region_share }) => region_share),
  );
  near(
    run('attention_entropy').values as number[],
    reference.completions.map(({ entropy }) => -entropy),
  );
  near(
    run('attention_entropy', { attention_entropy_pays: 'high' }).values as number[],
    reference.completions.map(({ entropy }) => entropy),
  );
  const { values, lines } = run('visual_decline');
  expect(values.map((value) => value === null)).toEqual(reference.completions.map(({ change }) => change === null));
  near(
    values.filter((value) => value !== null),
    reference.completions.flatMap(({ change }) => change ?? []),
  );
  expect(lines.join()).toContain('the completion has fewer than two tokens');
});
