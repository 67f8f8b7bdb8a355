import { describe, expect, test } from 'vitest';
import { parseEncodeRequest, parseJudgeRequest, parseMakeRequest } from '../../src/reward_server/request.ts';
import { judgeBody } from './body.ts';

const base64 = (numbers: number[]): string => Buffer.from(Float32Array.from(numbers).buffer).toString('base64');

describe('a request to judge', () => {
  test('has masses as layers of rows', () => {
    const masses = { layers: 2, visual: base64([1, 2, 3, 4]), text: base64([5, 6, 7, 8]) };
    const { attention_masses } = parseJudgeRequest(judgeBody({ attention_masses: [null, masses] }));
    expect(attention_masses).toEqual([
      null,
      {
        visual: [Float32Array.of(1, 2), Float32Array.of(3, 4)],
        text: [Float32Array.of(5, 6), Float32Array.of(7, 8)],
      },
    ]);
  });

  test.each<[string, unknown, RegExp]>([
    ['is nothing', undefined, /^the request is undefined/],
    ['is a list', [], /^the request is \[\]/],
    ['lacks a field', judgeBody({ rows: undefined }), /^"rows" is undefined/],
    ['has one field more', { ...judgeBody(), evil: 1 }, /evil/],
    ['has text for ids', judgeBody({ prompt_ids: [['a'], [1]] }), /^"prompt_ids.0.0" is "a"/],
    ['has a negative id', judgeBody({ completion_ids: [[-1], [1, 2]] }), /^"completion_ids.0.0" is -1/],
    ['has half an id', judgeBody({ completion_ids: [[0.5], [1, 2]] }), /^"completion_ids.0.0" is 0.5/],
    ['has an endless id', judgeBody({ prompt_ids: [[1e300], [1]] }), /^"prompt_ids.0.0" is 1e\+300/],
    ['has no completions', judgeBody({ completions: [] }), /^"completions" is \[\]/],
    ['has a list that is too short', judgeBody({ images: [[]] }), /^"images" has 1 entries for 2 completions/],
    [
      'has a system block longer than its prompt',
      judgeBody({ system_prefix: [1, 9] }),
      /^"system_prefix" 1 is 9, but its prompt has 3/,
    ],
    ['has a group of none', judgeBody({ num_generations: 0 }), /^"num_generations" is 0/],
    [
      'has masses that are no base64',
      judgeBody({ attention_masses: [{ layers: 1, visual: '%', text: '' }, null] }),
      /visual" is "%"/,
    ],
    [
      'has masses of other completions',
      judgeBody({ attention_masses: [{ layers: 1, visual: base64([1, 2]), text: base64([1, 2]) }, null] }),
      /^"attention_masses" 0 visual has 8 bytes, expected 4 for 1 layers of 1 rows/,
    ],
    [
      'has more layers than bytes',
      judgeBody({ attention_masses: [{ layers: 4096, visual: '', text: '' }, null] }),
      /has 0 bytes, expected 16384/,
    ],
    ['has rows that are no objects', judgeBody({ rows: ['a', 'b'] }), /^"rows.0" is "a"/],
    [
      'has a picture of one side',
      judgeBody({ images: [[{ grid_thw: [1], patch_size: 14 }], []] }),
      /^"images.0.0.grid_thw/,
    ],
  ])('that %s is refused', (_, body, message) => {
    expect(() => parseJudgeRequest(body)).toThrow(
      expect.objectContaining({ code: 'E_REQUEST', message: expect.stringMatching(message) }),
    );
  });
});

test('the other requests are checked as well', () => {
  expect(() => parseMakeRequest({ reward: '', args: {} })).toThrow('"reward" is ""');
  expect(() => parseMakeRequest({ reward: 'format' })).toThrow('"args" is undefined');
  expect(() => parseEncodeRequest({ model: 'm', min_pixels: 0, max_pixels: null, rows: [{}] })).toThrow(
    '"min_pixels" is 0',
  );
  expect(() => parseEncodeRequest({ model: 'm', min_pixels: null, max_pixels: null, rows: [] })).toThrow(
    '"rows" is []',
  );
});
