/**
 * One forward that returns its attention weights, whoever trains: finds the model under its wrappers, enters the trainer's
 * surroundings, switches to eager, and leaves everything as it was. Knows no inputs, no ratio and no rewards.
 */
import { type BareModel, unwrapModel, withEagerAttention } from './implementation.ts';

/** A model that can be asked for one, as transformers has it. */
export interface EagerModel<Inputs, Outputs> extends BareModel {
  readonly is_gradient_checkpointing: boolean;
  gradient_checkpointing_disable(): void;
  gradient_checkpointing_enable(): void;
  forward(inputs: Inputs): Promise<Outputs>;
}

/** What a trainer puts around its forwards. This one needs none of it; others wrap the model and know how to undo that. */
export interface Surroundings<Model, Inputs> {
  readonly accelerator?: { unwrap_model(model: unknown): unknown } | undefined;
  readonly template: {
    forward_context(model: Model, inputs: Inputs): { enter(): void | Promise<void>; exit(): void | Promise<void> };
  };
}

/** Looks on, between entering the surroundings and leaving them. */
export interface Observer<Model, Inputs, Outputs> {
  before(model: Model, inputs: Inputs): void;
  after(outputs: Outputs): void;
}

/**
 * @param wrapped the policy as the trainer hands it over
 * @throws SightlineError E_MODEL_WRAPPER if there is no model inside; else what the forward or its surroundings throw
 */
export async function eagerForward<Inputs, Outputs, Model extends EagerModel<Inputs, Outputs>>(
  wrapped: unknown,
  inputs: Inputs,
  { accelerator, template }: Surroundings<Model, Inputs>,
  observer?: Observer<Model, Inputs, Outputs>,
): Promise<Outputs> {
  // The config that is switched must be the one the forward reads, so the model is found first.
  const model = unwrapModel<Model>(wrapped, accelerator);
  // Every attention key that config and text_config have reads 'eager' in the block, and what it was right after it,
  // whether the block returns or throws: training forwards keep flash or sdpa.
  return withEagerAttention(model, async () => {
    const checkpointing = model.is_gradient_checkpointing;
    const context = template.forward_context(model, inputs);
    if (checkpointing) model.gradient_checkpointing_disable(); // recomputed blocks return no weights
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
