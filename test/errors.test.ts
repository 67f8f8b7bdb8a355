import { expect, test } from 'vitest';
import { formatError, SightlineError } from '../src/errors.ts';

test('the lines a user reads hold nothing that a terminal would obey', () => {
  const name = 'a\u001b]0;title\u0007\u202eb';
  const error = new SightlineError('E_TEST', `no file ${name}`, { where: `${name}:3`, hint: `rename ${name}` });
  const plain = 'a\ufffd]0;title\ufffd\ufffdb';
  expect(formatError(error)).toBe(`error: no file ${plain}\n  at: ${plain}:3\n  fix: rename ${plain}`);
});
