/**
 * What can be told without weights is told before they are read: here they hold a NaN, which reading would find.
 */
import { openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { infer } from '../../src/cli/infer.ts';
import { rlhf } from '../../src/cli/rlhf.ts';
import { score } from '../../src/cli/score.ts';
import { sft } from '../../src/cli/sft.ts';
import { SightlineError } from '../../src/errors.ts';
import { pretendIo } from '../cli/io.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { pictureRow, type TinyProject, tinyFlags, tinyProject, writeRows } from '../helpers/tiny.ts';

const root = temporaryFolder();
let project: TinyProject;
beforeAll(async () => {
  project = await tinyProject(root);
  spoilWeights(join(project.model, 'model.safetensors'));
  const answer = { role: 'assistant', content: 'red' };
  const answered = { ...pictureRow('0.png', 'which?'), messages: [...pictureRow('0.png', 'which?').messages, answer] };
  writeRows(join(root, 'answered.jsonl'), [answered]);
  writeRows(join(root, 'ids.jsonl'), [answered, { ...answered, completion_ids: [1, 447, 448] }]);
  writeFileSync(join(root, 'no.png'), readFileSync(join(root, '0.png')).subarray(0, 200));
  writeRows(join(root, 'torn.jsonl'), [{ ...answered, images: ['no.png'] }]);
});

/** The last weight becomes a NaN. */
function spoilWeights(path: string): void {
  const size = readFileSync(path).byteLength;
  writeSync(openSync(path, 'r+'), Uint8Array.of(0, 0, 0xc0, 0x7f), 0, 4, size - 4);
}

async function codeOf(run: Promise<void>): Promise<string> {
  try {
    await run;
  } catch (error) {
    if (error instanceof SightlineError) return error.code;
    throw error;
  }
  return 'no error';
}

const { io } = pretendIo();
const inFolder = (changes: Record<string, string>) => tinyFlags(project, { output_dir: join(root, 'out'), ...changes });
const others = (...words: string[]) => ['--model', project.model, ...words];
const rowsOf = (name: string) => ['--dataset', join(root, name)];

test('the weights are wrong', async () => {
  expect(await codeOf(rlhf(inFolder({}), io))).toBe('E_WEIGHT_NOT_FINITE');
  const answered = [...others(...rowsOf('answered.jsonl'))];
  expect(await codeOf(sft([...answered, '--output_dir', join(root, 'out')], io))).toBe('E_WEIGHT_NOT_FINITE');
  expect(await codeOf(score([...answered, '--output', join(root, 's.jsonl')], io))).toBe('E_WEIGHT_NOT_FINITE');
  expect(await codeOf(infer(others('--prompt', 'which?'), io))).toBe('E_WEIGHT_NOT_FINITE');
});

test.each<[string, Record<string, string>, string]>([
  ['a setting that the schedule does not have', { lr_scheduler_kwargs: '{"a": 1}' }, 'E_ARGUMENTS'],
  ['a schedule without its setting', { lr_scheduler_type: 'cosine_with_min_lr' }, 'E_ARGUMENTS'],
  ['completions longer than the model', { max_completion_length: '513' }, 'E_COMPLETION_LENGTH'],
  ['a prompt longer than --max_length', { max_length: '4' }, 'E_PROMPT_TOO_LONG'],
  ['an image of which a half is missing', { dataset: 'torn' }, 'E_IMAGE_CORRUPT'],
  ['the same in an evaluation row', { val_dataset: 'torn' }, 'E_IMAGE_CORRUPT'],
])('rlhf: %s', async (_, changes, code) => {
  const paths = Object.entries(changes).map(([name, value]) => [
    name,
    value === 'torn' ? join(root, 'torn.jsonl') : value,
  ]);
  const few = changes.dataset === undefined ? {} : { per_device_train_batch_size: '4' };
  expect(await codeOf(rlhf(inFolder({ ...Object.fromEntries(paths), ...few }), io))).toBe(code);
});

test('sft: the schedule, the length, and the first image', async () => {
  const words = (name: string, ...more: string[]) => [
    ...others(...rowsOf(name)),
    '--output_dir',
    join(root, 'out'),
    ...more,
  ];
  expect(await codeOf(sft(words('answered.jsonl', '--lr_scheduler_kwargs', '{"a": 1}'), io))).toBe('E_ARGUMENTS');
  expect(await codeOf(sft(words('answered.jsonl', '--max_length', '4'), io))).toBe('E_PROMPT_TOO_LONG');
  expect(await codeOf(sft(words('torn.jsonl'), io))).toBe('E_IMAGE_CORRUPT');
});

test('score: every completion, the first image, and the output', async () => {
  const words = (name: string, output = 's.jsonl') => [...others(...rowsOf(name)), '--output', join(root, output)];
  expect(await codeOf(score(words('ids.jsonl'), io))).toBe('E_COMPLETION_IDS');
  expect(await codeOf(score(words('torn.jsonl'), io))).toBe('E_IMAGE_CORRUPT');
  expect(await codeOf(score(words('answered.jsonl', 'nowhere/s.jsonl'), io))).toBe('E_OUTPUT');
});

test('infer: the images, their tags, and the length of the answer', async () => {
  const torn = ['--image', join(root, 'no.png')];
  expect(await codeOf(infer(others('--prompt', 'which?', ...torn), io))).toBe('E_IMAGE_CORRUPT');
  expect(await codeOf(infer(others(...torn), io))).toBe('E_IMAGE_CORRUPT');
  expect(await codeOf(infer(others('--prompt', '<image><image>', '--image', join(root, '0.png')), io))).toBe(
    'E_IMAGE_COUNT',
  );
  expect(await codeOf(infer(others('--prompt', 'which?', '--max_new_tokens', '513'), io))).toBe('E_COMPLETION_LENGTH');
});
