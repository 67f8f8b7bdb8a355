/**
 * Seeded random numbers (sfc32 by Chris Doty-Humphrey, PractRand), reproducible on every platform.
 * Streams are forked by label, so adding a consumer never shifts the numbers that another one sees.
 */

export interface Random {
  /** Uniform in [0, 1), with 32 random bits. */
  next(): number;
  /** Uniform integer in [0, n). */
  int(n: number): number;
  /** Standard normal (Box-Muller, one value per call). */
  normal(): number;
  /** Fisher-Yates, in place; returns the same array. */
  shuffle<T>(array: T[]): T[];
  /** An independent stream. It depends on this stream's seed and the label, not on how many numbers were drawn. */
  fork(label: string): Random;
}

/** A stream for a seed; equal seeds give equal streams. */
export function createRandom(seed: number | string): Random {
  const words = hash(String(seed));
  let [a, b, c] = words;
  let counter = 1;
  const bits = (): number => {
    const t = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + t;
    c |= 0;
    return t >>> 0;
  };
  const random: Random = {
    next: () => bits() / 2 ** 32,
    int: (n) => Math.floor((bits() / 2 ** 32) * n),
    normal: () => {
      const radius = Math.sqrt(-2 * Math.log(1 - bits() / 2 ** 32));
      return radius * Math.cos((2 * Math.PI * bits()) / 2 ** 32);
    },
    shuffle: (array) => {
      for (let i = array.length - 1; i > 0; i--) {
        const j = random.int(i + 1);
        const kept = array[i]!;
        array[i] = array[j]!;
        array[j] = kept;
      }
      return array;
    },
    fork: (label) => createRandom(`${words.join(':')}/${label}`),
  };
  for (let i = 0; i < 12; i++) bits();
  return random;
}

// --- internal ---

/** Three 32-bit words from a string (FNV-1a with different offsets, then mixed). */
function hash(text: string): [number, number, number] {
  const word = (offset: number): number => {
    let h = offset;
    for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    return (h ^ (h >>> 16)) | 0;
  };
  return [word(0x811c9dc5), word(0x9e3779b9), word(0x243f6a88)];
}
