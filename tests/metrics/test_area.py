"""Area and accuracy against the published worked example and a census; samples against what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine

from cscl.errors import InputError
from cscl.metrics.area import estimate_area, half_width
from cscl.metrics.sample import Allocation, allocate, count_strata, draw_sample, sample_size

# Olofsson et al. 2014, table 8: deforestation, forest gain, stable forest, stable non-forest; Landsat pixels of 30 m.
COUNTS = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
MAPPED = np.array([200_000, 150_000, 3_200_000, 6_450_000])


def test_worked_example() -> None:
    found = estimate_area(COUNTS, MAPPED, 0.09)
    printed = [
        [0.0176, 0, 0.0013, 0.0011], [0, 0.0110, 0.0016, 0.0024],
        [0.0019, 0, 0.2967, 0.0213], [0.0040, 0.0020, 0.0179, 0.6212],
    ]  # fmt: skip
    np.testing.assert_array_equal(found.shares.round(4), printed)
    np.testing.assert_array_equal(found.area_share.round(4), [0.0235, 0.0130, 0.3175, 0.6460])
    np.testing.assert_array_equal(found.user.round(2), [0.88, 0.73, 0.93, 0.96])
    np.testing.assert_array_equal(half_width(found.user_se).round(2), [0.07, 0.10, 0.04, 0.02])
    np.testing.assert_array_equal(found.producer.round(2), [0.75, 0.85, 0.93, 0.96])
    # Printed are 0.21, 0.23, 0.03 and 0.01. The second and the fourth do not follow from the paper's own equation 7,
    # which the next test takes term by term; see the words at the head of the module.
    np.testing.assert_array_equal(half_width(found.producer_se).round(2), [0.21, 0.25, 0.03, 0.02])
    assert (round(found.overall, 2), half_width(found.overall_se).round(2)) == (0.95, 0.02)
    assert (round(found.area_share[0], 4), round(found.area_share_se[0], 4)) == (0.0235, 0.0035)
    pixels, se = found.area_share * 10_000_000, found.area_share_se * 10_000_000
    assert (round(pixels[0]), round(1.96 * se[0])) == (235_086, 68_418)
    np.testing.assert_array_equal(found.area_ha.round(), [21_158, 11_686, 285_770, 581_386])
    np.testing.assert_array_equal((1.96 * found.area_ha_se).round(), [6158, 3756, 15_510, 16_282])
    np.testing.assert_allclose(half_width(found.area_ha_se), 1.96 * found.area_ha_se, rtol=2e-5)
    assert found.mapped_ha.tolist() == [18_000, 13_500, 288_000, 580_500]


def test_producers_error_term_by_term() -> None:
    found = estimate_area(COUNTS, MAPPED, 0.09)
    units = COUNTS.sum(1)
    for j in range(4):
        total = sum(MAPPED[i] / units[i] * COUNTS[i, j] for i in range(4))
        p, u = found.producer[j], COUNTS[j, j] / units[j]
        own = MAPPED[j] ** 2 * (1 - p) ** 2 * u * (1 - u) / (units[j] - 1)
        others = sum(
            MAPPED[i] ** 2 * COUNTS[i, j] / units[i] * (1 - COUNTS[i, j] / units[i]) / (units[i] - 1)
            for i in range(4) if i != j
        )  # fmt: skip
        assert found.producer_se[j] == pytest.approx(np.sqrt((own + p**2 * others) / total**2))


def test_estimates_are_unbiased_and_their_errors_honest() -> None:
    """Many samples of one small map: the estimates scatter about the truth as far as their standard errors say."""
    rng = np.random.default_rng(0)
    truth = rng.choice(3, (60, 60), p=[0.6, 0.3, 0.1])
    mapped = np.where(rng.random((60, 60)) < 0.75, truth, rng.integers(0, 3, (60, 60)))
    allocation = allocate(240, count_strata([(0, mapped)], 3), "compromise", 40)
    figures, errors = [], []
    for seed in range(300):
        drawn = draw_sample([(0, mapped)], allocation, seed)
        counts = np.zeros((3, 3), np.int64)
        np.add.at(counts, (drawn.mapped, truth[drawn.row, drawn.col]), 1)
        found = estimate_area(counts, allocation.pixels, 0.01)
        figures.append([*found.area_share, *found.producer, *found.user, found.overall])
        errors.append([*found.area_share_se, *found.producer_se, *found.user_se, found.overall_se])
    both = [[(mapped == k)[truth == k].mean() for k in range(3)], [(truth == k)[mapped == k].mean() for k in range(3)]]
    census = np.array([*np.bincount(truth.ravel()) / truth.size, *both[0], *both[1], (mapped == truth).mean()])
    spread, claimed = np.std(figures, axis=0), np.mean(errors, axis=0)
    assert (np.abs(np.mean(figures, axis=0) - census) < 4 * spread / np.sqrt(300) + 0.004).all()
    # Sampled without replacement, figures scatter a little less than the equations, which ignore it, say.
    assert (spread < 1.1 * claimed).all() and (spread > 0.75 * claimed).all()


def test_classes_that_are_not_on_the_map() -> None:
    found = estimate_area(np.array([[8, 1, 1], [1, 9, 0], [0, 0, 0]]), np.array([500, 500, 0]), 0.01)
    np.testing.assert_allclose(found.area_share, [0.45, 0.5, 0.05])
    assert np.isnan(found.user[2]) and np.isnan(found.user_se[2])
    assert (found.producer[2], found.producer_se[2]) == (0, 0)
    never = estimate_area(np.array([[8, 0], [0, 0]]), np.array([500, 0]), 0.01)
    assert np.isnan(never.producer[1]) and never.area_ha.tolist() == [5, 0]


@pytest.mark.parametrize(
    ("counts", "mapped", "message"),
    [
        ([[5, 1]], [9, 9], "1 x 2"),
        ([[5, 1], [1, 0]], [9, 9], r"\[1\] have fewer than two"),
        ([[5, 1], [1, 0]], [9, 0], r"\[1\] have sample units but no pixel"),
        ([[5, -1], [1, 2]], [9, 9], "negative"),
    ],
)
def test_samples_that_cannot_be_judged(counts: list[list[int]], mapped: list[int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        estimate_area(np.array(counts), np.array(mapped), 0.01)
    with pytest.raises(InputError, match="level"):
        half_width(1.0, 95)


def test_sample_size_of_the_worked_example() -> None:
    user = np.array([0.70, 0.60, 0.90, 0.95])
    assert sample_size(MAPPED, user, 0.01) == 641
    assert sample_size(MAPPED, user, 0.01, 10_000_000) == 641
    assert sample_size(MAPPED, user, 0.01, 5_000) < 600
    with pytest.raises(InputError, match=r"0\.\.1"):
        sample_size(MAPPED, user * 100, 0.01)


def test_allocations() -> None:
    assert allocate(641, MAPPED, "proportional").units.tolist() == [13, 10, 205, 413]  # table 5
    assert allocate(640, MAPPED, "equal").units.tolist() == [160] * 4  # table 5
    compromise = allocate(641, MAPPED, "compromise", 75)
    assert compromise.units.tolist() == [75, 75, 163, 328]  # the paper sets 75, 75, 165 and 325 by hand
    assert compromise.remarks == ()
    short = allocate(100, np.array([5000, 30, 0, 1]), "compromise", 20)
    assert short.units.tolist() == [60, 20, 0, 1]
    assert "[2] have no pixel" in short.remarks[0] and "has pixels for 1 only" in short.remarks[1]
    assert allocate(6, np.array([10, 10, 10]), "compromise", 2).units.tolist() == [2, 2, 2]
    for wrong, message in (
        ((100, MAPPED, "compromise", 50), "at least 200"), ((9, MAPPED, "random"), "random"),
        ((9, MAPPED * 0, "equal"), "no pixel"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            allocate(*wrong)  # type: ignore[arg-type]


def test_drawn_pixels() -> None:
    index = np.random.default_rng(1).integers(-1, 4, (53, 41))
    index[index == 3] = 2
    transform = Affine(10, 0, 500_000, 0, -10, 4_000_000)
    samples = []
    for rows in (1, 7, 53):
        strips = [(row, index[row : row + rows]) for row in range(0, 53, rows)]
        pixels = count_strata(strips, 4)
        assert pixels.tolist() == [int((index == k).sum()) for k in range(4)]
        samples.append(draw_sample(strips, allocate(90, pixels, "equal"), 5, tuple(transform)))
    first = samples[0]
    for other in samples[1:]:
        for name, column in first.table().items():
            np.testing.assert_array_equal(other.table()[name], column)
    assert (first.mapped == index[first.row, first.col]).all()
    assert np.bincount(first.mapped, minlength=4).tolist() == [30, 30, 30, 0]
    assert len({*zip(first.row.tolist(), first.col.tolist(), strict=True)}) == 90
    np.testing.assert_allclose((first.x, first.y), transform @ np.stack([first.col + 0.5, first.row + 0.5]))
    another = draw_sample([(0, index)], first.allocation, 6)
    assert not np.array_equal(another.row, first.row)
    np.testing.assert_array_equal((another.x, another.y), (another.col, another.row))


def test_every_pixel_is_as_likely() -> None:
    index = np.array([[0, 0, 1, 0], [1, 0, 1, 0]])
    allocation = Allocation(np.array([2, 1]), np.array([5, 3]))
    hits = np.zeros(index.shape)
    for seed in range(1500):
        drawn = draw_sample([(0, index)], allocation, seed)
        hits[drawn.row, drawn.col] += 1
    np.testing.assert_allclose(hits / 1500, np.where(index == 0, 2 / 5, 1 / 3), atol=0.05)


def test_samples_that_cannot_be_drawn() -> None:
    index = np.array([[0, 0, 1, 1]])
    with pytest.raises(InputError, match="3 units cannot be drawn from the 2 pixels of class 0"):
        draw_sample([(0, index)], Allocation(np.array([3, 1]), np.array([2, 2])))
    with pytest.raises(InputError, match="Count it again"):
        draw_sample([(0, index)], Allocation(np.array([1, 1]), np.array([2, 3])))
    with pytest.raises(InputError, match="class index 1"):
        count_strata([(0, index)], 1)
