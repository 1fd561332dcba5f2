"""The neuron against a step-by-step loop in float64 with plain autograd, which shares no code with dsatgo.py."""
import itertools
import math
import random
import warnings

import pytest
import torch

from dsatgo import LIF, _lif_backward, adaptive_threshold, estimated_threshold, rectangle, surrogate_width

ARMS = list(itertools.product(("true", "estimated", "fixed", "learned"), ("threshold", "std", "fixed")))


def oracle(current, tau, a, running, *, v_th, kappa, f_c, momentum, threshold, width, training):
    """One neuron layer, a timestep at a time, by plain autograd: the step is passed through straight, with the ramp
    of slope 1/k in its place backward. Returns spikes, firing thresholds, widths and the running thresholds after."""
    u = torch.zeros_like(current[0])
    spikes, fires, widths, after = torch.zeros_like(u), [], [], running.clone()
    out = []
    for t in range(current.shape[0]):
        u = tau * u * (1 - spikes) + current[t]
        mean = u.detach().sum() / u.numel()
        std = (((u.detach() - mean) ** 2).sum() / u.numel()) ** 0.5
        if threshold == "learned":
            theta = torch.exp(a)
        elif threshold == "fixed" and width != "threshold":
            theta = torch.tensor(v_th, dtype=u.dtype)
        elif not training and momentum is not None:
            theta = running[t]
        elif threshold == "estimated":
            theta = f_c * torch.sqrt(1 + tau.detach() ** 2) * v_th
        else:
            theta = f_c * (mean + std)
        if theta < v_th / 1000:
            theta = torch.tensor(v_th / 1000, dtype=u.dtype)
        x = {"threshold": theta.detach(), "std": std}.get(width)
        if x is None:
            k = kappa
        elif x < v_th:                                           # Eq. 7 as printed, branch by branch
            k = (1 - math.tanh(v_th - x)) * kappa
        else:
            k = (1 + math.tanh(x - v_th)) * kappa
        k = max(k, kappa / 1000)
        fire = v_th if threshold == "fixed" else theta
        ramp = torch.clamp((u - fire) / k + 0.5, 0, 1)
        spikes = (u >= fire).to(u.dtype) + (ramp - ramp.detach())
        out.append(spikes)
        fires.append(fire if isinstance(fire, float) else fire.item())
        widths.append(float(k))
        adaptive = threshold in ("true", "estimated") or (threshold, width) == ("fixed", "threshold")
        if training and momentum is not None and adaptive:
            after[t] = momentum * float(theta) + (1 - momentum) * running[t]
    return torch.stack(out), fires, widths, after


def relative(x, y):
    return ((x - y).abs().max() / y.abs().max().clamp(min=1e-30)).item()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("threshold, width", ARMS)
def test_equals_plain_autograd(threshold, width, training):
    dice = random.Random(f"{threshold} {width} {training}")
    fired = 0
    for T in range(1, 7):
        for momentum in (0.1, 1.0, None):
            shape = dice.choice([(5,), (7, 3), (2, 3, 4, 4), (3, 2, 5)])
            settings = dict(v_th=dice.choice([0.5, 1.0, 1.7]), kappa=dice.choice([0.5, 1.0, 2.0]),
                            f_c=dice.choice([0.7, 1.0, 1.2]), momentum=momentum, threshold=threshold, width=width)
            layer = LIF(T, tau=dice.uniform(0.05, 0.95), **settings).double().train(training)
            current = torch.randn(T, *shape, dtype=torch.float64) * settings["v_th"] * dice.uniform(0.5, 2) + dice.uniform(0, 1)
            if not training:
                layer.running_threshold.uniform_(0.5, 1.5)
                layer.updates += 1
            if threshold == "learned":
                with torch.no_grad():
                    layer.a += 0.1
            mine, theirs = current.clone().requires_grad_(), current.clone().requires_grad_()
            w, a = layer.w.detach().clone().requires_grad_(), layer.a.detach().clone().requires_grad_()
            expected, fires, widths, after = oracle(theirs, torch.sigmoid(w), a, layer.running_threshold.clone(),
                                                    training=training, **settings)
            layer.figures = {}
            spikes = layer(mine)
            assert torch.equal(spikes, expected.detach())
            assert torch.allclose(layer.figures["threshold"], torch.tensor(fires, dtype=torch.float64), rtol=1e-12)
            assert torch.allclose(layer.figures["width"], torch.tensor(widths, dtype=torch.float64), rtol=1e-12)
            assert torch.allclose(layer.running_threshold, after, rtol=1e-12, atol=0)
            weight = torch.randn_like(current)
            (spikes * weight).sum().backward()
            (expected * weight).sum().backward()
            assert relative(mine.grad, theirs.grad) < 1e-9, "current"
            if T > 1:
                assert relative(layer.w.grad, w.grad) < 1e-9, "w"
            if threshold == "learned":
                assert relative(layer.a.grad, a.grad) < 1e-9, "a"
            fired += 0 < spikes.mean() < 1
    assert fired >= 15, "these draws must make some, but not all, neurons fire"


@pytest.mark.parametrize("learned", [False, True])
def test_backward_is_the_derivative_of_the_ramp(learned):
    """With the ramp in the step's place and thresholds and widths frozen, finite differences prove Eqs. 9 and 10."""
    T, N = 5, 40
    generator = torch.Generator().manual_seed(3)
    current = torch.randn(T, N, dtype=torch.float64, generator=generator) + 0.5
    theta = torch.rand(T, dtype=torch.float64, generator=generator) + 0.5
    k = torch.rand(T, dtype=torch.float64, generator=generator) + 0.5
    ds = torch.randn(T, N, dtype=torch.float64, generator=generator)

    def run(current, tau, theta):
        u, s, us, ss = 0.0, 0.0, [], []
        for t in range(T):
            u = tau * u * (1 - s) + current[t]
            s = ((u - theta[t]) / k[t] + 0.5).clamp(0, 1)
            us.append(u)
            ss.append(s)
        return torch.stack(us), torch.stack(ss)

    tau = torch.tensor(0.4, dtype=torch.float64)
    u, s = run(current, tau, theta)
    edge = ((u - theta[:, None]).abs() - k[:, None] / 2).abs().min().item()
    eps = 1e-6
    assert edge > 10 * eps and 0.1 < ((s > 0) & (s < 1)).double().mean() < 0.9, "no kink may lie between the two points"
    dcurrent, dtau, dtheta = _lif_backward(ds, u, s, theta, k, tau, learned)

    def slope(plus, minus):
        return ((run(*plus)[1] - run(*minus)[1]) * ds).sum().item() / (2 * eps)

    for t, n in itertools.product(range(T), range(N)):
        bump = torch.zeros_like(current)
        bump[t, n] = eps
        expected = slope((current + bump, tau, theta), (current - bump, tau, theta))
        assert dcurrent[t, n].item() == pytest.approx(expected, abs=1e-7)
    assert dtau.item() == pytest.approx(slope((current, tau + eps, theta), (current, tau - eps, theta)), rel=1e-7)
    if not learned:
        assert dtheta is None
        return
    for t in range(T):
        bump = torch.zeros_like(theta)
        bump[t] = eps
        assert dtheta[t].item() == pytest.approx(slope((current, tau, theta + bump), (current, tau, theta - bump)), rel=1e-6)


def test_a_trace_by_hand():
    """One neuron beside another, tau = 1/2, fixed threshold 1: potentials 1.5 (fires, resets), 0.5, 0.25 + 0.75 = 1."""
    layer = LIF(3, tau=0.5, threshold="fixed", width="fixed")
    current = torch.tensor([[[1.5, 0.25]], [[0.5, 0.25]], [[0.75, 0.25]]], requires_grad=True)
    layer.figures = {}
    s = layer(current)
    assert s[:, 0, 0].tolist() == [1, 0, 1]                      # the tie at t = 3 fires
    assert s[:, 0, 1].tolist() == [0, 0, 0]
    assert layer.figures["u_mean"].tolist() == [0.875, 0.4375, (1 + 0.4375) / 2]
    s[2].sum().backward()
    # window [0.5, 1.5] closed, k = 1: neuron 0 is inside at every t. dL/dU(3) = 1; dL/dU(2) = 0.5, plus, through the
    # reset, -0.5 * U(2) * 1 = -0.25; dL/dU(1): dS(1) = -0.5 * 0.5 * dU(2), and its own path is cut as it fired
    du2 = 0.5 - 0.5 * 0.5
    du1 = -0.5 * 1.5 * du2
    assert current.grad[:, 0, 0].tolist() == [du1, du2, 1]
    assert current.grad[:, 0, 1].tolist() == [0, 0, 0]           # potentials 0.25, 0.375, 0.4375: outside


def test_surrogate_window_is_closed_and_one_over_width_high():
    u = torch.tensor([0.49, 0.5, 1.0, 1.5, 1.51], dtype=torch.float64)
    assert rectangle(u, 1.0, 1.0).tolist() == [0, 1, 1, 1, 0]
    assert rectangle(u, 1.0, 0.25).tolist() == [0, 0, 4, 0, 0]
    assert rectangle(u.bfloat16(), 1.0, 1.0).dtype == rectangle(u.bfloat16(), u, torch.ones(5)).dtype == torch.bfloat16


def test_eq5():
    u = torch.tensor([[1.0, 3.0], [5.0, 7.0]], dtype=torch.float64, requires_grad=True)
    theta = adaptive_threshold(u, f_c=0.5)
    assert theta.item() == pytest.approx(0.5 * (4 + math.sqrt(5)), rel=1e-15)       # the population's variance
    assert not theta.requires_grad
    assert adaptive_threshold(torch.tensor([-4.0])).item() == -4                    # no floor here, one element is no NaN
    assert adaptive_threshold(torch.ones(4, dtype=torch.bfloat16)).dtype == torch.float32
    wide = torch.randn(100_000) + 1e4
    exact = wide.double().mean().item() + wide.double().std(correction=0).item()
    assert adaptive_threshold(wide).item() == pytest.approx(exact, abs=3e-3)
    assert estimated_threshold(0.75, v_th=2.0, f_c=1.2) == pytest.approx(1.2 * 1.25 * 2)


def test_eq7_is_both_its_branches():
    theta = torch.linspace(-9, 9, 1001, dtype=torch.float64)
    below = (1 - torch.tanh(1.5 - theta)) * 0.7
    above = (1 + torch.tanh(theta - 1.5)) * 0.7
    expected = torch.where(theta < 1.5, below, above).clamp(min=0.7e-3)
    assert torch.allclose(surrogate_width(theta, 1.5, 0.7), expected, rtol=1e-12, atol=0)
    assert surrogate_width(torch.tensor(-100.0), kappa=2.0).item() == pytest.approx(2e-3)


def test_gaussian_potentials_fire_at_one_minus_phi_of_one():
    """Theorem 1. The share of n normal samples above their own mean + std lies within 5 deviations of 1 - Phi(1): the count's
    binomial deviation plus what estimating mean and std moves the threshold, density phi(1) times sqrt(1/n + 1/(2n))."""
    n, p, density = 400_000, 0.15865525, 0.24197072
    layer = LIF(1)
    for mean, std in ((0, 1), (0.3, 0.01), (20, 7)):
        rate = layer(torch.randn(1, n) * std + mean).mean().item()
        assert abs(rate - p) < 5 * (math.sqrt(p * (1 - p) / n) + density * math.sqrt(1.5 / n))


# The odd cases of the contract: each of these fails when its rule is taken out.

def test_a_silent_layer_stays_silent_and_a_negative_mean_does_not_fire_resting_neurons():
    layer = LIF(2)
    layer.figures = {}
    assert layer(torch.zeros(2, 3, 4)).sum() == 0
    assert layer.figures["floored"].tolist() == [1, 1] and layer.figures["threshold"].tolist() == pytest.approx([1e-3, 1e-3])
    current = torch.full((2, 1, 8), -4.0)
    current[:, :, 0] = 0                                          # mean + std < 0, and a neuron at rest
    assert adaptive_threshold(current[0]) < 0
    assert LIF(2, v_th=0.5)(current).sum() == 0
    still = LIF(2).eval()
    still.running_threshold.fill_(-1)
    still.updates += 1
    assert still(torch.zeros(2, 3, 4)).sum() == 0


@pytest.mark.parametrize("threshold, width", ARMS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_nan_and_infinity_are_never_swallowed(threshold, width, training, bad):
    layer = LIF(2, threshold=threshold, width=width).train(training)
    layer.updates += 1
    current = torch.randn(2, 4, 5)
    current[0, 1, 2] = bad
    assert layer(current).isnan().any()
    assert layer.running_threshold.isfinite().all(), "a theta that is not finite is not averaged in"
    if threshold == "true" and training:
        assert layer(current).isnan()[0].all(), "the threshold is not finite, so no spike is"
        assert layer.updates == 1


def test_average_of_eq6():
    layer = LIF(2, momentum=0.25)
    current = torch.randn(2, 50, 3) + 1
    first = adaptive_threshold(current[0]).item()
    for n in range(1, 4):
        layer(current)
        assert layer.updates == n
        assert layer.running_threshold[0].item() == pytest.approx(first + (1 - first) * 0.75 ** n, rel=1e-6)
    before = layer.running_threshold.clone()
    layer.eval()(current)
    assert torch.equal(layer.running_threshold, before) and layer.updates == 3


def test_evaluation_uses_the_running_threshold_unless_there_is_none():
    current = torch.randn(1, 1000, 1)
    layer = LIF(1)
    layer(current * 4)
    spikes = layer.eval()(current)
    assert torch.equal(spikes, (current >= layer.running_threshold[0]).float())
    layer = LIF(1, momentum=None)
    layer(current * 4)
    assert layer.running_threshold.item() == 1 and layer.updates == 0
    assert torch.equal(layer.eval()(current), (current >= adaptive_threshold(current)).float())


def test_a_learned_threshold_is_evaluated_as_it_is_now():
    layer = LIF(1, threshold="learned", v_th=2.0)
    assert layer.a.exp().item() == pytest.approx(2)
    with torch.no_grad():
        layer.a -= 1
    current = torch.linspace(0, 2, 50)[None, :, None]
    for training in (True, False):
        assert torch.equal(layer.train(training)(current), (current >= layer.a.exp()).float())
    assert layer.updates == 0


def test_tgo_fires_at_v_th_while_its_width_follows_the_adaptive_threshold():
    layer = LIF(1, threshold="fixed", width="threshold")
    current = torch.randn(1, 500, 1) * 3 + 2
    layer.figures = {}
    assert torch.equal(layer(current), (current >= 1).float())
    theta = adaptive_threshold(current)
    assert layer.figures["threshold"].item() == 1
    assert layer.figures["width"].item() == pytest.approx(1 + math.tanh(theta.item() - 1), rel=1e-6)
    assert layer.running_threshold.item() == pytest.approx(0.9 + 0.1 * theta.item(), rel=1e-6)


def test_vanilla_computes_no_statistics(monkeypatch):
    layer = LIF(2, threshold="fixed", width="fixed")
    current = torch.randn(2, 3, 4, requires_grad=True)

    class NoReduction(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            assert getattr(function, "__name__", "") not in ("mean", "std", "var", "sum", "square"), function
            return function(*args, **(kwargs or {}))

    with NoReduction():
        spikes = layer(current)
    with pytest.raises(AssertionError), NoReduction():           # the watch does see statistics
        LIF(2)(current)
    assert spikes.requires_grad and layer.updates == 0 and layer.running_threshold.tolist() == [1, 1]


def test_wrong_t_empty_batch_and_integers_are_refused_with_the_numbers():
    layer = LIF(3)
    for current, words in ((torch.randn(2, 4, 5), ["T=3", "(2, 4, 5)"]), (torch.randn(3), ["T=3", "(3,)"]),
                           (torch.randn(3, 0, 5), ["(3, 0, 5)"]), (torch.ones(3, 4, dtype=torch.int64), ["int64"])):
        with pytest.raises(ValueError) as error:
            layer(current)
        assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize("name, value", [
    ("T", 0), ("T", True), ("T", 2.0), ("T", "2"), ("tau", 0), ("tau", 1.0), ("tau", math.nan), ("tau", "0.2"), ("v_th", 0), ("v_th", -1.0),
    ("v_th", math.inf), ("kappa", 0.0), ("f_c", -1), ("f_c", None), ("momentum", 0), ("momentum", 1.5), ("momentum", "none"),
    ("threshold", "adaptive"), ("threshold", None), ("width", "learned")])
def test_arguments_out_of_range(name, value):
    with pytest.raises(ValueError) as error:
        LIF(**{"T": 2, name: value})
    assert str(error.value).startswith(f"{name}={value!r}: must be ")


def warned(layer, current):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        layer(current)
        layer(current)
    return [str(w.message) for w in caught]


def test_one_warning_for_thresholds_that_were_never_updated():
    layer, current = LIF(1).eval(), torch.randn(1, 5, 2)
    message, = warned(layer, current)
    assert all(word in message for word in ("train", "load", "calibrate"))
    assert not warned(layer, current)
    layer.load_state_dict(LIF(1).state_dict())
    assert len(warned(layer, current)) == 1                       # once more after loading
    for quiet in (LIF(1, momentum=None), LIF(1, threshold="fixed", width="fixed"), LIF(1, threshold="learned")):
        assert not warned(quiet.eval(), current)
    trained = LIF(1)
    trained(current)
    assert not warned(trained.eval(), current)
    layer.load_state_dict(trained.state_dict())
    assert not warned(layer, current)


@pytest.mark.parametrize("reentrant", [True, False])
def test_recomputation_applies_eq6_once(reentrant):
    layer, other = LIF(2).double(), LIF(2).double()
    current = torch.randn(2, 30, 4, dtype=torch.float64, requires_grad=True)
    spikes = torch.utils.checkpoint.checkpoint(layer, current, use_reentrant=reentrant)
    grad, = torch.autograd.grad((spikes * current.detach()).sum(), current) if not reentrant else (None,)
    if reentrant:
        (spikes * current.detach()).sum().backward()
        grad = current.grad
    expected, = torch.autograd.grad((other(current) * current.detach()).sum(), current)
    assert layer.updates == 1 and torch.equal(layer.running_threshold, other.running_threshold)
    assert torch.equal(grad, expected)


def test_gradients_exist_in_evaluation_mode():
    layer = LIF(2).eval()
    layer.updates += 1
    current = torch.randn(2, 20, 4, requires_grad=True)
    layer(current).sum().backward()
    assert current.grad.abs().sum() > 0 and layer.w.grad is not None


def test_nothing_survives_a_call():
    layer = LIF(3, threshold="fixed")
    a, b = torch.randn(3, 4, 6), torch.randn(3, 9, 6)             # another batch size in between
    first = layer(a)
    layer(b)
    assert torch.equal(layer(a), first)
    assert set(dict(layer.named_buffers())) == {"a", "running_threshold", "updates"}


def test_leak_may_be_fixed_and_every_arm_has_the_same_state():
    assert not list(LIF(2, learn_tau=False).parameters())
    layers = [LIF(2, threshold=t, width=w, learn_tau=learn) for t, w in ARMS for learn in (True, False)]
    assert {tuple(sorted(layer.state_dict())) for layer in layers} == {("a", "running_threshold", "updates", "w")}
    assert torch.sigmoid(LIF(2, tau=0.35).w).item() == pytest.approx(0.35)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_dtypes(dtype):
    layer = LIF(3).to(dtype)
    assert layer.running_threshold.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    current = (torch.randn(3, 50, 8) + 0.3).to(dtype).requires_grad_()
    layer.figures = {}
    spikes = layer(current)
    spikes.sum().backward()
    assert spikes.dtype == current.grad.dtype == dtype and 0.05 < spikes.float().mean() < 0.5
    # the potential is rounded to the input's dtype, everything else is float32 or wider
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    tau = torch.sigmoid(layer.w.to(wide))
    u = s = torch.zeros(50, 8, dtype=wide)
    for t in range(3):
        u = (tau * u * (1 - s) + current[t].detach().to(wide)).to(dtype).to(wide)
        theta = u.mean() + u.std(correction=0)
        assert layer.figures["threshold"][t].item() == pytest.approx(theta.item(), rel=1e-6)
        s = (u >= layer.figures["threshold"][t]).to(wide)
        assert torch.equal(spikes[t].to(wide), s)


def test_half_keeps_the_running_thresholds_exact():
    layer = LIF(2)
    layer.running_threshold += 1e-4
    exact = layer.running_threshold.clone()
    for convert in (layer.half, layer.bfloat16, layer.float, layer.double, layer.half):
        convert()
        assert torch.equal(layer.running_threshold.float(), exact)
    assert layer.w.dtype == torch.float16


def test_a_narrow_default_dtype_does_not_narrow_the_running_thresholds():
    torch.set_default_dtype(torch.bfloat16)
    try:
        layer = LIF(2)
    finally:
        torch.set_default_dtype(torch.float32)
    assert layer.running_threshold.dtype == torch.float32 and layer.w.dtype == torch.bfloat16


def test_keeps_potential_and_spikes_and_nothing_else_of_that_size():
    current = torch.randn(4, 8, 16, 5, 5, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        spikes = LIF(4)(current)
    large = [x for x in kept if x.numel() >= current.numel()]
    assert len(large) == 2 and sum(x.numel() for x in kept) < 2 * current.numel() + 20
    assert any(x.data_ptr() == spikes.data_ptr() for x in large), "the spikes are kept once: they are the output"


def test_differentiating_twice_is_an_error():
    current = torch.randn(2, 5, 5, requires_grad=True)
    grad, = torch.autograd.grad((LIF(2)(current) * current).sum(), current, create_graph=True)
    with pytest.raises(RuntimeError, match="twice"):
        grad.sum().backward()


def test_channels_last_costs_no_copy_and_changes_nothing():
    layer = LIF(2, threshold="fixed")
    current = torch.randn(2, 3, 8, 5, 5)
    last = current.flatten(0, 1).to(memory_format=torch.channels_last).unflatten(0, (2, 3)).requires_grad_()
    spikes = layer(last)
    assert torch.equal(spikes, layer(current)) and spikes.stride() == last.stride()
    weight = torch.randn_like(current)
    (spikes * weight).sum().backward()
    current.requires_grad_()
    (layer(current) * weight).sum().backward()
    assert torch.allclose(last.grad, current.grad, rtol=1e-5)    # the mean is summed in another order
