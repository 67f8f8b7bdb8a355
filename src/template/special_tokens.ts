/**
 * The special tokens that prompts of Qwen-VL are made of, and the names of others that chat templates may use.
 */
import { join } from 'node:path';
import { readJsonFileIfPresent } from '../checkpoint/json_file.ts';
import { SightlineError } from '../errors.ts';
import type { ModelConfig } from '../models/architecture.ts';
import { isJsonObject } from '../util/json.ts';
import type { Tokenizer } from './tokenizer.ts';

export const TURN_START = '<|im_start|>';
export const TURN_END = '<|im_end|>';

export interface SpecialNames {
  readonly imagePad: string;
  readonly videoPad: string | undefined;
  readonly endOfTurnId: number;
  readonly visionTokenIds: readonly number[];
}

export function specialNames({ special }: Tokenizer, config: ModelConfig, where: string): SpecialNames {
  const nameOf = new Map([...special].map(([name, id]) => [id, name]));
  const imagePad = nameOf.get(config.imageTokenId);
  const endOfTurnId = special.get(TURN_END);
  if (imagePad === undefined || endOfTurnId === undefined) {
    const missing = imagePad === undefined ? `with image_token_id ${config.imageTokenId}` : TURN_END;
    throw new SightlineError('E_TOKENIZER_INVALID', `the tokenizer has no special token ${missing}`, {
      where,
      hint: 'tokenizer files (tokenizer_config.json among them) and config.json come from different checkpoints; fetch the folder again',
    });
  }
  const { imageTokenId, videoTokenId, visionStartTokenId, visionEndTokenId } = config;
  const named = [...special].filter(([name]) => /^<\|(vision|image|video)_\w+\|>$/.test(name)).map(([, id]) => id);
  const vision = new Set([imageTokenId, videoTokenId, visionStartTokenId, visionEndTokenId, ...named]);
  return {
    imagePad,
    videoPad: nameOf.get(videoTokenId),
    endOfTurnId,
    visionTokenIds: [...vision].sort((a, b) => a - b),
  };
}

/** Names such as `bos_token` that templates may use, as transformers passes them. */
export function specialVariables(dir: string): Record<string, string> {
  const config = readJsonFileIfPresent(join(dir, 'tokenizer_config.json')) ?? {};
  const entries = ['bos_token', 'eos_token', 'pad_token', 'unk_token'].flatMap((name): [string, string][] => {
    const value = config[name];
    const text = isJsonObject(value) ? value.content : value;
    return typeof text === 'string' ? [[name, text]] : [];
  });
  return Object.fromEntries(entries);
}
