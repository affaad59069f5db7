"""Holds `lingo flops` against PyTorch's own counter and against a count by hand.

    python tools/flops_reference.py target/release/lingo

writes docs/flops.md, a training step of published models at each task's length, and tests/fixtures/flops.json, what
PyTorch counts for the tiny models of tests/fixtures. It fails unless all three agree to MOST.

PyTorch's counts are those of `torch.utils.flop_counter` over a forward and a backward pass on the meta device: models
of transformers (DNABERT-2: tools/dnabert2_reference.py) with their own heads, adapters of PEFT. Attention is the eager
one: the counter knows the fused one's backward pass as five products, one of them computed a second time, where four
are needed. Decoders' heads are put over the pooled state, not, as transformers does, over every token.
"""

import argparse
import json
import re
import subprocess
import tempfile
from pathlib import Path

import torch
from dnabert2_reference import Dnabert2ForSequenceClassification
from encoder_fixtures import gated_esm
from peft import AdaLoraConfig, LoraConfig, TaskType, get_peft_model
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForSequenceClassification, EsmConfig, EsmForSequenceClassification

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "tests" / "fixtures"
MOST = 0.01
PAPER_RATIO = 4.443

OPT = dict(model_type="opt", vocab_size=50272, max_position_embeddings=2048, pad_token_id=1, bos_token_id=2)
MODELS = {
    "OPT-125M": OPT
    | dict(hidden_size=768, word_embed_proj_dim=768, ffn_dim=3072, num_hidden_layers=12, num_attention_heads=12),
    "OPT-350M": OPT
    | dict(hidden_size=1024, word_embed_proj_dim=512, ffn_dim=4096, num_hidden_layers=24, num_attention_heads=16)
    | dict(do_layer_norm_before=False),
    "DNABERT-2": dict(
        model_type="bert",
        alibi_starting_size=512,
        vocab_size=4096,
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        type_vocab_size=2,
        max_position_embeddings=512,
        layer_norm_eps=1e-12,
        hidden_act="gelu",
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.0,
    ),
    "NT-500M": dict(
        model_type="esm",
        vocab_size=4105,
        hidden_size=1280,
        intermediate_size=5120,
        num_hidden_layers=24,
        num_attention_heads=20,
        max_position_embeddings=1002,
        position_embedding_type="absolute",
        emb_layer_norm_before=False,
        token_dropout=True,
        pad_token_id=1,
        mask_token_id=2,
        layer_norm_eps=1e-12,
        hidden_act="gelu",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    ),
}
# Task: base pairs, outputs, and what adaptive rank sampling adapts, with how many ranks.
FIVE = ["Wq", "Wk", "Wv", "Wf1", "Wf2"]
TASKS = {
    "promoter, human": (300, 2, [*FIVE, "Wo"], 8),
    "histone, yeast": (500, 2, FIVE, 12),
    "histone, human": (1000, 104, [*FIVE, "Wo"], 8),
}
BATCH = 8
# Measured with the models' tokenizers on real sequences of GUE: OPT's 1.88 to 1.93 on five tasks, DNABERT-2's 4.87
# and 4.95 at 300 and 500 bp. The prompt is "Domain: DNA Promoter\nSequence: " and "\nAnnotation:", OPT's </s> included.
OPT_BP_PER_TOKEN, DNABERT2_BP_PER_TOKEN = 1.91, 4.9
OPT_PROMPT_TOKENS = 14

BERT_NAMES = {
    "Wq": r".*\.attention\.self\.query",
    "Wk": r".*\.attention\.self\.key",
    "Wv": r".*\.attention\.self\.value",
    "Wo": r".*\.attention\.output\.dense",
    "Wf1": r".*\.intermediate\.dense",
    "Wf2": r".*\.layer\.\d+\.output\.dense",
}
DECODER_NAMES = {"Wq": r".*\.q_proj", "Wk": r".*\.k_proj", "Wv": r".*\.v_proj"}
NAMES = {
    "opt": DECODER_NAMES | {"Wo": r".*\.out_proj", "Wf1": r".*\.fc1", "Wf2": r".*\.fc2"},
    "llama": DECODER_NAMES | {"Wo": r".*\.o_proj", "Wf1": r".*\.(gate|up)_proj", "Wf2": r".*\.down_proj"},
    "bert": BERT_NAMES,
    "esm": BERT_NAMES,
    "dnabert2": {name: r".*\.Wqkv" for name in ["Wq", "Wk", "Wv"]}
    | {"Wo": r".*\.attention\.output\.dense", "Wf1": r".*\.gated_layers", "Wf2": r".*\.wo"},
}


def type_of(config):
    return "dnabert2" if "alibi_starting_size" in config else config.get("model_type", "esm")


def build(config, classes):
    """A classifier on the meta device from the content of a config.json."""
    with torch.device("meta"):
        if type_of(config) == "dnabert2":
            return Dnabert2ForSequenceClassification(config, classes).train()
        values = {key: value for key, value in config.items() if key not in ("id2label", "label2id")}
        if type_of(config) == "esm":
            esm = EsmConfig(**values, num_labels=classes)
            if "add_bias_fnn" in config:
                return gated_esm(esm).train()
            return EsmForSequenceClassification._from_config(esm, attn_implementation="eager").train()
        hf = AutoConfig.for_model(**values, num_labels=classes)
        return AutoModelForSequenceClassification.from_config(hf, attn_implementation="eager").train()


def adapt(model, kind, method, targets, rank):
    """The model as it is trained."""
    if method == "full":
        return model
    patterns = [NAMES[kind].get(target, r".*\." + re.escape(target)) for target in targets]
    settings = dict(task_type=TaskType.SEQ_CLS, target_modules="|".join(f"({p})" for p in patterns), lora_alpha=32)
    if kind == "dnabert2":
        model.config = {"model_type": "custom"}
        del settings["task_type"]
        # Its checkpoint has no pooler: a new one is trained.
        settings["modules_to_save"] = ["classifier", "pooler"]
    if method == "lora":
        settings = LoraConfig(r=rank, **settings)
    else:
        settings = AdaLoraConfig(init_r=rank, target_r=rank, tinit=0, tfinal=1, total_step=10, **settings)
    return get_peft_model(model, settings).base_model.model


def count(config, shape, classes, method, targets=(), rank=0, trained_rows=False):
    """PyTorch's count of the forward and of the backward pass of a batch `shape`."""
    kind = type_of(config)
    model = adapt(build(config, classes), kind, method, targets, rank)
    if trained_rows:
        model.get_input_embeddings().weight.requires_grad_(True)
    ids = torch.zeros(shape, dtype=torch.long, device="meta")
    mask = torch.ones(shape, dtype=torch.long, device="meta")
    with torch.device("meta"), FlopCounterMode(display=False) as forward:
        if kind in ("opt", "llama"):
            logits = model.score(model.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state[:, -1])
        elif kind == "dnabert2":
            logits = model(ids, mask).logits
        else:
            # Without padding no mask is needed, and making one would look at values, which the meta device has none of.
            logits = model(input_ids=ids).logits
    assert logits.shape == (shape[0], classes)
    with FlopCounterMode(display=False) as backward:
        logits.sum().backward()
    return forward.get_total_flops(), backward.get_total_flops()


def by_hand(name, tokens, classes, method, targets, rank):
    """A step's operations from the equations of the published models; all dimensions from `MODELS`."""
    config = MODELS[name]
    layers, width = config["num_hidden_layers"], config["hidden_size"]
    inner = config.get("ffn_dim") or config["intermediate_size"]
    rows = BATCH * tokens
    # A layer's matrices by the paper's names, [inputs, outputs].
    matrices = {key: (width, width) for key in ["Wq", "Wk", "Wv", "Wo"]}
    matrices |= {"Wf1": (width, inner), "Wf2": (inner, width)}
    if name == "DNABERT-2":
        matrices = {"Wqkv": (width, 3 * width), "Wo": (width, width), "Wf1": (width, 2 * inner), "Wf2": (inner, width)}
        targets = ["Wqkv", *(target for target in targets if target not in ("Wq", "Wk", "Wv"))]
    base = sum(2 * i * o for i, o in matrices.values()) * rows  # of one layer, once
    scores = 2 * 2 * BATCH * tokens**2 * width  # q kᵀ and the weighted sum of v
    edges = 2 * 2 * width * config.get("word_embed_proj_dim", 0) * rows if name == "OPT-350M" else 0  # in and out
    embedding = config.get("word_embed_proj_dim", width)
    head = 2 * BATCH * embedding * classes
    if name in ("DNABERT-2", "NT-500M"):
        head += 2 * BATCH * width * width
    forward = layers * (base + scores) + edges + head
    if method == "full":
        # Each product has two factors, and a gradient of each.
        return 3 * forward
    adapters = sum(2 * rank * (i + o) for i, o in (matrices[target] for target in targets)) * rows
    # Of the first layer's q, k and v the input is frozen, for their matrices and for their adapters.
    first = [key for key in ("Wq", "Wk", "Wv", "Wqkv") if key in matrices]
    frozen = sum(2 * matrices[key][0] * (matrices[key][1] + rank) for key in first) * rows
    activations = layers * (base + 2 * scores + adapters) - frozen + edges / 2 + head
    return forward + layers * adapters + activations + layers * adapters + head


def lingo(binary, folder, shape, classes, method, targets=(), rank=0):
    """What `lingo flops` says."""
    command = [binary, "flops", folder, "--json", "--batch-size", shape[0], "--tokens", shape[1]]
    command += ["--classes", classes, "--method", method]
    if method != "full":
        command += ["--rank", rank, "--targets", ",".join(targets)]
    return json.loads(subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout)


def tokens_of(name, bp, prompt):
    if name.startswith("OPT"):
        return 1 + round(bp / OPT_BP_PER_TOKEN) if not prompt else OPT_PROMPT_TOKENS + round(bp / OPT_BP_PER_TOKEN)
    if name == "DNABERT-2":
        return 2 + round(bp / DNABERT2_BP_PER_TOKEN)
    return 1 + bp // 6 + bp % 6


def exact(value):
    return f"{value / 1e12:.4f}"


def table(binary):
    """The lines of docs/flops.md, and the totals by model, task, prompt and method."""
    lines, totals = [], {}
    for name, config in MODELS.items():
        folder = Path(tempfile.mkdtemp())
        (folder / "config.json").write_text(json.dumps(config))
        for task, (bp, classes, targets, rank) in TASKS.items():
            for prompt in [False, True] if name.startswith("OPT") else [False]:
                shape = (BATCH, tokens_of(name, bp, prompt))
                for label, method in [("FMFT", "full"), ("ARS", "adaptive-rank-sampling")]:
                    torch_forward, torch_backward = count(config, shape, classes, method, targets, rank)
                    theirs, hand = torch_forward + torch_backward, by_hand(
                        name, shape[1], classes, method, targets, rank
                    )
                    ours = lingo(binary, folder, shape, classes, method, targets, rank)
                    total = ours["total"]
                    totals[name, task, prompt, label] = total
                    assert abs(ours["forward"] / torch_forward - 1) < MOST, (name, task, label, "forward")
                    assert abs(total / theirs - 1) < MOST, (name, task, label, total, theirs)
                    assert abs(total / hand - 1) < MOST, (name, task, label, total, hand)
                    what = " + prompt" if prompt else ""
                    lines.append(
                        f"| {name} | {task}, {bp} bp{what} | {shape[1]} | {label} | {exact(total)} | {exact(hand)} "
                        f"| {exact(theirs)} | {100 * (total / theirs - 1):+.4f} % |"
                    )
                    print(lines[-1], flush=True)
    return lines, totals


def ratios(binary, totals):
    """NT-500M's step over OPT-125M's, at equal tokens and at equal base pairs."""
    folders = {}
    for name in ("NT-500M", "OPT-125M"):
        folders[name] = Path(tempfile.mkdtemp())
        (folders[name] / "config.json").write_text(json.dumps(MODELS[name]))
    lines = []
    for task, (bp, classes, targets, rank) in TASKS.items():
        for label, method in [("FMFT", "full"), ("ARS", "adaptive-rank-sampling")]:
            shape = (BATCH, tokens_of("OPT-125M", bp, True))
            nt, opt = (
                lingo(binary, folders[name], shape, classes, method, targets, rank)["total"] for name in folders
            )
            other = totals["NT-500M", task, False, label]
            bare, prompted = (totals["OPT-125M", task, prompt, label] for prompt in (False, True))
            lines.append(
                f"| {task}, {bp} bp | {label} | {nt / opt:.3f} | {other / bare:.3f} | {other / prompted:.3f} "
                f"| {PAPER_RATIO} |"
            )
    return lines


def document(lines, of_ratios):
    return f"""# FLOPs of a training step

Made by `python tools/flops_reference.py target/release/lingo`, which fails unless the three counts agree to
{100 * MOST:.0f} %. What is counted, and what is not, is said in
`lingo-core/src/flops.rs`.

A step of {BATCH} sequences without padding, in TFLOP (10^12 operations; a multiplication and an addition are two): as
`lingo flops` counts it, as the formula in the script does by hand, and as PyTorch's `FlopCounterMode` does over a forward
and a backward pass on the meta device, with models of transformers and PEFT's adapters. FMFT is full fine-tuning, ARS adaptive
rank sampling with the paper's matrices and initial ranks (which all are computed until the run ends). Tokens are each
model's own: OPT {OPT_BP_PER_TOKEN} bp a token, `</s>`, and with the prompt 13 more; DNABERT-2 {DNABERT2_BP_PER_TOKEN} bp a token and two;
Nucleotide Transformer 6 bp a token, single letters for the rest, and one.

| model | task | tokens | method | lingo | by hand | PyTorch | lingo over PyTorch |
| --- | --- | ---: | --- | ---: | ---: | ---: | ---: |
{chr(10).join(lines)}

PyTorch counts what this counts: it skips gradients of frozen weights and of inputs below the first adapter. Two settings
make it so. Attention is the eager one, since the counter takes the fused one's backward pass for five products, one
of them computed twice, where four are needed (2.5 times the forward pass, not 2); and decoders' heads stand over the
pooled token, where transformers' stand over all of them.

## NT-500M to OPT-125M

The FLOPs of a step of NT-500M over one of OPT-125M: at equal tokens (OPT's count, prompt included), and at equal base
pairs, OPT reading the bare DNA or DNA and prompt. The paper has OPT-125M {PAPER_RATIO} times as FLOPs-efficient.

| task | method | equal tokens | equal bp | equal bp, prompt | paper |
| --- | --- | ---: | ---: | ---: | ---: |
{chr(10).join(of_ratios)}

The paper's figure lies between: a fifth below the ratio at equal tokens, and nearly three times that at equal base
pairs, where 6-mers give the Nucleotide Transformer a third of the tokens that OPT's BPE makes of the same DNA. Which of
the two a comparison of runs on one task has is the latter: both read the same sequences.
"""


def fixture():
    """PyTorch's counts for the tiny models, written one a line."""
    cases = []
    for folder in ["opt_pre_ln", "opt_post_ln", "llama_tied", "bert", "esm_learned", "esm_gated", "dnabert2"]:
        config = json.loads((FIXTURES / folder / "config.json").read_text())
        shape, classes = (2, 7), 3
        runs = [("full", [], 0, False), ("lora", FIVE, 3, False)]
        runs += [("adaptive-rank-sampling", [*FIVE, "Wo"], 5, False)]
        # How deep gradients go: one kind of matrix, and one matrix alone.
        runs += [("lora", [name], 2, False) for name in ["Wq", "Wk", "Wv", "Wo", "Wf1", "Wf2"]]
        deep = {"opt_pre_ln": "layers.1.self_attn.k_proj", "opt_post_ln": "layers.2.fc2", "llama_tied": "layers.1.mlp.up_proj"}
        deep |= {"bert": "encoder.layer.2.attention.self.value", "dnabert2": "encoder.layer.1.mlp.wo"}
        if folder in deep:
            runs.append(("adaptive-rank-sampling", [deep[folder]], 4, False))
        if folder.startswith(("opt", "llama")):
            # Rows of the token table that are trained.
            runs.append(("lora", ["Wf2"], 2, True))
        for method, targets, rank, rows in runs:
            forward, backward = count(config, shape, classes, method, targets, rank, rows)
            cases.append(
                dict(model=folder, shape=shape, method=method, targets=targets, rank=rank, trained_rows=rows)
                | dict(forward=forward, backward=backward)
            )
    lines = ",\n".join(json.dumps(case) for case in cases)
    (FIXTURES / "flops.json").write_text(f"[\n{lines}\n]\n")
    print(f"{len(cases)} cases in flops.json")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("lingo", nargs="?", help="the program; without it, only the fixture is made")
    arguments = parser.parse_args()
    fixture()
    if arguments.lingo:
        lines, totals = table(arguments.lingo)
        (ROOT / "docs").mkdir(exist_ok=True)
        (ROOT / "docs" / "flops.md").write_text(document(lines, ratios(arguments.lingo, totals)))


if __name__ == "__main__":
    main()
