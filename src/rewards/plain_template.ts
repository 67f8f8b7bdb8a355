/**
 * The template of a trainer that puts nothing around its forwards, as sightline's own does not.
 */
import type { RewardTemplate } from './contract.ts';

export const PLAIN_TEMPLATE: RewardTemplate = {
  forward_context: () => ({ enter: () => undefined, exit: () => undefined }),
};
