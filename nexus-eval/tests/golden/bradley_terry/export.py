"""Strengths of the Bradley-Terry model for seeded random tournaments.

Versions: scikit-learn 1.9.1, scipy 1.17.1, numpy 2.4.6.

    python export.py    # writes strengths.json beside this file

tests/leaderboard.rs makes the same tournaments. Each has two fits: by scikit-learn's
logistic regression with the L2 penalty of a normal prior (C = variance, no intercept), and, where the unpenalised
maximum exists, by scipy's root finder on the gradient of the likelihood. A tie is half a win for each side.
"""

import json
import sys
from pathlib import Path

import numpy as np
import scipy
import sklearn
from scipy.optimize import root
from scipy.sparse.csgraph import connected_components
from sklearn.linear_model import LogisticRegression

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent))
from random_cases import SplitMix64  # noqa: E402

assert (sklearn.__version__, scipy.__version__, np.__version__) == ("1.9.1", "1.17.1", "2.4.6")

TOURNAMENTS = 1000
PRIOR_VARIANCE = 2.5


def tournament(seed):
    """Number of players and (a, b, wins, losses, ties)."""
    random = SplitMix64(seed)
    players = random.between(2, 7)
    scale = [2, 10, 100, 10000][random.below(4)]
    pairs = []
    for b in range(1, players):
        for a in range(b):
            if random.below(5) > 0:
                pairs.append((a, b, random.below(scale), random.below(scale), random.below(scale)))
    return players, pairs


def scores(pairs):
    for a, b, wins, losses, ties in pairs:
        yield a, b, wins + ties / 2
        yield b, a, losses + ties / 2


def penalised(players, pairs):
    rows, labels, weights = [], [], []
    for winner, loser, weight in scores(pairs):
        if weight > 0:
            # Each outcome once as a win and, mirrored, as a loss: both labels occur and the sum stays the same.
            for sign, label in ((1.0, 1), (-1.0, 0)):
                row = np.zeros(players)
                row[winner], row[loser] = sign, -sign
                rows.append(row)
                labels.append(label)
                weights.append(weight / 2)
    if not rows:
        return [0.0] * players
    model = LogisticRegression(
        C=PRIOR_VARIANCE, fit_intercept=False, solver="newton-cholesky", tol=1e-13, max_iter=1000
    )
    model.fit(np.array(rows), labels, sample_weight=weights)
    return model.coef_[0].tolist()


def likeliest(players, pairs):
    beats = np.zeros((players, players))
    for winner, loser, weight in scores(pairs):
        beats[winner, loser] = weight
    groups, _ = connected_components(beats > 0, directed=True, connection="strong")
    if groups > 1:
        return None

    def gradient(strengths):
        p = 1 / (1 + np.exp(strengths[None, :] - strengths[:, None]))
        g = (beats * (1 - p) - beats.T * p).sum(axis=1)
        # The gradients sum to 0; the first equation is replaced by the mean that the strengths shall have.
        g[0] = strengths.mean() * beats.sum()
        return g

    def jacobian(strengths):
        p = 1 / (1 + np.exp(strengths[None, :] - strengths[:, None]))
        h = (beats + beats.T) * p * (1 - p)
        j = h - np.diag(h.sum(axis=1))
        j[0] = beats.sum() / players
        return j

    found = root(gradient, np.zeros(players), jac=jacobian, method="hybr", tol=1e-15)
    strengths = found.x
    for _ in range(3):  # last digits
        strengths = strengths - np.linalg.solve(jacobian(strengths), gradient(strengths))
    assert np.abs(gradient(strengths)).max() <= 1e-9 * max(1.0, beats.sum()), found
    return (strengths - strengths.mean()).tolist()


cases = []
for seed in range(TOURNAMENTS):
    players, pairs = tournament(seed)
    cases.append([penalised(players, pairs), likeliest(players, pairs)])
with open(FOLDER / "strengths.json", "w") as file:
    json.dump({"prior_variance": PRIOR_VARIANCE, "cases": cases}, file, separators=(",", ":"))
    file.write("\n")
print(sum(case[1] is None for case in cases), "of", len(cases), "have no unpenalised maximum")
