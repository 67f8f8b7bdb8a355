/**
 * Plain data as JSON and back without losing a bit: NaN, infinities, -0 and typed arrays, which JSON does not have, are
 * written as objects with one field that begins with `$`.
 */
import { isJsonObject, type Json } from './json.ts';

/** Numbers, texts, booleans, null, typed arrays, and arrays and objects of them. Fields that are undefined are left out. */
export function toExactJson(value: unknown): Json {
  if (typeof value === 'number')
    return isPlain(value) ? value : { $number: Object.is(value, -0) ? '-0' : String(value) };
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (Array.isArray(value)) return value.map(toExactJson);
  for (const [name, { type }] of Object.entries(ARRAYS)) {
    if (value instanceof type) return { [name]: base64(value) };
  }
  if (typeof value !== 'object') throw new Error(`internal: a ${typeof value} has no JSON form`);
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  const exact = fields.map(([key, field]): [string, Json] => [key, toExactJson(field)]);
  return fields.some(([key]) => key.startsWith('$')) ? { $entries: exact } : Object.fromEntries(exact);
}

/** The value that `toExactJson` was given. Error: a plain error for a field with `$` that it does not write. */
export function fromExactJson(json: unknown): unknown {
  if (Array.isArray(json)) return json.map(fromExactJson);
  if (!isJsonObject(json)) return json;
  const keys = Object.keys(json);
  const [key] = keys;
  if (keys.length !== 1 || !key!.startsWith('$')) {
    return Object.fromEntries(Object.entries(json).map(([name, field]) => [name, fromExactJson(field)]));
  }
  const text = json[key!];
  if (key === '$number' && typeof text === 'string' && NUMBERS.has(text)) return Number(text);
  if (key === '$entries' && Array.isArray(text)) return Object.fromEntries(fromExactJson(text) as [string, unknown][]);
  const array = ARRAYS[key!];
  if (array === undefined || typeof text !== 'string') throw new Error(`unknown value: ${key}`);
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length % array.type.BYTES_PER_ELEMENT !== 0) throw new Error(`${key} of ${bytes.length} bytes`);
  return new array.type(Uint8Array.from(bytes).buffer);
}

// --- internal ---

type TypedArray = Float32Array | Float64Array | Int32Array;

/** Little-endian, as on every processor that Node runs on. */
const ARRAYS: Readonly<
  Record<string, { readonly type: Float32ArrayConstructor | Float64ArrayConstructor | Int32ArrayConstructor }>
> = {
  $float32: { type: Float32Array },
  $float64: { type: Float64Array },
  $int32: { type: Int32Array },
};

const NUMBERS: ReadonlySet<string> = new Set(['NaN', 'Infinity', '-Infinity', '-0']);

const isPlain = (value: number): boolean => Number.isFinite(value) && !Object.is(value, -0);

const base64 = ({ buffer, byteOffset, byteLength }: TypedArray): string =>
  Buffer.from(buffer, byteOffset, byteLength).toString('base64');
