/**
 * What can be said of commands that are not run: a shell splits them into words, and the words are compared with the
 * argument schema, up to values and choices. Knows how flags are declared; touches no file that a command names.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommandSpec } from '../../../src/arguments/command.ts';
import { parseArguments } from '../../../src/arguments/parse.ts';
import { msSwiftNames, peerFlag } from '../../../src/arguments/peers/index.ts';
import { rlhfForMsSwift } from '../../../src/arguments/reward_flags.ts';
import { splitWords } from '../../../src/arguments/words.ts';
import { demoHelp } from '../../../src/cli/demo.ts';
import { SightlineError } from '../../../src/errors.ts';
import { documentedCommands } from '../../helpers/flags_document.ts';
import { repositoryRoot } from '../../helpers/repository.ts';

/**
 * The programs that a block would start, each with its words. Nothing is started: no program is found in such a PATH, and
 * bash hands what it has not found to a function.
 */
export function programsOf(text: string): string[][] {
  // Bash writes line by line. Without a line feed a program is one write, so that those of a pipeline do not mix.
  const script = `command_not_found_handle() { printf '%s\\0' "$@" $'\\x1e' >&3; }\n${text}`;
  // Where redirections of the block may leave files.
  const folder = mkdtempSync(join(tmpdir(), 'sightline-words-'));
  const { output, error } = spawnSync('/bin/bash', ['-c', script], {
    cwd: folder,
    env: { PATH: '/nowhere' },
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
  });
  rmSync(folder, { recursive: true });
  if (error !== undefined) throw error;
  const programs: string[][] = [[]];
  for (const word of output[3]!.split('\0').slice(0, -1)) {
    if (word === RECORD_END) programs.push([]);
    else programs.at(-1)!.push(word);
  }
  return programs.slice(0, -1);
}

/**
 * Compares the words of a program with the schema. Programs of others are not known, but for `swift rlhf`.
 *
 * Errors: a command or a flag that does not exist, a value that its flag does not take.
 */
export function checkFlags([program, ...words]: readonly string[]): void {
  if (program === 'npx' && words[0] === 'sightline') checkSightline(words.slice(1));
  else if (program === 'sightline') checkSightline(words);
  else if (program === 'swift' && words[0] === 'rlhf') checkSwift(words.slice(1));
  else if (program === 'bash' && words[0]?.startsWith('examples/')) {
    if (!existsSync(join(repositoryRoot, words[0]))) throw new Error(`${words[0]} does not exist`);
    checkSightline(['rlhf', ...OF_THE_SCRIPT, ...words.slice(1)]);
  }
}

// --- internal ---

const RECORD_END = '\x1e';

/** What the example script gives to `sightline rlhf` itself. */
const OF_THE_SCRIPT = ['--model', 'DIR', '--dataset', 'FILE', '--reward_funcs', 'format'];

function checkSightline([name, ...words]: readonly string[]): void {
  if (name === 'demo') checkDemo(words);
  else if (name !== 'engine') checkCommand(name, words);
}

function checkCommand(name: string | undefined, words: readonly string[]): void {
  const spec = documentedCommands.find((known) => known.name === name);
  if (spec === undefined) throw new Error(`sightline ${name} does not exist`);
  const isMsSwift = words.some((word, i) => word === 'ms-swift' && words[i - 1] === '--engine');
  const handOn = isMsSwift ? { owner: 'ms-swift', names: msSwiftNames() } : undefined;
  const parsed = parseArguments((isMsSwift ? rlhfForMsSwift() : spec) as CommandSpec, words, {}, { handOn });
  try {
    parsed.faults.throwIfAny(spec.name);
  } catch (error) {
    if (!(error instanceof SightlineError)) throw error;
    throw new Error(`sightline ${spec.name} ${error.where ?? ''}: ${error.message}`, { cause: error });
  }
}

function checkSwift(words: readonly string[]): void {
  const ours = rlhfForMsSwift().flags;
  for (const name of splitWords(words).flags.keys()) {
    if (!(name in ours) && !msSwiftNames().has(name) && peerFlag(name) === null)
      throw new Error(`ms-swift has no --${name}`);
  }
}

function checkDemo(words: readonly string[]): void {
  const help = demoHelp(words);
  for (const name of splitWords(words).flags.keys()) {
    if (!help.includes(`--${name} `)) throw new Error(`sightline demo ${words[0]} has no --${name}`);
  }
}
