/**
 * Finds rows with tools whose chat template does not list tools, before a run begins.
 * Knows the checkpoint folder and the row; renders nothing.
 */
import type { Row } from '../data/row.ts';
import { SightlineError } from '../errors.ts';
import { type ChatTemplate, readChatTemplate } from '../template/chat_template.ts';
import { rendersTools, toolsUnsupported } from '../template/tools.ts';
import type { RowFault } from './data.ts';

/** A check of rows against the template of a checkpoint folder. Reads the template at the first row with tools. */
export function createToolsCheck(model: string): (row: Row) => RowFault | null {
  let chat: ChatTemplate | null | undefined;
  return ({ tools, where }) => {
    if (tools.length === 0) return null;
    chat ??= templateOf(model);
    if (chat === null || rendersTools(chat)) return null;
    return { reason: 'tools', error: toolsUnsupported(chat, where) };
  };
}

// --- internal ---

/** Null if the template cannot be read. Opening the checkpoint reports that fault. */
function templateOf(model: string): ChatTemplate | null {
  try {
    return readChatTemplate(model);
  } catch (error) {
    if (error instanceof SightlineError) return null;
    throw error;
  }
}
