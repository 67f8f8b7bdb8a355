/**
 * Boxes: overlaps and pairings against torchvision and scipy (ms_swift/make.py), reading, scaling, and rows without a verdict.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { RewardKwargs } from '../../src/rewards/contract.ts';
import { IoU } from '../../src/rewards/iou/index.ts';
import { bestPairing, type Corners, iou } from '../../src/rewards/iou/overlap.ts';
import { writtenBoxes } from '../../src/rewards/iou/written_boxes.ts';
import { boxText } from '../../src/template/grounding.ts';
import { rewardKwargs } from '../helpers/reward_kwargs.ts';
import values from './ms_swift/values.json' with { type: 'json' };

const cases = values.boxes as unknown as {
  predicted: Corners[];
  wanted: Corners[];
  overlaps: number[][];
  total: number;
}[];

/** `iou_reward` of VLM-R1, in own words: pixels count whole, so the last one of a box is x2 - 1. */
function vlmR1([ax1, ay1, ax2, ay2]: Corners, [bx1, by1, bx2, by2]: Corners): number {
  const [x1, y1, x2, y2] = [Math.max(ax1, bx1), Math.max(ay1, by1), Math.min(ax2, bx2) - 1, Math.min(ay2, by2) - 1];
  const shared = x1 < x2 && y1 < y2 ? (x2 - x1 + 1) * (y2 - y1 + 1) : 0;
  return shared / ((ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - shared);
}

const corner = fc.integer({ min: 0, max: 50 });
const box = fc
  .tuple(corner, corner, fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 50 }))
  .map(([x, y, w, h]): Corners => [x, y, x + w, y + h]);

describe('overlap', () => {
  test('is that of torchvision, and of VLM-R1 but for overlaps of one pixel', () => {
    let [largest, largestVlm, pairs, thin] = [0, 0, 0, 0];
    for (const { predicted, wanted, overlaps } of cases) {
      for (const [i, a] of predicted.entries()) {
        for (const [j, b] of wanted.entries()) {
          const ours = iou(a, b);
          pairs++;
          largest = Math.max(largest, Math.abs(ours - overlaps[i]![j]!));
          const isThin =
            Math.min(a[2], b[2]) - Math.max(a[0], b[0]) === 1 || Math.min(a[3], b[3]) - Math.max(a[1], b[1]) === 1;
          if (isThin) thin++;
          else largestVlm = Math.max(largestVlm, Math.abs(ours - vlmR1(a, b)));
        }
      }
    }
    console.log(
      `IoU: largest error ${largest} (torchvision), ${largestVlm} (VLM-R1, without ${thin} thin overlaps) over ${pairs} pairs`,
    );
    expect(pairs).toBeGreaterThan(900);
    expect(pairs - thin).toBeGreaterThan(700);
    expect(largest).toBeLessThanOrEqual(2 ** -53); // areas are whole numbers; the division rounds once
    expect(largestVlm).toBeLessThanOrEqual(2 ** -53);
  });

  test('the best pairing is that of scipy', () => {
    let largest = 0;
    for (const { predicted, wanted, total } of cases) {
      largest = Math.max(largest, Math.abs(bestPairing(predicted, wanted) - total));
    }
    console.log(`pairing: largest error ${largest} over ${cases.length} cases`);
    expect(cases.length).toBeGreaterThanOrEqual(120);
    expect(largest).toBeLessThanOrEqual(5 * 2 ** -52); // sums of at most five terms of at most 1
  });

  test('symmetric, between 0 and 1, 1 for a box itself, the same at every scale', () => {
    fc.assert(
      fc.property(box, box, fc.integer({ min: 1, max: 16 }), fc.integer({ min: 1, max: 16 }), (a, b, x, y) => {
        const scaled = ([x1, y1, x2, y2]: Corners): Corners => [x1 * x, y1 * y, x2 * x, y2 * y];
        expect(iou(a, b)).toBe(iou(b, a));
        expect(iou(a, b)).toBeGreaterThanOrEqual(0);
        expect(iou(a, b)).toBeLessThanOrEqual(1);
        expect(iou(a, a)).toBe(1);
        expect(iou(scaled(a), scaled(b))).toBeCloseTo(iou(a, b), 14);
      }),
    );
  });

  test('no pairing is better than the best one, whichever way round', () => {
    const lists = fc.tuple(fc.array(box, { maxLength: 4 }), fc.array(box, { maxLength: 5 }));
    /** Largest sum over all ways to give each box of `a` another one of `b`, or none. */
    const tried = (a: readonly Corners[], b: readonly Corners[]): number => {
      const [first, ...rest] = a;
      if (first === undefined) return 0;
      const without = tried(rest, b);
      return Math.max(without, ...b.map((other, j) => iou(first, other) + tried(rest, b.toSpliced(j, 1))));
    };
    fc.assert(
      fc.property(lists, ([a, b]) => {
        expect(bestPairing(a, b)).toBeCloseTo(tried(a, b), 12);
        expect(bestPairing(b, a)).toBeCloseTo(tried(a, b), 12);
      }),
    );
  });

  test('a box without area, or with its corners the wrong way round, overlaps nothing', () => {
    expect(iou([3, 3, 3, 9], [0, 0, 9, 9])).toBe(0);
    expect(iou([9, 9, 0, 0], [0, 0, 9, 9])).toBe(0);
  });

  test('hundreds of boxes on both sides are paired in seconds', () => {
    const many = Array.from({ length: 400 }, (_, i): Corners => [i, i, i + 20, i + 20]);
    const start = performance.now();
    expect(bestPairing(many, many.toReversed())).toBeCloseTo(400, 9);
    expect(performance.now() - start).toBeLessThan(20_000);
  });
});

describe('written boxes', () => {
  test.each<[string, number[][]]>([
    ['[1, 2, 3, 4]', [[1, 2, 3, 4]]],
    [
      '```json\n[{"bbox_2d": [10, 20.5, 30, 40], "label": "a dog"}, {"bbox_2d":[1,2,3,4]}]\n```',
      [
        [10, 20.5, 30, 40],
        [1, 2, 3, 4],
      ],
    ],
    [
      '[[1, 2, 3, 4], [5, 6, 7, 8]]',
      [
        [1, 2, 3, 4],
        [5, 6, 7, 8],
      ],
    ],
    ['(1,2),(3,4)', [[1, 2, 3, 4]]],
    [
      '<|box_start|>(1,2),(3,4)<|box_end|> and ( 5 , 6 ) , ( 7 , 8 )',
      [
        [1, 2, 3, 4],
        [5, 6, 7, 8],
      ],
    ],
    [
      '(1,2),(3,4),(5,6),(7,8)',
      [
        [1, 2, 3, 4],
        [5, 6, 7, 8],
      ],
    ],
    ['[-1, 2, 3, 4]', [[-1, 2, 3, 4]]],
    ['[9, 9, 1, 1]', [[9, 9, 1, 1]]],
    ['[1, 2, 3]', []],
    ['[1, 2, 3, 4, 5]', []],
    ['[a, 2, 3, 4]', []],
    ['[1e3, 2, 3, 4]', []],
    ['(1,2)', []],
    ['１、２', []],
    ['', []],
  ])('%s', (text, boxes) => expect(writtenBoxes(text)).toEqual(boxes));

  test.each<[string, string]>([
    ['brackets', '['.repeat(200_000)],
    ['numbers', '[1,2,3,'.repeat(50_000)],
    ['blanks', `[${' '.repeat(200_000)}`],
    ['points', '(1,2),'.repeat(50_000)],
    ['digits', '1'.repeat(300_000)],
  ])('hostile text (%s) is read in no time', (_, text) => {
    const start = performance.now();
    writtenBoxes(text);
    expect(performance.now() - start).toBeLessThan(5_000);
  });
});

const size = { stored: { width: 1000, height: 500 }, shown: { width: 280, height: 140 } };
const image = { pixelValues: new Float32Array(0), gridThw: [1, 10, 20] as const, size };

/** The value of one completion, and what was said. */
function judged(completion: string, objects: unknown, changes: Partial<RewardKwargs> = {}) {
  const kwargs = rewardKwargs(1, null, { objects: [objects], images: [[image]], ...changes });
  return { value: new IoU().call([completion], kwargs)[0], lines: kwargs.lines };
}

describe('iou', () => {
  const dog = { ref: ['dog'], bbox: [[100, 50, 500, 250]] };

  test.each<[string, string, unknown, Partial<RewardKwargs>, number]>([
    ['pixels of the resized image', '[28, 14, 140, 70]', dog, {}, 1],
    ['thousandths', '[100, 100, 500, 500]', dog, { norm_bbox: 'norm1000' }, 1],
    ['fractions in the row', '[28, 14, 140, 70]', { bbox: [[0.1, 0.1, 0.5, 0.5]], bbox_type: 'norm1' }, {}, 1],
    [
      'fractions to thousandths',
      '(100,100),(500,500)',
      { bbox: [[0.1, 0.1, 0.5, 0.5]], bbox_type: 'norm1' },
      { norm_bbox: 'norm1000' },
      1,
    ],
    ['corners of the row in the wrong order', '[28, 14, 140, 70]', { bbox: [[500, 250, 100, 50]] }, {}, 1],
    ['half of it', '[28, 14, 84, 70]', dog, {}, 0.5],
    [
      'pixels of the stored image, which the model never saw',
      '[100, 50, 500, 250]',
      dog,
      {},
      (40 * 20) / (112 * 56 + 400 * 200 - 40 * 20),
    ],
    ['no box', 'there is no dog', dog, {}, 0],
    ['no text', '', dog, {}, 0],
    ['a box too many', '[28, 14, 140, 70] [0, 0, 1, 1]', dog, {}, 0.5],
    [
      'one of two',
      '[28, 14, 140, 70]',
      {
        bbox: [
          [100, 50, 500, 250],
          [0, 0, 20, 20],
        ],
      },
      {},
      0.5,
    ],
    [
      'two, the other way round',
      '[0, 0, 28, 28], [28, 14, 140, 70]',
      {
        bbox: [
          [100, 50, 500, 250],
          [0, 0, 100, 100],
        ],
      },
      {},
      1,
    ],
    ['the answer counts, not the thoughts', '<think>[0,0,9,9]</think><answer>[28, 14, 140, 70]</answer>', dog, {}, 1],
    ['what follows the thoughts', '<think>[0,0,9,9]</think>[28, 14, 140, 70]', dog, {}, 1],
    ['a box that is only in the thoughts', '<think>[28, 14, 140, 70]</think>', dog, {}, 0],
  ])('%s', (_, completion, objects, changes, value) => {
    const found = judged(completion, objects, changes);
    expect(found.value).toBeCloseTo(value, 14);
    expect(found.lines).toEqual([]);
  });

  test.each([
    ['the boxes are those of the second image', { bbox: [[100, 50, 500, 250]], image_id: [1] }, 1],
    ['the first image is another one', { bbox: [[100, 50, 500, 250]], image_id: [0] }, 0],
  ])('two images: %s', (_, objects, value) => {
    const small = { ...image, size: { stored: { width: 10_000, height: 5000 }, shown: { width: 280, height: 140 } } };
    const found = judged('[28, 14, 140, 70]', objects, { images: [[small, image]] });
    if (value === 1) expect(found.value).toBe(1);
    else expect(found.value).toBeLessThan(0.1);
  });

  test('boxes in the prompt are part of the question', () => {
    const box = { type: 'box', corners: [0, 0, 10, 10], unit: 'pixels', image: 0 };
    const question = { role: 'user', content: [{ type: 'text', text: 'what is left of' }, box] };
    const answer = { role: 'assistant', content: [{ ...box, corners: [100, 50, 500, 250] }] };
    const objects = {
      bbox: [
        [0, 0, 10, 10],
        [100, 50, 500, 250],
      ],
    };
    expect(judged('[28, 14, 140, 70]', objects, { messages: [[question]] }).value).toBe(1);
    expect(judged('[28, 14, 140, 70]', objects, { messages: [[question, answer]] }).value).toBe(1);
    const none = judged('[28, 14, 140, 70]', { bbox: [[0, 0, 10, 10]] }, { messages: [[question]] });
    expect(none.value).toBeNull();
    expect(none.lines.join()).toContain('all boxes of a row stand in its prompt');
  });

  test.each<[string, unknown, Partial<RewardKwargs>, string]>([
    ['no box', { ref: ['dog'] }, {}, '"objects" of a row has no box'],
    ['a point', { bbox: [[1, 2]] }, {}, 'has a point, which has no area (the first: [1,2])'],
    ['no area', { bbox: [[5, 5, 5, 9]] }, {}, 'a box in "objects" has no area (the first: [5,5,5,9])'],
    ['no image', { bbox: [[1, 2, 3, 4]] }, { images: [[]] }, 'a row has boxes but no image'],
    [
      'several images',
      {
        bbox: [
          [1, 2, 3, 4],
          [1, 2, 3, 4],
        ],
        image_id: [0, 1],
      },
      { images: [[image, image]] },
      'lie in several images',
    ],
    ['no column of its form', ['dog'], {}, 'the column "objects" of a row cannot be read (the first: "objects" is'],
    ['no unit', { bbox: [[1, 2, 3, 4]] }, { norm_bbox: null }, 'does not say in which unit'],
  ])('null with a reason: %s', (_, objects, changes, reason) => {
    const { value, lines } = judged('[1, 2, 3, 4]', objects, changes);
    expect(value).toBeNull();
    expect(lines).toEqual([expect.stringContaining(`warn iou: `)]);
    expect(lines[0]).toContain(reason);
    expect(lines[0]).toMatch(/such samples get no value \(null\)\.$/);
  });

  test('a row without the column is null, and a reason is told once', () => {
    const kwargs = rewardKwargs(4, null, {
      objects: [undefined, null, {}, {}],
      images: [[image], [image], [image], [image]],
    });
    expect(new IoU().call(['', '', '', ''], kwargs)).toEqual([null, null, null, null]);
    expect(kwargs.lines).toHaveLength(1);
  });

  test('the boxes that a prompt would show are worth 1 up to rounding, in every format', () => {
    const sides = fc.integer({ min: 200, max: 4000 });
    const part = fc.tuple(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 60, max: 100 }));
    const formats = fc.constantFrom<'legacy' | 'new'>('legacy', 'new');
    const norms = fc.constantFrom<'none' | 'norm1000'>('none', 'norm1000');
    fc.assert(
      fc.property(sides, sides, part, part, formats, norms, (width, height, x, y, boxFormat, normBbox) => {
        const sizes = {
          stored: { width, height },
          shown: { width: 28 * Math.ceil(width / 56), height: 28 * Math.ceil(height / 56) },
        };
        const corners = [x[0] * width, y[0] * height, x[1] * width, y[1] * height].map((value) =>
          Math.round(value / 100),
        );
        const text = boxText({ corners, unit: 'pixels', image: 0 }, sizes, { boxFormat, normBbox });
        const images = [[{ ...image, size: sizes }]];
        const { value } = judged(text, { bbox: [corners] }, { images, norm_bbox: normBbox });
        // Each corner is rounded by half a unit at most, of sides of at least 20 units each.
        expect(value).toBeGreaterThan(1 - 4 * (0.5 / 20));
        expect(value).toBeLessThanOrEqual(1);
      }),
    );
  });
});
