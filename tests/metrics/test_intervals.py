"""Intervals against plain loops and SciPy, and their coverage of the true value."""

import numpy as np
import pytest
from scipy import stats

from jaxseg import metrics
from jaxseg.metrics import image_intervals, intervals, seed_intervals
from jaxseg.metrics.intervals import Interval


def confusions(seed, images=12, classes=4, skill=0.6):
    """Random images that differ in content and in difficulty."""
    rng = np.random.default_rng(seed)
    result = np.zeros((images, classes, classes), np.int64)
    for counts in result:
        truth = rng.choice(classes, 400, p=rng.dirichlet(np.full(classes, 0.5)))
        right = rng.random(400) < np.clip(rng.normal(skill, 0.15), 0, 1)
        guess = np.where(right, truth, rng.integers(0, classes, 400))
        np.add.at(counts, (truth, guess), 1)
    return result


def improved(counts, share, seed=0):
    """Returns the same truth with a share of the errors corrected."""
    rng = np.random.default_rng(seed)
    off = counts * (1 - np.eye(counts.shape[1], dtype=int))
    fixed = rng.binomial(off, share)
    result = counts - fixed
    index = np.arange(counts.shape[1])
    result[:, index, index] += fixed.sum(axis=2)
    return result


def resampled_by_loop(counts, resamples, seed):
    rng = np.random.default_rng(seed)
    for _ in range(resamples):
        chosen = rng.integers(len(counts), size=len(counts))
        yield metrics.summarize(counts[chosen].sum(axis=0)).miou


@pytest.mark.parametrize("draws", [1, 50, 10**6])
def test_bootstrap_equals_a_loop_over_resamples(draws, monkeypatch):
    monkeypatch.setattr(image_intervals, "_DRAWS", draws)
    counts = confusions(0)
    found = image_intervals.bootstrap_miou(counts, resamples=200, seed=5, level=0.9)
    loop = list(resampled_by_loop(counts, 200, 5))
    np.testing.assert_allclose([found.low, found.high], np.quantile(loop, [0.05, 0.95]))
    np.testing.assert_allclose(found.estimate, metrics.summarize(counts.sum(axis=0)).miou)
    assert found.level == 0.9
    assert found.low < found.estimate < found.high


def test_bootstrap_agrees_with_scipy():
    counts = confusions(1, images=40)

    def miou(chosen):
        return metrics.summarize(counts[chosen.astype(int)].sum(axis=0)).miou

    theirs = stats.bootstrap(
        (np.arange(40),), miou, n_resamples=2000, method="percentile", vectorized=False, rng=0
    ).confidence_interval
    ours = image_intervals.bootstrap_miou(counts, resamples=20_000)
    spread = ours.high - ours.low
    np.testing.assert_allclose([ours.low, ours.high], theirs, atol=0.08 * spread)


def test_difference_is_paired():
    first = confusions(2, images=30)
    second = improved(first, 0.15)
    found = image_intervals.paired_difference(first, second, resamples=500, seed=3)
    loops = [np.array(list(resampled_by_loop(counts, 500, 3))) for counts in (first, second)]
    expected = np.quantile(loops[1] - loops[0], [0.025, 0.975])
    np.testing.assert_allclose([found.low, found.high], expected)
    own = [image_intervals.bootstrap_miou(counts, resamples=500) for counts in (first, second)]
    assert own[0].high > own[1].low, "their separate intervals overlap"
    assert intervals.verdict(found) == "second"
    back = image_intervals.paired_difference(second, first, resamples=500, seed=3)
    np.testing.assert_allclose([back.low, back.high], [-found.high, -found.low])
    assert intervals.verdict(back) == "first"


@pytest.mark.parametrize("classes", [3, 4])
@pytest.mark.usefixtures("unchecked")
def test_class_counts_can_replace_matrices(classes):
    first = confusions(2, classes=classes)
    second = improved(first, 0.15)
    one, two = (metrics.class_counts(counts) for counts in (first, second))
    assert image_intervals.bootstrap_miou(one, resamples=50) == image_intervals.bootstrap_miou(
        first, resamples=50
    )
    assert image_intervals.paired_difference(
        one, two, resamples=50
    ) == image_intervals.paired_difference(first, second, resamples=50)
    with pytest.raises(ValueError, match=r"\[1, 3, \d\]: must be 3 times \[N, K\]"):
        image_intervals.bootstrap_miou(metrics.class_counts(first[:1]))


def test_a_run_against_itself_is_not_distinguishable():
    counts = confusions(3)
    found = image_intervals.paired_difference(counts, counts, resamples=50)
    assert (found.estimate, found.low, found.high) == (0, 0, 0)
    assert intervals.verdict(found) == "not distinguishable"


def test_difference_of_means_uses_the_same_images_of_all_runs():
    first = [confusions(6, images=30), improved(confusions(6, images=30), 0.02)]
    second = [improved(confusions(6, images=30), share) for share in (0.1, 0.15, 0.2)]
    found = image_intervals.paired_mean_difference(first, second, resamples=400, seed=1)
    loops = [np.array(list(resampled_by_loop(run, 400, 1))) for run in (*first, *second)]
    differences = np.mean(loops[2:], axis=0) - np.mean(loops[:2], axis=0)
    np.testing.assert_allclose([found.low, found.high], np.quantile(differences, [0.025, 0.975]))
    alone = image_intervals.paired_difference(first[0], second[0], resamples=50)
    assert image_intervals.paired_mean_difference(first[:1], second[:1], resamples=50) == alone
    with pytest.raises(ValueError, match="at least one run on both sides"):
        image_intervals.paired_mean_difference([], second)
    with pytest.raises(ValueError, match="pixels of the truth differ in row"):
        image_intervals.paired_mean_difference(first, [second[0], second[1][::-1]])


def test_the_result_is_determined_by_the_seed():
    counts = confusions(4)
    one, same, other = (
        image_intervals.bootstrap_miou(counts, resamples=100, seed=seed) for seed in (0, 0, 1)
    )
    assert one == same
    assert one != other


def test_bootstrap_interval_has_about_its_nominal_coverage():
    population = confusions(5, images=400)
    truth = metrics.summarize(population.sum(axis=0)).miou
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        sample = population[rng.integers(400, size=60)]
        found = image_intervals.bootstrap_miou(sample, level=0.8, resamples=300)
        held += found.low <= truth <= found.high
    assert 0.7 < held / 200 < 0.9


def test_the_rule_for_absent_classes_is_applied():
    counts = np.zeros((6, 3, 3), int)
    counts[:, 0, 0] = 4
    counts[0, 1, 1] = counts[0, 1, 0] = 2  # class 1 is in one image only, class 2 in none
    skip = image_intervals.bootstrap_miou(counts, resamples=300)
    zero = image_intervals.bootstrap_miou(counts, resamples=300, absent="zero")
    assert skip.high == 1, "resamples without the image lack the class"
    np.testing.assert_allclose(zero.estimate, skip.estimate * 2 / 3)


def test_a_class_missing_from_a_resample_does_not_count_as_an_error():
    """It is predicted in every image, but in the truth of one: otherwise its IoU could be 0."""
    counts = np.zeros((30, 2, 2), int)
    counts[:, 0, 0], counts[:, 0, 1] = 1_000_000, 1
    counts[0, 1, 1] = 1_000_000
    found = image_intervals.bootstrap_miou(counts, resamples=500)
    np.testing.assert_allclose([found.low, found.estimate, found.high], 1, atol=1e-4)
    never = image_intervals.bootstrap_miou(counts[1:], resamples=500)  # not in the truth at all
    np.testing.assert_allclose([never.low, never.high], 0.5, atol=1e-4)


@pytest.mark.filterwarnings("error")
def test_images_without_a_valid_pixel():
    counts = confusions(6, images=3)
    counts[1:] = 0
    found = image_intervals.bootstrap_miou(counts, resamples=100)
    assert found.low == found.estimate == found.high, "resamples without image 0 are left out"
    nothing = image_intervals.bootstrap_miou(np.zeros((3, 2, 2), int), resamples=10)
    assert np.isnan([nothing.estimate, nothing.low, nothing.high]).all()
    difference = image_intervals.paired_difference(counts * 0, counts * 0, resamples=10)
    assert intervals.verdict(difference) == "not distinguishable"


def test_large_counts_are_exact():
    counts = np.zeros((2, 2, 2), np.int64)
    counts[:, 0, 0] = 2**51 - 1
    counts[0, 1, 0] = 1
    found = image_intervals.bootstrap_miou(counts, resamples=50, absent="truth")
    assert found.high == 1
    assert found.estimate == 0.5 * ((2**52 - 2) / (2**52 - 1))
    with pytest.raises(ValueError, match="2\\^53"):
        image_intervals.bootstrap_miou(counts * 4)


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_intervals_over_seeds_equal_scipy(level):
    first, second = [0.61, 0.64, 0.62, 0.66], [0.66, 0.71, 0.65]
    one = seed_intervals.seed_interval(first, level=level)
    expected = stats.t.interval(level, 3, np.mean(first), stats.sem(first))
    np.testing.assert_allclose([one.low, one.high], expected)
    np.testing.assert_allclose(one.estimate, np.mean(first))
    both = seed_intervals.seed_difference(first, second, level=level)
    welch = stats.ttest_ind(second, first, equal_var=False).confidence_interval(level)
    np.testing.assert_allclose([both.low, both.high], [welch.low, welch.high])


def test_equal_seeds_have_no_spread():
    assert seed_intervals.seed_interval([0.5, 0.5]) == Interval(0.5, 0.5, 0.5, 0.95)
    apart = seed_intervals.seed_difference([0.5, 0.5], [0.75, 0.75])
    assert (apart.low, apart.high) == (0.25, 0.25)
    assert intervals.verdict(apart) == "second"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.1, 0.2, "second"),
        (-0.2, -0.1, "first"),
        (-0.1, 0.1, "not distinguishable"),
        (0.0, 0.1, "not distinguishable"),
        (-0.1, 0.0, "not distinguishable"),
        (np.nan, np.nan, "not distinguishable"),
    ],
)
def test_verdict(low, high, expected):
    assert intervals.verdict(Interval(0, low, high, 0.95)) == expected


@pytest.mark.usefixtures("unchecked")
def test_invalid_input_gives_a_one_line_message():
    good = confusions(7)
    for bad, message in [
        (good[0], r"\[4, 4\].*\[N, K, K\]"),
        (good[:1], r"\[1, 4, 4\].*at least two images"),
        (good[:, :3], r"\[12, 3, 4\]"),
        (good / 2, "float64: must be integers"),
        (good - 1, "not negative"),
    ]:
        with pytest.raises(ValueError, match=message) as caught:
            image_intervals.bootstrap_miou(bad)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="12 images with 4 classes against 11 with 4"):
        image_intervals.paired_difference(good, good[1:])
    with pytest.raises(ValueError, match="truth differ in row 3"):
        image_intervals.paired_difference(good, np.concatenate([good[:3], good[3:][::-1]]))
    with pytest.raises(ValueError, match="level 95"):
        image_intervals.bootstrap_miou(good, level=95, resamples=2)
    with pytest.raises(ValueError, match="level 0"):
        seed_intervals.seed_interval([0.1, 0.2], level=0)
    with pytest.raises(ValueError, match="resamples 0"):
        image_intervals.bootstrap_miou(good, resamples=0)
    with pytest.raises(ValueError, match="at least two values, not 1"):
        seed_intervals.seed_interval([0.5])
    with pytest.raises(ValueError, match="absent 'no'"):
        image_intervals.bootstrap_miou(good, absent="no")
