"""Networks, losses, probe, energy, calibration; compilation, export, precision, the file alone."""

import ast
import collections
import copy
import itertools
import math
import os
import pickle
import shutil
import subprocess
import sys
import types
import warnings
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import ARMS, ROOT, relative
from torch import nn
from torch.torch_version import TorchVersion

import reference_numpy
from dsatgo import (
    LIF,
    Layer,
    ReLU,
    adaptive_threshold,
    calibrate,
    compile_neurons,
    energy,
    for_inference,
    probe,
    readout,
    recompute,
    resnet18,
    resnet19,
    tet_loss,
    vggsnn,
)

VANILLA = partial(LIF, threshold="fixed", width="fixed")
WEIGHTS = (nn.Conv2d, nn.Linear)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def millijoule(mac, ac):
    return (mac * 4.6 + ac * 0.9) * 1e-9


small_vgg = partial(vggsnn, in_channels=3, channels=4, size=16, T=2)
small_resnet = partial(resnet19, channels=4)
imagenet = partial(resnet18, channels=4, stem="imagenet")


def every(net, kind):
    return [module for module in net.modules() if isinstance(module, kind)]


def settled(net, x):
    """In evaluation mode an untrained network is silent, and a test on it proves nothing: give it
    statistics first."""
    calibrate(net, [x])
    assert net.eval()(x).std() > 0.01
    return net


def unlike(net):
    """Batch norms that no two are alike of, so that a swapped or missing one is seen."""
    for norm in every(net, NORMS):
        nn.init.normal_(norm.weight, 1, 0.2)
        nn.init.normal_(norm.bias, 0, 0.2)
    return net


# Tables 4 and 5


class Plain:
    """A network of the tables written down as one goes, on [T*B, ...], in training mode, with the
    weights of `net`: 1x1 convolutions are taken from one row, all others from another."""

    def __init__(self, net, T, neuron):
        weights = every(net, WEIGHTS)
        pairs = list(zip(weights, every(net, NORMS)))
        assert len(pairs) == len(weights) - 1, "the classes have no batch norm"
        self.skips = iter([p for p in pairs if p[0].weight.shape[2:] == (1, 1)])
        self.others = iter([p for p in pairs if p[0].weight.shape[2:] != (1, 1)])
        self.classes = weights[-1].weight
        self.T = T
        self.neuron = neuron

    def layer(self, x, stride=1, skip=False, pool=False):
        weights, norm = next(self.skips if skip else self.others)
        if weights.weight.dim() == 4:
            padding = {1: 0, 3: 1, 7: 3}[weights.weight.shape[2]]
            x = F.conv2d(x, weights.weight, None, stride, padding)
        else:
            x = x @ weights.weight.T
        x = F.batch_norm(x, None, None, norm.weight, norm.bias, training=True)
        if pool:
            x = F.avg_pool2d(x, 2)
        return self.neuron(self.T)(x.unflatten(0, (self.T, -1))).flatten(0, 1)

    def block(self, x, stride, shortcut):
        spikes = self.layer(self.layer(x, stride))
        return spikes + (self.layer(x, stride, skip=True) if shortcut else x)

    def resnet(self, x, blocks=(3, 3, 2), hidden=True, large=False):
        x = self.layer(x.flatten(0, 1), stride=2 if large else 1, pool=large)
        for stage, count in enumerate(blocks):
            for i in range(count):
                first = stage > 0 and i == 0
                x = self.block(x, 2 if first else 1, first)
        x = x.mean((2, 3))
        if hidden:
            x = self.layer(x)
        return (x @ self.classes.T).unflatten(0, (self.T, -1))

    def vggsnn(self, x):
        x = x.flatten(0, 1)
        for convs in (2, 2, 2, 2):
            for _ in range(convs):
                x = self.layer(x)
            x = F.avg_pool2d(x, 2)
        return (x.flatten(1) @ self.classes.T).unflatten(0, (self.T, -1))


@pytest.mark.parametrize("neuron", [LIF, ReLU])
@pytest.mark.parametrize(
    "make, side, plain",
    [
        (partial(resnet19, 7, 3, 2, 4), 16, Plain.resnet),
        (partial(resnet18, 7, 3, 2, 4), 16, partial(Plain.resnet, hidden=False)),
        (
            partial(resnet18, 7, 3, 2, 4, stem="imagenet"),
            64,
            partial(Plain.resnet, blocks=(2, 2, 2, 2), hidden=False, large=True),
        ),
        (partial(vggsnn, 7, 3, 2, 2, 32), 32, Plain.vggsnn),
    ],
    ids=["resnet19", "resnet18", "imagenet", "vggsnn"],
)
def test_networks_compute_what_the_tables_say(make, side, plain, neuron):
    net = unlike(make(neuron=neuron)).double()
    x = torch.randn(3, 4, 2, side, side, dtype=torch.float64)
    logits = net(x)
    expected = plain(Plain(net, 3, lambda T: neuron(T).double()), x)
    assert logits.shape == (3, 4, 7) and expected.std() > 0.01
    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "make, side, shapes",
    [
        (
            partial(resnet19, channels=4),
            32,
            {(4, 32, 32): 1 + 6, (8, 16, 16): 6 + 1, (16, 8, 8): 4 + 1, (256,): 1},
        ),
        (partial(resnet18, channels=4), 32, {(4, 32, 32): 7, (8, 16, 16): 7, (16, 8, 8): 5}),
        (imagenet, 64, {(2, 16, 16): 1 + 4, (4, 8, 8): 4 + 1, (8, 4, 4): 5, (16, 2, 2): 5}),
        (
            partial(vggsnn, in_channels=3, channels=1),
            48,
            {
                (1, 48, 48): 1,
                (2, 48, 48): 1,
                (4, 24, 24): 2,
                (8, 12, 12): 2,
                (8, 6, 6): 2,
            },
        ),
    ],
    ids=["resnet19", "resnet18", "imagenet", "vggsnn"],
)
def test_each_layer_has_a_neuron_of_its_own_and_uses_it_once(make, side, shapes):
    made = []
    seen = collections.Counter()

    class Neuron(nn.Module):
        def forward(self, current):
            assert current.shape[:2] == (3, 2)
            seen[tuple(current.shape[2:])] += 1
            self.calls += 1
            return (current > 1).to(current.dtype)

    def neuron(T):
        assert T == 3
        made.append(Neuron())
        made[-1].calls = 0
        return made[-1]

    net = make(T=3, neuron=neuron)
    net(torch.randn(2, 3, side, side))
    assert seen == shapes
    assert every(net, Neuron) and set(every(net, Neuron)) == set(made)
    assert all(layer.calls == 1 for layer in made)


def test_networks_have_the_papers_size_unless_told_otherwise():
    net = resnet19()
    assert round(sum(p.numel() for p in net.parameters()) / 1e6, 2) == 12.70
    assert [layer.T for layer in every(net, LIF)] == [2] * 20
    assert [m.weight.shape for m in every(net, nn.Linear)] == [(256, 512), (10, 256)]
    ann = energy(resnet19(T=1, neuron=ReLU), torch.randn(1, 3, 32, 32))
    assert round(ann["mac_ann"] / 1e6, 2) == 2285.37  # Table 2 prints 2285.35
    net = resnet18()
    assert [layer.T for layer in every(net, LIF)] == [2] * 19
    assert every(net, nn.Conv2d)[0].weight.shape == (128, 3, 3, 3)
    assert [m.weight.shape for m in every(net, nn.Linear)] == [(10, 512)]
    net = vggsnn()
    assert [layer.T for layer in every(net, LIF)] == [10] * 8
    widths = [2, 64, 128, 256, 256, 512, 512, 512, 512]
    shapes = [(n, m, 3, 3) for m, n in itertools.pairwise(widths)]
    assert [m.weight.shape for m in every(net, nn.Conv2d)] == shapes
    assert [m.weight.shape for m in every(net, nn.Linear)] == [(10, 512 * 3 * 3)]
    # torchvision's ResNet-18, but for the biases of its classes
    net = resnet18(1000, stem="imagenet", neuron=ReLU, T=1)
    assert sum(p.numel() for p in net.parameters()) == 11_689_512 - 1000


@pytest.mark.parametrize("size, side", [(16, 1), (31, 1), (33, 2)])
def test_vggsnn_takes_the_size_it_was_made_for(size, side):
    net = vggsnn(channels=1, size=size, T=1)
    assert every(net, nn.Linear)[0].in_features == 8 * side**2
    assert net(torch.randn(2, 2, size, size)).shape == (1, 2, 10)


@pytest.mark.parametrize("make", [resnet19, imagenet, small_vgg])
def test_weights_have_no_bias_and_start_as_the_released_codes(make):
    net = make(channels=16)
    units = []
    for module in every(net, WEIGHTS):
        weight = module.weight.detach()
        assert module.bias is None
        if weight.dim() == 4:
            fan_out = weight.shape[0] * weight.shape[2] * weight.shape[3]
            units.append(weight.flatten() / math.sqrt(2 / fan_out))
            assert units[-1].std().item() == pytest.approx(1, abs=4 / math.sqrt(2 * weight.numel()))
        else:  # as PyTorch starts it: uniform up to 1 / sqrt(fan-in)
            unit = weight * math.sqrt(module.in_features)
            assert 0.95 < unit.abs().max() <= 1 and abs(unit.mean()) < 0.1
            assert unit.std().item() == pytest.approx(1 / math.sqrt(3), rel=0.1)
    units = torch.cat(units)
    assert abs(units.mean()) < 0.02
    assert (units**4).mean() / (units**2).mean() ** 2 == pytest.approx(3, abs=0.1), "normal"


def test_batch_norm_starts_at_the_neurons_v_th():
    for make in (small_resnet, imagenet, small_vgg):
        for neuron, start in ((partial(LIF, v_th=0.7), 0.7), (LIF, 1), (ReLU, 1)):
            norms = every(make(neuron=neuron), NORMS)
            weights = torch.cat([norm.weight for norm in norms])
            assert torch.equal(weights, torch.full_like(weights, start))
            assert all((norm.bias == 0).all() for norm in norms)


def test_a_still_picture_is_the_same_picture_at_every_timestep():
    x = torch.randn(4, 3, 16, 16)
    net = settled(small_vgg(), x)
    assert torch.equal(net(x), net(x.expand(2, 4, 3, 16, 16)))
    assert not torch.equal(net(x), net(torch.stack([x, -x])))


def test_two_networks_of_different_t_side_by_side():
    x = torch.randn(4, 3, 16, 16)
    nets = [settled(small_vgg(T=T), x) for T in (1, 5)]
    alone = [net(x) for net in nets]
    assert [len(logits) for logits in alone] == [1, 5]
    for i in (1, 0, 1):
        assert torch.equal(nets[i](x), alone[i])


def test_batch_norm_sees_time_and_batch_together():
    net = small_resnet()
    seen = []
    every(net, LIF)[0].register_forward_hook(lambda m, i, o: seen.append(i[0]))
    weighted = []
    every(net, nn.Conv2d)[0].register_forward_hook(lambda m, i, o: weighted.append(o))
    net(torch.randn(2, 6, 3, 8, 8))
    current = seen[0]
    assert torch.allclose(current.mean((0, 1, 3, 4)), torch.zeros(4), atol=1e-5)
    assert torch.allclose(current.var((0, 1, 3, 4), correction=0), torch.ones(4), atol=1e-3)
    assert current[0].mean((0, 2, 3)).abs().max() > 1e-3, "not each timestep alone"
    mean = weighted[0].mean((0, 2, 3))
    assert torch.allclose(every(net, NORMS)[0].running_mean, 0.1 * mean, atol=1e-6)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: resnet19(T=2)(torch.randn(3, 2, 3, 8, 8)), ["T=2", "(3, 2, 3, 8, 8)"]),
        (lambda: resnet19()(torch.randn(3, 8, 8)), ["(3, 8, 8)"]),
        (lambda: resnet18()(torch.zeros(1, 3, 8, 8, dtype=torch.uint8)), ["uint8"]),
        (lambda: resnet19(T=1)(torch.randn(2, 4, 8, 8)), ["3, H, W", "4, 8, 8"]),
        (lambda: vggsnn(T=2, size=32)(torch.randn(1, 2, 48, 48)), ["32, 32", "48"]),
        (lambda: vggsnn(T=2, size=32)(torch.randn(1, 2, 32, 48)), ["32, 32", "48"]),
        (lambda: vggsnn(T=2, size=32)(torch.randn(1, 2, 48, 32)), ["32, 32", "48"]),
        (lambda: vggsnn(T=2, size=32)(torch.randn(1, 3, 32, 32)), ["2, 32", "1, 3, 32, 32)"]),
        (lambda: vggsnn(size=15), ["size=15"]),
        (lambda: vggsnn(size=16.5), ["size=16.5"]),
        (lambda: vggsnn(channels=0), ["channels=0"]),
        (lambda: resnet19(channels=0), ["channels=0"]),
        (lambda: resnet19(in_channels=0), ["in_channels=0"]),
        (lambda: resnet18(T=0), ["T=0"]),
        (lambda: resnet18(T=0, neuron=ReLU), ["T=0"]),
        (lambda: vggsnn(T=0, neuron=ReLU), ["T=0"]),
        (lambda: resnet18(num_classes=1.5), ["num_classes=1.5"]),
        (lambda: resnet18(num_classes=True), ["num_classes=True"]),
        (lambda: resnet18(stem="caffe"), ["stem='caffe'"]),
        (lambda: resnet18(stem="imagenet", channels=3), ["channels=3"]),
    ],
)
def test_bad_networks_and_inputs(call, words):
    with pytest.raises(ValueError) as error:
        call()
    assert all(word in str(error.value) for word in words), error.value


# Losses


def test_losses():
    logits = torch.randn(3, 5, 7, dtype=torch.float64)
    labels = torch.tensor([0, 3, 6, 2, 2])
    assert torch.allclose(readout(logits), (logits[0] + logits[1] + logits[2]) / 3)
    for phi, lam, smooth in ((1.0, 1e-3, 0.0), (0.5, 0.3, 0.1)):
        expected = 0
        for t in range(3):
            logp = logits[t] - logits[t].exp().sum(1, keepdim=True).log()
            target = torch.full((5, 7), smooth / 7, dtype=torch.float64)
            target[range(5), labels] += 1 - smooth
            expected += (1 - lam) * -(target * logp).sum(1).mean() / 3
            expected += lam * ((logits[t] - phi) ** 2).mean() / 3
        loss = tet_loss(logits, labels, phi, lam, smooth).item()
        assert loss == pytest.approx(expected.item(), rel=1e-12)
    assert tet_loss(logits, labels).item() == tet_loss(logits, labels, 1.0, 1e-3, 0.0).item()


# Probe


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("threshold, width", ARMS)
def test_probe_tells_what_the_layer_did(threshold, width, training):
    """Against the potentials of the reference, over two batches that differ in size and spread."""
    layer = LIF(3, tau=0.5, v_th=0.8, kappa=1.5, f_c=1.1, threshold=threshold, width=width)
    layer.double().train(training)
    running = torch.tensor([0.9, 0.6, 1.2], dtype=torch.float64)
    layer.running_threshold.copy_(running)
    layer.updates += 1
    batches = [torch.randn(3, b, 30, dtype=torch.float64) * b / 4 for b in (4, 9)]
    with probe(nn.Sequential(nn.Identity(), layer)) as figures:
        for current in batches:
            layer(current)
    used = running.numpy() if not training and threshold != "learned" else None
    expected = collections.Counter()
    for current in batches:
        s, cache = reference_numpy.lif_forward(
            current.numpy(), 0.5, 0.8, 1.5, 1.1, threshold, width, running=used
        )
        u = cache["u"]
        fire = cache["fire"]
        inside = np.abs(u - fire[:, None, None]) <= cache["k"][:, None, None] / 2
        here = dict(
            firing_rate=s.mean((1, 2)),
            gradient_available=inside.mean((1, 2)),
            threshold=fire,
            width=cache["k"],
            u_mean=u.mean((1, 2)),
            u_std=u.std((1, 2)),
            floored=np.zeros(3),
        )
        assert 0 < here["firing_rate"].min() and here["gradient_available"].max() < 1
        for name, value in here.items():
            expected[name] = expected[name] + value * current.shape[1] / 13
    assert list(figures) == ["1"] and figures["1"].keys() == expected.keys()
    for name, value in expected.items():
        assert figures["1"][name].shape == (3,), "no spike tensor is kept"
        assert relative(figures["1"][name], value) < 1e-7, name


def test_probe_tells_where_the_floor_acted():
    layer = LIF(2, v_th=0.5)
    current = torch.randn(2, 8, 3000) * 0.0008  # mean + std is above 0.5 / 1000, below 1 / 1000
    with probe(layer) as figures:
        layer(torch.zeros_like(current))
        layer(current[:, :2])
    assert 0.0005 < adaptive_threshold(current[0, :2]) < 0.001
    assert figures[""]["floored"].tolist() == pytest.approx([0.8, 0.8])


def test_probe_sees_gradients_only_inside_the_window():
    layer = LIF(1)
    current = (torch.randn(1, 400, 3) * 3).requires_grad_()
    with probe(layer) as figures:
        layer(current).sum().backward()
    share = (current.grad != 0).float().mean().item()
    assert 0.1 < share < 0.9
    assert figures[""]["gradient_available"].item() == pytest.approx(share)


def test_probe_changes_nothing_and_keeps_no_graph():
    net = small_vgg()
    x = torch.randn(4, 3, 16, 16)
    twin = copy.deepcopy(net)
    with probe(net) as figures:
        watched = net(x)
    assert list(figures) == [name for name, m in net.named_modules() if isinstance(m, LIF)]
    assert len(figures) == 8
    values = [value for layer in figures.values() for value in layer.values()]
    assert values and not any(value.requires_grad for value in values)
    assert torch.equal(watched, twin(x))
    state = twin.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    with probe(small_vgg(neuron=ReLU)) as figures:
        assert figures == {}


def test_probe_nests_and_lets_go_on_errors():
    layer = LIF(1, v_th=0.1)
    batches = [torch.randn(1, b, 50) * b for b in (2, 5, 6)]

    def figures_of(*some):
        with probe(layer) as figures:
            for current in some:
                layer(current)
        return figures[""]["u_mean"].item()

    with probe(layer) as outer:
        layer(batches[0])
        with pytest.raises(RuntimeError, match="stop"), probe(layer) as inner:
            raise RuntimeError("stop")
        layer(batches[1])
    last = outer[""]["u_mean"].item()
    assert last == pytest.approx(figures_of(*batches[:2])) and last != figures_of(batches[1])
    layer(batches[2])
    assert outer[""]["u_mean"].item() == last and not inner.get(""), "nothing is watched any longer"


# Energy


def test_arithmetic_of_table_2():
    count = energy(small_vgg().eval(), torch.rand(2, 3, 16, 16))
    for name in ("paper", "counted"):
        mac = count["mac" if name == "paper" else "mac_counted"]
        assert count[f"mj_{name}"] == pytest.approx(millijoule(mac, count[f"ac_{name}"]))
    assert count["mj_ann"] == pytest.approx(millijoule(count["mac_ann"], 0))
    assert round(millijoule(2285.35e6, 0), 2) == 10.51
    for ac, mj in (
        (443.14, 0.43),
        (1084.02, 1.01),
        (1047.98, 0.98),
        (690.84, 0.65),
        (493.32, 0.48),
    ):
        # Vanilla-SNN: 0.4314 rounds to 0.43; DIET-SNN 1.0082; LTMD 0.9757; ours 0.6543 and 0.4766
        assert round(millijoule(7.08e6, ac * 1e6), 2) == mj
    first = 3 * 9 * 128 * 32 * 32
    last = 256 * 10
    assert round(2 * (first + last) / 1e6, 2) == 7.08, "its MAC are the first and last layer's"


class Stripes(LIF):
    """Fires in every second column of i/8 of its channels, at the first of two timesteps alone: at
    a rate of i/32. Pooled, such spikes are halves."""

    i = 8

    def forward(self, current):
        spikes = torch.zeros_like(current)
        spikes[0, :, : current.shape[2] * self.i // 8, :, ::2] = 1
        return spikes


def test_energy_counts_by_hand():
    layers = iter(range(1, 9))

    def neuron(T):
        layer = Stripes(T)
        layer.i = next(layers)
        return layer

    net = vggsnn(3, 2, 2, 8, 16, neuron)
    x = torch.randint(0, 9, (7, 2, 16, 16)).float()  # counts of events, yet no spikes
    widths = [2, 8, 16, 32, 32, 64, 64, 64, 64]
    sides = [16, 16, 8, 8, 4, 4, 2, 2]
    ops = [9 * m * n * s * s for m, n, s in zip(widths, widths[1:], sides)] + [64 * 3]
    rates = [i / 32 for i in range(1, 9)]
    expected = dict(
        mac_ann=sum(ops),
        mac=2 * (ops[0] + ops[8]),
        ac_paper=2 * sum(ops[i] * rates[i] for i in range(1, 8)),  # of the neurons behind
        mac_counted=2 * (ops[0] + ops[2] + ops[4] + ops[6] + ops[8]),  # pooled, but for the first
        ac_counted=2 * sum(ops[i] * rates[i - 1] for i in (1, 3, 5, 7)),  # of what arrives
    )
    expected["mj_ann"] = 4.6e-9 * expected["mac_ann"]
    expected["mj_paper"] = 4.6e-9 * expected["mac"] + 0.9e-9 * expected["ac_paper"]
    expected["mj_counted"] = 4.6e-9 * expected["mac_counted"] + 0.9e-9 * expected["ac_counted"]
    count = energy(net, x)
    assert count == pytest.approx(expected, rel=1e-12)
    assert all(isinstance(value, float) for value in count.values())
    # per picture, whether it stands still or not
    assert energy(net, x[:3]) == pytest.approx(count)
    assert energy(net, x.expand(2, 7, 2, 16, 16)) == pytest.approx(count)


def test_energy_counts_a_sew_sum_as_the_spikes_it_adds_up():
    x = torch.randn(4, 3, 16, 16)
    net = settled(small_resnet(T=2), x)
    arrivals = {}
    spikes = {}

    def arrive(module, inputs, output):
        arrivals[module] = (inputs[0], output.numel() * module.weight[0].numel() / 4)

    weights = every(net, WEIGHTS)
    hooks = [m.register_forward_hook(arrive) for m in weights]
    for layer in every(net, LIF):
        hooks.append(layer.register_forward_hook(lambda m, i, o: spikes.update({m: o})))
    net(x)
    for hook in hooks:
        hook.remove()
    assert max(i.max() for i, _ in list(arrivals.values())[1:-2]) > 3
    paper = sum(
        spikes[neuron].mean().item() * arrivals[weight][1]
        for weight, neuron in zip(weights[1:-1], every(net, LIF)[1:])
    )
    rest = [arrivals[weight] for weight in weights[1:]]
    counted = sum(i.mean().item() * ops for i, ops in rest if torch.equal(i, i.round()))
    count = energy(net, x)
    first = 2 * 3 * 9 * 4 * 256
    assert count["mac"] == first + 2 * 256 * 10
    assert count["ac_paper"] == pytest.approx(paper, rel=1e-6)
    assert count["ac_counted"] == pytest.approx(counted, rel=1e-6)
    assert count["mac_counted"] == first + 2 * 16 * 256, "the first layer, and the pooled one"
    assert energy(net.train(), x) == count, "of inference, whatever the mode"
    ann = energy(small_resnet(T=1, neuron=ReLU), x)
    assert ann["ac_paper"] == ann["ac_counted"] == 0
    assert ann["mac"] == ann["mac_ann"] == count["mac_ann"]


def test_energy_takes_negative_whole_numbers_for_no_spikes():
    """Whole numbers below 0 are no sums of spikes: a layer that sees them multiplies."""

    class Signs(LIF):
        def forward(self, current):
            return current.sign()

    x = torch.randn(4, 3, 16, 16)
    count = energy(small_resnet(T=1, neuron=Signs), x)
    assert count["ac_counted"] == 0 and count["mac_counted"] == count["mac_ann"]


def test_energy_leaves_the_network_as_it_was():
    net = small_vgg()
    x = torch.randn(4, 3, 16, 16)
    net(x)
    every(net, NORMS)[2].eval()
    modes = [m.training for m in net.modules()]
    state = copy.deepcopy(net.state_dict())
    energy(net, x)
    with pytest.raises(ValueError):
        energy(net, torch.randn(4, 2, 16, 16))
    assert [m.training for m in net.modules()] == modes and len(set(modes)) == 2
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert pickle.dumps(net), "which hooks that stayed would prevent"


# Calibration


def test_calibrate_is_the_plain_mean_over_batches():
    net = small_vgg(neuron=partial(LIF, momentum=0.3))
    conv = every(net, nn.Conv2d)[0]
    norm = every(net, NORMS)[0]
    layer = every(net, LIF)[0]
    batches = [torch.randn(n, 3, 16, 16) * n for n in (5, 6, 7)]
    first = [conv(x).detach() for x in batches]
    before = copy.deepcopy(net.state_dict())
    net.eval()
    every(net, NORMS)[2].train()
    modes = [m.training for m in net.modules()]
    calibrate(net, iter([batches[0], (batches[1], torch.zeros(6)), [batches[2], None]]))
    assert [m.training for m in net.modules()] == modes
    assert all(m.momentum == 0.3 for m in every(net, LIF))
    assert all(m.momentum == 0.1 for m in every(net, NORMS))
    mean = torch.stack([y.mean((0, 2, 3)) for y in first]).mean(0)
    assert torch.allclose(norm.running_mean, mean, atol=1e-6)
    # the same picture twice: PyTorch's running variance is of 2 n elements with n values
    var = torch.stack([torch.cat([y, y]).var((0, 2, 3)) for y in first]).mean(0)
    assert torch.allclose(norm.running_var, var, rtol=1e-5)
    thetas = [
        adaptive_threshold(F.batch_norm(y, None, None, norm.weight, norm.bias, training=True))
        for y in first
    ]
    assert layer.running_threshold[0].item() == pytest.approx(sum(thetas).item() / 3, rel=1e-5)
    assert all(m.updates == 3 for m in every(net, LIF))
    assert all(torch.equal(p, before[name]) for name, p in net.named_parameters())
    again = copy.deepcopy(net.state_dict())
    layer.running_threshold.fill_(math.nan)
    norm.running_mean.fill_(math.nan)
    calibrate(net, batches)  # anew: what was there before does not matter
    assert all(torch.equal(value, again[name]) for name, value in net.state_dict().items())


def test_calibrate_averages_thresholds_that_differ():
    layer = LIF(2)
    batches = [torch.randn(2, 9, 100) * scale for scale in (1, 3, 8, 2)]
    net = nn.Sequential(nn.Linear(100, 100, bias=False), layer)
    nn.init.eye_(net[0].weight)
    calibrate(net, batches)
    mean = sum(x[0].mean() + x[0].std(correction=0) for x in batches) / 4
    assert layer.running_threshold[0].item() == pytest.approx(mean.item(), rel=1e-5)


@pytest.mark.parametrize(
    "neuron", [VANILLA, partial(LIF, momentum=None), partial(LIF, threshold="learned"), ReLU]
)
def test_calibrate_lets_alone_what_has_no_running_threshold(neuron):
    net = small_vgg(neuron=neuron)
    momenta = [m.momentum for m in every(net, LIF)]
    x = torch.randn(6, 3, 16, 16) + 1
    first = every(net, nn.Conv2d)[0](x)
    calibrate(net, [x])
    assert torch.allclose(every(net, NORMS)[0].running_mean, first.mean((0, 2, 3)), atol=1e-5)
    assert [m.momentum for m in every(net, LIF)] == momenta
    assert all((m.running_threshold == 1).all() and m.updates == 0 for m in every(net, LIF))


def test_calibrate_of_a_layer_without_parameters_and_of_one_that_no_batch_reaches():
    layer = LIF(3, learn_tau=False)
    calibrate(layer, [torch.full((3, 8), 2.0)])
    assert layer.updates == 1 and layer.running_threshold[0] == 2
    net = nn.ModuleList([layer, LIF(3)])
    net.forward = layer.forward
    with pytest.raises(ValueError, match="each LIF runs once a batch"):
        calibrate(net, [torch.zeros(3, 8)])


def test_calibrate_moves_batches_to_the_networks_device():
    moved = []

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            if function is torch.Tensor.to and any(args[0] is x for x in batches):
                moved.append([*args[1:], *(kwargs or {}).values()])
            return function(*args, **(kwargs or {}))

    batches = [torch.randn(4, 3, 16, 16) for _ in range(2)]
    with Watch():
        calibrate(small_vgg(), [batches[0], (batches[1], None)])
    assert len(moved) == 2 and all(torch.device("cpu") in place for place in moved)


def test_calibrate_loses_nothing_when_it_fails():
    net = small_vgg()
    net(torch.randn(4, 3, 16, 16))
    net.eval()
    before = copy.deepcopy(net.state_dict())
    for batches, words in (
        ([], "at least one batch"),
        ([torch.randn(4, 3, 16, 16), torch.randn(4, 2, 16, 16)], "got"),
        ([torch.full((4, 3, 16, 16), math.nan)], "finite"),
    ):
        with pytest.raises(ValueError, match=words):
            calibrate(net, batches)
        assert not any(m.training for m in net.modules())
        assert all(m.momentum == 0.1 for m in every(net, (LIF, *NORMS)))
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_calibrate_refuses_a_threshold_that_was_left_out():
    """A theta that is not finite is not averaged in, so all buffers stay finite: it counts."""
    layer = LIF(1)
    net = nn.Sequential(nn.Linear(50, 50), layer)
    batches = [torch.randn(1, 4, 50), torch.full((1, 4, 50), math.inf)]
    with pytest.raises(ValueError, match="finite"):
        calibrate(net, batches)
    assert layer.updates == 0 and layer.running_threshold == 1


# Learning


@pytest.mark.slow
@pytest.mark.parametrize("neuron, compiled", [(VANILLA, False), (LIF, True)])
def test_memorises_64_pictures(neuron, compiled):
    compile_neurons(compiled)
    net = small_vgg(channels=8, neuron=neuron)
    x = torch.randn(64, 3, 16, 16)
    y = torch.arange(64) % 10
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for step in range(150):
        optimizer.zero_grad()
        F.cross_entropy(readout(net(x)), y).backward()
        optimizer.step()
        if step % 10 == 9:
            with torch.no_grad():
                correct = (readout(net.eval()(x)).argmax(1) == y).sum().item()
            net.train()
            if correct == 64:
                break
    assert correct == 64


def test_one_nan_weight_gives_a_nan_loss():
    for neuron in (LIF, VANILLA, partial(LIF, threshold="learned")):
        for training in (True, False):
            net = small_vgg(neuron=neuron)
            x = torch.randn(4, 3, 16, 16)
            net(x)
            with torch.no_grad():
                every(net, nn.Conv2d)[0].weight[0, 0, 0, 0] = math.nan
            assert F.cross_entropy(readout(net.train(training)(x)), torch.arange(4)).isnan()


# State and precision


def test_state_dict_round_trip_and_deepcopy():
    x = torch.randn(4, 3, 16, 16)
    net = settled(small_vgg(), x)
    net.train()(x).sum().backward()  # a graph has been built: nothing of it may stay
    other = small_vgg()
    other.load_state_dict(net.state_dict())
    twin = copy.deepcopy(net)
    for module in (net, other, twin):
        module.eval()
    assert torch.equal(net(x), other(x)) and torch.equal(net(x), twin(x)) and net(x).std() > 0.01
    assert all(layer.updates == 2 for layer in every(net, LIF) + every(other, LIF))
    with pytest.raises(RuntimeError, match="running_threshold"):
        small_vgg(T=3).load_state_dict(net.state_dict())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_whole_network_in_another_dtype(dtype):
    net = small_vgg().to(dtype)
    x = torch.randn(8, 3, 16, 16, dtype=dtype)
    loss = F.cross_entropy(readout(net(x)).float(), torch.arange(8))
    loss.backward()
    assert loss.isfinite() and net(x).dtype == dtype
    assert all(p.grad.dtype == dtype and p.grad.isfinite().all() for p in net.parameters())
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    assert all(layer.running_threshold.dtype == wide for layer in every(net, LIF))


def test_bf16_autocast_agrees_with_float32():
    net = small_vgg(channels=8)
    x = torch.randn(16, 3, 16, 16)
    twin = copy.deepcopy(net)
    spikes = {}
    for module in (net, twin):
        layer = every(module, LIF)[0]
        layer.register_forward_hook(lambda m, i, o, module=module: spikes.update({module: o}))
    with torch.autocast("cpu", torch.bfloat16):
        logits = net(x)
        loss = F.cross_entropy(readout(logits).float(), torch.arange(16) % 10)
    loss.backward()
    twin(x)
    assert spikes[net].dtype == torch.bfloat16
    # bf16 has 8 bits: potentials of about 1 move by up to 2^-8, where their density is at most 0.4
    assert (spikes[net].float() != spikes[twin]).float().mean() < 0.02
    assert 0.05 < spikes[twin].mean() < 0.5
    assert all(p.grad.isfinite().all() for p in net.parameters())
    kept = [every(module, LIF)[0].running_threshold for module in (net, twin)]
    assert torch.allclose(*kept, rtol=1e-2)


def test_channels_last_changes_nothing():
    net = small_resnet().double()
    twin = copy.deepcopy(net).to(memory_format=torch.channels_last)
    x = torch.randn(4, 3, 16, 16, dtype=torch.float64)
    logits = [net(x), twin(x.to(memory_format=torch.channels_last))]
    assert logits[0].std() > 0.01
    torch.testing.assert_close(logits[1], logits[0], rtol=1e-9, atol=1e-9)
    for out in logits:
        out.square().sum().backward()
    for (name, p), q in zip(net.named_parameters(), twin.parameters()):
        assert torch.allclose(q.grad, p.grad, rtol=1e-9, atol=1e-9), name


# Recomputation, inference


def test_checkpointed_network_has_the_same_gradients_and_thresholds():
    net = small_vgg()
    twin = copy.deepcopy(net)
    x = torch.randn(4, 3, 16, 16)
    layer = every(net, LIF)[2]
    layer.forward = partial(torch.utils.checkpoint.checkpoint, layer.forward, use_reentrant=False)
    for module in (net, twin):
        F.cross_entropy(readout(module(x)), torch.arange(4)).backward()
    for (name, p), q in zip(net.named_parameters(), twin.parameters()):
        assert torch.equal(p.grad, q.grad), name
    assert torch.equal(layer.running_threshold, every(twin, LIF)[2].running_threshold)
    assert not torch.equal(layer.running_threshold, torch.ones(2))


def saved_for_backward(net, x):
    """Logits, and the bytes that their backward pass needs beside parameters and input, each
    storage once."""
    storages = {}
    known = {t.untyped_storage().data_ptr() for t in (x, *net.parameters())}

    def pack(tensor):
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = net(x)
    sizes = [storage.nbytes() for address, storage in storages.items() if address not in known]
    return out, sum(sizes)


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("make", [small_resnet, small_vgg], ids=["resnet19", "vggsnn"])
def test_recompute_keeps_little_and_changes_nothing(make, compiled):
    x = torch.randn(6, 3, 16, 16)
    plain = make()
    again = recompute(copy.deepcopy(plain))
    compile_neurons(compiled)
    for _ in range(2):  # twice: running values move from their start
        a, much = saved_for_backward(plain, x)
        b, little = saved_for_backward(again, x)
        for out in a, b:
            out.square().mean().backward()
    compile_neurons(False)
    assert little < much / 2
    for (name, p), q in zip(plain.named_parameters(), again.parameters()):
        assert p.grad.abs().sum() > 0 and torch.equal(p.grad, q.grad), name
    for (name, p), q in zip(plain.named_buffers(), again.buffers()):
        assert torch.equal(p, q), name  # Eq. 6 and batch norm have seen each batch once
    loss = again(x).square().mean()
    once = torch.autograd.grad(loss, again.parameters(), retain_graph=True)
    twice = torch.autograd.grad(loss, again.parameters())
    assert all(map(torch.equal, once, twice)), "as often as without"
    plain(x)
    norms = every(again, NORMS)
    assert all((norm.num_batches_tracked, norm.momentum) == (3, 0.1) for norm in norms)
    assert saved_for_backward(recompute(again, False), x)[1] == much
    with torch.no_grad():
        assert torch.equal(plain.eval()(x), recompute(again).eval()(x))


def test_recompute_passes_on_what_goes_wrong():
    """An error within a layer leaves batch norm as it was."""
    net = recompute(small_vgg())
    every(net, LIF)[1].register_forward_pre_hook(lambda m, i: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        net(torch.randn(2, 3, 16, 16))
    assert all(norm.momentum == 0.1 for norm in every(net, NORMS))


@pytest.mark.parametrize(
    "make",
    [
        small_resnet,
        imagenet,
        small_vgg,
        partial(small_resnet, neuron=VANILLA),
        partial(small_resnet, neuron=ReLU),
    ],
    ids=["resnet19", "resnet18", "vggsnn", "vanilla", "ann"],
)
def test_for_inference_is_the_same_network(make):
    x = torch.randn(8, 3, 16, 16, dtype=torch.float64)
    net = settled(unlike(make().double()), x)
    state = copy.deepcopy(net.state_dict())
    fast = for_inference(net.train())
    assert all(m.training for m in net.modules())
    assert not any(m.training for m in [fast, *every(fast, (LIF, *WEIGHTS))])
    kept = net.state_dict()
    assert kept.keys() == state.keys(), "the network itself stays as it was"
    assert all(torch.equal(kept[name], value) for name, value in state.items())
    assert not every(fast, nn.modules.batchnorm._BatchNorm)
    moving = torch.randn(2, 8, 3, 16, 16, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(fast(x), net.eval()(x), rtol=0, atol=1e-9)
        torch.testing.assert_close(fast(moving), net(moving), rtol=0, atol=1e-9)
        assert torch.equal(for_inference(fast)(x), fast(x)), "twice is as good as once"


def test_for_inference_and_recompute_take_layers_of_any_weights():
    """One dimension, and a batch norm without running statistics."""

    def layer(tracked):
        norm = nn.BatchNorm1d(4, track_running_stats=tracked)
        return Layer(nn.Conv1d(2, 4, 3), norm, LIF(2))

    x = torch.randn(2, 5, 2, 9, dtype=torch.float64)
    net = settled(layer(True).double(), x).eval()
    with torch.no_grad():
        torch.testing.assert_close(for_inference(net)(x), net(x), rtol=0, atol=1e-9)
    grads = []
    for again in (False, True):
        torch.manual_seed(0)
        net = recompute(layer(False).double(), again)
        net(x).square().sum().backward()
        grads.append([p.grad for p in net.parameters()])
    assert all(map(torch.equal, *grads)) and grads[0][0].abs().max() > 0


def test_a_training_step_never_waits_for_the_device():
    """On the meta device there are no numbers: whatever would read one fails."""
    net = small_resnet().to("meta")
    x = torch.randn(4, 3, 16, 16, device="meta")
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    loss = F.cross_entropy(readout(net(x)), torch.zeros(4, dtype=torch.long, device="meta"))
    loss.backward()
    optimizer.step()
    assert all(p.grad.is_meta for p in net.parameters())
    with pytest.raises(RuntimeError):
        loss.item()


# Compilation


@pytest.fixture
def compiler(monkeypatch):
    """In torch.compile's place: calls counts what it compiled being called; broken, it fails at
    the first call, as without a compiler."""
    seen = types.SimpleNamespace(calls=0, broken=False)

    def fake(function, **options):
        def compiled(*args):
            if seen.broken:
                raise torch._dynamo.exc.TorchDynamoException("no compiler")
            seen.calls += 1
            return function(*args)

        return compiled

    monkeypatch.setattr(torch, "compile", fake)
    return seen


def test_compile_neurons_compiles_both_passes_until_told_otherwise(compiler):
    layer = LIF(3)
    current = torch.randn(3, 5, 4, 6)
    results = []
    for enabled in (False, True, False):
        compile_neurons(*[False] if not enabled else [])
        before = compiler.calls
        x = current.clone().requires_grad_()
        spikes = layer(x)
        forward = compiler.calls - before
        spikes.square().sum().backward()
        backward = compiler.calls - before - forward
        assert (forward > 0, backward > 0) == (enabled, enabled)
        results.append((spikes, x.grad))
    assert 0 < results[0][0].mean() < 1 and results[0][1].abs().sum() > 0
    for spikes, gradient in results[1:]:
        assert torch.equal(spikes, results[0][0]) and torch.equal(gradient, results[0][1])


def test_a_compiler_that_fails_is_named_once_and_not_asked_again(compiler):
    compiler.broken = True
    compile_neurons()
    layer = LIF(3)
    twin = copy.deepcopy(layer)
    x = torch.randn(3, 5, 10, requires_grad=True)
    with pytest.warns(UserWarning, match="eager.*no compiler") as caught:
        spikes = layer(x)
        gradient = torch.autograd.grad(spikes.sum(), x)[0]
        layer(x)
    assert len(caught) == 1
    compile_neurons(False)
    assert torch.equal(spikes, twin(x))
    assert torch.equal(gradient, torch.autograd.grad(twin(x).sum(), x)[0])


def graphs():
    """How many PyTorch has compiled so far."""
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


@pytest.mark.parametrize("backend", ["eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_a_new_layer_size_compiles_nothing_new(backend, monkeypatch):
    """On a CPU; sizes are above those that PyTorch takes for special."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    torch._dynamo.reset()
    compile_neurons()
    layer = LIF(2)
    start = graphs()
    layer(torch.randn(2, 8, 7000, requires_grad=True)).sum().backward()
    first = graphs()
    assert first > start
    for shape in ((9, 30, 20, 20), (50_001,), (6, 10, 30, 30)):
        for requires_grad in (False, True):
            spikes = layer(torch.randn(2, *shape, requires_grad=requires_grad))
            if requires_grad:
                spikes.sum().backward()
    last = torch.randn(12, 50, 30, 30).to(memory_format=torch.channels_last)
    layer(last.unflatten(0, (2, 6)).requires_grad_()).sum().backward()
    assert graphs() == first
    LIF(3)(torch.randn(3, 8, 7000))
    assert graphs() > first, "as another T does"


def test_twelve_kinds_of_neurons_stay_compiled(monkeypatch):
    """PyTorch gives up after eight graphs of a function, unless told otherwise."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    torch._dynamo.reset()
    compile_neurons()
    start = graphs()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for threshold, width in ARMS:
            LIF(1, threshold=threshold, width=width)(torch.randn(1, 5, 3000))
    assert graphs() - start >= len(ARMS) > 8


@pytest.mark.slow
@pytest.mark.parametrize("training, backend", [(True, "inductor"), (False, "aot_eager")])
def test_full_graph_compilation(training, backend):
    """Rounding differs under torch.compile, so potentials within it of the threshold may fire the
    other way: here none does."""
    x = torch.randn(8, 3, 16, 16)
    net = settled(small_vgg(channels=2, neuron=partial(LIF, v_th=0.9)), x).train(training)
    twin = copy.deepcopy(net)
    labels = torch.arange(8)
    results = []
    for forward in (net, torch.compile(twin, fullgraph=True, backend=backend)):
        loss = F.cross_entropy(readout(forward(x)), labels)
        loss.backward()
        results.append(loss.item())
    assert results[1] == pytest.approx(results[0], rel=1e-5)
    for (name, p), q in zip(net.named_parameters(), twin.parameters()):
        assert torch.allclose(q.grad, p.grad, rtol=1e-3, atol=1e-5), name
    for (name, a), b in zip(net.named_buffers(), twin.named_buffers()):
        assert torch.allclose(a, b[1], rtol=1e-5), name
    updates = {layer.updates.item() for layer in every(net, LIF) + every(twin, LIF)}
    assert updates == {2 if training else 1}


@pytest.mark.slow
@pytest.mark.parametrize(
    "dtype, threshold, width",
    [
        ("float32", "true", "threshold"),
        ("bfloat16", "true", "threshold"),
        ("float32", "fixed", "fixed"),
        ("bfloat16", "estimated", "std"),
        ("float32", "learned", "threshold"),
        ("bfloat16", "fixed", "threshold"),
    ],
)
def test_compiled_neuron_agrees(dtype, threshold, width):
    dtype = getattr(torch, dtype)
    layer = LIF(3, threshold=threshold, width=width)
    twin = copy.deepcopy(layer)
    current = (torch.randn(3, 10, 7000) + 0.3).to(dtype)
    weight = torch.randn(3, 10, 7000, dtype=dtype)
    results = []
    torch._dynamo.reset()
    before = graphs()
    for module, compiled in ((layer, False), (twin, True)):
        compile_neurons(compiled)
        x = current.clone().requires_grad_()
        spikes = module(x)
        (spikes * weight).sum().backward()
        results.append((spikes, x.grad, module.w.grad))
    assert graphs() > before, "it did compile"
    (s, dx, dw), (cs, cdx, cdw) = results
    share = (s != cs).float().mean().item()
    # potentials at rounding's distance of a threshold, which is a sum in another order
    allowed = 1e-4
    assert share <= allowed, share
    assert 0.05 < s.float().mean() < 0.6 and cs.dtype == dtype
    close = torch.isclose(dx.float(), cdx.float(), rtol=1e-2, atol=1e-4).float().mean().item()
    assert close >= 1 - 3 * share - allowed, close
    assert dw.item() == pytest.approx(cdw.item(), rel=1e-3 if dtype == torch.float32 else 0.1)
    assert torch.allclose(layer.running_threshold, twin.running_threshold, rtol=1e-4)


@pytest.mark.slow
def test_compiled_neurons_swallow_no_nan():
    compile_neurons()
    for layer in (LIF(2), VANILLA(2)):
        for training in (True, False):
            layer.train(training).updates += 1
            current = torch.randn(2, 40, 50)
            current[0, 3, 7] = math.nan
            assert layer(current)[0, 3, 7].isnan() and layer.running_threshold.isfinite().all()


@pytest.mark.slow
def test_no_compiler_means_one_warning_and_eager(tmp_path):
    script = """
import warnings, torch, dsatgo
dsatgo.compile_neurons()
layer, x = dsatgo.LIF(2), torch.randn(2, 5, 1000, requires_grad=True)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    layer(x).sum().backward()
    layer(x).sum().backward()
assert x.grad.abs().sum() > 0 and layer.updates == 2
print(len([w for w in caught if "eager" in str(w.message)]))
"""
    env = dict(
        os.environ,
        CXX=str(tmp_path / "no-compiler"),
        TORCHINDUCTOR_CACHE_DIR=str(tmp_path),
        PYTHONPATH=str(ROOT),
        CUDA_VISIBLE_DEVICES="",
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "1", done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("training", [True, False])
def test_export(training):
    x = torch.randn(4, 3, 16, 16)
    net = settled(small_vgg(), x).train(training)
    twin = copy.deepcopy(net)
    exported = torch.export.export(twin, (x,)).module()
    assert torch.allclose(exported(x), net(x), atol=1e-6)
    if training:
        buffers = dict(exported.named_buffers())
        for name, buffer in net.named_buffers():
            if name.endswith("running_threshold"):
                assert torch.allclose(buffers[name], buffer), name


# The file alone


@pytest.mark.slow
def test_a_copy_of_the_file_alone_in_an_empty_folder(tmp_path):
    shutil.copy(ROOT / "dsatgo.py", tmp_path)
    script = """
import sys
import torch, dsatgo
net = dsatgo.resnet19(channels=4)
dsatgo.tet_loss(net(torch.randn(2, 3, 16, 16)), torch.tensor([1, 2])).backward()
assert dsatgo.__file__.startswith(sys.argv[1]), dsatgo.__file__
print("fine")
"""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.stdout == "fine\n", done.stderr


def test_imports_nothing_beyond_the_standard_library_and_torch():
    def imported(nodes):
        for node in nodes:
            if isinstance(node, ast.Import):
                yield from (alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield node.module.split(".")[0]

    tree = ast.parse((ROOT / "dsatgo.py").read_text())
    ours = {"torch", *sys.stdlib_module_names}
    assert "torch" in set(imported(tree.body)) and set(imported(tree.body)) <= ours
    assert set(imported(ast.walk(tree))) <= ours | {"torchvision"}, "within a function, lazily"


@pytest.mark.parametrize("gpu", [False, True])
def test_a_gpu_gets_a_graph_for_each_size(gpu, monkeypatch):
    """With the size left open, the first one seen decides in how many blocks all sums are taken."""
    seen = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch, "compile", lambda function, **more: seen.append(more) or function)
    monkeypatch.setattr(torch, "__version__", TorchVersion("2.14.1"))
    monkeypatch.setattr(torch._dynamo, "mark_dynamic", lambda *_: seen.append("open"))
    compile_neurons()
    LIF(2)(torch.randn(2, 50))
    assert [more["dynamic"] for more in seen[:2]] == [False if gpu else None] * 2
    assert seen[2:] == ["open"] * (not gpu) and seen[0]["recompile_limit"] >= 64


def test_an_older_torch_has_one_limit_for_all(monkeypatch):
    """torch.compile of 2.11 takes no limit of its own; more layer sizes than 8 must compile still."""
    asked = []
    monkeypatch.setattr(torch._dynamo.config, "recompile_limit", 8)
    monkeypatch.setattr(torch, "__version__", TorchVersion("2.11.0"))
    monkeypatch.setattr(torch, "compile", lambda function, **more: asked.append(more) or function)
    compile_neurons(False)
    assert torch._dynamo.config.recompile_limit == 8 and not asked
    compile_neurons()
    assert len(asked) == 2 and not any("recompile_limit" in more for more in asked)
    assert torch._dynamo.config.recompile_limit >= 64
