"""The random inputs of golden cases, the same as in tests/random_cases/mod.rs, and the form of their values.

Only exact operations (integers, sums and products of doubles) are used, so that both sides have equal inputs.
"""

import pathlib

CASES = 2000
MASK = (1 << 64) - 1


class SplitMix64:
    """Steele, Lea and Flood (2014), Fast splittable pseudorandom number generators."""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    def below(self, n):
        """A whole number in [0, n)."""
        return (self.next() * n) >> 64

    def between(self, low, high):
        """A whole number in [low, high]."""
        return low + self.below(high - low + 1)

    def unit(self):
        """A number in [0, 1)."""
        return (self.next() >> 11) / (1 << 53)

    def sample(self, n, kind):
        """n values: near normal, tied, constant, skewed, two-valued."""
        kind %= 5
        if kind == 0:
            return [self.unit() + self.unit() + self.unit() + self.unit() - 2.0 for _ in range(n)]
        if kind == 1:
            return [float(self.below(5)) for _ in range(n)]
        if kind == 2:
            value = float(self.below(3))
            return [value for _ in range(n)]
        if kind == 3:
            values = [self.unit() for _ in range(n)]
            return [u * u * u * 10.0 for u in values]
        return [float(self.below(2)) for _ in range(n)]


COLUMNS = 5


def write(folder, name, rows):
    """One line a case, COLUMNS values a file, which keeps the files below 200 KB; `nan` is undefined."""
    for part, start in enumerate(range(0, len(rows[0]), COLUMNS)):
        text = "".join(" ".join(repr(float(value)) for value in row[start : start + COLUMNS]) + "\n" for row in rows)
        path = pathlib.Path(folder) / f"{name}.{part}.txt"
        path.write_text(text, encoding="utf-8")
        print(path.name, len(rows), "cases", path.stat().st_size, "bytes")
