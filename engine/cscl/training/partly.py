"""A network of which only a part learns, as for a linear probe of what pre-training found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from torch import nn

from cscl.models import Network

__all__ = ["Partly"]


class Partly(nn.ModuleDict):
    """The modules of a training. What is frozen stays in evaluation, so its running statistics do not move either.

    Parameters
    ----------
    modules : mapping
        ``network`` and whatever learns beside it.
    scope : str
        What of the network learns: ``all``, ``decoder`` or ``head``, see `cscl.models.Network.part`.
    """

    def __init__(self, modules: Mapping[str, nn.Module], scope: str) -> None:
        super().__init__(dict(modules))
        network = cast(Network, self["network"])
        self.learning = tuple(network.part(scope))  # in a tuple, so that their weights are not listed twice
        network.requires_grad_(False)
        for part in self.learning:
            part.requires_grad_(True)

    def train(self, mode: bool = True) -> Partly:
        """Put what learns into training, or all into evaluation."""
        super().train(mode)
        self["network"].eval()
        for part in self.learning:
            part.train(mode)
        return self
