/**
 * The ratio of each completion, by the probe that `--attn_probe` names: from a separate eager forward, from the masses that
 * the trainer measured anyway, or from both at first and then the masses. Knows no rewards. Reports each topic once.
 */
import { createProbeChoice, PROBE_TOLERANCE, type ProbeChoice } from '../../attention/cross_check.ts';
import { eagerForward } from '../../attention/eager_forward.ts';
import {
  type TdrResult,
  type TdrSpans,
  tdrFromAttentions,
  tdrFromMasses,
  undefinedReason,
} from '../../attention/tdr.ts';
import type { ForwardOutput, ModelKwargs, PolicyModel } from '../../models/types.ts';
import type { RewardKwargs } from '../contract.ts';
import { debugInputs, debugMasses, debugOutputs } from './debug.ts';

/** Guards messages that must not be repeated at every step. */
export interface MessageOnce {
  /** Runs `say` the first time that this topic comes up. */
  once(topic: string, say: () => void): void;
  /** Runs `write` if no debug line was written in this run; returns whether it ran. */
  debugOnce(write: () => void): boolean;
}

/** One result per completion, in their order. */
export type Ratios = (spans: readonly TdrSpans[], kwargs: RewardKwargs) => Promise<TdrResult[]>;

export function createRatios({ once, debugOnce }: MessageOnce): Ratios {
  let choice: ProbeChoice | null = null;

  const eagerRatio = async (i: number, spans: TdrSpans, kwargs: RewardKwargs): Promise<TdrResult> => {
    const reason = reasonOf(spans);
    if (reason !== null) return { undefined: reason };
    let isFirst = false;
    const outputs = await eagerForward<ModelKwargs, ForwardOutput, PolicyModel>(
      kwargs.model,
      modelInputs(i, kwargs),
      kwargs,
      {
        before: (model, inputs) => {
          isFirst = debugOnce(() => debugInputs(model, inputs, kwargs.logger));
        },
        after: (of) => {
          if (isFirst) debugOutputs(of, kwargs.logger);
        },
      },
    );
    // Without attention the reward is null, which the trainer leaves out and counts. A 0 would look like a verdict.
    if (!outputs.attentions || outputs.attentions.length === 0) {
      once('missing', () =>
        kwargs.logger.warn(
          'DDAPOAttentionORM: model outputs did not include attentions. Its samples get no reward (null). Only the eager implementation returns weights: check that the forward honours output_attentions and reads the attention implementation from the config at call time.',
        ),
      );
      return { undefined: 'no attentions' };
    }
    return tdrFromAttentions(outputs.attentions, spans);
  };

  const eagerRatios: Ratios = async (spans, kwargs) => {
    const results: TdrResult[] = [];
    for (const [i, span] of spans.entries()) results.push(await eagerRatio(i, span, kwargs)); // sequentially, to bound memory
    return results;
  };

  const bothRatios = async (
    spans: readonly TdrSpans[],
    kwargs: RewardKwargs,
    { compare }: ProbeChoice,
  ): Promise<TdrResult[]> => {
    const fused = fusedRatios(spans, kwargs);
    const eager = await eagerRatios(spans, kwargs);
    const check = compare(eager, fused);
    if (check === null) return eager; // the next call tries again
    kwargs.logger.debug(`[DDAPO_DEBUG] attn_probe auto: ${check.text}`);
    // The values of the way that later calls use: a resumed run compares again, and must get the same ones.
    if (check.agrees) return eager.map((result, i) => fused[i] ?? result);
    kwargs.logger.warn(
      `DDAPOAttentionORM: ${check.text}, more than ${PROBE_TOLERANCE}; staying on one eager forward per completion.`,
    );
    return eager;
  };

  return async (spans, kwargs) => {
    const { attn_probe, attention_masses, logger } = kwargs;
    choice ??= createProbeChoice(attn_probe);
    const way = choice.way();
    if (way === 'eager') return eagerRatios(spans, kwargs);
    if (!attention_masses) {
      once('masses', () =>
        logger.info(
          `DDAPOAttentionORM: --attn_probe ${attn_probe}: the trainer gave no attention masses; one eager forward per completion instead.`,
        ),
      );
      return eagerRatios(spans, kwargs);
    }
    if (way === 'both') return bothRatios(spans, kwargs, choice);
    debugOnce(() => debugMasses(attn_probe, attention_masses, logger));
    const results: TdrResult[] = [];
    for (const [i, ratio] of fusedRatios(spans, kwargs).entries()) {
      results.push(ratio ?? (await eagerRatio(i, spans[i]!, kwargs)));
    }
    return results;
  };
}

// --- internal ---

/** The reason why a completion has no ratio, whatever its attention; null if it has one. */
const reasonOf = ({ rows, visual, text }: TdrSpans): string | null =>
  undefinedReason({ rows, nVis: visual.length, nText: text.length });

/** Arguments of the forward for sample i: one sequence without padding, with exactly the sampled ids. */
function modelInputs(i: number, kwargs: RewardKwargs): ModelKwargs {
  const ids = Int32Array.from([...Array.from(kwargs.prompt_ids[i]!), ...Array.from(kwargs.completion_ids[i]!)]);
  const images = kwargs.images[i]!;
  return {
    input_ids: [ids],
    attention_mask: [new Int32Array(ids.length).fill(1)],
    pixel_values: images.map((image) => image.pixelValues),
    image_grid_thw: images.map((image) => image.gridThw),
    output_attentions: true,
    logits_to_keep: 1, // the logits are not used
  };
}

/** Ratios from the masses of the training forward; null for a sample that it did not measure. */
function fusedRatios(spans: readonly TdrSpans[], kwargs: RewardKwargs): (TdrResult | null)[] {
  return spans.map((span, i) => {
    const reason = reasonOf(span);
    if (reason !== null) return { undefined: reason };
    const masses = kwargs.attention_masses?.[i];
    return masses ? tdrFromMasses(masses, span.visual.length, span.text.length) : null;
  });
}
