"""The sensor: blur, decimation to 10 or 20 m and the shift of the date, exactly, as two matrix products a band.

A separable blur with decimation is linear along each axis, so ``A_y @ image @ A_x.T`` does all three at once and the
shift may be any fraction of a sub-pixel. Bands of 20 m get their noise at 20 m and are then interpolated to 10 m by
Keys' cubic convolution (IEEE TASSP 29, 1981), as most processing chains do. Axis letters: B bands, Y X pixels of 10 m.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .crops import BANDS
from .landscape import FINE_M, FINE_PER_PX, MARGIN_PX
from .weather import Overpass

__all__ = ["MTF", "Camera", "blur_matrix", "keys_matrix", "look"]

Floats = NDArray[np.float32]
Metres = NDArray[np.float64]

# Modulation transfer at the Nyquist frequency; the mission requires 0.15 to 0.30.
MTF = {
    **{"B02": 0.27, "B03": 0.26, "B04": 0.25, "B08": 0.28, "B05": 0.26, "B06": 0.26, "B07": 0.25, "B8A": 0.25},
    **{"B11": 0.22, "B12": 0.20},
}
FINE_BANDS = np.array([BANDS.index(b) for b in ("B02", "B03", "B04", "B08")])
COARSE_BANDS = np.array([i for i in range(len(BANDS)) if i not in FINE_BANDS])
NOISE_FLOOR, NOISE_SHARE = 0.0015, 0.008
KERNEL_PX = 2
# Sub-pixels of the margin that the 10 m bands never look at: they need three blur widths and the shift, 25 m.
UNSEEN = (MARGIN_PX - 3) * FINE_PER_PX


@dataclass(frozen=True, eq=False)
class Camera:
    """Matrices of one date for square tiles of `size_px` pixels of 10 m; a pair (along y, along x) for each band."""

    size_px: int
    fine: tuple[tuple[Floats, Floats], ...] = field(repr=False)
    coarse: tuple[tuple[Floats, Floats], ...] = field(repr=False)
    upsample: Floats = field(repr=False)

    @classmethod
    def at(cls, overpass: Overpass, size_px: int) -> Camera:
        """Build the matrices for the shifts of a date."""
        half = -(-size_px // 2)
        sub_px = (size_px + 2 * MARGIN_PX) * FINE_PER_PX
        fine_m: Metres = 10.0 * (np.arange(size_px, dtype=np.float64) + 0.5)
        coarse_m: Metres = 20.0 * (np.arange(-KERNEL_PX, half + KERNEL_PX, dtype=np.float64) + 0.5)
        sub_m: Metres = FINE_M * (np.arange(sub_px, dtype=np.float64) + 0.5) - 10.0 * MARGIN_PX

        def pair(band: int, centres_m: Metres, seen_m: Metres, pixel_m: float) -> tuple[Floats, Floats]:
            sigma_m = pixel_m / np.pi * np.sqrt(-2 * np.log(MTF[BANDS[band]]))
            shift_m = overpass.shift_m + overpass.band_shift_m[band]
            y, x = (blur_matrix(centres_m + float(s), seen_m, sigma_m) for s in shift_m)
            return y, x

        fine = tuple(pair(int(b), fine_m, sub_m[UNSEEN:-UNSEEN], 10.0) for b in FINE_BANDS)
        coarse = tuple(pair(int(b), coarse_m, sub_m, 20.0) for b in COARSE_BANDS)
        return cls(size_px, fine, coarse, keys_matrix(size_px, len(coarse_m)))


def blur_matrix(centres_m: Metres, sub_m: Metres, sigma_m: float) -> Floats:
    """Matrix of Gaussian weights, axes (pixel, sub-pixel), float32; each row sums to 1. Positions in metres."""
    weights = np.exp(-0.5 * ((centres_m[:, None] - sub_m) / sigma_m) ** 2)
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


def keys_matrix(size_px: int, coarse_px: int) -> Floats:
    """Cubic interpolation from 20 m to 10 m along one axis, axes (10 m pixel, 20 m pixel), float32.

    The coarse pixels begin `KERNEL_PX` before the fine ones, so that no weight falls off the edge.
    """
    at = (np.arange(size_px) + 0.5) / 2 - 0.5 + KERNEL_PX
    d = np.abs(at[:, None] - np.arange(coarse_px))
    near = 1.5 * d**3 - 2.5 * d**2 + 1
    far = -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    return np.where(d <= 1, near, np.where(d < 2, far, 0)).astype(np.float32)


def look(index: NDArray[np.int32], spectra_BS: Floats, camera: Camera, rng: np.random.Generator) -> Floats:
    """See one tile of the land.

    Parameters
    ----------
    index : ndarray
        Spectrum of each sub-pixel, axes (y, x), the tile with its margin.
    spectra_BS : ndarray
        Reflectance 0..1, axes (B, spectrum), float32.
    camera : Camera
        Of this date and tile size.
    rng : Generator
        Source of the noise.

    Returns
    -------
    ndarray
        Surface reflectance with noise, axes (B, Y, X), float32.
    """
    out_BYX = np.empty((len(BANDS), camera.size_px, camera.size_px), np.float32)
    inner = np.ascontiguousarray(index[UNSEEN:-UNSEEN, UNSEEN:-UNSEEN])
    for band, (a_y, a_x) in zip(FINE_BANDS, camera.fine, strict=True):
        out_BYX[band] = _noisy(a_y @ np.take(spectra_BS[band], inner, mode="clip") @ a_x.T, rng)
    for band, (a_y, a_x) in zip(COARSE_BANDS, camera.coarse, strict=True):
        coarse = _noisy(a_y @ np.take(spectra_BS[band], index, mode="clip") @ a_x.T, rng)
        out_BYX[band] = camera.upsample @ coarse @ camera.upsample.T
    return out_BYX


def _noisy(clean: Floats, rng: np.random.Generator) -> Floats:
    return clean + (NOISE_FLOOR + NOISE_SHARE * clean) * rng.standard_normal(clean.shape, np.float32)
