/**
 * The layers of src, lowest first: a folder imports from lower layers only. docs/map.md tells what each is for.
 * Knows names, not imports.
 */
export const layers: readonly (readonly string[])[] = [
  ['util'],
  ['errors.ts', 'metrics'],
  ['graph'],
  ['onnx'],
  ['runtime'],
  ['nn', 'attention', 'optim', 'checkpoint'],
  ['models', 'attention_log'],
  ['adapters'],
  ['engine', 'data'],
  ['template'],
  ['grpo', 'rewards'],
  ['arguments'],
  ['train'],
  ['doctor'],
  ['report', 'demo', 'reward_server', 'ms_swift', 'ui'],
  ['run_page'],
  ['index.ts', 'cli'],
];
