"""Scores a model of `lingo pretrain` with transformers, on the validation text of its run, against result.json.

    pip install torch transformers
    python tools/check_pretrained.py runs/english

Everything is done anew from the folder that was written and the run's config.toml: documents, tokens, blocks, losses.
FASTA is not read.
"""

import json
import math
import sys
import tomllib
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def documents(path):
    """Texts between lines of nothing but white space."""
    text = Path(path).read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    document, lines = [], text.split("\n") + [""]
    for line in lines:
        if line.strip():
            document.append(line)
        elif document:
            yield "\n".join(document)
            document = []


def loss_of(model, rows):
    rows = torch.tensor(rows)
    logits = model(rows[:, :-1]).logits.double()
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten(), reduction="sum").item()


@torch.no_grad()
def main(run):
    run = Path(run)
    config = tomllib.loads((run / "config.toml").read_text())
    result = json.loads((run / "result.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(run / "model")
    model = AutoModelForCausalLM.from_pretrained(run / "model", dtype=torch.float32).eval()
    tied = model.get_input_embeddings().weight.data_ptr() == model.get_output_embeddings().weight.data_ptr()
    assert tied, "the output layer is not the token table"

    boundary = tokenizer.bos_token_id
    ids, size = [boundary], 0
    for text in documents(config["corpus"]["valid"]):
        ids += tokenizer.encode(text, add_special_tokens=False) + [boundary]
        size += len(text.encode())
    assert tokenizer.encode("a")[0] == boundary, "texts do not begin with the boundary"

    context, total, batch = result["context_tokens"], 0.0, 32
    starts = list(range(0, len(ids) - 1, context))
    whole = [s for s in starts if s + context < len(ids)]
    for first in range(0, len(whole), batch):
        total += loss_of(model, [ids[s : s + context + 1] for s in whole[first : first + batch]])
    for start in starts[len(whole) :]:
        total += loss_of(model, [ids[start:]])
    loss = total / (len(ids) - 1)
    bits = total / math.log(2) / size

    # The loss was taken from weights in f32, whatever they were written in.
    stored = next(iter(json.loads(header(run / "model" / "model.safetensors")).items()))[1]
    tolerance = 1e-5 if config["output"]["dtype"] == "f32" else 2e-3
    best = result["best"]
    for name, found, expected in [("loss", loss, best["loss"]), ("bits a byte", bits, best["bits_per_byte"])]:
        print(f"{name:12} transformers {found:.6f}, lingo {expected:.6f}")
        assert abs(found - expected) < tolerance * expected, f"{name} differs ({stored['dtype']})"
    assert len(ids) == result["valid"]["tokens"] and size == result["valid"]["bytes"]
    print("equal")


def header(path):
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        tensors = json.loads(file.read(length))
    tensors.pop("__metadata__", None)
    return json.dumps(tensors)


if __name__ == "__main__":
    main(*sys.argv[1:])
