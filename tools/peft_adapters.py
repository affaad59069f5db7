"""Makes tests/fixtures/peft: adapters as PEFT saves them, and the logits that it computes with them.

    python tools/peft_adapters.py

For each of opt_pre_ln, llama_tied, esm_rotary and bert (tools/model_fixtures.py and tools/encoder_fixtures.py make
them) a folder NAME_lora (rank 4, with another rank and alpha for some matrices) and NAME_adalora (initial rank 4, a
rank_pattern in which one matrix keeps nothing), and opt_pre_ln_rslora (scaled by the root of the rank), each with adapter_config.json, adapter_model.safetensors and
expected.safetensors: `logits` [B, C] of the model fixture's own input_ids, after loading the saved adapter again.
"""

import json
import shutil
from pathlib import Path

import torch
from peft import AdaLoraConfig, LoraConfig, PeftModel, TaskType, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

FIXTURES = Path(__file__).resolve().parent.parent / "tests" / "fixtures"
RANK = 4
TARGETS = {
    "opt_pre_ln": ["q_proj", "v_proj", "fc1", "fc2"],
    "llama_tied": ["q_proj", "v_proj", "gate_proj", "down_proj"],
    "esm_rotary": ["query", "value", "intermediate.dense", "attention.output.dense"],
    "bert": ["query", "value", "intermediate.dense", "attention.output.dense"],
}
PATTERN = {"opt_pre_ln": "fc1", "llama_tied": "gate_proj", "esm_rotary": "query", "bert": "query"}


def base(name):
    return AutoModelForSequenceClassification.from_pretrained(FIXTURES / name, dtype=torch.float32).eval()


def randomise(model, generator):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
            elif "modules_to_save" in name:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(noise / parameter.shape[-1] ** 0.5)


def logits_of(model, name):
    batch = load_file(FIXTURES / name / "expected.safetensors")
    ids, lengths = batch["input_ids"].long(), batch["lengths"]
    mask = (torch.arange(ids.shape[1])[None, :] < lengths[:, None]).long()
    with torch.no_grad():
        return model.eval()(input_ids=ids, attention_mask=mask).logits


def config(name, kind):
    shared = {"task_type": TaskType.SEQ_CLS, "target_modules": TARGETS[name], "lora_alpha": 8, "lora_dropout": 0.1}
    if kind == "rslora":
        return LoraConfig(r=RANK, use_rslora=True, **shared)
    if kind == "lora":
        pattern = {PATTERN[name]: 2}
        return LoraConfig(r=RANK, rank_pattern=pattern, alpha_pattern={PATTERN[name]: 20}, **shared)
    return AdaLoraConfig(init_r=RANK, target_r=2, total_step=100, **shared)


def prune(model, generator):
    """A rank_pattern as AdaLoRA's allocator leaves it."""
    pattern = {}
    layers = [name for name, module in model.base_model.model.named_modules() if hasattr(module, "lora_E")]
    for index, name in enumerate(layers):
        kept = torch.rand(RANK, generator=generator) < 0.6
        if index == 1:
            kept[:] = False
        if index == 2:
            kept[:] = True
        pattern[f"{name}.lora_E.default"] = kept.tolist()
    model.peft_config["default"].rank_pattern = pattern
    model.base_model.resize_modules_by_rank_pattern(pattern, "default")


def make(name, kind, seed):
    generator = torch.Generator().manual_seed(seed)
    folder = FIXTURES / "peft" / f"{name}_{kind}"
    shutil.rmtree(folder, ignore_errors=True)
    model = get_peft_model(base(name), config(name, kind))
    randomise(model, generator)
    plain = logits_of(base(name), name)
    if kind == "adalora":
        prune(model, generator)
    model.save_pretrained(folder)
    if folder.name == "opt_pre_ln_lora":
        # The same tensors as older versions saved them.
        pickle = folder.with_name("opt_pre_ln_lora_bin")
        pickle.mkdir(exist_ok=True)
        torch.save(load_file(folder / "adapter_model.safetensors"), pickle / "adapter_model.bin")
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    values = json.loads(path.read_text())
    values["base_model_name_or_path"] = name
    values["target_modules"] = sorted(values["target_modules"])
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")

    again = PeftModel.from_pretrained(base(name), folder)
    logits = logits_of(again, name)
    assert (logits - logits_of(model, name)).abs().max() < 1e-5
    moved = (logits - plain).abs().max().item()
    print(f"{folder.name}: moves the logits by {moved:.2f}, their std is {logits.std():.2f}")
    assert moved > 0.1
    save_file({"logits": logits}, folder / "expected.safetensors")


def main():
    torch.set_num_threads(1)
    for seed, name in enumerate(TARGETS):
        for kind in ["lora", "adalora"]:
            make(name, kind, 100 + seed)
    make("opt_pre_ln", "rslora", 110)


if __name__ == "__main__":
    main()
