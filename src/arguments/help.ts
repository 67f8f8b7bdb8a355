/**
 * Writes --help from the flags: grouped, with unit and default for each flag. Loads no library.
 */
import type { CommandSpec } from './command.ts';
import { engineRemarks, type Flag, groupsOf } from './flag.ts';

const NAME_WIDTH = 34;
const INDENT = 2;

/** The help text of a command, wrapped at `width` columns. */
export function helpText(spec: CommandSpec, width = 100): string {
  const sections = groupsOf(spec.flags).map((group) => {
    const lines = Object.entries(spec.flags)
      .filter(([, flag]) => flag.group === group)
      .map(([name, flag]) => flagLines(name, flag, width, 'engine' in spec.flags));
    return [`${group}:`, ...lines].join('\n');
  });
  return [
    `${spec.name}: ${spec.summary}`,
    `Usage: ${spec.usage}`,
    ...sections,
    list('Examples', spec.examples),
    ...spec.notes.map((note) => wrap(note, width).join('\n')),
    wrap(FOOTER, width).join('\n'),
  ]
    .filter((section) => section !== '')
    .join('\n\n')
    .concat('\n');
}

// --- internal ---

const FOOTER =
  'Other flags of ms-swift either have no effect here, which a note reports, or stop the run with advice on what to use instead.';

function list(title: string, lines: readonly string[]): string {
  return lines.length === 0 ? '' : [`${title}:`, ...lines.map((line) => `  ${line}`)].join('\n');
}

function flagLines(name: string, flag: Flag<unknown>, width: number, hasEngines: boolean): string {
  const head = `${' '.repeat(INDENT)}--${name} ${flag.shape.kind === 'boolean' ? `[${flag.metavar}]` : flag.metavar}`;
  const body = wrap(`${flag.help} (${remarks(flag, hasEngines).join('; ')})`, Math.max(30, width - NAME_WIDTH));
  const pad = ' '.repeat(NAME_WIDTH);
  if (head.length < NAME_WIDTH)
    return [head.padEnd(NAME_WIDTH) + body[0], ...body.slice(1).map((l) => pad + l)].join('\n');
  return [head, ...body.map((line) => pad + line)].join('\n');
}

/** Unit, default, environment variable, aliases and engine, where the flag has them. */
function remarks(flag: Flag<unknown>, hasEngines: boolean): string[] {
  const parts = [flag.default === undefined ? 'required' : `default: ${defaultText(flag)}`];
  if (flag.unit !== undefined) parts.unshift(flag.unit);
  if (hasEngines) parts.push(...engineRemarks(flag));
  if (flag.env !== undefined) parts.push(`environment: ${flag.env}`);
  if (flag.aliases !== undefined) parts.push(`also ${flag.aliases.map((alias) => `--${alias}`).join(', ')}`);
  return parts;
}

function defaultText(flag: Flag<unknown>): string {
  if (flag.default === null) return flag.unset ?? 'none';
  if (Array.isArray(flag.default)) return flag.default.length === 0 ? 'none' : flag.default.join(' ');
  return String(flag.default);
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
