/**
 * How much one kernel run may take on, so that timers, signals and displays get their turn between two.
 * Numbers only; who cuts what is in pieces.ts and where attention is run.
 */

/** FLOP of one run: a tenth of a second where kernels make 160 GFLOP/s. */
export const RUN_FLOP = 16e9;

/** A backward over its forward: the forward again, and a product each by activations and by weights. */
export const BACKWARD = 4;

/** Pieces of fewer rows would spend their time on reading the weights. */
export const FEWEST_ROWS = 64;
