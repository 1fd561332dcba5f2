"""dsatgo.py against reference_numpy.py, and the paper's statements as properties. HYPOTHESIS_PROFILE=long draws forty times as many."""
import doctest
import itertools
import math
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

import dsatgo
import reference_numpy as ref
from dsatgo import LIF, adaptive_threshold, estimated_threshold, rectangle, surrogate_width

ARMS = list(itertools.product(("true", "estimated", "fixed", "learned"), ("threshold", "std", "fixed")))
positive = partial(st.floats, 0.1, 4.0)
seeds = st.integers(0, 2 ** 32 - 1)


def relative(x, y):
    x, y = np.asarray(x), np.asarray(y)
    return np.abs(x - y).max() / max(np.abs(y).max(), 1e-30)


def tensor(x, dtype=torch.float64):
    return torch.tensor(np.asarray(x), dtype=dtype)


# Theorem 1

def theorem_bound(n, f_c):
    """With probability 1 - 1e-9: how far the empirical distribution strays (DKW), plus how far the estimated mean and deviation,
    each within 6.2 of its own deviations, move the threshold, times the largest density."""
    return math.sqrt(math.log(2 / 1e-9) / (2 * n)) + 0.39895 * f_c * 6.2 * (1 / math.sqrt(n) + 1 / math.sqrt(2 * n))


@given(st.floats(-50, 50), st.floats(0.01, 30), st.sampled_from([0.5, 0.8, 1.0, 1.0, 1.2, 2.0]), seeds)
def test_theorem_1(mu, sigma, f_c, seed):
    n = 100_000
    u = mu + sigma * np.random.default_rng(seed).standard_normal(n)
    theta = adaptive_threshold(tensor(u), f_c).item()
    assert theta == pytest.approx(ref.adaptive_threshold(u, f_c), rel=1e-12)
    p = ref.firing_probability(f_c, mu, sigma)
    # f_c multiplies the error of the mean as well: in deviations of u, the threshold moves by f_c times it
    assert abs((u > theta).mean() - p) < theorem_bound(n, f_c)
    if f_c == 1:
        assert p == pytest.approx(0.15865525393145707, rel=1e-12)
    layer = LIF(1, f_c=f_c).double()
    if theta > 1.1e-3:
        assert abs(layer(tensor(u)[None, :, None]).mean().item() - p) < theorem_bound(n, f_c)


def test_the_bound_would_notice_a_wrong_threshold():
    n = 100_000
    u = np.random.default_rng(0).standard_normal(n)
    for wrong in (u.mean() + u.var(ddof=0) * 0.9, 0.9 * (u.mean() + u.std()), u.mean() + 1.1 * u.std()):
        assert abs((u > wrong).mean() - ref.firing_probability()) > theorem_bound(n, 1.0)


@given(positive(), positive(), positive(), seeds)
def test_gradient_probability(sigma, theta, k, seed):
    u = sigma * np.random.default_rng(seed).standard_normal(100_000)
    inside = (rectangle(tensor(u), theta, k) > 0).double().mean().item()
    assert abs(inside - ref.gradient_probability(theta, k, 0, sigma)) < 2 * math.sqrt(math.log(2 / 1e-9) / 2e5)


def test_fig_5_closed_form():
    """At theta = mu + sigma the share with a gradient is Phi(1 + r) - Phi(1 - r), r = k / (2 sigma)."""
    from scipy.stats import norm
    for mu, sigma, k in ((0, 1, 1), (0.7, 0.3, 2), (-1, 2, 0.5)):
        r = k / (2 * sigma)
        assert ref.gradient_probability(mu + sigma, k, mu, sigma) == pytest.approx(norm.cdf(1 + r) - norm.cdf(1 - r))


# Eq. 7

@given(st.floats(-20, 20), st.floats(-20, 20), positive(), positive())
def test_width_rules(a, b, v_th, kappa):
    low, high = sorted((a, b))
    k_low, k_high = surrogate_width(tensor([low, high]), v_th, kappa).tolist()
    assert k_low <= k_high and abs(k_high - k_low) <= kappa * (high - low) * (1 + 1e-12)
    for theta, k in ((low, k_low), (high, k_high)):
        assert 1e-3 * kappa <= k <= 2 * kappa
        assert k == pytest.approx(float(ref.surrogate_width(theta, v_th, kappa)), rel=1e-12), "the branches are the one line"
        assert surrogate_width(tensor(theta), v_th, 2 * kappa).item() == 2 * k, "doubling kappa doubles it to the bit"
        if theta > v_th + 1e-6:
            assert k > kappa
        if theta < v_th - 1e-6:
            assert k < kappa


def test_width_at_v_th_is_kappa():
    assert surrogate_width(tensor(0.7), 0.7, 1.3).item() == ref.surrogate_width(0.7, 0.7, 1.3) == 1.3


@given(st.floats(0.01, 0.99), positive(), positive())
def test_estimated_threshold(tau, v_th, f_c):
    assert estimated_threshold(tensor(tau), v_th, f_c).item() == pytest.approx(ref.estimated_threshold(tau, v_th, f_c), rel=1e-14)


# The neuron

@st.composite
def currents(draw):
    """Time-first currents of all the kinds that have broken neurons: ordinary, silent, constant, shifted far, one element."""
    T, rng = draw(st.integers(1, 6)), np.random.default_rng(draw(seeds))
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
    """Potentials at rounding's distance of a threshold or of a window's edge may go either way. `exact`: thresholds and widths are
    constants, so a tie to the bit is one for both sides and counts."""
    u = cache["u"].reshape(len(cache["u"]), -1)
    distance = np.abs(u - cache["fire"][:, None])
    distance = np.stack([distance, np.abs(distance - cache["k"][:, None] / 2)])
    return not ((distance <= 1e-9 * (1 + np.abs(u).max())) & ~(exact & (distance == 0))).any()


@given(currents(), st.sampled_from(ARMS), st.floats(0.02, 0.98), positive(), positive(), st.floats(0.3, 2), st.booleans(),
       st.sampled_from([0.1, 1.0, None]), seeds)
def test_neuron_equals_the_reference(current, arm, tau, v_th, kappa, f_c, training, momentum, seed):
    rng = np.random.default_rng(seed)
    threshold, width = arm
    layer = LIF(len(current), tau=tau, v_th=v_th, kappa=kappa, f_c=f_c, momentum=momentum, threshold=threshold, width=width).double()
    layer.train(training).running_threshold.copy_(tensor(rng.uniform(0.2, 2, len(current))))
    layer.updates += 1
    before = layer.running_threshold.numpy().copy()
    running = before if not training and momentum is not None else None
    if threshold == "learned":
        with torch.no_grad():
            layer.a += rng.uniform(-0.5, 0.5)
        running = np.full(len(current), layer.a.exp().item())
    spikes, cache = ref.lif_forward(current, torch.sigmoid(layer.w).item(), v_th, kappa, f_c, threshold, width, running)
    assume(far_from_ties(cache))
    layer.figures = {}
    x = tensor(current).requires_grad_()
    mine = layer(x)
    assert np.array_equal(mine.detach().numpy(), spikes)
    assert relative(layer.figures["threshold"], cache["fire"]) < 1e-9 and relative(layer.figures["width"], cache["k"]) < 1e-9
    if layer.adaptive and training and momentum is not None:
        assert relative(layer.running_threshold, ref.moving_average(before, cache["theta"], momentum)) < 1e-9
    else:
        assert np.array_equal(layer.running_threshold.numpy(), before)
    dspikes = rng.standard_normal(current.shape)
    mine.backward(tensor(dspikes))
    dcurrent, dtau, *dtheta = ref.lif_backward(dspikes, cache)
    assert np.abs(x.grad.numpy() - dcurrent).max() <= 1e-9 * max(np.abs(dcurrent).max(), 1e-6)
    leak = torch.sigmoid(layer.w).item()
    assert layer.w.grad.item() == pytest.approx(dtau * leak * (1 - leak), rel=1e-9, abs=1e-12)
    if dtheta:
        assert layer.a.grad.item() == pytest.approx(dtheta[0] * layer.a.exp().item(), rel=1e-9, abs=1e-12)


@given(st.integers(1, 5), st.sampled_from(["threshold", "std", "fixed"]), st.sampled_from([0.5, 1.0, 2.0]), st.sampled_from([0.5, 1.0, 2.0]),
       st.sampled_from([torch.float64, torch.float32, torch.bfloat16, torch.float16]), st.booleans(), seeds)
def test_exact_ties_and_window_edges_in_dyadic_numbers(T, width, v_th, kappa, dtype, training, seed):
    """Quarters and tau = 1/2 are exact in every dtype: potentials hit the threshold and the window's ends to the bit, and nothing is
    left to rounding. (Widths that follow statistics are not dyadic; there the spikes are compared.)"""
    rng = np.random.default_rng(seed)
    current = rng.integers(-4, 9, (T, 3, 20)) / 4
    layer = LIF(T, tau=0.5, v_th=v_th, kappa=kappa, threshold="fixed", width=width).to(dtype).train(training)
    layer.updates += 1
    x = tensor(current, dtype).requires_grad_()
    spikes, cache = ref.lif_forward(current, 0.5, v_th, kappa, 1.0, "fixed", width, None if training else np.full(T, v_th))
    mine = layer(x)
    assert np.array_equal(mine.double().detach().numpy(), spikes)
    if width == "fixed":
        dspikes = rng.integers(-2, 3, current.shape).astype(float)
        mine.backward(tensor(dspikes, dtype))
        exact = T <= 2 or dtype in (torch.float64, torch.float32)  # products of five quarters outgrow a half's mantissa
        if exact:
            assert np.array_equal(x.grad.double().numpy(), ref.lif_backward(dspikes, cache)[0])


@given(currents(), st.sampled_from(ARMS), st.sampled_from([torch.float32, torch.bfloat16, torch.float16]))
def test_narrow_dtypes_stay_close_to_the_reference(current, arm, dtype):
    """One timestep from the same rounded current: spikes differ at most where the potential is within rounding of the threshold."""
    current = tensor(current, dtype)[:1]
    layer = LIF(1, threshold=arm[0], width=arm[1])
    layer.figures = {}
    mine = layer(current)
    spikes, cache = ref.lif_forward(current.double().numpy(), 0.2, threshold=arm[0], width=arm[1])
    assert mine.dtype == dtype and relative(layer.figures["threshold"], cache["fire"]) < 1e-5
    close = np.abs(cache["u"] - cache["fire"][0]) <= 1e-5 * (1 + np.abs(cache["u"]))
    assert ((mine.detach().double().numpy() == spikes) | close).all()


def test_float32_with_a_large_mean():
    u = np.random.default_rng(0).standard_normal(50_000) + 1e4
    rounded = u.astype(np.float32).astype(float)
    theta = adaptive_threshold(tensor(u, torch.float32)).item()
    assert abs(theta - (rounded.mean() + rounded.std())) < 3e-3
    layer = LIF(1, width="std")
    layer.figures = {}
    layer(tensor(u, torch.float32)[None, :, None])
    # the width tells the deviation that the neuron found: dk/dstd is at least 0.99 here
    assert abs(layer.figures["width"].item() - (1 + math.tanh(rounded.std() - 1))) < 1e-3


# Invariants

@given(currents(), st.sampled_from(ARMS), seeds)
def test_permuting_the_batch_permutes_the_result(current, arm, seed):
    order = np.random.default_rng(seed).permutation(current.shape[1])
    _, cache = ref.lif_forward(current, 0.2, threshold=arm[0], width=arm[1])
    assume(far_from_ties(cache))
    make = partial(LIF, len(current), threshold=arm[0], width=arm[1])
    assert torch.equal(make().double()(tensor(current))[:, order], make().double()(tensor(current[:, order])))


@given(currents(), st.sampled_from([-3, -1, 1, 4]), st.sampled_from(["true", "fixed", "estimated"]), st.booleans())
def test_scaling_by_a_power_of_two(current, power, threshold, training):
    """Under "true" in training no spike changes, while the floor does not act; under "fixed" and "estimated" v_th must scale too."""
    scale, T = 2.0 ** power, len(current)
    assume(threshold != "true" or training)
    layers = [LIF(T, threshold=threshold, v_th=v).double().train(training) for v in (1.0, 1.0 if threshold == "true" else scale)]
    for layer in layers:
        layer.figures = {}
        layer.updates += 1
    results = [layer(tensor(x)) for layer, x in zip(layers, (current, current * scale))]
    assume(not any(layer.figures["floored"].any() for layer in layers))
    assert torch.equal(*results)


@given(currents(), st.sampled_from(ARMS), positive())
def test_kappa_never_matters_to_spikes(current, arm, kappa):
    layers = [LIF(len(current), threshold=arm[0], width=arm[1], kappa=k).double() for k in (1.0, kappa)]
    assert torch.equal(*(layer(tensor(current)) for layer in layers))


@given(currents(), st.sampled_from(ARMS), positive(), seeds)
def test_gradient_at_the_last_timestep_is_one_over_k_inside_the_window(current, arm, kappa, seed):
    layer = LIF(len(current), threshold=arm[0], width=arm[1], kappa=kappa).double()
    layer.figures = {}
    _, cache = ref.lif_forward(current, torch.sigmoid(layer.w).item(), 1.0, kappa, 1.0, *arm)
    assume(far_from_ties(cache))
    x = tensor(current).requires_grad_()
    weight = np.random.default_rng(seed).standard_normal(current.shape)
    layer(x).backward(tensor(weight))
    fire, k = layer.figures["threshold"][-1].item(), layer.figures["width"][-1].item()
    inside = np.abs(cache["u"][-1] - fire) <= k / 2
    assert np.allclose(x.grad[-1].numpy(), weight[-1] * inside / k, rtol=1e-12, atol=0)


@given(currents(), st.floats(0.3, 2), st.floats(0.3, 2))
def test_a_larger_f_c_never_fires_more_at_the_first_timestep(current, a, b):
    """While mean + std is positive; below it the floor decides for every f_c."""
    rates = [LIF(1, f_c=f_c).double()(tensor(current[:1])).mean().item() for f_c in sorted((a, b))]
    assert rates[1] <= rates[0] or adaptive_threshold(tensor(current[0])) < 0


@given(currents(), st.sampled_from([arm for arm in ARMS if arm[1] != "std"]), seeds)
def test_evaluation_does_not_depend_on_the_batch(current, arm, seed):
    layer = LIF(len(current), threshold=arm[0], width=arm[1]).double()
    layer(tensor(np.random.default_rng(seed).standard_normal((len(current), 50, 3))))
    layer.eval()
    whole = layer(tensor(current))
    for b in range(current.shape[1]):
        assert torch.equal(layer(tensor(current[:, b:b + 1])), whole[:, b:b + 1])


# Networks: conv-BN-LIF-pool-LIF-linear with a SEW block in it, weights and gradients by name

class Small(nn.Module):
    def __init__(self, T, arm):
        super().__init__()
        lif = partial(LIF, T, threshold=arm[0], width=arm[1])
        self.conv1, self.bn1, self.lif1 = nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), lif()
        self.conv2, self.bn2, self.lif2 = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), lif()
        self.lif3, self.linear = lif(tau=0.4), nn.Linear(4 * 9, 3, bias=False)

    def forward(self, x):                                         # [T, B, 2, 6, 6]
        T, B = x.shape[:2]
        x = self.lif1(self.bn1(self.conv1(x.flatten(0, 1))).unflatten(0, (T, B)))
        x = x + self.lif2(self.bn2(self.conv2(x.flatten(0, 1))).unflatten(0, (T, B)))
        x = self.lif3(F.avg_pool2d(x.flatten(0, 1), 2).unflatten(0, (T, B)))
        return self.linear(x.flatten(2))                          # [T, B, 3]


def reference_step(p, arm, x, labels, tet):
    """Loss and gradients, by name, of the same network with parameters `p`, all by hand; and how far it is from every tie."""
    T, B, leak = x.shape[0], x.shape[1], {i: 1 / (1 + np.exp(-p[f"lif{i}.w"])) for i in (1, 2, 3)}
    fold, unfold = (lambda y: y.reshape(T * B, *y.shape[2:])), (lambda y: y.reshape(T, B, *y.shape[1:]))
    lif = partial(ref.lif_forward, threshold=arm[0], width=arm[1])
    y, c_conv1 = ref.conv_forward(fold(x), p["conv1.weight"])
    y, c_bn1 = ref.batchnorm_forward(y, p["bn1.weight"], p["bn1.bias"])
    s1, c_lif1 = lif(unfold(y), leak[1])
    y, c_conv2 = ref.conv_forward(fold(s1), p["conv2.weight"])
    y, c_bn2 = ref.batchnorm_forward(y, p["bn2.weight"], p["bn2.bias"])
    s2, c_lif2 = lif(unfold(y), leak[2])
    y, c_sew = ref.sew_forward(s2, s1)
    y, c_pool = ref.pool_forward(fold(y))
    s3, c_lif3 = lif(unfold(y), leak[3])
    logits, c_linear = ref.linear_forward(s3.reshape(T, B, -1), p["linear.weight"])
    if tet:
        loss, c_loss = ref.tet_forward(logits, labels, 0.5, 0.05, 0.1)
        dlogits = ref.tet_backward(1.0, c_loss)
    else:
        mean, c_readout = ref.readout_forward(logits)
        loss, c_loss = ref.cross_entropy_forward(mean, labels, 0.1)
        dlogits = ref.readout_backward(ref.cross_entropy_backward(1.0, c_loss), c_readout)
    g, dtau = {}, {}
    dy, g["linear.weight"] = ref.linear_backward(dlogits, c_linear)
    dy, dtau[3] = ref.lif_backward(dy.reshape(s3.shape), c_lif3)
    ds2, ds1 = ref.sew_backward(unfold(ref.pool_backward(fold(dy), c_pool)), c_sew)
    dy, dtau[2] = ref.lif_backward(ds2, c_lif2)
    dy, g["bn2.weight"], g["bn2.bias"] = ref.batchnorm_backward(fold(dy), c_bn2)
    dy, g["conv2.weight"] = ref.conv_backward(dy, c_conv2)
    dy, dtau[1] = ref.lif_backward(ds1 + unfold(dy), c_lif1)
    dy, g["bn1.weight"], g["bn1.bias"] = ref.batchnorm_backward(fold(dy), c_bn1)
    _, g["conv1.weight"] = ref.conv_backward(dy, c_conv1)
    for i in (1, 2, 3):
        g[f"lif{i}.w"] = dtau[i] * leak[i] * (1 - leak[i])
    # the third layer's currents are quarters: exact ties with a fixed threshold
    return loss, g, all(far_from_ties(c, arm == ("fixed", "fixed")) for c in (c_lif1, c_lif2, c_lif3))


@given(st.integers(1, 4), st.sampled_from([arm for arm in ARMS if arm[0] != "learned"]), st.booleans(), seeds)
def test_network_equals_the_reference(T, arm, tet, seed):
    torch.manual_seed(seed)
    net, x, labels = Small(T, arm).double(), torch.randn(T, 5, 2, 6, 6, dtype=torch.float64), torch.tensor([0, 2, 1, 1, 0])
    p = {name: value.detach().numpy().copy() for name, value in net.named_parameters()}
    loss, g, clear = reference_step(p, arm, x.numpy(), labels.numpy(), tet)
    assume(clear)
    logits = net(x)
    mine = dsatgo.tet_loss(logits, labels, 0.5, 0.05, 0.1) if tet else F.cross_entropy(dsatgo.readout(logits), labels, label_smoothing=0.1)
    mine.backward()
    assert mine.item() == pytest.approx(loss, rel=1e-9)
    assert g.keys() == dict(net.named_parameters()).keys()
    for name, value in net.named_parameters():
        scale = max(np.abs(g[name]).max(), 1e-6)
        assert np.abs(value.grad.numpy() - g[name]).max() < 1e-9 * scale, name


@pytest.mark.parametrize("arm", [("true", "threshold"), ("fixed", "fixed"), ("estimated", "threshold")])
def test_ten_optimisation_steps_stay_together(arm):
    torch.manual_seed(3)
    net, labels = Small(2, arm).double(), torch.tensor([0, 2, 1, 1, 0, 2])
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=1e-2)
    p = {name: value.detach().numpy().copy() for name, value in net.named_parameters()}
    velocity, start, losses = dict.fromkeys(p, 0.0), dict(p), []
    for _ in range(10):
        x = torch.randn(2, 6, 2, 6, 6, dtype=torch.float64)
        loss, g, clear = reference_step(p, arm, x.numpy(), labels.numpy(), False)
        for name in p:
            p[name], velocity[name] = ref.sgd(p[name], g[name], velocity[name], 0.1, 0.9, 1e-2)
        optimizer.zero_grad()
        mine = F.cross_entropy(dsatgo.readout(net(x)), labels, label_smoothing=0.1)
        mine.backward()
        optimizer.step()
        assert clear and mine.item() == pytest.approx(loss, rel=1e-9)
        losses.append(loss)
    for name, value in net.named_parameters():
        assert relative(value.detach(), p[name]) < 1e-9 and relative(p[name], start[name]) > 1e-4, name


def test_reference_layers_against_torch():
    rng = np.random.default_rng(0)
    x, w3, w1 = rng.standard_normal((4, 3, 7, 6)), rng.standard_normal((5, 3, 3, 3)), rng.standard_normal((5, 3, 1, 1))
    for weight, stride, padding in ((w3, 1, 1), (w3, 2, 1), (w1, 2, 0), (w3, 3, 0)):
        out, cache = ref.conv_forward(x, weight, stride, padding)
        tx, tw = tensor(x).requires_grad_(), tensor(weight).requires_grad_()
        theirs = F.conv2d(tx, tw, stride=stride, padding=padding)
        dout = rng.standard_normal(out.shape)
        theirs.backward(tensor(dout))
        dx, dweight = ref.conv_backward(dout, cache)
        assert relative(out, theirs.detach()) < 1e-12 and relative(dx, tx.grad) < 1e-12 and relative(dweight, tw.grad) < 1e-12
    running = rng.standard_normal(3), rng.random(3) + 0.5
    for stats in (None, running):
        tx, gamma, beta = tensor(x).requires_grad_(), tensor([1, 2, 3]).requires_grad_(), tensor([0, 1, -1]).requires_grad_()
        theirs = F.batch_norm(tx, *((None, None) if stats is None else map(tensor, stats)), gamma, beta, training=stats is None)
        out, cache = ref.batchnorm_forward(x, np.array([1.0, 2, 3]), np.array([0.0, 1, -1]), running=stats)
        dout = rng.standard_normal(out.shape)
        theirs.backward(tensor(dout))
        for mine, grad in zip((out, *ref.batchnorm_backward(dout, cache)), (theirs.detach(), tx.grad, gamma.grad, beta.grad)):
            assert relative(mine, grad) < 1e-11
    tx = tensor(x).requires_grad_()
    theirs, (out, cache) = F.avg_pool2d(tx, 2), ref.pool_forward(x)
    dout = rng.standard_normal(out.shape)
    theirs.backward(tensor(dout))
    assert relative(out, theirs.detach()) < 1e-14 and relative(ref.pool_backward(dout, cache), tx.grad) < 1e-14


# The lesson

def test_reference_needs_no_torch_and_its_examples_are_right():
    script = "import sys, reference_numpy; assert 'torch' not in sys.modules and 'dsatgo' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
    result = doctest.testmod(ref)
    assert result.attempted == 4 and result.failed == 0


def test_the_lesson(capsys):
    ref.lesson()
    text = capsys.readouterr().out
    accuracies = [float(line.split()[-1].rstrip("%")) for line in text.splitlines() if line.startswith("  step")]
    assert abs(accuracies[0] - 33.3) < 5 and accuracies[-1] > 95
    errors = [float(word) for line in text.split("finite differences")[1].splitlines()[1:] for word in line.split() if "e-" in word]
    assert len(errors) == 20 and max(errors) < 1e-7
    assert text.count("15.87%") == 5 and "Eq. 7" in text and "Fig. 5" in text
