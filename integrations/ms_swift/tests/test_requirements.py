"""Checks that the tests run with the versions in requirements.txt, which equal those of bench/peers."""

import unittest
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]


def stated(path: Path) -> set[str]:
    return {line for line in path.read_text().splitlines() if line and not line.startswith("#")}


class Requirements(unittest.TestCase):
    def test_versions(self) -> None:
        ours = stated(HERE / "requirements.txt")
        self.assertEqual(ours, stated(HERE.parents[1] / "bench" / "peers" / "requirements-peers.txt"))
        self.assertEqual({f"{name}=={version(name)}" for name, _ in (line.split("==") for line in ours)}, ours)


if __name__ == "__main__":
    unittest.main()
