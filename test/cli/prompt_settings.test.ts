/**
 * What shaped the prompts of a run shapes those of its checkpoints: through the checkpoint's own files, and through the
 * commands that the summary prints.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { beforeAll, describe, expect, test } from 'vitest';
import { infer } from '../../src/cli/infer.ts';
import { score } from '../../src/cli/score.ts';
import { parseImageSource } from '../../src/data/image_source.ts';
import { splitImageTags } from '../../src/data/messages.ts';
import { readConfig } from '../../src/models/registry.ts';
import { openTemplate, type TemplateOptions } from '../../src/template/template.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { pictureRow, readLines, type TinyProject, tinyProject, tinyRun, writeRows } from '../helpers/tiny.ts';
import { pretendIo } from './io.ts';

const root = temporaryFolder();
const QUESTION = '<image>which colour?';
let project: TinyProject;
beforeAll(async () => {
  project = await tinyProject(root, 2);
  // Half of it is transparent, over another colour.
  const pixels = Uint8Array.from({ length: 84 * 56 * 4 }, (_, i) =>
    i % 4 === 3 ? (i > 84 * 56 * 2 ? 255 : 0) : i % 251,
  );
  await sharp(pixels, { raw: { width: 84, height: 56, channels: 4 } }).toFile(join(root, 'glass.png'));
  const row = pictureRow('glass.png', 'which colour?');
  writeRows(project.pictures, [row, row]);
  const answered = { ...row, messages: [...row.messages, { role: 'assistant', content: 'red' }] };
  writeRows(join(root, 'FILE.jsonl'), [answered]);
});

/** The ids that training had, by the same template options. */
async function trainedIds(options: TemplateOptions): Promise<number[]> {
  const template = await openTemplate(project.model, await readConfig(project.model), options);
  const source = parseImageSource('glass.png', root, 'test');
  const { ids } = await template.encode([{ role: 'user', content: splitImageTags(QUESTION) }], [source]);
  await template.close();
  return [...ids];
}

/** A command of the summary, with paths in place of its FILE words. */
function printed(stdout: string, command: string): string[] {
  const line = new RegExp(`^  sightline ${command} (.+)$`, 'm').exec(stdout)?.[1];
  if (line === undefined) throw new Error(`no sightline ${command} in ${stdout}`);
  const words = line.match(/'[^']*'|\S+/g)!.map((word) => word.replace(/^'(.*)'$/, '$1'));
  return words.map((word) => {
    if (word === 'FILE.jsonl' || word === 'scores.jsonl') return join(root, word);
    return word === 'FILE' ? join(root, 'glass.png') : word;
  });
}

async function scoredIds(stdout: string): Promise<number[]> {
  await score(printed(stdout, 'score'), pretendIo().io);
  return readLines<{ prompt_ids: number[] }>(join(root, 'scores.jsonl'))[0]!.prompt_ids;
}

async function answer(words: readonly string[]): Promise<string> {
  const { io, text } = pretendIo();
  await infer([...words, '--prompt', 'which colour?', '--max_new_tokens', '12'], io);
  return text.stdout;
}

describe.each([
  [
    'a text',
    'Look closely.\nThen answer with "one" word.',
    ['--system', 'Look closely.\\nThen answer with "one" word.'],
  ],
  ['no system block', '', ['--system', '']],
  ['nothing', undefined, []],
] as const)('trained with --max_pixels and, as --system, %s', (name, system, words) => {
  test('the printed commands make the same prompt', async () => {
    const given = words.length === 0 ? {} : { system: words[1]! };
    const run = await tinyRun(project, `settings of ${name}`, { max_steps: '1', max_pixels: '3136', ...given });
    const wanted = await trainedIds({ maxPixels: 3136, system });
    expect(await scoredIds(run.stdout)).toEqual(wanted);
    expect(wanted).not.toEqual(await trainedIds({ system }));

    const model = join(run.folder, 'checkpoint-1');
    const asked = printed(run.stdout, 'infer');
    expect(asked.slice(0, 2)).toEqual(['--model', model]);
    const image = ['--image', join(root, 'glass.png')];
    expect(await answer(asked)).toBe(await answer(['--model', model, '--max_pixels', '3136', ...words, ...image]));
  });
});

test('transparency: on white, said once; --image_alpha drop is said nothing of, and goes on', async () => {
  const white = await tinyRun(project, 'white', { max_steps: '1' });
  expect(white.stdout.match(/^note: images with transparent parts are put on a white background/gm)).toHaveLength(1);
  expect(printed(white.stdout, 'infer')).not.toContain('--image_alpha');
  const drop = await tinyRun(project, 'drop', { max_steps: '1', image_alpha: 'drop' });
  expect(drop.stdout).not.toContain('white background');
  expect(printed(drop.stdout, 'score').join(' ')).toContain('--image_alpha drop');
  const settings = JSON.parse(readFileSync(join(drop.folder, 'args.json'), 'utf8'));
  expect(settings.image_alpha).toBe('drop');
});
