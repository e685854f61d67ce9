"""Peers' public implementations, where the user has a checkout of them; nothing of theirs is kept here.

Set ``CSCL_PEER_DEEPSATMODELS`` and ``CSCL_PEER_UTAE_PAPS`` to the folders of the checkouts.
"""

from __future__ import annotations

import importlib
import os
import sys
import types
from pathlib import Path
from typing import Any

from suite import Unmeasured

__all__ = ["deepsat_head", "deepsat_unet3df", "utae_paps"]

DEEPSAT = "CSCL_PEER_DEEPSATMODELS", "https://github.com/michaeltrs/DeepSatModels"
UTAE_PAPS = "CSCL_PEER_UTAE_PAPS", "https://github.com/VSainteuf/utae-paps"


def loaded(variable: str, url: str, module: str) -> Any:
    """Import a module of a checkout, without what the packages around it load on their own.

    Raises
    ------
    Unmeasured
        If no checkout is named, or it does not hold the module, or that does not load.
    """
    place = os.environ.get(variable)
    if not place:
        raise Unmeasured(f"no checkout of {url} is named: set {variable} to its folder")
    file = Path(place, *module.split(".")).with_suffix(".py")
    if not file.is_file():
        raise Unmeasured(f"{variable} is {place}, which holds no {file.relative_to(place)}")
    sys.path.insert(0, place)
    package = module.partition(".")[0]
    sys.modules[package] = types.ModuleType(package)
    sys.modules[package].__path__ = [str(Path(place, package))]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise Unmeasured(f"{module} of {place} does not load ({error})") from error


def deepsat_head(width: int, channels: int, window: int) -> Any:
    """Projections and similarities in windows, as published, normalised."""
    found = loaded(*DEEPSAT, "models.LocalSelfAttention.cscl")
    return found.ContextSelfSimilarity(width, channels, window, norm_emb=True)


def deepsat_unet3df(bands: int, dates: int, classes: int, stage: int) -> Any:
    """UNet3Df, from the series (B, C, T, H, W) to logits (stage 2) or to similarities in windows of 3 (stage 0)."""
    config = {
        "num_channels": bands, "max_seq_len": dates, "num_classes": classes, "train_stage": stage, "norm_emb": True,
    }  # fmt: skip
    return loaded(*DEEPSAT, "models.UNet3D.unet3df").UNet3D_CSCL(config)


def utae_paps(bands: int, classes: int) -> Any:
    """U-TAE, from the series (B, T, C, H, W) and days to logits."""
    return loaded(*UTAE_PAPS, "src.backbones.utae").UTAE(bands, out_conv=[32, classes])
