"""What must not happen when something breaks: each test injects the fault, and sees that it has happened. The long forms, with
many kills and many steps, are in experiments/faults.py."""

import dataclasses
import errno
import io
import json
import math
import os
import pathlib
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import zipfile

import hypothesis.strategies as st
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
    free_port,
)
from conftest import load
from conftest import refused, run, table, torchrun
from PIL import Image
from hypothesis import HealthCheck, example, given, settings
from torchvision.transforms.functional import to_pil_image

import faults
import train_cifar
import train_dvs
from train_cifar import Pictures, Settings, draw_shapes, main


# Numbers


@pytest.mark.parametrize("amp", ["off", "bf16"])
def test_a_picture_that_is_not_finite_stops_the_run_at_its_step_and_harms_nothing(
    tmp_path, capsys, monkeypatch, amp
):
    run("--out", tmp_path / "good", "--stop-after", 1, "--amp", amp)
    nets, before = [], Pictures.__getitem__
    build = train_cifar.build
    monkeypatch.setattr(train_cifar, "build", lambda *args: nets.append(build(*args)) or nets[-1])

    def spoiled(self, key):
        x, y = before(self, key)
        if key[1] == 1:
            spoiled.steps += 1
            if spoiled.steps == 3:
                x[0, 0, 0, 0] = float("inf")
                spoiled.weights = [p.detach().clone() for p in nets[-1].parameters()]
        return x, y

    spoiled.steps = 0
    monkeypatch.setattr(Pictures, "__getitem__", spoiled)
    message = refused(capsys, "--out", tmp_path / "bad", "--amp", amp)
    assert (
        spoiled.steps == 3
        and "epoch 2, step 3, lr 0.075" in message
        and "first layer: conv1.neuron" in message
    )
    assert str(tmp_path / "bad" / "last.pt") in message
    assert all(
        torch.equal(p, q) and q.isfinite().all()
        for p, q in zip(spoiled.weights, nets[-1].parameters())
    ), "no step was taken"
    assert_same_run(tmp_path / "good", tmp_path / "bad")  # what is on disk is from before


def test_a_layer_in_the_middle_is_named(tmp_path, capsys, monkeypatch):
    before, build, nets = Pictures.__getitem__, train_cifar.build, []
    monkeypatch.setattr(train_cifar, "build", lambda *args: nets.append(build(*args)) or nets[-1])

    def spoiled(self, key):
        with torch.no_grad():
            nets[-1].conv4.current[0].weight[0, 0, 0, 0] = float("nan")
        return before(self, key)

    monkeypatch.setattr(Pictures, "__getitem__", spoiled)
    message = refused(capsys, "--out", tmp_path)
    assert "first layer: conv4.neuron; last good checkpoint: None" in message and not list(
        tmp_path.glob("*.pt")
    )


def trained(tmp_path, steps, loss, **more):
    config = Settings(
        dataset="shapes",
        arch="vggsnn",
        channels=2,
        limit_train=10 * steps,
        limit_test=20,
        batch_size=10,
        epochs=1,
        device="cpu",
        out=str(tmp_path),
        **more,
    )
    return train_cifar.fit(config, *train_cifar.load(config), loss), load(tmp_path / "last.pt")


def test_overflow_of_fp16_skips_steps_and_goes_on(tmp_path):
    calls = []

    def loss(logits, y):
        calls.append(logits.requires_grad)
        value = torch.nn.functional.cross_entropy(logits.mean(0), y)
        return value * (1e36 if len(calls) <= 2 else 1)  # 1e36 x 65536 overflows

    result, checkpoint = trained(tmp_path, 6, loss, amp="fp16")
    assert calls[:6] == [True] * 6 and checkpoint["scale"][0] == 2.0**14, (
        "two steps were skipped, the scale halved twice"
    )
    assert all(p.isfinite().all() for p in result["net"].parameters())


def test_a_skipped_first_step_leaves_weights_and_momentum_untouched(tmp_path):
    _, checkpoint = trained(
        tmp_path, 1, lambda logits, y: logits.square().mean() * 1e36, amp="fp16"
    )
    torch.manual_seed(0)
    fresh = train_cifar.build(Settings(arch="vggsnn", channels=2), 10, (3, 32, 32))
    assert all(torch.equal(p, checkpoint["model"][name]) for name, p in fresh.named_parameters())
    buffers = checkpoint["momentum"]
    assert buffers.keys() == dict(fresh.named_parameters()).keys()
    assert not any(buffer.any() for buffer in buffers.values())


def test_bf16_and_float32_agree_over_an_epoch(tmp_path):
    """Bound: the mean loss of the first epoch differs by less than 5 %."""
    for amp in "off", "bf16":
        run(
            "--out",
            tmp_path / amp,
            "--stop-after",
            1,
            "--limit-train",
            200,
            "--channels",
            4,
            "--amp",
            amp,
        )
    exact, half = (float(table(tmp_path / amp / "log.csv")[0]["loss"]) for amp in ("off", "bf16"))
    assert exact != half and half == pytest.approx(exact, rel=0.05)


def test_recompute_trains_the_same_network(tmp_path):
    run("--out", tmp_path / "plain", "--stop-after", 1)
    run("--out", tmp_path / "again", "--stop-after", 1, "--recompute")
    assert_same_run(tmp_path / "plain", tmp_path / "again")


# Checkpoints


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "run"
    run("--out", out, "--stop-after", 1)
    return out


def test_a_flipped_bit_or_a_cut_is_noticed(finished, tmp_path):
    draw, whole, path, refusals = (
        random.Random(0),
        (finished / "last.pt").read_bytes(),
        tmp_path / "damaged.pt",
        0,
    )
    truth = train_cifar.load_checkpoint(finished)
    for i in range(60):
        content, at = bytearray(whole), draw.randrange(len(whole))
        content[at] ^= 1 << draw.randrange(8)
        path.write_bytes(content if i % 3 else content[:at])
        try:
            assert_same(train_cifar.load_checkpoint(path), truth)  # a bit that carries nothing
        except ValueError as error:
            assert str(path) in str(error)
            refusals += 1
    assert refusals > 50


def changed(finished, tmp_path, change):
    """A whole checkpoint whose content has been changed."""
    checkpoint = load(finished / "last.pt")
    change(checkpoint)
    torch.save(checkpoint, tmp_path / "last.pt")
    return tmp_path / "last.pt"


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda c: c["config"].update(T=3), ["does not fit", "running_threshold"]),
        (lambda c: c["config"].update(arch="resnet19"), ["does not fit"]),
        (lambda c: c["config"].update(channels=3), ["does not fit"]),
        (lambda c: c["facts"].update(classes=["a", "b"]), ["classes"]),
        (lambda c: c["config"].update(theta_init=2.0), ["version", "theta_init"]),
        (lambda c: c["config"].update(dataset="nmnist"), ["nmnist"]),
        (lambda c: c.pop("config"), ["no checkpoint of this program"]),
    ],
)
def test_a_checkpoint_of_something_else_says_so_and_is_not_called_damaged(
    finished, tmp_path, capsys, change, words
):
    path = changed(finished, tmp_path, change)
    message = refused(capsys, "--resume", path, base=[])
    assert all(word in message for word in [*words]) and "damaged" not in message, message


@pytest.mark.parametrize("part", ["model", "epoch", "best", "momentum", "scale", "rng", "meters"])
def test_a_checkpoint_that_lacks_a_part_is_told_which(finished, tmp_path, capsys, part):
    path = changed(finished, tmp_path, lambda checkpoint: checkpoint.pop(part))
    assert f"its {part} is missing" in refused(capsys, "--resume", path, base=[])


@pytest.mark.parametrize("part", ["config", "facts"])
def test_what_lacks_its_settings_is_no_checkpoint(finished, tmp_path, capsys, part):
    path = changed(finished, tmp_path, lambda checkpoint: checkpoint.pop(part))
    assert f"KeyError: '{part}'" in refused(capsys, "--resume", path, base=[])


@pytest.mark.parametrize("asked", ["--resume", "--eval"])
def test_altered_checkpoints_are_refused_in_one_line(finished, tmp_path, capsys, asked):
    """Settings, weights, counts and facts, each replaced by what no run writes."""
    draw = random.Random(asked)
    truth = load(finished / "last.pt")
    for _ in range(100):
        checkpoint, what = faults.altered(truth, draw, asked)
        torch.save(checkpoint, tmp_path / "last.pt")
        before = (tmp_path / "last.pt").read_bytes()
        try:
            refused(capsys, asked, tmp_path, base=[])
        except BaseException as error:
            raise AssertionError(f"{what}: not refused, or by a traceback") from error
        assert [path.name for path in tmp_path.iterdir()] == ["last.pt"], what
        assert (tmp_path / "last.pt").read_bytes() == before, what


@pytest.mark.filterwarnings("ignore:Validating sparse")
@pytest.mark.parametrize(
    "change, words",
    [
        (lambda c: c["model"]["conv1.current.0.weight"][0].fill_(math.nan), "model conv1"),
        (lambda c: c["momentum"]["conv2.neuron.w"].fill_(math.inf), "momentum conv2.neuron.w"),
        (lambda c: c["momentum"].update({"conv1.current.0.weight": torch.ones(1)}), "conv1"),
        (lambda c: c["model"].update({"conv1.neuron.w": torch.ones(1).double()}), "neuron.w"),
        (
            lambda c: c["momentum"].update({"conv1.neuron.w": torch.ones(1).to_sparse()}),
            "w is missing",
        ),
        (lambda c: c["scale"].fill_(math.nan), "scale"),
        (lambda c: c["scale"].zero_(), "scale"),
        (lambda c: c["meters"].fill_(-1), "meters"),
        (lambda c: c["meters"].fill_(5), "meters"),
        (lambda c: c.update(steps=4), "steps"),
        (lambda c: c.update(steps=5, meters=torch.ones(3)), "its steps"),
        (lambda c: c.update(epoch=4), "its epoch"),
        (lambda c: c.update(epoch=-1), "its epoch"),
        (lambda c: c.update(rng=c["rng"].flip(0)), "state"),
        (lambda c: c["best"].update(epoch=7), "best epoch"),
        (lambda c: c["config"].update(T=2.5), "--T 2.5: must be of type int"),
        (lambda c: c["config"].update(channels=2**31 - 1), "memory"),
        (lambda c: c["facts"].update(mean=[0.0, math.nan, 0.0]), "mean"),
        (lambda c: c["facts"].update(std=[0.2, 0.0, 0.2]), "std"),
    ],
)
def test_what_a_checkpoint_cannot_hold_is_named(finished, tmp_path, capsys, change, words):
    assert words in refused(capsys, "--resume", changed(finished, tmp_path, change), base=[])


@pytest.mark.parametrize("flags", [["--resume", ""], ["--eval", ""], ["--out="], ["--data="]])
def test_a_variable_that_is_not_set_is_no_setting(capsys, flags):
    assert f"{flags[0].strip('=')}: is empty" in refused(capsys, *flags)


def test_a_checkpoint_of_before_a_setting_was_added_takes_its_default(finished, tmp_path):
    path = changed(finished, tmp_path, lambda checkpoint: checkpoint["config"].pop("kappa"))
    run("--resume", path, "--stop-after", 2, base=[])
    assert load(path)["config"]["kappa"] == 1.0 and load(path)["epoch"] == 2


def test_damage_is_called_damage(finished, tmp_path, capsys):
    content = bytearray((finished / "last.pt").read_bytes())
    with zipfile.ZipFile(finished / "last.pt") as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
    content[largest.header_offset + 100 + largest.file_size // 2] ^= 1  # amid a tensor
    (tmp_path / "last.pt").write_bytes(content)
    assert "damaged" in refused(capsys, "--resume", tmp_path, base=[])


def test_a_run_of_the_other_script_is_refused(finished, capsys):
    assert "another script" in refused(capsys, "--resume", finished, base=[], main=train_dvs.main)


# Disk


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM])
def test_without_locks_a_run_goes_on_and_says_so(tmp_path, capsys, monkeypatch, number):
    def refuse(file, how):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(train_cifar.fcntl, "lockf", refuse)
    run("--out", tmp_path, "--epochs", 1)
    assert "no locks here" in capsys.readouterr().err and load(tmp_path / "last.pt")["epoch"] == 1


@pytest.mark.parametrize("number", [errno.EACCES, errno.EAGAIN])
def test_what_says_that_another_run_holds_the_lock(tmp_path, capsys, monkeypatch, number):
    def refuse(file, how):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(train_cifar.fcntl, "lockf", refuse)
    assert "another run" in refused(capsys, "--out", tmp_path)


def test_a_line_that_a_spreadsheet_leaves_in_a_log_is_no_damage(tmp_path):
    run("--out", tmp_path, "--stop-after", 1)
    for name in ("log.csv", "layers.csv"):
        with (tmp_path / name).open("a") as file:
            file.write(",,,\r\n\r\n")
    run("--resume", tmp_path, base=[])
    assert [row["epoch"] for row in table(tmp_path / "log.csv")] == ["1", "2", "3"]


@pytest.mark.parametrize("name", ["log.csv", "layers.csv"])
def test_a_damaged_log_is_named_before_training(capsys, monkeypatch, tmp_path, name):
    run("--out", tmp_path, "--stop-after", 1)
    whole = (tmp_path / "last.pt").read_bytes()
    for damage in (b"\x00\xff\x00\n", b"epoch one,2\n", b"1" * 5000 + b",\n"):
        before = (tmp_path / name).read_bytes()
        content = before + damage
        (tmp_path / name).write_bytes(content)
        with monkeypatch.context() as patch:
            patch.delattr(train_cifar.Trainer, "step")
            message = refused(capsys, "--resume", tmp_path, base=[])
        assert f"{tmp_path / name}: " in message and "move the file away" in message
        assert (tmp_path / name).read_bytes() == content
        assert (tmp_path / "last.pt").read_bytes() == whole
        (tmp_path / name).write_bytes(before)
    (tmp_path / name).write_bytes(before.split(b"\n", 1)[1])  # its head alone is gone
    run("--resume", tmp_path, base=[])
    assert [row["epoch"] for row in table(tmp_path / "log.csv")] == ["1", "2", "3"]


def test_files_left_by_a_kill_are_removed_by_the_next_run(tmp_path):
    run("--out", tmp_path, "--stop-after", 1)
    names = ("config.json", "log.csv", "layers.csv", "best.pt", "last.pt", "of-the-users")
    for name in names:
        (tmp_path / f"{name}.tmp").write_bytes(b"half")
    run("--resume", tmp_path, "--stop-after", 1, base=[])
    assert [path.name for path in tmp_path.glob("*.tmp")] == ["of-the-users.tmp"]


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_a_full_memory_ends_in_one_line(capsys, monkeypatch, error):
    def load(*_):
        raise error

    monkeypatch.setattr(train_cifar, "load", load)
    assert "memory" in refused(capsys).lower()


def test_other_errors_keep_their_traceback(monkeypatch):
    def load(*_):
        raise RuntimeError("of the program")

    monkeypatch.setattr(train_cifar, "load", load)
    with pytest.raises(RuntimeError, match="of the program"):
        run()


@pytest.mark.parametrize("stdout", [None, "ascii"])
def test_a_stdout_that_is_closed_or_knows_ascii_alone(tmp_path, monkeypatch, stdout):
    stdout = stdout and io.TextIOWrapper(io.BytesIO(), stdout)
    monkeypatch.setattr(sys, "stdout", stdout)
    run("--out", tmp_path / "r\xfcn", "--epochs", 1)
    assert load(tmp_path / "r\xfcn" / "last.pt")["epoch"] == 1
    if stdout:
        stdout.flush()
        assert b"r\\xfcn" in stdout.buffer.getvalue()


@pytest.mark.slow
def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path):
    """The process may write files of no more than so many bytes: a checkpoint ends in the middle."""
    run("--out", tmp_path, "--stop-after", 1)
    before = (tmp_path / "last.pt").read_bytes()
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2); "
        "sys.path.insert(0, sys.argv[2]); import train_cifar; train_cifar.main(['--resume', sys.argv[3]])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(len(before) // 2), ROOT, tmp_path],
        capture_output=True,
        text=True,
    )
    assert (
        done.returncode == 2 and done.stderr.count("\n") == 1 and "File too large" in done.stderr
    ), done.stderr
    assert (tmp_path / "last.pt").read_bytes() == before and not list(tmp_path.glob("*.tmp"))
    run("--resume", tmp_path, base=[])


def test_a_disk_that_fails_leaves_no_half_files(tmp_path, capsys, monkeypatch):
    run("--out", tmp_path, "--stop-after", 1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fails(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    assert "No space left" in refused(capsys, "--resume", tmp_path, base=[])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_that_cannot_be_written_to(capsys, tmp_path):
    (tmp_path / "file").write_text("no folder")
    for out in ("/proc/run", tmp_path / "file" / "run", tmp_path / "file"):
        assert str(out) in refused(capsys, "--out", out)


def test_a_folder_that_vanishes(tmp_path, capsys, monkeypatch):
    before = Pictures.__getitem__

    def vanish(self, key):
        shutil.rmtree(tmp_path / "run", ignore_errors=key[1] is None)
        monkeypatch.setattr(Pictures, "__getitem__", before)
        return before(self, key)

    monkeypatch.setattr(Pictures, "__getitem__", vanish)
    assert str(tmp_path / "run") in refused(capsys, "--out", tmp_path / "run")


@pytest.mark.skipif(not pathlib.Path("/proc").is_dir(), reason="needs Linux")
@pytest.mark.slow
def test_killed_at_random_moments_nothing_is_lost(tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            ROOT / "experiments" / "faults.py",
            "--operations",
            "4",
            "--signals",
            "0",
            "--kills",
            "1",
            "--cache-kills",
            "1",
            "--flips",
            "10",
            "--altered",
            "10",
            "--steps",
            "0",
            "--out",
            tmp_path / "faults.md",
        ],
        capture_output=True,
        text=True,
    )
    assert (
        done.returncode == 0 and (tmp_path / "faults.md").read_text().count("| nothing |") == 6
    ), done.stdout + done.stderr


# Data


def pictures(root, classes=("a", "b"), n=6, side=8):
    images, _ = draw_shapes(2 * n * len(classes), 0, side)
    for i, image in enumerate(images):
        place = root / ("train" if i % 2 else "test") / classes[i // 2 % len(classes)]
        place.mkdir(parents=True, exist_ok=True)
        to_pil_image(image).save(place / f"{i}.png")
    return root


def test_pictures_of_one_pixel_and_of_one_grey(tmp_path):
    pictures(tmp_path / "data", side=1)
    to_pil_image(torch.full((1, 1, 1), 7, dtype=torch.uint8)).convert("LA").save(
        tmp_path / "data" / "train" / "a" / "grey.png"
    )
    run("--dataset", "folder", "--data", tmp_path / "data", "--out", tmp_path / "run", base=FOLDER)
    assert load(tmp_path / "run" / "last.pt")["facts"]["samples"] == 13


@pytest.mark.parametrize(
    "spoil, words",
    [
        (
            lambda root: shutil.rmtree(root / "train" / "b") or shutil.rmtree(root / "test" / "b"),
            ["1 classes"],
        ),
        (lambda root: [path.unlink() for path in (root / "train" / "a").iterdir()], ["a"]),
        (
            lambda root: [
                path.with_suffix(".txt").write_bytes(path.read_bytes()) and path.unlink()
                for path in root.rglob("*.png")
            ],
            ["a (.jpg .jpeg .png"],
        ),
        (
            lambda root: next(root.rglob("*.png")).write_bytes(
                next(root.rglob("*.png")).read_bytes()[:60]
            ),
            [".png", "--skip-bad"],
        ),
        (
            lambda root: shutil.rmtree(root / "test"),
            ["no folder", "DIR/test|val/CLASS/*"],
        ),
        (shutil.rmtree, ["no folder", "DIR/train/CLASS/*"]),
        (  # DIR/CLASS/*
            lambda root: [shutil.rmtree(root / "test"), (root / "train").rename(root / "a")],
            ["no folder", "DIR/train/CLASS/*"],
        ),
    ],
)
def test_folders_that_are_no_data_set(tmp_path, capsys, spoil, words):
    spoil(pictures(tmp_path / "data"))
    message = refused(
        capsys,
        "--dataset",
        "folder",
        "--data",
        tmp_path / "data",
        "--out",
        tmp_path / "run",
        base=FOLDER,
    )
    assert all(word in message for word in words), message


RAMP = np.arange(64, dtype=np.uint16).reshape(8, 8)  # a ramp of greys: times 4, and 16 bits of it


def grey(scale):
    return (RAMP * 4 * scale).astype(np.uint16 if scale > 1 else np.uint8)


def saved(path, image, **more):
    image.save(path, **more)
    return path


def of_colour(alpha):
    """Red where it shows, green where it is hidden: a half of each."""
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:, :4] = 255, 0, 0, 255
    pixels[:, 4:] = 0, 255, 0, alpha
    return Image.fromarray(pixels)


@pytest.mark.parametrize("name", ["x.png", "x.tif", "x.pgm", "big.tif"])
def test_16_bits_become_8(tmp_path, name):
    """Of either byte order; a PGM's are read as 32."""
    path = tmp_path / name
    if name == "x.pgm":
        path.write_bytes(b"P5 8 8 65535\n" + grey(257).astype(">u2").tobytes())
    elif name == "big.tif":
        saved(path, Image.frombytes("I;16B", (8, 8), grey(257).astype(">u2").tobytes()))
    else:
        saved(path, Image.fromarray(grey(257)))
    picture = train_cifar.open_picture(path)
    assert picture.mode == "RGB" and np.array_equal(np.asarray(picture)[..., 1], grey(1))


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_32_bits_are_refused_by_name(tmp_path, dtype):
    path = saved(tmp_path / "x.tif", Image.fromarray(RAMP.astype(dtype)))
    with pytest.raises(ValueError, match=r"x\.tif.*32 bits"):
        train_cifar.open_picture(path)


def test_16_bits_that_are_transparent_are_refused_by_name(tmp_path):
    path = saved(tmp_path / "x.png", Image.fromarray(grey(257)), transparency=0x8000)
    with pytest.raises(ValueError, match=r"x\.png.*16 and transparent"):
        train_cifar.open_picture(path)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["RGBA", "LA", "P", "RGB", "half"])
def test_what_is_transparent_is_white(tmp_path, kind):
    image = of_colour(128 if kind == "half" else 0)
    if kind == "LA":
        image = image.convert("LA")
    path = tmp_path / "x.png"
    if kind == "P":
        palette = Image.fromarray(np.repeat(np.uint8([[0, 1]]), 4, 1).repeat(8, 0), "P")
        palette.putpalette([255, 0, 0, 0, 255, 0])
        saved(path, palette, transparency=b"\xff\x00")
    elif kind == "RGB":
        saved(path, image.convert("RGB"), transparency=(0, 255, 0))
    else:
        saved(path, image)
    pixels = np.asarray(train_cifar.open_picture(path)).astype(int)
    assert pixels[0, 0].tolist() == ([76] * 3 if kind == "LA" else [255, 0, 0])
    shown = [127, 255, 127] if kind == "half" else [255] * 3
    assert np.abs(pixels[0, 7] - shown).max() <= 1


@pytest.mark.parametrize("orientation, turns", [(1, 0), (6, 3), (3, 2), (8, 1)])
def test_a_picture_stands_as_its_exif_says(tmp_path, orientation, turns):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "x.png", Image.fromarray(grey(1)), exif=exif)
    picture = np.asarray(train_cifar.open_picture(path))[..., 0]
    assert np.array_equal(picture, np.rot90(grey(1), turns))


@pytest.mark.parametrize("dataset", ["folder", "imagenet"])
def test_what_is_left_out_or_converted_is_said(tmp_path, capsys, dataset):
    data = pictures(tmp_path / "data", n=4)
    for part in ("train", "test"):
        litter = data / part / ".ipynb_checkpoints"
        litter.mkdir()
        shutil.copy(next((data / part / "a").iterdir()), litter / "x.png")
        shutil.copytree(litter, data / part / "__MACOSX")
        shutil.copytree(litter, data / part / "a" / ".ipynb_checkpoints")
        shutil.copytree(litter, data / part / "a" / "__MACOSX")
        shutil.copy(litter / "x.png", data / part / "a" / "._0.png")
        for name in ("x.gif", "y.GIF", "z.jfif"):
            shutil.copy(litter / "x.png", data / part / "b" / name)
    Image.fromarray(grey(257)).save(data / "train" / "a" / "deep.PNG")
    of_colour(0).save(data / "train" / "b" / "clear.png")
    more = dict(dataset=dataset, data=str(data), image_size=8, skip_bad=True)
    train, test = train_cifar.load(Settings(**more))
    assert (len(train), len(test)) == (10, 8) and train.facts["classes"] == ["a", "b"]
    out = capsys.readouterr().out
    assert out.count("by ending: 2 .gif, 1 .jfif") == 2
    assert "of 10 pictures converted to RGB: 1 I;16, 1 RGBA\n" in out


def replaced(data):
    path = next((data / "train" / "a").iterdir())
    Image.fromarray(np.asarray(Image.open(path))[:20]).save(path)


def swapped(data):
    (a, b) = (next((data / "test" / name).iterdir()) for name in "ab")
    a.rename(data / "kept")
    b.rename(a)
    (data / "kept").rename(b)


def renamed(data):
    path = next((data / "train" / "a").iterdir())
    path.rename(path.with_stem(path.stem + "0"))


@pytest.mark.parametrize(
    "change, what",
    [
        (replaced, "other train pictures"),
        (swapped, "other test pictures"),
        (renamed, "other train pictures"),
        (lambda data: next((data / "test" / "b").iterdir()).unlink(), "other test pictures"),
        (lambda data: shutil.copytree(data / "train", data / "val"), "other test pictures"),
        (lambda data: (data / "test" / "c").mkdir(), "no pictures in"),
    ],
)
@pytest.mark.parametrize("dataset", ["folder", "imagenet"])
def test_pictures_that_changed_are_noticed(tmp_path, capsys, change, what, dataset):
    data = pictures(tmp_path / "data", side=32)
    more = ["--dataset", dataset, "--data", data, "--T", 1, "--image-size", 32, "--workers", 0]
    run(*more, "--out", tmp_path / "run", "--epochs", 2, "--stop-after", 1, base=FOLDER)
    shutil.copytree(data, tmp_path / "moved")
    run("--resume", tmp_path / "run", "--data", tmp_path / "moved", "--stop-after", 1, base=[])
    change(data)
    assert what in refused(capsys, "--resume", tmp_path / "run", base=[])


def test_class_names_that_are_no_text(tmp_path, capsys):
    sys.stderr.reconfigure(errors="backslashreplace")  # as Python's own is
    name = os.fsdecode(b"caf\xe9")
    data = pictures(tmp_path / os.fsdecode(b"d\xe9"), classes=(name, "b"))
    shutil.copy(next((data / "train" / "b").iterdir()), data / "train" / "b" / "x.gif")
    (data / "train" / name / "bad.png").write_text("no picture")
    more = ["--dataset", "folder", "--data", data, "--skip-bad", "--epochs", 2, "--stop-after", 1]
    run(*more, "--out", tmp_path / "run", base=FOLDER)
    run("--resume", tmp_path / "run", base=[])
    facts = json.loads((tmp_path / "run" / "config.json").read_text())["facts"]
    assert facts["classes"] == load(tmp_path / "run" / "last.pt")["facts"]["classes"] == ["b", name]
    (data / "test" / name).rename(data / "test" / "tea")
    assert "left out" in capsys.readouterr().err
    assert "caf" in refused(capsys, "--eval", tmp_path / "run", base=[])


def test_cifar_that_is_there_is_read_and_nothing_written(tmp_path, monkeypatch):
    cifar_files("cifar10", tmp_path, monkeypatch)
    before = sorted(tmp_path.rglob("*"))
    train_cifar.load(Settings(data=str(tmp_path)))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_tilde_is_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    data = pictures(tmp_path / "data", side=32)
    run("--dataset", "folder", "--data", "~/data", "--out=~/run", "--epochs", 2, base=FOLDER)
    shutil.rmtree(tmp_path / "run" / "best.pt", ignore_errors=True)
    run("--eval", "~/run", base=[])
    run("--resume", "~/run", base=[])
    assert data.is_dir() and load(tmp_path / "run" / "last.pt")["epoch"] == 2


def test_a_damaged_cifar_archive_and_labels_out_of_range(tmp_path, capsys, monkeypatch):
    def offline(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(torchvision.datasets.utils, "_urlretrieve", offline)
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"half an archive")
    assert "cifar-10-python.tar.gz" in refused(capsys, "--data", tmp_path, base=[])
    cifar_files("cifar10", tmp_path, monkeypatch, labels=list(range(20)))
    assert "labels from 0 to 19" in refused(
        capsys, "--data", tmp_path, "--out", tmp_path / "run", base=FOLDER
    )


# Settings


def values(field):
    """Texts for a flag: some that fit, some that do not."""
    kind = str(field.type)
    if field.metadata.get("choices"):
        return st.sampled_from([*field.metadata["choices"], "other"])
    numbers = (
        ["0", "1", "2", "3", "-1", "none", "", "x", "1e9"]
        if "int" in kind
        else ["0", "0.5", "1", "1.2", "-0.1", "nan", "inf", "1e-300", "1e300", "none", "x"]
    )
    return st.sampled_from(numbers)


KEPT = {
    "data",
    "dataset",
    "out",
    "resume",
    "eval",
    "device",
    "plot",
    "demo",
    "limit_train",
    "limit_test",
    "epochs",
    "stop_after",
    "batch_size",
    "channels",
    "workers",
    "T",
    "image_size",
    "skip_bad",
    "compile",
    "arch",
}  # they would make it slow
DRAWN = [field for field in dataclasses.fields(Settings) if field.name not in KEPT]
COMBINATIONS = st.lists(
    st.sampled_from(DRAWN), unique_by=lambda field: field.name, max_size=4
).flatmap(
    lambda fields: st.tuples(
        *(
            st.just(
                [
                    "--"
                    + ("no-" if field.type is bool and field.name == "sync_stats" else "")
                    + field.name.replace("_", "-")
                ]
            )
            if field.type is bool
            else values(field).map(
                lambda text, field=field: [f"--{field.name.replace('_', '-')}={text}"]
            )
            for field in fields
        )
    )
)
SLOW = [
    "--channels=0",
    "--channels=x",
    "--T=0",
    "--T=-1",
    "--T=1.5",
    "--workers=-1",
    "--batch-size=0",
    "--epochs=0",
    "--epochs=none",
    "--limit-train=0",
    "--stop-after=0",
    "--image-size=0",
    "--arch=vgg",
    "--device=tpu",
    "--plot=1",
    "--save-every=1.0",
    "--T",
]


@pytest.mark.slow
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    max_examples=60 if os.environ.get("HYPOTHESIS_PROFILE") != "long" else 1000,
)
@example(flags=(["--v-th=1e300"],))
@example(flags=(["--kappa=1e-300"],))
@example(flags=(["--bn-scale=0"], ["--weight-decay=1e300"]))
@given(flags=COMBINATIONS | st.sampled_from(SLOW).map(lambda flag: ([flag],)))
def test_any_flags_run_two_steps_or_end_in_one_line_that_names_one(flags, tmp_path, capsys):
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    flags = [flag for (flag,) in flags]
    try:
        main(
            [*TINY, "--limit-train", "20", "--epochs", "1", "--out", str(tmp_path / "run"), *flags]
        )
        (row,) = table(tmp_path / "run" / "log.csv")
        weights = load(tmp_path / "run" / "last.pt")["model"].values()
        assert math.isfinite(float(row["loss"])) and all(w.isfinite().all() for w in weights)
        capsys.readouterr()
    except SystemExit as stop:
        message = capsys.readouterr().err
        assert stop.code == 2 and message.count("\n") == 1, message
        named = {re.sub("^--(no-)?", "", flag).split("=")[0] for flag in flags} | {
            "lr"
        }  # lr: a run that became infinite
        assert any(name in message or name.replace("-", "_") in message for name in named), message


# Processes

KEEP_STATE = """
build = train_cifar.build
nets = []
train_cifar.build = lambda *args: nets.append(build(*args)) or nets[-1]
train_cifar.main(sys.argv[1:])
torch.save(nets[-1].state_dict(), os.environ["STATE"] + os.environ["RANK"])
"""


@pytest.mark.parametrize("processes, sync", [(2, "--sync-stats"), (3, "--no-sync-stats")])
@pytest.mark.slow
def test_every_process_ends_with_the_same_network(tmp_path, monkeypatch, processes, sync):
    monkeypatch.setenv("STATE", str(tmp_path / "state"))
    code, out, err = finish(
        torchrun(
            processes,
            "--out",
            tmp_path / "run",
            "--batch-size",
            12,
            "--epochs",
            2,
            sync,
            code=KEEP_STATE,
            folder=tmp_path,
        )
    )
    assert code == 0, err
    states = [load(tmp_path / f"state{rank}") for rank in range(processes)]
    for state in states:
        assert_same(state, load(tmp_path / "run" / "last.pt")["model"])
    assert out.count("epoch 1/2") == 1 and len(table(tmp_path / "run" / "log.csv")) == 2


@pytest.mark.slow
def test_another_number_of_processes_resumes_or_is_refused_by_name(tmp_path):
    run("--out", tmp_path / "run", "--stop-after", 1)
    code, out, err = finish(
        torchrun(
            2,
            "--resume",
            tmp_path / "run",
            "--stop-after",
            2,
            base=[],
            code="train_cifar.main(sys.argv[1:])",
            folder=tmp_path,
        )
    )
    assert code == 0, err
    assert [row["epoch"] for row in table(tmp_path / "run" / "log.csv")] == ["1", "2"]
    code, out, err = finish(
        torchrun(
            3,
            "--resume",
            tmp_path / "run",
            base=[],
            code="train_cifar.main(sys.argv[1:])",
            folder=tmp_path,
        )
    )
    assert (
        code
        and "--batch-size 10: must be divisible by the 3 processes" in err
        and 'train_cifar.py", line' not in err
    )


@pytest.mark.slow
def test_a_dead_process_ends_the_others_within_a_minute(tmp_path):
    code = """
before = train_cifar.Pictures.__getitem__
def dies(self, key):
    if os.environ["RANK"] == "1" and key[1] == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return before(self, key)
train_cifar.Pictures.__getitem__ = dies
train_cifar.main(sys.argv[1:])
"""
    begin = time.monotonic()
    code, out, err = finish(
        torchrun(2, "--out", tmp_path / "run", code=code, folder=tmp_path), timeout=90
    )
    assert code and "epoch 1/3" in out and time.monotonic() - begin < 60
    assert "Signal 9" in err or "exitcode: -9" in err, err  # torchrun says which
    assert load(tmp_path / "run" / "last.pt")["epoch"] == 1
    run("--resume", tmp_path / "run", base=[])


@pytest.mark.slow
def test_two_machines_by_rendezvous_on_loopback(tmp_path):
    """The README's command, twice on one machine."""
    meeting = [
        "--nnodes=2",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint=localhost:{free_port()}",
        "--rdzv-id=1",
    ]
    agents = []
    for name in "first", "second":
        (tmp_path / name).mkdir()
        agents.append(
            torchrun(
                1,
                "--out",
                tmp_path / "run",
                "--epochs",
                1,
                code="train_cifar.main(sys.argv[1:])",
                folder=tmp_path / name,
                more=meeting,
            )
        )
    ends = [finish(agent) for agent in agents]
    assert [code for code, *_ in ends] == [0, 0], ends
    assert sum(out.count("epoch 1/1") for _, out, _ in ends) == 1
    assert load(tmp_path / "run" / "last.pt")["epoch"] == 1


@pytest.mark.slow
def test_ctrl_c_before_training_is_quiet(tmp_path):
    code = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[1]); import train_cifar; signal.signal(signal.SIGINT, "
        "signal.default_int_handler); train_cifar.load = lambda *_: os.kill(os.getpid(), signal.SIGINT); train_cifar.main([])"
    )
    done = subprocess.run([sys.executable, "-c", code, ROOT], capture_output=True, text=True)
    assert done.returncode == 130 and "Traceback" not in done.stderr


@pytest.mark.slow
def test_sigterm_of_a_script_exits_143_and_says_how_to_go_on(tmp_path):
    process = subprocess.Popen(
        [
            sys.executable,
            ROOT / "train_cifar.py",
            *TINY,
            "--limit-train",
            "4000",
            "--out",
            tmp_path,
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "config.json").exists():
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 143 and f"--resume {tmp_path}" in out
    assert load(tmp_path / "last.pt")["steps"] > 0


ELSEWHERE = """
import multiprocessing
import train_cifar, train_dvs

if __name__ == "__main__":
    multiprocessing.set_start_method("forkserver")
    small = "--channels 1 --T 2 --epochs 1 --batch-size 10 --augment --seed 3".split()
    for workers in ("0", "2"):
        more = [*small, "--workers", workers, "--out"]
        shapes = "--dataset shapes --limit-train 20 --limit-test 10".split()
        train_cifar.main([*shapes, *more, f"pictures-{workers}"])
        events = "--dataset folder --data events --size 16".split()
        train_dvs.main([*events, *more, f"events-{workers}"])
"""


def test_workers_get_the_data_but_not_the_loader():
    """Whose generator cannot be sent to another process."""
    images, labels = draw_shapes(20, "feed")
    data = Pictures(images, labels, dict(mean=[0.5] * 3, std=[0.25] * 3))
    feed = train_cifar.Feed(Settings(workers=2), (data, data), torch.device("cpu"))
    again = pickle.loads(pickle.dumps(feed))
    assert again.loader is None and feed.loader is not None
    key = True, torch.arange(5), 0
    assert torch.equal(again[key][0], feed[key][0])


@pytest.mark.slow
def test_workers_that_are_not_forked(tmp_path):
    """As on macOS, and with Python 3.14 everywhere."""
    (tmp_path / "script.py").write_text(ELSEWHERE)
    images, labels = draw_shapes(20, "events")
    pictures = [(image, f"{label:02}") for image, label in zip(images.numpy(), labels)]
    train_dvs.simulate(pictures, tmp_path / "events")
    environment = os.environ | dict(PYTHONPATH=str(pathlib.Path(train_cifar.__file__).parent))
    command = [sys.executable, "script.py"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=200)
    for name in ("pictures", "events"):
        one, other = (table(tmp_path / f"{name}-{n}" / "log.csv")[0] for n in (0, 2))
        assert one["loss"] == other["loss"] and one["test_accuracy"] == other["test_accuracy"]
