/**
 * Opens the device that a command asks for, and tells which one it is.
 */
import { chooseDevice } from '../runtime/choose.ts';
import type { Device, DeviceChoice } from '../runtime/device.ts';
import type { RunContext } from './events.ts';

/** Error: E_DEVICE. */
export async function openDevice(choice: DeviceChoice, { emit }: Pick<RunContext, 'emit'>): Promise<Device> {
  const { device, note } = await chooseDevice(choice);
  if (note !== null) await emit({ type: 'notice', level: 'info', text: note });
  return device;
}
