/**
 * Times one GRPO step of TRL, ms-swift and sightline on the same checkpoint, data and hyperparameters, interleaved.
 * Prints a table in Markdown and, as the last line, everything that was measured as one JSON object. See README.md.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { writeCheckpoint, writeRows } from './inputs.mjs';
import { measureRun, waitForIdle } from './measure.mjs';
import { isQuiet, summarise, tableOf } from './report.mjs';
import {
  ATTENTION_WAYS,
  COMPLETION_TOKENS,
  commandOf,
  GROUP,
  HYPERPARAMETERS,
  pinnedVersion,
  SYSTEM_NAMES,
} from './systems.mjs';

/** Periods of the clock that are not measured need a step more: one for the warm-up, one because periods lie between calls. */
const EXTRA_STEPS = 2;
const TOKENIZER = fileURLToPath(new URL('../../assets/demo/checkpoint', import.meta.url));

const { values } = parseArgs({
  options: {
    systems: { type: 'string', default: SYSTEM_NAMES.join(',') },
    visual_tokens: { type: 'string', default: '64,256' },
    attention: { type: 'string', default: 'no,yes' },
    steps: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '2' },
    gradient_checkpointing: { type: 'string', default: 'false' },
    tries: { type: 'string', default: '3' },
    max_wait: { type: 'string', default: '60' },
  },
});
const list = (text) => text.split(',').filter((word) => word !== '');
const systems = list(values.systems);
const settings = list(values.visual_tokens).flatMap((tokens) =>
  list(values.attention).flatMap((attention) =>
    systems
      .filter((system) => attention !== 'plugin' || system === 'ms-swift')
      .map((system) => ({ system, visualTokens: Number(tokens), attention })),
  ),
);
for (const way of list(values.attention)) {
  if (!ATTENTION_WAYS.includes(way))
    throw new Error(`--attention ${way}: expected some of ${ATTENTION_WAYS.join(', ')}`);
}
const [steps, rounds, tries, maxWait] = [values.steps, values.rounds, values.tries, values.max_wait].map((text) => {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1) throw new Error(`expected a whole number above 0, got ${text}`);
  return number;
});

const folder = mkdtempSync(join(tmpdir(), 'sightline-peers-'));
try {
  await compare();
} finally {
  rmSync(folder, { recursive: true, force: true });
}

// --- internal ---

async function compare() {
  const model = join(folder, 'checkpoint');
  await writeCheckpoint(model, TOKENIZER);
  const datasets = new Map();
  for (const { visualTokens } of settings) {
    if (datasets.has(visualTokens)) continue;
    datasets.set(
      visualTokens,
      await writeRows(join(folder, `rows-${visualTokens}`), visualTokens, steps + EXTRA_STEPS),
    );
  }

  const runs = [];
  for (let round = 1; round <= rounds; round++) {
    for (const setting of settings) {
      // What else the machine did may have disturbed every step of a run: then it is done again.
      for (let attempt = 1; attempt <= tries; attempt++) {
        runs.push(await runOnce(model, datasets, setting, round));
        if (runs.at(-1).steps.some(isQuiet)) break;
      }
    }
  }
  const rows = summarise(runs, settings);
  const result = {
    date: new Date().toISOString(),
    machine: {
      processor: cpus()[0]?.model.trim() ?? 'unknown',
      threads: availableParallelism(),
      memoryGiB: Math.round(totalmem() / 2 ** 30),
    },
    node: process.versions.node,
    torch: pinnedVersion('torch'),
    transformers: pinnedVersion('transformers'),
    hyperparameters: { ...HYPERPARAMETERS, gradient_checkpointing: values.gradient_checkpointing === 'true' },
    rows,
    runs,
  };
  process.stdout.write(`${tableOf(rows)}\n\n${JSON.stringify(result)}\n`);
}

async function runOnce(model, datasets, setting, round) {
  const { system, visualTokens, attention } = setting;
  await waitForIdle(maxWait);
  const command = commandOf(system, {
    model,
    dataset: datasets.get(visualTokens),
    steps: steps + EXTRA_STEPS,
    attention,
    gradientCheckpointing: values.gradient_checkpointing === 'true',
    outputDir: join(folder, 'output', system),
  });
  const paths = { clock: join(folder, 'clock'), log: join(folder, 'log') };
  const measured = await measureRun(command, paths, Array(GROUP).fill(COMPLETION_TOKENS));
  const times = measured.steps
    .map(({ seconds, otherCores }) => `${seconds.toFixed(2)} s (${otherCores.toFixed(2)} cores busy elsewhere)`)
    .join(', ');
  process.stderr.write(
    `round ${round} of ${rounds}, ${visualTokens} visual tokens, attention reward ${attention}, ${system}: ` +
      `${times}; ${(measured.peakBytes / 2 ** 30).toFixed(2)} GiB\n`,
  );
  return { round, ...setting, ...measured };
}
