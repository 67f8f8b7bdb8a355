import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { tdrSpans } from '../../src/attention/tdr.ts';
import type { ImageSource } from '../../src/data/image_source.ts';
import { ropeIndex } from '../../src/models/qwen_vl/positions.ts';
import { readConfig } from '../../src/models/registry.ts';
import { openTemplate } from '../../src/template/template.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import { goldenCases, goldenTensor, imageNames } from './golden_cases.ts';

for (const checkpoint of goldenCheckpoints()) {
  describe(`golden ${checkpoint.name}`, async () => {
    const config = await readConfig(checkpoint.model);
    const template = await openTemplate(checkpoint.model, config);
    for (const golden of goldenCases(checkpoint)) {
      test(`${golden.name}: text, ids, grids, positions, system prefix, spans`, async () => {
        const images = imageNames(golden).map(
          (name): ImageSource => ({ kind: 'path', path: join(checkpoint.golden, 'images', name), where: golden.name }),
        );
        const encoded = await template.encode(golden.messages, images);
        expect(encoded.text).toBe(golden.text);
        expect([...encoded.ids]).toEqual(golden.prompt_ids);
        const grids = encoded.images.map(({ gridThw }) => gridThw);
        expect(grids).toEqual(golden.image_grid_thw ?? []);
        expect(encoded.systemPrefix).toBe(golden.system_prefix_tokens);

        const full = Int32Array.from([...golden.prompt_ids, ...golden.completion_ids]);
        const { positions, delta } = ropeIndex(full, grids, config);
        expect([...positions]).toEqual([...goldenTensor(checkpoint, `${golden.name}.position_ids`).data]);
        expect(delta).toBe(golden.rope_delta);
        expect(ropeIndex(encoded.ids, grids, config).delta).toBe(golden.rope_delta);

        if (golden.tdr !== null) {
          const visualIds = [config.imageTokenId, config.videoTokenId];
          const spans = tdrSpans(encoded.ids, encoded.systemPrefix, golden.completion_ids.length, visualIds);
          expect(spans.visual.length).toBe(golden.tdr.n_vis);
          expect(spans.text.length).toBe(golden.tdr.n_text);
        }
      });
    }
  });
}
