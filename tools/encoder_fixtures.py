"""Makes the tiny random encoder checkpoints of tests/fixtures and what their references compute with them.

    python tools/encoder_fixtures.py

writes, each with the config.json, model.safetensors and expected.safetensors that tools/model_fixtures.py describes
(hidden.n being what the pooling reads: after `emb_layer_norm_after` in ESM):

    bert            transformers' BERT
    esm_learned     transformers' ESM as Nucleotide Transformer v1 configures it: learned positions, token_dropout
    esm_rotary      transformers' ESM with rotary positions, `emb_layer_norm_before` and no token_dropout
    esm_gated       Nucleotide Transformer v2: rotary positions and a gated MLP in which SiLU acts on the first half;
                    as in some configs on the hub, there is no `model_type`, and no `rope_theta`
    dnabert2        DNABERT-2 (tools/dnabert2_reference.py) with 6 heads; config.json has no `pad_token_id`, the
                    batch's padding is 3
    dnabert2_pow2   the same with 4 heads

Keys are the hub's. The ESM folders hold a `contact_head`, and those with rotary positions each layer's
`rotary_embeddings.inv_freq` and a table of learned positions: no classifier reads these. As in tools/model_fixtures.py
every tensor is random and the script fails unless the logits notice each mistake that it tries. It also fails unless
dnabert2 gives what transformers' BERT gives with its positions zero, a gated MLP, and ALiBi in the attention mask.
"""

import json

import dnabert2_reference
import torch
from dnabert2_reference import Dnabert2ForSequenceClassification
from model_fixtures import (
    CLASSES,
    FIXTURES,
    VOCABULARY,
    Patched,
    changed,
    draw_batch,
    dropped,
    fresh,
    logits_of,
    print_sizes,
    randomise,
    record,
    reload,
    rotary_mistakes,
    write_config,
    write_json,
)
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, EsmConfig, EsmForSequenceClassification
from transformers.models.esm import modeling_esm

LARGEST_TOTAL_BYTES = 700_000
SMALLEST_OF_TANH_GELU = 5e-4
UNREAD_POSITIONS = "esm.embeddings.position_embeddings.weight"

BERT = dict(
    vocab_size=VOCABULARY,
    hidden_size=32,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=24,
    pad_token_id=0,
    num_labels=CLASSES,
)
ESM = dict(
    vocab_size=VOCABULARY,
    hidden_size=24,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=40,
    max_position_embeddings=24,
    pad_token_id=1,
    mask_token_id=2,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
    tie_word_embeddings=False,
    use_cache=False,
    num_labels=CLASSES,
)
DNABERT2_PADDING = 3
DNABERT2 = {
    "alibi_starting_size": 512,
    "architectures": ["BertForSequenceClassification"],
    "attention_probs_dropout_prob": 0.0,
    "auto_map": {
        "AutoConfig": "configuration_bert.BertConfig",
        "AutoModel": "bert_layers.BertModel",
        "AutoModelForMaskedLM": "bert_layers.BertForMaskedLM",
        "AutoModelForSequenceClassification": "bert_layers.BertForSequenceClassification",
    },
    "classifier_dropout": None,
    "gradient_checkpointing": False,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "id2label": {str(index): f"LABEL_{index}" for index in range(CLASSES)},
    "initializer_range": 0.02,
    "label2id": {f"LABEL_{index}": index for index in range(CLASSES)},
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "model_type": "bert",
    "position_embedding_type": "absolute",
    "torch_dtype": "float32",
    "transformers_version": "4.28.0",
    "type_vocab_size": 2,
    "use_cache": True,
    "vocab_size": VOCABULARY,
}


class GatedIntermediate(nn.Module):
    """Nucleotide Transformer v2's: SiLU of the first half of the rows, times the second half."""

    def __init__(self, config):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=config.add_bias_fnn)
        self.activation = nn.SiLU()

    def forward(self, x):
        gate, up = self.dense(x).chunk(2, dim=-1)
        return self.activation(gate) * up


def gated_esm(config):
    model = EsmForSequenceClassification._from_config(config, attn_implementation="eager")
    for layer in model.esm.encoder.layer:
        layer.intermediate = GatedIntermediate(config)
        layer.output.dense = nn.Linear(config.intermediate_size, config.hidden_size, bias=config.add_bias_fnn)
    return model.eval()


class OtherOrder(nn.Module):
    """A layer of the parts given, its norms before the parts or after the sums."""

    def __init__(self, norms_first, norms, attend, transform):
        super().__init__()
        self.norms_first, self.norms, self.attend, self.transform = norms_first, norms, attend, transform

    def forward(self, x, attention_mask=None, *_, **more):
        first, second = self.norms
        if self.norms_first:
            x = x + self.attend(first(x), attention_mask, **more)
            return x + self.transform(second(x))
        x = first(x + self.attend(x, attention_mask, **more))
        return second(x + self.transform(x))


def hf_parts(layer):
    """What attends and what transforms in a layer of transformers' BERT or ESM."""

    def attend(x, mask, position_embeddings=None, **_):
        positions = {} if position_embeddings is None else {"position_embeddings": position_embeddings}
        return layer.attention.output.dense(layer.attention.self(x, attention_mask=mask, **positions)[0])

    return attend, lambda x: layer.output.dense(layer.intermediate(x))


def reorder_bert(layer):
    return OtherOrder(True, (layer.attention.output.LayerNorm, layer.output.LayerNorm), *hf_parts(layer))


def reorder_esm(layer):
    return OtherOrder(False, (layer.attention.LayerNorm, layer.LayerNorm), *hf_parts(layer))


def reorder_dnabert2(layer):
    norms = (layer.attention.output.LayerNorm, layer.mlp.layernorm)
    return OtherOrder(True, norms, layer.attention.attend, layer.mlp.transform)


def exchange_q_and_k(layer):
    attention = layer.attention.self
    attention.query, attention.key = attention.key, attention.query


def roll_rows(linear, rows):
    linear.weight.copy_(linear.weight.roll(rows, dims=0))
    if linear.bias is not None:
        linear.bias.copy_(linear.bias.roll(rows, dims=0))


def scale_query(factor):
    def change(layer):
        layer.attention.self.scaling *= factor

    return change


def same_for_all(model, ids, mask, changes, layers):
    """Each change of one layer, made to every layer."""
    for label, change in changes:

        def change_all(other, change=change):
            for layer in layers(other):
                change(layer)

        yield label, logits_of(changed(model, change_all), ids, mask)


def pooling_mistakes(model, ids, mask, head, linear_head):
    """`head` and `linear_head`, without tanh, turn the last hidden states into logits."""
    with torch.no_grad():
        last = model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states[-1]
        assert torch.allclose(head(last), logits_of(model, ids, mask), atol=1e-5), "hidden.n is not what the head reads"
        real = mask[:, :, None]
        yield "pooled at token 1", head(last.roll(-1, dims=1))
        yield "pooled at the last real token", head(last[torch.arange(len(ids)), mask.sum(1) - 1][:, None])
        yield "pooled by the mean", head((last * real).sum(1, keepdim=True) / real.sum(1, keepdim=True))
        yield "the head's tanh dropped", linear_head(last)


def whole_model_mistakes(model, ids, mask, changes):
    for label, change in changes:
        yield label, logits_of(changed(model, change), ids, mask)


def embedding_changes():
    """Of BERT's and DNABERT-2's embeddings."""

    def no_token_type(model):
        model.bert.embeddings.token_type_embeddings.weight.zero_()

    def other_token_type(model):
        table = model.bert.embeddings.token_type_embeddings.weight
        table.copy_(table.roll(1, dims=0))

    def no_norm(model):
        model.bert.embeddings.LayerNorm = nn.Identity()

    return [
        ("token type dropped", no_token_type),
        ("token type 1", other_token_type),
        ("no norm of the embeddings", no_norm),
    ]


def bert_heads(model):
    pooler, classifier = model.bert.pooler, model.classifier
    return lambda states: classifier(pooler(states)), lambda states: classifier(pooler.dense(states[:, 0]))


def bert_mistakes(model, ids, mask):
    yield from dropped(model, ids, mask)
    layers = [
        ("q and k exchanged", exchange_q_and_k),
        ("scores not scaled", scale_query(8**0.5)),
        ("ReLU", lambda layer: setattr(layer.intermediate, "intermediate_act_fn", nn.ReLU())),
        ("SiLU", lambda layer: setattr(layer.intermediate, "intermediate_act_fn", nn.SiLU())),
    ]
    yield from same_for_all(model, ids, mask, layers, lambda other: other.bert.encoder.layer)
    yield "pre-LN", logits_of(changed(model, lambda other: reorder(other.bert.encoder, reorder_bert)), ids, mask)
    positions = [("no positions", lambda other: other.bert.embeddings.position_embeddings.weight.zero_())]
    yield from whole_model_mistakes(model, ids, mask, embedding_changes() + positions)
    yield "positions shifted by one", logits_of(model, ids, mask, position_ids=torch.arange(1, ids.shape[1] + 1)[None])
    yield "padding not masked", logits_of(model, ids, torch.ones_like(mask))

    yield from pooling_mistakes(model, ids, mask, *bert_heads(model))


def reorder(encoder, other):
    encoder.layer = nn.ModuleList(other(layer) for layer in encoder.layer)


def scale_positions(factor):
    return lambda model: model.esm.embeddings.position_embeddings.weight.mul_(factor)


def esm_mistakes(model, ids, mask):
    config = model.config
    gated = getattr(config, "add_bias_fnn", None) is not None
    learned = config.position_embedding_type == "absolute"
    yield from dropped(model, ids, mask)

    head_width = config.hidden_size // config.num_attention_heads
    changes = [("q and k exchanged", exchange_q_and_k), ("query not scaled", scale_query(head_width**0.5))]
    changes.append(("query scaled twice", scale_query(head_width**-0.5)))
    if gated:
        half = config.intermediate_size
        changes += [
            ("halves of the gate exchanged", lambda layer: roll_rows(layer.intermediate.dense, half)),
            ("ReLU", lambda layer: setattr(layer.intermediate, "activation", nn.ReLU())),
            ("GELU", lambda layer: setattr(layer.intermediate, "activation", nn.GELU())),
        ]
    yield from same_for_all(model, ids, mask, changes, lambda other: other.esm.encoder.layer)
    if not gated:
        for label, function in [("ReLU", nn.ReLU()), ("SiLU", nn.SiLU())]:
            with Patched(modeling_esm, "gelu", function):
                yield label, logits_of(model, ids, mask)

    def toggle_norm_before(other):
        before = other.esm.embeddings.layer_norm
        norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps) if before is None else None
        other.esm.embeddings.layer_norm = norm

    def toggle_token_dropout(other):
        other.esm.embeddings.token_dropout = not config.token_dropout

    def no_norm_after(other):
        other.esm.encoder.emb_layer_norm_after = nn.Identity()

    changes = [
        ("post-LN", lambda other: reorder(other.esm.encoder, reorder_esm)),
        ("emb_layer_norm_before not as configured", toggle_norm_before),
        ("no emb_layer_norm_after", no_norm_after),
    ]
    if not config.emb_layer_norm_before:  # that norm undoes the scale
        changes.append(("token_dropout not as configured", toggle_token_dropout))
    if learned:
        for label, factor in [("no positions", 0.0), ("token_dropout's scale on positions too", 0.88)]:
            changes.append((label, scale_positions(factor)))
    else:
        changes.append(("rope theta 1000", lambda other: other.esm.rotary_embeddings.inv_freq.pow_(0.75)))
    yield from whole_model_mistakes(model, ids, mask, changes)

    if learned:
        positions = modeling_esm.create_position_ids_from_input_ids(ids, config.pad_token_id)
        for label, shift in [("positions one too far", 1), ("positions one short", -1), ("positions from 0", -2)]:
            shifted = (positions + shift).clamp(min=0)
            yield label, logits_of(model, ids, mask, position_ids=shifted)
    else:
        yield from rotary_mistakes(modeling_esm, model, ids, mask)
    yield "padding not masked", logits_of(model, ids, torch.ones_like(mask))

    head = model.classifier
    yield from pooling_mistakes(model, ids, mask, head, lambda states: head.out_proj(head.dense(states[:, 0])))


def dnabert2_mistakes(model, ids, mask):
    yield from dropped(model, ids, mask)
    config = model.config
    width, heads, tokens = config.hidden_size, config.num_attention_heads, ids.shape[1]

    def permute_rows(order):
        def change(layer):
            linear = layer.attention.self.Wqkv
            linear.weight.copy_(linear.weight[order])
            linear.bias.copy_(linear.bias[order])

        return change

    def part_of_bias_dropped(part):
        return lambda layer: layer.attention.self.Wqkv.bias[part * width : (part + 1) * width].zero_()

    def rescale(factor):
        return lambda layer: setattr(layer.attention.self, "scale", layer.attention.self.scale * factor)

    rows = torch.arange(3 * width).view(3, width)
    changes = [
        ("q and k exchanged", permute_rows(rows[[1, 0, 2]].flatten())),
        ("rows in the order v, k, q", permute_rows(rows[[2, 1, 0]].flatten())),
        ("q, k, v side by side in each head", permute_rows(rows.view(heads, 3, -1).transpose(0, 1).flatten())),
        ("bias of q dropped", part_of_bias_dropped(0)),
        ("bias of v dropped", part_of_bias_dropped(2)),
        ("scores not scaled", rescale((width // heads) ** 0.5)),
        ("halves of the gate exchanged", lambda layer: roll_rows(layer.mlp.gated_layers, config.intermediate_size)),
        ("ReLU", lambda layer: setattr(layer.mlp, "activation", nn.ReLU())),
        ("SiLU", lambda layer: setattr(layer.mlp, "activation", nn.SiLU())),
    ]
    yield from same_for_all(model, ids, mask, changes, lambda other: other.bert.encoder.layer)
    changes = embedding_changes() + [("pre-LN", lambda other: reorder(other.bert.encoder, reorder_dnabert2))]
    yield from whole_model_mistakes(model, ids, mask, changes)

    right = dnabert2_reference.alibi(heads, tokens)
    slopes = dnabert2_reference.alibi_slopes(heads)
    position = torch.arange(tokens)
    one_rule = 2.0 ** (-8.0 * torch.arange(1, heads + 1) / heads)
    biases = [
        ("no ALiBi", torch.zeros_like(right)),
        ("ALiBi of the other sign", -right),
        ("ALiBi of the signed distance", -slopes[:, None, None] * (position[:, None] - position[None, :])),
        ("ALiBi before the scale", right * (width // heads) ** -0.5),
        ("slopes in the opposite order", right.flip(0)),
        ("slopes from 1, not from the ratio", right * 2.0 ** (8.0 / 2 ** (heads.bit_length() - 1))),
    ]
    if not torch.allclose(one_rule, slopes):
        further = 2.0 ** -torch.arange(1.0, heads + 1)  # every one of the larger power's, not every other
        power = 2 ** (heads.bit_length() - 1)
        second = torch.cat((slopes[:power], further[: heads - power]))
        biases += [
            ("slopes by the rule of powers of two", right * (one_rule / slopes)[:, None, None]),
            ("slopes of the larger power, none left out", right * (second / slopes)[:, None, None]),
            ("slopes sorted", right * (slopes.sort(descending=True)[0] / slopes)[:, None, None]),
        ]
    for label, bias in biases:
        with Patched(dnabert2_reference, "alibi", lambda *_, bias=bias: bias):
            yield label, logits_of(model, ids, mask)
    yield "padding not masked", logits_of(model, ids, torch.ones_like(mask))

    yield from pooling_mistakes(model, ids, mask, *bert_heads(model))


@torch.no_grad()
def check_tanh_gelu(name, model, ids, mask):
    """The GELU by tanh is too near the exact one for `check`: the hidden states have to show it."""
    approximate = nn.GELU(approximate="tanh")

    def replace(other):
        for module in list(other.modules()):
            for child, part in module.named_children():
                if "GELU" in type(part).__name__:
                    setattr(module, child, approximate)

    def results(model):
        out = model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        return [*(states[mask.bool()] for states in out.hidden_states), out.logits]

    right = results(model)
    with Patched(modeling_esm, "gelu", approximate):
        wrong = results(changed(model, replace))
    *states, logits = [(a - b).abs().max().item() for a, b in zip(wrong, right, strict=True)]
    print(f"  moves hidden states by {max(states):.1e}, the logits by {logits:.1e}: GELU by tanh")
    assert max(states) > SMALLEST_OF_TANH_GELU, f"{name}: the hidden states do not notice the GELU by tanh"


def hub_tensors(model, generator):
    """A model's tensors by the hub's keys. (What transformers 5.23 saves of a new ESM has other keys.)"""
    tensors = model.state_dict()
    frequencies = tensors.pop("esm.rotary_embeddings.inv_freq", None)
    if frequencies is not None:
        config = model.config
        for index in range(config.num_hidden_layers):
            key = f"esm.encoder.layer.{index}.attention.self.rotary_embeddings.inv_freq"
            tensors[key] = frequencies.clone()
        shape = (config.max_position_embeddings, config.hidden_size)
        tensors[UNREAD_POSITIONS] = torch.randn(shape, generator=generator)
    return tensors


def make_hf(name, kind, config, seed, lengths, mistakes):
    generator = torch.Generator().manual_seed(seed)
    model = kind._from_config(config, attn_implementation="eager").eval()
    randomise(model, generator)
    ids, mask, labels = draw_batch(config.pad_token_id, lengths, generator)
    folder = fresh(FIXTURES / name)
    save_file(hub_tensors(model, generator), folder / "model.safetensors", metadata={"format": "pt"})
    write_config(model.config, folder, kind.__name__, "float32")
    model = reload(folder)
    record(name, model, ids, mask, labels, mistakes)
    check_tanh_gelu(name, model, ids, mask)


def make_esm_gated(name, seed, lengths):
    generator = torch.Generator().manual_seed(seed)
    config = EsmConfig(**ESM, position_embedding_type="rotary", emb_layer_norm_before=False, add_bias_fnn=False)
    model = gated_esm(config)
    randomise(model, generator)
    ids, mask, labels = draw_batch(config.pad_token_id, lengths, generator)

    folder = fresh(FIXTURES / name)
    save_file(hub_tensors(model, generator), folder / "model.safetensors", metadata={"format": "pt"})
    without = ("model_type", "rope_theta", "rope_parameters")
    write_config(config, folder, "EsmForSequenceClassification", "float32", old_keys=True, without=without)

    values = json.loads((folder / "config.json").read_text())
    model = gated_esm(EsmConfig(**values))
    tensors = load_file(folder / "model.safetensors")
    del tensors[UNREAD_POSITIONS]
    model.load_state_dict(tensors)
    record(name, model, ids, mask, labels, esm_mistakes)


class BertGatedIntermediate(nn.Module):
    def __init__(self, gated_layers):
        super().__init__()
        self.gated_layers = gated_layers

    def forward(self, x):
        gate, up = self.gated_layers(x).chunk(2, dim=-1)
        return nn.functional.gelu(gate) * up


@torch.no_grad()
def dnabert2_by_transformers(model, ids, mask):
    """The logits of transformers' BERT made into DNABERT-2."""
    values = vars(model.config)
    width = model.config.hidden_size
    config = BertConfig(**{key: value for key, value in values.items() if key != "auto_map"})
    other = BertForSequenceClassification._from_config(config, attn_implementation="eager").eval()
    tensors = model.state_dict()
    renamed = {"bert.embeddings.position_embeddings.weight": torch.zeros(config.max_position_embeddings, width)}
    for key, value in tensors.items():
        if ".Wqkv." in key:
            for part, name in zip(value.split(width), ("query", "key", "value"), strict=True):
                renamed[key.replace("Wqkv", name)] = part
        elif ".mlp." in key:
            key = key.replace("mlp.gated_layers", "intermediate.gated_layers").replace("mlp.wo", "output.dense")
            renamed[key.replace("mlp.layernorm", "output.LayerNorm")] = value
        else:
            renamed[key] = value
    for layer in other.bert.encoder.layer:
        layer.intermediate = BertGatedIntermediate(nn.Linear(width, 2 * config.intermediate_size, bias=False))
    other.load_state_dict(renamed)
    return logits_of(other, ids, dnabert2_reference.score_bias(config.num_attention_heads, mask))


def make_dnabert2(name, sizes, seed, lengths):
    generator = torch.Generator().manual_seed(seed)
    values = {**DNABERT2, **sizes}
    model = Dnabert2ForSequenceClassification(values, CLASSES).eval()
    randomise(model, generator)
    with torch.no_grad():
        for layer in model.bert.encoder.layer:
            layer.attention.self.Wqkv.weight[: 2 * values["hidden_size"]] *= 1.4  # as randomise does for q and k
    ids, mask, labels = draw_batch(DNABERT2_PADDING, lengths, generator)

    folder = fresh(FIXTURES / name)
    save_file(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    write_json(values, folder / "config.json")
    model = Dnabert2ForSequenceClassification(json.loads((folder / "config.json").read_text()), CLASSES).eval()
    model.load_state_dict(load_file(folder / "model.safetensors"))
    logits = record(name, model, ids, mask, labels, dnabert2_mistakes)
    check_tanh_gelu(name, model, ids, mask)
    far = (dnabert2_by_transformers(model, ids, mask) - logits).abs().max().item()
    print(f"  {far:.1e} from transformers' BERT made into DNABERT-2")
    assert far < 1e-5


def main():
    torch.set_num_threads(1)
    make_hf("bert", BertForSequenceClassification, BertConfig(**BERT), 31, [12, 7, 10], bert_mistakes)
    learned = EsmConfig(**ESM, position_embedding_type="absolute", emb_layer_norm_before=False, token_dropout=True)
    make_hf("esm_learned", EsmForSequenceClassification, learned, 32, [7, 12, 10], esm_mistakes)
    rotary = EsmConfig(**ESM, position_embedding_type="rotary", emb_layer_norm_before=True, layer_norm_eps=1e-5)
    make_hf("esm_rotary", EsmForSequenceClassification, rotary, 33, [12, 5, 9], esm_mistakes)
    make_esm_gated("esm_gated", 34, [10, 12, 6])
    sizes = dict(hidden_size=36, num_hidden_layers=3, num_attention_heads=6, intermediate_size=40)
    make_dnabert2("dnabert2", sizes, 35, [12, 7, 10])
    sizes = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=4, intermediate_size=32)
    make_dnabert2("dnabert2_pow2", sizes, 36, [8, 12, 11])
    folders = ["bert", "esm_learned", "esm_rotary", "esm_gated", "dnabert2", "dnabert2_pow2"]
    print_sizes(folders, LARGEST_TOTAL_BYTES)


if __name__ == "__main__":
    main()
