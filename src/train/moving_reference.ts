/**
 * `--sync_ref_model`: a reference that follows the policy, a part of the way every so many steps.
 * Knows tensors by name, not what they compute.
 *
 * Source: Gorbatovski et al. 2024 (TR-DPO, arXiv 2404.09656); ms-swift rlhf_trainers/rollout_mixin.py
 * `_sync_ref_model_weights` and TRL trainer/callbacks.py `SyncRefModelCallback`, which agree.
 */
import type { Parameters } from '../engine/parameters.ts';
import type { Graph } from '../graph/graph.ts';
import { add, mul } from '../graph/ops/elementwise.ts';
import { input } from '../graph/value.ts';
import { here } from '../runtime/device.ts';
import { sizeOf } from '../runtime/tensor.ts';
import { changingWeights } from './half_updated.ts';

/** The tensors that move: those that the policy trains. Checkpoints save them, because nothing else holds them. */
export interface MovingReference {
  readonly names: readonly string[];
  value(name: string): ReturnType<Parameters['value']>;
  /** Called after step number `step`, from 1: `reference = (1 - alpha) reference + alpha policy`, if the step is due. Error: E_HALF_UPDATED. */
  follow(step: number): Promise<void>;
  /** Call after the tensors were replaced, e.g. by those of a checkpoint. */
  changed(): void;
  release(): Promise<void>;
}

/**
 * @param reference parameters in memory, with the names and shapes of the policy's; they live where the policy's do
 * @param options.forgetImages drops what was computed by the weights that change
 */
export async function createMovingReference(
  policy: Pick<Parameters, 'trained' | 'value' | 'device'>,
  reference: Pick<Parameters, 'value' | 'inMemory'>,
  {
    refModelSyncSteps: every,
    refModelMixupAlpha: alpha,
    forgetImages,
  }: { readonly refModelSyncSteps: number; readonly refModelMixupAlpha: number; forgetImages(): void },
): Promise<MovingReference> {
  if (!reference.inMemory) throw new Error('internal: a reference that moves must be in memory');
  const { device } = policy;
  const mixture = device.sharesMemory ? null : await device.compile(mixed(alpha));
  return {
    names: policy.trained,
    value: (name) => reference.value(name),
    async follow(step) {
      if (step % every !== 0) return;
      await changingWeights(async () => {
        for (const name of policy.trained) {
          const [target, source] = [reference.value(name), policy.value(name)];
          if (mixture === null) mix(here(target).data, here(source).data, alpha);
          else {
            const [x, y] = [target, source].map((tensor) => device.view(tensor, [sizeOf(tensor.dims)]));
            await mixture.run({ x: x!, y: y! }, { mixed: x! });
          }
        }
      });
      forgetImages();
    },
    changed: forgetImages,
    release: async () => mixture?.release(),
  };
}

// --- internal ---

/** The same on tensors of a device. */
function mixed(alpha: number): Graph {
  const [x, y] = [input('x', ['N']), input('y', ['N'])];
  return { name: 'moved reference', inputs: { x, y }, outputs: { mixed: add(mul(x, 1 - alpha), mul(y, alpha)) } };
}

/** In place: target = (1 - alpha) target + alpha source. */
function mix(target: Float32Array, source: Float32Array, alpha: number): void {
  for (let i = 0; i < target.length; i++) target[i] = (1 - alpha) * target[i]! + alpha * source[i]!;
}
