/**
 * Which layers are adapted, with which rank and scale, and which tensors are trained whole, against PEFT and ms-swift
 * (peers/targets.py); and targets that are refused.
 */
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { type AdapterConfig, adapterConfigJson, parseAdapterConfig } from '../../src/adapters/config.ts';
import { modulesOf, SPELLINGS } from '../../src/adapters/model_modules.ts';
import { planAdapter } from '../../src/adapters/plan.ts';
import { allLinearPattern, moduleShorthands } from '../../src/adapters/swift_targets.ts';
import { adaptersOn, savedTensors, targetedModules } from '../../src/adapters/targets.ts';
import { treeName } from '../../src/checkpoint/names.ts';
import { SightlineError } from '../../src/errors.ts';
import { readConfig } from '../../src/models/registry.ts';
import { trainedParameters } from '../../src/train/trained_parameters.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import { readJson } from '../helpers/golden_values.ts';

interface Peers {
  readonly rules: readonly {
    readonly rule: Readonly<Record<string, unknown>>;
    readonly layers: Readonly<Record<string, readonly [rank: number, scale: number]>>;
    readonly saved: readonly string[];
  }[];
  readonly swift: readonly {
    readonly freeze: { readonly llm: boolean; readonly vit: boolean; readonly aligner: boolean };
    readonly regex: string;
    readonly layers: readonly string[];
  }[];
  readonly freeze: readonly {
    readonly rule: {
      readonly ratio?: number;
      readonly prefixes?: readonly string[];
      readonly regex?: string;
      readonly train?: readonly string[];
      readonly train_regex?: string;
      readonly freeze_llm?: boolean;
      readonly freeze_vit?: boolean;
      readonly freeze_aligner?: boolean;
    };
    readonly trained: readonly string[];
  }[];
}

const peers = readJson<Record<string, Peers>>(fileURLToPath(new URL('peers/targets.json', import.meta.url)));
const [current] = SPELLINGS;
const sorted = (names: Iterable<string>): string[] => [...names].sort();

describe.each(goldenCheckpoints().filter(({ name }) => name in peers))('$name', ({ name, model }) => {
  const { rules, swift, freeze } = peers[name]!;

  test.each(rules)('PEFT: $rule', async ({ rule, layers, saved }) => {
    const modules = modulesOf(await readConfig(model));
    const config = parseAdapterConfig({ r: 4, lora_alpha: 8, ...rule }, 'here');
    const found = targetedModules(config, modules, current, 'here');
    const adapters = adaptersOn(found.layers, config, modules, current, 'here');
    const ours = Object.fromEntries(
      Object.entries(adapters).map(([layer, { rank, scale }]) => [treeName(layer), [rank, expect.closeTo(scale, 12)]]),
    );
    expect(layers).toEqual(ours);
    expect(sorted(savedTensors(config.modulesToSave, modules, current).map(treeName))).toEqual(sorted(saved));
    // Written and read again, it is the same.
    expect(parseAdapterConfig(adapterConfigJson(config), 'here')).toEqual(config);
  });

  test.each(swift)('ms-swift: all-linear with $freeze', async ({ freeze: parts, regex, layers }) => {
    const config = await readConfig(model);
    const modules = modulesOf(config);
    for (const pattern of [regex, allLinearPattern(config, parts)]) {
      const rule = parseAdapterConfig({ target_modules: pattern }, 'here');
      const found = targetedModules(rule, modules, current, 'here');
      expect(sorted(found.layers.map(treeName))).toEqual(sorted(layers));
      expect(found.others).toEqual([]);
    }
  });

  test.each(freeze)('ms-swift: full training with $rule', async ({ rule, trained }) => {
    const { freeze_llm = false, freeze_vit = false, freeze_aligner = true } = rule;
    const ours = trainedParameters(
      {
        freeze: { llm: freeze_llm, vit: freeze_vit, aligner: freeze_aligner },
        freezeParameters: rule.prefixes ?? [],
        freezeParametersRegex: rule.regex ?? null,
        freezeParametersRatio: rule.ratio ?? 0,
        trainableParameters: rule.train ?? [],
        trainableParametersRegex: rule.train_regex ?? null,
      },
      await readConfig(model),
    );
    expect(sorted([...ours].map(treeName))).toEqual(sorted(trained));
  });
});

describe('a new adapter', async () => {
  const { model } = goldenCheckpoints()[0]!;
  const config = await readConfig(model);
  const settings = (changes: Partial<AdapterConfig>): AdapterConfig => ({
    ...parseAdapterConfig({ target_modules: ['q_proj'] }, 'here'),
    ...changes,
  });
  const refused = (changes: Partial<AdapterConfig>): string => {
    try {
      planAdapter(settings(changes), config);
    } catch (error) {
      if (error instanceof SightlineError) return [error.code, error.message, error.where, error.hint].join(' | ');
      throw error;
    }
    return expect.fail('it was not refused');
  };

  test('of a target that is no layer', () => {
    const text = refused({ targetModules: ['q_proj', 'v_prj'] });
    expect(text).toContain(
      'E_TARGET_MODULES | no layer of the model is called "v_prj" | --target_modules | did you mean v_proj?',
    );
  });
  test('of an embedding', () => {
    expect(refused({ targetModules: ['embed_tokens'] })).toContain(
      '"embed_tokens" is an embedding table: it cannot carry an adapter',
    );
  });
  test('of a norm', () => {
    expect(refused({ targetModules: ['input_layernorm'] })).toContain('"input_layernorm" is no linear layer');
    expect(refused({ targetModules: '.*layers\\.0\\..*' })).toContain('is no linear layer: it cannot carry an adapter');
  });
  test('of a pattern that nothing matches, or that is none', () => {
    expect(refused({ targetModules: 'q_proj' })).toContain('no linear layer matches q_proj | --target_regex');
    expect(refused({ targetModules: '(q_proj' })).toContain('E_PATTERN | the pattern cannot be read: (q_proj');
  });
  test('with a module to save that is not there', () => {
    expect(refused({ modulesToSave: ['score'] })).toContain(
      'E_MODULES_TO_SAVE | no module of the model ends as "score"',
    );
  });
  test('by names as they were before 4.52, written as they are now', () => {
    const plan = planAdapter(settings({ targetModules: 'model\\.layers\\.0\\.self_attn\\.[qv]_proj' }), config);
    expect(plan.config.targetModules).toEqual(
      ['q', 'v'].map((which) => `model.language_model.layers.0.self_attn.${which}_proj`),
    );
  });
  test('all-embedding and all-norm are names of modules', () => {
    expect(moduleShorthands(['all-embedding', 'lm_head'], config)).toEqual(['embed_tokens', 'lm_head']);
    expect(moduleShorthands(['all-norm'], config)).toContain('post_attention_layernorm');
  });
});
