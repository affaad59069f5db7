"""Makes tests/fixtures/lora.safetensors: one forward and backward pass of PEFT's LoRA.

    python tools/lora_fixture.py

The model is tests/fixtures/opt_pre_ln (tools/model_fixtures.py makes it), rank 4, alpha 32 (scale 8), no dropout, on
q_proj, k_proj, v_proj, fc1 and fc2, with B not zero. The tensors, {path} as in layers.0.self_attn.q_proj:

    input_ids, lengths, labels      [B, T], [B], [B] int32
    A.{path}, B.{path}              [R, d_in], [d_out, R]
    score.weight                    [C, D], the head
    logits, loss                    [B, C], [] (cross-entropy)
    grad.A.{path}, grad.B.{path}, grad.score.weight
"""

from pathlib import Path

import torch
from peft import LoraConfig, TaskType, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForSequenceClassification

FIXTURES = Path(__file__).resolve().parent.parent / "tests" / "fixtures"
RANK = 4
ALPHA = 32
BATCH = 4
TOKENS = 10


def main():
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(21)
    model = AutoModelForSequenceClassification.from_pretrained(FIXTURES / "opt_pre_ln", dtype=torch.float32)
    config = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        target_modules=["q_proj", "k_proj", "v_proj", "fc1", "fc2"],
        r=RANK,
        lora_alpha=ALPHA,
        lora_dropout=0.0,
    )
    model = get_peft_model(model, config).train()
    assert model.config.dropout == 0 and model.config.attention_dropout == 0

    layers = {
        name.split("decoder.", 1)[1]: module for name, module in model.named_modules() if hasattr(module, "lora_A")
    }
    pairs = {path: (layer.lora_A["default"].weight, layer.lora_B["default"].weight) for path, layer in layers.items()}
    head = model.base_model.model.score.modules_to_save["default"].weight
    with torch.no_grad():
        for a, b in pairs.values():
            a.copy_(0.1 * torch.randn(a.shape, generator=generator))
            b.copy_(0.1 * torch.randn(b.shape, generator=generator))
        head.copy_(torch.randn(head.shape, generator=generator) / head.shape[1] ** 0.5)

    lengths = torch.tensor([10, 4, 7, 9])
    mask = torch.arange(TOKENS)[None, :] < lengths[:, None]
    ids = torch.randint(3, 96, (BATCH, TOKENS), generator=generator)
    ids = torch.where(mask, ids, torch.ones_like(ids))
    labels = torch.tensor([2, 0, 1, 2])

    with torch.no_grad(), model.disable_adapter():
        plain = model(input_ids=ids, attention_mask=mask.long()).logits
    result = model(input_ids=ids, attention_mask=mask.long(), labels=labels)
    moved = (result.logits - plain).abs().max().item()
    print(f"the adapter moves the logits by {moved:.3f}; their std is {result.logits.std():.3f}")
    assert moved > 0.1
    result.loss.backward()

    out = {
        "input_ids": ids.to(torch.int32),
        "lengths": lengths.to(torch.int32),
        "labels": labels.to(torch.int32),
        "score.weight": head,
        "logits": result.logits,
        "loss": result.loss,
        "grad.score.weight": head.grad,
    }
    for path, (a, b) in pairs.items():
        out |= {f"A.{path}": a, f"B.{path}": b, f"grad.A.{path}": a.grad, f"grad.B.{path}": b.grad}
        assert a.grad.abs().max() > 1e-4 and b.grad.abs().max() > 1e-4, path
    assert len(pairs) == 15
    file = FIXTURES / "lora.safetensors"
    save_file({key: value.detach().clone().contiguous() for key, value in out.items()}, file)
    print(f"{file.stat().st_size} {file.name}, {len(out)} tensors")


if __name__ == "__main__":
    main()
