/**
 * Scores batches of given completions: log-probabilities, entropies and the text-dominance ratio (TDR) of each.
 * Knows the model, not rows or files.
 */
import type { ScoreArguments } from '../arguments/resolve.ts';
import { type CrossCheck, createProbeChoice, PROBE_TOLERANCE } from '../attention/cross_check.ts';
import { withEagerAttention } from '../attention/implementation.ts';
import { massProbe, tdrOfScored } from '../attention/probe.ts';
import { isTdr, type TdrResult, type TdrSpans, tdrFromAttentions, tdrSpans } from '../attention/tdr.ts';
import type { TokenScores } from '../engine/groups.ts';
import type { VisionLanguageModel } from '../engine/model.ts';
import { SightlineError } from '../errors.ts';
import type { ScoreSample } from './score_samples.ts';

/** Log-probabilities and entropies [completion tokens], and TDR. */
export interface SampleScore extends Pick<TokenScores, 'logps' | 'entropies'> {
  readonly spans: TdrSpans;
  readonly tdr: TdrResult;
}

/** The result of `auto`, which is reported once. */
interface Verdict {
  readonly level: 'info' | 'warn';
  readonly text: string;
}

export type Scorer = (
  samples: readonly ScoreSample[],
) => Promise<{ readonly scores: readonly SampleScore[]; readonly verdict: Verdict | null }>;

/**
 * Makes a function that scores batches of samples. With `auto`, the first sample that has a TDR is measured both ways. If the
 * results agree, only the fused probe is used from then on, otherwise only the eager forward.
 *
 * Errors of the function: E_SCORE_NOT_FINITE.
 */
export function createScorer(
  model: VisionLanguageModel,
  attnProbe: ScoreArguments['attnProbe'],
  temperature: number,
): Scorer {
  const visualIds = [model.modelConfig.imageTokenId, model.modelConfig.videoTokenId];
  const choice = createProbeChoice(attnProbe);

  return async (samples) => {
    const prompts = samples.map(({ prompt }) => prompt);
    const probe =
      choice.way() === 'eager' ? undefined : massProbe(prompts, visualIds, model.modelConfig.text.numHiddenLayers);
    const groups = samples.map(({ prompt, completion }) => ({ prompt, completions: [{ ids: completion }] }));
    const { groups: scoredGroups } = await model.score(groups, { temperature, keep: false, probe });
    const scores: SampleScore[] = [];
    let verdict: Verdict | null = null;
    for (const [i, sample] of samples.entries()) {
      const scored = scoredGroups[i]!.completions[0]!;
      requireFinite(scored, sample);
      const { prompt, completion } = sample;
      const spans = tdrSpans(prompt.ids, prompt.systemPrefix, completion.length, visualIds);
      let tdr: TdrResult;
      if (choice.way() === 'eager') tdr = await eagerTdr(model, sample, spans);
      else {
        tdr = tdrOfScored(scored, spans);
        if (choice.way() === 'both' && isTdr(tdr)) {
          const eager = await eagerTdr(model, sample, spans);
          verdict = verdictOf(choice.compare([eager], [tdr]));
          if (choice.way() !== 'fused') tdr = eager;
        }
      }
      const { logps, entropies } = scored;
      scores.push({ logps, entropies, spans, tdr });
    }
    return { scores, verdict };
  };
}

// --- internal ---

/** TDR by its definition, from the attention weights of one eager forward over prompt and completion. */
async function eagerTdr(
  model: VisionLanguageModel,
  { prompt, completion }: ScoreSample,
  spans: TdrSpans,
): Promise<TdrResult> {
  const { attentions } = await withEagerAttention(model, () =>
    model.forward({
      input_ids: [Int32Array.of(...prompt.ids, ...completion)],
      pixel_values: prompt.images.map(({ pixelValues }) => pixelValues),
      image_grid_thw: prompt.images.map(({ gridThw }) => gridThw),
      output_attentions: true,
      logits_to_keep: 1,
    }),
  );
  if (attentions === null) throw new Error('internal: an eager forward returned no attentions');
  return tdrFromAttentions(attentions, spans);
}

function verdictOf(check: CrossCheck | null): Verdict | null {
  if (check === null) return null;
  const found = `attn_probe auto: ${check.text}`;
  return check.agrees
    ? { level: 'info', text: `${found}; continuing with fused` }
    : { level: 'warn', text: `${found}, more than ${PROBE_TOLERANCE}; continuing with eager` };
}

function requireFinite({ logps, entropies }: TokenScores, { where }: ScoreSample): void {
  const at = logps.findIndex((logp, t) => !Number.isFinite(logp) || !Number.isFinite(entropies[t]!));
  if (at < 0) return;
  throw new SightlineError(
    'E_SCORE_NOT_FINITE',
    `token ${at} has log-probability ${logps[at]}, entropy ${entropies[at]}`,
    {
      where,
      hint: 'the weights of this checkpoint overflow; score an earlier one',
      exitCode: 1,
    },
  );
}
