/**
 * What the tests of `--engine ms-swift` start from: a checkpoint's small files, rows, and a pretended Python.
 */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Fixtures {
  readonly model: string;
  readonly data: string;
  readonly python: string;
  /** A run that lacks nothing. */
  readonly words: readonly string[];
}

export function swiftFixtures(folder: string): Fixtures {
  const model = join(folder, 'model');
  const rows = join(folder, 'rows');
  for (const made of [model, rows]) mkdirSync(made, { recursive: true });
  writeFileSync(join(model, 'config.json'), JSON.stringify({ model_type: 'qwen2_5_vl' }));
  const limits = { min_pixels: 784, max_pixels: 50176 };
  writeFileSync(join(model, 'preprocessor_config.json'), JSON.stringify(limits));
  const data = join(rows, 'train.jsonl');
  writeFileSync(data, `${JSON.stringify({ query: 'What is it?', images: ['a.png'] })}\n`);
  const python = join(folder, 'python');
  const script = fileURLToPath(new URL('fixtures/fake_python.mjs', import.meta.url));
  writeFileSync(python, `#!/bin/sh\nexec '${process.execPath}' '${script}' "$@"\n`);
  chmodSync(python, 0o755);
  const flags = {
    engine: 'ms-swift',
    engine_python: python,
    model,
    dataset: data,
    reward_funcs: 'ddapo_attention',
    per_device_train_batch_size: '8',
    report_to: 'none',
    output_dir: join(folder, 'output'),
  };
  return { model, data, python, words: Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]) };
}
