import { describe, expect, test } from 'vitest';
import { countImages, splitImageTags, splitResponse, textOf } from '../../src/data/messages.ts';
import { parseRow } from '../../src/data/row.ts';

const at = { index: 0, where: 'rows.jsonl:1', base: '/data' };

describe('shapes of a row', () => {
  test('messages with tags; images are relative to the file', () => {
    const row = parseRow(
      {
        messages: [{ role: 'user', content: 'A <image> and <image>?' }],
        images: ['a.png', { path: '/b.png' }],
        solution: '1',
      },
      at,
    );
    expect(row.messages).toEqual([
      {
        role: 'user',
        content: [
          { type: 'text', text: 'A ' },
          { type: 'image' },
          { type: 'text', text: ' and ' },
          { type: 'image' },
          { type: 'text', text: '?' },
        ],
      },
    ]);
    expect(row.images).toMatchObject([{ path: '/data/a.png' }, { path: '/b.png' }]);
    expect(row.columns).toEqual({ solution: '1' });
  });

  test('content parts with images of their own, mixed with the column', () => {
    const row = parseRow(
      {
        messages: [
          {
            role: 'user',
            content: [
              { type: 'image' },
              { type: 'text', text: 'is not ' },
              { type: 'image', image: 'own.png' },
              { type: 'text', text: 'nor <image>' },
            ],
          },
        ],
        images: ['one.png', 'two.png'],
      },
      at,
    );
    expect(row.images).toMatchObject([{ path: '/data/one.png' }, { path: '/data/own.png' }, { path: '/data/two.png' }]);
    expect(countImages(row.messages)).toBe(3);
  });

  test('query, system, history, response', () => {
    const row = parseRow(
      { system: 'S', query: '<image>Q', response: 'R', history: [['q', 'r']], images: 'a.png', solution: 3 },
      at,
    );
    expect(row.messages).toEqual([
      { role: 'system', content: 'S' },
      { role: 'user', content: 'q' },
      { role: 'assistant', content: 'r' },
      { role: 'user', content: [{ type: 'image' }, { type: 'text', text: 'Q' }] },
      { role: 'assistant', content: 'R' },
    ]);
    expect(row.columns).toEqual({ solution: 3 });
  });

  test('problem and image, as R1-V datasets have them', () => {
    const row = parseRow({ problem: '<image>Q', image: 'a.png', solution: '<answer>3</answer>' }, at);
    expect(row.images.length).toBe(1);
    expect(row.columns).toEqual({ solution: '<answer>3</answer>' });
  });

  test('conversations with from and value; a system column comes first', () => {
    const row = parseRow(
      {
        system: 'S',
        conversations: [
          { from: 'human', value: 'Q' },
          { from: 'gpt', value: 'R' },
        ],
      },
      at,
    );
    expect(row.messages.map(({ role }) => role)).toEqual(['system', 'user', 'assistant']);
  });

  test.each([
    [{ messages: [] }],
    [{ messages: [{ role: 'user', content: [{ type: 'video', video: 'a.mp4' }] }] }],
    [{ messages: [{ role: 'user', content: 7 }] }],
    [{ query: 'Q', history: 'h' }],
    [[1, 2]],
    [null],
  ])('%j is refused', (json) => {
    expect(() => parseRow(json, at)).toThrow(expect.objectContaining({ code: 'E_DATASET_ROW', where: at.where }));
  });
});

describe('messages', () => {
  test('splitImageTags', () => {
    expect(splitImageTags('plain')).toBe('plain');
    expect(splitImageTags('<image>')).toEqual([{ type: 'image' }]);
    expect(splitImageTags('<image>a')).toEqual([{ type: 'image' }, { type: 'text', text: 'a' }]);
  });

  test('splitResponse takes a last assistant message off', () => {
    const user = { role: 'user', content: 'Q' } as const;
    const assistant = { role: 'assistant', content: [{ type: 'text', text: 'R' }] } as const;
    expect(splitResponse([user, assistant])).toEqual({ prompt: [user], response: 'R' });
    expect(splitResponse([user, assistant, user]).response).toBeNull();
    expect(textOf({ role: 'user', content: [{ type: 'image' }, { type: 'text', text: 'Q' }] })).toBe('Q');
  });
});
