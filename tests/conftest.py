"""What the tests share: the project on the path, eager neurons, hypothesis without dice in CI, and
how to run a script and look at what it did from outside."""

import csv
import itertools
import os
import pathlib
import pickle
import signal
import socket
import subprocess
import sys
import types

import hypothesis
import numpy as np
import pytest
import torch
import torchvision
from torch.nn.modules.module import register_module_forward_hook
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torchvision.transforms.functional import to_pil_image

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"  # real recordings, where they are at hand
sys.path[:0] = [str(ROOT), str(ROOT / "experiments")]

import dsatgo  # noqa: E402
import train_cifar  # noqa: E402
import train_dvs  # noqa: E402

# a shell's background job ignores Ctrl-C, and so would all that is started here
signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, max_examples=50)
hypothesis.settings.register_profile("long", deadline=None, max_examples=2000)
hypothesis.settings.register_profile(  # a mutant need not be caught by the smallest example
    "mutants",
    hypothesis.settings.get_profile("ci"),
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

ARMS = list(itertools.product(dsatgo.THRESHOLDS, dsatgo.WIDTHS))  # a new rule is in every test


def follows_batch(threshold, width):
    """Whether an arm computes Eq. 5 and averages it: all but learned and vanilla."""
    return threshold not in ("fixed", "learned") or (threshold, width) == ("fixed", "threshold")


# The smallest run of train_cifar.py: drawn pictures, 4 steps an epoch. And one on a folder of one's own.
TINY = "--dataset shapes --arch vggsnn --channels 2 --limit-train 40 --limit-test 20".split()
TINY += "--batch-size 10 --epochs 3 --device cpu".split()
FOLDER = "--arch vggsnn --channels 2 --batch-size 10 --epochs 1 --device cpu".split()


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: compiles, starts processes or trains for long")


@pytest.fixture(autouse=True)
def same_start():
    torch.manual_seed(0)
    yield
    dsatgo.compile_neurons(False)


# ---- numbers ----
def relative(x, y):
    """The largest difference, in units of y's largest element."""
    x, y = np.asarray(x), np.asarray(y)
    return np.abs(x - y).max() / max(np.abs(y).max(), 1e-30)


def tensor(x, dtype=torch.float64):
    return torch.tensor(np.asarray(x), dtype=dtype)


# ---- runs ----
def run(*arguments, base=TINY, main=train_cifar.main):
    main([*base, *map(str, arguments)])


def refused(capsys, *arguments, base=TINY, main=train_cifar.main):
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
    """Two run folders: the same checkpoints and logs, but for settings and timings."""
    one, other = load(a / "last.pt"), load(b / "last.pt")
    for name in one.keys() - {"config"}:
        assert_same(one[name], other[name], name)
    measured = {"images_per_s", "seconds", "peak_memory_mb"}
    for name in ("log.csv", "layers.csv"):
        rows = [
            [{k: v for k, v in row.items() if k not in measured} for row in table(out / name)]
            for out in (a, b)
        ]
        assert rows[0] == rows[1] and rows[0]


@pytest.fixture
def watch():
    """Every call of a run's network and every step of its optimizer, by PyTorch's own hooks:
    calls (net, training, x, logits and, after the backward pass, dlogits) and
    steps (groups, names, before, grads, after)."""
    seen = types.SimpleNamespace(calls=[], steps=[])

    def called(module, inputs, logits):
        if "classes" not in dict(module.named_children()):
            return
        call = types.SimpleNamespace(net=module, training=module.training, dlogits=None)
        call.x, call.logits = inputs[0].detach().clone(), logits.detach().clone()
        if logits.requires_grad:
            logits.register_hook(lambda gradient: setattr(call, "dlogits", gradient.clone()))
        seen.calls.append(call)

    def before(optimizer, args, kwargs):
        groups = optimizer.param_groups
        step = types.SimpleNamespace(groups=[dict(group) for group in groups])
        step.parameters = [p for group in groups for p in group["params"]]
        step.before = [p.detach().clone() for p in step.parameters]
        step.grads = [p.grad.clone() for p in step.parameters]
        seen.steps.append(step)

    def after(optimizer, args, kwargs):
        seen.steps[-1].after = [p.detach().clone() for p in seen.steps[-1].parameters]

    handles = [
        register_module_forward_hook(called),
        register_optimizer_step_pre_hook(before),
        register_optimizer_step_post_hook(after),
    ]
    yield seen
    for handle in handles:
        handle.remove()


def grey_pictures(root, n=20):
    """A folder of n pictures a part in two classes, each of one grey of its own: 10 i, one more to test."""
    for part in ("train", "test"):
        for i in range(n):
            place = root / "pictures" / part / "ab"[i % 2]
            place.mkdir(parents=True, exist_ok=True)
            picture = torch.full((3, 32, 32), 10 * i + (part == "test"), dtype=torch.uint8)
            to_pil_image(picture).save(place / f"{i}.png")
    return root / "pictures"


def cifar_files(name, root, monkeypatch, labels=None):
    """CIFAR's own files, 20 drawn pictures each, but for their checksums.
    -> [(picture, label)] to train on and to test, names of the classes."""
    kind = dict(cifar10=torchvision.datasets.CIFAR10, cifar100=torchvision.datasets.CIFAR100)[name]
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    key, n = ("labels", 10) if name == "cifar10" else ("fine_labels", 100)
    parts = []
    for files in (kind.train_list, kind.test_list):
        parts.append([])
        for file, _ in files:
            images, _ = train_cifar.draw_shapes(20, f"{file} {len(parts)}")
            its = labels or [(7 * len(parts[-1]) + i) % n for i in range(20)]
            content = {"data": images.flatten(1).numpy(), key: its}
            (folder / file).write_bytes(pickle.dumps(content))
            parts[-1] += zip(images, its)
    classes = [f"class {i}" for i in range(n)]
    (folder / kind.meta["filename"]).write_bytes(pickle.dumps({kind.meta["key"]: classes}))
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr(torchvision.datasets.cifar, "check_integrity", lambda *_: True)
    return *parts, classes


@pytest.fixture(scope="session")
def recordings(tmp_path_factory):
    """Event recordings in two classes, 24 to train on and 12 to test: a cloud on the left or right."""
    root = tmp_path_factory.mktemp("recordings")
    for part, n in (("train", 12), ("test", 6)):
        for label, name in enumerate(("left", "right")):
            (root / part / name).mkdir(parents=True)
            for i in range(n):
                random = np.random.default_rng([i, label, n])
                t = np.sort(random.integers(0, 300_000, 600))
                x = random.normal(40 + 50 * label, 12, 600).clip(0, 127)
                y = random.normal(64, 12, 600).clip(0, 127)
                p = random.integers(0, 2, 600)
                path = root / part / name / f"{name}_{i}.aedat"
                train_dvs.write_aedat(path, t, x.astype(int), y.astype(int), p)
    return root


# ---- processes ----
def free_port():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


MAIN = "train_cifar.main(sys.argv[1:])"


def torchrun(processes, *arguments, folder, code=MAIN, more=(), base=TINY, **popen):
    """`code`, with torch and both scripts' modules at hand, in so many processes. -> Popen"""
    script = folder / "script.py"
    script.write_text(
        f"import os, signal, sys, torch\nsys.path.insert(0, {str(ROOT)!r})\n"
        f"import train_cifar, dsatgo\n{code}\n"
    )
    meeting = more or ["--master-port=0", "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"]
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}"]
    environment = dict(os.environ, OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="")
    return subprocess.Popen(
        [*command, *meeting, str(script), *base, *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **popen,
    )


def finish(process, timeout=200):
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err
