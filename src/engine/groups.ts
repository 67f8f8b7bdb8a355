/**
 * Prompts with their images and completions, and numbers of all their tokens cut into completions.
 */

import type { ModelConfig, PromptPositions } from '../models/architecture.ts';
import { type FloatTensor, rows } from '../runtime/tensor.ts';
import type { HashedImage } from './image_features.ts';
import type { GroupToPack, Ids } from './packed.ts';

/** A prompt with its images, and completions sampled from it. */
export interface Group {
  readonly promptIds: Int32Array;
  readonly images: readonly HashedImage[];
  readonly completions: readonly Ids[];
  /** Positions of the prompt; absent: the multimodal rotary positions its images give it. */
  readonly positions?: PromptPositions;
}

export type Prompt = Omit<Group, 'completions'>;

/** A group and what the sampler knew of its tokens. */
export interface SampledGroup extends Group {
  readonly logps: readonly Float32Array[];
  readonly entropies: readonly Float32Array[];
}

export interface ScoredCompletion {
  /** [tokens]: log-probability of each token, and the entropy of the distribution it was drawn from. */
  readonly logps: Float32Array;
  readonly entropies: Float32Array;
  /** Layer -> [tokens, spans]: attention mass of the token's own row; empty without a probe. */
  readonly masses: ReadonlyMap<number, Float32Array>;
}

/** The group as the packer wants it: positions of its prompt worked out from its images. */
export function withPositions({ promptIds, images, completions, positions }: Group, sizes: ModelConfig): GroupToPack {
  const grids = images.map(({ gridThw }) => gridThw);
  return {
    promptIds,
    promptPositions: positions ?? sizes.architecture.positions(promptIds, grids, sizes),
    completions,
  };
}

export const completionsOf = (groups: readonly Pick<Group, 'completions'>[]): (readonly Ids[])[] =>
  groups.map(({ completions }) => completions);

/** Tokens of each completion. */
export const lengthsOf = (groups: readonly SampledGroup[]): number[][] =>
  groups.map(({ completions }) => completions.map(({ length }) => length));

/** Completions with what the sampler knew of their tokens, and masses [tokens, spans] of all of them. */
export function sampledCompletions(
  sampled: readonly SampledGroup[],
  masses: ReadonlyMap<number, FloatTensor>,
): ScoredCompletion[][] {
  const joined = (pick: (group: SampledGroup) => readonly Float32Array[]): Float32Array =>
    Float32Array.from(sampled.flatMap((group) => pick(group).flatMap((row) => [...row])));
  return perCompletion(sampled, {
    logps: joined(({ logps }) => logps),
    entropies: joined(({ entropies }) => entropies),
    masses,
  });
}

/** Values of all completion tokens in packed order, cut into completions. */
export function perCompletion(
  groups: readonly Pick<Group, 'completions'>[],
  all: { logps: Float32Array; entropies: Float32Array; masses: ReadonlyMap<number, FloatTensor> },
): ScoredCompletion[][] {
  let token = 0;
  return groups.map((group) =>
    group.completions.map(({ length }) => {
      const [start, end] = [token, token + length];
      token = end;
      return {
        logps: all.logps.subarray(start, end),
        entropies: all.entropies.subarray(start, end),
        masses: new Map([...all.masses].map(([layer, mass]) => [layer, rows(mass, start, end).data])),
      };
    }),
  );
}
