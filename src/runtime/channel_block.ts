/**
 * The block size of the kernels in graph/ops/blocked.ts. It depends on the vector registers of the processor.
 */
import { messageOf } from '../errors.ts';
import { weightToBlocks } from '../graph/ops/blocked.ts';
import { input } from '../graph/value.ts';
import type { Device } from './device.ts';
import { floats } from './tensor.ts';

/** A multiple of every block size in use. */
const CHANNELS = 64;

/** Number of channels in a block; null if there are no such kernels on this machine. */
export async function measureChannelBlock(compile: Device['compile']): Promise<number | null> {
  const weight = input('weight', [1, CHANNELS, 1, 2]);
  const graph = { name: 'channel block', inputs: { weight }, outputs: { blocks: weightToBlocks(weight) } };
  const executable = await compile(graph).catch((error: unknown) => {
    // Where the kernels are missing, the op is unknown. Any other failure is an error.
    if (/is not a registered function\/op|Could not find an implementation/.test(messageOf(error))) return null;
    throw error;
  });
  if (executable === null) return null;
  // Column 0 holds zeros and column 1 ones, so the first 1 follows a whole block of zeros.
  const columns = Float32Array.from({ length: 2 * CHANNELS }, (_, i) => i % 2);
  const { blocks } = await executable.run({ weight: floats(columns, [1, CHANNELS, 1, 2]) });
  await executable.release();
  return (blocks!.data as Float32Array).indexOf(1);
}
