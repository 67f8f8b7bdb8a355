/** The prompts that are scored under changed images, as a stand-in for the model sees them. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseImageSource } from '../../src/data/image_source.ts';
import { splitImageTags } from '../../src/data/messages.ts';
import { type CompletionIds, type Group, mapCompletions, type Prompt } from '../../src/engine/groups.ts';
import type { RolloutGroup } from '../../src/grpo/rollout.ts';
import type { ImageTransform } from '../../src/models/image_transform.ts';
import { readConfig } from '../../src/models/registry.ts';
import { openTemplate, type Template } from '../../src/template/template.ts';
import { type ChangeTools, scoreImageChanges } from '../../src/train/image_changes.ts';
import { createRandom } from '../../src/util/random.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { tinyProject } from '../helpers/tiny.ts';

const root = temporaryFolder();
let template: Template;
/** Twice the same picture, a row without one, and another picture. */
let groups: RolloutGroup[];
beforeAll(async () => {
  const project = await tinyProject(root, 2);
  template = await openTemplate(project.model, await readConfig(project.model));
  const encoded = async (image: string | null) => {
    const content = image === null ? 'which colour?' : '<image>which colour?';
    const images = image === null ? [] : [parseImageSource(image, root, 'test')];
    return template.encode([{ role: 'user', content: splitImageTags(content) }], images);
  };
  const prompts = await Promise.all(['0.png', '0.png', null, '1.png'].map(encoded));
  groups = prompts.map((prompt) => ({
    prompt: { ...prompt, row: undefined as never },
    completions: [1, 2].map((id) => ({
      ...{ ids: Int32Array.of(id, 3), text: '', truncated: false },
      logps: Float32Array.of(-id, -3),
    })),
  }));
});
afterAll(() => template.close());

/** What `score` was called with; its log-probabilities are the negated ids. */
async function seen(transforms: readonly ImageTransform[], given = groups, seed = 'seed') {
  const calls: (readonly Group[])[] = [];
  const score = async <P extends Prompt, C extends CompletionIds>(asked: readonly Group<P, C>[]) => {
    calls.push(asked);
    const scores = ({ ids }: CompletionIds) => Float32Array.from(ids, (id) => -10 * id);
    return {
      groups: mapCompletions(asked, (completion) => ({
        ...{ ...completion, logps: scores(completion), entropies: scores(completion), masses: new Map() },
      })),
      tape: null,
    };
  };
  const tools: ChangeTools = {
    ...{ model: { score }, temperature: 1, visionTokenIds: template.visionTokenIds, random: createRandom(seed) },
  };
  return { changes: await scoreImageChanges(given, transforms, tools), calls };
}

test('an image left out leaves the prompt of the same text without it', async () => {
  const { changes, calls } = await seen([{ kind: 'removed' }]);
  expect(calls[0]!.map(({ prompt }) => [...prompt.ids])).toEqual([0, 1, 2].map(() => [...groups[2]!.prompt.ids]));
  expect(calls[0]!.every(({ prompt }) => prompt.images.length === 0)).toBe(true);
  const pairs = changes.get('removed')!;
  expect(pairs.map((pair) => pair && [...pair.logps, ...pair.changed])).toEqual(
    [0, 1, 2, 3].flatMap((g) => [1, 2].map((id) => (g === 2 ? null : [-id, -3, -10 * id, -30]))),
  );
});

test('masks depend on the seed and the group, not on other groups', async () => {
  const change: ImageTransform = { kind: 'blackout', ratio: 0.5 };
  const pixels = async (...options: [RolloutGroup[]?, string?]) =>
    (await seen([change], ...options)).calls[0]!.map(({ prompt }) => prompt.images[0]!.pixelValues);
  const [first, second, third] = await pixels();
  expect(first).not.toEqual(second);
  expect(await pixels()).toEqual([first, second, third]);
  expect((await pixels(groups.slice(0, 1)))[0]).toEqual(first);
  expect((await pixels(groups, 'other'))[0]).not.toEqual(first);
  expect(first).not.toEqual(groups[0]!.prompt.images[0]!.pixelValues);
});

test('equal changed images have equal hashes, different ones different hashes', async () => {
  const hashes = async (change: ImageTransform) =>
    (await seen([change])).calls[0]!.map(({ prompt }) => prompt.images[0]!.hash);
  const [a, b, c] = await hashes({ kind: 'blackout', ratio: 1 });
  expect(a).toBe(b);
  expect(new Set(await hashes({ kind: 'blackout', ratio: 0.5 })).size).toBe(3);
  const [d, e, f] = await hashes({ kind: 'blur', sigma: 2 });
  expect(d).toBe(e);
  expect(new Set([a, c, d, f, groups[0]!.prompt.images[0]!.hash]).size).toBe(5);
});

test('completions without log-probabilities are scored under their own image first', async () => {
  const bare = groups.map(({ prompt, completions }) => ({
    prompt,
    completions: completions.map(({ ids, text, truncated }) => ({ ids, text, truncated })),
  }));
  const { changes, calls } = await seen([{ kind: 'blur', sigma: 2 }, { kind: 'removed' }], bare);
  expect(calls).toHaveLength(3);
  expect(calls[0]!.map(({ prompt }) => prompt)).toEqual([0, 1, 3].map((g) => groups[g]!.prompt));
  expect([...changes.keys()]).toEqual(['blur 2', 'removed']);
  expect([...changes.get('blur 2')![0]!.logps]).toEqual([-10, -30]);
});

test('without images there is no forward', async () => {
  const { changes, calls } = await seen([{ kind: 'removed' }], groups.slice(2, 3));
  expect(calls).toEqual([]);
  expect(changes.get('removed')).toEqual([null, null]);
});
