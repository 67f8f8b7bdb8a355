/**
 * The colour map viridis (Smith and van der Walt, 2015; CC0): 17 of its colours, linear in between.
 */

const STOPS = [
  '440154',
  '48186a',
  '472d7b',
  '424086',
  '3b528b',
  '33638d',
  '2c728e',
  '26828e',
  '21918c',
  '1fa088',
  '28ae80',
  '3fbc73',
  '5ec962',
  '84d44b',
  'addc30',
  'd8e219',
  'fde725',
].map((hex) => [0, 2, 4].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)));

/** Red, green and blue, 0 to 255, of a share from 0 to 1. */
export function viridis(share: number): [number, number, number] {
  const place = Math.max(0, Math.min(1, share)) * (STOPS.length - 1);
  const low = Math.min(Math.floor(place), STOPS.length - 2);
  const mix = (channel: number): number =>
    Math.round(STOPS[low]![channel]! + (place - low) * (STOPS[low + 1]![channel]! - STOPS[low]![channel]!));
  return [mix(0), mix(1), mix(2)];
}

/** The whole map as a CSS gradient. */
export const VIRIDIS_GRADIENT = `linear-gradient(90deg, ${STOPS.map((stop) => `rgb(${stop.join(' ')})`).join(', ')})`;
