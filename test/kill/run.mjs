/**
 * Kills training runs of the demo checkpoint (kill -9) at random moments, resumes them with `--resume_from_checkpoint last`, and
 * compares the end with the run that was never stopped: weights, optimizer, logs and completions, bit by bit.
 *
 *   npm run test:kill                    200 kills, spread over the scenarios of scenarios.mjs
 *   KILLS=20 SEED=7 npm run test:kill    fewer, at other moments
 *
 * A moment is a time after the start of a process, or, in every other case, a file of a checkpoint that is being written. A
 * killed run is resumed and killed again until its share of kills is used up, so resumed runs are killed as well.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, watch } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkpointsOf, compare, partialsOf, recordsOf } from './compare.mjs';
import { scenariosIn } from './scenarios.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const program = join(root, 'dist/cli/main.js');
const allKills = wholeNumber('KILLS', 200);
const random = randomFrom(wholeNumber('SEED', 1));
/** Kills of one run before it is left to end. */
const KILLS_A_RUN = 5;

const folder = mkdtempSync(join(tmpdir(), 'sightline-kill-'));
const counts = { ended: 0, 'while a checkpoint was written': 0, 'before the first checkpoint': 0, 'after a resume': 0 };

async function main() {
  const scenarios = scenariosIn(root, join(folder, 'data'));
  let [killed, failed] = [0, 0];
  for (const [i, scenario] of scenarios.entries()) {
    const kills = Math.floor((allKills - killed) / (scenarios.length - i));
    if (kills === 0) console.log(`${scenario.name}: no kill is left for it; raise KILLS`);
    else failed += await killRuns(scenario, kills);
    killed += kills;
  }
  console.log(JSON.stringify(counts));
  console.log(
    `${killed} kills: ${failed === 0 ? 'all' : 'not all'} runs end with the bits of those that nothing stopped`,
  );
  process.exitCode = failed === 0 ? 0 : 1;
}

/** @returns how many of the scenario's runs end otherwise than the one that nothing stops */
async function killRuns({ name, words, expects }, kills) {
  const whole = join(folder, 'whole');
  const begin = performance.now();
  const { code, output } = await run(words, whole, null);
  if (code !== 0) throw new Error(`${name}: the run that nothing stops ends with ${code}:\n${output}`);
  checkExpected(name, whole, expects);
  const seconds = (performance.now() - begin) / 1000;
  console.log(`${name}: a run takes ${seconds.toFixed(1)} s; ${kills} kills follow`);
  let killed = 0;
  let failed = 0;
  for (let number = 0; killed < kills; number++) {
    const output = join(folder, `run-${number}`);
    let last = '';
    for (let here = 0; here < KILLS_A_RUN && killed < kills; ) {
      const isResumed = checkpointsOf(output).length > 0;
      const moment =
        random() < 0.5 ? { after: (0.2 + 0.8 * random()) * seconds * 1000 } : { files: 1 + Math.floor(random() * 300) };
      const result = await run(words, output, moment);
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
    const end = await run(words, output, null);
    const difference = end.code === 0 ? compare(whole, output) : `it ends with ${end.code}:\n${end.output || last}`;
    if (difference !== null) {
      failed++;
      console.log(`${name}, run ${number} differs: ${difference}`);
    }
    console.log(`${name}: ${killed} of ${kills} kills, ${number + 1} runs, ${failed} of them differ`);
    rmSync(output, { recursive: true, force: true });
  }
  rmSync(whole, { recursive: true, force: true });
  return failed;
}

/** Errors: the run that nothing stops does not do what the scenario is for. */
function checkExpected(name, run, expects) {
  if (expects === undefined) return;
  const { metric, above, below } = expects;
  const values = recordsOf(run).flatMap((record) => record[metric] ?? []);
  if (values.some((value) => value > above && value < below)) return;
  throw new Error(`${name}: ${metric} is ${values}, expected a value above ${above} and below ${below}`);
}

/**
 * Starts or resumes a run. @param moment when it is killed: milliseconds after its start, or a number of events in its folder
 * of checkpoints; null lets it end
 * @returns its exit code, or null if it was killed
 */
async function run(words, output, moment) {
  if (checkpointsOf(output).length === 0) rmSync(output, { recursive: true, force: true });
  const child = spawn(process.execPath, [program, ...words, '--output_dir', output], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
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
      const watcher = watch(output, { recursive: true }, count);
      // A folder may be renamed between its appearance and the look into it.
      watcher.on('error', (error) => {
        if (error.code !== 'ENOENT') throw error;
      });
      watchers.push(watcher);
      clearInterval(poll);
    }, 5);
    timers.push(poll);
  }
  const [code, signal] = await new Promise((resolve) => child.on('close', (...end) => resolve(end)));
  for (const timer of timers) clearTimeout(timer);
  for (const watcher of watchers) watcher.close();
  return { code: signal === 'SIGKILL' ? null : code, output: text };
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
