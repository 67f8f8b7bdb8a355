/**
 * Part of the program of python_semantics.ts: parsing, and refusing syntax that would not mean what it means in Python.
 */
export const UNSUPPORTED_SYNTAX = String.raw`
/** Syntax that the library's parser refuses with an unclear message, and its name in ours. */
const UNSUPPORTED = [
  [/{%-?\s*raw\b/, 'the tag raw'],
  [/{%-?\s*with\b/, 'the tag with'],
  [/{%\+|\+%}/, 'the plus sign of a tag'],
  [/{%-?\s*for\b[^%]*\brecursive\s*-?%}/, 'a recursive loop'],
  [/\bis\s+(not\s+)?\w+\s*(\(|\d|'|")/, 'a test with arguments'],
  [/\d[eE][+-]?\d|\d_\d/, 'a number written with an exponent or underscores'],
  [/,\s*\)/, 'a comma before a closing parenthesis'],
];
/** Whether a template has a < b < c. The library parses it as (a < b) < c, which has another value in Python. */
function hasComparisonChain(tokens) {
  const seen = [false];
  for (const { type, value } of tokens) {
    if (/^(Open(Paren|SquareBracket|CurlyBracket|Statement|Expression))$/.test(type)) seen.push(false);
    else if (/^Close(Paren|SquareBracket|CurlyBracket|Statement|Expression)$/.test(type)) seen.pop();
    else if (type === 'ComparisonBinaryOperator') {
      if (seen.at(-1)) return true;
      seen[seen.length - 1] = true;
    } else if (type === 'Comma' || type === 'Colon' || type === 'Equals' || ['and', 'or', 'if', 'elif', 'else', 'not'].includes(value) && type !== 'StringLiteral' && type !== 'Text')
      seen[seen.length - 1] = false;
  }
  return false;
}
/** The template of a source. Throws an error with the flag unsupported for syntax that is not supported. */
function parseTemplate({ Template, tokenize }, source) {
  let template;
  try {
    template = new Template(source);
  } catch (error) {
    const found = UNSUPPORTED.find(([pattern]) => pattern.test(source));
    if (found === undefined) throw error;
    unsupported(found[1], ' (' + error.message + ')');
  }
  if (hasComparisonChain(tokenize(source, { lstrip_blocks: true, trim_blocks: true })))
    unsupported('a chain of comparisons, as in a < b < c,', ': write a < b and b < c');
  return template;
}
`;
