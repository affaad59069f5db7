#!/usr/bin/env python3
"""Writes what tests hold multi-label training against: tests/fixtures/labels.json and tests/fixtures/label_loss.json.

Needs numpy, scipy, scikit-learn >= 1.7 and torch. Labels may be unknown (null): they count nowhere.

labels.json: logits, marks and scikit-learn's metrics of what is known. Accuracy, loss and Brier are computed over all
known entries at once; MCC, F1, precision and recall a label at a time, and averaged over the labels of which something is
known; AUROC and AUPRC a label at a time, averaged where both kinds occur.

label_loss.json: torch's binary_cross_entropy_with_logits over known entries, and its gradient with respect to the logits.
"""
import json
import pathlib
import warnings

import numpy as np
import torch
from scipy.special import expit, log_expit
from sklearn import metrics

warnings.filterwarnings("ignore")
FIXTURES = pathlib.Path(__file__).parent.parent / "tests" / "fixtures"


def floats(values):
    """As decimals that read back to the same f32."""
    return [float(str(value)) for value in np.asarray(values, np.float32)]


def marks_of(marks):
    return [[None if np.isnan(mark) else int(mark) for mark in row] for row in marks]


def case(name, marks, logits):
    marks = np.asarray(marks, np.float64)
    logits = np.asarray(logits, np.float32)
    wide = logits.astype(np.float64)
    known = ~np.isnan(marks)
    truth, p, predicted = marks[known], expit(wide)[known], (wide > 0)[known]
    loss = -np.where(truth == 1, log_expit(wide[known]), log_expit(-wide[known])).mean()
    if np.abs(wide).max() < 10:
        assert np.isclose(loss, metrics.log_loss(truth, p, labels=[0, 1]), rtol=1e-12)

    columns = [(marks[known[:, i], i], wide[known[:, i], i]) for i in range(marks.shape[1])]
    some = [(y, x > 0) for y, x in columns if len(y)]
    mean = lambda f, **options: float(np.mean([f(y, hard, **options) for y, hard in some]))
    positive = {"pos_label": 1, "average": "binary", "zero_division": 0}
    both = [0 < y.sum() < len(y) for y, _ in columns]
    of_each = lambda f: [float(f(y, expit(x))) if ok else None for (y, x), ok in zip(columns, both)]
    auroc, auprc = of_each(metrics.roc_auc_score), of_each(metrics.average_precision_score)
    average = lambda values: float(np.mean([v for v in values if v is not None])) if any(both) else None
    if known.all() and marks.shape[1] > 1:  # scikit-learn takes a single column for classes
        hard = (wide > 0).astype(int)
        macro = {"average": "macro", "zero_division": 0}
        assert np.isclose(mean(metrics.f1_score, **positive), metrics.f1_score(marks, hard, **macro))
        if all(both):
            assert np.isclose(average(auroc), metrics.roc_auc_score(marks, expit(wide), average="macro"))
    rows = [(m[k], (x > 0)[k]) for m, k, x in zip(marks, known, wide) if k.any()]
    return {
        "name": name,
        "marks": marks_of(marks),
        "logits": [floats(row) for row in logits],
        "expected": {
            "loss": float(loss),
            "accuracy": float(metrics.accuracy_score(truth, predicted)),
            "mcc": mean(metrics.matthews_corrcoef),
            "f1": mean(metrics.f1_score, **positive),
            "precision": mean(metrics.precision_score, **positive),
            "recall": mean(metrics.recall_score, **positive),
            "auroc": average(auroc),
            "auprc": average(auprc),
            "brier": float(metrics.brier_score_loss(truth, p, labels=[0, 1], pos_label=1)),
        },
        "exact_match": float(np.mean([np.array_equal(y, hard) for y, hard in rows])),
        "without_auc": both.count(False),
        "auroc": auroc,
        "auprc": auprc,
        "counts": [[int(y.sum()), int((1 - y).sum()), int((~k).sum())] for (y, _), k in zip(columns, known.T)],
    }


def loss_case(name, marks, logits):
    marks = torch.tensor(marks, dtype=torch.float32)
    logits = torch.tensor(logits, dtype=torch.float32, requires_grad=True)
    known = ~torch.isnan(marks)
    loss = torch.nn.BCEWithLogitsLoss()(logits[known], marks[known])
    loss.backward()
    return {
        "name": name,
        "marks": marks_of(marks.numpy()),
        "logits": [floats(row) for row in logits.detach().numpy()],
        "loss": float(loss),
        "gradient": [floats(row) for row in logits.grad.numpy()],
    }


def draw(rng, rows, labels, unknown=0.0):
    marks = (rng.random((rows, labels)) < 0.3).astype(float)
    marks[rng.random(marks.shape) < unknown] = np.nan
    return marks


def write(name, cases):
    (FIXTURES / name).write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


def main():
    rng = np.random.default_rng(11)
    signal = lambda marks, scale: rng.normal(size=marks.shape) + scale * (np.nan_to_num(marks, nan=0.5) - 0.5)
    all_known, some, many = draw(rng, 30, 4), draw(rng, 40, 5, 0.25), draw(rng, 25, 12, 0.5)
    one_sided = draw(rng, 20, 4, 0.1)
    one_sided[:, 1] = np.where(np.isnan(one_sided[:, 1]), np.nan, 0)
    one_sided[:, 2] = 1
    nothing = draw(rng, 20, 3)
    nothing[:, 1] = np.nan
    nothing[4:7] = np.nan
    write(
        "labels.json",
        [
            case("all known", all_known, signal(all_known, 2)),
            case("some unknown", some, signal(some, 2)),
            case("half unknown, with ties", many, np.round(signal(many, 2))),
            case("labels that always or never hold", one_sided, signal(one_sided, 2)),
            case("a label and three examples of which nothing is known", nothing, signal(nothing, 2)),
            case("extreme logits", some, 90 * signal(some, 1)),
            case("every logit alike", some, np.zeros(some.shape)),
            case("one label that always holds", np.ones((9, 1)), rng.normal(size=(9, 1))),
        ],
    )
    torch.manual_seed(0)
    extreme = [[0.0, 60.0, -60.0, 1e4], [0.0, -60.0, 60.0, -1e4]]
    write(
        "label_loss.json",
        [
            loss_case("all known", all_known[:6], signal(all_known[:6], 1)),
            loss_case("some unknown", some[:7], signal(some[:7], 1)),
            loss_case("extreme logits", [[1, 1, 1, 0], [0, 0, np.nan, 1]], extreme),
        ],
    )


if __name__ == "__main__":
    main()
