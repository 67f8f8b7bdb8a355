/**
 * `--sync_ref_model`: a reference that follows the policy, a part of the way every so many steps.
 * Knows tensors by name, not what they compute.
 *
 * Source: Gorbatovski et al. 2024 (TR-DPO, arXiv 2404.09656); ms-swift rlhf_trainers/rollout_mixin.py
 * `_sync_ref_model_weights` and TRL trainer/callbacks.py `SyncRefModelCallback`, which agree.
 */
import type { Parameters } from '../engine/parameters.ts';

/** The tensors that move: those that the policy trains. Checkpoints save them, because nothing else holds them. */
export interface MovingReference {
  readonly names: readonly string[];
  value(name: string): ReturnType<Parameters['value']>;
  /** Called after step number `step`, from 1: `reference = (1 - alpha) reference + alpha policy`, if the step is due. */
  follow(step: number): void;
  /** Call after the tensors were replaced, e.g. by those of a checkpoint. */
  changed(): void;
}

/**
 * @param reference parameters in memory, with the names and shapes of the policy's
 * @param options.forgetImages drops what was computed by the weights that change
 */
export function createMovingReference(
  policy: Pick<Parameters, 'trained' | 'value'>,
  reference: Pick<Parameters, 'value' | 'inMemory'>,
  {
    refModelSyncSteps: every,
    refModelMixupAlpha: alpha,
    forgetImages,
  }: { readonly refModelSyncSteps: number; readonly refModelMixupAlpha: number; forgetImages(): void },
): MovingReference {
  if (!reference.inMemory) throw new Error('internal: a reference that moves must be in memory');
  return {
    names: policy.trained,
    value: (name) => reference.value(name),
    follow(step) {
      if (step % every !== 0) return;
      for (const name of policy.trained) mix(reference.value(name).data, policy.value(name).data, alpha);
      forgetImages();
    },
    changed: forgetImages,
  };
}

// --- internal ---

/** In place: target = (1 - alpha) target + alpha source. */
function mix(target: Float32Array, source: Float32Array, alpha: number): void {
  for (let i = 0; i < target.length; i++) target[i] = (1 - alpha) * target[i]! + alpha * source[i]!;
}
