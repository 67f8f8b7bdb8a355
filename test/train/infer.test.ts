/**
 * Conversations with a tiny checkpoint: what is asked is what the model reads, turn by turn.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { readInferArguments } from '../../src/arguments/arguments.ts';
import { type Chat, openChat } from '../../src/train/infer.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { type TinyProject, tinyProject } from '../helpers/tiny.ts';

const DEMO_CHECKPOINT = fileURLToPath(new URL('../../assets/demo/checkpoint', import.meta.url));

const root = temporaryFolder();
let project: TinyProject;
const chats: Chat[] = [];
beforeAll(async () => {
  project = await tinyProject(root);
});
afterEach(async () => {
  for (const chat of chats.splice(0)) await chat.close();
});

async function open(words: readonly string[] = [], signal = new AbortController().signal): Promise<Chat> {
  const { args } = readInferArguments(['--model', project.model, '--max_new_tokens', '8', ...words], {});
  const chat = await openChat(args, { signal, emit: () => undefined });
  chats.push(chat);
  return chat;
}

const image = (i: number): string => join(root, `${i}.png`);
const ignore = (): void => undefined;

describe('an answer', () => {
  test('comes in pieces that make up the whole, the same one every time at temperature 0', async () => {
    const chat = await open();
    const pieces: string[] = [];
    const answer = await chat.ask('which colour?', [image(0)], (piece) => pieces.push(piece));
    expect(answer).not.toBe('');
    expect(pieces.join('')).toBe(answer);
    expect(pieces.every((piece) => piece !== '')).toBe(true);
    expect(await (await open()).ask('which colour?', [image(0)], ignore)).toBe(answer);
  });

  test('depends on the picture, on what was said before, and on the system prompt', async () => {
    const ask = async (words: readonly string[], path: string, earlier: string | null): Promise<string> => {
      const chat = await open(words);
      if (earlier !== null) await chat.ask(earlier, [], ignore);
      return chat.ask('which colour?', [path], ignore);
    };
    const answers = await Promise.all([
      ask([], image(0), null),
      ask([], image(1), null),
      ask([], image(0), 'hello'),
      ask(['--system', 'be short'], image(0), null),
    ]);
    expect(new Set(answers).size).toBe(4);
  });

  test('is sampled from its seed', async () => {
    const words = ['--temperature', '1', '--seed'];
    const ask = async (seed: string): Promise<string> => (await open([...words, seed])).ask('which?', [], ignore);
    expect(await ask('1')).toBe(await ask('1'));
    expect(await ask('1')).not.toBe(await ask('2'));
  });
});

describe('images', () => {
  test('stand before the question, or where it has tags', async () => {
    const before = await (await open()).ask('which?', [image(0)], ignore);
    expect(await (await open()).ask('<image>which?', [image(0)], ignore)).toBe(before);
    expect(await (await open()).ask('which?<image>', [image(0)], ignore)).not.toBe(before);
  });

  test('as many as there are tags', async () => {
    const chat = await open();
    await expect(chat.ask('<image> or <image>?', [image(0)], ignore)).rejects.toMatchObject({ code: 'E_IMAGE_COUNT' });
    await expect(chat.ask('<image>?', [], ignore)).rejects.toMatchObject({ code: 'E_IMAGE_COUNT' });
  });
});

describe('a conversation', () => {
  test('is as it was after a question that cannot be taken', async () => {
    const [chat, other] = [await open(), await open()];
    await chat.ask('which?', [image(0)], ignore);
    await other.ask('which?', [image(0)], ignore);
    await expect(chat.ask('and this?', [join(root, 'none.png')], ignore)).rejects.toMatchObject({
      code: 'E_IMAGE_MISSING',
    });
    await expect(chat.ask('and '.repeat(2000), [], ignore)).rejects.toMatchObject({ code: 'E_PROMPT_TOO_LONG' });
    expect(await chat.ask('and now?', [], ignore)).toBe(await other.ask('and now?', [], ignore));
  });

  test('starts anew after clear', async () => {
    const chat = await open();
    await chat.ask('which?', [image(0)], ignore);
    chat.clear();
    expect(await chat.ask('hello', [], ignore)).toBe(await (await open()).ask('hello', [], ignore));
  });

  test('stops amid an answer when it is told to', async () => {
    const controller = new AbortController();
    const chat = await open(['--max_new_tokens', '400'], controller.signal);
    let pieces = 0;
    const asked = chat.ask('which?', [image(0)], () => {
      if (++pieces === 2) controller.abort();
    });
    await expect(asked).rejects.toHaveProperty('name', 'AbortError');
    expect(pieces).toBe(2);
  });
});

describe('a look at an image', () => {
  test('tells what is wrong with it, and nothing of one that is fine', async () => {
    const chat = await open();
    expect(await chat.look(image(0))).toBeNull();
    await expect(chat.look('nope.png')).rejects.toMatchObject({
      code: 'E_IMAGE_MISSING',
      where: '--image, /image',
      hint: 'check the path; relative paths start from the working directory',
    });
    const cut = join(root, 'cut.png');
    writeFileSync(cut, readFileSync(image(0)).subarray(0, 200));
    await expect(chat.look(cut)).rejects.toMatchObject({ code: 'E_IMAGE_CORRUPT' });
  });

  test('says where it is unlike all that the checkpoint was trained on', async () => {
    const { args } = readInferArguments(['--model', DEMO_CHECKPOINT], {});
    const chat = await openChat(args, { signal: new AbortController().signal, emit: () => undefined });
    chats.push(chat);
    const drawn = async (width: number, height: number): Promise<string> => {
      const path = join(root, `${width}x${height}.png`);
      await sharp({ create: { width, height, channels: 3, background: 'white' } }).toFile(path);
      return path;
    };
    expect(await chat.look(await drawn(112, 112))).toBeNull();
    expect(await chat.look(await drawn(100, 120)), 'read as 112 x 112').toBeNull();
    const photo = await drawn(640, 480);
    // transformers' smart_resize: both sides to the nearest multiple of 28
    expect(await chat.look(photo)).toBe(
      `${photo} is read as 644 x 476 pixels, but this checkpoint was trained only on pictures of 112 x 112 pixels (four coloured shapes on grey); do not expect a useful answer`,
    );
  });
});

test('the checkpoint is not written to', async () => {
  const path = join(project.model, 'model.safetensors');
  const before = readFileSync(path);
  await (await open()).ask('which?', [image(0)], ignore);
  expect(readFileSync(path).equals(before)).toBe(true);
});

test('an answer longer than the model has positions is refused before it is begun', async () => {
  await expect(open(['--max_new_tokens', '1000000000'])).rejects.toMatchObject({
    code: 'E_COMPLETION_LENGTH',
    where: '--max_new_tokens',
    message: expect.stringContaining('max_new_tokens is 1000000000, but the model has 512 positions'),
  });
});

test('an image that is not there is told as a path of a conversation, not of a dataset', async () => {
  const chat = await open();
  await expect(chat.ask('which colour?', ['nope.png'], ignore)).rejects.toMatchObject({
    code: 'E_IMAGE_MISSING',
    hint: 'check the path; relative paths start from the working directory',
  });
});
