/** Compares two folders of runs: everything but times and paths has to be the same bits. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The first difference between two runs; null if there is none. */
export function compare(whole, other) {
  const [there, here] = [whole, other].map(checkpointsOf);
  if (String(there.sort()) !== String(here.sort())) return `checkpoints ${here}, expected ${there}`;
  for (const name of there) {
    for (const file of readdirSync(join(whole, name)).filter((each) => each.endsWith('.safetensors'))) {
      const [a, b] = [whole, other].map((run) => readFileSync(join(run, name, file)));
      if (!a.equals(b)) return `${name}/${file}`;
    }
  }
  const left = partialsOf(other);
  if (left.length > 0) return `${left} is left over`;
  const [a, b] = [whole, other].map((run) => withoutTimes(recordsOf(run)));
  if (a !== b) return `logging.jsonl:\n${b}\nexpected\n${a}`;
  const [ours, theirs] = [whole, other].map(completionsOf);
  return ours === theirs ? null : `completions.jsonl:\n${theirs}\nexpected\n${ours}`;
}

/** The records of logging.jsonl. */
export const recordsOf = (run) =>
  readFileSync(join(run, 'logging.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

export const checkpointsOf = (run) => namesIn(run).filter((name) => /^checkpoint-\d+$/.test(name));

export const partialsOf = (run) => namesIn(run).filter((name) => name.includes('.partial-'));

// --- internal ---

const namesIn = (path) => (existsSync(path) ? readdirSync(path) : []);

/** The text of completions.jsonl; null for a run without. */
function completionsOf(run) {
  const path = join(run, 'completions.jsonl');
  return existsSync(path) ? readFileSync(path, 'utf8') : null;
}

/** Records without times and paths, as text. */
function withoutTimes(records) {
  const isTime = (name) =>
    /^(elapsed_time|remaining_time|memory|seconds|train_runtime|step_time\/.*|.*(step_time|memory\(GiB\)|train_speed\(s\/it\)|runtime|samples_per_second|_model_checkpoint))$/.test(
      name,
    );
  return records
    .map((record) => JSON.stringify(record, (name, value) => (isTime(name) ? undefined : value)))
    .join('\n');
}
