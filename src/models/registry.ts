/**
 * The supported architectures, and the choice of one by config.json.
 */
import { join } from 'node:path';
import { readJsonFile, readJsonFileIfPresent } from '../checkpoint/json_file.ts';
import { SightlineError } from '../errors.ts';
import { describe, isJsonObject, type JsonObject, shownJson } from '../util/json.ts';
import type { Architecture, ModelConfig } from './architecture.ts';
import { fieldsOf } from './config_fields.ts';
import { qwen2_5_vl } from './qwen2_5_vl/architecture.ts';
import { qwen2_vl } from './qwen2_vl/architecture.ts';
import { qwen3_vl } from './qwen3_vl/architecture.ts';

export const ARCHITECTURES: readonly Architecture[] = [qwen2_vl, qwen2_5_vl, qwen3_vl];

/**
 * Checks and normalises a parsed config.json.
 *
 * @param where file name for errors
 * Errors: E_CONFIG_INVALID, E_CONFIG_UNSUPPORTED, E_MODEL_UNSUPPORTED, each naming the field.
 */
export function parseConfig(json: unknown, where: string): ModelConfig {
  if (!isJsonObject(json)) {
    throw new SightlineError('E_CONFIG_INVALID', `expected a JSON object, found ${describe(json)}`, {
      where,
      hint: 'use the config.json that the model was published with',
    });
  }
  const architecture = architectureOf(json, where);
  refuseQuantised(json, where);
  return { ...architecture.parseConfig(json, where), architecture };
}

/**
 * Reads config.json of a checkpoint folder, and the end-of-sequence and padding ids of generation_config.json if it exists.
 * Generation stops at the ids of either file.
 *
 * Errors: those of `parseConfig` and of `readJsonFile`.
 */
export async function readConfig(dir: string): Promise<ModelConfig> {
  const path = join(dir, 'config.json');
  const config = parseConfig(readJsonFile(path), path);
  const generationPath = join(dir, 'generation_config.json');
  const generation = readJsonFileIfPresent(generationPath);
  if (generation === null) return config;
  const fields = fieldsOf(generation, '', generationPath);
  const eos = fields.ids('eos_token_id', config.text.vocabSize);
  const pad = fields.ids('pad_token_id', config.text.vocabSize)[0] ?? null;
  return {
    ...config,
    eosTokenIds: [...new Set([...eos, ...config.eosTokenIds])],
    padTokenId: config.padTokenId ?? pad,
  };
}

// --- internal ---

function architectureOf(json: JsonObject, where: string): Architecture {
  const known = ARCHITECTURES.map(({ modelType, title, className }) => `"${modelType}" (${title}, ${className})`);
  const hint = `supported: model_type ${known.join(', ')}`;
  const named = json.architectures;
  const refuse = (found: string): SightlineError =>
    new SightlineError('E_MODEL_UNSUPPORTED', `unsupported architecture: ${found}`, { where, hint });
  const architecture = ARCHITECTURES.find(({ modelType }) => modelType === json.model_type);
  if (architecture === undefined) {
    const also = Array.isArray(named) ? ` (${shownJson(named, 80)})` : '';
    const found =
      json.model_type === undefined ? 'field model_type is missing' : `model_type is ${describe(json.model_type)}`;
    throw refuse(`${found}${also}`);
  }
  if (named !== undefined && !(Array.isArray(named) && named.includes(architecture.className)))
    throw refuse(`architectures is ${describe(named)}`);
  return architecture;
}

function refuseQuantised(json: JsonObject, where: string): void {
  if (json.quantization_config === undefined || json.quantization_config === null) return;
  throw new SightlineError(
    'E_CONFIG_UNSUPPORTED',
    'field quantization_config is set: quantised weights cannot be read',
    { where, hint: 'use the float32, float16 or bfloat16 checkpoint' },
  );
}
