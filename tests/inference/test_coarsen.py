"""Joined pixels: by slow loops, with gaps and ties, and what cannot be joined."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import toys

from cscl.errors import InputError
from cscl.events import run
from cscl.grid import Window, refined, require_same
from cscl.inference.coarsen import CoarsenOptions, coarsen
from cscl.inference.mapfiles import MapFiles, write_facts
from cscl.products import Prediction

GRID = toys.scene(size=300, gap=False).cube.grid
SEEN = np.ones((1200, 1200), bool)
SEEN[:4, :4] = SEEN[4, 4] = SEEN[700:800, 900:1000] = False


@pytest.fixture(scope="module")
def fine(tmp_path_factory: pytest.TempPathFactory) -> Prediction:
    folder = tmp_path_factory.mktemp("maps") / "fine"
    folder.mkdir()
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), SEEN.shape).transpose(2, 0, 1).astype(np.float32)
    files = MapFiles(folder, refined(GRID, 4), toys.LEGEND, True)
    with files:
        files.write(Window(0, 0, *SEEN.shape), probabilities, SEEN)
    write_facts(folder, toys.LEGEND, {"model": "m", "finer": 4, "finer_by": "model"})
    return Prediction.open(folder)


def test_the_class_of_most_pixels_wins_and_confidence_decides_ties(fine: Prediction, tmp_path: Path) -> None:
    found = run(coarsen(fine, tmp_path / "m"))
    require_same(found.grid, GRID, "map and images")
    assert found.facts == {"model": "m", "joined": {"map": "fine", "times": 4, "by": "majority"}}
    ids, confidence = fine.read(Window(0, 0, 1200, 1200))
    mapped, share = found.read(Window(0, 0, 300, 300))
    ties = 0
    for row, col in [(0, 0), (1, 1), (175, 225), *np.random.default_rng(1).integers(0, 300, (600, 2))]:
        block = slice(4 * row, 4 * row + 4), slice(4 * col, 4 * col + 4)
        votes = {k: int((ids[block] == k).sum()) for k in (0, 4, 9)}
        if not sum(votes.values()):
            assert mapped[row, col] == 255 and np.isnan(share[row, col])
            continue
        sums = {k: float(confidence[block][ids[block] == k].sum()) for k in votes}
        best = max(votes, key=lambda k: (votes[k], sums[k]))
        ties += list(votes.values()).count(votes[best]) > 1
        assert mapped[row, col] == best
        assert share[row, col] == pytest.approx(votes[best] / sum(votes.values()), abs=0.003)
    assert ties > 5


def test_mean_probabilities_are_those_of_the_pixels_that_have_one(fine: Prediction, tmp_path: Path) -> None:
    found = run(coarsen(fine, tmp_path / "m", CoarsenOptions(by="probability")))
    assert fine.probabilities is not None and found.probabilities is not None
    stored = np.where(SEEN, fine.probabilities.values / 250, np.nan).reshape(3, 300, 4, 300, 4)
    with np.errstate(invalid="ignore"):
        mean = np.nansum(stored, axis=(2, 4)) / SEEN.reshape(300, 4, 300, 4).sum(axis=(1, 3))
    there = np.isfinite(mean[0])
    assert np.array_equal(found.ids.values != 255, there)
    assert np.abs(found.probabilities.values[:, there] / 250 - mean[:, there]).max() < 0.003


@pytest.mark.parametrize(
    ("options", "sentence"),
    [(CoarsenOptions(times=7), "cannot be joined by 7 x 7"), (CoarsenOptions(by="probability"), "--probabilities")],
)
def test_what_cannot_be_joined_is_refused(
    options: CoarsenOptions, sentence: str, fine: Prediction, tmp_path: Path
) -> None:
    plain = Prediction(fine.ids, fine.confidence, fine.grid, fine.legend)
    with pytest.raises(InputError, match=sentence):
        run(coarsen(plain, tmp_path / "m", options))
    assert not any(tmp_path.iterdir())


def test_a_closed_job_leaves_nothing(fine: Prediction, tmp_path: Path) -> None:
    job = coarsen(fine, tmp_path / "m")
    next(job)
    job.close()
    assert not any(tmp_path.iterdir())
