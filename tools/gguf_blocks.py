"""Writes tests/fixtures/gguf_blocks.safetensors: random blocks of each GGUF type beside their dequantisation
by the package `gguf` from PyPI. Needs gguf, numpy and safetensors; run from the top of the repository."""

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as Type
from gguf.quants import dequantize
from safetensors.numpy import save_file

BLOCKS = 16
# Where the f16 scales and minima of a block stand; all other bytes are free.
HALVES = {
    Type.F32: [], Type.F16: [0], Type.BF16: [],
    Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0],
    Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208],
}
# Zero of both signs, the smallest and largest subnormals, a negative subnormal, one, the largest numbers.
SPECIAL = [0x0000, 0x8000, 0x0001, 0x03FF, 0x8001, 0x3C00, 0x7BFF, 0xFBFF]


def halves(rng, n):
    """n finite f16 of any size and sign as bit patterns, the special ones first."""
    bits = rng.integers(0, 1 << 16, n, dtype=np.uint16)
    bits = np.where((bits & 0x7C00) == 0x7C00, bits & 0xBFFF, bits)
    bits[: len(SPECIAL)] = SPECIAL
    return rng.permutation(bits)


def main():
    rng = np.random.default_rng(20240229)
    tensors = {}
    for kind, places in HALVES.items():
        _, size = GGML_QUANT_SIZES[kind]
        blocks = rng.integers(0, 256, (BLOCKS, size), dtype=np.uint8)
        if kind == Type.F32:
            blocks = rng.normal(size=(BLOCKS, 1)).astype(np.float32).view(np.uint8)
        if kind == Type.BF16:
            blocks = rng.normal(size=(BLOCKS, 1)).astype(np.float32).view(np.uint8)[:, 2:]
        for place in places:
            blocks[:, place : place + 2] = halves(rng, BLOCKS)[:, None].view(np.uint8)
        blocks = np.ascontiguousarray(blocks)
        with np.errstate(over="ignore"):
            values = dequantize(blocks, kind).astype(np.float32)
        assert np.isfinite(values).all(), kind
        tensors[f"{kind.name}.bytes"] = blocks
        tensors[f"{kind.name}.values"] = np.ascontiguousarray(values)
    save_file(tensors, "tests/fixtures/gguf_blocks.safetensors")


if __name__ == "__main__":
    main()
