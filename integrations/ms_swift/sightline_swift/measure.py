"""Measures attention masses of a batch of completions: chooses the number of forwards and the probe, and compares the probes.

Knows the trainer's policy, not rewards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from .attention_switch import implementations
from .policy import quiet, unwrap_policy
from .probes import Measured, eager_probe, fused_probe
from .ratio import ratio_of_masses
from .rows import Batch, Encoded, collate
from .shared_prompt import can_share, cut, distinct_prompts, new_cache, repeat, using

#: Masses (layers, T, 2) of each completion; None if it has none.
Masses = list[np.ndarray | None]

#: Largest relative difference of TDR between the probes that counts as rounding. In float32 it is that of sightline. In bfloat16 a
#: weight has 8 significant bits, so its rounding alone is 2^-8, and the layers before it are rounded as well.
TOLERANCE = {torch.float32: 1e-3}
TOLERANCE_16_BIT = 2.0**-5

#: The head computes one position, because its logits are not used, and the model makes no cache of its own.
_WITHOUT_RESULTS = {"use_cache": False, "logits_to_keep": 1}

#: Debug lines are printed only for the first eager forward of the run.
_debug_done = False


class Measurement:
    """Decides once, together with all ranks, whether to use the fused probe."""

    def __init__(self, trainer: Any, probe: str, batch_size: int, tell: Any) -> None:
        self._trainer = trainer
        self._batch_size = batch_size or trainer.args.per_device_train_batch_size
        self._tell = tell
        #: eager, fused or auto. auto measures both ways until they can be compared.
        self.probe = probe

    def forwards(self, largest: int) -> int:
        """Number of batches of a call, the same on every rank.

        :param largest: the largest number of completions of any rank
        """
        return -(-largest // self._batch_size)

    def masses(self, sequences: Sequence[Encoded], forwards: int) -> tuple[Masses, list[float]]:
        """Masses of each sequence, and the differences of TDR between the probes if both ran.

        :param forwards: number of batches, even if this rank needs fewer: each has the same number of forwards on every rank, and
            under ZeRO-3 a forward is a collective call
        """
        kinds = ("fused", "eager") if self.probe == "auto" else (self.probe,)
        found: dict[str, Masses] = {kind: [] for kind in kinds}
        for i in range(forwards):
            some = sequences[i * self._batch_size : (i + 1) * self._batch_size]
            for kind in kinds:
                measured = self._measured(kind, some or sequences[-1:])
                found[kind] += [measured.of(row) for row in range(len(some))]
        masses = found[kinds[-1]]
        if self.probe != "auto":
            return masses, []
        pairs = [
            (ratio_of_masses(fused, sequence.spans)[0], ratio_of_masses(eager, sequence.spans)[0])
            for sequence, fused, eager in zip(sequences, found["fused"], found["eager"])
        ]
        return masses, [abs(fused - eager) / abs(eager) for fused, eager in pairs if fused is not None and eager]

    def settle(self, differences: Sequence[float]) -> None:
        """Ends ``auto`` as soon as any rank has compared the probes.

        :param differences: those of all ranks, so that all decide alike
        """
        if self.probe != "auto" or not differences:
            return
        tolerance = TOLERANCE.get(self._policy().dtype, TOLERANCE_16_BIT)
        largest = max(differences)
        self.probe = "fused" if largest <= tolerance else "eager"
        difference = f"largest relative difference of TDR, fused against eager: {largest:.2e} over {len(differences)} samples"
        self._tell("debug", f"[DDAPO_DEBUG] attn_probe auto: {difference}")
        if self.probe == "eager":
            self._tell("warn", f"DDAPOAttentionORM: {difference}, more than {tolerance:.2g}; continuing with eager forwards.")

    def _policy(self) -> Any:
        return unwrap_policy(self._trainer.model, self._trainer.accelerator)

    def _measured(self, kind: str, sequences: Sequence[Encoded]) -> Measured:
        if kind == "eager":
            return self._eager(collate(self._trainer, sequences))
        if can_share(self._policy(), self._batch_size, self._trainer.num_generations):
            return self._shared(sequences)
        batch = collate(self._trainer, sequences)
        policy = self._policy()
        with quiet(policy), fused_probe(policy, batch.spans, batch.offsets) as measured:
            self._run(batch.inputs)
        return measured

    def _shared(self, sequences: Sequence[Encoded]) -> Measured:
        """Two forwards: one of the distinct prompts, one of all completions on the prompts' keys and values."""
        policy = self._policy()
        firsts, prompt_of = distinct_prompts(sequences)
        halves = cut(collate(self._trainer, [sequences[i] for i in firsts]), sequences, prompt_of)
        cache = new_cache(policy)
        with quiet(policy), using(policy, cache):
            self._run(halves.prompts)
            repeat(cache, prompt_of)
            with fused_probe(policy, [sequence.spans for sequence in sequences], halves.offsets) as measured:
                self._run(halves.completions)
        return measured

    def _eager(self, batch: Batch) -> Measured:
        global _debug_done
        policy = self._policy()
        with quiet(policy), eager_probe(policy, batch.spans, batch.offsets) as measured:
            inputs = {**batch.inputs, **_WITHOUT_RESULTS, "output_attentions": True}
            if not _debug_done:
                self._debug_inputs(policy, inputs)
            outputs = self._run(batch.inputs, output_attentions=True)
        if not _debug_done:
            _debug_done = True
            self._debug_outputs(outputs, measured, batch)
        return measured

    def _run(self, inputs: dict[str, Any], *, output_attentions: bool = False) -> Any:
        """Runs one forward of the policy as ms-swift does, but with the head on the last position only."""
        trainer = self._trainer
        more = {**_WITHOUT_RESULTS, "output_attentions": output_attentions}
        with trainer.template.forward_context(trainer.model, inputs):
            return trainer.model(**inputs, **more)

    def _debug_inputs(self, policy: Any, inputs: dict[str, Any]) -> None:
        self._tell("debug", f"[DDAPO_DEBUG] model kwargs: {', '.join(inputs)}")
        self._tell("debug", f"[DDAPO_DEBUG] output_attentions: {inputs['output_attentions']}")
        for line in implementations(policy):
            self._tell("debug", f"[DDAPO_DEBUG] {line}")
        self._tell("debug", f"[DDAPO_DEBUG] is_gradient_checkpointing: {policy.is_gradient_checkpointing}")

    def _debug_outputs(self, outputs: Any, measured: Measured, batch: Any) -> None:
        attentions = getattr(outputs, "attentions", None)
        caught = sum(any(part is not None for part in layer) for layer in measured.layers)
        self._tell("debug", f"[DDAPO_DEBUG] outputs: {type(outputs).__name__}")
        self._tell("debug", f"[DDAPO_DEBUG] attentions is None: {attentions is None}")
        self._tell(
            "debug",
            f"[DDAPO_DEBUG] attentions: weights of {caught} of {len(measured.layers)} layers, batch {tuple(batch.inputs['input_ids'].shape)}",
        )
