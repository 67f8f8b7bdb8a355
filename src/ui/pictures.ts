/**
 * Which files are served as images: pictures that browsers draw without running anything in them, recognised by their
 * first bytes.
 */

/** The media type; null for everything else, SVG included, which may hold scripts. */
export function pictureType(head: Uint8Array): string | null {
  const text = Buffer.from(head.subarray(0, 16)).toString('latin1');
  if (text.startsWith('\x89PNG\r\n\x1a\n')) return 'image/png';
  if (text.startsWith('\xff\xd8\xff')) return 'image/jpeg';
  if (/^GIF8[79]a/.test(text)) return 'image/gif';
  if (/^RIFF.{4}WEBP/s.test(text)) return 'image/webp';
  if (text.startsWith('BM')) return 'image/bmp';
  return null;
}

/** Largest image that is served, in bytes. */
export const LARGEST_PICTURE = 64 * 2 ** 20;
