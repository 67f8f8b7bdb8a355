/**
 * Per-token attention of some of a step's completions, for the log: on each visual token, in some layers, with other numbers of the tokens
 * beside it. Knows completions, not files.
 */
import { resolveLayers } from '../attention/spans/need.ts';
import { imageColumns } from '../attention/spans/prompt_columns.ts';
import { TDR_LAYERS } from '../attention/tdr.ts';
import type { CompletionAttention } from '../attention_log/writer.ts';
import { SightlineError } from '../errors.ts';
import { completionsOf } from '../grpo/rollout.ts';
import type { Template } from '../template/template.ts';
import { observedMaps } from './attention_maps.ts';
import { gridsOf } from './attention_needs.ts';
import type { LoggedAttention, Metrics } from './events.ts';
import type { Experience } from './experience.ts';
import type { Policy } from './policy.ts';
import { isLogDue, type RunLength } from './run_length.ts';
import { tokenTexts } from './token_texts.ts';

/** The layers that `--attn_log_layers` names. Error: E_ARGUMENTS if the model has not all of them. */
export function loggedLayers(flag: readonly number[] | null, numLayers: number): readonly number[] {
  const layers = resolveLayers(flag ?? `last ${TDR_LAYERS}`, numLayers);
  if (typeof layers !== 'string') return layers;
  throw new SightlineError('E_ARGUMENTS', `names ${layers}`, {
    where: '--attn_log_layers',
    hint: 'leave it out for the last 8',
  });
}

/** Whether attention is logged with the log of this step: with the first log, and then with the next one every so many steps. */
export function isAttentionDue(
  args: Parameters<typeof isLogDue>[0] & { readonly attnLogSteps: number },
  step: number,
  length: Pick<RunLength, 'maxSteps'>,
): boolean {
  if (!isLogDue(args, step, length)) return false;
  for (let before = step; before > 0; before--) {
    if (before < step && isLogDue(args, before, length)) return false;
    if (before % args.attnLogSteps === 0) return true;
  }
  return true;
}

/**
 * Measures the completions of the first prompt with an image, by a forward of their own; null if there is none. To be called while the
 * model has the weights that the completions were sampled with.
 *
 * @param entropies per completion [T]; null where none was computed
 * @param firstRow place of the experience's first completion among those of the step's log
 * Errors: those of the model
 */
export async function attentionForLog(
  { rollout, advantages, refLogps }: Pick<Experience, 'rollout' | 'advantages' | 'refLogps'>,
  entropies: readonly (Float32Array | null)[],
  firstRow: number,
  tools: {
    readonly model: Policy['model'];
    readonly template: Pick<Template, 'streamDecoder'>;
    readonly layers: readonly number[];
  },
): Promise<{ readonly logged: LoggedAttention; readonly metrics: Metrics } | null> {
  const { model, layers } = tools;
  const { imageTokenId, videoTokenId } = model.modelConfig;
  const place = rollout.groups.findIndex(({ prompt }) => prompt.images.length > 0);
  if (place < 0) return null;
  const group = rollout.groups[place]!;
  const grids = gridsOf(group.prompt, model.modelConfig);
  const visual = imageColumns({ ids: group.prompt.ids, grids }, { visual: [imageTokenId, videoTokenId] }).flatMap(
    (columns) => [...columns],
  );
  const weights = group.completions.map(({ ids }) => new Float32Array(ids.length * layers.length * visual.length));
  await observedMaps(model, [group], {
    layers,
    headsOf: () => null,
    onMap(sample, layer, map) {
      const tokens = group.completions[sample]!.ids.length;
      const width = group.prompt.ids.length + tokens;
      for (let t = 0; t < tokens; t++) {
        const into = (t * layers.length + layers.indexOf(layer)) * visual.length;
        for (const [i, column] of visual.entries()) weights[sample]![into + i] = map[t * width + column]!;
      }
    },
  });
  const first = completionsOf({ groups: rollout.groups.slice(0, place) }).length;
  const completions = group.completions.map(({ ids, logps, tokenWeights }, i): CompletionAttention => {
    const [ref, entropy] = [refLogps?.[first + i] ?? null, entropies[first + i] ?? null];
    const advantage = advantages.advantages[first + i]!;
    return {
      row: firstRow + first + i,
      tokens: tokenTexts(ids, tools.template, { skipSpecialTokens: false }),
      grids,
      weights: weights[i]!,
      channels: {
        visual_share: sharesOf(weights[i]!, ids.length, layers.length),
        ...(entropy === null ? {} : { entropy }),
        ...(ref === null || logps === undefined ? {} : { kl: logps.map((logp, t) => k3(ref[t]! - logp)) }),
        advantage: Float32Array.from(ids, (_, t) => advantage * (tokenWeights?.[t] ?? 1)),
      },
    };
  });
  const entropy = imageEntropy(weights, layers.length, visual.length);
  return {
    logged: { layers, completions },
    metrics: entropy === null ? {} : { 'attention/image_entropy': entropy },
  };
}

// --- internal ---

/** Schulman's k3 estimate of the KL of a token, as the loss has it: e^d - d - 1. */
const k3 = (d: number): number => Math.expm1(d) - d;

/** Of each token, the mean over layers of its attention on all visual tokens: [tokens, layers, n] -> [tokens]. */
function sharesOf(weights: Float32Array, tokens: number, layers: number): Float32Array {
  const size = weights.length / Math.max(1, tokens);
  return Float32Array.from({ length: tokens }, (_, t) => {
    const row = weights.subarray(t * size, (t + 1) * size);
    return row.reduce((sum, weight) => sum + weight, 0) / layers;
  });
}

/** Mean over tokens and layers of the entropy of attention over the image, in nats; null without tokens. Needs no normalised rows. */
function imageEntropy(weights: readonly Float32Array[], layers: number, n: number): number | null {
  let [sum, count] = [0, 0];
  for (const of of weights) {
    for (let from = 0; from < of.length; from += n) {
      const row = of.subarray(from, from + n);
      const total = row.reduce((all, weight) => all + weight, 0);
      for (const weight of row) if (weight > 0) sum -= (weight / total) * Math.log(weight / total);
      count++;
    }
  }
  return count === 0 || layers === 0 ? null : sum / count;
}
