/**
 * Finds the answer in a piece of text: inside <answer> tags, in a box, after an "answer is", in LaTeX, or the last number.
 * Knows where answers are written, not whether they are right.
 */
import { normalizeMath } from './normalize.ts';

/** What stands in the first <answer> block, trimmed; null if there is none. */
export function answerTag(text: string): string | null {
  const match = /<answer>([\s\S]*?)<\/answer>/.exec(text);
  return match ? match[1]!.trim() : null;
}

/**
 * The mathematical answer a text gives, normalised; null if it gives none. In order: the last `\boxed{}`; the last piece
 * of LaTeX between dollars or `\( \)`, `\[ \]`; and unless `latexOnly`, the whole text, what follows "answer is", "answer:"
 * or "####", and with `anyNumber` the last number in it.
 */
export function extractMath(text: string, options: { latexOnly?: boolean; anyNumber?: boolean } = {}): string | null {
  const boxed = lastBoxed(text);
  if (boxed !== null) return normalizeMath(boxed);
  // A dollar that touches no formula on its inner side is money: "$5 and $6".
  const latex = lastOf(
    text,
    /\$\$([\s\S]+?)\$\$|\$(?!\s)([^$]+)(?<!\s)\$(?!\d)|\\\(([\s\S]+?)\\\)|\\\[([\s\S]+?)\\\]/g,
  );
  if (latex !== null) return latex;
  if (options.latexOnly) return null;
  const whole = normalizeMath(text);
  if (whole !== null) return whole;
  const anchored = lastOf(text, /(?:\banswer(?:\s+is)?\s*:?|####)\s*([^\n]+?)\s*(?:\.\s|\.?$)/gim);
  if (anchored !== null) return anchored;
  return options.anyNumber
    ? lastOf(text, /([-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d))(?:\s*\/\s*\d+)?\s*%?)/g)
    : null;
}

// --- internal ---

/** The last match whose captured part is maths. */
function lastOf(text: string, pattern: RegExp): string | null {
  let last: string | null = null;
  for (const match of text.matchAll(pattern)) {
    last = normalizeMath(match.slice(1).find((part) => part !== undefined) ?? '') ?? last;
  }
  return last;
}

/** Contents of the last `\boxed{...}` or `\fbox{...}`, braces balanced. */
function lastBoxed(text: string): string | null {
  const start = Math.max(text.lastIndexOf('\\boxed{'), text.lastIndexOf('\\fbox{'));
  if (start < 0) return null;
  const open = text.indexOf('{', start);
  let depth = 0;
  for (let i = open; i < text.length; i++) {
    if (text[i] === '\\') i++;
    else if (text[i] === '{') depth++;
    else if (text[i] === '}' && --depth === 0) return text.slice(open + 1, i);
  }
  return null;
}
