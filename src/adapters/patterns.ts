/**
 * Patterns as Python's `re` has them, in JavaScript. Most are the same in both; one that is not is refused, so that none
 * means something else here.
 */
import { messageOf, SightlineError } from '../errors.ts';

/**
 * The pattern; `whole` asks for a match of all of a text, as `re.fullmatch` does.
 *
 * Errors: E_PATTERN, which names the pattern and where it stands.
 */
export function pythonPattern(pattern: string, where: string, { whole = false } = {}): RegExp {
  try {
    // With the flag u, an escape that JavaScript does not know is an error instead of a letter.
    return new RegExp(whole ? `^(?:${pattern})$` : pattern, 'u');
  } catch (error) {
    throw new SightlineError('E_PATTERN', `the pattern cannot be read: ${pattern} (${messageOf(error)})`, {
      where,
      hint: 'write it without what only Python has, such as (?P<name>...), (?i) or \\Z, and without backslashes that are not needed',
    });
  }
}
