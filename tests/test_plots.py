"""The pictures of --plot, where matplotlib is installed."""

import runpy

import pytest
import torch
from conftest import ROOT
from conftest import run as run_of
from PIL import Image

import dsatgo
import train_cifar

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def plots():
    return runpy.run_path(str(ROOT / "experiments" / "plots.py"))


@pytest.fixture
def net():
    return dsatgo.resnet19(channels=2)


def ink(path):
    """How many colours a picture has: a blank one has one."""
    with Image.open(path) as picture:
        return len(picture.convert("RGB").getcolors(maxcolors=1 << 24))


def test_what_is_drawn_is_what_the_probe_sees(plots, net):
    x = torch.randn(8, 3, 16, 16)
    for _ in range(3):
        net(x)
    net.train()
    seen = plots["looked_into"](net, x)
    assert net.training and all(m.watch is None for m in net.modules() if isinstance(m, dsatgo.LIF))
    net.eval()
    with dsatgo.probe(net) as figures:
        net(x)
    assert seen.keys() == figures.keys()
    for name, (u, fire, k) in seen.items():
        assert torch.allclose(u.mean(1), figures[name]["u_mean"], atol=1e-6)
        assert torch.equal(fire, figures[name]["threshold"])
        assert torch.equal(k, figures[name]["width"])


def test_a_picture_says_how_many_fire_and_how_many_learn(plots):
    from matplotlib.figure import Figure

    u = torch.tensor([0.0, 0.4, 0.5, 0.9, 1.0, 1.6, 1.7, 3.0])
    axis = Figure().subplots()
    text = plots["distribution"](axis, u, torch.tensor(1.0), torch.tensor(1.0))
    assert text == "50.0% fire, 37.5% with gradient"
    (line,) = axis.lines
    assert line.get_xdata() == [1, 1]
    window = axis.patches[0].get_extents().transformed(axis.transData.inverted())
    assert (window.x0, window.x1) == pytest.approx((0.5, 1.5))


@pytest.mark.parametrize("n, expected", [(1, [0]), (3, [0, 1, 2]), (20, [0, 4, 8, 11, 15, 19])])
def test_the_first_and_the_last_layer_are_among_those_shown(plots, n, expected):
    assert plots["chosen"](dict.fromkeys(range(n))) == expected


@pytest.mark.slow
def test_a_run_and_the_demo_leave_their_pictures(tmp_path):
    small = "--limit-train 20 --limit-test 20 --epochs 2 --batch-size 10 --channels 1".split()
    run_of("--demo", "--plot", "--out", tmp_path / "demo", base=small)
    assert ink(tmp_path / "demo" / "arms.png") > 10
    more = ["--dataset", "shapes", "--plot", "--out", tmp_path / "run"]
    run_of(*more, base=small, main=train_cifar.main)
    for name in ("curves", "layers", "potentials"):
        assert ink(tmp_path / "run" / f"{name}.png") > 10
    assert not list(tmp_path.rglob("*.tmp"))
