/**
 * Folders of adapters: every spelling of tensor names, what is written, and what is refused.
 */
import { cpSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { openAdapter } from '../../src/adapters/read.ts';
import { writeAdapter } from '../../src/adapters/write.ts';
import { bytesOf } from '../../src/checkpoint/dtypes.ts';
import { writeSafetensors } from '../../src/checkpoint/safetensors.ts';
import { SightlineError } from '../../src/errors.ts';
import type { ModelConfig } from '../../src/models/architecture.ts';
import { readConfig } from '../../src/models/registry.ts';
import type { FloatTensor } from '../../src/runtime/tensor.ts';
import { openPolicy } from '../../src/train/policy.ts';
import { largestDifference } from '../helpers/check_op.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import { goldenImages, readCases, readJson, readTensors } from '../helpers/golden_values.ts';

const root = temporaryFolder();
const checkpoint = goldenCheckpoints().find(({ name }) => name === 'published')!;
const lora = join(checkpoint.golden, 'lora');
let config: ModelConfig;
beforeAll(async () => {
  config = await readConfig(checkpoint.model);
});

let copies = 0;
interface Changes {
  readonly config?: Readonly<Record<string, unknown>>;
  /** A new name, or null to leave the tensor out. */
  readonly rename?: (name: string) => string | null;
  readonly tensors?: Readonly<Record<string, FloatTensor>>;
}

/** The golden adapter with something changed. */
async function changed({ config: fields = {}, rename = (name) => name, tensors = {} }: Changes): Promise<string> {
  const dir = join(root, `adapter${copies++}`);
  mkdirSync(dir);
  const json = { ...readJson<Record<string, unknown>>(join(lora, 'adapter_config.json')), ...fields };
  writeFileSync(join(dir, 'adapter_config.json'), JSON.stringify(json));
  const all = [...readTensors(join(lora, 'adapter_model.safetensors')), ...Object.entries(tensors)];
  await writeSafetensors(
    join(dir, 'adapter_model.safetensors'),
    all.flatMap(([stored, { data, dims }]) => {
      const name = rename(stored);
      return name === null ? [] : [{ name, dtype: 'F32' as const, shape: dims, chunks: () => [bytesOf(data)] }];
    }),
  );
  return dir;
}

async function refusal(changes: Changes): Promise<string> {
  return told(await changed(changes));
}

function told(dir: string, model = config): string {
  try {
    openAdapter(dir, model);
  } catch (error) {
    if (!(error instanceof SightlineError)) throw error;
    expect(error.exitCode).toBe(2);
    expect(error.hint).toBeDefined();
    return `${error.code}: ${error.message} | ${error.where} | ${error.hint}`;
  }
  return expect.fail('it was not refused');
}

describe('spellings', () => {
  const NOW = 'base_model.model.model.language_model.layers.';
  const regex = 'base_model';
  test.each([
    [
      'of transformers since 4.52',
      NOW,
      '.*language_model.*\\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)',
    ],
    [
      'of transformers before 4.52',
      'base_model.model.model.layers.',
      '^(model)(?!.*visual).*\\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)$',
    ],
    [
      'of a language model that is a submodule',
      'base_model.model.language_model.model.layers.',
      ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'mlp.gate_proj', 'mlp.up_proj', 'mlp.down_proj'],
    ],
    ['without the wrapper', 'model.language_model.layers.', 'all-linear'],
  ])('%s', async (_, prefix, targets) => {
    expect(regex).toBeDefined();
    const exclude = Array.isArray(targets) ? '.*visual.*' : null;
    const dir = await changed({
      config: { target_modules: targets, exclude_modules: exclude },
      rename: (name) =>
        name.replace(NOW, prefix).replace('.weight', prefix.startsWith('model') ? '.default.weight' : '.weight'),
    });
    const [golden, other] = [openAdapter(lora, config), openAdapter(dir, config)];
    expect(other.adapters).toEqual(golden.adapters);
    expect(other.read()).toEqual(golden.read());
  });

  test('are written as PEFT has them today, whatever they were', async () => {
    const dir = await changed({
      config: { target_modules: 'model\\.layers\\.\\d\\..*_proj', rank_pattern: { 'model.layers.0.mlp.up_proj': 3 } },
      rename: (name) => name.replace('language_model.', ''),
      tensors: {},
    }).catch(() => expect.fail());
    // The rank of one layer is another: its tensors have to be, too.
    expect(told(dir)).toMatch(
      /^E_ADAPTER_SHAPE: tensor "base_model\.model\.model\.layers\.0\.mlp\.up_proj\.lora_A\.weight" has shape \[4,64\], expected \[3,64\]/,
    );
    const former = await changed({
      config: { target_modules: 'model\\.layers\\.\\d\\..*_proj' },
      rename: (name) => name.replace('language_model.', ''),
    });
    const adapter = openAdapter(former, config);
    const out = join(root, 'written');
    mkdirSync(out);
    const values = adapter.read();
    await writeAdapter(out, adapter, config, (name) => values.get(name)!.data);
    const written = openAdapter(out, config);
    expect(written.adapters).toEqual(adapter.adapters);
    expect([...readTensors(join(out, 'adapter_model.safetensors')).keys()].every((name) => name.startsWith(NOW))).toBe(
      true,
    );
    const targets = readJson<{ target_modules: string[] }>(join(out, 'adapter_config.json')).target_modules;
    expect(targets).toContain('model.language_model.layers.0.self_attn.q_proj');
    expect(targets).toHaveLength(Object.keys(adapter.adapters).length);
  });

  test('the keys of adapter_config.json are those of peft 0.20', async () => {
    const adapter = openAdapter(lora, config);
    const out = join(root, 'keys');
    mkdirSync(out);
    const values = adapter.read();
    await writeAdapter(out, adapter, config, (name) => values.get(name)!.data);
    const [ours, theirs] = [out, lora].map((dir) =>
      readJson<Record<string, unknown>>(join(dir, 'adapter_config.json')),
    );
    expect(Object.keys(ours!)).toEqual(Object.keys(theirs!));
    expect(ours).toEqual({ ...theirs, lora_dropout: 0 });
    expect(readFileSync(join(out, 'adapter_model.safetensors')).length).toBeGreaterThan(1000);
  });
});

describe('the logits that PEFT gives', () => {
  test.each([
    ['published', 'trained_here'],
    ['nested_tied', 'trained_here'],
    ['qwen3_vl', 'trained_here'],
    ['qwen2_vl', 'from_ms_swift'],
  ])('%s, %s', async (name, by) => {
    const dir = fileURLToPath(new URL(join(by, name), import.meta.url));
    const golden = goldenCheckpoints().find((each) => each.name === name)!;
    const policy = await openPolicy({
      model: golden.model,
      attnImpl: 'sdpa',
      trainable: false,
      adapter: { dir },
    });
    const found = readCases(golden).find((each) => each.name === 'two_images')!;
    const images = goldenImages(
      found,
      readTensors(join(golden.golden, 'tensors.safetensors')).get('two_images.pixel_values')!,
    );
    const { logits } = await policy.model.forward({
      input_ids: [Int32Array.of(...found.prompt_ids, ...found.completion_ids)],
      pixel_values: images.map(({ pixelValues }) => pixelValues),
      image_grid_thw: images.map(({ gridThw }) => gridThw),
      logits_to_keep: found.completion_ids.length + 1,
    });
    const { data } = readTensors(join(dir, 'logits.safetensors')).get('two_images.logits')!;
    const largest = data.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
    const error = largestDifference(logits!.data, data) / largest;
    console.log(`${name}, ${by}: largest error of logits against PEFT ${error}`);
    expect(error).toBeLessThan(1e-4);
    await policy.close();
  });
});

describe('refused by name', () => {
  test('a tensor without a home', async () => {
    const text = await refusal({ rename: (name) => name.replace('layers.0.mlp.up_proj', 'layers.9.mlp.up_proj') });
    expect(text).toMatch(
      /^E_ADAPTER_TENSOR: tensor "base_model.+layers\.9\.mlp\.up_proj\.lora_A\.weight" adapts no linear layer of this model/,
    );
    expect(text).toContain('the adapter was made for model; give that model to --model');
  });
  test('an adapter of another base', async () => {
    const other = await readConfig(goldenCheckpoints().find(({ name }) => name === 'nested_tied')!.model);
    expect(told(lora, other)).toMatch(/^E_ADAPTER_(SHAPE|TENSOR): /);
  });
  test('half an adapter', async () => {
    const text = await refusal({ rename: (name) => (name.includes('0.self_attn.q_proj.lora_B') ? null : name) });
    expect(text).toContain('there is no tensor of model.language_model.layers.0.self_attn.q_proj.lora_B.weight');
  });
  test('a layer that is targeted, without tensors', async () => {
    const text = await refusal({ rename: (name) => (name.includes('layers.1.mlp.down_proj') ? null : name) });
    expect(text).toContain(
      'target_modules names model.language_model.layers.1.mlp.down_proj, of which there are no tensors',
    );
  });
  test('a layer that is not targeted, with tensors', async () => {
    const text = await refusal({ config: { target_modules: '.*language_model.*\\.(q|k|v|o|gate|up)_proj' } });
    expect(text).toContain(
      'the file has tensors of model.language_model.layers.0.mlp.down_proj, which target_modules does not name',
    );
  });
  test('a module that is saved, but not named', async () => {
    const norm = { dtype: 'float32' as const, data: new Float32Array(64), dims: [64] };
    const text = await refusal({ tensors: { 'base_model.model.model.language_model.norm.weight': norm } });
    expect(text).toContain(
      'tensor "base_model.model.model.language_model.norm.weight" is of no module that modules_to_save names',
    );
  });
  test.each([
    ['use_dora', true],
    ['trainable_token_indices', [3, 5]],
    ['lora_bias', true],
    ['bias', 'all'],
    ['target_parameters', ['mlp.experts']],
    ['alora_invocation_tokens', [1]],
    ['layer_replication', [[0, 2]]],
    ['fan_in_fan_out', true],
    ['loftq_config', { loftq_bits: 4 }],
    ['kasa_config', { beta: 1 }],
    ['task_type', 'SEQ_CLS'],
  ])('the option %s', async (option, value) => {
    const text = await refusal({ config: { [option]: value } });
    expect(text).toMatch(/^E_ADAPTER_UNSUPPORTED: /);
    expect(text).toContain(`"${option}"`);
  });
  test.each([
    ['peft_type', 'IA3', 'E_ADAPTER_UNSUPPORTED: peft_type is "IA3"'],
    ['init_lora_weights', 'pissa_niter_4', 'E_ADAPTER_UNSUPPORTED: init_lora_weights is "pissa_niter_4"'],
    ['r', 0, 'E_ADAPTER_CONFIG: field r is the number 0, expected a whole number above 0'],
    ['lora_alpha', 'much', 'E_ADAPTER_CONFIG: field lora_alpha'],
    ['target_modules', null, 'E_ADAPTER_CONFIG: field target_modules is null'],
    ['target_modules', '(?P<x>.*)', 'E_PATTERN: the pattern cannot be read: (?P<x>.*)'],
  ])('a value of %s', async (option, value, expected) => {
    expect(await refusal({ config: { [option]: value } })).toContain(expected);
  });
  test.each([
    ['of DoRA', '.lora_magnitude_vector'],
    ['of embeddings', '.lora_embedding_A'],
    ['of biases', '.lora_B.bias'],
  ])('a tensor %s', async (_, end) => {
    const text = await refusal({
      rename: (name) => name.replace('layers.0.self_attn.q_proj.lora_A.weight', `layers.0.self_attn.q_proj${end}`),
    });
    expect(text).toMatch(/^E_ADAPTER_UNSUPPORTED: tensor "/);
    expect(text).toContain(end);
  });
  test('two tensors for one place', async () => {
    const text = await refusal({
      rename: (name) => name.replace('model.language_model.layers.1.mlp.up_proj', 'model.layers.0.mlp.up_proj'),
    });
    expect(text).toContain('stands for the same weights as');
  });
  test('a truncated file', async () => {
    const dir = await changed({});
    truncateSync(join(dir, 'adapter_model.safetensors'), 20_000);
    expect(told(dir)).toMatch(/^E_SAFETENSORS_INVALID: /);
  });
  test('a folder that is none', async () => {
    expect(told(join(root, 'nothing'))).toContain('adapter folder not found');
    expect(told(checkpoint.model)).toContain('it holds a whole model: give it to --model');
    const pickled = join(root, 'pickled');
    cpSync(lora, pickled, { recursive: true });
    rmSync(join(pickled, 'adapter_model.safetensors'));
    writeFileSync(join(pickled, 'adapter_model.bin'), '');
    expect(told(pickled)).toContain('adapter_model.bin cannot be read');
    const run = join(root, 'run');
    mkdirSync(join(run, 'checkpoint-10'), { recursive: true });
    mkdirSync(join(run, 'checkpoint-9'), { recursive: true });
    expect(told(run)).toContain(`give a checkpoint in it: ${join(run, 'checkpoint-10')}`);
  });
});
