"""Values of scikit-learn 1.9.1 and SciPy 1.17.1 (numpy 2.4.6) for the random cases of tests/classification_metrics.rs.

Run in this folder: python export.py
"""

import pathlib
import sys
import warnings

import numpy as np
import scipy
import sklearn
from scipy import optimize, special, stats
from sklearn import calibration, metrics

FOLDER = pathlib.Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent))
from random_cases import CASES, SplitMix64, write  # noqa: E402

found = (sklearn.__version__, scipy.__version__, np.__version__)
assert found == ("1.9.1", "1.17.1", "2.4.6"), found
warnings.simplefilter("ignore")

NAN = float("nan")
BETAS = [1.0, 0.5, 2.0, 0.0, float("inf")]


def predictions(rng, case):
    """Labels that are skewed, predictions that are often right; every eighth case has one label."""
    classes, n = rng.between(2, 12), rng.between(1, 40)
    classes = 1 if case % 8 == 7 else classes
    step = 1 + case % 3
    truth = [min(rng.below(classes), rng.below(classes)) * step for _ in range(n)]
    predicted = [t if rng.below(2) else rng.below(classes) * step for t in truth]
    return truth, predicted


def scores(truth, predicted, case, average, labels=None):
    settings = {"beta": BETAS[case % 5], "zero_division": [0.0, 1.0, np.nan][case % 3]}
    values = metrics.precision_recall_fscore_support(truth, predicted, average=average, labels=labels, **settings)
    return values[:3]


def single_label(rng, case):
    truth, predicted = predictions(rng, case)
    averages = [value for way in ["macro", "weighted", "micro"] for value in scores(truth, predicted, case, way)]
    kappas = [metrics.cohen_kappa_score(truth, predicted, weights=w) for w in [None, "linear", "quadratic"]]
    return [
        metrics.accuracy_score(truth, predicted), metrics.balanced_accuracy_score(truth, predicted),
        # With one class in the truth chance is perfect, and the scaling divides by 0.
        metrics.balanced_accuracy_score(truth, predicted, adjusted=True) if len(set(truth)) > 1 else NAN,
        metrics.matthews_corrcoef(truth, predicted), *kappas, *averages,
    ]


def some_labels(rng, case):
    """Of labels that may never occur."""
    truth, predicted = predictions(rng, case)
    labels = [rng.below(4), 4 + rng.below(4), 8 + rng.below(20)]
    averages = [scores(truth, predicted, case, way, labels)[2] for way in ["macro", "weighted", "micro"]]
    each = [value for triple in zip(*scores(truth, predicted, case, None, labels)) for value in triple]
    cells = [NAN] * 3
    if set(labels) & set(truth):
        ways = ["true", "pred", "all"]
        cells = [metrics.confusion_matrix(truth, predicted, labels=labels, normalize=way)[0, 0] for way in ways]
    return [*averages, *each[:6], *cells]


def label_sets(rng, case):
    n, labels = rng.between(1, 20), rng.between(2, 6)
    rarity = rng.between(2, 6)
    truth = np.array([[int(rng.below(rarity) == 0) for _ in range(labels)] for _ in range(n)])
    predicted = np.array([[t if rng.below(3) else int(rng.below(rarity) == 0) for t in row] for row in truth])
    ways = ["macro", "weighted", "micro", "samples"]
    averages = [value for way in ways for value in scores(truth, predicted, case, way)[1:]]
    return [metrics.accuracy_score(truth, predicted), metrics.hamming_loss(truth, predicted), *averages]


def two_classes(rng, case):
    """Scores with ties in every second case; one class only now and then."""
    n = rng.between(1, 50)
    rarity = rng.between(2, 8)
    truth = [rng.below(rarity) == 0 for _ in range(n)]
    values = [rng.below(6) / 5 if case % 2 else rng.unit() for _ in range(n)]
    bins = rng.between(1, 12)
    out = [
        metrics.roc_auc_score(truth, values),
        metrics.average_precision_score(truth, values) if any(truth) else NAN,
        metrics.brier_score_loss(truth, values, pos_label=True),
    ]
    for strategy in ["uniform", "quantile"]:
        share, mean = calibration.calibration_curve(truth, values, n_bins=bins, strategy=strategy, pos_label=True)
        edges = np.linspace(0, 1, bins + 1)
        edges = np.percentile(values, edges * 100) if strategy == "quantile" else edges
        counts = np.bincount(np.searchsorted(edges[1:-1], values), minlength=bins)
        counts = counts[counts > 0]
        out += [len(share), share.sum(), mean.sum(), (counts / n * np.abs(share - mean)).sum()]
    return out


def many_classes(rng, case):
    """Probabilities of whole weights, so that ties occur; classes may have no example."""
    classes, n = rng.between(3, 6), rng.between(2, 40)
    truth = [min(rng.below(classes), rng.below(classes)) for _ in range(n)]
    rows = []
    for t in truth:
        weights = [rng.below(5) for _ in range(classes)]
        weights[t] += 1 + rng.below(3)
        total = sum(weights)
        rows.append([weight / total for weight in weights])
    labels, rows = list(range(classes)), np.array(rows)
    several = len(set(truth)) > 1

    def area(way, average):
        return metrics.roc_auc_score(truth, rows, multi_class=way, average=average, labels=labels)

    whole = len(set(truth)) == classes
    precisions = [metrics.average_precision_score(truth, rows, average=way) if whole else NAN
                  for way in ["macro", "weighted"]]
    k = rng.between(1, classes)
    return [
        area("ovr", "macro"), area("ovr", "weighted") if several else NAN, area("ovr", "micro"),
        area("ovo", "macro") if several else NAN, area("ovo", "weighted") if several else NAN, *precisions,
        metrics.top_k_accuracy_score(truth, rows, k=k, labels=labels),
        metrics.log_loss(truth, rows, labels=labels), metrics.brier_score_loss(truth, rows, labels=labels),
    ]


def temperatures(rng, _case):
    """The zero of the derivative of log_loss by 1 / T; undefined outside T in [0.001, 1000]."""
    classes, n = rng.between(2, 5), rng.between(2, 40)
    truth = [rng.below(classes) for _ in range(n)]
    logits = []
    scale = 1.0 + rng.unit() * 9.0
    for t in truth:
        row = [(rng.unit() - 0.5) * scale for _ in range(classes)]
        row[t] += rng.unit() * 3.0
        logits.append(row)
    logits, labels = np.array(logits), list(range(classes))
    own = logits[np.arange(n), truth]

    def slope(inverse):
        return np.mean((special.softmax(logits * inverse, axis=1) * logits).sum(axis=1) - own)

    def loss(inverse):
        return metrics.log_loss(truth, special.softmax(logits * inverse, axis=1), labels=labels)

    if slope(1e-3) >= 0 or slope(1e3) <= 0:
        return [NAN, NAN, NAN]
    inverse = optimize.brentq(slope, 1e-3, 1e3, xtol=1e-15, rtol=1e-15)
    return [1 / inverse, loss(1.0), loss(inverse)]


def regression(rng, case):
    n = rng.between(1, 40)
    truth = rng.sample(n, case)
    predicted = rng.sample(n, case // 5)
    if case % 3 == 0:
        predicted = [t + 0.25 * p for t, p in zip(truth, predicted)]
    varies = len(set(truth)) > 1 and len(set(predicted)) > 1
    out = [
        metrics.mean_squared_error(truth, predicted), metrics.root_mean_squared_error(truth, predicted),
        metrics.mean_absolute_error(truth, predicted),
        metrics.r2_score(truth, predicted, force_finite=False) if len(set(truth)) > 1 else NAN,
    ]
    if not varies:
        return out + [NAN] * 3
    return out + [stats.pearsonr(truth, predicted).statistic, stats.spearmanr(truth, predicted).statistic,
                  stats.kendalltau(truth, predicted).statistic]


for function in [single_label, some_labels, label_sets, two_classes, many_classes, temperatures, regression]:
    rng = SplitMix64(sum(map(ord, function.__name__)))
    write(FOLDER, function.__name__, [function(rng, case) for case in range(CASES)])
