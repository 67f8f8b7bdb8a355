/**
 * Names of the rewards that need no plugin. Apart from their classes, because `--help` lists them and must start fast.
 */

export const BUILT_IN_REWARDS = [
  'accuracy',
  'attention_entropy',
  'cosine',
  'ddapo_attention',
  'external_r1v_acc',
  'format',
  'http_judge',
  'iou',
  'multiple_choice',
  'region_attention',
  'repetition',
  'soft_overlong',
  'vgr',
  'visual_decline',
] as const;
