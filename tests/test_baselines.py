"""The neurons of other papers: by hand, against a loop in NumPy and against LIF, and in a run."""

import copy
import math

import baselines
import numpy as np
import pytest
import torch
from conftest import ROOT
from conftest import load
from conftest import relative
from conftest import run
from conftest import table
from conftest import tensor
from torch import nn

import dsatgo
from dsatgo import LIF
from dsatgo import probe

NAMES = ("LTMD", "MPDAGL", "ASGS")
OWN = dict(LTMD="v", ASGS="c")  # what it learns beside the leak


def make(name, T, w=None, own=None, gamma=0.7):
    """The neuron in float64, its leak, own parameter and batch norm's mean scale set."""
    layer = getattr(baselines, name)(T).double()
    if name == "MPDAGL":
        norm = nn.BatchNorm1d(2).double()
        norm.weight.data = tensor([0.5 * gamma, 1.5 * gamma])
        layer.follows(norm)
    with torch.no_grad():
        if w is not None:
            layer.w.fill_(w)
        if own is not None and name in OWN:
            getattr(layer, OWN[name]).fill_(own)
    return layer


# ---- by hand ----
def test_at_the_start():
    for name in NAMES:
        layer = make(name, 2)
        assert torch.sigmoid(layer.w).item() == pytest.approx(0.2)
        with probe(layer) as figures:
            layer(torch.zeros(2, 3, 4, dtype=torch.float64))
        fires = math.tanh(0.5) if name == "LTMD" else 1.0
        assert figures[""]["threshold"].tolist() == pytest.approx([fires, fires])
        widths = [1.4, 1.4 * math.sqrt(1.04)] if name == "MPDAGL" else [1, 1]
        assert figures[""]["width"].tolist() == pytest.approx(widths)


def test_ltmds_threshold_by_hand():
    """Threshold 1/2, window from 0 to 1: three of five are inside, and d tanh = 1 - 1/4."""
    layer = make("LTMD", 1, own=math.atanh(0.5))
    current = tensor([[[-0.25, 0.25, 0.625, 0.75, 1.25]]]).requires_grad_()
    spikes = layer(current)
    assert spikes.flatten().tolist() == [0, 0, 1, 1, 1]
    spikes.sum().backward()
    assert current.grad.flatten().tolist() == [0, 1, 1, 1, 0]
    assert layer.v.grad.item() == pytest.approx(-3 * 0.75)


def test_mpdagls_widths_by_hand():
    """tau = 3/4, gamma = 1/2: widths 1 and sqrt(1 + 9/16) = 5/4. For L = S(2): dL/dU(2) = 4/5 for
    both, U(2) = 0.5625 and 0.4375; the window of t = 1 begins at 0.5. The first did not fire:
    dL/dU(1) = 0.75 * 0.8 and, through the reset, -0.75 * 0.75 * 0.8; the second did."""
    layer = make("MPDAGL", 2, w=math.log(3), gamma=0.5)
    current = tensor([[[0.75, 1.25]], [[0.0, 0.4375]]]).requires_grad_()
    spikes = layer(current)
    assert spikes.tolist() == [[[0, 1]], [[0, 0]]]
    spikes[1].sum().backward()
    assert current.grad[1].flatten().tolist() == pytest.approx([0.8, 0.8])
    assert current.grad[0].flatten().tolist() == pytest.approx([0.15, -0.75])
    assert layer.norm[0].weight.grad is None


def test_asgss_factor_by_hand():
    """Width 2, window from 0 to 2. For L = S1 + 3 S2 + 5 S3: dL/dk = -(-0.5 + 3 * 0.5) / 4, and
    dk/dc = k."""
    layer = make("ASGS", 1, own=math.log(2))
    current = tensor([[[0.5, 1.5, 2.5]]]).requires_grad_()
    spikes = layer(current)
    assert spikes.flatten().tolist() == [0, 1, 1]
    (spikes.flatten() * tensor([1, 3, 5])).sum().backward()
    assert current.grad.flatten().tolist() == pytest.approx([0.5, 1.5, 0])
    assert layer.c.grad.item() == pytest.approx(-0.25 * 2)


def test_a_tie_fires_and_the_window_is_closed():
    layer = make("ASGS", 1)
    current = tensor([[[0.25, 0.5, 1.0, 1.5, 1.75]]]).requires_grad_()
    spikes = layer(current)
    spikes.sum().backward()
    assert spikes.flatten().tolist() == [0, 0, 1, 1, 1]
    assert current.grad.flatten().tolist() == [0, 1, 1, 1, 0]


# ---- against others ----
def loop(current, tau, fire, k, ds):
    """Eqs. 2, 3, 9 and 10 with a ramp's derivatives, [T, N]: spikes and the gradients of current,
    tau, fire [T] and k [T] for dL/dS = ds."""
    T = len(current)
    u = np.zeros_like(current)
    s = np.zeros_like(current)
    for t in range(T):
        kept = u[t - 1] * (1 - s[t - 1]) if t else 0
        u[t] = current[t] + tau * kept
        s[t] = u[t] >= fire[t]
    du = np.zeros_like(current)
    dtau = 0.0
    dfire = np.zeros(T)
    dk = np.zeros(T)
    for t in reversed(range(T)):
        dst = ds[t].copy()
        if t < T - 1:
            dst -= tau * u[t] * du[t + 1]
            dtau += (du[t + 1] * u[t] * (1 - s[t])).sum()
        inside = np.abs(u[t] - fire[t]) <= k[t] / 2
        du[t] = dst * inside / k[t]
        dfire[t] = -du[t].sum()
        dk[t] = (-dst * inside * (u[t] - fire[t]) / k[t] ** 2).sum()
        if t < T - 1:
            du[t] += tau * (1 - s[t]) * du[t + 1]
    return s, du, dtau, dfire, dk


@pytest.mark.parametrize("T", [1, 2, 5])
@pytest.mark.parametrize("name", NAMES)
def test_equals_a_loop_in_numpy(name, T):
    layer = make(name, T, w=0.4, own=0.3)
    current = (1.2 * torch.randn(T, 30, 4, 5, dtype=torch.float64) + 0.3).requires_grad_()
    ds = torch.randn_like(current)
    spikes = layer(current)
    (spikes * ds).sum().backward()

    tau = 1 / (1 + math.exp(-0.4))
    fire = np.full(T, math.tanh(0.3) if name == "LTMD" else 1.0)
    k = np.full(T, dict(LTMD=1.0, MPDAGL=2 * 0.7, ASGS=math.exp(0.3))[name])
    if name == "MPDAGL":
        k[1:] *= math.sqrt(1 + tau**2)
    flat = [x.detach().flatten(1).numpy() for x in (current, ds)]
    s, du, dtau, dfire, dk = loop(flat[0], tau, fire, k, flat[1])

    assert 0.2 < s.mean() < 0.8 and 0.2 < (du != 0).mean() < 1
    assert (spikes.detach().flatten(1).numpy() == s).all()
    assert relative(current.grad.flatten(1), du) < 1e-12
    assert relative(layer.w.grad, dtau * tau * (1 - tau)) < 1e-11
    if name == "LTMD":
        assert relative(layer.v.grad, dfire.sum() * (1 - math.tanh(0.3) ** 2)) < 1e-12
    if name == "ASGS":
        assert relative(layer.c.grad, dk.sum() * math.exp(0.3)) < 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_where_it_coincides_with_the_vanilla_lif_it_equals_it(name):
    """MPDAGL without a leak, whose term is what makes its first timestep another one."""
    same = dict(
        LTMD=(dict(own=math.atanh(0.6)), 1.5, dict(v_th=0.6, kappa=1.5)),
        MPDAGL=(dict(w=-50.0, gamma=0.9), 1.0, dict(kappa=1.8)),
        ASGS=(dict(own=math.log(1.7)), 0.5, dict(kappa=0.5 * 1.7)),
    )
    of_it, kappa, of_lif = same[name]
    layer = make(name, 4, **of_it)
    layer.kappa = kappa
    vanilla = LIF(4, threshold="fixed", width="fixed", **of_lif).double()
    vanilla.w.data.copy_(layer.w)
    mine = (torch.randn(4, 20, 3, 5, dtype=torch.float64) + 0.4).requires_grad_()
    other = mine.detach().clone().requires_grad_()
    weight = torch.randn_like(mine)
    with probe(layer) as figures:
        spikes = layer(mine)
    with probe(vanilla) as expected:
        assert torch.equal(spikes, vanilla(other))
    assert 0.1 < spikes.mean() < 0.9
    (spikes * weight).sum().backward()
    (vanilla(other) * weight).sum().backward()
    assert torch.allclose(mine.grad, other.grad, rtol=1e-12)
    assert torch.allclose(layer.w.grad, vanilla.w.grad, rtol=1e-11)
    for figure, value in expected[""].items():
        assert torch.allclose(figures[""][figure], value, rtol=1e-12), figure


def test_mpdagl_does_not_depend_on_v_th():
    """Its authors' is 0.5, with batch norm's output multiplied by it."""
    x = torch.randn(3, 40, 6)
    results = []
    for v_th in (0.5, 1.0):
        torch.manual_seed(1)
        neuron = baselines.MPDAGL(3)
        neuron.v_th = v_th
        layer = dsatgo.Layer(nn.Linear(6, 5), nn.BatchNorm1d(5), neuron)
        spikes = layer(x)
        (spikes * torch.randn_like(spikes)).sum().backward()
        results.append((spikes, layer.current[0].weight.grad))
    (s, dw), (s1, dw1) = results
    assert torch.equal(s, s1) and s.mean() > 0.1
    assert torch.allclose(dw, dw1, rtol=1e-4, atol=1e-6) and dw.abs().max() > 0.1


# ---- as a layer ----
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_shapes_and_dtypes(name, dtype):
    layer = make(name, 3).to(dtype if dtype == torch.float64 else torch.float32)
    for shape in ((7,), (4, 6), (2, 3, 40, 50)):
        current = (torch.randn(3, *shape) + 0.5).to(dtype).requires_grad_()
        spikes = layer(current)
        assert spikes.shape == current.shape and spikes.dtype == dtype
        assert set(spikes.flatten().tolist()) <= {0, 1}
        if dtype == torch.bfloat16:  # potentials are not rounded to it
            assert torch.equal(spikes, layer(current.float()).to(dtype))
        spikes.sum().backward()
        assert current.grad.dtype == dtype and current.grad.isfinite().all()
    folded = torch.randn(6, 8, 5, 7).to(dtype=dtype, memory_format=torch.channels_last)
    current = folded.unflatten(0, (3, 2))
    spikes = layer(current)
    assert torch.equal(spikes, layer(current.contiguous()))
    assert spikes.stride() == current.stride(), "or the next convolution would be slower"
    with pytest.raises(ValueError, match=r"\(2, 4, 6\): must be \[T=3, B, ...\]"):
        layer(torch.zeros(2, 4, 6, dtype=dtype))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_left_of_a_call(name):
    layer = make(name, 3)
    current = torch.randn(3, 9, 4, dtype=torch.float64) + 0.5
    before = copy.deepcopy(layer.state_dict())
    first = layer(current)
    assert torch.equal(layer(current[:, :2]), first[:, :2]), "another batch size"
    assert torch.equal(layer(current), first)
    assert torch.equal(layer.eval()(current), first)
    after = layer.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


@pytest.mark.parametrize("name", NAMES)
def test_a_nan_is_not_swallowed(name):
    current = torch.zeros(2, 3, 4, dtype=torch.float64)
    for value in (math.nan, math.inf):
        current[0, 0, 0] = value
        spikes = make(name, 2)(current)
        assert spikes.isnan().any() and spikes[:, 1:].isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_the_probe_counts_firing_and_gradients(name):
    layer = make(name, 3, own=0.2)
    current = (torch.randn(3, 50, 8, dtype=torch.float64) + 0.5).requires_grad_()
    with probe(layer) as figures:
        spikes = layer(current)
    assert torch.allclose(figures[""]["firing_rate"], spikes.mean((1, 2)))
    spikes[2].sum().backward()  # a potential's own window, at the last timestep alone
    share = (current.grad[2] != 0).double().mean()
    assert 0.1 < share < 0.9 and figures[""]["gradient_available"][2] == share
    assert figures[""]["floored"].tolist() == [0, 0, 0]
    assert not any(value.requires_grad for value in figures[""].values())


def test_a_negative_threshold_of_ltmd_has_no_floor():
    layer = make("LTMD", 1, own=-0.5)
    with probe(layer) as figures:
        assert layer(torch.zeros(1, 2, 2, dtype=torch.float64)).mean() == 1
    assert figures[""]["threshold"].item() == pytest.approx(math.tanh(-0.5))
    assert figures[""]["floored"].item() == 0


def test_mpdagl_follows_its_batch_norm():
    first = dsatgo.vggsnn(channels=1, size=16, T=2, neuron=baselines.MPDAGL)
    for net in (first, copy.deepcopy(first)):
        layer = net.conv3
        for value in (0.25, -1.0):
            with torch.no_grad():
                layer.current[1].weight.fill_(value)
            with probe(net) as figures:
                net(torch.randn(2, 2, 16, 16))
            width = max(2 * value, 1e-3)
            expected = [width, 2 * value * math.sqrt(1.04)] if value > 0 else [width, width]
            assert figures["conv3.neuron"]["width"].tolist() == pytest.approx(expected)
            assert figures["conv2.neuron"]["width"][0] == 2
    with pytest.raises(ValueError, match="MPDAGL.norm.*follows"):
        baselines.MPDAGL(2)(torch.zeros(2, 3, 4))


@pytest.mark.parametrize("name", NAMES)
def test_a_networks_state_goes_round_without_a_second_batch_norm(name):
    torch.manual_seed(3)
    net = dsatgo.vggsnn(channels=1, size=16, T=2, neuron=getattr(baselines, name))
    vanilla = dsatgo.vggsnn(channels=1, size=16, T=2)
    more = {f"conv{i}.neuron.{OWN[name]}" for i in range(1, 9)} if name in OWN else set()
    assert set(net.state_dict()) == set(vanilla.state_dict()) | more
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.05 * torch.randn_like(p))
    other = dsatgo.vggsnn(channels=1, size=16, T=2, neuron=getattr(baselines, name))
    other.load_state_dict(net.state_dict())
    x = torch.randn(4, 2, 16, 16)
    y = torch.tensor([0, 1, 2, 3])
    for one in (net, other):
        nn.functional.cross_entropy(dsatgo.readout(one(x)), y).backward()
    for (key, p), q in zip(net.named_parameters(), other.parameters()):
        assert p.grad is not None and torch.equal(p.grad, q.grad), key


# ---- in a run ----
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_trains_resumes_and_evaluates(name, tmp_path, capsys):
    neuron = ["--neuron", f"{ROOT}/experiments/baselines.py:{name}"]
    out = tmp_path / "run"
    run(*neuron, "--amp", "bf16", "--out", out, "--epochs", 2, "--stop-after", 1)
    assert load(out / "last.pt")["epoch"] == 1
    run("--resume", out, *neuron, base=[])
    capsys.readouterr()
    run("--eval", out, *neuron, base=[])
    assert f"{float(table(out / 'log.csv')[-1]['test_accuracy']):.2%}" in capsys.readouterr().out
    rows = table(out / "layers.csv")
    assert [(row["epoch"], row["timestep"]) for row in rows] == [
        (epoch, timestep) for epoch in "12" for _ in range(8) for timestep in "12"
    ]
    model = load(out / "last.pt")["model"]
    for row in rows[16:]:
        fire = width = 1.0
        if name == "LTMD":
            fire = torch.tanh(model[f"{row['layer']}.v"]).item()
        elif name == "ASGS":
            width = torch.exp(model[f"{row['layer']}.c"]).item()
        else:
            leak = float(row["tau"]) ** 2 * (row["timestep"] == "2")
            width = 2 * float(row["gamma"]) * math.sqrt(1 + leak)
        assert float(row["threshold"]) == pytest.approx(fire, rel=1e-5)
        assert float(row["width"]) == pytest.approx(width, rel=1e-5)
    trained = [model[f"conv{i}.neuron.{OWN.get(name, 'w')}"].item() for i in range(1, 9)]
    assert len(set(trained)) > 4, "it learns"
