import { expect, test } from 'vitest';
import { canonicalName } from '../../src/checkpoint/names.ts';

test.each([
  ['model.layers.0.mlp.up_proj.weight', 'model.layers.0.mlp.up_proj.weight'],
  ['model.language_model.layers.0.mlp.up_proj.weight', 'model.layers.0.mlp.up_proj.weight'],
  ['language_model.model.norm.weight', 'model.norm.weight'],
  ['language_model.lm_head.weight', 'lm_head.weight'],
  ['model.visual.merger.mlp.0.bias', 'visual.merger.mlp.0.bias'],
  ['visual.merger.mlp.0.bias', 'visual.merger.mlp.0.bias'],
  ['lm_head.weight', 'lm_head.weight'],
  ['model.visual_extra', 'model.visual_extra'],
  ['module.model.norm.weight', 'model.norm.weight'],
  ['module.module.model.language_model.norm.weight', 'model.norm.weight'],
  ['base_model.model.model.visual.merger.mlp.0.bias', 'visual.merger.mlp.0.bias'],
  ['_orig_mod.lm_head.weight', 'lm_head.weight'],
  ['model.language_model._orig_mod.norm.weight', 'model.norm.weight'],
  ['_fsdp_wrapped_module.model.layers.0._fsdp_wrapped_module.mlp.up_proj.weight', 'model.layers.0.mlp.up_proj.weight'],
  ['visual.module.weight', 'visual.module.weight'],
])('%s -> %s', (stored, canonical) => {
  expect(canonicalName(stored)).toBe(canonical);
});
