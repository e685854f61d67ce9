"""What each surface looks like on a day: traits drawn once a season, state computed for any day, spectra from both.

The calendars are general agronomic knowledge, not fitted. Axis letters: N surfaces, B bands, V vigour levels.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .canopy import CanopyTable, DayTable
from .crops import CROPS, Calendar, Land, spectrum

__all__ = ["VIGOUR", "State", "Traits", "draw_traits", "spectra", "state_on"]

Floats = NDArray[np.float32]
Kinds = NDArray[np.int16]
Columns = dict[str, NDArray[Any]]

VIGOUR = np.array([0.55, 1.0, 1.45], np.float32)
"""Factors of the leaf area that bracket the variation within a field."""

PERMANENT, MAIZE, RAPE, TEMPORARY, SUNFLOWER, BEET = 1, 3, 5, 6, 7, 10
NEVER = 1e6
FIXED = {
    **{Land.TRACK: "gravel", Land.ROAD: "road", Land.RED_ROOF: "red roof", Land.GREY_ROOF: "grey roof"},
    **{Land.WATER: "water"},
}
WOODY = (Land.HEDGE, Land.WOOD, Land.ORCHARD)
GRASSY = (PERMANENT, Land.MARGIN, Land.GARDEN, Land.FALLOW, Land.TRACK)


@dataclass(frozen=True, eq=False)
class Traits:
    """Traits of surfaces for one season, all of shape (N,) except `cuts`, (N, 4); days and units as in `Calendar`."""

    kind: Kinds
    canopy: NDArray[np.intp]
    emergence: Floats
    winter_lai: Floats
    rise: Floats
    rise_days: Floats
    senescence: Floats
    harvest: Floats
    lai: Floats
    chlorophyll: Floats
    vigour: Floats
    soil: Floats
    gaps: Floats
    stubble: Floats
    tillage: Floats
    volunteers: Floats
    next_crop: Floats
    next_lai: Floats
    cover_lai: Floats
    cover_end: Floats
    flowering: Floats
    flower_cover: Floats
    cuts: Floats
    cut_depth: Floats
    shade: Floats
    brightness: Floats
    later: Floats = field(repr=False)


@dataclass(frozen=True, eq=False)
class State:
    """State of surfaces on one day, each of shape (N,): leaf area, chlorophyll, senescence and covers 0..1."""

    lai: Floats
    chlorophyll: Floats
    senescence: Floats
    straw: Floats
    flowers: Floats


def draw_traits(kind: Kinds, table: CanopyTable, season_seed: int, rng: np.random.Generator) -> Traits:
    """Draw the traits of surfaces.

    Parameters
    ----------
    kind : ndarray
        Crop id or `Land` value of each surface, shape (N,).
    table : CanopyTable
        Names the canopy architectures.
    season_seed : int
        Seed of what the region shares: how early the year is, and each crop in it.
    rng : Generator
        Source of what differs between parcels.
    """
    calendar = _calendars(kind, season_seed)
    values = _growth(kind, calendar, rng) | _looks(kind, calendar, rng)
    as_float = {name: np.asarray(v, np.float32) for name, v in values.items()}
    return Traits(kind, _canopies(kind, table), cuts=_cuts(kind, rng), **as_float)


def state_on(day: float, t: Traits) -> State:
    """Compute the state of all surfaces on a day of the year (1 = 1 January of the harvest year)."""
    lai, senescence, straw = _annual(day, t)
    grass = np.isin(t.kind, [*GRASSY, TEMPORARY])
    if grass.any():
        dry = 0.45 * _bump(day, 218, 28) * np.clip(0.7 + 0.5 * t.later, 0, 1.4)
        winter = 0.22 * _bump(day, 15, 55) + 0.22 * _bump(day, 380, 55)
        lai = np.where(grass, _grass(day, t), lai)
        senescence = np.where(grass, np.clip(dry + winter + 0.05, 0, 0.85), senescence)
        straw = np.where(grass, np.where(t.kind == TEMPORARY, 0.03, 0.10), straw)
    woody = np.isin(t.kind, WOODY)
    leaves = _rise(day - 110 - 5 * t.later, 5) * _rise(300 + 6 * t.later - day, 8)
    lai = np.where(woody, 0.9 + 4.0 * leaves * np.where(t.kind == Land.ORCHARD, 0.45, 1), lai)
    senescence = np.where(woody, 0.75 - 0.72 * leaves, senescence)
    straw = np.where(woody, np.where(t.kind == Land.ORCHARD, 0.12, 0.0), straw)
    flowers = t.flower_cover * np.exp(-0.5 * ((day - t.flowering) / 8.5) ** 2)
    return State(*(np.asarray(v, np.float32) for v in (lai, t.chlorophyll, senescence, straw, flowers)))


def spectra(state: State, t: Traits, table: DayTable) -> Floats:
    """Compute the reflectance of all surfaces at the three vigour levels, axes (N, V, B), float32, 0..1.

    Gaps (wheel tracks, missing plants) show bare soil even under a closed canopy; straw and flowers cover a share of
    what the canopy model gives; roads, roofs and water have spectra of their own.
    """
    out = np.empty((len(t.kind), len(VIGOUR), table.values.shape[-1]), np.float32)
    cover = state.straw + state.flowers
    own, fixed = _fixed(t)
    rape = (t.kind == RAPE)[:, None]
    flower = np.where(rape, spectrum("rape flower"), spectrum("sunflower flower"))
    for i, level in enumerate(VIGOUR):
        # Where crops grow better the soil holds more humus and water, and is darker.
        soil = t.soil * (1 - 0.3 * (level - 1))
        lai = state.lai * t.vigour * level
        closed = table.reflectance(t.canopy, soil, state.chlorophyll, state.senescence, lai)
        bare = table.reflectance(t.canopy, soil, state.chlorophyll, state.senescence, lai * 0.03)
        ground = closed + t.gaps[:, None] * (bare - closed)
        mixed = (t.shade * (1 - cover))[:, None] * ground + state.flowers[:, None] * flower
        mixed += (state.straw * (1 - 0.15 * (level - 1)))[:, None] * spectrum("straw")
        out[:, i] = mixed + own[:, None] * (fixed * (1 - 0.2 * (level - 1)) - mixed)
    return out


def _growth(kind: Kinds, calendar: Columns, rng: np.random.Generator) -> Columns:
    """Draw when and how much crops grow, what is done to them, and what stands before and after them."""
    n = len(kind)
    early = 0.6 * rng.standard_normal(n)
    rise_shift = calendar["sd_rise"] * (early + 0.8 * rng.standard_normal(n))
    ripe_shift = calendar["sd_senescence"] * (early + 0.8 * rng.standard_normal(n))
    silage, beet = (kind == MAIZE) & (rng.random(n) < 0.55), kind == BEET
    harvest = calendar["harvest"] + np.where(beet, 13, 3) * rng.standard_normal(n) + np.where(beet, 0, ripe_shift)
    harvest = np.where(silage, 255 + 8 * rng.standard_normal(n), harvest)
    tillage = harvest + 3 + rng.exponential(26, n)
    sown_in_spring = calendar["winter_lai"] == 0
    sown_again = (rng.random(n) < 0.5) & (harvest < 230)
    covered = (rng.random(n) < 0.35) & sown_in_spring
    return {
        "emergence": calendar["emergence"] + rise_shift * sown_in_spring + 4 * rng.standard_normal(n),
        "winter_lai": calendar["winter_lai"] * np.exp(0.3 * rng.standard_normal(n)),
        "rise": calendar["rise"] + rise_shift,
        "rise_days": calendar["rise_days"],
        "senescence": np.minimum(calendar["senescence"] + ripe_shift, harvest + 60 * beet + 20 * silage),
        "harvest": harvest,
        "lai": calendar["lai"] * np.where(rng.random(n) < 0.04, rng.uniform(0.25, 0.6, n), 1),
        "tillage": tillage,
        "volunteers": 0.7 * rng.random(n) ** 2,
        "next_crop": np.where(sown_again, tillage + 12 + 12 * rng.random(n), NEVER),
        "next_lai": rng.uniform(0.8, 2.8, n),
        "cover_lai": np.where(covered, rng.uniform(0.5, 2.0, n), 0.25 * rng.random(n) ** 2),
        "cover_end": np.minimum(calendar["emergence"] - 12, rng.uniform(35, 105, n)),
    }


def _looks(kind: Kinds, calendar: Columns, rng: np.random.Generator) -> Columns:
    """Draw what parcels differ in to the eye: vigour, leaf colour, soil, gaps, stubble, flowers."""
    n, rape = len(kind), kind == RAPE
    meadow = (kind == PERMANENT) | (kind == Land.MARGIN)
    flowering = np.where(rape, 109, 185) + (calendar["rise"] - np.where(rape, 78, 152)) * 0.5
    cover = rng.uniform(0.3, 0.55, n) * rape + rng.uniform(0.03, 0.1, n) * (kind == SUNFLOWER)
    return {
        "chlorophyll": (calendar["chlorophyll"] - 5) * np.exp(0.09 * rng.standard_normal(n)),
        "vigour": np.exp(np.where(meadow, 0.30, 0.17) * rng.standard_normal(n)),
        "soil": np.exp(0.16 * rng.standard_normal(n)) * np.where(np.isin(kind, WOODY), 0.55, 0.82),
        "gaps": rng.beta(2, 30, n) + np.where(kind == Land.GARDEN, 0.12, 0.03),
        "stubble": rng.uniform(0.45, 0.85, n),
        "flowering": flowering + 3.5 * rng.standard_normal(n),
        "flower_cover": cover,
        # Crowns throw shadows on each other, which the canopy model of a level stand does not know.
        "shade": np.where(np.isin(kind, (Land.WOOD, Land.HEDGE)), 0.68, 1) * np.exp(0.03 * rng.standard_normal(n)),
        "cut_depth": np.where(kind == TEMPORARY, 0.78, 0.65),
        "brightness": np.exp(0.15 * rng.standard_normal(n)),
        "later": rng.standard_normal(n),
    }


def _calendars(kind: Kinds, season_seed: int) -> Columns:
    """Calendar of each surface's crop, moved by how early the year is; harmless values where there is none."""
    region = np.random.default_rng([season_seed, 1])
    year, each = 4 * region.standard_normal(), 2.5 * region.standard_normal(len(CROPS))
    names = [column.name for column in fields(Calendar)]
    harmless = dict.fromkeys(names, 0.0) | {
        "rise_days": 8.0,
        "harvest": NEVER,
        "senescence": NEVER,
        "chlorophyll": 43.0,
    }
    rows = {crop.id: vars(crop.calendar) for crop in CROPS if crop.calendar is not None}
    shift = {crop.id: year + each[i] for i, crop in enumerate(CROPS)}
    dated = {"rise", "senescence", "harvest"}
    kinds, inverse = np.unique(kind, return_inverse=True)
    columns = {
        name: [rows.get(int(k), harmless)[name] + (shift.get(int(k), 0) if name in dated else 0) for k in kinds]
        for name in names
    }
    return {name: np.array(column, float)[inverse] for name, column in columns.items()}


def _canopies(kind: Kinds, table: CanopyTable) -> NDArray[np.intp]:
    names = {crop.id: crop.canopy for crop in CROPS} | {int(land): "tree" for land in WOODY}
    kinds, inverse = np.unique(kind, return_inverse=True)
    return np.array([table.canopies.index(names.get(int(k), "grass")) for k in kinds], np.intp)[inverse]


def _cuts(kind: Kinds, rng: np.random.Generator) -> Floats:
    """Days of mowing, axes (N, 4), ascending; `NEVER` where there are fewer."""
    n = len(kind)
    leys = (kind == TEMPORARY)[:, None]
    number = np.where(leys[:, 0], rng.integers(2, 5, n), rng.choice(3, n, p=[0.35, 0.45, 0.20]))
    number = np.where(leys[:, 0] | (kind == PERMANENT), number, 0)
    first = np.where(leys[:, 0], 132 + 10 * rng.standard_normal(n), 165 + 14 * rng.standard_normal(n))
    step = np.where(leys, rng.uniform(32, 50, (n, 3)), 52 + 5 * rng.standard_normal((n, 3)))
    days = np.concatenate([first[:, None], first[:, None] + np.cumsum(step, 1)], 1)
    return np.where(np.arange(4) < number[:, None], days, NEVER).astype(np.float32)


def _annual(day: float, t: Traits) -> tuple[Floats, Floats, Floats]:
    """Leaf area, senescence and straw cover of annual crops, with what stands before sowing and after harvest."""
    grown = t.winter_lai * _rise(day - t.emergence - 18, 9) * (1 + 0.15 * _rise(day - 60, 10))
    grown = grown + (t.lai - np.minimum(t.winter_lai, t.lai)) * _rise(day - t.rise, t.rise_days)
    ripe = _rise(day - t.senescence, 5.5)
    standing = (day < t.harvest) & (day > t.emergence - 2)
    before = (day <= t.emergence - 2) & (t.emergence > -40)
    weeds = t.cover_lai * _rise(day + 60, 25) * _rise(t.cover_end - day, 4)
    after = (day >= t.harvest) & (t.harvest < NEVER / 2)
    volunteers = t.volunteers * _rise(day - t.harvest - 25, 8) * (day < t.tillage)
    sown = t.next_lai * _rise(day - t.next_crop - 30, 9)
    lai = np.where(standing, grown * (1 - 0.55 * ripe), np.where(before, weeds, np.where(after, volunteers + sown, 0)))
    straw = np.where(after, t.stubble * np.where(day < t.tillage, 1, 0.08), 0) * (1 - 0.9 * (sown > 0.3))
    # Last year's stubble still lies on some fields that are sown in spring.
    straw = np.where(before & (t.later > 0.6), 0.4 * t.stubble * _rise(t.cover_end - day, 4), straw)
    return lai, np.where(standing, 0.95 * ripe, 0.0), straw


def _grass(day: float, t: Traits) -> Floats:
    permanent = 1.0 + 0.5 * _rise(day - 75 - 5 * t.later, 8) + 2.1 * _bump(day, 138, 33) + 0.8 * _bump(day, 275, 30)
    temporary = 1.3 + 2.6 * _rise(day - 98 - 5 * t.later, 9)
    lai = np.where(t.kind == TEMPORARY, temporary, permanent)
    newly_sown = (t.kind == TEMPORARY) & (t.stubble < 0.55)
    lai = np.where(newly_sown, lai * _rise(day - 75, 12), lai)
    recovery = np.where(t.kind == TEMPORARY, 17, 26)
    since = day - t.cuts
    left = np.where(since >= 0, np.exp(-np.maximum(since, 0) / recovery[:, None]), 0).max(1)
    drought = 1 - 0.35 * _bump(day, 218, 28)
    height = np.where(np.isin(t.kind, (Land.FALLOW, Land.GARDEN)), 0.75, np.where(t.kind == Land.TRACK, 0.3, 1.0))
    return np.asarray(height * lai * (1 - t.cut_depth * left) * np.where(t.kind == TEMPORARY, 1, drought), np.float32)


def _fixed(t: Traits) -> tuple[Floats, Floats]:
    """Share of each surface that has a spectrum of its own, (N,), and that spectrum, (N, B)."""
    share, fixed = np.zeros(len(t.kind), np.float32), np.zeros((len(t.kind), 10), np.float32)
    for land, name in FIXED.items():
        own = t.kind == land
        share[own] = 0.6 if land == Land.TRACK else 1.0
        fixed[own] = spectrum(name) * t.brightness[own, None]
    return share, fixed


def _rise(days: Floats | float, scale: Floats | float) -> Floats:
    """Logistic rise from 0 to 1 around 0 days."""
    return np.asarray(1 / (1 + np.exp(-np.clip(days / scale, -30, 30))), np.float32)


def _bump(day: float, centre: float, sd: float) -> float:
    return float(np.exp(-0.5 * ((day - centre) / sd) ** 2))
