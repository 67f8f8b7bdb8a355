/**
 * Copies of weights in blocks of channels, which products of few rows stream faster (graph/ops/blocked.ts). Knows names
 * and sizes; not what the products are for.
 */
import type { Graph } from '../../graph/graph.ts';
import { weightToBlocks } from '../../graph/ops/blocked.ts';
import type { Shape } from '../../graph/shape.ts';
import { input, type Value } from '../../graph/value.ts';
import { channelBlock } from '../../runtime/channel_block.ts';
import { compile, pin, type RuntimeOptions } from '../../runtime/session.ts';
import { type FloatTensor, view, zeros } from '../../runtime/tensor.ts';
import type { Parameters } from './parameters.ts';

export interface BlockedWeights {
  /** The copy of a weight [out, in], as [out, in, 1, 1]. */
  value(name: string): FloatTensor;
  /** Copies the weights as they are now. */
  refresh(): Promise<void>;
  release(): Promise<void>;
}

/** Room for copies of these weights; null where the processor has no blocks, or one that the sizes are no multiples of. */
export async function createBlockedWeights(
  parameters: Parameters,
  names: readonly string[],
  runtime: RuntimeOptions = {},
): Promise<BlockedWeights | null> {
  const block = await channelBlock();
  const sizes = names.map((name) => parameters.shape(name) as readonly [out: number, inner: number]);
  if (block === null || sizes.flat().some((size) => size % block !== 0)) return null;
  const executable = await compile(copies(sizes), runtime);
  const feeds: Record<string, FloatTensor> = {};
  const into: Record<string, FloatTensor> = {};
  for (const [i, [out, inner]] of sizes.entries()) {
    feeds[`weight.${i}`] = pin(view(parameters.value(names[i]!), 1, out, 1, inner));
    into[`blocks.${i}`] = pin(zeros(1, out, 1, inner));
  }
  const values = new Map(names.map((name, i) => [name, view(into[`blocks.${i}`]!, ...sizes[i]!, 1, 1)]));
  return {
    value(name) {
      const tensor = values.get(name);
      if (tensor === undefined) throw new Error(`internal: no copy of '${name}' in blocks`);
      return tensor;
    },
    refresh: async () => {
      await executable.run(feeds, into);
    },
    release: () => executable.release(),
  };
}

// --- internal ---

/** `weight.i` [1, out, 1, in] -> `blocks.i`, all in one run. */
function copies(sizes: readonly (readonly [out: number, inner: number])[]): Graph {
  const inputs: Record<string, Value> = {};
  const outputs: Record<string, Value> = {};
  for (const [i, [out, inner]] of sizes.entries()) {
    const shape: Shape = [1, out, 1, inner];
    const weight = input(`weight.${i}`, shape);
    inputs[`weight.${i}`] = weight;
    outputs[`blocks.${i}`] = weightToBlocks(weight);
  }
  return { name: 'weights in blocks', inputs, outputs };
}
