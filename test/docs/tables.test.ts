/**
 * Tables of documents that repeat a table of the program say the same.
 */
import { expect, test } from 'vitest';
import { CHANNELS } from '../../src/attention_log/channels.ts';
import { metricsDocument } from '../helpers/metrics_document.ts';
import { readRepositoryFile } from '../helpers/repository.ts';

test('docs/ui.md names the numbers of tokens with their meanings and units', () => {
  const text = readRepositoryFile('docs/ui.md').toString('utf8');
  for (const { name, meaning, unit } of CHANNELS) expect(text).toContain(`| \`${name}\` | ${meaning} | ${unit} |`);
});

test('docs/metrics.md is what the table says', async () => {
  await expect(metricsDocument()).toMatchFileSnapshot('../../docs/metrics.md');
});
