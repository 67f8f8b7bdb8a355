/**
 * Reads the boxes at the beginning of an AVIF: the size, and the bytes that rotate the image or declare it a sequence.
 * Knows boxes (ISO/IEC 14496-12 and 23008-12), not pixels.
 */
import type { ImageSize, ReadAt } from './image_size.ts';

/** Whether the file begins like an AVIF, a still image or a sequence. */
export function isAvif(bytes: Uint8Array): boolean {
  const latin = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 64)).toString('latin1');
  if (latin.slice(4, 8) !== 'ftyp') return false;
  const end = bytes.length < 4 ? 0 : viewOf(bytes).getUint32(0);
  const brands = [latin.slice(8, 12), ...(latin.slice(16, end).match(/.{4}/gs) ?? [])];
  return brands.includes('avif') || brands.includes('avis');
}

/**
 * The size of the largest image in the file. Null if the boxes are malformed, 'cut off' if a box extends beyond the end of
 * the file: decoders would fill the missing part with grey.
 */
export async function readAvifSize(read: ReadAt): Promise<ImageSize | 'cut off' | null> {
  let size: ImageSize | null = null;
  for (let at = 0, box = 0; box < MAX_BOXES; box++) {
    const head = viewOf(await read(at, 16));
    if (head.byteLength === 0) return size;
    if (head.byteLength < 8) return 'cut off';
    const length = lengthOfBox(head, 0);
    if (length === null) return size;
    if (length > 0 && (await read(at + length - 1, 1)).length === 0) return 'cut off';
    if (typeOfBox(head, 0) === 'meta') size = largestIn(viewOf(await read(at, Math.min(length, MAX_META_BYTES))));
    if (length === 0) return size;
    at += length;
  }
  return size;
}

/**
 * Edits a copy of the file so that sharp decodes the pixels that PIL reads: the image as stored, without rotation and
 * mirroring, and of a sequence its still image, which is the first frame.
 */
export function asStoredStill(bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy.set(AVIF, 8);
  for (const { type, start, end } of propertiesOf(viewOf(bytes))) {
    if ((type !== 'irot' && type !== 'imir') || end !== start + 1) continue;
    // Both boxes hold one byte. Each becomes a rotation by 0 degrees: removing a box would renumber the others.
    copy.set(IROT, start - 4);
    copy[start] = 0;
  }
  return copy;
}

// --- internal ---

const AVIF = Buffer.from('avif', 'latin1');
const IROT = Buffer.from('irot', 'latin1');

interface Box {
  readonly type: string;
  /** Byte range of the box's content. */
  readonly start: number;
  readonly end: number;
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Top-level boxes that are looked at. */
const MAX_BOXES = 64;
const MAX_META_BYTES = 2 ** 20;

/** Length in bytes of the box that begins at `at`; 0 if it extends to the end of the file, null if it is invalid. */
function lengthOfBox(view: DataView, at: number): number | null {
  const short = view.getUint32(at);
  if (short === 0) return 0;
  if (short !== 1) return short < 8 ? null : short;
  if (view.byteLength < at + 16) return null;
  const long = Number(view.getBigUint64(at + 8));
  return long < 16 || !Number.isSafeInteger(long) ? null : long;
}

const typeOfBox = (view: DataView, at: number): string =>
  String.fromCharCode(...[4, 5, 6, 7].map((i) => view.getUint8(at + i)));

/** The consecutive boxes from `from` on. The last one may end beyond the view. */
function* boxesIn(view: DataView, from: number, end: number): Generator<Box> {
  const limit = Math.min(end, view.byteLength);
  for (let at = from; at + 8 <= limit; ) {
    const length = lengthOfBox(view, at);
    if (length === null) return;
    const boxEnd = length === 0 ? limit : at + length;
    yield { type: typeOfBox(view, at), start: at + (view.getUint32(at) === 1 ? 16 : 8), end: boxEnd };
    at = boxEnd;
  }
}

function largestIn(meta: DataView): ImageSize | null {
  let largest: ImageSize | null = null;
  for (const { type, start, end } of propertiesOf(meta)) {
    if (type !== 'ispe' || end - start < 12 || end > meta.byteLength) continue;
    const [width, height] = [meta.getUint32(start + 4), meta.getUint32(start + 8)];
    if (largest === null || width * height > largest.width * largest.height) largest = { width, height };
  }
  return largest;
}

/** The properties of the file's images: the boxes in meta / iprp / ipco. */
function* propertiesOf(view: DataView): Generator<Box> {
  for (const meta of boxesIn(view, 0, view.byteLength)) {
    if (meta.type !== 'meta') continue;
    for (const iprp of boxesIn(view, meta.start + 4, meta.end)) {
      if (iprp.type !== 'iprp') continue;
      for (const ipco of boxesIn(view, iprp.start, iprp.end)) {
        if (ipco.type === 'ipco') yield* boxesIn(view, ipco.start, ipco.end);
      }
    }
  }
}
