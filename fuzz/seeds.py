"""Writes the first inputs of each fuzz target into corpus/: parts of tests/fixtures, and small files made here. Needs
nothing but Python; run by `run`."""

import io
import json
import struct
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
FIXTURES = HERE.parent / "tests/fixtures"
QUICKSTART = HERE.parent / "configs/quickstart"


def put(target, name, content):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def read(path):
    return path.read_bytes() if path.is_file() else b""


def header(path):
    """The JSON of a safetensors file."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return content[8 : 8 + length].rstrip()


def small(config, shapes):
    """A safetensors header of f32 tensors, one after another."""
    table, at = {}, 0
    for name, shape in shapes.items():
        size = 4
        for side in shape:
            size *= side
        table[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    return json.dumps(config).encode(), json.dumps(table).encode()


def folders():
    """config.json, index and header of small models; the fixtures' own headers are longer."""
    opt = {
        "model_type": "opt", "vocab_size": 6, "hidden_size": 4, "word_embed_proj_dim": 4, "ffn_dim": 8,
        "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 16,
    }
    tensors = {"embed_tokens.weight": [6, 4], "layers.0.fc1.weight": [8, 4], "layers.0.fc1.bias": [8], "score.weight": [3, 4]}
    config, table = small(opt, tensors)
    put("folder", "small", b"\0".join([config, b"", table]))
    index = json.dumps({"weight_map": dict.fromkeys(tensors, "a.safetensors")}).encode()
    put("folder", "index", b"\0".join([config, index, table]))
    whole = struct.pack("<Q", len(table)) + table + bytes(4 * (24 + 32 + 8 + 12))
    put("folder", "whole", b"\0".join([config, b"", whole]))
    for model in sorted(FIXTURES.glob("*/config.json")):
        put("folder", model.parent.name, b"\0".join([model.read_bytes(), b"", header(model.parent / "model.safetensors")]))


def gguf():
    """A LLaMA of one layer with either tokenizer."""

    def text(value):
        return struct.pack("<Q", len(value.encode())) + value.encode()

    def entry(key, kind, value):
        return text(key) + struct.pack("<I", kind) + value

    def texts(key, items):
        return entry(key, 9, struct.pack("<IQ", 8, len(items)) + b"".join(map(text, items)))

    def numbers(key, kind, form, items):
        return entry(key, 9, struct.pack("<IQ", kind, len(items)) + struct.pack(f"<{len(items)}{form}", *items))

    def integer(key, value):
        return entry(key, 4, struct.pack("<I", value))

    sizes = {
        "block_count": 1, "context_length": 16, "embedding_length": 8, "feed_forward_length": 12,
        "attention.head_count": 2, "attention.head_count_kv": 1,
    }
    common = [entry("general.architecture", 8, text("llama"))]
    common += [integer(f"llama.{key}", value) for key, value in sizes.items()]
    common += [entry("llama.attention.layer_norm_rms_epsilon", 6, struct.pack("<f", 1e-5))]
    bpe = [
        entry("tokenizer.ggml.model", 8, text("gpt2")),
        entry("tokenizer.ggml.pre", 8, text("smollm")),
        texts("tokenizer.ggml.tokens", ["<s>", "A", "C", "AC", "1", "2", "12", "Ġ"]),
        numbers("tokenizer.ggml.token_type", 5, "i", [3, 1, 1, 1, 1, 1, 1, 1]),
        texts("tokenizer.ggml.merges", ["A C", "1 2"]),
        integer("tokenizer.ggml.bos_token_id", 0),
    ]
    pieces = [
        entry("tokenizer.ggml.model", 8, text("llama")),
        texts("tokenizer.ggml.tokens", ["<unk>", "<s>", "<0x54>", "▁", "A", "C", "AC", "▁AC"]),
        numbers("tokenizer.ggml.scores", 6, "f", [0, 0, 0, -3, -4, -5, -1, -2]),
        numbers("tokenizer.ggml.token_type", 5, "i", [2, 3, 6, 1, 1, 1, 1, 1]),
        integer("tokenizer.ggml.bos_token_id", 1),
        entry("tokenizer.ggml.add_bos_token", 7, b"\1"),
    ]
    for name, tokenizer, kinds in [("bpe", bpe, [0]), ("pieces", pieces, [1, 30]), ("quantised", bpe, [2, 8, 12, 14])]:
        tensors = [("token_embd.weight", [8, 8], 0), ("blk.0.attn_q.weight", [8, 8], 0), ("blk.0.attn_norm.weight", [8], 0)]
        tensors += [(f"blk.0.ffn_{i}.weight", [256, 2], kind) for i, kind in enumerate(kinds)]
        table, data = b"", b""
        size = {0: 4, 1: 2, 30: 2, 2: 18 / 32, 8: 34 / 32, 12: 144 / 256, 14: 210 / 256}
        for tensor, shape, kind in tensors:
            data += bytes(-len(data) % 32)
            table += text(tensor) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, len(data))
            count = shape[0] * (shape[1] if len(shape) > 1 else 1)
            data += bytes(int(count * size[kind]))
        metadata = common + tokenizer
        file = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)) + b"".join(metadata) + table
        put("gguf", name, file + bytes(-len(file) % 32) + data)


def tokenizers():
    """tokenizer_config, special_tokens_map, vocab.json, merges.txt, vocab.txt and tokenizer.json."""
    vocabulary = {"<s>": 0, "<pad>": 1, "</s>": 2, "A": 3, "C": 4, "AC": 5, "[UNK]": 6, "[CLS]": 7, "##C": 8}
    words = json.dumps(vocabulary).encode()
    settings = json.dumps({"add_bos_token": True, "bos_token": {"content": "<s>"}, "tokenizer_class": "GPT2Tokenizer"})
    merges = b"#version: 0.2\nA C\n"
    put("tokenizer", "gpt2", b"\0".join([settings.encode(), b"", words, merges, b"", b""]))
    put("tokenizer", "word-pieces", b"\0".join([b"", b"", b"", b"", "\n".join(vocabulary).encode(), b""]))
    special = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
               "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
               "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}}
    added = [{"id": 0, "content": "<s>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}]
    models = {
        "bpe": {"type": "BPE", "unk_token": "<s>", "vocab": vocabulary, "merges": ["A C"]},
        "word-piece": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocabulary},
        "word-level": {"type": "WordLevel", "unk_token": "<s>", "vocab": vocabulary},
        "unigram": {"type": "Unigram", "unk_id": 0, "byte_fallback": False, "vocab": [["<s>", 0.0], ["A", -1.0], ["AC", -0.5]]},
    }
    befores = [{"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
               {"type": "BertPreTokenizer"},
               {"type": "Split", "pattern": {"Regex": "(?i:'s)|\\p{N}{1,3}"}, "behavior": "Isolated", "invert": False},
               {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}]
    normalizers = [None, {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": False},
                   {"type": "NFC"}, {"type": "Prepend", "prepend": "▁"}]
    for (name, model), before, normalizer in zip(models.items(), befores, normalizers):
        file = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": normalizer,
                "pre_tokenizer": before, "post_processor": special, "decoder": None, "model": model}
        put("tokenizer", name, b"\0" * 5 + json.dumps(file).encode())


def pytorch():
    """A table of one tensor as each container has it."""

    def tensor(storage):
        return (
            b"ctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\n" + storage + b"\nX\1\0\0\0" b"0X\3\0\0\0cpuK\x18tQK\0"
            b"K\6K\4\x86K\4K\1\x86\x89ccollections\nOrderedDict\n)RtR"
        )

    name = b"X\x13\0\0\0embed_tokens.weight"
    for storage, size in [(b"FloatStorage", 4), (b"BFloat16Storage", 2)]:
        pickle = b"\x80\2ccollections\nOrderedDict\n)R(" + name + tensor(storage) + b"u}X\x09\0\0\0_metadataN" b"sb."
        for method in [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]:
            content = io.BytesIO()
            with zipfile.ZipFile(content, "w", method) as archive:
                archive.writestr("model/data.pkl", pickle)
                archive.writestr("model/byteorder", "little")
                archive.writestr("model/data/0", bytes(range(24 * size)))
                archive.writestr("model/version", "3\n")
            put("pytorch", f"{storage.decode()}-{method}", content.getvalue())
        # Its persistent ids also speak of views.
        pickle = pickle.replace(b"K\x18tQ", b"K\x18NtQ")
        magic = b"\x80\2\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\2M\xe9\3.\x80\2}(X\x0d\0\0\0little_endian\x88u."
        keys = b"\x80\2]X\1\0\0\0" b"0a."
        put("pytorch", f"{storage.decode()}-legacy", magic + pickle + keys + struct.pack("<q", 24) + bytes(range(24 * size)))


def peft():
    for folder in sorted((FIXTURES / "peft").glob("opt_*")):
        files = [(folder / "adapter_config.json").read_bytes(), header(folder / "adapter_model.safetensors")]
        put("peft", folder.name, b"\0".join(files))
    path = "base_model.model.model.decoder.layers.0.fc2.lora_"
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 8, "alpha_pattern": {"fc2": 4}, "rank_pattern": {}}
    put("peft", "small", b"\0".join(small(config, {path + "A.weight": [2, 8], path + "B.weight": [8, 2]})))


def data():
    rows = read(QUICKSTART / "data/dev.csv").splitlines()[:3]
    put("csv", "rows", b"\n".join(rows) + b"\n")
    put("csv", "quoted", b'\xef\xbb\xbfid,"Sequence",label\r\na,"ACGU",0\r\n"b ""c""", nnry ,1\r\n')
    put("csv", "lists", b'sequence,label\nACGT,"[0, 1, NA]"\nAC,[1 0 0]\n')
    put("csv", "columns", b"sequence,a,b\nACGT,1,\nGGT,0,1\n")
    put("fasta", "folded", b">one first\r\nACG\r\nuun\r\n\r\n>two\nRYK")
    put("fasta", "mark", b"\xef\xbb\xbf>one\nACGT\n")
    for path in sorted((FIXTURES / "deepsea").glob("*.mat")):
        put("mat", path.stem, path.read_bytes())


for write in [folders, gguf, tokenizers, pytorch, peft, data]:
    write()
