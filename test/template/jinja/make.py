"""
Renders the templates of cases.json as transformers' apply_chat_template does, and stores texts and refusals in
expected.json. Run with a Python that has transformers 5.19 and jinja2 3.1.6:

    python test/template/jinja/make.py
"""

import json
from pathlib import Path

from transformers.utils.chat_template_utils import _compile_jinja_template

here = Path(__file__).parent
cases = json.loads((here / "cases.json").read_text())


def render(source):
    variables = json.loads(json.dumps(cases["variables"]))
    try:
        return {"text": _compile_jinja_template(source).render(**variables)}
    except Exception as error:
        return {"refused": f"{type(error).__name__}: {error}"}


expected = {name: render(source) for name, source in cases["cases"].items()}
(here / "expected.json").write_text(json.dumps(expected, ensure_ascii=False, indent=2) + "\n")
print(len(expected), "templates,", sum("refused" in result for result in expected.values()), "refused")
