/**
 * The generated part of docs/parity.md: flags and their defaults here beside the arguments that ms-swift declares.
 * Knows the schema, the list of ms-swift's arguments and Markdown; knows no flag by name.
 */
import { type Flag, isOfReward } from '../../src/arguments/flag.ts';
import { peerFlag } from '../../src/arguments/peers/index.ts';
import { rlhfWithRewards } from '../../src/arguments/reward_flags.ts';
import rlhfArguments from '../arguments/ms_swift/rlhf_arguments.json' with { type: 'json' };

export const BEGIN = '<!-- generated: npx vitest run test/docs -u -->';
export const END = '<!-- end of the generated part -->';

interface Field {
  readonly default: unknown;
  readonly choices?: readonly unknown[];
}

/** The document with its generated part renewed; the rest stays as it is. */
export function withParityTables(document: string): string {
  const [before, rest] = document.split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined) throw new Error(`docs/parity.md lacks "${BEGIN}" or "${END}"`);
  return `${before}${BEGIN}\n\n${parityTables()}\n\n${END}${after}`;
}

/** Declared defaults that are the same in effect, for comparing: a word as a list of one, no words as none. */
export function comparable(value: unknown): string {
  if (value === null || value === undefined) return 'null';
  if (Array.isArray(value))
    return value.length === 0 ? 'null' : value.length === 1 ? comparable(value[0]) : JSON.stringify(value);
  return typeof value === 'string' && value.trim() !== '' && !Number.isNaN(Number(value))
    ? String(Number(value))
    : String(value);
}

// --- internal ---

const theirs: Readonly<Record<string, Field>> = rlhfArguments.fields;

function parityTables(): string {
  const flags = Object.entries(rlhfWithRewards().flags);
  const own = new Map(
    flags.flatMap(([name, flag]) => [name, ...(flag.aliases ?? [])].map((each) => [each, flag] as const)),
  );
  const names = Object.keys(theirs);
  const counted = (verdict: string): number =>
    names.filter((name) => !own.has(name) && peerFlag(name)?.verdict === verdict).length;
  const shared = names.filter((name) => own.has(name));
  const differing = shared.filter((name) => {
    const { default: value } = own.get(name)!;
    return value !== undefined && comparable(value) !== comparable(theirs[name]!.default);
  });
  const lacking = shared.flatMap((name) => {
    const missing = missingChoices(own.get(name)!, theirs[name]!);
    return missing.length === 0
      ? []
      : [row(code(name), missing.map(code).join(', '), reasons(own.get(name)!, missing))];
  });
  const more = flags.filter(([name, flag]) => !(name in theirs) && !isOfReward(flag)).map(([name]) => code(name));
  return [
    `Of the ${names.length} arguments that \`RLHFArguments\` of ${rlhfArguments['made with'].split(',')[0]} declares, ${shared.length} are flags here, ${counted('ignored')} are taken without effect and ${counted('refused')} are refused unless they ask for nothing; each with its reason in [flags.md](flags.md).`,
    'Flags whose declared default differs:',
    [
      row('flag', 'ms-swift', 'here'),
      '|---|---|---|',
      ...differing.map((name) => row(code(name), shown(theirs[name]!.default), shownDefault(own.get(name)!))),
    ].join('\n'),
    'Flags that take fewer values here:',
    [row('flag', 'values of ms-swift that are refused', 'why'), '|---|---|---|', ...lacking].join('\n'),
    'Flags by which peers mean different things, and what is followed here:',
    [
      row('flag', 'here'),
      '|---|---|',
      ...flags.flatMap(([name, { follows }]) => (follows === undefined ? [] : [row(code(name), follows)])),
    ].join('\n'),
    `Flags that ms-swift does not declare: ${more.join(' ')}; and those that rewards bring.`,
  ].join('\n\n');
}

function missingChoices(flag: Flag<unknown>, { choices = [] }: Field): string[] {
  const { shape } = flag;
  if (shape.kind !== 'choice') return [];
  const known = new Set([...shape.choices, ...Object.keys(shape.spellings ?? {})]);
  const there = [...choices.map(String), ...Object.keys(shape.absent ?? {})];
  return [...new Set(there)].filter((choice) => !known.has(choice) && choice !== 'null');
}

function reasons({ shape }: Flag<unknown>, missing: readonly string[]): string {
  const absent = (shape.kind === 'choice' ? shape.absent : undefined) ?? {};
  const texts = [...new Set(missing.map((choice) => absent[choice] ?? 'not built'))];
  return texts.join('; ');
}

function shownDefault(flag: Flag<unknown>): string {
  return flag.default === null ? (flag.unset ?? 'none') : shown(flag.default);
}

function shown(value: unknown): string {
  if (value === null || (Array.isArray(value) && value.length === 0)) return 'none';
  return code(
    Array.isArray(value) ? value.join(' ') : typeof value === 'object' ? JSON.stringify(value) : String(value),
  );
}

const code = (text: string): string => (text === '' ? 'none' : `\`${text}\``);

const row = (...cells: readonly string[]): string =>
  `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
