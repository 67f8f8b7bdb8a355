/**
 * Writes an adapter's folder.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bytesOf } from '../checkpoint/dtypes.ts';
import { type TensorToWrite, writeSafetensors } from '../checkpoint/safetensors.ts';
import { SightlineError } from '../errors.ts';
import type { ModelConfig } from '../models/architecture.ts';
import { adapterA, adapterB } from '../nn/adapter.ts';
import { adapterConfigJson } from './config.ts';
import { ADAPTER_CONFIG, ADAPTER_WEIGHTS } from './folder.ts';
import { modulesOf } from './model_modules.ts';
import type { AdapterPlan } from './plan.ts';
import { storedName } from './stored_names.ts';

/**
 * Writes an adapter's files into a folder, as PEFT does and, in additional_config.json, ms-swift.
 *
 * @param valuesOf a tensor's values by canonical name, asked for when they are written
 */
export async function writeAdapter(
  folder: string,
  { config, adapters, saved }: AdapterPlan,
  model: ModelConfig,
  valuesOf: (name: string) => Float32Array | Promise<Float32Array>,
  { lorapLrRatio = null }: { readonly lorapLrRatio?: number | null } = {},
): Promise<void> {
  const { layers, tensors } = modulesOf(model);
  const toWrite: TensorToWrite[] = [
    ...Object.entries(adapters).flatMap(([layer, { rank, out, inner }]) => {
      const patch = layers.get(layer)!.patch;
      const ones = patch === null ? [] : patch.slice(1).map(() => 1);
      return [
        float32(storedName(adapterA(layer)), [rank, ...(patch ?? [inner])], () => valuesOf(adapterA(layer))),
        float32(storedName(adapterB(layer)), [out, rank, ...ones], () => valuesOf(adapterB(layer))),
      ];
    }),
    ...saved.map((name) => float32(storedName(name), tensors.get(name)!, () => valuesOf(name))),
  ];
  await writeFile(join(folder, ADAPTER_CONFIG), JSON.stringify(adapterConfigJson(config), null, 2));
  await writeSafetensors(join(folder, ADAPTER_WEIGHTS), toWrite);
  const additional = { lora_dtype: null, lorap_lr_ratio: lorapLrRatio, lorap_emb_lr: 1e-6 };
  await writeFile(join(folder, 'additional_config.json'), JSON.stringify(additional));
}

// --- internal ---

/** Error, when it is written: E_WEIGHT_NOT_FINITE. */
function float32(
  name: string,
  shape: readonly number[],
  values: () => Float32Array | Promise<Float32Array>,
): TensorToWrite {
  return {
    name,
    dtype: 'F32',
    shape,
    async *chunks() {
      const data = await values();
      const wrong = data.find((value) => !Number.isFinite(value));
      if (wrong !== undefined) {
        throw new SightlineError('E_WEIGHT_NOT_FINITE', `tensor "${name}" holds ${wrong}`, {
          hint: 'training has diverged; go back to an earlier checkpoint',
          exitCode: 1,
        });
      }
      yield bytesOf(data);
    },
  };
}
