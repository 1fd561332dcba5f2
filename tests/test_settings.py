"""Every setting of both scripts acts: for each value a run that ignored it would fail. Seen from outside:
what the network computes, which batches arrive, what the optimizer does, which files are written."""

import dataclasses
import json
import os
import types
from functools import partial

import numpy as np
import pytest
import torch
from conftest import TINY, finish, grey_pictures, load, refused, run, table, torchrun
from torch import nn
from torchvision.transforms.functional import to_pil_image

import dsatgo
import reference_numpy as ref
import train_cifar
import train_dvs
from dsatgo import LIF, THRESHOLDS, WIDTHS

NETWORK = dict(
    arch=["resnet18", "resnet19", "vggsnn"],
    threshold=[*THRESHOLDS],
    width=[*WIDTHS],
    channels=[1, 3],
    T=[1, 5],
    f_c=[0.7, 1.2],
    momentum=[None, 0.5, 1.0],
    tau=[0.4, 0.7],
    v_th=[0.5, 2.0],
    kappa=[0.5, 2.0],
    bn_scale=[None, 0.3, 2.0],
    seed=[1, 7],
)
GUARDED = {field: [*values] for field, values in NETWORK.items()}


def guards(field, *values):
    """A test of this field with each of these values; the last test sees that none is missing."""
    GUARDED.setdefault(field, []).extend(values)
    return pytest.mark.parametrize("value", values)


def flags(field, value):
    flag = "--" + field.replace("_", "-")
    if isinstance(value, bool):
        return [flag if value else flag.replace("--", "--no-")]
    return [flag, "none" if value is None else str(value)]


@pytest.fixture(params=["train_cifar", pytest.param("train_dvs", marks=pytest.mark.slow)])
def script(request, recordings):
    if request.param == "train_cifar":
        base = [*TINY, "--limit-train", "10", "--limit-test", "10", "--epochs", "1"]
        module, classes, shape, defaults = train_cifar, 10, (3, 32, 32), dict(T=2, channels=2)
        data = train_cifar.Pictures
    else:
        base = f"--dataset folder --data {recordings} --channels 2 --T 3 --size 16".split()
        base += "--limit-train 10 --limit-test 10 --batch-size 10 --epochs 1 --device cpu".split()
        module, classes, shape, defaults = train_dvs, 2, (2, 16, 16), dict(T=3, channels=2)
        data = train_dvs.Events
    return types.SimpleNamespace(
        base=base, module=module, classes=classes, shape=shape, defaults=defaults, data=data
    )


@pytest.fixture
def go(script, watch, tmp_path, monkeypatch):
    """Run the script with these flags more -> what was seen: calls, steps, batches (key, x, y), out."""
    watch.batches = []
    watch.out = tmp_path / "run"
    fetch = script.data.__getitem__

    def recorded(self, key):
        x, y = fetch(self, key)
        watch.batches.append((key, x, y))
        return x.to(torch.get_default_dtype()), y

    def go(*more, out=watch.out):
        script.module.main([*script.base, *map(str, more), *(["--out", str(out)] if out else [])])
        return watch

    monkeypatch.setattr(script.data, "__getitem__", recorded)
    return go


@pytest.fixture
def double():
    """Networks in float64, where rounding cannot flip a spike."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


# ---- the network ----
def network(script, **changed):
    """The network that these settings mean, by the public constructors."""
    s = types.SimpleNamespace(arch="vggsnn", seed=0, bn_scale=None, **script.defaults)
    s.__dict__.update(changed)
    rules = "tau v_th kappa f_c momentum threshold width".split()
    neuron = partial(LIF, **{name: changed[name] for name in rules if name in changed})
    more = dict(size=script.shape[1]) if s.arch == "vggsnn" else {}
    torch.manual_seed(s.seed)
    make = getattr(dsatgo, s.arch)
    net = make(script.classes, s.T, script.shape[0], s.channels, neuron=neuron, **more)
    for module in net.modules():
        if s.bn_scale is not None and isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.constant_(module.weight, s.bn_scale)
    return net


def timesteps(net):
    return next(module.T for module in net.modules() if isinstance(module, LIF))


def is_network_of_run(net, seen):
    """Start, forward and backward pass, running values and evaluation are those of the run."""
    first, last = seen.calls[:2]
    (step,) = seen.steps
    mine = list(net.parameters())
    close = partial(torch.allclose, rtol=1e-7, atol=1e-9)
    if [p.shape for p in mine] != [p.shape for p in step.before] or len(first.logits) != timesteps(
        net
    ):
        return False
    if (
        first.x.dim() == 5
        and len(first.x) != timesteps(net)
        or not all(map(torch.equal, mine, step.before))
    ):
        return False
    logits = net.train()(first.x)
    logits.backward(first.dlogits)
    if not close(logits, first.logits):
        return False
    if not all(close(p.grad, grad) for p, grad in zip(mine, step.grads)):
        return False
    stored = load(seen.out / "last.pt")["model"]
    if not all(close(buffer, stored[name]) for name, buffer in net.double().named_buffers()):
        return False
    with torch.no_grad():
        for p, after in zip(mine, step.after):
            p.copy_(after)
        return close(net.eval()(last.x), last.logits)


@pytest.mark.parametrize("field, value", [(f, v) for f, vs in NETWORK.items() for v in vs])
def test_what_makes_the_network(field, value, script, go, double):
    seen = go(*flags(field, value))
    assert is_network_of_run(network(script, **{field: value}), seen)
    default = script.defaults.get(field, getattr(script.module.Settings(), field))
    if default != value:
        assert not is_network_of_run(network(script, **{field: default}), seen)


OWN = """
import pathlib
import dsatgo
with open(pathlib.Path(__file__).with_suffix(".log"), "a") as file:
    file.write("executed ")
class Own(dsatgo.LIF):
    def __init__(self, T):
        super().__init__(T, v_th=0.7)
"""


@guards("neuron", "own.py:Own", None)
def test_neuron(value, go, script, tmp_path, capsys):
    """Of one's own: used, and executed only when it is asked for."""
    text = value and str(tmp_path / value)
    (tmp_path / "own.py").write_text(OWN)
    seen = go(*flags("neuron", text), "--epochs", 2, "--stop-after", 1)
    kinds = {type(m).__name__ for m in seen.calls[0].net.modules() if isinstance(m, LIF)}
    assert kinds == {"Own" if value else "LIF"}
    assert load(seen.out / "last.pt")["config"]["neuron"] == text
    if value is None:
        return
    told = partial(refused, capsys, base=[], main=script.module.main)
    log = (tmp_path / "own.log").read_text()
    for asked in ("--resume", "--eval"):
        assert f"--neuron {text}" in told(asked, seen.out)
        assert "--neuron" in told(asked, seen.out, "--neuron", f"{dsatgo.__file__}:LIF")
    assert (tmp_path / "own.log").read_text() == log, "not executed"
    script.module.main(["--eval", str(seen.out), "--neuron", text])
    script.module.main(["--resume", str(seen.out), "--neuron", text])
    assert load(seen.out / "last.pt")["epoch"] == 2


# ---- which samples ----
@pytest.fixture
def samples(script, tmp_path):
    """Flags for a folder, and how many samples to train and to test on it holds."""
    if script.module is train_cifar:
        more = ["--dataset", "folder", "--data", grey_pictures(tmp_path)]
        return more, 20, 20
    return [], 24, 12


def asked(batches, training):
    """The samples of each batch, in order."""
    return [key[0].tolist() for key, *_ in batches if (key[1] is not None) == training]


@guards("batch_size", 4, 7)
def test_batch_size(value, go):
    seen = go("--batch-size", value, "--limit-train", 18, "--limit-test", 9)
    sizes = {True: [], False: []}
    for call in seen.calls:
        sizes[call.training].append(call.logits.shape[1])
    assert sizes[True] == [value] * (18 // value), "the last, incomplete batch is left out"
    assert sizes[False] == [value] * (9 // value) + [9 % value], "but every sample is tested"
    assert len(seen.steps) == 18 // value


def test_a_batch_is_no_larger_than_the_training_set(go):
    assert [c.logits.shape[1] for c in go("--batch-size", 500).calls if c.training] == [10]


@guards("limit_train", 12, 18, None)
def test_limit_train(value, go, samples):
    more, there, _ = samples
    seen = go(*more, "--batch-size", 2, *flags("limit_train", value))
    assert sorted(sum(asked(seen.batches, True), [])) == list(range(value or there))


@guards("limit_test", 6, 8, None)
def test_limit_test(value, go, samples):
    more, _, there = samples
    seen = go(*more, *flags("limit_test", value))
    assert sorted(sum(asked(seen.batches, False), [])) == list(range(value or there))


def fingerprints(x):
    """A number for each sample of a batch."""
    x = x.double().flatten(1)
    return (x * torch.arange(x.shape[1]).sin()).sum(1).tolist()


def test_limits_draw_by_the_seed(go, samples, tmp_path):
    drawn = []
    for i, seed in enumerate((0, 0, 1)):
        seen = go(*samples[0], "--seed", seed, "--limit-test", 5, out=tmp_path / f"{i}")
        tested = [x for key, x, _ in seen.batches if key[1] is None]
        prints = [fingerprints(x if x.dim() == 4 else x.transpose(0, 1)) for x in tested]
        drawn.append(sorted(sum(prints, [])))
        seen.batches.clear()
    assert drawn[0] == drawn[1] != drawn[2]


@guards("seed", 3)
def test_every_epoch_has_an_order_of_its_own_that_the_seed_draws(value, go, tmp_path):
    orders = []
    for i, seed in enumerate((value, value, value + 1)):
        seen = go("--seed", seed, "--epochs", 3, "--limit-train", 20, out=tmp_path / f"{i}")
        batches = asked(seen.batches, True)
        orders.append([sum(batches[2 * epoch : 2 * epoch + 2], []) for epoch in range(3)])
        assert all(sorted(order) == list(range(20)) for order in orders[-1]), "each sample once"
        seen.batches.clear()
    assert orders[0] == orders[1]
    drawn = [*orders[0], *orders[2]]
    assert all(a != b for i, a in enumerate(drawn) for b in drawn[:i]), "no order comes twice"


def test_a_run_resumed_in_epoch_3_sees_what_it_would_have_seen(go, script, tmp_path):
    more = ["--epochs", 3, "--limit-train", 20]
    whole = [(key[1], key[0].tolist(), x) for key, x, _ in go(*more).batches]
    seen = go(*more, "--stop-after", 2, out=tmp_path / "cut")
    seen.batches.clear()
    script.module.main(["--resume", str(tmp_path / "cut")])
    again = [(key[1], key[0].tolist(), x) for key, x, _ in seen.batches]
    assert [part[:2] for part in again] == [part[:2] for part in whole[-3:]], "2 steps, 1 test"
    assert all(torch.equal(a[2], b[2]) for a, b in zip(again, whole[-3:])), "augmented alike"


# ---- the recipe ----
def rates(lr, epochs):
    """Table 3: cosine to 0, a rate an epoch."""
    return [lr * (1 + np.cos(np.pi * epoch / epochs)) / 2 for epoch in range(epochs)]


@guards("lr", 0.0, 0.03, 0.5)
def test_lr(value, go):
    seen = go("--lr", value, "--epochs", 2)
    assert [step.groups[0]["lr"] for step in seen.steps] == pytest.approx(rates(value, 2))
    assert [float(row["lr"]) for row in table(seen.out / "log.csv")] == pytest.approx(
        rates(value, 2)
    )


@guards("epochs", 1, 3)
def test_epochs(value, go):
    seen = go("--epochs", value)
    assert [step.groups[0]["lr"] for step in seen.steps] == pytest.approx(rates(0.1, value))
    assert [row["epoch"] for row in table(seen.out / "log.csv")] == [
        str(i + 1) for i in range(value)
    ]


@guards("stop_after", 1, 2, None)
def test_stop_after(value, go):
    seen = go("--epochs", 3, *flags("stop_after", value))
    ran = value or 3
    assert [step.groups[0]["lr"] for step in seen.steps] == pytest.approx(rates(0.1, 3)[:ran])
    assert load(seen.out / "last.pt")["epoch"] == ran


@guards("weight_decay", 0.0, 0.01, 0.2)
def test_a_step_is_sgd_with_this_decay_and_momentum(value, go, double):
    """Of every parameter, three steps long, against the NumPy reference in float64."""
    seen = go("--weight-decay", value, "--limit-train", 24, "--batch-size", 8, "--lr", 0.05)
    net = seen.calls[0].net
    assert len(seen.steps) == 3
    assert {id(p) for p in seen.steps[0].parameters} == {id(p) for p in net.parameters()}
    velocity = [0.0 for _ in seen.steps[0].before]
    for step in seen.steps:
        for i, (before, grad) in enumerate(zip(step.before, step.grads)):
            weight, velocity[i] = ref.sgd(
                before.numpy(), grad.numpy(), velocity[i], 0.05, 0.9, value
            )
            assert np.allclose(step.after[i].numpy(), weight, rtol=1e-9, atol=1e-12)
    moved = [(a - b).abs().max() > 1e-4 for a, b in zip(seen.steps[-1].after, seen.steps[0].before)]
    assert sum(moved) > len(moved) / 2


@guards("norm_decay", True, False)
def test_norm_decay(value, go):
    seen = go(*flags("norm_decay", value), "--weight-decay", 0.01)
    decays = [(p, g["weight_decay"]) for g in seen.steps[0].groups for p in g["params"]]
    assert len(decays) == len(list(seen.calls[0].net.parameters()))
    assert {p.dim() for p, _ in decays} >= {1, 4}
    assert all(decay == (0.01 if value or p.dim() > 1 else 0) for p, decay in decays)


def test_gradients_are_of_this_step_alone(go, double):
    seen = go("--limit-train", 20)
    net = seen.calls[0].net
    with torch.no_grad():
        for p, before in zip(net.parameters(), seen.steps[1].before):
            p.copy_(before)
    net.zero_grad()
    net.train()(seen.calls[1].x).backward(seen.calls[1].dlogits)
    for p, grad in zip(net.parameters(), seen.steps[1].grads):
        assert torch.allclose(p.grad, grad, rtol=1e-7, atol=1e-9)


@guards("label_smoothing", 0.0, 0.1, 0.4)
def test_label_smoothing(value, go, script):
    """The loss that is minimised, by its gradient at the logits; and the loss in the log."""
    more = ["--lam", 0] if script.module is train_dvs else []
    seen = go(*flags("label_smoothing", value), "--limit-train", 20, *more)
    calls = [call for call in seen.calls if call.training]
    labels = [y.numpy() for key, _, y in seen.batches if key[1] is not None]
    losses = []
    for call, y in zip(calls, labels):
        logits = call.logits.double().numpy()
        if script.module is train_dvs:  # TET: of every timestep
            loss, cache = ref.tet_forward(logits, y, lam=0.0, label_smoothing=value)
            expected = ref.tet_backward(1.0, cache)
        else:
            mean, T = ref.readout_forward(logits)
            loss, cache = ref.cross_entropy_forward(mean, y, value)
            expected = ref.readout_backward(ref.cross_entropy_backward(1.0, cache), T)
        assert np.allclose(call.dlogits.numpy(), expected, rtol=1e-4, atol=1e-6)
        losses.append(loss)
    (row,) = table(seen.out / "log.csv")
    assert float(row["loss"]) == pytest.approx(np.mean(losses), rel=1e-4)


# ---- how it is computed ----
@guards("device", "cpu", "tpu", "cuda:99")
def test_device(value, go, script, capsys, tmp_path):
    if value == "cpu":
        seen = go("--device", value)
        assert {p.device.type for p in seen.calls[0].net.parameters()} == {"cpu"}
        assert json.loads((seen.out / "config.json").read_text())["device"] == "cpu"
    else:
        line = refused(capsys, "--device", value, base=script.base, main=script.module.main)
        assert f"--device {value}" in line


@guards("amp", "off", "bf16", "fp16")
def test_amp(value, go):
    seen = go("--amp", value)
    dtype = dict(off=torch.float32, bf16=torch.bfloat16, fp16=torch.float16)[value]
    assert {call.logits.dtype for call in seen.calls} == {dtype}, "of training and evaluation"
    assert {p.dtype for p in seen.calls[0].net.parameters()} == {torch.float32}
    assert seen.calls[0].dlogits.abs().sum() > 0


@guards("compile", True, False, None)
def test_compile(value, go, monkeypatch):
    used = []

    def compiled(function, *_, **__):
        return lambda *args: used.append(function) or function(*args)

    monkeypatch.setattr(torch, "compile", compiled)
    go(*([] if value is None else flags("compile", value)))
    assert bool(used) == (value is True), "none: on a GPU alone"


@guards("recompute", True, False)
def test_recompute(value, go):
    runs = []
    handle = nn.modules.module.register_module_forward_pre_hook(
        lambda module, x: runs.append(module.training) if isinstance(module, LIF) else None
    )
    try:
        seen = go(*flags("recompute", value))
    finally:
        handle.remove()
    layers = sum(isinstance(module, LIF) for module in seen.calls[0].net.modules())
    assert runs.count(True) == layers * (2 if value else 1) and runs.count(False) == layers


@guards("workers", 0, 1, 2, None)
def test_workers(value, go, script, tmp_path, monkeypatch):
    fetch = script.data.__getitem__

    def told(self, key):
        (tmp_path / str(os.getpid())).touch()
        return fetch(self, key)

    monkeypatch.setattr(script.data, "__getitem__", told)
    go(*flags("workers", value), "--limit-train", 20, "--limit-test", 20)
    others = {path.name for path in tmp_path.iterdir() if path.name.isdigit()} - {str(os.getpid())}
    passes = 2  # workers may live through the run or through one pass
    assert len(others) in ((value, value * passes) if value else (0,))


# ---- files ----
@guards("out", "here", None)
def test_out(value, go, script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    go("--seed", 5, "--width", "std", out=value)
    name = "folder" if script.module is train_dvs else "shapes"
    folder = tmp_path / (value or f"runs/{name}-vggsnn-true-std-5")
    assert load(folder / "last.pt")["epoch"] == 1


@guards("save_every", 1, 3, None)
def test_save_every(value, go, script, monkeypatch, tmp_path):
    """What last.pt holds whenever the next batch is asked for, 4 steps an epoch."""
    fetch = script.data.__getitem__
    out = tmp_path / "run"
    held = []

    def look(self, key):
        if (out / "last.pt").exists():
            checkpoint = load(out / "last.pt")
            held.append((checkpoint["epoch"], checkpoint["steps"]))
        return fetch(self, key)

    monkeypatch.setattr(script.data, "__getitem__", look)
    go(*flags("save_every", value), "--limit-train", 20, "--batch-size", 5, "--limit-test", 5)
    expected = {1: [(0, 1), (0, 2), (0, 3), (0, 4)], 3: [(0, 3), (0, 3)], None: []}
    assert held == expected[value]


@guards("plot", True, False)
def test_plot(value, go):
    pytest.importorskip("matplotlib")
    seen = go(*flags("plot", value))
    assert (seen.out / "curves.png").exists() == value
    if value:
        assert (seen.out / "curves.png").read_bytes().startswith(b"\x89PNG")


@guards("resume", "folder", "file", None)
def test_resume(value, go, script, tmp_path):
    seen = go("--epochs", 2, "--stop-after", 1)
    if value is None:
        assert seen.steps[0].groups[0]["lr"] == 0.1, "from the start"
        return
    before = [p.detach().clone() for p in seen.calls[0].net.parameters()]
    script.module.main(["--resume", str(seen.out if value == "folder" else seen.out / "last.pt")])
    assert len(seen.steps) == 2 and all(map(torch.equal, before, seen.steps[1].before))
    assert [row["epoch"] for row in table(seen.out / "log.csv")] == ["1", "2"]


@guards("eval", "folder", "file", None)
def test_eval(value, go, script, capsys):
    seen = go("--epochs", 1)
    if value is None:
        assert len(seen.steps) == 1, "trained"
        return
    before = seen.calls[-1].logits
    path = seen.out if value == "folder" else seen.out / "last.pt"
    script.module.main(["--eval", str(path)])
    assert len(seen.steps) == 1 and len(seen.calls) == 3 and not seen.calls[-1].training
    assert torch.equal(seen.calls[-1].logits, before), "the same network on the same samples"


@guards("demo", True, False)
def test_demo(value, script, watch, tmp_path, capsys):
    if value and script.module is train_dvs:
        pytest.skip("test_events.py has its demo")
    more = "--channels 1 --T 1 --epochs 1 --limit-train 20 --limit-test 10 --batch-size 20".split()
    base = ["--demo", *more] if value else [*script.base, "--no-demo"]
    script.module.main([*base, "--out", str(tmp_path / "run")])
    networks = {id(call.net) for call in watch.calls if call.training}
    assert len(networks) == (2 if value else 1)
    assert ("mJ/picture" in capsys.readouterr().out) == value


# ---- pictures ----
@guards("image_size", 16, 40)
def test_image_size(value, watch, tmp_path):
    data = grey_pictures(tmp_path)
    run("--dataset", "folder", "--data", data, "--image-size", value, "--out", tmp_path / "run")
    assert {call.x.shape[-2:] for call in watch.calls} == {(value, value)}


@guards("skip_bad", True, False)
def test_skip_bad(value, tmp_path, capsys):
    data = grey_pictures(tmp_path)
    (data / "train" / "a" / "0.png").write_text("this is no picture")
    arguments = ["--dataset", "folder", "--data", data, *flags("skip_bad", value), "--epochs", 1]
    arguments += ["--limit-train", 50, "--out", tmp_path / "run"]
    if value:
        run(*arguments)
        assert load(tmp_path / "run" / "last.pt")["facts"]["samples"] == 19
        assert "0.png" in capsys.readouterr().err
    else:
        assert "0.png" in refused(capsys, *arguments)


@pytest.fixture(params=["shapes", "imagenet"])
def trained_on(request, tmp_path, monkeypatch):
    """load(flags) -> the first training batch and the same samples as they are, without a policy."""
    monkeypatch.setattr(train_cifar.transforms.AutoAugment, "forward", lambda self, x: x)
    for part in ("train", "test"):
        for name in "ab":
            (tmp_path / part / name).mkdir(parents=True)
            for i, x in enumerate(train_cifar.draw_shapes(12, f"{part}{name}", 48)[0]):
                to_pil_image(x).save(tmp_path / part / name / f"{i}.png")
    base = ["--dataset", request.param, "--data", str(tmp_path), "--image-size", "32"]

    def fetch(*more):
        argv = [*base, "--limit-train", "24", "--limit-test", "2", *more]
        config, _ = train_cifar.parse(train_cifar.Settings, "", argv)
        train, _ = train_cifar.load(config)
        return train[torch.arange(24), 0, 0][0], train[torch.arange(24), None, 0][0]

    return fetch


@guards("flip", True, False)
def test_flip(value, trained_on):
    x, _ = trained_on(*flags("flip", value))
    never, plain = trained_on("--no-flip")
    turned = [torch.equal(a, b.flip(2)) and not torch.equal(a, b) for a, b in zip(x, never)]
    same = [torch.equal(a, b) for a, b in zip(x, never)]
    assert all(map(any, zip(turned, same))) and (3 < sum(turned) < 21 if value else all(same))
    assert not torch.equal(never, plain), "crops are as they were"


@guards("augment", True, False)
def test_augment(value, trained_on):
    x, plain = trained_on(*flags("augment", value))
    assert torch.equal(x, plain) != value


@guards("data", "one", "other")
def test_data(value, watch, tmp_path):
    for name, n in (("one", 6), ("other", 8)):
        grey_pictures(tmp_path / name, n)
    data = tmp_path / value / "pictures"
    run(
        "--dataset",
        "folder",
        "--data",
        data,
        "--limit-test",
        50,
        "--batch-size",
        9,
        "--out",
        tmp_path / "run",
    )
    tested = [call.logits.shape[1] for call in watch.calls if not call.training]
    assert tested == [dict(one=6, other=8)[value]] * 3


# ---- several processes ----
PROBE = """
def called(module, inputs, logits):
    if "classes" in dict(module.named_children()) and module.training:
        path = os.environ["STATE"] + os.environ["RANK"]
        if not os.path.exists(path):
            torch.save(module.conv1.neuron.running_threshold.clone(), path)
torch.nn.modules.module.register_module_forward_hook(called)
train_cifar.main(sys.argv[1:])
"""


@pytest.mark.slow
@guards("sync_stats", True, False)
def test_sync_stats(value, tmp_path, monkeypatch):
    """After the first step each process has the thresholds of all pictures, or of its own."""
    monkeypatch.setenv("STATE", str(tmp_path / "state"))
    more = [*flags("sync_stats", value), "--out", tmp_path / "run", "--stop-after", 1]
    code, out, err = finish(torchrun(2, *more, code=PROBE, folder=tmp_path))
    assert code == 0, err
    assert torch.equal(*(load(tmp_path / f"state{rank}") for rank in range(2))) == value


# ---- none is missing ----
def test_every_setting_is_guarded_in_each_of_its_values():
    """A new field, or a new choice of an old one, fails here until it has a test of its own."""
    GUARDED["dataset"] = ["cifar10", "cifar100", "shapes", "folder", "imagenet"]  # test_trainer.py
    for field in dataclasses.fields(train_cifar.Settings):
        values = GUARDED[field.name]
        kind = str(field.type)
        if field.metadata.get("choices"):
            assert set(values) == set(field.metadata["choices"]), field.name
        elif "bool" in kind:
            assert {True, False} <= set(values), field.name
        elif "int" in kind or "float" in kind:
            assert len(set(values) - {None, field.default}) >= 2, field.name
        assert "None" not in kind or None in values, field.name
    assert set(GUARDED) == {field.name for field in dataclasses.fields(train_cifar.Settings)}
