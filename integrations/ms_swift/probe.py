"""Prints which packages and GPUs this Python has, as one line of JSON. Run by `sightline rlhf --engine ms-swift`.

usage: probe.py DISTRIBUTION...
"""

import json
import sys
from importlib.metadata import PackageNotFoundError, version


def version_of(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def count_gpus():
    """The number of GPUs, or why torch cannot be imported."""
    try:
        import torch

        if torch.cuda.is_available():
            return torch.cuda.device_count(), None
        npu = getattr(torch, "npu", None)
        return (npu.device_count() if npu is not None else 0), None
    except Exception as error:  # noqa: BLE001: an installation can be broken in any way
        return 0, f"{type(error).__name__}: {error}"


def main():
    versions = {name: version_of(name) for name in sys.argv[1:]}
    gpus, fault = count_gpus() if versions.get("torch") else (0, None)
    print(json.dumps({"python": list(sys.version_info[:3]), "versions": versions, "gpus": gpus, "torch_fault": fault}))


main()
