/**
 * Types shared by the readers of image headers. Knows no format.
 */

export interface ImageSize {
  readonly width: number;
  readonly height: number;
}

/** Reads `length` bytes of a file from `position`; returns fewer at the end of the file. */
export type ReadAt = (position: number, length: number) => Promise<Uint8Array>;
