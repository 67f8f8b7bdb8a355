/**
 * Normalises the many ways of writing a mathematical answer to one plain LaTeX form, which `parseMath` reads.
 * Knows notation (spacing commands, units, thousands separators, words), not values.
 */
import { readUnit, wordsAsUnit } from './units.ts';

/** Functions that may be written as bare words. */
const functions = 'arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|log|ln|exp|max|min|gcd|lcm';

/** Longest answer in characters; bounds the time of the searches below. */
const longest = 4000;

const superscript: Record<string, string> = Object.fromEntries(
  [...'⁰¹²³⁴⁵⁶⁷⁸⁹⁻'].map((c, i) => [c, '0123456789-'[i]!]),
);
const greek: Record<string, string> = {
  ...{ α: 'alpha', β: 'beta', γ: 'gamma', δ: 'delta', ε: 'epsilon', θ: 'theta', λ: 'lambda', μ: 'mu', ρ: 'rho' },
  ...{ σ: 'sigma', φ: 'phi', ω: 'omega', Δ: 'Delta', Ω: 'Omega' },
};

const characters: readonly (readonly [RegExp, string | ((found: string) => string)])[] = [
  [/[−–‐‑‒]/g, '-'],
  [/[×]/g, '\\times '],
  [/[·⋅∙∗]/g, '\\cdot '],
  [/÷/g, '/'],
  [/π/g, '\\pi '],
  [/∞/g, '\\infty '],
  [/√\s*\(([^()]*)\)/g, '\\sqrt{$1}'],
  [/√\s*(\d+|[a-z])/g, '\\sqrt{$1}'],
  [/[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+/g, (digits) => `^{${[...digits].map((digit) => superscript[digit]).join('')}}`],
  [/[₀₁₂₃₄₅₆₇₈₉]+/g, (digits) => `_{${[...digits].map((digit) => digit.charCodeAt(0) - 0x2080).join('')}}`],
  [/½/g, '\\frac{1}{2}'],
  [/¼/g, '\\frac{1}{4}'],
  [/¾/g, '\\frac{3}{4}'],
  [/≤/g, '\\le '],
  [/≥/g, '\\ge '],
  [/[≠]/g, '\\ne '],
  [/[≈]/g, '\\approx '],
  [/[±]/g, '\\pm '],
  [/[∓]/g, '\\mp '],
  [/[∪⋃]/g, '\\cup '],
  [/[∩⋂]/g, '\\cap '],
  [/[∖]/g, '\\setminus '],
  [/[∈]/g, '\\in '],
  [/[∉]/g, '\\notin '],
  [/[∅]/g, '\\emptyset '],
  [/[∨]/g, '\\lor '],
  [/[∧]/g, '\\land '],
  [/ℝ/g, '\\mathbb{R}'],
  [/ℤ/g, '\\mathbb{Z}'],
  [/ℕ/g, '\\mathbb{N}'],
  [/[⟨〈]/g, '\\langle '],
  [/[⟩〉]/g, '\\rangle '],
  [/…/g, '\\ldots '],
  [/[αβγδεθλμρσφωΔΩ]/g, (letter) => `\\${greek[letter]} `],
  [/⅓/g, '\\frac{1}{3}'],
  [/⅔/g, '\\frac{2}{3}'],
  [/[\u00a0\u2000-\u200a\u202f\u3000]/g, ' '],
  [/[\u200b-\u200d\u2060\ufeff]/g, ''],
  [/[°]/g, '^\\circ '],
  [/\*\*/g, '^'],
  [/\*/g, '\\cdot '],
];

const wrappers = 'text|textrm|textbf|textit|textnormal|mathrm|mathit|mbox|operatorname|rm';

const commands: readonly (readonly [RegExp, string])[] = [
  [/\\(?:left|right)\s*\\([|.])/g, '$1'],
  [/\\(?:left|right)\s*\./g, ''],
  [/\\(?:left|right|displaystyle|textstyle|limits|nolimits|[bB]igg?[lrm]?)(?![a-zA-Z])/g, ''],
  [/\\(?:lvert|rvert|vert)(?![a-zA-Z])/g, '|'],
  [/\\(?:lbrace)(?![a-zA-Z])/g, '\\{'],
  [/\\(?:rbrace)(?![a-zA-Z])/g, '\\}'],
  [/\\(?:lbrack)(?![a-zA-Z])/g, '['],
  [/\\(?:rbrack)(?![a-zA-Z])/g, ']'],
  [/(?<=\d)(?:\\[,!;: ]|\{,\}\\?!?|,\\!)(?=\d{3}(?!\d))/g, ''], // 1\,000
  [/(?<=\d)\{,\}(?=\d)/g, '.'], // 3{,}14: a decimal comma
  [/(?<!\\)\\[!,;:> ]|~|\\q?quad(?![a-zA-Z])/g, ' '],
  [/\\[dtc]frac(?![a-zA-Z])/g, '\\frac'],
  [/\\[dt]binom(?![a-zA-Z])/g, '\\binom'],
  [/\\(?:degree|degrees)(?![a-zA-Z])/g, '^\\circ'],
  [/\^\s*\{\s*\\circ\s*\}/g, '^\\circ '],
  [new RegExp(`\\\\(?:${wrappers})\\s*\\{\\s*(?:,\\s*)?(and|or)\\s*\\}`, 'g'), '\\$1 '],
  [new RegExp(`\\\\(?:${wrappers})\\s*\\{\\s*(e|i)\\s*\\}`, 'g'), '$1'],
  [new RegExp(`\\\\(?:${wrappers})\\s*\\{([^{}]*)\\}`, 'g'), ' $1 '],
  [/(?<![\\a-zA-Z])(?:,\s*)?(and|or)(?![a-zA-Z])/g, '\\$1 '],
];

/**
 * An answer as plain LaTeX, or null if it does not look like mathematics (words, a sentence, nothing).
 *
 * @param options.latex whether the text comes from a formula, where two or three adjacent letters are a product, not a word
 *
 * @example
 * normalizeMath('$x = \\dfrac{1}{2}\\text{ cm}$') // 'x = \\frac{1}{2}\\unit{cm}'
 */
export function normalizeMath(text: string, options: { latex?: boolean } = {}): string | null {
  if (text.length > longest) return null;
  let s = text.trim();
  const letters = options.latex === true && !new RegExp(`\\\\(?:${wrappers})(?![a-zA-Z])`).test(s);
  for (const [pattern, plain] of characters) s = s.replace(pattern, plain as string);
  s = s.replace(/^\s*(?:\\\(|\\\[|\$\$?)|(?:\\\)|\\\]|\$\$?)\s*$/g, '');
  for (const [pattern, plain] of commands) s = s.replace(pattern, plain);
  s = s
    .replace(/\\?[$€£]/g, '')
    .replace(/\s+/g, ' ')
    .trim();
  s = s.replace(/^(?:=|\\approx(?![a-zA-Z]))\s*|(?<!\.\.)[.,;:]+$/g, '').trim();
  if (isDate(s)) return null;
  s = withoutLabel(s);
  s = s
    .replace(/\bpercent\b/i, '\\%')
    .replace(/(?<!\\)%/g, '\\%')
    .replace(/\s+\\%/g, '\\%');
  s = withUnit(s);
  s = s.replace(new RegExp(`(?<![\\\\a-zA-Z])(${functions})(?![a-zA-Z])`, 'g'), '\\$1 ');
  s = s.replace(/(?<![\\a-zA-Z])sqrt\s*\(([^()]*)\)/g, '\\sqrt{$1}').replace(/(?<![\\a-zA-Z])pi(?![a-zA-Z])/g, '\\pi ');
  s = withoutThousands(s).replace(/\s+/g, ' ').trim();
  return looksLikeMath(s, letters) ? s : null;
}

// --- internal ---

/** Recognises dates and times (`2024-01-15`, `5/3/2024`, `12:05`), which are not differences, quotients or ratios. */
function isDate(s: string): boolean {
  return /^(?:\d{4}([-/.])\d{1,2}\1\d{1,2}|\d{1,2}([-/.])\d{1,2}\2(?:\d{2}|\d{4})|\d{1,2}:0\d|\d{1,2}:\d{2}:\d{2})$/.test(
    s,
  );
}

/** Removes words before an equals sign: `Area = 12` -> `12`. Single letters stay, because they are unknowns. */
function withoutLabel(s: string): string {
  const label = /^[a-zA-Z]{3,}(?: [a-zA-Z]+)* ?= ?(?=[^=])/.exec(s);
  return label ? s.slice(label[0].length) : s;
}

/** Units that may directly follow their number, as in `5cm`. Others need a space, because `5xy` is algebra. */
const touching = /^(?:[mckd]m|[mk]g|m[lL]|ms|min|sec|hours?|deg|degrees?|ft|inch(?:es)?|lbs?|oz|mph|kmh)$/;

/** Marks words after a value without letters as a unit: `5 cm` -> `5\unit{cm}`, `7 apples` -> `7\unit{of apple}`. */
function withUnit(s: string): string {
  const start = /^.*(?:[=<>]|\\(?:approx|leq?|geq?)(?![a-zA-Z]))/.exec(s)?.[0].length ?? 0;
  const rest = s.slice(start);
  const cut = rest.search(/(?<![\\a-zA-Z])[a-zA-Z]/);
  const value = rest.slice(0, Math.max(cut, 0));
  const unit = rest.slice(Math.max(cut, 0));
  if (!/(?:[\d})!%]|\\[a-z]+)\s*$/.test(value) || !/\d/.test(value)) return s;
  const words = /^([a-zA-Z]+)(?:[\s/]+[a-zA-Z]+)*(?:\s?\^\s?\{?[23]\}?)?$/.exec(unit);
  if (!words || new RegExp(`^(?:${functions}|sqrt|pi)$`).test(words[1]!)) return s;
  const apart = /\s$/.test(value) || value.endsWith('}');
  const isUnit = apart ? words[1]!.length > 1 || /^[mgslLhNJWVKCF]$/.test(words[1]!) : touching.test(words[1]!);
  if (!isUnit || notUnits.test(unit)) return s;
  const degrees = /^deg(?:rees?)?$/i.test(unit) ? '^\\circ ' : undefined;
  const [, times, named] = /^(hundred|thousand|million|billion|trillion|dozen)s?(?![a-z]) ?(.*)$/i.exec(unit) ?? [
    undefined,
    '',
    unit,
  ];
  const temperature = /\^\\circ\s*$/.test(value) ? { C: 'celsius', F: 'fahrenheit' }[unit] : undefined;
  const measure = temperature ?? readUnit(named!) ?? wordsAsUnit(named!);
  const plain = temperature === undefined ? value.trimEnd() : value.replace(/\^\\circ\s*$/, '');
  const scaled = times === '' ? plain : `${plain.trim()}\\cdot ${multiples[times!.toLowerCase()]}`;
  return `${s.slice(0, start)}${scaled}${degrees ?? (measure === '' ? '' : `\\unit{${measure}}`)}`;
}

/** Words after a number that change its value or make it a time. */
const notUnits =
  /(?:^|\s)(?:am|pm|bc|bce|ad|ce|squared|cubed|plus|minus|times|over|more|less|fewer|factorial|choose|mod|half|to|nor|not)(?:\s|$)/i;
const multiples: Record<string, string> = {
  ...{ dozen: '12', hundred: '100', thousand: '10^{3}', million: '10^{6}', billion: '10^{9}', trillion: '10^{12}' },
};

/** Removes thousands separators: `12,345` -> `12345`. Not in text with brackets, where a comma separates items. */
function withoutThousands(s: string): string {
  return /[([]|\\\{/.test(s)
    ? s
    : s.replace(/(?<![\d,])\d{1,3}(?:,\d{3})+(?![\d,])/g, (number) => number.replaceAll(',', ''));
}

function looksLikeMath(s: string, letters: boolean): boolean {
  if (s === '') return false;
  const plain = s.replace(/\\unit\{[^}]*\}|\\(?:begin|end)\{[a-z]+\}|\\[a-zA-Z]+/g, ' ');
  if (/[a-zA-Z]{4,}|[?"`#@]/.test(plain) || (!letters && /[a-zA-Z]\s+[a-zA-Z]\s+[a-zA-Z]/.test(plain))) return false;
  // Two or three letters are a product (5xy, ab + b^2) if they touch a digit or an operator, else a word (no, red).
  if (!letters && /(?<![a-zA-Z\d+^*=(){}|]|[+*=]\s)[a-zA-Z]{2,3}(?![a-zA-Z\d+^*=(){}|]|\s[+*=])/.test(plain))
    return false;
  if (!/^[\x20-\x7e]*$/.test(s)) return false;
  return (
    /[\da-zA-Z]/.test(plain) || /\\(?:pi|infty|emptyset|varnothing|mathbb|theta|alpha|beta|sqrt)|\\\{\s*\\\}/.test(s)
  );
}
