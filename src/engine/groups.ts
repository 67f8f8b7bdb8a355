/**
 * A prompt, the completions that answer it, and the numbers a forward gives for each of their tokens.
 * Knows ids and images. Callers may put more on prompts and completions (a dataset row, a text): it stays there.
 */

import type { ModelConfig, PromptPositions } from '../models/architecture.ts';
import { type FloatTensor, rows } from '../runtime/tensor.ts';
import type { HashedImage } from './image_features.ts';

/** A prompt as the model reads it. */
export interface Prompt {
  /** [tokens], with one image pad per visual token. */
  readonly ids: Int32Array;
  /** In the order of their pads. */
  readonly images: readonly HashedImage[];
  /** Default: the multimodal rotary positions that its images give it. */
  readonly positions?: PromptPositions;
}

/** A prompt whose positions have been worked out. */
export type PlacedPrompt = Prompt & Required<Pick<Prompt, 'positions'>>;

export type Ids = Int32Array | readonly number[];

/** All that scoring needs of a completion. */
export interface CompletionIds {
  /** [tokens] */
  readonly ids: Ids;
}

/** A prompt and completions of it. */
export interface Group<P extends Prompt = Prompt, C extends CompletionIds = CompletionIds> {
  readonly prompt: P;
  readonly completions: readonly C[];
}

/** What a forward gives for the T tokens of one completion. */
export interface TokenScores {
  /** log p of each token under softmax(logits / temperature). [T] */
  readonly logps: Float32Array;
  /** Entropy of that distribution, in nats. [T] */
  readonly entropies: Float32Array;
  /** Layer -> attention mass of the token's own row on each span of prompt columns [T, spans]; empty without a probe. */
  readonly masses: ReadonlyMap<number, Float32Array>;
}

/** Works out the positions of a prompt, unless it brings its own. */
export function placed(prompt: Prompt, modelConfig: ModelConfig): PlacedPrompt {
  const grids = prompt.images.map(({ gridThw }) => gridThw);
  const positions = prompt.positions ?? modelConfig.architecture.positions(prompt.ids, grids, modelConfig);
  return { ...prompt, positions };
}

/** Token counts: per group, per completion. */
export const lengthsOf = (groups: readonly Group[]): number[][] =>
  groups.map(({ completions }) => completions.map(({ ids }) => ids.length));

/**
 * The same groups with other completions.
 *
 * @param map gets a completion and the range [start, end) of its tokens among those of all groups, in order
 */
export function mapCompletions<P extends Prompt, C extends CompletionIds, D extends CompletionIds>(
  groups: readonly Group<P, C>[],
  map: (completion: C, start: number, end: number) => D,
): Group<P, D>[] {
  let next = 0;
  return groups.map(({ prompt, completions }) => ({
    prompt,
    completions: completions.map((completion) => {
      const start = next;
      next += completion.ids.length;
      return map(completion, start, next);
    }),
  }));
}

/** Cuts the masses [all tokens, spans] of each layer to the tokens [start, end). */
export function massesBetween(
  masses: ReadonlyMap<number, FloatTensor>,
  start: number,
  end: number,
): TokenScores['masses'] {
  return new Map([...masses].map(([layer, mass]) => [layer, rows(mass, start, end).data]));
}
