/**
 * HTML from templates. Whatever is put into a template stands in the page as text, unless it is a template's HTML itself.
 */
import { cleanText } from '../util/clean_text.ts';
import { plural } from '../util/plural.ts';

export class Html {
  /** Only for text that this program has made; everything else goes through `html`. */
  constructor(readonly text: string) {}
}

export type Part = string | number | Html | readonly Part[];

/** @example html`<td>${name}</td>` */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return new Html(strings.reduce((all, text, i) => all + textOf(parts[i - 1]!) + text));
}

/** A part that opens at a click, named by the number of its items; nothing if there are none. */
export function folded(items: readonly unknown[], name: string, content: Html): Html {
  return items.length === 0
    ? html``
    : html`<details><summary>${plural(items.length, name)}</summary>${content}</details>`;
}

// --- internal ---

function textOf(part: Part): string {
  if (part instanceof Html) return part.text;
  if (typeof part === 'string' || typeof part === 'number') return escaped(String(part));
  return part.map(textOf).join('');
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

const escaped = (text: string): string => cleanText(text).replace(/[&<>"']/g, (letter) => ENTITIES[letter]!);
