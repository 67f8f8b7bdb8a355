#!/usr/bin/env bash
# Tests of the page of `sightline ui` in a real Chromium, after a build. Without one they are skipped, and the reason is printed.
#
# usage: run.sh [VITEST ARGUMENT ...]
#   CHROMIUM=PATH        the browser; else chromium or google-chrome of PATH
#   SIGHTLINE_SHOTS=DIR  where the pictures go; else sightline-shots among the temporary files
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."

browser=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || command -v google-chrome-stable || true)}
if [[ -z $browser ]]; then
  echo "skipped: there is no Chromium; install one (apt-get install chromium) or name it in CHROMIUM" >&2
  exit 77
fi
[[ -f dist/ui/page/app.js ]] || npm run --silent build
CHROMIUM=$browser exec npx vitest run --config test/browser/vitest.config.ts "$@"
