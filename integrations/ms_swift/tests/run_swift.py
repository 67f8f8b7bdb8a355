"""Does several runs of ms-swift in one process, or in the processes of one torchrun, because each start takes long.

usage: run_swift.py RUNS.json    a list of {"env": {...}, "words": [...]}
"""

import json
import os
import sys
from pathlib import Path

from swift.pipelines import rlhf_main

PLUGIN = Path(__file__).resolve().parents[1] / "plugin.py"


def main() -> None:
    sys.path.insert(0, str(PLUGIN.parent))
    from sightline_swift.register import register

    first = True
    for run in json.loads(Path(sys.argv[1]).read_text()):
        os.environ.update(run["env"])
        # ms-swift imports a plugin once per process, so later runs register again with their own environment.
        if not first:
            register()
        rlhf_main(run["words"])
        first = False


if __name__ == "__main__":
    main()
