/**
 * Decides how the frozen weights under an adapter are kept: in float32, in 16 bits or quantised, or on disk.
 * Knows sizes and the machine's memory; reads no weights.
 */
import type { Checkpoint, StoredTensor } from '../checkpoint/open.ts';
import type { QuantBits } from '../checkpoint/quantised.ts';
import { type HeldOptions, heldBytes, holdParameters } from '../engine/held_parameters.ts';
import { loadParameters, type Parameters, STREAM_BYTES, streamParameters } from '../engine/parameters.ts';
import { SightlineError } from '../errors.ts';
import { sizeOf } from '../runtime/tensor.ts';
import { machineMemory } from '../util/machine_memory.ts';

export interface FrozenOptions {
  /** Null: not quantised. */
  readonly quantBits: QuantBits | null;
  /** Bytes; null: half of the machine's memory. */
  readonly weightsMemory: number | null;
}

export type FrozenForm =
  | { readonly kind: 'float32' }
  | { readonly kind: 'held'; readonly bits: QuantBits | null; readonly bytes: number }
  | { readonly kind: 'disk' };

type Tensors = ReadonlyMap<string, Pick<StoredTensor, 'shape' | 'dtype'>>;

/**
 * The form that is fastest among those that fit. Float32 below 4 GiB, because it needs no widening; then as the checkpoint
 * stores the weights; then on disk.
 *
 * Errors: E_MEMORY, if quantised weights do not fit: they cannot stay on disk, where there are none.
 */
export function frozenForm(tensors: Tensors, { quantBits, weightsMemory }: FrozenOptions, where: string): FrozenForm {
  const most = weightsMemory ?? machineMemory().most / 2;
  if (quantBits !== null) {
    const bytes = heldBytes(tensors, quantBits);
    if (weightsMemory === null || bytes <= most) return { kind: 'held', bits: quantBits, bytes };
    throw new SightlineError(
      'E_MEMORY',
      `weights of ${quantBits} bits take ${gib(bytes)} GiB, more than --weights_memory ${gib(most)}`,
      { where: `--model ${where}`, hint: `raise --weights_memory${quantBits === 8 ? ', or set --quant_bits 4' : ''}` },
    );
  }
  const float32 = [...tensors.values()].reduce((sum, { shape }) => sum + 4 * sizeOf(shape), 0);
  if (float32 <= (weightsMemory ?? STREAM_BYTES)) return { kind: 'float32' };
  const bytes = heldBytes(tensors, null);
  return bytes <= most ? { kind: 'held', bits: null, bytes } : { kind: 'disk' };
}

/** Reads weights in this form. Error: E_WEIGHT_NOT_FINITE. */
export function readFrozen(
  checkpoint: Checkpoint,
  form: FrozenForm,
  { onRead, device }: Pick<HeldOptions, 'onRead' | 'device'> = {},
): Promise<Parameters> {
  if (form.kind === 'float32') return loadParameters(checkpoint, () => false, { onRead });
  if (form.kind === 'disk') return streamParameters(checkpoint, onRead);
  return holdParameters(checkpoint, { bits: form.bits, onRead, device });
}

// --- internal ---

const gib = (bytes: number): string => (bytes / 2 ** 30).toFixed(2);
