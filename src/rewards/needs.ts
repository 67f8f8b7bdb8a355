/**
 * What a reward may ask the trainer to measure, as data: `static needs = ['attention', transformedImage({ kind: 'removed' })]`.
 * Knows how needs are written, not how they are met.
 */
import { SightlineError } from '../errors.ts';
import { type ImageTransform, nameOfTransform } from '../models/image_transform.ts';
import { isJsonObject } from '../util/json.ts';
import type { RewardNeed, TransformedImageNeed } from './contract.ts';

/** For messages. */
export const KNOWN_NEEDS = "'attention', transformedImage({ kind: 'blackout', ratio: 0.6 })";

/**
 * The log-probabilities of each completion under a changed image: `kwargs.changed_images[need.name]`. Costs a forward without
 * gradients for each different change.
 *
 * @param transform `{ kind: 'blackout', ratio }` (share of patches, in (0, 1]), `{ kind: 'blur', sigma }` (pixels of the resized
 * image, in (0, 64]) or `{ kind: 'removed' }`
 * @throws SightlineError E_REWARD_CLASS
 */
export function transformedImage(transform: ImageTransform): TransformedImageNeed {
  if (!isTransform(transform)) {
    throw new SightlineError('E_REWARD_CLASS', `transformedImage got ${JSON.stringify(transform)}`, {
      hint: "write { kind: 'blackout', ratio: 0.6 }, { kind: 'blur', sigma: 8 } or { kind: 'removed' }; ratio is in (0, 1], sigma in (0, 64]",
    });
  }
  return { need: 'transformed_image', transform, name: nameOfTransform(transform) };
}

export function isNeed(value: unknown): value is RewardNeed {
  if (value === 'attention') return true;
  return isJsonObject(value) && value.need === 'transformed_image' && isTransform(value.transform);
}

/** The changes that these rewards ask for, each once. */
export function transformsOf(rewards: readonly { readonly needs: readonly RewardNeed[] }[]): ImageTransform[] {
  const all = rewards.flatMap(({ needs }) => needs.flatMap((need) => (need === 'attention' ? [] : [need.transform])));
  return [...new Map(all.map((transform) => [nameOfTransform(transform), transform])).values()];
}

// --- internal ---

function isTransform(value: unknown): value is ImageTransform {
  if (typeof value !== 'object' || value === null) return false;
  const { kind, ratio, sigma } = value as Record<string, unknown>;
  const isIn = (x: unknown, most: number): boolean => typeof x === 'number' && x > 0 && x <= most;
  return kind === 'removed' || (kind === 'blackout' && isIn(ratio, 1)) || (kind === 'blur' && isIn(sigma, 64));
}
