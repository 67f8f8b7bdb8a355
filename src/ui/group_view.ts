/**
 * A group with the texts of its completions, read from the file.
 */
import { basename } from 'node:path';
import { answerText } from '../rewards/answer_text.ts';
import type { Json } from '../util/json.ts';
import { answerFault } from './answer_fault.ts';
import type { Completion, Group, ImagePlace } from './api.ts';
import type { Table } from './completion_table.ts';
import { questionOf } from './prompt_text.ts';
import { meanOf } from './row_list.ts';
import type { Run } from './run.ts';

/** Null if there is no such group, or its text is gone from the disk. */
export async function readGroup(run: Run, id: number): Promise<Group | null> {
  const facts = run.table.groups[id];
  if (facts === undefined) return null;
  const place = run.table.placeOf(facts.rows[0]!);
  const table = await run.tableAt(place.line);
  if (table === null) return null;
  const columns = run.table.columns();
  const shown = new Set([...FIXED, ...columns.map(({ name }) => name)]);
  const completions = facts.rows.map((row): Completion => {
    const { index } = run.table.placeOf(row);
    const text = table.completion![index] as string;
    const more = Object.entries(table).filter(([name]) => !shown.has(name));
    return {
      id: row,
      text,
      answer: answerText(text),
      fault: answerFault(text, textOf(table.solution?.[index]), run.table.isClipped(row)),
      clipped: run.table.isClipped(row),
      values: columns.map(({ name }) => run.table.value(name, row)),
      more: Object.fromEntries(more.map(([name, values]) => [name, values[index] as Json])),
      hasAttention: run.attention.has(facts.step, index),
    };
  });
  const prompt = table.prompt![place.index] as string;
  const reward = columns.find(({ kind }) => kind === 'reward')?.name;
  return {
    id,
    step: facts.step,
    prompt,
    question: questionOf(prompt),
    solution: textOf(table.solution?.[place.index]),
    source: textOf(table.source?.[place.index]),
    images: imagePlaces(run.folder.id, facts.rows[0]!, prompt, table, place.index),
    completions,
    history: run.table.ofOrigin(facts.origin).map((group) => {
      const { step, rows } = run.table.groups[group]!;
      return { id: group, step, reward: reward === undefined ? null : meanOf(run.table, reward, rows) };
    }),
    total: run.table.groups.length,
  };
}

/** The path of the image as the log has it; null if it has none. */
export async function imagePath(run: Run, row: number, image: number): Promise<string | null> {
  if (row >= run.table.rows) return null;
  const { line, index } = run.table.placeOf(row);
  const images = (await run.tableAt(line))?.images?.[index];
  const path: unknown = Array.isArray(images) ? images[image] : null;
  return typeof path === 'string' ? path : null;
}

// --- internal ---

/** Columns that a group shows in places of their own. */
const FIXED = ['step', 'prompt', 'completion', 'solution', 'source', 'index', 'images', 'truncated'];

function imagePlaces(run: string, row: number, prompt: string, table: Table, index: number): ImagePlace[] {
  const images = table.images?.[index];
  if (!Array.isArray(images)) {
    // ms-swift does not log where the images of a prompt are.
    const count = prompt.split(/<\|vision_start\|>|<image>/).length - 1;
    return Array.from({ length: count }, () => ({ name: '', reason: 'The log of this run does not name its images.' }));
  }
  return images.map((path: unknown, image): ImagePlace => {
    if (typeof path !== 'string') return { name: '', reason: 'The image was part of the row and is not logged.' };
    return { name: basename(path), url: `/api/runs/${run}/completions/${row}/images/${image}` };
  });
}

function textOf(value: unknown): string | null {
  if (value === undefined || value === null) return null;
  return typeof value === 'string' ? value : JSON.stringify(value);
}
