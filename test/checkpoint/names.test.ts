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
])('%s -> %s', (stored, canonical) => {
  expect(canonicalName(stored)).toBe(canonical);
});
