/**
 * The program as a child process of a test.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

export interface CliOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Text on standard input; without it there is none. */
  readonly input?: string;
}

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts `node PROGRAM WORDS...`; `text` grows as it writes. */
export function startCli(program: string, words: readonly string[], { cwd, env = {}, input }: CliOptions = {}) {
  const child = spawn(process.execPath, [program, ...words], {
    cwd,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
  });
  const text = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].on('data', (chunk: Buffer) => {
      text[name] += chunk.toString();
    });
  }
  child.stdin.on('error', () => undefined); // one that does not read may be gone
  child.stdin.end(input ?? '');
  return { child, text };
}

export async function runCli(program: string, words: readonly string[], options?: CliOptions): Promise<CliResult> {
  const { child, text } = startCli(program, words, options);
  return { code: await exitOf(child), ...text };
}

/** Exit code; null if a signal ended it. */
export async function exitOf(child: ChildProcess): Promise<number | null> {
  const [code] = (await once(child, 'close')) as [number | null];
  return code;
}

/** Resolves as soon as the growing text matches. */
export async function written(
  child: ChildProcess,
  text: { stdout: string; stderr: string },
  pattern: RegExp,
): Promise<void> {
  while (!pattern.test(text.stdout + text.stderr)) {
    if (child.exitCode !== null) throw new Error(`ended before it wrote ${pattern}: ${text.stdout}${text.stderr}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
