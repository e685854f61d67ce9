"""Build the table of canopy reflectances with PROSAIL; run ``python -m cscl.simulate.build_canopy_lut``.

Needs the extra ``[sim]`` (prosail, numba). The result, ``canopy_lut.npz``, is committed, so a simulation needs neither.
Leaves are PROSPECT-D (Feret et al., 2017), canopies 4SAIL (Verhoef et al., 2007). Bands are flat-topped super-Gaussians
with the centres and widths of the Sentinel-2A MSI, not ESA's tabulated responses.
"""

from __future__ import annotations

import hashlib
import itertools
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .canopy import AXES, TABLE_PATH

__all__ = ["NODES", "build", "node"]

# Centre and width at half height, nm.
BANDS = {
    **{"B02": (492.4, 66), "B03": (559.8, 36), "B04": (664.6, 31), "B05": (704.1, 15), "B06": (740.5, 15)},
    **{"B07": (782.8, 20), "B08": (832.8, 106), "B8A": (864.7, 21), "B11": (1613.7, 91), "B12": (2202.4, 175)},
}

# Leaf structure N, mean leaf angle (degrees), leaf water and dry matter (g/cm2), hot spot.
CANOPIES: Mapping[str, tuple[float, float, float, float, float]] = {
    "cereal": (1.5, 62.0, 0.016, 0.0050, 0.05),
    "broadleaf": (1.7, 42.0, 0.022, 0.0055, 0.10),
    "maize": (1.5, 52.0, 0.016, 0.0060, 0.08),
    "grass": (1.5, 58.0, 0.015, 0.0050, 0.05),
    "tree": (1.9, 50.0, 0.012, 0.0110, 0.15),
}

NODES: Mapping[str, tuple[float, ...]] = {
    "sun_zenith": (22.0, 45.0, 68.0),
    "dryness": (0.05, 0.95),
    "soil": (0.55, 1.0, 1.5),
    "chlorophyll": (12.0, 26.0, 40.0, 54.0, 68.0),
    "senescence": (0.0, 0.5, 1.0),
    "lai": (0.0, 0.15, 0.4, 0.8, 1.4, 2.2, 3.2, 4.6, 6.5),
}


def node(canopy: str, at: Mapping[str, float]) -> NDArray[np.float64]:
    """Compute the reflectance, shape (band,), of one canopy at one point of the axes, with PROSAIL itself."""
    import prosail

    n, leaf_angle, water, dry_matter, hot_spot = CANOPIES[canopy]
    s, cab = at["senescence"], at["chlorophyll"]
    # By keyword: the released signature differs from its documentation; prospect_version 5 would ignore `ant`.
    spectrum = prosail.run_prosail(
        n=n,
        cab=cab * (1 - 0.93 * s),
        car=(2.5 + 0.16 * cab) * (1 - 0.5 * s),
        cbrown=0.03 + 0.85 * s,
        cw=water * (1 - 0.75 * s),
        cm=dry_matter,
        lai=max(at["lai"], 1e-4),
        lidfa=leaf_angle,
        typelidf=2,
        hspot=hot_spot,
        tts=at["sun_zenith"],
        tto=5.0,
        psi=90.0,
        prospect_version="D",
        rsoil=at["soil"],
        psoil=at["dryness"],
        factor="SDR",
    )
    return np.asarray(_responses() @ spectrum)


def build() -> dict[str, NDArray[np.generic]]:
    """Compute the whole table: ``reflectance`` float16 with axes `AXES` + (band,), the nodes, canopies and bands."""
    axes = [NODES[name] for name in AXES[1:]]
    shape = (len(CANOPIES), *(len(a) for a in axes), len(BANDS))
    rows = [
        node(canopy, dict(zip(AXES[1:], point, strict=True)))
        for canopy, point in itertools.product(CANOPIES, itertools.product(*axes))
    ]
    table: dict[str, NDArray[np.generic]] = {name: np.array(NODES[name], np.float32) for name in AXES[1:]}
    table["canopy"] = np.array(list(CANOPIES))
    table["band"] = np.array(list(BANDS))
    table["reflectance"] = np.array(rows, np.float16).reshape(shape)
    return table


def _responses() -> NDArray[np.float64]:
    wavelength = np.arange(400, 2501.0)
    curves = np.stack([0.5 ** (2 * np.abs(wavelength - centre) / width) ** 6 for centre, width in BANDS.values()])
    return np.asarray(curves / curves.sum(1, keepdims=True))


def main() -> None:
    """Write the table beside this module and say its SHA-256."""
    np.savez_compressed(TABLE_PATH, **build())  # type: ignore[arg-type]
    digest = hashlib.sha256(Path(TABLE_PATH).read_bytes()).hexdigest()
    sys.stdout.write(f"{TABLE_PATH} {TABLE_PATH.stat().st_size} bytes, sha256 {digest}\n")


if __name__ == "__main__":
    main()
