"""Makes what configs/quickstart.toml trains: configs/quickstart/model and configs/quickstart/data.

    python tools/quickstart.py

The model is a tiny OPT in Hugging Face's layout (config.json, model.safetensors in f16, vocab.json, merges.txt). Its
weights are random: nothing was pretrained, so that it shows how a run works, not what a pretrained model is good for.
Its tokenizer is a byte-level BPE trained on some English and on DNA of the same kind.

The data are synthetic promoters in GUE's layout: 70 bp of random DNA. Label 1 has a TATA box (TATAAA or TATATA, one
letter of it changed in a tenth of them) that begins at position 30 to 39; label 0 has the letters of one at random
places, so that the composition is the same and only their order tells the classes apart.
"""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

ROOT = Path(__file__).resolve().parent.parent / "configs" / "quickstart"
SEED = 7
LETTERS = np.array(list("ACGT"))

LENGTH = 70
BOXES = ["TATAAA", "TATATA"]
FIRST, LAST = 30, 39  # where a box may begin
CHANGED = 0.1  # share of boxes with one letter changed
SPLITS = {"train": 640, "dev": 160, "test": 160}

SPECIALS = ["<s>", "<pad>", "</s>", "<unk>"]  # OPT's, in OPT's order
VOCABULARY = 384
ENGLISH = [
    "Domain: DNA Promoter\nSequence: ",
    "\nAnnotation:",
    "The promoter of a gene is a sequence of DNA that tells where transcription begins.",
    "Is there a TATA box in this sequence, and what is the annotation of its domain?",
]
WIDTH, LAYERS, HEADS, MLP, POSITIONS = 64, 2, 4, 128, 96
LARGEST_MODEL_BYTES, LARGEST_DATA_BYTES = 400_000, 150_000


def dna(rng, length):
    return "".join(rng.choice(LETTERS, length))


def has_box(sequence):
    return any(box in sequence for box in BOXES)


def promoter(rng, label):
    """A sequence of LENGTH letters; one that has a box by chance is drawn again."""
    box = list(BOXES[rng.integers(len(BOXES))])
    if rng.random() < CHANGED:
        box[rng.integers(len(box))] = rng.choice(LETTERS)
    while True:
        rest = dna(rng, LENGTH - len(box))
        if has_box(rest):
            continue
        if label == 1:
            at = rng.integers(FIRST, LAST + 1)
            return rest[:at] + "".join(box) + rest[at:]
        sequence = list(rest)
        for letter in box:
            sequence.insert(rng.integers(len(sequence) + 1), letter)
        if not has_box("".join(sequence)):
            return "".join(sequence)


def make_data(folder, rng):
    folder.mkdir()
    for split, count in SPLITS.items():
        labels = rng.permutation(np.arange(count) % 2)
        with (folder / f"{split}.csv").open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["sequence", "label"])
            writer.writerows([promoter(rng, label), label] for label in labels)


def make_tokenizer(folder, rng):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIALS,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(ENGLISH * 100 + [promoter(rng, label) for label in [0, 1] * 300], trainer)
    tokenizer.model.save(str(folder))
    assert tokenizer.get_vocab_size() == VOCABULARY
    return tokenizer


def make_weights(rng):
    """Hugging Face's names of OPTModel's tensors; matrices [out, in]."""

    def normal(std, *shape):
        return (std * rng.standard_normal(shape)).astype(np.float16)

    def linear(name, rows, columns):
        yield f"{name}.weight", normal(columns**-0.5, rows, columns)
        yield f"{name}.bias", normal(0.02, rows)

    def norm(name):
        yield f"{name}.weight", np.ones(WIDTH, np.float16)
        yield f"{name}.bias", np.zeros(WIDTH, np.float16)

    yield "decoder.embed_tokens.weight", normal(1.0, VOCABULARY, WIDTH)
    yield "decoder.embed_positions.weight", normal(0.3, POSITIONS + 2, WIDTH)
    for layer in range(LAYERS):
        path = f"decoder.layers.{layer}"
        for matrix in ["q_proj", "k_proj", "v_proj", "out_proj"]:
            yield from linear(f"{path}.self_attn.{matrix}", WIDTH, WIDTH)
        yield from norm(f"{path}.self_attn_layer_norm")
        yield from linear(f"{path}.fc1", MLP, WIDTH)
        yield from linear(f"{path}.fc2", WIDTH, MLP)
        yield from norm(f"{path}.final_layer_norm")
    yield from norm("decoder.final_layer_norm")


def make_model(folder, rng):
    folder.mkdir()
    tokenizer = make_tokenizer(folder, rng)
    weights = folder / "model.safetensors"
    save_file(dict(make_weights(rng)), weights, metadata={"format": "pt"})
    weights.chmod(0o644)  # the library makes files for their owner alone
    config = {
        "architectures": ["OPTModel"],
        "model_type": "opt",
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "word_embed_proj_dim": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "ffn_dim": MLP,
        "max_position_embeddings": POSITIONS,
        "do_layer_norm_before": True,
        "activation_function": "relu",
        "dropout": 0.1,
        "attention_dropout": 0.0,
        "layerdrop": 0.0,
        "bos_token_id": 2,
        "eos_token_id": 2,
        "pad_token_id": 1,
        "torch_dtype": "float16",
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    return tokenizer


def size(folder):
    return sum(file.stat().st_size for file in folder.iterdir())


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    ROOT.mkdir(parents=True)
    rng = np.random.default_rng(SEED)
    make_data(ROOT / "data", rng)
    tokenizer = make_model(ROOT / "model", rng)
    print(tokenizer.encode(ENGLISH[0] + "GGCTATAAAGCC" + ENGLISH[1]).tokens)
    for folder, most in [(ROOT / "model", LARGEST_MODEL_BYTES), (ROOT / "data", LARGEST_DATA_BYTES)]:
        print(f"{size(folder):8d} {folder.relative_to(ROOT)}")
        assert size(folder) < most


if __name__ == "__main__":
    main()
