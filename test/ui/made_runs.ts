/**
 * Folders of runs for tests: small logs in the form that sightline and ms-swift write.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A PNG of one pixel. */
export const PIXEL = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
);

export const jsonLines = (records: readonly unknown[]): string =>
  records.map((record) => `${JSON.stringify(record)}\n`).join('');

export const logRecord = (step: number, maxSteps: number, metrics: Readonly<Record<string, unknown>>) => ({
  ...metrics,
  epoch: step / maxSteps,
  'global_step/max_steps': `${step}/${maxSteps}`,
});

/** A line of completions.jsonl with these rows, in the columns of sightline. */
export function completionsLine(
  step: number,
  rows: readonly {
    readonly prompt?: string;
    readonly completion: string;
    readonly reward: number | null;
    readonly advantage?: number;
    readonly truncated?: boolean;
    readonly index?: number;
    readonly images?: readonly (string | null)[];
  }[],
) {
  return {
    step: rows.map(() => String(step)),
    prompt: rows.map(({ prompt = 'What is it?' }) => prompt),
    completion: rows.map(({ completion }) => completion),
    accuracy: rows.map(({ reward }) => reward),
    advantages: rows.map(({ advantage = 0 }) => advantage),
    length: rows.map(({ completion }) => completion.length),
    truncated: rows.map(({ truncated = false }) => truncated),
    source: rows.map(({ index = 0 }) => `data.jsonl:${index + 1}`),
    index: rows.map(({ index = 0 }) => index),
    images: rows.map(({ images = [] }) => images),
  };
}

export function writeRun(
  folder: string,
  { log = [], completions = [], args }: { log?: readonly unknown[]; completions?: readonly unknown[]; args?: unknown },
): void {
  mkdirSync(folder, { recursive: true });
  if (log.length > 0) writeFileSync(join(folder, 'logging.jsonl'), jsonLines(log));
  if (completions.length > 0) writeFileSync(join(folder, 'completions.jsonl'), jsonLines(completions));
  if (args !== undefined) writeFileSync(join(folder, 'args.json'), JSON.stringify(args));
}
