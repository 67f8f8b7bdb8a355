/**
 * What a reader wants to see of a rendered prompt.
 */

/** The last user message, without the control tokens of the chat template; the whole prompt if it has no such message. */
export function questionOf(prompt: string): string {
  const turns = prompt.split('<|im_start|>');
  const last = turns.findLast((turn) => turn.startsWith('user'));
  return (last === undefined ? prompt : last.slice('user'.length)).replace(/<\|[\w/ ]+\|>/g, '').trim();
}
