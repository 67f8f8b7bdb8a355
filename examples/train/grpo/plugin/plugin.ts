/**
 * The DDAPO attention reward: completions should look at the picture, not only at the words of the prompt.
 * Knows how to get a completion's attention and what to make of it; knows nothing of advantages or losses.
 *
 * The policy runs once over prompt + completion with eager attention, and the text-dominance ratio of the completion,
 *   TDR = (attention per text column of the prompt) / (attention per visual column),
 * becomes the reward in one of three forms:
 *   plain (default)      -TDR
 *   centred              -(TDR - 1)                              DDAPO_REWARD_CENTER=1, or --ddapo_reward_center true
 *   group-normalised     -(TDR - mean) / (std + eps) in a group   DDAPO_GROUP_NORM=1, or --ddapo_group_norm true
 *
 * Group-normalised rewards have mean 0 in every group BY CONSTRUCTION: rewards/DDAPOAttentionORM/mean then reads 0 although
 * all is well, and attention/tdr_mean is the number to watch. The plain form varies little within a group (a std of some
 * hundredths), so beside an accuracy of weight 4 it needs a large weight to matter.
 *
 * Load it with --external_plugins examples/train/grpo/plugin/plugin.ts --reward_funcs ddapo_attention ...
 */
import {
  AttnImpl,
  attentionConfigs,
  type ForwardOutput,
  isTdr,
  type ModelKwargs,
  type ORM,
  orms,
  type PolicyModel,
  type RewardArgs,
  type RewardKwargs,
  type RewardLogger,
  SightlineError,
  TDR_EPS,
  type TdrResult,
  type TdrSpans,
  tdrFromAttentions,
  tdrFromMasses,
  tdrSpans,
  undefinedReason,
  unwrapModel,
  withEagerAttention,
} from 'sightline';

/** `--attn_probe auto` goes on with the fused masses if they agree this well with the eager forward, relative. */
const PROBE_TOLERANCE = 1e-3;

export class DDAPOAttentionORM implements ORM {
  /** The trainer measures attention masses in its own forward only for rewards that ask. */
  static readonly needs = ['attention'] as const;
  /** The debug lines describe the first sample of the run only. */
  static _debugDone = false;

  private readonly rewardCenter: boolean;
  private readonly groupNorm: boolean;
  private readonly said = new Set<string>();
  /** What `--attn_probe auto` found out. */
  private crossCheck: 'pending' | 'agreed' | 'disagreed' = 'pending';

  constructor(args: RewardArgs = {}) {
    this.rewardCenter = isOn('ddapo_reward_center', args.ddapo_reward_center, 'DDAPO_REWARD_CENTER');
    this.groupNorm = isOn('ddapo_group_norm', args.ddapo_group_norm, 'DDAPO_GROUP_NORM');
  }

  async call(completions: readonly string[], kwargs: RewardKwargs): Promise<(number | null)[]> {
    const visualIds = [kwargs.image_token_id, kwargs.video_token_id];
    const spans = completions.map((_, i) =>
      tdrSpans(kwargs.prompt_ids[i]!, kwargs.system_prefix[i]!, kwargs.completion_ids[i]!.length, visualIds),
    );
    const results = await this.measure(spans, kwargs);
    this.report(results, kwargs);

    const ratios = results.map((result) => (isTdr(result) ? result.tdr : null));
    if (this.groupNorm) return groupNormalised(ratios, kwargs.num_generations);
    return ratios.map((tdr) => (tdr === null ? null : this.rewardCenter ? -(tdr - 1) : -tdr));
  }

  // --- where the attention comes from ---

  /** One ratio per sample, by the probe `--attn_probe` names. */
  private async measure(spans: readonly TdrSpans[], kwargs: RewardKwargs): Promise<TdrResult[]> {
    const { attn_probe, attention_masses, logger } = kwargs;
    if (attn_probe === 'eager' || this.crossCheck === 'disagreed') return this.eagerRatios(spans, kwargs);
    if (!attention_masses) {
      this.once('masses', () =>
        logger.info(
          `DDAPOAttentionORM: --attn_probe ${attn_probe}: the trainer gave no attention masses; one eager forward per completion instead.`,
        ),
      );
      return this.eagerRatios(spans, kwargs);
    }
    if (attn_probe === 'auto' && this.crossCheck === 'pending') return this.crossChecked(spans, kwargs);
    const fused = fusedRatios(spans, kwargs);
    this.debugOnce(() => {
      const masses = attention_masses.find((m) => m !== null);
      const shape = masses ? `(${masses.visual.length} layers, ${masses.visual[0]?.length ?? 0} rows)` : 'none';
      logger.debug(
        `[DDAPO_DEBUG] attn_probe ${attn_probe}: masses of the training forward, no forward here; first sample ${shape}`,
      );
    });
    const results: TdrResult[] = [];
    for (const [i, ratio] of fused.entries()) results.push(ratio ?? (await this.eagerRatio(i, spans[i]!, kwargs)));
    return results;
  }

  private async eagerRatios(spans: readonly TdrSpans[], kwargs: RewardKwargs): Promise<TdrResult[]> {
    const results: TdrResult[] = [];
    for (const [i, span] of spans.entries()) results.push(await this.eagerRatio(i, span, kwargs)); // one after another: memory
    return results;
  }

  /** The plain reading: one forward of the policy on prompt + completion that returns its attention weights. */
  private async eagerRatio(i: number, spans: TdrSpans, kwargs: RewardKwargs): Promise<TdrResult> {
    const reason = undefinedReason({ rows: spans.rows, nVis: spans.visual.length, nText: spans.text.length });
    if (reason !== null) return { undefined: reason };

    // 1. The config that is switched must be the one the forward reads, so first find the model under its wrappers.
    const model = unwrapModel<PolicyModel>(kwargs.model, kwargs.accelerator);
    // 2. and 3. Every attention key that config and text_config have is saved and set to 'eager' before the block, and
    // restored right after it, whether it returns or throws: training forwards keep flash or sdpa.
    const outputs = await withEagerAttention(model, () =>
      this.forwardWithAttention(model, modelInputs(i, kwargs), kwargs),
    );
    // 6. No attention, no reward: null, which the trainer leaves out and counts. A 0 would look like a verdict.
    if (!outputs.attentions || outputs.attentions.length === 0) {
      this.once('missing', () =>
        kwargs.logger.warn(
          'DDAPOAttentionORM: model outputs did not include attentions. Its samples get no reward (null). Only the eager implementation returns weights: check that the forward honours output_attentions and reads the attention implementation from the config at call time.',
        ),
      );
      return { undefined: 'no attentions' };
    }
    // 4. The formula.
    return tdrFromAttentions(outputs.attentions, spans);
  }

  /** The forward itself: inside the template's context, gradient checkpointing off, nothing kept for a backward. */
  private async forwardWithAttention(
    model: PolicyModel,
    inputs: ModelKwargs,
    kwargs: RewardKwargs,
  ): Promise<ForwardOutput> {
    const checkpointing = model.is_gradient_checkpointing;
    const context = kwargs.template.forward_context(model, inputs);
    if (checkpointing) model.gradient_checkpointing_disable();
    try {
      await context.enter();
      try {
        // 5. What went in and what came out, for the first sample of the run.
        const debug = this.debugOnce(() => debugInputs(model, inputs, kwargs.logger));
        const outputs = await model.forward(inputs);
        if (debug) debugOutputs(outputs, kwargs.logger);
        return outputs;
      } finally {
        await context.exit();
      }
    } finally {
      if (checkpointing) model.gradient_checkpointing_enable();
    }
  }

  /** First call of `--attn_probe auto`: both ways for these samples; the fused one is trusted if they agree. */
  private async crossChecked(spans: readonly TdrSpans[], kwargs: RewardKwargs): Promise<TdrResult[]> {
    const fused = fusedRatios(spans, kwargs);
    const eager = await this.eagerRatios(spans, kwargs);
    let compared = 0;
    let largest = 0;
    for (const [i, result] of eager.entries()) {
      const other = fused[i];
      if (!isTdr(result) || other === null || other === undefined) continue;
      compared++;
      largest = Math.max(largest, isTdr(other) ? Math.abs(other.tdr - result.tdr) / Math.abs(result.tdr) : Infinity);
    }
    if (compared === 0) return eager; // nothing to compare here; the next call tries again
    this.crossCheck = largest <= PROBE_TOLERANCE ? 'agreed' : 'disagreed';
    const difference = `largest relative difference of TDR, fused against eager: ${largest.toExponential(2)} over ${compared} samples`;
    kwargs.logger.debug(`[DDAPO_DEBUG] attn_probe auto: ${difference}`);
    if (this.crossCheck === 'disagreed') {
      kwargs.logger.warn(
        `DDAPOAttentionORM: ${difference}, more than ${PROBE_TOLERANCE}; staying on one eager forward per completion.`,
      );
    }
    return eager;
  }

  // --- what the reader of the run gets ---

  private report(results: readonly TdrResult[], kwargs: RewardKwargs): void {
    const ratios: number[] = [];
    for (const result of results) {
      if (isTdr(result)) ratios.push(result.tdr);
      else {
        this.once(result.undefined, () =>
          kwargs.logger.info(
            `DDAPOAttentionORM: a sample has no ratio (${result.undefined}); its reward is null. attention/undefined_frac counts them.`,
          ),
        );
      }
    }
    if (ratios.length > 0) {
      const mean = ratios.reduce((sum, x) => sum + x, 0) / ratios.length;
      const squares = ratios.reduce((sum, x) => sum + (x - mean) ** 2, 0);
      kwargs.log_metric('attention/tdr_mean', mean);
      // Sample std, as of rewards/*/std: in the plain form the two agree.
      kwargs.log_metric('attention/tdr_std', ratios.length > 1 ? Math.sqrt(squares / (ratios.length - 1)) : 0);
    }
    kwargs.log_metric('attention/undefined_frac', results.length === 0 ? 0 : 1 - ratios.length / results.length);
    kwargs.log_extra(
      'tdr',
      results.map((result) => (isTdr(result) ? result.tdr : null)),
    );
    if (this.groupNorm) {
      this.once('group_norm', () =>
        kwargs.logger.info(
          'DDAPOAttentionORM: group-normalised form: the mean is 0 in every group by construction, so rewards/DDAPOAttentionORM/mean reads 0 although all is well. Watch attention/tdr_mean.',
        ),
      );
    }
  }

  private once(topic: string, say: () => void): void {
    if (this.said.has(topic)) return;
    this.said.add(topic);
    say();
  }

  /** Runs `write` if nothing was written before in this run; says whether it did. */
  private debugOnce(write: () => void): boolean {
    if (DDAPOAttentionORM._debugDone) return false;
    DDAPOAttentionORM._debugDone = true;
    write();
    return true;
  }
}

// biome-ignore lint/complexity/useLiteralKeys: written as the original has it
orms['ddapo_attention'] = DDAPOAttentionORM;

/** Arguments of the forward for sample i: the very ids that were sampled, one sequence, no padding. */
function modelInputs(i: number, kwargs: RewardKwargs): ModelKwargs {
  const ids = Int32Array.from([...Array.from(kwargs.prompt_ids[i]!), ...Array.from(kwargs.completion_ids[i]!)]);
  const images = kwargs.images[i]!;
  return {
    input_ids: [ids],
    attention_mask: [new Int32Array(ids.length).fill(1)],
    pixel_values: images.map((image) => image.pixelValues),
    image_grid_thw: images.map((image) => image.gridThw),
    output_attentions: true,
    logits_to_keep: 1, // the logits are not looked at
  };
}

/** Ratios from the masses of the training forward; null where it measured none. */
function fusedRatios(spans: readonly TdrSpans[], kwargs: RewardKwargs): (TdrResult | null)[] {
  return spans.map((span, i) => {
    const reason = undefinedReason({ rows: span.rows, nVis: span.visual.length, nText: span.text.length });
    if (reason !== null) return { undefined: reason };
    const masses = kwargs.attention_masses?.[i];
    return masses ? tdrFromMasses(masses, span.visual.length, span.text.length) : null;
  });
}

/** -(TDR - mean) / (std + eps) with the population std over each whole group; samples without a ratio stay out of both. */
function groupNormalised(ratios: readonly (number | null)[], groupSize: number): (number | null)[] {
  if (ratios.length % groupSize !== 0) {
    throw new SightlineError(
      'E_REWARD_GROUP',
      `ddapo_attention got ${ratios.length} completions, which is no multiple of num_generations ${groupSize}`,
      { hint: 'the group-normalised form needs whole groups' },
    );
  }
  return ratios.map((tdr, i) => {
    if (tdr === null) return null;
    const first = i - (i % groupSize);
    const group = ratios.slice(first, first + groupSize).filter((x) => x !== null);
    const mean = group.reduce((sum, x) => sum + x, 0) / group.length;
    const std = Math.sqrt(group.reduce((sum, x) => sum + (x - mean) ** 2, 0) / group.length);
    return -(tdr - mean) / (std + TDR_EPS);
  });
}

/** A switch: the reward option if given, else the environment variable, else off. */
function isOn(option: string, value: unknown, variable: string): boolean {
  const text = String(value ?? process.env[variable] ?? '').toLowerCase();
  if (['1', 'true', 'yes', 'on'].includes(text)) return true;
  if (['', '0', 'false', 'no', 'off'].includes(text)) return false;
  throw new SightlineError('E_REWARD_OPTION', `ddapo_attention: "${text}" is neither on nor off`, {
    where: value === undefined ? variable : `option ${option}`,
    hint: 'write 1 or 0',
  });
}

function debugInputs(model: PolicyModel, inputs: ModelKwargs, logger: RewardLogger): void {
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

function debugOutputs(outputs: ForwardOutput, logger: RewardLogger): void {
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
