"""Measures the training throughput of transformers + PEFT's AdaLoRA in f32 on this machine's CPU, prints JSON.

    python tools/compare_throughput.py --random-opt-125m DIR --synthetic 8x128
    python tools/compare_throughput.py --model DIR --data train.csv
    python tools/compare_throughput.py --gguf FILE.gguf --data train.csv --lingo target/release/lingo

With --lingo, `lingo bench` trains the same model on the same kind of batches afterwards, and the two are compared:
tokens of random DNA cut to T where the data is synthetic (OPT's tokenizer comes from tests/fixtures).

The model is an HF folder, or an OPT-125M of random weights (made and saved in DIR where that is missing), or a GGUF
file, dequantised to f32. Making and dequantising happen in a process of their own that ends before the measured one
loads the f32 checkpoint, so they count neither as time nor as memory. Data: a csv `sequence,label`, each sequence
between --prefix and --suffix, in random order, padded to the batch's longest; or --synthetic BxT: random tokens without
padding.

Settings: sdpa attention, AdamW (learning rate 3e-4), AdaLoRA with initial rank 12, target rank 6, alpha 32, dropout
0.05, orthogonality 0.5 on q, k, v, fc1, fc2 (LLaMA: q, k, v, gate, up, down), the checkpoint's own dropout, PEFT's
`update_and_allocate` after each optimizer step with tinit 0 and an allocation every --interval steps.

A step is everything from the batch's tensors to the zeroed gradients: forward, backward, optimizer, allocation.
tokens_per_sec is the median over the warm steps of a step's own tokens (without padding) a second; tokens_per_step is
their mean. peak_memory_mib is the peak resident memory of the whole process, loading included.
"""

import argparse
import csv
import gzip
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from peft import AdaLoraConfig, get_peft_model
from sequence_classification import (
    PROMPT_PREFIX,
    PROMPT_SUFFIX,
    adapter_settings,
    load_classifier,
    pad_right,
    read_records,
    tokenise,
    unescape,
)
from transformers import AutoModelForCausalLM, AutoTokenizer, OPTConfig, OPTForSequenceClassification


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--model", type=Path, help="an HF folder with config, weights and tokenizer")
    model.add_argument("--random-opt-125m", type=Path, metavar="DIR", help="made in DIR where missing")
    model.add_argument("--gguf", type=Path, metavar="FILE")
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--data", type=Path, metavar="CSV", help="csv with the columns sequence and label")
    data.add_argument("--synthetic", metavar="BxT", help="random tokens, for example 8x128")
    parser.add_argument("--prefix", default=PROMPT_PREFIX, help="before each sequence; \\n is a line break")
    parser.add_argument("--suffix", default=PROMPT_SUFFIX, help="after each sequence")
    parser.add_argument("--converted", type=Path, metavar="DIR", help="keeps --gguf's f32 copy there")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--warmup", type=int, default=5, help="steps before the measured ones")
    parser.add_argument("--steps", type=int, default=20, help="measured steps")
    parser.add_argument("--interval", type=int, default=1, help="steps between two allocations")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--lingo", type=Path, metavar="FILE", help="the lingo command, to be measured too")
    parser.add_argument("--prepare-only", action="store_true", help="make or convert the model, and stop")
    return parser.parse_args()


def prepare(args, folder):
    """Saves the f32 checkpoint that is measured."""
    torch.manual_seed(args.seed)
    if args.gguf is not None:
        where = {"pretrained_model_name_or_path": str(args.gguf.parent), "gguf_file": args.gguf.name}
        AutoTokenizer.from_pretrained(**where).save_pretrained(folder)
        loaded = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
        # transformers does not save a model that came from a GGUF file; a plain one with its weights it does.
        if hasattr(loaded.config, "quantization_config"):
            del loaded.config.quantization_config
        model = AutoModelForCausalLM.from_config(loaded.config, dtype=torch.float32)
        model.load_state_dict(loaded.state_dict())
    else:
        model = OPTForSequenceClassification(OPTConfig())  # the defaults of OPTConfig are OPT-125M's
    model.save_pretrained(folder)


def in_a_child(folder):
    """Runs `prepare` in a process of its own, whose memory is not counted."""
    subprocess.run([sys.executable, __file__, *sys.argv[1:], "--prepare-only", "--converted", str(folder)], check=True)


def synthetic_batches(shape, vocabulary, count, seed):
    rows, tokens = (int(part) for part in shape.lower().split("x"))
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        ids = torch.randint(5, vocabulary, (rows, tokens), generator=generator)
        yield {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "labels": torch.randint(0, 2, (rows,), generator=generator),
        }


def csv_batches(args, folder, config, count):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    records = read_records(args.data)
    random.Random(args.seed).shuffle(records)
    for start in range(count):
        chosen = [records[(start * args.batch_size + i) % len(records)] for i in range(args.batch_size)]
        rows = tokenise([sequence for sequence, _ in chosen], tokenizer, config, args.prefix, args.suffix)
        yield pad_right(rows, config.pad_token_id) | {"labels": torch.tensor([label for _, label in chosen])}


def measure(args, folder):
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    steps = args.warmup + args.steps
    model = load_classifier(folder, 2)
    if args.synthetic:
        batches = list(synthetic_batches(args.synthetic, model.config.vocab_size, steps, args.seed))
    else:
        batches = list(csv_batches(args, folder, model.config, steps))

    config = AdaLoraConfig(
        **adapter_settings(model.config),
        init_r=12,
        target_r=6,
        orth_reg_weight=0.5,
        tinit=0,
        tfinal=0,
        deltaT=args.interval,
        total_step=10 * steps,
    )
    model = get_peft_model(model, config).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=3e-4, weight_decay=5e-3)

    secs, tokens = [], []
    for index, batch in enumerate(batches, start=1):
        begin = time.perf_counter()
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        model.base_model.update_and_allocate(index)
        optimizer.zero_grad()
        secs.append(time.perf_counter() - begin)
        tokens.append(int(batch["attention_mask"].sum()))
        print(f"step {index}/{steps}: loss {loss.item():.4f}, {secs[-1]:.3f} s", file=sys.stderr)
    secs, tokens = secs[args.warmup :], tokens[args.warmup :]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB on Linux, bytes on macOS
    return {
        "tokens_per_sec": statistics.median(count / elapsed for count, elapsed in zip(tokens, secs)),
        "step_secs_median": statistics.median(secs),
        "peak_memory_mib": peak / (1024 * 1024 if sys.platform == "darwin" else 1024),
        "tokens_per_step": statistics.mean(tokens),
        "padded_tokens_per_step": statistics.mean(b["input_ids"].numel() for b in batches[args.warmup :]),
        "trainable_parameters": sum(parameter.numel() for parameter in trained),
        "active_ranks": sum(int((p != 0).sum()) for name, p in model.named_parameters() if "lora_E" in name),
        "threads": args.threads,
        "model": model.config.model_type,
    }


def random_dna(path, count, bases, seed):
    """A csv of random sequences, long enough to be cut to the tokens that are asked for."""
    draw = random.Random(seed)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sequence", "label"])
        for index in range(count):
            writer.writerow(["".join(draw.choices("ACGT", k=bases)), index % 2])


def measure_lingo(args, folder, scratch):
    """`lingo bench` with the same settings."""
    steps = args.warmup + args.steps
    if args.synthetic:
        rows, tokens = (int(part) for part in args.synthetic.lower().split("x"))
        data, prefix, suffix = scratch / "random.csv", "", ""
        random_dna(data, rows * steps, 4 * tokens, args.seed)
        fixtures = Path(__file__).parent.parent / "tests" / "fixtures" / "opt_tokenizer"
        for name in ("vocab.json", "merges.txt"):
            if not (folder / name).exists():
                (folder / name).write_bytes(gzip.decompress((fixtures / f"{name}.gz").read_bytes()))
    else:
        rows, tokens, data = args.batch_size, 0, args.data.resolve()
        prefix, suffix = unescape(args.prefix), unescape(args.suffix)
    model = folder if args.gguf is None else args.gguf
    files = "\n".join(f"{split} = {json.dumps(str(data))}" for split in ("train", "dev", "test"))
    run = scratch / "run.toml"
    run.write_text(
        f"""model = {json.dumps(str(model.resolve()))}
seed = {args.seed}
[data]
{files}
[prompt]
prefix = {json.dumps(prefix)}
suffix = {json.dumps(suffix)}
[tokenizer]
max_tokens = {tokens}
[adapter]
method = "adalora"
targets = ["Wq", "Wk", "Wv", "Wf1", "Wf2"]
interval = {args.interval}
[train]
epochs = 10
batch_size = {rows}
learning_rate = 3e-4
"""
    )
    command = [args.lingo, "bench", run, "--warmup", str(args.warmup), "--steps", str(args.steps)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout)


def compare(peft, lingo):
    return {
        "peft": peft,
        "lingo": lingo,
        "speed_ratio": lingo["tokens_per_sec"] / peft["tokens_per_sec"],
        "memory_ratio": lingo["peak_memory_mib"] / peft["peak_memory_mib"],
    }


def main():
    args = arguments()
    if args.prepare_only:
        prepare(args, args.converted)
        return
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with tempfile.TemporaryDirectory() as scratch:
        if args.model is not None:
            folder = args.model
        else:
            folder = args.random_opt_125m or args.converted or Path(scratch)
            if not list(folder.glob("*.safetensors")):
                in_a_child(folder)
        result = measure(args, folder)
        if args.lingo is not None:
            result = compare(result, measure_lingo(args, folder, Path(scratch)))
        print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
