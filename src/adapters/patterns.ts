/**
 * Python's regular expressions (`re`) in JavaScript. Most mean the same in both languages; the others are refused.
 */
import { messageOf, SightlineError } from '../errors.ts';

/**
 * @param whole the pattern must match the whole text, as with `re.fullmatch`
 *
 * Errors: E_PATTERN, which names the pattern and its flag or file.
 */
export function pythonPattern(pattern: string, where: string, { whole = false } = {}): RegExp {
  try {
    // With the flag u, an escape that JavaScript does not know is an error. Without it, it would be a letter.
    return new RegExp(whole ? `^(?:${pattern})$` : pattern, 'u');
  } catch (error) {
    throw new SightlineError('E_PATTERN', `the pattern cannot be read: ${pattern} (${messageOf(error)})`, {
      where,
      hint: 'write it without what only Python has, such as (?P<name>...), (?i) or \\Z, and without backslashes that are not needed',
    });
  }
}
