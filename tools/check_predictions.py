"""Computes the metrics of a predictions file with scikit-learn, prints them as JSON, and holds them against a run's.

    python tools/check_predictions.py PREDICTIONS.csv DATA.csv [--result result.json]

PREDICTIONS.csv is what `lingo predict` writes (id,prediction,p_0,p_1,...; rows in the order of the data), DATA.csv has
the columns sequence and label. With --result, each metric is compared with `test` in that file; a difference above
--tolerance, or a metric that is missing there, makes the exit code 1.
F1, precision and recall are macro averages. AUROC and AUPRC (average precision) are those of class 1 for two classes,
else macro one-vs-rest over the classes that the data hold. Brier is the positive class's for two classes, else summed
over the classes. Loss is the mean negative log-likelihood.
"""

import argparse
import csv
import json
import math
import sys
from pathlib import Path

import numpy as np
from sklearn import metrics


def read_predictions(path):
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows, f"{path}: no rows"
    columns = [name for name in rows[0] if name.startswith("p_")]
    assert columns == [f"p_{i}" for i in range(len(columns))] and len(columns) > 1, f"{path}: columns {list(rows[0])}"
    probabilities = np.array([[float(row[name]) for name in columns] for row in rows], dtype=np.float64)
    return [row["id"] for row in rows], [row["prediction"] for row in rows], probabilities


def read_labels(path):
    with path.open(newline="") as file:
        return np.array([int(row["label"]) for row in csv.DictReader(file)])


def class_indices(predictions, probabilities):
    """The predicted classes; where the file has names of classes for them, the largest probability's index."""
    if all(text.isdigit() for text in predictions):
        return np.array([int(text) for text in predictions])
    return probabilities.argmax(axis=1)


def compute(labels, predicted, probabilities):
    classes = probabilities.shape[1]
    one_hot = np.eye(classes)[labels]
    average = {"average": "macro", "zero_division": 0, "labels": sorted(set(labels) | set(predicted))}
    chosen = np.clip(probabilities[np.arange(len(labels)), labels], np.finfo(np.float64).tiny, None)
    result = {
        "accuracy": metrics.accuracy_score(labels, predicted),
        "mcc": metrics.matthews_corrcoef(labels, predicted),
        "f1": metrics.f1_score(labels, predicted, **average),
        "precision": metrics.precision_score(labels, predicted, **average),
        "recall": metrics.recall_score(labels, predicted, **average),
    }
    both = [c for c in ([1] if classes == 2 else range(classes)) if 0 < one_hot[:, c].sum() < len(labels)]
    if both:
        result["auroc"] = np.mean([metrics.roc_auc_score(one_hot[:, c], probabilities[:, c]) for c in both])
        result["auprc"] = np.mean([metrics.average_precision_score(one_hot[:, c], probabilities[:, c]) for c in both])
    if classes == 2:
        result["brier"] = metrics.brier_score_loss(labels, probabilities[:, 1], pos_label=1)
    else:
        result["brier"] = ((probabilities - one_hot) ** 2).sum(axis=1).mean()
    # By hand: scikit-learn renormalises the rows and clips at its own epsilon, f32's rounding aside the same.
    result["loss"] = -np.log(chosen).mean()
    return {name: float(value) for name, value in result.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("predictions", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--result", type=Path, help="result.json of the run, whose `test` must agree")
    parser.add_argument("--tolerance", type=float, default=1e-6)
    args = parser.parse_args()

    _, predictions, probabilities = read_predictions(args.predictions)
    labels = read_labels(args.data)
    if len(labels) != len(predictions):
        sys.exit(f"{args.predictions} has {len(predictions)} rows, {args.data} has {len(labels)}")
    if labels.max() >= probabilities.shape[1]:
        sys.exit(f"{args.data} has label {labels.max()}, {args.predictions} {probabilities.shape[1]} classes")
    worst = abs(probabilities.sum(axis=1) - 1).max()
    if worst > 1e-5:
        sys.exit(f"{args.predictions}: the probabilities of a row sum to 1 only within {worst:.1e}")
    predicted = class_indices(predictions, probabilities)
    off = int((probabilities[np.arange(len(predicted)), predicted] < probabilities.max(axis=1)).sum())
    if off:
        sys.exit(f"{args.predictions}: {off} predictions are not the most probable class")

    result = compute(labels, predicted, probabilities)
    print(json.dumps(result, indent=2))
    if args.result is None:
        return
    test = json.loads(args.result.read_text())["test"]
    failures = []
    for name, value in result.items():
        other = test.get(name)
        if other is None or not math.isclose(value, other, rel_tol=0.0, abs_tol=args.tolerance):
            failures.append(f"{name}: scikit-learn {value!r}, {args.result} {other!r}")
    if failures:
        sys.exit("\n".join(failures))
    print(f"equal to {args.result} within {args.tolerance:g}", file=sys.stderr)


if __name__ == "__main__":
    main()
