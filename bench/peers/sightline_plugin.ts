/**
 * The trivial reward as a plugin of sightline: the same number as in rewards.py, and the same clock.
 */
import { appendFileSync } from 'node:fs';
import { type ORM, orms, type RewardKwargs } from 'sightline';

const clock = process.env.PEERS_CLOCK;
if (clock === undefined) throw new Error('PEERS_CLOCK is not set: run this through run.mjs');

class Trivial implements ORM {
  call(completions: readonly string[], { completion_ids }: RewardKwargs): number[] {
    const lengths = completion_ids.map((ids) => ids.length);
    appendFileSync(clock!, `${[performance.timeOrigin + performance.now(), ...lengths].join(' ')}\n`);
    return completions.map((text) => {
      let sum = 0;
      for (const character of text) sum += character.codePointAt(0)!;
      return (sum % 10) / 10;
    });
  }
}

orms.trivial = Trivial;
