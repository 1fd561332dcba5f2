"""Networks, losses, probe, energy and calibration; compilation, export, precision, and the file alone."""
import copy
import itertools
import math
import os
import shutil
import subprocess
import sys
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT
from torch import nn

import dsatgo
from dsatgo import (LIF, ReLU, adaptive_threshold, calibrate, compile_neurons, energy, for_inference, millijoule, probe,
                    readout, recompute, resnet18, resnet19, tet_loss, vggsnn)

VANILLA = partial(LIF, threshold="fixed", width="fixed")
small_vgg = partial(vggsnn, in_channels=3, channels=4, size=16, T=2)


def settled(net, x):
    """In evaluation mode an untrained network is silent, and a test on it proves nothing: give it statistics first."""
    calibrate(net, [x])
    assert net.eval()(x).std() > 0.01
    return net


def test_resnet19_is_the_papers_size():
    net = resnet19()
    assert round(sum(p.numel() for p in net.parameters()) / 1e6, 2) == 12.70
    ann = energy(resnet19(T=1, neuron=ReLU), torch.randn(1, 3, 32, 32))
    assert round(ann["mac_ann"] / 1e6, 2) == 2285.37              # Table 2 prints 2285.35
    convs = [m for m in net.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert len(convs) == 17 and sum(isinstance(m, LIF) for m in net.modules()) == 17 + 2 + 1
    assert [m.weight.shape for m in net.modules() if isinstance(m, nn.Linear)] == [(256, 512), (10, 256)]
    assert all(m.bias is None for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear)))


def test_shapes_for_any_t_channels_and_classes():
    x = torch.randn(2, 3, 16, 16)
    for T, c, classes in ((1, 3, 2), (3, 4, 7)):
        assert resnet19(classes, T, channels=c)(x).shape == (T, 2, classes)
        assert resnet18(classes, T, channels=c)(x).shape == (T, 2, classes)
        assert vggsnn(classes, T, 3, c, 16)(x).shape == (T, 2, classes)
    net = resnet18(5, 2, channels=8, stem="imagenet")
    assert net(torch.randn(2, 3, 64, 64)).shape == (2, 2, 5)
    assert [m.weight.shape[0] for m in net.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (7, 7)] == [4]
    assert sum(p.numel() for p in resnet18(1000, stem="imagenet", neuron=ReLU, T=1).parameters()) == 11_689_512 - 1000
    hidden = resnet19(channels=2).hidden.current[0]
    assert hidden.weight.shape == (256, 8), "256 wide whatever the channels"
    for size, side in ((16, 1), (31, 1), (48, 3)):
        net = vggsnn(channels=1, size=size, T=1)
        assert net.classes[1].in_features == 8 * side ** 2
        assert net(torch.randn(2, 2, size, size)).shape == (1, 2, 10)


def test_a_still_picture_is_the_same_picture_at_every_timestep():
    x = torch.randn(4, 3, 16, 16)
    net = settled(small_vgg(), x)
    assert torch.equal(net(x), net(x.expand(2, 4, 3, 16, 16)))
    assert not torch.equal(net(x), net(torch.stack([x, -x])))


def test_two_networks_of_different_t_side_by_side():
    x = torch.randn(4, 3, 16, 16)
    nets = [settled(small_vgg(T=T), x) for T in (1, 5)]
    alone = [net(x) for net in nets]
    for i in (1, 0, 1):
        assert torch.equal(nets[i](x), alone[i]) and len(alone[i]) == nets[i].T


def test_sew_adds_after_the_spikes_and_batch_norm_starts_at_v_th():
    net = resnet19(channels=4, neuron=partial(LIF, v_th=0.7))
    norms = [m for m in net.modules() if isinstance(m, (nn.BatchNorm2d, nn.BatchNorm1d))]
    assert all((m.weight == 0.7).all() and (m.bias == 0).all() for m in norms) and len(norms) == 20
    sums = []
    for stage in (net.stage1, net.stage2):
        stage[-1].register_forward_hook(lambda m, i, o: sums.append(o.unique().tolist()))
    net(torch.randn(8, 3, 16, 16))
    assert sums == [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]             # stem and three blocks; skip, and three blocks
    for conv in (m for m in net.modules() if isinstance(m, nn.Conv2d) and m.weight.numel() > 500):
        fan_out = conv.weight.shape[0] * conv.kernel_size[0] ** 2
        assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.15)


def test_batch_norm_sees_time_and_batch_together():
    net = resnet19(channels=4)
    x = torch.randn(2, 6, 3, 8, 8)
    seen = []
    net.stem.neuron.register_forward_hook(lambda m, i, o: seen.append(i[0]))
    net(x)
    current, = seen
    assert torch.allclose(current.mean((0, 1, 3, 4)), torch.zeros(4), atol=1e-5)
    assert torch.allclose(current.var((0, 1, 3, 4), correction=0), torch.ones(4), atol=1e-3)
    assert current[0].mean((0, 2, 3)).abs().max() > 1e-3, "not each timestep alone"


@pytest.mark.parametrize("call, words", [
    (lambda: resnet19(T=2)(torch.randn(3, 2, 3, 8, 8)), ["T=2", "(3, 2, 3, 8, 8)"]),
    (lambda: resnet19()(torch.randn(3, 8, 8)), ["(3, 8, 8)"]),
    (lambda: resnet18()(torch.zeros(1, 3, 8, 8, dtype=torch.uint8)), ["uint8"]),
    (lambda: vggsnn(T=2, size=32)(torch.randn(1, 2, 48, 48)), ["32, 32", "48"]),
    (lambda: vggsnn(T=2, size=32)(torch.randn(1, 3, 32, 32)), ["[B, 2,", "(2, 1, 3, 32, 32)"]),
    (lambda: vggsnn(size=15), ["size=15"]), (lambda: resnet19(channels=0), ["channels=0"]), (lambda: resnet18(T=0), ["T=0"]),
    (lambda: resnet18(num_classes=1.5), ["num_classes=1.5"]), (lambda: resnet18(stem="caffe"), ["stem='caffe'"]),
    (lambda: resnet18(stem="imagenet", channels=3), ["channels=3"])])
def test_bad_networks_and_inputs(call, words):
    with pytest.raises(ValueError) as error:
        call()
    assert all(word in str(error.value) for word in words), error.value


def test_losses():
    logits, labels = torch.randn(3, 5, 7, dtype=torch.float64), torch.tensor([0, 3, 6, 2, 2])
    assert torch.allclose(readout(logits), (logits[0] + logits[1] + logits[2]) / 3)
    for phi, lam, smooth in ((1.0, 1e-3, 0.0), (0.5, 0.3, 0.1)):
        expected = 0
        for t in range(3):
            logp = logits[t] - logits[t].exp().sum(1, keepdim=True).log()
            target = torch.full((5, 7), smooth / 7, dtype=torch.float64)
            target[range(5), labels] += 1 - smooth
            expected += (1 - lam) * -(target * logp).sum(1).mean() / 3 + lam * ((logits[t] - phi) ** 2).mean() / 3
        assert tet_loss(logits, labels, phi, lam, smooth).item() == pytest.approx(expected.item(), rel=1e-12)
    assert tet_loss(logits, labels).item() == tet_loss(logits, labels, 1.0, 1e-3, 0.0).item()


# Probe, energy, calibration

def test_probe_tells_what_the_layer_did():
    layer = LIF(2, f_c=1.1)
    net = nn.Sequential(nn.Identity(), layer)
    current = torch.randn(2, 8, 30) * 2
    with probe(net) as figures:
        spikes = net(current)
    assert layer.figures is None and list(figures) == ["1"]
    f, tau, u = figures["1"], torch.sigmoid(layer.w), 0
    for t in range(2):
        u = tau * u * (1 - spikes[t - 1]) + current[t]
        theta = adaptive_threshold(u, 1.1)
        k = 1 + math.tanh(theta - 1)
        inside = ((u - theta).abs() <= k / 2).float().mean()
        for name, value in dict(firing_rate=spikes[t].mean(), threshold=theta, width=k, u_mean=u.mean(),
                                u_std=u.std(correction=0), gradient_available=inside, floored=0).items():
            assert f[name][t].item() == pytest.approx(float(value), rel=1e-5), name
    with probe(net) as figures:
        net(torch.zeros(2, 8, 30))
        net(current[:, :2])
    assert figures["1"]["floored"].tolist() == pytest.approx([0.8, 0.8])
    assert all(x.shape == (2,) for x in figures["1"].values()), "no spike tensor is kept"


def test_probe_changes_nothing_nests_and_lets_go_on_errors():
    net, x = small_vgg(), torch.randn(4, 3, 16, 16)
    twin = copy.deepcopy(net)
    with probe(net) as outer:
        with pytest.raises(ValueError), probe(net) as inner:
            watched = net(x)
            raise ValueError
        assert len(inner) == 8 and not outer["conv1.neuron"]
    assert torch.equal(watched, twin(x)) and all(m.figures is None for m in net.modules() if isinstance(m, LIF))
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), twin.state_dict().values()))
    with probe(small_vgg(neuron=ReLU)) as figures:
        assert figures == {}


def test_probe_needs_gradients_only_inside_the_window():
    layer = LIF(1)
    current = (torch.randn(1, 400, 3) * 3).requires_grad_()
    with probe(layer) as figures:
        layer(current).sum().backward()
    assert figures[""]["gradient_available"].item() == pytest.approx((current.grad != 0).float().mean().item())


def test_arithmetic_of_table_2():
    assert round(millijoule(2285.35e6, 0), 2) == 10.51
    for ac, mj in ((443.14, 0.43), (1084.02, 1.01), (1047.98, 0.98), (690.84, 0.65), (493.32, 0.48)):
        # Vanilla-SNN: 0.4314 rounds to 0.43; DIET-SNN 1.0082; LTMD 0.9757; ours 0.6543 and 0.4766
        assert round(millijoule(7.08e6, ac * 1e6), 2) == mj


def test_the_papers_mac_column_is_first_and_last_layer_times_t():
    net = resnet19(T=2, channels=128)
    first, last = 3 * 9 * 128 * 32 * 32, 256 * 10
    assert round(2 * (first + last) / 1e6, 2) == 7.08
    net = resnet19(T=2, channels=4)
    net.train()(torch.randn(8, 3, 32, 32))
    assert energy(net, torch.randn(2, 3, 32, 32))["mac"] == 2 * (3 * 9 * 4 * 32 * 32 + last)


def test_energy_counts_what_arrives():
    """Two convolutions on a hand-made pattern: half of the first layer's neurons fire, at T = 2."""
    class Half(LIF):
        def forward(self, current):
            super().forward(current)
            spikes = torch.zeros_like(current)
            spikes[..., ::2] = 1
            return spikes

    def layers(pool):
        b, side = (dsatgo._Fold(nn.AvgPool2d(2)), 4) if pool else (nn.Identity(), 8)
        return dsatgo._Network(2, 1, None, dict(a=dsatgo._conv(1, 3, Half(2)), b=b, c=dsatgo._conv(3, 5, Half(2)),
                                                d=dsatgo._Fold(nn.Flatten(), nn.Linear(5 * side * side, 2, bias=False))))

    x = torch.randn(7, 1, 8, 8)
    first, second, last = 9 * 3 * 64, 3 * 9 * 5 * 64, 5 * 64 * 2
    for net in (layers(False), layers(False).train()):
        count = energy(net, x)
        assert count["mac_ann"] == first + second + last and count["mj_ann"] == pytest.approx(4.6e-9 * (first + second + last))
        assert count["mac"] == 2 * (first + last) and count["ac_paper"] == pytest.approx(2 * second * 0.5)
        assert count["mac_counted"] == 2 * first and count["ac_counted"] == pytest.approx(2 * (second + last) * 0.5)
        assert count["mj_counted"] == pytest.approx((4.6 * 2 * first + 0.9 * (second + last)) * 1e-9)
        assert count["mj_paper"] == pytest.approx((4.6 * 2 * (first + last) + 0.9 * second) * 1e-9)
    net.a.eval()
    assert energy(net, x[:3]) == count and net.training and net.c.training and not net.a.training
    assert energy(net, x[:3]) == count and energy(net, x.expand(2, 7, 1, 8, 8)) == count      # per picture
    pooled = energy(layers(True), x)
    assert pooled["mac_counted"] == 2 * (first + second / 4), "halves arrive: multiply-accumulates"
    assert pooled["ac_paper"] == pytest.approx(2 * second / 4 * 0.5)


def test_energy_counts_a_sew_sum_as_the_spikes_it_adds_up():
    x, arrivals = torch.randn(4, 3, 16, 16), []
    net = settled(resnet19(channels=4, T=1), x)

    def arrive(module, inputs, output):
        arrivals.append((inputs[0], output.numel() * module.weight[0].numel() / 4))

    layers = [m for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear)) and m is not net.stem.current[0]]
    hooks = [m.register_forward_hook(arrive) for m in layers]
    net(x)
    for hook in hooks:
        hook.remove()
    assert max(i.max() for i, _ in arrivals) > 1
    expected = sum(i.mean().item() * ops for i, ops in arrivals if torch.equal(i, i.round()))
    count = energy(net, x)
    assert count["ac_counted"] == pytest.approx(expected, rel=1e-6)
    assert count["mac_counted"] == 3 * 9 * 4 * 256 + 16 * 256     # the first layer, and the pooled one
    ann = energy(resnet19(channels=4, T=1, neuron=ReLU), x)
    assert ann["ac_paper"] == ann["ac_counted"] == 0 and ann["mac"] == ann["mac_ann"] == count["mac_ann"]


def test_calibrate_is_the_plain_mean_over_batches():
    net = small_vgg(neuron=partial(LIF, momentum=0.3))
    batches = [torch.randn(n, 3, 16, 16) * n for n in (5, 6, 7)]
    first = [net.conv1.current[0](x) for x in batches]
    before = copy.deepcopy(net.state_dict())
    net.eval()
    net.conv3.train()
    modes = [m.training for m in net.modules()]
    calibrate(net, iter([batches[0], (batches[1], torch.zeros(6)), [batches[2], None]]))
    assert [m.training for m in net.modules()] == modes and net.conv1.neuron.momentum == 0.3
    norm = net.conv1.current[1]
    assert norm.momentum == 0.1
    mean = torch.stack([y.mean((0, 2, 3)) for y in first]).mean(0)
    assert torch.allclose(norm.running_mean, mean, atol=1e-6)
    thetas = []
    for y in first:
        current = F.batch_norm(y, None, None, norm.weight, norm.bias, training=True)
        thetas.append(adaptive_threshold(current))
    assert net.conv1.neuron.running_threshold[0].item() == pytest.approx(sum(thetas).item() / 3, rel=1e-5)
    assert all(m.updates == 3 for m in net.modules() if isinstance(m, LIF))
    assert all(torch.equal(p, before[name]) for name, p in net.named_parameters()) and net.conv1.neuron.w.grad is None
    again = copy.deepcopy(net.state_dict())
    net.conv1.neuron.running_threshold.fill_(math.nan)
    calibrate(net, batches)                                       # anew: what was there before does not matter
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), again.values()))


def test_calibrate_loses_nothing_when_it_fails():
    net = small_vgg()
    net(torch.randn(4, 3, 16, 16))
    net.eval()
    before = copy.deepcopy(net.state_dict())
    for batches, words in (([], "at least one batch"), ([torch.randn(4, 3, 16, 16), torch.randn(4, 2, 16, 16)], "got"),
                           ([torch.full((4, 3, 16, 16), math.nan)], "finite")):
        with pytest.raises(ValueError, match=words):
            calibrate(net, batches)
        assert not net.training and net.conv1.neuron.momentum == 0.1 and net.conv1.current[1].momentum == 0.1
        assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), before.values()))


# Learning

@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("neuron", [VANILLA, LIF], ids=["vanilla", "AT+TGO"])
def test_memorises_64_pictures(neuron, compiled):
    compile_neurons(compiled)
    net = small_vgg(channels=8, neuron=neuron)
    x, y = torch.randn(64, 3, 16, 16), torch.arange(64) % 10
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
    for neuron, training in itertools.product((LIF, VANILLA, partial(LIF, threshold="learned")), (True, False)):
        net, x = small_vgg(neuron=neuron), torch.randn(4, 3, 16, 16)
        net(x)
        with torch.no_grad():
            net.conv1.current[0].weight[0, 0, 0, 0] = math.nan
        assert F.cross_entropy(readout(net.train(training)(x)), torch.arange(4)).isnan()


# State and precision

def test_state_dict_round_trip_and_deepcopy():
    x = torch.randn(4, 3, 16, 16)
    net = settled(small_vgg(), x)
    net.train()(x).sum().backward()                               # a graph has been built: nothing of it may stay
    other = small_vgg()
    other.load_state_dict(net.state_dict())
    twin = copy.deepcopy(net)
    for module in (net, other, twin):
        module.eval()
    assert torch.equal(net(x), other(x)) and torch.equal(net(x), twin(x)) and net(x).std() > 0.01
    assert net.conv1.neuron.updates == other.conv1.neuron.updates == 2
    with pytest.raises(RuntimeError, match="running_threshold"):
        small_vgg(T=3).load_state_dict(net.state_dict())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_whole_network_in_another_dtype(dtype):
    net, x = small_vgg().to(dtype), torch.randn(8, 3, 16, 16, dtype=dtype)
    loss = F.cross_entropy(readout(net(x)).float(), torch.arange(8))
    loss.backward()
    assert loss.isfinite() and net(x).dtype == dtype
    assert all(p.grad.dtype == dtype and p.grad.isfinite().all() for p in net.parameters())
    assert net.conv1.neuron.running_threshold.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


def test_bf16_autocast_agrees_with_float32():
    net, x = small_vgg(channels=8), torch.randn(16, 3, 16, 16)
    twin = copy.deepcopy(net)
    spikes = {}
    for name, module in (("bf16", net), ("float32", twin)):
        module.conv1.neuron.register_forward_hook(lambda m, i, o, name=name: spikes.update({name: o}))
    with torch.autocast("cpu", torch.bfloat16):
        logits = net(x)
        loss = F.cross_entropy(readout(logits).float(), torch.arange(16) % 10)
    loss.backward()
    twin(x)
    assert spikes["bf16"].dtype == torch.bfloat16
    # bf16 has 8 bits: potentials of about 1 move by up to 2^-8, where their density is at most 0.4
    assert (spikes["bf16"].float() != spikes["float32"]).float().mean() < 0.02
    assert all(p.grad.isfinite().all() for p in net.parameters())
    assert torch.allclose(net.conv1.neuron.running_threshold, twin.conv1.neuron.running_threshold, rtol=1e-2)


def test_checkpointed_network_has_the_same_gradients_and_thresholds():
    net = small_vgg()
    twin, x = copy.deepcopy(net), torch.randn(4, 3, 16, 16)
    net.conv3.forward = partial(torch.utils.checkpoint.checkpoint, net.conv3.forward, use_reentrant=False)
    for module in (net, twin):
        F.cross_entropy(readout(module(x)), torch.arange(4)).backward()
    for (name, p), q in zip(net.named_parameters(), twin.parameters()):
        assert torch.equal(p.grad, q.grad), name
    assert torch.equal(net.conv3.neuron.running_threshold, twin.conv3.neuron.running_threshold)


# Compilation

def gradients(net, forward, x):
    loss = F.cross_entropy(readout(forward(x)), torch.arange(len(x)) % 10)
    return loss.item(), torch.autograd.grad(loss, list(net.parameters()))


def saved_for_backward(net, x):
    """Logits, and the bytes that their backward pass needs beside parameters and input, each storage once."""
    storages, known = {}, {t.untyped_storage().data_ptr() for t in (x, *net.parameters())}

    def pack(tensor):
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = net(x)
    return out, sum(storage.nbytes() for address, storage in storages.items() if address not in known)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("make", [partial(resnet19, channels=4), small_vgg], ids=["resnet19", "vggsnn"])
def test_recompute_keeps_little_and_changes_nothing(make, compiled):
    torch.manual_seed(0)
    x, plain = torch.randn(6, 3, 16, 16), make()
    again = recompute(copy.deepcopy(plain))
    compile_neurons(compiled)
    try:
        for _ in range(2):                                        # twice: running values move from their start
            (a, much), (b, little) = saved_for_backward(plain, x), saved_for_backward(again, x)
            for out in a, b:
                out.square().mean().backward()
    finally:
        compile_neurons(False)
    assert little < much / 2
    for (name, p), q in zip(plain.named_parameters(), again.parameters()):
        assert p.grad.abs().sum() > 0 and torch.equal(p.grad, q.grad), name
    for (name, p), q in zip(plain.named_buffers(), again.buffers()):
        assert torch.equal(p, q), name                            # Eq. 6 and batch norm have seen each batch once
    loss = again(x).square().mean()
    once = torch.autograd.grad(loss, again.parameters(), retain_graph=True)
    assert all(map(torch.equal, once, torch.autograd.grad(loss, again.parameters()))), "as often as without"
    plain(x)
    norm = again.get_submodule("stem" if "stem" in dict(again.named_children()) else "conv1").current[1]
    assert (norm.num_batches_tracked, norm.momentum) == (3, 0.1)
    assert saved_for_backward(recompute(again, False), x)[1] == much
    with torch.no_grad():
        assert torch.equal(plain.eval()(x), recompute(again).eval()(x))


@pytest.mark.parametrize("make", [partial(resnet19, channels=4), partial(resnet18, channels=4, stem="imagenet"), small_vgg,
                                  partial(resnet19, channels=4, neuron=VANILLA), partial(resnet19, channels=4, neuron=ReLU)],
                         ids=["resnet19", "resnet18", "vggsnn", "vanilla", "ann"])
def test_for_inference_is_the_same_network(make):
    torch.manual_seed(0)
    x, net = torch.randn(8, 3, 16, 16, dtype=torch.float64), make().double()
    for norm in (m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)):
        nn.init.normal_(norm.weight, 1, 0.2), nn.init.normal_(norm.bias, 0, 0.2)
    settled(net, x)
    state = copy.deepcopy(net.state_dict())
    fast, shapes = for_inference(net.train()), []
    assert net.training and not fast.training
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items()), "the network itself stays as it was"
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in fast.modules())
    for m in (m for m in fast.modules() if isinstance(m, nn.Conv2d)):
        m.register_forward_hook(lambda module, inputs, out: shapes.append(len(inputs[0])))
    moving = torch.randn(net.T, 8, 3, 16, 16, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(fast(x), net.eval()(x), rtol=0, atol=1e-9)
        assert shapes[0] == 8 and shapes[1] == 8 * net.T, "a still picture passes the first layer once"
        torch.testing.assert_close(fast(moving), net(moving), rtol=0, atol=1e-9)
        assert torch.equal(for_inference(fast)(x), fast(x)), "twice is as good as once"


def test_a_training_step_never_waits_for_the_device():
    from torch.utils._python_dispatch import TorchDispatchMode

    class Reads(TorchDispatchMode):
        names = []

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            self.names.append(function._schema.name.split("::")[1])
            return function(*args, **(kwargs or {}))

    net, x = resnet19(channels=2), torch.randn(4, 3, 16, 16)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    with Reads() as reads:
        F.cross_entropy(readout(net(x)), torch.arange(4)).backward()
        optimizer.step()
        bad = {"_local_scalar_dense", "nonzero", "is_nonzero", "equal"}
        assert len(reads.names) > 1000 and not bad & set(reads.names)
        torch.ones(1).item()
    assert bad & set(reads.names), "the trace sees a read where there is one"


@pytest.mark.parametrize("training", [True, False])
def test_full_graph_compilation(training):
    """Rounding differs under torch.compile, so potentials within it of the threshold may fire the other way: here none does."""
    x = torch.randn(8, 3, 16, 16)
    net = settled(small_vgg(channels=2, neuron=partial(LIF, v_th=0.9)), x).train(training)
    twin = copy.deepcopy(net)
    loss, grads = gradients(net, net, x)
    compiled_loss, compiled_grads = gradients(twin, torch.compile(twin, fullgraph=True), x)
    assert compiled_loss == pytest.approx(loss, rel=1e-5)
    for (name, _), a, b in zip(net.named_parameters(), compiled_grads, grads):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-5), name
    for (name, a), b in zip(net.named_buffers(), twin.buffers()):
        assert torch.allclose(a, b, rtol=1e-5), name
    assert net.conv1.neuron.updates == twin.conv1.neuron.updates == (2 if training else 1)


@pytest.mark.parametrize("threshold, width", [("true", "threshold"), ("fixed", "fixed"), ("estimated", "std"),
                                              ("learned", "threshold"), ("fixed", "threshold")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compiled_neuron_agrees(threshold, width, dtype):
    layer = LIF(3, threshold=threshold, width=width)
    twin = copy.deepcopy(layer)
    current = (torch.randn(3, 10, 700) + 0.3).to(dtype)
    weight = torch.randn(3, 10, 700, dtype=dtype)
    results = []
    for module, compiled in ((layer, False), (twin, True)):
        compile_neurons(compiled)
        x = current.clone().requires_grad_()
        spikes = module(x)
        (spikes * weight).sum().backward()
        results.append((spikes, x.grad, module.w.grad))
    assert dsatgo._compiled, "it did compile"
    (s, dx, dw), (cs, cdx, cdw) = results
    share = (s != cs).float().mean().item()
    # float32: potentials at rounding's distance of the threshold; bf16: unless rounded to bf16 on the way, up to 2^-9 of them
    assert share <= (1e-4 if dtype == torch.float32 else 5e-3), share
    assert 0.05 < s.float().mean() < 0.6 and cs.dtype == dtype
    close = torch.isclose(dx.float(), cdx.float(), rtol=1e-2, atol=1e-4).float().mean().item()
    assert close >= 1 - 3 * share - (1e-4 if dtype == torch.float32 else 5e-3), close
    assert dw.item() == pytest.approx(cdw.item(), rel=1e-3 if dtype == torch.float32 else 0.1)
    assert torch.allclose(layer.running_threshold, twin.running_threshold, rtol=1e-4)


def test_one_graph_for_every_layer_size():
    from torch._dynamo.utils import counters
    torch._dynamo.reset()
    compile_neurons()
    counters.clear()
    layer = LIF(2)
    for shape in ((8, 700), (9, 3, 20, 20), (5000,), (6, 10, 30, 30)):
        for requires_grad in (True, False):
            current = torch.randn(2, *shape, requires_grad=requires_grad)
            layer(current).sum().backward()
    last = torch.randn(12, 5, 30, 30).to(memory_format=torch.channels_last).unflatten(0, (2, 6)).requires_grad_()
    layer(last).sum().backward()
    assert counters["stats"]["unique_graphs"] == 2                # forward and backward
    layer(torch.randn(2, 8, 3)).sum().backward()                  # PyTorch sums up to 4096 elements in another way
    layer(torch.randn(2, 9, 31)).sum().backward()
    assert counters["stats"]["unique_graphs"] == 4


def test_compiled_neurons_swallow_no_nan():
    compile_neurons()
    for layer, training in itertools.product((LIF(2), LIF(2, threshold="fixed", width="fixed")), (True, False)):
        layer.train(training).updates += 1
        current = torch.randn(2, 40, 50)
        current[0, 3, 7] = math.nan
        assert layer(current)[0, 3, 7].isnan() and layer.running_threshold.isfinite().all()


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
    env = dict(os.environ, CXX=str(tmp_path / "no-compiler"), TORCHINDUCTOR_CACHE_DIR=str(tmp_path), PYTHONPATH=str(ROOT),
               CUDA_VISIBLE_DEVICES="")
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "1", done.stderr


@pytest.mark.parametrize("training", [True, False])
def test_export(training):
    x = torch.randn(4, 3, 16, 16)
    net = settled(small_vgg(), x).train(training)
    twin = copy.deepcopy(net)
    exported = torch.export.export(twin, (x,)).module()
    assert torch.allclose(exported(x), net(x), atol=1e-6)
    if training:
        buffers = dict(exported.named_buffers())
        assert torch.allclose(buffers["conv1.neuron.running_threshold"], net.conv1.neuron.running_threshold)


# The file alone

def test_a_copy_of_the_file_alone_in_an_empty_folder(tmp_path):
    shutil.copy(ROOT / "dsatgo.py", tmp_path)
    script = """
import sys
import torch, dsatgo
before = set(sys.modules)
net = dsatgo.resnet19(channels=4)
dsatgo.tet_loss(net(torch.randn(2, 3, 16, 16)), torch.tensor([1, 2])).backward()
assert dsatgo.__file__.startswith(sys.argv[1]), dsatgo.__file__
print("fine")
"""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.stdout == "fine\n", done.stderr


def test_imports_nothing_beyond_the_standard_library_and_torch():
    import ast
    tree = ast.parse((ROOT / "dsatgo.py").read_text())
    top = {alias.name.split(".")[0] for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    top |= {node.module.split(".")[0] for node in tree.body if isinstance(node, ast.ImportFrom)}
    inside = {node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    inside |= {alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert top <= {"torch", *sys.stdlib_module_names} and inside <= {"torch", "torchvision", *sys.stdlib_module_names}
