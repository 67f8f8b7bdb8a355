/**
 * Tools in a prompt: only some chat templates list them.
 */
import { SightlineError } from '../errors.ts';
import type { ChatTemplate } from './chat_template.ts';

/** Whether a chat template lists tools. A template that does not mention them would drop them silently. */
export function rendersTools({ source }: Pick<ChatTemplate, 'source'>): boolean {
  return /\btools\b/.test(source);
}

/** The error for a row with tools if the template does not list them. */
export function toolsUnsupported(
  { where: template }: Pick<ChatTemplate, 'where'>,
  where: string | undefined,
): SightlineError {
  return new SightlineError(
    'E_TOOLS_UNSUPPORTED',
    `the row has "tools", but the chat template ${template} does not list tools`,
    {
      where,
      hint: 'describe the tools in the system message, or use a chat template that renders `tools`',
    },
  );
}
