import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openCheckpoint, type StoredTensor } from '../../src/checkpoint/open.ts';
import { MODEL_PRESETS, publishedConfig } from '../../src/models/qwen2_5_vl/presets.ts';
import { parseConfig, readConfig } from '../../src/models/registry.ts';
import { expectedTensors, validateShapes } from '../../src/models/tensors.ts';
import { refusal, shown } from '../checkpoint/scratch.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import { parameterCount } from './parameter_count.ts';

const tokens = { endOfText: 0, imEnd: 1, visionStart: 2, visionEnd: 3, imagePad: 4, videoPad: 5 };

describe.each(goldenCheckpoints())('golden checkpoint $name', ({ model }) => {
  test('exactly the tensors of the files, with their shapes', async () => {
    const checkpoint = openCheckpoint(model);
    const config = await readConfig(model);
    const expected = expectedTensors(config);
    expect(Object.fromEntries(expected)).toEqual(
      Object.fromEntries([...checkpoint.tensors].map(([name, { shape }]) => [name, shape])),
    );
    expect(validateShapes(checkpoint, config)).toEqual({ extra: [] });
    checkpoint.close();
  });

  test('missing, misshapen and extra tensors', async () => {
    const checkpoint = openCheckpoint(model);
    const config = await readConfig(model);
    const changed = (change: (tensors: Map<string, StoredTensor>) => void) => {
      const tensors = new Map(checkpoint.tensors);
      change(tensors);
      return { ...checkpoint, tensors };
    };
    const at = async (change: (tensors: Map<string, StoredTensor>) => void): Promise<string> =>
      shown(await refusal(() => validateShapes(changed(change), config)));
    const query = 'model.layers.1.self_attn.q_proj.weight';
    const merger = [...checkpoint.tensors.keys()].find((name) => name.startsWith('visual.merger.'))!;
    expect(await at((tensors) => tensors.delete(query))).toMatch(
      /E_TENSOR_MISSING.*q_proj\.weight" is missing \|.*model/,
    );
    const both = await at((tensors) => {
      tensors.delete(query);
      tensors.delete(merger);
    });
    expect(both).toMatch(/q_proj\.weight" is missing \(and 1 more\)/);
    const stored = checkpoint.tensors.get(merger)!;
    const turned = await at((tensors) => tensors.set(merger, { ...stored, shape: [...stored.shape, 1] }));
    expect(turned).toContain(`"${stored.storedName}" has shape [${stored.shape},1], expected [${stored.shape}]`);
    expect(turned).toContain(stored.file);
    const more = changed((tensors) => tensors.set('model.rotary_emb.inv_freq', stored));
    expect(validateShapes(more, config)).toEqual({ extra: ['model.rotary_emb.inv_freq'] });
    checkpoint.close();
  });

  test('another config does not fit', async () => {
    const checkpoint = openCheckpoint(model);
    const { raw } = await readConfig(model);
    const text = raw.text_config ?? raw;
    const more = { ...text, num_hidden_layers: 99, vocab_size: 50_000, layer_types: null };
    const config = parseConfig('text_config' in raw ? { ...raw, text_config: more } : more, join(model, 'config.json'));
    expect(shown(await refusal(() => validateShapes(checkpoint, config)))).toMatch(/E_TENSOR_MISSING.*and \d+ more/);
    checkpoint.close();
  });
});

describe('sizes of known models', () => {
  test('Qwen2.5-VL-3B has 824 tensors and 3,754,622,976 parameters', () => {
    const config = parseConfig(publishedConfig(MODEL_PRESETS['qwen2.5-vl-3b'], tokens, 'bfloat16'), '');
    expect(parameterCount(config)).toBe(3_754_622_976);
    expect(expectedTensors(config).size).toBe(824);
    expect(config.text.mropeSection).toEqual([16, 24, 24]);
  });

  test('mini has about 28.5 M parameters', () => {
    const config = parseConfig(publishedConfig(MODEL_PRESETS.mini, tokens, 'float32'), '');
    expect(Math.abs(parameterCount(config) - 28.5e6)).toBeLessThan(0.1e6);
  });
});
