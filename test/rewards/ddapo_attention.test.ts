import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { ForwardOutput, ModelConfigAttributes, ModelKwargs } from '../../src/models/types.ts';
import type { AttentionMasses, ORM, RewardArgs } from '../../src/rewards/contract.ts';
import { DDAPOAttentionORM } from '../../src/rewards/ddapo_attention/index.ts';
import { createRewards } from '../../src/rewards/registry.ts';
import { runRewards } from '../../src/rewards/run.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import { FakePolicy, flatAttention, IMAGE, rewardKwargs } from '../helpers/reward_kwargs.ts';

beforeEach(() => {
  DDAPOAttentionORM._debugDone = true; // the lines have a test of their own
});
afterEach(() => vi.unstubAllEnvs());

const create = (args: RewardArgs = {}): ORM => new DDAPOAttentionORM(args);
const texts = (n: number) => Array.from({ length: n }, () => 'text');

const config = (): ModelConfigAttributes => ({
  _attn_implementation: 'flash_attention_2',
  text_config: { _attn_implementation: 'sdpa', llm_attn_implementation: 'sdpa', hidden_size: 8 },
});

/** A policy whose nth forward gives `visual[n]` to each of the 2 image pads and 0.1 to each of the other columns. */
function policyOf(visual: readonly number[]): FakePolicy {
  let n = 0;
  return new FakePolicy(config(), ({ input_ids }) => ({
    logits: null,
    attentions: [flatAttention(input_ids[0]!, visual[n++ % visual.length]!, 0.1)],
  }));
}

/** TDR of the prompt of `rewardKwargs` (2 visual, 3 text columns) for `policyOf`, from the formula. */
function tdrOf(visual: number): number {
  const total = Math.fround(visual) * 2 + Math.fround(0.1) * 3 + 1e-6;
  return Math.fround(0.1) / total / (Math.fround(visual) / total + 1e-6);
}

const without = (): ForwardOutput => ({ logits: null, attentions: null });

describe('the forward', () => {
  test('runs on prompt + completion ids with the images, eager, without gradient checkpointing, in the context', async () => {
    const policy = policyOf([0.2]);
    const steps: string[] = [];
    const kwargs = rewardKwargs(1, policy, {
      template: {
        forward_context: (model, inputs) => {
          expect(model).toBe(policy);
          expect(inputs.output_attentions).toBe(true);
          return {
            enter: () => void steps.push(`enter after ${policy.seen.length} forwards`),
            exit: () => void steps.push(`exit after ${policy.seen.length} forwards`),
          };
        },
      },
    });
    await create().call(['text'], kwargs);
    expect(policy.seen).toHaveLength(1);
    const [seen] = policy.seen;
    expect(seen!.kwargs.input_ids).toEqual([Int32Array.from([1, 2, IMAGE, IMAGE, 3, 4, 5, 6])]);
    expect(seen!.kwargs.attention_mask).toEqual([new Int32Array(8).fill(1)]);
    expect(seen!.kwargs.pixel_values![0]).toBe(kwargs.images[0]![0]!.pixelValues);
    expect(seen!.kwargs.image_grid_thw).toEqual([[1, 2, 4]]);
    expect(seen!.checkpointing).toBe(false);
    expect(policy.is_gradient_checkpointing).toBe(true);
    expect(steps).toEqual(['enter after 0 forwards', 'exit after 1 forwards']);
  });

  test('the switch is on inside the block only, on the keys that are there', async () => {
    const policy = policyOf([0.2]);
    await create().call(['text'], rewardKwargs(1, policy));
    expect(policy.seen[0]!.config).toStrictEqual({
      _attn_implementation: 'eager',
      text_config: { _attn_implementation: 'eager', llm_attn_implementation: 'eager', hidden_size: 8 },
    });
    expect(policy.config).toStrictEqual(config());
  });

  test('all is restored after a throwing forward, and the fault comes through', async () => {
    const steps: string[] = [];
    const policy = new FakePolicy(config(), () => {
      throw new Error('out of memory');
    });
    const kwargs = rewardKwargs(2, policy, {
      template: {
        forward_context: () => ({ enter: () => void steps.push('enter'), exit: () => void steps.push('exit') }),
      },
    });
    await expect(create().call(texts(2), kwargs)).rejects.toThrow('out of memory');
    expect(policy.seen[0]!.config._attn_implementation).toBe('eager');
    expect(policy.config).toStrictEqual(config());
    expect(policy.is_gradient_checkpointing).toBe(true);
    expect(steps).toEqual(['enter', 'exit']);
  });

  test('a context that cannot be entered restores as well', async () => {
    const policy = policyOf([0.2]);
    const enter = () => Promise.reject(new Error('no context'));
    const kwargs = rewardKwargs(1, policy, { template: { forward_context: () => ({ enter, exit: () => undefined }) } });
    await expect(create().call(['text'], kwargs)).rejects.toThrow('no context');
    expect(policy.config).toStrictEqual(config());
    expect(policy.is_gradient_checkpointing).toBe(true);
  });

  test.each([
    [
      'data parallel',
      (model: FakePolicy) => ({ module: model, config: Object.freeze({ _attn_implementation: 'outer' }) }),
    ],
    [
      'PEFT',
      (model: FakePolicy) => ({ base_model: { model }, config: Object.freeze({ _attn_implementation: 'outer' }) }),
    ],
    [
      'both, and an accelerator',
      (model: FakePolicy) => ({ unwrap_model: () => ({ module: { base_model: { model } } }) }),
    ],
  ])('wrapped (%s): the inner config is the one that is switched', async (_, wrap) => {
    const policy = policyOf([0.2]);
    const wrapped = wrap(policy);
    const values = await create().call(['text'], rewardKwargs(1, wrapped));
    expect(values[0]).toBeCloseTo(-tdrOf(0.2), 6);
    expect(policy.seen[0]!.config._attn_implementation).toBe('eager');
    expect(policy.config).toStrictEqual(config()); // and the outer config is frozen: writing to it would have thrown
  });

  test('the accelerator of the trainer unwraps first', async () => {
    const policy = policyOf([0.2]);
    const accelerator = { unwrap_model: () => policy };
    const values = await create().call(['text'], rewardKwargs(1, { opaque: true }, { accelerator }));
    expect(values[0]).toBeCloseTo(-tdrOf(0.2), 6);
  });
});

describe('samples without a ratio', () => {
  test('no attentions: null, one warning with what to change, never 0', async () => {
    const policy = new FakePolicy(config(), without);
    const kwargs = rewardKwargs(3, policy);
    const orm = create();
    expect(await orm.call(texts(3), kwargs)).toEqual([null, null, null]);
    expect(await orm.call(texts(3), kwargs)).toEqual([null, null, null]);
    const warnings = kwargs.lines.filter((line) => line.startsWith('warn'));
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(
      /^warn DDAPOAttentionORM: model outputs did not include attentions\. .*output_attentions/,
    );
    expect(kwargs.metrics.get('attention/undefined_frac')).toBe(1);
    expect(kwargs.extras.get('tdr')).toEqual([null, null, null]);
    expect(policy.config).toStrictEqual(config());
  });

  test('no image, or an empty completion: null without a forward, the others keep their value', async () => {
    const policy = policyOf([0.2]);
    const kwargs = rewardKwargs(3, policy, {
      prompt_ids: [
        [1, 2, 3],
        [1, 2, IMAGE, IMAGE, 3, 4],
        [1, 2, IMAGE, 3],
      ],
      completion_ids: [[5], [5, 6], []],
      images: [[], rewardKwargs(1, null).images[0]!, []],
    });
    const values = await create().call(texts(3), kwargs);
    expect(values).toEqual([null, expect.closeTo(-tdrOf(0.2), 6), null]);
    expect(policy.seen).toHaveLength(1);
    expect(kwargs.metrics.get('attention/undefined_frac')).toBeCloseTo(2 / 3, 12);
    expect(kwargs.lines.filter((line) => /no visual tokens|empty completion/.test(line))).toHaveLength(2);
  });

  test('by its name, without a plugin, through the reward runner: a ratio that does not exist is null', async () => {
    const policy = new FakePolicy(config(), without);
    const columns = await runRewards(createRewards(['ddapo_attention', 'format']), ['x'], rewardKwargs(1, policy));
    expect(columns[0]).toMatchObject({ label: 'DDAPOAttentionORM', values: [null] });
  });
});

describe('debug lines', () => {
  const answer = ({ input_ids }: ModelKwargs): ForwardOutput => ({
    logits: null,
    attentions: [flatAttention(input_ids[0]!, 0.2, 0.1), flatAttention(input_ids[0]!, 0.2, 0.1)],
  });

  test('for the first sample of the run only, before and after its forward', async () => {
    DDAPOAttentionORM._debugDone = false;
    const policy = new FakePolicy(config(), answer);
    const kwargs = rewardKwargs(2, policy);
    await create().call(texts(2), kwargs);
    await create().call(texts(2), kwargs);
    expect(kwargs.lines).toEqual([
      'debug [DDAPO_DEBUG] model kwargs: input_ids, attention_mask, pixel_values, image_grid_thw, output_attentions, logits_to_keep',
      'debug [DDAPO_DEBUG] output_attentions: true',
      'debug [DDAPO_DEBUG] config: _attn_implementation=eager, attn_implementation=(absent), llm_attn_implementation=(absent)',
      'debug [DDAPO_DEBUG] text_config: _attn_implementation=eager, attn_implementation=(absent), llm_attn_implementation=eager',
      'debug [DDAPO_DEBUG] is_gradient_checkpointing: false',
      'debug [DDAPO_DEBUG] outputs: Object',
      'debug [DDAPO_DEBUG] attentions is null: false',
      'debug [DDAPO_DEBUG] attentions: Array of length 2, shape of [0]: (1, 1, 8, 8)',
    ]);
  });

  test('with no attentions and no text_config', async () => {
    DDAPOAttentionORM._debugDone = false;
    const policy = new FakePolicy({ attn_implementation: 'sdpa' }, without);
    const kwargs = rewardKwargs(1, policy);
    await create().call(texts(1), kwargs);
    const lines = kwargs.lines.filter((line) => line.startsWith('debug'));
    expect(lines).toContain('debug [DDAPO_DEBUG] text_config: (absent)');
    expect(lines.at(-1)).toBe('debug [DDAPO_DEBUG] attentions is null: true');
  });
});

describe.each(goldenCheckpoints())('golden $name: the three forms', ({ model, golden }) => {
  const raw = JSON.parse(readFileSync(join(model, 'config.json'), 'utf8'));
  const { cases } = JSON.parse(readFileSync(join(golden, 'cases.json'), 'utf8'));
  const grpo = JSON.parse(readFileSync(join(golden, 'grpo.json'), 'utf8'));
  const { per_sequence, reward_plain, reward_centered, reward_group_norm } = grpo.ddapo;
  const prompts = grpo.prompts.map((name: string) => cases.find((c: { name: string }) => c.name === name));
  const samples: number = prompts.length;

  /** Attention that spreads the golden shares evenly, so that the ratio is the golden one. */
  const kwargs = () => {
    let n = 0;
    const policy = new FakePolicy(config(), ({ input_ids }) => {
      const { rho_vis, rho_text } = per_sequence[n++ % samples];
      const ids = input_ids[0]!.map((id) => (id === raw.image_token_id ? IMAGE : 0));
      return { logits: null, attentions: [flatAttention(ids, rho_vis, rho_text)] };
    });
    return rewardKwargs(samples, policy, {
      num_generations: grpo.num_generations,
      prompt_ids: prompts.map((p: { prompt_ids: number[] }) => p.prompt_ids),
      completion_ids: grpo.completion_ids,
      system_prefix: prompts.map((p: { system_prefix_tokens: number }) => p.system_prefix_tokens),
      image_token_id: raw.image_token_id,
      video_token_id: raw.video_token_id,
    });
  };

  const largestError = (values: readonly unknown[], expected: number[]): number =>
    Math.max(...expected.map((x, i) => Math.abs(x - (values[i] as number))));

  test.each([
    ['plain', {}, {}, reward_plain],
    ['centred, by option', { ddapo_reward_center: true }, {}, reward_centered],
    ['centred, by environment', {}, { DDAPO_REWARD_CENTER: '1' }, reward_centered],
    ['group-normalised, by option', { ddapo_group_norm: '1' }, {}, reward_group_norm],
    ['group-normalised, by environment', {}, { DDAPO_GROUP_NORM: '1' }, reward_group_norm],
    ['an option goes before the environment', { ddapo_group_norm: false }, { DDAPO_GROUP_NORM: '1' }, reward_plain],
  ])('%s', async (_, options, environment, expected) => {
    for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
    const given = kwargs();
    const values = await create(options).call(texts(samples), given);
    const error = largestError(values, expected);
    console.log(`${_}: largest error ${error.toExponential(2)}`);
    expect(error).toBeLessThan(1e-4);
    expect(
      largestError(
        given.extras.get('tdr')!,
        per_sequence.map((s: { tdr: number }) => s.tdr),
      ),
    ).toBeLessThan(1e-5);
  });

  test('the mean of the group-normalised form is 0 in every whole group, and the run is told', async () => {
    const given = kwargs();
    const orm = create({ ddapo_group_norm: true });
    const values = (await orm.call(texts(samples), given)) as number[];
    for (let first = 0; first < samples; first += grpo.num_generations) {
      const group = values.slice(first, first + grpo.num_generations);
      expect(Math.abs(group.reduce((a, b) => a + b) / group.length)).toBeLessThan(1e-9);
    }
    await orm.call(texts(samples), given);
    expect(given.lines.filter((line) => /mean is 0 in every group by construction/.test(line))).toHaveLength(1);
  });
});

describe('forms', () => {
  test('the group is num_generations wide, whatever it is, and nulls stay out of it', async () => {
    const visual = [0.1, 0.2, 0.3, 0.1, 0.4, 0.2];
    const kwargs = rewardKwargs(6, policyOf(visual.filter((_, i) => i !== 1)), {
      num_generations: 6,
      completion_ids: visual.map((_, i) => (i === 1 ? [] : [5, 6])),
    });
    const values = await create({ ddapo_group_norm: 1 }).call(texts(6), kwargs);
    const tdrs = visual.map((v, i) => (i === 1 ? null : tdrOf(v)));
    const defined = tdrs.filter((x) => x !== null);
    const mean = defined.reduce((a, b) => a + b) / 5;
    const std = Math.sqrt(defined.reduce((a, b) => a + (b - mean) ** 2, 0) / 5);
    expect(values).toEqual(tdrs.map((x) => (x === null ? null : expect.closeTo(-(x - mean) / (std + 1e-6), 6))));
  });

  test('half a group and a setting that is no switch are refused', async () => {
    const kwargs = rewardKwargs(3, policyOf([0.1]), { num_generations: 2 });
    await expect(create({ ddapo_group_norm: true }).call(texts(3), kwargs)).rejects.toThrow(
      /not a multiple of num_generations 2/,
    );
    vi.stubEnv('DDAPO_GROUP_NORM', 'maybe');
    expect(() => create()).toThrow(/"maybe" is neither on nor off/);
  });
});

describe('--attn_probe', () => {
  /** Masses as the fused probe would measure them for `policyOf`. */
  const masses = (visual: number): AttentionMasses => ({
    visual: [new Float32Array(2).fill(visual * 2)],
    text: [new Float32Array(2).fill(0.1 * 3)],
  });

  test('eager never looks at masses', async () => {
    const policy = policyOf([0.2]);
    const kwargs = rewardKwargs(1, policy, { attention_masses: [masses(0.4)] });
    expect((await create().call(['text'], kwargs))[0]).toBeCloseTo(-tdrOf(0.2), 6);
  });

  test('fused needs no forward; a sample without masses gets one', async () => {
    DDAPOAttentionORM._debugDone = false;
    const policy = policyOf([0.3]);
    const kwargs = rewardKwargs(2, policy, { attn_probe: 'fused', attention_masses: [masses(0.2), null] });
    const values = await create().call(texts(2), kwargs);
    expect(values).toEqual([expect.closeTo(-tdrOf(0.2), 6), expect.closeTo(-tdrOf(0.3), 6)]);
    expect(policy.seen).toHaveLength(1);
    expect(kwargs.lines).toEqual([
      'debug [DDAPO_DEBUG] attn_probe fused: masses of the training forward, no forward here; first sample (1 layers, 2 rows)',
    ]);
  });

  test.each(['fused', 'auto'] as const)(
    '%s without masses falls back to eager and says so once',
    async (attn_probe) => {
      const policy = policyOf([0.2]);
      const kwargs = rewardKwargs(1, policy, { attn_probe });
      const orm = create();
      for (let i = 0; i < 2; i++) expect((await orm.call(['text'], kwargs))[0]).toBeCloseTo(-tdrOf(0.2), 6);
      expect(policy.seen).toHaveLength(2);
      expect(kwargs.lines.filter((line) => /gave no attention masses/.test(line))).toHaveLength(1);
    },
  );

  test('auto does both at first, logs the difference, then uses the masses', async () => {
    const policy = policyOf([0.2, 0.3]);
    const kwargs = rewardKwargs(2, policy, { attn_probe: 'auto', attention_masses: [masses(0.2), masses(0.3)] });
    const orm = create();
    await orm.call(texts(2), kwargs);
    expect(policy.seen).toHaveLength(2);
    expect(kwargs.lines).toEqual([
      expect.stringMatching(
        /^debug \[DDAPO_DEBUG\] attn_probe auto: largest relative difference .*: \d\.\d\de[+-]\d+ over 2 samples$/,
      ),
    ]);
    expect(await orm.call(texts(2), kwargs)).toEqual([expect.closeTo(-tdrOf(0.2), 6), expect.closeTo(-tdrOf(0.3), 6)]);
    expect(policy.seen).toHaveLength(2);
  });

  test('auto stays on eager if they disagree by more than 1e-3, and says so', async () => {
    const policy = policyOf([0.2]);
    const kwargs = rewardKwargs(1, policy, { attn_probe: 'auto', attention_masses: [masses(0.2 * 1.003)] });
    const orm = create();
    for (let i = 0; i < 2; i++) expect((await orm.call(['text'], kwargs))[0]).toBeCloseTo(-tdrOf(0.2), 6);
    expect(policy.seen).toHaveLength(2);
    expect(kwargs.lines.filter((line) => line.startsWith('warn'))).toEqual([
      expect.stringMatching(/more than 0\.001; staying on one eager forward per completion\.$/),
    ]);
  });

  test('auto with nothing to compare tries again at the next call', async () => {
    const policy = policyOf([0.2]);
    const orm = create();
    const empty = rewardKwargs(1, policy, {
      attn_probe: 'auto',
      attention_masses: [masses(0.2)],
      completion_ids: [[]],
    });
    expect(await orm.call(['text'], empty)).toEqual([null]);
    const full = rewardKwargs(1, policy, { attn_probe: 'auto', attention_masses: [masses(0.2)] });
    await orm.call(['text'], full);
    expect(policy.seen).toHaveLength(1);
    await orm.call(['text'], full);
    expect(policy.seen).toHaveLength(1);
  });
});
