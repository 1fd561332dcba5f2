"""The neuron against a step-by-step loop with plain autograd, which shares no code with dsatgo.py, and
the odd cases of its contract: each of these tests fails when its rule is taken out."""

import inspect
import math
import random
import warnings

import numpy as np
import pytest
import torch
from conftest import ARMS
from conftest import finish
from conftest import follows_batch
from conftest import load
from conftest import relative
from conftest import torchrun

import dsatgo
from dsatgo import LIF
from dsatgo import adaptive_threshold
from dsatgo import estimated_threshold
from dsatgo import probe
from dsatgo import rectangle
from dsatgo import surrogate_width

NARROW = (torch.bfloat16, torch.float16)


# ---- the oracle ----
def expected_theta(u, t, tau, a, running, *, v_th, f_c, momentum, threshold, width, training):
    follows = follows_batch(threshold, width)
    if threshold == "learned":
        return torch.exp(a).to(u.dtype)
    if not follows:
        return torch.tensor(v_th, dtype=u.dtype)
    if not training and momentum is not None:
        return running[t].to(u.dtype)
    if threshold == "estimated":
        return f_c * torch.sqrt(1 + tau.detach() ** 2) * v_th
    mean = u.sum() / u.numel()
    return f_c * (mean + (((u - mean) ** 2).sum() / u.numel()) ** 0.5)


def expected_width(u, theta, *, v_th, kappa, width):
    if width == "fixed":
        return kappa
    mean = u.sum() / u.numel()
    std = (((u - mean) ** 2).sum() / u.numel()) ** 0.5
    x = dict(threshold=theta, std=std)[width].item()
    if x < v_th:  # Eq. 7 as printed, branch by branch
        k = (1 - math.tanh(v_th - x)) * kappa
    else:
        k = (1 + math.tanh(x - v_th)) * kappa
    return max(k, kappa / 1000)


def oracle(
    current, tau, a, running, *, v_th, kappa, f_c, momentum, threshold, width, training, dtype
):
    """One neuron layer, a timestep at a time, by plain autograd: step and rounding to `dtype` are
    passed through straight, with the ramp of slope 1/k in the step's place backward.
    Returns spikes, firing thresholds, widths and the running thresholds after."""
    u = torch.zeros_like(current[0])
    s = torch.zeros_like(u)
    spikes = []
    fires = []
    widths = []
    after = running.clone()
    rules = dict(v_th=v_th, f_c=f_c, momentum=momentum, threshold=threshold, width=width)
    for t in range(len(current)):
        u = tau * u * (1 - s) + current[t]
        u = u.detach().to(dtype).to(u.dtype) + (u - u.detach())
        theta = expected_theta(u.detach(), t, tau, a, running, training=training, **rules)
        theta = theta.clamp(min=v_th / 1000)
        k = expected_width(u.detach(), theta, v_th=v_th, kappa=kappa, width=width)
        fire = torch.full_like(theta, v_th) if threshold == "fixed" else theta
        ramp = torch.where((u - fire).abs() <= k / 2, (u - fire) / k, 0)  # in the closed window
        s = (u >= fire).to(u.dtype) + (ramp - ramp.detach())
        spikes.append(s)
        fires.append(fire.item())
        widths.append(k)
        follows = follows_batch(threshold, width)
        if training and momentum is not None and follows:
            after[t] = momentum * theta.detach() + (1 - momentum) * running[t]
    return torch.stack(spikes), fires, widths, after


def compare_with_oracle(layer, current, dtype, tolerance, **settings):
    """`current` is wide and holds values of `dtype`. -> the shares of neurons that fired and of
    those with a gradient"""
    mine = current.clone().to(dtype).requires_grad_()
    theirs = current.clone().requires_grad_()
    w = layer.w.detach().to(current.dtype).requires_grad_()
    a = layer.a.detach().to(current.dtype).requires_grad_()
    expected, fires, widths, after = oracle(
        theirs, torch.sigmoid(w), a, layer.running_threshold.clone(), dtype=dtype, **settings
    )
    with probe(layer) as figures:
        spikes = layer(mine)
    assert spikes.dtype == dtype and torch.equal(spikes.to(current.dtype), expected.detach())
    assert relative(figures[""]["threshold"], fires) < tolerance
    assert relative(figures[""]["width"], widths) < tolerance
    assert relative(layer.running_threshold, after) < tolerance
    weight = torch.randn_like(current).to(dtype)
    (spikes * weight).sum().backward()
    (expected * weight.to(current.dtype)).sum().backward()
    assert mine.grad.dtype == dtype
    # rounded to the input's dtype once, at the end: not a sum of rounded terms
    half_a_unit = 0.5 * torch.finfo(dtype).eps * theirs.grad.abs() if dtype in NARROW else 0
    error = (mine.grad.to(current.dtype) - theirs.grad).abs() - half_a_unit
    assert error.max() <= 20 * tolerance * theirs.grad.abs().max()
    for name, parameter, other in (("w", layer.w, w), ("a", layer.a, a)):
        if parameter.requires_grad and other.grad is not None and other.grad != 0:
            rounding = torch.finfo(parameter.dtype).eps if parameter.dtype in NARROW else 0
            error = abs(parameter.grad.item() / other.grad.item() - 1)
            assert error < 100 * tolerance + rounding, name
    return spikes.float().mean().item(), (theirs.grad != 0).float().mean().item()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("threshold, width", ARMS)
def test_equals_plain_autograd(threshold, width, training):
    dice = random.Random(f"{threshold} {width} {training}")
    telling = 0
    for T in range(1, 7):
        for momentum in (0.1, 1.0, None):
            settings = dict(
                v_th=dice.choice([0.5, 1.0, 1.7]),
                kappa=dice.choice([0.5, 1.0, 2.0]),
                f_c=dice.choice([0.7, 1.0, 1.2]),
                momentum=momentum,
                threshold=threshold,
                width=width,
            )
            layer = LIF(T, tau=dice.uniform(0.05, 0.95), **settings).double().train(training)
            shape = dice.choice([(5,), (7, 3), (2, 3, 4, 4), (3, 2, 5)])
            current = torch.randn(T, *shape, dtype=torch.float64) * dice.uniform(0.5, 2)
            current = settings["v_th"] * (current + dice.uniform(0, 1))
            if not training:
                layer.running_threshold.uniform_(0.5, 1.5)
                layer.updates += 1
            with torch.no_grad():
                layer.a += 0.1
            settings["training"] = training
            shares = compare_with_oracle(layer, current, torch.float64, 1e-11, **settings)
            telling += all(0 < share < 1 for share in shares)
    assert telling >= 12, "these draws must make some, but not all, neurons fire and learn"


@pytest.mark.parametrize("converted", [True, False])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("threshold", ["true", "learned"])
def test_the_potential_is_rounded_to_the_inputs_dtype_and_all_else_is_wider(
    threshold, dtype, converted
):
    """The layer in the same dtype, or as under autocast in float32."""
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    layer = LIF(3, tau=0.4, threshold=threshold)
    if converted:
        layer = layer.to(dtype)
        assert layer.running_threshold.dtype == wide
    with torch.no_grad():
        layer.a += 0.01  # between two numbers of the narrow dtypes, and nearer to the lower one
    current = (torch.randn(3, 50, 80) + 0.3).to(dtype).to(wide)
    settings = dict(v_th=1.0, kappa=1.0, f_c=1.0, momentum=0.1, threshold=threshold)
    settings |= dict(width="threshold", training=True)
    tolerance = 1e-11 if dtype == torch.float64 and converted else 1e-6
    shares = compare_with_oracle(layer, current, dtype, tolerance, **settings)
    assert all(0.05 < share < 0.6 for share in shares)


# ---- by hand ----
def test_a_tie_fires_and_resets_in_the_backward_pass_too():
    """U(1) = 1 fires, U(2) = 0.75. For L = S(2): dL/dU(2) = 1, and dL/dU(1) = -tau U(1) = -0.5, with
    nothing by way of the potential, which was reset."""
    layer = LIF(2, tau=0.5, threshold="fixed", width="fixed")
    current = torch.tensor([[[1.0]], [[0.75]]], requires_grad=True)
    spikes = layer(current)
    assert spikes.flatten().tolist() == [1, 0]
    spikes[1].sum().backward()
    assert current.grad.flatten().tolist() == [-0.5, 1]


def test_a_trace_by_hand():
    """One neuron beside another, tau = 1/2, fixed threshold 1: potentials 1.5 (fires, resets), 0.5,
    0.25 + 0.75 = 1."""
    layer = LIF(3, tau=0.5, threshold="fixed", width="fixed")
    current = torch.tensor([[[1.5, 0.25]], [[0.5, 0.25]], [[0.75, 0.25]]], requires_grad=True)
    with probe(layer) as figures:
        s = layer(current)
    assert s[:, 0, 0].tolist() == [1, 0, 1], "the tie at t = 3 fires"
    assert s[:, 0, 1].tolist() == [0, 0, 0]
    assert figures[""]["u_mean"].tolist() == [0.875, 0.4375, (1 + 0.4375) / 2]
    s[2].sum().backward()
    # window [0.5, 1.5] closed, k = 1: neuron 0 is inside at every t. dL/dU(3) = 1; dL/dU(2) = 0.5 and,
    # through the reset, -0.5 * U(2) * 1 = -0.25; dL/dU(1): dS(1) = -0.5 * 1.5 * dU(2), and its own
    # path is cut as it fired
    du2 = 0.5 - 0.5 * 0.5
    du1 = -0.5 * 1.5 * du2
    assert current.grad[:, 0, 0].tolist() == [du1, du2, 1]
    assert current.grad[:, 0, 1].tolist() == [0, 0, 0], "potentials 0.25, 0.375, 0.4375: outside"


def test_surrogate_window_is_closed_and_one_over_width_high():
    u = torch.tensor([0.49, 0.5, 1.0, 1.5, 1.51], dtype=torch.float64)
    assert rectangle(u, 1.0, 1.0).tolist() == [0, 1, 1, 1, 0]
    assert rectangle(u, 1.0, 0.25).tolist() == [0, 0, 4, 0, 0]
    for theta, width in ((1.0, 1.0), (u, torch.ones(5)), (1.0, torch.ones(5, dtype=torch.float64))):
        assert rectangle(u.bfloat16(), theta, width).dtype == torch.bfloat16


def test_eq5():
    u = torch.tensor([[1.0, 3.0], [5.0, 7.0]], dtype=torch.float64, requires_grad=True)
    theta = adaptive_threshold(u, f_c=0.5)
    # the population's variance: (9 + 1 + 1 + 9) / 4
    assert theta.item() == pytest.approx(0.5 * (4 + math.sqrt(5)), rel=1e-15)
    assert theta.dim() == 0 and not theta.requires_grad
    assert adaptive_threshold(torch.tensor([-4.0])).item() == -4, "no floor, one element is no NaN"
    assert estimated_threshold(0.75, v_th=2.0, f_c=1.2) == pytest.approx(1.2 * 1.25 * 2)
    assert estimated_threshold(torch.tensor(0.75)).item() == pytest.approx(1.25)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_eq5_is_computed_in_float32_or_wider(dtype):
    u = (torch.randn(5000) + 3).to(dtype)
    theta = adaptive_threshold(u)
    assert theta.dtype == torch.float32
    exact = u.double().mean().item() + u.double().std(correction=0).item()
    assert theta.item() == pytest.approx(exact, rel=1e-5)


# ---- floor, NaN, ties ----
def test_a_silent_layer_stays_silent():
    layer = LIF(2, v_th=0.5)
    with probe(layer) as figures:
        assert layer(torch.zeros(2, 3, 4)).sum() == 0
    assert figures[""]["floored"].tolist() == [1, 1]
    assert figures[""]["threshold"].tolist() == pytest.approx([5e-4, 5e-4])
    still = LIF(2).eval()
    still.running_threshold.fill_(-1)
    still.updates += 1
    assert still(torch.zeros(2, 3, 4)).sum() == 0


def test_a_negative_mean_does_not_fire_resting_neurons():
    current = torch.full((2, 1, 8), -4.0)
    current[:, :, 0] = 0
    assert adaptive_threshold(current[0]) < 0
    assert LIF(2, v_th=0.5)(current).sum() == 0


# (fixed, threshold) computes Eq. 5 for its width, but fires at v_th: NaN all the same, as it has no width
BATCHWISE = [arm for arm in ARMS if follows_batch(*arm) and arm[0] != "estimated"]


@pytest.mark.parametrize("threshold, width", ARMS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_are_never_swallowed_and_never_averaged_in(
    threshold, width, training, bad
):
    layer = LIF(2, threshold=threshold, width=width).train(training)
    layer.updates += 1
    current = torch.randn(2, 4, 5)
    current[0, 1, 2] = bad
    spikes = layer(current)
    assert spikes[0, 1, 2].isnan()
    spreads = training and (threshold, width) in BATCHWISE
    assert spikes[0].isnan().sum() == (20 if spreads else 1), "all where the threshold is NaN"
    if not spreads:
        assert spikes[1].isnan().sum() == 1, "what leaks from a NaN is one"
        assert spikes[:, 0].isfinite().all()
    assert layer.running_threshold.isfinite().all()
    if spreads:
        assert layer.updates == 1 and layer.running_threshold[0] == 1


# ---- the running threshold ----
def test_average_of_eq6():
    layer = LIF(2, momentum=0.25, v_th=2.0)
    assert layer.running_threshold.tolist() == [2, 2] and layer.updates == 0
    current = torch.randn(2, 50, 3) + 1
    first = adaptive_threshold(current[0]).item()
    for n in range(1, 4):
        layer(current)
        assert layer.updates == n
        expected = first + (2 - first) * 0.75**n
        assert layer.running_threshold[0].item() == pytest.approx(expected, rel=1e-6)
    before = layer.running_threshold.clone()
    layer.eval()(current)
    assert torch.equal(layer.running_threshold, before) and layer.updates == 3


def test_a_timestep_that_is_not_finite_does_not_stop_the_others_from_being_averaged():
    layer = LIF(2, tau=1e-9)
    current = torch.randn(2, 50, 3) + 1
    theta = adaptive_threshold(current[0]).item()
    current[1, 0, 0] = math.nan
    layer(current)
    assert layer.running_threshold.tolist() == [pytest.approx(0.9 + 0.1 * theta), 1]
    assert layer.updates == 0, "not a whole update"


@pytest.mark.parametrize("threshold, width", ARMS)
def test_arms_without_eq_5_keep_no_statistics(threshold, width):
    layer = LIF(2, threshold=threshold, width=width, v_th=0.5)
    layer(torch.randn(2, 3, 4))
    follows = follows_batch(threshold, width)
    assert layer.updates == follows
    assert (layer.running_threshold == 0.5).all() != follows


def test_vanilla_computes_no_statistics_at_all():
    """Nothing that reduces its potentials is called, while the default's are."""
    called = set()

    class Calls(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            called.add(getattr(function, "__name__", ""))
            return function(*args, **(kwargs or {}))

    current = torch.randn(2, 3, 4)
    for layer, computes in ((LIF(2, threshold="fixed", width="fixed"), False), (LIF(2), True)):
        called.clear()
        with Calls():
            layer(current)
        assert bool(called & {"mean", "std", "var", "std_mean", "var_mean", "sum"}) == computes


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
        spikes = layer.train(training)(current)
        assert torch.equal(spikes, (current >= 2 / math.e).float())


def test_tgo_fires_at_v_th_while_its_width_follows_the_adaptive_threshold():
    layer = LIF(1, threshold="fixed", width="threshold")
    current = torch.randn(1, 500, 1) * 3 + 2
    theta = adaptive_threshold(current).item()
    with probe(layer) as figures:
        assert torch.equal(layer(current), (current >= 1).float())
    assert figures[""]["threshold"].item() == 1
    width = figures[""]["width"].item()
    assert width == pytest.approx(1 + math.tanh(theta - 1), rel=1e-6)
    assert layer.running_threshold.item() == pytest.approx(0.9 + 0.1 * theta, rel=1e-6)


@pytest.mark.parametrize("reentrant", [True, False])
def test_recomputation_applies_eq6_once(reentrant):
    layer = LIF(2).double()
    other = LIF(2).double()
    weight = torch.randn(2, 30, 4, dtype=torch.float64)
    current = torch.randn(2, 30, 4, dtype=torch.float64, requires_grad=True)
    spikes = torch.utils.checkpoint.checkpoint(layer, current, use_reentrant=reentrant)
    (spikes * weight).sum().backward()
    (expected,) = torch.autograd.grad((other(current) * weight).sum(), current)
    assert layer.updates == 1
    assert torch.equal(layer.running_threshold, other.running_threshold)
    assert torch.equal(current.grad, expected)


# ---- warnings ----
def warned(layer, current):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        layer(current)
        layer(current)
    return [str(w.message) for w in caught]


def test_one_warning_for_thresholds_that_were_never_updated():
    layer = LIF(1).eval()
    current = torch.randn(1, 5, 2)
    (message,) = warned(layer, current)
    assert all(word in message for word in ("train", "load", "calibrate"))
    assert not warned(layer, current)
    layer.load_state_dict(LIF(1).state_dict())
    assert len(warned(layer, current)) == 1, "once more after loading"


@pytest.mark.parametrize("threshold, width", ARMS)
def test_only_arms_that_evaluate_running_thresholds_warn(threshold, width):
    current = torch.randn(1, 5, 2)
    follows = follows_batch(threshold, width)
    arm = dict(threshold=threshold, width=width)
    assert len(warned(LIF(1, **arm).eval(), current)) == follows
    assert not warned(LIF(1, **arm), current), "in training"
    assert not warned(LIF(1, momentum=None, **arm).eval(), current)


def test_no_warning_after_training_or_loading_what_was_trained():
    current = torch.randn(1, 5, 2)
    trained = LIF(1)
    trained(current)
    assert not warned(trained.eval(), current)
    layer = LIF(1).eval()
    layer.load_state_dict(trained.state_dict())
    assert not warned(layer, current)


# ---- arguments ----
def test_signatures_are_the_contracts():
    signatures = {
        rectangle: "(u, theta, width)",
        adaptive_threshold: "(u, f_c=1.0, synced=False)",
        estimated_threshold: "(tau, v_th=1.0, f_c=1.0)",
        surrogate_width: "(theta, v_th=1.0, kappa=1.0)",
        LIF: "(T, *, tau=0.2, v_th=1.0, kappa=1.0, f_c=1.0, momentum=0.1, threshold='true', "
        "width='threshold', learn_tau=True)",
    }
    for thing, signature in signatures.items():
        assert str(inspect.signature(thing)) == signature


@pytest.mark.parametrize("shape", [(2, 4, 5), (4, 4, 5), (3,), (3, 0, 5), (0, 4)])
def test_a_current_of_the_wrong_shape_is_refused_with_the_numbers(shape):
    with pytest.raises(ValueError) as error:
        LIF(3)(torch.randn(shape))
    assert "T=3" in str(error.value) and str(tuple(shape)) in str(error.value)


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.complex64])
def test_a_current_that_is_not_floating_point_is_refused(dtype):
    with pytest.raises(ValueError, match=str(dtype)):
        LIF(3)(torch.ones(3, 4, dtype=dtype))


def test_time_and_batch_are_axes_enough():
    assert LIF(3)(torch.randn(3, 4)).shape == (3, 4)


OUT_OF_RANGE = dict(
    T=[0, -1, True, 2.0, "2", None],
    tau=[0, 1, 1.0, 1.5, -0.1, math.nan, "0.2", None],
    v_th=[0, -1.0, math.inf, math.nan, "1"],
    kappa=[0.0, -1, math.inf, math.nan, None],
    f_c=[0, -1, math.inf, math.nan, None],
    momentum=[0, -0.1, 1.5, math.nan, "none"],
    threshold=["adaptive", None, "threshold"],
    width=["learned", None, "true"],
)


@pytest.mark.parametrize("name, value", [(n, v) for n in OUT_OF_RANGE for v in OUT_OF_RANGE[n]])
def test_arguments_out_of_range(name, value):
    with pytest.raises(ValueError) as error:
        LIF(**{"T": 2, name: value})
    assert str(error.value).startswith(f"{name}={value!r}: must be ")
    if name in ("threshold", "width"):
        allowed = dict(threshold=dsatgo.THRESHOLDS, width=dsatgo.WIDTHS)[name]
        assert all(repr(rule) in str(error.value) for rule in allowed)


@pytest.mark.parametrize(
    "name, value",
    [
        ("T", np.int64(1)),
        ("tau", 1e-6),
        ("tau", 0.999),
        ("v_th", 2),
        ("v_th", 1e-3),
        ("kappa", 3),
        ("kappa", np.float32(40)),
        ("f_c", 100),
        ("momentum", 1),
        ("momentum", 1e-6),
    ],
)
def test_arguments_in_range(name, value):
    layer = LIF(**{"T": 1, name: value})
    assert layer(torch.randn(1, 30)).isfinite().all()


@pytest.mark.parametrize("name, training", [("threshold", True), ("width", True), ("width", False)])
def test_a_rule_with_a_name_and_no_code_is_an_error(name, training, monkeypatch):
    """Whoever adds a rule must not get another one's behaviour under its name. (In evaluation the
    running thresholds apply, whatever rule they are of.)"""
    names = f"{name.upper()}S"
    monkeypatch.setattr(dsatgo, names, (*getattr(dsatgo, names), "new"))
    others = dict(threshold=dsatgo.WIDTHS, width=dsatgo.THRESHOLDS)[name]
    for other in others:
        if other == "new":
            continue
        arm = {name: "new", "width" if name == "threshold" else "threshold": other}
        with pytest.raises((NotImplementedError, ValueError, LookupError), match="new"):
            layer = LIF(2, **arm).train(training)
            layer.updates += 1
            layer(torch.randn(2, 3, 4))


# ---- state ----
def test_nothing_survives_a_call():
    layer = LIF(3, threshold="fixed")
    a = torch.randn(3, 4, 6)
    first = layer(a)
    layer(torch.randn(3, 9, 6))  # another batch size in between
    assert torch.equal(layer(a), first)
    assert sum(x.numel() for x in layer.state_dict().values()) <= 6, "two a timestep would be many"


def test_every_arm_has_the_same_state_and_learns_what_it_should():
    keys = set()
    for threshold, width in ARMS:
        for learn_tau in (True, False):
            layer = LIF(2, threshold=threshold, width=width, learn_tau=learn_tau, tau=0.35, v_th=2)
            keys.add(tuple(sorted(layer.state_dict())))
            learned = {"w"} if learn_tau else set()
            learned |= {"a"} if threshold == "learned" else set()
            assert set(dict(layer.named_parameters())) == learned
            assert torch.sigmoid(layer.w).item() == pytest.approx(0.35)
            assert layer.a.exp().item() == pytest.approx(2)
            assert layer.running_threshold.tolist() == [2, 2]
    assert keys == {("a", "running_threshold", "updates", "w")}


def test_the_leak_learns_without_a_gradient_of_the_input_and_the_input_without_one_of_the_leak():
    current = torch.randn(3, 20, 4, dtype=torch.float64)
    both = LIF(3).double()
    x = current.clone().requires_grad_()
    both(x).sum().backward()
    alone = LIF(3).double()
    alone(current).sum().backward()
    assert alone.w.grad == both.w.grad != 0
    y = current.clone().requires_grad_()
    LIF(3, learn_tau=False).double()(y).sum().backward()
    assert torch.equal(x.grad, y.grad)


def test_gradients_exist_in_evaluation_mode():
    layer = LIF(2).eval()
    layer.updates += 1
    current = torch.randn(2, 20, 4, requires_grad=True)
    layer(current).sum().backward()
    assert current.grad.abs().sum() > 0 and layer.w.grad.abs() > 0


def test_half_keeps_the_running_thresholds_exact():
    layer = LIF(2)
    layer.running_threshold += 1e-4
    exact = layer.running_threshold.clone()
    for convert in (layer.half, layer.bfloat16, layer.float, layer.double, layer.half):
        convert()
        assert torch.equal(layer.running_threshold.float(), exact)
    assert layer.w.dtype == torch.float16
    assert set(layer.state_dict()) == set(LIF(2).state_dict())


def test_a_move_to_another_device_in_half_takes_the_running_thresholds_along():
    layer = LIF(2).to("meta", torch.bfloat16)
    assert {value.device.type for value in layer.state_dict().values()} == {"meta"}
    current = torch.randn(2, 3, 4, device="meta", dtype=torch.bfloat16)
    for training in (True, False):
        assert layer.train(training)(current).shape == (2, 3, 4)


def test_a_narrow_default_dtype_does_not_narrow_the_running_thresholds():
    torch.set_default_dtype(torch.bfloat16)
    try:
        layer = LIF(2)
    finally:
        torch.set_default_dtype(torch.float32)
    assert layer.running_threshold.dtype == torch.float32
    assert layer.w.dtype == torch.bfloat16


def test_a_layer_prints_its_settings():
    layer = LIF(3, v_th=2.5, kappa=0.5, f_c=1.25, momentum=None, threshold="fixed", width="std")
    settings = "T=3 v_th=2.5 kappa=0.5 f_c=1.25 momentum=None threshold='fixed' width='std'"
    assert all(setting in repr(layer) for setting in settings.split())


# ---- autograd and memory ----
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_keeps_the_potentials_alone_for_the_backward_pass(dtype):
    current = torch.randn(4, 8, 16, 5, 5, dtype=dtype, requires_grad=True)
    kept = {}

    def keep(x):
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        LIF(4)(current)
    assert 0 <= sum(storage.nbytes() for storage in kept.values()) - current.nbytes <= 100


def test_differentiating_twice_is_an_error():
    current = torch.randn(2, 5, 5, requires_grad=True)
    loss = (LIF(2)(current) * current).sum()
    (grad,) = torch.autograd.grad(loss, current, create_graph=True)
    with pytest.raises(RuntimeError, match="twice"):
        grad.sum().backward()


def channels_last(x):
    folded = x.flatten(0, 1).to(memory_format=torch.channels_last)
    return folded.unflatten(0, x.shape[:2])


@pytest.mark.parametrize(
    "layout",
    [
        channels_last,
        lambda x: x.transpose(1, 3).contiguous().transpose(1, 3),
        lambda x: x.movedim(0, -1).contiguous().movedim(-1, 0),
        lambda x: x.repeat(1, 1, 1, 1, 2)[..., : x.shape[-1]],
    ],
)
def test_the_layout_in_memory_changes_nothing(layout):
    layer = LIF(2, threshold="fixed")
    current = torch.randn(2, 3, 8, 5, 6, requires_grad=True)
    other = layout(current.detach()).requires_grad_()
    assert torch.equal(other, current) and not other.is_contiguous()
    weight = torch.randn_like(current)
    spikes = layer(other)
    assert torch.equal(spikes, layer(current))
    (spikes * weight).sum().backward()
    (layer(current) * weight).sum().backward()
    # the mean is summed in another order
    assert torch.allclose(other.grad, current.grad, rtol=1e-5)


def test_channels_last_costs_no_copy():
    current = channels_last(torch.randn(2, 3, 8, 5, 6))
    assert LIF(2)(current).stride() == current.stride()


# ---- several processes ----
# The first LIF's first training call in each process: what came in, what it made of it, and the gradients
KEEP_FIRST = """
def keep(layer, inputs, spikes):
    if isinstance(layer, dsatgo.LIF) and layer.training and not kept:
        kept.update(current=inputs[0].detach().clone(), running=layer.running_threshold.clone())
        kept.update(spikes=spikes.detach().clone())
        spikes.register_hook(lambda gradient: kept.update(dspikes=gradient.clone()))
        inputs[0].register_hook(lambda gradient: kept.update(dcurrent=gradient.clone()))
kept = {}
torch.nn.modules.module.register_module_forward_hook(keep)
train_cifar.main(sys.argv[1:])
torch.save(kept, f"{os.environ['KEPT']}.{os.environ['RANK']}.pt")
"""


@pytest.mark.slow
def test_synced_statistics_are_those_of_the_whole_batch(tmp_path, monkeypatch):
    monkeypatch.setenv("KEPT", str(tmp_path / "kept"))
    arguments = ["--out", tmp_path / "run", "--epochs", 1, "--sync-stats", "--width", "std"]
    code, _, error = finish(torchrun(2, *arguments, folder=tmp_path, code=KEEP_FIRST))
    assert code == 0, error
    halves = [load(tmp_path / f"kept.{rank}.pt") for rank in (0, 1)]
    # batch norm makes the first timestep alike in both halves; in the second, what was left is not
    for half in halves:
        current = half["current"].double()
        half["u"] = 0.2 * current[0] * (1 - half["spikes"][0]) + current[1]
    u = torch.cat([half["u"] for half in halves])
    std = u.std(correction=0)
    theta = (u.mean() + std).item()
    k = 1 + math.tanh(std.item() - 1)
    for half in halves:
        own = half["u"].std(correction=0)
        assert abs(own - std) > 1e-4 and abs(half["u"].mean() + own - theta) > 1e-4
        assert half["running"][1].item() == pytest.approx(0.9 + 0.1 * theta, abs=2e-6)
        # the last timestep's gradient is dspikes / k inside the window: so much for the width
        widths = half["dspikes"][-1] / half["dcurrent"][-1]
        widths = widths[widths.isfinite()].double()
        assert len(widths) > 20 and (widths - k).abs().max() < 1e-5
