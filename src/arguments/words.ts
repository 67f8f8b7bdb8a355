/**
 * Splits a command line into flags with their words; knows no flag by name.
 *
 * The reading is that of argparse, so that lines written for ms-swift mean the same: a flag takes every word up to the
 * next flag, negative numbers are words, `--flag=value` is one word, and a flag given again replaces the earlier one.
 */

export interface GivenFlag {
  /** Without dashes in front; `-` inside is read as `_`. */
  readonly name: string;
  /** Those of the last time it was given. */
  readonly words: readonly string[];
}

export interface CommandLine {
  /** Words before the first flag. */
  readonly operands: readonly string[];
  /** By name, in the order of their last mention. */
  readonly flags: ReadonlyMap<string, GivenFlag>;
}

export function splitWords(argv: readonly string[]): CommandLine {
  const operands: string[] = [];
  const flags = new Map<string, GivenFlag>();
  let words: string[] = operands;
  for (const token of argv) {
    const match = /^--([^=]+)(?:=(.*))?$/s.exec(token);
    if (match === null) {
      words.push(token);
      continue;
    }
    const name = match[1]!.replaceAll('-', '_');
    words = match[2] === undefined ? [] : [match[2]];
    flags.delete(name);
    flags.set(name, { name, words });
  }
  return { operands, flags };
}

/** Whether the reader asks for help rather than for a run. */
export function asksForHelp(argv: readonly string[]): boolean {
  return argv.includes('--help') || argv.includes('-h');
}
