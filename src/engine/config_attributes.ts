/**
 * The live config of a model: config.json with the attention attributes that transformers keeps there. Rewards change them;
 * their values at the start of a forward decide how it attends.
 */
import { SightlineError } from '../errors.ts';
import type { ModelConfigAttributes } from '../models/types.ts';
import type { AttentionImplementation } from './text_attention.ts';

const IMPLEMENTATIONS: readonly AttentionImplementation[] = ['eager', 'sdpa', 'flash_attention_2'];

/** A copy of config.json, with the attention attributes where transformers keeps them. */
export function configAttributes(
  raw: Record<string, unknown>,
  attnImpl: AttentionImplementation,
): ModelConfigAttributes {
  const config: ModelConfigAttributes = structuredClone(raw);
  config._attn_implementation = attnImpl;
  if (typeof config.text_config === 'object' && config.text_config !== null) {
    config.text_config._attn_implementation = attnImpl;
  }
  return config;
}

/** Where the text model has a config of its own, that one decides, as in transformers. Error: E_ATTN_IMPLEMENTATION. */
export function implementationOf(config: ModelConfigAttributes): AttentionImplementation {
  const name = (config.text_config ?? config)._attn_implementation;
  const known = IMPLEMENTATIONS.find((implementation) => implementation === name);
  if (known === undefined) {
    throw new SightlineError('E_ATTN_IMPLEMENTATION', `attention implementation '${String(name)}' is not known`, {
      where: 'model.config._attn_implementation',
      hint: `use one of ${IMPLEMENTATIONS.join(', ')}`,
    });
  }
  return known;
}
