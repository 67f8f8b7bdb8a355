import { type ORM, orms, type RewardKwargs } from 'sightline';

/** 1 if the completion names the place in the row's column `place`, else 0; null where a row has none. */
class PlaceORM implements ORM {
  static readonly columns = ['place'];

  call(completions: readonly string[], kwargs: RewardKwargs): (number | null)[] {
    const places = kwargs.place as (string | null | undefined)[];
    return completions.map((completion, i) => {
      const place = places[i] ?? null;
      return place === null ? null : Number(completion.includes(place));
    });
  }
}

orms.place = PlaceORM;
