/**
 * Recognises adapters (LoRA and its relatives, as PEFT saves them) by their config file and by their tensor names.
 * Reads none of their weights.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { SightlineError } from '../errors.ts';
import { shownJson } from '../util/json.ts';
import { readJsonFile } from './json_file.ts';

/**
 * Refuses a folder with adapter_config.json; for such a folder transformers would load the base model.
 * Error: E_CHECKPOINT_ADAPTER.
 */
export function refuseAdapterFolder(dir: string): void {
  const path = join(dir, 'adapter_config.json');
  if (!existsSync(path)) return;
  const { peft_type: type, base_model_name_or_path: base } = readJsonFile(path);
  const kind = typeof type === 'string' ? ` (${shownJson(type, 40)})` : '';
  const of = typeof base === 'string' ? ` of the model ${shownJson(base, 200)}` : '';
  const model = existsSync(join(dir, 'model.safetensors')) || existsSync(join(dir, 'model.safetensors.index.json'));
  throw new SightlineError(
    'E_CHECKPOINT_ADAPTER',
    `the folder holds an adapter${kind}${of}${model ? ' beside a model' : ''}, expected a whole model`,
    {
      where: path,
      hint: model
        ? `${APART}; or, to use the model without its adapter, copy the folder without adapter_config.json`
        : type === undefined || type === 'LORA'
          ? APART
          : MERGE,
    },
  );
}

/** Refuses a tensor that belongs to an unmerged adapter. Error: E_CHECKPOINT_ADAPTER. */
export function refuseAdapterTensor(storedName: string, file: string): void {
  if (!ADAPTER_PART.test(storedName)) return;
  throw new SightlineError(
    'E_CHECKPOINT_ADAPTER',
    `tensor ${shownJson(storedName, 120)} belongs to an adapter that is not merged, expected the tensors of a model`,
    { where: file, hint: MERGE },
  );
}

// --- internal ---

const APART =
  'give the folder to --adapters, and its base model to --model; or merge the two: sightline export --adapters DIR --merge_lora true --output_dir OUT';

const MERGE =
  'merge it into its base model and give the resulting folder: merge_and_unload() of PEFT and save_pretrained(), or sightline export --merge_lora true for LoRA';

/** Name parts that PEFT adds to the layers it wraps. */
const ADAPTER_PART =
  /\.(lora_(A|B|embedding_A|embedding_B|magnitude_vector)|base_layer|modules_to_save|original_module|ia3_l|hada_w[12]_[ab]|vera_lambda_[bd])(\.|$)/;
