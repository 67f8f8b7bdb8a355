/**
 * Brings the ways people write a mathematical answer to one plain LaTeX form the algebra library can parse.
 * Knows notation (spacing commands, units, thousands commas, `x = 5`), not values.
 */

/** Functions that may be written as bare words. */
const functions = 'arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|log|ln|exp|max|min|gcd|lcm';

const characters: readonly (readonly [RegExp, string])[] = [
  [/[−–]/g, '-'],
  [/[×]/g, '\\times '],
  [/[·⋅∙]/g, '\\cdot '],
  [/÷/g, '/'],
  [/π/g, '\\pi '],
  [/∞/g, '\\infty '],
  [/√\s*\(([^()]*)\)/g, '\\sqrt{$1}'],
  [/√\s*(\d+|[a-z])/g, '\\sqrt{$1}'],
  [/²/g, '^2'],
  [/³/g, '^3'],
  [/½/g, '\\frac{1}{2}'],
  [/¼/g, '\\frac{1}{4}'],
  [/¾/g, '\\frac{3}{4}'],
  [/≤/g, '\\le '],
  [/≥/g, '\\ge '],
  [/[°]/g, '^\\circ'],
  [/\*\*/g, '^'],
  [/\*/g, '\\cdot '],
];

const commands: readonly (readonly [RegExp, string])[] = [
  [/\\(?:left|right|displaystyle|textstyle|limits|bigl?|bigr?|Bigl?|Bigr?)(?![a-zA-Z])/g, ''],
  [/\\[!,;:>]|\\ |~|\\q?quad(?![a-zA-Z])/g, ' '],
  [/\\[dtc]frac(?![a-zA-Z])/g, '\\frac'],
  [/\\(?:degree|degrees)(?![a-zA-Z])/g, '^\\circ'],
  [/\\(?:text|textrm|textbf|textit|mathrm|mathbf|mathit|mbox|operatorname)\s*\{\s*and\s*\}/g, ','],
  [/\\(?:text|textrm|textbf|textit|mathrm|mathbf|mathit|mbox|operatorname)\s*\{([^{}]*)\}/g, ' $1 '],
  [/\{,\}/g, ','],
  [/\^\s*\{\s*\\circ\s*\}/g, '^\\circ'],
];

/**
 * One answer as plain LaTeX, or null if it does not look like maths (plain words, a sentence, nothing).
 *
 * @example
 * normalizeMath('$x = \\dfrac{1}{2}\\text{ cm}$') // '\\frac{1}{2}'
 */
export function normalizeMath(text: string): string | null {
  let s = text.trim();
  for (const [pattern, plain] of characters) s = s.replace(pattern, plain);
  for (const [pattern, plain] of commands) s = s.replace(pattern, plain);
  s = s.replace(/^\s*(?:\\\(|\\\[|\$\$?)|(?:\\\)|\\\]|\$\$?)\s*$/g, '');
  s = s
    .replace(/\\?[$€£]/g, '')
    .replace(/\s+/g, ' ')
    .trim();
  s = s.replace(/[.,;:]+$/, '').trim();
  s = rightSide(s);
  s = s
    .replace(/\bpercent\b/i, '\\%')
    .replace(/(?<!\\)%/g, '\\%')
    .replace(/\s+\\%/g, '\\%');
  if (!/\\(?:sin|cos|tan|cot|sec|csc)/.test(s)) s = s.replace(/\^\\circ/g, '');
  s = withoutUnits(s);
  s = s.replace(new RegExp(`(?<![\\\\a-zA-Z])(${functions})(?![a-zA-Z])`, 'g'), '\\$1 ');
  s = s.replace(/(?<![\\a-zA-Z])sqrt\s*\(([^()]*)\)/g, '\\sqrt{$1}').replace(/(?<![\\a-zA-Z])pi(?![a-zA-Z])/g, '\\pi ');
  s = withoutThousands(s).replace(/\s+/g, ' ').trim();
  return looksLikeMath(s) ? s : null;
}

// --- internal ---

/** `x = 5` -> `5`, `3 + 4 = 7` -> `7`, `x \in [0, 1]` -> `[0, 1]`; an equation that must be kept stays. */
function rightSide(s: string): string {
  const parts = s.split(/(?<![<>!:=])=(?!=)|\\in(?![a-zA-Z])/);
  if (parts.length < 2) return s;
  const left = parts[0]!.trim();
  const named = /^(?:\\[a-zA-Z]+|[a-zA-Z])(?:_(?:\{\w+\}|\w))?(?:\([a-z]\))?$/.test(left);
  const computed = !/[a-zA-Z]/.test(left.replace(/\\[a-zA-Z]+/g, ''));
  return named || computed ? parts.at(-1)!.trim() : s;
}

/** Units that may touch their number: `5cm`. Others need a space, for `5xy` is algebra. */
const touching = /^(?:[mckd]m|[mk]g|m[lL]|ms|min|sec|hours?|deg|degrees?|ft|inch(?:es)?|lbs?|oz|mph|kmh)$/;

/** `5 cm` -> `5`, `12\pi square units` -> `12\pi`: a value without letters of its own, then words. */
function withoutUnits(s: string): string {
  const cut = s.search(/(?<![\\a-zA-Z])[a-zA-Z]/);
  const value = s.slice(0, Math.max(cut, 0));
  const unit = s.slice(Math.max(cut, 0));
  if (!/(?:[\d})!%]|\\[a-z]+)\s*$/.test(value) || !/\d/.test(value)) return s;
  const words = /^([a-zA-Z]+)(?:[\s/]+[a-zA-Z]+)*(?:\s?\^\s?\{?[23]\}?)?$/.exec(unit);
  if (!words || new RegExp(`^(?:${functions}|sqrt|pi)$`).test(words[1]!)) return s;
  const apart = /\s$/.test(value) || value.endsWith('}');
  const isUnit = apart ? words[1]!.length > 1 || /^[mgslLhNJWVK]$/.test(words[1]!) : touching.test(words[1]!);
  return isUnit ? value.trim() : s;
}

/** `12,345` -> `12345`, but not inside brackets, where a comma separates. */
function withoutThousands(s: string): string {
  return /[([]|\\\{/.test(s)
    ? s
    : s.replace(/(?<![\d,])\d{1,3}(?:,\d{3})+(?![\d,])/g, (number) => number.replaceAll(',', ''));
}

function looksLikeMath(s: string): boolean {
  if (s === '') return false;
  const plain = s.replace(/\\[a-zA-Z]+/g, ' ');
  if (/[a-zA-Z]{4,}|[a-zA-Z]\s+[a-zA-Z]\s+[a-zA-Z]|[?"'`#&@]/.test(plain)) return false;
  // Two or three letters are a product (5xy, ab + b^2) where they touch a digit or an operator, else a word (no, red).
  if (/(?<![a-zA-Z\d+^*=(){}|]|[+*=]\s)[a-zA-Z]{2,3}(?![a-zA-Z\d+^*=(){}|]|\s[+*=])/.test(plain)) return false;
  if (!/^[\x20-\x7e]*$/.test(s)) return false;
  return /[\da-zA-Z]/.test(plain) || /\\(?:pi|infty|emptyset|varnothing|theta|alpha|beta|sqrt)/.test(s);
}
