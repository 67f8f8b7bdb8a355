/**
 * The text of a YAML 1.2 file -> a JSON object, or one message that names the line.
 * Knows YAML, not flags. What only other readers of YAML know (tags of Python, several documents) is refused.
 */
import { createRequire } from 'node:module';
import type { Document, LineCounter, YAMLError } from 'yaml';
import { messageOf, SightlineError } from '../errors.ts';
import { isJsonObject, type JsonObject, shownJson } from '../util/json.ts';

/** Longer files are refused before they are parsed. A configuration has some kilobytes. */
export const MAX_YAML_BYTES = 256 * 1024;

/**
 * Errors: E_YAML_INVALID for a text that is no YAML, has a name twice, nests without end, has aliases that expand to more than
 * a configuration can hold, or is no mapping of names.
 */
export function parseYamlObject(text: string, path: string): JsonObject {
  const { LineCounter, parseDocument } = yaml();
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, version: '1.2' });
  // Python's `!!python/object` and the like are warnings here: their text alone would be taken.
  const [fault] = [...document.errors, ...document.warnings];
  if (fault !== undefined)
    throw invalid(describeFault(fault, text), whereOf(path, lines.linePos(fault.pos[0]).line), fault);
  refuseOtherKeys(document, path, lines);
  const value = expanded(document, path);
  if (value === null) return {};
  if (isJsonObject(value)) return value;
  throw invalid(
    `the file holds ${Array.isArray(value) ? 'a list' : shownJson(value, 40)}, expected names and values`,
    path,
  );
}

/** The first name that an object of a JSON text has twice, with its line; null without any. JSON itself keeps the last. */
export function repeatedKey(json: string): { readonly name: string; readonly line: number } | null {
  const { LineCounter, parseDocument } = yaml();
  const lines = new LineCounter();
  const { errors } = parseDocument(json, { lineCounter: lines, prettyErrors: false });
  const fault = errors.find(({ code }) => code === 'DUPLICATE_KEY');
  return fault === undefined ? null : { name: keyAt(json, fault.pos[0]), line: lines.linePos(fault.pos[0]).line };
}

// --- internal ---

/** Loaded for a configuration file only: it takes longer than all that arguments need otherwise. */
const yaml = (): typeof import('yaml') => createRequire(import.meta.url)('yaml') as typeof import('yaml');

const whereOf = (path: string, line: number): string => `${path}:${line}`;

function describeFault({ code, message, pos }: YAMLError, text: string): string {
  if (code === 'DUPLICATE_KEY') return `"${keyAt(text, pos[0])}" is given twice`;
  if (code === 'RESOURCE_EXHAUSTION') return 'it is nested too deeply';
  return message.split('\n')[0]!;
}

/** The key that begins at a position, without its quotes. */
function keyAt(text: string, at: number): string {
  const [, quoted, plain] = /^(?:"([^"\n]*)"|'?([^:'\n]*))/.exec(text.slice(at)) ?? [];
  return (quoted ?? plain ?? '').trim();
}

function refuseOtherKeys({ contents }: Document.Parsed, path: string, lines: LineCounter): void {
  const { isMap, isScalar } = yaml();
  if (!isMap(contents)) return;
  const other = contents.items.find(({ key }) => !isScalar(key) || typeof key.value !== 'string');
  if (other === undefined) return;
  const { line } = lines.linePos(other.key.range[0]);
  throw invalid('a name is no text', whereOf(path, line));
}

/** Aliases replaced by what they stand for: not more of it than 100 times, and nothing that contains itself. */
function expanded(document: Document.Parsed, path: string): unknown {
  try {
    const value: unknown = document.toJS({ maxAliasCount: 100 });
    return JSON.parse(JSON.stringify(value)) as unknown;
  } catch (cause) {
    const bomb = /Excessive alias count/.test(messageOf(cause));
    const circle = /circular/.test(messageOf(cause));
    const message = bomb
      ? 'its aliases (*name) stand for far more than the file holds'
      : circle
        ? 'an alias (*name) stands for something that it is a part of'
        : messageOf(cause);
    throw invalid(message, path, cause);
  }
}

function invalid(message: string, where: string, cause?: unknown): SightlineError {
  return new SightlineError('E_YAML_INVALID', `not a usable YAML file: ${message}`, {
    where,
    hint: 'a configuration has one `name: value` a line, with the names of flags; quote texts with special characters',
    cause,
  });
}
