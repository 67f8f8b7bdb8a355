/**
 * Which metrics are the main ones, for the page of runs and for the page of one run. Knows names.
 */

/** In the order in which they are shown. A family keeps the order of the log. */
export function mainMetrics(names: readonly string[]): string[] {
  return MAIN.flatMap((pattern) => names.filter((name) => pattern.test(name)));
}

// --- internal ---

/** What a run is judged by, before everything else. */
const MAIN: readonly RegExp[] = [
  /^reward$/,
  /^reward_std$/,
  /^rewards\/.+\/mean$/,
  /^eval_reward$/,
  /^eval_rewards\/.+\/mean$/,
  /^(attention|perception)\/.+mean$/,
  /^loss$/,
  /^eval_loss$/,
  /^(eval_)?(token_)?acc(uracy)?$/,
  /^kl$/,
  /^entropy\/mean$/,
  /^completions\/mean_length$/,
  /^completions\/clipped_ratio$/,
  /^frac_reward_zero_std$/,
  /^grad_norm$/,
  /^learning_rate$/,
];
