/**
 * Canonical names of the tensors that every architecture has, and the part of the model that a name belongs to.
 * Knows no shapes. src/checkpoint/names.ts translates the names in files.
 */

import { HEAD } from '../checkpoint/head.ts';

export { EMBEDDING, HEAD } from '../checkpoint/head.ts';

/** The head as a linear layer. */
export const HEAD_LAYER = HEAD.replace(/\.weight$/, '');

export const FINAL_NORM = 'model.norm.weight';

/** A tensor of a decoder layer. */
export const layerTensor = (layer: number, name: string): string => `model.layers.${layer}.${name}`;

/** The projections to queries, keys and values, named relative to a decoder layer, and the name of the three as one. */
export const QKV = {
  name: 'self_attn.qkv_proj',
  parts: ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'],
} as const;

/** A tensor of the vision tower. */
export const visionTensor = (name: string): string => `visual.${name}`;
/** A tensor of a block of the vision tower. */
export const visionBlockTensor = (block: number, name: string): string => visionTensor(`blocks.${block}.${name}`);

/** The language model, the vision tower without its mergers, and the mergers ("aligner"). */
export type ModelPart = 'llm' | 'vit' | 'aligner';

export function partOf(name: string): ModelPart {
  if (!name.startsWith(visionTensor(''))) return 'llm';
  return ALIGNERS.some((prefix) => name.startsWith(visionTensor(prefix))) ? 'aligner' : 'vit';
}

// --- internal ---

const ALIGNERS = ['merger.', 'deepstack_merger_list.'];
