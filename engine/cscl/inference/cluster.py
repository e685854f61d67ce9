"""A map made by many processes, on this machine or others, that dask.distributed looks after.

One task is one tile: a process that has the model and the images open reads it, answers, and puts its part into the
unfinished map, which all must see on a common disk. The process that began puts the parts together in their order, so
the map does not depend on who made which. A process that is lost costs the tiles it was at; others make them again.
"""

from __future__ import annotations

import logging
import pickle
import threading
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import psutil
import torch

import cscl
from cscl.cube import SITSCube
from cscl.device import pick
from cscl.errors import InputError, MemoryLimitError, OutputError
from cscl.events import Event, Job, Note, Progress

from .mapper import Mapper, PredictOptions, ready
from .unfinished import MapDraft

__all__ = ["Order", "Workers", "made_by_workers"]

EVENT_S = 0.5
PATIENCE_S = 60.0  # without any process before the user is told
ANSWER_S = 20
DEAF = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"  # Ctrl-C is for the one that began


@dataclass(frozen=True)
class Workers:
    """Processes that map tiles: so many of this machine, or those of a scheduler of dask.distributed.

    Parameters
    ----------
    count : int
        How many of this machine.
    address : str
        Where the scheduler answers, or the file (``.json``) in which it says so.

    Raises
    ------
    InputError
        If neither or both are named.
    """

    count: int = 0
    address: str = ""

    def __post_init__(self) -> None:
        if (self.count > 0) == bool(self.address):
            raise InputError("Name either a number of processes (--workers) or a scheduler (--cluster).")


@dataclass(frozen=True, eq=False)
class Order:
    """What a process needs to know to make tiles of a map.

    Parameters
    ----------
    model : Path
        Folder of the model.
    cube : SITSCube
        Images.
    options, device
        See `cscl.inference.predict.predict`.
    core_px : int
        Distance between tiles.
    draft : MapDraft
        The unfinished map.
    """

    model: Path
    cube: SITSCube = field(repr=False)
    options: PredictOptions
    device: str
    core_px: int
    draft: MapDraft


def made_by_workers(
    order: Order, todo: Sequence[int], total: int, workers: Workers, arrived: Callable[[int], None]
) -> Job[None]:
    """Let other processes make tiles.

    Parameters
    ----------
    order : Order
        The map.
    todo : sequence of int
        Numbers of the tiles to make.
    total : int
        How many tiles there are.
    workers : Workers
        Who makes them.
    arrived : callable
        Called with the number of each tile when its part lies in the unfinished map.

    Raises
    ------
    CSCLError
        If there are no such processes, they lack the package, the disk or the memory, or a tile cannot be made.
    """
    distributed = _distributed()
    with _connected(distributed, workers) as client:
        tickets: SimpleQueue[Any] = SimpleQueue()
        yield from _require_able(client, order)
        futures = _ordered(client, order, todo, workers)
        try:
            for future in futures:
                future.add_done_callback(tickets.put)
            for done in range(total - len(todo), total):
                progress = Progress("mapping", done, total, "tile")
                future = yield from _next(tickets, client, progress)
                arrived(_result(future))
                yield replace(progress, done=done + 1)
        finally:
            client.cancel(futures, force=True)


def _ordered(client: Any, order: Order, todo: Sequence[int], workers: Workers) -> list[Any]:
    """Ask for all tiles; what they have in common is a task of its own, so that it, too, is made again when lost."""
    import cloudpickle

    name = f"map-{uuid.uuid4().hex[:8]}"
    here = replace(order, model=order.model.resolve(), draft=order.draft.located())
    try:
        packed = cloudpickle.dumps(here)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise InputError(
            f"{order.cube.name} cannot be handed to other processes ({error}). Write it to a store with cscl cube."
        ) from error
    common = client.submit(_same, packed, key=f"{name}-order")
    keys = [f"{name}-{number}" for number in todo]
    futures: list[Any] = client.map(_make, [name] * len(todo), todo, order=common, count=workers.count, key=keys)
    return futures


def _next(tickets: SimpleQueue[Any], client: Any, progress: Progress) -> Generator[Event, None, Any]:
    """Wait for a tile; say so when nobody is there to make it."""
    alone_s = 0.0
    while True:
        try:
            return tickets.get(timeout=EVENT_S)
        except Empty:
            yield progress
        alone_s = 0.0 if client.scheduler_info(n_workers=-1)["workers"] else alone_s + EVENT_S
        if alone_s == PATIENCE_S:
            yield Note("No process is connected to the scheduler; the map waits for one.", warning=True)


def _result(future: Any) -> int:
    from distributed.scheduler import KilledWorker

    try:
        number: int = future.result()
    except KilledWorker as error:
        raise MemoryLimitError(
            "Several processes died while they made the same tile, probably because the memory was full. Use smaller "
            "tiles (the option tile-px) or fewer processes."
        ) from error
    return number


# --- in the other processes ----------------------------------------------------------------------------------------

_computing = threading.Lock()
_opening = threading.Lock()
_opened: dict[str, Mapper] = {}


def _same(packed: bytes) -> bytes:
    return packed


def _make(name: str, number: int, order: bytes, count: int) -> int:
    """Make a tile, unless somebody has. A process with two threads reads one tile while it computes another."""
    import cloudpickle

    with _opening:
        said: Order = cloudpickle.loads(order)
        if name not in _opened:
            _opened.clear()
            _opened[name] = _mapper(said, count)
        mapper = _opened[name]
    if not said.draft.has(number):
        sample = mapper.read([number])
        with _computing:
            [part] = mapper.parts([number], sample)
        said.draft.save(number, part)
    return number


def _mapper(order: Order, count: int) -> Mapper:
    """Open model and images; of several processes on one machine each takes its own GPU, or its share of the cores."""
    from distributed import get_worker

    device = order.device
    if count:
        place = get_worker().name
        if pick(device).type == "cuda" and isinstance(place, int):
            device = f"cuda:{place % torch.cuda.device_count()}"
        torch.set_num_threads(max(1, (psutil.cpu_count() or 1) // count))
    return ready(order.model, order.cube, order.options, device, order.core_px)[0]


def _told(folder: str, model: str) -> tuple[str, bool, bool]:
    """Version of this package in a process, and whether it sees the unfinished map and the model."""
    return cscl.__version__, Path(folder).is_dir(), Path(model).is_dir()


# --- the connection ------------------------------------------------------------------------------------------------


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise InputError(
            f'Mapping with several processes needs {error.name}. Install it: pip install "napari-cscl[cluster]".'
        ) from error
    return distributed


@contextmanager
def _connected(distributed: Any, workers: Workers) -> Iterator[Any]:
    """Lend a client of the scheduler; processes of this machine end with the block."""
    logger = logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # lost processes and closed connections are no news
    cluster = client = None
    try:
        if workers.count:
            cluster = distributed.LocalCluster(
                n_workers=workers.count, threads_per_worker=2, dashboard_address=None, memory_limit=0,
                silence_logs=logging.CRITICAL, preload=[DEAF],
            )  # fmt: skip
        file = workers.address.endswith(".json")
        where = {"scheduler_file": workers.address} if file else {"address": cluster or workers.address}
        client = distributed.Client(**where, timeout=ANSWER_S)
        yield client
    except (OSError, ValueError) as error:
        if client is not None:
            raise
        raise InputError(
            f"No scheduler answers at {workers.address or 'this machine'} ({error}). Start one with dask scheduler, "
            "and give the address that it shows, such as tcp://10.0.0.1:8786."
        ) from error
    finally:
        for each in (client, cluster):
            if each is not None:
                each.close()
        logger.setLevel(level)


def _require_able(client: Any, order: Order) -> Job[None]:
    """Refuse processes without this package, or without the disk on which map and model lie.

    Raises
    ------
    InputError, OutputError
        The message names the process.
    """
    yield Note(f"Mapping with {len(client.scheduler_info(n_workers=-1)['workers'])} processes.")
    draft, model = order.draft.located(), order.model.resolve()
    try:
        found = client.run(_told, str(draft.folder), str(model))
    except Exception as error:  # whatever unpacking a function of a package that is not there raises
        raise InputError(
            f"The processes cannot run cscl ({error}). Install the same version of it for them."
        ) from error
    for name, (version, sees_map, sees_model) in found.items():
        if version != cscl.__version__:
            raise InputError(f"The process {name} has cscl {version}, and here is {cscl.__version__}. Make them alike.")
        if not (sees_map and sees_model):
            raise OutputError(
                f"The process {name} does not see {model if sees_map else draft.folder}. Map, model and images must "
                "lie on a disk that all share, under the same path."
            )
