#!/usr/bin/env python3
"""Writes tests/fixtures/metrics.json: logits, labels and what scikit-learn makes of them.

Needs numpy, scipy and scikit-learn >= 1.7. Logits are f32, written as decimals that read back to the same f32;
probabilities are their softmax in f64.
"""
import json
import pathlib
import warnings

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn import metrics

warnings.filterwarnings("ignore")


def case(name, classes, labels, logits):
    labels = np.asarray(labels)
    logits = np.asarray(logits, dtype=np.float32)
    wide = logits.astype(np.float64)
    p = softmax(wide, axis=1)
    predictions = wide.argmax(axis=1)
    average = dict(average="macro", zero_division=0)
    present = [k for k in range(classes) if 0 < (labels == k).sum() < len(labels)]
    if classes == 2:
        ovr = [1] if present else []
        brier = metrics.brier_score_loss(labels, p[:, 1], labels=[0, 1], pos_label=1)
    else:
        ovr = present
        brier = metrics.brier_score_loss(labels, p, labels=list(range(classes)))
    mean = lambda f: float(np.mean([f(labels == k, p[:, k]) for k in ovr])) if ovr else None
    if classes > 2 and len(present) == classes:
        assert np.isclose(mean(metrics.roc_auc_score), metrics.roc_auc_score(labels, p, multi_class="ovr"))
    # log_loss clips probabilities, so the loss is scipy's own where logits are extreme.
    loss = float(-log_softmax(wide, axis=1)[np.arange(len(labels)), labels].mean())
    if np.abs(wide).max() < 10:
        assert np.isclose(loss, metrics.log_loss(labels, p, labels=list(range(classes))), rtol=1e-12)
    return {
        "name": name,
        "classes": classes,
        "labels": labels.tolist(),
        "logits": [float(str(x)) for x in logits.ravel()],
        "expected": {
            "loss": loss,
            "accuracy": float(metrics.accuracy_score(labels, predictions)),
            "mcc": float(metrics.matthews_corrcoef(labels, predictions)),
            "f1": float(metrics.f1_score(labels, predictions, **average)),
            "precision": float(metrics.precision_score(labels, predictions, **average)),
            "recall": float(metrics.recall_score(labels, predictions, **average)),
            "auroc": mean(metrics.roc_auc_score),
            "auprc": mean(metrics.average_precision_score),
            "brier": float(brier),
        },
        "classes_without_auc": classes - len(present),
    }


def main():
    rng = np.random.default_rng(7)
    two = rng.integers(0, 2, 41)
    three = rng.integers(0, 3, 50)
    five = rng.choice([0, 1, 2, 4], 60)
    signal = lambda labels, classes, scale: rng.normal(size=(len(labels), classes)) + scale * np.eye(classes)[labels]
    cases = [
        case("two classes", 2, two, signal(two, 2, 1.0)),
        case("two classes with ties", 2, two, np.round(signal(two, 2, 1.0))),
        case("two classes, all logits alike", 2, two, np.zeros((41, 2))),
        case("two classes, every prediction class 0", 2, two, signal(two, 2, 0.5) + [9, 0]),
        case("two classes, every label class 1", 2, np.ones(9, int), rng.normal(size=(9, 2))),
        case("two classes, extreme logits", 2, two, 60 * signal(two, 2, 1.0)),
        case("three classes", 3, three, signal(three, 3, 1.0)),
        case("three classes with ties", 3, three, np.round(signal(three, 3, 1.0))),
        case("three classes, every prediction class 2", 3, three, signal(three, 3, 0.5) + [0, 0, 9]),
        case("five classes, class 3 without labels", 5, five, signal(five, 5, 1.5)),
        case("five classes, class 3 neither labelled nor predicted", 5, five, signal(five, 5, 1.5) - [0, 0, 0, 20, 0]),
    ]
    path = pathlib.Path(__file__).parent.parent / "tests" / "fixtures" / "metrics.json"
    path.write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


if __name__ == "__main__":
    main()
