import { expect, test } from 'vitest';
import { readTrainedOn, trainedOnKey } from '../../src/checkpoint/trained_on.ts';

const trainedOn = { width: 112, height: 84, subject: 'shapes' };

test('what is written is read', () => {
  expect(readTrainedOn({ model_type: 'qwen2_5_vl', ...trainedOnKey(trainedOn) })).toEqual(trainedOn);
});

test.each([
  ['no key', {}],
  ['another kind', { sightline: 'yes' }],
  ['a size that is none', trainedOnKey({ ...trainedOn, width: -1 })],
  ['a size as text', { sightline: { trained_on: { ...trainedOn, height: '84' } } }],
  ['no subject', { sightline: { trained_on: { width: 1, height: 1 } } }],
  ['an endless subject', trainedOnKey({ ...trainedOn, subject: 'x'.repeat(1000) })],
])('%s says nothing', (_, config) => {
  expect(readTrainedOn(config)).toBeNull();
});
