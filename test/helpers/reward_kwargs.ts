/**
 * A stand-in for the policy and the arguments a reward gets, both small and in full view of the test.
 * Knows the reward contract, no model.
 */
import type { AttentionTensor } from '../../src/attention/tdr.ts';
import type { ForwardOutput, ModelConfigAttributes, ModelKwargs, PolicyModel } from '../../src/models/types.ts';
import type { RewardKwargs } from '../../src/rewards/contract.ts';

export const IMAGE = 900;
export const VIDEO = 901;

/** Records what happens to it: forwards, the attention implementation they saw, gradient checkpointing. */
export class FakePolicy implements PolicyModel {
  config: ModelConfigAttributes;
  is_gradient_checkpointing = true;
  readonly seen: { kwargs: ModelKwargs; config: ModelConfigAttributes; checkpointing: boolean }[] = [];

  constructor(
    config: ModelConfigAttributes,
    private readonly answer: (kwargs: ModelKwargs) => ForwardOutput | Promise<ForwardOutput>,
  ) {
    this.config = config;
  }

  gradient_checkpointing_disable(): void {
    this.is_gradient_checkpointing = false;
  }

  gradient_checkpointing_enable(): void {
    this.is_gradient_checkpointing = true;
  }

  async forward(kwargs: ModelKwargs): Promise<ForwardOutput> {
    this.seen.push({ kwargs, config: structuredClone(this.config), checkpointing: this.is_gradient_checkpointing });
    return this.answer(kwargs);
  }
}

/** Attention in which every row gives `visual` to each image pad and `text` to each other column. One layer, one head. */
export function flatAttention(ids: Int32Array, visual: number, text: number): AttentionTensor {
  const size = ids.length;
  const data = new Float32Array(size * size);
  for (let i = 0; i < data.length; i++) data[i] = ids[i % size] === IMAGE ? visual : text;
  return { data, dims: [1, 1, size, size] };
}

export interface RecordedKwargs extends RewardKwargs {
  readonly lines: string[];
  readonly metrics: Map<string, number>;
  readonly extras: Map<string, readonly unknown[]>;
}

/** Arguments for `samples` samples with a prompt of 1 system, 2 visual and 3 text tokens and 2 completion tokens each. */
export function rewardKwargs(samples: number, model: unknown, changes: Partial<RewardKwargs> = {}): RecordedKwargs {
  const each = <T>(value: T) => Array.from({ length: samples }, () => value);
  const lines: string[] = [];
  const metrics = new Map<string, number>();
  const extras = new Map<string, readonly unknown[]>();
  return {
    trainer_state: { global_step: 1, max_steps: 10 },
    num_generations: samples,
    prompt_ids: each([1, 2, IMAGE, IMAGE, 3, 4]),
    completion_ids: each([5, 6]),
    messages: each([]),
    images: each([
      {
        pixelValues: new Float32Array(4),
        gridThw: [1, 2, 4] as const,
        size: { stored: { width: 56, height: 28 }, shown: { width: 56, height: 28 } },
      },
    ]),
    norm_bbox: 'none',
    system_prefix: each(1),
    image_token_id: IMAGE,
    video_token_id: VIDEO,
    model: model as PolicyModel, // may be a wrapper, which is what some tests are about
    template: { forward_context: () => ({ enter: () => undefined, exit: () => undefined }) },
    attn_probe: 'eager',
    attention_masses: null,
    attention: {},
    changed_images: {},
    logger: {
      debug: (line) => lines.push(`debug ${line}`),
      info: (line) => lines.push(`info ${line}`),
      warn: (line) => lines.push(`warn ${line}`),
    },
    signal: new AbortController().signal,
    log_metric: (name, value) => metrics.set(name, value),
    log_extra: (column, values) => extras.set(column, values),
    scale_advantages: () => {},
    weigh_tokens: () => {},
    lines,
    metrics,
    extras,
    ...changes,
  };
}
