/**
 * Measures the attention that rewards ask for: from the masses of the fused probe where these hold it, else from one forward without
 * gradients that shows the weights, or, with `--attn_probe eager`, from one eager forward for each completion.
 */
import { type ProbedSpans, spanMasses } from '../attention/probe.ts';
import {
  type AttentionMeter,
  fromProbe,
  mapMeter,
  probeColumns,
  type SpannedCompletion,
  spanMeter,
} from '../attention/spans/measure.ts';
import {
  headsOf,
  type ImageAttentionMap,
  isProbed,
  type MeasuredNeed,
  resolveLayers,
  type SpanAttention,
} from '../attention/spans/need.ts';
import type { SpannedPrompt, TokenKinds } from '../attention/spans/prompt_columns.ts';
import { SightlineError } from '../errors.ts';
import type { Completion, RolloutGroup, RolloutPrompt } from '../grpo/rollout.ts';
import { completionParts } from '../rewards/completion_parts.ts';
import type { AttnProbe } from '../rewards/contract.ts';
import { attentionNeedsOf } from '../rewards/needs.ts';
import type { Reward } from '../rewards/reward.ts';
import type { Template } from '../template/template.ts';
import { eagerMaps, observedMaps } from './attention_maps.ts';
import { gridsOf } from './image_grids.ts';
import type { Policy } from './policy.ts';
import { regionBoxes } from './region_boxes.ts';
import { tokenTexts } from './token_texts.ts';

/** By the name of the need, one entry per completion. [N] */
export type AttentionMeasures = ReadonlyMap<string, readonly (SpanAttention | ImageAttentionMap)[]>;

export interface AttentionTools {
  readonly rewards: readonly Pick<Reward, 'needs' | 'name' | 'file'>[];
  readonly attnProbe: AttnProbe;
  readonly model: Policy['model'];
  readonly template: Pick<Template, 'tokenizer' | 'streamDecoder'>;
}

/** Layers and heads that the model does not have. Error: E_REWARD_CLASS, naming the reward. */
export function checkAttentionNeeds(
  rewards: AttentionTools['rewards'],
  { text: { numHiddenLayers, numAttentionHeads } }: Pick<Policy['modelConfig'], 'text'>,
): void {
  for (const { name, file, needs } of rewards) {
    for (const need of attentionNeedsOf([{ needs }])) {
      const layers = resolveLayers(need.layers, numHiddenLayers);
      const wrong = typeof layers === 'string' ? layers : layers.flatMap((layer) => wrongHead(need, layer) ?? [])[0];
      if (wrong === undefined) continue;
      throw new SightlineError('E_REWARD_CLASS', `reward "${name}" asks for the attention of ${wrong}`, {
        where: file,
        hint: "write layers: 'last 8' and leave heads out, or name layers and heads that the model has",
      });
    }
  }
  function wrongHead(need: MeasuredNeed, layer: number): string | null {
    const head = headsOf(need, layer)?.find((each) => each >= numAttentionHeads);
    return head === undefined
      ? null
      : `head ${head} of layer ${layer}, but a layer has ${numAttentionHeads} heads, counted from 0`;
  }
}

/** What rewards ask the fused probe of these prompts for, besides image, text and system block. */
export function probedSpans(
  prompts: readonly RolloutPrompt[],
  tools: Omit<AttentionTools, 'attnProbe'>,
): ProbedSpans[] {
  const kinds = kindsOf(tools);
  const spanned = prompts.map((prompt) => spannedPrompt(prompt, tools));
  return attentionNeedsOf(tools.rewards)
    .filter(isProbed)
    .map((need) => ({
      layers: layersOf(need, tools),
      count: need.spans.length,
      columnsOf: (prompt) => need.spans.map((span) => probeColumns(span, spanned[prompt]!, kinds)),
    }));
}

/**
 * Errors: E_MEMORY if the maps would be too large; those of the model.
 *
 * @param groups completions with the masses that a probe with `probedSpans` measured, if one did
 */
export async function measureAttention(
  groups: readonly RolloutGroup[],
  tools: AttentionTools,
): Promise<AttentionMeasures> {
  const needs = attentionNeedsOf(tools.rewards);
  const measures = new Map<string, (SpanAttention | ImageAttentionMap)[]>();
  if (needs.length === 0) return measures;
  const samples = samplesOf(groups, tools);
  const probed = needs.filter(isProbed);
  const hasMasses = samples.every(({ completion }) => completion.masses !== undefined && completion.masses.size > 0);
  if (hasMasses) {
    let first = 0;
    for (const need of probed) {
      const layers = layersOf(need, tools);
      measures.set(
        need.name,
        samples.map(({ completion, spanned }) => {
          const massOf = spanMasses({ masses: completion.masses!, ids: completion.ids });
          return fromProbe(need, spanned, layers, (layer, span, token) => massOf(layer, first + span, token));
        }),
      );
      first += need.spans.length;
    }
  }
  const rest = needs.filter((need) => !measures.has(need.name));
  checkRoom(rest, samples);
  // Needs with the same heads share a forward.
  for (const heads of new Set(rest.map((need) => JSON.stringify(need.heads)))) {
    const needs = rest.filter((need) => JSON.stringify(need.heads) === heads);
    const metered = samples.map(({ spanned }) =>
      needs.map((need) => ({
        layers: layersOf(need, tools),
        meter: need.need === 'attention' ? spanMeter(need, spanned) : mapMeter(need, spanned),
      })),
    );
    const show = tools.attnProbe === 'eager' ? eagerMaps : observedMaps;
    await show(tools.model, groups, {
      layers: [...new Set(needs.flatMap((need) => layersOf(need, tools)))].sort((a, b) => a - b),
      headsOf: (layer) => headsOf(needs[0]!, layer),
      onMap(sample, layer, map) {
        for (const { layers, meter } of metered[sample]!) if (layers.includes(layer)) meter.add(layer, map);
      },
    });
    for (const [k, { name }] of needs.entries()) {
      measures.set(
        name,
        metered.map((of) => (of[k]!.meter as AttentionMeter<SpanAttention | ImageAttentionMap>).result()),
      );
    }
  }
  return measures;
}

// --- internal ---

/** Bytes that the maps of a batch may take. */
const MAP_BYTES = 2 ** 30;

interface Sample {
  readonly completion: Completion;
  readonly spanned: SpannedCompletion;
}

const layersOf = ({ layers }: MeasuredNeed, { model }: Pick<AttentionTools, 'model'>): readonly number[] => {
  const resolved = resolveLayers(layers, model.modelConfig.text.numHiddenLayers);
  if (typeof resolved === 'string') throw new Error(`internal: unchecked need for ${resolved}`);
  return resolved;
};

const kindsOf = ({ model, template }: Pick<AttentionTools, 'model' | 'template'>): TokenKinds => ({
  visual: [model.modelConfig.imageTokenId, model.modelConfig.videoTokenId],
  control: new Set(template.tokenizer.special.values()),
});

function spannedPrompt(
  { ids, systemPrefix, images, row }: RolloutPrompt,
  { model }: Pick<AttentionTools, 'model'>,
): SpannedPrompt {
  return {
    ids,
    systemPrefix,
    grids: gridsOf({ images }, model.modelConfig),
    boxesOf: (span) => regionBoxes(span, row.columns[span.region], images),
  };
}

function samplesOf(groups: readonly RolloutGroup[], tools: AttentionTools): Sample[] {
  const kinds = kindsOf(tools);
  return groups.flatMap(({ prompt, completions }) => {
    const spanned = spannedPrompt(prompt, tools);
    return completions.map((completion) => ({
      completion,
      spanned: {
        prompt: spanned,
        kinds,
        tokens: completion.ids.length,
        partsOf: () => completionParts(tokenTexts(completion.ids, tools.template, { skipSpecialTokens: true })),
      },
    }));
  });
}

function checkRoom(needs: readonly MeasuredNeed[], samples: readonly Sample[]): void {
  const maps = needs.filter(({ need }) => need === 'attention_map').length;
  const bytes = samples.reduce((sum, { spanned: { prompt, tokens } }) => {
    const imageTokens = prompt.grids.reduce((count, [rows, columns]) => count + rows * columns, 0);
    return sum + 12 * tokens * imageTokens; // sums in 8 bytes and results in 4
  }, 0);
  if (maps * bytes <= MAP_BYTES) return;
  throw new SightlineError(
    'E_MEMORY',
    `attention maps of ${samples.length} completions would take ${((maps * bytes) / 2 ** 30).toFixed(1)} GiB`,
    {
      hint: 'lower --max_pixels, --max_completion_length or --per_device_train_batch_size, or ask for spans: attention({ spans: [...] })',
    },
  );
}
