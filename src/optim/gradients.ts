/**
 * Sums of squares of gradients, for their norm, computed where the gradients live.
 * Knows tensors; knows no parameters and no loss.
 */
import { cpu } from '../runtime/cpu.ts';
import { type Device, here } from '../runtime/device.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { createSumsHere } from './sums_here.ts';
import { createSumsThere } from './sums_there.ts';

export interface SumOfSquares {
  /** Σ x² of each tensor, all of which are in the device's memory. Accuracy: see sums_here.ts and sums_there.ts. */
  of(tensors: readonly Tensor[]): Promise<number[]>;
  release(): Promise<void>;
}

export async function createSumOfSquares(device: Device = cpu): Promise<SumOfSquares> {
  if (!device.sharesMemory) return createSumsThere(device);
  const { of, release } = await createSumsHere(device);
  return { of: (tensors) => of(tensors.map((tensor) => here(tensor).data)), release };
}
