"""Writes what math-verify says of the pairs in cases.json and more_cases.json, asked as ms-swift's MathAccuracy asks it, with more
time: on a busy machine its five seconds are not enough.

    pip install math-verify==0.9.0 latex2sympy2_extended==1.11.0 antlr4-python3-runtime==4.13.2
    python test/rewards/math/make.py

Prints besides where the value of both sides, to 60 digits, contradicts the truth written down by hand. Each pair has a process of
its own for a minute, for some (powers of powers) would take hours; these count as not equal.
"""
import json
import logging
import multiprocessing
import sys
from importlib.metadata import version
from pathlib import Path

import sympy
from math_verify import parse, verify

logging.disable(logging.CRITICAL)
here = Path(__file__).parent


def verdict(gold: str, answer: str) -> bool:
    try:
        reference = parse(f'${gold}$', extraction_mode='first_match', parsing_timeout=20)
        given = parse(f'${answer}$', extraction_mode='first_match', parsing_timeout=20)
        return bool(verify(reference, given, timeout_seconds=20))
    except Exception:
        return False


def value(text: str):
    """A number where the text is one, else None."""
    try:
        parsed = parse(f'${text}$', extraction_mode='first_match', parsing_timeout=20)[0]
        if not isinstance(parsed, sympy.Expr) or parsed.free_symbols:
            return None
        return sympy.N(sympy.nsimplify(parsed.doit(), rational=True), 60)
    except Exception:
        return None


def look_at(case, pipe):
    pipe.send(verdict(case['gold'], case['answer']))
    a, b = value(case['gold']), value(case['answer'])
    if a is not None and b is not None and a.is_number and b.is_number:
        close = abs(a - b) <= abs(a) * sympy.Float('1e-45', 60) if a != 0 else b == 0
        if bool(close) != case['equal']:
            print('look at', case, a, b, flush=True)


def asked(case) -> bool:
    mine, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=look_at, args=(case, theirs))
    process.start()
    answered = mine.poll(60)
    process.join(10)
    process.kill()
    return mine.recv() if answered else False


for name in sys.argv[1:] or ['cases', 'more_cases']:
    cases = json.loads((here / f'{name}.json').read_text())
    for case in cases:
        case['mathVerify'] = asked(case)
    (here / f'{name}.json').write_text('[\n' + ',\n'.join('  ' + json.dumps(case) for case in cases) + '\n]\n')
    right = sum(case['mathVerify'] == case['equal'] for case in cases)
    wrong = sum(case['mathVerify'] and not case['equal'] for case in cases)
    print(f"{name}: math-verify {version('math-verify')} right {right} of {len(cases)}, wrongly equal {wrong}")
