"""What the comparisons with transformers + PEFT share: sequences to padded tokens, the classifier, its adapters."""

import csv

import torch
from peft import TaskType
from transformers import AutoModelForSequenceClassification

PROMPT_PREFIX = "Domain: DNA Promoter\\nSequence: "
PROMPT_SUFFIX = "\\nAnnotation:"


def unescape(text):
    return text.replace("\\n", "\n").replace("\\t", "\t")


def read_records(path):
    """Sequences in upper case, and their labels."""
    with path.open(newline="") as file:
        return [(row["sequence"].upper(), int(row["label"])) for row in csv.DictReader(file)]


def tokenise(sequences, tokenizer, config, prefix, suffix):
    """The ids of each sequence between `prefix` and `suffix`, in which `unescape` is still to be done."""
    bos = [config.bos_token_id] if config.model_type == "opt" else []
    texts = [unescape(prefix) + sequence + unescape(suffix) for sequence in sequences]
    return [bos + ids for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]


def pad_right(rows, pad):
    longest = max(map(len, rows))
    return {
        "input_ids": torch.tensor([row + [pad] * (longest - len(row)) for row in rows]),
        "attention_mask": torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows]),
    }


def load_classifier(folder, classes):
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=classes, dtype=torch.float32, attn_implementation="sdpa"
    )
    if model.config.pad_token_id is None:
        model.config.pad_token_id = model.config.eos_token_id
    return model


def adapter_settings(config):
    """`lingo train`'s defaults, for any of PEFT's configurations."""
    blocks = ["fc1", "fc2"] if config.model_type == "opt" else ["gate_proj", "up_proj", "down_proj"]
    return {
        "task_type": TaskType.SEQ_CLS,
        "target_modules": ["q_proj", "k_proj", "v_proj", *blocks],
        "lora_alpha": 32,
        "lora_dropout": 0.05,
    }
