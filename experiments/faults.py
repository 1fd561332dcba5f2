"""What does a fault cost a run? Kills, signals, damaged checkpoints and a long run; about half an
hour on two cores.

    python experiments/faults.py [--operations 200] [--signals 20] [--kills 50] [--cache-kills 20]
                                 [--flips 300] [--altered 1000] [--steps 2000]

A training run is killed before, amid and after each of its file operations in turn (or every so
many, if there are more than --operations), continued with --resume, and compared with an
undisturbed run, bit for bit: weights, thresholds, optimizer, logs, the list of files. So are runs
and cache builds that are killed with SIGKILL at random moments, every other run while a checkpoint
is being written (there is one after each step), or stopped at random moments by SIGINT, SIGTERM and
SIGHUP, sent to the process or to its group. Checkpoints are cut and their bits flipped, one at a
time; and one thing in them is replaced by what no run writes. A run of many steps is watched for
memory, open files, threads and speed. Exit code 1 where anything was lost; writes
experiments/results/faults.md. Moments and bits come from --seed, as far as an operating system lets
moments be drawn.
"""

import argparse
import builtins
import contextlib
import csv
import datetime
import io
import itertools
import math
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402

import train_cifar  # noqa: E402
import train_dvs  # noqa: E402
from train_cifar import fit, load_checkpoint  # noqa: E402

RUN = "--dataset shapes --arch vggsnn --channels 8 --limit-train 400 --limit-test 40".split()
RUN += "--batch-size 10 --epochs 2 --save-every 1 --device cpu".split()
OTHERS = [  # fault, cases
    ("a picture, a weight or a gradient that is not finite; fp16 overflow", "6"),
    (
        "a checkpoint of another network, T, width, class list, version, script, or without its "
        "parts",
        "10",
    ),
    ("a disk that is full, read-only, or gone", "3, the last two by several paths"),
    (
        "pictures of one pixel, damaged, none, of one class, without a test set; a damaged "
        "archive, labels out of range",
        "8",
    ),
    (
        "drawn combinations of flags, two steps each",
        "60 in a test run, 1,000 with HYPOTHESIS_PROFILE=long",
    ),
    (
        "two and three processes, another number of them on resuming, a dead one, two machines on "
        "loopback",
        "5",
    ),
    ("SIGINT and SIGTERM, in training, before it, and to one process of two", "5"),
    ("a damaged log, and what a spreadsheet leaves in one", "7"),
]
MEASURED = {"images_per_s", "seconds", "peak_memory_mb"}


def start(*arguments):
    command = [sys.executable, *map(str, arguments)]
    pipes = dict(stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    return subprocess.Popen(command, **pipes, start_new_session=True)


def same(a, b):
    """Bit for bit, through nested dicts and lists."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def rows_of(path):
    """A log's rows without what is measured."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k not in MEASURED} for row in rows]


def differences(one, other):
    """What differs between two finished runs, in words."""
    names = [f"the list of files: {sorted(os.listdir(other))}"]
    names *= sorted(os.listdir(one)) != sorted(os.listdir(other))
    for file in ("last.pt", "best.pt"):
        a = load_checkpoint(one / file)
        b = load_checkpoint(other / file)
        names += [f"{file}: {n}" for n in a if n != "config" and not same(a[n], b[n])]
    logs = ("log.csv", "layers.csv")
    return names + [log for log in logs if rows_of(one / log) != rows_of(other / log)]


def fork(work, said):
    """work() in a process and group of its own, its output in the file `said`. -> process ID"""
    child = os.fork()
    if child:
        return child
    os.setsid()
    with said.open("wb", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    code = 1
    try:
        torch.set_num_threads(1)
        work()
        code = 0
    except SystemExit as stop:
        code = stop.code
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def ended(child, limit=60):
    """Waits for a forked process and its group. -> exit code (negative: a signal), or None for a
    process, and -99 for a group, that goes on after `limit` seconds and is killed"""
    code = None
    end = time.time() + limit
    while code is None and time.time() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            code = os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):
        while time.time() < end:
            os.killpg(child, 0)
            time.sleep(0.01)
        os.killpg(child, signal.SIGKILL)
        if code is None:
            os.waitpid(child, 0)
            return None
        return -99
    return code


class Halting(io.BufferedWriter):
    """A file that is written in two halves, with a moment between them."""

    between = None

    def write(self, data):
        data = memoryview(data)
        super().write(data[: len(data) // 2])
        self.flush()
        Halting.between()
        return super().write(data[len(data) // 2 :])


def killed_at(n, folder, arguments, count):
    """train_cifar.main, killed at the n-th moment between file operations in `folder`. Their number
    goes into the file `count`."""
    moments = 0
    plain = builtins.open

    def moment():
        nonlocal moments
        moments += 1
        if moments == n:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event, details):
        names = ("open", "os.rename", "os.remove", "os.mkdir", "os.truncate", "shutil.copyfile")
        if event in names and str(details[0]).startswith(str(folder)):
            moment()

    def opening(path, mode="r", *more, **settings):
        if mode == "wb" and str(path).startswith(str(folder)):
            return Halting(io.FileIO(path, "wb"))
        return plain(path, mode, *more, **settings)

    def synced(file, fsync=os.fsync):
        moment()
        fsync(file)
        moment()

    Halting.between = moment
    sys.addaudithook(hook)
    builtins.open = opening
    os.fsync = synced
    train_cifar.main(arguments)
    count.write_text(str(moments))


SHORT = "--dataset shapes --arch vggsnn --channels 4 --limit-train 60 --limit-test 20".split()
SHORT += "--batch-size 10 --epochs 3 --save-every 1 --device cpu --seed 3".split()


def go_on_forked(out, said, *more):
    """Continues a run to its end. -> what went wrong"""
    settings = ["--resume", str(out)] if (out / "last.pt").exists() else [*SHORT, "--out", str(out)]
    child = fork(lambda: train_cifar.main([*settings, *more]), said)
    code = ended(child)
    return [] if code == 0 else [f"continuing ended with {code}: {said.read_text()[-300:]}"]


def kill_at_operations(wanted, draw, folder):
    """SIGKILL before, amid and after each file operation of a run in turn, which is continued."""
    undisturbed = folder / "whole"
    count = folder / "count"
    said = folder / "said"
    whole = [*SHORT, "--out", str(undisturbed)]
    assert ended(fork(lambda: killed_at(-1, undisturbed, whole, count), said)) == 0, (
        said.read_text()
    )
    moments = int(count.read_text())
    lost = []
    if load_checkpoint(undisturbed)["best"]["epoch"] != 3:
        lost.append("the last epoch is not the best one, so a lost best.pt would not be seen")
    moments = range(1, moments + 1, math.ceil(moments / wanted))
    for n in moments:
        out = folder / f"operation-{n}"
        arguments = [*SHORT, "--out", str(out)]
        code = ended(fork(lambda n=n, a=arguments, out=out: killed_at(n, out, a, count), said))
        found = [] if code == -signal.SIGKILL else [f"ended with {code}: {said.read_text()[-300:]}"]
        found = found or go_on_forked(out, said) or differences(undisturbed, out)
        lost += [f"moment {n}: {text}" for text in found]
        shutil.rmtree(out, ignore_errors=True)
    return [
        ("SIGKILL before, amid and after a file operation", len(moments), "each continued", lost)
    ]


STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def stop_training(count, draw, folder):
    """Signals at random moments of training, to the process and to its group, as schedulers and
    terminals send them."""
    undisturbed = folder / "whole-signals"
    said = folder / "said"
    begin = time.time()
    lost = go_on_forked(undisturbed, said)
    span = time.time() - begin
    rows = []
    for workers, number, send in itertools.product((0, 2), STOPS, (os.kill, os.killpg)):
        saved = 0
        for i in range(count):
            out = folder / f"stopped-{i}"
            more = ["--workers", str(workers)]
            arguments = [*SHORT, "--out", str(out), *more]
            child = fork(lambda a=arguments: train_cifar.main(a), said)
            time.sleep(draw.uniform(0, span))
            with contextlib.suppress(ProcessLookupError):
                send(child, number)
            code = ended(child)
            saved += code == 128 + number
            text = said.read_text()
            if code not in (0, 128 + number, -number) or "Traceback" in text:
                lost.append(f"{number.name}, {workers} workers: ended with {code}: {text[-300:]}")
            elif found := go_on_forked(out, said, *more) or differences(undisturbed, out):
                lost.append(f"{number.name}, {workers} workers: {found}")
            shutil.rmtree(out, ignore_errors=True)
        whom = "its group" if send is os.killpg else "the process"
        name = f"{number.name} to {whom} while training, {workers} workers"
        rows.append((name, count, f"{saved} saved and exited with {128 + number}", lost))
        lost = []
    return rows


def kill(count, draw, folder, each=5):
    """SIGKILL at random moments of training, `each` times a run, which is then continued to its end
    and compared."""
    result = []
    for workers in (0, 2):
        undisturbed = folder / f"undisturbed-{workers}"
        process = start(ROOT / "train_cifar.py", *RUN, "--workers", workers, "--out", undisturbed)
        begin = began(process, undisturbed)
        if process.wait():
            raise RuntimeError(process.stderr.read())
        span = time.time() - begin
        killed = 0
        writing = 0
        runs = 0
        lost = []
        while killed < (count + 1) // 2:
            out = folder / f"killed-{workers}-{runs}"
            runs += 1
            for _ in range(min(each, (count + 1) // 2 - killed)):
                process = go_on(out, workers)
                began(process, out)
                time.sleep(draw.uniform(0, span / each))
                if die(process, out / "last.pt.tmp" if killed % 2 else None):
                    killed += 1
                    writing += (out / "last.pt.tmp").exists()
            process = go_on(out, workers)
            failed = process.wait() != 0
            lost += [process.stderr.read()] if failed else differences(undisturbed, out)
        note = f"{runs} runs continued to their end; {writing} kills inside a write"
        result.append((f"SIGKILL while training, {workers} workers", killed, note, lost))
    return result


def go_on(out, workers):
    settings = ["--resume", out] if (out / "last.pt").exists() else [*RUN, "--out", out]
    return start(ROOT / "train_cifar.py", *settings, "--workers", workers)


def began(process, out):
    """Waits until a process has written its config.json; when that was."""
    now = time.time()
    config = out / "config.json"
    while process.poll() is None and not (config.exists() and config.stat().st_mtime > now):
        time.sleep(0.001)
    return time.time()


def die(process, file=None):
    """Kills a process, if a file is given as soon as it is there. -> whether it was alive"""
    while file and process.poll() is None and not file.exists():
        pass  # a write lasts milliseconds
    process.kill()
    return process.wait() == -signal.SIGKILL


def recorded(data):
    """Sixty recordings in a new folder."""
    generator = np.random.default_rng(0)
    for label in ("a", "b"):
        (data / label).mkdir(parents=True)
        for i in range(30):
            t = np.sort(generator.integers(0, 10**6, 100_000))
            x, y = generator.integers(0, 128, (2, len(t)))
            train_dvs.write_aedat(data / label / f"{i}.aedat", t, x, y, t % 2)


def build_cache(data, cache):
    settings = train_dvs.Settings(dataset="folder", data=str(data), cache=str(cache))
    with train_cifar.one_line_errors():
        train_dvs.load(settings)


def stop_caching(count, draw, folder):
    """Signals while recordings are decoded into the cache; then the cache is built again."""
    data = folder / "recordings-signals"
    said = folder / "said"
    recorded(data)
    begin = time.time()
    lost = []
    if ended(fork(lambda: build_cache(data, folder / "whole-cache"), said)) != 0:
        lost.append(said.read_text())
    span = time.time() - begin
    rows = []
    for number, send in itertools.product(STOPS, (os.kill, os.killpg)):
        amid = 0
        for i in range(count):
            cache = folder / f"cache-{number.name}-{send.__name__}-{i}"
            child = fork(lambda cache=cache: build_cache(data, cache), said)
            time.sleep(draw.uniform(0, span))
            with contextlib.suppress(ProcessLookupError):
                send(child, number)
            code = ended(child)
            text = said.read_text()
            amid += code != 0
            if code not in (0, 128 + number, -number) or "Traceback" in text:
                lost.append(f"{number.name}: ended with {code}: {text[-300:]}")
            build_cache(data, cache)
            for path in (folder / "whole-cache").glob("*.[uj]*"):
                if (cache / path.name).read_bytes() != path.read_bytes():
                    lost.append(f"{number.name}: another {path.name}")
            lost += [f"{number.name}: {path.name} stayed" for path in cache.glob("*.tmp")]
            shutil.rmtree(cache)
        whom = "its group" if send is os.killpg else "the process"
        name = f"{number.name} to {whom} while building the cache"
        rows.append((name, count, f"{amid} before it was whole; each build repeated", lost))
        lost = []
    return rows


def kill_cache(count, draw, folder):
    """SIGKILL while recordings are decoded into the cache; then the cache is built again, and
    compared."""
    data = folder / "recordings"
    recorded(data)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import train_dvs; "
        "train_dvs.load(train_dvs.Settings(dataset='folder', data=sys.argv[2], cache=sys.argv[3]))"
    )
    begin = time.perf_counter()
    start("-c", code, ROOT, data, folder / "whole").wait()
    whole = time.perf_counter() - begin
    killed = 0
    lost = []
    while killed < count:
        cache = folder / f"cache-{killed}"
        process = start("-c", code, ROOT, data, cache)
        while process.poll() is None and not list(cache.glob("*.tmp")):
            time.sleep(0.01)  # until imports are over and decoding has begun
        time.sleep(draw.uniform(0, whole / 10))
        if process.poll() is None:
            process.kill()
            process.wait()
            killed += 1
            begun = {path.name: path.read_bytes() for path in cache.glob("*.json")}
            settings = dict(dataset="folder", data=str(data), cache=str(cache))
            train_dvs.load(train_dvs.Settings(**settings))
            wanted = {path.name: path.read_bytes() for path in (folder / "whole").glob("*.u8")}
            wanted |= begun
            lost += [n for n, content in wanted.items() if (cache / n).read_bytes() != content]
    return [("SIGKILL while building the cache", killed, "each build repeated", lost)]


def damage(count, draw, folder):
    """One bit flipped, or the end cut off: refused, or (a bit that carries nothing) read as the
    same content."""
    whole = (folder / "undisturbed-0" / "last.pt").read_bytes()
    truth = load_checkpoint(folder / "undisturbed-0")
    path = folder / "damaged.pt"
    wrong = []
    harmless = 0
    for i in range(count):
        content = bytearray(whole)
        at = draw.randrange(len(whole))
        content[at] ^= 1 << draw.randrange(8)
        path.write_bytes(content if i % 3 else content[:at])
        try:
            read = load_checkpoint(path)
        except ValueError:
            continue
        harmless += 1
        if not same(read, truth):
            wrong.append(f"byte {at}")
    note = f"{count - harmless} refused, {harmless} read"
    return [("checkpoint cut, or a bit of it flipped", count, note, wrong)]


def wrong(value):
    """What no run writes in the place of a value."""
    if isinstance(value, torch.Tensor):
        other = torch.float64 if value.dtype != torch.float64 else torch.float32
        shapes = [value.new_ones(7), value[None], torch.zeros(0), value.flatten()[:-1]]
        kinds = [value.to(other), value.to_sparse(), value.tolist(), None, "x"]
        if value.is_floating_point():
            kinds += [value * torch.nan, value + torch.inf, value.to(torch.complex64)]
        return kinds + shapes[: None if value.dim() else 1]
    if isinstance(value, bool):
        return [2, 0.5, "x", [True], {}]
    if isinstance(value, int):
        return [-2, 2**70, 0.5, float("nan"), "x", [value], {}, torch.tensor([1, 2]), True]
    if isinstance(value, float):
        return [float("nan"), float("inf"), -float("inf"), "x", [value], {}, torch.ones(2), 1e300]
    if isinstance(value, str):
        return [5, b"x", [], {}, 0.5, torch.ones(3)]
    if isinstance(value, dict):
        return [None, [], 3, "x", {}, {5: 5}, dict(value, more=1), list(value)]
    return [{}, "x", b"x", [[]], (None,), 3j]  # lists, and None


def altered(checkpoint, draw, asked="--resume"):
    """A copy of a checkpoint in which one thing that `asked` looks at is wrong, and which."""
    once = {"data", "out", "cache", *train_cifar.ONCE}
    places = [(name,) for name in checkpoint if name != "facts"]
    places += [("best", name) for name in checkpoint["best"]]
    places += [("config", name) for name in checkpoint["config"] if name not in once]
    for part in ("model", "momentum", "facts"):
        places += [(part, name) for name in checkpoint[part]]
    if asked == "--eval":
        parts = ("momentum", "scale", "rng", "meters", "steps", "facts")
        places = [place for place in places if place[0] not in parts]
    *path, last = draw.choice(places)
    copy = {k: dict(v) if isinstance(v, dict) else v for k, v in checkpoint.items()}
    inside = copy[path[0]] if path else copy
    old = inside[last]
    inside[last] = draw.choice(wrong(old))
    while path == ["config"] and repr(inside[last]) == "1e+300":  # a run may have such a rate
        inside[last] = draw.choice(wrong(old))
    return copy, f"{[*path, last]}: {inside[last]!r} for {old!r}"


def alter(count, draw, folder):
    """Altered checkpoints, resumed and tested: refused in one line, exit code 2."""
    truth = load_checkpoint(folder / "undisturbed-0")
    warnings.filterwarnings("ignore", "Validating sparse tensor")  # PyTorch's, before our line
    wrong = []
    (folder / "altered").mkdir()
    for i in range(count):
        asked = ("--resume", "--eval")[i % 2]
        copy, what = altered(truth, draw, asked)
        torch.save(copy, folder / "altered" / "last.pt")
        said = io.StringIO()
        code = None
        try:
            with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
                train_cifar.main([asked, str(folder / "altered")])
        except SystemExit as stop:
            code = stop.code
        except Exception as error:
            code = repr(error)
        if code != 2 or said.getvalue().count("\n") != 1 or len(said.getvalue()) > 1000:
            wrong.append(f"{what} ended with {code}")
    return [("one thing in a checkpoint replaced", count, "all refused in one line", wrong)]


class Watched:
    """A data set that notes, at every batch of training, when it is and what the process holds."""

    def __init__(self, data):
        self.data = data
        self.shape = data.shape
        self.facts = data.facts
        self.notes = []

    def __len__(self):
        return len(self.data)

    def __getitem__(self, key):
        if key[1] is not None:
            status = pathlib.Path("/proc/self/status").read_text()
            memory, threads = (
                int(status.split(name)[1].split()[0]) for name in ("VmRSS:", "Threads:")
            )
            files = len(os.listdir("/proc/self/fd"))
            self.notes.append((time.perf_counter(), memory / 1024, files, threads))
        return self.data[key]


def long_run(steps, draw, folder):
    """Steps on the demo's data: memory, open files and threads after the first hundred steps and at
    the end; speed."""
    config = train_cifar.Settings(
        dataset="shapes",
        channels=8,
        batch_size=25,
        limit_train=1600,
        limit_test=100,
        label_smoothing=0.0,
        epochs=-(-steps // 64),
        save_every=20,
        device="cpu",
        out=str(folder / "long"),
    )
    train, test = train_cifar.load(config)
    watched = Watched(train)
    fit(config, watched, test)
    times, memory, files, threads = zip(*watched.notes)
    first = 100
    last = len(times) - 100
    early = slice(first, first + 100)
    speed = float(np.median(np.diff(times[last:])) / np.median(np.diff(times[early])))
    growth = max(memory[last:]) - max(memory[early])
    lost = [f"memory grew by {growth:.0f} MB"] * (growth > 20)
    for name, counts in (("open files", files), ("threads", threads)):
        lost += [f"{name} grew"] * (max(counts[first:]) > max(counts[:first]))
    lost += [f"a step takes {speed:.2f} times as long"] * (speed > 1.25)
    note = f"memory {growth:+.1f} MB, {files[-1]} files, {threads[-1]} threads, a step takes "
    note += f"{speed:.2f} times as long at the end"
    return [("long run, steps", len(times), note, lost)]


def main(options):
    draw = random.Random(options.seed)
    parts = {
        kill_at_operations: options.operations,
        stop_training: options.signals,
        stop_caching: options.signals,
        kill: options.kills,
        damage: options.flips,
        alter: options.altered,
        kill_cache: options.cache_kills,
        long_run: options.steps,
    }
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for part, count in parts.items():
            found = part(count, draw, pathlib.Path(folder)) if count else []
            print(found, flush=True)
            rows += found
    lines = ["| fault | tried | | lost |", "|---|---|---|---|"]
    for name, count, note, lost in rows:
        lines.append(f"| {name} | {count} | {note} | {', '.join(lost) or 'nothing'} |")
    print("\n".join(lines))
    options.out.write_text(page(options, lines))
    return any(lost for *_, lost in rows)


def page(options, lines):
    """What faults.md says."""
    flags = f"--operations {options.operations} --signals {options.signals} "
    flags += f"--kills {options.kills} --cache-kills {options.cache_kills} --flips {options.flips} "
    flags += f"--altered {options.altered} --steps {options.steps} --seed {options.seed}"
    lines = [
        "# Faults",
        "",
        f"`python experiments/faults.py {flags}`, {datetime.date.today()}, Python "
        f"{sys.version.split()[0]}, torch {torch.__version__}, CPU. "
        '"Nothing" lost: weights, thresholds, optimizer, random state and logs (but for speed and '
        "memory) are the bits of an undisturbed run.",
        "",
        *lines,
        "",
        "Injected one at a time by tests/test_faults.py, whose tests fail if anything is lost:",
        "",
        "| fault | cases |",
        "|---|---|",
        *(f"| {name} | {cases} |" for name, cases in OTHERS),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    defaults = {
        "operations": 200,
        "signals": 20,
        "kills": 50,
        "cache-kills": 20,
        "flips": 300,
        "altered": 1000,
    }
    defaults |= {"steps": 2000, "seed": 0}
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    path = ROOT / "experiments" / "results" / "faults.md"
    parser.add_argument("--out", type=pathlib.Path, default=path)
    sys.exit(main(parser.parse_args()))
