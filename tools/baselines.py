"""What counting alone tells of a task of two classes: a floor for models.

    python3 tools/baselines.py data/GUE/prom/prom_core_tata

Naive Bayes on counts of letters and k-mers, anywhere in the sequence or position by position, learnt from train.csv of the folder
and scored on dev.csv and test.csv. Every k-mer is counted once more than it occurs (Laplace).
"""

import csv
import math
import sys
from collections import Counter
from itertools import groupby
from pathlib import Path

FEATURES = [("letters", 1, False), ("3-mers", 3, False), ("letters by position", 1, True), ("2-mers by position", 2, True)]


def read(file: Path) -> list[tuple[str, int]]:
    if not file.is_file():
        sys.exit(f"{file} is not there; give a folder with train.csv, dev.csv and test.csv")
    with file.open(newline="") as rows:
        split = [(row.get("sequence"), row.get("label")) for row in csv.DictReader(rows)]
    if {label for _, label in split} != {"0", "1"} or None in (sequence for sequence, _ in split):
        sys.exit(f"{file}: needed are columns `sequence` and `label`, and labels 0 and 1, both of them")
    return [(sequence.upper(), int(label)) for sequence, label in split]


def features(sequence: str, k: int, by_position: bool) -> list:
    kmers = [sequence[at : at + k] for at in range(len(sequence) - k + 1)]
    return list(enumerate(kmers)) if by_position else kmers


def learn(train: list[tuple[str, int]], k: int, by_position: bool):
    """Log odds of class 1 of a sequence."""
    counts = [Counter(), Counter()]
    for sequence, label in train:
        counts[label].update(features(sequence, k, by_position))
    # Of each position, or of the whole.
    totals = [Counter(), Counter()]
    for label in (0, 1):
        for feature, count in counts[label].items():
            totals[label][feature[0] if by_position else None] += count

    def chance(feature, label: int) -> float:
        total = totals[label][feature[0] if by_position else None]
        return (counts[label][feature] + 1) / (total + 4**k)

    def odds(sequence: str) -> float:
        found = features(sequence, k, by_position)
        return sum(math.log(chance(feature, 1) / chance(feature, 0)) for feature in found)

    return odds


def mcc(labels: list[int], scores: list[float]) -> float:
    table = Counter((label, score > 0) for label, score in zip(labels, scores))
    tp, tn, fp, fn = table[1, True], table[0, False], table[0, True], table[1, False]
    product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return (tp * tn - fp * fn) / math.sqrt(product) if product else 0.0


def auroc(labels: list[int], scores: list[float]) -> float:
    positives, negatives, better = sum(labels), len(labels) - sum(labels), 0.0
    below = 0
    for _, equal in groupby(sorted(zip(scores, labels)), key=lambda pair: pair[0]):
        here = [label for _, label in equal]
        against = len(here) - sum(here)
        better += sum(here) * (below + against / 2)
        below += against
    return better / (positives * negatives)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python3 tools/baselines.py FOLDER")
    folder = Path(sys.argv[1])
    train, dev, test = (read(folder / f"{split}.csv") for split in ("train", "dev", "test"))
    print("| features | dev MCC | test MCC | test AUROC |\n| --- | ---: | ---: | ---: |")
    for name, k, by_position in FEATURES:
        odds = learn(train, k, by_position)
        (dev_labels, dev_scores), (labels, scores) = (
            ([label for _, label in split], [odds(sequence) for sequence, _ in split]) for split in (dev, test)
        )
        figures = [mcc(dev_labels, dev_scores), mcc(labels, scores), auroc(labels, scores)]
        print(f"| {name} | " + " | ".join(f"{figure:.3f}" for figure in figures) + " |")


if __name__ == "__main__":
    main()
