#!/usr/bin/env bash
# Installs the peers, in the versions of requirements-*.txt, into a virtual environment of their own (about 7 GB on disk:
# torch comes with its CUDA libraries, whether used or not). Does nothing if they are there.
#
# usage: install.sh
#   PEERS_VENV  the virtual environment                     (.venv in the repository; git ignores it)
#   PYTHON      the Python it is made with, 3.11 or newer   (python3)
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
root=$(cd -- "$here/../.." && pwd -P)
PEERS_VENV=${PEERS_VENV:-$root/.venv}
PYTHON=${PYTHON:-python3}

# Bears the requirements that the environment was made from, once it is complete.
stamp=$PEERS_VENV/sightline-peers.txt
if [[ -f $stamp ]] && cmp -s -- "$stamp" <(cat -- "$here"/requirements-*.txt); then
  echo "the peers are installed: $PEERS_VENV" >&2
  exit 0
fi

if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "error: $PYTHON is missing or older than 3.11" >&2
  echo "  fix: set PYTHON to a newer one" >&2
  exit 2
fi
[[ -x $PEERS_VENV/bin/python ]] || "$PYTHON" -m venv "$PEERS_VENV"
"$PEERS_VENV/bin/python" -m pip install --disable-pip-version-check \
  -r "$here/requirements-peers.txt" -c "$here/requirements-lock.txt" >&2
cat -- "$here"/requirements-*.txt >"$stamp"
echo "the peers are installed: $PEERS_VENV" >&2
