/**
 * A small copy of an image, for people to look at. Knows sources and sharp; not who shows it.
 */
import { type ImageSource, readImageBytes } from './image_source.ts';

export interface Thumbnail {
  readonly width: number;
  readonly height: number;
  readonly jpeg: Uint8Array;
}

/**
 * A JPEG that is at most `side` pixels wide and high; a smaller image keeps its size. As the model sees it, EXIF rotation is
 * not applied and alpha is dropped.
 *
 * Errors: those of readImageBytes, and sharp's where the image cannot be decoded.
 */
export async function thumbnailOf(source: ImageSource, side: number): Promise<Thumbnail> {
  const bytes = await readImageBytes(source);
  const { default: sharp } = await import('sharp');
  const { data, info } = await sharp(bytes, { pages: 1 })
    .removeAlpha()
    .resize(side, side, { fit: 'inside', withoutEnlargement: true })
    .jpeg({ quality: 90 })
    .toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, jpeg: data };
}
