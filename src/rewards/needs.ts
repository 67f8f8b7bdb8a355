/**
 * What a reward may ask the trainer to measure, as data:
 * `static needs = [attention({ spans: ['image', region('bbox')], layers: 'last 8' }), transformedImage({ kind: 'removed' })]`.
 * Knows how needs are written, not how they are met.
 */
import {
  type AttentionMapNeed,
  type AttentionNeed,
  type ImageAttentionMap,
  isHeadSet,
  isLayers,
  isSpanList,
  type MeasuredNeed,
  nameOfNeed,
  type SpanAttention,
} from '../attention/spans/need.ts';
import { KNOWN_SPANS } from '../attention/spans/span.ts';
import { SightlineError } from '../errors.ts';
import { type ImageTransform, nameOfTransform } from '../models/image_transform.ts';
import { isJsonObject } from '../util/json.ts';
import type { RewardKwargs, RewardNeed, TransformedImageNeed } from './contract.ts';

/** For messages. */
export const KNOWN_NEEDS =
  "'attention', attention({ spans: ['image'] }), attentionMap(), transformedImage({ kind: 'blackout', ratio: 0.6 })";

/** Options of `attention` and `attentionMap`. */
export interface AttentionOptions {
  /** Default: the last 8, those of the text-dominance ratio. */
  readonly layers?: AttentionNeed['layers'];
  /** Heads to average over, counted from 0: the same in each layer, or by layer. Default: all. */
  readonly heads?: NonNullable<AttentionNeed['heads']>;
  /** Leave out attention sinks; default false. */
  readonly withoutSinks?: boolean;
}

/**
 * The attention that a completion's tokens give to spans of columns, mean over the heads: `attentionOf(need, kwargs)`. Spans of the
 * prompt and the completion as a whole cost nothing beside training; `think`, `answer`, chosen heads and `withoutSinks` cost a
 * forward without gradients.
 *
 * @throws SightlineError E_REWARD_CLASS
 */
export function attention({
  spans,
  per = 'token',
  ...options
}: AttentionOptions & Pick<AttentionNeed, 'spans'> & Partial<Pick<AttentionNeed, 'per'>>): AttentionNeed {
  const need = { need: 'attention', spans, per, ...common(options) } as const;
  if (!isMeasured(need)) throw malformed('attention', { spans, per, ...options });
  return { ...need, name: nameOfNeed(need) };
}

/**
 * The attention that a completion's tokens give to each visual token, mean over heads and layers: `attentionMapOf(need, kwargs)`.
 * Costs a forward without gradients.
 *
 * @throws SightlineError E_REWARD_CLASS
 */
export function attentionMap(options: AttentionOptions = {}): AttentionMapNeed {
  const need = { need: 'attention_map', ...common(options) } as const;
  if (!isMeasured(need)) throw malformed('attentionMap', options);
  return { ...need, name: nameOfNeed(need) };
}

/** What was measured for this need: one entry per completion. */
export function attentionOf(
  need: AttentionNeed,
  { attention }: Pick<RewardKwargs, 'attention'>,
): readonly SpanAttention[] {
  return measuredFor(need, attention) as readonly SpanAttention[];
}

/** What was measured for this need: one entry per completion. */
export function attentionMapOf(
  need: AttentionMapNeed,
  { attention }: Pick<RewardKwargs, 'attention'>,
): readonly ImageAttentionMap[] {
  return measuredFor(need, attention) as readonly ImageAttentionMap[];
}

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
  if (!isJsonObject(value)) return false;
  if (value.need === 'transformed_image') return isTransform(value.transform);
  return isMeasured(value) && value.name === nameOfNeed(value);
}

/** The attention that these rewards ask for by spans or as maps, each need once. */
export function attentionNeedsOf(rewards: readonly { readonly needs: readonly RewardNeed[] }[]): MeasuredNeed[] {
  const all = rewards.flatMap(({ needs }) => needs.flatMap((need) => (isAttention(need) ? [need] : [])));
  return [...new Map(all.map((need) => [need.name, need])).values()];
}

/** The changes that these rewards ask for, each once. */
export function transformsOf(rewards: readonly { readonly needs: readonly RewardNeed[] }[]): ImageTransform[] {
  const all = rewards.flatMap(({ needs }) =>
    needs.flatMap((need) => (need !== 'attention' && need.need === 'transformed_image' ? [need.transform] : [])),
  );
  return [...new Map(all.map((transform) => [nameOfTransform(transform), transform])).values()];
}

/** The columns of the dataset that the regions of these needs are read from. */
export function regionColumnsOf(needs: readonly RewardNeed[]): string[] {
  const spans = needs.flatMap((need) => (isAttention(need) && need.need === 'attention' ? need.spans : []));
  return [...new Set(spans.flatMap((span) => (typeof span !== 'string' && 'region' in span ? [span.region] : [])))];
}

// --- internal ---

const isAttention = (need: RewardNeed): need is MeasuredNeed =>
  need !== 'attention' && need.need !== 'transformed_image';

function common({ layers = 'last 8', heads, withoutSinks = false }: AttentionOptions) {
  return { layers, heads: heads ?? null, withoutSinks };
}

function isMeasured(value: object): value is Omit<MeasuredNeed, 'name'> & { readonly name?: unknown } {
  const { need, spans, per, layers, heads, withoutSinks } = value as Record<string, unknown>;
  const isCommon = isLayers(layers) && (heads === null || isHeadSet(heads)) && typeof withoutSinks === 'boolean';
  if (!isCommon) return false;
  return (
    need === 'attention_map' || (need === 'attention' && isSpanList(spans) && (per === 'token' || per === 'completion'))
  );
}

function malformed(name: string, options: object): SightlineError {
  return new SightlineError('E_REWARD_CLASS', `${name} got ${JSON.stringify(options)}`, {
    hint: `spans is a list of ${KNOWN_SPANS}; layers is 'all', 'last 8', 'first 4' or a list of layers; heads is a list of heads or { layer: heads }; per is 'token' or 'completion'; withoutSinks is true or false`,
  });
}

function measuredFor(
  need: MeasuredNeed,
  attention: RewardKwargs['attention'],
): readonly (SpanAttention | ImageAttentionMap)[] {
  const measured = attention[need.name];
  if (measured !== undefined) return measured;
  throw new SightlineError('E_REWARD_CLASS', `nothing was measured for the need "${need.name}"`, {
    hint: 'list it in `static needs` of the reward',
  });
}

function isTransform(value: unknown): value is ImageTransform {
  if (typeof value !== 'object' || value === null) return false;
  const { kind, ratio, sigma } = value as Record<string, unknown>;
  const isIn = (x: unknown, most: number): boolean => typeof x === 'number' && x > 0 && x <= most;
  return kind === 'removed' || (kind === 'blackout' && isIn(ratio, 1)) || (kind === 'blur' && isIn(sigma, 64));
}
