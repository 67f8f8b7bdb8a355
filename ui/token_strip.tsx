/**
 * The tokens of a completion, each shaded by a number.
 */
import { useMemo } from 'preact/hooks';
import { decimal } from './format.ts';

export interface TokenStripProps {
  readonly tokens: readonly string[];
  /** One number per token; NaN where unknown. */
  readonly shades: Float32Array;
  readonly chosen: number | null;
  readonly onChoose: (token: number | null) => void;
}

export function TokenStrip({ tokens, shades, chosen, onChoose }: TokenStripProps) {
  const [low, high] = useMemo(() => {
    const known = [...shades].filter((value) => !Number.isNaN(value));
    return known.length === 0 ? [0, 0] : [Math.min(...known), Math.max(...known)];
  }, [shades]);
  return (
    <div class="text tokens" role="listbox" tabIndex={0} aria-label="Tokens" onMouseLeave={() => onChoose(null)}>
      {tokens.map((token, i) => {
        const value = shades[i]!;
        return (
          <span
            key={i}
            role="option"
            tabIndex={-1}
            aria-selected={chosen === i}
            class={`token ${chosen === i ? 'chosen' : ''} ${Number.isNaN(value) ? 'unknown' : ''}`}
            style={{ '--shade': Number.isNaN(value) || high === low ? 0 : shareOf(value, low, high) }}
            title={decimal(Number.isNaN(value) ? null : value)}
            onMouseEnter={() => onChoose(i)}
          >
            {token}
          </span>
        );
      })}
    </div>
  );
}

/** From the lowest to the highest; numbers of both signs, such as advantages, are shaded by their size. */
function shareOf(value: number, low: number, high: number): number {
  return low < 0 ? Math.abs(value) / Math.max(-low, high) : 0.08 + (0.92 * (value - low)) / (high - low);
}
