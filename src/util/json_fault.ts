/**
 * Finds the position at which a text stops being valid JSON, which JSON.parse does not always report. For messages; builds
 * no values.
 */

/** Line and column of a position, both counted from 1. */
export function lineAndColumn(text: string, position: number): { line: number; column: number } {
  const before = text.slice(0, position);
  const begin = before.lastIndexOf('\n') + 1;
  return { line: before.split('\n').length, column: position - begin + 1 };
}

/** Position of the first unexpected token; the text's length if the text ends too early or is valid JSON. */
export function jsonFaultAt(text: string): number {
  let next: Next = 'value';
  const open: ('{' | '[')[] = [];
  for (let at = skipSpace(text, 0); ; at = skipSpace(text, at)) {
    if (at === text.length) return at;
    TOKEN.lastIndex = at;
    const token = TOKEN.exec(text)?.[0];
    if (token === undefined) return at;
    const mayEnd: boolean = next === 'comma or end' || next === 'value or end' || next === 'name or end';
    const inside = open.at(-1);
    if (token === '{' || token === '[') {
      if (next !== 'value' && next !== 'value or end') return at;
      open.push(token);
      next = token === '{' ? 'name or end' : 'value or end';
    } else if (token === '}' || token === ']') {
      if (!mayEnd || inside !== (token === '}' ? '{' : '[')) return at;
      open.pop();
      next = 'comma or end';
    } else if (token === ',') {
      if (next !== 'comma or end' || inside === undefined) return at;
      next = inside === '{' ? 'name' : 'value';
    } else if (token === ':') {
      if (next !== 'colon') return at;
      next = 'value';
    } else if (next === 'name' || next === 'name or end') {
      if (!token.startsWith('"')) return at;
      next = 'colon';
    } else {
      if (next !== 'value' && next !== 'value or end') return at;
      next = 'comma or end';
    }
    at += token.length;
  }
}

// --- internal ---

type Next = 'value' | 'value or end' | 'name' | 'name or end' | 'colon' | 'comma or end';

const TOKEN =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: JSON forbids control characters in strings
  /[{}[\],:]|"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;

function skipSpace(text: string, from: number): number {
  let at = from;
  while (text[at] === ' ' || text[at] === '\n' || text[at] === '\r' || text[at] === '\t') at++;
  return at;
}
