/**
 * The images of a sample as rewards get them, in a process that knows only their grids.
 * Reading pixels or the stored size throws E_REWARD_NOT_HERE.
 */
import { SightlineError } from '../errors.ts';
import type { RewardImage } from '../rewards/contract.ts';
import type { JudgeRequest } from './request.ts';

/** @param grid_thw [t, h, w] in patches of `patch_size` pixels a side */
export function pictureOf({ grid_thw, patch_size }: JudgeRequest['images'][number][number]): RewardImage {
  const [, h, w] = grid_thw;
  return {
    gridThw: grid_thw,
    get pixelValues(): never {
      throw notHere('pixelValues');
    },
    size: {
      shown: { width: w * patch_size, height: h * patch_size },
      get stored(): never {
        throw notHere('size.stored');
      },
    },
  };
}

function notHere(what: string): SightlineError {
  return new SightlineError(
    'E_REWARD_NOT_HERE',
    `a reward reads images[i][j].${what}, which is not available in this process`,
    {
      hint: 'with ms-swift, rewards get only gridThw and size.shown of an image; the row names its file in `images`',
    },
  );
}
