/**
 * The system prompt: a text, or a file that holds it.
 */
import { readFileSync } from 'node:fs';
import { messageOf } from '../errors.ts';
import type { Faults } from './faults.ts';
import { isFile } from './paths.ts';

const BYTE_ORDER_MARK = /^\ufeff/;

/**
 * A name ending in .txt must be an existing file; any other text may name one. In a text, `\n` typed as two characters
 * becomes a line break. In a file, a byte order mark is removed and line breaks become `\n`.
 */
export function resolveSystem(system: string | null, faults: Faults): string | null {
  if (system === null) return null;
  const isFileName = system.endsWith('.txt') && !system.includes('\n');
  if (!isFileName && !(system.length < 1024 && isFile(system))) return system.replaceAll('\\n', '\n');
  try {
    return readFileSync(system, 'utf8').replace(BYTE_ORDER_MARK, '').replace(/\r\n?/g, '\n');
  } catch (error) {
    faults.add('--system', `the file cannot be read: ${system} (${messageOf(error)})`, 'check the path');
    return null;
  }
}
