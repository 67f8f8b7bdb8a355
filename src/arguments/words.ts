/**
 * Splits a command line into flags with their words. Knows no flag by name.
 *
 * It follows argparse, so that commands written for ms-swift mean the same: a flag takes every word up to the next flag,
 * negative numbers are words, `--flag=value` gives one word, and a repeated flag replaces the earlier one.
 */

export interface GivenFlag {
  /** Without leading dashes; other dashes become `_`. */
  readonly name: string;
  /** The words of its last occurrence. */
  readonly words: readonly string[];
}

export interface CommandLine {
  /** Words before the first flag. */
  readonly operands: readonly string[];
  /** By name, in the order of their last occurrence. */
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

/** Whether the command line asks for help. */
export function asksForHelp(argv: readonly string[]): boolean {
  return argv.includes('--help') || argv.includes('-h');
}
