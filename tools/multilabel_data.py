"""Makes a small task of many labels: the quickstart's sequences, each with a list of labels in the column `label`.

    python tools/multilabel_data.py OUT [--labels 104]

A label holds where a sequence has one of two words of four letters, drawn for each label; one in twenty is not known, and
the last label holds nowhere. OUT gets train.csv, dev.csv and test.csv.
"""

import argparse
import csv
import itertools
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).resolve().parent.parent / "configs" / "quickstart" / "data"
SEED = 13
UNKNOWN = 0.05
WORDS = ["".join(letters) for letters in itertools.product("ACGT", repeat=4)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--labels", type=int, default=104)
    args = parser.parse_args()

    rng = np.random.default_rng(SEED)
    words = [rng.choice(WORDS, 2, replace=False) for _ in range(args.labels - 1)]
    args.out.mkdir(parents=True, exist_ok=True)
    for split in ["train", "dev", "test"]:
        with (SOURCE / f"{split}.csv").open(newline="") as file:
            sequences = [row["sequence"] for row in csv.DictReader(file)]
        with (args.out / f"{split}.csv").open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["sequence", "label"])
            for sequence in sequences:
                marks = [str(int(any(word in sequence for word in pair))) for pair in words] + ["0"]
                known = rng.random(len(marks)) >= UNKNOWN
                writer.writerow([sequence, f"[{', '.join(m if k else 'nan' for m, k in zip(marks, known))}]"])


if __name__ == "__main__":
    main()
