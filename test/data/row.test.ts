import { describe, expect, test } from 'vitest';
import { countImages, isEmpty, splitAnswer, splitImageTags } from '../../src/data/messages.ts';
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
    [{ query: 7 }],
    [{ instruction: '', input: '' }],
    [{ instruction: 'Q', input: 7 }],
    [
      {
        messages: [
          { role: 'user', content: 'Q' },
          { role: 'assistant', content: 'A <image>' },
        ],
        images: ['a.png'],
      },
    ],
    [{ query: 'Q', chat_template_kwargs: { enable_thinking: true } }],
    [{ query: 'Q', chat_template_kwargs: 'x' }],
    [{ messages: [{ role: 'tool', content: 'warm' }] }],
    [
      {
        messages: [
          { role: 'user', content: 'Q' },
          { role: 'tool_call', content: 'zoom' },
        ],
      },
    ],
    [
      {
        messages: [
          { role: 'user', content: 'Q' },
          { role: 'tool_call', content: { name: 'a', arguments: 'b' } },
        ],
      },
    ],
    [{ query: 'Q', tools: ['zoom'] }],
    [{ query: 'Q', tools: 7 }],
    [{ query: 'Q', objects: [] }],
    [{ query: 'Q', objects: { ref: [7] } }],
    [{ query: 'Q', objects: { bbox: [[1, 2]], bbox_type: 'norm1000' } }],
    [{ query: 'Q', objects: { bbox: [[1, null]] } }],
    [{ query: 'Q <bbox>', objects: { bbox: [[1, 2]] } }],
    [[1, 2]],
    [null],
  ])('%j is refused', (json) => {
    expect(() => parseRow(json, at)).toThrow(expect.objectContaining({ code: 'E_DATASET_ROW', where: at.where }));
  });
});

describe('columns', () => {
  test('in any case; those of rewards keep theirs, but for solution', () => {
    const row = parseRow(
      { Messages: [{ role: 'user', content: 'Q' }], IMAGE: 'a.png', Solution: '3', Place: 'top' },
      at,
    );
    expect(row.images).toMatchObject([{ path: '/data/a.png' }]);
    expect(row.columns).toEqual({ solution: '3', Place: 'top' });
    expect(parseRow({ QUERY: 'Q', Query: 'no', query: 'yes', Solution: 1, solution: 2 }, at)).toMatchObject({
      messages: [{ role: 'user', content: 'yes' }],
      columns: { Solution: 1, solution: 2 },
    });
  });

  test('null images are none, and blanks around paths are nothing', () => {
    const images = [null, ' a.png\n', { bytes: null, path: null }, { path: 'b.png ' }];
    const row = parseRow({ query: '<image> and <image>', images }, at);
    expect(row.images).toMatchObject([{ path: '/data/a.png' }, { path: '/data/b.png' }]);
    expect(row.notes).toEqual([]);
  });

  test('images without a tag go before the first question, after the system prompt', () => {
    const row = parseRow({ system: 'S', query: 'Q <image>', history: [['q', 'r']], images: ['a', 'b', 'c'] }, at);
    expect(row.messages.map(({ content }) => content)).toEqual([
      'S',
      [{ type: 'image' }, { type: 'image' }, { type: 'text', text: 'q' }],
      'r',
      [{ type: 'text', text: 'Q ' }, { type: 'image' }],
    ]);
    expect(row.images).toMatchObject([{ path: '/data/a' }, { path: '/data/b' }, { path: '/data/c' }]);
  });

  test('tags and placeholders that are too many stay text, which is noted', () => {
    const row = parseRow(
      { query: '<image><image> <bbox> <ref-object>', images: ['a.png'], objects: { bbox: [[1, 2]] } },
      at,
    );
    expect(row.messages[0]?.content).toEqual([
      { type: 'image' },
      { type: 'text', text: '<image> ' },
      { type: 'box', corners: [1, 2], unit: 'pixels', image: 0 },
      { type: 'text', text: ' <ref-object>' },
    ]);
    expect(row.notes).toEqual(['more tags than images', 'more placeholders than objects']);
  });

  test('rewards get objects and tools in their checked form', () => {
    const tool = { name: 'zoom', parameters: {} };
    const row = parseRow(
      {
        query: 'Q',
        images: ['a.png'],
        objects: { ref: ['x'], bbox: [[5, 6, 1, 2]], width: 7 },
        tools: JSON.stringify([tool]),
      },
      at,
    );
    expect(row.tools).toEqual([{ type: 'function', function: tool }]);
    expect(row.columns).toEqual({ objects: { ref: ['x'], bbox: [[1, 2, 5, 6]], width: 7 }, tools: row.tools });
    expect(parseRow({ query: 'Q', tools: '', objects: null, chat_template_kwargs: {} }, at)).toMatchObject({
      tools: [],
    });
  });

  test('columns of other algorithms go to rewards, as in ms-swift', () => {
    const others = { rejected_response: 'no', label: true, channel: 'c', margin: 0.5, teacher_prompt: 't' };
    expect(parseRow({ query: 'Q', ...others }, at).columns).toEqual(others);
  });

  test("TRL's prompt and completion", () => {
    const prompt = [{ role: 'user', content: [{ type: 'image' }, { type: 'text', text: 'Q' }] }];
    const completion = [{ role: 'assistant', content: 'A' }];
    const row = parseRow({ prompt, completion, images: ['a.png'] }, at);
    expect(row.messages).toEqual([...prompt, ...completion]);
    expect(row.columns).toEqual({});
    expect(parseRow({ prompt, image: 'a.png' }, at).messages).toEqual(prompt);
  });

  test('what is learnt of a conversation cannot be changed by its row', () => {
    const messages = (first: object, last: object) => [
      { role: 'user', content: 'Q', loss: true },
      { role: 'assistant', content: 'A', ...first },
      { role: 'user', content: 'Q' },
      { role: 'assistant', content: 'B', ...last },
    ];
    const read = (first: object, last: object) => () => parseRow({ messages: messages(first, last) }, at);
    for (const first of [{}, { loss: false }, { loss_scale: 0 }, { loss: null }]) {
      for (const last of [{}, { loss: true }, { loss: 1, loss_scale: 1 }]) expect(read(first, last)).not.toThrow();
    }
    expect(read({ loss: true }, {})).toThrow('message 2 has "loss": true');
    expect(read({ loss_scale: 0.5 }, {})).toThrow('message 2 has "loss_scale": 0.5');
    expect(read({}, { loss: false })).toThrow('message 4 has "loss": false');
    expect(read({}, { loss_scale: 2 })).toThrow('message 4 has "loss_scale": 2');
  });
});

describe('errors say what was found in words', () => {
  test.each([
    [{ messages: [{ role: 'user', content: [{ type: 'video', video: 'a.mp4' }] }] }, 'a part of type "video"'],
    [{ messages: [{ role: 'user', content: [{ video: 'a.mp4' }] }] }, 'an object with the keys "video" for a part'],
    [{ messages: [{ role: 'user', content: [{ type: 'tool_use' }] }] }, 'a part of type "tool_use"'],
    [{ messages: [{ role: 'user', content: 7 }] }, 'message 1 has the number 7 for content'],
    [{ messages: [{ role: 'user' }] }, 'message 1 has no content'],
    [{ messages: [{ role: 'narrator', content: 'Q' }] }, 'message 1 has the role "narrator"'],
    [{ messages: ['Q'] }, 'message 1 is the text "Q"'],
    [{ messages: 'Q' }, '"messages" is the text "Q"'],
    [{ solution: '3' }, 'its columns are "solution"'],
    [{}, 'it is empty'],
    [{ query: 'Q', chat_template_kwargs: { max_pixels: 1 } }, '"chat_template_kwargs" sets "max_pixels"'],
    [{ query: 'Q', images: [{ name: 'a' }] }, 'an image is an object with the keys "name"'],
    [{ query: 'Q', images: [7] }, 'an image is the number 7'],
    [[1, 2], 'the line holds a list of 2'],
  ])('%j: %s', (json, message) => {
    expect(() => parseRow(json, at)).toThrow(message);
  });

  test('a text of a hundred thousand opening tags is read at once', () => {
    const content = `${'<img>a'.repeat(100_000)}\n</img>${'<image'.repeat(100_000)}`;
    expect(parseRow({ query: content }, at).messages).toEqual([{ role: 'user', content }]);
  });

  test('a row nested without end is a fault of the row', () => {
    const deep = `${'['.repeat(50_000)}${']'.repeat(50_000)}`;
    const json = JSON.parse(`{"messages": [{"role": "user", "content": "Q"}, {"role": "tool", "content": ${deep}}]}`);
    expect(() => parseRow(json, at)).toThrow(expect.objectContaining({ code: 'E_DATASET_ROW', where: at.where }));
  });
});

describe('messages', () => {
  test('splitImageTags', () => {
    expect(splitImageTags('plain')).toBe('plain');
    expect(splitImageTags('<image>')).toEqual([{ type: 'image' }]);
    expect(splitImageTags('<image>a')).toEqual([{ type: 'image' }, { type: 'text', text: 'a' }]);
  });

  test('splitAnswer takes a last assistant message off', () => {
    const user = { role: 'user', content: 'Q' } as const;
    const assistant = { role: 'assistant', content: [{ type: 'text', text: 'R' }] } as const;
    expect(splitAnswer([user, assistant])).toEqual({ prompt: [user], answer: assistant });
    expect(splitAnswer([user, assistant, user]).answer).toBeNull();
  });

  test('isEmpty', () => {
    expect(isEmpty({ role: 'system', content: [] })).toBe(true);
    expect(isEmpty({ role: 'system', content: [{ type: 'text', text: '' }] })).toBe(true);
    expect(isEmpty({ role: 'system', content: [{ type: 'image' }] })).toBe(false);
    expect(isEmpty({ role: 'system', content: ' ' })).toBe(false);
  });
});
