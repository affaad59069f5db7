"""Reads a run's TensorBoard event files with TensorBoard's own reader and holds them against the run's tables.

    python tools/check_tensorboard.py runs/quickstart

Fails unless every number of train.csv and metrics.csv is there, at its step, and nothing else.
"""

import argparse
import csv
import math
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

TRAIN = ["loss", "penalty", "learning_rate", "budget", "active_ranks"]
NO_METRICS = {"round", "step", "elapsed_secs", "flops", "flops_adjusted_step", "eligible"}


def expected(run):
    """Tag to pairs of step and value."""
    scalars = {}

    def add(tag, step, value):
        if value:
            scalars.setdefault(tag, []).append((step, float(value)))

    with (run / "train.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            for name in TRAIN:
                add(f"train/{name}", int(row["step"]), row[name])
    with (run / "metrics.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            add("dev/flops", int(row["step"]), row["flops"])
            adjusted = math.floor(float(row["flops_adjusted_step"]) + 0.5)
            for name in row.keys() - NO_METRICS:
                add(f"dev/{name}", int(row["step"]), row[name])
                add(f"dev_by_flops/{name}", adjusted, row[name])
    return scalars


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    run = parser.parse_args().run
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    scalars = expected(run)
    found = events.Tags()["scalars"]
    assert sorted(found) == sorted(scalars), sorted(set(found) ^ set(scalars))
    for tag, pairs in scalars.items():
        shown = [(event.step, event.value) for event in events.Scalars(tag)]
        assert [step for step, _ in shown] == [step for step, _ in pairs], f"{tag}: other steps"
        for (step, value), (_, want) in zip(shown, pairs, strict=True):
            assert math.isclose(value, want, rel_tol=1e-6), f"{tag} at {step}: {value}, the table has {want}"
    print(f"TensorBoard reads {sum(map(len, scalars.values()))} values of {len(scalars)} tags in {run}, as the tables have")


if __name__ == "__main__":
    main()
