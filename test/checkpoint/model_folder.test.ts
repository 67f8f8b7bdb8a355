import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { findModel, howToFetch } from '../../src/checkpoint/model_folder.ts';
import { openCheckpoint } from '../../src/checkpoint/open.ts';
import { folderOf, refusal, scratch, shown } from './scratch.ts';

const NAME = 'Qwen/Qwen2.5-VL-3B-Instruct';
const COMMIT = '66285546d2b821cf421d4f5eb2576359d3770cd3';
const OTHER = 'c747f21f03e7d0792c30766310bd7d8de17eeeb3';

/** A cache as `hf download` fills it: files are links to blobs. */
function huggingFace(root: string, refs: Readonly<Record<string, string>> = { main: COMMIT }): void {
  const folder = join(root, 'models--Qwen--Qwen2.5-VL-3B-Instruct');
  mkdirSync(join(folder, 'blobs'), { recursive: true });
  writeFileSync(join(folder, 'blobs', 'f00d'), '{}');
  for (const commit of [COMMIT, OTHER]) {
    mkdirSync(join(folder, 'snapshots', commit), { recursive: true });
    symlinkSync('../../blobs/f00d', join(folder, 'snapshots', commit, 'config.json'));
  }
  for (const [name, commit] of Object.entries(refs)) {
    mkdirSync(join(folder, 'refs', name, '..'), { recursive: true });
    writeFileSync(join(folder, 'refs', name), commit);
  }
}

const snapshotIn = (root: string, commit = COMMIT): string =>
  join(root, 'models--Qwen--Qwen2.5-VL-3B-Instruct', 'snapshots', commit);

describe('the cache of Hugging Face', () => {
  test('where huggingface_hub has it, by the environment', () => {
    const root = scratch();
    huggingFace(join(root, 'hub'));
    const nowhere = join(root, 'nowhere');
    const dir = snapshotIn(join(root, 'hub'));
    expect(findModel(NAME, null, { HF_HOME: root })).toEqual({ dir });
    expect(findModel(NAME, null, { HF_HUB_CACHE: join(root, 'hub'), HF_HOME: nowhere })).toEqual({ dir });
    expect(findModel(NAME, null, { HUGGINGFACE_HUB_CACHE: join(root, 'hub'), HF_HOME: nowhere })).toEqual({ dir });
    expect(findModel(NAME, null, { HF_HOME: '$BASE/x', BASE: root })).toHaveProperty('fault');
    expect(findModel(NAME, null, { HF_HOME: `\${BASE}`, BASE: root })).toEqual({ dir });
    const xdg = scratch();
    huggingFace(join(xdg, 'huggingface', 'hub'));
    expect(findModel(NAME, null, { XDG_CACHE_HOME: xdg })).toEqual({
      dir: snapshotIn(join(xdg, 'huggingface', 'hub')),
    });
  });

  test('branches, tags, pull requests and commits', () => {
    const root = scratch();
    huggingFace(root, { main: COMMIT, 'v1.0': OTHER, 'refs/pr/3': `${OTHER}\n` });
    const at = (revision: string) => findModel(NAME, revision, { HF_HUB_CACHE: root });
    expect(at('main')).toEqual({ dir: snapshotIn(root) });
    expect(at('v1.0')).toEqual({ dir: snapshotIn(root, OTHER) });
    expect(at('refs/pr/3')).toEqual({ dir: snapshotIn(root, OTHER) });
    expect(at(OTHER)).toEqual({ dir: snapshotIn(root, OTHER) });
    expect(at('v2')).toEqual({
      fault: `no such folder, and no model of that name at revision v2 in the cache ${root} (of this model it has main, v1.0): ${NAME}`,
      fix: `check the path; or, for a model of the Hugging Face hub, download it first: hf download ${NAME} --revision v2`,
    });
    expect(at('../../x')).toMatchObject({ fault: expect.stringMatching(/expected a branch, a tag or a commit/) });
    expect(at('')).toHaveProperty('fault');
  });

  test('no main, a ref that is damaged, a ref whose snapshot is gone', () => {
    const gone = scratch();
    huggingFace(gone, { main: '0'.repeat(40), v1: OTHER });
    expect(findModel(NAME, null, { HF_HUB_CACHE: gone, MODELSCOPE_CACHE: gone })).toMatchObject({
      fault: expect.stringContaining('(of this model it has v1)'),
    });
    const each: Record<string, string>[] = [{}, { main: 'half a commi' }, { main: '0'.repeat(40) }];
    for (const refs of each) {
      const root = scratch();
      huggingFace(root, refs);
      expect(findModel(NAME, null, { HF_HUB_CACHE: root, MODELSCOPE_CACHE: root })).toMatchObject({
        fault: expect.stringContaining('no model of that name in the cache'),
        fix: expect.stringContaining(`hf download ${NAME}`),
      });
    }
  });

  test('a download that is not complete says how it is completed', async () => {
    const root = scratch();
    huggingFace(root);
    const dir = snapshotIn(root);
    const command = `complete the download: hf download ${NAME} --revision ${COMMIT}`;
    expect(howToFetch(dir)).toBe(command);
    expect(howToFetch('/some/model')).toBe('fetch it again into /some/model');
    expect(shown(await refusal(() => openCheckpoint(dir)))).toContain(command);
    const index = { weight_map: { a: 'model-00001-of-00002.safetensors' } };
    writeFileSync(join(dir, 'model.safetensors.index.json'), JSON.stringify(index));
    expect(shown(await refusal(() => openCheckpoint(dir)))).toMatch(
      /E_SHARD_MISSING.*model-00001-of-00002\.safetensors is missing.*complete the download: hf download/,
    );
    const whole = shown(await refusal(() => openCheckpoint(join(root, 'models--Qwen--Qwen2.5-VL-3B-Instruct'))));
    expect(whole).toContain('give its folder below snapshots, or the model by its name');
  });
});

test('the cache of ModelScope: older versions, newer ones', () => {
  const at = (root: string, revision: string | null = null) =>
    findModel(NAME, revision, { HF_HUB_CACHE: join(root, 'none'), MODELSCOPE_CACHE: root });
  for (const path of [
    'models/Qwen/Qwen2___5-VL-3B-Instruct',
    'hub/models/Qwen/Qwen2___5-VL-3B-Instruct',
    'models/Qwen--Qwen2.5-VL-3B-Instruct/snapshots/master',
  ]) {
    const root = scratch();
    mkdirSync(join(root, path), { recursive: true });
    expect(at(root)).toEqual({ dir: join(root, path) });
    expect(at(root, 'v1')).toHaveProperty('fault');
  }
  const root = scratch();
  mkdirSync(join(root, 'models/Qwen--Qwen2.5-VL-3B-Instruct/snapshots/v1'), { recursive: true });
  expect(at(root, 'v1')).toEqual({ dir: join(root, 'models/Qwen--Qwen2.5-VL-3B-Instruct/snapshots/v1') });
  expect(at(root)).toHaveProperty('fault');
});

test('a folder wins over a name; other texts are paths', () => {
  const root = folderOf({ 'a/b/config.json': '{}', file: '' });
  expect(findModel(join(root, 'a/b'), null, {})).toEqual({ dir: join(root, 'a/b') });
  expect(findModel(join(root, 'a/b'), 'main', {})).toMatchObject({
    fault: expect.stringMatching(/--model_revision main is given, but --model is a folder/),
    fix: expect.stringMatching(/leave --model_revision out/),
  });
  expect(findModel(join(root, 'file'), null, {})).toMatchObject({ fault: expect.stringMatching(/is a file, not a/) });
  for (const path of [join(root, 'no'), './a/b', '../a', 'a/b/c', 'a', 'a/..', '-a/b', 'a--b/c', 'a/b c']) {
    const none = { fault: `no such folder: ${path}`, fix: 'check the path' };
    expect(findModel(path, null, { HF_HUB_CACHE: root, MODELSCOPE_CACHE: root })).toEqual(none);
  }
});
