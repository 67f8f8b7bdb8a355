/**
 * Tracks the phase that a run is in and describes it, for the progress bar and for status lines.
 */
import type { Phase, PhaseProgress, TrainEvent } from '../train/events.ts';
import { formatDuration } from '../util/duration.ts';
import { formatNumber } from './text.ts';

export interface PhaseClock {
  onEvent(event: TrainEvent): void;
  /** Whether the phase belongs to the next step, and not to an evaluation or a save after the last one. */
  isInStep(): boolean;
  /** `rollout 12s, 1240 tokens, 103.3 tokens/s`; null between phases. */
  text(): string | null;
  /** A shorter form, once the phase has lasted a second: `rollout 103.3 tokens/s`; null before. */
  shortText(): string | null;
}

/** @param now monotonic clock in milliseconds */
export function createPhaseClock(now: () => number = () => performance.now()): PhaseClock {
  let current: { readonly phase: Phase; readonly since: number; progress: PhaseProgress } | null = null;
  const seconds = (): number => (current === null ? 0 : (now() - current.since) / 1000);
  const speed = ({ tokens }: PhaseProgress): string =>
    tokens === undefined ? '' : `${formatNumber(tokens / seconds())} tokens/s`;
  const share = ({ done, total }: PhaseProgress): string =>
    done === undefined || total === undefined ? '' : `${done} of ${total}`;

  return {
    onEvent(event) {
      if (event.type === 'phase') {
        if (event.begins || current === null) current = { phase: event.phase, since: now(), progress: event };
        else current.progress = event;
      } else if (ENDS_PHASE.has(event.type)) current = null;
    },
    isInStep: () => current === null || (current.phase !== 'eval' && current.phase !== 'save'),
    text() {
      if (current === null) return null;
      const { phase, progress } = current;
      const tokens = progress.tokens === undefined ? '' : `${progress.tokens} tokens`;
      const parts = [`${WORDS[phase]} ${formatDuration(seconds())}`, share(progress), tokens, speed(progress)];
      return parts.filter((part) => part !== '').join(', ');
    },
    shortText() {
      if (current === null || seconds() < 1) return null;
      const { phase, progress } = current;
      return [WORDS[phase], share(progress), speed(progress)].filter((part) => part !== '').join(' ');
    },
  };
}

// --- internal ---

const ENDS_PHASE: ReadonlySet<TrainEvent['type']> = new Set(['start', 'eval', 'checkpoint', 'end']);

const WORDS: Readonly<Record<Phase, string>> = {
  'check data': 'checking the data',
  'open model': 'loading the model',
  data: 'reading rows',
  rollout: 'rollout',
  forward: 'forward',
  reference: 'reference model',
  'changed image': 'changed image',
  attention: 'measuring attention',
  reward: 'rewards',
  backward: 'backward',
  update: 'update',
  eval: 'evaluation',
  save: 'saving',
};
