"""Train DS-ATGO on still pictures.

python train_cifar.py                           the paper's recipe on CIFAR-10, downloaded
python train_cifar.py --demo                    both arms: drawn pictures, 8 channels, 5 epochs
python train_cifar.py --dataset cifar100        the paper's recipe on CIFAR-100
python train_cifar.py --dataset folder --data DIR  DIR/train/CLASS/* and DIR/test|val/CLASS/*
python train_cifar.py --dataset imagenet --data DIR  streamed: resnet18, T 4, batch 32, 224x224
torchrun --nproc-per-node=4 train_cifar.py ...  several processes
"""

import argparse
import atexit
import collections
import concurrent.futures
import contextlib
import dataclasses
import datetime
import errno
import fcntl
import functools
import hashlib
import importlib.util
import inspect
import io
import itertools
import json
import math
import os
import pathlib
import re
import resource
import runpy
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import typing
import zipfile

import torch
import torch.nn.functional as F
import torchvision
from PIL import Image, ImageOps
from torchvision import transforms
from torchvision.datasets import folder as pictures

import dsatgo
from dsatgo import LIF, Trainer, compile_neurons, energy, probe, readout


# ---- 1. Settings (1 to 4: shared with train_dvs.py) ----------------------------------------------
def setting(default, text, **more):
    """A field of `Config`: default, what --help says (with the paper's value); choices=, least=,
    most=, and free=True where a resumed run may differ."""
    return dataclasses.field(default=default, metadata=dict(text=text, **more))


@dataclasses.dataclass
class Config:
    """The settings of a run, which its checkpoints store; the command line is made of it."""

    # data
    data: str = setting("data", "folder of the data set", free=True)
    dataset: str = setting("", "which data set")
    limit_train: int | None = setting(None, "train on so many samples, drawn by the seed", least=1)
    limit_test: int | None = setting(None, "test on so many samples, drawn by the seed", least=1)
    skip_bad: bool = setting(False, "leave out unreadable files, naming them, instead of stopping")
    flip: bool = setting(True, "mirror every other picture of training (paper: yes)")
    augment: bool = setting(True, "change training data at random, the flip included (paper: yes)")

    # network
    arch: str = setting(
        "resnet19", "network (paper: this; ImageNet resnet18)", choices=tuple(dsatgo.NETWORKS)
    )
    channels: int = setting(128, "width of the first stage (paper: 128; VGGSNN 64)", least=1)
    T: int = setting(2, "timesteps (paper: 2; ImageNet 4, CIFAR10-DVS 10)", least=1)
    threshold: str = setting("true", "the LIF's rule (paper: true)", choices=dsatgo.THRESHOLDS)
    width: str = setting("threshold", "the surrogate's (paper: threshold)", choices=dsatgo.WIDTHS)
    f_c: float = setting(1.0, "firing control factor of Eq. 5 (paper: 1.0, and 1.2 to save energy)")
    momentum: float | None = setting(0.1, "m of Eq. 6, or none: no moving average (paper: 0.1)")
    tau: float = setting(0.2, "initial leak (paper: 0.2)")
    v_th: float = setting(1.0, "initial threshold (paper: 1.0)")
    kappa: float = setting(1.0, "base width of the surrogate (paper: 1)")
    bn_scale: float | None = setting(None, "batch norms' start; none: v_th (paper: v_th)", least=0)
    neuron: str | None = setting(None, "FILE.py:NAME, a neuron NAME(T) of your own (paper: LIF)")

    # training
    epochs: int = setting(400, "length of the schedule (paper: 400)", least=1)
    stop_after: int | None = setting(None, "end cleanly after so many epochs", least=1, free=True)
    batch_size: int = setting(100, "samples a step (paper: 100; ImageNet 32, DVS 50)", least=1)
    lr: float = setting(0.1, "initial learning rate, cosine to 0 (paper: 0.1)", least=0)
    weight_decay: float = setting(1e-4, "on every parameter (paper: 1e-4)", least=0)
    norm_decay: bool = setting(True, "also on parameters of one dimension (paper: yes)")
    label_smoothing: float = setting(0.1, "of the labels (paper: not stated)", least=0, most=1)
    seed: int = setting(0, "of weights, order, augmentation (paper: five)", least=0, most=2**63 - 1)

    # machine
    device: str = setting("auto", "cpu, cuda:1, ...; auto: a GPU if any (paper: 4090)", free=True)
    amp: str = setting("off", "mixed precision (paper: -)", choices=("off", "bf16", "fp16"))
    compile: bool | None = setting(None, "torch.compile; none: on a GPU (paper: -)", free=True)
    recompute: bool = setting(False, "a third of the memory, a third slower", free=True)
    workers: int | None = setting(None, "that load; none: 8 on a GPU, else 0", least=0, free=True)
    sync_stats: bool = setting(False, "statistics are of the batch of all processes (paper: -)")

    # run
    out: str | None = setting(None, "folder to write; none: runs/DATASET-ARCH-...-SEED", free=True)
    resume: str | None = setting(None, "go on from this checkpoint or run folder", free=True)
    eval: str | None = setting(None, "only test this checkpoint, or a run folder's last.pt")
    save_every: int | None = setting(None, "last.pt every so many steps too", least=1, free=True)
    plot: bool = setting(False, "write curves.png at the end (needs matplotlib)", free=True)
    demo: bool = setting(False, "no download, no GPU, minutes: arms side by side and a table")


# ---- 2. Command line -----------------------------------------------------------------------------
# Settings of one call, not of the run; and what --eval may change.
ONCE = {"resume", "eval", "stop_after", "plot", "demo", "download"}
EVAL = {"data", "cache", "download", "eval", "device", "amp", "compile", "workers", "batch_size"}
EVAL |= {"limit_test", "skip_bad"}


def flag(name):
    return "--" + name.replace("_", "-")


def parser_of(cls, text):
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(None, None, text, formatter_class=raw, allow_abbrev=False)
    parser.error = lambda message: parser.exit(2, f"{parser.prog}: {message}\n")
    for field in dataclasses.fields(cls):
        kind, *optional = typing.get_args(field.type) or (field.type,)
        default = "none" if field.default is None else field.default
        more = dict(help=f"{field.metadata['text']} [{default}]".replace("%", "%%"))
        if kind is bool:
            more["action"] = argparse.BooleanOptionalAction
        else:
            more["type"] = converter(kind, optional)
            more["choices"] = field.metadata.get("choices")
        parser.add_argument(flag(field.name), dest=field.name, default=argparse.SUPPRESS, **more)
    return parser


def converter(kind, optional):
    """text -> int, float or str, with ~ as in a shell, or None for "none" where that is allowed."""

    def convert(text):
        if not text:
            raise argparse.ArgumentTypeError("is empty, as a variable that is not set")
        if optional and text.lower() == "none":
            return None
        return kind(os.path.expanduser(text))

    convert.__name__ = kind.__name__  # it stands in argparse's messages
    return convert


def stored_settings(cls, source, given):
    """The settings of the checkpoint `source`, none contradicted by `given`, and the checkpoint."""
    checkpoint = load_checkpoint(source)
    if "resume" in given and "steps" not in checkpoint:
        raise ValueError(f"--resume {source}: holds the network alone; resume its last.pt")
    known = {field.name: field for field in dataclasses.fields(cls)}
    stored = {name: value for name, value in checkpoint["config"].items() if name not in ONCE}
    if other := sorted(stored.keys() - known.keys()):
        raise ValueError(f"{source} is of another script or version: it has {', '.join(other)}")
    check_limits(cls(**stored), f"{source}: ")
    if stored.get("neuron") and "neuron" not in given:
        raise ValueError(f"{source}: to run its code add --neuron {shlex.quote(stored['neuron'])}")
    stored["out"] = source if os.path.isdir(source) else os.path.dirname(source) or "."
    for name, value in given.items():
        free = known[name].metadata.get("free") if "resume" in given else name in EVAL
        same = name not in ONCE and value == stored.get(name, known[name].default)
        if not free and not same:
            raise ValueError(f"{flag(name)} {value}: the run of {source} has {stored.get(name)}")
    return stored, checkpoint


def check_limits(config, source=""):
    """ValueError for a setting of another type, outside its limits or none of its choices."""
    for field in dataclasses.fields(config):
        kind, *optional = typing.get_args(field.type) or (field.type,)
        value = getattr(config, field.name)
        what = f"{source}{flag(field.name)} {value}"
        if value is None and optional:
            continue
        if type(value) is not kind and (kind, type(value)) != (float, int):
            raise ValueError(f"{what}: must be of type {kind.__name__}")
        least = field.metadata.get("least", -sys.float_info.max)
        most = field.metadata.get("most", 2**31 - 1 if kind is int else sys.float_info.max)
        if kind in (int, float) and not least <= value <= most:
            raise ValueError(f"{what}: must be a number from {least} to {most}")
        choices = field.metadata.get("choices")
        if choices and value not in choices:
            raise ValueError(f"{what}: must be one of {', '.join(choices)}")


def parse(cls, description, argv=None):
    """Command line -> settings, a `cls`, and the checkpoint that --resume or --eval names, or None.
    ValueError for settings that no run can have; unknown flags end the process, exit code 2."""
    given = vars(parser_of(cls, description).parse_args(argv))
    stored, checkpoint = {}, None
    if given.get("resume") and given.get("eval"):
        raise ValueError(f"--eval {given['eval']}: must be given without --resume")
    if source := given.get("resume") or given.get("eval"):
        stored, checkpoint = stored_settings(cls, source, given)
    preset = "demo" if given.get("demo") else given.get("dataset")
    config = cls(**cls.PRESETS.get(preset, {}) | stored | given)
    check_limits(config)
    return config, checkpoint


@contextlib.contextmanager
def one_line_errors():
    """In scripts: bad input, full disks and memory: one line and exit code 2. Ctrl-C: 130."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # it was closed
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # for ascii, and names that are no text
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)
    except (ValueError, OSError, MemoryError, RuntimeError) as error:
        known = re.search(r"memory|overflow|DataLoader worker \(pid", str(error))
        if isinstance(error, RuntimeError) and not known:
            raise
        lines = str(error).strip().split("\n")  # a worker's error comes with its traceback
        text = lines[-1] if lines[0].startswith("Caught") else " ".join(lines) or repr(error)
        text += " Fewer --workers?" * ("worker (pid" in text)
        print(f"{sys.argv[0]}: {text}", file=sys.stderr)
        sys.exit(2)


# ---- 3. Files of a run ---------------------------------------------------------------------------
@contextlib.contextmanager
def replacing(path):
    """A file to write to, under a temporary name until all is on disk: none is half-written."""
    temporary = pathlib.Path(f"{path}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def save(path, state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    with replacing(path) as file:
        file.write(buffer.getbuffer())


def check_kind(held, own, where):
    """ValueError: `held`, of a file that may come from anywhere, is not what a run writes in the
    place of `own`: other names, types or shapes, not finite, a number above it or negative."""
    if isinstance(own, torch.Tensor):
        fine = isinstance(held, torch.Tensor) and held.layout == own.layout
        fine = fine and (held.dtype, held.shape) == (own.dtype, own.shape) and held.isfinite().all()
    elif isinstance(own, dict):
        fine = isinstance(held, dict) and held.keys() == own.keys()
    else:
        fine = type(held) is type(own) and -isinstance(own, float) <= held <= own
    if not fine:
        raise ValueError(f"its{where} is missing, of another kind or out of range")
    for part in own if isinstance(own, dict) else ():
        check_kind(held[part], own[part], f"{where} {part}")


def load_checkpoint(path):
    """A checkpoint, or a run folder's last.pt, as a dict; code in it is not run. ValueError"""
    path = pathlib.Path(path)
    if path.is_dir():
        path = path / "last.pt"
    try:
        with zipfile.ZipFile(path) as file:  # its checksums, which torch.load does not look at
            if bad := file.testzip():
                raise ValueError(f"the checksum of {bad} is wrong, so the file is damaged")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        dict(**checkpoint["config"])["arch"]
        facts = checkpoint["facts"]
        "".join(facts["classes"])
        for name in ("mean", "std") * bool(facts.keys() & {"mean", "std"}):
            check_kind(torch.tensor(facts[name]), torch.zeros(3), f" {name}")
        if min(facts.get("std", [1])) <= 0:
            raise ValueError("its std is not above 0")
    except Exception as error:  # whatever damaged bytes may raise
        what = f"{type(error).__name__}: {str(error)[:200]}"
        raise ValueError(f"{path} is no checkpoint of this program: {what}") from error
    return checkpoint


def write_rows(path, epoch, rows):
    """Puts the epoch's rows in place of whatever the file holds from that epoch on."""
    lines = rows_before(path, epoch)
    lines += [",".join(map(str, row.values())) for row in rows]
    with replacing(path) as file:
        file.write("\n".join([",".join(rows[0]), *lines, ""]).encode())


def rows_before(path, epoch):
    """A log's lines of earlier epochs, without its head. ValueError: another file."""
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    lines = [line for line in lines if line.strip(", ")]
    if bad := [line for line in lines if not re.match(r"epoch,|\d{1,9},", line)]:
        raise ValueError(f"{path}: {bad[0][:50]!r} is no row of a log: move the file away")
    return [line for line in lines if line[0] != "e" and int(line.split(",")[0]) < epoch]


def lock(file, how=fcntl.LOCK_EX):
    """The open file for this process alone, until it is closed, where there are locks. OSError"""
    try:
        fcntl.lockf(file, how)  # unlike flock's, not inherited
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            raise
        print(f"{file.name}: no locks here, let no other run use this folder", file=sys.stderr)


@contextlib.contextmanager
def locked(out, source):
    """The run's folder for this process alone, until it ends. `source`: what --resume named."""
    out.mkdir(parents=True, exist_ok=True)
    source = source and pathlib.Path(source)
    if source and not source.is_dir():
        source = source.parent
    with open(out / "lock", "a") as file:
        try:
            lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:  # EAGAIN, EACCES
            raise ValueError(f"another run is writing to {out}: choose another --out") from error
        elsewhere = source and source.resolve() != out.resolve()
        if (elsewhere or not source) and (out / "last.pt").exists():
            raise ValueError(f"a run is there: --resume {shlex.quote(str(out))}, or another --out")
        for name in ("best.pt", "log.csv", "layers.csv"):
            if elsewhere and (source / name).exists():
                shutil.copy(source / name, out / name)
        for name in ("config.json", "log.csv", "layers.csv", "best.pt", "last.pt"):
            (out / f"{name}.tmp").unlink(missing_ok=True)  # of a run that was killed
        for name in ("log.csv", "layers.csv"):  # a damaged one is found before training
            rows_before(out / name, 0)
        yield


def describe(config, facts, device):
    """What config.json holds: settings, data, versions, git revision, device."""
    folder = pathlib.Path(__file__).parent
    command = [shutil.which("git") or "true", "-C", str(folder), "rev-parse", "HEAD"]
    git = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    about = dict(settings=dataclasses.asdict(config), facts=facts, git=git or None)
    about |= dict(python=sys.version.split()[0], platform=sys.platform, device=str(device))
    about |= dict(torch=torch.__version__, torchvision=torchvision.__version__)
    about["card"] = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return json.dumps(about, indent=1).encode()


# ---- 4. Training ---------------------------------------------------------------------------------
def sample_seed(*key):
    """A 63-bit seed from (seed, epoch, sample): neither order nor workers change augmentation."""
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=8).digest(), "big") >> 1


def build(config, classes, shape):
    """The network of `config` for inputs (C, H, W), channels-last: faster on a CPU. ValueError"""
    names = ("tau", "v_th", "kappa", "f_c", "momentum", "threshold", "width")
    neuron = functools.partial(LIF, **{name: getattr(config, name) for name in names})
    if config.neuron:
        file, _, name = config.neuron.rpartition(":")
        try:
            neuron = runpy.run_path(file)[name]
        except Exception as error:  # it is anybody's code
            what = f"--neuron {config.neuron}: must be FILE.py:NAME"
            raise ValueError(f"{what}; {error!r}") from error
    make = dsatgo.NETWORKS[config.arch]
    more = dict(size=shape[1], stem="imagenet" if config.dataset == "imagenet" else "cifar")
    wanted = inspect.signature(make).parameters  # a network gets what it asks for by name
    more = {name: value for name, value in more.items() if name in wanted}
    net = make(classes, config.T, shape[0], config.channels, neuron=neuron, **more)
    for module in net.modules():
        if config.bn_scale is not None and "BatchNorm" in type(module).__name__:
            torch.nn.init.constant_(module.weight, config.bn_scale)
    if config.recompute:
        dsatgo.recompute(net)
    return net.to(memory_format=torch.channels_last)


def start(config):
    """Joins the other processes, if any; each takes its own GPU first. -> rank, world, device"""
    name = config.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if "RANK" in os.environ and name != "cpu":
        if name != "cuda":
            raise ValueError(f"--device {name}: under torchrun each process takes its own, or cpu")
        name = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    try:
        device = torch.empty(0, device=name).device
        torch.zeros(1, device=name).cpu()  # meta holds no numbers
        if device.type == "cuda":
            torch.cuda.set_device(device)
            torch.backends.cudnn.benchmark = True
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {name}: {str(error).splitlines()[0]}") from error
    if "RANK" in os.environ and not torch.distributed.is_initialized():
        # the CPU's messages go by gloo, and so wait for no GPU; a day: the first one may download
        way = "cpu:gloo,cuda:nccl" if "cuda" in name else "gloo"
        torch.distributed.init_process_group(way, timeout=datetime.timedelta(days=1))
        atexit.register(torch.distributed.destroy_process_group)  # or its threads outlive ours
    if torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size(), device
    return 0, 1, device


def once(config, work):
    """Under torchrun the first process does it, and the others wait."""
    rank, world, _ = start(config)
    if rank == 0:
        work()
    if world > 1:
        torch.distributed.barrier()


STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def signals(caught):
    """STOPS go into `caught`; a second Ctrl-C ends the process at once (schedulers, and torchrun's
    agent, repeat SIGTERM). What is ignored, as by nohup, stays so; only the main thread hears."""

    def note(number, frame):
        if number == signal.SIGINT and number in caught:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        caught.append(number)
        with contextlib.suppress(OSError):  # its terminal may be gone
            os.write(2, b"\nwaiting for this step, to save; Ctrl-C once more ends at once\n")

    with contextlib.ExitStack() as stack:
        for number in STOPS if threading.current_thread() is threading.main_thread() else ():
            if signal.getsignal(number) not in (None, signal.SIG_IGN):
                stack.callback(signal.signal, number, signal.signal(number, note))
        yield


def deaf(*_):
    """Workers leave signals to the process that started them. -> those heard before"""
    return signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)


class Feed:
    """Batches of the training and the test set, prepared by workers that live through the run."""

    def __init__(self, config, sets, device):
        self.sets = sets
        self.seed = config.seed
        self.keys = []
        workers = config.workers
        if workers is None:
            workers = min(8, os.cpu_count()) if device.type == "cuda" else 0
        more = dict(num_workers=workers, persistent_workers=workers > 0, worker_init_fn=deaf)
        more |= dict(pin_memory=device.type == "cuda", generator=torch.Generator())
        self.loader = torch.utils.data.DataLoader(self, None, sampler=self.keys, **more)

    def __getstate__(self):  # what workers get where they are not forked
        return self.__dict__ | dict(loader=None)

    def __getitem__(self, key):
        train, part, epoch = key
        return self.sets[train][part, epoch, self.seed]

    def batches(self, parts, epoch=None):
        """data[indices, epoch, seed] of each part; epoch None: of the test set."""
        self.keys[:] = [(epoch is not None, part, epoch) for part in parts if len(part)]
        heard = deaf()  # and so are workers, from their first moment
        try:
            found = iter(self.loader)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, heard)
        yield from found

    def close(self):
        """Ends the workers; one that is still at work is not waited for."""
        found = self.loader._iterator
        if found is not None:
            found._shutdown_workers()
            for worker in found._workers:
                worker.kill()


class Run:
    """A training run: its settings, trainer, data and folder, and the best epoch so far."""

    def __init__(self, config, trainer, feed, facts, rank, world):
        self.config = config
        self.trainer = trainer
        self.feed = feed
        self.facts = facts
        self.rank = rank
        self.world = world
        name = f"{config.dataset}-{config.arch}-{config.threshold}-{config.width}-{config.seed}"
        self.out = pathlib.Path(config.out or f"runs/{name}")
        self.best = dict(accuracy=-1.0, epoch=0)
        self.end = min(config.epochs, config.stop_after or config.epochs)
        self.caught = []
        self.flags = collections.deque()
        self.saved = -math.inf
        self.shown = time.perf_counter()
        self.wait = 0.5 if sys.stdout.isatty() else 60

    def say(self, text, **more):
        if self.rank == 0:
            print(text, flush=True, **more)

    def introduce(self):
        """What is about to be trained, on what, where."""
        net, (test, train) = self.trainer.net, self.feed.sets
        arm = self.config.neuron or f"{self.config.threshold} threshold, {self.config.width} width"
        size = sum(p.numel() for p in net.parameters())
        data = f"{len(train)} + {len(test)} samples of {len(test.facts['classes'])} classes"
        what = f"{self.config.arch} of {size:,} parameters ({arm}) on {self.trainer.device}"
        self.say(f"{what}; {data}; epochs {self.trainer.epoch + 1} to {self.end}; to {self.out}")

    def restore(self, checkpoint):
        """ValueError if it was trained on other data, lacks a part or does not fit the settings."""
        config = self.config
        held = checkpoint["facts"]
        if other := [n for n, fact in self.facts.items() if repr(held.get(n)) != repr(fact)]:
            raise ValueError(f"--data {config.data}: not the run's data: other {', '.join(other)}")
        best = dict(accuracy=1.0, epoch=config.epochs)
        own = self.trainer.state_dict() | dict(epoch=config.epochs, best=best)
        if config.eval:
            own = {name: own[name] for name in ("model", "epoch", "best")}
        else:
            own["steps"] = self.facts["samples"] // min(config.batch_size, self.facts["samples"])
        try:
            check_kind({name: checkpoint.get(name) for name in own}, own, "")
            if config.eval:
                self.trainer.net.load_state_dict(checkpoint["model"])
            else:
                loss, hits, seen = checkpoint["meters"].tolist()
                fine = 0 <= hits <= seen and (seen > 0) == (checkpoint["steps"] > 0)
                if not fine or checkpoint["scale"][0] <= 0:
                    raise ValueError("its meters, steps or scale cannot be so")
                self.trainer.load_state_dict(checkpoint)
        except (RuntimeError, ValueError) as error:
            path = config.resume or config.eval
            raise ValueError(f"{path}: does not fit its settings: {error}") from error
        self.best = checkpoint["best"]

    def state(self):
        """What last.pt holds. All processes call it."""
        about = dict(best=self.best, facts=self.facts, config=dataclasses.asdict(self.config))
        return self.trainer.state_dict() | about

    def save(self, state, improved=False, due=True):
        """best.pt, then the last.pt that speaks of it: if due, or a minute after the one before."""
        if self.rank == 0 and improved:
            names = ("model", "epoch", "best", "config", "facts")
            save(self.out / "best.pt", {name: state[name] for name in names})
        if self.rank == 0 and (due or time.monotonic() - self.saved > 60):
            save(self.out / "last.pt", state)
            self.saved = time.monotonic()

    def stop(self, number, state):
        """Saves and ends the process, for a signal."""
        self.save(state)
        command = ["python", sys.argv[0], "--resume", str(self.out)]
        if self.config.neuron:
            command += ["--neuron", self.config.neuron]
        where = f"\nstopped in epoch {state['epoch'] + 1}, step {state['steps']}"
        with contextlib.suppress(OSError):
            self.say(where if self.config.demo else f"{where}; to go on: {shlex.join(command)}")
        sys.exit(128 + number)

    def stop_of(self):
        """The signal to stop by, or 0. All processes stop at the same step: they tell each other in
        every step, and on a GPU look four steps later, so that none waits for another."""
        if self.world == 1:
            return max(self.caught, default=0)
        flag = torch.tensor(max(self.caught, default=0))
        work = torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX, async_op=True)
        self.flags.append((work, flag))
        if len(self.flags) <= 4 * (self.trainer.device.type == "cuda"):
            return 0
        work, flag = self.flags.popleft()
        work.wait()
        return int(flag)

    def fault(self, x, y):
        """The ValueError that says where the run became infinite."""
        trainer = self.trainer
        with torch.no_grad(), probe(trainer.net) as figures:
            trainer.look(trainer.net, x, y)
        values = {name: seen["u_mean"] for name, seen in figures.items()}
        values |= trainer.net.state_dict()
        first = [name for name, value in values.items() if not value.isfinite().all()]
        last = [*self.out.glob("last.pt"), None]
        where = f"epoch {trainer.epoch + 1}, step {trainer.steps}, lr {trainer.rate():.3g}"
        where += f"; first layer: {[*first, 'none: the gradient'][0]}"
        return ValueError(f"not finite in {where}; last good checkpoint: {last[0]}")

    def train_epoch(self, parts):
        """The steps that are left of an epoch. -> seconds, and samples seen in them"""
        config, trainer = self.config, self.trainer
        skipped = trainer.steps
        begin = time.perf_counter()
        for x, y in self.feed.batches(parts[skipped:], trainer.epoch):
            trainer.step(x, y)
            stop = self.stop_of()
            due = stop or config.save_every and trainer.steps % config.save_every == 0
            look = trainer.device.type == "cpu" or trainer.steps % 50 == 0  # it waits for a GPU
            if (due or look or trainer.steps == len(parts)) and not trainer.healthy():
                raise self.fault(x, y)
            if stop:
                self.stop(stop, self.state())
            if due:
                self.save(self.state())
            now = time.perf_counter()
            if self.rank == 0 and now - self.shown > self.wait:
                self.shown = now
                self.progress(parts, (trainer.steps - skipped) / (now - begin))
        seconds = time.perf_counter() - begin
        return seconds, (len(parts) - skipped) * min(config.batch_size, len(self.feed.sets[1]))

    def progress(self, parts, speed):
        """One line over the one before; if no terminal, after a minute. speed: steps a second"""
        trainer = self.trainer
        loss, hits, samples = trainer.meters.tolist()  # waits for the device
        step = trainer.steps
        left = int(((self.end - trainer.epoch) * len(parts) - step) / speed)
        left = datetime.timedelta(seconds=left)
        line = f"epoch {trainer.epoch + 1}/{trainer.epochs}  step {step}/{len(parts)}  "
        line += f"loss {loss / samples:.4f}  acc {hits / samples:.2%}  "
        line += f"{speed * samples / step * self.world:.0f} images/s  left {left}"
        if sys.stdout.isatty():
            self.say(f"\r{line} ", end="")
        else:
            self.say(f"{line}, ends {datetime.datetime.now() + left:%d %b %H:%M}")
            self.wait = math.inf

    def evaluate(self, state=None):
        """Every test sample once, over all processes, in one fixed random order: folders are
        sorted, and a batch of one class has thresholds of its own. -> as Trainer.evaluate, and
        layers: `probe` of this process's first ten batches. `state`: to save at a signal."""
        n = len(self.feed.sets[0])
        order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
        parts = order[self.rank :: self.world].split(self.config.batch_size)
        most = math.ceil(math.ceil(n / self.world) / self.config.batch_size)
        with contextlib.ExitStack() as watching:
            layers = watching.enter_context(probe(self.trainer.net))

            def watched():
                found = self.feed.batches(parts)
                for i in range(most):  # as many in each process, for they talk
                    if i == 10:
                        watching.close()
                    yield from itertools.islice(found, 1)
                    if stop := state and self.stop_of():
                        self.stop(stop, state)

            return self.trainer.evaluate(watched()) | dict(layers=layers)

    def end_epoch(self, seconds, samples):
        """Tests, logs and saves. -> what `evaluate` returned"""
        config, trainer = self.config, self.trainer
        lr = trainer.rate()
        before = self.state()
        seen = trainer.end_epoch()
        result = self.evaluate(before)
        if not math.isfinite(seen["loss"] + result["loss"]):
            what = f"loss is not finite after epoch {trainer.epoch}, lr {lr:.3g}"
            raise ValueError(f"{what}; what {self.out} holds is from before")
        improved = result["accuracy"] > self.best["accuracy"]
        if improved:
            self.best = dict(accuracy=result["accuracy"], epoch=trainer.epoch)
        row = dict(epoch=trainer.epoch, loss=seen["loss"], train_accuracy=seen["accuracy"])
        row |= dict(test_accuracy=result["accuracy"], lr=lr, images_per_s=samples / seconds)
        unit = 2**20 if sys.platform == "darwin" else 2**10
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
        if trainer.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(trainer.device) / 2**20
        row |= dict(seconds=seconds, peak_memory_mb=peak)
        if self.rank == 0:
            write_rows(self.out / "log.csv", trainer.epoch, [row])
            if rows := layer_rows(trainer.net, trainer.epoch, result["layers"]):
                write_rows(self.out / "layers.csv", trainer.epoch, rows)
        self.save(self.state(), improved, trainer.epoch == self.end)
        line = (
            f"epoch {trainer.epoch}/{config.epochs}  loss {row['loss']:.4f}  "
            f"train {row['train_accuracy']:.2%}  test {row['test_accuracy']:.2%}  lr {lr:.3g}  "
            f"{row['images_per_s']:.0f} images/s  {seconds:.1f} s"
        )
        self.say(f"\r{line:110}" if sys.stdout.isatty() else line)
        return result


def layer_rows(net, epoch, layers):
    """Rows of layers.csv: what `probe` saw by layer and timestep, leak, mean batch-norm weight."""
    rows = []
    for name, seen in layers.items():
        lif = net.get_submodule(name)
        layer = net.get_submodule(name.rpartition(".")[0])
        gamma = math.nan  # of a network of one's own
        if isinstance(layer, dsatgo.Layer):
            gamma = layer.current[1].weight.mean().item()
        tau = torch.sigmoid(lif.w).item()
        for t in range(lif.T):
            row = dict(epoch=epoch, layer=name, timestep=t + 1)
            row |= {figure: value[t].item() for figure, value in seen.items()}
            rows.append(row | dict(tau=tau, gamma=gamma))
    return rows


def fit(config, train, test, loss=None):
    """Train, test after each epoch, write the run's folder; with config.eval only test. A data set
    has a length, `shape` (C, H, W), `facts` (a dict kept in checkpoints, with "classes"), and
    data[indices, epoch, seed] -> inputs, labels, augmented unless epoch is None. `loss` of logits
    [T, B, classes] and labels: by default cross-entropy of `readout`, smoothed. -> the last
    `evaluate`, with `net`, `best` and `out`. ValueError, OSError."""
    rank, world, device = start(config)
    torch.manual_seed(config.seed)
    net = build(config, len(test.facts["classes"]), test.shape).to(device)
    if config.sync_stats and world > 1:
        for module in net.modules():
            module.synced = True  # LIF's; it means nothing to others
        if device.type == "cuda":
            net = torch.nn.SyncBatchNorm.convert_sync_batchnorm(net)
    smooth = config.label_smoothing
    loss = loss or (lambda z, y: F.cross_entropy(readout(z), y, label_smoothing=smooth))
    recipe = (config.epochs, config.lr, config.weight_decay, loss, config.amp, config.norm_decay)
    trainer = Trainer(net, *recipe)
    facts = test.facts if config.eval else test.facts | dict(samples=len(train))
    feed = Feed(config, (test, train), device)
    run = Run(config, trainer, feed, facts, rank, world)
    with contextlib.ExitStack() as stack:
        stack.callback(feed.close)
        wanted = True if config.compile is None and device.type == "cuda" else config.compile
        if wanted is not None:  # and at the end as the caller had them
            stack.callback(compile_neurons, compile_neurons(wanted))
        if source := config.resume or config.eval:
            given = {n: v for n, v in vars(config).items() if v or n not in {*ONCE, "out"}}
            _, checkpoint = stored_settings(type(config), source, given)
            run.restore(checkpoint)
        if config.eval:
            result = run.evaluate()
            if not math.isfinite(result["loss"]):
                raise ValueError(f"{config.eval}: the loss of its network is not finite")
            seen = f"loss {result['loss']:.4f}, {len(test)} samples, epoch {checkpoint['epoch']}"
            run.say(f"test accuracy {result['accuracy']:.2%}, {seen}")
            return result | dict(net=net, best=run.best, out=run.out)
        batch = min(config.batch_size, len(train))
        if batch % world:
            raise ValueError(f"--batch-size {batch}: must be divisible by the {world} processes")
        if rank == 0:
            stack.enter_context(locked(run.out, config.resume))
            with replacing(run.out / "config.json") as file:
                file.write(describe(config, facts, device))
        if config.resume:  # as it is now that nobody else can write it
            run.restore(load_checkpoint(config.resume))
        stack.enter_context(signals(run.caught))
        run.introduce()
        result = None
        for epoch in range(trainer.epoch, run.end):
            random = torch.Generator().manual_seed(sample_seed(config.seed, epoch))
            order = torch.randperm(len(train), generator=random).split(batch)
            parts = [part[rank::world] for part in order if len(part) == batch]
            result = run.end_epoch(*run.train_epoch(parts))
        result = result or run.evaluate(run.state())
    best = f"chosen on the test set: {run.best['accuracy']:.2%}, epoch {run.best['epoch']}"
    what = f"test accuracy {result['accuracy']:.2%} after epoch {trainer.epoch}"
    run.say(f"{what} (best over epochs, {best}); written to {run.out}")
    return result | dict(net=net, best=run.best, out=run.out)


# ---- 5. Drawn pictures ---------------------------------------------------------------------------
CLASSES = "disc ring square frame triangle cross bar pair crescent corner".split()
GLYPHS = (  # 8x8 pixels each, a hexadecimal digit for four
    "3c7effffffff7e3c 3c7ee7c3c3e77e3c ffffffffffffffff ffffc3c3c3c3ffff 18183c3c7e7effff "
    "181818ffff181818 000000ffff000000 0000e7e7e7e70000 3c78f0e0e0f0783c c0c0c0c0c0c0ffff"
).split()


def draw_shapes(n, seed, side=32):
    """n pictures of CLASSES in turn, uint8 [n, 3, side, side] and labels [n]: one shape each of
    random place, size, turn and colours on a shaded, noisy ground. What a class has in common is no
    pixel, so a linear classifier does not see it."""
    random = torch.Generator().manual_seed(sample_seed("shapes", seed))

    def uniform(low, high, *shape):
        return torch.rand(n, *shape, generator=random) * (high - low) + low

    labels = torch.arange(n) % len(CLASSES)
    bits = [[int(glyph, 16) >> i & 1 for i in reversed(range(64))] for glyph in GLYPHS]
    turn = uniform(-0.3, 0.3)
    glyphs = torch.tensor(bits).to(turn.dtype).unflatten(1, (1, 8, 8))
    turned = torch.stack([turn.cos(), turn.sin(), -turn.sin(), turn.cos()], 1).unflatten(1, (2, 2))
    affine = torch.cat([turned / uniform(0.5, 0.75, 1, 1), uniform(-0.4, 0.4, 2, 1)], 2)
    grid = F.affine_grid(affine, [n, 1, side, side], align_corners=False)
    ink = F.grid_sample(glyphs[labels], grid, align_corners=False)
    ramp = torch.linspace(-1, 1, side)
    paper = uniform(0.1, 0.5, 3, 1, 1) + uniform(-0.2, 0.2, 1, 1, 1) * ramp
    paper = paper + uniform(-0.2, 0.2, 1, 1, 1) * ramp[:, None]
    noise = torch.randn(n, 3, side, side, generator=random)
    pictures = torch.lerp(paper, uniform(0.6, 1, 3, 1, 1), ink) + 0.08 * noise
    pictures = torch.where(uniform(0, 1, 1, 1, 1) < 0.3, 1 - pictures, pictures)
    return (pictures.clamp(0, 1) * 255).round().to(torch.uint8), labels


# ---- 6. Pictures: data[indices, epoch, seed] -> inputs [B, 3, H, W], labels [B] ------------------
class Pictures:
    """uint8 pictures in memory. Training: crop after 4 pixels of padding, flip, `policy`
    (AutoAugment or None), drawn from (seed, epoch, picture); then normalisation by channel."""

    def __init__(self, images, labels, facts, policy=None, flip=True):
        self.images = images
        self.labels = labels
        self.facts = facts
        self.policy = policy
        self.flip = flip
        self.augment = True
        self.shape = tuple(images.shape[1:])

    def __len__(self):
        return len(self.images)

    def __getitem__(self, key):
        indices, epoch, seed = key
        images = []
        with torch.random.fork_rng(devices=[]):  # torchvision draws from the global generator
            for i in indices.tolist():
                if epoch is None or not self.augment:
                    images.append(self.plain(i))
                else:
                    torch.default_generator.manual_seed(sample_seed(seed, epoch, i))
                    images.append(self.augmented(i))
        return normalised(torch.stack(images), self.facts), self.labels[indices]

    def plain(self, i):
        return self.images[i]

    def augmented(self, i):
        x = self.images[i]
        height, width = x.shape[1:]
        top, left = torch.randint(0, 9, (2,)).tolist()
        x = F.pad(x, (4, 4, 4, 4))[:, top : top + height, left : left + width]
        if torch.rand(()) < 0.5 and self.flip:
            x = x.flip(2)
        return self.policy(x) if self.policy else x


def normalised(images, facts):
    mean, std = (torch.tensor(facts[name])[:, None, None] for name in ("mean", "std"))
    return (images.float() / 255 - mean) / std


class Files(Pictures):
    """Picture files, decoded when asked for: RandomResizedCrop, flip, AutoAugment; or centre."""

    def __init__(self, paths, labels, facts, side, flip=True):
        super().__init__(torch.empty(0, 3, side, side), labels, facts)
        self.images = paths
        policy = transforms.AutoAugment(transforms.AutoAugmentPolicy.IMAGENET)
        parts = [transforms.RandomResizedCrop(side), transforms.RandomHorizontalFlip(0.5 * flip)]
        self.random = transforms.Compose([*parts, policy, transforms.PILToTensor()])
        self.centre = scaled(side * 256 // 224, side)

    def plain(self, i):
        return self.centre(open_picture(self.images[i]))

    def augmented(self, i):
        return self.random(open_picture(self.images[i]))


def scaled(size, side):
    """picture -> tensor: its shorter side scaled to `size`, the middle `side` pixels square."""
    parts = [transforms.Resize(size), transforms.CenterCrop(side), transforms.PILToTensor()]
    return transforms.Compose(parts)


def open_picture(path):
    """A picture file as RGB of 8 bits, turned as its EXIF says, on white where it is transparent;
    info: what it `was`, and `content`, its name and a checksum. ValueError names the file."""
    try:
        data = pathlib.Path(path).read_bytes()
        with Image.open(path) as file:
            was = file.mode + " turned" * (file.getexif().get(0x0112, 1) != 1)
            picture = ImageOps.exif_transpose(file)
            deep = "I;16" in file.mode or file.mode == "I" and file.format in ("PNG", "PPM")
            if deep and "transparency" not in file.info:
                picture = picture.convert("I").point(lambda x: x / 256).convert("L")  # 16 bits
            elif deep or file.mode in "IF":
                raise ValueError("32 bits, or 16 and transparent: not read; save it with 8 bits")
        if picture.has_transparency_data:
            white = Image.new("RGBA", picture.size, "white")
            picture = Image.alpha_composite(white, picture.convert("RGBA"))
        picture = picture.convert("RGB")
    except Exception as error:  # PIL raises many kinds on damaged files
        raise ValueError(f"{path} is no picture: {error}") from error
    content = os.fsencode(os.path.basename(path)) + hashlib.sha256(data).digest()
    picture.info.update(was=was, content=content)
    return picture


def tell(what, counts):
    """One line, if there is anything to tell."""
    if counts and os.environ.get("RANK", "0") == "0":
        print(what, ", ".join(f"{n} {name}" for name, n in sorted(counts.items())))


def decoded(paths, labels, prepare, skip_bad):
    """prepare(picture) of each file, less bad ones if skip_bad -> list, paths, labels, contents"""

    def one(path):
        try:
            picture = open_picture(path)
            return prepare(picture), path, picture.info
        except ValueError as error:
            if not skip_bad:
                raise ValueError(f"{error} (--skip-bad leaves it out)") from error
            print(f"left out: {error}", file=sys.stderr)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        results = list(pool.map(one, paths))
    good = [i for i, result in enumerate(results) if result]
    if not good:
        raise ValueError("none of the files is a picture")
    images, paths, infos = zip(*(results[i] for i in good))
    modes = collections.Counter(info["was"] for info in infos if info["was"] != "RGB")
    tell(f"of {len(good)} pictures converted to RGB:", modes)
    return images, list(paths), labels[good], [info["content"] for info in infos]


# A picture set is a function (config, train) -> uint8 [N, 3, H, W] or a list of paths, labels [N],
# names of the classes, bytes of each sample that tell it from others; and a line in DATASETS.
def chosen(config, train, n):
    """Which of n samples --limit-train or --limit-test leave, drawn by the seed."""
    limit = config.limit_train if train else config.limit_test
    if not limit or limit >= n:
        return torch.arange(n)
    return torch.randperm(n, generator=torch.Generator().manual_seed(config.seed))[:limit]


def shapes(config, train):
    n = config.limit_train or 10_000 if train else config.limit_test or 2_000
    images, labels = draw_shapes(n, f"{config.seed} {train}", config.image_size)
    return images, labels, CLASSES, images.numpy()


def cifar(config, train):
    if config.image_size != 32:
        raise ValueError(f"--image-size {config.image_size}: the pictures of CIFAR have 32")
    kind = getattr(torchvision.datasets, config.dataset.upper())
    root = pathlib.Path(config.data)
    try:
        try:
            found = kind(root, train=train)  # where it is, nothing is written
        except RuntimeError:
            root.mkdir(parents=True, exist_ok=True)
            with open(root / "lock", "a") as file:  # under torchrun one downloads, the others wait
                lock(file)
                found = kind(root, train=train, download=True)
    except (OSError, RuntimeError) as error:
        what = f"{config.dataset} is not, or not whole, in --data {root}; no download ({error})"
        where = f"put {kind.filename} from {kind.url} there; --demo needs no data"
        raise ValueError(f"{what}: {where}") from error
    which = chosen(config, train, len(found))
    images = torch.from_numpy(found.data).permute(0, 3, 1, 2)[which].contiguous()
    return images, torch.tensor(found.targets)[which], found.classes, images.numpy()


def listed(place):
    """place/CLASS/* -> (path, label) of each picture, names of the classes. ValueError"""
    others = collections.Counter(p.suffix.lower() for p in place.glob("[!.]*") if p.is_file())

    def taken(path):
        if re.search(r"/\.|/__MACOSX", path[len(str(place)) :]):
            return False  # what desktops and notebooks leave
        fine = pictures.is_image_file(path)
        others[pathlib.Path(path).suffix.lower()] += not fine
        return fine

    found = [p.name for p in place.glob("[!.]*") if p.is_dir() and p.name != "__MACOSX"]
    labels = {name: i for i, name in enumerate(sorted(found) or ["CLASS"])}
    found = pictures.make_dataset(str(place), labels, is_valid_file=taken, allow_empty=True)
    tell(f"{place}: files not taken, by ending:", +others)
    if empty := set(labels.values()) - {label for _, label in found}:
        where = place / [*labels][min(empty)]
        raise ValueError(f"no pictures in {where} ({' '.join(pictures.IMG_EXTENSIONS)})")
    return found, list(labels)


def files(config, train):
    """DIR/train/CLASS/* or DIR/val|test/CLASS/*: pictures, or for imagenet, streamed, paths."""
    place = pathlib.Path(config.data, "train")
    if not train:
        place = place.with_name("val" if place.with_name("val").is_dir() else "test")
        other = {"val", "test"} - {place.name} & {path.name for path in place.parent.glob("*")}
        tell(f"{place} is the test set; not taken:", dict.fromkeys(other, "folder"))
    if not place.is_dir():
        raise ValueError(f"no folder {place}: needed are DIR/train/CLASS/*, DIR/test|val/CLASS/*")
    found, classes = listed(place)
    paths, labels = map(list, zip(*(found[i] for i in chosen(config, train, len(found)))))
    labels = torch.tensor(labels)
    if config.dataset == "folder":
        prepare = scaled(config.image_size, config.image_size)
        images, _, labels, contents = decoded(paths, labels, prepare, config.skip_bad)
        return torch.stack(images), labels, classes, contents
    if config.skip_bad:  # looks at every file once
        _, paths, labels, _ = decoded(paths, labels, bool, skip_bad=True)
    sizes = [os.fsencode(f"{os.path.basename(path)} {os.path.getsize(path)}") for path in paths]
    return paths, labels, classes, sizes


DATASETS = dict(cifar10=cifar, cifar100=cifar, shapes=shapes, folder=files, imagenet=files)


@dataclasses.dataclass
class Settings(Config):
    dataset: str = setting("cifar10", "which (paper: CIFAR, ImageNet)", choices=tuple(DATASETS))
    image_size: int = setting(32, "side, but for CIFAR (paper: 32; ImageNet 224)", least=1)

    PRESETS = dict(
        imagenet=dict(arch="resnet18", T=4, batch_size=32, image_size=224, workers=4),
        demo=dict(dataset="shapes", channels=8, epochs=5, batch_size=25, label_smoothing=0.0)
        | dict(limit_train=1600, limit_test=500, bn_scale=0.2),
    )


def normalisation(images):
    """Mean and standard deviation of each channel; ImageNet's for files that stay on disk."""
    if isinstance(images, list):
        return dict(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    levels = torch.arange(256).double() / 255
    counts = torch.stack([images[:, c].flatten().bincount(minlength=256) for c in range(3)])
    shares = counts.double() / images[:, 0].numel()
    mean = shares @ levels
    std = (shares @ levels.square() - mean.square()).sqrt().clamp(min=1e-3)
    return {name: [round(x, 4) for x in v.tolist()] for name, v in (("mean", mean), ("std", std))}


def load(config, facts=None):
    """The training set (None for --eval) and the test set. `facts`: a checkpoint's, of which the
    normalisation is used; by default the training set's."""
    sets = [None]
    facts = dict(facts or {})
    for part in ("train", "test")[bool(config.eval) :]:
        images, labels, classes, samples = DATASETS[config.dataset](config, part == "train")
        if "mean" not in facts:
            facts |= normalisation(images)
        if classes != facts.setdefault("classes", classes):
            raise ValueError(f"{config.data}: classes {classes} to {part}, not {facts['classes']}")
        if len(classes) < 2 or not 0 <= labels.min() <= labels.max() < len(classes):
            what = f"labels from {labels.min()} to {labels.max()} of {len(classes)} classes"
            raise ValueError(f"--data {config.data}: {what}; needed are two or more, from 0")
        if not config.eval:
            digest = hashlib.sha256(labels.numpy())
            for sample in samples:
                digest.update(hashlib.sha256(sample).digest())
            facts[f"{part} pictures"] = digest.hexdigest()
        if isinstance(images, list):
            sets.append(Files(images, labels, facts, config.image_size, config.flip))
        else:
            policy = transforms.AutoAugment(transforms.AutoAugmentPolicy.CIFAR10)
            drawn = config.dataset == "shapes"
            sets.append(Pictures(images, labels, facts, None if drawn else policy, config.flip))
        sets[-1].augment = config.augment
    return sets[-2:]


def load_run(path):
    """A run's folder, or a checkpoint -> its network in evaluation mode, on the CPU, and prepare:
    a picture file -> input [1, 3, H, W]. prepare.classes: names of the classes. ValueError"""
    config, checkpoint = parse(Settings, "", ["--eval", str(path)])
    facts = checkpoint["facts"]
    side = config.image_size
    net = build(config, len(facts["classes"]), (3, side, side))
    net.load_state_dict(checkpoint["model"])
    shrink = scaled(side * 256 // 224 if config.dataset == "imagenet" else side, side)

    def prepare(file):
        return normalised(shrink(open_picture(file))[None], facts)

    prepare.classes = facts["classes"]
    return net.eval(), prepare


# ---- 7. Side by side -----------------------------------------------------------------------------
PLOTS = pathlib.Path(__file__).parent / "experiments" / "plots.py"
ARMS = {"vanilla": ("fixed", "fixed"), "AT+TGO": ("true", "threshold")}


def compare(config, train, test, loss=None):
    """Trains vanilla and AT+TGO alike, potentials too small for a fixed threshold (--bn-scale)."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for arm, (threshold, width) in ARMS.items():
            print(f"\n{arm}: potentials of deviation {config.bn_scale}, threshold {config.v_th}")
            out = f"{config.out or folder}/{arm}"
            changed = dataclasses.replace(config, threshold=threshold, width=width, out=out)
            result = fit(changed, train, test, loss)
            layers = result["layers"].values()
            firing = [seen["firing_rate"].mean().item() for seen in layers]
            inside = [seen["gradient_available"].mean().item() for seen in layers]
            x = test[torch.arange(min(100, len(test))), None, 0][0].to(start(config)[2])
            row = dict(arm=arm, accuracy=result["accuracy"], result=result)
            row |= dict(firing=statistics.mean(firing), spread=statistics.pstdev(firing))
            row |= dict(inside=statistics.mean(inside), least=min(inside))
            rows.append(row | dict(mj=energy(result["net"], x)["mj_paper"]))
        if config.plot:
            draw("arms", rows, x, f"{config.out or '.'}/arms.png")
    print("\n  arm      accuracy  firing  +- over layers  with gradient  least layer  mJ/picture")
    for row in rows:
        print("  {arm:8} {accuracy:8.1%} {firing:7.1%} {spread:15.1%}".format(**row), end="")
        print(" {inside:14.1%} {least:12.1%} {mj:11.4f}".format(**row))
    return rows


def draw(what, *values):
    """A picture of experiments/plots.py, which needs matplotlib."""
    runpy.run_path(str(PLOTS))[what](*values)


def check_plot(config):
    if config.plot and not (PLOTS.exists() and importlib.util.find_spec("matplotlib")):
        raise ValueError(f"--plot needs {PLOTS} and matplotlib: pip install matplotlib")
    if config.neuron and config.demo:
        raise ValueError("--neuron with --demo: its arms are the LIF's rules")


def main(argv=None):
    with one_line_errors():
        config, checkpoint = parse(Settings, __doc__, argv)
        check_plot(config)
        train, test = load(config, checkpoint and checkpoint["facts"])
        if config.demo:
            compare(config, train, test)
            return
        result = fit(config, train, test)
        if config.plot and os.environ.get("RANK", "0") == "0":
            draw("run", result, test[torch.arange(min(100, len(test))), None, 0][0])


if __name__ == "__main__":
    main()
