/**
 * How far float32 results may lie from exact ones, whatever order and instructions a processor's kernels use.
 * To first order: products of errors, some 1e-12, are left out. Source: Higham, Accuracy and Stability of Numerical
 * Algorithms, 2002, section 2.2 and equation 4.4.
 */

/** Largest relative error of one rounding to float32. */
export const ROUNDING = 2 ** -24;

/** Largest error of a float32 sum of n terms, added in any order, with or without fused products, by the sum of their sizes. */
export const sumError = (n: number): number => n * ROUNDING;

/**
 * Largest relative error of float32's exp(x - shift): the subtraction rounds once, which exp multiplies by the distance; exp
 * itself is taken to be off by 2 units in the last place (kernels of ONNX Runtime show less than 1).
 */
export const expError = (distance: number): number => (distance + 4) * ROUNDING;

/**
 * How far the share of some of n tokens in float32's softmax may be off. A share s = a/(a + b) moves by s(1 - s) times the
 * relative errors of a and b, so by no more than their mean over all tokens. One is that of exp at the mean distance from
 * the likeliest token, which is no more than the entropy, so ln n; the others are the division by the sum and the share's
 * own rounding. Errors of the sum, which all tokens have in common, cancel.
 */
export const shareError = (n: number): number => expError(Math.log(n)) + 2 * ROUNDING;
