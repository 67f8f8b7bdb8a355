/**
 * The files of an adapter's folder, and what is said about a folder that lacks them.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { SightlineError } from '../errors.ts';

export const ADAPTER_CONFIG = 'adapter_config.json';
export const ADAPTER_WEIGHTS = 'adapter_model.safetensors';

/** Error: E_ADAPTER_MISSING, with what the folder has instead. */
export function requireFiles(dir: string): void {
  const missing = (message: string, hint: string): SightlineError =>
    new SightlineError('E_ADAPTER_MISSING', message, { where: dir, hint });
  if (!existsSync(dir))
    throw missing('adapter folder not found', 'check the path; give a folder that is on this machine');
  if (!statSync(dir).isDirectory()) throw missing('a file, not a folder', 'give the folder it lies in');
  if (!existsSync(join(dir, ADAPTER_CONFIG))) {
    const runs = readdirSync(dir).filter((name) => /^checkpoint-\d+$/.test(name));
    const last = runs.sort((a, b) => stepOf(a) - stepOf(b)).at(-1);
    if (last !== undefined)
      throw missing(`no ${ADAPTER_CONFIG} in the folder`, `give a checkpoint in it: ${join(dir, last)}`);
    const isModel = existsSync(join(dir, 'config.json'));
    throw missing(
      `no ${ADAPTER_CONFIG} in the folder`,
      isModel ? 'it holds a whole model: give it to --model' : `give the folder that holds ${ADAPTER_CONFIG}`,
    );
  }
  if (existsSync(join(dir, ADAPTER_WEIGHTS))) return;
  const pickled = existsSync(join(dir, 'adapter_model.bin'));
  throw missing(
    `no ${ADAPTER_WEIGHTS} in the folder`,
    pickled
      ? 'adapter_model.bin cannot be read: load the adapter with PEFT and save it again, which writes safetensors'
      : 'the adapter is not complete; fetch it again',
  );
}

// --- internal ---

const stepOf = (name: string): number => Number(name.slice('checkpoint-'.length));
