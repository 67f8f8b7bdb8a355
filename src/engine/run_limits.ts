/**
 * How long one kernel run may take, so that timers, signals and displays get their turns between runs.
 * Numbers only; row_chunks.ts and the files of attention do the cutting.
 */

/** Most FLOP of one run: a tenth of a second at 160 GFLOP/s. */
export const RUN_FLOP = 16e9;

/** FLOP of a backward in forwards, with a margin: the forward again, and a gradient by activations and one by weights. */
export const BACKWARD = 4;

/**
 * Fewest rows of a piece, whatever that takes. A product arranges its weight anew in every run, in a time that does not depend on
 * the rows: with 256 of them it reaches nine tenths of its rate, with 64 six to seven (docs/log.md).
 */
export const FEWEST_ROWS = 256;

/**
 * Most bytes of the products' results in one run on a device with memory of its own, which no run blocks: what lies inside a run
 * is lost to tensors. A run of so many rows keeps a card busy all the same: 2,500 in the forward of half a 3B layer.
 */
export const RUN_BYTES = 256 * 2 ** 20;
