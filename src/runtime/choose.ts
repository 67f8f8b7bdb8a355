/**
 * From the name of a device to the device, once it has been tried.
 */
import { SightlineError } from '../errors.ts';
import { type Adapter, findAdapter, works } from './adapter.ts';
import { cpu } from './cpu.ts';
import type { Device, DeviceChoice } from './device.ts';
import { openWebgpu } from './webgpu.ts';

export interface ChosenDevice {
  readonly device: Device;
  /** What to tell about the choice; null: nothing. */
  readonly note: string | null;
}

export interface ChoiceOptions {
  /** Most bytes that tensors on a graphics processor may take. */
  readonly memory?: number | undefined;
  readonly find?: typeof findAdapter;
}

/**
 * `auto` takes the graphics processor if it computes faster than the CPU: one in software does not.
 *
 * Error: E_DEVICE, where `webgpu` is asked for and does not work.
 */
export async function chooseDevice(
  choice: DeviceChoice,
  { memory, find = findAdapter }: ChoiceOptions = {},
): Promise<ChosenDevice> {
  if (choice === 'cpu') return { device: cpu, note: null };
  const found = await find();
  if (works(found)) {
    const faster = found.seconds < found.cpuSeconds;
    if (choice === 'auto' && !faster)
      return { device: cpu, note: `${named(found)} is slower than the CPU, which is used` };
    return {
      device: await openWebgpu({ float16: found.float16, largestTensor: found.largestTensor, memory }),
      note: `runs on ${named(found)}${faster ? '' : ', which is slower than the CPU'}`,
    };
  }
  if (choice === 'auto') return { device: cpu, note: `runs on the CPU: ${found.problem}` };
  throw new SightlineError('E_DEVICE', `--device ${choice} does not work: ${found.problem}`, { hint: found.fix });
}

// --- internal ---

const named = ({ name }: Adapter): string => name ?? 'the graphics processor';
