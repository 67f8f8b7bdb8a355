/**
 * The folder in which the commands of a page run: empty but for the program, and the folders of a clone that commands name.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { repositoryRoot } from '../../helpers/repository.ts';
import type { Run } from './page.ts';

/** What a page may name by its path in a clone. */
const OF_A_CLONE = ['assets', 'examples', 'integrations', 'test'];
/** Seconds that a block may take. */
const LIMIT = 280;

export class Folder {
  readonly path = mkdtempSync(join(tmpdir(), 'sightline-docs-'));

  constructor() {
    const programs = join(this.path, 'node_modules', '.bin');
    mkdirSync(programs, { recursive: true });
    symlinkSync(join(repositoryRoot, 'dist/cli/main.js'), join(programs, 'sightline'));
    for (const name of OF_A_CLONE) symlinkSync(join(repositoryRoot, name), join(this.path, name));
  }

  write(name: string, text: string): void {
    mkdirSync(dirname(join(this.path, name)), { recursive: true });
    writeFileSync(join(this.path, name), text);
  }

  /** Runs a block in a shell that stops at the first failure. Errors: it ends in another way than `run` says. */
  async run(text: string, run: Exclude<Run, { kind: 'not run' }>): Promise<void> {
    const shell = spawn('bash', ['-euo', 'pipefail', '-c', text], {
      cwd: this.path,
      env: environment(join(this.path, 'node_modules', '.bin')),
      stdio: ['ignore', 'pipe', 'pipe'],
      // A process group of its own, so that a signal reaches what the shell has started, as Ctrl+C does.
      detached: true,
    });
    const { end, output } = await outcome(shell, run.kind === 'stopped' ? run.after : null);
    const wanted = run.kind === 'ends' ? [run.exitCode] : [0, 130, 'SIGINT'];
    if (!wanted.includes(end)) {
      throw new Error(`ended with ${end}, expected ${wanted.join(' or ')}:\n${text}\n\n${output.slice(-4000)}`);
    }
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

// --- internal ---

/** The environment of a terminal in which nothing of sightline is set. */
function environment(programs: string): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !/^(VITEST|SIGHTLINE|DDAPO|npm_)/.test(name));
  return {
    ...Object.fromEntries(own),
    PATH: [programs, process.env.PATH].join(delimiter),
    // npx finds the program in the folder, and must not look for one elsewhere.
    npm_config_offline: 'true',
    npm_config_yes: 'false',
  };
}

/** Waits for the end; interrupts once the output contains `stopAfter`. Errors: that never happens, or the time is over. */
function outcome(
  shell: ChildProcess,
  stopAfter: string | null,
): Promise<{ end: number | NodeJS.Signals; output: string }> {
  return new Promise((resolve, reject) => {
    let output = '';
    let isStopped = false;
    const send = (name: NodeJS.Signals): void => void process.kill(-shell.pid!, name);
    const timer = setTimeout(() => {
      send('SIGKILL');
      reject(new Error(`took more than ${LIMIT} s:\n${output.slice(-4000)}`));
    }, LIMIT * 1000);
    const listen = (data: Buffer): void => {
      output += data.toString('utf8');
      if (stopAfter === null || isStopped || !output.includes(stopAfter)) return;
      isStopped = true;
      send('SIGINT');
    };
    shell.stdout!.on('data', listen);
    shell.stderr!.on('data', listen);
    shell.on('error', reject);
    shell.on('close', (code, signal) => {
      clearTimeout(timer);
      if (stopAfter !== null && !isStopped) reject(new Error(`ended before it printed "${stopAfter}":\n${output}`));
      else resolve({ end: code ?? signal!, output });
    });
  });
}
