/**
 * From the words of the command line to an exit code: finds the command, runs it, tells its errors.
 * Knows no command by name.
 */
import { Command, CommanderError } from 'commander';
import { asksForHelp } from '../arguments/words.ts';
import { formatError, messageOf, SightlineError } from '../errors.ts';
import { packageVersion } from '../util/version.ts';
import type { CliCommand } from './commands.ts';
import type { Io } from './io.ts';

/**
 * Runs the command line; resolves to the exit code: 0 done, 1 the run failed, 2 (or what the error says) bad usage or
 * input. Never throws.
 */
export async function runCommandLine(
  words: readonly string[],
  commands: readonly CliCommand[],
  io: Io,
): Promise<number> {
  try {
    await buildProgram(commands, io).parseAsync([...words], { from: 'user' });
    return 0;
  } catch (error) {
    return tell(error, words, io);
  }
}

// --- internal ---

function buildProgram(commands: readonly CliCommand[], io: Io): Command {
  const program = new Command('sightline')
    .description('GRPO for vision-language models with attention as a first-class signal')
    .version(packageVersion(), '-v, --version', 'print the version')
    .helpOption('-h, --help', 'print this help; `sightline COMMAND --help` lists the flags of a command')
    .enablePositionalOptions()
    .exitOverride()
    .configureHelp({ subcommandTerm: (sub) => sub.name() })
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      outputError: () => undefined,
    });
  for (const { name, summary, help, run } of commands) {
    const sub = program
      .command(name)
      .description(summary)
      .usage('[flags]')
      .argument('[words...]')
      .helpOption(false)
      .allowUnknownOption()
      .passThroughOptions()
      .action(async (words: string[]) => {
        if (help !== undefined && asksForHelp(words)) io.stdout.write(help());
        else await run(words, io);
      });
    if (help !== undefined) sub.configureHelp({ formatHelp: help });
  }
  return program;
}

function tell(error: unknown, words: readonly string[], io: Io): number {
  if (error instanceof CommanderError) return tellCommander(error, io);
  if (io.signal.aborted && (error === io.signal.reason || (error instanceof Error && error.name === 'AbortError')))
    return 1;
  if (error instanceof SightlineError) {
    io.stderr.write(`${formatError(error)}\n`);
    if (wantsStack(words)) io.stderr.write(`${stackOf(error)}\n`);
    return error.exitCode;
  }
  // whatever is not a SightlineError is a bug of ours: its stack is what helps
  io.stderr.write(`error: ${messageOf(error)}\n${stackOf(error)}\n`);
  return 1;
}

/** Help and version end as errors of commander too; its help on a missing command has been written by then. */
function tellCommander(error: CommanderError, io: Io): number {
  if (error.exitCode === 0) return 0;
  if (error.code === 'commander.help') return 2;
  const message = error.message.replace(/^error: /, '').replaceAll('\n', ' ');
  io.stderr.write(
    `${formatError(new SightlineError('E_USAGE', message, { hint: 'sightline --help lists the commands' }))}\n`,
  );
  return 2;
}

function wantsStack(words: readonly string[]): boolean {
  const place = words.lastIndexOf('--debug');
  return words.includes('--debug=true') || (place >= 0 && words[place + 1] !== 'false');
}

function stackOf(error: unknown): string {
  const own = error instanceof Error ? (error.stack ?? '') : '';
  return error instanceof Error && error.cause instanceof Error ? `${own}\ncaused by ${error.cause.stack ?? ''}` : own;
}
