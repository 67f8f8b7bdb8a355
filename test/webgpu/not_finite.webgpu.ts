/**
 * A model whose weights or activations are not finite is noticed on the graphics processor as it is on the CPU: by the scores of
 * given tokens, and by the generator, which draws none.
 */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createGenerator, type Generator } from '../../src/engine/generation.ts';
import type { Group } from '../../src/engine/groups.ts';
import type { VisionLanguageModel } from '../../src/engine/model.ts';
import { cpu } from '../../src/runtime/cpu.ts';
import { floats } from '../../src/runtime/tensor.ts';
import { openWebgpu } from '../../src/runtime/webgpu.ts';
import { createRandom } from '../../src/util/random.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import { type GoldenGrpo, goldenGroups, loadModel, readJson } from '../helpers/golden_values.ts';
import { elementsOf } from '../helpers/parameters.ts';

interface Policy {
  readonly model: VisionLanguageModel;
  readonly generator: Generator;
}

const checkpoint = goldenCheckpoints()[0]!;
const policies: Policy[] = [];
let groups: Group[];

beforeAll(async () => {
  const [group] = await goldenGroups(checkpoint, readJson<GoldenGrpo>(join(checkpoint.golden, 'grpo.json')));
  groups = [{ ...group!, completions: group!.completions.slice(0, 1) }];
  for (const device of [cpu, await openWebgpu()]) {
    const model = await loadModel(checkpoint, { device });
    policies.push({ model, generator: createGenerator(model) });
  }
});
afterAll(async () => {
  for (const { model, generator } of policies) for (const part of [generator, model]) await part.release();
});

/** What is noticed: scores that are not finite, and the generator's error. */
async function noticed({ model, generator }: Policy) {
  const { groups: scored } = await model.score(groups, { temperature: 1, keep: false });
  const numbers = scored.flatMap(({ completions }) =>
    completions.flatMap(({ logps, entropies }) => [...logps, ...entropies]),
  );
  const prompts = groups.map(({ prompt }) => prompt);
  const settings = { count: 1, maxNewTokens: 2, temperature: 1, stopIds: [], bannedIds: [], keep: false };
  const sampled = generator.generate(prompts, { ...settings, random: createRandom(3) });
  return {
    scores: numbers.some((x) => !Number.isFinite(x)),
    error: await sampled.then(
      () => null,
      (error: unknown) => (error as { code?: string }).code ?? error,
    ),
  };
}

type Spoil = (data: Float32Array) => Float32Array;
const nan: Spoil = (data) => data.with(data.length >> 1, Number.NaN);
/** Products of two of these are infinite in float32. */
const huge: Spoil = (data) => data.map((x) => 1e25 * x);

describe('the weights', () => {
  test('as they are', async () => {
    for (const policy of policies) expect(await noticed(policy)).toEqual({ scores: false, error: null });
  });

  test.each<[string, readonly string[], Spoil]>([
    ['NaN in the embeddings, which are the head', ['model.embed_tokens.weight'], nan],
    ['NaN in the queries of a layer, where attention alone meets it', ['model.layers.1.self_attn.q_proj.weight'], nan],
    ['attention scores that overflow', ['q', 'k'].map((x) => `model.layers.1.self_attn.${x}_proj.weight`), huge],
    ['NaN in a gate', ['model.layers.0.mlp.gate_proj.weight'], nan],
    ['NaN in the last norm', ['model.norm.weight'], nan],
    ['NaN in the vision tower', ['visual.blocks.0.attn.qkv.weight'], nan],
  ])('%s', async (_, names, spoiled) => {
    for (const policy of policies) {
      const { parameters } = policy.model;
      const { device } = parameters;
      const kept = new Map<string, Float32Array>();
      for (const name of names) kept.set(name, (await elementsOf(parameters, name)).slice());
      const put = async (name: string, data: Float32Array): Promise<void> => {
        const value = parameters.value(name);
        await device.write(value, floats(data, value.dims));
      };
      for (const [name, data] of kept) await put(name, spoiled(data));
      expect(await noticed(policy)).toEqual({ scores: true, error: 'E_DIVERGED' });
      for (const [name, data] of kept) await put(name, data);
    }
  });
});
