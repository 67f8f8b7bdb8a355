/**
 * Turns a command line into an exit code: finds the command, runs it, prints its errors.
 * Knows no command by name.
 */
import { Command, CommanderError } from 'commander';
import { asksForHelp } from '../arguments/words.ts';
import { formatError, isOutOfMemory, messageOf, SightlineError } from '../errors.ts';
import { nearestName } from '../util/nearest_name.ts';
import { packageVersion } from '../util/version.ts';
import type { CliCommand } from './commands.ts';
import type { Io } from './io.ts';

/**
 * Runs the command line. Resolves to the exit code: 0 for success, 1 for a failed run, 2 (or the error's own exit code) for
 * wrong usage or input. Never throws.
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
    return reportError(error, words, io);
  }
}

// --- internal ---

function buildProgram(commands: readonly CliCommand[], io: Io): Command {
  const program = new Command('sightline')
    .description('GRPO for vision-language models with attention as a first-class signal')
    .version(packageVersion(), '-v, --version', 'print the version')
    .helpOption('-h, --help', 'print this help; `sightline COMMAND --help` lists the flags of a command')
    .helpCommand(false)
    .enablePositionalOptions()
    .exitOverride()
    .configureHelp({ subcommandTerm: (sub) => sub.name() })
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      outputError: () => undefined,
    });
  for (const { name, summary, help, run } of commands) {
    program
      .command(name)
      .description(summary)
      .usage('[flags]')
      .argument('[words...]')
      .helpOption(false)
      .allowUnknownOption()
      .passThroughOptions()
      .action(async (words: string[]) => {
        if (help !== undefined && asksForHelp(words)) io.stdout.write(await help(words, io));
        else await run(words, io);
      });
  }
  addHelp(program, commands, io);
  program.on('command:*', ([name]: string[]) => {
    throw unknownCommand(name!, commands);
  });
  return program;
}

/** `help COMMAND` is `COMMAND --help`. */
function addHelp(program: Command, commands: readonly CliCommand[], io: Io): void {
  program
    .command('help')
    .description('print this help, or that of a command')
    .argument('[command...]')
    .helpOption(false)
    .allowUnknownOption()
    .action(async ([name, ...words]: string[]) => {
      const command = commands.find((known) => known.name === name);
      if (command?.help !== undefined) io.stdout.write(await command.help(words, io));
      else if (name === undefined || name.startsWith('-')) program.outputHelp();
      else throw unknownCommand(name, commands);
    });
}

function unknownCommand(name: string, commands: readonly CliCommand[]): SightlineError {
  const namesOf = ({ name: own, alsoCalled = [] }: CliCommand): string[] => [own, ...alsoCalled];
  const nearest = nearestName(name, commands.flatMap(namesOf));
  const meant = commands.filter((command) => nearest !== null && namesOf(command).includes(nearest));
  const question = nearest === null ? '' : ` (Did you mean ${meant.map((command) => command.name).join(' or ')}?)`;
  return new SightlineError('E_USAGE', `unknown command '${name}'${question}`, { hint: LISTED });
}

const LISTED = 'sightline --help lists the commands';

/** Prints an error and returns its exit code. */
function reportError(thrown: unknown, words: readonly string[], io: Io): number {
  const error = isOutOfMemory(thrown) ? outOfMemory(thrown) : thrown;
  if (error instanceof CommanderError) return reportCommanderError(error, io);
  if (io.signal.aborted && (error === io.signal.reason || (error instanceof Error && error.name === 'AbortError')))
    return 1;
  if (error instanceof SightlineError) {
    io.stderr.write(`${formatError(error)}\n`);
    if (wantsStack(words)) io.stderr.write(`${stackOf(error)}\n`);
    return error.exitCode;
  }
  // Anything else is a bug of this program, so the stack is printed.
  io.stderr.write(`error: ${messageOf(error)}\n${stackOf(error)}\n`);
  return 1;
}

const outOfMemory = (cause: unknown): SightlineError =>
  new SightlineError('E_MEMORY', `memory has run out: ${messageOf(cause)}`, {
    hint: 'lower --per_device_train_batch_size, --max_completion_length or --max_pixels, or use a smaller model; sightline rlhf --dry_run true measures the memory of a run',
    exitCode: 1,
    cause,
  });

/** Commander also ends help and version with an error. For a missing command it has already printed the help. */
function reportCommanderError(error: CommanderError, io: Io): number {
  if (error.exitCode === 0) return 0;
  if (error.code === 'commander.help') return 2;
  const message = error.message.replace(/^error: /, '').replaceAll('\n', ' ');
  io.stderr.write(`${formatError(new SightlineError('E_USAGE', message, { hint: LISTED }))}\n`);
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
