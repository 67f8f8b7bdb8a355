/**
 * Where an image of a dataset row comes from, and how its bytes are read without ever blocking on a FIFO.
 * Knows paths, base64 and data URIs, not image formats.
 */
import { isAbsolute, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { messageOf, SightlineError } from '../errors.ts';
import { isJsonObject, shownJson } from '../util/json.ts';
import { openRegularFile } from '../util/regular_file.ts';
import { inWords } from './columns.ts';
import type { ReadAt } from './image_size.ts';

/** An image that has not been read yet. `where` names the row for errors. */
export type ImageSource =
  | { readonly kind: 'path'; readonly path: string; readonly where: string }
  | { readonly kind: 'base64'; readonly base64: string; readonly where: string }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array; readonly where: string };

/** Larger encoded files are refused before they are read. */
const MAX_IMAGE_BYTES = 256 * 1024 * 1024;

/**
 * Parses a value of an `images` column. As in ms-swift, it is a path, a data URI, a base64 string, or an object
 * `{ path }`, `{ bytes }` (base64 string, byte list or Buffer's JSON) or `{ url }` of such a string.
 *
 * @param base folder that relative paths start from
 * Errors: E_IMAGE_SOURCE, E_IMAGE_URL (nothing is downloaded at run time).
 */
export function parseImageSource(value: unknown, base: string, where: string): ImageSource {
  return sourceOf(value, base, where, DEEPEST);
}

/** The encoded bytes (a PNG, a JPEG, ...) of a source. Errors: E_IMAGE_MISSING, E_IMAGE_UNREADABLE, E_IMAGE_SOURCE. */
export async function readImageBytes(source: ImageSource): Promise<Uint8Array> {
  if (source.kind === 'bytes') return source.bytes;
  if (source.kind === 'base64') return decodeBase64(source.base64, source.where);
  return readFile(source.path, source.where);
}

/** Opens the encoded bytes for reading parts of them. Errors: those of `readImageBytes`. */
export async function openImage(source: ImageSource): Promise<{ read: ReadAt; close(): Promise<void> }> {
  if (source.kind !== 'path') {
    const bytes = await readImageBytes(source);
    return { read: async (position, length) => bytes.subarray(position, position + length), close: async () => {} };
  }
  const { handle } = await openImageFile(source.path, source.where);
  return {
    read: async (position, length) => {
      const bytes = new Uint8Array(length);
      const { bytesRead } = await handle.read(bytes, 0, length, position).catch((cause: unknown) => {
        throw unreadable(source.path, messageOf(cause), source.where, cause);
      });
      return bytes.subarray(0, bytesRead);
    },
    close: () => handle.close(),
  };
}

/** The source's name in errors. */
export function nameOfSource(source: ImageSource): string {
  return source.kind === 'path' ? source.path : `an image given as ${source.kind}`;
}

// --- internal ---

const DATA_URI = /^data:[^,]*,/i;
const BASE64 = /^[A-Za-z0-9+/_-]*={0,2}$/;
/** Longer strings cannot be paths on any system that Node runs on. */
const LONGEST_PATH = 4096;
/** No image of an accepted format fits in fewer base64 characters. */
const SHORTEST_BASE64 = 48;
/** The first base64 characters of PNG, JPEG, GIF, RIFF (WebP), BMP, TIFF and BigTIFF in either byte order, and AVIF. */
const BASE64_MAGIC =
  /^(iVBORw0KGgo|\/9j\/|R0lGOD|UklGR|Qk[0-3][A-Za-z0-9+/]{5}AAAA|SUkqA|TU0AK|SUkrA|AAAA[A-Za-z0-9+/]{2}Z0eX)/;

/** OpenAI's content parts nest two levels: {"image_url": {"url": ...}}. */
const DEEPEST = 2;

function sourceOf(value: unknown, base: string, where: string, levels: number): ImageSource {
  // Spaces around a path are removed, as in ms-swift.
  if (typeof value === 'string') return fromString(value.trim(), base, where);
  if (value instanceof Uint8Array) return { kind: 'bytes', bytes: value, where };
  if (isJsonObject(value) && levels > 0) {
    const bytes = 'bytes' in value ? value.bytes : undefined;
    if (bytes !== undefined && bytes !== null) return fromBytes(bytes, where);
    for (const key of ['path', 'url', 'image', 'image_url'] as const) {
      const inner: unknown = key in value ? Reflect.get(value, key) : undefined;
      if (inner !== undefined && inner !== null) return sourceOf(inner, base, where, levels - 1);
    }
  }
  throw new SightlineError(
    'E_IMAGE_SOURCE',
    `an image is ${inWords(value)}, expected a path, base64, a data URI or {path|bytes}`,
    {
      where,
      hint: 'check the "images" column of this row',
    },
  );
}

function fromString(value: string, base: string, where: string): ImageSource {
  if (DATA_URI.test(value)) {
    const comma = value.indexOf(',');
    if (!/;base64$/i.test(value.slice(0, comma))) {
      throw new SightlineError('E_IMAGE_SOURCE', 'a data URI is not base64-encoded', {
        where,
        hint: 'use data:image/png;base64,...',
      });
    }
    return { kind: 'base64', base64: value.slice(comma + 1), where };
  }
  if (/^(https?|ftp|s3|oss|gs|hf):\/\//i.test(value)) {
    throw new SightlineError('E_IMAGE_URL', `an image is the URL ${shown(value)}; nothing is downloaded at run time`, {
      where,
      hint: 'download the images and give paths relative to the dataset file',
    });
  }
  if (/^file:\/\//i.test(value)) return { kind: 'path', path: fromFileUrl(value, where), where };
  if (looksLikeBase64(value)) return { kind: 'base64', base64: value, where };
  if (value === '' || value.includes('\0') || value.length > LONGEST_PATH) {
    throw new SightlineError('E_IMAGE_SOURCE', `an image path is ${value === '' ? 'empty' : shown(value)}`, { where });
  }
  return { kind: 'path', path: isAbsolute(value) ? value : resolve(base, value), where };
}

function fromFileUrl(value: string, where: string): string {
  try {
    return fileURLToPath(value);
  } catch (cause) {
    throw new SightlineError('E_IMAGE_SOURCE', `not a usable file URL: ${shown(value)}`, { where, cause });
  }
}

/** True for a string that begins like an encoded image, or that is too long for a path and all base64 characters. */
function looksLikeBase64(value: string): boolean {
  if (value.length < SHORTEST_BASE64) return false;
  if (BASE64_MAGIC.test(value)) return true;
  return value.length > LONGEST_PATH && BASE64.test(value.slice(0, 256));
}

function fromBytes(bytes: unknown, where: string): ImageSource {
  if (typeof bytes === 'string') return { kind: 'base64', base64: bytes, where };
  if (bytes instanceof Uint8Array) return { kind: 'bytes', bytes, where };
  const list: unknown = typeof bytes === 'object' && bytes !== null && 'data' in bytes ? bytes.data : bytes;
  if (Array.isArray(list) && list.every((byte) => Number.isInteger(byte) && byte >= 0 && byte <= 255)) {
    return { kind: 'bytes', bytes: Uint8Array.from(list), where };
  }
  throw new SightlineError(
    'E_IMAGE_SOURCE',
    `the "bytes" of an image are ${shown(bytes)}, expected base64 or a list of bytes`,
    {
      where,
    },
  );
}

function decodeBase64(text: string, where: string): Uint8Array {
  const clean = text.replace(/\s+/g, '');
  if (!BASE64.test(clean)) {
    throw new SightlineError('E_IMAGE_SOURCE', 'an image given as base64 has characters that are not base64', {
      where,
      hint: 'encode the file with standard base64, without line prefixes',
    });
  }
  if (clean.length > MAX_IMAGE_BYTES * (4 / 3)) throw tooLarge(`an image given as base64`, clean.length * 0.75, where);
  return Buffer.from(clean, 'base64');
}

async function readFile(path: string, where: string): Promise<Uint8Array> {
  const { handle, size } = await openImageFile(path, where);
  try {
    const bytes = Buffer.alloc(size);
    let filled = 0;
    while (filled < size) {
      const { bytesRead } = await handle.read(bytes, filled, size - filled, filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return bytes.subarray(0, filled);
  } catch (cause) {
    throw unreadable(path, messageOf(cause), where, cause);
  } finally {
    await handle.close();
  }
}

/** Opens an image file, which must be a regular file of a usable size. */
async function openImageFile(path: string, where: string) {
  const file = await openRegularFile(path, {
    missing: (cause) =>
      new SightlineError('E_IMAGE_MISSING', `image not found: ${path}`, {
        where,
        hint: 'relative paths start from the folder of the dataset file',
        cause,
      }),
    unreadable: (cause) => unreadable(path, messageOf(cause), where, cause),
    notRegular: (kind) => unreadable(path, `it is ${kind}, not a regular file`, where),
  });
  if (file.size > 0 && file.size <= MAX_IMAGE_BYTES) return file;
  await file.handle.close();
  throw file.size === 0 ? unreadable(path, 'the file is empty', where) : tooLarge(path, file.size, where);
}

function unreadable(path: string, why: string, where: string, cause?: unknown): SightlineError {
  return new SightlineError('E_IMAGE_UNREADABLE', `image cannot be read: ${path}: ${why}`, {
    where,
    hint: 'replace or remove this image',
    cause,
  });
}

function tooLarge(name: string, bytes: number, where: string): SightlineError {
  return new SightlineError(
    'E_IMAGE_TOO_LARGE',
    `${name} has ${Math.round(bytes)} bytes; the limit is ${MAX_IMAGE_BYTES}`,
    {
      where,
      hint: 'shrink the image; the model sees at most --max_pixels of it in any case',
    },
  );
}

const shown = (value: unknown): string => shownJson(value, 80);
