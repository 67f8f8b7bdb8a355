/**
 * The comparisons that need no parser: equal texts, and plain numbers and fractions, exactly.
 * Knows the normalised form only.
 */
import Fraction from 'fraction.js';

/** True or false if the answers can be compared directly; undefined if they must be parsed. */
export function quickEqual(reference: string, answer: string): boolean | undefined {
  if (unspaced(reference) === unspaced(answer)) return true;
  const gold = plainNumber(reference);
  const given = plainNumber(answer);
  if (gold === undefined || given === undefined) return undefined;
  if (gold.equals(given)) return true;
  // A decimal may be a rounded fraction; the full comparison decides.
  return /[.]/.test(reference + answer) ? undefined : false;
}

// --- internal ---

/** Removes spaces, except between digits: `1 1/2` is not `11/2`. */
function unspaced(text: string): string {
  return text.replace(/(?<!\d) +| +(?!\d)/g, '');
}

const number = String.raw`(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})`;
const forms: readonly RegExp[] = [
  new RegExp(`^(?<sign>[-+]?)(?<over>${number})$`),
  new RegExp(`^(?<sign>[-+]?)(?<over>${number})\\s*/\\s*(?<under>${number})$`),
  new RegExp(`^(?<sign>[-+]?)\\\\frac\\s*\\{\\s*(?<over>-?${number})\\s*\\}\\s*\\{\\s*(?<under>${number})\\s*\\}$`),
];

/** `2`, `-0.5`, `1/3`, `\frac{1}{3}` as a number; undefined for anything else. */
function plainNumber(text: string): Fraction | undefined {
  for (const form of forms) {
    const groups = form.exec(text)?.groups;
    if (!groups) continue;
    const under = fraction(groups.under ?? '1');
    if (under.n === 0n) return undefined;
    const value = fraction(groups.over!).div(under);
    return groups.sign === '-' ? value.neg() : value;
  }
  return undefined;
}

function fraction(digits: string): Fraction {
  return new Fraction(digits.startsWith('.') ? `0${digits}` : digits.replace(/\.$/, ''));
}
