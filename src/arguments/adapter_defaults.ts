/**
 * Arguments that an adapter's folder brings: its model, and what shaped the prompts of its training. An adapter has no
 * config or processor of its own to hold them; ms-swift's commands read them from the same file (`load_args`).
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readJsonFile } from '../checkpoint/json_file.ts';
import { isFolder } from './paths.ts';

export interface AdapterDefaults {
  readonly model: string | null;
  readonly system: string | null;
  readonly minPixels: number | null;
  readonly maxPixels: number | null;
}

/** What args.json and adapter_config.json in the folder say; null where neither says it. Errors: those of readJsonFile. */
export function adapterDefaults(dir: string): AdapterDefaults {
  const read = (name: string) => (existsSync(join(dir, name)) ? readJsonFile(join(dir, name)) : {});
  const [args, config] = [read('args.json'), read('adapter_config.json')];
  const text = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null);
  const count = (value: unknown): number | null =>
    Number.isSafeInteger(value) && Number(value) > 0 ? Number(value) : null;
  return {
    model: modelOf([args.model, args.model_dir, config.base_model_name_or_path].map(text)),
    system: text(args.system),
    minPixels: count(args.min_pixels),
    maxPixels: count(args.max_pixels),
  };
}

/** The first that is a folder; a path may have been relative to another one. Else the first, which may be a name. */
function modelOf(candidates: readonly (string | null)[]): string | null {
  const given = candidates.filter((candidate) => candidate !== null);
  return given.find(isFolder) ?? given[0] ?? null;
}

/** Arguments with those of the adapter in place of nulls, and which these are. */
export function withAdapterDefaults<A extends AdapterDefaults>(
  values: A,
  adapters: readonly string[],
): { readonly values: A; readonly inherited: readonly string[] } {
  const [dir] = adapters;
  if (dir === undefined) return { values, inherited: [] };
  const defaults = adapterDefaults(dir);
  const used = Object.entries(defaults).filter(([key, value]) => value !== null && values[key as keyof A] === null);
  return { values: { ...values, ...Object.fromEntries(used) }, inherited: used.map(([key]) => key) };
}
