"""Every argument that ms-swift's `swift rlhf` and transformers' Trainer take: name, type, default, choices.

Made with ms-swift 4.6.0 over transformers 5.19.0, python make.py ms-swift (its RLHFArguments), and with transformers 5.19.0
and 5.24.0, python make.py (their TrainingArguments). Writes beside itself.
"""
import dataclasses
import enum
import json
import os
import sys
import typing

import transformers

os.chdir(os.path.dirname(os.path.abspath(__file__)))


def plain(value):
    """A default as it would stand in args.json."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str, dict)):
        return value
    return str(value)


def default_of(field):
    if field.default is not dataclasses.MISSING:
        return plain(field.default)
    if field.default_factory is not dataclasses.MISSING:
        return plain(field.default_factory())
    return None


def choices_of(kind):
    """The values of a Literal, also inside Optional and Union; null where any is taken."""
    if typing.get_origin(kind) is typing.Literal:
        return list(typing.get_args(kind))
    found = [choices_of(part) for part in typing.get_args(kind)]
    found = [part for part in found if part is not None]
    return sum(found, []) or None


def type_of(kind):
    return kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind).replace('typing.', '')


def write(name, version, cls):
    fields = {}
    for field in dataclasses.fields(cls):
        if field.init:
            fields[field.name] = {'type': type_of(field.type), 'default': default_of(field)}
            choices = choices_of(field.type)
            if choices is not None:
                fields[field.name]['choices'] = choices
    with open(name, 'w') as file:
        lines = ',\n'.join(f'  {json.dumps(key)}: {json.dumps(value)}' for key, value in fields.items())
        file.write(f'{{\n"made with": {json.dumps(version)},\n"fields": {{\n{lines}\n}}}}\n')
    print(name, len(fields))


if 'ms-swift' in sys.argv:
    import swift
    from swift.arguments import RLHFArguments
    write('rlhf_arguments.json', f'ms-swift {swift.__version__}, transformers {transformers.__version__}', RLHFArguments)
else:
    short = '.'.join(transformers.__version__.split('.')[:2])
    write(f'training_arguments_{short}.json', f'transformers {transformers.__version__}', transformers.TrainingArguments)
