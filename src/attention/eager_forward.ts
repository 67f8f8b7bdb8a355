/**
 * One forward that returns its attention weights, under any trainer: finds the model inside its wrappers, switches to eager
 * attention, enters the trainer's context, and restores everything. Knows no inputs, no ratios and no rewards.
 */
import { type BareModel, unwrapModel, withEagerAttention } from './implementation.ts';

/** A model that offers such a forward, with the names of transformers. */
export interface EagerModel<Inputs, Outputs> extends BareModel {
  readonly is_gradient_checkpointing: boolean;
  gradient_checkpointing_disable(): void;
  gradient_checkpointing_enable(): void;
  forward(inputs: Inputs): Promise<Outputs>;
}

/** What a trainer puts around its forwards. Sightline needs none of it; other trainers wrap the model and can unwrap it. */
export interface Surroundings<Model, Inputs> {
  readonly accelerator?: { unwrap_model(model: unknown): unknown } | undefined;
  readonly template: {
    forward_context(model: Model, inputs: Inputs): { enter(): void | Promise<void>; exit(): void | Promise<void> };
  };
}

/** Called right before and right after the forward, inside the trainer's context. */
export interface Observer<Model, Inputs, Outputs> {
  before(model: Model, inputs: Inputs): void;
  after(outputs: Outputs): void;
}

/**
 * @param wrapped the policy as the trainer hands it over
 * @throws SightlineError E_MODEL_WRAPPER if there is no model inside; errors of the forward and its context pass through
 */
export async function eagerForward<Inputs, Outputs, Model extends EagerModel<Inputs, Outputs>>(
  wrapped: unknown,
  inputs: Inputs,
  { accelerator, template }: Surroundings<Model, Inputs>,
  observer?: Observer<Model, Inputs, Outputs>,
): Promise<Outputs> {
  // The config to switch is the one that the forward reads, so the model is unwrapped first.
  const model = unwrapModel<Model>(wrapped, accelerator);
  // Inside the block, every attention key of config and text_config reads 'eager'. Afterwards each has its old value again,
  // even if the block throws, so training forwards keep flash or sdpa.
  return withEagerAttention(model, async () => {
    const checkpointing = model.is_gradient_checkpointing;
    const context = template.forward_context(model, inputs);
    if (checkpointing) model.gradient_checkpointing_disable(); // checkpointed blocks return no weights
    try {
      await context.enter();
      try {
        observer?.before(model, inputs);
        const outputs = await model.forward(inputs);
        observer?.after(outputs);
        return outputs;
      } finally {
        await context.exit();
      }
    } finally {
      if (checkpointing) model.gradient_checkpointing_enable();
    }
  });
}
