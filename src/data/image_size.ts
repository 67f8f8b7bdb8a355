/**
 * What the header of an image file gives, and how its bytes are read; the formats have files of their own.
 */

export interface ImageSize {
  readonly width: number;
  readonly height: number;
}

/** Bytes of a file from a position on; fewer at its end. */
export type ReadAt = (position: number, length: number) => Promise<Uint8Array>;
