/**
 * The DDAPO attention reward as a plugin, to copy and to change. The reward itself is built in (src/rewards/ddapo_attention):
 * `--reward_funcs ddapo_attention` needs no plugin. Loaded, this takes its place under its name.
 *
 *   --external_plugins examples/train/grpo/plugin/plugin.ts --reward_funcs ddapo_attention ...
 */
import { DDAPOAttentionORM as BuiltIn, orms } from 'sightline';

export class DDAPOAttentionORM extends BuiltIn {
  /**
   * Rewards of a batch's text-dominance ratios (TDR), the completions of a prompt together, `groupSize` of them; null where
   * a completion has no ratio. As built in: -TDR, or centred or group-normalised, as --ddapo_reward_center and
   * --ddapo_group_norm say. A form of one's own goes here.
   */
  protected override rewardsOf(ratios: readonly (number | null)[], groupSize: number): (number | null)[] {
    return super.rewardsOf(ratios, groupSize);
  }
}

// biome-ignore lint/complexity/useLiteralKeys: written as the original has it
orms['ddapo_attention'] = DDAPOAttentionORM;
