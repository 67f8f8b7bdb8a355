/**
 * Writes the `[DDAPO_DEBUG]` lines: inputs and outputs of the first forward of a run, and the comparison of the probes.
 * Knows their wording, not when to write them.
 */
import { AttnImpl, attentionConfigs } from '../../attention/implementation.ts';
import type { ForwardOutput, ModelKwargs, PolicyModel } from '../../models/types.ts';
import type { AttentionMasses, AttnProbe, RewardLogger } from '../contract.ts';

export function debugInputs(model: PolicyModel, inputs: ModelKwargs, logger: RewardLogger): void {
  logger.debug(`[DDAPO_DEBUG] model kwargs: ${Object.keys(inputs).join(', ')}`);
  logger.debug(`[DDAPO_DEBUG] output_attentions: ${inputs.output_attentions}`);
  const [config, textConfig] = attentionConfigs(model.config);
  for (const [name, object] of [
    ['config', config],
    ['text_config', textConfig],
  ] as const) {
    const values = AttnImpl.attn_impl_keys.map(
      (key) => `${key}=${object && key in object ? String(object[key]) : '(absent)'}`,
    );
    logger.debug(`[DDAPO_DEBUG] ${name}: ${object ? values.join(', ') : '(absent)'}`);
  }
  logger.debug(`[DDAPO_DEBUG] is_gradient_checkpointing: ${model.is_gradient_checkpointing}`);
}

export function debugOutputs(outputs: ForwardOutput, logger: RewardLogger): void {
  const attentions = outputs.attentions ?? null;
  logger.debug(`[DDAPO_DEBUG] outputs: ${outputs.constructor.name}`);
  logger.debug(`[DDAPO_DEBUG] attentions is null: ${attentions === null}`);
  if (attentions !== null) {
    const shape = attentions[0] ? `(${attentions[0].dims.join(', ')})` : 'none';
    logger.debug(
      `[DDAPO_DEBUG] attentions: ${attentions.constructor.name} of length ${attentions.length}, shape of [0]: ${shape}`,
    );
  }
}

export function debugMasses(
  attnProbe: AttnProbe,
  masses: readonly (AttentionMasses | null)[],
  logger: RewardLogger,
): void {
  const first = masses.find((of) => of !== null);
  const shape = first ? `(${first.visual.length} layers, ${first.visual[0]?.length ?? 0} rows)` : 'none';
  logger.debug(
    `[DDAPO_DEBUG] attn_probe ${attnProbe}: masses of the training forward, no forward here; first sample ${shape}`,
  );
}
