import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { refuseLfsPointer } from '../../src/checkpoint/lfs_pointer.ts';
import { decodeImage } from '../../src/data/image_decode.ts';
import { openPolicy } from '../../src/train/policy.ts';
import { refusal, shown } from './scratch.ts';
import { variant } from './variants.ts';

/** What `git lfs` leaves in a clone that has not fetched the file. */
const POINTER = `version https://git-lfs.github.com/spec/v1
oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393
size 3982643072
`;

test.each([
  'model.safetensors',
  'config.json',
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'preprocessor_config.json',
  'chat_template.json',
])('%s is a pointer', async (name) => {
  const model = await variant({});
  writeFileSync(join(model, name), POINTER);
  const error = shown(await refusal(() => openPolicy({ model, attnImpl: 'sdpa', trainable: false })));
  expect(error).toContain(`E_LFS_POINTER | ${name} is a Git LFS pointer to 3982643072 bytes that are not here`);
  expect(error).toContain(`${join(model, name)} | `);
  expect(error).toContain(`git lfs pull in ${model}`);
});

test('in the cache of Hugging Face, which is no clone, it is downloaded again', () => {
  const path = join('hub', 'models--a--b', 'snapshots', '0'.repeat(40), 'config.json');
  expect(() => refuseLfsPointer(Buffer.from(POINTER), path)).toThrow(
    expect.objectContaining({
      hint: `fetch the file itself: hf download a/b --revision ${'0'.repeat(40)} --force-download`,
    }),
  );
});

test('so are merges.txt, a shard, a chat template and a picture', async () => {
  const model = await variant({ files: { 'tokenizer.json': null, 'merges.txt': POINTER } });
  const open = () => openPolicy({ model, attnImpl: 'sdpa', trainable: false });
  expect(shown(await refusal(open))).toMatch(/E_LFS_POINTER.*merges\.txt is a Git LFS pointer/);

  const sharded = await variant({
    files: {
      'model.safetensors': null,
      'model-00001-of-00001.safetensors': POINTER,
      'model.safetensors.index.json': { weight_map: { 'lm_head.weight': 'model-00001-of-00001.safetensors' } },
    },
  });
  const openSharded = () => openPolicy({ model: sharded, attnImpl: 'sdpa', trainable: false });
  expect(shown(await refusal(openSharded))).toMatch(/E_LFS_POINTER.*model-00001-of-00001\.safetensors is a Git LFS/);

  const jinja = await variant({ files: { 'chat_template.jinja': POINTER } });
  const openJinja = () => openPolicy({ model: jinja, attnImpl: 'sdpa', trainable: false });
  expect(shown(await refusal(openJinja))).toMatch(/E_LFS_POINTER.*chat_template\.jinja is a Git LFS pointer/);

  const decode = () => decodeImage(Buffer.from(POINTER), { name: 'data/a.png', where: 'train.jsonl:3' });
  expect(shown(await refusal(decode))).toMatch(
    /E_IMAGE_FORMAT.*data\/a\.png is a Git LFS pointer.*train\.jsonl:3.*git lfs pull in data/,
  );
});
