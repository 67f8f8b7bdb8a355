/**
 * The order in which transformers' modules name their parameters: the vision tower first, then the language model, and
 * within a block in the order in which its class makes its parts. A share of parameters "from below" is counted in it.
 */
import type { ModelConfig } from './architecture.ts';
import { EMBEDDING, FINAL_NORM, HEAD } from './names.ts';
import { expectedTensors } from './tensors.ts';

/** Canonical names of all parameters, in that order. */
export function parameterOrder(config: ModelConfig): string[] {
  const place = new Map([...expectedTensors(config).keys()].map((name) => [name, placeOf(name)]));
  return [...place.keys()].sort((a, b) => compare(place.get(a)!, place.get(b)!));
}

// --- internal ---

/** Parts of the two models, and parts of blocks, in the order of their classes. */
const PARTS = [
  'visual.patch_embed.',
  'visual.pos_embed.',
  'visual.blocks.',
  'visual.merger.',
  'visual.deepstack_merger_list.',
  EMBEDDING,
  'model.layers.',
  FINAL_NORM,
  HEAD,
];
const OF_BLOCKS = [
  'norm1',
  'norm2',
  'attn.qkv',
  'attn.proj',
  'self_attn.q_proj',
  'self_attn.k_proj',
  'self_attn.v_proj',
  'self_attn.o_proj',
  'self_attn.q_norm',
  'self_attn.k_norm',
  'mlp.gate_proj',
  'mlp.up_proj',
  'mlp.down_proj',
  'mlp.fc1',
  'mlp.fc2',
  'mlp.linear_fc1',
  'mlp.linear_fc2',
  'input_layernorm',
  'post_attention_layernorm',
  'ln_q',
  'mlp.0',
  'mlp.2',
  'norm',
  'linear_fc1',
  'linear_fc2',
  'proj',
];

/** Part, number of the block, part of the block, and weight before bias. */
function placeOf(name: string): readonly number[] {
  const part = PARTS.findIndex((prefix) => name.startsWith(prefix));
  const [, block = '0', rest = name] = /\.(\d+)\.(?!weight$|bias$)(.+)$/.exec(name.replace('.mlp.0.', '.mlp_0.')) ?? [];
  const layer = rest.replace('mlp_0', 'mlp.0').replace(/\.(weight|bias)$/, '');
  const inBlock = OF_BLOCKS.findIndex((each) => layer === each || layer.endsWith(`.${each}`));
  if (part < 0) throw new Error(`internal: '${name}' has no place among a model's parameters`);
  return [part, Number(block), inBlock, name.endsWith('.bias') ? 1 : 0];
}

function compare(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((value, i) => value !== b[i]);
  return at < 0 ? 0 : a[at]! - b[at]!;
}
