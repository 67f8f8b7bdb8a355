/**
 * `sightline ui` as a command: what it refuses before it serves anything, and what it prints.
 */
import { describe, expect, test } from 'vitest';
import { readUiArguments } from '../../src/arguments/arguments.ts';
import { ui } from '../../src/cli/ui.ts';
import { pretendIo } from '../cli/io.ts';
import { temporaryFolder } from '../helpers/folder.ts';

const folder = temporaryFolder();
const token = 'sixteen-letters-or-more';

describe('an address that the network can reach', () => {
  test.each(['0.0.0.0', '::', '192.0.2.7'])('%s is refused without a token', (host) => {
    expect(() => readUiArguments(['--host', host], {})).toThrow('needs a --token');
    expect(readUiArguments(['--host', host], { SIGHTLINE_UI_TOKEN: token }).args.token).toBe(token);
  });

  test.each(['short', 'with spaces in it here'])('the token %s is refused', (given) => {
    expect(() => readUiArguments(['--host', '0.0.0.0', '--token', given], {})).toThrow('16 to 200');
  });

  test('is warned about', async () => {
    const { io, text } = pretendIo({ signal: AbortSignal.timeout(300) });
    await ui([folder, '--host', '0.0.0.0', '--port', '0', '--token', token], io);
    expect(text.stderr).toContain('warning: the page is open to the network at 0.0.0.0');
    expect(text.stdout).toMatch(new RegExp(`^http://localhost:\\d+/login\\?token=${token}\n$`));
  });
});

test('a folder that does not exist is named, and what to do', async () => {
  const { io, text } = pretendIo();
  await expect(ui([`${folder}/none`], io)).rejects.toMatchObject({
    code: 'E_UI_FOLDER',
    hint: 'name the --output_dir of a run, or a folder above it',
  });
  expect(text.stdout).toBe('');
});
