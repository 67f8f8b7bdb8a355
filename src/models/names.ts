/**
 * Canonical names of the tensors that every architecture has, and which part of a model a name belongs to.
 * Knows no shapes. src/checkpoint/names.ts translates what files call them.
 */

import { HEAD } from '../checkpoint/head.ts';

export { EMBEDDING, HEAD } from '../checkpoint/head.ts';

/** The head as a linear layer. */
export const HEAD_LAYER = HEAD.replace(/\.weight$/, '');

export const FINAL_NORM = 'model.norm.weight';

/** A tensor of a decoder layer. */
export const layerTensor = (layer: number, name: string): string => `model.layers.${layer}.${name}`;

/** The layers that make queries, keys and values, by their names below a decoder layer, and what the three are called as one. */
export const QKV = {
  name: 'self_attn.qkv_proj',
  parts: ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'],
} as const;

/** A tensor of the vision tower, and one of a block of it. */
export const visionTensor = (name: string): string => `visual.${name}`;
export const visionBlockTensor = (block: number, name: string): string => visionTensor(`blocks.${block}.${name}`);

/** Which canonical names belong to the language model, the tower and the merger ("aligner"). */
export type ModelPart = 'llm' | 'vit' | 'aligner';

export function partOf(name: string): ModelPart {
  if (!name.startsWith(visionTensor(''))) return 'llm';
  return ALIGNERS.some((prefix) => name.startsWith(visionTensor(prefix))) ? 'aligner' : 'vit';
}

// --- internal ---

const ALIGNERS = ['merger.', 'deepstack_merger_list.'];
