/**
 * Writes docs/flags.md: all flags of all commands, and how flags of ms-swift without a counterpart are handled.
 * Knows the schema and Markdown; knows no flag by name.
 */
import type { CommandSpec } from '../../src/arguments/command.ts';
import { devicesCommand } from '../../src/arguments/devices.ts';
import { doctorCommand } from '../../src/arguments/doctor.ts';
import { exportCommand } from '../../src/arguments/export.ts';
import { engineRemarks, type Flag, groupsOf } from '../../src/arguments/flag.ts';
import { inferCommand } from '../../src/arguments/infer.ts';
import { peerFlag, peerFlagFamilies, peerFlagNames } from '../../src/arguments/peers/index.ts';
import { reportCommand } from '../../src/arguments/report.ts';
import { rlhfWithEngines } from '../../src/arguments/reward_flags.ts';
import { rewardServerCommand } from '../../src/arguments/reward_server.ts';
import { scoreCommand } from '../../src/arguments/score.ts';
import { sftCommand } from '../../src/arguments/sft.ts';
import { uiCommand } from '../../src/arguments/ui.ts';

export const documentedCommands: readonly CommandSpec[] = [
  rlhfWithEngines(),
  sftCommand,
  inferCommand,
  scoreCommand,
  exportCommand,
  rewardServerCommand,
  doctorCommand,
  devicesCommand,
  reportCommand,
  uiCommand,
];

export function flagsDocument(): string {
  return `${[
    '# Flags',
    'Made from the argument schema by `npx vitest run test/docs -u`; the same as `npx sightline COMMAND --help`. A test fails when it is stale.',
    ...documentedCommands.flatMap(commandSections),
    '## Flags of ms-swift 4.6 and transformers 5.24 without a counterpart',
    'These flags are accepted and reported in one line, because the run is the same without them:',
    peerTable('ignored'),
    'These flags are refused with the advice below, because they ask for missing features. `--ignore_unsupported true` ignores and reports them in one line. A value that turns the feature off, as in `--use_vllm false`, is accepted.',
    peerTable('refused'),
  ].join('\n\n')}\n`;
}

// --- internal ---

function commandSections(spec: CommandSpec): string[] {
  const groups = groupsOf(spec.flags).map((group) => {
    const flags = Object.entries(spec.flags).filter(([, flag]) => flag.group === group);
    return flagTable(group, flags, 'engine' in spec.flags);
  });
  return [`## sightline ${spec.name}`, `\`${spec.usage}\``, ...groups];
}

function flagTable(group: string, flags: readonly (readonly [string, Flag<unknown>])[], hasEngines: boolean): string {
  const rows = flags.map(([name, flag]) => {
    const names = [name, ...(flag.aliases ?? [])].map((each) => `\`--${each}\``).join(', ');
    const remarks = [
      flag.help,
      ...(hasEngines ? engineRemarks(flag).map((remark) => `${remark[0]!.toUpperCase()}${remark.slice(1)}.`) : []),
      ...(flag.unit === undefined ? [] : [`Unit: ${flag.unit}.`]),
      ...(flag.env === undefined ? [] : [`Environment: \`${flag.env}\`.`]),
    ];
    return row(names, code(valueText(flag)), defaultText(flag), remarks.join(' '));
  });
  return [row(group, 'value', 'default', 'meaning'), '|---|---|---|---|', ...rows].join('\n');
}

function peerTable(verdict: 'ignored' | 'refused'): string {
  const byText = new Map<string, string[]>();
  const exact = peerFlagNames().map((name) => [name, name] as const);
  for (const [shown, probe] of [
    ...exact,
    ...peerFlagFamilies().map((family) => [`${family}*`, `${family}any`] as const),
  ]) {
    const flag = peerFlag(probe);
    if (flag === null) throw new Error(`no flag of ms-swift is known as ${probe}`);
    if (flag.verdict === verdict) byText.set(flag.text, [...(byText.get(flag.text) ?? []), `\`${shown}\``]);
  }
  const rows = [...byText].map(([text, names]) => row(names.join(' '), text));
  return [row('flags', verdict === 'ignored' ? 'why' : 'advice'), '|---|---|', ...rows].join('\n');
}

function valueText(flag: Flag<unknown>): string {
  return flag.metavar ?? '';
}

function defaultText(flag: Flag<unknown>): string {
  if (flag.default === undefined) return 'required';
  if (flag.default === null) return flag.unset ?? 'none';
  if (Array.isArray(flag.default)) return flag.default.length === 0 ? 'none' : code(flag.default.join(' '));
  return code(String(flag.default));
}

const code = (text: string): string => (text === '' ? '' : `\`${text}\``);

/** A pipe inside a cell would end it, in code too. */
const row = (...cells: readonly string[]): string =>
  `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
