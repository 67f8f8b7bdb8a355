/**
 * Rows with tools under a chat template that lists none: found before a run begins, not at the row.
 * Knows the checkpoint folder and the row; renders nothing.
 */
import type { Row } from '../data/row.ts';
import { SightlineError } from '../errors.ts';
import { type ChatTemplate, readChatTemplate } from '../template/chat_template.ts';
import { rendersTools, toolsUnsupported } from '../template/template.ts';
import type { RowFault } from './data.ts';

/** A check of rows against the template of a checkpoint folder, which is read when the first row asks for it. */
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

/** Null where there is none: whoever opens the checkpoint tells what is wrong with it. */
function templateOf(model: string): ChatTemplate | null {
  try {
    return readChatTemplate(model);
  } catch (error) {
    if (error instanceof SightlineError) return null;
    throw error;
  }
}
