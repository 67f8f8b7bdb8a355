/**
 * Opens the device that a command asks for, and tells which one it is.
 */
import { SightlineError } from '../errors.ts';
import { chooseDevice } from '../runtime/choose.ts';
import type { Device, DeviceChoice } from '../runtime/device.ts';
import type { RunContext } from './events.ts';

export interface DeviceArguments {
  readonly device: DeviceChoice;
  /** GiB; null: no limit. */
  readonly deviceMemory: number | null;
}

/** Bytes of `--device_memory`; undefined without it. */
export const memoryLimit = (gib: number | null): number | undefined => (gib === null ? undefined : gib * 2 ** 30);

/** Error: E_DEVICE. */
export async function openDevice(
  { device: choice, deviceMemory }: DeviceArguments,
  { emit }: Pick<RunContext, 'emit'>,
): Promise<Device> {
  const { device, note } = await chooseDevice(choice, { memory: memoryLimit(deviceMemory) });
  if (note !== null) await emit({ type: 'notice', level: 'info', text: note });
  return device;
}

/** The same for a dry run, which counts memory without a device: null, and the reason is told, where it does not work. */
export async function openDeviceToCount(
  args: DeviceArguments,
  context: Pick<RunContext, 'emit'>,
): Promise<Device | null> {
  try {
    return await openDevice(args, context);
  } catch (error) {
    if (!(error instanceof SightlineError) || error.code !== 'E_DEVICE') throw error;
    const text = `${error.message}; only its memory is counted, for a card that computes with float16. To use one: ${error.hint}`;
    await context.emit({ type: 'notice', level: 'warn', text });
    return null;
  }
}
