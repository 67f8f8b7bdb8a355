#!/usr/bin/env bash
# Tests that compare with transformers and PEFT as they are installed, rather than with values kept in the repository.
# Installs them first if they are not there (bench/peers/install.sh, about 7 GB).
#
# usage: run.sh [TEST...]    names for unittest, such as test_saved_checkpoints; default all
#   PEERS_VENV  the virtual environment   (.venv in the repository; git ignores it)
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
root=$(cd -- "$here/../.." && pwd -P)
export PEERS_VENV=${PEERS_VENV:-$root/.venv}

bash "$root/bench/peers/install.sh"
[[ -f $root/dist/cli/main.js ]] || (cd -- "$root" && npm run --silent build)

cd -- "$here"
if (($# == 0)); then set -- discover; fi
exec "$PEERS_VENV/bin/python" -W ignore -m unittest "$@"
