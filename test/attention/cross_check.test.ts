import { expect, test } from 'vitest';
import { createProbeChoice, probeDifference } from '../../src/attention/cross_check.ts';
import type { TdrResult } from '../../src/attention/tdr.ts';

const ratio = (tdr: number): TdrResult => ({
  ...{ tdr, rhoVis: 1, rhoText: tdr, nVis: 1, nText: 1 },
  ...{ perTokenVis: new Float64Array(1), perTokenText: new Float64Array(1) },
});
const none: TdrResult = { undefined: 'no visual tokens' };

test('the difference is relative to the eager ratio; a ratio that only one of them has is no rounding', () => {
  expect(probeDifference(ratio(2), ratio(2.5))).toBe(0.25);
  expect(probeDifference(ratio(2), none)).toBe(Number.POSITIVE_INFINITY);
  expect(probeDifference(none, ratio(2))).toBe(Number.POSITIVE_INFINITY);
  expect(probeDifference(none, none)).toBe(0);
});

test.each(['eager', 'fused'] as const)('%s stays what it is', (probe) => {
  expect(createProbeChoice(probe).way()).toBe(probe);
});

test('auto goes both ways until there is something to compare, then one', () => {
  const choice = createProbeChoice('auto');
  expect(choice.way()).toBe('both');
  expect(choice.compare([none, ratio(1)], [none, null])).toBeNull();
  expect(choice.way()).toBe('both');
  // 1/1024 is below the tolerance of 1e-3, and exact
  expect(choice.compare([ratio(1), none], [ratio(1 + 2 ** -10), none])).toEqual({
    agrees: true,
    text: 'largest relative difference of TDR, fused against eager: 9.77e-4 over 1 sample',
  });
  expect(choice.way()).toBe('fused');
});

test('auto: one sample that differs by more, or that the fused probe has no ratio of, keeps it eager', () => {
  for (const other of [ratio(1 + 2 ** -9), none]) {
    const choice = createProbeChoice('auto');
    expect(choice.compare([ratio(1), ratio(1)], [ratio(1), other])?.agrees).toBe(false);
    expect(choice.way()).toBe('eager');
  }
});
