"""Writes tests/fixtures/peft/targets.json and default_targets.json: which modules PEFT corrects for settings of an adapter,
and for settings that name none.

    python tools/peft_targets.py
"""

import json
from pathlib import Path

import torch
from peft import AdaLoraConfig, LoraConfig, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer, check_target_module_exists
from transformers import AutoConfig, AutoModelForSequenceClassification

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


SIZES = {
    "hidden_size": 8,
    "word_embed_proj_dim": 8,
    "intermediate_size": 16,
    "ffn_dim": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "vocab_size": 20,
    "pad_token_id": 1,
}


def by_default(model_type: str, adaptive: bool) -> dict:
    """What PEFT corrects in a model of a type where `target_modules` is not given; null where it refuses."""
    model = AutoModelForSequenceClassification.from_config(AutoConfig.for_model(model_type, **SIZES))
    modules = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    config = AdaLoraConfig(total_step=10, tinit=1, tfinal=1) if adaptive else LoraConfig()
    try:
        adapted = get_peft_model(model, config).base_model.model
        covered = [name for name, module in adapted.named_modules() if isinstance(module, BaseTunerLayer)]
    except ValueError:
        covered = None
    return {"model_type": model_type, "peft_type": config.peft_type.value, "modules": modules, "covered": covered}


def main() -> None:
    defaults = [by_default(name, adaptive) for name in ("opt", "llama", "bert", "esm") for adaptive in (False, True)]
    out = Path(__file__).parent.parent / "tests/fixtures/peft/default_targets.json"
    out.write_text(json.dumps(defaults, indent=1) + "\n")
    cases = []
    for settings in SETTINGS:
        config = LoraConfig(**settings)
        covered = [name for name in MODULES if check_target_module_exists(config, name)]
        cases.append({"settings": settings, "covered": covered})
    out = Path(__file__).parent.parent / "tests/fixtures/peft/targets.json"
    out.write_text(json.dumps({"modules": MODULES, "cases": cases}, indent=1) + "\n")


main()
