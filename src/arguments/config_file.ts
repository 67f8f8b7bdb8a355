/**
 * Reads arguments from a JSON file, hand-written or the args.json of an earlier run. Knows files, not flags.
 */
import { readJsonFile } from '../checkpoint/json_file.ts';
import { SightlineError } from '../errors.ts';

/**
 * The file's entries by flag name. Names that begin with `_` are comments (args.json keeps its provenance in `_sightline`).
 *
 * Errors: E_CONFIG_FORMAT for YAML, and those of `readJsonFile`.
 */
export function readConfigFile(path: string): Map<string, unknown> {
  if (/\.ya?ml$/i.test(path)) {
    throw new SightlineError('E_CONFIG_FORMAT', 'the config file is YAML, expected JSON', {
      where: path,
      hint: 'write the same names and values as a JSON object',
    });
  }
  return new Map(Object.entries(readJsonFile(path)).filter(([name]) => !name.startsWith('_')));
}
