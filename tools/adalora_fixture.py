"""Makes tests/fixtures/adalora.safetensors and adalora.json: six training steps of PEFT's AdaLoRA.

    python tools/adalora_fixture.py

The model is tests/fixtures/opt_pre_ln (tools/model_fixtures.py makes it), without dropout, adapted on q_proj, k_proj,
v_proj, fc1 and fc2, from non-zero lambda. Each step has a batch of its own and runs in this order: forward and backward
of cross-entropy + orthogonality penalty, PEFT's `update_ipt`, AdamW, and then PEFT's `mask_to_budget` at the steps and
with the budgets of the cubic schedule below (t counts from 1; where PEFT's own schedule or order differs, the one below
is used). After the final allocation PEFT's `mask_using_rank_pattern` keeps its mask in force.

All settings are in adalora.json. The tensors, R being the initial rank and {path} as in layers.0.self_attn.q_proj:

    initial.{P,Q,lambda}.{path}, initial.score.weight      before step 1; P [d_out, R], Q [R, d_in], lambda [R]
    {step}.{input_ids,lengths,labels}                      the batch: [B, T], [B], [B] int32
    {step}.{loss,penalty,total,logits}                     cross-entropy; gamma times the mean norm; their sum; [B, C]
    {step}.grad.{path}.{P,Q,lambda}, {step}.grad.score.weight   of the total, before the optimizer's step
    {step}.importance.{path}.{P,Q,lambda}                  the average Ibar after this step's update
    {step}.uncertainty.{path}.{P,Q,lambda}                 the average Ubar after this step's update
    {step}.triplet_score.{path}                            S [R], the score that an allocation at this step ranks
    {step}.budget                                          b(t) [] int32
    {step}.kept.{path}                                     [R] bool, the mask; at steps with a mask in force alone
    {step}.lambda.{path}                                   [R], after the optimizer's step and the mask
    final.{P,Q,lambda}.{path}, final.score.weight          after step 6

The whole run is repeated in f64; the script fails if that keeps other triplets, or if a score at the threshold is so
close to the next that rounding could decide, and prints how far f32 is from f64.
"""

import json
import math
from pathlib import Path

import torch
from peft import AdaLoraConfig, TaskType, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForSequenceClassification

FIXTURES = Path(__file__).resolve().parent.parent / "tests" / "fixtures"
LARGEST_BYTES = 700_000
SEED = 26
LAMBDA_STD = 0.015  # small enough that a lambda cut at one allocation can be back by the next
CLASSES = 3
BATCH = 4
TOKENS = 10
TARGETS = ["q_proj", "k_proj", "v_proj", "fc1", "fc2"]
INITIAL_RANK = 4
TARGET_RANK = 2
ALPHA = 32
GAMMA = 0.5
BETA1 = 0.85
BETA2 = 0.85
TOTAL_STEPS = 6
WARMUP_STEPS = 0
FINAL_RATIO = 0.15
INTERVAL = 2
LEARNING_RATE = 1e-2
WEIGHT_DECAY = 5e-3
FINAL_STEP = round(TOTAL_STEPS * (1 - FINAL_RATIO))
SMALLEST_GAP = 0.03  # of the scores on both sides of the threshold, relative

FACTORS = {"P": "lora_B", "Q": "lora_A", "lambda": "lora_E"}


def budget(t, matrices):
    initial, target = matrices * INITIAL_RANK, matrices * TARGET_RANK
    if t <= WARMUP_STEPS:
        return initial
    if t >= FINAL_STEP:
        return target
    left = 1 - (t - WARMUP_STEPS) / (FINAL_STEP - WARMUP_STEPS)
    return math.floor(target + (initial - target) * left**3)


def allocates(t):
    return t == FINAL_STEP or (t < FINAL_STEP and t > WARMUP_STEPS and t % INTERVAL == 0)


def build(dtype):
    model = AutoModelForSequenceClassification.from_pretrained(FIXTURES / "opt_pre_ln", dtype=torch.float32)
    config = AdaLoraConfig(
        task_type=TaskType.SEQ_CLS,
        target_modules=TARGETS,
        init_r=INITIAL_RANK,
        target_r=TARGET_RANK,
        lora_alpha=ALPHA,
        lora_dropout=0.0,
        orth_reg_weight=GAMMA,
        beta1=BETA1,
        beta2=BETA2,
        tinit=WARMUP_STEPS,
        tfinal=TOTAL_STEPS - FINAL_STEP,
        deltaT=INTERVAL,
        total_step=TOTAL_STEPS,
    )
    model = get_peft_model(model, config).to(dtype).train()
    assert not any(isinstance(m, torch.nn.Dropout) and m.p > 0 for m in model.modules())
    assert model.config.dropout == 0 and model.config.attention_dropout == 0 and model.config.layerdrop == 0
    return model


def path_of(name):
    return name.split("decoder.", 1)[1].split(".lora_", 1)[0]


def adapters(model):
    """The adapted layers by path, in the model's order."""
    return {
        name.split("decoder.", 1)[1]: module for name, module in model.named_modules() if hasattr(module, "lora_E")
    }


def factor(layer, which):
    return getattr(layer, FACTORS[which])["default"]


def shaped(which, tensor):
    return (tensor.view(-1) if which == "lambda" else tensor).detach().clone()


def initialise(layers, head, generator):
    """Draws P, Q and lambda large enough to matter, and makes PEFT's scale exactly alpha / rank."""
    with torch.no_grad():
        for layer in layers.values():
            for which, std in [("P", 0.25), ("Q", 0.25), ("lambda", LAMBDA_STD)]:
                parameter = factor(layer, which)
                parameter.copy_(std * torch.randn(parameter.shape, generator=generator))
            ranks = layer.ranknum["default"]
            ranks.copy_(torch.tensor([INITIAL_RANK - 1e-5], dtype=ranks.dtype))
            assert abs(((ranks + 1e-5) / INITIAL_RANK).item() - 1) < 1e-7
        head.copy_(torch.randn(head.shape, generator=generator) / head.shape[1] ** 0.5)


def draw_batches(generator):
    for _ in range(TOTAL_STEPS):
        lengths = torch.randint(4, TOKENS + 1, (BATCH,), generator=generator)
        lengths[torch.randint(0, BATCH, (1,), generator=generator)] = TOKENS
        ids = torch.randint(3, 96, (BATCH, TOKENS), generator=generator)
        mask = torch.arange(TOKENS)[None, :] < lengths[:, None]
        labels = torch.randint(0, CLASSES, (BATCH,), generator=generator)
        yield torch.where(mask, ids, torch.ones_like(ids)), mask.long(), lengths, labels


def penalty_of(layers):
    """The penalty as the method defines it, to hold against PEFT's."""
    norms = []
    for layer in layers.values():
        for gram in [factor(layer, "P").T @ factor(layer, "P"), factor(layer, "Q") @ factor(layer, "Q").T]:
            norms.append(torch.linalg.norm(gram - torch.eye(INITIAL_RANK, dtype=gram.dtype)))
    return GAMMA * torch.stack(norms).mean()


def run(dtype, seed=SEED):
    """All the tensors of the fixture, and the smallest relative gap between scores at a threshold."""
    generator = torch.Generator().manual_seed(seed)
    model = build(dtype)
    layers = adapters(model)
    head = model.base_model.model.score.modules_to_save["default"].weight
    initialise(layers, head, generator)
    allocator = model.base_model.rankallocator
    inner = model.base_model.model
    names = {
        (path_of(name), which): name
        for name, _ in inner.named_parameters()
        for which, part in FACTORS.items()
        if f".{part}.default" in name
    }
    assert len(names) == 3 * len(layers)

    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert len(trained) == len(names) + 1, "the adapters and the head, nothing else"
    optimizer = torch.optim.AdamW(
        trained, lr=LEARNING_RATE, betas=(0.9, 0.999), eps=1e-8, weight_decay=WEIGHT_DECAY, foreach=False
    )

    out = {}

    def record(prefix):
        for path, layer in layers.items():
            for which in FACTORS:
                out[f"{prefix}.{which}.{path}"] = shaped(which, factor(layer, which))
        out[f"{prefix}.score.weight"] = head.detach().clone()

    record("initial")
    pattern, gap = None, math.inf
    for step, (ids, mask, lengths, labels) in enumerate(draw_batches(generator), start=1):
        optimizer.zero_grad()
        result = model(input_ids=ids, attention_mask=mask, labels=labels)
        loss = torch.nn.functional.cross_entropy(result.logits, labels)
        penalty = penalty_of(layers)
        assert abs((result.loss - loss - penalty).item()) < 1e-5
        result.loss.backward()
        allocator.update_ipt(inner)
        out[f"{step}.input_ids"] = ids.to(torch.int32)
        out[f"{step}.lengths"] = lengths.to(torch.int32)
        out[f"{step}.labels"] = labels.to(torch.int32)
        for name, value in [("loss", loss), ("penalty", penalty), ("total", result.loss), ("logits", result.logits)]:
            out[f"{step}.{name}"] = value.detach().clone()
        out[f"{step}.grad.score.weight"] = head.grad.clone()
        scores = {}
        for path, layer in layers.items():
            parts = {}
            for which in FACTORS:
                name = names[path, which]
                out[f"{step}.grad.{path}.{which}"] = shaped(which, factor(layer, which).grad)
                out[f"{step}.importance.{path}.{which}"] = shaped(which, allocator.exp_avg_ipt[name])
                out[f"{step}.uncertainty.{path}.{which}"] = shaped(which, allocator.exp_avg_unc[name])
                parts[which] = shaped(which, allocator._element_score(name))
            scores[path] = parts["lambda"] + parts["P"].mean(dim=0) + parts["Q"].mean(dim=1)
            out[f"{step}.triplet_score.{path}"] = scores[path]

        optimizer.step()

        left = budget(step, len(layers))
        out[f"{step}.budget"] = torch.tensor(left, dtype=torch.int32)
        if allocates(step):
            pattern = allocator.mask_to_budget(inner, left)
            ranked = torch.cat(list(scores.values())).sort(descending=True).values
            gap = min(gap, ((ranked[left - 1] - ranked[left]) / ranked[left - 1]).item())
        elif step > FINAL_STEP:
            allocator.mask_using_rank_pattern(inner, pattern)
        if allocates(step) or step > FINAL_STEP:
            kept = {path: torch.tensor(pattern[names[path, "lambda"]]) for path in layers}
            assert sum(mask.sum().item() for mask in kept.values()) == left, "a tie, or too few kept"
            for path, mask in kept.items():
                out[f"{step}.kept.{path}"] = mask
                assert torch.equal(factor(layers[path], "lambda").detach().view(-1) != 0, mask)
            if allocates(step):
                flags, ranks = torch.cat(list(kept.values())), torch.cat(list(scores.values()))
                assert ranks[flags].min() > ranks[~flags].max(), "triplet_score is not what PEFT ranks"
        for path, layer in layers.items():
            out[f"{step}.lambda.{path}"] = shaped("lambda", factor(layer, "lambda"))
    record("final")
    return out, gap, list(layers)


def kept_at(out, step):
    return torch.cat([out[key] for key in out if key.startswith(f"{step}.kept.")])


def check(out, exact, gap):
    assert gap > SMALLEST_GAP, f"scores at a threshold are {gap:.1e} apart"
    farthest = {}
    for key, value in out.items():
        if value.dtype in (torch.bool, torch.int32):
            assert torch.equal(value, exact[key]), f"f64 differs in {key}"
            continue
        scale = exact[key].abs().max().item() or 1.0  # all of a matrix's lambda may be cut
        off = (value.double() - exact[key]).abs().max().item()
        family = ".".join(part for part in key.split(".")[:2] if not part.isdigit())
        old = farthest.get(family, (0.0, 0.0))
        farthest[family] = (max(old[0], off), max(old[1], off / scale))
    for family, (absolute, relative) in farthest.items():
        print(f"f32 against f64: {absolute:.1e} absolute, {relative:.1e} of the tensor's largest: {family}")
    first, second, last = (kept_at(out, step) for step in (2, 4, 5))
    returned = (second & ~first).sum().item()
    changed = (second != last).sum().item()
    # The history must not be trivial: something cut at one allocation is back in a later one.
    assert returned > 0 and changed > 0
    print(f"kept at 4 though cut at 2: {returned}; differing between 4 and 5: {changed}; smallest gap {gap:.3f}")
    assert torch.equal(kept_at(out, 6), last)


def main():
    torch.set_num_threads(1)
    out, gap, paths = run(torch.float32)
    exact, _, _ = run(torch.float64)
    check(out, exact, gap)
    steps = range(1, TOTAL_STEPS + 1)
    settings = {
        "model": "opt_pre_ln",
        "targets": TARGETS,
        "paths": paths,
        "classes": CLASSES,
        "initial_rank": INITIAL_RANK,
        "target_rank": TARGET_RANK,
        "alpha": ALPHA,
        "scale": ALPHA / INITIAL_RANK,
        "dropout": 0.0,
        "orthogonality": GAMMA,
        "beta1": BETA1,
        "beta2": BETA2,
        "total_steps": TOTAL_STEPS,
        "warmup_steps": WARMUP_STEPS,
        "final_ratio": FINAL_RATIO,
        "final_step": FINAL_STEP,
        "interval": INTERVAL,
        "budgets": [budget(t, len(paths)) for t in steps],
        "allocations": [t for t in steps if allocates(t)],
        "learning_rate": LEARNING_RATE,
        "adam_beta1": 0.9,
        "adam_beta2": 0.999,
        "adam_epsilon": 1e-8,
        "weight_decay": WEIGHT_DECAY,
        "uncertainty": "against this step's average (AdaLoRA)",
    }
    print({key: settings[key] for key in ("final_step", "budgets", "allocations")})
    for step in steps:
        kept = int(kept_at(out, step).sum()) if f"{step}.kept.{paths[0]}" in out else "-"
        print(f"step {step}: loss {out[f'{step}.loss']:.4f} penalty {out[f'{step}.penalty']:.4f} kept {kept}")
    file = FIXTURES / "adalora.safetensors"
    save_file({key: value.contiguous() for key, value in out.items()}, file)
    (FIXTURES / "adalora.json").write_text(json.dumps(settings, indent=2) + "\n")
    print(f"{file.stat().st_size} {file.name}, {len(out)} tensors")
    assert file.stat().st_size < LARGEST_BYTES


if __name__ == "__main__":
    main()
