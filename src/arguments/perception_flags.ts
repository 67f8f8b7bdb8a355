/**
 * The flags of learning that compares with a changed image: PAPO's perception term and VPPO's choice of tokens. ms-swift has
 * neither.
 */
import { choice, type InMsSwift, number } from './flag.ts';

/** Without an effect while the comparison is off; the flags that turn it on are refused. */
const ONLY_WITH: InMsSwift = { ignored: 'ms-swift does not compare with a changed image' };
const REFUSED: InMsSwift = { refused: 'ms-swift does not compare with a changed image; use --engine sightline' };

export const perceptionFlags = {
  perception_image: choice(['blackout', 'blur', 'removed'], {
    msSwift: ONLY_WITH,
    group: 'Perception',
    default: 'blackout',
    help: 'How the image is changed for the comparison: random patches blacked out, blurred, or left out of the prompt.',
  }),
  perception_image_ratio: number({
    msSwift: ONLY_WITH,
    group: 'Perception',
    default: 0.6,
    above: 0,
    max: 1,
    unit: 'fraction of patches',
    help: 'Share of the patches that --perception_image blackout blacks out.',
  }),
  perception_image_sigma: number({
    msSwift: ONLY_WITH,
    group: 'Perception',
    default: 8,
    above: 0,
    max: 64,
    unit: 'pixels',
    help: 'Standard deviation of the Gaussian of --perception_image blur, in pixels of the resized image.',
  }),
  perception_kl_coef: number({
    msSwift: REFUSED,
    group: 'Perception',
    default: 0,
    min: 0,
    help: "Weight of PAPO's perception loss: the KL divergence (k3 estimator) from the policy under the changed image, which is maximised. PAPO uses 0.01 to 0.02. Above 0, each rollout takes one more forward.",
  }),
  perception_kl_max: number({
    msSwift: REFUSED,
    group: 'Perception',
    default: null,
    unset: '10, the limit of the KL estimate itself',
    above: 0,
    unit: 'nats',
    help: 'The KL of a token counts up to this, so that it is not driven up without end. PAPO clamps at 0.2.',
  }),
  perception_kl_tokens: number({
    msSwift: REFUSED,
    group: 'Perception',
    default: 1,
    above: 0,
    max: 1,
    unit: 'fraction of tokens',
    help: 'Share of the tokens of a completion that the perception loss counts, those with the highest KL.',
  }),
  perception_entropy_coef: number({
    msSwift: REFUSED,
    group: 'Perception',
    default: 0,
    min: 0,
    help: "Weight of PAPO's double entropy loss, which is minimised: the entropies of the policy and of the policy under the changed image, estimated on the sampled tokens. PAPO uses 0.03. Only the first has a gradient.",
  }),
  perception_token_ratio: number({
    msSwift: REFUSED,
    group: 'Perception',
    default: 1,
    above: 0,
    max: 1,
    unit: 'fraction of tokens',
    help: 'VPPO: learn only from this share of the tokens of each completion, those that depend on the image most. VPPO uses 0.4. The KL to the reference still counts all tokens.',
  }),
  perception_advantage_min: number({
    msSwift: REFUSED,
    group: 'Perception',
    default: null,
    unset: 'advantages are not scaled',
    min: 0,
    below: 1,
    help: 'VPPO: scale the advantages of a rollout by how much its completions depend on the image: the one that depends on it least by this factor, with a mean factor of 1. VPPO uses 0.9.',
  }),
} as const;
