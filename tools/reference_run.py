"""Trains one of the methods with transformers + PEFT on a task, as `lingo train` does, and prints the metrics as JSON.

    python tools/reference_run.py --model DIR --data DIR --method adalora --epochs 2 --learning-rate 3e-4

The yardstick of accuracy: what the same method, settings and data give in Python. DIR of --data has train.csv, dev.csv
and test.csv with the columns sequence and label. The metrics of dev are printed after each epoch, those of test once,
for the epoch with the best MCC on dev (adalora, adaptive-rank-sampling: only epochs within the final budget count).
--stop-after ends the run early without changing the schedules, and then there is no test.

Settings: those of `lingo train`'s defaults where no option names them: AdamW with decoupled weight decay 5e-3, learning
rate rising linearly over a tenth of the steps and falling linearly to 0, batch 8 in random order; adapters on q, k, v
and the feed-forward's entrance and exit, alpha 32, dropout 0.05; LoRA of rank 8; AdaLoRA from rank 12 to 6,
orthogonality 0.5, betas 0.85, an allocation every 100 steps after the optimizer's step, the last one at 3/4 of the
steps. Adaptive rank sampling is PEFT's AdaLoRA with another allocator, written here from its equations.
"""

import argparse
import json
import math
import random
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch
from check_predictions import compute
from peft import AdaLoraConfig, LoraConfig, get_peft_model
from sequence_classification import (
    PROMPT_PREFIX,
    PROMPT_SUFFIX,
    adapter_settings,
    load_classifier,
    pad_right,
    read_records,
    tokenise,
)
from transformers import AutoConfig, AutoTokenizer

BETA = 0.85
FACTORS = {"P": "lora_B", "Q": "lora_A", "lambda": "lora_E"}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="an HF folder with config, weights and tokenizer")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--method", choices=["lora", "adalora", "adaptive-rank-sampling"], required=True)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--max-steps", type=int, default=0, help="end after so many steps, schedules included; 0: all")
    parser.add_argument("--stop-after", type=int, default=0, metavar="STEP")
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--initial-rank", type=int, default=12)
    parser.add_argument("--target-rank", type=int, default=6)
    parser.add_argument("--final-ratio", type=float, default=0.25)
    parser.add_argument("--interval", type=int, default=100)
    parser.add_argument("--chance", type=float, default=0.05, help="p of adaptive rank sampling")
    parser.add_argument("--orthogonality", type=float, default=0.5)
    parser.add_argument("--prefix", default=PROMPT_PREFIX)
    parser.add_argument("--suffix", default=PROMPT_SUFFIX)
    parser.add_argument("--bf16", action="store_true", help="autocast to bf16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=42)
    return parser.parse_args()


class Data:
    """One split, tokenised."""

    def __init__(self, args, split, tokenizer, config):
        records = read_records(args.data / f"{split}.csv")
        self.rows = tokenise([sequence for sequence, _ in records], tokenizer, config, args.prefix, args.suffix)
        self.labels = np.array([label for _, label in records])
        self.pad = config.pad_token_id if config.pad_token_id is not None else config.eos_token_id

    def batch(self, indices):
        return pad_right([self.rows[index] for index in indices], self.pad), torch.tensor(self.labels[indices])


class RankControl:
    """Importance and allocation, by the equations: budgets are totals, steps count from 1."""

    def __init__(self, args, model, total):
        self.layers = [module for module in model.modules() if hasattr(module, "lora_E")]
        self.args = args
        self.final = round(total * (1 - args.final_ratio))
        self.averages = {}
        self.mask = None
        self.generator = torch.Generator().manual_seed(args.seed)

    def factors(self, layer):
        return {which: getattr(layer, name)["default"] for which, name in FACTORS.items()}

    def penalty(self):
        norms = []
        for layer in self.layers:
            factors = self.factors(layer)
            for gram in [factors["P"].T @ factors["P"], factors["Q"] @ factors["Q"].T]:
                norms.append(torch.linalg.norm(gram - torch.eye(len(gram))))
        return self.args.orthogonality * torch.stack(norms).mean()

    @torch.no_grad()
    def observe(self):
        sampling = self.args.method == "adaptive-rank-sampling"
        for layer in self.layers:
            for factor in self.factors(layer).values():
                now = (factor * factor.grad).abs()
                before, spread = self.averages.get(factor, (torch.zeros_like(now), torch.zeros_like(now)))
                mean = BETA * before + (1 - BETA) * now
                spread = BETA * spread + (1 - BETA) * (now - (before if sampling else mean)).abs()
                self.averages[factor] = mean, spread

    def score(self, layer):
        parts = {which: torch.mul(*self.averages[factor]) for which, factor in self.factors(layer).items()}
        return parts["lambda"].view(-1) + parts["P"].mean(dim=0) + parts["Q"].mean(dim=1)

    def budget(self, step):
        initial, target = (len(self.layers) * rank for rank in (self.args.initial_rank, self.args.target_rank))
        if step >= self.final:
            return target
        return math.floor(target + (initial - target) * (1 - step / self.final) ** 3)

    @torch.no_grad()
    def allocate(self, step):
        if step == self.final or (step < self.final and step % self.args.interval == 0):
            scores = torch.cat([self.score(layer) for layer in self.layers])
            kept = torch.zeros(len(scores), dtype=torch.bool)
            kept[scores.sort(descending=True, stable=True).indices[: self.budget(step)]] = True
            if self.args.method == "adaptive-rank-sampling" and step != self.final:
                drawn = torch.rand(len(scores), generator=self.generator) < self.args.chance
                kept = kept ^ drawn
            self.mask = kept
            print(f"step {step}: budget {self.budget(step)}, {int(kept.sum())} ranks", file=sys.stderr)
        elif step < self.final:
            return
        rest = self.mask
        for layer in self.layers:
            singular = self.factors(layer)["lambda"]
            singular[~rest[: len(singular)]] = 0
            rest = rest[len(singular) :]


def build(args, classes):
    model = load_classifier(args.model, classes)
    settings = adapter_settings(model.config)
    if args.method == "lora":
        return get_peft_model(model, LoraConfig(r=8, **settings))
    ranks = {"init_r": args.initial_rank, "target_r": args.target_rank}
    return get_peft_model(model, AdaLoraConfig(**ranks, total_step=10**9, **settings))


def learning_rate(step, total, peak):
    """Of optimizer step `step`, counted from 1."""
    warmup = math.ceil(0.1 * total)
    return peak * (step / warmup if step <= warmup else (total + 1 - step) / (total + 1 - warmup))


def evaluate(model, data, autocast):
    model.eval()
    order = sorted(range(len(data.rows)), key=lambda index: len(data.rows[index]))
    logits = np.zeros((len(order), model.config.num_labels))
    with torch.no_grad(), autocast():
        for start in range(0, len(order), 16):
            indices = order[start : start + 16]
            logits[indices] = model(**data.batch(indices)[0]).logits.float().numpy()
    model.train()
    logits -= logits.max(axis=1, keepdims=True)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return compute(data.labels, probabilities.argmax(axis=1), probabilities)


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    draw = random.Random(args.seed)
    tokenizer, config = AutoTokenizer.from_pretrained(args.model), AutoConfig.from_pretrained(args.model)
    train, dev, test = (Data(args, split, tokenizer, config) for split in ("train", "dev", "test"))
    model = build(args, classes=int(train.labels.max()) + 1)
    network = model.base_model.model  # PEFT's AdaLoRA adds its penalty outside of it; here RankControl does
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=args.learning_rate, weight_decay=5e-3)
    total = args.epochs * math.ceil(len(train.rows) / args.batch_size)
    total = min(total, args.max_steps or total)
    control = RankControl(args, model, total) if args.method != "lora" else None

    def autocast():
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.bf16)

    step, begin, best, window = 0, time.perf_counter(), None, []
    for epoch in range(1, args.epochs + 1):
        order = list(range(len(train.rows)))
        draw.shuffle(order)
        model.train()
        for start in range(0, len(order), args.batch_size):
            step += 1
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, total, args.learning_rate)
            inputs, labels = train.batch(order[start : start + args.batch_size])
            with autocast():
                logits = network(**inputs).logits
            loss = torch.nn.functional.cross_entropy(logits.float(), labels)
            window.append(loss.item())
            penalty = control.penalty() if control else 0.0
            (loss + penalty).backward()
            if control:
                control.observe()
            optimizer.step()
            if control:
                control.allocate(step)
            optimizer.zero_grad()
            if step % 50 == 0:
                elapsed = time.perf_counter() - begin
                mean = statistics.mean(window[-50:])
                print(f"step {step}/{total}: loss {mean:.4f} penalty {float(penalty):.4f}, {elapsed:.0f} s", file=sys.stderr)
            if step in (args.stop_after, total):
                break
        metrics = {"epoch": epoch, "step": step, "dev": evaluate(network, dev, autocast)}
        print(json.dumps(metrics), flush=True)
        eligible = control is None or step >= control.final
        if eligible and (best is None or metrics["dev"]["mcc"] > best[0]):
            best = metrics["dev"]["mcc"], {k: v.clone() for k, v in model.state_dict().items() if "lora_" in k or "score" in k}
        if step == args.stop_after:
            return
        if step == total:
            break
    if best is not None:
        model.load_state_dict(best[1], strict=False)
        print(json.dumps({"test": evaluate(network, test, autocast)}), flush=True)


if __name__ == "__main__":
    main()
