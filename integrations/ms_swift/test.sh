#!/usr/bin/env bash
# Runs the tests of the plugin with ms-swift itself, on CPU, with the golden checkpoints. Takes some minutes.
# Installs ms-swift first if it is missing (bench/peers/install.sh, about 7 GB).
#
# usage: test.sh [TEST...]    names for unittest, such as test_ratio; default all
#   PEERS_VENV  the virtual environment   (.venv in the repository; git ignores it)
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
root=$(cd -- "$here/../.." && pwd -P)
export PEERS_VENV=${PEERS_VENV:-$root/.venv}

bash "$root/bench/peers/install.sh"
. "$root/examples/train/grpo/prepare.sh"
prepare_sightline "$root"

cd -- "$here/tests"
if (($# == 0)); then set -- discover; fi
exec "$PEERS_VENV/bin/python" -W ignore -m unittest "$@"
