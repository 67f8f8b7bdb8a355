/**
 * Passes events to listeners one after the other. A failing listener is reported instead of thrown, so that a full disk or a
 * closed terminal does not end a run.
 */
import { messageOf } from '../errors.ts';
import type { Listener, TrainEvent } from '../train/events.ts';

export interface Broadcast {
  emit(event: TrainEvent): Promise<void>;
  close(): Promise<void>;
}

/** @param complain called at a listener's first failure, and again at the first failure after it has worked in between */
export function broadcast(listeners: readonly Listener[], complain: (text: string) => void): Broadcast {
  const failing = new Set<Listener>();
  const guard = async (listener: Listener, act: () => void | Promise<void>) => {
    try {
      await act();
      failing.delete(listener);
    } catch (error) {
      if (!failing.has(listener))
        complain(`part of the log could not be written; the run continues: ${messageOf(error)}`);
      failing.add(listener);
    }
  };
  return {
    async emit(event) {
      for (const listener of listeners) await guard(listener, () => listener.onEvent(event));
    },
    async close() {
      for (const listener of listeners) await guard(listener, () => listener.close?.());
    },
  };
}
