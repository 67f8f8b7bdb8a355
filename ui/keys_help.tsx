/**
 * The keys, in a dialog.
 */
import { useEffect, useRef } from 'preact/hooks';

const KEYS = [
  ['1, 2', 'runs, completions'],
  ['/', 'search'],
  ['t', 'colours: system, light, dark'],
  ['← →', 'chart: move the cursor; completion: the next token'],
  ['s, a', 'completion: colour by the next number; show the whole answer'],
  ['c, p', 'chart: save as CSV or as a picture'],
  ['j, k', 'list: the next or the previous row; group: the next or the previous completion'],
  ['[ ]', 'the previous or the next group'],
  ['Enter', 'open'],
  ['Esc', 'back'],
  ['?', 'these keys'],
] as const;

export function KeysHelp({ onClose }: { onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current!.showModal(), []);
  return (
    <dialog ref={dialog} onClose={onClose} class="keys">
      <h2>Keys</h2>
      <dl>
        {KEYS.map(([keys, what]) => (
          <div key={keys}>
            <dt>
              <kbd>{keys}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <button type="button" onClick={onClose}>
        Close
      </button>
    </dialog>
  );
}
