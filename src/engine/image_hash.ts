/**
 * Names processed pixels by their content, so that equal images are encoded once.
 */
import { createHash } from 'node:crypto';

export function hashOf(pixelValues: Float32Array, gridThw: readonly number[]): string {
  const bytes = new Uint8Array(pixelValues.buffer, pixelValues.byteOffset, pixelValues.byteLength);
  return createHash('sha256').update(bytes).update(gridThw.join('x')).digest('base64url');
}
