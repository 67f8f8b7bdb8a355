/**
 * Copies of weights in blocks of channels, which stream faster through products of few rows (graph/ops/blocked.ts).
 * Knows names and sizes, not what the products are for.
 */
import type { Graph } from '../graph/graph.ts';
import { weightToBlocks } from '../graph/ops/blocked.ts';
import { input } from '../graph/value.ts';
import { channelBlock } from '../runtime/channel_block.ts';
import { compile, pin, type RuntimeOptions } from '../runtime/session.ts';
import { type FloatTensor, rows, view, zeros } from '../runtime/tensor.ts';
import { createPause } from '../util/event_loop.ts';
import type { Parameters } from './parameters.ts';
import { piecesOf } from './row_chunks.ts';

export interface BlockedWeights {
  /** The copy of a weight [out, in], as [out, in, 1, 1]. */
  value(name: string): FloatTensor;
  /** Copies the weights as they are now; the event loop gets its turns meanwhile. */
  refresh(): Promise<void>;
  release(): Promise<void>;
}

/** Allocates copies of these weights. Null where the processor has no blocks, or where a size is no multiple of the block. */
export async function createBlockedWeights(
  parameters: Parameters,
  names: readonly string[],
  runtime: RuntimeOptions = {},
): Promise<BlockedWeights | null> {
  const block = await channelBlock();
  const sizes = new Map(names.map((name) => [name, parameters.shape(name) as readonly [out: number, inner: number]]));
  if (block === null || [...sizes.values()].flat().some((size) => size % block !== 0)) return null;
  const executable = await compile(copy(), runtime);
  const values = new Map([...sizes].map(([name, [out, inner]]) => [name, zeros(out, inner, 1, 1)]));
  const pieces = [...sizes].flatMap(([name, [out, inner]]) => {
    // Cut between blocks of outputs, so that each block lies in one piece of the weight and of the copy.
    const most = Math.max(1, Math.floor(PIECE_BYTES / (4 * inner * block)));
    return piecesOf(out / block, most).map((piece) => {
      const [start, end] = [block * piece.start, block * piece.end];
      const cut = (tensor: FloatTensor): FloatTensor => pin(view(rows(tensor, start, end), 1, end - start, 1, inner));
      return { weight: cut(parameters.value(name)), blocks: cut(values.get(name)!) };
    });
  });
  return {
    value(name) {
      const tensor = values.get(name);
      if (tensor === undefined) throw new Error(`internal: no copy of '${name}' in blocks`);
      return tensor;
    },
    async refresh() {
      const pause = createPause();
      for (const { weight, blocks } of pieces) {
        await pause();
        await executable.run({ weight }, { blocks });
      }
    },
    release: () => executable.release(),
  };
}

// --- internal ---

/** Bytes of weights that one run copies: some 2 ms. */
const PIECE_BYTES = 16 * 2 ** 20;

function copy(): Graph {
  const weight = input('weight', [1, 'out', 1, 'in']);
  return { name: 'a weight in blocks', inputs: { weight }, outputs: { blocks: weightToBlocks(weight) } };
}
