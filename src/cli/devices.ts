/**
 * `sightline devices`: tries each device and prints what was found.
 */
import { availableParallelism, cpus } from 'node:os';
import { readDevicesArguments } from '../arguments/arguments.ts';
import { type Adapter, findAdapter, LARGE_BYTES, type NoAdapter, works } from '../runtime/adapter.ts';
import { DEVICES } from '../runtime/device.ts';
import { cleanText } from '../util/clean_text.ts';
import type { Io } from './io.ts';

export async function devices(words: readonly string[], io: Io): Promise<void> {
  const { args, notices } = readDevicesArguments(words, io.env);
  for (const text of notices) io.stderr.write(`note: ${text}\n`);
  const [cpu, graphics] = DEVICES;
  const found = await findAdapter();
  const processor = cpus()[0]?.model.trim() ?? null;
  if (args.json) {
    const list = [
      {
        device: cpu,
        name: processor,
        ...NOTHING,
        works: true,
        product_seconds: works(found) ? found.cpuSeconds : null,
      },
      { device: graphics, name: found.name, ...NOTHING, ...record(found) },
    ];
    io.stdout.write(`${JSON.stringify(list, null, 2)}\n`);
    return;
  }
  const lines = [
    `${cpu}: ${processor ?? 'a processor without a name'}, ${availableParallelism()} threads`,
    ...(works(found) ? [`  works; a product of 512 x 512 matrices takes ${milliseconds(found.cpuSeconds)}`] : []),
    `${graphics}: ${found.name ?? (works(found) ? 'a graphics processor (the system does not tell its name)' : 'none')}`,
    ...described(found).map((line) => `  ${line}`),
  ];
  io.stdout.write(`${lines.map(cleanText).join('\n')}\n`);
}

// --- internal ---

const NOTHING = {
  works: false,
  problem: null,
  fix: null,
  largest_tensor_bytes: null,
  float16: null,
  product_seconds: null,
  product_error: null,
};

function record(found: Adapter | NoAdapter) {
  if (!works(found)) return { problem: found.problem, fix: found.fix };
  return {
    works: true,
    largest_tensor_bytes: found.largestTensor,
    float16: found.float16,
    product_seconds: found.seconds,
    product_error: found.error,
  };
}

function described(found: Adapter | NoAdapter): string[] {
  if (!works(found)) return [`does not work: ${found.problem}`, `fix: ${found.fix}`];
  const { error, seconds, cpuSeconds, largestTensor, float16 } = found;
  const slower = seconds > cpuSeconds ? ', so that it is of no use here' : '';
  return [
    `works; its product differs from the CPU's by ${error.toExponential(1)} at most`,
    `a product of 512 x 512 matrices takes ${milliseconds(seconds)}${slower}`,
    `has room for tensors of ${largestTensor / 2 ** 20} MiB${largestTensor < LARGE_BYTES ? '' : ' or more'}`,
    float16 ? 'computes with float16' : 'does not compute with float16',
  ];
}

const milliseconds = (seconds: number): string => `${(1000 * seconds).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
