/**
 * Parameters of which only the sizes are known, to count the memory that a model takes: every tensor is zeros, and no page of
 * them is ever touched. They must not be written to; a device that only counts does not (runtime/counted.ts).
 */
import { blockBytes, blocksIn, type QuantBits } from '../checkpoint/quantised.ts';
import type { Device } from '../runtime/device.ts';
import { type FloatTensor, floats, sizeOf } from '../runtime/tensor.ts';
import { isHeld, type SizedTensor } from './held_parameters.ts';
import { jointParts, type Parameters, type ParametersOptions, parametersOf, type StoredWeight } from './parameters.ts';

/** How weights that are not trained are kept: in float32; in 16 bits or quantised, where `bits` says how; or on disk. */
export type SizedForm =
  | { readonly kind: 'float32' | 'disk' }
  | { readonly kind: 'held'; readonly bits: QuantBits | null };

export interface SizedOptions extends ParametersOptions {
  readonly form: SizedForm;
  readonly device: Device;
}

export async function sizedParameters(
  tensors: ReadonlyMap<string, SizedTensor>,
  isTrained: (name: string) => boolean,
  { form, ...options }: SizedOptions,
): Promise<Parameters> {
  const whole = await parametersOf(sizedTensors(tensors), isTrained, options);
  if (form.kind === 'float32') return whole;
  const { bits } = form.kind === 'held' ? form : { bits: null };
  const areHeld = (names: readonly string[]): boolean =>
    form.kind === 'held' && names.every((name) => tensors.has(name) && isHeld(name, tensors.get(name)!, bits));
  return {
    ...whole,
    inMemory: false,
    stored(name) {
      const parts = tensors.has(name) ? [name] : (jointParts(name) ?? [name]);
      return areHeld(parts) ? sizedWeight(whole.value(name) as FloatTensor, bits) : null;
    },
  };
}

// --- internal ---

/** Distance of two tensors' beginnings, so that none is taken for another one in the same place. */
const STEP = 16;

/** Tensors in the same memory, each from another place on; parts of a joint one lie one after another. */
function sizedTensors(tensors: ReadonlyMap<string, SizedTensor>): Map<string, FloatTensor> {
  const places = new Map<string, number>();
  let [next, end] = [0, 0];
  for (const name of tensors.keys()) {
    if (places.has(name)) continue;
    let at = next;
    for (const part of jointParts(name) ?? [name]) {
      places.set(part, at);
      at += Float32Array.BYTES_PER_ELEMENT * sizeOf(tensors.get(part)!.shape);
    }
    end = Math.max(end, at);
    next += STEP;
  }
  const memory = new ArrayBuffer(end);
  return new Map(
    [...tensors].map(([name, { shape }]) => [
      name,
      floats(new Float32Array(memory, places.get(name)!, sizeOf(shape)), shape),
    ]),
  );
}

/** A matrix as it would be held. Its words or codes lie in the memory of its values, which is larger. */
function sizedWeight({ data, dims }: FloatTensor, bits: QuantBits | null): StoredWeight {
  const [out, inner] = dims as [number, number];
  const memory = data.buffer as ArrayBuffer;
  if (bits === null)
    return {
      kind: 'half',
      words: new Uint16Array(memory, data.byteOffset, out * inner),
      block: 1,
      shift: 0,
      dims: [out, inner],
    };
  const blocks = out * blocksIn(inner);
  return {
    kind: 'quantised',
    bits,
    codes: new Uint8Array(memory, data.byteOffset, blocks * blockBytes(bits)),
    scales: new Float32Array(memory, data.byteOffset, blocks),
    dims: [out, inner],
  };
}
