/**
 * The order in which a device adds rows that go to the same place: in pairs, then pairs of the sums, and so on. Kernels that add
 * several rows to one place add them in the order in which their threads come by, so that no two runs would give the same bits.
 * Knows numbers of rows, not what is in them.
 */

/** Sums of one round: row first[i] of what the round before has left, plus row second[i] times hasSecond[i], which is 1 or 0. */
export interface Round {
  readonly first: Int32Array;
  readonly second: Int32Array;
  readonly hasSecond: Float32Array;
}

/** Rounds until one row is left for each place, and the places of the rows that are left; without repeats, no round. */
export function pairedSums(places: Int32Array): { readonly rounds: readonly Round[]; readonly places: Int32Array } {
  const byPlace = new Map<number, number[]>();
  for (const [row, place] of places.entries()) {
    const known = byPlace.get(place);
    if (known === undefined) byPlace.set(place, [row]);
    else known.push(row);
  }
  let groups = [...byPlace.values()];
  const rounds: Round[] = [];
  while (groups.some(({ length }) => length > 1)) {
    const [first, second, hasSecond]: [number[], number[], number[]] = [[], [], []];
    groups = groups.map((rows) => {
      const sums: number[] = [];
      for (let i = 0; i < rows.length; i += 2) {
        const [one, other] = [rows[i]!, rows[i + 1]];
        sums.push(first.length);
        first.push(one);
        second.push(other ?? one);
        hasSecond.push(other === undefined ? 0 : 1);
      }
      return sums;
    });
    rounds.push({
      first: Int32Array.from(first),
      second: Int32Array.from(second),
      hasSecond: Float32Array.from(hasSecond),
    });
  }
  return { rounds, places: Int32Array.from(byPlace.keys()) };
}
