/**
 * Converts a word of the command line to a JSON value, and checks a JSON value against its flag.
 * The only file that turns a shape into a zod type. Loaded when arguments are parsed, not for --help.
 */
import { z } from 'zod';
import type { Flag, Shape } from './flag.ts';

type Kind = Shape['kind'];
type ShapeOf<K extends Kind> = Extract<Shape, { kind: K }>;

/** The JSON value that a word stands for. A word that cannot be converted stays a string, which `checkValue` then refuses. */
export function readWord(word: string, shape: Shape): unknown {
  if (shape.kind === 'number') {
    const value = word.trim() === '' ? Number.NaN : Number(word);
    return Number.isNaN(value) ? word : value;
  }
  if (shape.kind === 'boolean') return BOOLEANS.get(word.toLowerCase()) ?? word;
  if (shape.kind === 'object') return parsedOr(word);
  return word;
}

export type Checked = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly message: string };

/** Checks a JSON value against a flag. For a list flag, a single value counts as a list of one. */
export function checkValue(value: unknown, flag: Flag<unknown>): Checked {
  if (value === null && flag.default === null) return { ok: true, value: null };
  const list = flag.many && !Array.isArray(value) ? [value] : value;
  const spelled = flag.many ? (list as unknown[]).map((item) => respell(item, flag.shape)) : respell(list, flag.shape);
  const one = build(flag.shape);
  const result = (flag.many ? z.array(one) : one).safeParse(spelled);
  if (result.success) return { ok: true, value: result.data };
  const culprit = Array.isArray(spelled) ? spelled[result.error.issues[0]?.path[0] as number] : spelled;
  return { ok: false, message: complaint(culprit, flag.shape) };
}

// --- internal ---

/** Describes the expected value in words. */
function expectation(shape: Shape): string {
  switch (shape.kind) {
    case 'number': {
      const noun = shape.integer ? 'a whole number' : 'a number';
      const { min, max, above, below } = shape;
      if (min !== undefined && max !== undefined) return `${noun} from ${min} to ${max}`;
      const low = min !== undefined ? `of at least ${min}` : above !== undefined ? `above ${above}` : '';
      const high = max !== undefined ? `of at most ${max}` : below !== undefined ? `below ${below}` : '';
      return [noun, [low, high].filter((part) => part !== '').join(' and ')].filter((part) => part !== '').join(' ');
    }
    case 'boolean':
      return 'true or false';
    case 'text':
      return shape.empty ? 'a text' : 'a text that is not empty';
    case 'object':
      return 'a JSON object';
    case 'choice':
      return shape.choices.length === 1 ? `${shape.choices[0]}` : `one of ${shape.choices.join(', ')}`;
  }
}

const BOOLEANS = new Map([
  ['true', true],
  ['1', true],
  ['yes', true],
  ['false', false],
  ['0', false],
  ['no', false],
]);

const builders: { [K in Kind]: (shape: ShapeOf<K>) => z.ZodType } = {
  number: ({ integer, min, max, above, below }) => {
    let type = integer ? z.int() : z.number();
    if (min !== undefined) type = type.min(min);
    if (max !== undefined) type = type.max(max);
    if (above !== undefined) type = type.gt(above);
    if (below !== undefined) type = type.lt(below);
    return type;
  },
  boolean: () => z.boolean(),
  text: ({ empty }) => (empty ? z.string() : z.string().min(1)),
  object: () => z.record(z.string(), z.unknown()),
  choice: ({ choices }) => z.enum(choices as [string, ...string[]]),
};

function parsedOr(word: string): unknown {
  try {
    return JSON.parse(word);
  } catch {
    return word;
  }
}

function build(shape: Shape): z.ZodType {
  return (builders[shape.kind] as (shape: Shape) => z.ZodType)(shape);
}

function respell(value: unknown, shape: Shape): unknown {
  // ms-swift's args.json has true and false for words that it takes as `true` and `false` among others.
  if (shape.kind === 'choice' && typeof value === 'boolean') return String(value);
  if ((shape.kind !== 'choice' && shape.kind !== 'boolean') || typeof value !== 'string') return value;
  return shape.spellings?.[value] ?? value;
}

function complaint(value: unknown, shape: Shape): string {
  const why = shape.kind === 'choice' && typeof value === 'string' ? shape.absent?.[value] : undefined;
  const shown = value === undefined ? 'nothing' : JSON.stringify(value);
  return `expected ${expectation(shape)}, got ${shown}${why === undefined ? '' : `: ${why}`}`;
}
