"""Computes the metrics of a predictions file with scikit-learn, prints them as JSON, and holds them against a run's.

    python tools/check_predictions.py PREDICTIONS.csv DATA.csv [--result result.json] [--labels labels.csv]

PREDICTIONS.csv is what `lingo predict` writes (id,prediction,p_0,p_1,... of classes, id,p_NAME,... of labels; rows in the
order of the data), DATA.csv has the columns sequence and label, or one for each label. With --result, each metric is
compared with `test` in that file, with --labels those of each label with its test rows; a difference above --tolerance,
or a metric that is missing there, makes the exit code 1.

Classes:
F1, precision and recall are macro averages. AUROC and AUPRC (average precision) are those of class 1 for two classes,
else macro one-vs-rest over the classes that the data hold. Brier is the positive class's for two classes, else summed
over the classes. Loss is the mean negative log-likelihood.

Labels, those that are not known left out: loss, accuracy and Brier over all of them at once; the others a label at a
time, averaged over the labels, AUROC and AUPRC over those of both kinds.
"""

import argparse
import csv
import json
import math
import sys
import warnings
from pathlib import Path

import numpy as np
from sklearn import metrics


# A label that is always right has no correlation, which scikit-learn and we take for 0.
warnings.filterwarnings("ignore", message="A single label was found")


def read_predictions(path):
    """The predicted classes, none of labels; the names of the columns of probabilities; the probabilities."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows, f"{path}: no rows"
    columns = [name for name in rows[0] if name.startswith("p_")]
    classes = "prediction" in rows[0]
    if classes:
        assert columns == [f"p_{i}" for i in range(len(columns))] and len(columns) > 1, f"{path}: columns {list(rows[0])}"
    probabilities = np.array([[float(row[name]) for name in columns] for row in rows], dtype=np.float64)
    return [row["prediction"] for row in rows] if classes else None, [c.removeprefix("p_") for c in columns], probabilities


def read_labels(path):
    with path.open(newline="") as file:
        return np.array([int(row["label"]) for row in csv.DictReader(file)])


def read_marks(path, names):
    """1, 0, or NaN for what is not known."""
    mark = lambda text: float(text) if text.strip() not in ("", "NA", "null") else np.nan
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if all(name in rows[0] for name in names):
        return np.array([[mark(row[name]) for name in names] for row in rows])
    items = lambda text: text.split(",") if "," in text else text.split()
    return np.array([[mark(item) for item in items(row["label"].strip("[] "))] for row in rows])


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


def compute_labels(marks, probabilities):
    """Metrics of all labels, and the rows of labels.csv."""
    known = ~np.isnan(marks)
    truth, p = marks[known], probabilities[known]
    columns = [(marks[k, i], probabilities[k, i]) for i, k in enumerate(known.T)]
    some = [(y, q > 0.5) for y, q in columns if len(y)]
    mean = lambda f, **options: np.mean([f(y, hard, **options) for y, hard in some])
    positive = {"pos_label": 1, "average": "binary", "zero_division": 0}
    right = ((probabilities > 0.5) == (marks == 1)) | ~known
    tiny = np.finfo(np.float64).tiny
    result = {
        "loss": -np.log(np.clip(np.where(truth == 1, p, 1 - p), tiny, None)).mean(),
        "accuracy": metrics.accuracy_score(truth, p > 0.5),
        "mcc": mean(metrics.matthews_corrcoef),
        "f1": mean(metrics.f1_score, **positive),
        "precision": mean(metrics.precision_score, **positive),
        "recall": mean(metrics.recall_score, **positive),
        "brier": metrics.brier_score_loss(truth, p, pos_label=1),
        "exact_match": right[known.any(axis=1)].all(axis=1).mean(),
    }
    rows = []
    for (y, q), k in zip(columns, known.T):
        both = 0 < y.sum() < len(y)
        curves = [metrics.roc_auc_score(y, q), metrics.average_precision_score(y, q)] if both else [None, None]
        rows.append([int(y.sum()), int((1 - y).sum()), int((~k).sum()), *curves])
    for name, at in [("auroc", 3), ("auprc", 4)]:
        defined = [row[at] for row in rows if row[at] is not None]
        if defined:
            result[name] = np.mean(defined)
    result["without_auc"] = sum(row[3] is None for row in rows)
    return {name: float(value) for name, value in result.items()}, rows


def check_labels(path, names, rows, tolerance):
    """What differs from the test rows of labels.csv."""
    with path.open(newline="") as file:
        table = [row for row in csv.DictReader(file) if row["split"] == "test"]
    if [row["label"] for row in table] != names:
        return [f"{path}: the labels are not those of the predictions"]
    failures = []
    for found, expected in zip(table, rows):
        for column, value in zip(["positives", "negatives", "unknown", "auroc", "auprc"], expected):
            text = found[column]
            same = text == "" if value is None else text != "" and abs(float(text) - value) <= tolerance
            if not same:
                failures.append(f"{found['label']}, {column}: scikit-learn {value!r}, {path} {text!r}")
    return failures


def check_classes(args, labels, predictions, probabilities):
    """Ends the program where the predictions contradict themselves or the data."""
    if labels.max() >= probabilities.shape[1]:
        sys.exit(f"{args.data} has label {labels.max()}, {args.predictions} {probabilities.shape[1]} classes")
    worst = abs(probabilities.sum(axis=1) - 1).max()
    if worst > 1e-5:
        sys.exit(f"{args.predictions}: the probabilities of a row sum to 1 only within {worst:.1e}")
    predicted = class_indices(predictions, probabilities)
    off = int((probabilities[np.arange(len(predicted)), predicted] < probabilities.max(axis=1)).sum())
    if off:
        sys.exit(f"{args.predictions}: {off} predictions are not the most probable class")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("predictions", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--result", type=Path, help="result.json of the run, whose `test` must agree")
    parser.add_argument("--labels", type=Path, help="labels.csv of the run, whose test rows must agree")
    parser.add_argument("--tolerance", type=float, default=1e-6)
    args = parser.parse_args()

    predictions, names, probabilities = read_predictions(args.predictions)
    labels = read_labels(args.data) if predictions else read_marks(args.data, names)
    if len(labels) != len(probabilities):
        sys.exit(f"{args.predictions} has {len(probabilities)} rows, {args.data} has {len(labels)}")
    failures = []
    if predictions:
        check_classes(args, labels, predictions, probabilities)
        result = compute(labels, class_indices(predictions, probabilities), probabilities)
    else:
        result, rows = compute_labels(labels, probabilities)
        if args.labels:
            failures = check_labels(args.labels, names, rows, args.tolerance)
    print(json.dumps(result, indent=2))
    test = json.loads(args.result.read_text())["test"] if args.result else result
    for name, value in result.items():
        other = test.get(name)
        if other is None or not math.isclose(value, other, rel_tol=0.0, abs_tol=args.tolerance):
            failures.append(f"{name}: scikit-learn {value!r}, {args.result} {other!r}")
    if failures:
        sys.exit("\n".join(failures))
    for file in filter(None, [args.result, args.labels]):
        print(f"equal to {file} within {args.tolerance:g}", file=sys.stderr)


if __name__ == "__main__":
    main()
