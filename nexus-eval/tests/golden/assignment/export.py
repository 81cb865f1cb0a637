"""The variants that Python's hashlib gives the units of tests/ab.rs, by the definition in ab/assignment.rs.

Run in this folder: python export.py
"""

import hashlib
import pathlib
import sys

FOLDER = pathlib.Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent))
from random_cases import CASES, write  # noqa: E402

WEIGHTS = [[1, 1], [90, 10], [1, 2, 3, 4], [4294967295, 1, 7]]
SALTS = ["checkout", "Größe-2", "実験", "a b"]
UNITS = ["user-{}", "ünit {}", "用户{}", "{}"]


def variant(salt, unit, weights):
    digest = hashlib.sha256(salt.encode() + b"\0" + unit.encode()).digest()
    point = (int.from_bytes(digest[:8], "big") * sum(weights)) >> 64
    return next(i for i in range(len(weights)) if sum(weights[: i + 1]) > point)


rows = [[variant(salt, unit.format(case), weights) for salt, unit, weights in zip(SALTS, UNITS, WEIGHTS)]
        for case in range(CASES)]
write(FOLDER, "variants", rows)
