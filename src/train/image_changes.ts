/**
 * Scores sampled completions under changed images: the same tokens after a prompt whose image shows less. Knows prompts and the
 * model's forward, not what the difference is used for.
 *
 * One forward without gradients for each change: text weights are those in memory, a prompt is there once per group, and the
 * vision tower runs on changed pixels only. Prompts without images are left out of it.
 */
import type { RlhfArguments } from '../arguments/resolve.ts';
import type { PerceptionOptions } from '../grpo/perception_term.ts';
import { completionsOf, type RolloutGroup, type RolloutPrompt } from '../grpo/rollout.ts';
import { type ImageTransform, nameOfTransform } from '../models/image_transform.ts';
import type { ChangedImageLogps, RewardNeed } from '../rewards/contract.ts';
import { transformsOf } from '../rewards/needs.ts';
import type { Random } from '../util/random.ts';
import type { Policy } from './policy.ts';

/** By the name of the change; null for a completion whose prompt has no image. [N] */
export type ImageChanges = ReadonlyMap<string, readonly (ChangedImageLogps | null)[]>;

export interface ChangeTools {
  readonly model: Pick<Policy['model'], 'score'>;
  readonly temperature: number;
  /** Image, video and vision tokens, which a prompt without its image has not. */
  readonly visionTokenIds: readonly number[];
  /** Of this rollout. Each image of each group draws from a fork of it, so that no other draw shifts a mask. */
  readonly random: Random;
}

/** The change that the flags compare with; null if none of them asks for a comparison. */
export function comparedImage(args: RlhfArguments): ImageTransform | null {
  const learns = args.perceptionKlCoef > 0 || args.perceptionEntropyCoef > 0;
  if (!learns && args.perceptionTokenRatio === 1 && args.perceptionAdvantageMin === null) return null;
  switch (args.perceptionImage) {
    case 'blackout':
      return { kind: 'blackout', ratio: args.perceptionImageRatio };
    case 'blur':
      return { kind: 'blur', sigma: args.perceptionImageSigma };
    case 'removed':
      return { kind: 'removed' };
  }
}

/** The changes that flags and rewards ask for, each once; that of the flags is the first. */
export function wantedTransforms(
  args: RlhfArguments,
  rewards: readonly { readonly needs: readonly RewardNeed[] }[],
): ImageTransform[] {
  const compared = comparedImage(args);
  const asked = transformsOf(rewards);
  if (compared === null) return asked;
  return [compared, ...asked.filter((other) => nameOfTransform(other) !== nameOfTransform(compared))];
}

/** Options of PAPO's term in the loss; null without it. */
export function perceptionOptions(args: RlhfArguments): PerceptionOptions | null {
  const [klCoef, entropyCoef] = [args.perceptionKlCoef, args.perceptionEntropyCoef];
  if (klCoef === 0 && entropyCoef === 0) return null;
  return { klCoef, klMax: args.perceptionKlMax, klTokens: args.perceptionKlTokens, entropyCoef };
}

/**
 * Scores the completions of a rollout under each change. Completions without log-probabilities are scored under their own images
 * first. Errors: those of the model.
 */
export async function scoreImageChanges(
  groups: readonly RolloutGroup[],
  transforms: readonly ImageTransform[],
  { model, temperature, visionTokenIds, random }: ChangeTools,
): Promise<ImageChanges> {
  const changes = new Map<string, readonly (ChangedImageLogps | null)[]>();
  if (transforms.length === 0) return changes;
  const options = { temperature, keep: false } as const;
  const withImages = groups.filter(({ prompt }) => prompt.images.length > 0);
  const places = groups.flatMap(({ prompt }, g) => (prompt.images.length > 0 ? [g] : []));
  const areScored = completionsOf({ groups: withImages }).every(({ logps }) => logps !== undefined);
  const scored = areScored || withImages.length === 0 ? withImages : (await model.score(withImages, options)).groups;
  const logps = completionsOf({ groups: scored }).map((completion) => completion.logps!);
  for (const transform of transforms) {
    const changed = withImages.map(({ prompt, completions }, g) => ({
      prompt: changedPrompt(prompt, transform, { visionTokenIds, random: random.fork(`group ${places[g]}`) }),
      completions,
    }));
    const after = changed.length === 0 ? [] : (await model.score(changed, options)).groups;
    const pairs = completionsOf({ groups: after }).map((completion, i) => ({
      logps: logps[i]!,
      changed: completion.logps!,
    }));
    let next = 0;
    changes.set(
      nameOfTransform(transform),
      groups.flatMap(({ prompt, completions }) =>
        completions.map(() => (prompt.images.length === 0 ? null : pairs[next++]!)),
      ),
    );
  }
  return changes;
}

// --- internal ---

function changedPrompt(
  prompt: RolloutPrompt,
  transform: ImageTransform,
  { visionTokenIds, random }: Pick<ChangeTools, 'visionTokenIds' | 'random'>,
): RolloutPrompt {
  if (transform.kind === 'removed') {
    return { ...prompt, ids: prompt.ids.filter((id) => !visionTokenIds.includes(id)), images: [] };
  }
  const images = prompt.images.map((image, k) => {
    if (image.transformed === undefined) throw new Error('internal: the pixels of an image are not at hand');
    return image.transformed(transform, random.fork(`${nameOfTransform(transform)}, image ${k}`));
  });
  return { ...prompt, images };
}
