/**
 * Prints the peak growth of the process, in bytes, while it scores one sequence.
 * Arguments: checkpoint folder, number of tokens. The model is loaded and its graphs are compiled before.
 */
import { openPolicy, type Policy } from '../src/train/policy.ts';
import { watchRss } from './rss.ts';

/** Completion tokens of the sequence. */
const COMPLETION = 64;

const [, , model, length] = process.argv;
const policy = await openPolicy({ model: model!, attnImpl: 'flash_attention_2', trainable: false });
await score(policy, 2 * COMPLETION);
const stop = watchRss();
const before = process.memoryUsage.rss();
await score(policy, Number(length));
console.log((await stop()) - before);
await policy.close();

// --- internal ---

async function score({ model, template }: Policy, tokens: number): Promise<void> {
  const id = template.endOfTurnId;
  const prompt = { ids: new Int32Array(tokens - COMPLETION).fill(id), images: [] };
  const completions = [{ ids: new Int32Array(COMPLETION).fill(id) }];
  await model.score([{ prompt, completions }], { temperature: 1, keep: false });
}
