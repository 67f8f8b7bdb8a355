/**
 * An image with the attention on its tokens laid over it.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { ImagePlace } from '../src/ui/api.ts';
import { viridis } from '../src/util/viridis.ts';
import { number } from './format.ts';
import { Picture } from './group_panel.tsx';
import { fileName, saveFile } from './save.ts';

export interface HeatmapProps {
  readonly image: ImagePlace;
  readonly rows: number;
  readonly columns: number;
  /** Row by row. [rows * columns] */
  readonly values: Float32Array;
  /** The values that get the first and the last colour. */
  readonly range: readonly [lowest: number, highest: number];
  /** From 0 to 1. */
  readonly opacity: number;
}

export function Heatmap({ image, rows, columns, values, range, opacity }: HeatmapProps) {
  const [lowest, highest] = range;
  const canvas = useRef<HTMLCanvasElement>(null);
  const [cell, setCell] = useState<number | null>(null);
  useEffect(() => {
    const context = canvas.current!.getContext('2d')!;
    const pixels = context.createImageData(columns, rows);
    for (let i = 0; i < rows * columns; i++) {
      const [red, green, blue] = viridis((values[i]! - lowest) / (highest - lowest || 1));
      pixels.data.set([red, green, blue, 255], 4 * i);
    }
    context.putImageData(pixels, 0, 0);
  }, [values, lowest, highest, rows, columns]);

  function onMove(event: MouseEvent & { currentTarget: HTMLElement }): void {
    const box = event.currentTarget.getBoundingClientRect();
    const column = Math.min(columns - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * columns)));
    const row = Math.min(rows - 1, Math.max(0, Math.floor(((event.clientY - box.top) / box.height) * rows)));
    setCell(row * columns + column);
  }

  function onKeyDown(event: KeyboardEvent): void {
    const at = cell ?? 0;
    const [row, column] = [Math.floor(at / columns), at % columns];
    if (event.key === 'ArrowRight') setCell(row * columns + Math.min(columns - 1, column + 1));
    else if (event.key === 'ArrowLeft') setCell(row * columns + Math.max(0, column - 1));
    else if (event.key === 'ArrowDown') setCell(Math.min(rows - 1, row + 1) * columns + column);
    else if (event.key === 'ArrowUp') setCell(Math.max(0, row - 1) * columns + column);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  function csv(): void {
    const lines = Array.from({ length: rows }, (_, row) =>
      Array.from(values.subarray(row * columns, (row + 1) * columns)).join(','),
    );
    saveFile(fileName(`attention-${image.name}`, 'csv'), new Blob([`${lines.join('\r\n')}\r\n`], { type: 'text/csv' }));
  }

  function png(): void {
    const large = document.createElement('canvas');
    const scale = Math.max(1, Math.floor(512 / Math.max(rows, columns)));
    large.width = columns * scale;
    large.height = rows * scale;
    const context = large.getContext('2d')!;
    context.imageSmoothingEnabled = false;
    const picture = canvas.current!.parentElement!.querySelector('img');
    if (picture !== null) context.drawImage(picture, 0, 0, large.width, large.height);
    context.globalAlpha = picture === null ? 1 : opacity;
    context.drawImage(canvas.current!, 0, 0, large.width, large.height);
    large.toBlob((blob) => blob !== null && saveFile(fileName(`attention-${image.name}`, 'png'), blob), 'image/png');
  }

  const total = values.reduce((sum, value) => sum + value, 0);
  const cellText =
    cell === null
      ? `${rows} × ${columns} tokens, ${(100 * total).toFixed(2)} % of the attention`
      : `row ${Math.floor(cell / columns) + 1}, column ${(cell % columns) + 1}: ${number(values[cell]!)}${total > 0 ? `, ${((100 * values[cell]!) / total).toFixed(1)} % of the image` : ''}`;
  return (
    <figure class="heatmap">
      <div
        class="layers"
        role="slider"
        tabIndex={0}
        aria-label={`Attention on ${rows} by ${columns} image tokens of ${image.name}`}
        aria-valuemin={1}
        aria-valuemax={rows * columns}
        aria-valuenow={(cell ?? 0) + 1}
        aria-valuetext={cellText}
        onKeyDown={onKeyDown}
        onMouseMove={onMove}
        onMouseLeave={() => setCell(null)}
        style={{ aspectRatio: `${columns} / ${rows}` }}
      >
        <Picture image={image} />
        <canvas ref={canvas} width={columns} height={rows} style={{ opacity }} />
        {cell !== null && (
          <i
            class="cell"
            style={{
              left: `${(100 * (cell % columns)) / columns}%`,
              top: `${(100 * Math.floor(cell / columns)) / rows}%`,
              width: `${100 / columns}%`,
              height: `${100 / rows}%`,
            }}
          />
        )}
      </div>
      <figcaption>
        <span class="cell-value">{cellText}</span>
        <button type="button" class="quiet" onClick={csv}>
          CSV
        </button>
        <button type="button" class="quiet" onClick={png}>
          PNG
        </button>
      </figcaption>
    </figure>
  );
}
