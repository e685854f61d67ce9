"""Real scenes of a protocol: what teaches and what judges."""

from pathlib import Path

import numpy as np

from cscl.benchmark.places import open_data
from cscl.benchmark.protocol import Protocol
from cscl.events import run

TEXT = """
question = "On one's own scene?"
baseline = "plain"
arms = [{ name = "plain" }]
[[seasons]]
name = "sample"
reading = ["class_column=crop", "name_column=crop_name"]
scenes = [{ images = "season", labels = "season/parcels.gpkg" }]
"""


def test_blocks_judge_where_no_scene_does_and_teach_nothing(root: Path) -> None:
    import tomllib

    from cscl.recipe import build

    protocol = build(Protocol, {**tomllib.loads(TEXT), "folder": str(root / "sample_data")}, "a test")
    first, second = (run(open_data(plan, Path("unused"))) for plan in protocol.plans(seeds=[0, 1]))
    (scene,), (test,) = first.train, first.tests
    taught, judged = scene.labels.index() >= 0, test.truths[0].index() >= 0
    assert not (taught & judged).any() and 0.15 < judged.mean() / (taught | judged).mean() < 0.45
    outlined, asked = scene.labels.parcel_ids, test.truths[0].parcel_ids
    assert not {*np.unique(outlined[outlined > 0])} & {*np.unique(asked[asked > 0])}
    assert (second.tests[0].truths[0].ids == test.truths[0].ids).all() and first.checksum == second.checksum
