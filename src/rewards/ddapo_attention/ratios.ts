/**
 * The ratio of each completion, by the probe that `--attn_probe` names: an eager forward of its own, the masses that the
 * trainer measured anyway, or both at first and then the masses. Knows no reward; what it has to say, it says once.
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

/** How it tells what must not be told at every step. */
export interface Telling {
  /** Runs `say` the first time that this topic comes up. */
  once(topic: string, say: () => void): void;
  /** Runs `write` if no debug line was written in this run; says whether it did. */
  debugOnce(write: () => void): boolean;
}

/** One result a completion, in their order. */
export type Ratios = (spans: readonly TdrSpans[], kwargs: RewardKwargs) => Promise<TdrResult[]>;

export function createRatios({ once, debugOnce }: Telling): Ratios {
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
    // No attention, no reward: null, which the trainer leaves out and counts. A 0 would look like a verdict.
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
    for (const [i, span] of spans.entries()) results.push(await eagerRatio(i, span, kwargs)); // one after another: memory
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
    if (!check.agrees) {
      kwargs.logger.warn(
        `DDAPOAttentionORM: ${check.text}, more than ${PROBE_TOLERANCE}; staying on one eager forward per completion.`,
      );
    }
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

/** Why a completion cannot have a ratio, whatever its attention is. */
const reasonOf = ({ rows, visual, text }: TdrSpans): string | null =>
  undefinedReason({ rows, nVis: visual.length, nText: text.length });

/** Arguments of the forward for sample i: the very ids that were sampled, one sequence, no padding. */
function modelInputs(i: number, kwargs: RewardKwargs): ModelKwargs {
  const ids = Int32Array.from([...Array.from(kwargs.prompt_ids[i]!), ...Array.from(kwargs.completion_ids[i]!)]);
  const images = kwargs.images[i]!;
  return {
    input_ids: [ids],
    attention_mask: [new Int32Array(ids.length).fill(1)],
    pixel_values: images.map((image) => image.pixelValues),
    image_grid_thw: images.map((image) => image.gridThw),
    output_attentions: true,
    logits_to_keep: 1, // the logits are not looked at
  };
}

/** Ratios from the masses of the training forward; null where it measured none. */
function fusedRatios(spans: readonly TdrSpans[], kwargs: RewardKwargs): (TdrResult | null)[] {
  return spans.map((span, i) => {
    const reason = reasonOf(span);
    if (reason !== null) return { undefined: reason };
    const masses = kwargs.attention_masses?.[i];
    return masses ? tdrFromMasses(masses, span.visual.length, span.text.length) : null;
  });
}
