import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { decodeImage } from '../../src/data/image_decode.ts';
import {
  gridOf,
  patchElements,
  readImageProcessorConfig,
  resizeToGrid,
  writePatches,
} from '../../src/models/image_processing.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import { goldenCases, goldenTensor, imageNames } from '../template/golden_cases.ts';

for (const checkpoint of goldenCheckpoints()) {
  describe(`golden ${checkpoint.name}`, () => {
    const config = readImageProcessorConfig(checkpoint.model);
    for (const golden of goldenCases(checkpoint).filter((c) => c.image_grid_thw !== null)) {
      test(`${golden.name}: grid and pixel values`, async () => {
        const expected = goldenTensor(checkpoint, `${golden.name}.pixel_values`);
        const width = expected.shape[1]!;
        const rows: Float32Array[] = [];
        const grids: unknown[] = [];
        for (const name of imageNames(golden)) {
          const bytes = readFileSync(join(checkpoint.golden, 'images', name));
          const picture = await decodeImage(bytes, { name, where: 'test' });
          const resized = await resizeToGrid(picture, config);
          const gridThw = gridOf(resized, config);
          const pixelValues = new Float32Array(patchElements(resized, config));
          writePatches(resized, config, pixelValues);
          grids.push(gridThw);
          for (let i = 0; i < pixelValues.length; i += width) rows.push(pixelValues.subarray(i, i + width));
        }
        expect(grids).toEqual(golden.image_grid_thw);
        // The largest picture's tensor keeps every 8th row only.
        const step = golden.name === 'downscaled' ? 8 : 1;
        const actual = rows.filter((_, i) => i % step === 0).flatMap((row) => [...row]);
        expect(actual.length).toBe(expected.data.length);
        let [worst, sum] = [0, 0];
        for (let i = 0; i < actual.length; i++) {
          const difference = Math.abs(actual[i]! - expected.data[i]!);
          worst = Math.max(worst, difference);
          sum += difference;
        }
        console.log(
          `${checkpoint.name} ${golden.name}: pixel values: largest error ${worst}, mean ${sum / actual.length}`,
        );
        // 2/255 of mean difference before normalisation would do; the resampler is the same, so nothing should differ.
        expect(worst).toBeLessThan(1e-6);
      });
    }
  });
}
