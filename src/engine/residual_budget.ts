/**
 * Decides whether results of products are kept for backward where the flags leave it open: up to a budget in bytes.
 */
import type { TextConfig } from '../models/architecture.ts';
import { productBytes } from './layer_tape.ts';
import { bytesOf, type Parameters } from './parameters.ts';

export interface ProductMemory {
  /** Whether a step of so many rows may keep them. */
  fits(rows: number): boolean;
  /**
   * Bytes by which their memory may still grow. A step that is too large for the budget keeps none, so a later, smaller step
   * may need more memory than the largest one.
   */
  readonly room: number;
}

export function createProductMemory(config: TextConfig, parameters: Parameters): ProductMemory {
  const budget = productBudget(bytesOf(parameters, parameters.names), bytesOf(parameters, parameters.trained));
  let mostKept = 0;
  let leftOut = false;
  return {
    fits(rows) {
      const bytes = productBytes(config, rows);
      if (bytes <= budget) mostKept = Math.max(mostKept, bytes);
      else leftOut = true;
      return bytes <= budget;
    },
    get room() {
      return leftOut ? budget - mostKept : 0;
    },
  };
}

/**
 * Bytes that results of products may take where the flags leave it open: a quarter of the memory for weights, gradients and
 * moments, and at least 256 MiB.
 *
 * @param weights bytes of all weights
 * @param trained bytes of the weights that are trained
 */
export const productBudget = (weights: number, trained: number): number =>
  Math.max(256 * 2 ** 20, (weights + 3 * trained) / 4); // trained: a gradient and two moments
