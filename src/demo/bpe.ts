/**
 * Trains a byte-level BPE vocabulary for Qwen2's tokenizer: NFC, Qwen's split, bytes as printable characters.
 * Knows text and merges, not special tokens or tokenizer files.
 */
import { BYTE_CHARACTERS } from '../template/byte_level.ts';
import { QWEN2_SPLIT } from '../template/split_pattern.ts';

export interface Bpe {
  /** Token to id, ids 0 .. size - 1: the 256 bytes in code point order, then one token per merge. */
  readonly vocab: Readonly<Record<string, number>>;
  /** Pairs in the order in which they were learned, as `left right`. Neither side can contain a space. */
  readonly merges: readonly string[];
}

/** Qwen2's split for JavaScript. Node 20 does not support `(?i:)`, so both cases are spelled out. */
const SPLIT = new RegExp(
  QWEN2_SPLIT.replace(
    /\(\?i:(.*?)\)/,
    (_, group: string) => `(?:${group.replace(/[a-z]/g, (letter) => `[${letter}${letter.toUpperCase()}]`)})`,
  ),
  'gu',
);

/**
 * Learns merges until the vocabulary has `size` entries or every word is one token.
 * The most frequent pair is merged first; ties go to the pair with the smaller ids (as the `tokenizers` library does).
 */
export function trainBpe(texts: Iterable<string>, size: number): Bpe {
  const tokens = [...new Set(BYTE_CHARACTERS)].sort((a, b) => a.codePointAt(0)! - b.codePointAt(0)!);
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const words = [...countWords(texts)].map(([word, count]) => ({ ids: [...word].map((c) => ids.get(c)!), count }));
  const merges: string[] = [];
  while (tokens.length < size) {
    const pair = mostFrequentPair(words);
    if (pair === null) break;
    const [left, right] = pair;
    const merged = tokens.length;
    tokens.push(tokens[left]! + tokens[right]!);
    merges.push(`${tokens[left]} ${tokens[right]}`);
    for (const word of words) word.ids = mergePair(word.ids, left, right, merged);
  }
  return { vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges };
}

// --- internal ---

interface Word {
  ids: number[];
  readonly count: number;
}

function countWords(texts: Iterable<string>): Map<string, number> {
  const encoder = new TextEncoder();
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const [piece] of text.normalize('NFC').matchAll(SPLIT)) {
      const word = Array.from(encoder.encode(piece), (byte) => BYTE_CHARACTERS[byte]!).join('');
      counts.set(word, (counts.get(word) ?? 0) + 1);
    }
  }
  return counts;
}

function mostFrequentPair(words: readonly Word[]): [number, number] | null {
  const counts = new Map<string, { pair: [number, number]; count: number }>();
  for (const word of words) {
    for (let i = 1; i < word.ids.length; i++) {
      const pair: [number, number] = [word.ids[i - 1]!, word.ids[i]!];
      const seen = counts.get(pair.join());
      if (seen === undefined) counts.set(pair.join(), { pair, count: word.count });
      else seen.count += word.count;
    }
  }
  const [best] = [...counts.values()].sort(
    (a, b) => b.count - a.count || a.pair[0] - b.pair[0] || a.pair[1] - b.pair[1],
  );
  return best?.pair ?? null;
}

function mergePair(ids: readonly number[], left: number, right: number, merged: number): number[] {
  const result: number[] = [];
  for (let i = 0; i < ids.length; i++) {
    if (ids[i] === left && ids[i + 1] === right) {
      result.push(merged);
      i++;
    } else {
      result.push(ids[i]!);
    }
  }
  return result;
}
