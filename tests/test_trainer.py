"""The trainer, by running train_cifar.py itself, shrunk with its own flags."""

import dataclasses
import itertools
import json
import math
import os
import pathlib
import pickle
import re
import resource
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import time
import types
import urllib.error
from functools import partial

import numpy as np
import pytest
import torch
import torchvision
from conftest import (
    FOLDER,
    ROOT,
    TINY,
    assert_same,
    assert_same_run,
    cifar_files,
    finish,
    grey_pictures,
    load,
)
from conftest import refused, run, table, torchrun
from torch import nn
from torchvision.transforms import functional as TF
from torchvision.transforms.functional import to_pil_image

import dsatgo
import reference_numpy as ref
import train_cifar
from train_cifar import CLASSES, Pictures, draw_shapes, main


def test_a_run_writes_what_it_should(tmp_path, capsys):
    out = tmp_path / "run"
    run("--out", out, "--stop-after", 2)
    rows = table(out / "log.csv")
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert set(rows[0]) == {
        "epoch",
        "loss",
        "train_accuracy",
        "test_accuracy",
        "lr",
        "images_per_s",
        "seconds",
        "peak_memory_mb",
    }
    assert [float(row["lr"]) for row in rows] == pytest.approx([0.1, 0.075]), (
        "--stop-after leaves the schedule alone"
    )
    layers = table(out / "layers.csv")
    assert len(layers) == 2 * 8 * 2 and {row["layer"] for row in layers} == {
        f"conv{i}.neuron" for i in range(1, 9)
    }
    assert all(
        0 <= float(row["firing_rate"]) <= 1 and float(row["threshold"]) > 0 for row in layers
    )
    seen = "firing_rate gradient_available threshold width u_mean u_std floored tau gamma"
    assert set(layers[0]) == {"epoch", "layer", "timestep", *seen.split()}
    config = json.loads((out / "config.json").read_text())
    assert (
        config["settings"]["seed"] == 0
        and config["device"] == "cpu"
        and config["torch"] == torch.__version__
    )
    assert config["facts"]["classes"] == CLASSES and len(config["facts"]["mean"]) == 3
    last, best = load(out / "last.pt"), load(out / "best.pt")
    assert set(last) == {*"model momentum scale rng meters epoch steps best config facts".split()}
    assert set(best) == {"model", "epoch", "best", "config", "facts"}
    assert last["epoch"] == 2 and best["epoch"] == last["best"]["epoch"]
    assert (
        float(rows[last["best"]["epoch"] - 1]["test_accuracy"])
        == last["best"]["accuracy"]
        == max(float(row["test_accuracy"]) for row in rows)
    )
    lines = capsys.readouterr().out.splitlines()
    assert (
        len(lines) == 4
        and f"test accuracy {float(rows[-1]['test_accuracy']):.2%}" in lines[-1]
        and "best over epochs" in lines[-1]
    )
    assert not list(out.glob("*.tmp"))


def test_resume_after_an_epoch_is_bit_for_bit(tmp_path):
    run("--out", tmp_path / "whole")
    run("--out", tmp_path / "parts", "--stop-after", 1)
    run("--resume", tmp_path / "parts", "--stop-after", 2, base=[])
    assert load(tmp_path / "parts" / "last.pt")["epoch"] == 2
    run(
        "--resume", tmp_path / "parts" / "last.pt", "--workers", 2
    )  # the same flags again, another worker count
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_step_saves_and_resumes_bit_for_bit(
    tmp_path, monkeypatch, capsys, number
):
    run("--out", tmp_path / "whole")
    before, handler, calls = Pictures.__getitem__, signal.getsignal(number), []

    def interrupted(self, key):
        calls.append(key)
        if len([k for k in calls if k[1] == 1]) == 2:  # in the second step of the second epoch
            calls.clear()
            os.kill(os.getpid(), number)
        return before(self, key)

    with monkeypatch.context() as patch, pytest.raises(SystemExit) as stop:
        patch.setattr(Pictures, "__getitem__", interrupted)
        run("--out", tmp_path / "cut")
    assert stop.value.code == 128 + number and signal.getsignal(number) == handler, (
        "as it was before the run"
    )
    assert f"--resume {shlex.quote(str(tmp_path / 'cut'))}" in capsys.readouterr().out
    checkpoint = load(tmp_path / "cut" / "last.pt")
    assert (checkpoint["epoch"], checkpoint["steps"]) == (1, 2)
    run("--resume", tmp_path / "cut", "--workers", 1, base=[])
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_save_every_saves_within_the_epoch_and_a_crash_loses_no_more(tmp_path, monkeypatch):
    run("--out", tmp_path / "whole", "--save-every", 3)
    before = Pictures.__getitem__

    def crash(self, key):
        if key[1] == 1 and crash.calls == 3:
            raise RuntimeError("the power is gone")
        crash.calls += key[1] == 1
        return before(self, key)

    crash.calls = 0
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="power"):
        patch.setattr(Pictures, "__getitem__", crash)
        run("--out", tmp_path / "cut", "--save-every", 3)
    checkpoint = load(tmp_path / "cut" / "last.pt")
    assert (checkpoint["epoch"], checkpoint["steps"]) == (1, 3)
    run("--resume", tmp_path / "cut", base=[])
    assert_same_run(tmp_path / "whole", tmp_path / "cut")
    rows = table(tmp_path / "cut" / "log.csv")
    images = [float(row["images_per_s"]) * float(row["seconds"]) for row in rows]
    assert images == pytest.approx([40, 10, 40]), "the rate is of this process's steps"


def test_a_checkpoint_is_whole_or_not_there(tmp_path, monkeypatch, capsys):
    run("--out", tmp_path / "run", "--stop-after", 1)
    good = (tmp_path / "run" / "last.pt").read_bytes()

    def full(state, file):
        file.write(b"half a check")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    assert "No space left" in refused(capsys, "--resume", tmp_path / "run")
    assert (tmp_path / "run" / "last.pt").read_bytes() == good


def test_resume_refuses_a_changed_setting_by_name(tmp_path, capsys):
    out = tmp_path / "run"
    run("--out", out, "--stop-after", 1)
    for flag, value in (
        ("--lr", 0.2),
        ("--threshold", "fixed"),
        ("--batch-size", 20),
        ("--epochs", 9),
        ("--seed", 1),
        ("--momentum", "none"),
    ):
        message = refused(capsys, "--resume", out, flag, value, base=[])
        assert flag in message and "last.pt" not in message
    run("--resume", out, "--out", tmp_path / "elsewhere", "--lr", 0.1, "--stop-after", 2, base=[])
    assert (tmp_path / "elsewhere" / "last.pt").exists() and load(out / "last.pt")["epoch"] == 1
    assert "--eval" in refused(capsys, "--resume", out, "--eval", out, base=[])


def test_fit_resumes_no_changed_setting_and_changes_nothing_then(tmp_path):
    run("--out", tmp_path, "--stop-after", 1)
    config, _ = train_cifar.parse(train_cifar.Settings, "", ["--eval", str(tmp_path)])
    config = dataclasses.replace(config, eval=None, resume=str(tmp_path))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for changed in (dict(lr=0.5), dict(threshold="fixed"), dict(momentum=None)):
        other = dataclasses.replace(config, **changed)
        with pytest.raises(ValueError, match=f"--{[*changed][0]} .*: the run of .* has"):
            train_cifar.fit(other, *train_cifar.load(other))
    other = dataclasses.replace(config, resume=None, eval=str(tmp_path), out=None)
    _, test = train_cifar.load(other, load(tmp_path / "last.pt")["facts"])
    net = train_cifar.fit(other, None, test)["net"]
    assert_same(dict(net.state_dict()), dict(load(tmp_path / "last.pt")["model"]))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    train_cifar.fit(config, *train_cifar.load(config))
    assert len(table(tmp_path / "log.csv")) == 3


def test_eval_finds_the_accuracy_of_the_log_again(tmp_path, capsys):
    out = tmp_path / "run"
    run("--out", out, "--stop-after", 2)
    rows = table(out / "log.csv")
    listing = sorted(out.iterdir())
    capsys.readouterr()
    run("--eval", out, "--batch-size", 7, base=[])
    assert f"test accuracy {float(rows[1]['test_accuracy']):.2%}" in capsys.readouterr().out
    run("--eval", out / "best.pt", "--workers", 1, base=[])
    assert (
        f"test accuracy {max(float(row['test_accuracy']) for row in rows):.2%}"
        in capsys.readouterr().out
    )
    assert sorted(out.iterdir()) == listing
    for amp in ("bf16", "fp16"):
        run("--eval", out, "--amp", amp, base=[])
    for more in (["--arch", "resnet18"], ["--stop-after", 5], ["--plot"], ["--demo"]):
        assert more[0] in refused(capsys, "--eval", out, *more, base=[])


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--lr", "-1"], ["--lr", "-1"]),
        (["--lr", "nan"], ["--lr"]),
        (["--lr", "fast"], ["--lr", "fast"]),
        (["--T", "0"], ["--T"]),
        (["--epochs", "0"], ["--epochs"]),
        (["--momentum", "2"], ["momentum", "2"]),
        (["--momentum", "x"], ["--momentum", "x"]),
        (["--tau", "1"], ["tau"]),
        (["--threshold", "adaptive"], ["--threshold", "adaptive"]),
        (["--dataset", "mnist"], ["mnist"]),
        (["--learning-rate", "1"], ["--learning-rate"]),
        (["--epoch", "1"], ["--epoch"]),
        (["--workers", "-1"], ["--workers"]),
        (["--resume", "nowhere"], ["nowhere"]),
        (["--device", "gpu"], ["gpu"]),
        (["--channels", "0"], ["--channels"]),
        (["--amp", "fp8"], ["fp8"]),
        (["--f-c", "0"], ["f_c"]),
        (["--eval", "nowhere.pt"], ["nowhere.pt"]),
        (["stray"], ["stray"]),
        (["--label-smoothing", "2"], ["--label-smoothing 2"]),
        (["--limit-train", f"{10**30}"], ["--limit-train 1000"]),
        (["--seed", f"{2**64}"], ["--seed"]),
        (["--f-c", "nan"], ["--f-c nan"]),
        (["--neuron", "nowhere.py:LIF"], ["--neuron nowhere.py:LIF", "FILE.py:NAME"]),
        (["--neuron", "LIF"], ["--neuron LIF"]),
        (["--neuron", f"{dsatgo.__file__}:Lif"], ["KeyError('Lif')"]),
        (["--neuron", f"{dsatgo.__file__}:LIF", "--demo"], ["--neuron with --demo"]),
    ],
)
def test_bad_settings_end_in_one_line(arguments, words, capsys, tmp_path):
    message = refused(capsys, *arguments, "--out", tmp_path / "run")
    assert all(word in message for word in words), message


def test_help_names_every_flag_its_default_and_the_paper(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert stop.value.code == 0
    for field in dataclasses.fields(train_cifar.Settings):
        flag = "--" + field.name.replace("_", "-")
        assert f"{flag} " in text or f"{flag}," in text, flag
        assert f"[{'none' if field.default is None else field.default}]" in text
    assert text.count("(paper:") >= 20


def test_damaged_checkpoints_are_named_and_run_no_code(tmp_path, capsys):
    path = tmp_path / "last.pt"

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    torch.save({"model": Evil(), "config": {}}, path)
    assert str(path) in refused(capsys, "--resume", path, base=[])
    assert not (tmp_path / "executed").exists()
    for content in (b"", b"not a checkpoint", pickle.dumps([1, 2])):
        path.write_bytes(content)
        assert "no checkpoint" in refused(capsys, "--resume", path, base=[])
    torch.save({"model": {}}, path)
    assert "no checkpoint" in refused(capsys, "--eval", path, base=[])


def test_a_living_or_finished_run_is_not_overwritten(tmp_path, capsys):
    out = tmp_path / "run"
    out.mkdir()
    script = "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.lockf(f, fcntl.LOCK_EX); print('locked', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script, out / "lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"locked\n"
        assert "another run" in refused(capsys, "--out", out)
        other.kill()  # the lock dies with the process
    run("--out", out, "--stop-after", 1)
    before = (out / "last.pt").read_bytes()
    assert "--resume" in refused(capsys, "--out", out)
    run("--out", tmp_path / "other", "--stop-after", 2)
    assert "a run is there" in refused(
        capsys, "--resume", tmp_path / "other", "--out", out, base=[]
    )
    assert (out / "last.pt").read_bytes() == before


def test_resume_elsewhere_takes_the_logs_along(tmp_path):
    run("--out", tmp_path / "whole")
    run("--out", tmp_path / "first", "--stop-after", 2)
    run("--resume", tmp_path / "first", "--out", tmp_path / "second", base=[])
    assert_same_run(tmp_path / "whole", tmp_path / "second")
    assert (
        load(tmp_path / "second" / "best.pt")["epoch"]
        == load(tmp_path / "second" / "last.pt")["best"]["epoch"]
    )
    (tmp_path / "early").mkdir()  # as within the first epoch: nothing but last.pt
    (tmp_path / "early" / "last.pt").write_bytes((tmp_path / "first" / "last.pt").read_bytes())
    run("--resume", tmp_path / "early", "--out", tmp_path / "third", base=[])
    assert load(tmp_path / "third" / "last.pt")["epoch"] == 3


def test_rows_of_epochs_that_are_trained_again_are_replaced(tmp_path):
    """As when a run ends between its log and its checkpoint."""
    run("--out", tmp_path / "whole")
    run("--out", tmp_path / "cut", "--stop-after", 1)
    early = (tmp_path / "cut" / "last.pt").read_bytes()
    run("--resume", tmp_path / "cut", "--stop-after", 2, base=[])
    (tmp_path / "cut" / "last.pt").write_bytes(early)
    run("--resume", tmp_path / "cut", base=[])
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_a_folder_that_was_moved_goes_on_where_it_is(tmp_path):
    run("--out", tmp_path / "here", "--stop-after", 1)
    (tmp_path / "here").rename(tmp_path / "there")
    run("--resume", tmp_path / "there", base=[])
    assert load(tmp_path / "there" / "last.pt")["epoch"] == 3 and not (tmp_path / "here").exists()


def test_what_only_says_where_and_how_a_run_runs_may_change(tmp_path):
    """The same pictures elsewhere, other workers, saved more often, recomputed: the same end."""
    more = ["--dataset", "folder", "--epochs", 2]
    data = grey_pictures(tmp_path)
    run(*more, "--data", data, "--out", tmp_path / "whole", base=FOLDER)
    run(*more, "--data", data, "--out", tmp_path / "cut", "--stop-after", 1, base=FOLDER)
    data.rename(tmp_path / "moved")
    changed = ["--data", tmp_path / "moved", "--workers", 1, "--save-every", 1, "--recompute"]
    changed += ["--device", "cpu:0", "--no-compile", "--out", tmp_path / "cut"]
    run("--resume", tmp_path / "cut", *changed, base=[])
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_best_pt_is_tested_but_not_resumed(tmp_path, capsys):
    run("--out", tmp_path, "--stop-after", 1)
    assert "last.pt" in refused(capsys, "--resume", tmp_path / "best.pt", base=[])
    run("--eval", tmp_path / "best.pt", base=[])


@pytest.mark.parametrize("caller", [True, False])
@pytest.mark.parametrize("asked", [["--compile"], ["--no-compile"], []])
def test_a_run_leaves_compiled_neurons_as_the_caller_had_them(tmp_path, monkeypatch, caller, asked):
    used = []

    def compiled(function, **_):
        return lambda *args: used.append(function) or function(*args)

    monkeypatch.setattr(torch, "compile", compiled)
    dsatgo.compile_neurons(caller)
    run("--out", tmp_path / "run", "--stop-after", 1, *asked)
    assert bool(used) == (asked == ["--compile"] or caller and not asked)
    assert dsatgo.compile_neurons(caller) == caller


def test_after_an_exception_nothing_is_switched_on(tmp_path, monkeypatch):
    def crash(self, key):
        raise RuntimeError("the power is gone")

    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    monkeypatch.setattr(Pictures, "__getitem__", crash)
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(RuntimeError, match="power"):
        run("--out", tmp_path / "run", "--compile")
    assert dsatgo.compile_neurons(False) is False
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def test_resume_of_a_file_in_this_folder_writes_here(tmp_path, monkeypatch):
    run("--out", tmp_path / "run", "--stop-after", 1)
    listing = sorted(path.name for path in (tmp_path / "run").iterdir())
    monkeypatch.chdir(tmp_path / "run")
    run("--resume", "last.pt", "--stop-after", 2, base=[])
    assert [row["epoch"] for row in table(tmp_path / "run" / "log.csv")] == ["1", "2"]
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == listing


def test_resume_refuses_other_data(tmp_path, capsys, folder):
    run(
        "--dataset",
        "folder",
        "--data",
        folder,
        "--out",
        tmp_path / "run",
        "--epochs",
        2,
        "--stop-after",
        1,
        base=FOLDER,
    )
    next((folder / "train" / "disc").iterdir()).unlink()
    assert "samples" in refused(capsys, "--resume", tmp_path / "run", base=[])


def test_a_demo_arm_is_a_run_like_any_other(tmp_path, capsys):
    run(
        "--demo",
        "--epochs",
        1,
        "--limit-train",
        25,
        "--limit-test",
        20,
        "--channels",
        2,
        "--out",
        tmp_path,
        base=[],
    )
    (row,) = table(tmp_path / "AT+TGO" / "log.csv")
    capsys.readouterr()
    run("--eval", tmp_path / "AT+TGO", base=[])
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and f"{float(row['test_accuracy']):.2%}" in out


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(tmp_path, capsys):
    message = refused(capsys, "--lr", 1e38, "--out", tmp_path / "run")
    assert "epoch 1, step" in message and "1e+38" in message
    message = refused(
        capsys, "--lr", 1e38, "--limit-train", 10, "--out", tmp_path / "one-step"
    )  # found when it is evaluated
    assert "after epoch 1" in message and not (tmp_path / "one-step" / "last.pt").exists()


# ---- what is written is what happened ----
@pytest.fixture
def fetched(monkeypatch):
    """Every batch that Pictures gave out: (key, x, y)."""
    batches = []
    fetch = Pictures.__getitem__

    def recorded(self, key):
        batches.append((key, *fetch(self, key)))
        return batches[-1][1:]

    monkeypatch.setattr(Pictures, "__getitem__", recorded)
    return batches


def scores(calls, batches):
    """Mean loss and accuracy over these batches, by NumPy."""
    losses = []
    hits = []
    for call, (_, _, y) in zip(calls, batches, strict=True):
        mean, _ = ref.readout_forward(call.logits.double().numpy())
        loss, _ = ref.cross_entropy_forward(mean, y.numpy(), 0.1)
        losses += [loss] * len(y)
        hits += (mean.argmax(1) == y.numpy()).tolist()
    return np.mean(losses), np.mean(hits)


@pytest.fixture
def noisy():
    """Logits that differ from timestep to timestep, so that it matters which of them are read."""

    def shaken(module, inputs, logits):
        if "classes" in dict(module.named_children()):
            return logits + 2 * torch.randn_like(logits)

    handle = nn.modules.module.register_module_forward_hook(shaken)
    yield
    handle.remove()


def test_log_csv_is_what_happened(noisy, watch, fetched, tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    begin = time.perf_counter()
    run("--out", tmp_path / "run", "--stop-after", 2, "--limit-test", 25)
    elapsed = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    rows = table(tmp_path / "run" / "log.csv")
    assert len(rows) == 2 and len(watch.calls) == 2 * (4 + 3)
    for epoch, row in enumerate(rows):
        part = slice(7 * epoch, 7 * epoch + 4), slice(7 * epoch + 4, 7 * epoch + 7)
        loss, train = scores(watch.calls[part[0]], fetched[part[0]])
        _, test = scores(watch.calls[part[1]], fetched[part[1]])
        expected = dict(epoch=epoch + 1, loss=loss, train_accuracy=train, test_accuracy=test)
        expected["lr"] = watch.steps[4 * epoch].groups[0]["lr"]
        for name, value in expected.items():
            assert float(row[name]) == pytest.approx(value, rel=1e-5), name
        assert float(row["images_per_s"]) * float(row["seconds"]) == pytest.approx(40)
        assert before <= float(row["peak_memory_mb"]) <= after
    assert 0 < sum(float(row["seconds"]) for row in rows) < elapsed
    assert len({row["loss"] for row in rows}) == 2 and set(row) == {*expected, *MEASURED}


def test_a_terminal_sees_how_far_the_run_is(tmp_path, capsys, monkeypatch):
    """Where each step of ten pictures takes ten seconds."""
    monkeypatch.setattr(train_cifar.time, "perf_counter", partial(next, itertools.count(0.0, 10)))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    run("--out", tmp_path / "run", "--epochs", 2)
    lines = capsys.readouterr().out.replace("\n", "\r").split("\r")
    shown = [line.split() for line in lines if " step " in line]
    places = [("epoch", f"{i + 1}/2", "step", f"{j + 1}/4") for i in range(2) for j in range(4)]
    assert [tuple(words[:4]) for words in shown] == places
    left = ["0:01:10", "0:01:00", "0:00:50", "0:00:40", "0:00:30", "0:00:20", "0:00:10", "0:00:00"]
    assert [(*words[-4:-2], *words[-2:]) for words in shown] == [
        ("1", "images/s", "left", time) for time in left
    ]
    for row, words in zip(table(tmp_path / "run" / "log.csv"), (shown[3], shown[7]), strict=True):
        so_far = ["loss", f"{float(row['loss']):.4f}", "acc", f"{float(row['train_accuracy']):.2%}"]
        assert words[4:8] == so_far, "the last step's is the epoch's"


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_config_names_the_commit_of_the_program_not_of_the_folder_it_is_run_in(
    tmp_path, monkeypatch
):
    def commit(folder):
        command = ["git", "-C", folder, "rev-parse", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip() or None

    git = ["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "of another project"], check=True)
    monkeypatch.chdir(tmp_path)
    run("--out", "run", "--stop-after", 1)
    named = json.loads((tmp_path / "run" / "config.json").read_text())["git"]
    assert named == commit(pathlib.Path(dsatgo.__file__).parent) != commit(tmp_path)


MEASURED = ["images_per_s", "seconds", "peak_memory_mb"]


def network_of(checkpoint):
    """The network of a TINY run or of a demo's, by the public constructors."""
    config = types.SimpleNamespace(**checkpoint["config"])
    rules = dict(threshold=config.threshold, width=config.width)
    size = dict(size=32) if config.arch == "vggsnn" else {}
    make = getattr(dsatgo, config.arch)

    def neuron(T):
        return dsatgo.LIF(T, **rules)

    net = make(10, config.T, 3, config.channels, neuron=neuron, **size)
    net.load_state_dict(checkpoint["model"])
    return net.eval()


def test_layers_csv_is_what_the_probe_sees_on_the_test_set(watch, tmp_path):
    run("--out", tmp_path / "run", "--stop-after", 2)
    net = network_of(load(tmp_path / "run" / "last.pt"))
    with torch.no_grad(), dsatgo.probe(net) as figures:
        for call in watch.calls[-2:]:
            net(call.x)
    rows = table(tmp_path / "run" / "layers.csv")
    assert [row["epoch"] for row in rows] == ["1"] * 16 + ["2"] * 16
    expected = [(layer, t, seen) for layer, seen in figures.items() for t in range(2)]
    for row, (layer, t, seen) in zip(rows[16:], expected, strict=True):
        assert (row.pop("epoch"), row.pop("layer"), row.pop("timestep")) == ("2", layer, str(t + 1))
        name = layer.removesuffix(".neuron")
        tau = net.get_parameter(f"{layer}.w").sigmoid().item()
        wanted = {name: value[t].item() for name, value in seen.items()}
        wanted |= dict(tau=tau, gamma=net.get_submodule(name).current[1].weight.mean().item())
        assert {name: float(value) for name, value in row.items()} == pytest.approx(
            wanted, rel=1e-5
        )
    assert len({row["gamma"] for row in rows[16:]}) == len({row["tau"] for row in rows[16:]}) == 8
    assert len({row["u_std"] for row in rows}) > 16, "the epochs differ"


def test_layers_of_a_network_of_ones_own_have_rows_too():
    net = nn.Sequential(nn.Linear(6, 9), dsatgo.LIF(3, tau=0.3))
    with dsatgo.probe(net) as figures:
        net(torch.randn(3, 5, 6))
    rows = train_cifar.layer_rows(net, 2, figures)
    assert [(row["epoch"], row["layer"], row["timestep"]) for row in rows] == [
        (2, "1", t) for t in (1, 2, 3)
    ]
    assert rows[0]["tau"] == pytest.approx(0.3) and math.isnan(rows[0]["gamma"])


def test_best_is_the_best_over_epochs(tmp_path, fetched, capsys):
    """In the third and fourth of five epochs every test picture is classified right, else none is."""
    states = []

    def forged(module, inputs, logits):
        if "classes" in dict(module.named_children()) and not module.training:
            states.append({k: v.clone() for k, v in module.state_dict().items()})
            label = fetched[-1][2] if len(states) in (5, 6, 7, 8) else fetched[-1][2] + 1
            return nn.functional.one_hot(label % 10, 10).float().expand(2, -1, -1)

    handle = nn.modules.module.register_module_forward_hook(forged)
    try:
        run("--out", tmp_path, "--epochs", 5)
    finally:
        handle.remove()
    accuracies = [float(row["test_accuracy"]) for row in table(tmp_path / "log.csv")]
    assert accuracies == [0, 0, 1, 1, 0]
    best, last = load(tmp_path / "best.pt"), load(tmp_path / "last.pt")
    assert (best["epoch"], last["epoch"]) == (3, 5), "the first of equals"
    assert last["best"] == best["best"] == dict(accuracy=1.0, epoch=3)
    for checkpoint, state in ((best, states[4]), (last, states[9])):
        assert all(torch.equal(value, state[name]) for name, value in checkpoint["model"].items())
    line = capsys.readouterr().out.splitlines()[-1]
    assert "test accuracy 0.00% after epoch 5" in line and "100.00%, epoch 3" in line


@pytest.mark.slow
def test_the_demos_two_networks_and_its_table(watch, capsys, tmp_path):
    more = ["--epochs", 1, "--limit-train", 100, "--limit-test", 40, "--channels", 4]
    run("--demo", *more, "--out", tmp_path, base=[])
    names, *lines = capsys.readouterr().out.splitlines()[-3:]
    columns = "accuracy firing +- over layers with gradient least layer mJ/picture"
    assert names.split() == ["arm", *columns.split()]
    starts = [step for step in watch.steps[:: len(watch.steps) // 2]]
    rules = {"vanilla": ("fixed", "fixed"), "AT+TGO": ("true", "threshold")}
    for arm, line, start in zip(rules, lines, starts, strict=True):
        out = tmp_path / arm
        checkpoint = load(out / "last.pt")
        net = network_of(
            checkpoint
            | dict(config=checkpoint["config"] | dict(zip(("threshold", "width"), rules[arm])))
        )
        norms = [
            torch.full_like(p, 0.2)
            for p in start.before
            if p.dim() == 1 and len(p) > 1 and (p > 0).all()
        ]
        assert len(norms) == 20 and all(any(torch.equal(a, b) for b in start.before) for a in norms)
        ours = [call for call in watch.calls if call.net is not None and not call.training]
        mine = [call for call in ours if is_of(call.net, checkpoint)][:2]
        pictures = torch.cat([call.x for call in mine])
        assert len(pictures) == 40
        counted = [call for call in ours if is_of(call.net, checkpoint)][-1].x  # by `energy`
        assert_same(sorted(counted.tolist()), sorted(pictures.tolist()), "as they are tested")
        with torch.no_grad(), dsatgo.probe(net) as figures:
            logits = [net(call.x) for call in mine]
        assert all(torch.allclose(a, call.logits, atol=1e-5) for a, call in zip(logits, mine)), (
            "the rule is the arm's"
        )
        firing, inside = (
            [seen[name].mean().item() for seen in figures.values()]
            for name in ("firing_rate", "gradient_available")
        )
        (row,) = table(out / "log.csv")
        expected = [
            100 * float(row["test_accuracy"]),
            100 * statistics.mean(firing),
            100 * statistics.pstdev(firing),
        ]
        expected += [
            100 * statistics.mean(inside),
            100 * min(inside),
            dsatgo.energy(net, pictures)["mj_paper"],
        ]
        words = line.split()
        assert words[0] == arm
        shown = [float(word.rstrip("%")) for word in words[1:]]
        assert shown[:5] == pytest.approx(expected[:5], abs=0.051) and shown[5] == pytest.approx(
            expected[5], abs=5.1e-5
        )
    assert len(set(shown)) == 6, "columns that are equal could be swapped"


def is_of(net, checkpoint):
    return all(
        torch.equal(value, checkpoint["model"][name]) for name, value in net.state_dict().items()
    )


# ---- what is said, and what is left behind ----
def test_a_run_says_what_it_is_before_it_begins(tmp_path, capsys):
    more = ["--threshold", "fixed", "--width", "fixed", "--epochs", 3, "--out", tmp_path]
    run("--stop-after", 1, *more)
    first = capsys.readouterr().out.splitlines()[0]
    net = network_of(load(tmp_path / "last.pt"))
    size = f"{sum(p.numel() for p in net.parameters()):,}"
    facts = load(tmp_path / "last.pt")["facts"]
    config = load(tmp_path / "last.pt")["config"]
    words = [config["arch"], size, "fixed threshold, fixed width", "cpu", str(tmp_path)]
    words += [f"{facts['samples']} + {config['limit_test']} samples of 10 classes"]
    assert all(word in first for word in words) and "epochs 1 to 1" in first
    run("--resume", tmp_path, base=[])
    assert "epochs 2 to 3" in capsys.readouterr().out.splitlines()[0]


def test_after_a_minute_a_run_says_when_it_should_end_once(tmp_path, capsys, monkeypatch):
    """Where output is no terminal. A clock that runs twenty seconds a look."""
    clock = itertools.count(0, 20)
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    run("--out", tmp_path, "--epochs", 3)
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if " ends " in line]
    assert re.match(
        r"epoch [12]/3  step \d+/\d+  loss [\d.]+  acc .*ends \d\d \w+ \d\d:\d\d$", line
    )
    assert "\r" not in out


@pytest.mark.parametrize("dataset", ["folder", "imagenet"])
def test_a_trained_network_predicts_what_it_was_tested_on(folder, tmp_path, dataset):
    more = ["--dataset", dataset, "--data", folder, "--image-size", 24, "--T", 2]
    more += ["--channels", 2, "--workers", 0, "--batch-size", 8, "--limit-test", 1]
    run(*more, "--out", tmp_path / "run", "--epochs", 1, base=[])
    net, prepare = train_cifar.load_run(tmp_path / "run")
    assert prepare.classes == ["câdre é", "disc", "ring"] and not net.training
    checkpoint = load(tmp_path / "run" / "last.pt")
    assert_same(dict(net.state_dict()), checkpoint["model"])
    config = train_cifar.Settings(**checkpoint["config"] | dict(eval="x"))
    _, test = train_cifar.load(config, checkpoint["facts"])
    expected = test[torch.arange(1), None, 0][0]
    data = sorted((folder / "test").rglob("*.*"))
    inputs = torch.cat([prepare(path) for path in data])
    assert inputs.shape == (20, 3, 24, 24)
    assert any(torch.allclose(x, expected[0], atol=1e-6) for x in inputs)
    accuracy = (net(expected).mean(0).argmax(1) == test.labels).double().mean()
    (row,) = table(tmp_path / "run" / "log.csv")
    assert accuracy == float(row["test_accuracy"])
    with pytest.raises(ValueError, match="no checkpoint"):
        train_cifar.load_run(tmp_path / "none")


# ---- pictures arrive as the recipe says ----
@pytest.fixture
def inverted(monkeypatch):
    """In AutoAugment's place: the negative. -> (policy, picture) of every call."""
    calls = []

    def negative(self, picture):
        calls.append((self.policy.value, picture))
        if isinstance(picture, torch.Tensor):
            return 255 - picture
        return TF.invert(picture)

    monkeypatch.setattr(torchvision.transforms.AutoAugment, "forward", negative)
    return calls


def crops(picture):
    """Every crop of a picture [3, 32, 32] after 4 pixels of padding, and its flip, as bytes."""
    padded = nn.functional.pad(picture, (4, 4, 4, 4))
    found = [padded[:, i : i + 32, j : j + 32] for i in range(9) for j in range(9)]
    return {x.contiguous().numpy().tobytes() for y in found for x in (y, y.flip(2))}


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_arrives_as_the_recipe_says(name, tmp_path, monkeypatch, watch, fetched, inverted):
    train, test, classes = cifar_files(name, tmp_path, monkeypatch)
    run(
        "--dataset",
        name,
        "--data",
        tmp_path,
        "--out",
        tmp_path / "run",
        "--limit-test",
        100,
        "--limit-train",
        10000,
        "--epochs",
        2,
        base=[*FOLDER, "--batch-size", "50"],
    )
    facts = load(tmp_path / "run" / "last.pt")["facts"]
    levels = np.concatenate([x.double().numpy().reshape(3, -1) / 255 for x, _ in train], 1)
    assert facts["classes"] == classes
    assert facts["mean"] == pytest.approx(levels.mean(1), abs=6e-5)
    assert facts["std"] == pytest.approx(levels.std(1), abs=6e-5)
    mean, std = (torch.tensor(facts[key])[:, None, None] for key in ("mean", "std"))
    drawn = {}
    for (indices, epoch, _), x, y in fetched:
        pixels = ((x * std + mean) * 255).round().to(torch.uint8)
        for i, picture, label in zip(indices.tolist(), pixels, y.tolist()):
            original, its_label = (test if epoch is None else train)[i]
            assert label == its_label
            if epoch is None:
                assert torch.equal(picture, original), "the test pass augments nothing"
            else:
                drawn[i, epoch] = (255 - picture).numpy().tobytes()
                assert drawn[i, epoch] in crops(original)
    assert len(inverted) == 2 * len(train), (
        "AutoAugment: once for each picture, none in the test pass"
    )
    assert {policy for policy, _ in inverted} == {"cifar10"}
    assert {picture.numpy().tobytes() for _, picture in inverted} == set(drawn.values())
    same = [drawn[i, 0] == drawn[i, 1] for i in range(len(train))]
    assert sum(same) < len(train) / 10, "drawn anew in every epoch"


def test_labels_of_drawn_cifar_pictures_are_drawn_along(tmp_path, monkeypatch):
    train, test, _ = cifar_files("cifar10", tmp_path, monkeypatch)
    settings = train_cifar.Settings(data=str(tmp_path), limit_train=30, limit_test=15)
    for data, files, n in zip(train_cifar.load(settings), (train, test), (30, 15), strict=True):
        known = {picture.numpy().tobytes(): label for picture, label in files}
        labels = [known[picture.contiguous().numpy().tobytes()] for picture in data.images]
        assert data.labels.tolist() == labels and len(labels) == n
        assert labels != [label for _, label in files[:n]], "not the first ones"


@pytest.mark.parametrize("dataset", ["cifar10", "cifar100"])
def test_cifar_has_one_size_and_drawn_pictures_have_any(dataset, tmp_path, monkeypatch, capsys):
    cifar_files(dataset, tmp_path / "data", monkeypatch)
    more = ["--dataset", dataset, "--data", tmp_path / "data", "--image-size", 64]
    assert "--image-size 64: " in refused(capsys, *more, base=FOLDER)
    assert not (tmp_path / "runs").exists()
    more = ["--limit-train", 20, "--limit-test", 10, "--image-size", 16, "--out", tmp_path / "run"]
    run("--dataset", "shapes", *more, base=FOLDER)
    net, prepare = train_cifar.load_run(tmp_path / "run")
    to_pil_image(torch.zeros(3, 40, 30, dtype=torch.uint8)).save(tmp_path / "x.png")
    assert prepare(tmp_path / "x.png").shape == (1, 3, 16, 16)
    assert net(prepare(tmp_path / "x.png")).shape == (2, 1, 10)


def test_cifar_is_downloaded_where_it_is_not(tmp_path, monkeypatch):
    asked = []

    def download(url, root, **_):
        asked.append(url)
        cifar_files("cifar10", pathlib.Path(root), monkeypatch)

    monkeypatch.setattr(torchvision.datasets.cifar, "download_and_extract_archive", download)
    for out in ("first", "second"):
        more = ["--dataset", "cifar10", "--data", tmp_path / "new", "--out", tmp_path / out]
        run(*more, "--limit-train", 10, "--limit-test", 10, base=FOLDER)
    assert asked == [torchvision.datasets.CIFAR10.url]


def test_drawn_test_and_training_pictures_differ(fetched, tmp_path):
    run("--out", tmp_path, "--limit-train", 20, "--limit-test", 20, "--stop-after", 1)
    facts = load(tmp_path / "last.pt")["facts"]
    train, test = train_cifar.load(
        train_cifar.Settings(dataset="shapes", limit_train=20, limit_test=20)
    )
    assert train.facts["classes"] == facts["classes"]
    same = [(a == b).all() for a in train.images for b in test.images]
    assert len(same) == 400 and not any(same)
    other, _ = train_cifar.load(train_cifar.Settings(dataset="shapes", limit_train=20, seed=1))
    assert not any((a == b).all() for a, b in zip(train.images, other.images)), "the seed draws"


def test_labels_of_drawn_samples_are_drawn_along(tmp_path, fetched, inverted):
    more = ["--data", grey_pictures(tmp_path), "--limit-train", 9, "--limit-test", 11]
    run("--dataset", "folder", *more, "--out", tmp_path / "run", base=FOLDER)
    facts = load(tmp_path / "run" / "last.pt")["facts"]
    mean, std = (torch.tensor(facts[key])[:, None, None] for key in ("mean", "std"))
    seen = 0
    for (_, epoch, _), x, y in fetched:
        greys = ((x * std + mean) * 255).round()[:, 0, 16, 16]
        greys = greys - 1 if epoch is None else 255 - greys
        assert ((greys / 10) % 2).tolist() == y.tolist()
        seen += len(y)
    assert seen == 9 + 11


def test_a_folder_arrives_scaled_cropped_and_with_its_labels(tmp_path, fetched, inverted):
    data = grey_pictures(tmp_path)
    wide = draw_shapes(1, 0, 64)[0][0][:, :48]
    to_pil_image(wide).save(data / "test" / "a" / "wide.png")
    run("--dataset", "folder", "--data", data, "--out", tmp_path / "run", base=FOLDER)
    facts = load(tmp_path / "run" / "last.pt")["facts"]
    mean, std = (torch.tensor(facts[key])[:, None, None] for key in ("mean", "std"))
    seen = {True: [], False: []}
    for (_, epoch, _), x, y in fetched:
        pixels = ((x * std + mean) * 255).round()
        seen[epoch is None] += list(zip(pixels, y.tolist()))
    scaled = TF.center_crop(TF.resize(to_pil_image(wide), 32), 32)
    wanted = TF.pil_to_tensor(scaled).float()
    assert sum(torch.equal(picture, wanted) and label == 0 for picture, label in seen[True]) == 1
    greys = [(int(x[0, 16, 16]), y) for x, y in seen[True] if x.unique().numel() == 1]
    assert sorted(greys) == [(10 * i + 1, i % 2) for i in range(20)]
    greys = [(255 - int(x[0, 16, 16]), y) for x, y in seen[False]]
    assert sorted(greys) == [(10 * i, i % 2) for i in range(20)]
    assert len(inverted) == 20


@pytest.mark.parametrize("dataset", ["folder", "imagenet"])
def test_what_is_left_out_does_not_shift_labels(dataset, tmp_path, fetched, inverted):
    data = grey_pictures(tmp_path)
    for part in ("train", "test"):
        (data / part / "a" / "0.png").write_text("this is no picture")
    more = ["--dataset", dataset, "--data", data, "--image-size", 32, "--workers", 0, "--skip-bad"]
    run(*more, "--out", tmp_path / "run", base=FOLDER)
    facts = load(tmp_path / "run" / "last.pt")["facts"]
    mean, std = (torch.tensor(facts[key])[:, None, None] for key in ("mean", "std"))
    greys = {True: [], False: []}
    for (_, epoch, _), x, y in fetched:
        pixels = ((x * std + mean) * 255).round()[:, 0, 16, 16].int().tolist()
        greys[epoch is None] += list(zip(pixels, y.tolist()))
    assert sorted(greys[True]) == [(10 * i + 1, i % 2) for i in range(1, 20)]
    trained = [(255 - grey, label) for grey, label in greys[False]]
    assert len(trained) == 10 and all(grey // 10 % 2 == label for grey, label in trained)


def test_a_preset_is_not_put_over_what_the_checkpoint_says(tmp_path, fetched):
    data = grey_pictures(tmp_path)
    more = ["--dataset", "imagenet", "--data", data, "--image-size", 32, "--T", 1, "--workers", 0]
    run(*more, "--out", tmp_path / "run", "--epochs", 2, "--stop-after", 1, base=FOLDER)
    fetched.clear()
    run("--eval", tmp_path / "run", "--dataset", "imagenet", base=[])
    run("--resume", tmp_path / "run", "--dataset", "imagenet", base=[])
    assert {x.shape[2:] for _, x, _ in fetched} == {(32, 32)}
    config = load(tmp_path / "run" / "last.pt")["config"]
    asked = dict(arch="vggsnn", T=1, batch_size=10, image_size=32, workers=0)
    assert asked.items() <= config.items()


def test_imagenet_arrives_as_its_recipe_says(tmp_path, fetched, inverted, watch):
    data = grey_pictures(tmp_path)
    wide = draw_shapes(1, 0, 64)[0][0][:, :48]
    to_pil_image(wide).save(data / "test" / "a" / "wide.png")
    run(
        "--dataset",
        "imagenet",
        "--data",
        data,
        "--image-size",
        28,
        "--channels",
        2,
        "--workers",
        0,
        "--epochs",
        1,
        "--device",
        "cpu",
        "--out",
        tmp_path / "run",
        base=[],
    )
    mean, std = (
        torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    scaled = TF.center_crop(TF.resize(to_pil_image(wide), 32), 28)
    wanted = TF.pil_to_tensor(scaled).float()
    tested = [x for key, x, _ in fetched if key[1] is None]
    pixels = ((torch.cat(tested) * std + mean) * 255).round()
    assert sum(torch.equal(picture, wanted) for picture in pixels) == 1
    trained = [
        (255 - int(((x[0, 9, 9] * std[0] + mean[0]) * 255).round()), label)
        for key, batch, y in fetched
        if key[1] == 0
        for x, label in zip(batch, y.tolist())
    ]
    assert sorted(trained) == [(10 * i, i % 2) for i in range(20)]
    assert [policy for policy, _ in inverted] == ["imagenet"] * 20
    assert {x.size for _, x in inverted} == {(28, 28)}
    assert watch.calls[0].logits.shape[:2] == (4, 20), "T = 4, one batch"
    shapes = [p.shape for p in watch.calls[0].net.parameters() if p.dim() == 4]
    assert shapes[0] == (1, 3, 7, 7), "the standard form"
    assert len(watch.calls[0].net.state_dict()["classes.0.weight"][0]) == 8, "no hidden layer"


def test_imagenet_crops_at_random_and_flips(tmp_path):
    """A picture that is dark on the left, of grey columns: where a crop begins, how large and which way."""
    columns = torch.arange(64).mul(4).to(torch.uint8).expand(3, 64, 64)
    to_pil_image(columns).save(tmp_path / "columns.png")
    facts = dict(classes=["a", "b"], mean=[0.0] * 3, std=[1.0] * 3)
    data = train_cifar.Files([str(tmp_path / "columns.png")] * 60, torch.zeros(60), facts, 16)
    plain = data[torch.arange(60), None, 0][0]
    assert all(torch.equal(x, plain[0]) for x in plain)
    x = data[torch.arange(60), 0, 0][0][:, 0]
    rises = (x[:, 8, -1] - x[:, 8, 0]).numpy()
    assert 15 < (rises > 0).sum() < 45 and len(set(rises.round(2))) > 20


# Data


def test_augmentation_depends_on_seed_epoch_and_picture_alone():
    images, labels = draw_shapes(30, 0)
    policy = torchvision.transforms.AutoAugment(torchvision.transforms.AutoAugmentPolicy.CIFAR10)
    data = Pictures(images, labels, dict(mean=[0.5] * 3, std=[0.25] * 3), policy)
    state = torch.get_rng_state()
    together, _ = data[torch.arange(30), 4, 7]
    assert torch.equal(torch.get_rng_state(), state), "the global generator is left alone"
    alone = torch.cat([data[torch.tensor([i]), 4, 7][0] for i in reversed(range(30))]).flip(0)
    assert torch.equal(together, alone)
    for other in (
        data[torch.arange(30), 5, 7][0],
        data[torch.arange(30), 4, 8][0],
        data[torch.arange(30), None, 7][0],
    ):
        assert (other != together).flatten(1).any(1).sum() > 25
    plain, _ = data[torch.arange(30), None, 7]
    assert torch.equal(plain, (images.float() / 255 - 0.5) / 0.25)
    assert len({tuple((images[i].float() - 0).flatten().tolist()) for i in range(30)}) == 30


def test_crop_and_flip_are_drawn_per_picture():
    image = torch.arange(1, 3 * 64 + 1, dtype=torch.uint8).reshape(1, 3, 8, 8)
    data = Pictures(
        image.repeat(300, 1, 1, 1), torch.zeros(300), dict(mean=[0.0] * 3, std=[1.0] * 3), None
    )
    x = (data[torch.arange(300), 0, 0][0] * 255).round().to(torch.uint8)
    padded = torch.nn.functional.pad(image[0], (4, 4, 4, 4))
    crops = {
        padded[:, i : i + 8, j : j + 8].numpy().tobytes(): (i, j, 0)
        for i in range(9)
        for j in range(9)
    }
    crops |= {
        padded[:, i : i + 8, j : j + 8].flip(2).contiguous().numpy().tobytes(): (i, j, 1)
        for i in range(9)
        for j in range(9)
    }
    drawn = [crops[picture.contiguous().numpy().tobytes()] for picture in x]
    assert {i for i, _, _ in drawn} == {j for _, j, _ in drawn} == set(range(9)) and len(
        set(drawn)
    ) > 100
    assert 110 < sum(flip for *_, flip in drawn) < 190


@pytest.mark.slow
def test_drawn_pictures_are_not_for_a_linear_classifier():
    """Ridge regression on the pixels, in its dual form, stays under one half."""
    (x, y), (test, labels) = draw_shapes(1000, "a"), draw_shapes(300, "b")
    x, test = (i.double().flatten(1) / 255 - 0.5 for i in (x, test))
    products, wanted = x @ x.T + 1, nn.functional.one_hot(y, 10).double()
    for ridge in (10.0, 100.0, 1000.0):
        weights = torch.linalg.solve(products + ridge * torch.eye(len(x)), wanted)
        guessed = ((test @ x.T + 1) @ weights).argmax(1)
        assert 0.1 < (guessed == labels).double().mean() < 0.5
    assert labels.bincount().tolist() == [30] * 10
    assert torch.equal(draw_shapes(5, 1)[0], draw_shapes(5, 1)[0])


def test_no_drawn_picture_is_in_both_sets():
    train, test = train_cifar.load(
        train_cifar.Settings(dataset="shapes", limit_train=20, limit_test=20)
    )
    pictures = [x.numpy().tobytes() for part in (train, test) for x in part.images]
    assert len(set(pictures)) == 40


def test_drawn_shapes_differ_by_class_and_lie_anywhere():
    """Where a picture differs from the ground at its border: how much of it, and around where."""
    images, labels = draw_shapes(400, "c")
    x = images.double().mean(1) / 255
    border = torch.cat([x[:, 0], x[:, -1], x[:, :, 0], x[:, :, -1]], 1).median(1).values
    ink = ((x - border[:, None, None]).abs() > 0.2).double()
    area = torch.stack([ink[labels == c].mean((1, 2)) for c in range(10)])  # [class, picture]
    assert area.mean(1).std() > 3 * area.std(1).mean() / math.sqrt(area.shape[1])
    places = torch.arange(32.0, dtype=torch.float64)
    for line in (ink.sum(1), ink.sum(2)):  # by column, by row
        middle = (line * places).sum(1) / line.sum(1)
        assert middle.std() > 1.5 and abs(middle.mean() - 15.5) < 1


@pytest.fixture
def folder(tmp_path):
    """Three classes of saved pictures in five file kinds and modes, one not square, and non-ASCII names."""
    images, labels = draw_shapes(60, 0)
    for part, start in (("train", 0), ("test", 40)):
        for i in range(start, start + (40 if part == "train" else 20)):
            place = tmp_path / "pictures" / part / ["disc", "ring", "câdre é"][i % 3]
            place.mkdir(parents=True, exist_ok=True)
            picture = to_pil_image(images[i])
            picture = [
                picture,
                picture.convert("L"),
                picture.convert("RGBA"),
                picture.resize((40, 36)),
                picture,
            ][i % 5]
            picture.save(place / f"bild ß {i}.{['jpg', 'png', 'png', 'bmp', 'webp'][i % 5]}")
    return tmp_path / "pictures"


def test_folder(folder, tmp_path, capsys):
    run("--dataset", "folder", "--data", folder, "--out", tmp_path / "run", base=FOLDER)
    assert load(tmp_path / "run" / "last.pt")["facts"]["classes"] == ["câdre é", "disc", "ring"]
    (folder / "test").rename(folder / "val")
    run("--eval", tmp_path / "run", base=[])
    (folder / "test").mkdir()  # as ImageNet's, which has no labels
    shutil.copy(next((folder / "val" / "disc").iterdir()), folder / "test")
    run("--eval", tmp_path / "run", base=[])
    (folder / "train").rename(folder / "gone")  # its normalisation is in the checkpoint
    run("--eval", tmp_path / "run", base=[])
    (folder / "val" / "disc").rename(folder / "val" / "zebra")
    assert "classes" in refused(capsys, "--eval", tmp_path / "run", base=[])


def test_what_is_not_taken_of_a_folder_is_said(folder, tmp_path, capsys):
    """A second test set, and a picture of no class."""
    data = tmp_path / "two"
    shutil.copytree(folder, data)
    shutil.copytree(data / "test", data / "val")
    shutil.copy(next(data.rglob("*.png")), data / "train" / "of_no_class.PNG")
    train_cifar.load(train_cifar.Settings(dataset="folder", data=str(data)))
    said = capsys.readouterr().out
    assert f"{data / 'val'} is the test set; not taken: folder test\n" in said
    assert f"{data / 'train'}: files not taken, by ending: 1 .png\n" in said
    shutil.rmtree(data / "val")
    (data / "train" / "of_no_class.PNG").unlink()
    train_cifar.load(train_cifar.Settings(dataset="folder", data=str(data)))
    assert "not taken" not in capsys.readouterr().out


def test_folder_at_another_size_and_a_bad_picture(folder, tmp_path, capsys):
    bad = folder / "train" / "disc" / "bad.png"
    bad.write_text("this is no picture")
    assert str(bad) in refused(
        capsys, "--dataset", "folder", "--data", folder, "--out", tmp_path / "run", base=FOLDER
    )
    run(
        "--dataset",
        "folder",
        "--data",
        folder,
        "--out",
        tmp_path / "run",
        "--skip-bad",
        "--image-size",
        16,
        base=FOLDER,
    )
    assert str(bad) in capsys.readouterr().err
    assert load(tmp_path / "run" / "last.pt")["model"]["classes.1.weight"].shape == (3, 16)
    for child in (folder / "train" / "ring").iterdir():
        child.unlink()
    assert "ring" in refused(
        capsys, "--dataset", "folder", "--data", folder, "--out", tmp_path / "x", base=FOLDER
    )
    assert "nowhere" in refused(
        capsys,
        "--dataset",
        "folder",
        "--data",
        tmp_path / "nowhere",
        "--out",
        tmp_path / "x",
        base=FOLDER,
    )


@pytest.mark.slow
def test_imagenet_leaves_out_bad_files_or_names_them(folder, tmp_path, capsys):
    bad = folder / "train" / "disc" / "bad.png"
    bad.write_text("this is no picture")
    arguments = [
        "--dataset",
        "imagenet",
        "--data",
        folder,
        "--image-size",
        32,
        "--channels",
        2,
        "--batch-size",
        41,
        "--epochs",
        1,
        "--device",
        "cpu",
        "--T",
        1,
        "--workers",
        1,
    ]
    assert str(bad) in refused(capsys, *arguments, "--out", tmp_path / "x", base=[])
    run(*arguments, "--skip-bad", "--out", tmp_path / "y", base=[])
    assert str(bad) in capsys.readouterr().err


@pytest.mark.slow
def test_imagenet_streams(folder, tmp_path):
    run(
        "--dataset",
        "imagenet",
        "--data",
        folder,
        "--image-size",
        48,
        "--channels",
        4,
        "--batch-size",
        20,
        "--epochs",
        2,
        "--workers",
        2,
        "--device",
        "cpu",
        "--out",
        tmp_path / "two",
        base=[],
    )
    config = load(tmp_path / "two" / "last.pt")["config"]
    assert (config["arch"], config["T"]) == ("resnet18", 4)
    assert "stage4.0.conv1.current.0.weight" in load(tmp_path / "two" / "last.pt")["model"]
    run(
        "--dataset",
        "imagenet",
        "--data",
        folder,
        "--image-size",
        48,
        "--channels",
        4,
        "--batch-size",
        20,
        "--epochs",
        2,
        "--device",
        "cpu",
        "--out",
        tmp_path / "none",
        base=[],
    )
    assert_same_run(tmp_path / "two", tmp_path / "none")


def test_without_a_download_one_helpful_line(capsys, tmp_path, monkeypatch):
    def offline(*_, **__):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(torchvision.datasets.cifar, "download_and_extract_archive", offline)
    message = refused(capsys, "--data", tmp_path, base=[])
    words = "cifar-10-python.tar.gz", str(tmp_path), "--demo", torchvision.datasets.CIFAR10.url
    assert all(word in message for word in words), message


# Several processes


SEEN = """
def seen(module, inputs, logits):
    if "classes" in dict(module.named_children()) and not module.training:
        torch.save(dict(module.named_buffers()), f"{sys.argv[-1]}/{os.environ['RANK']}.pt")
torch.nn.modules.module.register_module_forward_hook(seen)
train_cifar.main(sys.argv[1:])
"""


@pytest.mark.slow
def test_two_processes(tmp_path):
    more = ["--limit-test", 15, "--stop-after", 2, "--out", tmp_path / "run"]
    code, out, err = finish(torchrun(2, *more, code=SEEN, folder=tmp_path))
    assert code == 0, err
    tested = [load(tmp_path / "run" / f"{rank}.pt") for rank in (0, 1)]
    assert_same(*tested, "running values of the networks that were tested")
    rows = table(tmp_path / "run" / "log.csv")
    assert len(rows) == 2 and out.count("epoch 1/3") == 1, "rank 0 alone writes"
    hits = float(rows[1]["test_accuracy"]) * 15
    assert hits == pytest.approx(round(hits), abs=1e-4), "15 pictures, each counted once"
    run("--eval", tmp_path / "run", base=[])
    run("--resume", tmp_path / "run", base=[])  # goes on with one process


TOLD = """
before = train_cifar.Pictures.__getitem__
def told(self, key):
    told.calls += key[1] == 1
    if os.environ["RANK"] == "1" and told.calls == 6:
        os.kill(os.getpid(), signal.SIGTERM)
    return before(self, key)
told.calls = 0
train_cifar.Pictures.__getitem__ = told
train_cifar.main(sys.argv[1:])
"""


@pytest.mark.slow
def test_two_processes_end_at_the_same_step_when_one_is_told_to_and_resume(tmp_path):
    """The signal reaches rank 1 alone. To the last digit of the logged loss, which is the sum of all
    processes' steps before and after the stop."""
    settings = ["--batch-size", 4, "--limit-train", 40, "--sync-stats"]
    more = [*settings, "--out", tmp_path / "run", "--save-every", 3]
    _, out, err = finish(torchrun(2, *more, code=TOLD, folder=tmp_path))
    assert "stopped in epoch 2, step 6" in out, err
    checkpoint = load(tmp_path / "run" / "last.pt")
    assert (checkpoint["epoch"], checkpoint["steps"]) == (1, 6)
    assert checkpoint["meters"][2] == 24, "of both processes"
    code, _, err = finish(torchrun(2, "--resume", tmp_path / "run", folder=tmp_path, base=[]))
    assert code == 0, err
    more = [*settings, "--out", tmp_path / "whole"]
    code, _, err = finish(torchrun(2, *more, folder=tmp_path))
    assert code == 0, err
    assert_same_run(tmp_path / "whole", tmp_path / "run")


BOTH = """
before = train_cifar.Pictures.__getitem__
def told(self, key):
    train_cifar.Pictures.__getitem__ = before
    os.kill(os.getpid(), signal.SIGTERM if os.environ["RANK"] == "1" else signal.SIGINT)
    return before(self, key)
train_cifar.Pictures.__getitem__ = told
try:
    train_cifar.main(sys.argv[1:])
except SystemExit as stop:
    print(f"left with {stop.code}")
"""


@pytest.mark.slow
def test_two_processes_that_are_told_to_end_by_two_signals_exit_alike(tmp_path):
    process = torchrun(2, "--out", tmp_path / "run", code=BOTH, folder=tmp_path)
    code, out, err = finish(process)
    assert code == 0 and out.count("left with 143") == 2, out + err


def run_of(config, net, test):
    feed = train_cifar.Feed(config, (test, None), torch.device("cpu"))
    return train_cifar.Run(config, dsatgo.Trainer(net, 1), feed, {}, 0, 1)


def test_evaluation_sees_every_sample_once_in_one_random_order():
    class Sorted:
        """40 pictures, sorted by class as folders are; notes what was asked for."""

        def __init__(self):
            self.asked = []

        def __len__(self):
            return 40

        def __getitem__(self, key):
            indices, epoch, _ = key
            assert epoch is None
            self.asked.append(indices)
            return torch.zeros(len(indices), 3, 8, 8), indices // 10

    data = [Sorted(), Sorted()]
    net = dsatgo.resnet18(4, 1, 3, 1, neuron=partial(dsatgo.LIF, threshold="fixed", width="fixed"))
    for seed, one in enumerate(data):
        config = train_cifar.Settings(batch_size=10, seed=seed)
        run_of(config, net, one).evaluate()
    first, second = (torch.cat(one.asked) for one in data)
    assert torch.equal(first, second) and torch.equal(first.sort().values, torch.arange(40))
    assert all(len(batch.div(10, rounding_mode="floor").unique()) > 1 for batch in data[0].asked)


def test_layers_are_those_of_the_first_ten_batches():
    images, labels = draw_shapes(24, 0, 16)
    data = Pictures(images, labels, dict(mean=[0.5] * 3, std=[0.2] * 3), None)
    net = dsatgo.resnet18(10, 2, 3, 2, neuron=partial(dsatgo.LIF, threshold="fixed", width="fixed"))
    inputs = []
    handle = net.register_forward_hook(lambda module, x, logits: inputs.append(x[0]))
    config = train_cifar.Settings(batch_size=2)
    seen = run_of(config, net, data).evaluate()["layers"]
    handle.remove()
    with torch.no_grad(), dsatgo.probe(net.eval()) as figures:
        for x in inputs[:10]:
            net(x)
    assert len(inputs) == 12 and seen.keys() == figures.keys()
    for layer in seen:
        assert_same(dict(seen[layer]), dict(figures[layer]), layer)


def test_checkpoints_of_short_epochs_are_written_once_a_minute(tmp_path, monkeypatch):
    """best.pt at each best epoch; last.pt after the first epoch, a minute later, and at the end."""
    clock = [0.0]
    fake = types.SimpleNamespace(monotonic=lambda: clock[0], perf_counter=time.perf_counter)
    monkeypatch.setattr(train_cifar, "time", fake)
    written = []
    before = train_cifar.save

    def note(path, state):
        clock[0] += 25  # which is how long an epoch takes here
        written.append((path.name, state["epoch"]))
        before(path, state)

    monkeypatch.setattr(train_cifar, "save", note)
    results = iter([0.5, 0.4, 0.3, 0.6, 0.2, 0.1])
    evaluate = train_cifar.Run.evaluate

    def scripted(*args):
        clock[0] += 25
        return evaluate(*args) | dict(accuracy=next(results))

    monkeypatch.setattr(train_cifar.Run, "evaluate", scripted)
    run("--epochs", 6, "--out", tmp_path)
    assert [epoch for name, epoch in written if name == "best.pt"] == [1, 4]
    assert [epoch for name, epoch in written if name == "last.pt"] == [1, 4, 6]
    assert written.index(("best.pt", 4)) < written.index(("last.pt", 4))


def test_a_run_resumed_behind_its_best_network_ends_alike(tmp_path, monkeypatch):
    """best.pt and the logs may be ahead of last.pt: what was ended by force after them."""
    run("--out", tmp_path / "whole")
    run("--out", tmp_path / "cut", "--stop-after", 1)
    behind = (tmp_path / "cut" / "last.pt").read_bytes()
    run("--resume", tmp_path / "cut", "--stop-after", 2, base=[])
    (tmp_path / "cut" / "last.pt").write_bytes(behind)
    run("--resume", tmp_path / "cut", base=[])
    assert_same_run(tmp_path / "whole", tmp_path / "cut")
    best, other = (load(tmp_path / name / "best.pt") for name in ("whole", "cut"))
    assert best["epoch"] == other["epoch"]
    assert_same(best["model"], other["model"], "best")


@pytest.mark.slow
def test_workers_live_through_the_run(tmp_path, monkeypatch):
    """The same processes prepare all epochs and all tests, and none is left afterwards."""
    before = Pictures.__getitem__

    def signed(self, key):
        x, y = before(self, key)
        x[0, 0, 0, 0] = os.getpid()
        return x, y

    seen = []
    monkeypatch.setattr(Pictures, "__getitem__", signed)
    look = dsatgo.Trainer.look
    monkeypatch.setattr(
        dsatgo.Trainer, "look", lambda *a: seen.append(int(a[2][0, 0, 0, 0])) or look(*a)
    )
    run("--out", tmp_path, "--workers", 2)
    assert len(set(seen)) == 2 and os.getpid() not in seen and len(seen) == 3 * (4 + 2)
    for process in set(seen):
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=str)
def test_a_signal_to_the_whole_group_saves_though_workers_get_it_too(tmp_path, number):
    out = tmp_path / "run"
    command = [sys.executable, train_cifar.__file__, *TINY, "--workers", "2", "--epochs", "400"]
    process = subprocess.Popen(
        [*map(str, command), "--out", str(out)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not (out / "log.csv").exists():
        time.sleep(0.05)
    os.killpg(process.pid, number)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number and "to go on" in printed, errors
    assert "Traceback" not in errors and load(out / "last.pt")["config"]["workers"] == 2


@pytest.mark.slow
def test_the_second_signal_ends_at_once(tmp_path):
    """Also where the data never answer."""
    code = "import time, train_cifar; train_cifar.Pictures.__getitem__ = lambda *_: time.sleep(999)"
    code += f"; train_cifar.main({[*TINY, '--out', str(tmp_path)]!r})"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE)
    while not (tmp_path / "config.json").exists():
        time.sleep(0.05)
    time.sleep(0.5)
    for _ in range(2):
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
    assert process.wait(10) == -signal.SIGINT and b"once more" in process.stderr.read()


STUCK = """
before = train_cifar.Pictures.__getitem__
asked = []
def stuck(self, key):
    asked.append(key)
    if len(asked) > 1:  # in a worker, once the first batch has gone
        time.sleep(999)
    return before(self, key)
train_cifar.Pictures.__getitem__ = stuck
step = train_cifar.Trainer.step
def told(*batch):
    signal.raise_signal(signal.SIGTERM)
    return step(*batch)
train_cifar.Trainer.step = told
train_cifar.main(sys.argv[1:])
"""


@pytest.mark.slow
def test_a_stop_does_not_wait_for_a_worker_that_never_answers(tmp_path):
    code = f"import signal, sys, time, train_cifar{STUCK}"
    command = [sys.executable, "-c", code, *TINY, "--workers", "1", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=40)
    assert done.returncode == 143 and load(tmp_path / "last.pt")["steps"] == 1, done.stderr


def test_a_signal_in_the_test_pass_is_heard(tmp_path, monkeypatch):
    evaluate = dsatgo.Trainer.evaluate

    def interrupted(self, batches):
        signal.raise_signal(signal.SIGTERM)
        return evaluate(self, batches)

    run("--out", tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(SystemExit) as stopped:
        patch.setattr(dsatgo.Trainer, "evaluate", interrupted)
        run("--out", tmp_path / "cut")
    last = load(tmp_path / "cut" / "last.pt")
    assert stopped.value.code == 143 and (last["epoch"], last["steps"]) == (0, 4)
    run("--resume", tmp_path / "cut", base=[])
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.slow
def test_a_worker_ended_by_the_system_is_named(tmp_path, capsys, monkeypatch):
    def killed(self, key):
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(Pictures, "__getitem__", killed)
    message = refused(capsys, "--out", tmp_path, "--workers", 1)
    assert "worker" in message and "Fewer --workers?" in message


def test_under_torchrun_a_device_is_not_chosen(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    message = refused(capsys, "--out", tmp_path, "--device", "cuda:1")
    assert "--device cuda:1" in message and "torchrun" in message


def test_a_gpu_is_taken_before_anything_else(tmp_path, monkeypatch):
    """As far as that can be seen without one."""
    order = []
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("LOCAL_RANK", "3")
    for name in ("zeros", "empty"):
        made = lambda *_, device: types.SimpleNamespace(  # noqa: E731
            device=torch.device(device), cpu=lambda: None
        )
        monkeypatch.setattr(torch, name, made)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: order.append(str(device)))
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda way, **_: order.append(way))
    monkeypatch.setattr(train_cifar.atexit, "register", lambda function: order.append(function))
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    _, _, device = train_cifar.start(train_cifar.Settings(device="cuda"))
    leave = torch.distributed.destroy_process_group
    assert order == ["cuda:3", "cpu:gloo,cuda:nccl", leave] and device.index == 3
    assert torch.backends.cudnn.benchmark


def test_a_test_loss_that_is_not_finite_is_no_result(tmp_path, capsys):
    run("--out", tmp_path, "--epochs", 1)
    checkpoint = load(tmp_path / "last.pt")
    for name, value in checkpoint["model"].items():  # each number is finite, their sums are not
        if name.endswith("current.1.bias"):
            value += 1e3
        if name == "classes.1.weight":
            value.copy_(value.sign() * 3e38)
    torch.save(checkpoint, tmp_path / "last.pt")
    message = refused(capsys, "--eval", tmp_path, base=[])
    assert "finite" in message and str(tmp_path) in message


def test_on_a_gpu_processes_look_at_their_flags_four_steps_later(monkeypatch):
    """So that no step waits for another process; all of them stop at the same one."""

    class Work:
        def wait(self):
            waited.append(self)

    waited = []
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda *_, **__: Work())
    for kind, steps in (("cuda", 5), ("cpu", 1)):
        trainer = types.SimpleNamespace(device=torch.device(kind))
        one = train_cifar.Run(train_cifar.Settings(), trainer, None, {}, 0, 2)
        one.caught.append(signal.SIGTERM)
        waited.clear()
        stops = [one.stop_of() for _ in range(steps)]
        assert stops == [0] * (steps - 1) + [signal.SIGTERM] and len(waited) == 1


def test_a_signal_saves_though_the_terminal_is_gone(tmp_path, monkeypatch):
    """SIGHUP comes after its terminal has closed, and writing to that is an error."""

    def gone(*_):
        raise OSError(5, "Input/output error")

    step = dsatgo.Trainer.step

    def told(self, *batch):
        monkeypatch.setattr(train_cifar.Run, "say", gone)
        signal.raise_signal(signal.SIGHUP)
        return step(self, *batch)

    monkeypatch.setattr(dsatgo.Trainer, "step", told)
    monkeypatch.setattr(train_cifar.os, "write", gone)
    with pytest.raises(SystemExit) as stopped:
        run("--out", tmp_path)
    assert stopped.value.code == 129 and load(tmp_path / "last.pt")["steps"] == 1
