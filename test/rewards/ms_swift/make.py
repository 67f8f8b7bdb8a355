"""Writes what ms-swift's own classes CosineReward, RepetitionPenalty and SoftOverlong give, and what torchvision and scipy say of
boxes: values.json beside this file, read by test/rewards/ms_swift.test.ts and test/rewards/iou.test.ts.

    pip install ms-swift==4.6.0 torchvision scipy
    OMP_NUM_THREADS=1 python test/rewards/ms_swift/make.py

The verdicts of CosineReward are given (`accuracy_orm`), because mathematics in answers is tested in test/rewards/math.
"""
import json
import random
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from swift.rewards.orm import CosineReward, RepetitionPenalty, SoftOverlong
from torchvision.ops import box_iou

draw = random.Random(20261127)

# Blanks of Python, of JavaScript only (U+FEFF), of neither (U+200B, U+180E).
BLANKS = [' ', '  ', '\t', '\n', '\r\n', '\v', '\f', '\x1c', '\x1d', '\x1e', '\x1f', '\x85', '\xa0', '\u1680', '\u2003', '\u2028', '\u2029',
          '\u202f', '\u205f', '\u3000', '\ufeff', '\u200b', '\u180e']
WORDS = ['a', 'A', 'the', 'The', 'THE', 'ΣΑΣ', 'σας', 'Σ', 'İstanbul', 'i̇stanbul', 'straße', 'STRASSE', 'ẞ', 'é', 'e\u0301', '図', '图像', '😀', '👩‍🔬',
         'नमस्ते', 'Ǆ', 'ǆ', 'ﬀ', 'Ⅷ', 'ⅷ', '\u0000', '<think>', '0', '.', '\ufeffa', 'Ա', 'ა', 'Ა', 'ꭰ', 'Ꭰ', 'ϴ', 'K', 'k']


def text() -> str:
    vocabulary = draw.sample(WORDS, draw.randint(1, 6))
    blanks = draw.sample(BLANKS, draw.randint(1, 4)) + [' '] * 2
    parts = []
    for _ in range(draw.randint(0, 24)):
        parts += [draw.choice(vocabulary), draw.choice(blanks)]
    return draw.choice(['', draw.choice(BLANKS)]) + ''.join(parts)


FIXED = ['', ' ', '\n\n', 'one', 'one two', 'one two three', 'a a a', 'a a a a', 'a A a A', 'a b c a b c a b c', 'x' * 300, 'w ' * 200,
         'ab c a bc', 'a\u200bb a\u200bb a\u200bb a\u200bb', '\ufeffa b c \ufeffa b c']


def repetitions():
    texts = FIXED + [text() for _ in range(300)]
    for n_grams in (1, 2, 3, 5):
        for max_penalty in (-1.0, -0.3, 0.0, 2.5):
            args = SimpleNamespace(repetition_n_grams=n_grams, repetition_max_penalty=max_penalty)
            chosen = FIXED + draw.sample(texts, 25) if (n_grams, max_penalty) != (3, -1.0) else texts
            yield {'n_grams': n_grams, 'max_penalty': max_penalty, 'completions': chosen, 'values': RepetitionPenalty(args)(chosen)}


def lengths(longest: int):
    return sorted({0, 1, 2, longest // 2, longest - 1, longest, longest + 1, 2 * longest, *(draw.randint(0, 2 * longest) for _ in range(12))})


def cosines():
    grids = [(-0.5, 0.0, 1.0, 0.5, 512), (-10.0, 0.1, 2.0, 1.0, 16384), (0.0, 0.0, 0.0, 0.0, 7), (1.0, -1.0, -1.0, 1.0, 1)]
    grids += [(*(draw.uniform(-3, 3) for _ in range(4)), draw.randint(2, 3000)) for _ in range(12)]
    for wrong_min, wrong_max, correct_min, correct_max, longest in grids:
        args = SimpleNamespace(
            cosine_min_len_value_wrong=wrong_min, cosine_max_len_value_wrong=wrong_max, cosine_min_len_value_correct=correct_min,
            cosine_max_len_value_correct=correct_max, cosine_max_len=longest)
        for verdict in (0.0, 1.0):
            tokens = lengths(longest)
            reward = CosineReward(args, accuracy_orm=lambda completions, solution, **_: [verdict] * len(completions))
            values = reward([''] * len(tokens), [''] * len(tokens), response_token_ids=[[0] * length for length in tokens])
            yield {**vars(args), 'verdict': verdict, 'lengths': tokens, 'values': values}


def overlong():
    for longest, cache in [(512, 128), (512, 511), (2, 1), (20480, 4096), (100, 7), (33, 10)]:
        reward = SoftOverlong(SimpleNamespace(soft_max_length=longest, soft_cache_length=cache))
        tokens = sorted({*lengths(longest), longest - cache, longest - cache + 1})
        values = reward([''] * len(tokens), response_token_ids=[[0] * length for length in tokens])
        yield {'soft_max_length': longest, 'soft_cache_length': cache, 'lengths': tokens, 'values': values}


def box(side: int):
    x, y = sorted(draw.sample(range(side), 2)), sorted(draw.sample(range(side), 2))
    return [x[0], y[0], x[1], y[1]]


def boxes():
    """Intersection over union of every pair, in float64, and the sum of the best one-to-one assignment."""
    for number in range(120):
        side = draw.choice([4, 12, 100, 1000])
        predicted = [box(side) for _ in range(draw.randint(1, 5))]
        wanted = [box(side) for _ in range(draw.randint(1, 5))]
        if number % 4 == 0:
            predicted[0] = list(wanted[0])
        overlaps = box_iou(torch.tensor(predicted, dtype=torch.float64), torch.tensor(wanted, dtype=torch.float64)).numpy()
        rows, columns = linear_sum_assignment(overlaps, maximize=True)
        total = float(np.sum(overlaps[rows, columns]))
        yield {'predicted': predicted, 'wanted': wanted, 'overlaps': overlaps.tolist(), 'total': total}


made_with = ', '.join(f'{name} {version(name)}' for name in ('ms-swift', 'torch', 'torchvision', 'scipy'))
values = {'made with': made_with, 'repetition': list(repetitions()), 'cosine': list(cosines()), 'soft_overlong': list(overlong()), 'boxes': list(boxes())}
lines = [f'  {json.dumps(name)}: ' + (json.dumps(value) if isinstance(value, str) else
         '[\n    ' + ',\n    '.join(json.dumps(case) for case in value) + '\n  ]') for name, value in values.items()]
Path(__file__).with_name('values.json').write_text('{\n' + ',\n'.join(lines) + '\n}\n')
