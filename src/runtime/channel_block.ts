/**
 * How many channels make a block on this processor (graph/ops/blocked.ts): what its vector registers hold.
 */
import { weightToBlocks } from '../graph/ops/blocked.ts';
import { input } from '../graph/value.ts';
import { compile } from './session.ts';
import { zeros } from './tensor.ts';

let known: Promise<number | null> | undefined;

/** Channels of a block; null where ONNX Runtime has no kernels for blocks. */
export function channelBlock(): Promise<number | null> {
  known ??= measure();
  return known;
}

// --- internal ---

async function measure(): Promise<number | null> {
  // Fewer channels than a block has are filled up to one.
  const weight = input('weight', [1, 4, 1, 1]);
  const graph = { name: 'a block', inputs: { weight }, outputs: { block: weightToBlocks(weight) } };
  const executable = await compile(graph).catch(() => null);
  if (executable === null) return null;
  const { block } = await executable.run({ weight: zeros(1, 4, 1, 1) });
  await executable.release();
  return block!.data.length;
}
