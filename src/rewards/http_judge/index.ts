/**
 * Reward `http_judge`: a program at an HTTP address judges the completions.
 * Knows batches and verdicts; not sockets.
 */
import { SightlineError } from '../../errors.ts';
import { linkedAbort } from '../../util/linked_abort.ts';
import type { ORM, RewardArgs, RewardFlag, RewardKwargs } from '../contract.ts';
import { createNullReasons } from '../null_reasons.ts';
import { ExchangeError, exchange } from './exchange.ts';
import { requestBody, type Slice, type Verdict, verdictsOf } from './messages.ts';
import { JUDGE_FLAGS, type JudgeSettings, judgeSettings } from './settings.ts';

/**
 * The judge's answer, one number or null per completion; logged as `rewards/HttpJudge/mean`. Its reasons become the column
 * `http_judge_reason` of completions.jsonl; `http_judge/retries` counts repeated requests.
 *
 * A judge that cannot be reached, or whose answer is wrong, throws E_REWARD_JUDGE, which ends the run or makes the values null
 * (`--reward_error skip`).
 */
export class HttpJudge implements ORM {
  static readonly flags: Readonly<Record<string, RewardFlag>> = JUDGE_FLAGS;
  private readonly settings: JudgeSettings;
  private readonly because = createNullReasons('http_judge');
  private calls = 0;
  private readonly warnedColumns = new Set<string>();
  private warnedOfPlainToken = false;

  /** @throws SightlineError E_REWARD_OPTION: a setting that is missing or cannot be used */
  constructor(args: RewardArgs = {}) {
    this.settings = judgeSettings(args, process.env);
  }

  async call(completions: readonly string[], kwargs: RewardKwargs): Promise<(number | null)[]> {
    const { batchSize, concurrency } = this.settings;
    this.warnOfPlainToken(kwargs);
    const columns = this.columnsIn(kwargs);
    const call = this.calls++;
    const slices = slicesOf(completions.length, batchSize ?? completions.length);
    const { signal, abort, unlink } = linkedAbort(kwargs.signal);
    const verdicts: Verdict[] = [];
    let retries = 0;
    const rest = slices[Symbol.iterator]();
    const work = async (): Promise<void> => {
      for (const slice of rest) {
        const body = requestBody(completions, kwargs, columns, call, slice);
        const { answers, retried } = await this.ask(body, slice, signal);
        retries += retried;
        for (const [i, answer] of answers.entries()) verdicts[slice.first + i] = answer;
      }
    };
    const workers = Array.from({ length: Math.min(concurrency, slices.length) }, work);
    try {
      await Promise.all(workers);
    } catch (error) {
      abort(error); // the other requests are no longer needed
      await Promise.allSettled(workers);
      throw error;
    } finally {
      unlink();
    }
    return this.report(verdicts, retries, kwargs);
  }

  /** Names of the columns to send. A column that no row of the batch has is sent as nulls, with a warning: its name may be wrong. */
  private columnsIn(kwargs: RewardKwargs): readonly string[] {
    const { columns } = this.settings;
    if (columns === null) return Array.isArray(kwargs.solution) ? ['solution'] : [];
    for (const name of columns) {
      if (Array.isArray(kwargs[name]) || this.warnedColumns.has(name)) continue;
      this.warnedColumns.add(name);
      kwargs.logger.warn(
        `http_judge: no row of these completions has the column "${name}" of --http_judge_columns; the judge gets nulls.`,
      );
    }
    return columns;
  }

  private async ask(body: string, { first, end }: Slice, signal: AbortSignal) {
    const { url, token } = this.settings;
    const fault = (message: string, hint: string) =>
      new SightlineError(
        'E_REWARD_JUDGE',
        `reward "http_judge": the judge at ${url.origin}${url.pathname} ${message}`,
        {
          where: '--http_judge_url',
          hint: `${hint}; to go on without its values, set --reward_error skip`,
        },
      );
    let answer: Awaited<ReturnType<typeof exchange>>;
    try {
      answer = await exchange(body, { ...this.settings, signal });
    } catch (error) {
      if (error instanceof ExchangeError) throw fault(`failed: ${error.message}`, error.hint);
      throw error;
    }
    const answers = verdictsOf(answer.text, end - first, token);
    if (typeof answers === 'string') throw fault(`sent an answer that ${answers}`, FORM);
    return { answers, retried: answer.retried };
  }

  private report(verdicts: readonly Verdict[], retries: number, kwargs: RewardKwargs): (number | null)[] {
    if (retries > 0) kwargs.log_metric('http_judge/retries', retries);
    if (verdicts.some(({ reason }) => reason !== null)) {
      kwargs.log_extra(
        'http_judge_reason',
        verdicts.map(({ reason }) => reason),
      );
    }
    return verdicts.map(({ value, reason }) => {
      if (value !== null) return value;
      const why = reason === null ? 'without a reason' : JSON.stringify(reason.slice(0, 80));
      return this.because(kwargs.logger, 'the judge gives null for a completion', why);
    });
  }

  private warnOfPlainToken({ logger }: Pick<RewardKwargs, 'logger'>): void {
    const { url, token } = this.settings;
    if (this.warnedOfPlainToken || token === null || url.protocol === 'https:' || isLoopback(url.hostname)) return;
    this.warnedOfPlainToken = true;
    logger.warn(`http_judge: the token goes to ${url.host} unencrypted; use an https:// address.`);
  }
}

// --- internal ---

const FORM =
  'an answer is {"rewards": [0.5, null], "reasons": [null, "why"]}, one entry a completion; see docs/rewards.md';

function slicesOf(samples: number, size: number): Slice[] {
  return Array.from({ length: Math.ceil(samples / size) }, (_, i) => ({
    first: i * size,
    end: Math.min(samples, (i + 1) * size),
  }));
}

const isLoopback = (host: string): boolean => host === 'localhost' || host === '[::1]' || /^127\./.test(host);
