"""Makes tests/fixtures/half.safetensors: transformers' OPT and LLaMA and PEFT's LoRA on them in 16 bits.

    python tools/half_fixtures.py

The models are tests/fixtures/opt_pre_ln and llama_tied (tools/model_fixtures.py makes them). Their matrices and tables
are in bf16 or f16; norms and the head stay in f32 and get f32 inputs; what is trained is in f32 and, as autocast has it,
converted to the type of the activations. For each model {m} and each of the types {t}, f32, bf16 and f16:

    {m}.{t}.logits                           [B, C], without adapters, of the fixture's own batch and head
    {m}.{t}.lora.logits, {m}.{t}.lora.loss   with adapters
    {m}.{t}.grad.{A|B}.{path}, {m}.{t}.grad.score.weight

and once for each model, the adapters: {m}.A.{path} [R, d_in], {m}.B.{path} [d_out, R], rank 4, scale 8, without dropout.
"""

from pathlib import Path

import torch
from peft import LoraConfig, TaskType, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

FIXTURES = Path(__file__).resolve().parent.parent / "tests" / "fixtures"
TARGETS = {
    "opt_pre_ln": ["q_proj", "k_proj", "v_proj", "fc1", "fc2"],
    "llama_tied": ["q_proj", "k_proj", "v_proj", "gate_proj", "down_proj"],
}
TYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


def in_f32(module):
    """Lets a module get f32 and give back what it got."""

    def before(module, args):
        module.own = args[0].dtype
        return (args[0].float(), *args[1:])

    def after(module, args, output):
        return output.to(module.own)

    module.register_forward_pre_hook(before)
    module.register_forward_hook(after)


def halve(model, head, dtype):
    """Converts matrices and tables, and lets norms and the head compute in f32."""
    for name, module in model.named_modules():
        if name.endswith("norm"):
            in_f32(module)
        elif isinstance(module, (torch.nn.Linear, torch.nn.Embedding)) and "lora" not in name and "score" not in name:
            module.to(dtype)
    head.register_forward_pre_hook(lambda module, args: (args[0].float(),))


def autocast_adapters(model, dtype):
    """PEFT computes a correction in the type of its weights; here they follow the activations."""
    for module in model.modules():
        for pairs in (getattr(module, "lora_A", {}), getattr(module, "lora_B", {})):
            for linear in pairs.values():
                linear.forward = lambda x, linear=linear: torch.nn.functional.linear(
                    x.to(dtype), linear.weight.to(dtype)
                )
        if hasattr(module, "lora_A"):
            # The input would be converted to f32 before.
            module._cast_input_dtype = lambda x, _: x


def main():
    torch.set_num_threads(1)
    out = {}
    for name, targets in TARGETS.items():
        generator = torch.Generator().manual_seed(33)
        expected = load_file(FIXTURES / name / "expected.safetensors")
        ids, labels = expected["input_ids"].long(), expected["labels"].long()
        lengths = expected["lengths"]
        mask = (torch.arange(ids.shape[1])[None, :] < lengths[:, None]).long()

        def load(folder=FIXTURES / name):
            return AutoModelForSequenceClassification.from_pretrained(
                folder, dtype=torch.float32, attn_implementation="eager"
            )

        drawn = {}
        for kind, dtype in TYPES.items():
            plain = load().eval()
            halve(plain, plain.score, dtype)
            with torch.no_grad():
                logits = plain(input_ids=ids, attention_mask=mask).logits
            assert logits.dtype == torch.float32
            out[f"{name}.{kind}.logits"] = logits
            if kind == "f32":
                assert (logits - expected["logits"]).abs().max() < 1e-4

            config = LoraConfig(
                task_type=TaskType.SEQ_CLS, target_modules=targets, r=4, lora_alpha=32, lora_dropout=0.0
            )
            model = get_peft_model(load(), config).train()
            head = model.base_model.model.score.modules_to_save["default"]
            layers = {
                "layers." + path.split("layers.", 1)[1]: module
                for path, module in model.named_modules()
                if hasattr(module, "lora_A")
            }
            with torch.no_grad():
                for path, layer in layers.items():
                    for part, pairs in (("A", layer.lora_A), ("B", layer.lora_B)):
                        weight = pairs["default"].weight
                        key = f"{name}.{part}.{path}"
                        if key not in drawn:
                            drawn[key] = 0.1 * torch.randn(weight.shape, generator=generator)
                        weight.copy_(drawn[key])
                head.weight.copy_(plain.score.weight)
            halve(model, head, dtype)
            autocast_adapters(model, dtype)
            result = model(input_ids=ids, attention_mask=mask)
            loss = torch.nn.functional.cross_entropy(result.logits.float(), labels)
            # f16 needs its loss scaled; the gradients are given without.
            scale = 1024.0 if kind == "f16" else 1.0
            (loss * scale).backward()
            out[f"{name}.{kind}.lora.logits"] = result.logits
            out[f"{name}.{kind}.lora.loss"] = loss.reshape(1)
            out[f"{name}.{kind}.grad.score.weight"] = head.weight.grad / scale
            for path, layer in layers.items():
                for part, pairs in (("A", layer.lora_A), ("B", layer.lora_B)):
                    weight = pairs["default"].weight
                    assert weight.dtype == torch.float32 and weight.grad.dtype == torch.float32
                    out[f"{name}.{kind}.grad.{part}.{path}"] = weight.grad / scale
            moved = (result.logits - logits).abs().max().item()
            off = (out[f"{name}.{kind}.lora.logits"] - out[f"{name}.f32.lora.logits"]).abs().max().item()
            print(f"{name} {kind}: adapters move the logits by {moved:.3f}; {off:.5f} from f32")
            assert moved > 0.05
        out |= drawn
    file = FIXTURES / "half.safetensors"
    save_file({key: value.detach().float().clone().contiguous() for key, value in out.items()}, file)
    print(f"{file.stat().st_size} {file.name}, {len(out)} tensors")


if __name__ == "__main__":
    main()
