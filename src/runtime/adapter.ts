/**
 * Finds out whether there is a graphics processor that computes as the CPU does, in a process of its own: a driver that ends the
 * process ends no run. Knows what can go wrong and the next step.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { moduleArguments } from '../util/child_program.ts';

/** The largest tensor that is tried, and the smallest: what every adapter must allow (WebGPU's maxStorageBufferBindingSize). */
export const LARGE_BYTES = 2 ** 32;
export const SMALL_BYTES = 128 * 2 ** 20;

/** What the worker reports, in this order. */
export type AdapterFinding =
  | {
      readonly kind: 'product';
      /** Largest difference to the CPU, of sums of 512 products of numbers up to 1/2. */
      readonly error: number;
      /** Of one product of 512 x 512 matrices, on the adapter and on the CPU. */
      readonly seconds: number;
      readonly cpuSeconds: number;
    }
  | { readonly kind: 'float16'; readonly computes: boolean }
  /** The largest of the sizes that were tried. */
  | { readonly kind: 'largest tensor'; readonly bytes: number }
  | { readonly kind: 'failed'; readonly message: string };

export interface Adapter {
  /** As its driver calls it; null: the system does not tell. */
  readonly name: string | null;
  readonly error: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  /** Whether it computes with float16. */
  readonly float16: boolean;
  /** Bytes of the largest tensor that it had room for; one larger by an eighth had none, unless it has 4 GiB. */
  readonly largestTensor: number;
}

/** Why there is no adapter to compute on, and the next step. */
export interface NoAdapter {
  readonly name: string | null;
  readonly problem: string;
  readonly fix: string;
}

/** @param timeoutMs kernels are compiled meanwhile, which takes seconds on a slow machine */
export async function findAdapter({ timeoutMs = 120_000 } = {}): Promise<Adapter | NoAdapter> {
  const { findings, log, end } = await runWorker(timeoutMs);
  // The Vulkan loader says which of its devices was taken; other systems do not tell.
  const name = /Using "([^"]+)" with driver/.exec(log)?.[1] ?? null;
  const product = findings.find((finding) => finding.kind === 'product');
  const failed = findings.find((finding) => finding.kind === 'failed');
  const missing = (problem: string, fix: string): NoAdapter => ({ name, problem, fix });
  if (failed !== undefined && /Failed to get a WebGPU adapter/.test(failed.message)) {
    return /Couldn't load Vulkan/.test(log)
      ? missing('there is no Vulkan on this machine', INSTALL_LOADER)
      : missing('there is no graphics processor that WebGPU can use', INSTALL_DRIVER);
  }
  if (failed !== undefined) return missing(`it cannot compute: ${firstLine(failed.message)}`, UPDATE_DRIVER);
  if (product === undefined) return missing(`trying it ${end}`, UPDATE_DRIVER);
  if (!(product.error <= MOST_ERROR))
    return missing(`its product of two matrices differs from the CPU's by ${product.error}`, UPDATE_DRIVER);
  const largest = findings.find((finding) => finding.kind === 'largest tensor')?.bytes;
  if (largest === undefined) return missing(`trying large tensors ${end}`, UPDATE_DRIVER);
  if (largest < SMALL_BYTES)
    return missing(`it has no room for a tensor of ${SMALL_BYTES / 2 ** 20} MiB, which models need`, FREE_MEMORY);
  const float16 = findings.find((finding) => finding.kind === 'float16')?.computes ?? false;
  return {
    name,
    error: product.error,
    seconds: product.seconds,
    cpuSeconds: product.cpuSeconds,
    float16,
    largestTensor: largest,
  };
}

export const works = (found: Adapter | NoAdapter): found is Adapter => !('problem' in found);

// --- internal ---

/** Each of 512 products and sums rounds by at most 2^-24 of what was summed so far, which is at most 512 / 4. */
const MOST_ERROR = 513 * 2 ** -24 * 128;

const USE_CPU = 'use --device cpu';
const FREE_MEMORY = `end other programs that use the graphics card, or ${USE_CPU}`;
const INSTALL_LOADER = `install a Vulkan driver and its loader (Debian, Ubuntu: apt-get install libvulkan1 and the card's driver), or ${USE_CPU}`;
const INSTALL_DRIVER = `install the driver of the graphics card; in a container, pass the card through (docker run --gpus all, or --device /dev/dri). Or ${USE_CPU}`;
const UPDATE_DRIVER = `update the driver of the graphics card, or ${USE_CPU}`;

const firstLine = (text: string): string => text.split('\n', 1)[0]!;

interface WorkerRun {
  readonly findings: readonly AdapterFinding[];
  /** What the driver's libraries wrote to standard error. */
  readonly log: string;
  /** How the process ended, in words. */
  readonly end: string;
}

function runWorker(timeoutMs: number): Promise<WorkerRun> {
  const child: ChildProcess = spawn(process.execPath, moduleArguments(import.meta.url, 'adapter_worker'), {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    // Drivers are found through the environment; the loader of Vulkan is asked to name the device that is taken.
    env: { ...process.env, NODE_OPTIONS: '', VK_LOADER_DEBUG: 'driver,layer' },
  });
  const findings: AdapterFinding[] = [];
  let log = '';
  let late = false;
  child.on('message', (finding) => findings.push(finding as AdapterFinding));
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    if (log.length < MOST_LOG) log += text;
  });
  const timer = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
  }, timeoutMs);
  return new Promise((resolve) => {
    const done = (end: string): void => {
      clearTimeout(timer);
      resolve({ findings, log, end });
    };
    child.on('error', (error) => done(`failed: ${error.message}`));
    child.on('close', (code, signal) => {
      if (late) done(`took more than ${timeoutMs / 1000} s`);
      else done(signal === null ? `ended with exit code ${code}` : `ended its process (${signal})`);
    });
  });
}

const MOST_LOG = 2 ** 20;
