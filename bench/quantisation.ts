/**
 * What quantised weights change: log-probabilities and text-dominance ratios of the same completions, beside those of the weights
 * as they are stored. Knows numbers and files of them; not how weights are kept.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { massProbe, tdrOfScored } from '../src/attention/probe.ts';
import { isTdr, tdrSpans } from '../src/attention/tdr.ts';
import type { RolloutPrompt } from '../src/grpo/rollout.ts';
import type { Policy } from '../src/train/policy.ts';
import type { Random } from '../src/util/random.ts';

export interface ModelNumbers {
  /** log p of every completion's tokens, one after another. */
  readonly logps: readonly number[];
  /** A ratio per completion. */
  readonly ratios: readonly number[];
}

/** Of log-probabilities in nats; of ratios relative to those of the stored weights. */
export interface QuantisationError {
  readonly logps: { readonly largest: number; readonly rms: number };
  readonly ratios: { readonly largest: number; readonly rms: number };
}

/** The numbers of completions of random text tokens: `count` of `length` each. */
export async function numbersOf(
  { model, modelConfig }: Policy,
  prompt: RolloutPrompt,
  { count, length, random }: { readonly count: number; readonly length: number; readonly random: Random },
): Promise<ModelNumbers> {
  const { imageTokenId, videoTokenId, text } = modelConfig;
  const visualIds = [imageTokenId, videoTokenId];
  const completions = Array.from({ length: count }, () => ({
    // Ids below those of the pads are text.
    ids: Int32Array.from({ length }, () => random.int(Math.min(...visualIds, text.vocabSize))),
  }));
  const probe = massProbe([prompt], visualIds, text.numHiddenLayers);
  const { groups } = await model.score([{ prompt, completions }], { temperature: 1, keep: false, probe });
  const scored = groups[0]!.completions;
  const spans = tdrSpans(prompt.ids, prompt.systemPrefix, length, visualIds);
  return {
    logps: scored.flatMap(({ logps }) => [...logps]),
    ratios: scored.map((completion) => {
      const ratio = tdrOfScored(completion, spans);
      if (!isTdr(ratio)) throw new Error(`a completion has no ratio: ${ratio.undefined}`);
      return ratio.tdr;
    }),
  };
}

/** Compares with the numbers in a file, or writes them where there is none yet: then null. */
export function comparedWith(file: string, own: ModelNumbers): QuantisationError | null {
  if (!existsSync(file)) {
    writeFileSync(file, JSON.stringify(own));
    return null;
  }
  const stored = JSON.parse(readFileSync(file, 'utf8')) as ModelNumbers;
  return {
    logps: errorOf(own.logps.map((each, i) => each - stored.logps[i]!)),
    ratios: errorOf(own.ratios.map((each, i) => each / stored.ratios[i]! - 1)),
  };
}

// --- internal ---

const errorOf = (differences: readonly number[]): { largest: number; rms: number } => ({
  largest: differences.reduce((most, each) => Math.max(most, Math.abs(each)), 0),
  rms: Math.sqrt(differences.reduce((sum, each) => sum + each ** 2, 0) / differences.length),
});
