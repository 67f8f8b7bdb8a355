/**
 * Python's notation of plain values -> the value: what `str()` of a list leaves in a CSV, and ms-swift reads with
 * `ast.literal_eval`. Texts, numbers, True, False, None, lists, tuples and dictionaries of them; bytes, sets and sums are not.
 */

/** The value, or undefined for a text that is none. Nested deeper than 100 levels it is none. */
export function parsePythonLiteral(text: string): unknown {
  let at = 0;
  const skip = (): void => {
    while (/\s/.test(text[at] ?? '')) at++;
  };
  const take = (pattern: RegExp): RegExpExecArray | null => {
    skip();
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match !== null) at += match[0].length;
    return match;
  };
  const value = (depth: number): unknown => {
    if (depth > DEEPEST) throw NO_LITERAL;
    if (take(/\[/y) !== null) return items(/\]/y, depth).list;
    if (take(/\(/y) !== null) {
      const { list, hasComma } = items(/\)/y, depth);
      return list.length === 1 && !hasComma ? list[0] : list;
    }
    if (take(/\{/y) !== null) return entries(depth);
    const word = take(/(?:True|False|None)\b/y);
    if (word !== null) return WORDS[word[0]];
    const number = take(/[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?(?![\w.])/iy);
    if (number !== null) return Number(number[0]);
    return joinedText();
  };
  /** Texts that follow one another are one, as in Python. */
  const joinedText = (): string => {
    let joined: string | null = null;
    for (let part = take(STRING); part !== null; part = take(STRING)) joined = (joined ?? '') + unescaped(part);
    if (joined === null) throw NO_LITERAL;
    return joined;
  };
  const items = (close: RegExp, depth: number): { list: unknown[]; hasComma: boolean } => {
    const list: unknown[] = [];
    let hasComma = false;
    while (take(close) === null) {
      if (list.length > 0 && !hasComma) throw NO_LITERAL;
      list.push(value(depth + 1));
      hasComma = take(/,/y) !== null;
    }
    return { list, hasComma };
  };
  const entries = (depth: number): Record<string, unknown> => {
    const found: [string, unknown][] = [];
    let hasComma = true;
    while (take(/\}/y) === null) {
      if (!hasComma) throw NO_LITERAL;
      const key = joinedText();
      if (take(/:/y) === null) throw NO_LITERAL;
      found.push([key, value(depth + 1)]);
      hasComma = take(/,/y) !== null;
    }
    return Object.fromEntries(found);
  };
  try {
    const whole = value(0);
    skip();
    return at === text.length ? whole : undefined;
  } catch (error) {
    if (error === NO_LITERAL) return undefined;
    throw error;
  }
}

// --- internal ---

const NO_LITERAL = new Error('internal: not a Python literal');
const DEEPEST = 100;
const WORDS: Readonly<Record<string, unknown>> = { True: true, False: false, None: null };

/** A prefix, and a text between one or three quotes of either kind. */
const STRING =
  /([ru]?)(?:"""((?:[^\\]|\\[\s\S])*?)"""|'''((?:[^\\]|\\[\s\S])*?)'''|"((?:[^"\\\n]|\\[\s\S])*)"|'((?:[^'\\\n]|\\[\s\S])*)')/iy;

const SIMPLE: ReadonlyMap<string, string> = new Map(
  Object.entries({
    '\n': '',
    '\\': '\\',
    "'": "'",
    '"': '"',
    a: '\x07',
    b: '\b',
    f: '\f',
    n: '\n',
    r: '\r',
    t: '\t',
    v: '\v',
  }),
);

/** Source: https://docs.python.org/3/reference/lexical_analysis.html#escape-sequences. */
function unescaped([, prefix, ...bodies]: RegExpExecArray): string {
  const body = bodies.find((each) => each !== undefined) ?? '';
  if (prefix?.toLowerCase() === 'r') return body;
  return body.replace(
    /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{1,3})|([\s\S]))/g,
    (whole, x: string, u: string, long: string, octal: string, other: string) => {
      const hex = x ?? u ?? long;
      if (hex !== undefined) {
        const point = Number.parseInt(hex, 16);
        if (point > 0x10ffff) throw NO_LITERAL;
        return String.fromCodePoint(point);
      }
      if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8));
      // Names of characters, and texts that Python refuses.
      if (other === 'N' || other === 'x' || other === 'u' || other === 'U') throw NO_LITERAL;
      return SIMPLE.get(other) ?? whole;
    },
  );
}
