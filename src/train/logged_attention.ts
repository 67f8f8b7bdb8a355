/**
 * Per-token attention of some of a step's completions, for the log: on each visual token, in some layers, with other numbers of the tokens
 * beside it. Knows completions, not files.
 */
import { rowEntropies } from '../attention/spans/averages.ts';
import { resolveLayers } from '../attention/spans/need.ts';
import { imageColumns } from '../attention/spans/prompt_columns.ts';
import { TDR_LAYERS } from '../attention/tdr.ts';
import type { CompletionAttention } from '../attention_log/writer.ts';
import { SightlineError } from '../errors.ts';
import { tokenKl } from '../grpo/kl.ts';
import type { RolloutGroup } from '../grpo/rollout.ts';
import { mean } from '../grpo/statistics.ts';
import type { Template } from '../template/template.ts';
import { observedMaps } from './attention_maps.ts';
import type { LoggedAttention, Metrics } from './events.ts';
import type { Experience } from './experience.ts';
import { gridsOf } from './image_grids.ts';
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

/** Whether attention is logged with the log of this step: with the first and the last log, and with one every so many steps. */
export function isAttentionDue(
  args: Parameters<typeof isLogDue>[0] & { readonly attnLogSteps: number },
  step: number,
  length: Pick<RunLength, 'maxSteps'>,
): boolean {
  if (!isLogDue(args, step, length)) return false;
  if (step === length.maxSteps) return true;
  for (let before = step; before > 0; before--) {
    if (before < step && isLogDue(args, before, length)) return false;
    if (before % args.attnLogSteps === 0) return true;
  }
  return true;
}

/**
 * Measures the completions of the first prompt with an image, and the best and the worst of those with an image, by a forward of their
 * own; null if there is none. To be called while the model has the weights that the completions were sampled with.
 *
 * @param tokenEntropies of the sampled distributions, per completion [T]; null where none was computed
 * @param firstRow place of the experience's first completion among those of the step's log
 * Errors: those of the model
 */
export async function attentionForLog(
  experience: LoggedExperience,
  tokenEntropies: readonly (Float32Array | null)[],
  firstRow: number,
  { model, template, layers }: AttentionLogTools,
): Promise<{ readonly logged: LoggedAttention; readonly metrics: Metrics } | null> {
  const chosen = chosenGroups(experience);
  if (chosen.length === 0) return null;
  const { modelConfig } = model;
  const visualIds = [modelConfig.imageTokenId, modelConfig.videoTokenId];
  const samples = chosen.flatMap(({ group: { prompt, completions }, places }) => {
    const grids = gridsOf(prompt, modelConfig);
    const visual = imageColumns({ ids: prompt.ids, grids }, { visual: visualIds }).flatMap((columns) => [...columns]);
    return completions.map((completion, i) => ({
      ...{ completion, grids, visual, place: places[i]!, width: prompt.ids.length + completion.ids.length },
      weights: new Float32Array(completion.ids.length * layers.length * visual.length),
    }));
  });
  const groups = chosen.map(({ group }) => group);
  await observedMaps(model, groups, {
    layers,
    headsOf: () => null,
    onMap(sample, layer, map) {
      const { completion, visual, width, weights } = samples[sample]!;
      for (let t = 0; t < completion.ids.length; t++) {
        const into = (t * layers.length + layers.indexOf(layer)) * visual.length;
        for (const [i, column] of visual.entries()) weights[into + i] = map[t * width + column]!;
      }
    },
  });
  const completions = samples.map(({ completion, grids, place, weights }): CompletionAttention => {
    const { ids, logps, tokenWeights } = completion;
    const [ref, entropy] = [experience.refLogps?.[place] ?? null, tokenEntropies[place] ?? null];
    const advantage = experience.advantages.advantages[place]!;
    return {
      row: firstRow + place,
      tokens: tokenTexts(ids, template, { skipSpecialTokens: false }),
      grids,
      weights,
      channels: {
        visual_share: sharesOf(weights, ids.length, layers.length),
        ...(entropy === null ? {} : { entropy }),
        ...(ref === null || logps === undefined ? {} : { kl: logps.map((logp, t) => tokenKl(logp, ref[t]!).value) }),
        advantage: Float32Array.from(ids, (_, t) => advantage * (tokenWeights?.[t] ?? 1)),
      },
    };
  });
  const ofFirst = samples.slice(0, groups[0]!.completions.length);
  // The mean over tokens and layers.
  const entropies = ofFirst.flatMap(({ weights, visual }) => [...rowEntropies(weights, visual.length)]);
  const entropy = mean(entropies);
  return {
    logged: { layers, completions },
    metrics: entropy === null ? {} : { 'attention/image_entropy': entropy },
  };
}

type LoggedExperience = Pick<Experience, 'rollout' | 'advantages' | 'refLogps'> & {
  readonly judged: Pick<Experience['judged'], 'totals'>;
};

export interface AttentionLogTools {
  readonly model: Policy['model'];
  readonly template: Pick<Template, 'streamDecoder'>;
  /** Counted from 0. */
  readonly layers: readonly number[];
}

// --- internal ---

/** All completions of the first prompt with an image, then the best and the worst one of the prompts with an image, if they are others. */
function chosenGroups({
  rollout: { groups },
  judged: { totals },
}: LoggedExperience): { readonly group: RolloutGroup; readonly places: readonly number[] }[] {
  let next = 0;
  const placed = groups
    .map((group) => ({ group, places: group.completions.map(() => next++) }))
    .filter(({ group }) => group.prompt.images.length > 0);
  const [first, ...others] = placed;
  if (first === undefined) return [];
  const judged = placed.flatMap(({ places }) => places).filter((place) => totals[place] !== null);
  const order = judged.sort((a, b) => totals[b]! - totals[a]!);
  const ends = [order[0], order.at(-1)];
  return [
    first,
    ...others.flatMap(({ group, places }) => {
      const kept = places.filter((place) => ends.includes(place));
      const completions = kept.map((place) => group.completions[places.indexOf(place)]!);
      return kept.length === 0 ? [] : [{ group: { ...group, completions }, places: kept }];
    }),
  ];
}

/** Of each token, the mean over layers of its attention on all visual tokens: [tokens, layers, n] -> [tokens]. */
function sharesOf(weights: Float32Array, tokens: number, layers: number): Float32Array {
  const size = weights.length / Math.max(1, tokens);
  return Float32Array.from({ length: tokens }, (_, t) => {
    const row = weights.subarray(t * size, (t + 1) * size);
    return row.reduce((sum, weight) => sum + weight, 0) / layers;
  });
}
