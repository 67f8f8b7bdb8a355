/**
 * Refuses tensors that are larger than any tensor of a device, before weights are read. Frozen tables are not among them: they
 * lie there in pieces (engine/resident_weights.ts).
 */
import { roleOf } from '../engine/parameters.ts';
import { SightlineError } from '../errors.ts';
import type { Device } from '../runtime/device.ts';
import { sizeOf } from '../runtime/tensor.ts';

export interface SizedTensors {
  readonly tensors: ReadonlyMap<string, { readonly shape: readonly number[] }>;
  /** Whether it changes, in training or with a policy that it follows. */
  readonly changes: (name: string) => boolean;
  /** Whether matrices of layers are held in another form than float32, or stay on disk. */
  readonly layersElsewhere: boolean;
}

/** Error: E_DEVICE. @param where the checkpoint's folder */
export function checkTensorSizes(
  { tensors, changes, layersElsewhere }: SizedTensors,
  { name: device, largestTensor }: Pick<Device, 'name' | 'largestTensor'>,
  where: string,
): void {
  for (const [name, { shape }] of tensors) {
    const bytes = Float32Array.BYTES_PER_ELEMENT * sizeOf(shape);
    if (bytes <= largestTensor) continue;
    const refuse = (why: string, hint: string): never => {
      throw new SightlineError(
        'E_DEVICE',
        `${name} [${shape}] takes ${mib(bytes)} MiB in float32; the largest tensor of --device ${device} has ${mib(largestTensor)} MiB, and ${why}`,
        { where: `--model ${where}`, hint: `${hint}, or use --device cpu` },
      );
    };
    if (changes(name))
      refuse(
        'only what is not trained is split into pieces',
        'train an adapter (--tuner_type lora, without the tensor in --modules_to_save), or freeze the tensor (--freeze_parameters)',
      );
    if (shape.length < 2) refuse('only matrices are split into pieces', 'take a smaller model');
    if (layersElsewhere && roleOf(name) !== name)
      refuse(
        'matrices of layers are split into pieces only where they are in float32',
        'raise --weights_memory, without --quant_bits',
      );
  }
}

// --- internal ---

const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);
