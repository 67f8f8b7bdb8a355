/**
 * Numbers for columns in which the decimal points stand below one another.
 */
import { formatNumber } from '../report/text.ts';

/** `–` for null. Spaces as wide as a digit and as a point fill up what a number has less than the longest fraction. */
export function alignedNumbers(values: readonly (number | null)[]): string[] {
  const texts = values.map((value) => (value === null ? '–' : formatNumber(value).replace('-', '\u2212')));
  const afterPoint = (text: string): number => (text.includes('.') ? text.length - text.indexOf('.') - 1 : 0);
  const most = Math.max(0, ...texts.map(afterPoint));
  return texts.map((text) => {
    const point = text.includes('.') || most === 0 ? '' : POINT_SPACE;
    return text + point + DIGIT_SPACE.repeat(most - afterPoint(text));
  });
}

// --- internal ---

const DIGIT_SPACE = '\u2007';
const POINT_SPACE = '\u2008';
