/**
 * How many channels make a block on this processor (graph/ops/blocked.ts): what its vector registers hold.
 */
import { messageOf } from '../errors.ts';
import { weightToBlocks } from '../graph/ops/blocked.ts';
import { input } from '../graph/value.ts';
import { compile } from './session.ts';
import { floats } from './tensor.ts';

let known: Promise<number | null> | undefined;

/** Channels of a block; null where ONNX Runtime has no kernels for blocks. */
export function channelBlock(): Promise<number | null> {
  known ??= measure();
  return known;
}

// --- internal ---

/** A multiple of every block there is. */
const CHANNELS = 64;

async function measure(): Promise<number | null> {
  const weight = input('weight', [1, CHANNELS, 1, 2]);
  const graph = { name: 'a block', inputs: { weight }, outputs: { blocks: weightToBlocks(weight) } };
  const executable = await compile(graph).catch((error: unknown) => {
    // Builds and processors without these kernels do not know the op; anything else is an error.
    if (/is not a registered function\/op|Could not find an implementation/.test(messageOf(error))) return null;
    throw error;
  });
  if (executable === null) return null;
  // Column 0 holds zeros, column 1 ones: the first one comes behind a block of zeros.
  const columns = Float32Array.from({ length: 2 * CHANNELS }, (_, i) => i % 2);
  const { blocks } = await executable.run({ weight: floats(columns, [1, CHANNELS, 1, 2]) });
  await executable.release();
  return (blocks!.data as Float32Array).indexOf(1);
}
