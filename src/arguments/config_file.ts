/**
 * Reads arguments from a JSON or YAML file: hand-written, or the args.json of an earlier run, here or in ms-swift.
 * Knows files, not flags.
 */
import { statSync } from 'node:fs';
import { readJsonFile, readRegularFile } from '../checkpoint/json_file.ts';
import { SightlineError } from '../errors.ts';
import type { JsonObject } from '../util/json.ts';
import { argumentsOfMsSwift, type ConfigEntries } from './ms_swift_args.ts';
import { MAX_YAML_BYTES, parseYamlObject, repeatedKey } from './yaml_text.ts';

/**
 * The file's entries by flag name. Names that begin with `_` are comments (args.json keeps its provenance in `_sightline`).
 *
 * Errors: E_CONFIG_FORMAT for a name that is given twice, a file that is too large or bytes that are no text, those of `parseYamlObject` and
 * `readJsonFile`.
 */
export function readConfigFile(path: string): ConfigEntries {
  const isYaml = /\.ya?ml$/i.test(path);
  refuseLarge(path, isYaml ? MAX_YAML_BYTES : MAX_JSON_BYTES);
  const entries = isYaml ? readYaml(path) : readJson(path);
  return argumentsOfMsSwift(new Map(Object.entries(entries).filter(([name]) => !name.startsWith('_'))));
}

// --- internal ---

function refuseLarge(path: string, limit: number): void {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size <= limit) return;
  throw new SightlineError('E_CONFIG_FORMAT', `the file has ${size} bytes, a configuration at most ${limit}`, {
    where: path,
    hint: 'give a file with names of flags and their values',
  });
}

function readYaml(path: string): JsonObject {
  return parseYamlObject(textOf(path, MAX_YAML_BYTES), path);
}

function readJson(path: string): JsonObject {
  const entries = readJsonFile(path, MAX_JSON_BYTES);
  const repeated = repeatedKey(textOf(path, MAX_JSON_BYTES));
  if (repeated === null) return entries;
  throw new SightlineError('E_CONFIG_FORMAT', `"${repeated.name}" is given twice`, {
    where: `${path}:${repeated.line}`,
    hint: 'leave one of them out',
  });
}

const MAX_JSON_BYTES = 1024 * 1024;

function textOf(path: string, limit: number): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(readRegularFile(path, limit));
  } catch (cause) {
    if (cause instanceof SightlineError) throw cause;
    throw new SightlineError('E_CONFIG_FORMAT', 'the file is not UTF-8', {
      where: path,
      hint: 'save it as UTF-8',
      cause,
    });
  }
}
