/**
 * Merges command line, config file, environment and defaults into checked values, and collects every fault.
 * Knows what a flag is, but no flag by name except --config and --ignore_unsupported.
 */
import { nearestName } from '../util/nearest_name.ts';
import type { CommandSpec } from './command.ts';
import { readConfigFile } from './config_file.ts';
import { Faults } from './faults.ts';
import { camelCase, type Flag, type Flags, type Values } from './flag.ts';
import { asksForNothing, peerFlag, peerFlagNames } from './peers/index.ts';
import { checkValue, readWord } from './value.ts';
import { type CommandLine, splitWords } from './words.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface ParseOptions {
  /** Other commands, so that an error can say to which command an unknown flag belongs. */
  readonly others?: readonly CommandSpec[];
  /** Flags of another program, which are accepted unchecked and returned in `handedOn`. */
  readonly handOn?: { readonly owner: string; readonly names: ReadonlySet<string> };
}

export interface Parsed<F extends Flags> {
  /** A value for every flag. A flag with a fault has its default, or '' or an empty list if there is none. */
  readonly values: Values<F>;
  /** Flags that the command line, the config file or the environment gave a value. */
  readonly given: ReadonlySet<string>;
  /** Sentences for the user about flags that have no effect or are ignored. */
  readonly notices: readonly string[];
  /** Flags for another program, with their words, in the order in which they were first given. */
  readonly handedOn: ReadonlyMap<string, readonly string[]>;
  /** Not thrown yet, so that checks across flags can add to them. */
  readonly faults: Faults;
}

/**
 * Reads the words after the command's name. Precedence: command line, config file, environment, default.
 *
 * Errors: only those of the config file itself; everything else is collected in `faults`.
 */
export function parseArguments<F extends Flags>(
  spec: CommandSpec<F>,
  argv: readonly string[],
  env: Environment,
  { others = [], handOn }: ParseOptions = {},
): Parsed<F> {
  const faults = new Faults();
  const handedOn = new Map<string, readonly string[]>();
  const skipped = { meaningless: new Map<string, string>(), unsupported: new Map<string, string>() };
  const names = flagNames(spec.flags);
  const line = splitWords(argv);
  const taken = new Map<string, unknown>();

  const configPath = configOf(line, faults);
  const { entries: config, notices: configNotices } =
    configPath === null ? { entries: new Map<string, unknown>(), notices: [] } : readConfigFile(configPath);
  const ignoresUnsupported = isTrue(line.flags.get(IGNORE)?.words ?? wordsOf(config.get(IGNORE) ?? false));
  if (configPath !== null) {
    const fromFile = new Map<string, unknown>();
    const onLine = new Set([...line.flags.values()].map(({ name }) => names.get(name) ?? name));
    for (const [name, value] of config) {
      // What the command line replaces is neither checked nor refused.
      if (onLine.has(names.get(name) ?? name)) continue;
      if (names.has(name)) {
        if (value !== null) fromFile.set(names.get(name)!, value);
      } else refuse(name, wordsOf(value), ` (in ${configPath})`);
    }
    take(fromFile, ` (in ${configPath})`);
  }

  const fromLine = new Map<string, unknown>();
  for (const { name, words } of line.flags.values()) {
    const known = names.get(name);
    if (known === undefined) refuse(name, words, '');
    else {
      const read = readWords(known, words);
      if (read !== undefined) fromLine.set(known, read);
    }
  }
  take(fromLine, '');

  const values: Record<string, unknown> = {};
  for (const [name, flag] of Object.entries(spec.flags)) {
    if (!taken.has(name)) fromEnvironment(name, flag);
    if (!taken.has(name) && flag.default === undefined)
      faults.check([name], false, 'the flag is required', example(name, flag));
    values[camelCase(name)] = taken.has(name) ? taken.get(name) : defaultOf(flag);
  }
  const notices = [
    ...configNotices,
    noticeOf(skipped.meaningless, 'has no effect', 'flags have no effect here'),
    noticeOf(skipped.unsupported, 'is ignored', `flags are ignored because of --${IGNORE}`),
  ].filter((notice) => notice !== null);
  return { values: values as Values<F>, given: new Set(taken.keys()), notices, handedOn, faults };

  /** Checks JSON values of known flags and stores them. Later sources replace earlier ones. */
  function take(source: ReadonlyMap<string, unknown>, where: string): void {
    for (const [name, given] of source) {
      const flag = spec.flags[name]!;
      const { value, ignored } = ignoresUnsupported ? withoutIgnorable(given, flag) : { value: given, ignored: [] };
      for (const word of ignored) skipped.unsupported.set(`${name} ${word}`, absentText(word, flag));
      if (value === undefined) continue;
      const checked = checkValue(value, flag);
      if (checked.ok) taken.set(name, checked.value);
      else
        faults.add(`--${name}`, checked.message + where, undefined, withoutIgnorable(given, flag).ignored.length > 0);
    }
  }

  /** Reads the words after a known flag as a JSON value. Returns undefined after adding a fault. */
  function readWords(name: string, words: readonly string[]): unknown {
    const flag = spec.flags[name]!;
    if (flag.shape.kind === 'boolean' && words.length === 0) return true;
    if (words.length === 0) {
      faults.add(`--${name}`, 'the flag has no value', example(name, flag));
      return undefined;
    }
    if (flag.many) return words.map((word) => readWord(word, flag.shape));
    if (words.length > 1) {
      const shown = words.map((word) => JSON.stringify(word)).join(' ');
      faults.add(`--${name}`, `the flag takes one value, got ${words.length}: ${shown}`, 'quote a value with spaces');
      return undefined;
    }
    return readWord(words[0]!, flag.shape);
  }

  function fromEnvironment(name: string, flag: Flag<unknown>): void {
    const word = flag.env === undefined ? undefined : env[flag.env];
    if (word === undefined || word === '' || faults.has(name)) return;
    take(
      new Map([[name, flag.many ? word.split(/\s+/) : readWord(word, flag.shape)]]),
      ` (environment variable ${flag.env})`,
    );
  }

  /** Handles a flag that this command does not have. */
  function refuse(name: string, words: readonly string[], where: string): void {
    if (handOn?.names.has(name)) {
      handedOn.set(name, words);
      return;
    }
    const owner = others.find(({ flags }) => flagNames(flags).has(name));
    const notOurs = handOn === undefined ? peerFlag(name) : null;
    const peer = owner === undefined ? notOurs : { verdict: 'refused', text: `leave it out of ${spec.name}` };
    if (peer === null) {
      const near = nearestName(name, [...names.keys(), ...(handOn?.names ?? peerFlagNames())]);
      const fix = near === null ? undefined : `did you mean --${near}?`;
      const lacks =
        handOn === undefined
          ? `sightline ${spec.name} has no such flag`
          : `neither sightline ${spec.name} nor ${handOn.owner} has such a flag`;
      faults.add(`--${name}`, lacks + where, fix);
    } else if (!asksForNothing(name, words)) {
      if (peer.verdict === 'ignored') skipped.meaningless.set(name, peer.text);
      else if (ignoresUnsupported) skipped.unsupported.set(name, peer.text);
      else {
        const what =
          owner === undefined ? 'this flag of ms-swift is not supported' : `this is a flag of sightline ${owner.name}`;
        faults.add(`--${name}`, `${what}${where}`, peer.text, owner === undefined);
      }
    }
  }
}

// --- internal ---

// --- internal ---

/** Maps every name and alias of every flag to the declared name. */
function flagNames(flags: Flags): Map<string, string> {
  const names = new Map<string, string>();
  for (const [name, flag] of Object.entries(flags)) {
    for (const spelling of [name, ...(flag.aliases ?? [])]) names.set(spelling, name);
  }
  return names;
}

function configOf(line: CommandLine, faults: Faults): string | null {
  const [first, ...rest] = line.operands;
  for (const word of first === undefined || first.startsWith('-') ? line.operands : rest) {
    faults.add(word, 'the word belongs to no flag', 'flags begin with --; only a config file may come first');
  }
  const flag = line.flags.get('config')?.words[0];
  if (flag !== undefined) return flag;
  return first === undefined || first.startsWith('-') ? null : first;
}

const IGNORE = 'ignore_unsupported';

/** Whether the words after a boolean flag mean true. Words that are not a boolean are reported elsewhere. */
function isTrue(words: readonly string[]): boolean {
  return words.length === 0 || readWord(words[0]!, { kind: 'boolean' }) === true;
}

/** Removes the choices that may be ignored from a value; undefined if nothing is left. */
function withoutIgnorable(value: unknown, { shape }: Flag<unknown>): { value: unknown; ignored: readonly string[] } {
  const list: unknown[] = Array.isArray(value) ? value : [value];
  const isIgnorable = (item: unknown): item is string =>
    shape.kind === 'choice' && typeof item === 'string' && (shape.ignorable ?? []).includes(item);
  const ignored = list.filter(isIgnorable);
  if (ignored.length === 0) return { value, ignored };
  const kept = list.filter((item) => !isIgnorable(item));
  return { value: kept.length === 0 ? undefined : kept, ignored };
}

function absentText(word: string, { shape }: Flag<unknown>): string {
  return (shape.kind === 'choice' ? shape.absent?.[word] : undefined) ?? 'not supported';
}

/** Names a single flag with its reason, or several flags in one sentence that says where the reasons are. */
function noticeOf(flags: ReadonlyMap<string, string>, verb: string, verbOfSeveral: string): string | null {
  const [[name, why] = ['', ''], ...others] = flags;
  if (name === '') return null;
  if (others.length === 0) return `--${name} ${verb}: ${why}`;
  return `${flags.size} ${verbOfSeveral} (why: docs/flags.md): ${[...flags.keys()].map((each) => `--${each}`).join(' ')}`;
}

function wordsOf(value: unknown): string[] {
  const list: unknown[] = Array.isArray(value) ? value : [value];
  return list.length === 0 ? [''] : list.map((item) => (typeof item === 'string' ? item : JSON.stringify(item)));
}

function defaultOf(flag: Flag<unknown>): unknown {
  if (flag.default !== undefined) return flag.default;
  return flag.many ? [] : '';
}

function example(name: string, flag: Flag<unknown>): string {
  return `write --${name} ${flag.metavar}`;
}
