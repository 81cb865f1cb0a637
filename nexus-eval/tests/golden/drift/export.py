"""Writes expected.json: drift statistics by numpy and scipy, of samples that drift.rs makes by the same generator.

Run with numpy 2.4.6 and scipy 1.17.1:  python export.py
"""

import json
import math
import pathlib
import warnings

import numpy as np
import scipy
from scipy.spatial.distance import cosine, pdist
from scipy.stats import ks_2samp, kstwobign

assert np.__version__ == "2.4.6" and scipy.__version__ == "1.17.1"
# An exact p that scipy could not compute would be a warning.
warnings.simplefilter("error")

MASK = (1 << 64) - 1


class SplitMix64:
    """Steele, Lea and Flood 2014."""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    def below(self, bound):
        return self.next() % bound

    def unit(self):
        return (self.next() >> 11) / 2.0**53


def value(rng, kind):
    """Of a continuous distribution, of few values, of many ties, or mostly 0."""
    if kind == 0:
        return rng.unit() + rng.unit() + rng.unit()
    if kind == 1:
        return math.floor(rng.unit() * 4.0)
    if kind == 2:
        return math.floor(rng.unit() * rng.unit() * 50.0)
    return 0.0 if rng.unit() < 0.9 else rng.unit()


def samples(seed, most):
    rng = SplitMix64(seed)
    n, m, kind = 1 + rng.below(most), 1 + rng.below(most), rng.below(4)
    shift = rng.below(5) / 10.0 if kind in (0, 3) else float(rng.below(3))
    a = np.array([value(rng, kind) for _ in range(n)], dtype=float)
    b = np.array([value(rng, kind) + shift for _ in range(m)], dtype=float)
    return a, b, 2 + rng.below(9)


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
    if len(a) * len(b) <= 10_000_000:
        test = ks_2samp(a, b, method="exact")
        statistic, p = float(test.statistic), float(test.pvalue)
    else:
        statistic = float(ks_2samp(a, b, method="asymp").statistic)
        p = float(kstwobign.sf(statistic * math.sqrt(len(a) * len(b) / (len(a) + len(b)))))
    return [statistic, p, stability(a, b, bins) if len(a) >= bins else None]


def embeddings(seed):
    rng = SplitMix64(seed)
    n, m, d, shift = 2 + rng.below(30), 2 + rng.below(30), 1 + rng.below(8), rng.below(4) / 4.0
    a = np.array([[rng.unit() for _ in range(d)] for _ in range(n)])
    b = np.array([[rng.unit() + shift for _ in range(d)] for _ in range(m)])
    distances = pdist(np.concatenate([a, b]))
    width = float(np.median(distances[distances > 0]))
    kernel = lambda x, y: np.exp(-((x[:, None] - y[None]) ** 2).sum(-1) / (2 * width**2))
    off = lambda k: k[~np.eye(len(k), dtype=bool)].mean()
    value = off(kernel(a, a)) + off(kernel(b, b)) - 2 * kernel(a, b).mean()
    return [float(cosine(a.mean(0), b.mean(0))), float(value), width]


expected = {
    "numbers": [numbers(seed, 60) for seed in range(2000)],
    # The seeds of large samples: the product of sizes on both sides of ten million.
    "large": {seed: numbers(seed, 8000) for seed in range(5000, 5010)},
    "embeddings": [embeddings(seed) for seed in range(9000, 9200)],
}
path = pathlib.Path(__file__).parent / "expected.json"
path.write_text(json.dumps(expected, separators=(",", ":")).replace("],", "],\n") + "\n")
