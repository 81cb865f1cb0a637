"""Writes expected.json: drift statistics by numpy and scipy, of the samples of tests/drift.rs.

Run with numpy 2.4.6 and scipy 1.17.1:  python export.py
"""

import json
import math
import pathlib
import sys
import warnings

import numpy as np
import scipy
from scipy.spatial.distance import cosine, pdist
from scipy.stats import ks_2samp

FOLDER = pathlib.Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent))
from random_cases import CASES, SplitMix64  # noqa: E402

assert np.__version__ == "2.4.6" and scipy.__version__ == "1.17.1"
# An exact p that scipy could not compute would be a warning.
warnings.simplefilter("error")

def value(rng, kind):
    """Of a continuous distribution, of few values, of many ties, or mostly 0."""
    if kind == 0:
        return rng.unit() + rng.unit() + rng.unit()
    if kind == 1:
        return rng.below(4)
    if kind == 2:
        return math.floor(rng.unit() * rng.unit() * 50.0)
    return 0.0 if rng.unit() < 0.9 else rng.unit()


def samples(seed, most):
    rng = SplitMix64(seed)
    n, m, kind = rng.between(1, most), rng.between(1, most), rng.below(4)
    shift = rng.below(5) / 10.0 if kind in (0, 3) else float(rng.below(3))
    a = np.array([value(rng, kind) for _ in range(n)], dtype=float)
    b = np.array([value(rng, kind) + shift for _ in range(m)], dtype=float)
    return a, b, rng.between(2, 10)


def stability(reference, current, bins):
    quantiles = np.quantile(reference, np.arange(1, bins) / bins)
    values, counts = np.unique(reference, return_counts=True)
    frequent = values[counts * bins >= len(reference)]
    own = np.concatenate([frequent, np.nextafter(frequent, np.inf)])
    edges = np.union1d(quantiles, own)
    share = lambda sample: (
        np.bincount(np.searchsorted(edges, sample, side="right"), minlength=len(edges) + 1)
        / len(sample)
    )
    q, p = share(reference), share(current)
    seen = (q > 0) | (p > 0)
    q, p = np.where(q == 0, 1e-4, q)[seen], np.where(p == 0, 1e-4, p)[seen]
    return float(np.sum((p - q) * np.log(p / q)))


def numbers(seed, most):
    a, b, bins = samples(seed, most)
    test = ks_2samp(a, b, method="exact" if len(a) * len(b) <= 10_000_000 else "asymp")
    return [float(test.statistic), float(test.pvalue), stability(a, b, bins) if len(a) >= bins else None]


def embeddings(seed):
    rng = SplitMix64(seed)
    n, m, d, shift = rng.between(2, 31), rng.between(2, 31), rng.between(1, 8), rng.below(4) / 4.0
    a = np.array([[rng.unit() for _ in range(d)] for _ in range(n)])
    b = np.array([[rng.unit() + shift for _ in range(d)] for _ in range(m)])
    distances = pdist(np.concatenate([a, b]))
    width = float(np.median(distances[distances > 0]))
    kernel = lambda x, y: np.exp(-((x[:, None] - y[None]) ** 2).sum(-1) / (2 * width**2))
    off = lambda k: k[~np.eye(len(k), dtype=bool)].mean()
    value = off(kernel(a, a)) + off(kernel(b, b)) - 2 * kernel(a, b).mean()
    return [float(cosine(a.mean(0), b.mean(0))), float(value), width]


expected = {
    "numbers": [numbers(seed, 60) for seed in range(CASES)],
    # The seeds of large samples: the product of sizes on both sides of ten million.
    "large": {seed: numbers(seed, 8000) for seed in range(5000, 5010)},
    "embeddings": [embeddings(seed) for seed in range(9000, 9200)],
}
(FOLDER / "expected.json").write_text(json.dumps(expected, separators=(",", ":")).replace("],", "],\n") + "\n")
