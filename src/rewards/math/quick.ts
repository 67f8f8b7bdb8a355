/**
 * The part of comparing answers that needs no algebra: equal texts, plain numbers and fractions, lists taken apart.
 * Knows the normalised form only.
 */

/**
 * Whether two constants are the same answer: six decimals, as math-verify rounds, and at least three digits where the
 * value is so small that six decimals say nothing.
 */
export function closeNumbers(reference: number, answer: number): boolean {
  const difference = Math.abs(reference - answer);
  return difference <= 1e-6 && difference <= 1e-3 * Math.abs(reference);
}

/** True or false where that is plain to see; undefined if an algebra library has to look. */
export function quickEqual(reference: string, answer: string): boolean | undefined {
  if (reference.replaceAll(' ', '') === answer.replaceAll(' ', '')) return true;
  const gold = plainNumber(reference);
  const given = plainNumber(answer);
  if (gold === undefined || given === undefined) return undefined;
  return closeNumbers(gold, given);
}

export interface AnswerList {
  /** Bracket pair; empty for a single value or a list without brackets. */
  readonly open: string;
  readonly close: string;
  /** Tuples and intervals are ordered; sets and bare lists are not. */
  readonly ordered: boolean;
  readonly items: readonly string[];
}

/** `(1, 2)`, `[0, 1)`, `\{1, 2\}` or `1, 2` into its items; anything else is one item. */
export function splitList(text: string): AnswerList {
  const single: AnswerList = { open: '', close: '', ordered: true, items: [text] };
  const match = /^(\\\{|[([])([\s\S]*?)(\\\}|[)\]])$/.exec(text);
  if (match && isOneBracket(text, match[1]!.length, match[3]!.length)) {
    const items = splitCommas(match[2]!);
    const set = match[1] === '\\{';
    if (items.length > 1 || set) return { open: match[1]!, close: match[3]!, ordered: !set, items };
    return single;
  }
  const items = splitCommas(text);
  return items.length > 1 ? { open: '', close: '', ordered: false, items } : single;
}

// --- internal ---

const number = String.raw`(?:\d+\.?\d*|\.\d+)`;
const forms: readonly RegExp[] = [
  new RegExp(`^(?<sign>[-+]?)(?<over>${number})$`),
  new RegExp(`^(?<sign>[-+]?)(?<over>${number})\\s*/\\s*(?<under>${number})$`),
  new RegExp(`^(?<sign>[-+]?)\\\\frac\\s*\\{\\s*(?<over>-?${number})\\s*\\}\\s*\\{\\s*(?<under>${number})\\s*\\}$`),
];

/** `2`, `-0.5`, `1/3`, `\frac{1}{3}` as a number; undefined for anything else. */
function plainNumber(text: string): number | undefined {
  for (const form of forms) {
    const groups = form.exec(text)?.groups;
    if (!groups) continue;
    const value = Number(groups.over) / Number(groups.under ?? 1);
    return Number.isFinite(value) ? (groups.sign === '-' ? -value : value) : undefined;
  }
  return undefined;
}

/** Whether the first bracket is closed by the last one, so that `(1)(2)` is no list. */
function isOneBracket(text: string, open: number, close: number): boolean {
  let depth = 0;
  for (let i = 0; i < text.length - close; i++) {
    if ('([{'.includes(text[i]!)) depth++;
    else if (')]}'.includes(text[i]!)) depth--;
    if (depth === 0 && i >= open - 1) return false;
  }
  return true;
}

function splitCommas(text: string): string[] {
  const items: string[] = [];
  let depth = 0;
  let from = 0;
  for (let i = 0; i < text.length; i++) {
    if ('([{'.includes(text[i]!)) depth++;
    else if (')]}'.includes(text[i]!)) depth--;
    else if (text[i] === ',' && depth === 0) {
      items.push(text.slice(from, i).trim());
      from = i + 1;
    }
  }
  items.push(text.slice(from).trim());
  return items;
}
