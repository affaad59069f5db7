"""Trains the same tiny run on several devices and compares the losses step by step.

    python tools/compare_devices.py target/release/lingo cpu ndarray wgpu

The run is configs/quickstart.toml with every dropout 0, on batches in the same order from the same initial values:
the curves may differ by rounding alone. Exits with 1 where two losses differ by more than 1e-3. Standard library only.
"""

import csv
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

TOLERANCE = 1e-3
STEPS = 24


def losses(lingo, device, model, folder):
    """The training loss of each step on `device`."""
    out = folder / device.replace(":", "-")
    settings = {
        "model": json.dumps(str(model)),
        "adapter.dropout": "0.0",
        "adapter.interval": "5",
        "train.max_steps": str(STEPS),
        "train.eval_every": "0",
    }
    command = [lingo, "train", "configs/quickstart.toml", "--device", device, "--out", str(out)]
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{device}: {done.stderr}")
    with open(out / "train.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    secs = json.loads((out / "result.json").read_text())["train_secs"]
    print(f"{device:<8} {len(rows)} steps in {secs:.1f} s, loss {rows[0]['loss'][:8]} to {rows[-1]['loss'][:8]}")
    return [float(row["loss"]) for row in rows], [row["active_ranks"] for row in rows]


def main():
    lingo, devices = sys.argv[1], sys.argv[2:]
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        model = folder / "model"
        shutil.copytree("configs/quickstart/model", model)
        config = json.loads((model / "config.json").read_text())
        config.update(dropout=0.0, attention_dropout=0.0)
        (model / "config.json").write_text(json.dumps(config))
        curves = {device: losses(lingo, device, model, folder) for device in devices}
    reference, ranks = curves[devices[0]]
    assert len(reference) == STEPS and len(set(reference)) > 1, "the reference run did not train"
    worst = 0.0
    for device, (curve, active) in curves.items():
        assert len(curve) == STEPS, f"{device} took {len(curve)} steps"
        assert active == ranks, f"{device}: other ranks than on {devices[0]}"
        far = max(abs(a - b) for a, b in zip(reference, curve))
        worst = max(worst, far)
        print(f"{device:<8} differs from {devices[0]} by at most {far:.2e}")
    if not worst <= TOLERANCE:
        sys.exit(f"the losses differ by {worst:.2e}, more than {TOLERANCE}")


main()
