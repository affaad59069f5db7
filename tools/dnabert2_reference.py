"""DNABERT-2's sequence classifier, written from its equations; for tools/encoder_fixtures.py.

    x = LN(word[id] + token_type[0])                                   no positions
    x = LN(x + W_o attention(x)),  scores q.k / sqrt(d) - slope |i-j|  q, k, v being the rows of one Wqkv
    x = LN(x + wo(gelu(a) * b)),   a, b the halves of gated_layers(x)  the exact GELU, by erf
    logits = classifier(tanh(pooler(x[0])))

The names of the modules give the keys of the hub's checkpoints. Evaluation only: there is no dropout.
"""

from types import SimpleNamespace

import torch
from torch import nn
from torch.nn.functional import cross_entropy, softmax


def alibi_slopes(heads):
    """2^(-8i/n) for i of 1..n; where n is no power of two, those of the power below n, then every other of twice it."""
    power = 2 ** (heads.bit_length() - 1)

    def geometric(count):
        return [2.0 ** (-8.0 * (index + 1) / count) for index in range(count)]

    return torch.tensor(geometric(power) + geometric(2 * power)[::2][: heads - power])


def alibi(heads, tokens):
    """What is added to the scores of query i and key j, [heads, tokens, tokens]."""
    position = torch.arange(tokens)
    distance = (position[:, None] - position[None, :]).abs()
    return -alibi_slopes(heads)[:, None, None] * distance


def score_bias(heads, mask):
    """ALiBi, and minus infinity at padded keys: [batch, heads, tokens, tokens]."""
    padded = torch.zeros(mask.shape).masked_fill(mask == 0, -torch.inf)
    return alibi(heads, mask.shape[1])[None] + padded[:, None, None, :]


class Embeddings(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, ids):
        return self.LayerNorm(self.word_embeddings(ids) + self.token_type_embeddings.weight[0])


class SelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads = config.num_attention_heads
        self.scale = (config.hidden_size // self.heads) ** -0.5
        self.Wqkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)

    def forward(self, x, mask):
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.Wqkv(x).chunk(3, dim=-1)
        )
        scores = query @ key.transpose(-1, -2) * self.scale + score_bias(self.heads, mask)
        return (softmax(scores, dim=-1) @ value).transpose(1, 2).flatten(-2)


class AttentionOutput(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.self = SelfAttention(config)
        self.output = AttentionOutput(config)

    def attend(self, x, mask):
        return self.output.dense(self.self(x, mask))


class GatedMlp(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.gated_layers = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=False)
        self.wo = nn.Linear(config.intermediate_size, config.hidden_size)
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.activation = nn.GELU()

    def transform(self, x):
        gate, up = self.gated_layers(x).chunk(2, dim=-1)
        return self.wo(self.activation(gate) * up)


class Layer(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.attention = Attention(config)
        self.mlp = GatedMlp(config)

    def forward(self, x, mask):
        x = self.attention.output.LayerNorm(x + self.attention.attend(x, mask))
        return self.mlp.layernorm(x + self.mlp.transform(x))


class Encoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.layer = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))


class Pooler(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = nn.Tanh()

    def forward(self, x):
        return self.activation(self.dense(x[:, 0]))


class Bert(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
        self.pooler = Pooler(config)


class Dnabert2ForSequenceClassification(nn.Module):
    """Is called as a classifier of transformers is; `config` holds the values of config.json."""

    def __init__(self, config, classes):
        super().__init__()
        self.config = SimpleNamespace(**config)
        self.bert = Bert(self.config)
        self.classifier = nn.Linear(self.config.hidden_size, classes)

    def forward(self, input_ids, attention_mask, labels=None, output_hidden_states=False):
        states = [self.bert.embeddings(input_ids)]
        for layer in self.bert.encoder.layer:
            states.append(layer(states[-1], attention_mask))
        logits = self.classifier(self.bert.pooler(states[-1]))
        return SimpleNamespace(
            logits=logits,
            loss=None if labels is None else cross_entropy(logits, labels),
            hidden_states=states if output_hidden_states else None,
        )
