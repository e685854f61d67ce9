"""The affinity operator: published golden values, slow loops on small cases, gradients, and what it refuses."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from cscl.errors import InputError
from cscl.losses.affinity import affinity, label_agreement

LABELS_HW = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 1, 9], [2, 2, 9, 9]])


def counted(*shape: int) -> Tensor:
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float64).reshape(shape)


def golden_parts() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Query, key and codes of the golden case: D = 3, A = 4, 4 x 4 pixels, window 3."""
    embedding = torch.sin(1 + counted(1, 3, 4, 4))
    query = torch.einsum("ad,bdhw->bahw", torch.cos(1 + counted(4, 3)), embedding)
    key = torch.einsum("ad,bdhw->bahw", torch.sin(2 + counted(4, 3)), embedding)
    return query, key, torch.cos(3 + counted(2, 3)), torch.sin(4 + counted(2, 3))


def random_parts(shape: tuple[int, ...], window: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    made = torch.Generator().manual_seed(seed)
    sizes = [shape, shape, (shape[1] // 2, window), (shape[1] // 2, window)]
    q, k, row, col = (torch.randn(size, generator=made, dtype=torch.float64) for size in sizes)
    return q, k, row, col


def affinity_slow(
    q: Tensor, k: Tensor, row: Tensor, col: Tensor, *, window: int, dilation: int, groups: int, normalise: bool
) -> Tensor:
    """The definition, pixel by pixel and tap by tap."""
    items, _, height, width = q.shape
    s = torch.zeros(items, window, window, height, width, dtype=q.dtype)
    taps, pixels = itertools.product(range(window), repeat=2), itertools.product(range(height), range(width))
    for (a, b), (y, x), item in itertools.product(taps, list(pixels), range(items)):
        v, u = y + (a - window // 2) * dilation, x + (b - window // 2) * dilation
        inside = 0 <= v < height and 0 <= u < width
        key = (k[item, :, v, u] if inside else 0) + torch.cat([row[:, a], col[:, b]])
        for one, other in zip(q[item, :, y, x].chunk(groups), key.chunk(groups), strict=True):
            length = one.norm() * other.norm() if normalise else 1
            s[item, a, b, y, x] += one @ other / length
    return s


@pytest.mark.parametrize(
    ("options", "pixel", "expected"),
    [
        ({}, (0, 0), [0.987488, 0.999664, 0.901936, 0.998136, 0.990519, 0.776196, 0.465528, 0.731879, 0.888606]),
        ({}, (1, 2), [0.970066, 0.998355, 0.839483, 0.998585, 0.995251, 0.863313, -0.056348, 0.672016, 0.891356]),
        (
            {},
            (3, 3),
            [-0.985761, -0.998854, -0.889858, -0.987917, -0.953056, -0.934077, -0.490633, -0.558444, -0.247701],
        ),
        (
            {"dilation": 2},
            (1, 2),
            [0.984029, 0.999532, 0.894028, 0.998681, 0.995251, 0.936885, 0.800317, -0.041946, 0.237545],
        ),
        (
            {"groups": 2},
            (1, 2),
            [1.994800, 1.997705, 1.926937, 1.998273, 1.999561, 1.898903, 0.009991, 0.303993, 1.969841],
        ),
        (
            {"normalise": False},
            (1, 2),
            [0.545023, 0.544075, 0.493681, 1.178364, 1.092574, 0.328124, -0.027879, 0.542767, 0.515735],
        ),
    ],
)
def test_golden_values(options: dict, pixel: tuple[int, int], expected: list[float]) -> None:
    s_BkkHW = affinity(*golden_parts(), window=3, **options)
    assert s_BkkHW.shape == (1, 3, 3, 4, 4)
    torch.testing.assert_close(s_BkkHW[0, :, :, *pixel].flatten(), torch.tensor(expected).double(), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("dilation", "total"), [(1, -18.330621806), (2, -15.215434569)])
def test_golden_sums(dilation: int, total: float) -> None:
    assert affinity(*golden_parts(), window=3, dilation=dilation).sum().item() == pytest.approx(total, abs=1e-8)


@pytest.mark.parametrize(
    ("shape", "window", "dilation", "groups", "normalise"),
    [
        ((2, 4, 5, 6), 3, 1, 1, True),
        ((1, 6, 9, 17), 3, 2, 3, True),  # sizes beyond one block, and not a multiple of the dilation
        ((1, 2, 8, 8), 5, 1, 1, False),
        ((2, 4, 3, 2), 5, 3, 2, True),  # windows wider than the map
        ((1, 4, 1, 10), 7, 1, 2, True),
    ],
)
def test_equals_slow_loops(shape: tuple[int, ...], window: int, dilation: int, groups: int, normalise: bool) -> None:
    parts = random_parts(shape, window)
    options = {"window": window, "dilation": dilation, "groups": groups, "normalise": normalise}
    torch.testing.assert_close(affinity(*parts, **options), affinity_slow(*parts, **options), atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("shape", "window", "dilation", "groups", "normalise"),
    [((1, 4, 3, 4), 3, 1, 1, True), ((2, 2, 5, 3), 3, 2, 2, True), ((1, 2, 3, 6), 5, 1, 1, False)],
)
def test_gradients(shape: tuple[int, ...], window: int, dilation: int, groups: int, normalise: bool) -> None:
    parts = [part.requires_grad_() for part in random_parts(shape, window, seed=1)]
    options = {"window": window, "dilation": dilation, "groups": groups, "normalise": normalise}
    assert gradcheck(lambda *given: affinity(*given, **options), parts)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_low_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    parts = [part.type(dtype) for part in random_parts((2, 32, 10, 11), 3)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        s_BkkHW = affinity(*parts, window=3)
    assert s_BkkHW.dtype == torch.float32
    exact = affinity(*(part.double() for part in parts), window=3)
    torch.testing.assert_close(s_BkkHW.double(), exact, atol=2e-6, rtol=0)


def test_zero_and_cancelling_vectors_stay_finite() -> None:
    q, k, row, col = (part.float() for part in random_parts((1, 8, 6, 6), 3))
    q[..., :3, :] = 0
    k[..., 3:] = -torch.cat([row[:, 1], col[:, 1]])[:, None, None]  # key and code of the centre cancel
    parts = [part.requires_grad_() for part in (q, k, row, col)]
    s_BkkHW = affinity(*parts, window=3)
    s_BkkHW.square().sum().backward()
    assert s_BkkHW.abs().max() <= 1
    assert not s_BkkHW[..., :3, :].any()
    assert all(part.grad.isfinite().all() for part in parts)


def test_graph_holds_no_copies_of_the_keys() -> None:
    window, shape = 7, (1, 64, 32, 32)
    parts = [part.float().requires_grad_() for part in random_parts(shape, window)]
    held: dict[int, int] = {}
    save = lambda x: held.update({x.untyped_storage().data_ptr(): x.untyped_storage().nbytes()}) or x  # noqa: E731
    with torch.autograd.graph.saved_tensors_hooks(save, lambda x: x):
        affinity(*parts, window=window)
    one_map_bytes, pairs_bytes = parts[1].nbytes, 4 * window**2 * 32 * 32
    assert 0 < sum(held.values()) < 6 * one_map_bytes + 6 * pairs_bytes


@pytest.mark.parametrize(("stride", "dilation", "size_px"), [(1, 1, 24), (2, 2, 12), (3, 3, 8), (1, 3, 24)])
def test_stride_thins_affinity_and_agreement_alike(stride: int, dilation: int, size_px: int) -> None:
    parts = random_parts((1, 4, 24, 24), 3)
    target_BHW = torch.randint(-1, 3, (1, 24, 24), generator=torch.Generator().manual_seed(0))
    s_BkkHW = affinity(*parts, window=3, dilation=dilation, stride=stride)
    strided = label_agreement(target_BHW, 3, dilation, stride)
    assert s_BkkHW.shape == strided[0].shape == strided[1].shape == (1, 3, 3, size_px, size_px)
    # Every stride-th pixel of the full result, whose border may lie elsewhere: here it does not, 24 is a multiple.
    step = (..., slice(None, None, stride), slice(None, None, stride))
    torch.testing.assert_close(s_BkkHW, affinity(*parts, window=3, dilation=dilation)[step])
    for thin, full in zip(strided, label_agreement(target_BHW, 3, dilation), strict=True):
        assert torch.equal(thin, full[step])


@pytest.mark.parametrize(("window", "dilation", "positives"), [(3, 1, 62), (3, 2, 18), (5, 1, 66)])
def test_agreement_has_the_golden_counts(window: int, dilation: int, positives: int) -> None:
    positive, _ = label_agreement(LABELS_HW[None], window, dilation)
    assert positive.dtype == torch.bool
    assert positive.sum() == positives


def test_agreement_by_loops() -> None:
    window, dilation, reach_px = 5, 2, 4
    target_BHW = torch.randint(-2, 3, (2, 7, 9), generator=torch.Generator().manual_seed(3))
    positive, kept = label_agreement(target_BHW, window, dilation)
    for item, a, b, y, x in itertools.product(*map(range, positive.shape)):
        v, u = y + a * dilation - reach_px, x + b * dilation - reach_px
        inside = 0 <= v < 7 and 0 <= u < 9
        centre = target_BHW[item, y, x].clamp_min(-1)
        tap = target_BHW[item, v, u].clamp_min(-1) if inside else None
        assert positive[item, a, b, y, x] == (inside and tap == centre)
        assert kept[item, a, b, y, x] == (inside and tap >= 0 and centre >= 0 and (a, b) != (2, 2))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"window": 4}, "odd"),
        ({"stride": 2}, "Stride 2 does not go with dilation 1"),
        ({"dilation": 2, "stride": 4}, "choose 1 or 2"),
        ({"dilation": 0}, "at least 1"),
        ({"groups": 3}, "3 groups"),
        ({"window": 5}, r"\(2, 5\)"),
    ],
)
def test_refuses_with_a_sentence(change: dict, sentence: str) -> None:
    parts = random_parts((1, 4, 6, 6), window=3)
    with pytest.raises(InputError, match=sentence):
        affinity(*parts, **{"window": 3, **change})
