#!/usr/bin/env bash
# Builds the pages of docs/ into site/dist. Its packages are not those of the program, so that using sightline installs none of
# them; they are installed at the first build, and later builds need no network.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"

npm ls --all >/dev/null 2>&1 || npm ci --no-audit --no-fund
npm run --silent build
echo "site/dist: npm run docs:preview shows it"
