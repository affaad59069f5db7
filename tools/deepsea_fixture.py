#!/usr/bin/env python3
"""Writes what the reader of DeepSEA's files is held against: tests/fixtures/deepsea.

Needs numpy, scipy and h5py. The data is random, in the shapes, types and layouts that MATLAB gives DeepSEA's files, but short.

    train.mat         as MATLAB 7.3 writes: HDF5 after 512 bytes of its own, chunks in every dimension, gzip
    other_train.mat   HDF5 of another kind: the newest format, no block in front, shuffled doubles, sequences without chunks
    valid.mat         MATLAB 5, compressed; logical sequences, double labels
    test.mat          MATLAB 5, not compressed; the labels come first
    integers.mat      HDF5 with big-endian integers of 4 bytes, and numpy's booleans, an enumeration
    bad_*.mat         HDF5 with something wrong
    expected.json     the sequences, and the columns (counted from 0) whose labels are 1, of each file's samples
"""
import json
import pathlib

import h5py
import numpy as np
from scipy.io import savemat

FOLDER = pathlib.Path(__file__).parent.parent / "tests" / "fixtures" / "deepsea"
ROWS, COLUMNS = "AGCT", 919
random = np.random.default_rng(919)


def samples(count, positions):
    """One-hot sequences (samples, 4, positions), some of them N, and labels (samples, 919)."""
    letters = random.choice(list("ACGTN"), (count, positions), p=[0.24, 0.24, 0.24, 0.24, 0.04])
    letters[0, :3] = "N"
    one_hot = np.stack([letters == row for row in ROWS], axis=1).astype(np.uint8)
    labels = (random.random((count, COLUMNS)) < 0.03).astype(np.uint8)
    labels[0, [0, 124, 125, 814, 815, 918]] = 1
    expected = {
        "sequences": ["".join(sequence) for sequence in letters],
        "labels": [np.flatnonzero(row).tolist() for row in labels],
    }
    return one_hot, labels, expected


def as_matlab_73(path, variables, chunks):
    """HDF5 has MATLAB's dimensions in the opposite order."""
    with h5py.File(path, "w", userblock_size=512, libver="earliest") as file:
        for name, values in variables.items():
            values = values.transpose()
            options = {"chunks": chunks[values.ndim], "compression": "gzip", "compression_opts": 3} if chunks else {}
            data = file.create_dataset(name, data=values, **options)
            data.attrs["MATLAB_class"] = np.bytes_("uint8")
    text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Jan 01 00:00:00 2015 HDF5 schema 1.00 ."
    with open(path, "r+b") as file:
        file.write(text.ljust(124) + b"\x00\x02IM")


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    expected = {}

    one_hot, labels, expected["train"] = samples(20, 30)
    variables = {"traindata": labels, "trainxdata": one_hot}
    as_matlab_73(FOLDER / "train.mat", variables, {2: (300, 8), 3: (7, 3, 8)})

    one_hot, labels, expected["other_train"] = samples(6, 30)
    with h5py.File(FOLDER / "other_train.mat", "w", libver="latest") as file:
        file.create_dataset("my_xdata", data=one_hot.T)
        options = {"chunks": (COLUMNS, 4), "compression": "gzip", "shuffle": True}
        file.create_dataset("my_data", data=labels.T.astype(np.float64), **options)
        file.create_group("data").create_dataset("data", data=[1, 2, 3])
        file.create_dataset("note", data="not a variable that is looked for")

    one_hot, labels, expected["valid"] = samples(12, 40)
    variables = {"validxdata": one_hot.astype(bool), "validdata": labels.astype(np.float64), "note": "nothing"}
    savemat(FOLDER / "valid.mat", variables, do_compression=True)

    one_hot, labels, expected["test"] = samples(7, 21)
    savemat(FOLDER / "test.mat", {"testdata": labels, "other": np.eye(3), "testxdata": one_hot})

    one_hot, labels, _ = samples(2, 3)
    two, half = one_hot.copy(), labels.astype(np.float32)
    two[1, :2, 2] = 1
    half[1, 815] = 0.5
    as_matlab_73(FOLDER / "bad_no_labels.mat", {"trainxdata": one_hot}, {})
    as_matlab_73(FOLDER / "bad_three_rows.mat", {"trainxdata": one_hot[:, :3], "traindata": labels}, {})
    as_matlab_73(FOLDER / "bad_two_bases.mat", {"trainxdata": two}, {})
    as_matlab_73(FOLDER / "bad_half.mat", {"traindata": half}, {2: (919, 2)})

    one_hot, labels, expected["integers"] = samples(5, 24)
    with h5py.File(FOLDER / "integers.mat", "w") as file:
        file.create_dataset("my_xdata", data=one_hot.T.astype(">i4"), chunks=(7, 4, 2), compression="gzip")
        file.create_dataset("my_data", data=labels.T.astype(bool))
    one_hot, labels, _ = samples(2, 3)
    wide = one_hot.astype(np.int16)
    # Its lowest byte is 0.
    wide[1, 3, 1] = 256
    as_matlab_73(FOLDER / "bad_integer.mat", {"traindata": labels, "trainxdata": wide}, {})
    with h5py.File(FOLDER / "bad_text.mat", "w") as file:
        file.create_dataset("my_xdata", data=one_hot.T)
        file.create_dataset("my_data", data=labels.T.astype("S1"))

    (FOLDER / "expected.json").write_text(json.dumps(expected) + "\n")


main()
