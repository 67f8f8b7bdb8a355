/**
 * Writes the folder `attention` of a run: per-token attention of logged completions. A run that is resumed removes what belongs to later
 * steps.
 */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { indexName, stepOfName, valuesName } from '../attention_log/format.ts';
import { type AttentionLog, createAttentionLog } from '../attention_log/writer.ts';
import type { Listener, TrainEvent } from '../train/events.ts';

/** @param limit bytes of all its files */
export function attentionFiles(runFolder: string, limit: number): Listener {
  const folder = join(runFolder, 'attention');
  let log: AttentionLog | null = null;
  return {
    onEvent(event: TrainEvent) {
      if (event.type === 'start' && event.step > 0) removeAfter(folder, event.step);
      if (event.type !== 'completions' || !event.attention) return;
      log ??= createAttentionLog(folder, limit);
      log.write(event.step, event.attention.layers, event.attention.completions);
    },
    close: () => undefined,
  };
}

// --- internal ---

function removeAfter(folder: string, step: number): void {
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) {
    const at = stepOfName(name);
    if (at === null || at <= step) continue;
    for (const file of [indexName(at), valuesName(at)]) rmSync(join(folder, file), { force: true });
  }
}
