/**
 * The content of the demo's pictures: coloured shapes in quadrants, and each shape's usual colour (the prior).
 * Knows what a picture shows, not how it is drawn or what is asked about it.
 */
import type { Random } from '../util/random.ts';

export const SHAPES = ['circle', 'square', 'triangle'] as const;
export const COLOURS = ['red', 'green', 'blue', 'yellow', 'purple'] as const;
/** Quadrants of the picture, in reading order. */
export const PLACES = ['top left', 'top right', 'bottom left', 'bottom right'] as const;

export type Shape = (typeof SHAPES)[number];
export type Colour = (typeof COLOURS)[number];
export type Place = (typeof PLACES)[number];

/** The planted language prior: the best guess without looking at the picture. */
export const PRIOR: Readonly<Record<Shape, Colour>> = { circle: 'red', square: 'blue', triangle: 'green' };

/** One shape in its quadrant. */
export interface Item {
  readonly shape: Shape;
  readonly colour: Colour;
  readonly place: Place;
}

/** One to three items with different shapes in different quadrants. */
export function sampleItems(random: Random, count: number): Item[] {
  if (!Number.isInteger(count) || count < 1 || count > SHAPES.length) {
    throw new Error(`internal: a picture holds 1 to ${SHAPES.length} shapes, got ${count}`);
  }
  const shapes = random.shuffle([...SHAPES]).slice(0, count);
  const places = random.shuffle([...PLACES]).slice(0, count);
  return shapes.map((shape, i) => ({ shape, colour: pick(random, COLOURS), place: places[i]! }));
}

/** A uniform choice. */
export function pick<T>(random: Random, values: readonly T[]): T {
  return values[random.int(values.length)]!;
}
