# Sourced by the demo's scripts: checks Node, and provides dependencies, a build and demo data if they are missing.
# Knows nothing about training.

# Stops with a clear message unless node is 20.19 or newer.
require_node() {
  if ! command -v node >/dev/null; then
    echo "error: node is not installed, expected Node.js 20.19 or newer" >&2
    echo "  fix: install it from https://nodejs.org" >&2
    exit 2
  fi
  if ! node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)'; then
    echo "error: node $(node --version) is too old, expected Node.js 20.19 or newer" >&2
    echo "  fix: install a newer one from https://nodejs.org" >&2
    exit 2
  fi
}

# prepare_sightline ROOT: provides dependencies and dist/ below ROOT. An installed package (no lock file, no sources) has both.
prepare_sightline() {
  sightline_root=$1
  require_node
  if [[ -f $sightline_root/package-lock.json && ! -d $sightline_root/node_modules ]]; then
    echo "installing dependencies (npm ci)" >&2
    (cd -- "$sightline_root" && npm ci --no-audit --no-fund >&2)
  fi
  local built=$sightline_root/dist/cli/main.js
  if [[ -d $sightline_root/src && (! -f $built || -n $(find "$sightline_root/src" -newer "$built" -print -quit)) ]]; then
    echo "building (npm run build)" >&2
    (cd -- "$sightline_root" && npm run --silent build >&2)
  fi
}

# sightline ARGUMENT...: runs the built program below the ROOT of prepare_sightline.
sightline() {
  node "$sightline_root/dist/cli/main.js" "$@"
}

# demo_data KIND ROWS SEED FILE: draws the dataset whose data.jsonl is FILE, unless the file exists.
demo_data() {
  [[ -f $4 ]] || sightline demo data --kind "$1" --rows "$2" --seed "$3" --output_dir "$(dirname -- "$4")"
}
