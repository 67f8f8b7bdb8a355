/**
 * The operations of the reward server by path: list rewards, make one, judge completions, encode prompts.
 * Knows validated requests, not sockets.
 */
import { SightlineError } from '../errors.ts';
import type { FailureRule } from '../rewards/deadline.ts';
import { attentionNeedsOf, transformsOf } from '../rewards/needs.ts';
import { createRewards, ormFiles, orms } from '../rewards/registry.ts';
import type { Reward } from '../rewards/reward.ts';
import { packageVersion } from '../util/version.ts';
import { createEncoder } from './encode.ts';
import { judgeRequest } from './judge.ts';
import { parseEncodeRequest, parseJudgeRequest, parseMakeRequest } from './request.ts';

/** Handles a request's body. The result is sent as JSON. */
export type Handler = (body: unknown, signal: AbortSignal) => Promise<unknown>;

/** @param rule for rewards that fail */
export function createService(rule?: FailureRule): Readonly<Record<string, Handler>> {
  const made = new Map<string, Reward>();
  const encode = createEncoder();
  return {
    '/rewards': async () => ({ version: packageVersion(), rewards: registered() }),
    /** Each run makes its rewards anew, with its own arguments. */
    '/make': async (body) => {
      const { reward: name, args } = parseMakeRequest(body);
      const [reward] = createRewards([name], args);
      refuseMeasured(reward!);
      made.set(name, reward!);
      return described(reward!);
    },
    '/judge': async (body, signal) => {
      const request = parseJudgeRequest(body);
      const reward = made.get(request.reward);
      if (reward === undefined) {
        const known = [...made.keys()].join(', ') || 'none';
        throw new SightlineError('E_REWARD_UNKNOWN', `reward "${request.reward}" was not made; made: ${known}`, {
          where: 'request',
          hint: 'call /make for it first',
        });
      }
      return judgeRequest(request, reward, signal, rule);
    },
    '/encode': async (body) => ({ prompt_ids: await encode(parseEncodeRequest(body)) }),
  };
}

// --- internal ---

/** What only sightline's own engine measures. */
function refuseMeasured({ name, needs }: Reward): void {
  if (attentionNeedsOf([{ needs }]).length > 0) {
    throw new SightlineError('E_REWARD_NOT_HERE', `reward "${name}" needs attention on spans or maps of it`, {
      where: 'request',
      hint: 'with ms-swift, ddapo_attention is the attention reward; train with --engine sightline for the others',
    });
  }
  if (transformsOf([{ needs }]).length === 0) return;
  throw new SightlineError('E_REWARD_NOT_HERE', `reward "${name}" needs log-probabilities under a changed image`, {
    where: 'request',
    hint: 'ms-swift cannot compute them; train with --engine sightline',
  });
}

/** The registered rewards, each with what a trainer must know before it makes one. */
function registered() {
  return Object.keys(orms).map((name) => ({
    name,
    label: orms[name]!.name || name,
    needs: orms[name]!.needs ?? [],
    file: ormFiles.get(name) ?? null,
  }));
}

function described({ name, label, needs, columns = [], file }: Reward) {
  return { name, label, needs, columns, file: file ?? null };
}
