"""SSCCL-style, reconstructed: its parts by hand, the copy that follows, every switch, and batches of one."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cosine_similarity
from toyviews import STILL, samples, seeded

from cscl.losses import losses
from cscl.losses.looking import look_at_both
from cscl.losses.ssccl import Overlapping, SSCCLLoss, SSCCLOptions, draw_overlapping, propagated
from cscl.models import DataShape, Network, models
from cscl.models.compact import CompactOptions

OPTIONS = SSCCLOptions(**{**vars(STILL), "region_px": 4, "points_across": 4})


def made(options: SSCCLOptions = OPTIONS, items: int = 5) -> tuple[Network, Overlapping, SSCCLLoss]:
    torch.manual_seed(0)
    shape = DataShape(bands=8, classes=3, dates=24, first_day=0, last_day=140)
    net = models.get("compact").build(CompactOptions(num_features=4, knots=8), shape)
    task = draw_overlapping(samples(items), options, 16, 24, seeded())
    return net, task, SSCCLLoss(options, net, task)


def test_it_never_goes_by_another_name() -> None:
    assert losses.get("ssccl-style-reconstructed").summary.startswith("SSCCL-style, reconstructed")


def test_both_branches_by_slow_loops() -> None:
    net, task, loss = made()
    net.eval(), loss.eval()
    _, measures = loss(net, task)
    y, k = loss.online(look_at_both(net, task.pair, at_once=True), task.pair)
    p, c = loss.predict_instance(torch.cat(y)).chunk(2), loss.predict_dense(torch.cat(k)).chunk(2)
    boxes, total, instance = (task.points.first_BR4, task.points.second_BR4), [], []
    for a, b in ((0, 1), (1, 0)):
        instance += (2 - 2 * cosine_similarity(p[a], y[b])).tolist()  # at the start the copy is the network itself
        for item, point in task.points.kept_BR.nonzero().tolist():
            places = [boxes[side][item, point, :2].tolist() for side in (a, b)]
            guess, target = (m[item, :, y_, x_] for m, (y_, x_) in zip((c[a], k[b]), places, strict=True))
            total.append(2 - 2 * cosine_similarity(guess, target, dim=0).item())
    assert measures["instance"].item() == pytest.approx(sum(instance) / len(instance), abs=1e-4)
    assert measures["spatial"].item() == pytest.approx(sum(total) / len(total), abs=1e-4)


def test_the_copy_follows_without_gradient_buffers_and_all() -> None:
    net, task, loss = made()
    name = "pixel.log_bandwidth_G"
    target = loss.target.network
    before = target.get_parameter(name).clone()
    with torch.no_grad():
        net.get_parameter(name).add_(1.0)
    told, _ = loss.train()(net.train(), task, done=0.5)
    told.backward()
    kept = 1 - 0.01 * (math.cos(math.pi / 2) + 1) / 2
    assert torch.allclose(target.get_parameter(name), before + (1 - kept), atol=1e-6)
    assert all(p.grad is None and not p.requires_grad for p in loss.target.parameters())
    assert all(b.abs().sum() > 0 for n, b in target.named_buffers() if n.endswith("running_mean"))
    loss.eval()(net.eval(), task)
    assert torch.allclose(target.get_parameter(name), before + (1 - kept), atol=1e-6), "only learning moves it"


@pytest.mark.parametrize(
    "changes", [{}, {"semantic": "region"}, {"semantic": "propagate"}, {"semantic": "affinity"}, {"negatives": "batch"}]
)
def test_every_switch_teaches_encoder_and_decoder(changes: dict[str, str]) -> None:
    net, task, loss = made(replace(OPTIONS, **changes))
    told, measures = loss.train()(net.train(), task)
    told.backward()
    assert torch.isfinite(told) and all(torch.isfinite(v) for v in measures.values())
    assert (measures["semantic"] > 0) == ("semantic" in changes)
    for part in ("pixel.log_bandwidth_G", "surroundings.down2.1.0.weight", "surroundings.up0.0.weight"):
        assert net.get_parameter(part).grad.abs().sum() > 0, part


def test_order_of_samples_and_sides_do_not_matter() -> None:
    net, task, loss = made(replace(OPTIONS, semantic="affinity"))
    net.eval(), loss.eval()
    told, order = loss(net, task)[0], torch.tensor([4, 2, 0, 1, 3])
    pair = replace(task.pair, first=task.pair.second, second=task.pair.first)
    points = replace(task.points, first_BR4=task.points.second_BR4, second_BR4=task.points.first_BR4)
    for other in (task.map(lambda t: t[order]), replace(task, pair=pair, points=points)):
        assert torch.allclose(loss(net, other)[0], told, atol=1e-4)


def test_propagation_by_slow_loops() -> None:
    k, g = (torch.randn(1, 5, 3, generator=seeded(s), dtype=torch.float64) for s in (1, 2))
    kept = torch.tensor([[True, True, False, True, True]])
    told = propagated(k, g, kept)
    for i in range(5):
        weights = [
            max(0.0, float(cosine_similarity(k[0, i], k[0, j], dim=0))) ** 2 * bool(kept[0, j]) for j in range(5)
        ]
        assert torch.allclose(told[0, i], sum(w * g[0, j] for j, w in enumerate(weights)))


def test_a_batch_of_one_and_one_without_a_usable_pixel_learn_nothing_wrong() -> None:
    net, task, loss = made(items=1)
    assert torch.isfinite(loss.train()(net.train(), task)[0])
    task.points.kept_BR[:] = False
    task.cells.kept_BR[:] = False
    told, _ = loss(net, task)
    told.backward()
    assert told.item() == 0 and not any(p.grad.any() for p in net.parameters() if p.grad is not None)
