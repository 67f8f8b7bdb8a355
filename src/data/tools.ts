/**
 * Tools in a row: their schemas, and tool calls and responses as the text that Qwen models use for them.
 * Knows JSON and ms-swift's `hermes` format; renders no system prompt.
 */
import { isJsonObject, type JsonObject } from '../util/json.ts';
import { invalidRow, inWords } from './columns.ts';

/**
 * Parses the `tools` column: a list of schemas or a single one, possibly as JSON text. Returns each as
 * {type: 'function', function}, without the nulls that Arrow and Parquet leave in it. Error: E_DATASET_ROW.
 */
export function parseTools(value: unknown, where: string): readonly JsonObject[] {
  if (typeof value === 'string' && value.trim() === '') return [];
  const parsed = parseJson(value);
  const list = Array.isArray(parsed) ? parsed : [parsed];
  return list.map((entry: unknown, i) => {
    const tool = withoutPadding(parseJson(entry));
    if (!isJsonObject(tool)) {
      throw invalidRow(`tool ${i + 1} is ${inWords(entry)}, expected a JSON schema`, where, TOOLS_HINT);
    }
    return 'type' in tool || 'function' in tool ? tool : { type: 'function', function: tool };
  });
}

/** Writes a tool call as text. Its content is an object, or JSON text, with a name and arguments. Error: E_DATASET_ROW. */
export function toolCallText(content: unknown, name: string, where: string): string {
  const call = parseJson(content);
  if (!isJsonObject(call) || typeof call.name !== 'string') {
    throw invalidRow(`${name}, a tool call, is ${inWords(content)}, expected a name and arguments`, where, CALL_HINT);
  }
  const given = call.arguments ?? call.parameters;
  const parsed = parseJson(given);
  if (parsed === undefined || parsed === null || (typeof given === 'string' && parsed === given)) {
    throw invalidRow(`${name}, a tool call, has ${inWords(given)} for its arguments`, where, CALL_HINT);
  }
  return `<tool_call>\n${pythonJson({ name: call.name, arguments: parsed })}\n</tool_call>`;
}

/** Writes a tool response as text. */
export function toolResponseText(content: unknown): string {
  return `<tool_response>\n${typeof content === 'string' ? content : pythonJson(content)}\n</tool_response>`;
}

// --- internal ---

const TOOLS_HINT =
  'a tool looks like {"type": "function", "function": {"name": "zoom", "description": "...", "parameters": {...}}}';
const CALL_HINT = 'a tool call looks like {"name": "zoom", "arguments": {"factor": 2}}, written in JSON';

/** Parses JSON text; returns any other value, including other text, as it is. */
function parseJson(value: unknown): unknown {
  if (typeof value !== 'string') return value;
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

/** JSON with spaces after commas and colons, as Python's json.dumps writes it. Numbers are JavaScript's: 1.0 becomes 1. */
function pythonJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(pythonJson).join(', ')}]`;
  if (!isJsonObject(value)) return JSON.stringify(value) ?? 'null';
  const entries = Object.entries(value).map(([key, inner]) => `${JSON.stringify(key)}: ${pythonJson(inner)}`);
  return `{${entries.join(', ')}}`;
}

/** Keywords of JSON schema whose value may be null, or whose list may hold nulls. */
const NULL_VALUES: ReadonlySet<string> = new Set(['default', 'const']);
const NULL_ENTRIES: ReadonlySet<string> = new Set(['enum', 'examples']);
/** Keywords whose value maps names chosen by the author to schemas. These names are not keywords, even if they look like it. */
const NAMED_SCHEMAS: ReadonlySet<string> = new Set([
  'properties',
  'patternProperties',
  '$defs',
  'definitions',
  'dependentSchemas',
  'dependencies',
]);

/** Removes the null fields that Arrow adds: it gives every schema the fields of all the others. */
function withoutPadding(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(withoutPadding);
  if (!isJsonObject(schema)) return schema;
  return Object.fromEntries(
    Object.entries(schema)
      .filter(([key, value]) => value !== null || isLiteral(key))
      .map(([key, value]): [string, unknown] => {
        if (isLiteral(key) || NULL_ENTRIES.has(key)) return [key, value];
        if (!NAMED_SCHEMAS.has(key) || !isJsonObject(value)) return [key, withoutPadding(value)];
        const named = Object.entries(value).filter(([, inner]) => inner !== null);
        return [key, Object.fromEntries(named.map(([name, inner]) => [name, withoutPadding(inner)]))];
      }),
  );
}

const isLiteral = (key: string): boolean => NULL_VALUES.has(key) || key.startsWith('x-');
