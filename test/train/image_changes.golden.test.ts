/**
 * Log-probabilities under changed images against transformers (test/golden/make/changed_image.py): from the pixels of a file to
 * every token of every completion.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseImageSource } from '../../src/data/image_source.ts';
import type { ContentPart } from '../../src/data/messages.ts';
import { completionsOf, type RolloutGroup } from '../../src/grpo/rollout.ts';
import type { ImageTransform } from '../../src/models/image_transform.ts';
import { scoreImageChanges } from '../../src/train/image_changes.ts';
import { openPolicy, type Policy } from '../../src/train/policy.ts';
import type { Random } from '../../src/util/random.ts';
import { largestDifference } from '../helpers/check_op.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import { readJson } from '../helpers/golden_values.ts';

interface ChangedImages {
  readonly temperature: number;
  readonly ratio: number;
  readonly sigma: number;
  readonly groups: readonly {
    /** Texts, and null for the next image. */
    readonly content: readonly (string | null)[];
    /** PNG, base64. */
    readonly images: readonly string[];
    /** Of each image its patches, row by row: 1 is black. */
    readonly masks: readonly (readonly number[])[];
    readonly prompt_ids: readonly number[];
    readonly prompt_ids_removed: readonly number[];
    readonly completions: readonly (readonly number[])[];
    /** By the kind of the change. [completions][tokens] */
    readonly logps: Readonly<Record<string, readonly (readonly number[])[]>>;
  }[];
}

const FILE = 'changed_image.json';
const checkpoints = goldenCheckpoints().filter(({ golden }) => existsSync(join(golden, FILE)));

/** Numbers that black out exactly the patches of these masks, one mask after the other. */
function drawing(masks: readonly (readonly number[])[], ratio: number): Random {
  const draws = masks.flat().map((isBlack) => (isBlack ? ratio / 2 : (1 + ratio) / 2));
  const random = { next: () => draws.shift()!, fork: () => random } as Partial<Random> as Random;
  return random;
}

describe.each(checkpoints)('$name', ({ name, model: dir, golden }) => {
  const { temperature, ratio, sigma, groups: cases } = readJson<ChangedImages>(join(golden, FILE));
  let policy: Policy;
  let groups: RolloutGroup[];
  beforeAll(async () => {
    policy = await openPolicy({ model: dir, attnImpl: 'sdpa', trainable: false });
    groups = await Promise.all(
      cases.map(async ({ content, images, completions }) => {
        const parts = content.map((text): ContentPart => (text === null ? { type: 'image' } : { type: 'text', text }));
        const sources = images.map((image) => parseImageSource(image, '', 'test'));
        const prompt = await policy.template.encode([{ role: 'user', content: parts }], sources);
        return {
          prompt: { ...prompt, row: undefined as never },
          completions: completions.map((ids) => ({ ids: Int32Array.from(ids), text: '', truncated: false })),
        };
      }),
    );
  });
  afterAll(() => policy.close());

  test('prompts are those of the processor', () => {
    expect(groups.map(({ prompt }) => [...prompt.ids])).toEqual(cases.map(({ prompt_ids }) => prompt_ids));
  });

  test.each<ImageTransform>([{ kind: 'blackout', ratio }, { kind: 'blur', sigma }, { kind: 'removed' }])(
    '$kind',
    async (transform) => {
      const random = drawing(
        cases.flatMap(({ masks }) => masks),
        ratio,
      );
      const tools = { model: policy.model, temperature, visionTokenIds: policy.template.visionTokenIds, random };
      const [changes] = (await scoreImageChanges(groups, [transform], tools)).values();
      const expected = (kind: string): number[] => cases.flatMap(({ logps }) => logps[kind]!.flat());
      const ours = (side: 'logps' | 'changed'): number[] => changes!.flatMap((pair) => [...pair![side]]);
      expect(ours('changed')).toHaveLength(expected(transform.kind).length);
      for (const [kind, values] of [
        ['original', ours('logps')],
        [transform.kind, ours('changed')],
      ] as const) {
        const error = largestDifference(Float32Array.from(values), Float32Array.from(expected(kind)));
        console.log(`${name}: ${kind}, largest error ${error}`);
        expect(error, kind).toBeLessThan(1e-4);
      }
    },
  );

  test('the text that is left without its images is the processor’s', async () => {
    const seen: number[][] = [];
    const model: Pick<Policy['model'], 'score'> = {
      score: (asked, options) => {
        seen.push(...asked.map(({ prompt }) => [...prompt.ids]));
        return policy.model.score(asked, options);
      },
    };
    const scored = (await policy.model.score(groups, { temperature, keep: false })).groups;
    const tools = { model, temperature, visionTokenIds: policy.template.visionTokenIds, random: drawing([], ratio) };
    await scoreImageChanges(scored as RolloutGroup[], [{ kind: 'removed' }], tools);
    expect(seen).toEqual(cases.map(({ prompt_ids_removed }) => prompt_ids_removed));
    expect(completionsOf({ groups })).toHaveLength(6);
  });
});
