/**
 * Checkpoints whose config and weights disagree, or whose tensors are stored otherwise than as published: the model that
 * transformers makes of them, and saved copies that say what they hold.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { isHeadTied, saysTied } from '../../src/checkpoint/head.ts';
import { openCheckpoint } from '../../src/checkpoint/open.ts';
import { saveCheckpoint } from '../../src/checkpoint/save.ts';
import { openPolicy } from '../../src/train/policy.ts';
import { refusal, scratch, shown } from '../checkpoint/scratch.ts';
import { expected, type Variant, type VariantTensor, variant, withTies } from '../checkpoint/variants.ts';
import { largestDifference } from '../helpers/check_op.ts';

const { ids, cases } = expected.tie;
const untied = cases.find(({ top, text, head }) => top === false && text === null && head === 'other')!.logps!;

/** Log-probabilities of `ids` after the first, and what is said of the checkpoint. */
async function logpsOf(model: string): Promise<{ logps: Float32Array; notes: readonly string[] }> {
  const policy = await openPolicy({ model, attnImpl: 'eager', trainable: false });
  try {
    const group = { prompt: { ids: Int32Array.of(ids[0]!), images: [] }, completions: [{ ids: ids.slice(1) }] };
    const { groups } = await policy.model.score([group], { temperature: 1, keep: false });
    return { logps: Float32Array.from(groups[0]!.completions[0]!.logps), notes: policy.summary.notes ?? [] };
  } finally {
    await policy.close();
  }
}

/** A copy as a run without steps would save it. */
async function saved(model: string): Promise<string> {
  const source = openCheckpoint(model);
  const dir = join(scratch(), 'saved');
  await saveCheckpoint(dir, { source });
  source.close();
  return dir;
}

const configOf = (dir: string): Record<string, unknown> => JSON.parse(readFileSync(join(dir, 'config.json'), 'utf8'));

const HEAD = 'lm_head.weight';
const EMBEDDING = 'model.embed_tokens.weight';

function withHead(head: 'other' | 'equal' | 'absent') {
  return (tensors: Map<string, VariantTensor>): Map<string, VariantTensor> => {
    if (head === 'absent') tensors.delete(HEAD);
    if (head === 'equal') tensors.set(HEAD, tensors.get(EMBEDDING)!);
    return tensors;
  };
}

describe('which head is used', () => {
  test.each(cases)('config: top $top, text_config $text; stored: $head', async ({ top, text, head, tied, logps }) => {
    const dir = await variant({ config: (config) => withTies(config, top, text), tensors: withHead(head) });
    if (logps === null) {
      const error = shown(await refusal(() => logpsOf(dir)));
      expect(error).toMatch(/E_TENSOR_MISSING.*"lm_head\.weight" is missing.*set "tie_word_embeddings": true/);
      return;
    }
    const found = await logpsOf(dir);
    expect(largestDifference(found.logps, logps)).toBeLessThan(1e-4);
    const disagrees = head === 'other' && (top === true || text === true);
    expect(found.notes.join()).toMatch(
      disagrees ? /^config\.json ties the head .* another lm_head\.weight is stored; the stored one is used$/ : /^$/,
    );
    const copy = await saved(dir);
    const checkpoint = openCheckpoint(copy);
    expect(isHeadTied(checkpoint)).toBe(tied);
    expect(saysTied(configOf(copy))).toBe(tied);
    expect(checkpoint.tensors.has(HEAD)).toBe(!tied);
    checkpoint.close();
    expect(largestDifference((await logpsOf(copy)).logps, found.logps)).toBe(0);
  });
});

describe('other names and dtypes', () => {
  const renamed = (rename: (name: string) => string) => (tensors: Map<string, VariantTensor>) =>
    new Map([...tensors].map(([name, tensor]) => [rename(name), tensor]));
  const inLayers = (name: string): string =>
    name.replace(/(layers|blocks)\.(\d+)\./, '$1.$2._checkpoint_wrapped_module.');

  test.each<[string, Variant['tensors'], RegExp]>([
    ['module.', renamed((name) => `module.${name}`), /wrappers, e\.g\. module\./],
    ['_orig_mod.', renamed((name) => `_orig_mod.${name}`), /wrappers/],
    ['base_model.model.', renamed((name) => `base_model.model.${name}`), /wrappers/],
    ['module._orig_mod., and modules within', renamed((name) => `module._orig_mod.${inLayers(name)}`), /wrappers/],
    ['F64', asDoubles, /^$/],
    [
      'buffers that are computed',
      (tensors) => tensors.set('model.rotary_emb.inv_freq', { dtype: 'F32', shape: [1], bytes: new Uint8Array(4) }),
      /^$/,
    ],
    [
      'integers that nothing needs',
      (tensors) => tensors.set('model.position_ids', { dtype: 'I64', shape: [1], bytes: new Uint8Array(8) }),
      /^1 tensors are not the model's and not used: model\.position_ids$/,
    ],
  ])('%s', async (_, tensors, note) => {
    const dir = await variant({ tensors });
    const found = await logpsOf(dir);
    expect(largestDifference(found.logps, untied)).toBeLessThan(1e-4);
    expect(found.notes.join()).toMatch(note);
    const copy = await saved(dir);
    const { notes, logps } = await logpsOf(copy);
    expect(largestDifference(logps, found.logps)).toBe(0);
    expect(notes.join()).not.toMatch(/wrappers/);
  });

  test('a copy of F64 is F32, and says so', async () => {
    const copy = await saved(await variant({ tensors: asDoubles, config: (c) => ({ ...c, torch_dtype: 'float64' }) }));
    const checkpoint = openCheckpoint(copy);
    expect(new Set([...checkpoint.tensors.values()].map(({ dtype }) => dtype))).toEqual(new Set(['F32']));
    expect(configOf(copy)).toMatchObject({ torch_dtype: 'float32' });
    checkpoint.close();
  });

  test('weights in a dtype that is none of weights are refused by name', async () => {
    const dir = await variant({
      tensors: (tensors) => {
        const { shape } = tensors.get(HEAD)!;
        return tensors.set(HEAD, { dtype: 'I8', shape, bytes: new Uint8Array(shape[0]! * shape[1]!) });
      },
    });
    expect(shown(await refusal(() => logpsOf(dir)))).toMatch(
      /E_TENSOR_DTYPE.*"lm_head\.weight" has dtype I8, expected F32, F16, BF16 or F64.*model\.safetensors.*quantised/,
    );
  });

  /** bfloat16 -> float64, exactly. */
  function asDoubles(tensors: Map<string, VariantTensor>): Map<string, VariantTensor> {
    return new Map(
      [...tensors].map(([name, { shape, bytes }]) => {
        const words = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
        const bits = Uint32Array.from(words, (word) => word << 16);
        const doubles = Float64Array.from(new Float32Array(bits.buffer));
        return [name, { dtype: 'F64', shape, bytes: new Uint8Array(doubles.buffer) }];
      }),
    );
  }
});
