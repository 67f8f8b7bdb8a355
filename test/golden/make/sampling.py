"""Distributions that transformers draws from, after its own processors: repetition penalty, temperature, top_k, top_p, min_p;
and the ids that it bans after others (bad_words_ids). Writes test/engine/sampling.json.

    python test/golden/make/sampling.py
"""
import json
from pathlib import Path

import torch
from transformers.generation.logits_process import (
    LogitsProcessorList, MinPLogitsWarper, NoBadWordsLogitsProcessor, RepetitionPenaltyLogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper,
    TopPLogitsWarper)

torch.manual_seed(7)
VOCAB = 24
LOGITS = (2 * torch.randn(VOCAB)).float()
# The second of them is there twice: a penalty counts once.
SEEN = torch.cat([LOGITS.topk(2).indices, LOGITS.topk(2).indices[1:], torch.tensor([3, 11]), LOGITS.argmin().view(1)])


def case(temperature, penalty=1.0, top_k=0, top_p=1.0, min_p=0.0):
    processors = LogitsProcessorList()
    if penalty != 1:
        processors.append(RepetitionPenaltyLogitsProcessor(penalty))
    processors.append(TemperatureLogitsWarper(temperature))
    if top_k > 0:
        processors.append(TopKLogitsWarper(top_k))
    if top_p < 1:
        processors.append(TopPLogitsWarper(top_p))
    if min_p > 0:
        processors.append(MinPLogitsWarper(min_p))
    scores = processors(SEEN.unsqueeze(0), LOGITS.unsqueeze(0).clone())
    return {'temperature': temperature, 'repetition_penalty': penalty, 'top_k': top_k, 'top_p': top_p, 'min_p': min_p,
            'probabilities': scores.double().softmax(-1)[0].tolist()}


CASES = [
    case(1.0), case(0.7, min_p=0.1), case(1.3, min_p=0.5), case(1.0, min_p=1.0), case(0.9, penalty=1.3),
    case(0.9, penalty=0.6), case(1.0, penalty=2.5, min_p=0.05), case(0.8, penalty=1.2, top_k=6, min_p=0.2),
    case(1.1, penalty=1.2, top_p=0.8), case(1.1, penalty=1.2, top_p=0.9, min_p=0.15), case(1.0, top_k=8, top_p=0.9, min_p=0.1)]

# Sequences that share beginnings and ends, one of them of a single id; ids of few values, so that many end as one begins.
SEQUENCES = [[2], [1, 3], [1, 1], [0, 1, 3], [0, 1, 0], [4, 4, 4, 5], [3, 0], [3, 0, 1, 1, 2]]
SOME = [[], [4, 4], [4, 4, 4], [3, 0, 1, 1], [0, 1]] + [torch.randint(0, 5, (1 + i % 7,)).tolist() for i in range(60)]


def banned_after(ids):
    scores = NoBadWordsLogitsProcessor(SEQUENCES)(torch.tensor([ids], dtype=torch.long), torch.zeros(1, VOCAB))
    return scores[0].isinf().nonzero().flatten().tolist()


BANS = {'sequences': SEQUENCES, 'cases': [{'ids': ids, 'banned': banned_after(ids)} for ids in SOME]}
values = {'logits': LOGITS.tolist(), 'seen': SEEN.tolist(), 'cases': CASES, 'bans': BANS}
Path(__file__).parents[2].joinpath('engine/sampling.json').write_text(json.dumps(values) + '\n')
