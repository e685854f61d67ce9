"""How well declared crops of parcels go with what a network that never saw them says, and with parcels that look alike.

Confident learning: Northcutt, Jiang and Chuang, J. Artif. Intell. Res. 70 (2021) 1373-1411: the margin between the
declared class and the best other one ranks, and a class is said with confidence where its probability reaches the mean
that parcels declared as it have (their equations 1 and 2). Nearest neighbours in a learnt embedding: Bahri, Jiang and
Gupta, Deep k-NN for Noisy Labels, ICML 2020.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["doubt", "neighbour_votes", "said_with_confidence"]

Floats = NDArray[np.float64]
AT_ONCE = 2**22
MOST_VOTERS = 5_000


def doubt(shares_UK: Floats, declared_U: NDArray[Any]) -> tuple[Floats, NDArray[np.int64]]:
    """Say how much shares of classes speak against the declared one, and for which class most.

    Parameters
    ----------
    shares_UK : ndarray
        Axes (parcel, class), rows sum to 1: probabilities or votes.
    declared_U : ndarray of int
        Class index of each parcel.

    Returns
    -------
    doubt : ndarray
        (1 + largest other share - share of the declared class) / 2: 0 where all speaks for it, 1 where all speaks for
        one other class.
    other : ndarray of int
        The class with that other share.
    """
    rows = np.arange(len(declared_U))
    others = shares_UK.copy()
    others[rows, declared_U] = -1
    other = others.argmax(1)
    return (1 + others[rows, other] - shares_UK[rows, declared_U]) / 2, other


def said_with_confidence(probability_UK: Floats, declared_U: NDArray[Any]) -> NDArray[np.int64]:
    """Find the class to which each parcel belongs with confidence, -1 where there is none.

    A class is said with confidence where its probability reaches the mean that parcels declared as that class give it;
    of several such classes the most probable counts. A class that no parcel is declared as has no such mean.
    """
    classes, rows = probability_UK.shape[1], np.arange(len(declared_U))
    count = np.bincount(declared_U, minlength=classes)
    total = np.bincount(declared_U, probability_UK[rows, declared_U], minlength=classes)
    mean = np.divide(total, count, out=np.full(classes, np.inf), where=count > 0)
    reached = np.where(probability_UK >= mean, probability_UK, -1)
    return np.where((reached >= 0).any(1), reached.argmax(1), -1)


def neighbour_votes(
    feature_UD: Floats, declared_U: NDArray[Any], asked_U: NDArray[np.bool_], classes: int, neighbours: int
) -> Floats:
    """Find what the parcels that are nearest by the cosine of their embeddings are declared as.

    Parameters
    ----------
    feature_UD : ndarray
        Axes (parcel, feature).
    declared_U : ndarray of int
        Class index of each parcel, negative where unknown: such parcels have no vote.
    asked_U : ndarray of bool
        Parcels whose neighbours are wanted. A parcel is never its own neighbour.
    classes, neighbours : int
        How many there are, and how many vote.

    Returns
    -------
    ndarray
        Axes (asked parcel, class), rows sum to 1. Of more than 5 000 parcels with a vote as many are drawn at random.
    """
    unit = feature_UD / np.maximum(np.linalg.norm(feature_UD, axis=1, keepdims=True), 1e-12)
    unit = unit.astype(np.float32)
    voters, asked = np.flatnonzero(declared_U >= 0), np.flatnonzero(asked_U)
    if len(voters) > MOST_VOTERS:
        voters = np.sort(np.random.default_rng(0).choice(voters, MOST_VOTERS, replace=False))
    count = min(neighbours, len(voters) - 1)
    votes = np.zeros((len(asked), classes))
    step = max(1, AT_ONCE // max(1, len(voters)))
    for first in range(0, len(asked), step):
        part = asked[first : first + step]
        likeness = unit[part] @ unit[voters].T
        likeness[part[:, None] == voters] = -np.inf
        nearest = np.argpartition(-likeness, count - 1, axis=1)[:, :count]
        key = np.arange(len(part))[:, None] * classes + declared_U[voters][nearest]
        votes[first : first + step] = np.bincount(key.ravel(), minlength=len(part) * classes).reshape(-1, classes)
    return votes / max(1, count)
