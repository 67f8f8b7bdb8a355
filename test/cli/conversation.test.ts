import { expect, test } from 'vitest';
import { converse } from '../../src/cli/conversation.ts';
import { SightlineError } from '../../src/errors.ts';
import type { Chat } from '../../src/train/infer.ts';
import { pretendIo } from './io.ts';

test('questions, images, a question that fails, a fresh start and the end', async () => {
  const asked: unknown[] = [];
  const chat: Chat = {
    async look(image) {
      if (image === 'broken.png') throw new SightlineError('E_IMAGE', 'broken image');
      return image === 'large.png' ? 'large.png is \u001b[2Jlarge' : null;
    },
    async ask(question, images, onText) {
      asked.push([question, [...images]]);
      if (question === 'too long') throw new SightlineError('E_LONG', 'too long');
      onText('an ');
      onText('answer');
      return 'an answer';
    },
    attention: async () => null,
    clear: () => asked.push('clear'),
    close: async () => undefined,
  };
  const input = [
    'one',
    '',
    '/image broken.png',
    '/image large.png',
    'two',
    '/image a.png',
    'too long',
    'again',
    '/clear',
    '/image a b.png',
    'three',
    'four',
    '/exit',
    'five',
  ];
  const { io, text } = pretendIo({ input: `${input.join('\n')}\n` });
  await converse(chat, ['first.png'], io);
  expect(asked).toEqual([
    ['one', ['first.png']],
    ['two', ['large.png']],
    ['too long', ['a.png']],
    ['again', []],
    'clear',
    ['three', ['a b.png']],
    ['four', []],
  ]);
  expect(text.stdout).toBe('an answer\n'.repeat(5));
  expect(text.stderr.split('\n')).toEqual([
    'error: broken image',
    'note: large.png is \ufffd[2Jlarge',
    'error: too long',
    'note: the question and its images were left out; add images again',
    '',
  ]);
});

test('commands, and what only looks like one', async () => {
  const asked: unknown[] = [];
  const chat: Chat = {
    look: async () => null,
    async ask(question, images) {
      asked.push([question, [...images]]);
      return '';
    },
    attention: async () => null,
    clear: () => asked.push('clear'),
    close: async () => undefined,
  };
  const input = ['/help', '/foo bar', '/image', '/IMAGE  a.png', '/usr/bin is what?', '/ is a slash', '/quit', 'more'];
  const { io, text } = pretendIo({ input: `${input.join('\n')}\n` });
  await converse(chat, [], io);
  expect(asked).toEqual([
    ['/usr/bin is what?', ['a.png']],
    ['/ is a slash', []],
  ]);
  expect(text.stdout).toContain('/exit or /quit ends it.\n');
  expect(text.stderr).toBe(
    'note: there is no command /foo; /help lists them\nnote: /image needs a path: /image FILE\n',
  );
});
