"""Writes grpo_config.json: the fields that TRL's GRPOConfig itself declares, with their defaults, and those of transformers that
docs/coming_from.md names. With TRL 0.29.1: python test/docs/trl/make.py"""
import dataclasses
import json
import pathlib

import transformers
import trl

inherited = {field.name for field in dataclasses.fields(transformers.TrainingArguments)}
named = {"learning_rate", "lr_scheduler_type", "weight_decay", "adam_beta2", "per_device_train_batch_size"}
fields = {
    field.name: field.default if field.default is not dataclasses.MISSING else field.default_factory()
    for field in dataclasses.fields(trl.GRPOConfig)
    if field.name not in inherited or field.name in named
}
folder = pathlib.Path(__file__).parent
(folder / "grpo_config.json").write_text(json.dumps({"trl": trl.__version__, "fields": fields}, indent=1, default=str) + "\n")
