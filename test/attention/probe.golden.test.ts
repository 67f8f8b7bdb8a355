/**
 * The fused probe against eager weights, for spans and layers of any choice, in all implementations, groups of any size.
 */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Group } from '../../src/engine/groups.ts';
import type { LayerProbe } from '../../src/engine/scored_groups.ts';
import type { AttentionImplementation } from '../../src/engine/text_attention.ts';
import { createRandom } from '../../src/util/random.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import { goldenImages, groupOf, loadModel, readCases, readTensors } from '../helpers/golden_values.ts';

describe.each(goldenCheckpoints())('$name', (checkpoint) => {
  test.each<AttentionImplementation>(['eager', 'sdpa', 'flash_attention_2'])('%s', async (attnImpl) => {
    const golden = readCases(checkpoint).find(({ name }) => name === 'two_images')!;
    const pixels = readTensors(join(checkpoint.golden, 'tensors.safetensors')).get('two_images.pixel_values')!;
    const images = goldenImages(golden, pixels);
    const random = createRandom(5);
    const completions = [3, 9, 1].map((length) => Int32Array.from({ length }, () => random.int(500)));
    const group: Group = groupOf(golden, images, completions);
    const model = await loadModel(checkpoint, { attnImpl: 'eager' });
    const { imageTokenId, text } = model.modelConfig;
    const [first] = images.map(({ gridThw }) => (gridThw[0] * gridThw[1] * gridThw[2]) / 4);

    // Five spans: image 1, image 2, the upper half of image 1, the system block, the last word of the question.
    const prompt = golden.prompt_ids;
    const pads = prompt.flatMap((id, column) => (id === imageTokenId ? [column] : []));
    const spans = [
      pads.slice(0, first),
      pads.slice(first),
      pads.slice(0, first! / 2),
      Array.from({ length: golden.system_prefix_tokens }, (_, column) => column),
      [prompt.length - 7, prompt.length - 6],
    ];
    const indicator = new Float32Array(prompt.length * spans.length);
    for (const [s, columns] of spans.entries()) for (const column of columns) indicator[column * spans.length + s] = 1;
    const probe: LayerProbe = { spans: spans.length, indicators: [indicator], layers: [0, text.numHiddenLayers - 2] };

    for (const config of [model.config, model.config.text_config])
      if (config != null) config._attn_implementation = attnImpl;
    const scored = await model.score([group], { temperature: 1, keep: false, probe });
    for (const config of [model.config, model.config.text_config])
      if (config != null) config._attn_implementation = 'eager';
    let worst = 0;
    for (const [c, completion] of completions.entries()) {
      const { attentions } = await model.forward({
        input_ids: [Int32Array.from([...prompt, ...completion])],
        pixel_values: images.map(({ pixelValues }) => pixelValues),
        image_grid_thw: images.map(({ gridThw }) => gridThw),
        output_attentions: true,
      });
      const { masses } = scored.groups[0]!.completions[c]!;
      expect([...masses.keys()]).toEqual([...probe.layers]);
      for (const layer of probe.layers) {
        const { data, dims } = attentions![layer]!;
        const [, heads, rows, columns] = dims;
        for (let t = 0; t < completion.length; t++) {
          for (const [s, span] of spans.entries()) {
            let expected = 0;
            for (let head = 0; head < heads; head++) {
              for (const column of span)
                expected += data[(head * rows + prompt.length + t) * columns + column]! / heads;
            }
            worst = Math.max(worst, Math.abs(expected - masses.get(layer)![t * spans.length + s]!));
          }
        }
      }
    }
    console.log(`largest |fused - eager| mass, ${checkpoint.name}, ${attnImpl}: ${worst}`);
    expect(worst).toBeLessThan(1e-5);
    await model.release();
  });
});
