/**
 * Finds the golden checkpoints: every folder below test/golden, or below SIGHTLINE_GOLDEN, with model/ and golden/.
 * Knows where the reference values lie, not what they mean.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface GoldenCheckpoint {
  readonly name: string;
  /** Checkpoint folder, as transformers would load it. */
  readonly model: string;
  /** Folder of the reference values. */
  readonly golden: string;
}

export function goldenCheckpoints(): GoldenCheckpoint[] {
  const root = process.env.SIGHTLINE_GOLDEN ?? fileURLToPath(new URL('../golden', import.meta.url));
  const found = readdirSync(root)
    .sort()
    .map((name) => ({ name, model: join(root, name, 'model'), golden: join(root, name, 'golden') }))
    .filter(({ model, golden }) => existsSync(join(model, 'config.json')) && existsSync(join(golden, 'cases.json')));
  if (found.length === 0) throw new Error(`no golden checkpoint below ${root}: expected NAME/model and NAME/golden`);
  return found;
}
