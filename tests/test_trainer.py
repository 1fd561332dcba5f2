"""The trainer, by running train_cifar.py itself, shrunk with its own flags."""
import csv
import dataclasses
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import types
import urllib.error

import pytest
import torch
import torchvision
from conftest import ROOT
from torchvision.transforms.functional import to_pil_image

import dsatgo
import train_cifar
from train_cifar import CLASSES, Pictures, draw_shapes, main

TINY = ["--dataset", "shapes", "--arch", "vggsnn", "--channels", "2", "--limit-train", "40", "--limit-test", "20", "--batch-size",
        "10", "--epochs", "3", "--device", "cpu"]


def run(*arguments, base=TINY):
    main([*base, *map(str, arguments)])


def refused(capsys, *arguments, base=TINY, main=main):
    """What the one line on stderr says, after exit code 2."""
    with pytest.raises(SystemExit) as stop:
        main([*base, *map(str, arguments)])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.count("\n") == 1, error
    return error


def table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def load(path):
    return torch.load(path, weights_only=True)


def assert_same(a, b, where=""):
    """Bit for bit, through nested dicts and lists."""
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list):
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}[{i}]")
    else:
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b, where


def assert_same_run(a, b):
    one, other = load(a / "last.pt"), load(b / "last.pt")
    for name in one.keys() - {"config"}:
        assert_same(one[name], other[name], name)
    for name in ("log.csv", "layers.csv"):
        measured = {"images_per_s", "seconds", "peak_memory_mb"}
        rows = [[{k: v for k, v in row.items() if k not in measured} for row in table(out / name)] for out in (a, b)]
        assert rows[0] == rows[1] and rows[0]


def test_a_run_writes_what_it_should(tmp_path, capsys):
    out = tmp_path / "run"
    run("--out", out, "--stop-after", 2)
    rows = table(out / "log.csv")
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert set(rows[0]) == {"epoch", "loss", "train_accuracy", "test_accuracy", "lr", "images_per_s", "seconds", "peak_memory_mb"}
    assert [float(row["lr"]) for row in rows] == pytest.approx([0.1, 0.075]), "--stop-after leaves the schedule alone"
    layers = table(out / "layers.csv")
    assert len(layers) == 2 * 8 * 2 and {row["layer"] for row in layers} == {f"conv{i}.neuron" for i in range(1, 9)}
    assert all(0 <= float(row["firing_rate"]) <= 1 and float(row["threshold"]) > 0 for row in layers)
    assert set(layers[0]) == {"epoch", "layer", "timestep", "firing_rate", "gradient_available", "threshold", "width", "u_mean",
                              "u_std", "floored"}
    config = json.loads((out / "config.json").read_text())
    assert config["settings"]["seed"] == 0 and config["device"] == "cpu" and config["torch"] == torch.__version__
    assert config["facts"]["classes"] == CLASSES and len(config["facts"]["mean"]) == 3
    last, best = load(out / "last.pt"), load(out / "best.pt")
    assert set(last) == {"model", "optimizer", "scheduler", "scaler", "rng", "meters", "epoch", "step", "best", "config", "facts"}
    assert last["epoch"] == 2 and best["epoch"] == last["best"]["epoch"]
    assert float(rows[last["best"]["epoch"] - 1]["test_accuracy"]) == last["best"]["accuracy"] == max(
        float(row["test_accuracy"]) for row in rows)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and f"test accuracy {float(rows[-1]['test_accuracy']):.2%}" in lines[-1] and "best over epochs" in lines[-1]
    assert not list(out.glob("*.tmp"))


def test_resume_after_an_epoch_is_bit_for_bit(tmp_path):
    run("--out", tmp_path / "whole")
    run("--out", tmp_path / "parts", "--stop-after", 1)
    run("--resume", tmp_path / "parts", "--stop-after", 2, base=[])
    assert load(tmp_path / "parts" / "last.pt")["epoch"] == 2
    run("--resume", tmp_path / "parts" / "last.pt", "--workers", 2)              # the same flags again, another worker count
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_step_saves_and_resumes_bit_for_bit(tmp_path, monkeypatch, capsys, number):
    run("--out", tmp_path / "whole")
    before, handler, calls = Pictures.__getitem__, signal.getsignal(number), []

    def interrupted(self, key):
        calls.append(key)
        if len([k for k in calls if k[1] == 1]) == 2:            # in the second step of the second epoch
            calls.clear()
            os.kill(os.getpid(), number)
        return before(self, key)

    with monkeypatch.context() as patch, pytest.raises(SystemExit) as stop:
        patch.setattr(Pictures, "__getitem__", interrupted)
        run("--out", tmp_path / "cut")
    assert stop.value.code == 128 + number and signal.getsignal(number) == handler, "as it was before the run"
    assert f"--resume '{tmp_path / 'cut'}'" in capsys.readouterr().out
    checkpoint = load(tmp_path / "cut" / "last.pt")
    assert (checkpoint["epoch"], checkpoint["step"]) == (1, 2)
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
    assert (checkpoint["epoch"], checkpoint["step"]) == (1, 3)
    run("--resume", tmp_path / "cut", base=[])
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


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
    for flag, value in (("--lr", 0.2), ("--threshold", "fixed"), ("--batch-size", 20), ("--epochs", 9), ("--seed", 1), ("--momentum", "none")):
        message = refused(capsys, "--resume", out, flag, value, base=[])
        assert flag in message and "last.pt" not in message
    run("--resume", out, "--out", tmp_path / "elsewhere", "--lr", 0.1, "--stop-after", 2, base=[])
    assert (tmp_path / "elsewhere" / "last.pt").exists() and load(out / "last.pt")["epoch"] == 1
    assert "--eval" in refused(capsys, "--resume", out, "--eval", out, base=[])


def test_eval_finds_the_accuracy_of_the_log_again(tmp_path, capsys):
    out = tmp_path / "run"
    run("--out", out, "--stop-after", 2)
    rows = table(out / "log.csv")
    listing = sorted(out.iterdir())
    capsys.readouterr()
    run("--eval", out, "--batch-size", 7, base=[])
    assert f"test accuracy {float(rows[1]['test_accuracy']):.2%}" in capsys.readouterr().out
    run("--eval", out / "best.pt", "--workers", 1, base=[])
    assert f"test accuracy {max(float(row['test_accuracy']) for row in rows):.2%}" in capsys.readouterr().out
    assert sorted(out.iterdir()) == listing
    for amp in ("bf16", "fp16"):
        run("--eval", out, "--amp", amp, base=[])
    for more in (["--arch", "resnet18"], ["--stop-after", 5], ["--plot"], ["--demo"]):
        assert more[0] in refused(capsys, "--eval", out, *more, base=[])


@pytest.mark.parametrize("arguments, words", [
    (["--lr", "-1"], ["--lr", "-1"]), (["--lr", "nan"], ["--lr"]), (["--lr", "fast"], ["--lr", "fast"]), (["--T", "0"], ["--T"]),
    (["--epochs", "0"], ["--epochs"]), (["--momentum", "2"], ["momentum", "2"]), (["--momentum", "x"], ["--momentum", "x"]),
    (["--tau", "1"], ["tau"]), (["--threshold", "adaptive"], ["--threshold", "adaptive"]), (["--dataset", "mnist"], ["mnist"]),
    (["--learning-rate", "1"], ["--learning-rate"]), (["--epoch", "1"], ["--epoch"]), (["--workers", "-1"], ["--workers"]),
    (["--resume", "nowhere"], ["nowhere"]), (["--device", "gpu"], ["gpu"]), (["--channels", "0"], ["--channels"]),
    (["--amp", "fp8"], ["fp8"]), (["--f-c", "0"], ["f_c"]), (["--eval", "nowhere.pt"], ["nowhere.pt"]), (["stray"], ["stray"]),
    (["--label-smoothing", "2"], ["--label-smoothing 2"])])
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
    with subprocess.Popen([sys.executable, "-c", script, out / "lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"locked\n"
        assert "another run" in refused(capsys, "--out", out)
        other.kill()                                              # the lock dies with the process
    run("--out", out, "--stop-after", 1)
    before = (out / "last.pt").read_bytes()
    assert "--resume" in refused(capsys, "--out", out)
    run("--out", tmp_path / "other", "--stop-after", 2)
    assert "holds a run" in refused(capsys, "--resume", tmp_path / "other", "--out", out, base=[])
    assert (out / "last.pt").read_bytes() == before


def test_resume_elsewhere_takes_the_logs_along(tmp_path):
    run("--out", tmp_path / "whole")
    run("--out", tmp_path / "first", "--stop-after", 2)
    run("--resume", tmp_path / "first", "--out", tmp_path / "second", base=[])
    assert_same_run(tmp_path / "whole", tmp_path / "second")
    assert load(tmp_path / "second" / "best.pt")["epoch"] == load(tmp_path / "second" / "last.pt")["best"]["epoch"]
    (tmp_path / "early").mkdir()                                  # as within the first epoch: nothing but last.pt
    (tmp_path / "early" / "last.pt").write_bytes((tmp_path / "first" / "last.pt").read_bytes())
    run("--resume", tmp_path / "early", "--out", tmp_path / "third", base=[])
    assert load(tmp_path / "third" / "last.pt")["epoch"] == 3


def test_resume_refuses_other_data(tmp_path, capsys, folder):
    run("--dataset", "folder", "--data", folder, "--out", tmp_path / "run", "--epochs", 2, "--stop-after", 1, base=FOLDER)
    next((folder / "train" / "disc").iterdir()).unlink()
    assert "samples" in refused(capsys, "--resume", tmp_path / "run", base=[])


def test_a_demo_arm_is_a_run_like_any_other(tmp_path, capsys):
    run("--demo", "--epochs", 1, "--limit-train", 25, "--limit-test", 20, "--channels", 2, "--out", tmp_path, base=[])
    row, = table(tmp_path / "scale-0.3-AT+TGO" / "log.csv")
    capsys.readouterr()
    run("--eval", tmp_path / "scale-0.3-AT+TGO", base=[])
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and f"{float(row['test_accuracy']):.2%}" in out


@pytest.mark.parametrize("arguments", [
    ["--arch", "resnet19"], ["--arch", "resnet18", "--T", 3], ["--threshold", "learned"], ["--threshold", "estimated", "--width", "std"],
    ["--momentum", "none"], ["--amp", "bf16"], ["--amp", "fp16"], ["--f-c", 1.2, "--v-th", 0.5, "--kappa", 2, "--tau", 0.4],
    ["--weight-decay", 0, "--label-smoothing", 0], ["--compile"], ["--no-compile", "--sync-stats", "--workers", 1]])
def test_flags(arguments, tmp_path):
    run("--stop-after", 1, "--out", tmp_path / "run", *arguments)
    row, = table(tmp_path / "run" / "log.csv")
    assert 0 < float(row["loss"]) < 20


def test_settings_reach_the_network(tmp_path, monkeypatch):
    seen = {}

    def fit(config, train, test, **more):
        seen.update(net=dsatgo.build(config, 10, test.shape), train=train, test=test, config=config)
        return dict(out=tmp_path)

    monkeypatch.setattr(train_cifar, "fit", fit)
    run("--bn-scale", 0.3, "--f-c", 1.2, "--v-th", 0.5, "--kappa", 2, "--tau", 0.4, "--width", "std", "--momentum", "none", "--T", 3)
    norm, neuron = seen["net"].conv1.current[1], seen["net"].conv1.neuron
    assert (norm.weight == 0.3).all() and neuron.rule == ("true", "std", 0.5, 2, 1.2) and neuron.momentum is None and neuron.T == 3
    assert torch.sigmoid(neuron.w).item() == pytest.approx(0.4)
    assert len(seen["train"]) == 40 and len(seen["test"]) == 20
    run("--v-th", 0.5)
    assert (seen["net"].conv1.current[1].weight == 0.5).all()
    main(["--dataset", "shapes"])
    config = seen["config"]
    assert (config.arch, config.channels, config.T, config.epochs, config.batch_size) == ("resnet19", 128, 2, 400, 100)
    assert (config.lr, config.weight_decay, config.label_smoothing) == (0.1, 1e-4, 0.1)


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(tmp_path, capsys):
    message = refused(capsys, "--lr", 1e38, "--out", tmp_path / "run")
    assert "epoch 1, step" in message and "1e+38" in message
    message = refused(capsys, "--lr", 1e38, "--limit-train", 10, "--out", tmp_path / "one-step")      # found when it is evaluated
    assert "after epoch 1" in message and not (tmp_path / "one-step" / "last.pt").exists()


def test_demo_prints_its_table(capsys, tmp_path):
    run("--demo", "--epochs", 1, "--limit-train", 50, "--limit-test", 20, "--channels", 2, "--out", tmp_path, base=[])
    lines = capsys.readouterr().out.splitlines()[-5:]
    assert [line.split()[:2] for line in lines[1:]] == [["1.0", "vanilla"], ["1.0", "AT+TGO"], ["0.3", "vanilla"], ["0.3", "AT+TGO"]]
    assert "accuracy" in lines[0] and "mJ" in lines[0]
    assert len(list(tmp_path.glob("*/log.csv"))) == 4


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
    for other in (data[torch.arange(30), 5, 7][0], data[torch.arange(30), 4, 8][0], data[torch.arange(30), None, 7][0]):
        assert (other != together).flatten(1).any(1).sum() > 25
    plain, _ = data[torch.arange(30), None, 7]
    assert torch.equal(plain, (images.float() / 255 - 0.5) / 0.25)
    assert len({tuple((images[i].float() - 0).flatten().tolist()) for i in range(30)}) == 30


def test_crop_and_flip_are_drawn_per_picture():
    image = torch.arange(1, 3 * 64 + 1, dtype=torch.uint8).reshape(1, 3, 8, 8)
    data = Pictures(image.repeat(300, 1, 1, 1), torch.zeros(300), dict(mean=[0.0] * 3, std=[1.0] * 3), None)
    x = (data[torch.arange(300), 0, 0][0] * 255).round().to(torch.uint8)
    padded = torch.nn.functional.pad(image[0], (4, 4, 4, 4))
    crops = {padded[:, i:i + 8, j:j + 8].numpy().tobytes(): (i, j, 0) for i in range(9) for j in range(9)}
    crops |= {padded[:, i:i + 8, j:j + 8].flip(2).contiguous().numpy().tobytes(): (i, j, 1) for i in range(9) for j in range(9)}
    drawn = [crops[picture.contiguous().numpy().tobytes()] for picture in x]
    assert {i for i, _, _ in drawn} == {j for _, j, _ in drawn} == set(range(9)) and len(set(drawn)) > 100
    assert 110 < sum(flip for *_, flip in drawn) < 190


def test_drawn_pictures_are_not_for_a_linear_classifier():
    (x, y), (test, labels) = draw_shapes(2000, "a"), draw_shapes(500, "b")
    x, test = (torch.nn.functional.pad(i.double().flatten(1) / 255 - 0.5, (0, 1), value=1) for i in (x, test))
    for ridge in (10.0, 100.0, 1000.0):
        weights = torch.linalg.solve(x.T @ x + ridge * torch.eye(x.shape[1]), x.T @ torch.nn.functional.one_hot(y, 10).double())
        assert ((test @ weights).argmax(1) == labels).double().mean() < 0.5
    assert labels.bincount().tolist() == [50] * 10 and torch.equal(draw_shapes(5, 1)[0], draw_shapes(5, 1)[0])


@pytest.fixture
def folder(tmp_path):
    """Three classes of saved pictures in five file kinds and modes, one not square, and non-ASCII names."""
    images, labels = draw_shapes(60, 0)
    for part, start in (("train", 0), ("test", 40)):
        for i in range(start, start + (40 if part == "train" else 20)):
            place = tmp_path / "pictures" / part / ["disc", "ring", "câdre é"][i % 3]
            place.mkdir(parents=True, exist_ok=True)
            picture = to_pil_image(images[i])
            picture = [picture, picture.convert("L"), picture.convert("RGBA"), picture.resize((40, 36)), picture][i % 5]
            picture.save(place / f"bild ß {i}.{['jpg', 'png', 'png', 'bmp', 'webp'][i % 5]}")
    return tmp_path / "pictures"


FOLDER = ["--arch", "vggsnn", "--channels", "2", "--batch-size", "10", "--epochs", "1", "--device", "cpu"]


def test_folder(folder, tmp_path, capsys):
    run("--dataset", "folder", "--data", folder, "--out", tmp_path / "run", base=FOLDER)
    assert load(tmp_path / "run" / "last.pt")["facts"]["classes"] == ["câdre é", "disc", "ring"]
    (folder / "test").rename(folder / "val")
    run("--eval", tmp_path / "run", base=[])
    (folder / "train").rename(folder / "gone")                    # its normalisation is in the checkpoint
    run("--eval", tmp_path / "run", base=[])
    (folder / "val" / "disc").rename(folder / "val" / "zebra")
    assert "classes" in refused(capsys, "--eval", tmp_path / "run", base=[])


def test_folder_at_another_size_and_a_bad_picture(folder, tmp_path, capsys):
    bad = folder / "train" / "disc" / "bad.png"
    bad.write_text("this is no picture")
    assert str(bad) in refused(capsys, "--dataset", "folder", "--data", folder, "--out", tmp_path / "run", base=FOLDER)
    run("--dataset", "folder", "--data", folder, "--out", tmp_path / "run", "--skip-bad", "--image-size", 16, base=FOLDER)
    assert str(bad) in capsys.readouterr().err
    assert load(tmp_path / "run" / "last.pt")["model"]["classes.1.weight"].shape == (3, 16)
    for child in (folder / "train" / "ring").iterdir():
        child.unlink()
    assert "ring" in refused(capsys, "--dataset", "folder", "--data", folder, "--out", tmp_path / "x", base=FOLDER)
    assert "nowhere" in refused(capsys, "--dataset", "folder", "--data", tmp_path / "nowhere", "--out", tmp_path / "x", base=FOLDER)


def test_imagenet_leaves_out_bad_files_or_names_them(folder, tmp_path, capsys):
    bad = folder / "train" / "disc" / "bad.png"
    bad.write_text("this is no picture")
    arguments = ["--dataset", "imagenet", "--data", folder, "--image-size", 32, "--channels", 2, "--batch-size", 41, "--epochs", 1,
                 "--device", "cpu", "--T", 1, "--workers", 1]
    assert str(bad) in refused(capsys, *arguments, "--out", tmp_path / "x", base=[])
    run(*arguments, "--skip-bad", "--out", tmp_path / "y", base=[])
    assert str(bad) in capsys.readouterr().err


def test_imagenet_streams(folder, tmp_path):
    run("--dataset", "imagenet", "--data", folder, "--image-size", 48, "--channels", 4, "--batch-size", 20, "--epochs", 2, "--workers", 2,
        "--device", "cpu", "--out", tmp_path / "two", base=[])
    config = load(tmp_path / "two" / "last.pt")["config"]
    assert (config["arch"], config["T"]) == ("resnet18", 4)
    assert "stage4.0.conv1.current.0.weight" in load(tmp_path / "two" / "last.pt")["model"]
    run("--dataset", "imagenet", "--data", folder, "--image-size", 48, "--channels", 4, "--batch-size", 20, "--epochs", 2,
        "--device", "cpu", "--out", tmp_path / "none", base=[])
    assert_same_run(tmp_path / "two", tmp_path / "none")


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_from_its_own_files(name, tmp_path, monkeypatch):
    """torchvision reads the archives' format; only their checksums are set aside."""
    kind = dict(cifar10=torchvision.datasets.CIFAR10, cifar100=torchvision.datasets.CIFAR100)[name]
    folder = tmp_path / kind.base_folder
    folder.mkdir()
    key, classes = ("labels", 10) if name == "cifar10" else ("fine_labels", 100)
    for i, (file, _) in enumerate(kind.train_list + kind.test_list):
        images, _ = draw_shapes(100, i)
        content = {"data": images.flatten(1).numpy(), key: [j % classes for j in range(100)]}
        (folder / file).write_bytes(pickle.dumps(content))
    (folder / kind.meta["filename"]).write_bytes(pickle.dumps({kind.meta["key"]: [f"class {i}" for i in range(classes)]}))
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr(torchvision.datasets.cifar, "check_integrity", lambda *_: True)
    run("--dataset", name, "--data", tmp_path, "--limit-train", 50, "--limit-test", 100, "--out", tmp_path / "run", "--epochs", 1, base=FOLDER)
    checkpoint = load(tmp_path / "run" / "last.pt")
    assert len(checkpoint["facts"]["classes"]) == classes and checkpoint["model"]["classes.1.weight"].shape[0] == classes


def test_without_a_download_one_helpful_line(capsys, tmp_path, monkeypatch):
    def offline(*_, **__):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(torchvision.datasets.cifar, "download_and_extract_archive", offline)
    message = refused(capsys, "--data", tmp_path, base=[])
    assert all(word in message for word in ("cifar-10-python.tar.gz", str(tmp_path), "--demo"))


def test_plot(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(train_cifar.importlib.util, "find_spec", lambda name: None)
    assert "pip install matplotlib" in refused(capsys, "--out", tmp_path / "run", "--plot")
    monkeypatch.undo()
    drawn = []
    if not train_cifar.importlib.util.find_spec("matplotlib"):    # not among the requirements: then what is asked of it
        axis = types.SimpleNamespace(plot=lambda x, y, *_, label: drawn.append((label, x, y)), set_xlabel=str, legend=list)
        figure = types.SimpleNamespace(savefig=lambda path, dpi: path.write_bytes(b"\x89PNG"))
        plt = types.ModuleType("matplotlib.pyplot")
        plt.subplots = lambda *_, **__: (figure, [axis, axis])
        matplotlib = types.ModuleType("matplotlib")
        matplotlib.use, matplotlib.pyplot, matplotlib.__spec__ = str, plt, "stub"
        monkeypatch.setitem(sys.modules, "matplotlib", matplotlib)
        monkeypatch.setitem(sys.modules, "matplotlib.pyplot", plt)
    run("--out", tmp_path / "run", "--stop-after", 2, "--plot")
    assert (tmp_path / "run" / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert not drawn or [(label, x) for label, x, _ in drawn] == [(n, [1, 2]) for n in ("loss", "train accuracy", "test accuracy")]


# Several processes

def torchrun(processes, *arguments, script=ROOT / "train_cifar.py"):
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}", "--master-port=0", "--rdzv-backend=c10d",
               "--rdzv-endpoint=localhost:0", str(script), *TINY, *map(str, arguments)]
    return subprocess.run(command, env=dict(os.environ, OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES=""), capture_output=True,
                          text=True, timeout=300)


def test_two_processes(tmp_path):
    done = torchrun(2, "--out", tmp_path / "run", "--limit-test", 15, "--stop-after", 2)
    assert done.returncode == 0, done.stderr
    rows = table(tmp_path / "run" / "log.csv")
    assert len(rows) == 2 and done.stdout.count("epoch 1/3") == 1, "rank 0 alone writes"
    hits = float(rows[1]["test_accuracy"]) * 15
    assert hits == pytest.approx(round(hits), abs=1e-4), "15 pictures, each counted once"
    run("--eval", tmp_path / "run", base=[])
    run("--resume", tmp_path / "run", base=[])                    # goes on with one process


def test_two_processes_end_at_the_same_step_when_one_is_told_to_and_resume(tmp_path):
    """The signal reaches rank 1 alone. With one sample each a step, what the ranks do is what one process would, but for rounding."""
    script = tmp_path / "told.py"
    script.write_text(f"""
import os, signal, sys
sys.path.insert(0, {str(ROOT)!r})
import train_cifar
before = train_cifar.Pictures.__getitem__
def told(self, key):
    if os.environ["RANK"] == "1" and key[1] == 1:
        os.kill(os.getpid(), signal.SIGTERM)
    return before(self, key)
train_cifar.Pictures.__getitem__ = told
train_cifar.main(sys.argv[1:])
""")
    done = torchrun(2, "--out", tmp_path / "run", "--sync-stats", script=script)
    assert "stopped in epoch 2, step 1" in done.stdout, done.stderr
    checkpoint = load(tmp_path / "run" / "last.pt")
    assert (checkpoint["epoch"], checkpoint["step"]) == (1, 1) and checkpoint["meters"][2] == 10, "of both processes"
    done = torchrun(2, "--resume", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert [row["epoch"] for row in table(tmp_path / "run" / "log.csv")] == ["1", "2", "3"]


def free_port():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def _rank(rank, world, port, path):
    torch.distributed.init_process_group("gloo", init_method=f"tcp://localhost:{port}", rank=rank, world_size=world)
    torch.manual_seed(0)
    current = torch.randn(3, 8, 50, dtype=torch.float64) + torch.arange(8)[:, None]
    layer = dsatgo.LIF(3).double()
    dsatgo._synced = True
    mine = current[:, rank::world].clone().requires_grad_()
    spikes = layer(mine)
    (spikes * mine.detach()).sum().backward()
    torch.save((spikes, mine.grad, layer.running_threshold), f"{path}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_synced_statistics_are_those_of_the_whole_batch(tmp_path):
    torch.multiprocessing.spawn(_rank, (2, free_port(), str(tmp_path)), nprocs=2)
    torch.manual_seed(0)
    current = (torch.randn(3, 8, 50, dtype=torch.float64) + torch.arange(8)[:, None]).requires_grad_()
    layer = dsatgo.LIF(3).double()
    spikes = layer(current)
    (spikes * current.detach()).sum().backward()
    for rank in range(2):
        theirs, grad, running = torch.load(tmp_path / f"{rank}.pt")
        assert torch.equal(theirs, spikes[:, rank::2]) and torch.allclose(running, layer.running_threshold, rtol=1e-12)
        assert torch.allclose(grad, current.grad[:, rank::2], rtol=1e-9)


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

    config, data = train_cifar.Settings(batch_size=10), [Sorted(), Sorted()]
    net = dsatgo.resnet18(4, 1, 3, 1, neuron=lambda T: dsatgo.LIF(T, threshold="fixed", width="fixed"))
    for one in data:
        dsatgo.evaluate(config, net, one, lambda logits, y: logits.sum())
    first, second = (torch.cat(one.asked) for one in data)
    assert torch.equal(first, second) and torch.equal(first.sort().values, torch.arange(40))
    assert all(len(batch.div(10, rounding_mode="floor").unique()) > 1 for batch in data[0].asked)
