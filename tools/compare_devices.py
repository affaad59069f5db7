"""Trains the same tiny run on several devices and compares the losses step by step.

    python tools/compare_devices.py target/release/lingo cpu ndarray wgpu

Where wgpu is among them, a run on the CPU is stopped and gone on with on a machine that shows no GPU, which must not be
missed. The run is configs/quickstart.toml with every dropout 0, on batches in the same order from the same initial values:
the curves may differ by rounding alone. Exits with 1 where two losses differ by more than 1e-3. Standard library only.
"""

import csv
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

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


def goes_on_without_gpu(lingo, folder):
    """Stops a run on the CPU behind its first steps and resumes it where no driver of a GPU is found."""
    nowhere = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES", "__EGL_VENDOR_LIBRARY_FILENAMES"]
    environment = os.environ | dict.fromkeys(nowhere, str(folder / "nowhere"))
    environment.pop("DISPLAY", None)
    devices = subprocess.run([lingo, "devices"], capture_output=True, text=True, env=environment)
    if "wgpu     compiled in, no device found" not in devices.stdout:
        sys.exit(f"a GPU is still found, so that nothing can be tried without:\n{devices.stdout}")
    out = folder / "stopped"
    command = [lingo, "train", "configs/quickstart.toml", "--device", "cpu", "--out", str(out)]
    run = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment)
    while run.poll() is None:
        steps = out / "train.csv"
        if steps.exists() and len(steps.read_text().splitlines()) > 3:
            run.send_signal(signal.SIGINT)
            break
        time.sleep(0.01)
    if run.wait() != 130:
        sys.exit(f"the run was to be stopped and ended with {run.returncode}")
    done = subprocess.run([lingo, "train", "--resume", str(out)], capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        sys.exit(f"without a GPU a run on the CPU does not go on: {done.stderr}")
    print("a run on the CPU goes on where there is no GPU")


def main():
    lingo, devices = sys.argv[1], sys.argv[2:]
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        model = folder / "model"
        shutil.copytree("configs/quickstart/model", model)
        config = json.loads((model / "config.json").read_text())
        config.update(dropout=0.0, attention_dropout=0.0)
        (model / "config.json").write_text(json.dumps(config))
        if "wgpu" in devices:
            goes_on_without_gpu(lingo, folder)
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
