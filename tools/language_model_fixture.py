"""Makes tests/fixtures/language_model.safetensors: loss and gradients of causal language modelling.

    python tools/language_model_fixture.py

The models are tests/fixtures/{opt_pre_ln,opt_post_ln,llama_tied} (tools/model_fixtures.py makes them), as transformers'
OPTForCausalLM and LlamaForCausalLM, with tied embeddings and without dropout. For each of them:

    {model}.ids                    the tokens [B, T + 1] int32: T of them are read, and all but the first predicted
    {model}.loss                   the mean of -log p [], as the model itself computes it
    {model}.grad.{tensor}          its gradient, by the tensor's name without `model.` or `decoder.`
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

FIXTURES = Path(__file__).resolve().parent.parent / "tests" / "fixtures"
LARGEST_BYTES = 200_000
KEPT = {
    "opt_pre_ln": ["embed_tokens", "embed_positions", "layers.0.self_attn.q_proj", "layers.1.fc2", "final_layer_norm"],
    "opt_post_ln": ["embed_tokens", "project_in", "project_out", "layers.0.self_attn.v_proj", "layers.0.fc1"],
    "llama_tied": ["embed_tokens", "layers.0.self_attn.k_proj", "layers.1.mlp.gate_proj", "norm"],
}


def main():
    torch.manual_seed(41)
    tensors = {}
    for name, kept in KEPT.items():
        model = AutoModelForCausalLM.from_pretrained(
            FIXTURES / name, dtype=torch.float32, tie_word_embeddings=True, attn_implementation="eager"
        ).eval()
        assert model.get_input_embeddings().weight is model.get_output_embeddings().weight, name
        # Padding is no input here: its row would get no gradient from torch.
        ids = torch.randint(3, model.config.vocab_size, (3, 13))
        # The model shifts its labels by one; the last token is read by nobody.
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        tensors[f"{name}.ids"] = ids.to(torch.int32)
        tensors[f"{name}.loss"] = loss.detach()
        found = set()
        for key, parameter in model.named_parameters():
            canonical = key.removeprefix("model.").removeprefix("decoder.")
            layer = canonical.rsplit(".", 1)[0]
            if layer in kept:
                assert parameter.grad is not None, key
                tensors[f"{name}.grad.{canonical}"] = parameter.grad.contiguous()
                found.add(layer)
        assert found == set(kept), (name, set(kept) - found)
        print(name, float(loss))
    path = FIXTURES / "language_model.safetensors"
    save_file(tensors, path)
    assert path.stat().st_size < LARGEST_BYTES, path.stat().st_size
    print(path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
