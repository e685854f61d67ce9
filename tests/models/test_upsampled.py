"""Networks that answer at finer pixels: the published size, where each fine pixel lies, and what a weight is called."""

import torch
from torch.nn.functional import cross_entropy

from cscl.models import DataShape, models
from cscl.models.compact import Compact, CompactOptions
from cscl.models.unet3d import UNet3DOptions
from cscl.models.upsampled import lifted, upsampled


def test_unet3df_of_four_times_finer_pixels_has_the_published_size() -> None:
    network = models.get("unet3df").build(UNet3DOptions(day_channels=1), DataShape(bands=13, classes=20))
    assert sum(weight.numel() for weight in upsampled(network, 4, "published").parameters()) == 7_515_621


def test_what_is_alike_stays_alike_where_kernels_meet_evenly() -> None:
    """Of one value everywhere the published blocks make a checkerboard, even before they learn."""
    torch.manual_seed(0)
    spread = {}
    for by in ("smooth", "published"):
        network = upsampled(
            Compact(CompactOptions(num_features=4, embedding_width=8), DataShape(bands=1, classes=2)), 4, by
        )
        with torch.inference_mode():
            made_BDHW = network.upsample.eval()(torch.randn(1, 8, 1, 1).expand(-1, -1, 12, 12))
        inside_BDHW = made_BDHW[..., 8:-8, 8:-8]
        spread[by] = float((inside_BDHW.std(dim=(2, 3)) / made_BDHW.std()).max())
    assert spread["smooth"] < 1e-5 and spread["published"] > 0.1


def test_finer_classes_than_the_images_are_learnt_from_how_pixels_mix() -> None:
    """A pixel's brightness says how many of its 2 x 2 fine pixels, from the left, are of a class: nothing else does."""
    torch.manual_seed(0)
    network = upsampled(Compact(CompactOptions(num_features=4, embedding_width=8), DataShape(bands=1, classes=2)), 2)
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.01)
    day_BT = torch.tensor([[100, 200]]).expand(4, -1)
    for _ in range(80):
        count_BHW = torch.randint(0, 3, (4, 12, 12))
        x_BTCHW = count_BHW[:, None, None].float().expand(-1, 2, -1, -1, -1) - 1
        column = torch.arange(24) % 2
        truth_BHW = (column < count_BHW.repeat_interleave(2, 1).repeat_interleave(2, 2)).long()
        logits = network(x_BTCHW, day_BT, torch.ones(4, 2, 12, 12, dtype=torch.bool))[0]
        loss = cross_entropy(logits, truth_BHW)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert (logits.argmax(1) == truth_BHW).float().mean() > 0.99


def test_weights_of_a_network_fit_the_same_one_made_finer() -> None:
    options, shape = CompactOptions(num_features=4), DataShape(bands=3, classes=4)
    plain, fine = Compact(options, shape), upsampled(Compact(options, shape), 4)
    before = {name: weight.clone() for name, weight in fine.state_dict().items()}
    fine.load_state_dict(lifted(plain.state_dict(), fine))
    after = fine.state_dict()
    assert all(torch.equal(after[name], weight) for name, weight in plain.state_dict().items())
    blocks = [name for name in before if name not in plain.state_dict()]
    assert blocks and all(torch.equal(after[name], before[name]) for name in blocks)
