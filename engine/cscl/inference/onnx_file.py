"""A graph as one ONNX file: written down by torch's exporter, named and described, and compared with torch.

Programs such as QGIS plugins bring old versions of onnxruntime, so the file is of an old format (opset 18, IR 8), which
those since 1.14 (2023) read.
"""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cscl.errors import InputError, OutputError

__all__ = ["Port", "compared", "require_packages", "write_down"]

OPSET, IR_VERSION = 18, 8
MOST_BYTES = 1_900_000_000  # one file is a protocol buffer, which holds 2 GB
TOLERANCE = 1e-3

Axis = int | str
"""Length of an axis, or the name of one of any length."""


@dataclass(frozen=True)
class Port:
    """An input or output of a graph: its name, and its axes as a length, or as a name where any length will do."""

    name: str
    axes: tuple[Axis, ...]


def require_packages() -> tuple[ModuleType, ModuleType]:
    """Return the modules ``onnx`` and ``onnxruntime``.

    Raises
    ------
    InputError
        If one of them, or ``onnxscript``, is not installed.
    """
    try:
        importlib.import_module("onnxscript")
        return importlib.import_module("onnx"), importlib.import_module("onnxruntime")
    except ImportError as error:
        raise InputError(f'Writing ONNX needs {error.name}. Install it: pip install "napari-cscl[onnx]".') from error


def write_down(
    graph: nn.Module, sample: tuple[Tensor, ...], inputs: Sequence[Port], outputs: Sequence[Port],
    described: Mapping[str, str], path: Path, what: str,
) -> list[Port]:  # fmt: skip
    """Write a graph as one ONNX file.

    Parameters
    ----------
    graph : nn.Module
        In evaluation.
    sample : tuple of Tensor
        Inputs to trace it with. Of axes that have a name they should be of lengths that nothing else has.
    inputs, outputs : sequence of Port
        Names and axes.
    described : mapping of str to str
        What goes into the metadata of the file.
    path : Path
        File to write.
    what : str
        The network, for the message.

    Returns
    -------
    list of Port
        The inputs as they are: an axis may have lost its name, and take one length alone.

    Raises
    ------
    InputError
        If the network cannot be written as ONNX.
    """
    onnx, _ = require_packages()
    if sum(t.numel() * t.element_size() for t in graph.state_dict().values()) > MOST_BYTES:
        raise InputError(f"{what} is too large for one ONNX file, which holds 2 GB. Train a network of fewer features.")
    try:
        with _quiet():
            proto = _translated(graph, sample, inputs, outputs)
    except Exception as error:  # whatever the exporter meets in the code of a network has no common base
        first = next((line.strip() for line in str(_root(error)).splitlines() if line.strip()), type(error).__name__)
        raise InputError(
            f"{what} cannot be written as ONNX ({first[:300]}). Map with cscl predict, or train another network."
        ) from error
    fixed = _fixed(proto.graph.input, inputs)
    found = [_named(value, port, fixed) for value, port in zip(proto.graph.input, inputs, strict=True)]
    for value, port in zip(proto.graph.output, outputs, strict=True):
        _named(value, port, fixed)
    del proto.graph.value_info[:]  # names of axes that nobody knows any more
    proto.ir_version, proto.producer_name = IR_VERSION, described.get("made_by", "cscl")
    proto.doc_string = described.get("description", "")
    onnx.helper.set_model_props(proto, dict(described))
    onnx.save(proto, str(path))
    return found


def _translated(graph: nn.Module, sample: tuple[Tensor, ...], inputs: Sequence[Port], outputs: Sequence[Port]) -> Any:
    free = tuple({at: torch.export.Dim.AUTO for at, axis in enumerate(p.axes) if isinstance(axis, str)} for p in inputs)
    with torch.no_grad():
        program = torch.export.export(graph.eval(), sample, dynamic_shapes=free)
        written = torch.onnx.export(
            program, dynamo=True, verbose=False, optimize=True, opset_version=OPSET,
            input_names=[port.name for port in inputs], output_names=[port.name for port in outputs],
        )  # fmt: skip
    assert written is not None
    return written.model_proto


def _fixed(values: Sequence[Any], ports: Sequence[Port]) -> dict[Axis, int]:
    """Return the axes that should be free and yet have one length alone, if only in one of the inputs."""
    pairs = [
        pair
        for v, p in zip(values, ports, strict=True)
        for pair in zip(p.axes, v.type.tensor_type.shape.dim, strict=True)
    ]
    return {axis: dim.dim_value for axis, dim in pairs if isinstance(axis, str) and dim.HasField("dim_value")}


def _named(value: Any, port: Port, fixed: Mapping[Axis, int]) -> Port:
    """Give the axes of an input or output their names and lengths; return them."""
    axes = tuple(fixed.get(axis, axis) for axis in port.axes)
    for dim, axis in zip(value.type.tensor_type.shape.dim, axes, strict=True):
        if isinstance(axis, str):
            dim.dim_param = axis
        else:
            dim.dim_value = axis
    return Port(port.name, axes)


def _root(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what the exporter says about its own code."""
    former = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(former)


def compared(path: Path, graph: nn.Module, samples: Sequence[tuple[Tensor, ...]]) -> float:
    """Return by how much the first output of a file differs from that of its graph, at most over all samples.

    Raises
    ------
    OutputError
        If onnxruntime cannot run the file, or it differs by more than 0.001.
    """
    _, runtime = require_packages()
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    farthest = 0.0
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        names = [port.name for port in session.get_inputs()]
        for sample in samples:
            there: NDArray[np.float32] = session.run(None, dict(zip(names, map(np.asarray, sample), strict=True)))[0]
            with torch.inference_mode():
                here = graph(*sample)
            here = (here[0] if isinstance(here, tuple) else here).numpy()
            farthest = max(farthest, float(np.abs(there - here).max()))
    except Exception as error:  # of kinds that onnxruntime does not publish
        raise OutputError(
            f"onnxruntime cannot run {path.name} ({str(error).splitlines()[0][:300]}), so it is not kept. Use a "
            "network of another kind, or install another onnxruntime."
        ) from error
    if not farthest <= TOLERANCE:
        raise OutputError(
            f"The probabilities of {path.name} differ from those of torch by {farthest:.2g}, so it is not kept. "
            "Install another version of onnxruntime or onnxscript."
        )
    return farthest
