# Finds SwiftShader, a graphics processor in software, and makes it the only one that programs of this shell see. Sourced by run.sh.
# Sets VK_ICD_FILENAMES and LD_LIBRARY_PATH, or explains on standard error what is missing and returns 1.
#
# The library and a Vulkan loader come with Chromium, or with the npm package @sparticuz/chromium for Linux x64, which is
# downloaded to ${XDG_CACHE_HOME:-~/.cache}/sightline/swiftshader.

# Prints the folder that holds libvk_swiftshader.so and libvulkan.so.1.
swiftshader_folder() {
  local folder
  for folder in ${SWIFTSHADER:+"$SWIFTSHADER"} /usr/lib/chromium /usr/lib/chromium-browser /opt/google/chrome; do
    if [[ -f $folder/libvk_swiftshader.so && -e $folder/libvulkan.so.1 ]]; then
      printf '%s\n' "$folder"
      return
    fi
  done
  [[ $(uname -sm) == 'Linux x86_64' ]] || return 1
  local cache=${XDG_CACHE_HOME:-$HOME/.cache}/sightline/swiftshader
  if [[ ! -f $cache/libvk_swiftshader.so ]]; then
    local work
    work=$(mktemp -d)
    (cd -- "$work" && npm pack --silent @sparticuz/chromium@147.0.0 >/dev/null && tar -xzf ./*.tgz) || return 1
    # An archive of an archive: libvk_swiftshader.so, libvulkan.so.1 and some more.
    (cd -- "$work" && node -e "
      const { brotliDecompressSync } = require('node:zlib');
      const { readFileSync, writeFileSync } = require('node:fs');
      writeFileSync('swiftshader.tar', brotliDecompressSync(readFileSync('package/bin/swiftshader.tar.br')));
    " && tar -xf swiftshader.tar) || return 1
    mkdir -p -- "$(dirname -- "$cache")"
    rm -rf -- "$cache.new"
    mkdir -- "$cache.new"
    find "$work" -name 'libvk_swiftshader.so' -exec cp -- {} "$cache.new/" \;
    find "$work" -name 'libvulkan.so.1' -exec cp -- {} "$cache.new/" \;
    rm -rf -- "$work" "$cache"
    mv -- "$cache.new" "$cache"
  fi
  [[ -f $cache/libvk_swiftshader.so && -f $cache/libvulkan.so.1 ]] && printf '%s\n' "$cache"
}

if ! swiftshader=$(swiftshader_folder); then
  echo "there is no SwiftShader: install Chromium (apt-get install chromium), or name the folder of libvk_swiftshader.so and libvulkan.so.1 in SWIFTSHADER" >&2
  return 1
fi
# The folder may hold other libraries, which nothing but Chromium should load: the loader gets a folder of its own.
loader=$(mktemp -d)
ln -s -- "$swiftshader/libvulkan.so.1" "$loader/libvulkan.so.1"
printf '{"file_format_version":"1.0.0","ICD":{"library_path":"%s/libvk_swiftshader.so","api_version":"1.0.5"}}\n' "$swiftshader" \
  >"$loader/icd.json"
export VK_ICD_FILENAMES=$loader/icd.json
export LD_LIBRARY_PATH=$loader${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
