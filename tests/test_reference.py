"""dsatgo.py against reference_numpy.py, reference_numpy.py against finite differences and PyTorch's own
layers, and the paper's statements as properties. HYPOTHESIS_PROFILE=long draws forty times as many."""

import doctest
import inspect
import math
import runpy
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import ARMS
from conftest import ROOT
from conftest import follows_batch
from conftest import relative
from conftest import tensor
from hypothesis import assume
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

import dsatgo
import reference_numpy as ref
from dsatgo import LIF
from dsatgo import adaptive_threshold
from dsatgo import estimated_threshold
from dsatgo import probe
from dsatgo import rectangle
from dsatgo import surrogate_width

positive = partial(st.floats, 0.1, 4.0)
seeds = st.integers(0, 2**32 - 1)


def phi(x):
    """The normal distribution's share below x."""
    return (1 + math.erf(x / math.sqrt(2))) / 2


# ---- Theorem 1, Fig. 5 ----
def theorem_bound(n, f_c):
    """With probability 1 - 1e-9: how far the empirical distribution strays (DKW), plus how far the
    estimated mean and deviation, each within 6.2 of its own deviations, move the threshold, times
    the largest density. f_c multiplies the error of the mean as well."""
    strays = math.sqrt(math.log(2 / 1e-9) / (2 * n))
    return strays + 0.39895 * f_c * 6.2 * (1 / math.sqrt(n) + 1 / math.sqrt(2 * n))


@given(
    st.floats(-50, 50),
    st.floats(0.01, 30),
    st.sampled_from([0.5, 0.8, 1.0, 1.0, 1.2, 2.0]),
    seeds,
)
def test_theorem_1(mu, sigma, f_c, seed):
    n = 100_000
    u = mu + sigma * np.random.default_rng(seed).standard_normal(n)
    theta = adaptive_threshold(tensor(u), f_c).item()
    assert theta == pytest.approx(ref.adaptive_threshold(u, f_c), rel=1e-12)
    p = ref.firing_probability(f_c, mu, sigma)
    assert abs((u > theta).mean() - p) < theorem_bound(n, f_c)
    assert p == pytest.approx(1 - phi((f_c * (mu + sigma) - mu) / sigma), rel=1e-6, abs=1e-12)
    if f_c == 1:
        assert p == pytest.approx(0.15865525393145707, rel=1e-12)
    layer = LIF(1, f_c=f_c).double()
    if theta > 1.1e-3:
        rate = layer(tensor(u)[None, :, None]).mean().item()
        assert abs(rate - p) < theorem_bound(n, f_c)


def test_the_bound_would_notice_a_wrong_threshold():
    n = 100_000
    u = np.random.default_rng(0).standard_normal(n)
    for wrong in (u.mean() + 0.9 * u.var(), 0.9 * (u.mean() + u.std()), u.mean() + 1.1 * u.std()):
        assert abs((u > wrong).mean() - ref.firing_probability()) > theorem_bound(n, 1.0)


@given(positive(), positive(), positive(), seeds)
def test_gradient_probability_is_the_share_inside_the_window(sigma, theta, k, seed):
    u = sigma * np.random.default_rng(seed).standard_normal(100_000)
    inside = (rectangle(tensor(u), theta, k) > 0).double().mean().item()
    closed = ref.gradient_probability(theta, k, 0, sigma)
    assert abs(inside - closed) < 2 * math.sqrt(math.log(2 / 1e-9) / 2e5)


@pytest.mark.parametrize("mu, sigma, k", [(0, 1, 1), (0.7, 0.3, 2), (-1, 2, 0.5)])
def test_fig_5_closed_form(mu, sigma, k):
    """At theta = mu + sigma the share with a gradient is Phi(1 + r) - Phi(1 - r), r = k / (2 sigma)."""
    r = k / (2 * sigma)
    share = ref.gradient_probability(mu + sigma, k, mu, sigma)
    assert share == pytest.approx(phi(1 + r) - phi(1 - r))


# ---- thresholds and widths ----
@given(st.floats(-20, 20), st.floats(-20, 20), positive(), positive())
def test_eq_7(a, b, v_th, kappa):
    low, high = sorted((a, b))
    k_low, k_high = surrogate_width(tensor([low, high]), v_th, kappa).tolist()
    assert k_low <= k_high <= k_low + kappa * (high - low) * (1 + 1e-12)
    for theta, k in (
        (low, k_low),
        (high, k_high),
        (v_th, surrogate_width(tensor(v_th), v_th, kappa)),
    ):
        below = (1 - math.tanh(v_th - theta)) * kappa  # as printed, branch by branch
        above = (1 + math.tanh(theta - v_th)) * kappa
        printed = max(below if theta < v_th else above, 1e-3 * kappa)
        assert float(k) == pytest.approx(printed, rel=1e-12)
        assert float(ref.surrogate_width(theta, v_th, kappa)) == pytest.approx(printed, rel=1e-12)
        assert surrogate_width(tensor(theta), v_th, 2 * kappa).item() == 2 * k, "to the bit"
        if theta > v_th + 1e-6:
            assert k > kappa
        if theta < v_th - 1e-6:
            assert k < kappa


@given(st.floats(0.01, 0.99), positive(), positive())
def test_estimated_threshold(tau, v_th, f_c):
    expected = pytest.approx(f_c * math.sqrt(1 + tau * tau) * v_th, rel=1e-14)
    assert estimated_threshold(tensor(tau), v_th, f_c).item() == expected
    assert ref.estimated_threshold(tau, v_th, f_c) == expected


def test_float32_with_a_large_mean():
    """Mean of squares minus square of mean would lose the deviation."""
    u = tensor(np.random.default_rng(0).standard_normal(50_000) + 1e4, torch.float32)
    std = u.double().std(correction=0).item()
    assert abs(adaptive_threshold(u).item() - (u.double().mean().item() + std)) < 3e-3
    layer = LIF(1, width="std")
    with probe(layer) as figures:
        layer(u[None, :, None])
    # the width tells the deviation that the neuron found: dk/dstd is at least 0.99 here
    assert abs(figures[""]["width"].item() - (1 + math.tanh(std - 1))) < 1e-3


def test_the_reference_by_hand():
    u = np.array([[1.0, 3.0], [5.0, 7.0]])
    assert ref.adaptive_threshold(u, 0.5) == pytest.approx(0.5 * (4 + math.sqrt(5)))
    assert ref.heaviside(u, 3.0, 1.0).tolist() == [[0, 1], [1, 1]]
    assert ref.ramp(u, 4.0, 4.0).tolist() == [[0, 0.25], [0.75, 1]]
    assert ref.rectangle(u, 3.0, 4.0).tolist() == [[0.25, 0.25], [0.25, 0]]
    running = ref.moving_average(np.ones(4), np.array([2, math.nan, math.inf, 0]), 0.25)
    assert running.tolist() == [1.25, 1, 1, 0.75]
    weight, velocity = ref.sgd(2.0, 3.0, 5.0, lr=0.5, momentum=0.25, weight_decay=0.125)
    assert velocity == 0.25 * 5 + 3 + 0.125 * 2 and weight == 2 - 0.5 * velocity


def test_two_neurons_under_at_and_tgo_by_hand():
    """The trace of `lif_forward`'s docstring, tau = 1/2. Of two potentials mean + std is the larger
    one, which fires:

        t   current       potential                       mean + std        spikes   k
        1   1.5, 0.5      1.5, 0.5                        1 + 0.5           1, 0     1 + tanh(0.5)
        2   0.75, 0.75    0 + 0.75, 0.25 + 0.75           0.875 + 0.125     0, 1     1 + tanh(0)

    For L = S_1(2) + S_2(2), both within k/2 = 0.5 of theta = 1: dL/dU(2) = 1, 1. At t = 1 the first
    is at theta, the second 1 below it, more than k/2 = 0.731:
        dL/dU_1(1) = -tau U_1(1) / k + 0      the reset; its own path is cut, as it fired
        dL/dU_2(1) = 0 + tau                  outside its window; its own path
        dL/dtau    = 0 + U_2(1)
    """
    wide = 1 + math.tanh(0.5)
    assert wide == pytest.approx(1.462, abs=1e-3)
    du1 = [-0.5 * 1.5 / wide, 0.5]
    current = np.array([[1.5, 0.5], [0.75, 0.75]])
    spikes, cache = ref.lif_forward(current, tau=0.5, **ref.ARMS["AT+TGO"])
    assert cache["u"].tolist() == [[1.5, 0.5], [0.75, 1.0]]
    assert cache["theta"].tolist() == cache["fire"].tolist() == [1.5, 1]
    assert spikes.tolist() == [[1, 0], [0, 1]]
    assert cache["k"] == pytest.approx([wide, 1], rel=1e-15)
    dcurrent, dtau = ref.lif_backward(np.array([[0, 0], [1, 1]]), cache)
    assert dcurrent.ravel() == pytest.approx([*du1, 1, 1], rel=1e-15) and dtau == 0.5

    layer = LIF(2, tau=0.5).double()
    x = tensor(current).requires_grad_()
    with probe(layer) as figures:
        mine = layer(x)
    assert figures[""]["threshold"].tolist() == [1.5, 1] and mine.tolist() == [[1, 0], [0, 1]]
    assert figures[""]["width"].tolist() == pytest.approx([wide, 1], rel=1e-6)
    mine[1].sum().backward()
    assert x.grad.flatten().tolist() == pytest.approx([*du1, 1, 1], rel=1e-15)
    assert layer.w.grad.item() == 0.5 * 0.25, "dtau/dw = tau (1 - tau)"


def test_the_references_defaults_are_the_contracts():
    signatures = dict(
        estimated_threshold="(tau, v_th=1.0, f_c=1.0)",
        surrogate_width="(theta, v_th=1.0, kappa=1.0)",
        adaptive_threshold="(u, f_c=1.0)",
        moving_average="(running, theta, momentum=0.1)",
        firing_probability="(f_c=1.0, mu=0.0, sigma=1.0)",
        gradient_probability="(theta, k, mu, sigma)",
        tet_forward="(logits, labels, phi=1.0, lam=0.001, label_smoothing=0.0)",
        train_rings="(rng, steps=200, T=3, hidden=48, scale=1.0, threshold='true', width='threshold')",
        sgd="(weight, gradient, velocity, lr=0.1, momentum=0.9, weight_decay=0.0001)",
    )
    for name, signature in signatures.items():
        assert str(inspect.signature(getattr(ref, name))) == signature
    defaults = {
        name: parameter.default for name, parameter in inspect.signature(LIF).parameters.items()
    }
    for name, parameter in inspect.signature(ref.lif_forward).parameters.items():
        if name not in ("current", "running", "spike"):
            assert parameter.default == defaults[name], name


@pytest.mark.parametrize("name", ["threshold", "width"])
@pytest.mark.parametrize("value", ["True", "adaptive", "sdt", "", None, ["true"]])
@pytest.mark.parametrize("running", [None, np.ones(2)])
def test_the_reference_refuses_a_misspelt_rule(name, value, running):
    with pytest.raises(ValueError) as error:
        ref.lif_forward(np.ones((2, 3)), running=running, **{name: value})
    assert str(error.value).startswith(f"{name}={value!r}: must be ")
    allowed = dict(threshold=dsatgo.THRESHOLDS, width=dsatgo.WIDTHS)[name]
    assert all(repr(rule) in str(error.value) for rule in allowed)


# ---- the neuron ----
@st.composite
def currents(draw):
    """Time-first currents of all the kinds that have broken neurons: ordinary, silent, constant,
    shifted far, one element."""
    T = draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(seeds))
    shape = draw(st.sampled_from([(1, 1), (5,), (2, 7), (3, 2, 4), (2, 2, 3, 3)]))
    current = rng.standard_normal((T, *shape)) * draw(positive()) + draw(st.floats(-1, 2))
    kind = draw(st.sampled_from(["ordinary"] * 5 + ["silent", "silent first", "shifted", "sparse"]))
    if kind == "silent":
        current *= 0
    elif kind == "silent first":
        current[0] = 0
    elif kind == "shifted":
        current = 100 + current * 0.01
    elif kind == "sparse":
        current *= rng.random(current.shape) < 0.2
    return current


def far_from_ties(cache, exact=False):
    """Potentials at rounding's distance of a threshold or of a window's edge may go either way.
    `exact`: thresholds and widths are constants, so a tie to the bit is one for both sides."""
    u = cache["u"].reshape(len(cache["u"]), -1)
    distance = np.abs(u - cache["fire"][:, None])
    distance = np.stack([distance, np.abs(distance - cache["k"][:, None] / 2)])
    close = distance <= 1e-9 * (1 + np.abs(u).max())
    return not (close & ~(exact & (distance == 0))).any()


def compare_with_reference(current, arm, tau, v_th, kappa, f_c, training, momentum, seed):
    """-> False, and nothing is compared, where rounding decides a spike."""
    rng = np.random.default_rng(seed)
    T = len(current)
    settings = dict(v_th=v_th, kappa=kappa, f_c=f_c, threshold=arm[0], width=arm[1])
    layer = LIF(T, tau=tau, momentum=momentum, **settings).double().train(training)
    layer.running_threshold.copy_(tensor(rng.uniform(0.2, 2, T)))
    layer.updates += 1
    with torch.no_grad():
        layer.a += rng.uniform(-0.5, 0.5)
    before = layer.running_threshold.numpy().copy()
    running = before if not training and momentum is not None else None
    if arm[0] == "learned":
        running = np.full(T, layer.a.exp().item())
    leak = torch.sigmoid(layer.w).item()
    spikes, cache = ref.lif_forward(current, leak, running=running, **settings)
    if not far_from_ties(cache):
        return False
    x = tensor(current).requires_grad_()
    with probe(layer) as figures:
        mine = layer(x)
    assert np.array_equal(mine.detach().numpy(), spikes)
    assert relative(figures[""]["threshold"], cache["fire"]) < 1e-9
    assert relative(figures[""]["width"], cache["k"]) < 1e-9
    if follows_batch(*arm) and training and momentum is not None:
        after = ref.moving_average(before, cache["theta"], momentum)
        assert relative(layer.running_threshold, after) < 1e-9
    else:
        assert np.array_equal(layer.running_threshold.numpy(), before)
    dspikes = rng.standard_normal(current.shape)
    mine.backward(tensor(dspikes))
    dcurrent, dtau, *dtheta = ref.lif_backward(dspikes, cache)
    assert np.abs(x.grad.numpy() - dcurrent).max() <= 1e-9 * max(np.abs(dcurrent).max(), 1e-6)
    dw = dtau * leak * (1 - leak)
    assert layer.w.grad.item() == pytest.approx(dw, rel=1e-9, abs=1e-12)
    if dtheta:
        da = dtheta[0] * layer.a.exp().item()
        assert layer.a.grad.item() == pytest.approx(da, rel=1e-9, abs=1e-12)
    return True


@given(
    currents(),
    st.sampled_from(ARMS),
    st.floats(0.02, 0.98),
    positive(),
    positive(),
    st.floats(0.3, 2),
    st.booleans(),
    st.sampled_from([0.1, 1.0, None]),
    seeds,
)
def test_neuron_equals_the_reference(current, arm, tau, v_th, kappa, f_c, training, momentum, seed):
    assume(compare_with_reference(current, arm, tau, v_th, kappa, f_c, training, momentum, seed))


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("training", [True, False])
def test_every_arm_equals_the_reference(arm, training):
    """Whatever hypothesis draws: none of the settings at its default."""
    current = np.random.default_rng(7).standard_normal((4, 6, 5)) + 0.4
    assert compare_with_reference(current, arm, 0.35, 0.7, 1.6, 1.3, training, 0.4, seed=1)


@given(
    st.integers(1, 5),
    st.sampled_from(dsatgo.WIDTHS),
    st.sampled_from([0.5, 1.0, 2.0]),
    st.sampled_from([0.5, 1.0, 2.0]),
    st.sampled_from([torch.float64, torch.float32, torch.bfloat16, torch.float16]),
    st.booleans(),
    seeds,
)
def test_exact_ties_and_window_edges_in_dyadic_numbers(
    T, width, v_th, kappa, dtype, training, seed
):
    """Quarters and tau = 1/2 are exact in every dtype: potentials hit the threshold and the window's
    ends to the bit, and nothing is left to rounding. (Widths that follow statistics are not dyadic;
    there the spikes are compared.)"""
    rng = np.random.default_rng(seed)
    current = rng.integers(-4, 9, (T, 3, 20)) / 4
    settings = dict(v_th=v_th, kappa=kappa, threshold="fixed", width=width)
    layer = LIF(T, tau=0.5, **settings).to(dtype).train(training)
    layer.updates += 1
    x = tensor(current, dtype).requires_grad_()
    running = None if training else np.full(T, v_th)
    spikes, cache = ref.lif_forward(current, 0.5, running=running, **settings)
    mine = layer(x)
    assert np.array_equal(mine.double().detach().numpy(), spikes)
    # products of five quarters outgrow a half's mantissa
    if width == "fixed" and (T <= 2 or dtype in (torch.float64, torch.float32)):
        dspikes = rng.integers(-2, 3, current.shape).astype(float)
        mine.backward(tensor(dspikes, dtype))
        assert np.array_equal(x.grad.double().numpy(), ref.lif_backward(dspikes, cache)[0])


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_the_reference_swallows_no_nan_either(arm, training, bad):
    current = np.random.default_rng(0).standard_normal((3, 4, 5))
    current[1, 2, 3] = bad
    layer = LIF(3, threshold=arm[0], width=arm[1]).double().train(training)
    layer.updates += 1
    running = None if training else np.ones(3)
    with np.errstate(invalid="ignore"):
        spikes, _ = ref.lif_forward(current, threshold=arm[0], width=arm[1], running=running)
    assert np.isnan(spikes[1, 2, 3]) and np.isfinite(spikes[0]).all()
    assert np.array_equal(layer(tensor(current)).detach().numpy(), spikes, equal_nan=True)


def test_a_silent_layer_is_silent_in_the_reference_too():
    for running in (None, np.full(2, -1.0)):
        spikes, cache = ref.lif_forward(np.zeros((2, 3)), v_th=0.5, running=running)
        assert not spikes.any() and cache["theta"].tolist() == [5e-4, 5e-4]


# ---- invariants ----
@given(currents(), st.sampled_from(ARMS), seeds)
def test_permuting_the_batch_permutes_the_result(current, arm, seed):
    order = np.random.default_rng(seed).permutation(current.shape[1])
    _, cache = ref.lif_forward(current, 0.2, threshold=arm[0], width=arm[1])
    assume(far_from_ties(cache))
    make = partial(LIF, len(current), threshold=arm[0], width=arm[1])
    permuted = make().double()(tensor(current[:, order]))
    assert torch.equal(make().double()(tensor(current))[:, order], permuted)


@given(
    currents(),
    st.sampled_from([-3, -1, 1, 4]),
    st.sampled_from(["true", "fixed", "estimated"]),
    st.booleans(),
)
def test_scaling_by_a_power_of_two(current, power, threshold, training):
    """Under "true" in training no spike changes, while the floor does not act; under "fixed" and
    "estimated" v_th must scale too."""
    scale = 2.0**power
    assume(threshold != "true" or training)
    results = []
    for x, v_th in ((current, 1.0), (current * scale, 1.0 if threshold == "true" else scale)):
        layer = LIF(len(current), threshold=threshold, v_th=v_th).double().train(training)
        layer.updates += 1
        with probe(layer) as figures:
            results.append(layer(tensor(x)))
        assume(not figures[""]["floored"].any())
    assert torch.equal(*results)


@given(currents(), st.sampled_from(ARMS), positive())
def test_kappa_never_matters_to_spikes(current, arm, kappa):
    make = partial(LIF, len(current), threshold=arm[0], width=arm[1])
    one = make(kappa=1.0).double()(tensor(current))
    assert torch.equal(one, make(kappa=kappa).double()(tensor(current)))


@given(currents(), st.sampled_from(ARMS), positive(), seeds)
def test_gradient_at_the_last_timestep_is_one_over_k_inside_the_window(current, arm, kappa, seed):
    layer = LIF(len(current), threshold=arm[0], width=arm[1], kappa=kappa).double()
    leak = torch.sigmoid(layer.w).item()
    _, cache = ref.lif_forward(current, leak, 1.0, kappa, 1.0, *arm)
    assume(far_from_ties(cache))
    x = tensor(current).requires_grad_()
    weight = np.random.default_rng(seed).standard_normal(current.shape)
    with probe(layer) as figures:
        layer(x).backward(tensor(weight))
    fire = figures[""]["threshold"][-1].item()
    k = figures[""]["width"][-1].item()
    inside = np.abs(cache["u"][-1] - fire) <= k / 2
    assert np.allclose(x.grad[-1].numpy(), weight[-1] * inside / k, rtol=1e-12, atol=0)


@given(currents(), st.floats(0.3, 2), st.floats(0.3, 2))
def test_a_larger_f_c_never_fires_more_at_the_first_timestep(current, a, b):
    """While mean + std is positive; below it the floor decides for every f_c."""
    assume(adaptive_threshold(tensor(current[0])) >= 0)
    low, high = sorted((a, b))
    more, less = (LIF(1, f_c=f_c).double()(tensor(current[:1])).mean() for f_c in (low, high))
    assert less <= more


@given(currents(), st.sampled_from([arm for arm in ARMS if arm[1] != "std"]), seeds)
def test_evaluation_does_not_depend_on_the_batch(current, arm, seed):
    layer = LIF(len(current), threshold=arm[0], width=arm[1]).double()
    layer(tensor(np.random.default_rng(seed).standard_normal((len(current), 50, 3))))
    layer.eval()
    whole = layer(tensor(current))
    for b in range(current.shape[1]):
        assert torch.equal(layer(tensor(current[:, b : b + 1])), whole[:, b : b + 1])


# ---- networks: conv-BN-LIF, a SEW block, pool-LIF-linear; loss and gradients by name ----
class Small(nn.Module):
    def __init__(self, T, arm):
        super().__init__()
        lif = partial(LIF, T, threshold=arm[0], width=arm[1])
        self.conv1 = nn.Conv2d(2, 4, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.lif1 = lif()
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(4)
        self.lif2 = lif()
        self.lif3 = lif(tau=0.4)
        self.linear = nn.Linear(4 * 9, 3, bias=False)

    def forward(self, x):  # [T, B, 2, 6, 6]
        T, B = x.shape[:2]
        x = self.lif1(self.bn1(self.conv1(x.flatten(0, 1))).unflatten(0, (T, B)))
        x = x + self.lif2(self.bn2(self.conv2(x.flatten(0, 1))).unflatten(0, (T, B)))
        x = self.lif3(F.avg_pool2d(x.flatten(0, 1), 2).unflatten(0, (T, B)))
        return self.linear(x.flatten(2))  # [T, B, 3]


def reference_loss(logits, labels, tet):
    """-> loss, dlogits"""
    if tet:
        loss, cache = ref.tet_forward(logits, labels, 0.5, 0.05, 0.1)
        return loss, ref.tet_backward(1.0, cache)
    mean, T = ref.readout_forward(logits)
    loss, cache = ref.cross_entropy_forward(mean, labels, 0.1)
    return loss, ref.readout_backward(ref.cross_entropy_backward(1.0, cache), T)


def reference_step(p, arm, x, labels, tet):
    """Loss and gradients, by name, of the same network with parameters `p`, all by hand; and whether
    it is far from every tie."""
    T, B = x.shape[:2]
    leak = {i: 1 / (1 + np.exp(-p[f"lif{i}.w"].item())) for i in (1, 2, 3)}
    g = {}
    c = {}

    def fold(y):
        return y.reshape(T * B, *y.shape[2:])

    def unfold(y):
        return y.reshape(T, B, *y.shape[1:])

    def lif(y, i):
        running = np.full(T, np.exp(p[f"lif{i}.a"].item())) if arm[0] == "learned" else None
        s, c[f"lif{i}"] = ref.lif_forward(
            y, leak[i], threshold=arm[0], width=arm[1], running=running
        )
        return s

    def lif_backward(ds, i):
        dy, dtau, *dtheta = ref.lif_backward(ds, c[f"lif{i}"])
        g[f"lif{i}.w"] = dtau * leak[i] * (1 - leak[i])
        if dtheta:
            g[f"lif{i}.a"] = dtheta[0] * np.exp(p[f"lif{i}.a"].item())
        return dy

    y, c["conv1"] = ref.conv_forward(fold(x), p["conv1.weight"])
    y, c["bn1"] = ref.batchnorm_forward(y, p["bn1.weight"], p["bn1.bias"])
    s1 = lif(unfold(y), 1)
    y, c["conv2"] = ref.conv_forward(fold(s1), p["conv2.weight"])
    y, c["bn2"] = ref.batchnorm_forward(y, p["bn2.weight"], p["bn2.bias"])
    y, c["sew"] = ref.sew_forward(lif(unfold(y), 2), s1)
    y, c["pool"] = ref.pool_forward(fold(y))
    s3 = lif(unfold(y), 3)
    logits, c["linear"] = ref.linear_forward(s3.reshape(T, B, -1), p["linear.weight"])
    loss, dlogits = reference_loss(logits, labels, tet)

    dy, g["linear.weight"] = ref.linear_backward(dlogits, c["linear"])
    dy = lif_backward(dy.reshape(s3.shape), 3)
    ds2, ds1 = ref.sew_backward(unfold(ref.pool_backward(fold(dy), c["pool"])), c["sew"])
    dy, g["bn2.weight"], g["bn2.bias"] = ref.batchnorm_backward(
        fold(lif_backward(ds2, 2)), c["bn2"]
    )
    dy, g["conv2.weight"] = ref.conv_backward(dy, c["conv2"])
    dy = lif_backward(ds1 + unfold(dy), 1)
    dy, g["bn1.weight"], g["bn1.bias"] = ref.batchnorm_backward(fold(dy), c["bn1"])
    _, g["conv1.weight"] = ref.conv_backward(dy, c["conv1"])
    # the third layer's currents are quarters: exact ties with a threshold of 1
    constant = arm in (("fixed", "fixed"), ("learned", "fixed"), ("learned", "threshold"))
    return loss, g, all(far_from_ties(c[f"lif{i}"], constant) for i in (1, 2, 3))


def torch_loss(logits, labels, tet):
    if tet:
        return dsatgo.tet_loss(logits, labels, 0.5, 0.05, 0.1)
    return F.cross_entropy(dsatgo.readout(logits), labels, label_smoothing=0.1)


@given(st.integers(1, 4), st.sampled_from(ARMS), st.booleans(), seeds)
def test_network_equals_the_reference(T, arm, tet, seed):
    torch.manual_seed(seed)
    net = Small(T, arm).double()
    x = torch.randn(T, 5, 2, 6, 6, dtype=torch.float64)
    labels = torch.tensor([0, 2, 1, 1, 0])
    p = {name: value.detach().numpy().copy() for name, value in net.named_parameters()}
    loss, g, clear = reference_step(p, arm, x.numpy(), labels.numpy(), tet)
    assume(clear)
    mine = torch_loss(net(x), labels, tet)
    mine.backward()
    assert mine.item() == pytest.approx(loss, rel=1e-9)
    assert g.keys() == dict(net.named_parameters()).keys()
    for name, value in net.named_parameters():
        scale = max(np.abs(g[name]).max(), 1e-6)
        assert np.abs(value.grad.numpy() - g[name]).max() < 1e-9 * scale, name


@pytest.mark.parametrize(
    "arm", [("true", "threshold"), ("fixed", "fixed"), ("estimated", "threshold")]
)
def test_ten_optimisation_steps_stay_together(arm):
    torch.manual_seed(3)
    net = Small(2, arm).double()
    labels = torch.tensor([0, 2, 1, 1, 0, 2])
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=1e-2)
    p = {name: value.detach().numpy().copy() for name, value in net.named_parameters()}
    start = dict(p)
    velocity = dict.fromkeys(p, 0.0)
    for _ in range(10):
        x = torch.randn(2, 6, 2, 6, 6, dtype=torch.float64)
        loss, g, clear = reference_step(p, arm, x.numpy(), labels.numpy(), False)
        for name in p:
            p[name], velocity[name] = ref.sgd(p[name], g[name], velocity[name], 0.1, 0.9, 1e-2)
        optimizer.zero_grad()
        mine = torch_loss(net(x), labels, False)
        mine.backward()
        optimizer.step()
        assert clear and mine.item() == pytest.approx(loss, rel=1e-9)
    for name, value in net.named_parameters():
        assert relative(value.detach(), p[name]) < 1e-9, name
        assert relative(p[name], start[name]) > 1e-4, "it has moved"


# ---- the reference's backward passes: finite differences, and PyTorch's own layers ----
def slope(function, x, dout, eps=1e-6):
    """d sum(function(x) * dout) / dx, by central differences."""
    x = np.asarray(x, float)
    out = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        bump = np.zeros(x.shape)
        bump[place] = eps
        out[place] = ((function(x + bump) - function(x - bump)) * dout).sum() / (2 * eps)
    return out


@pytest.mark.parametrize("arm", [arm for arm in ARMS if arm[1] != "std"])
@pytest.mark.parametrize("T", [1, 2, 5])
def test_the_references_backward_is_the_derivative_of_the_ramp(arm, T):
    """With the ramp in the step's place and thresholds and widths frozen, Eqs. 9 and 10 are exact.
    (A width by "std" cannot be frozen from outside.)"""
    rng = np.random.default_rng(4)
    current = rng.standard_normal((T, 3, 7)) + 0.5
    running = rng.uniform(0.6, 1.4, T)
    dout = rng.standard_normal(current.shape)

    def forward(current=current, tau=0.4, running=running):
        return ref.lif_forward(current, tau, 0.9, 0.8, 1.1, *arm, running=running, spike=ref.ramp)

    spikes, cache = forward()
    u = cache["u"].reshape(T, -1)
    edges = np.abs(np.abs(u - cache["fire"][:, None]) - cache["k"][:, None] / 2)
    assert edges.min() > 1e-5, "no kink may lie between the two points"
    inside = ((spikes > 0) & (spikes < 1)).mean()
    assert 0.1 < inside < 0.9
    dcurrent, dtau, *dtheta = ref.lif_backward(dout, cache)
    assert relative(dcurrent, slope(lambda x: forward(current=x)[0], current, dout)) < 1e-8
    if T == 1:
        assert dtau == 0
    else:
        assert dtau == pytest.approx(slope(lambda x: forward(tau=x)[0], 0.4, dout), rel=1e-7)
    assert len(dtheta) == (arm[0] == "learned")
    if arm == ("learned", "fixed"):  # the other width follows the threshold, and is not frozen
        moved = slope(lambda x: forward(running=running + x)[0], 0.0, dout)
        assert dtheta[0] == pytest.approx(moved, rel=1e-7)


LABELS = [2, 0, 1, 1]


def smoothed(logits, labels):
    return F.cross_entropy(logits, labels, label_smoothing=0.2)


def tet(logits, labels):
    """By its formula: the mean over timesteps, and the pull towards phi = 0.5."""
    each = [smoothed(x, labels) for x in logits]
    return 0.7 * sum(each) / len(each) + 0.3 * ((logits - 0.5) ** 2).mean()


def torch_batch_norm(mean=None, var=None):
    stats = [None if x is None else tensor(x) for x in (mean, var)]
    return lambda x, gamma, beta: F.batch_norm(x, *stats, gamma, beta, training=mean is None)


MEANS = np.array([0.3, -0.2, 1.0])
VARS = np.array([0.5, 2.0, 1.0])
PICTURES = (4, 3, 7, 6)
PAIRS = dict(
    linear=(ref.linear_forward, ref.linear_backward, F.linear, (2, 4, 5), (3, 5)),
    conv=(
        ref.conv_forward,
        ref.conv_backward,
        partial(F.conv2d, padding=1),
        PICTURES,
        (5, 3, 3, 3),
    ),
    conv_of_stride_2=(
        partial(ref.conv_forward, stride=2),
        ref.conv_backward,
        partial(F.conv2d, stride=2, padding=1),
        PICTURES,
        (5, 3, 3, 3),
    ),
    skip=(
        partial(ref.conv_forward, stride=2, padding=0),
        ref.conv_backward,
        partial(F.conv2d, stride=2),
        PICTURES,
        (5, 3, 1, 1),
    ),
    conv_of_stride_3=(
        partial(ref.conv_forward, stride=3, padding=0),
        ref.conv_backward,
        partial(F.conv2d, stride=3),
        PICTURES,
        (5, 3, 3, 3),
    ),
    batch_norm=(
        ref.batchnorm_forward,
        ref.batchnorm_backward,
        torch_batch_norm(),
        PICTURES,
        3,
        3,
    ),
    batch_norm_of_vectors=(
        ref.batchnorm_forward,
        ref.batchnorm_backward,
        torch_batch_norm(),
        (8, 3),
        3,
        3,
    ),
    batch_norm_in_evaluation=(
        partial(ref.batchnorm_forward, running=(MEANS, VARS)),
        ref.batchnorm_backward,
        torch_batch_norm(MEANS, VARS),
        PICTURES,
        3,
        3,
    ),
    pool=(ref.pool_forward, ref.pool_backward, partial(F.avg_pool2d, kernel_size=2), PICTURES),
    sew=(ref.sew_forward, ref.sew_backward, torch.add, (2, 3, 4), (2, 3, 4)),
    readout=(ref.readout_forward, ref.readout_backward, lambda x: x.mean(0), (3, 4, 5)),
    cross_entropy=(
        lambda x: ref.cross_entropy_forward(x, np.array(LABELS), 0.2),
        ref.cross_entropy_backward,
        lambda x: smoothed(x, torch.tensor(LABELS)),
        (4, 3),
    ),
    cross_entropy_as_it_is=(
        lambda x: ref.cross_entropy_forward(x * 1000, np.array(LABELS)),
        lambda dloss, cache: ref.cross_entropy_backward(dloss, cache) * 1000,
        lambda x: F.cross_entropy(x * 1000, torch.tensor(LABELS)),
        (4, 3),
    ),
    tet=(
        lambda x: ref.tet_forward(x, np.array(LABELS), 0.5, 0.3, 0.2),
        ref.tet_backward,
        lambda x: tet(x, torch.tensor(LABELS)),
        (3, 4, 5),
    ),
)


@pytest.mark.parametrize("name", PAIRS)
def test_reference_layers_are_torchs(name):
    forward, backward, theirs, *shapes = PAIRS[name]
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal(shape) for shape in shapes]
    leaves = [tensor(x).requires_grad_() for x in inputs]
    out, cache = forward(*inputs)
    expected = theirs(*leaves)
    assert np.shape(out) == tuple(expected.shape)
    assert relative(out, expected.detach()) < 1e-12
    dout = rng.standard_normal(np.shape(out))
    expected.backward(tensor(dout))
    gradients = backward(dout, cache)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    assert len(gradients) == len(leaves)
    for gradient, leaf in zip(gradients, leaves):
        assert relative(gradient, leaf.grad) < 1e-11


# ---- the lesson ----
def test_the_references_examples_are_right():
    result = doctest.testmod(ref)
    assert result.attempted > 0 and result.failed == 0


def rings_in_torch(rng, steps, scale=1.0, **rules):
    """What `ref.train_rings` trains, in PyTorch with `dsatgo.LIF`: loss and accuracy at each step, and
    in the end the first layer's weights and the leaks."""
    T = 3
    hidden = 48
    labels = torch.arange(150) % 3
    net = nn.Sequential()
    for i, (m, n) in enumerate([(3, hidden), (hidden, hidden), (hidden, 3)]):
        linear = nn.Linear(m, n, bias=False).double()
        start = rng.standard_normal((n, m)) * math.sqrt(2 / m) * (i < 2)
        linear.weight.data.copy_(tensor(start))
        net.append(linear)
    norms = nn.ModuleList(nn.BatchNorm1d(hidden).double() for _ in range(2))
    for norm in norms:
        norm.weight.data.fill_(scale)
    lifs = [LIF(T, tau=0.2, **rules).double() for _ in range(2)]
    trained = [*net.parameters(), *norms.parameters()]
    optimizer = torch.optim.SGD(trained, 0.1, momentum=0.9, weight_decay=1e-4)
    taus = [0.2, 0.2]
    for _ in range(steps):
        angle = rng.uniform(0, 2 * np.pi, 150)
        radius = labels.numpy() + 1 + rng.uniform(-0.3, 0.3, 150)
        x = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.ones(150)], 1)
        x = tensor(x).expand(T, -1, -1)
        for linear, norm, lif, tau in zip(net, norms, lifs, taus):
            lif.w.data.fill_(math.log(tau / (1 - tau)))
            lif.w.grad = None
            x = lif(norm(linear(x).flatten(0, 1)).unflatten(0, (T, 150)))
        logits = net[2](x).mean(0)
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for i, lif in enumerate(lifs):
            dtau = lif.w.grad.item() / (taus[i] * (1 - taus[i]))
            taus[i] = min(max(taus[i] - 0.1 * dtau, 0.01), 0.99)
        yield loss.item(), (logits.argmax(1) == labels).double().mean().item()
    return net[0].weight.detach().numpy(), taus


def all_of(generator):
    """What it yields, and what it returns."""
    found = []
    while True:
        try:
            found.append(next(generator))
        except StopIteration as end:
            return found, end.value


def test_the_rings_are_learned_as_pytorch_learns_them():
    steps = 12
    theirs = rings_in_torch(np.random.default_rng(5), steps)
    mine = ref.train_rings(np.random.default_rng(5), steps)
    losses = []
    for expected, (step, loss, accuracy) in zip(theirs, mine, strict=True):
        assert step == len(losses)
        assert (loss, accuracy) == pytest.approx(expected, rel=1e-7)
        losses.append(loss)
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("arm", ref.ARMS)
@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
def test_the_rings_of_every_arm_and_scale_are_pytorchs(arm, scale):
    settings = dict(steps=5, scale=scale, **ref.ARMS[arm])
    theirs, (weight, leaks) = all_of(rings_in_torch(np.random.default_rng(5), **settings))
    mine, (p, taus) = all_of(ref.train_rings(np.random.default_rng(5), **settings))
    assert [row[0] for row in mine] == list(range(5))
    assert np.array(mine)[:, 1:] == pytest.approx(np.array(theirs), rel=1e-7)
    assert relative(p["weight", 0], weight) < 1e-7 and taus == pytest.approx(leaks, rel=1e-7)
    losses = [row[1] for row in mine]
    silent = scale == 0.1 and ref.ARMS[arm]["threshold"] == "fixed"
    assert (losses[-1] == losses[0]) == silent, "no spike, no window, no gradient"


def test_the_arms_are_the_papers():
    assert {name: tuple(rules.values()) for name, rules in ref.ARMS.items()} == {
        "vanilla": ("fixed", "fixed"),
        "AT": ("true", "fixed"),
        "TGO": ("fixed", "threshold"),
        "AT+TGO": ("true", "threshold"),
    }
    assert all(list(rules) == ["threshold", "width"] for rules in ref.ARMS.values())


ALONE = """
import runpy, sys
runpy.run_path("reference_numpy.py", run_name="__main__")
sys.exit(bool({"torch", "dsatgo"} & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def lesson():
    """The lines that `python reference_numpy.py` prints, without PyTorch."""
    command = [sys.executable, "-c", ALONE]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def numbers(line):
    """The numbers of a line; shares in percent become shares."""
    for mark in "[]()=^,:":
        line = line.replace(mark, " ")
    found = []
    for word in line.split():
        try:
            found.append(float(word.rstrip("%")) / (100 if word.endswith("%") else 1))
        except ValueError:
            continue
    return found


def lines_of(lesson, start):
    return [numbers(line) for line in lesson if line.lstrip().startswith(start)]


def test_the_lesson_on_theorem_1(lesson):
    rows = lines_of(lesson, "U ~ N(")
    assert len(rows) == 5
    for mu, sigma, _, *rest in rows:
        for f_c, closed, sampled in (rest[:3], rest[3:]):
            p = 1 - phi((f_c * (mu + sigma) - mu) / sigma)
            assert closed == pytest.approx(p, abs=1e-4)
            assert sampled == pytest.approx(p, abs=theorem_bound(100_000, f_c))
    assert {row[3] for row in rows} == {1.0} and {row[6] for row in rows} == {1.2}


def test_the_lesson_does_not_say_that_all_distributions_are_normal(lesson):
    (line,) = [line for line in lesson if "uniform" in line]
    assert "Other distributions differ" in line
    assert numbers(line)[0] == pytest.approx((1 - 1 / math.sqrt(3)) / 2, abs=1e-4)
    (line,) = [line for line in lesson if "At f_c = 1 " in line]
    assert "every normal" in line and not any("every distribution" in line for line in lesson)
    (line,) = [line for line in lesson if "theta is at least" in line]
    assert numbers(line)[0] == ref.FLOOR
    assert numbers(line)[-1] == pytest.approx(phi(-3), abs=5e-4), "the floor, not Theorem 1"


def test_the_lesson_on_eqs_5_6_and_7(lesson):
    ((estimated, *rest),) = lines_of(lesson, "estimated")
    assert estimated == pytest.approx(math.sqrt(1.04), abs=1e-4)
    true = rest[:4]
    assert true[0] == pytest.approx(1, abs=0.02) and rest[4:] == pytest.approx(
        [phi(-1)] * 4, abs=5e-3
    )
    (average,) = [numbers(line.split(":")[1]) for line in lesson if line.startswith("Eq. 6.")]
    assert average == pytest.approx([0.9 + 0.1 * theta for theta in true], abs=2e-4)
    (thetas,) = lines_of(lesson, "theta ")
    (widths,) = lines_of(lesson, "k ")
    assert min(thetas) < -5 and 1 in thetas and max(thetas) > 5
    expected = [max(1 + math.tanh(theta - 1), 1e-3) for theta in thetas]
    assert widths == pytest.approx(expected, abs=1e-3)


def test_the_lesson_on_fig_5(lesson):
    rows = lines_of(lesson, "sigma ")
    assert len(rows) == 5
    for sigma, fixed, driven, k in rows:
        assert k == pytest.approx(1 + math.tanh(sigma - 1), abs=1e-3)
        for share, width in ((fixed, 1), (driven, 1 + math.tanh(sigma - 1))):
            r = width / (2 * sigma)
            assert share == pytest.approx(phi(1 + r) - phi(1 - r), abs=1e-3)


def test_the_lessons_network_learns(lesson):
    rows = lines_of(lesson, "step ")
    assert len(rows) == 5
    assert rows[0] == pytest.approx([0, math.log(3), 1 / 3], abs=1e-3), (
        "it begins by knowing nothing"
    )
    assert rows[-1][1] < 0.15 and rows[-1][2] > 0.95


def test_the_line_in_the_docstring_of_train_rings_runs(capsys):
    lines = [line.strip() for line in ref.train_rings.__doc__.splitlines()]
    (line,) = [line for line in lines if line.startswith("for ")]
    exec(line, dict(ref=ref, np=np))
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 200 and rows[0].startswith("(0, ")


def test_the_lessons_table_is_what_the_arms_reach(lesson):
    """The paper's point: away from scale 1 vanilla is behind, at 0.1 it learns nothing."""
    found = {}
    for arm in ref.ARMS:
        ((*row,),) = lines_of(lesson, f"{arm} ")
        assert row[::2] == [0.1, 1, 4]
        found[arm] = row[1::2]
    run = ref.train_rings(np.random.default_rng(0), 100, scale=0.1)
    expected = np.mean([accuracy for _, _, accuracy in run][80:])
    assert found["AT+TGO"][0] == pytest.approx(expected, abs=6e-4)
    for arm in ("vanilla", "TGO"):
        assert found[arm][0] == pytest.approx(1 / 3, abs=1e-3)
        assert found[arm][1] > 0.9 and found[arm][2] < 0.85
    for arm in ("AT", "AT+TGO"):
        assert min(found[arm]) > 0.8 and min(found[arm][1:]) > 0.9
    assert found["AT+TGO"][0] > found["AT"][0] + 0.02


# ---- its pictures ----
PICTURES = ["fig5", "rings", "theorem1", "thresholds", "trace", "width"]


def reference_refused(monkeypatch, capsys, *arguments):
    """What stderr says after exit code 2."""
    monkeypatch.setattr(sys, "argv", ["reference_numpy.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        ref.main()
    out, error = capsys.readouterr()
    assert stop.value.code == 2 and not out
    return error


@pytest.mark.slow
def test_plot_draws_six_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    folder = tmp_path / "new" / "pictures"
    command = [sys.executable, ROOT / "reference_numpy.py", "--plot", folder]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    paths = sorted(folder.iterdir())
    assert [path.stem for path in paths] == PICTURES, "and no temporary file is left"
    assert sorted(done.stdout.splitlines()) == list(map(str, paths)), "and no lesson is printed"
    for path in paths:
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            pixels = np.asarray(picture.convert("RGB"))
        assert pixels.shape[1] == 1050 and pixels.shape[0] >= 500, "700 pixels, half as many again"
        white = (pixels == 255).all(2)
        assert 0.2 < white.mean() < 0.95
        coloured = np.ptp(pixels.astype(int), axis=2) > 60
        for half in np.array_split(coloured, 2, axis=1):
            assert half.mean() > 5e-4, f"{path.stem}: something is drawn on the left and the right"


def test_the_decision_map_knows_the_rings():
    """Beside its one picture of it: what `infer` says of rings by statistics of other rings."""
    pytest.importorskip("matplotlib")
    plots = runpy.run_path(str(ROOT / "experiments" / "lesson_plots.py"))
    rules = ref.ARMS["AT+TGO"]
    p, taus, accuracy = plots["trained"](scale=0.1, **rules)
    angle = np.random.default_rng(2).uniform(0, 2 * np.pi, 600)
    labels = np.arange(600) % 3
    x = np.stack([(labels + 1) * np.cos(angle), (labels + 1) * np.sin(angle), np.ones(600)], 1)
    seen = []
    of_batch = plots["infer"](p, taus, x, seen, rules)
    assert len(seen) == 2
    assert plots["infer"](p, taus, x, seen, rules) == pytest.approx(of_batch, rel=1e-12)
    assert accuracy > 0.85 and (of_batch.argmax(1) == labels).mean() > 0.85
    few = plots["infer"](p, taus, x[:3], seen, rules)
    assert few == pytest.approx(of_batch[:3], rel=1e-12), "not by the statistics of what is asked"


def test_plot_into_what_is_no_folder_ends_in_one_line(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    taken = tmp_path / "taken"
    taken.write_text("mine")
    for folder in (taken, taken / "below"):
        error = reference_refused(monkeypatch, capsys, "--plot", folder)
        assert error.startswith(f"--plot {folder}: ") and error.count("\n") == 1
    assert taken.read_text() == "mine"


def test_plot_leaves_nothing_half_written(tmp_path, monkeypatch, capsys):
    """Where a picture's name is a folder's, the temporary file is removed."""
    pytest.importorskip("matplotlib")
    (tmp_path / "theorem1.png").mkdir()
    error = reference_refused(monkeypatch, capsys, "--plot", tmp_path)
    assert "theorem1.png" in error and error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["theorem1.png"]


def test_plot_without_matplotlib_says_how_to_get_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    error = reference_refused(monkeypatch, capsys, "--plot", tmp_path / "pictures")
    assert "pip install matplotlib" in error and error.count("\n") == 1
    assert not (tmp_path / "pictures").exists()


def test_the_reference_alone_in_a_folder_names_what_its_pictures_need(
    tmp_path, monkeypatch, capsys
):
    alone = tmp_path / "reference_numpy.py"
    alone.write_text((ROOT / "reference_numpy.py").read_text())
    monkeypatch.setattr(ref, "__file__", str(alone))
    error = reference_refused(monkeypatch, capsys, "--plot", tmp_path / "pictures")
    assert str(tmp_path / "experiments" / "lesson_plots.py") in error and error.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == [alone]


@pytest.mark.parametrize("arguments", [["--plo", "x"], ["--plot"], ["--plots", "x"], ["x"]])
def test_the_lesson_refuses_unknown_arguments(arguments, monkeypatch, capsys):
    assert "reference_numpy.py: error: " in reference_refused(monkeypatch, capsys, *arguments)


def test_the_lessons_gradients_are_right(lesson):
    begin = next(i for i, line in enumerate(lesson) if "finite differences" in line)
    words = " ".join(lesson[begin + 1 :]).split()
    errors = [float(word) for word in words if "e-" in word]
    assert len(errors) == 20 and max(errors) < 1e-7
