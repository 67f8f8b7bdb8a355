/**
 * Verdicts before a run: on a checkpoint, a dataset and the rewards that are to judge it. Reads no weight.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Dataset, openDataset } from '../data/dataset.ts';
import { messageOf, SightlineError } from '../errors.ts';
import { readConfig } from '../models/registry.ts';
import { loadPlugins } from '../rewards/plugin.ts';
import { createRewards } from '../rewards/registry.ts';
import type { Reward } from '../rewards/reward.ts';
import { openTemplate } from '../template/template.ts';
import { isImageFault } from '../train/dropped_rows.ts';
import { encodePrompt } from '../train/prompts.ts';
import { isJsonObject } from '../util/json.ts';
import { bySeverity, type Verdict } from './verdict.ts';

export interface Intended {
  readonly modelDir: string | null;
  readonly dataset: readonly string[];
  readonly columns: Readonly<Record<string, string>>;
  readonly externalPlugins: readonly string[];
  readonly rewardFuncs: readonly string[];
}

/** Errors: those of the dataset's and the checkpoint's files; E_REWARD_UNKNOWN. */
export async function diagnoseIntended(intended: Intended): Promise<Verdict[]> {
  const loaded = await pluginVerdicts(intended.externalPlugins);
  if (loaded.length > 0) return loaded;
  const rewards = createRewards(intended.rewardFuncs);
  const dataset = await openDataset(intended.dataset, { strict: false, columns: intended.columns });
  try {
    return bySeverity([
      ...columnVerdicts(rewards, dataset),
      ...imageVerdicts(dataset),
      ...(intended.modelDir === null ? [] : await modelVerdicts(intended.modelDir, rewards, dataset)),
    ]);
  } finally {
    dataset.close();
  }
}

// --- internal ---

async function pluginVerdicts(paths: readonly string[]): Promise<Verdict[]> {
  try {
    await loadPlugins(paths);
    return [];
  } catch (error) {
    const hint = error instanceof SightlineError ? error.hint : undefined;
    return [
      {
        code: 'PLUGIN_THREW',
        severity: 'severe',
        seen:
          messageOf(error) + (error instanceof SightlineError && error.where !== undefined ? ` (${error.where})` : ''),
        why: 'the plugin cannot be loaded, so its rewards do not exist',
        fix: hint ?? 'mend the file that the message names',
      },
    ];
  }
}

function columnVerdicts(rewards: readonly Reward[], { columns, length }: Dataset): Verdict[] {
  return rewards.flatMap(({ name, columns: needed = [] }) =>
    needed.flatMap((column): Verdict[] => {
      const count = columns.get(column) ?? 0;
      if (count === length) return [];
      return [
        {
          code: 'MISSING_COLUMN',
          severity: count === 0 ? 'severe' : 'warning',
          seen: `reward ${name} needs the column "${column}"; ${length - count} of ${length} rows have no value in it (columns: ${[...columns.keys()].slice(0, 20).join(', ')})`,
          why: 'the reward is null for such rows',
          fix: `add "${column}" to the rows, or rename a column: --columns '{"NAME": "${column}"}'`,
        },
      ];
    }),
  );
}

function imageVerdicts({ dropped, droppedCount, length }: Dataset): Verdict[] {
  const images = dropped.filter(({ code }) => code.startsWith('E_IMAGE'));
  const [first] = images;
  if (first === undefined) return [];
  return [
    {
      code: 'IMAGE_MISSING',
      severity: length === 0 ? 'severe' : 'warning',
      seen: `${images.length === dropped.length ? droppedCount : images.length} of ${length + droppedCount} rows have images that cannot be used (first: ${first.where}: ${first.message})`,
      why: 'a run with --strict true stops at such a row; with --strict false it is left out',
      fix: 'check the paths: relative ones start from the folder of the dataset file',
    },
  ];
}

/** Rows whose prompts are encoded. */
const TRIED = 8;

async function modelVerdicts(dir: string, rewards: readonly Reward[], dataset: Dataset): Promise<Verdict[]> {
  const config = await readConfig(dir);
  const needsAttention = rewards.some(({ needs }) => needs.includes('attention'));
  const verdicts = needsAttention ? implementationVerdicts(dir) : [];
  const template = await openTemplate(dir, config);
  try {
    const encode = encodePrompt(template);
    const without: string[] = [];
    const tried = Math.min(TRIED, dataset.length);
    for (let i = 0; i < tried; i++) {
      const row = await dataset.row(i);
      const prompt = await encode(row).catch((error: unknown) => {
        if (error instanceof SightlineError && (isImageFault(error) || error.code === 'E_PROMPT_TOO_LONG')) return null;
        throw error;
      });
      if (prompt !== null && !prompt.ids.includes(config.imageTokenId)) without.push(row.where);
    }
    if (needsAttention && without.length > 0) {
      verdicts.push({
        code: 'NO_IMAGE_TOKENS',
        severity: without.length === tried ? 'severe' : 'warning',
        seen: `${without.length} of the first ${tried} prompts have no image token (first: ${without[0]})`,
        why: 'without visual tokens there is no text-dominance ratio, so the attention reward is null',
        fix: 'give the rows "images" and an <image> in the question',
      });
    }
  } finally {
    await template.close();
  }
  return verdicts;
}

/** Keys of config.json that say which attention runs; here they decide nothing, in ms-swift they do. */
function implementationVerdicts(dir: string): Verdict[] {
  const path = join(dir, 'config.json');
  if (!existsSync(path)) return [];
  const json: unknown = JSON.parse(readFileSync(path, 'utf8'));
  if (!isJsonObject(json)) return [];
  const places = [
    ['', json] as const,
    ...(isJsonObject(json.text_config) ? [['text_config.', json.text_config] as const] : []),
  ];
  const said = places.flatMap(([prefix, object]) =>
    ['_attn_implementation', 'attn_implementation', 'llm_attn_implementation']
      .filter((key) => typeof object[key] === 'string' && object[key] !== 'eager')
      .map((key) => `${prefix}${key} "${String(object[key])}"`),
  );
  if (said.length === 0) return [];
  return [
    {
      code: 'ATTENTION_IMPL',
      severity: 'note',
      seen: `config.json says ${said.join(', ')}`,
      why: 'such kernels return no weights. sightline measures attention without them; in ms-swift the reward must switch to eager or capture queries and keys',
      fix: 'nothing here; in ms-swift use the plugin (sightline engine ms-swift --print-plugin)',
    },
  ];
}
