/**
 * `npm run bench`: the parts of a GRPO step of the mini model, and the numbers for which the project has goals.
 * --json prints only the numbers, as one object; --repetitions N sets the number of repetitions (default 5). --large makes one step
 * of LoRA over a model with the shapes of Qwen2.5-VL-3B instead (7.5 GB of disk, 12 GiB of memory, half an hour on two cores).
 * --cards counts what fits on graphics cards, without one.
 * --device NAME makes one step on a device instead, counts the bytes that cross and tells which share of the time it computes;
 * --visual_tokens N and --tokens N make it shorter, --model DIR takes another model than the mini one.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { MODEL_PRESETS } from '../src/models/qwen2_5_vl/presets.ts';
import { writeRandomCheckpoint } from '../src/models/random_checkpoint.ts';
import { chooseDevice } from '../src/runtime/choose.ts';
import { DEVICE_CHOICES } from '../src/runtime/device.ts';
import { openWebgpu } from '../src/runtime/webgpu.ts';
import { countCards } from './cards.ts';
import { type DeviceStepSizes, deviceStepText, kernelMs, measureDeviceStep } from './device_step.ts';
import { type MemorySample, resultsOf, type StepSample, type StepSeries, toJson, type Variant } from './goals.ts';
import { headText, measureHead } from './head.ts';
import { timedKernels } from './kernel_times.ts';
import { LARGE_FORMS, largeText, measureLarge } from './large.ts';
import { measureMemory } from './memory.ts';
import { currentLoad, machineText, memoryText, resultsText, stepText } from './report.ts';
import { prepareStartup, type StartupSample } from './startup.ts';
import { COMPLETIONS, openStepBench, sizesOf, TOKENS } from './steps.ts';

/** The default of `sightline rlhf` for the mini model, whose kept products fit the memory budget. */
const DEFAULT_VARIANT: Variant = 'recorded residuals';
const VISUAL_TOKENS = [64, 256] as const;
/** Few, because one run takes seconds. */
const HEAD_REPETITIONS = 3;
const TOKENIZER = fileURLToPath(new URL('../../../assets/demo/checkpoint', import.meta.url));

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    large: { type: 'boolean', default: false },
    cards: { type: 'boolean', default: false },
    device: { type: 'string' },
    model: { type: 'string' },
    visual_tokens: { type: 'string', default: '64' },
    tokens: { type: 'string', default: `${TOKENS}` },
    repetitions: { type: 'string', default: '5' },
  },
});
const repetitions = Number(values.repetitions);
if (!Number.isInteger(repetitions) || repetitions < 1)
  throw new Error('--repetitions: expected a whole number above 0');
const note = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

const folder = mkdtempSync(join(tmpdir(), 'sightline-bench-'));
try {
  if (values.cards) await countCards(folder, TOKENIZER, (line) => console.log(line));
  else if (values.device !== undefined) await benchDevice(values.device);
  else await (values.large ? benchLarge() : bench());
} finally {
  rmSync(folder, { recursive: true, force: true });
}

// --- internal ---

async function benchDevice(name: string): Promise<void> {
  const choice = DEVICE_CHOICES.find((known) => known === name);
  if (choice === undefined) throw new Error(`--device: expected ${DEVICE_CHOICES.join(', ')}, got ${name}`);
  const { device, note: about } = await chooseDevice(choice);
  const mini = join(folder, 'mini');
  if (values.model === undefined)
    await writeRandomCheckpoint(mini, { sizes: MODEL_PRESETS.mini, tokenizerDir: TOKENIZER });
  const sizes = { visualTokens: Number(values.visual_tokens), tokens: Number(values.tokens) };
  const model = values.model ?? mini;
  const parts = await measureDeviceStep(model, device, sizes);
  const kernels = device.sharesMemory ? null : await busyMs(model, sizes);
  const text = deviceStepText(parts, kernels, about ?? 'runs on the CPU', sizes);
  console.log(`${await machineText([currentLoad()])}\n${text}`);
}

/** A step whose kernels are timed one by one, for which the process waits after every run: its other times mean nothing. */
async function busyMs(model: string, sizes: DeviceStepSizes): Promise<number[]> {
  const profiles = join(folder, 'profiles');
  mkdirSync(profiles);
  const parts = await measureDeviceStep(model, await openWebgpu({ profile: join(profiles, 'session') }), sizes);
  return kernelMs(parts, timedKernels(profiles));
}

async function benchLarge(): Promise<void> {
  const model = join(folder, '3b');
  note('writing a random checkpoint of 7.5 GB');
  const sizes = MODEL_PRESETS['qwen2.5-vl-3b'];
  await writeRandomCheckpoint(model, { sizes, tokenizerDir: TOKENIZER, dtype: 'bfloat16' });
  console.log(await machineText([currentLoad()]));
  for (const form of LARGE_FORMS)
    console.log(`\n${largeText(await measureLarge(model, form, join(folder, 'numbers.json')))}`);
}

async function bench(): Promise<void> {
  const loads = [currentLoad()];
  const mini = join(folder, 'mini');
  await writeRandomCheckpoint(mini, { sizes: MODEL_PRESETS.mini, tokenizerDir: TOKENIZER });
  const steps = await measureSteps(mini);
  loads.push(currentLoad());

  const runOnce = await prepareStartup(folder);
  const memory: MemorySample[] = [];
  const startup: StartupSample[] = [];
  for (let repetition = 0; repetition < repetitions; repetition++) {
    note(`memory and start-up, repetition ${repetition + 1} of ${repetitions}`);
    memory.push(await measureMemory(mini));
    startup.push(await runOnce(repetition));
  }
  loads.push(currentLoad());

  const results = resultsOf(steps.short, steps.long, memory, startup);
  if (values.json) {
    console.log(toJson(results));
    return;
  }
  note(`head of a large vocabulary, ${HEAD_REPETITIONS} repetitions`);
  const head = await measureHead(HEAD_REPETITIONS);
  loads.push(currentLoad());
  const model = `mini model; ${COMPLETIONS} completions of ${TOKENS} tokens, one prompt a step; medians of ${repetitions} interleaved repetitions`;
  console.log(
    [await machineText(loads), model, ...steps.texts, headText(head), memoryText(memory), resultsText(results)].join(
      '\n\n',
    ),
  );
}

async function measureSteps(model: string): Promise<{ short: StepSeries; long: StepSeries; texts: string[] }> {
  const stepBench = await openStepBench(model, DEFAULT_VARIANT, note);
  try {
    const samples = VISUAL_TOKENS.map((): StepSample[] => []);
    // The first round is a warm-up: it compiles, and the attention reward compares its probes once.
    for (let repetition = -1; repetition < repetitions; repetition++) {
      note(repetition < 0 ? 'steps, warm-up' : `steps, repetition ${repetition + 1} of ${repetitions}`);
      for (const [i, visualTokens] of VISUAL_TOKENS.entries()) {
        const sample = await stepBench.repeat(visualTokens, repetition);
        if (repetition >= 0) samples[i]!.push(sample);
      }
    }
    const [short, long] = VISUAL_TOKENS.map(
      (visualTokens, i): StepSeries => ({
        visualTokens,
        variant: DEFAULT_VARIANT,
        work: stepBench.work(visualTokens),
        samples: samples[i]!,
      }),
    );
    const texts = [short!, long!].map((series) => stepText(series, sizesOf(series.visualTokens).prompt));
    return { short: short!, long: long!, texts };
  } finally {
    await stepBench.close();
  }
}
