import { describe, expect, test } from 'vitest';
import {
  FLIP_MIN_SEEN,
  type FlipWatch,
  newFlipWatch,
  watchFlip,
  withinGroupCorrelation,
} from '../../src/grpo/correlation.ts';

describe('withinGroupCorrelation', () => {
  test('does not see differences between groups', () => {
    // Across all samples x and y rise together; within each group they oppose each other.
    const x = [1, 2, 3, 11, 12, 13];
    const y = [3, 2, 1, 13, 12, 11];
    expect(withinGroupCorrelation(x, y, 3)).toEqual({ correlation: -1, groups: 2, samples: 6 });
  });

  test('pools centred pairs over the groups', () => {
    const x = [0, 1, 2, 5, 9, 4];
    const y = [1, 0, 4, 2, 2, 5];
    const dx = [-1, 0, 1, -1, 3, -2];
    const dy = [-2 / 3, -5 / 3, 7 / 3, -1, -1, 2];
    const dot = (a: number[], b: number[]): number => a.reduce((sum, v, i) => sum + v * b[i]!, 0);
    const expected = dot(dx, dy) / Math.sqrt(dot(dx, dx) * dot(dy, dy));
    expect(withinGroupCorrelation(x, y, 3).correlation).toBeCloseTo(expected, 14);
  });

  test('drops null pairs, and groups in which a side is constant', () => {
    const x = [1, 2, null, 4, 7, 8, 1, 2];
    const y = [2, 4, 9, 8, 1, 1, null, 1];
    expect(withinGroupCorrelation(x, y, 4)).toEqual({ correlation: 1, groups: 1, samples: 3 });
    expect(withinGroupCorrelation([1, 1], [1, 2], 2)).toEqual({ correlation: null, groups: 0, samples: 0 });
    expect(withinGroupCorrelation([null, null], [1, 2], 2).correlation).toBeNull();
  });
});

describe('watchFlip', () => {
  test('reports the turn from negative to positive, once', () => {
    const turns = [...new Array(20).fill(-0.4), ...new Array(30).fill(0.5), ...new Array(30).fill(-0.4), 1, 1, 1, 1, 1];
    const flips = run(turns);
    expect(flips).toHaveLength(1);
    expect(flips[0]).toBeGreaterThan(20);
    expect(flips[0]).toBeLessThan(27);
  });

  test('says nothing of a correlation that was never negative, nor of noise around 0', () => {
    expect(run(new Array(40).fill(0.5))).toEqual([]);
    expect(run(Array.from({ length: 80 }, (_, i) => (i % 2 === 0 ? -0.3 : 0.3)))).toEqual([]);
  });

  test('does not believe the first few values', () => {
    expect(run([-0.9, ...new Array(FLIP_MIN_SEEN + 20).fill(0.6)])).toEqual([]);
  });

  test('a null changes nothing', () => {
    const seen: FlipWatch = { average: -0.3, seen: 9, wasNegative: true, reported: false };
    expect(watchFlip(seen, null)).toEqual({ watch: seen, flipped: false });
  });

  test('goes on from saved state', () => {
    const values = [...new Array(12).fill(-0.4), ...new Array(12).fill(0.5)];
    const saved = JSON.parse(JSON.stringify(walk(newFlipWatch, values.slice(0, 13)).watch)) as FlipWatch;
    const rest = walk(saved, values.slice(13));
    expect(rest.flips.map((i) => i + 13)).toEqual(run(values));
    expect(rest.watch).toEqual(walk(newFlipWatch, values).watch);
  });
});

// --- helpers ---

function walk(start: FlipWatch, values: readonly number[]): { watch: FlipWatch; flips: number[] } {
  let watch = start;
  const flips: number[] = [];
  for (const [i, value] of values.entries()) {
    const next = watchFlip(watch, value);
    watch = next.watch;
    if (next.flipped) flips.push(i);
  }
  return { watch, flips };
}

function run(values: readonly number[]): number[] {
  return walk(newFlipWatch, values).flips;
}
