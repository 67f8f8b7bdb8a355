/**
 * Typed access to the fields of a config.json; every error names the file and the dotted field.
 * Knows types and ranges, not the meaning of fields.
 */
import { basename } from 'node:path';
import { SightlineError } from '../errors.ts';
import { describe, isJsonObject, type JsonObject } from '../util/json.ts';

export interface Range {
  readonly min: number;
  readonly max: number;
  readonly fallback?: number | undefined;
}

/** The own fields of an object, without those of its prototype. */
export interface Fields {
  /** Whether the field is present and not null. */
  has(name: string): boolean;
  isNull(name: string): boolean;
  object(name: string): JsonObject;
  inner(name: string): Fields;
  array(name: string): unknown[];
  int(name: string, range: Range): number;
  ints(name: string, range: Range): number[];
  /** Token ids: the field is one id, a list of ids, or absent (then []). */
  ids(name: string, vocabSize: number): number[];
  number(name: string, range: Range): number;
  bool(name: string, fallback: boolean): boolean;
  text(name: string): string;
  /** The error for a field with a wrong value; `message` continues "field NAME". */
  invalid(name: string, message: string): SightlineError;
  /** The error for a value that is valid but not supported; `message` stands between "field NAME" and "supported". */
  unsupported(name: string, message: string, hint: string): SightlineError;
}

/**
 * @param prefix dotted path of the object, for messages: '' or 'vision_config.'
 * @param where file name, for messages
 * Errors of the methods: E_CONFIG_INVALID.
 */
export function fieldsOf(object: JsonObject, prefix: string, where: string): Fields {
  const get = (name: string): unknown => (Object.hasOwn(object, name) ? object[name] : undefined);
  const invalid = (name: string, message: string): SightlineError =>
    new SightlineError('E_CONFIG_INVALID', `field ${prefix}${name} ${message}`, {
      where,
      hint: `compare with the ${basename(where) || 'config.json'} the model was published with`,
    });
  const wrong = (name: string, value: unknown, expected: string): SightlineError =>
    value === undefined || value === null
      ? invalid(name, `is missing, expected ${expected}`)
      : invalid(name, `is ${describe(value)}, expected ${expected}`);
  const asInt = (name: string, value: unknown, { min, max }: Range): number => {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
      throw wrong(name, value, `an integer from ${min} to ${max}`);
    }
    return value;
  };
  const fields: Fields = {
    has: (name) => get(name) !== undefined && get(name) !== null,
    isNull: (name) => get(name) === null,
    object: (name) => {
      const value = get(name);
      if (!isJsonObject(value)) throw wrong(name, value, 'an object');
      return value;
    },
    inner: (name) => fieldsOf(fields.object(name), `${prefix}${name}.`, where),
    array: (name) => {
      const value = get(name);
      if (!Array.isArray(value)) throw wrong(name, value, 'an array');
      return value;
    },
    int: (name, range) =>
      !fields.has(name) && range.fallback !== undefined ? range.fallback : asInt(name, get(name), range),
    ints: (name, range) => fields.array(name).map((value) => asInt(name, value, range)),
    ids: (name, vocabSize) => {
      if (!fields.has(name)) return [];
      const value = get(name);
      return (Array.isArray(value) ? value : [value]).map((id) => asInt(name, id, { min: 0, max: vocabSize - 1 }));
    },
    number: (name, { min, max, fallback }) => {
      const value = fields.has(name) ? get(name) : fallback;
      // the negation also refuses NaN
      if (typeof value !== 'number' || !(value >= min && value <= max))
        throw wrong(name, value, `a number from ${min} to ${max}`);
      return value;
    },
    bool: (name, fallback) => {
      const value = fields.has(name) ? get(name) : fallback;
      if (typeof value !== 'boolean') throw wrong(name, value, 'true or false');
      return value;
    },
    text: (name) => {
      const value = get(name);
      if (typeof value !== 'string') throw wrong(name, value, 'a string');
      return value;
    },
    invalid,
    unsupported: (name, message, hint) =>
      new SightlineError('E_CONFIG_UNSUPPORTED', `field ${prefix}${name} ${message} supported`, { where, hint }),
  };
  return fields;
}
