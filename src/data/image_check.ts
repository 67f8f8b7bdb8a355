/**
 * Checks the images of a dataset before a run starts: each must be a regular file of a known format and a usable size.
 * Reads headers, never pixels. Damage behind the header is found when the row is used.
 */
import { SightlineError } from '../errors.ts';
import { checkAspectRatio } from '../models/image_processing.ts';
import { checkFormat, checkPixelCount, checkTiff, corruptImage } from './image_decode.ts';
import { OPENING_BYTES, sizeInHeader } from './image_header.ts';
import { type ImageSource, nameOfSource, openImage } from './image_source.ts';

/**
 * Checks one image. Errors: E_IMAGE_MISSING, E_IMAGE_UNREADABLE, E_IMAGE_SOURCE, E_IMAGE_FORMAT, E_IMAGE_CORRUPT,
 * E_IMAGE_TOO_LARGE, E_IMAGE_ASPECT.
 */
export async function checkImageSource(source: ImageSource): Promise<void> {
  const { where } = source;
  const name = nameOfSource(source);
  const { read, close } = await openImage(source);
  try {
    const opening = await read(0, OPENING_BYTES);
    const format = checkFormat(opening, { name, where });
    const size = await sizeInHeader(format, opening, read);
    if (size === 'cut off') throw corruptImage(name, 'the file ends too early', where);
    if (format === 'tiff') await checkTiff(read, { name, where });
    if (size === null) return;
    checkPixelCount(size, { name, where });
    checkAspectRatio(size, where);
  } finally {
    await close();
  }
}

/**
 * A check that reads each file only once, even if many rows use it. Use one per dataset: it assumes that files do not change
 * while the dataset is being opened.
 */
export function createImageCheck(): typeof checkImageSource {
  const known = new Map<string, Promise<SightlineError | null>>();
  return async (source) => {
    if (source.kind !== 'path') return checkImageSource(source);
    if (known.size >= FILES_KNOWN) known.clear();
    const looked = known.get(source.path) ?? faultOf(source);
    known.set(source.path, looked);
    const fault = await looked;
    if (fault === null) return;
    const { code, message, hint, cause } = fault;
    throw new SightlineError(code, message, { where: source.where, hint, cause });
  };
}

// --- internal ---

/** Number of files remembered: a few megabytes of names. */
const FILES_KNOWN = 65_536;

const faultOf = (source: ImageSource): Promise<SightlineError | null> =>
  checkImageSource(source).then(
    () => null,
    (error: unknown) => {
      if (error instanceof SightlineError) return error;
      throw error;
    },
  );
