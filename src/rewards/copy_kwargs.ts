/**
 * Gives each reward its own copy of the arguments, so that a reward that edits them affects neither other rewards nor
 * training. Distinguishes data from live objects; does not know what the data means.
 */
import type { RewardKwargs } from './contract.ts';

/** Objects that the trainer itself works with; they are passed on without a copy. */
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
 * Copies lists, plain objects and typed arrays deeply. Functions and class instances are not copied, and getters stay
 * getters: images are computed on access, and copying must not trigger that.
 *
 * @param copies originals with their copies, so that ids and messages shared by completions are copied once and stay shared
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

/** Defines a property. An assignment would lose a column called __proto__. */
function define(object: object, name: string, part: PropertyDescriptor): void {
  Object.defineProperty(object, name, { ...part, enumerable: true, configurable: true });
}
