"""On a GPU: the same spikes and gradients as on the CPU, no step that waits for it, runs and their
files. Needs CUDA, and is skipped without."""

import copy
import importlib
import os
import re
import subprocess
import sys
from functools import partial

import pytest
import torch
from conftest import ARMS, ROOT, load, refused, relative, run, table

import dsatgo
import train_cifar
import train_dvs
from dsatgo import (
    LIF,
    Trainer,
    compile_neurons,
    energy,
    for_inference,
    probe,
    recompute,
    resnet19,
    vggsnn,
)

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")

small = partial(resnet19, channels=4)
ON_GPU = "--dataset shapes --channels 4 --limit-train 200 --limit-test 100 --batch-size 20".split()
ON_GPU += "--epochs 2 --device cuda --workers 1".split()


def passes(layer, x, grad):
    """Spikes, and the gradients of all that has one."""
    x = x.detach().requires_grad_()
    spikes = layer(x)
    spikes.backward(grad)
    return [spikes.detach(), x.grad, *(p.grad for p in layer.parameters() if p.grad is not None)]


@pytest.mark.parametrize("threshold, width", ARMS)
def test_a_gpu_computes_what_the_cpu_does(threshold, width):
    x, grad = torch.randn(2, 3, 8, 16, 5, 5, dtype=torch.float64)
    here = LIF(3, threshold=threshold, width=width).double()
    there = copy.deepcopy(here).cuda()
    expected, got = passes(here, x, grad), passes(there, x.cuda(), grad.cuda())
    assert torch.equal(expected[0], got[0].cpu()) and expected[0].any()
    for one, other in zip(expected, got, strict=True):
        assert relative(other.cpu(), one) < 1e-12
    for name, buffer in here.named_buffers():
        assert relative(there.get_buffer(name).cpu(), buffer) < 1e-12, name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("threshold, width", [("fixed", "fixed"), ("true", "threshold")])
def test_compiled_neurons_are_the_eager_ones(threshold, width, dtype):
    x, grad = torch.randn(2, 2, 50, 64, 16, 16, device="cuda").to(dtype)
    eager = LIF(2, threshold=threshold, width=width).cuda()
    compiled = copy.deepcopy(eager)
    expected = passes(eager, x, grad)
    compile_neurons()
    got = passes(compiled, x, grad)
    assert dsatgo.compiled, "it failed and fell back"
    differ = (expected[0] != got[0]).float().mean()
    assert differ < 1e-4 and expected[0].any()
    outside = (expected[1] - got[1]).abs() > 0.02 * expected[1].abs().max()
    assert outside.float().mean() < 1e-3
    assert relative(got[2].float().cpu(), expected[2].float().cpu()) < 1e-3  # the leak's
    for name, buffer in eager.named_buffers():
        assert relative(compiled.get_buffer(name).cpu(), buffer.cpu()) < 1e-5, name


@pytest.mark.parametrize("amp", ["off", "bf16", "fp16"])
@pytest.mark.parametrize("compiled", [False, True])
def test_no_step_waits_for_the_gpu(amp, compiled):
    net = small().cuda()
    recompute(net)
    trainer = Trainer(net, epochs=1, amp=amp)
    x, y = torch.randn(8, 3, 32, 32).pin_memory(), (torch.arange(8) % 10).pin_memory()
    if compiled:
        compile_neurons()
    for _ in range(2):  # what is made once may wait
        trainer.step(x, y)
    torch.cuda.set_sync_debug_mode("error")
    try:
        with pytest.raises(RuntimeError, match="synchroniz"):  # or it would see nothing
            torch.ones(1, device="cuda").item()
        trainer.step(x, y)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert trainer.healthy() and trainer.end_epoch()["samples"] == 24
    assert bool(dsatgo.compiled) == compiled, "it failed and fell back"


@pytest.mark.parametrize("amp", ["off", "bf16", "fp16"])
def test_training_lowers_the_loss(amp):
    pictures, labels = train_cifar.draw_shapes(200, 0)
    x, y = pictures.cuda().float() / 128 - 1, labels.cuda()
    trainer = Trainer(resnet19(channels=8).cuda(), epochs=2, lr=0.05, amp=amp)
    first = [trainer.step(a, b).item() for a, b in zip(x.split(50), y.split(50))]
    for _ in range(15):
        last = [trainer.step(a, b).item() for a, b in zip(x.split(50), y.split(50))]
    assert sum(last) < sum(first) - 0.5


@pytest.mark.parametrize("amp", ["off", "bf16", "fp16"])
def test_a_recorded_step_is_a_plain_one(amp, monkeypatch):
    """Over epochs of other learning rates, with a smaller batch in between; so are evaluations, of
    which a probe sees the batches that it watches."""
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    graphed = importlib.import_module("graphed")
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    compile_neurons()
    torch.manual_seed(0)
    net = small().cuda()
    trainers = [make(copy.deepcopy(net), epochs=4, amp=amp) for make in (Trainer, graphed.Graphed)]
    pictures, labels = train_cifar.draw_shapes(240, 0)
    x, y = pictures.float() / 128 - 1, labels
    seen = [[], []]
    tests = [[], []]
    parts = torch.arange(60).split(8)  # the last one is smaller
    for trainer, losses, results in zip(trainers, seen, tests):
        for epoch in range(3):
            for part in torch.arange(80 * epoch, 80 * (epoch + 1)).split(12):
                losses.append(trainer.step(x[part].pin_memory(), y[part].pin_memory()))
            assert trainer.steps == 7
            trainer.end_epoch()
            results.append(trainer.evaluate((x[part], y[part]) for part in parts))
            with probe(trainer.net) as figures:
                trainer.evaluate([(x[:8], y[:8])])
            results[-1]["firing"] = figures["stem.neuron"]["firing_rate"].mean().item()
    assert trainers[1].plain == 3 + 3, "the first steps, and the smaller batches"
    assert trainers[1].looks == 3 + 3
    states = [trainer.state_dict() for trainer in trainers]
    assert torch.equal(states[0]["scale"], states[1]["scale"])
    for one, other in zip(*seen):
        assert abs(one - other) < 0.02
    for one, other in zip(*tests):
        assert one == pytest.approx(other, abs=0.02)
    assert len({result["loss"] for result in tests[1]}) == 3, "each with the network as it was then"
    for name, value in states[0]["model"].items():
        assert relative(states[1]["model"][name].cpu().float(), value.cpu().float()) < 0.02, name


def test_tools_stay_on_the_gpu():
    x = torch.randn(20, 3, 32, 32, device="cuda")
    net = small().cuda()
    with torch.no_grad():
        net(x)
        net.eval()
        logits = net(x)
        folded = for_inference(net)(x)
        with probe(net) as figures:
            net(x)
    assert logits.is_cuda and relative(folded.cpu(), logits.cpu()) < 0.05
    counted = energy(net, x)
    here = energy(copy.deepcopy(net).cpu(), x.cpu())
    assert counted["mac_ann"] == here["mac_ann"]
    assert counted["mj_paper"] == pytest.approx(here["mj_paper"], rel=0.05)
    assert all(seen["firing_rate"].shape == (2,) for seen in figures.values())


@pytest.mark.parametrize("more", [(), ("--amp", "bf16", "--recompute"), ("--amp", "fp16")])
def test_a_run_is_resumed_and_tested(tmp_path, capsys, more):
    run("--out", tmp_path / "whole", *more, base=ON_GPU)
    run("--out", tmp_path / "halves", "--stop-after", 1, *more, base=ON_GPU)
    run("--resume", tmp_path / "halves", "--stop-after", 2, base=[])
    whole, halves = (load(tmp_path / name / "last.pt") for name in ("whole", "halves"))
    assert whole["epoch"] == halves["epoch"] == 2
    for name in ("whole", "halves"):
        assert "cuda" in (tmp_path / name / "config.json").read_text()
    losses = [float(table(tmp_path / name / "log.csv")[1]["loss"]) for name in ("whole", "halves")]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)  # sums on a GPU have no fixed order
    run("--eval", tmp_path / "whole", base=[])
    said = re.findall(r"test accuracy ([\d.]+)%", capsys.readouterr().out)[-1]
    assert (
        abs(float(said) - 100 * float(table(tmp_path / "whole" / "log.csv")[1]["test_accuracy"]))
        < 3
    )
    net, _ = train_cifar.load_run(tmp_path / "whole")  # on the CPU, from a run on a GPU
    assert net(torch.zeros(1, 3, 32, 32)).isfinite().all()


def test_events_train(tmp_path, recordings):
    small_net = "--channels 2 --size 16 --batch-size 6 --epochs 1 --device cuda --amp bf16"
    base = ["--dataset", "folder", "--data", recordings, *small_net.split()]
    run("--out", tmp_path / "run", base=list(map(str, base)), main=train_dvs.main)
    assert len(table(tmp_path / "run" / "log.csv")) == 1


def test_a_vggsnn_on_a_gpu_is_the_cpus():
    net = vggsnn(T=3, channels=2, size=16).double().eval()
    x = torch.randn(3, 4, 2, 16, 16, dtype=torch.float64)
    here = net(x)
    assert relative(net.cuda()(x.cuda()).detach().cpu(), here.detach()) < 1e-10


def test_one_process_of_nccl_with_synced_statistics(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=1"]
    command += ["--master-port=0", "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"]
    flags = [flag for flag in ON_GPU if flag not in ("--device", "cuda")]
    script = [str(ROOT / "train_cifar.py"), *flags, "--sync-stats", "--out", str(tmp_path / "run")]
    environment = dict(os.environ, OMP_NUM_THREADS="1")
    done = subprocess.run(
        [*command, *script], env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert len(table(tmp_path / "run" / "log.csv")) == 2


def test_too_little_memory_is_one_line(tmp_path, capsys):
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.005)
    try:
        more = ("--channels", 64, "--batch-size", 200, "--no-compile", "--out", tmp_path / "run")
        assert "memory" in refused(capsys, *more, base=ON_GPU)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
