/**
 * What users are told when a graphics processor has no memory for a tensor or a run. Knows how the library reports that.
 *
 * WebGPU reports it late: it hands out a buffer that is invalid, and refuses the first command that uses it. The device goes on
 * working. Some drivers end the device instead.
 */
import { messageOf, SightlineError } from '../errors.ts';
import type { Device } from './device.ts';

/** What had no room. */
export interface MemoryAsked {
  /** In words: `a tensor [2, 3]`. */
  readonly what: string;
  /** Bytes; null: not known. */
  readonly bytes: number | null;
  /** Bytes that the device held for this process at that time. */
  readonly held: number;
}

/** An error of the library as one for users, if memory or the device is gone; any other one is returned unchanged. */
export function explainDeviceMemory(error: unknown, asked: MemoryAsked): unknown {
  if (error instanceof SightlineError) return error;
  const message = messageOf(error);
  const [, limit] =
    /(?:exceeds the max buffer size limit|larger than the maximum (?:storage buffer )?binding size) \((\d+)\)/.exec(
      message,
    ) ?? [];
  if (limit !== undefined) return tooLargeTensor(Number(limit), asked, error);
  if (/Invalid Buffer.* is invalid due to a previous error|OUT_OF_DEVICE_MEMORY/.test(message))
    return outOfDeviceMemory(asked, error);
  if (/\bdevice (is |was )?lost\b|\[Device[^\]]*\] is lost/i.test(message))
    return memoryError(
      'the graphics processor was lost, as happens when its memory runs out or its driver restarts',
      asked,
      error,
    );
  return error;
}

/** Error for users: there is no room. */
export const outOfDeviceMemory = (asked: MemoryAsked, cause?: unknown): SightlineError =>
  memoryError('the memory of the graphics processor has run out', asked, cause);

/** Error for users: a single tensor is above what the device takes. */
export const tooLargeTensor = (limit: number, asked: MemoryAsked, cause?: unknown): SightlineError =>
  memoryError(`the graphics processor takes no tensor above ${gib(limit)} GiB`, asked, cause);

/** Error for users, E_DEVICE_MEMORY: so many float32 are above what the device takes. @param what in words */
export function requireRoom(device: Pick<Device, 'largestTensor' | 'memory'>, what: string, floats: number): void {
  const bytes = Float32Array.BYTES_PER_ELEMENT * floats;
  if (bytes > device.largestTensor)
    throw tooLargeTensor(device.largestTensor, { what, bytes, held: device.memory()?.bytes ?? 0 });
}

// --- internal ---

function memoryError(message: string, { what, bytes, held }: MemoryAsked, cause: unknown): SightlineError {
  const size = bytes === null ? '' : ` (${gib(bytes)} GiB)`;
  return new SightlineError(
    'E_DEVICE_MEMORY',
    `${message}: ${what}${size} was asked for, and ${gib(held)} GiB are held`,
    {
      hint:
        'lower --per_device_train_batch_size (with more --gradient_accumulation_steps), --max_completion_length or --max_pixels; ' +
        'set --gradient_checkpointing true, or with an adapter --quant_bits; or use --device cpu. ' +
        'sightline rlhf --dry_run true predicts the memory of a device, part by part',
      exitCode: 1,
      cause,
    },
  );
}

const gib = (bytes: number): string => (bytes / 2 ** 30).toFixed(2);
