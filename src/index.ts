/**
 * The public API of sightline, for reward plugins and programs. Re-exports only.
 */
export {
  AttnImpl,
  type AttnImplKey,
  attentionConfigs,
  type ConfigAttributes,
  switchAttention,
  unwrapModel,
  withEagerAttention,
} from './attention/implementation.ts';
export { averageOf, overAll, overLayers } from './attention/spans/averages.ts';
export { nameOfSpan, region, type Span } from './attention/spans/span.ts';
export {
  type AttentionMasses,
  type AttentionTensor,
  isTdr,
  TDR_EPS,
  TDR_LAYERS,
  type Tdr,
  type TdrResult,
  type TdrSpans,
  type TdrUndefined,
  tdrFromAttentions,
  tdrFromMasses,
  tdrSpans,
  undefinedReason,
} from './attention/tdr.ts';
export { SightlineError } from './errors.ts';
export type { ImageTransform } from './models/image_transform.ts';
export type { ForwardOutput, ModelConfigAttributes, ModelKwargs, PolicyModel } from './models/types.ts';
export type {
  AttentionMapNeed,
  AttentionNeed,
  AttnProbe,
  ChangedImageLogps,
  ForwardContext,
  ImageAttentionMap,
  ORM,
  OrmConstructor,
  RewardArgs,
  RewardFlag,
  RewardImage,
  RewardKwargs,
  RewardLogger,
  RewardNeed,
  RewardSignal,
  RewardTemplate,
  RewardValues,
  SpanAttention,
  TrainerState,
  TransformedImageNeed,
} from './rewards/contract.ts';
export { DDAPOAttentionORM } from './rewards/ddapo_attention/index.ts';
export { attention, attentionMap, attentionMapOf, attentionOf, transformedImage } from './rewards/needs.ts';
export { orms } from './rewards/registry.ts';
