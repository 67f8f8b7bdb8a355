/**
 * Attention sinks: columns that get much attention from all tokens, whatever they are about. Knows weights, not tokens.
 *
 * Xiao et al. 2023 (arXiv 2309.17453) found them in the first tokens, Kang et al. 2025 (arXiv 2503.03321) among visual ones, which
 * they tell by large activations. Weights alone are used here, since every attention implementation has those: the constants are
 * this program's.
 */

/** A column is a sink if so many of the tokens ... */
const SHARE_OF_TOKENS = 0.9;
/** ... give it so many times what they give to a column on average. */
const TIMES_AVERAGE = 10;

/**
 * The sinks of one layer: the first column, and each to which nine tenths of the completion's tokens give more than ten times their
 * average.
 *
 * @param map attention of the tokens of a completion: [tokens, columns], later columns 0
 * @param promptColumns number of columns before the completion
 */
export function sinksOf(map: Float32Array, columns: number, promptColumns: number): ReadonlySet<number> {
  const tokens = columns === 0 ? 0 : map.length / columns;
  const sinks = new Set<number>(columns === 0 ? [] : [0]);
  // A column of the completion is seen by the tokens from it on.
  for (let column = 1; column < columns; column++) {
    const from = Math.max(0, column - promptColumns);
    let drawn = 0;
    for (let t = from; t < tokens; t++) {
      if (map[t * columns + column]! > TIMES_AVERAGE / (promptColumns + t + 1)) drawn++;
    }
    // The last tokens of a completion are seen by too few to tell.
    if (tokens - from >= LEAST_TOKENS && drawn >= SHARE_OF_TOKENS * (tokens - from)) sinks.add(column);
  }
  return sinks;
}

const LEAST_TOKENS = 4;
