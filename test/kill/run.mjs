/**
 * Kills training runs of the demo checkpoint (kill -9) at random moments, resumes them with `--resume_from_checkpoint last`, and
 * compares the end with the run that was never stopped: weights, optimizer, logs and completions, bit by bit.
 *
 *   npm run test:kill                    200 kills
 *   KILLS=20 SEED=7 npm run test:kill    fewer, at other moments
 *
 * A moment is a time after the start of a process, or, in every other case, a file of a checkpoint that is being written. A
 * killed run is resumed and killed again until its share of kills is used up, so resumed runs are killed as well.
 */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, watch } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const program = join(root, 'dist/cli/main.js');
const kills = wholeNumber('KILLS', 200);
const random = randomFrom(wholeNumber('SEED', 1));
/** Kills of one run before it is left to end. */
const KILLS_A_RUN = 5;
const STEPS = 6;

const folder = mkdtempSync(join(tmpdir(), 'sightline-kill-'));

async function main() {
  const data = join(folder, 'data', 'data.jsonl');
  execFileSync(process.execPath, [
    program,
    'demo',
    'data',
    '--kind',
    'grpo',
    '--rows',
    '8',
    '--seed',
    '3',
    '--output_dir',
    join(folder, 'data'),
  ]);
  const whole = join(folder, 'whole');
  const begin = performance.now();
  const { code, output } = await run(whole, data, null);
  if (code !== 0) throw new Error(`the run that nothing stops ends with ${code}:\n${output}`);
  const seconds = (performance.now() - begin) / 1000;
  console.log(`a run of ${STEPS} steps takes ${seconds.toFixed(1)} s; ${kills} kills follow`);

  let killed = 0;
  let failed = 0;
  const counts = {
    ended: 0,
    'while a checkpoint was written': 0,
    'before the first checkpoint': 0,
    'after a resume': 0,
  };
  for (let number = 0; killed < kills; number++) {
    const output = join(folder, `run-${number}`);
    let last = '';
    for (let here = 0; here < KILLS_A_RUN && killed < kills; ) {
      const isResumed = checkpointsOf(output).length > 0;
      const moment =
        random() < 0.5 ? { after: (0.2 + 0.8 * random()) * seconds * 1000 } : { files: 1 + Math.floor(random() * 300) };
      const result = await run(output, data, moment);
      last = result.output;
      if (result.code !== null) {
        counts.ended++;
        if (result.code !== 0) break;
        rmSync(output, { recursive: true, force: true }); // it ended before the moment: the next one begins anew
        continue;
      }
      here++;
      killed++;
      if (isResumed) counts['after a resume']++;
      if (checkpointsOf(output).length === 0) counts['before the first checkpoint']++;
      if (partialsOf(output).length > 0) counts['while a checkpoint was written']++;
    }
    const end = await run(output, data, null);
    const difference = end.code === 0 ? compare(whole, output) : `it ends with ${end.code}:\n${end.output || last}`;
    if (difference !== null) {
      failed++;
      console.log(`run ${number} differs: ${difference}`);
    }
    console.log(`${killed} of ${kills} kills, ${number + 1} runs, ${failed} of them differ`);
    rmSync(output, { recursive: true, force: true });
  }
  console.log(JSON.stringify(counts));
  console.log(`${failed === 0 ? 'all' : 'not all'} runs end with the bits of the run that nothing stopped`);
  process.exitCode = failed === 0 ? 0 : 1;
}

/**
 * Starts or resumes a run. @param moment when it is killed: milliseconds after its start, or a number of events in its folder
 * of checkpoints; null lets it end
 * @returns its exit code, or null if it was killed
 */
async function run(output, data, moment) {
  const words = [
    ...['rlhf', '--model', join(root, 'assets/demo/checkpoint'), '--dataset', data, '--output_dir', output],
    ...['--external_plugins', join(root, 'examples/train/grpo/plugin/plugin.ts')],
    ...[
      '--reward_funcs',
      'ddapo_attention',
      'external_r1v_acc',
      '--system',
      join(root, 'examples/train/grpo/prompt.txt'),
    ],
    ...['--num_generations', '4', '--per_device_train_batch_size', '4', '--gradient_accumulation_steps', '2'],
    ...['--num_iterations', '2', '--max_completion_length', '12', '--max_steps', String(STEPS), '--save_steps', '1'],
    ...['--logging_steps', '2', '--log_completions', 'true', '--learning_rate', '1e-4', '--beta', '0'],
    ...['--split_dataset_ratio', '0.25', '--eval_steps', '3', '--save_total_limit', '2', '--add_version', 'false'],
    ...['--resume_from_checkpoint', 'last'],
  ];
  if (checkpointsOf(output).length === 0) rmSync(output, { recursive: true, force: true });
  const child = spawn(process.execPath, [program, ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (part) => (text += part));
  const timers = [];
  const watchers = [];
  const kill = () => child.kill('SIGKILL');
  if (moment?.after !== undefined) timers.push(setTimeout(kill, moment.after));
  if (moment?.files !== undefined) {
    let events = 0;
    const count = () => {
      if (++events >= moment.files) kill();
    };
    const poll = setInterval(() => {
      if (!existsSync(output)) return;
      watchers.push(watch(output, { recursive: true }, count));
      clearInterval(poll);
    }, 5);
    timers.push(poll);
  }
  const [code, signal] = await new Promise((resolve) => child.on('close', (...end) => resolve(end)));
  for (const timer of timers) clearTimeout(timer);
  for (const watcher of watchers) watcher.close();
  return { code: signal === 'SIGKILL' ? null : code, output: text };
}

const namesIn = (path) => (existsSync(path) ? readdirSync(path) : []);
const checkpointsOf = (output) => namesIn(output).filter((name) => /^checkpoint-\d+$/.test(name));
const partialsOf = (output) => namesIn(output).filter((name) => name.includes('.partial-'));

/** The first difference between two runs; null if there is none. */
function compare(whole, other) {
  const [there, here] = [whole, other].map(checkpointsOf);
  if (String(there.sort()) !== String(here.sort())) return `checkpoints ${here}, expected ${there}`;
  for (const name of there) {
    for (const file of readdirSync(join(whole, name)).filter((each) => each.endsWith('.safetensors'))) {
      const [a, b] = [whole, other].map((run) => readFileSync(join(run, name, file)));
      if (!a.equals(b)) return `${name}/${file}`;
    }
  }
  const left = partialsOf(other);
  if (left.length > 0) return `${left} is left over`;
  for (const [file, text] of [
    ['logging.jsonl', logOf],
    ['completions.jsonl', textOf],
  ]) {
    const [a, b] = [whole, other].map((run) => text(join(run, file)));
    if (a !== b) return `${file}:\n${b}\nexpected\n${a}`;
  }
  return null;
}

const textOf = (path) => readFileSync(path, 'utf8');

/** Records without times and paths. */
function logOf(path) {
  const isTime = (name) =>
    /^(elapsed_time|remaining_time|memory|seconds|train_runtime|.*(step_time|memory\(GiB\)|train_speed\(s\/it\)|runtime|samples_per_second|_model_checkpoint))$/.test(
      name,
    );
  const without = (name, value) => (isTime(name) ? undefined : value);
  return textOf(path)
    .trimEnd()
    .split('\n')
    .map((line) => JSON.stringify(JSON.parse(line), without))
    .join('\n');
}

function wholeNumber(name, missing) {
  const value = Number(process.env[name] ?? missing);
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`${name}: expected a whole number above 0`);
  return value;
}

/** Mulberry32, uniform in [0, 1). */
function randomFrom(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

try {
  await main();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
