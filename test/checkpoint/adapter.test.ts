import { expect, test } from 'vitest';
import { openCheckpoint } from '../../src/checkpoint/open.ts';
import { floatsFile, folderOf, refusal, shown } from './scratch.ts';

const ADAPTER = JSON.stringify({ peft_type: 'LORA', r: 8, base_model_name_or_path: 'Qwen/Qwen2.5-VL-3B-Instruct' });
const at = async (files: Parameters<typeof folderOf>[0]): Promise<string> =>
  shown(await refusal(() => openCheckpoint(folderOf(files))));

test('a folder as PEFT and ms-swift save it', async () => {
  const error = await at({ 'adapter_config.json': ADAPTER, 'adapter_model.safetensors': floatsFile({ a: [1] }) });
  expect(error).toMatch(
    /^E_CHECKPOINT_ADAPTER \| the folder holds an adapter \("LORA"\) of the model "Qwen\/Qwen2\.5-VL-3B-Instruct", expected a whole model \|/,
  );
  expect(error).toMatch(
    /adapter_config\.json \| give the folder to --adapters.*sightline export --adapters DIR --merge_lora true/,
  );
});

test('an adapter beside a model: transformers would apply it', async () => {
  const error = await at({ 'adapter_config.json': ADAPTER, 'model.safetensors': floatsFile({ a: [1] }) });
  expect(error).toMatch(/beside a model, expected a whole model.*without adapter_config\.json/);
});

test.each([
  'base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight',
  'base_model.model.model.layers.0.self_attn.q_proj.base_layer.weight',
  'model.layers.0.self_attn.q_proj.lora_B.weight',
  'base_model.model.lm_head.modules_to_save.default.weight',
])('a tensor of an adapter that is not merged: %s', async (name) => {
  const error = await at({ 'model.safetensors': floatsFile({ [name]: [1] }) });
  expect(error).toContain(`E_CHECKPOINT_ADAPTER | tensor "${name}" belongs to an adapter that is not merged`);
  expect(error).toMatch(/model\.safetensors \| merge it/);
});
