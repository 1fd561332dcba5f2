"""Why do deviations drift apart under "true" thresholds (experiments/README.md)? Scaling batch
norm's weight and bias by one factor leaves a layer's spikes as they are, and the surrogate's
gradient along that direction is not zero."""

import runpy

import pytest
import torch
from conftest import ROOT
from torch import nn

import dsatgo

RULES = dict(both=("true", "threshold"), std=("true", "std"), vanilla=("fixed", "fixed"))


def layer(rule, T=2):
    """A layer in training mode, float64, the same weights at each call."""
    threshold, width = RULES[rule]
    torch.manual_seed(3)
    norm = nn.BatchNorm1d(12)
    made = dsatgo.Layer(
        nn.Linear(8, 12, bias=False), norm, dsatgo.LIF(T, threshold=threshold, width=width)
    ).double()
    with torch.no_grad():
        norm.weight.uniform_(0.5, 1.5)
        norm.bias.normal_(0, 0.3)
    return made, norm


def passed(rule, factor, T=2):
    """-> spikes; what the probe says; the cosine between the gradient and (weight, bias)."""
    made, norm = layer(rule, T)
    with torch.no_grad():
        norm.weight.mul_(factor)
        norm.bias.mul_(factor)
    current = torch.randn(T, 64, 8, dtype=torch.float64)
    ds = torch.rand(T, 64, 12, dtype=torch.float64)  # a loss that grows with every spike
    with dsatgo.probe(made) as seen:
        s = made(current)
    (s * ds).sum().backward()
    where = torch.cat([norm.weight, norm.bias])
    gradient = torch.cat([norm.weight.grad, norm.bias.grad])
    along = torch.nn.functional.cosine_similarity(where, gradient, dim=0).item()
    return s.detach(), seen["neuron"], along


@pytest.mark.parametrize("factor", [0.25, 2, 16])  # powers of two round nothing
def test_a_common_factor_leaves_the_spikes_under_true_thresholds(factor):
    for rule in ("both", "std"):
        s, seen, *_ = passed(rule, 1)
        scaled, after, *_ = passed(rule, factor)
        assert 0.05 < s.mean() < 0.4
        assert torch.equal(scaled, s), rule
        for name in ("threshold", "u_std", "u_mean"):
            assert torch.equal(after[name], factor * seen[name]), name
    assert after["threshold"].min() > 2 * dsatgo.FLOOR
    fixed, *_ = passed("vanilla", 1)
    assert (passed("vanilla", factor)[0] != fixed).double().mean() > 0.03


@pytest.mark.parametrize("rule", ["both", "std"])
def test_the_surrogates_gradient_along_that_direction_is_not_zero(rule):
    *_, along = passed(rule, 1)
    assert along > 0.3, "although the spikes, and so the loss, do not change along it"


def test_at_one_timestep_it_is_the_sum_of_the_potentials_in_the_window():
    """dL/dS h(U) U: theta counts as constant, so U - theta, small in the window, stands nowhere."""
    made, norm = layer("both", T=1)
    current = torch.randn(1, 64, 8, dtype=torch.float64)
    ds = torch.rand(1, 64, 12, dtype=torch.float64)  # more spikes, more loss, everywhere
    u = made.current(current)[0].detach()
    mean, std = dsatgo.mean_and_std(u)
    theta = mean + std
    height = dsatgo.rectangle(u, theta, dsatgo.surrogate_width(theta))
    (made(current) * ds).sum().backward()
    along = (norm.weight * norm.weight.grad + norm.bias * norm.bias.grad).sum()
    torch.testing.assert_close(along, (ds[0] * height * u).sum())
    through_theta = (ds[0] * height * (u - theta)).sum()  # dtheta along the direction is theta
    assert abs(through_theta) < 0.2 * along, "with theta's own gradient little would be left"


def test_a_common_shift_of_the_biases_leaves_the_first_timesteps_spikes_and_moves_the_width():
    current = torch.randn(2, 64, 8, dtype=torch.float64)
    for rule, expected in (("both", True), ("std", True), ("vanilla", False)):
        found = []
        for shift in (0, 1, -0.5):
            made, norm = layer(rule)
            with torch.no_grad():
                norm.bias.add_(shift)
            with dsatgo.probe(made) as seen:
                s = made(current)
            found.append((s.detach(), seen["neuron"]))
            s[0].sum().backward()
            assert norm.bias.grad.sum() > 1, "more spikes, says the gradient along the shift"
        (s, seen), (up, above), (down, below) = found
        assert (torch.equal(s[0], up[0]) and torch.equal(s[0], down[0])) == expected, rule
        if rule == "both":  # Eq. 7 takes the mean for width
            assert above["width"][0] > 1.2 * seen["width"][0] > 1.8 * below["width"][0]
        if rule == "std":
            torch.testing.assert_close(above["width"][0], seen["width"][0])


def test_eq_7s_window_does_not_scale_with_the_potentials():
    (_, seen, *_), (_, wide, *_), (_, narrow, *_) = (passed("both", f) for f in (1, 16, 2**-6))
    k, of_wide, of_narrow = (x["width"] / x["u_std"] for x in (seen, wide, narrow))
    assert (of_wide < k / 4).all() and (of_narrow > 4 * k).all()
    floor = dsatgo.surrogate_width(torch.tensor(dsatgo.FLOOR, dtype=torch.float64))
    assert 0.2384 < floor < 0.2390, "theta at its floor: 1 + tanh(-1), whatever the deviation"


def test_a_mean_below_minus_sigma_puts_theta_at_its_floor_with_few_neurons_in_the_window():
    shares = {}
    for rule in ("both", "std"):
        made, norm = layer(rule)
        with torch.no_grad():
            norm.weight.fill_(0.5)
            norm.bias.fill_(-0.75)
        with dsatgo.probe(made) as seen:
            made(torch.randn(2, 512, 8, dtype=torch.float64))
        seen = seen["neuron"]
        assert (seen["threshold"] == dsatgo.FLOOR).all()
        shares[rule] = seen["gradient_available"][0].item()
    assert shares["both"] < 0.1 and shares["std"] > 1.5 * shares["both"]


def test_without_the_floor_a_sixth_fires_where_potentials_are_negative(monkeypatch):
    monkeypatch.setattr(dsatgo, "FLOOR", dsatgo.FLOOR)  # put back afterwards
    torch.manual_seed(0)
    current = torch.randn(2, 100, 80) - 5
    assert dsatgo.LIF(2)(current).sum() == 0
    unfloored = runpy.run_path(str(ROOT / "experiments" / "unfloored.py"))["Unfloored"](2)
    with dsatgo.probe(unfloored) as seen:
        rates = unfloored(current).mean((1, 2))
    assert ((rates > 0.14) & (rates < 0.18)).all()
    assert torch.allclose(seen[""]["threshold"], seen[""]["u_mean"] + seen[""]["u_std"])
    assert torch.allclose(seen[""]["width"], 1 + torch.tanh(seen[""]["threshold"] - 1), rtol=0.01)


def test_a_fixed_weight_of_batch_norm_stays_and_its_bias_learns():
    names = runpy.run_path(str(ROOT / "experiments" / "frozen.py"))
    for name, rule in (("Frozen", ("true", "threshold")), ("FrozenVanilla", ("fixed", "fixed"))):
        torch.manual_seed(0)
        net = dsatgo.resnet19(channels=2, neuron=names[name])
        assert (net.stem.neuron.threshold, net.stem.neuron.width) == rule
        before = {key: value.clone() for key, value in net.state_dict().items()}
        trainer = dsatgo.Trainer(net, 2)
        for _ in range(2):
            trainer.step(torch.randn(8, 3, 32, 32), torch.arange(8))
        changed = {key for key, value in net.state_dict().items() if (value != before[key]).any()}
        norms = {key.rpartition(".")[0] for key in before if key.endswith("running_mean")}
        assert len(norms) == 20
        for norm in norms:
            assert f"{norm}.weight" not in changed and f"{norm}.bias" in changed, norm
