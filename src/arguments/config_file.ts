/**
 * Reads arguments from a JSON or YAML file: hand-written, or the args.json of an earlier run, here or in ms-swift.
 * Knows files, not flags.
 */
import { readJsonFile, readRegularFile } from '../checkpoint/json_file.ts';
import { SightlineError } from '../errors.ts';
import type { JsonObject } from '../util/json.ts';
import { MAX_YAML_BYTES, parseYamlObject, repeatedKey } from './yaml_text.ts';

/**
 * The file's entries by flag name. Names that begin with `_` are comments (args.json keeps its provenance in `_sightline`).
 *
 * Errors: E_CONFIG_FORMAT for a name that is given twice or bytes that are no text, those of `parseYamlObject` and
 * `readJsonFile`.
 */
export function readConfigFile(path: string): Map<string, unknown> {
  const entries = /\.ya?ml$/i.test(path) ? readYaml(path) : readJson(path);
  return new Map(Object.entries(entries).filter(([name]) => !name.startsWith('_')));
}

// --- internal ---

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
