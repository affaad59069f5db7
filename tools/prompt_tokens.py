"""Makes tests/fixtures/prompt_tokens.json (and OPT's vocabulary, compressed): transformers' ids of random DNA.

    python tools/prompt_tokens.py --opt DIR --smollm2 FILE.gguf

DIR holds OPT's vocab.json and merges.txt; the GGUF file holds SmolLM2's tokenizer. The 24 sequences are random letters
from a seed, 20 to 300 long, some with runs of N, some in lower case, none of them real. For each there are the ids
of the bare sequence and of prefix + sequence + suffix, as `opt`, `opt_prompt`, `smollm2` and `smollm2_prompt`. OPT's
ids begin with its `</s>` (2); SmolLM2's have nothing in front.

Also written: tests/fixtures/opt_tokenizer/{vocab.json.gz, merges.txt.gz}, the two files as they are.
"""

import argparse
import gzip
import json
import random
from pathlib import Path

from transformers import AutoTokenizer, GPT2Tokenizer

FIXTURES = Path(__file__).resolve().parent.parent / "tests" / "fixtures"
PREFIX = "Domain: DNA Promoter\nSequence: "
SUFFIX = "\nAnnotation:"
SEQUENCES = 24
SEED = 2024
OPT_BOS = 2


def draw_sequences():
    generator = random.Random(SEED)
    for index in range(SEQUENCES):
        length = 20 if index == 0 else 300 if index == 1 else generator.randint(20, 300)
        # Unequal frequencies and short repeats give the long merges that uniform letters hardly meet.
        weights = [(1, 1, 1, 1), (4, 1, 1, 4), (1, 4, 4, 1)][index % 3]
        letters = generator.choices("ACGT", weights, k=length)
        if index % 4 == 1:
            unit = generator.choices("ACGT", k=generator.randint(1, 4))
            start = generator.randrange(length // 2)
            run = (unit * length)[: length // 4]
            letters[start : start + len(run)] = run
        if index % 4 == 2:
            for _ in range(generator.randint(1, 3)):
                start = generator.randrange(length)
                run = min(generator.randint(1, 12), length - start)
                letters[start : start + run] = "N" * run
        sequence = "".join(letters)
        assert len(sequence) == length
        yield sequence.lower() if index % 12 == 11 else sequence


def opt_tokenizer(folder):
    """OPT's tokenizer as its hub checkpoints configure it: their tokenizer_config.json, written out."""
    return GPT2Tokenizer.from_pretrained(
        folder,
        bos_token="</s>",
        eos_token="</s>",
        unk_token="</s>",
        pad_token="<pad>",
        add_bos_token=True,
    )


def opt_ids(tokenizer, text):
    bare = tokenizer(text, add_special_tokens=False)["input_ids"]
    with_special = tokenizer(text)["input_ids"]
    assert with_special == [OPT_BOS] + bare, (with_special[:4], bare[:4])
    return with_special


def smollm2_ids(tokenizer, text):
    ids = tokenizer(text)["input_ids"]
    assert ids == tokenizer(text, add_special_tokens=False)["input_ids"], "SmolLM2 adds nothing of its own"
    return ids


def compress(source, target):
    target.write_bytes(gzip.compress(source.read_bytes(), compresslevel=9, mtime=0))
    print(f"{target.stat().st_size:8d} {target.relative_to(FIXTURES)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--opt", type=Path, required=True, metavar="DIR", help="vocab.json and merges.txt")
    parser.add_argument("--smollm2", type=Path, required=True, metavar="FILE.gguf")
    parser.add_argument("--check", type=Path, metavar="JSON", help="known {sequence, opt_ids_with_bos}")
    args = parser.parse_args()

    opt = opt_tokenizer(args.opt)
    smollm2 = AutoTokenizer.from_pretrained(args.smollm2.parent, gguf_file=args.smollm2.name)
    if args.check is not None:
        golden = json.loads(args.check.read_text())
        for case in golden:
            assert opt_ids(opt, case["sequence"]) == case["opt_ids_with_bos"], case["sequence"]
        print(f"{len(golden)} sequences of {args.check.name}: OPT's ids are equal")

    cases = []
    for sequence in draw_sequences():
        prompt = PREFIX + sequence + SUFFIX
        case = {"sequence": sequence}
        for name, ids, tokenizer in [("opt", opt_ids, opt), ("smollm2", smollm2_ids, smollm2)]:
            case[name] = ids(tokenizer, sequence)
            case[f"{name}_prompt"] = ids(tokenizer, prompt)
            assert tokenizer.decode(case[name], skip_special_tokens=True) == sequence
            assert tokenizer.decode(case[f"{name}_prompt"], skip_special_tokens=True) == prompt
        cases.append(case)

    for name in ["opt", "smollm2"]:
        bases = sum(len(case["sequence"]) for case in cases)
        print(f"{name}: {bases / sum(len(case[name]) for case in cases):.2f} bp a token")

    file = FIXTURES / "prompt_tokens.json"
    rows = ",\n    ".join(json.dumps(case) for case in cases)
    head = f'  "prefix": {json.dumps(PREFIX)},\n  "suffix": {json.dumps(SUFFIX)},\n'
    file.write_text(f'{{\n{head}  "cases": [\n    {rows}\n  ]\n}}\n')
    assert len(json.loads(file.read_text())["cases"]) == SEQUENCES
    print(f"{file.stat().st_size:8d} {file.name}")

    folder = FIXTURES / "opt_tokenizer"
    folder.mkdir(parents=True, exist_ok=True)
    compress(args.opt / "vocab.json", folder / "vocab.json.gz")
    compress(args.opt / "merges.txt", folder / "merges.txt.gz")


if __name__ == "__main__":
    main()
