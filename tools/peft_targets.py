"""Writes tests/fixtures/peft/targets.json: which modules PEFT corrects for settings of an adapter.

    python tools/peft_targets.py
"""

import json
from pathlib import Path

from peft import LoraConfig
from peft.tuners.tuners_utils import check_target_module_exists

MODULES = [
    f"model.decoder.layers.{layer}.{kind}"
    for layer in (0, 1, 11)
    for kind in ("self_attn.q_proj", "self_attn.v_proj", "fc1", "fc2")
] + ["bert.encoder.layer.1.attention.output.dense", "encoder.layer.0.output.dense", "q_proj", "score", "model.xfc1"]

SETTINGS = [
    {"target_modules": ["q_proj", "fc1"]},
    {"target_modules": ["output.dense"]},
    {"target_modules": ["model.decoder.layers.1.fc2", "score"]},
    {"target_modules": r".*\.(q|v)_proj"},
    {"target_modules": "q_proj"},
    {"target_modules": r"model\.decoder\.layers\.1.*"},
    {"target_modules": ["q_proj", "fc1"], "exclude_modules": ["layers.1.fc1", "score"]},
    {"target_modules": ["q_proj", "fc1"], "exclude_modules": r".*layers\.1\..*"},
    {"target_modules": ["q_proj", "fc2"], "layers_to_transform": 1},
    {"target_modules": ["q_proj", "fc2", "dense"], "layers_to_transform": [0, 11]},
    {"target_modules": ["fc2", "dense"], "layers_to_transform": [1], "layers_pattern": "layer"},
    {"target_modules": ["fc2", "dense"], "layers_to_transform": [0, 1], "layers_pattern": ["layers", "h"]},
    {"target_modules": ["fc2"], "layers_to_transform": []},
    {"target_modules": ["model.decoder.layers.1.fc2"], "layers_to_transform": [0]},
]


def main() -> None:
    cases = []
    for settings in SETTINGS:
        config = LoraConfig(**settings)
        covered = [name for name in MODULES if check_target_module_exists(config, name)]
        cases.append({"settings": settings, "covered": covered})
    out = Path(__file__).parent.parent / "tests/fixtures/peft/targets.json"
    out.write_text(json.dumps({"modules": MODULES, "cases": cases}, indent=1) + "\n")


main()
