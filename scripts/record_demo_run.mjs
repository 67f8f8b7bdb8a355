/**
 * Records the run that `sightline ui --demo true` shows: a short training of the embedded checkpoint, without its weights. Writes
 * assets/demo/run.
 *
 *   npm run build && node scripts/record_demo_run.mjs
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import sharp from 'sharp';

const root = join(import.meta.dirname, '..');
const target = join(root, 'assets', 'demo', 'run');
const folder = mkdtempSync(join(tmpdir(), 'sightline-demo-run-'));
const sightline = (...words) =>
  execFileSync(process.execPath, [join(root, 'dist', 'cli', 'main.js'), ...words], { cwd: folder, stdio: 'inherit' });

try {
  cpSync(join(root, 'assets', 'demo', 'checkpoint'), join(folder, 'checkpoint'), { recursive: true });
  sightline('demo', 'data', '--kind', 'grpo', '--rows', '24', '--seed', '5', '--output_dir', 'data');
  sightline(
    ...['rlhf', '--model', 'checkpoint', '--dataset', 'data/data.jsonl', '--system', 'data/prompt.txt'],
    ...['--reward_funcs', 'ddapo_attention', 'external_r1v_acc', 'format', '--reward_weights', '1', '4', '1'],
    ...[
      '--num_generations',
      '8',
      '--per_device_train_batch_size',
      '32',
      '--max_completion_length',
      '32',
      '--max_steps',
      '20',
    ],
    ...['--learning_rate', '3e-5', '--logging_steps', '1', '--attn_log_steps', '2', '--log_completions', 'true'],
    ...['--num_completions_to_print', '0', '--report_to', 'none', '--save_strategy', 'no', '--output_dir', 'output'],
  );
  const [version] = readdirSync(join(folder, 'output'));
  const run = join(folder, 'output', version);
  rmSync(target, { recursive: true, force: true });
  mkdirSync(join(target, 'images'), { recursive: true });
  for (const name of readdirSync(join(folder, 'data', 'images'))) {
    // Noise makes the PNG files large.
    const jpeg = sharp(join(folder, 'data', 'images', name)).jpeg({ quality: 80 });
    await jpeg.toFile(join(target, 'images', name.replace('.png', '.jpg')));
  }
  cpSync(join(run, 'attention'), join(target, 'attention'), { recursive: true });
  writeFileSync(join(target, 'logging.jsonl'), cleaned(readFileSync(join(run, 'logging.jsonl'), 'utf8')));
  writeFileSync(join(target, 'args.json'), cleaned(readFileSync(join(run, 'args.json'), 'utf8')));
  const tables = readFileSync(join(run, 'completions.jsonl'), 'utf8').trimEnd().split('\n');
  const relative = tables.map((line) => {
    const table = JSON.parse(line);
    table.images = table.images.map((paths) => paths.map((path) => `images/${basename(path).replace('.png', '.jpg')}`));
    return `${JSON.stringify(table)}\n`;
  });
  writeFileSync(join(target, 'completions.jsonl'), relative.join(''));
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** Without the temporary folder. */
function cleaned(text) {
  return text.replaceAll(`${folder}/`, '').replaceAll(folder, '.');
}
