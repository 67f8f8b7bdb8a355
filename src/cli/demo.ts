/**
 * `sightline demo ...`: makes the parts of the embedded demo, and summarises its comparison of arms.
 * Knows options and output; src/demo does the work.
 */
import { Command, type CommanderError } from 'commander';
import { SightlineError } from '../errors.ts';
import type { Io } from './io.ts';

/**
 * Runs `sightline demo` with the words after its name. The signal stops long operations.
 *
 * Errors: E_USAGE, and those of the subcommand.
 */
export async function demo(words: readonly string[], { signal }: Pick<Io, 'signal'>): Promise<void> {
  await demoCommand(signal).parseAsync([...words], { from: 'user' });
}

/** Text of `--help` for the subcommand that comes first, or for all of them. */
export function demoHelp([name]: readonly string[]): string {
  const command = demoCommand(new AbortController().signal);
  return (command.commands.find((known) => known.name() === name) ?? command).helpInformation();
}

// --- internal ---

function demoCommand(signal: AbortSignal): Command {
  const command = new Command('sightline demo')
    .description('make the data, the tokenizer and the checkpoint of the embedded demo')
    .configureOutput({ outputError: () => undefined })
    .exitOverride(asUsageError);
  addData(command, signal);
  addTokenizer(command);
  addCheckpoint(command);
  addPack(command);
  addSummarise(command);
  return requireLast(command);
}

/**
 * Checks required flags after all others. Commander checks them before unknown flags, and so would report a misspelled flag as
 * a missing one.
 */
function requireLast(command: Command): Command {
  const required = command.commands.flatMap(({ options }) => options.filter(({ mandatory }) => mandatory));
  for (const option of required) option.makeOptionMandatory(false);
  return command.hook('preAction', (_, called) => {
    const given = called.opts();
    const missing = called.options.filter(
      (option) => required.includes(option) && given[option.attributeName()] === undefined,
    );
    if (missing.length === 0) return;
    throw new SightlineError('E_USAGE', `required: ${missing.map(({ flags }) => flags).join(', ')}`, {
      hint: `sightline demo ${called.name()} --help`,
    });
  });
}

// Subcommands load their code only when they run, so that --help stays fast.

function addData(demo: Command, signal: AbortSignal): void {
  demo
    .command('data')
    .description('draw pictures and write their questions: DIR/data.jsonl, DIR/images, DIR/prompt.txt')
    .requiredOption('--output_dir <DIR>', 'folder to write; must be empty or absent')
    .requiredOption(
      '--kind <sft|grpo|eval>',
      'sft: with replies and the planted prior; grpo and eval: balanced, without replies',
    )
    .requiredOption('--rows <N>', 'rows to write', integer('--rows', 1))
    .option('--seed <N>', 'equal seeds give equal bytes', integer('--seed', 0), 0)
    .action(
      async ({ output_dir, kind, rows, seed }: { output_dir: string; kind: string; rows: number; seed: number }) => {
        const [{ KINDS }, { generateDataset }] = await Promise.all([
          import('../demo/rows.ts'),
          import('../demo/dataset.ts'),
        ]);
        const known = KINDS.find((name) => name === kind);
        if (known === undefined) throw usage('--kind', `one of ${KINDS.join(', ')}`, kind);
        const { data } = await generateDataset({ kind: known, rows, seed, outputDir: output_dir }, signal);
        console.log(`wrote ${rows} rows: ${data}`);
      },
    );
}

interface SeededOptions {
  output_dir: string;
  seed: number;
}

function addTokenizer(demo: Command): void {
  demo
    .command('tokenizer')
    .description('train the tokenizer on generated rows; write it with chat template and processor files')
    .requiredOption('--output_dir <DIR>', 'folder to write; must not exist')
    .option('--seed <N>', 'seed of the rows', integer('--seed', 0), 0)
    .action(async ({ output_dir, seed }: SeededOptions) => {
      const { writeTokenizer } = await import('../demo/tokenizer.ts');
      await writeTokenizer({ seed, outputDir: output_dir });
      console.log(`wrote ${output_dir}`);
    });
}

function addCheckpoint(demo: Command): void {
  demo
    .command('checkpoint')
    .description('write the untrained checkpoint: random weights, tokenizer included')
    .requiredOption('--output_dir <DIR>', 'folder to write; must not exist')
    .option('--seed <N>', 'seed of weights and tokenizer', integer('--seed', 0), 0)
    .action(async ({ output_dir, seed }: SeededOptions) => {
      const { writeInitialCheckpoint } = await import('../demo/checkpoint.ts');
      await writeInitialCheckpoint({ seed, outputDir: output_dir });
      console.log(`wrote ${output_dir}`);
    });
}

function addPack(demo: Command): void {
  demo
    .command('pack')
    .description('copy a trained checkpoint as bfloat16, without training state')
    .requiredOption('--model <DIR>', 'checkpoint to copy')
    .requiredOption('--output_dir <DIR>', 'folder to write; must not exist')
    .action(async ({ model, output_dir }: { model: string; output_dir: string }) => {
      const { packCheckpoint } = await import('../demo/checkpoint.ts');
      await packCheckpoint(model, output_dir);
      console.log(`wrote ${output_dir}`);
    });
}

function addSummarise(demo: Command): void {
  demo
    .command('summarise')
    .description('print the tables of a comparison from DIR/ARM/seed-N/logging.jsonl')
    .requiredOption('--runs <DIR>', 'folder of the arms')
    .requiredOption('--arms <NAME...>', 'arms in the order of the table')
    .action(async ({ runs, arms }: { runs: string; arms: string[] }) => {
      const { readArms, summariseArms } = await import('../demo/arms.ts');
      process.stdout.write(summariseArms(await readArms(runs, arms)));
    });
}

/** A whole number of at least `least`. */
function integer(flag: string, least: number): (word: string) => number {
  return (word) => {
    const value = Number(word);
    if (word.trim() === '' || !Number.isSafeInteger(value) || value < least) {
      throw usage(flag, `a whole number of at least ${least}`, word);
    }
    return value;
  };
}

function usage(flag: string, expected: string, got: string): SightlineError {
  return new SightlineError('E_USAGE', `${flag}: expected ${expected}, got "${got}"`, { hint: 'see --help' });
}

/** Turns commander's errors into SightlineErrors. For a missing subcommand, commander has already printed the help. */
function asUsageError(error: CommanderError): void {
  if (error.exitCode === 0 || error.code === 'commander.help') throw error;
  throw new SightlineError('E_USAGE', error.message.replace(/^error: /, '').replaceAll('\n', ' '), {
    hint: 'see --help',
    cause: error,
  });
}
