"""Loads in PEFT and transformers what `lingo export` writes, and compares the logits with the fixtures' own.

    python tools/check_peft_exports.py LINGO

LINGO is the command. Each adapter of tests/fixtures/peft is imported, and exported again as PEFT's adapter, as plain
LoRA, and as a merged model of classes and of labels; PEFT and transformers load these and compute the logits of the model fixture's input_ids,
which expected.safetensors beside the adapter holds. The largest differences are printed; above 1e-4 the exit code is 1.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from peft import PeftModel
from peft_adapters import FIXTURES, TARGETS, base, logits_of
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

TOLERANCE = 1e-4


def differences(lingo, name, kind, scratch):
    def run(*args):
        subprocess.run([lingo, *map(str, args)], check=True, stdout=subprocess.DEVNULL)

    adapter, model = FIXTURES / "peft" / f"{name}_{kind}", FIXTURES / name
    expected = load_file(adapter / "expected.safetensors")["logits"]
    run("import", adapter, "--base", model, "--out", scratch / "imported")
    for form, more in [("peft", []), ("lora", ["--as-lora"])]:
        run("export", scratch / "imported", "--format", "peft", "--out", scratch / form, *more)
        yield form, logits_of(PeftModel.from_pretrained(base(name), scratch / form), name) - expected
    run("export", scratch / "imported", "--format", "hf", "--out", scratch / "merged")
    merged = AutoModelForSequenceClassification.from_pretrained(scratch / "merged", dtype=torch.float32)
    yield "merged model", logits_of(merged, name) - expected
    # The same rows as labels that each hold or not: transformers then trains them with binary cross-entropy.
    names = ",".join(f"mark-{i}" for i in range(expected.shape[1]))
    run("import", adapter, "--base", model, "--labels", names, "--out", scratch / "labels")
    run("export", scratch / "labels", "--format", "hf", "--out", scratch / "merged-labels")
    merged = AutoModelForSequenceClassification.from_pretrained(scratch / "merged-labels", dtype=torch.float32)
    assert merged.config.problem_type == "multi_label_classification", merged.config
    assert list(merged.config.id2label.values()) == names.split(","), merged.config
    yield "merged model of labels", logits_of(merged, name) - expected


def main():
    torch.set_num_threads(1)
    worst = 0.0
    for name in TARGETS:
        for kind in ["lora", "adalora"]:
            with tempfile.TemporaryDirectory() as scratch:
                for form, difference in differences(sys.argv[1], name, kind, Path(scratch)):
                    far = difference.abs().max().item()
                    worst = max(worst, far)
                    print(f"{name}_{kind} as {form}: {far:.1e}")
    sys.exit(worst > TOLERANCE)


if __name__ == "__main__":
    main()
