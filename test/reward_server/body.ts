/**
 * A request to judge two completions of one prompt, as a trainer sends it.
 */
export function judgeBody(changes: Record<string, unknown> = {}): Record<string, unknown> {
  const row = { messages: [{ role: 'user', content: '<image>What?' }], images: ['a.png'], solution: 'yes' };
  return {
    reward: 'format',
    completions: ['<think>a</think><answer>yes</answer>', 'no'],
    num_generations: 2,
    step: 3,
    max_steps: 9,
    rows: [row, row],
    prompt_ids: [
      [1, 2, 3],
      [1, 2, 3],
    ],
    completion_ids: [[4], [5, 6]],
    system_prefix: [1, 1],
    images: [[{ grid_thw: [1, 4, 6], patch_size: 14 }], []],
    image_token_id: 2,
    video_token_id: -1,
    attention_masses: null,
    ...changes,
  };
}
