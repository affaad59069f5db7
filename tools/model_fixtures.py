"""Makes the tiny random checkpoints of tests/fixtures and what transformers computes with them.

    python tools/model_fixtures.py

writes opt_pre_ln, opt_post_ln, llama_tied and llama_untied: each an HF sequence-classification checkpoint in f32
(config.json, model.safetensors) with expected.safetensors beside it:

    input_ids   [B, T] int32, right padded with the config's pad_token_id
    lengths     [B]    int32, real tokens of each row
    labels      [B]    int32
    logits      [B, 3] f32
    loss        []     f32, the softmax cross-entropy of the labels
    hidden.0 .. hidden.n [B, T, D] f32: what enters layer 0 .. n-1, and last what the head reads: after the final norm
                and `project_out` where the architecture has them. Rows at padding mean nothing.

and layouts/opt_bin (opt_pre_ln as pytorch_model.bin in f16, keys `decoder.*`) and layouts/llama_sharded (llama_untied
in two bf16 shards with an index, config keys as transformers 4 wrote them). The two originals hold values that f16 and
bf16 represent, so the layouts give the very same logits.

Every tensor is random, biases and norm gains included, at a scale that spreads the logits over about +-1. The script
fails unless the logits notice each of the mistakes that it tries: a bias or a gain dropped, positions off by one, q and
k exchanged, another activation, and more; the figures are printed.
"""

import copy
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    OPTConfig,
    OPTForSequenceClassification,
)
from transformers.models.llama import modeling_llama

FIXTURES = Path(__file__).resolve().parent.parent / "tests" / "fixtures"
CLASSES = 3
TOKENS = 12
VOCABULARY = 96
LARGEST_TOTAL_BYTES = 600_000

OPT = dict(
    vocab_size=VOCABULARY,
    hidden_size=32,
    num_hidden_layers=3,
    ffn_dim=64,
    num_attention_heads=4,
    max_position_embeddings=24,
    num_labels=CLASSES,
    pad_token_id=1,
    bos_token_id=2,
    eos_token_id=2,
)
LLAMA = dict(
    vocab_size=VOCABULARY,
    hidden_size=24,
    intermediate_size=40,
    num_hidden_layers=3,
    num_attention_heads=6,
    num_key_value_heads=2,
    max_position_embeddings=64,
    num_labels=CLASSES,
    bos_token_id=1,
    eos_token_id=2,
)


def fixtures():
    """Name, model class, config, seed, lengths, and the dtype whose values the weights are limited to."""
    yield (
        "opt_pre_ln",
        OPTForSequenceClassification,
        OPTConfig(**OPT, word_embed_proj_dim=32, do_layer_norm_before=True, dropout=0.0),
        11,
        [12, 7, 10],
        torch.float16,
    )
    yield (
        "opt_post_ln",
        OPTForSequenceClassification,
        OPTConfig(**OPT, word_embed_proj_dim=16, do_layer_norm_before=False, dropout=0.1),
        12,
        [5, 12, 9],
        torch.float32,
    )
    yield (
        "llama_tied",
        LlamaForSequenceClassification,
        LlamaConfig(
            **LLAMA,
            head_dim=8,
            pad_token_id=0,
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        ),
        13,
        [8, 11, 12],
        torch.float32,
    )
    yield (
        "llama_untied",
        LlamaForSequenceClassification,
        LlamaConfig(
            **LLAMA,
            head_dim=4,
            pad_token_id=2,
            tie_word_embeddings=False,
            rms_norm_eps=1e-5,
            rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
        ),
        14,
        [12, 4, 9],
        torch.bfloat16,
    )


def is_norm_gain(name):
    module, _, parameter = name.rpartition(".")
    return parameter == "weight" and "norm" in module.rpartition(".")[2].lower()


def randomise(model, generator, representable=torch.float32):
    """Draws every parameter anew."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if is_norm_gain(name):
                value = 1.0 + 0.3 * noise
            elif name.endswith(".bias"):
                value = 0.3 * noise
            elif "embed" in name:
                value = noise
            elif any(part in name for part in ("q_proj", "k_proj", ".query.", ".key.")):
                value = 1.4 * noise / parameter.shape[1] ** 0.5  # attention far from uniform
            else:
                value = noise / parameter.shape[1] ** 0.5
            parameter.copy_(value.to(representable).to(torch.float32))


def draw_batch(padding, lengths, generator):
    """Ids, none of them 0, 1, 2 or `padding` before a row's end, then the mask and the labels."""
    ids = torch.randint(3, VOCABULARY, (len(lengths), TOKENS), generator=generator)
    mask = torch.arange(TOKENS)[None, :] < torch.tensor(lengths)[:, None]
    ids[ids == padding] = padding + 1
    ids = torch.where(mask, ids, torch.full_like(ids, padding))
    labels = torch.randint(0, CLASSES, (len(lengths),), generator=generator)
    return ids, mask.long(), labels


@torch.no_grad()
def logits_of(model, ids, mask, **more):
    return model(input_ids=ids, attention_mask=mask, **more).logits


def changed(model, change):
    other = copy.deepcopy(model)
    with torch.no_grad():
        change(other)
    return other


def other_activation(model):
    for module in model.modules():
        if hasattr(module, "activation_fn"):
            module.activation_fn = torch.nn.GELU()
        if hasattr(module, "act_fn"):
            module.act_fn = torch.nn.GELU()


def exchange_q_and_k(model):
    for layer in model.model.decoder.layers:
        attention = layer.self_attn
        attention.q_proj, attention.k_proj = attention.k_proj, attention.q_proj


def swap_norm_order(model):
    for layer in model.model.decoder.layers:
        layer.do_layer_norm_before = not layer.do_layer_norm_before


def forget_query_scale(model):
    for layer in model.model.decoder.layers:
        layer.self_attn.scaling = 1.0


class Patched:
    """Replaces one function of a module for the length of a `with`."""

    def __init__(self, module, name, function):
        self.module, self.name, self.function = module, name, function

    def __enter__(self):
        self.original = getattr(self.module, self.name)
        setattr(self.module, self.name, self.function)

    def __exit__(self, *_):
        setattr(self.module, self.name, self.original)


def rotary_mistakes(modeling, model, ids, mask):
    """Mistakes of rotary positions, `modeling` being the module of transformers that turns q and k."""
    rotate = modeling.apply_rotary_pos_emb

    def query_one_further(q, k, cos, sin, *_, **__):
        # A shift of q and k together changes nothing: rotary positions are relative.
        shifted, _ = rotate(q, k, cos.roll(-1, dims=-2), sin.roll(-1, dims=-2))
        return shifted, rotate(q, k, cos, sin)[1]

    def interleaved(q, k, cos, sin, *_, **__):
        half = cos.shape[-1] // 2
        cos = cos[..., :half].repeat_interleave(2, dim=-1).unsqueeze(1)
        sin = sin[..., :half].repeat_interleave(2, dim=-1).unsqueeze(1)

        def turn(x):
            return x * cos + torch.stack((-x[..., 1::2], x[..., ::2]), dim=-1).flatten(-2) * sin

        return turn(q), turn(k)

    for label, function in [
        ("positions of q shifted by one against k", query_one_further),
        ("rotary pairs interleaved, not halves", interleaved),
        ("no rotary positions", lambda q, k, *_, **__: (q, k)),
    ]:
        with Patched(modeling, "apply_rotary_pos_emb", function):
            yield label, logits_of(model, ids, mask)


def llama_mistakes(model, ids, mask):
    """Mistakes of rotary positions and grouped queries, which no change of a weight imitates."""
    yield from rotary_mistakes(modeling_llama, model, ids, mask)
    repeat = modeling_llama.repeat_kv
    attend = modeling_llama.eager_attention_forward

    def tiled_heads(x, groups):
        return x.repeat(1, groups, 1, 1)

    def exchanged(module, query, key, value, attention_mask, **more):
        whole = repeat(key, module.num_key_value_groups)
        module.num_key_value_groups, groups = 1, module.num_key_value_groups
        value = repeat(value, groups)
        result = attend(module, whole, query, value, attention_mask, **more)
        module.num_key_value_groups = groups
        return result

    for label, name, function in [
        ("key and value heads tiled, not repeated", "repeat_kv", tiled_heads),
        ("q and k exchanged", "eager_attention_forward", exchanged),
    ]:
        with Patched(modeling_llama, name, function):
            yield label, logits_of(model, ids, mask)

    config = copy.deepcopy(model.config)
    theta = 510000.0 - config.rope_parameters["rope_theta"]
    config.rope_parameters = dict(config.rope_parameters, rope_theta=theta)
    other = LlamaForSequenceClassification._from_config(config, attn_implementation="eager").eval()
    other.load_state_dict(model.state_dict())
    yield f"rope theta {theta:g}", logits_of(other, ids, mask)


def opt_mistakes(model, ids, mask):
    positions = (mask.cumsum(1) * mask - 1).long()
    yield "positions shifted by one", logits_of(model, ids, mask, position_ids=positions + 1)
    for label, change in [
        ("q and k exchanged", exchange_q_and_k),
        ("pre-LN and post-LN exchanged in the layers", swap_norm_order),
        ("query not scaled", forget_query_scale),
    ]:
        yield label, logits_of(changed(model, change), ids, mask)


def dropped(model, ids, mask):
    """Each bias set to zero, each norm's gain to one."""
    for name, parameter in model.named_parameters():
        if name.endswith(("k_proj.bias", ".key.bias")):
            continue  # adds the same to a query's scores of all keys: the softmax cancels it
        if "contact_head" in name:
            continue  # of ESM's, which no classifier reads
        if name.endswith(".bias") or is_norm_gain(name):
            value = 1.0 if is_norm_gain(name) else 0.0
            kept = parameter.data
            parameter.data = torch.full_like(kept, value)
            yield f"{name} = {value:g}", logits_of(model, ids, mask)
            parameter.data = kept


def mistakes(model, ids, mask):
    """Pairs of a mistake's name and the logits that it gives."""
    yield "the other activation", logits_of(changed(model, other_activation), ids, mask)
    yield from dropped(model, ids, mask)
    yield from (opt_mistakes if model.config.model_type == "opt" else llama_mistakes)(model, ids, mask)

    with torch.no_grad():
        last = model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states[-1]
        ends = mask.sum(1) - 1
        rows = torch.arange(len(ends))
        yield "pooled one token early", model.score(last[rows, ends - 1])
        first = model.score(last[rows, ends])
        padded = model.score(last[:, -1])
        short = ends + 1 < TOKENS
    assert torch.allclose(first, logits_of(model, ids, mask), atol=1e-5), "hidden.n is not what the head reads"
    padded[~short] = first[~short]
    yield "pooled at the last column", padded


def check(name, model, ids, mask, logits, hidden, mistakes):
    spread = logits.std().item()
    assert 0.3 < spread < 3.0, f"{name}: the logits' spread is {spread}"
    print(f"{name}: logits std {spread:.3f}, range {logits.min():.3f} to {logits.max():.3f}")
    real = mask.bool()
    for index, states in enumerate(hidden):
        width = states[real].std(dim=0)
        assert torch.isfinite(states).all() and 0.1 < width.mean() < 20.0, f"{name}: hidden.{index} is degenerate"
        assert (width > 1e-3).all(), f"{name}: hidden.{index} has a constant column"
    print("  hidden std:", " ".join(f"{states[real].std():.2f}" for states in hidden))
    families = {}
    for mistake, wrong in mistakes(model, ids, mask):
        moved = (wrong - logits).abs().max().item()
        assert moved > 1e-2, f"{name}: the logits do not notice this: {mistake} ({moved:.1e})"
        family = ".".join(part for part in mistake.split(".") if not part.isdigit()).removeprefix("model.")
        families[family] = min(moved, families.get(family, moved))
    for family, moved in families.items():
        print(f"  moves the logits by {moved:.3f}: {family}")
    assert torch.equal(logits_of(model, ids, mask), logits), "a mistake was not undone"


def write_json(values, file):
    file.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")


def write_config(config, folder, architecture, dtype, old_keys=False, without=()):
    values = config.to_dict()
    values["architectures"] = [architecture]
    values["dtype"] = dtype
    if old_keys:
        values["torch_dtype"] = values.pop("dtype")
        rope = values.pop("rope_parameters", None)
        if rope is not None:
            values["rope_theta"] = rope["rope_theta"]
            values["rope_scaling"] = None
    for key in ("_name_or_path", *without):
        values.pop(key, None)
    write_json(values, folder / "config.json")


def fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def reload(folder, dtype=torch.float32):
    model, report = AutoModelForSequenceClassification.from_pretrained(
        folder, attn_implementation="eager", output_loading_info=True, dtype=dtype
    )
    assert not report["missing_keys"] and set(report["unexpected_keys"]) <= {"lm_head.weight"}, report
    return model.eval()


def record(name, model, ids, mask, labels, mistakes):
    """Writes expected.safetensors of a model read back from its folder; returns the logits."""
    with torch.no_grad():
        out = model(input_ids=ids, attention_mask=mask, labels=labels, output_hidden_states=True)
    check(name, model, ids, mask, out.logits, out.hidden_states, mistakes)
    expected = {
        "input_ids": ids.to(torch.int32),
        "lengths": mask.sum(1).to(torch.int32),
        "labels": labels.to(torch.int32),
        "logits": out.logits,
        "loss": out.loss,
    }
    for index, states in enumerate(out.hidden_states):
        expected[f"hidden.{index}"] = states
    file = FIXTURES / name / "expected.safetensors"
    save_file({key: value.contiguous() for key, value in expected.items()}, file)
    return out.logits


def make(name, kind, config, seed, lengths, representable):
    generator = torch.Generator().manual_seed(seed)
    model = kind._from_config(config, attn_implementation="eager").eval()
    randomise(model, generator, representable)
    ids, mask, labels = draw_batch(config.pad_token_id, lengths, generator)

    folder = fresh(FIXTURES / name)
    model.save_pretrained(folder)
    write_config(model.config, folder, kind.__name__, "float32")
    if name == "llama_untied":  # as a causal-LM checkpoint to which a head was added
        tensors = load_file(folder / "model.safetensors")
        head = torch.randn(VOCABULARY, config.hidden_size, generator=generator)
        tensors["lm_head.weight"] = head.to(representable).to(torch.float32)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    model = reload(folder)
    return model, ids, mask, record(name, model, ids, mask, labels, mistakes)


def make_opt_bin(model, ids, mask, logits):
    folder = fresh(FIXTURES / "layouts" / "opt_bin")
    tensors = {key.removeprefix("model."): value.to(torch.float16) for key, value in model.state_dict().items()}
    assert all(key.startswith("decoder.") or key == "score.weight" for key in tensors)
    torch.save(tensors, folder / "pytorch_model.bin")
    write_config(model.config, folder, "OPTForSequenceClassification", "float16", old_keys=True)
    again = {f"model.{key}" if key != "score.weight" else key: value.float() for key, value in tensors.items()}
    other = copy.deepcopy(model)
    other.load_state_dict(again)
    assert torch.equal(logits_of(other, ids, mask), logits), "opt_bin is not the same model"


def make_llama_sharded(model, ids, mask, logits):
    folder = fresh(FIXTURES / "layouts" / "llama_sharded")
    tensors = load_file(FIXTURES / "llama_untied" / "model.safetensors")
    tensors = {key: value.to(torch.bfloat16) for key, value in tensors.items()}
    keys = sorted(tensors)
    half = len(keys) // 2
    shards = {"model-00001-of-00002.safetensors": keys[:half], "model-00002-of-00002.safetensors": keys[half:]}
    for file, names in shards.items():
        save_file({key: tensors[key] for key in names}, folder / file, metadata={"format": "pt"})
    index = {
        "metadata": {"total_size": sum(value.numel() * value.element_size() for value in tensors.values())},
        "weight_map": {key: file for file, names in shards.items() for key in names},
    }
    write_json(index, folder / "model.safetensors.index.json")
    write_config(model.config, folder, "LlamaForSequenceClassification", "bfloat16", old_keys=True)
    assert torch.equal(logits_of(reload(folder), ids, mask), logits), "llama_sharded is not the same model"


def print_sizes(folders, largest_total):
    total = 0
    for folder in folders:
        for file in sorted((FIXTURES / folder).rglob("*")):
            if file.is_file():
                total += file.stat().st_size
                print(f"{file.stat().st_size:8d} {file.relative_to(FIXTURES)}")
    print(f"{total:8d} in total")
    assert total < largest_total


def main():
    torch.set_num_threads(1)
    folders = []
    for name, *arguments in fixtures():
        made = make(name, *arguments)
        folders.append(name)
        if name == "opt_pre_ln":
            make_opt_bin(*made)
        if name == "llama_untied":
            make_llama_sharded(*made)
    print_sizes(folders + ["layouts"], LARGEST_TOTAL_BYTES)


if __name__ == "__main__":
    main()
