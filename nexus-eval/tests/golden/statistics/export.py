"""Values of SciPy 1.17.1 and statsmodels 0.15.0 (numpy 2.4.6) for the random cases of tests/statistics.rs.

Run in this folder: python export.py
"""

import pathlib
import sys
import warnings

import numpy as np
import scipy
import statsmodels
from scipy import optimize, special, stats
from statsmodels.stats import contingency_tables, multitest, power, proportion

FOLDER = pathlib.Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent))
from random_cases import CASES, SplitMix64, write  # noqa: E402

found = (scipy.__version__, statsmodels.__version__, np.__version__)
assert found == ("1.17.1", "0.15.0", "2.4.6"), found
warnings.simplefilter("ignore")

ALTERNATIVES = ["two-sided", "less", "greater"]
NAMES = {"two-sided": "two-sided", "less": "smaller", "greater": "larger"}
UNDEFINED = [float("nan"), float("nan")]


def both(result):
    """Statistic and p-value; an infinite statistic comes from no variance and counts as undefined."""
    pair = [float(result[0]), float(result[1])]
    return pair if np.isfinite(pair[0]) and not np.isnan(pair[1]) else UNDEFINED


def distributions(rng, _case):
    z, p = rng.unit() * 16 - 8, rng.unit()
    t, df = rng.unit() * 20 - 10, rng.unit() * (10 ** rng.below(5)) + 0.1
    x = rng.unit() * df * 3
    n = rng.between(1, 10 ** rng.between(1, 6))
    k = rng.below(n + 1)
    near = min(1.0, max(0.0, k / n + (rng.unit() - 0.5) * 0.02))
    nc = rng.unit() * 12 - 6
    return [
        stats.norm.cdf(z), stats.norm.ppf(p), stats.t.sf(t, df), stats.t.ppf(p, df),
        stats.chi2.sf(x, df), stats.chi2.ppf(p, df), stats.binom.cdf(k, n, near), special.nctdtr(df, nc, t),
    ]


def tails(rng, _case):
    """Logarithms, so that the relative error of small tails is seen."""
    z, t, df = rng.unit() * 30, rng.unit() * 50, rng.between(1, 200)
    x = rng.unit() * 500
    with np.errstate(divide="ignore"):
        return np.log([stats.norm.sf(z), stats.t.sf(t, df), stats.chi2.sf(x, df)])


def intervals(rng, case):
    n, m = rng.between(1, 300), rng.between(1, 300)
    x, y = rng.below(n + 1), rng.below(m + 1)
    if case % 10 == 0:
        x = 0
    if case % 10 == 1:
        x, y = n, m
    level = 0.5 + rng.below(50) / 100
    values = rng.sample(rng.between(2, 30), case)
    low, high = proportion.proportion_confint(x, n, alpha=1 - level, method="wilson")
    a, b = proportion.confint_proportions_2indep(x, n, y, m, method="newcomb", compare="diff", alpha=1 - level)
    half = stats.t.ppf(0.5 + level / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return [low, high, a, b, np.mean(values) - half, np.mean(values) + half]


def proportions(rng, case):
    side = ALTERNATIVES[case % 3]
    largest = [12, 60, 2000][case // 3 % 3]
    n, m = rng.between(1, largest), rng.between(1, largest)
    x, y = rng.below(n + 1), rng.below(m + 1)
    if case % 7 == 0:
        x, y = x // 10, y // 10
    if case % 7 == 1:
        m, y = n, n - x
    z = both(proportion.proportions_ztest([x, y], [n, m], alternative=NAMES[side]))
    fisher = stats.fisher_exact([[x, n - x], [y, m - y]], alternative=side)
    odds = float("nan") if x + y in (0, n + m) else fisher.statistic
    table = [[0, x], [y, 0]]
    exact = contingency_tables.mcnemar(table, exact=True)
    plain = contingency_tables.mcnemar(table, exact=False, correction=False)
    corrected = contingency_tables.mcnemar(table, exact=False, correction=True)
    return [
        *z, odds, float("nan") if np.isnan(odds) else fisher.pvalue,
        exact.statistic, exact.pvalue, *both((plain.statistic, plain.pvalue)),
        *both((corrected.statistic, corrected.pvalue)),
    ]


def fits(rng, _case):
    cells = rng.between(2, 8)
    counts = [rng.below(200) for _ in range(cells)]
    shares = [rng.unit() + 0.1 for _ in range(cells)]
    expected = np.array(shares) / sum(shares) * sum(counts)
    return both(stats.chisquare(counts, expected, sum_check=False))


def means(rng, case):
    side = ALTERNATIVES[case % 3]
    a = rng.sample(rng.between(2, 40), case)
    b = rng.sample(rng.between(2, 40), case // 5)
    expected = rng.unit()
    c = rng.sample(len(a), case // 7)
    return [
        *both(stats.ttest_ind(a, b, equal_var=False, alternative=side)),
        *both(stats.ttest_ind(a, b, alternative=side)),
        *both(stats.ttest_1samp(a, expected, alternative=side)),
        *both(stats.ttest_rel(a, c, alternative=side)),
    ]


def confidence(rng, case):
    a = rng.sample(rng.between(2, 40), 3 * (case % 2))
    b = rng.sample(rng.between(2, 40), 3 * (case // 2 % 2))
    welch = stats.ttest_ind(a, b, equal_var=False)
    equal = stats.ttest_ind(a, b)
    return [welch.df, *welch.confidence_interval(0.95), *equal.confidence_interval(0.95)]


def ranks(rng, case):
    side = ALTERNATIVES[case % 3]
    largest = 12 if case % 2 else 60
    a = rng.sample(rng.between(1, largest), case)
    b = rng.sample(rng.between(1, largest), case // 5)
    c = rng.sample(len(a), case // 7)
    signed = UNDEFINED if a == c else stats.wilcoxon(a, c, alternative=side)
    return [*both(stats.mannwhitneyu(a, b, alternative=side)), *both(signed)]


def kolmogorov(rng, case):
    side = ALTERNATIVES[case % 3]
    largest = [10, 40, 150][case // 3 % 3]
    a = rng.sample(rng.between(1, largest), case)
    b = rng.sample(rng.between(1, largest), case // 5)
    return both(stats.ks_2samp(a, b, alternative=side))


def kolmogorov_asymptotic(rng, case):
    side = ALTERNATIVES[case % 3]
    largest = [6, 300, 2000][case // 3 % 3]
    a = rng.sample(rng.between(1, largest), case)
    b = rng.sample(rng.between(1, largest), case // 5)
    return both(stats.ks_2samp(a, b, alternative=side, method="asymp"))


def multiple(rng, _case):
    p = [rng.unit() * rng.unit() for _ in range(3)]
    p[2] = p[1] if rng.below(4) == 0 else p[2]
    methods = ["bonferroni", "holm", "fdr_bh"]
    return [value for method in methods for value in multitest.multipletests(p, method=method)[1]]


def solve(power_at, wanted, low):
    """solve_power of statsmodels ends at a tolerance of about 1e-8; this inverts its power to the last digits."""
    low, high = low + 0.01, low + 1
    while power_at(high) < wanted:
        high *= 2
    return optimize.brentq(lambda n: power_at(n) - wanted, low, high, xtol=1e-13, rtol=1e-15)


def sizes(rng, case):
    side = ALTERNATIVES[case % 3]
    alpha, ratio = 0.01 + rng.unit() * 0.14, 0.25 + rng.unit() * 3.75
    wanted = 0.5 + rng.unit() * 0.45
    sign = -1 if side == "less" else 1
    p, gap = 0.05 + rng.unit() * 0.4, 0.01 + rng.unit() * 0.4
    d, n = sign * (0.05 + rng.unit() * 1.5), rng.between(3, 500)
    q, p = (p, p + gap) if sign > 0 else (p + gap, p)
    name = NAMES[side]
    normal, student = power.NormalIndPower(), power.TTestIndPower()
    shared = {"alpha": alpha, "ratio": ratio, "alternative": name}
    plain = proportion.power_proportions_2indep(p - q, q, n, return_results=False, **shared)
    size = proportion.samplesize_proportions_2indep_onetail(p - q, q, wanted, ratio, alpha, alternative=name)
    return [
        plain, size, proportion.proportion_effectsize(p, q),
        normal.power(d, n, **shared), solve(lambda n: normal.power(d, n, **shared), wanted, 0.0),
        student.power(d, n, **shared), solve(lambda n: student.power(d, n, **shared), wanted, 2 / (1 + ratio)),
    ]


def bootstrap(rng, case):
    """Of means, and of variances in every second case of a continuous sample."""
    kind, resamples = case % 5, 200
    continuous = kind in (0, 3)
    # Means of small whole numbers are exact, so that ties with the value are ties on both sides. Other values tie only
    # where a resample is a permutation, which 16 and more examples make unlikely: rounding would decide there.
    n = rng.between(16, 40) if continuous else rng.between(2, [4, 30][case // 5 % 2])
    data = np.array(rng.sample(n, kind))
    statistic = np.var if continuous and case // 5 % 2 else np.mean
    level = [0.9, 0.95][case // 10 % 2]
    draws = np.array([rng.below(n) for _ in range(n * resamples)]).reshape(resamples, n)
    values = statistic(data[draws], axis=-1)
    result = stats.bootstrap((data,), statistic, n_resamples=2, method="percentile", rng=0)
    result.bootstrap_distribution = values
    out = []
    for method in ["percentile", "BCa"]:
        got = stats.bootstrap((data,), statistic, n_resamples=0, method=method, bootstrap_result=result,
                              confidence_level=level)
        out += [*got.confidence_interval, got.standard_error]
    return out[:5]


FAMILIES = [distributions, tails, intervals, proportions, fits, means, confidence, ranks, kolmogorov, multiple, sizes,
            kolmogorov_asymptotic, bootstrap]

for family in FAMILIES:
    # Names on the command line restrict the run to these families.
    if family.__name__ in sys.argv[1:] or len(sys.argv) == 1:
        rng = SplitMix64(sum(map(ord, family.__name__)))
        write(FOLDER, family.__name__, [family(rng, case) for case in range(CASES)])
