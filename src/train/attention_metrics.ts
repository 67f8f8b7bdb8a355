/**
 * Attention as a signal of every run, rewarded or not: how much of a completion's attention goes to the image, the text of the
 * prompt, the system block and the completion itself, and the text-dominance ratio.
 */
import { massesOf } from '../attention/probe.ts';
import { isTdr, TDR_LAYERS, tdrFromMasses, tdrSpans } from '../attention/tdr.ts';
import type { RolloutGroup } from '../grpo/rollout.ts';
import { mean, sampleStd } from '../grpo/statistics.ts';
import type { Metrics } from './events.ts';

/**
 * Means over the completions that answer prompts with an image and whose masses were measured; empty if there are none. Shares are
 * means over heads, tokens and the measured layers; the shares of image, text, system block and completion add up to 1.
 *
 * @param visualIds ids of image and video pad tokens
 */
export function attentionMetrics(groups: readonly RolloutGroup[], visualIds: readonly number[]): Metrics {
  const seen: Shares[] = [];
  for (const { prompt, completions } of groups) {
    const { visual, text } = tdrSpans(prompt.ids, prompt.systemPrefix, 0, visualIds);
    if (visual.length === 0) continue;
    for (const { ids, masses = new Map<number, Float32Array>() } of completions) {
      const measured = massesOf({ ids, masses });
      if (measured === null || measured.visual[0]!.length === 0) continue;
      const tdr = tdrFromMasses(measured, visual.length, text.length);
      seen.push({
        layers: new Map([...masses.keys()].slice(-TDR_LAYERS).map((layer, i) => [layer, meanOf(measured.visual[i]!)])),
        image: mean(measured.visual.map(meanOf))!,
        text: mean(measured.text.map(meanOf))!,
        system: mean(measured.system!.map(meanOf))!,
        tdr: isTdr(tdr) ? tdr.tdr : null,
      });
    }
  }
  if (seen.length === 0) return {};
  const over = (of: (shares: Shares) => number): number => mean(seen.map(of))!;
  const [image, text, system] = [over((each) => each.image), over((each) => each.text), over((each) => each.system)];
  const ratios = seen.flatMap(({ tdr }) => tdr ?? []);
  return {
    ...(ratios.length === 0 ? {} : { 'attention/tdr_mean': mean(ratios)!, 'attention/tdr_std': sampleStd(ratios) }),
    'attention/image_mass': image,
    'attention/text_mass': text,
    'attention/system_mass': system,
    'attention/own_mass': 1 - image - text - system,
    ...Object.fromEntries(
      [...seen[0]!.layers.keys()].map((layer) => [
        `attention/image_mass/layer_${String(layer).padStart(2, '0')}`,
        over((each) => each.layers.get(layer)!),
      ]),
    ),
  };
}

// --- internal ---

/** Of one completion. */
interface Shares {
  /** Layer -> share of the image. */
  readonly layers: ReadonlyMap<number, number>;
  readonly image: number;
  readonly text: number;
  readonly system: number;
  readonly tdr: number | null;
}

const meanOf = (values: Float32Array): number => values.reduce((sum, value) => sum + value, 0) / values.length;
