/**
 * Elements of parameters and of their gradients, wherever they live: on the CPU the arrays themselves, else copies.
 */
import type { Parameters } from '../../src/engine/parameters.ts';

export const elementsOf = async (parameters: Parameters, name: string): Promise<Float32Array> =>
  (await parameters.device.download(parameters.value(name))).data;

export const gradientOf = async (parameters: Parameters, name: string): Promise<Float32Array> =>
  (await parameters.device.download(parameters.gradient(name))).data;

/** Copies of all gradients, by name. */
export async function gradientsOf(parameters: Parameters): Promise<Map<string, Float32Array>> {
  const gradients = new Map<string, Float32Array>();
  for (const name of parameters.trained) gradients.set(name, (await gradientOf(parameters, name)).slice());
  return gradients;
}
