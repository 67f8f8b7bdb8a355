/**
 * Compares the arguments of a resumed run with those in the checkpoint's args.json: those that the saved state depends on have
 * to be equal; others may differ, and are named.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readJsonFile } from '../../checkpoint/json_file.ts';
import { SightlineError } from '../../errors.ts';
import { isJsonObject, type Json, shownJson } from '../../util/json.ts';

/**
 * @param args the run's arguments by flag name
 * @returns sentences for the user
 * Errors: E_RESUME_ARGUMENTS for flags that have to be as they were; those of `readJsonFile`.
 */
export function checkArguments(dir: string, args: Readonly<Record<string, Json>>): string[] {
  const path = join(dir, 'args.json');
  if (!existsSync(path)) return [`${path} is missing, so it is not known whether the flags are those of the run`];
  const { _sightline: provenance, ...saved } = readJsonFile(path);
  const names = Object.keys(args).filter(
    (name) => !FREE.test(name) && name in saved && !isEqual(saved[name] as Json, args[name]!),
  );
  const told = (name: string): string => `--${name} was ${shown(saved[name] as Json)} and is ${shown(args[name]!)}`;
  const fixed = names.filter((name) => FIXED.has(name));
  if (fixed.length > 0) {
    throw new SightlineError(
      'E_RESUME_ARGUMENTS',
      `the checkpoint depends on flags that are different now: ${fixed.map(told).join('; ')}`,
      {
        where: path,
        hint: 'give the flags of the run, for instance with --config args.json; or set --resume_only_model true and --ignore_data_skip true to begin a new run with the weights',
      },
    );
  }
  const plugins = changedPlugins(provenance, args.external_plugins);
  if (names.length === 0) return plugins;
  return [
    ...plugins,

    `flags differ from those of the run, which therefore does not go on as it would have: ${names.map(told).join('; ')}`,
  ];
}

// --- internal ---

/** The order of rows, and the cut of rollouts into steps. */
const FIXED: ReadonlySet<string> = new Set([
  'dataset',
  'columns',
  'split_dataset_ratio',
  'data_seed',
  'dataset_shuffle',
  'num_generations',
  'num_iterations',
  'per_device_train_batch_size',
  'gradient_accumulation_steps',
  'generation_batch_size',
  'steps_per_generation',
  'tuner_type',
]);

/** Flags that do not change what a step computes. */
const FREE =
  /^(output_dir|add_version|config|resume_.*|ignore_data_skip|logging_.*|report_to|log_completions|num_completions_to_print|save_.*|eval_.*|dry_run|engine.*|ignore_unsupported|model_dir|external_plugins|args_json)$/;

/** A sentence on plugin files that are other than when the checkpoint was saved. */
function changedPlugins(provenance: unknown, paths: Json | undefined): string[] {
  const saved = isJsonObject(provenance) && isJsonObject(provenance.plugins) ? Object.values(provenance.plugins) : [];
  const changed = (Array.isArray(paths) ? paths : []).filter(
    (path) => typeof path === 'string' && existsSync(path) && !saved.includes(sha256(path)),
  );
  if (changed.length === 0) return [];
  return [`${changed.join(', ')}: the file is not the one that the checkpoint was saved with, so rewards may differ`];
}

const sha256 = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');

const isEqual = (a: Json, b: Json): boolean => JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));

/** The same value with the keys of objects in order. */
function sorted(value: Json): Json {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isJsonObject(value)) return value;
  const entries = Object.entries(value as Record<string, Json>).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, inner]) => [key, sorted(inner)]));
}

const shown = (value: Json): string => shownJson(value, 60);
