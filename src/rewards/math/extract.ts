/**
 * Finds the answer in a text: inside <answer> tags, in a box, after "answer is", in LaTeX, or as the only number.
 * Knows where answers are written, not whether they are right.
 */
import { normalizeMath } from './normalize.ts';

/** Characters [start, end) of a text. */
export type Characters = readonly [start: number, end: number];

/** Where the content of the first <answer> block is; null if there is none. */
export function answerBlock(text: string): Characters | null {
  const match = /<answer>([\s\S]*?)<\/answer>/.exec(text);
  if (match === null) return null;
  const start = match.index + '<answer>'.length;
  return [start, start + match[1]!.length];
}

/** The trimmed content of the first <answer> block; null if there is none. */
export function answerTag(text: string): string | null {
  const block = answerBlock(text);
  return block && text.slice(...block).trim();
}

/**
 * The normalised mathematical answer in a text; null if there is none. The candidates are, in order: the last `\boxed{}`; the
 * last LaTeX formula between dollars, `\( \)` or `\[ \]`; and, unless `latexOnly`, the whole text, the text after "answer is",
 * "answer:" or "####", and with `anyNumber` the only number in the text. Boxes or formulas joined by commas, "and" or "or"
 * form one answer; a box or formula after a "not" is ignored.
 */
export function extractMath(text: string, options: { latexOnly?: boolean; anyNumber?: boolean } = {}): string | null {
  const boxed = lastGroup(text, boxes(text));
  if (boxed !== null) return normalizeMath(boxed, { latex: true });
  const latex = lastGroup(text, formulas(text));
  if (latex !== null) return normalizeMath(latex, { latex: true });
  if (options.latexOnly) return null;
  const whole = normalizeMath(text);
  if (whole !== null) return whole;
  const anchored = lastOf(
    text,
    /(?:\banswer(?:\s{1,9}is)?\s{0,9}:?|####)\s{0,9}([^\n]{1,400}?)\s{0,9}(?:\.\s|\.?$)/gim,
  );
  if (anchored !== null) return anchored;
  return options.anyNumber ? onlyNumber(text) : null;
}

// --- internal ---

/** A part of a text that may be its answer: the content, and the positions [from, to) in the text. */
interface Span {
  readonly content: string;
  readonly from: number;
  readonly to: number;
}

/** Longest answer in characters; bounds the search for closing delimiters. */
const longest = 4000;

/** The last match whose captured part is mathematics, normalised. */
function lastOf(text: string, pattern: RegExp): string | null {
  let last: string | null = null;
  for (const match of text.matchAll(pattern)) last = normalizeMath(match[1]!) ?? last;
  return last;
}

/** The last spans that are separated by joints only, as one list. */
function lastGroup(text: string, spans: readonly Span[]): string | null {
  const kept = spans.filter((span) => !denied.test(text.slice(Math.max(0, span.from - 40), span.from)));
  let first = kept.at(-1);
  if (!first) return null;
  let answer = first.content;
  for (const before of kept.slice(0, -1).reverse()) {
    const joint = first.from - before.to > 40 ? null : joints.exec(text.slice(before.to, first.from));
    if (!joint) break;
    answer = `${before.content}${/or/.test(joint[1]!) ? ' \\or ' : ', '}${answer}`;
    first = before;
  }
  return answer;
}

const denied =
  /(?:\b(?:not|never|nor|neither|cannot be|instead of|rather than)|n['’]t)\s+(?:be\s+|equal(?:\s+to)?\s+)?[$\s]*$/i;
const joints = /^[\s$]*(,|;|,?\s*\\?(?:text\{)?\s*(?:and|or)\s*\}?)[\s$]*$/;

/** The contents of `\boxed{...}` and `\fbox{...}`, with balanced braces. */
function boxes(text: string): Span[] {
  const found: Span[] = [];
  for (const match of text.matchAll(/\\f?box(?:ed)?\s*\{/g)) {
    const open = match.index + match[0].length;
    if (match.index < (found.at(-1)?.to ?? 0)) continue; // inside the previous box
    let depth = 1;
    for (let i = open; i < text.length && i < open + longest; i++) {
      if (text[i] === '\\') i++;
      else if (text[i] === '{') depth++;
      else if (text[i] === '}' && --depth === 0) {
        found.push({ content: text.slice(open, i), from: match.index, to: i + 1 });
        break;
      }
    }
  }
  return found.map((span) => ({ ...span, content: span.content.replace(/^\s*\\boxed\s*\{([\s\S]*)\}\s*$/, '$1') }));
}

/** Formulas that are mathematics. A dollar sign with a space on its inner side is money: "$5 and $6". */
function formulas(text: string): Span[] {
  const pattern =
    /\$\$([\s\S]{1,4000}?)\$\$|\$(?!\s)((?:\\\$|[^$]){1,4000})(?<!\s)\$(?!\d)|\\\(([\s\S]{1,4000}?)\\\)|\\\[([\s\S]{1,4000}?)\\\]/g;
  return [...text.matchAll(pattern)]
    .map((match) => ({
      content: match.slice(1).find((part) => part !== undefined) ?? '',
      from: match.index,
      to: match.index + match[0].length,
    }))
    .filter(({ content }) => normalizeMath(content, { latex: true }) !== null);
}

/** The number in a text, if there is only one and no word negates it or makes it a bound, a date or a rank. */
function onlyNumber(text: string): string | null {
  if (text.length > longest || hedged.test(text)) return null;
  const found = [
    ...text.matchAll(/[-+−]?(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)(?:\s*[/:]\s*\d+)?(?:\s*%)?/g),
  ];
  if (found.length !== 1) return null;
  const [before, after] = [text[found[0]!.index - 1] ?? ' ', text.slice(found[0]!.index + found[0]![0].length)];
  if (/[\w.\\^_/-]/.test(before) || /^(?:st|nd|rd|th)\b|^[\w^]/.test(after)) return null;
  return normalizeMath(found[0]![0]);
}

const hedged =
  /n['’]t\b|\b(?:not?|never|neither|nor|or|either|than|least|most|between|except|but|without|wrong|incorrect|almost|nearly|over|under|above|below|before|after|until|jan(?:uary)?|feb(?:ruary)?|march|april|may|june?|july?|aug(?:ust)?|sep(?:t|tember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b/i;
