/**
 * Reads the letters in an answer: "B", "(b)", "A, C", "B. a dog", "the answer is B", or the text of an option.
 * Knows how choices are written, not which one is right.
 */

/** Letter to text, from A on without gaps. */
export type Options = ReadonlyMap<string, string>;

/**
 * The letters in an answer, sorted and joined ("AC"); null if there is none, or one that is not an option.
 *
 * The answer is read in the first of these ways that gives letters of options: it is one letter; it is the text of exactly one
 * option; it is a list of letters; it begins like an option, "B. a dog"; it contains "the answer is B".
 *
 * @param options null if they are not known: then A to Z are letters, and no text is an option
 */
export function lettersOf(answer: string, options: Options | null): string | null {
  const text = withoutMarkup(answer);
  for (const read of [oneLetter, optionOf, listed, leading, concluding]) {
    const letters = read(text, options);
    if (letters === null || !letters.every((letter) => options?.has(letter) ?? true)) continue;
    return [...new Set(letters)].sort().join('');
  }
  return null;
}

/**
 * Options from a column: a list of texts, an object of texts by letter, or either as JSON text. Letters that the texts
 * begin with ("A. a cat", "B. a dog") are removed. Null for anything else.
 */
export function optionsOf(column: unknown): Options | null {
  const value = typeof column === 'string' ? parsedOrNull(column) : column;
  if (Array.isArray(value)) return ofTexts(value);
  if (typeof value !== 'object' || value === null) return null;
  const entries = Object.entries(value)
    .map(([letter, text]) => [letter.trim().toUpperCase(), text] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return entries.every(([letter], i) => letter === ALPHABET[i]) ? ofTexts(entries.map(([, text]) => text)) : null;
}

// --- internal ---

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';

function ofTexts(texts: readonly unknown[]): Options | null {
  if (texts.length === 0 || texts.length > ALPHABET.length) return null;
  if (!texts.every((text) => typeof text === 'string' || typeof text === 'number')) return null;
  const plain = texts.map((text) => String(text).trim());
  const begin = plain.map((text) => /^\(?([A-Za-z])[.):]\s{0,9}(?=\S)/.exec(text));
  const numbered = begin.every((match, i) => (match?.[1] ?? '').toUpperCase() === ALPHABET[i]);
  return new Map(plain.map((text, i) => [ALPHABET[i]!, numbered ? text.slice(begin[i]![0].length) : text]));
}

function parsedOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** The answer without \boxed{} and \text{} around it, emphasis, dollar signs, and quotes, blanks and full stops at its ends. */
function withoutMarkup(answer: string): string {
  const boxed = [...answer.matchAll(/\\boxed\{([^{}]{0,400}|\\text\{[^{}]{0,400}\})\}/g)].at(-1)?.[1];
  return (boxed ?? answer)
    .replace(/\\text\{([^{}]{0,400})\}/g, '$1')
    .replace(/[*`$]/g, '')
    .replace(/^[\s"'“]+|[\s."'”]+$/g, '');
}

const LETTER = String.raw`[(\[]?([A-Z])[)\].:]?`;
const AND = String.raw`\s{0,9}(?:[,;&+/]|,?\s{0,9}\band\b)\s{0,9}`;
const LIST = new RegExp(`^${LETTER}(?:${AND}${LETTER}){1,25}$`, 'i');
const ONE = new RegExp(`^${LETTER}$`, 'i');

/** "B", "b", "(B)", "B." */
function oneLetter(text: string): string[] | null {
  const letter = ONE.exec(text)?.[1];
  return letter === undefined ? null : [letter.toUpperCase()];
}

/** "A, C and D", "(a), (c)"; or capitals in their order without anything between them, "ACD". */
function listed(text: string): string[] | null {
  if (/^[A-Z]{2,26}$/.test(text)) return isRising(text) ? [...text] : null;
  if (!LIST.test(text)) return null;
  return [...text.replace(/\band\b/gi, ',').matchAll(/[A-Z]/gi)].map(([letter]) => letter.toUpperCase());
}

const isRising = (text: string): boolean => [...text].every((letter, i) => i === 0 || text[i - 1]! < letter);

const plainText = (text: string): string => text.replace(/\s+/g, ' ').replace(/\.$/, '').trim().toLowerCase();

/** The letter of the option with this text; null if no option has it, or several have. */
function optionOf(text: string, options: Options | null): string[] | null {
  const wanted = plainText(text);
  const found = [...(options ?? [])].filter(([, option]) => plainText(option) === wanted);
  return found.length === 1 ? [found[0]![0]] : null;
}

/** "B. a dog", "(B) a dog", "B: a dog": a letter with its mark, a blank, and any text. */
function leading(text: string): string[] | null {
  const letter = /^(?:\(([A-Z])\)|\[([A-Z])\]|([A-Z])[.):])(?:\s|$)/.exec(text)?.slice(1).find(Boolean);
  return letter === undefined ? null : [letter];
}

const CONCLUSION =
  /\b(?:answer|option|choice)\b(?:\s+(?:is|would be|should be)\b)?\s{0,9}:?\s{0,9}(?:option\s+|choice\s+)?[(["']?([A-Z])(?![A-Za-z0-9'’])(?!\s+(?:or|nor)\b)/gi;

/** The last "answer is B", "Answer: (B)", "option B". An "A" or "I" before a lower-case word is an article or a pronoun. */
function concluding(text: string): string[] | null {
  const found = [...text.matchAll(CONCLUSION)].filter((match) => {
    const letter = match[1]!;
    if (letter !== letter.toUpperCase()) return false;
    const rest = text.slice(match.index + match[0].length);
    return !(/[AI]/.test(letter) && /^\s+(?!because\b|since\b|as\b)[a-z]/.test(rest));
  });
  const last = found.at(-1);
  return last === undefined ? null : [last[1]!];
}
