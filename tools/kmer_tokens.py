"""Writes tests/fixtures/kmer_tokens.json: random DNA with N and the ids that transformers' EsmTokenizer gives it.

    python tools/kmer_tokens.py

The vocabularies of the Nucleotide Transformer's two generations are generated here and handed to the tokenizer as its
vocab.txt. Neither puts anything behind a sequence.
"""

import itertools
import json
import random
import tempfile
from pathlib import Path

from transformers import EsmTokenizer

FIXTURE = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "kmer_tokens.json"
SPECIAL = {"v1": ["<unk>", "<pad>", "<mask>", "<cls>"], "v2": ["<unk>", "<pad>", "<mask>", "<cls>", "<eos>", "<bos>"]}
CASES = 40


def tokenizer(special, folder):
    kmers = ["".join(letters) for letters in itertools.product("ATCG", repeat=6)]
    path = Path(folder) / "vocab.txt"
    path.write_text("\n".join(special + kmers + list("ATCGN")) + "\n")
    return EsmTokenizer(str(path), eos_token=None)


def main():
    draw = random.Random(5)
    cases = []
    for case in range(CASES):
        letters = "ACGT" * (1 + case % 8) + "N" * (case % 3)
        cases.append({"sequence": "".join(draw.choices(letters, k=draw.randint(1, 120)))})
    for name, special in SPECIAL.items():
        with tempfile.TemporaryDirectory() as folder:
            made = tokenizer(special, folder)
            for case in cases:
                case[name] = made(case["sequence"])["input_ids"]
                assert case[name][0] == 3 and max(case[name]) < len(special) + 4101
    lines = ",\n".join(json.dumps(case) for case in cases)
    FIXTURE.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
