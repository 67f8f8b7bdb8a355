#!/usr/bin/env bash
# Tests on a graphics processor. Without one in software they are skipped, and the reason is printed.
#
# usage: run.sh [VITEST ARGUMENT ...]
#   WEBGPU_ADAPTER=own  the adapter of this machine instead of the one in software
#   SWIFTSHADER=DIR     where libvk_swiftshader.so and libvulkan.so.1 are; else Chromium's, else those of an npm package
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."

if [[ ${WEBGPU_ADAPTER:-} != own ]]; then
  # shellcheck source=test/webgpu/swiftshader.sh
  if ! source test/webgpu/swiftshader.sh; then
    echo 'skipped: tests on a graphics processor need one, in software or not' >&2
    exit 77
  fi
fi
npx vitest run --config test/webgpu/vitest.config.ts "$@"
