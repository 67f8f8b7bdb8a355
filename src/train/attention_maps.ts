/**
 * The attention of the completions of a rollout on all columns, layer by layer: from one forward that shows it, or from one eager forward
 * for each completion. Knows forwards, not what is measured.
 */
import type { AttentionTensor } from '../attention/tdr.ts';
import { completionsOf, type RolloutGroup } from '../grpo/rollout.ts';
import type { PolicyModel } from '../models/types.ts';
import { eagerAttentions } from './eager_attentions.ts';
import type { Policy } from './policy.ts';

export interface MapRequest {
  /** Counted from 0, ascending. */
  readonly layers: readonly number[];
  /** Heads of a layer to average over; null: all. */
  readonly headsOf: (layer: number) => readonly number[] | null;
  /**
   * Called for each completion and layer, for a completion in the order of layers.
   *
   * @param sample place of the completion among those of all groups
   * @param map [T, prompt + T], later columns 0. Must not be kept
   */
  readonly onMap: (sample: number, layer: number, map: Float32Array) => void;
}

/** One forward over all groups. Errors: those of the model. */
export async function observedMaps(
  model: Pick<Policy['model'], 'observe'>,
  groups: readonly RolloutGroup[],
  { layers, headsOf, onMap }: MapRequest,
): Promise<void> {
  const firsts = groups.map((_, g) => completionsOf({ groups: groups.slice(0, g) }).length);
  // Long completions come in pieces.
  const open = new Map<number, Float32Array>();
  await model.observe(groups, {
    layers,
    headsOf,
    onRows(layer, { group, completion, first, weights }) {
      const { prompt, completions } = groups[group]!;
      const sample = firsts[group]! + completion;
      const tokens = completions[completion]!.ids.length;
      const width = prompt.ids.length + tokens;
      const map = open.get(sample) ?? new Float32Array(tokens * width);
      const [count, columns] = weights.dims as [number, number];
      for (let t = 0; t < count; t++) {
        map.set(weights.data.subarray(t * columns, t * columns + Math.min(columns, width)), (first + t) * width);
      }
      if (first + count < tokens) open.set(sample, map);
      else {
        open.delete(sample);
        onMap(sample, layer, map);
      }
    },
  });
  for (const [sample, { ids }] of completionsOf({ groups }).entries()) {
    if (ids.length === 0) showEmpty(sample, layers, onMap);
  }
}

/** One eager forward for each completion. Errors: those of `eagerAttentions`. */
export async function eagerMaps(
  model: PolicyModel,
  groups: readonly RolloutGroup[],
  { layers, headsOf, onMap }: MapRequest,
): Promise<void> {
  let sample = 0;
  for (const { prompt, completions } of groups) {
    for (const { ids } of completions) {
      if (ids.length === 0) {
        showEmpty(sample++, layers, onMap);
        continue;
      }
      const attentions = await eagerAttentions(model, prompt, ids);
      for (const layer of layers) {
        onMap(sample, layer, meanOverHeads(attentions[layer]!, headsOf(layer), prompt.ids.length));
      }
      sample++;
    }
  }
}

// --- internal ---

function showEmpty(sample: number, layers: readonly number[], onMap: MapRequest['onMap']): void {
  for (const layer of layers) onMap(sample, layer, new Float32Array(0));
}

/** The completion's rows, mean over heads: [T, S]. */
function meanOverHeads(
  { data, dims }: AttentionTensor,
  heads: readonly number[] | null,
  firstRow: number,
): Float32Array {
  const [, count, length] = dims;
  const chosen = heads ?? Array.from({ length: count }, (_, head) => head);
  const from = firstRow * length;
  return Float32Array.from({ length: (length - firstRow) * length }, (_, i) => {
    let sum = 0;
    for (const head of chosen) sum += data[head * length * length + from + i]!;
    return sum / chosen.length;
  });
}
