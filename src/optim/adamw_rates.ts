/**
 * What an update of AdamW is given: tensors, settings, and the scalars that follow from them at a step.
 */
import type { Tensor } from '../runtime/tensor.ts';

export interface AdamWOptions {
  readonly beta1: number;
  readonly beta2: number;
  /** Added to the root of the second moment. */
  readonly epsilon: number;
}

/** A parameter with its gradient and moments, all of one size. Moments start as zeros. */
export interface AdamWTensors<T = Tensor> {
  readonly value: T;
  readonly grad: T;
  /** Running mean of the gradient. */
  readonly m: T;
  /** Running mean of the squared gradient. */
  readonly v: T;
}

export interface AdamWParameter extends AdamWTensors {
  readonly learningRate: number;
  /** Decoupled weight decay: each step multiplies the value by 1 - learningRate * weightDecay. */
  readonly weightDecay: number;
}

export interface AdamWStep {
  /** Number of this update, from 1. */
  readonly step: number;
  /** Factor of all gradients: the clip coefficient. */
  readonly gradScale: number;
}

/** The scalars of a parameter's update, with the clip coefficient and the bias correction folded in. */
export interface Rates {
  readonly toMean: number;
  readonly toRoot: number;
  readonly epsilon: number;
  readonly rate: number;
  readonly keep: number;
}

export function ratesOf(
  { learningRate, weightDecay }: Pick<AdamWParameter, 'learningRate' | 'weightDecay'>,
  { step, gradScale }: AdamWStep,
  { beta1, beta2, epsilon }: AdamWOptions,
): Rates {
  const correction = Math.sqrt(1 - beta2 ** step);
  return {
    toMean: (1 - beta1) * gradScale,
    toRoot: Math.sqrt(1 - beta2) * gradScale,
    epsilon: epsilon * correction,
    rate: (learningRate * correction) / (1 - beta1 ** step),
    keep: 1 - learningRate * weightDecay,
  };
}
