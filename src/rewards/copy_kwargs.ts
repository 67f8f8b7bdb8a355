/**
 * What a reward is handed is its own: one that edits it changes neither what other rewards get nor what is learned.
 * Tells data from objects that act; does not know what the data means.
 */
import type { RewardKwargs } from './contract.ts';

/** Handed on as they are: they are what the trainer itself works with. */
const LIVE: ReadonlySet<string> = new Set(['model', 'accelerator', 'template', 'logger', 'signal']);

export function ownKwargs(kwargs: RewardKwargs): RewardKwargs {
  const copies = new Map<object, unknown>();
  const own = { ...kwargs };
  for (const [name, value] of Object.entries(kwargs)) {
    if (!LIVE.has(name)) define(own, name, { value: ownCopy(value, copies), writable: true });
  }
  return own;
}

/**
 * Lists, plain objects and typed arrays are copied all the way down; functions and instances of classes stay what they
 * are, and so do getters: pictures are made at access, and copying must not make them.
 *
 * @param copies what was copied before: ids and messages that completions share are copied once, and still shared
 */
export function ownCopy(value: unknown, copies = new Map<object, unknown>()): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const known = copies.get(value);
  if (known !== undefined) return known;
  if (ArrayBuffer.isView(value) && 'slice' in value) return remember(copies, value, (value as Uint8Array).slice());
  if (Array.isArray(value)) {
    const list = remember(copies, value, new Array<unknown>(value.length));
    for (let i = 0; i < value.length; i++) list[i] = ownCopy(value[i], copies);
    return list;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return value;
  const object = remember(copies, value, Object.create(prototype) as object);
  for (const [name, part] of Object.entries(Object.getOwnPropertyDescriptors(value))) {
    define(object, name, 'value' in part ? { value: ownCopy(part.value, copies), writable: true } : part);
  }
  return object;
}

// --- internal ---

function remember<T>(copies: Map<object, unknown>, original: object, copy: T): T {
  copies.set(original, copy);
  return copy;
}

/** Not by assignment: a column called __proto__ would be lost. */
function define(object: object, name: string, part: PropertyDescriptor): void {
  Object.defineProperty(object, name, { ...part, enumerable: true, configurable: true });
}
