"""Runs the commands of README.md and docs/*.md, as far as a machine without network, GPU and published weights can.

    python tools/run_docs.py target/release/lingo

Each ```sh block runs as it stands, those of a document in one folder, in which what it speaks of has a stand-in: the
quickstart's model for published ones (in a hub cache too, so that their names resolve), a few of its sequences for published
data, these documents as a corpus, and a run that has ended.
What cannot run is left out by the rules below, which name the reason; a rule that no command needs any more is an error.
A table of runs whose records are in docs must be what `lingo compare` makes of them, and relative links between the documents
must lead somewhere.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# Lines that are left out, and why.
LEFT_OUT = {
    r"^cargo (build|test|run|install)": "continuous integration builds and tests by itself",
    r"^\.ci/run": "it is what runs this",
    r"^lingo demo": "it is the README's first command, which continuous integration runs by itself",
    r"^(tools/fetch_models\.sh|python3 tools/english_corpus\.py)": "fetches packages",
    r"Q8_0\.gguf": "no quantised model is at hand",
    r"^lingo train --resume": "the run has ended here; tests stop runs and go on",
}
# Devices that the machine may not have, and training that would take long.
REPLACED = {
    "--device cuda": "--device cpu",
    "train.max_steps=0 --set train.epochs=3": "train.max_steps=4",
    "--set seed=$seed --out runs/random-$seed": "--set train.max_steps=4 --set seed=$seed --out runs/random-$seed",
}
SEQUENCES = 48


def stand_ins(place: Path, lingo: Path) -> None:
    """Fills the folder with what the documents speak of."""
    shutil.copytree(ROOT / "configs", place / "configs")
    shutil.copytree(ROOT / "docs/prom-core-tata", place / "docs/prom-core-tata")
    (place / "tools").mkdir()
    shutil.copy(ROOT / "tools/baselines.py", place / "tools")
    model, data = ROOT / "configs/quickstart/model", ROOT / "configs/quickstart/data"
    shutil.copytree(model, place / "models/smollm2")
    for name in ["facebook/opt-125m", "HuggingFaceTB/SmolLM2-135M"]:
        cache = place / "hf/hub" / ("models--" + name.replace("/", "--"))
        (cache / "refs").mkdir(parents=True)
        (cache / "refs/main").write_text("0" * 40)
        shutil.copytree(model, cache / "snapshots" / ("0" * 40))
    gue = ["prom/prom_core_tata", "prom/prom_300_tata", "EMP/H3"]
    for task in ["data/prom_core_tata", *(f"data/GUE/{task}" for task in gue), "elsewhere/GUE/EMP/H3"]:
        (place / task).mkdir(parents=True)
        for split in ["train", "dev", "test"]:
            rows = (data / f"{split}.csv").read_text().splitlines()[: SEQUENCES + 1]
            (place / task / f"{split}.csv").write_text("\n".join(rows) + "\n")
    sequences = [row.split(",")[0] for row in rows[1:]]
    (place / "genes.fasta").write_text("".join(f">gene{i}\n{s}\n" for i, s in enumerate(sequences)))
    (place / "x.csv").write_text("\n".join(["sequence", *sequences]) + "\n")
    prose = "\n\n".join(document.read_text() for document in DOCUMENTS)
    (place / "corpus").mkdir()
    for folder in [place, place / "corpus"]:
        (folder / "train.txt").write_text(prose)
        (folder / "valid.txt").write_text(prose[:4000])
    run = [lingo, "train", "configs/quickstart.toml", "--out", "runs/ended", "--set", "train.epochs=1"]
    merge = [lingo, "export", "runs/ended", "--format", "hf", "--out", "models/my-classifier"]
    few = ["--set", "train.max_steps=4", "--set", "train.eval_every=4", "--set", "adapter.interval=1"]
    for command in [run, merge, [lingo, "demo", *few]]:
        subprocess.run(command, cwd=place, check=True, capture_output=True)


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def check_links(document: Path, text: str) -> list[str]:
    """Relative links of a document that lead nowhere."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", path):
            continue
        file = (document.parent / path) if path else document
        if not file.exists():
            broken.append(target)
        elif anchor and file.suffix == ".md":
            titles = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            if anchor not in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}:
                broken.append(target)
    return broken


def main() -> None:
    lingo = Path(sys.argv[1]).resolve()
    used: set[str] = set()
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder) / "template"
        template.mkdir()
        stand_ins(template, lingo)
        (template / "bin").mkdir()
        (template / "bin/lingo").symlink_to(lingo)
        for document in DOCUMENTS:
            text, name = document.read_text(), document.relative_to(ROOT)
            for target in check_links(document, text):
                failed = True
                print(f"{name}: the link {target} leads nowhere")
            place = Path(folder) / document.stem
            shutil.copytree(template, place, symlinks=True)
            if document.name != "README.md":
                (place / "runs/ended").rename(place / "runs/run")
            for run_file in blocks(text, "toml"):
                if run_file.startswith("model = "):
                    (place / "run.toml").write_text(run_file)
            environment = {
                "PATH": f"{place / 'bin'}:/usr/bin:/bin",
                "HOME": str(place),
                "HF_HOME": str(place / "hf"),
                "HF_HUB_OFFLINE": "1",
            }
            count = 0
            for block in blocks(text, "sh"):
                lines = []
                for line in block.splitlines():
                    rule = next((rule for rule in LEFT_OUT if re.search(rule, line)), None)
                    if rule:
                        used.add(rule)
                        continue
                    for found, instead in REPLACED.items():
                        if found in line:
                            used.add(found)
                            line = line.replace(found, instead)
                    lines.append(line)
                script = "\n".join(["set -euo pipefail", *lines])
                done = subprocess.run(
                    ["bash", "-c", script], cwd=place, env=environment, capture_output=True, text=True
                )
                count += sum(line.lstrip().startswith("lingo") for line in lines)
                if done.returncode:
                    failed = True
                    print(f"{name}: this fails with {done.returncode}\n{script}\n{done.stderr[-2000:]}")
                if "lingo compare docs/" in script and done.stdout.strip() not in text:
                    failed = True
                    print(f"{name}: its table is not this one\n{done.stdout}")
            print(f"{name}: {count} commands ran")
    for rule in [*LEFT_OUT, *REPLACED]:
        if rule not in used:
            failed = True
            print(f"no command needs the rule {rule!r} any more")
    sys.exit(failed)


if __name__ == "__main__":
    main()
