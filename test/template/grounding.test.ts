import { describe, expect, test } from 'vitest';
import type { Box } from '../../src/data/messages.ts';
import { readConfig } from '../../src/models/registry.ts';
import { boxText, refText, sizeFor } from '../../src/template/grounding.ts';
import { openTemplate } from '../../src/template/template.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';

const box = (corners: number[], unit: Box['unit'] = 'pixels', image = 0): Box => ({ corners, unit, image });
/** Twice as wide, half as high. */
const size = { stored: { width: 28, height: 112 }, shown: { width: 56, height: 56 } };

describe('boxes in the pixels of the resized image', () => {
  test('halves go to the even neighbour, as in Python', () => {
    // x doubles; y halves: 1 -> 0.5 -> 0, 3 -> 1.5 -> 2, 5 -> 2.5 -> 2
    expect(boxText(box([1, 1, 2.25, 3]), size, { normBbox: 'none' })).toBe('<|box_start|>(2,0),(4,2)<|box_end|>');
    expect(boxText(box([0, 5]), size, { boxFormat: 'new', normBbox: 'none' })).toBe('[0, 2]');
  });

  test('fractions, and a square of 1000', () => {
    expect(boxText(box([0.5, 0.25], 'fractions'), size, { normBbox: 'none' })).toBe('<|box_start|>(28,14)<|box_end|>');
    expect(boxText(box([14, 28]), size, { normBbox: 'norm1000' })).toBe('<|box_start|>(500,250)<|box_end|>');
    expect(boxText(box([0.5, 1], 'fractions'), size, { normBbox: 'norm1000', boxFormat: 'new' })).toBe('[500, 1000]');
  });

  test('names', () => {
    expect(refText('dog', {})).toBe('<|object_ref_start|>dog<|object_ref_end|>');
    expect(refText('dog', { boxFormat: 'new', normBbox: 'none' })).toBe('dog');
  });

  test('a box in an image that is not there', () => {
    expect(() => sizeFor(box([1, 2], 'pixels', 1), [size], 'row')).toThrow(
      expect.objectContaining({ code: 'E_MESSAGES_INVALID', where: 'row' }),
    );
  });
});

describe('no system block', async () => {
  const golden = goldenCheckpoints()[0]!;
  const config = await readConfig(golden.model);
  const template = await openTemplate(golden.model, config, { system: 'Be brief.' });
  const user = { role: 'user', content: 'Q' } as const;

  test.each([[''], [[]], [[{ type: 'text', text: '' } as const]]])(
    'for an empty system message %j',
    async (content) => {
      const { text, ids, systemPrefix } = await template.encode([{ role: 'system', content }, user], []);
      const withSystem = await template.encode([user], []);
      expect(withSystem.text.startsWith('<|im_start|>system\nBe brief.<|im_end|>\n')).toBe(true);
      expect(text).toBe('<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n');
      expect(template.decode(ids)).toBe(text);
      expect(systemPrefix).toBe(0);
    },
  );

  test("and an empty --system leaves out the template's own", async () => {
    const empty = await openTemplate(golden.model, config, { system: '' });
    const { text } = await empty.encode([user], []);
    expect(text).toBe('<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n');
    await empty.close();
  });

  test('an answer holds no image', () => {
    const answer = { role: 'assistant', content: [{ type: 'image' }] } as const;
    expect(() => template.encodeAnswer(answer, [], 'row')).toThrow(
      expect.objectContaining({ code: 'E_MESSAGES_INVALID', where: 'row' }),
    );
  });
});
