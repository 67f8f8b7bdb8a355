/**
 * A small copy of an image, for people to look at. Knows sources and pixels, not where it is shown.
 */
import { decodeImage } from './image_decode.ts';
import { type ImageSource, nameOfSource, readImageBytes } from './image_source.ts';
import type { AlphaMode } from './rgb.ts';

export interface Thumbnail {
  readonly width: number;
  readonly height: number;
  readonly jpeg: Uint8Array;
}

/**
 * A JPEG of the decoded image, at most `side` pixels wide and high. A smaller image keeps its size.
 *
 * Errors: those of readImageBytes and decodeImage.
 */
export async function thumbnailOf(source: ImageSource, side: number, alpha: AlphaMode): Promise<Thumbnail> {
  const bytes = await readImageBytes(source);
  const { width, height, data } = await decodeImage(bytes, { name: nameOfSource(source), where: source.where, alpha });
  const { default: sharp } = await import('sharp');
  const { data: jpeg, info } = await sharp(data, { raw: { width, height, channels: 3 } })
    .resize(side, side, { fit: 'inside', withoutEnlargement: true })
    .jpeg({ quality: 90 })
    .toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, jpeg };
}
