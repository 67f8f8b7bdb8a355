/**
 * The tokens of a completion, coloured by one of the numbers that are logged for each; the scale, and all numbers of the chosen one.
 */
import { useEffect, useMemo } from 'preact/hooks';
import { type Channel, channelOf } from '../src/attention_log/channels.ts';
import { csvText } from '../src/util/csv.ts';
import { type AttentionValues, IMAGE_ATTENTION } from './attention_values.ts';
import { type ColourScale, colourOf, gradientOf, scaleOf } from './colour_scale.ts';
import { number } from './format.ts';
import { fileName, saveFile } from './save.ts';

export interface TokenStripProps {
  readonly values: AttentionValues;
  /** Name of the channel that colours the tokens; another one if the completion lacks it. */
  readonly channel: string;
  readonly onChannel: (name: string) => void;
  readonly chosen: number | null;
  readonly onChoose: (token: number | null) => void;
  /** For the name of a saved file. */
  readonly name: string;
}

export function TokenStrip({ values, channel: wanted, onChannel, chosen, onChoose, name }: TokenStripProps) {
  const { tokens } = values.head;
  const channels = useMemo(() => describedChannels(values), [values]);
  const channel = channels.find((each) => each.name === wanted) ?? channels[0]!;
  const numbers = values.channels.get(channel.name)!;
  const scale = useMemo(() => scaleOf(numbers, channel.isSigned), [numbers, channel]);

  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent): void => {
      if (event.key !== 's' || event.ctrlKey || event.metaKey || event.altKey) return;
      if ((event.target as HTMLElement).matches('input, select') || document.querySelector('dialog[open]')) return;
      onChannel(channels[(channels.indexOf(channel) + 1) % channels.length]!.name);
      event.preventDefault();
    };
    addEventListener('keydown', onKeyDown);
    return () => removeEventListener('keydown', onKeyDown);
  });

  return (
    <>
      <div class="toolbar">
        <label class="slider">
          Colour by
          <select value={channel.name} onChange={(event) => onChannel(event.currentTarget.value)} title="Next one (s)">
            {channels.map((each) => (
              <option key={each.name}>{each.name}</option>
            ))}
          </select>
        </label>
        <span class="spacer" />
        <button type="button" class="quiet" onClick={() => saveCsv(values, name)} title="All numbers of all tokens">
          CSV
        </button>
      </div>
      <Legend channel={channel} scale={scale} hasGaps={numbers.some(Number.isNaN)} />
      <div class="text tokens" role="listbox" tabIndex={0} aria-label="Tokens" onMouseLeave={() => onChoose(null)}>
        {tokens.map((token, i) => (
          <span
            key={i}
            role="option"
            tabIndex={-1}
            aria-selected={chosen === i}
            class={`token ${chosen === i ? 'chosen' : ''} ${Number.isNaN(numbers[i]) ? 'unknown' : ''}`}
            style={scale === null ? {} : colourOf(scale, numbers[i]!)}
            title={`${channel.name} ${shown(numbers[i]!)}`}
            onMouseEnter={() => onChoose(i)}
          >
            {token}
          </span>
        ))}
      </div>
      <dl class="facts token-numbers" aria-live="polite">
        <dt>{chosen === null ? 'whole answer' : `token ${chosen + 1}`}</dt>
        <dd>
          {chosen === null ? (
            <span class="quiet-text">Means over its tokens. Point at one, or press → to go through them.</span>
          ) : (
            JSON.stringify(tokens[chosen])
          )}
        </dd>
        {channels.map((each) => {
          const all = values.channels.get(each.name)!;
          return (
            <>
              <dt title={each.meaning}>{each.name}</dt>
              <dd>
                {shown(chosen === null ? meanOf(all) : all[chosen]!)} {each.unit}
              </dd>
            </>
          );
        })}
      </dl>
    </>
  );
}

// --- internal ---

const IMAGE: Channel = {
  name: IMAGE_ATTENTION,
  meaning: 'attention on the image, the mean of the logged layers',
  unit: '',
  isSigned: false,
};

const describedChannels = (values: AttentionValues): readonly Channel[] =>
  [...values.channels].map(([name, numbers]) => (name === IMAGE_ATTENTION ? IMAGE : channelOf(name, numbers)));

function Legend({ channel, scale, hasGaps }: { channel: Channel; scale: ColourScale | null; hasGaps: boolean }) {
  const unit = channel.unit === '' ? '' : ` ${channel.unit}`;
  return (
    <div class="legend-of-tokens">
      {scale === null ? (
        <p class="quiet-text">No token has this number.</p>
      ) : scale.low === scale.high ? (
        <p class="quiet-text">
          {number(scale.low)}
          {unit} in every token.
        </p>
      ) : (
        <div class="scale">
          <span>{number(scale.low)}</span>
          <i style={{ background: gradientOf(scale) }} />
          <span>
            {number(scale.high)}
            {unit}
          </span>
        </div>
      )}
      {channel.meaning !== '' && <p class="quiet-text">{channel.meaning}</p>}
      {hasGaps && <p class="quiet-text">underlined: unknown</p>}
    </div>
  );
}

const shown = (value: number): string => number(Number.isNaN(value) ? null : value);

/** NaN without any number. */
function meanOf(values: Float32Array): number {
  const known = values.filter((value) => !Number.isNaN(value));
  return known.reduce((sum, value) => sum + value, 0) / known.length;
}

function saveCsv({ head, channels }: AttentionValues, name: string): void {
  const columns = [...channels];
  const lines = head.tokens.map((token, i) =>
    [i + 1, csvText(token), ...columns.map(([, values]) => (Number.isNaN(values[i]) ? '' : values[i]))].join(','),
  );
  const title = ['token', 'text', ...columns.map(([each]) => csvText(each))].join(',');
  saveFile(fileName(name, 'csv'), new Blob([[title, ...lines, ''].join('\r\n')], { type: 'text/csv' }));
}
