/**
 * What `--dataset` names: a file or a folder, perhaps with the number of rows to take.
 */
import { existsSync } from 'node:fs';
import { SightlineError } from '../errors.ts';

export interface DatasetSpec {
  readonly path: string;
  /** Rows to take; infinite for all. */
  readonly limit: number;
}

/** Splits `path#n`, which asks for the first n rows; a file of that very name is one, as in ms-swift. Error: E_DATASET_EMPTY. */
export function parseSpec(spec: string): DatasetSpec {
  const match = existsSync(spec) ? null : /^(.+)#(\d+)$/s.exec(spec);
  if (match === null) return { path: spec, limit: Number.POSITIVE_INFINITY };
  const limit = Number(match[2]);
  if (limit === 0) throw new SightlineError('E_DATASET_EMPTY', `${spec} asks for 0 rows`, { hint: 'give #1 or more' });
  return { path: match[1]!, limit };
}
