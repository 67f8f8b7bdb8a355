"""The file that ms-swift loads: ``--external_plugins integrations/ms_swift/plugin.py --callbacks ddapo_attention``.

Registers the reward ``ddapo_attention``, the rewards of the files in SIGHTLINE_PLUGINS, and the callback that they need.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from sightline_swift.register import register  # noqa: E402

register()
