/**
 * AdamW's update in a device's own memory: one run for each parameter, however short, and nothing but scalars crosses.
 */
import type { Device, Executable, Feeds } from '../runtime/device.ts';
import { floats, sizeOf, type Tensor } from '../runtime/tensor.ts';
import type { AdamWTensors, Rates } from './adamw_rates.ts';

/** @param executable of the graph in adamw.ts */
export async function updateThere(
  executable: Executable,
  parameters: readonly (AdamWTensors & { readonly rates: Rates })[],
  device: Device,
): Promise<void> {
  const flat = (tensor: Tensor): Tensor => device.view(tensor, [sizeOf(tensor.dims)]);
  // Most parameters have the same rates, which then cross once.
  const scalars = new Map<string, Feeds>();
  for (const { rates, grad, ...tensors } of parameters) {
    const key = Object.values(rates).join(' ');
    const ofRates = scalars.get(key) ?? (await uploaded(rates, device));
    scalars.set(key, ofRates);
    const [value, m, v] = [flat(tensors.value), flat(tensors.m), flat(tensors.v)];
    await executable.run({ ...ofRates, value, grad: flat(grad), m, v }, { newValue: value, newM: m, newV: v });
    await device.clear(grad);
  }
  for (const feeds of scalars.values()) for (const scalar of Object.values(feeds)) device.release(scalar);
}

// --- internal ---

async function uploaded(rates: Rates, device: Device): Promise<Feeds> {
  const feeds: Record<string, Tensor> = {};
  for (const [name, rate] of Object.entries(rates))
    feeds[name] = await device.upload(floats(Float32Array.of(rate), []));
  return feeds;
}
