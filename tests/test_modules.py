"""The neuron as an ordinary module, what acts on networks of one's own, the Trainer with any loader,
and the part of dsatgo.py that can be copied alone."""

import copy
import doctest
import inspect
import re
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import ARMS, ROOT
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

import dsatgo
import reference_numpy as ref
from dsatgo import LIF, Rule, Trainer, calibrate, energy, for_inference, probe, recompute, resnet18


# ---- LIF as an ordinary module ----
@pytest.mark.parametrize(
    "name, value",
    [
        ("v_th", 0.5),
        ("kappa", 2.0),
        ("f_c", 1.3),
        ("momentum", 0.5),
        ("momentum", None),
        ("threshold", "estimated"),
        ("threshold", "fixed"),
        ("width", "std"),
        ("width", "fixed"),
    ],
)
def test_attributes_act_when_changed(name, value):
    changed = LIF(3)
    setattr(changed, name, value)
    made = LIF(3, **{name: value})
    made.running_threshold.fill_(1.0)  # of v_th when it was made
    results = []
    for layer in (changed, made, LIF(3)):
        current = torch.linspace(-1, 3, 120).reshape(3, 8, 5).requires_grad_()
        spikes = layer(current)
        spikes.sum().backward()
        results.append((spikes, current.grad, layer.running_threshold, layer.eval()(current)))
    assert all(map(torch.equal, results[0], results[1]))
    assert not all(map(torch.equal, results[0], results[2])), "the change acts"
    assert f"{name}={value!r}" in repr(changed)


def test_an_attribute_that_is_no_rule_is_an_error_at_the_next_call():
    current = torch.randn(2, 4, 5)
    for name in ("threshold", "width"):
        layer = LIF(2)
        setattr(layer, name, "mode")
        with pytest.raises(ValueError, match=f"{name}='mode'"):
            layer(current)


@pytest.mark.parametrize("threshold, width", ARMS)
def test_reset_parameters_puts_all_to_the_start(threshold, width):
    layer = LIF(3, tau=0.3, v_th=0.7, threshold=threshold, width=width)
    start = copy.deepcopy(layer.state_dict())
    layer(torch.randn(3, 40, 5))
    with torch.no_grad():
        layer.w += 1
        layer.a += 1
    layer.reset_parameters()
    assert all(torch.equal(value, start[name]) for name, value in layer.state_dict().items())
    if layer.adaptive:
        for _ in range(2):
            layer.reset_parameters()
            with pytest.warns(UserWarning, match="never updated"):
                layer.eval()(torch.randn(3, 4, 5))
    assert torch.sigmoid(layer.w).item() == pytest.approx(0.3)


def test_a_layer_that_was_reset_warns_again():
    layer = LIF(2)
    current = torch.randn(2, 8, 5)
    layer(current)
    layer.eval()(current)  # looks at what it has averaged
    layer.reset_parameters()
    with pytest.warns(UserWarning, match="never updated"):
        layer(current)


def test_a_synced_layer_evaluates_without_the_others():
    """No process group is there: asking one would be an error."""
    layer = LIF(2, momentum=None, width="std").eval()
    layer.synced = True
    current = torch.randn(2, 8, 5)
    assert torch.equal(layer(current), LIF(2, momentum=None).eval()(current))


def test_synced_statistics_are_not_compiled(monkeypatch):
    """Compiled code would wait for the other processes at another place than theirs."""
    asked = []
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda x: asked.append(x.clone()))
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 1)
    seen = []

    def fake(function, **_):
        def compiled(*args):
            seen.append(function.__name__)
            return function(*args)

        return compiled

    monkeypatch.setattr(torch, "compile", fake)
    dsatgo.compile_neurons()
    current = torch.randn(2, 8, 5)
    for synced, names in ((False, ["lif_forward"]), (True, [])):
        layer = LIF(2)
        layer.synced = synced
        seen.clear()
        layer(current)
        assert seen == names
    assert len(asked) == 2 * 2, "a mean and a variance at each timestep"


def test_parameters_have_one_dimension_and_updates_may_be_averaged():
    """Sharding wants the first; averaged copies of a network make fractions of the second."""
    layer = LIF(2, threshold="learned")
    assert {name: p.shape for name, p in layer.named_parameters()} == {"w": (1,), "a": (1,)}
    layer = LIF(2)
    average = torch.optim.swa_utils.AveragedModel(layer, use_buffers=True)
    for _ in range(4):
        layer(torch.randn(2, 30, 3))
        average.update_parameters(layer)
    assert average.module.updates.item() == pytest.approx(2.5), "of 1, 2, 3 and 4"
    assert layer.half().updates.dtype == torch.float32


def keep(kept, tensor):
    kept.append(tensor)
    return tensor


def test_the_output_may_be_changed_in_place():
    """`out += x` behind a neuron trains as `out + x` does, and one tensor of its size is kept."""
    x = torch.randn(3, 6, 40)
    gradients = []
    for in_place in (False, True):
        current = x.clone().requires_grad_()
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(partial(keep, kept), lambda t: t):
            spikes = LIF(3)(current)
        assert sum(t.numel() for t in kept if t.numel() > 3) == x.numel()
        out = spikes + x
        if in_place:
            out = spikes
            out += x
        (out * x).sum().backward()
        gradients.append(current.grad)
    assert torch.equal(*gradients) and gradients[0].abs().sum() > 0


def test_only_the_spikes_have_a_gradient():
    """A running threshold with one would hold on to the graphs of all batches."""
    layer = LIF(2, threshold="learned")
    other = LIF(2)
    current = torch.randn(2, 8, 5, requires_grad=True)
    for neuron in (layer, other):
        seen = []
        neuron.watch = lambda batch, u, s, theta, fire, k, floor, seen=seen: seen.extend(
            x.requires_grad for x in (u, s, theta, fire, k)
        )
        for _ in range(2):
            neuron(current).sum().backward()
        assert seen == 2 * [False, True, False, False, False]
        assert not neuron.running_threshold.requires_grad


def small(T=2):
    return nn.Sequential(nn.Linear(6, 9), LIF(T), nn.Linear(9, 4, bias=False))


def test_functional_call_and_func_grad():
    net = small().double()
    x = torch.randn(2, 7, 6, dtype=torch.float64)
    y = torch.randint(4, (7,))
    parameters = {name: p.detach() for name, p in net.named_parameters()}
    buffers = dict(net.named_buffers())

    def loss(parameters, buffers):
        logits = torch.func.functional_call(net, (parameters, buffers), (x,))
        return F.cross_entropy(dsatgo.readout(logits), y)

    for training in (True, False):
        net.train(training)
        net[1].updates += 1
        copies = {name: value.clone() for name, value in buffers.items()}
        gradients = torch.func.grad(loss)(parameters, copies)
        net.zero_grad()
        F.cross_entropy(dsatgo.readout(net(x)), y).backward()
        for name, p in net.named_parameters():
            assert torch.allclose(gradients[name], p.grad, rtol=1e-9), name
        assert gradients["1.w"].abs().sum() > 0


def test_where_the_running_threshold_comes_down_to_the_floor_the_probe_says_so():
    layer = LIF(1)
    for _ in range(120):
        layer(torch.full((1, 20, 3), -5.0))
    with probe(layer) as figures:
        layer.eval()(torch.zeros(1, 20, 3))
    assert layer.running_threshold > 1e-3, "it comes from above"
    assert figures[""]["floored"].item() == 1
    layer.running_threshold.fill_(0.1)
    with probe(layer) as figures:
        layer(torch.zeros(1, 20, 3))
    assert figures[""]["floored"].item() == 0


# ---- networks ----
def test_a_slice_of_a_network_is_its_layers():
    for net in (
        dsatgo.resnet19(channels=2),
        dsatgo.vggsnn(channels=1, size=16, T=2, in_channels=3),
    ):
        x = torch.randn(3, 3, 16, 16)
        seen = []
        net[-1].register_forward_hook(lambda _, inputs, __, seen=seen: seen.append(inputs[0]))
        net(x)
        calibrate(net, [x])
        seen.clear()
        net.eval()(x)
        assert torch.equal(net[:-1].eval()(x), seen[0])
        assert len(net[:-1]) == len(net) - 1 and net[1] is list(net.children())[1]


def test_a_neuron_may_see_the_batch_norm_that_it_follows():
    class Follower(LIF):
        def follows(self, norm):
            self.norm = norm
            norm.bias.data.fill_(0.25)

    net = dsatgo.vggsnn(channels=1, size=16, T=2, neuron=Follower)
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    neurons = [m for m in net.modules() if isinstance(m, LIF)]
    assert len(neurons) == 8 and all((norm.bias == 0.25).all() for norm in norms)
    assert [neuron.norm for neuron in neurons] == list(dict.fromkeys(norms))


def test_networks_are_listed_once():
    assert set(dsatgo.NETWORKS) >= {"resnet18", "resnet19", "vggsnn"}
    assert all(getattr(dsatgo, name) is make for name, make in dsatgo.NETWORKS.items())


def test_what_works_on_layers_of_this_file_refuses_other_networks():
    for act in (recompute, for_inference):
        with pytest.raises(ValueError, match="Sequential"):
            act(small())


# ---- energy of a network of one's own ----
class Firing(LIF):
    """Half of its neurons fire, at every timestep."""

    def forward(self, current):
        spikes = torch.zeros_like(current)
        spikes[..., ::2] = 1
        return spikes


def folded(layer):
    """A layer without time, on [T*B, ...]."""

    class Folded(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            return self.layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    return Folded()


def test_energy_counts_linear_layers_on_t_b_d():
    net = nn.Sequential(nn.Linear(6, 8), Firing(3), nn.Linear(8, 8), Firing(3), nn.Linear(8, 4))
    count = energy(net, torch.randn(3, 5, 6), batch=5)
    assert count["mac_ann"] == 48 + 64 + 32
    assert count["mac"] == 3 * (48 + 32), "the first, and the last, at every timestep"
    assert count["ac_paper"] == pytest.approx(3 * 64 * 0.5)
    assert count["mac_counted"] == 3 * 48
    assert count["ac_counted"] == pytest.approx(3 * (64 + 32) * 0.5)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_energy_counts_convolutions_of_any_dimension(dimensions):
    conv = [nn.Conv1d, nn.Conv2d, nn.Conv3d][dimensions - 1]
    net = nn.Sequential(
        folded(conv(2, 6, 3, padding=1)), Firing(2), folded(conv(6, 4, 1, groups=2))
    )
    side = [8, 4, 4][:dimensions]
    count = energy(net, torch.randn(2, 3, 2, *side), batch=3)
    places = int(np.prod(side))
    first = 6 * places * 2 * 3**dimensions
    last = 4 * places * 3  # half of six channels each
    assert count["mac_ann"] == first + last and count["mac"] == 2 * (first + last)
    assert count["ac_counted"] == pytest.approx(2 * last * 0.5)


def test_energy_needs_to_know_the_batch_and_refuses_one_that_does_not_fit():
    x = torch.randn(2, 5, 6)
    with pytest.raises(ValueError, match="batch=None"):
        energy(small(), x)
    with pytest.raises(ValueError, match=r"batch=4.*\[2, 5, 6\]"):
        energy(small(), x, batch=4)


@pytest.mark.parametrize(
    "make, kind",
    [
        (lambda: nn.MultiheadAttention(8, 2), "MultiheadAttention"),
        (lambda: nn.LSTM(8, 8), "LSTM"),
        (lambda: nn.ConvTranspose1d(8, 8, 3), "ConvTranspose1d"),
        (lambda: nn.Bilinear(8, 8, 8), "Bilinear"),
    ],
)
def test_energy_names_a_layer_that_it_cannot_count(make, kind):
    net = nn.Sequential(nn.Linear(6, 8), LIF(2))
    net.add_module("strange", make())
    with pytest.raises(ValueError, match=f"strange, a {kind}"):
        energy(net, torch.randn(2, 5, 6), batch=5)


def test_energy_of_a_layer_that_looks_at_a_still_picture_once():
    class Still(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(6, 8)
            self.rest = nn.Sequential(Firing(4), nn.Linear(8, 3))

        def forward(self, x):  # [B, 6]
            return self.rest(self.first(x).expand(4, -1, -1))

    count = energy(Still(), torch.randn(5, 6), batch=5)
    assert count["mac_ann"] == 48 + 24 and count["mac"] == 48 + 4 * 24


# ---- Trainer ----
def test_the_example_of_trainer_runs():
    runner = doctest.DocTestRunner()
    for test in doctest.DocTestFinder(recurse=False).find(Trainer, globs=vars(dsatgo).copy()):
        runner.run(test)
    assert runner.summarize(verbose=False) == (0, 3)


def test_trainer_takes_any_network_and_loader():
    """A perceptron and PyTorch's own loader, against the NumPy reference's SGD and the cosine."""
    net = nn.Sequential(nn.Linear(6, 9), LIF(2), nn.Linear(9, 4)).double()
    x = torch.randn(40, 6, dtype=torch.float64)
    y = torch.randint(4, (40,))
    data = torch.utils.data.TensorDataset(x, y)

    class Repeated(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            return self.net(x.expand(2, *x.shape))

    trainer = Trainer(Repeated(), epochs=3, lr=0.2, weight_decay=0.01)
    weights = [p.detach().numpy().copy() for p in net.parameters()]
    velocity = [0.0 for _ in weights]
    while trainer.epoch < 3:
        rate = 0.2 * (1 + np.cos(np.pi * trainer.epoch / 3)) / 2
        hits = 0
        losses = []
        for a, b in torch.utils.data.DataLoader(data, batch_size=10):
            twin = copy.deepcopy(net).train()
            logits = dsatgo.readout(twin(a.expand(2, *a.shape)))
            loss = F.cross_entropy(logits, b, label_smoothing=0.1)
            gradients = torch.autograd.grad(loss, list(twin.parameters()))
            assert trainer.step(a, b).item() == pytest.approx(loss.item())
            hits += (logits.argmax(1) == b).sum().item()
            losses.append(loss.item())
            for i, (p, g) in enumerate(zip(net.parameters(), gradients)):
                step = ref.sgd(weights[i], g.numpy(), velocity[i], rate, 0.9, 0.01)
                weights[i], velocity[i] = step
                assert np.allclose(p.detach().numpy(), weights[i], rtol=1e-9, atol=1e-12)
        assert trainer.steps == 4
        seen = trainer.end_epoch()
        assert seen["loss"] == pytest.approx(np.mean(losses)) and seen["samples"] == 40
        assert seen["accuracy"] == pytest.approx(hits / 40) and trainer.steps == 0
    assert trainer.healthy() and trainer.rate() == pytest.approx(0)
    trainer.epoch = 5  # beyond the schedule it does not rise again
    assert trainer.rate() == pytest.approx(0)
    result = trainer.evaluate([(x[:25], y[:25]), (x[25:], y[25:])])
    logits = dsatgo.readout(net.eval()(x.expand(2, 40, 6)))
    assert result["accuracy"] == pytest.approx((logits.argmax(1) == y).double().mean().item())
    smooth = F.cross_entropy(logits, y, label_smoothing=0.1).item()
    assert result["loss"] == pytest.approx(smooth, rel=1e-5)


@pytest.mark.parametrize("amp", ["off", "bf16", "fp16"])
def test_a_trainer_restored_goes_on_as_if_nothing_had_happened(amp):
    def made():
        torch.manual_seed(0)
        return Trainer(dsatgo.vggsnn(T=2, channels=1, size=16), epochs=2, amp=amp)

    random = torch.Generator().manual_seed(1)
    batches = [(torch.randn(4, 2, 16, 16, generator=random), torch.arange(4)) for _ in range(5)]
    whole = made()
    for batch in batches:
        whole.step(*batch)
    cut = made()
    for batch in batches[:3]:
        cut.step(*batch)
    state = copy.deepcopy(cut.state_dict())
    assert set(state) == set("model momentum scale rng meters epoch steps".split())
    assert state["steps"] == 3 and state["meters"][2] == 12
    other = made()
    torch.manual_seed(5)
    other.load_state_dict(state | dict(epoch=1))
    assert (other.epoch, other.steps) == (1, 3)
    other.load_state_dict(state)
    assert torch.equal(torch.get_rng_state(), state["rng"])
    for batch in batches[3:]:
        other.step(*batch)
    assert other.end_epoch() == whole.end_epoch()
    for a, b in zip(other.net.state_dict().values(), whole.net.state_dict().values()):
        assert torch.equal(a, b)


@pytest.mark.parametrize("amp", ["off", "bf16"])
def test_steps_that_were_skipped_change_no_later_one(amp):
    """However many: without fp16 the scale must not fade."""
    x, y = torch.randn(2, 6, 5), torch.arange(6) % 3
    bad = torch.full_like(x, torch.inf)
    nets = []
    for skipped in (0, 300):
        torch.manual_seed(0)
        trainer = Trainer(nn.Linear(5, 3), epochs=1, amp=amp)
        for _ in range(3):
            for _ in range(skipped // 3):
                trainer.step(bad, y)
            trainer.step(x, y)
        assert trainer.healthy() == (skipped == 0)
        nets.append(trainer.net)
    for a, b in zip(nets[0].parameters(), nets[1].parameters()):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_healthy_sees_a_weight_that_is_not_finite_and_a_scale_that_fell():
    trainer = Trainer(dsatgo.vggsnn(T=1, channels=1, size=16), epochs=1, amp="fp16")
    trainer.step(torch.randn(2, 2, 16, 16), torch.tensor([0, 1]))
    assert trainer.healthy()
    trainer.scaler.update(0.5)
    assert not trainer.healthy()
    trainer.scaler.update(2.0)
    assert trainer.healthy()
    next(trainer.net.parameters()).data.view(-1)[0] = torch.inf
    assert not trainer.healthy()


def test_healthy_sees_a_statistic_that_is_not_finite():
    trainer = Trainer(small(), epochs=1)
    assert trainer.healthy()
    trainer.net[1].running_threshold[1] = torch.nan
    assert not trainer.healthy()


def test_trainer_evaluates_between_two_steps_and_changes_nothing():
    net = small()
    trainer = Trainer(net, epochs=2)
    x = torch.randn(2, 7, 6)
    y = torch.randint(4, (7,))
    trainer.step(x, y)
    before = copy.deepcopy(trainer.state_dict())
    with_graph = []
    handle = net.register_forward_hook(lambda _, __, out: with_graph.append(out.requires_grad))
    result = trainer.evaluate([(x, y)])
    handle.remove()
    assert with_graph == [False]
    for name, value in trainer.state_dict()["model"].items():
        assert torch.equal(value, before["model"][name]), name
    assert torch.equal(trainer.meters, before["meters"]) and trainer.steps == 1
    logits = dsatgo.readout(net.eval()(x))
    smooth = F.cross_entropy(logits, y, label_smoothing=0.1).item()
    assert result["loss"] == pytest.approx(smooth)
    assert result["accuracy"] == pytest.approx((logits.argmax(1) == y).float().mean().item())
    trainer.step(x, y)
    assert net.training and net[1].updates == 2, "a step after an evaluation trains"


def test_processes_add_up_their_meters_and_share_rank_0s_buffers(monkeypatch):
    """As if another process had seen the same, and rank 0's buffers were all 3."""
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda x: x.mul_(2))
    monkeypatch.setattr(torch.distributed, "broadcast", lambda x, source: x.fill_(3 + source))
    trainer = Trainer(small(), epochs=2)
    trainer.world = 2
    x = torch.randn(2, 7, 6)
    y = torch.randint(4, (7,))
    trainer.step(x, y)
    own = trainer.meters.clone()
    state = copy.deepcopy(trainer.state_dict())
    assert own[2] == 7 and torch.equal(state["meters"], 2 * own)
    assert torch.equal(trainer.meters, own), "saving adds nothing up"
    assert torch.equal(state["model"]["1.running_threshold"], torch.full((2,), 3.0))
    for rank in (0, 1):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        other = Trainer(small(), epochs=2)
        other.world = 2
        other.load_state_dict(state)
        assert torch.equal(other.meters, 2 * own * (rank == 0))
    seen = []
    trainer.net[1].running_threshold.zero_()
    trainer.net.register_forward_hook(lambda net, *_: seen.extend(net[1].running_threshold))
    trainer.evaluate([(x, y)])
    assert seen == [3, 3], "evaluation begins with rank 0's"
    assert trainer.end_epoch()["samples"] == 14


def test_trainer_restores_the_scale():
    trainer, other = (Trainer(small(), epochs=1, amp="fp16") for _ in range(2))
    trainer.scaler.scale(torch.zeros(1))
    trainer.scaler.update(8.0)
    trainer.scaler._growth_tracker.fill_(5)
    other.load_state_dict(trainer.state_dict())
    assert other.scaler.get_scale() == 8 and other.scaler.state_dict()["_growth_tracker"] == 5


def test_trainer_refuses_an_unknown_precision():
    with pytest.raises(ValueError, match="amp='int8'"):
        Trainer(small(), epochs=1, amp="int8")


# ---- the part that can be copied alone ----
@pytest.mark.slow
def test_everything_above_the_line_works_alone(tmp_path):
    text = (ROOT / "dsatgo.py").read_text()
    lines = text.splitlines()
    ends = [i for i, line in enumerate(lines) if "copy everything above" in line]
    assert len(ends) == 1
    (tmp_path / "neuron.py").write_text("\n".join(lines[: ends[0]]) + "\n")
    script = """
import torch
from neuron import LIF, compile_neurons
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(2, 40), LIF(4), torch.nn.Linear(40, 40), LIF(4), torch.nn.Linear(40, 2))
x = torch.rand(200, 2) * 2 - 1
y = (x[:, 0] * x[:, 1] > 0).long()
optimizer = torch.optim.Adam(net.parameters(), 0.02)
for _ in range(150):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(net(x.expand(4, -1, -1)).mean(0), y).backward()
    optimizer.step()
print(net.eval()(x.expand(4, -1, -1)).mean(0).argmax(1).eq(y).float().mean().item())
"""
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-c",
            f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{script}",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0.9, "it has learned which quadrants are alike"


def test_the_file_says_where_it_is_from():
    head = inspect.getdoc(dsatgo)
    assert all(word in head for word in ("AAAI 2026", "MIT licence", "version 1.0"))


def test_compile_neurons_tells_how_it_was(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    assert dsatgo.compile_neurons() is False
    assert dsatgo.compile_neurons() is True
    assert dsatgo.compile_neurons(False) is True
    assert dsatgo.compile_neurons(False) is False


@pytest.mark.filterwarnings("ignore:.*CUDA is not available")
@pytest.mark.parametrize("arm", ARMS, ids="-".join)
def test_a_step_on_a_gpu_makes_every_tensor_there(arm, monkeypatch):
    """Without a GPU: nothing is computed, but a tensor made on the CPU meets others, and fails."""
    lif = partial(LIF, threshold=arm[0], width=arm[1])
    with FakeTensorMode():
        with torch.device("cuda"):  # all that follows must say itself where it makes a tensor
            net = resnet18(channels=2, neuron=lif)
            x = torch.empty(4, 3, 16, 16)
            y = torch.empty(4, dtype=torch.long)
            current = torch.empty(2, 100, dtype=torch.bfloat16)
        trainer = Trainer(net, 1, amp="bf16")
        # autograd's engine and the fused optimizer ask for a real device
        monkeypatch.setattr(torch.Tensor, "backward", lambda loss: None)
        monkeypatch.setattr(trainer.optimizer, "step", lambda: None)
        with probe(net) as figures:
            loss = trainer.step(x, y)
        layer = net.stem.neuron
        tau = layer.w.sigmoid()
        rule = Rule(*arm, 1.0, 1.0, 1.0, False)
        _, *made = dsatgo.lif_forward(current, tau, layer.thresholds(tau), rule)
        _, fire, k, *u = made
        made += dsatgo.lif_backward(current, fire, k, tau, arm[0] == "learned", *u)
    made += [loss, trainer.meters, *net.buffers()]
    made += [state["momentum_buffer"] for state in trainer.optimizer.state.values()]
    made += [value for figure in figures.values() for value in figure.values()]
    assert {x.device.type for x in made if isinstance(x, torch.Tensor)} == {"cuda"}


PLANNER = ROOT.parent / "shared" / "tools" / "gpu_plan.py"


@pytest.mark.skipif(not PLANNER.exists(), reason="needs the tool that reads inductor's plan")
def test_what_a_gpu_would_run():
    """Read off the code that torch.compile would generate for an H100, for layers of ResNet-19."""
    done = subprocess.run([sys.executable, PLANNER, ROOT], capture_output=True, text=True)
    pattern = (
        r"(\w+) of ([\d,]+) neurons: (\d+) kernels, ([\d.]+) bytes .* in \[(.*?)\] blocks, (\d+)"
    )
    plans = re.findall(pattern, done.stdout)
    assert len(plans) == 4, done.stdout + done.stderr
    for name, size, kernels, moved, blocks, float32 in plans:
        most_kernels, most_bytes = dict(forward=(9, 14), backward=(3, 10))[name]
        assert int(kernels) <= most_kernels
        assert float(moved) <= most_bytes
        assert float32 == "0"
        if size == "13,107,200":
            assert all(int(n) >= 132 for n in blocks.split(","))
