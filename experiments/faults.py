"""What does a fault cost a run? Kills, damaged checkpoints and a long run; about fifteen minutes on two cores.

    python experiments/faults.py [--kills 50] [--cache-kills 20] [--flips 300] [--steps 2000]

Training runs and cache builds are killed with SIGKILL at random moments, every other run while a checkpoint is being written
(there is one after each step), continued with --resume, and compared with an undisturbed run, bit for bit: weights,
thresholds, optimizer and logs. Checkpoints are cut and their bits flipped, one at a time. A run of many steps is watched for
memory, open files, threads and speed. Exit code 1 where anything was lost; writes experiments/results/faults.md. Moments and
bits come from --seed, as far as an operating system lets moments be drawn.
"""
import argparse
import csv
import datetime
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402

import train_cifar  # noqa: E402
import train_dvs  # noqa: E402
from dsatgo import fit, load_checkpoint  # noqa: E402

RUN = ["--dataset", "shapes", "--arch", "vggsnn", "--channels", "8", "--limit-train", "400", "--limit-test", "40",
       "--batch-size", "10", "--epochs", "2", "--save-every", "1", "--device", "cpu"]
OTHERS = """

Injected one at a time by tests/test_faults.py, whose tests fail if anything is lost:

| fault | cases |
|---|---|
| a picture, a weight or a gradient that is not finite; fp16 overflow | 6 |
| a checkpoint of another network, T, width, class list, version, script, or without its parts | 10 |
| a disk that is full, read-only, or gone | 3, the last two by several paths |
| pictures of one pixel, damaged, none, of one class, without a test set; a damaged archive, labels out of range | 8 |
| drawn combinations of flags, two steps each | 60 in a test run, 1,000 with HYPOTHESIS_PROFILE=long |
| two and three processes, another number of them on resuming, a dead one, two machines on loopback | 5 |
| SIGINT and SIGTERM, in training, before it, and to one process of two | 5 |
"""
MEASURED = {"images_per_s", "seconds", "peak_memory_mb"}


def start(*arguments):
    command = [sys.executable, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)


def same(a, b):
    """Bit for bit, through nested dicts and lists."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def differences(one, other):
    """What differs between two finished runs, in words."""
    a, b = load_checkpoint(one), load_checkpoint(other)
    names = [name for name in a if name != "config" and not same(a[name], b[name])]
    for log in ("log.csv", "layers.csv"):
        rows = [[{k: v for k, v in row.items() if k not in MEASURED} for row in csv.DictReader((out / log).open())]
                for out in (one, other)]
        names += [log] * (rows[0] != rows[1])
    return names


def kill(count, draw, folder, each=5):
    """SIGKILL at random moments of training, `each` times a run, which is then continued to its end and compared."""
    result = []
    for workers in (0, 2):
        undisturbed = folder / f"undisturbed-{workers}"
        process = start(ROOT / "train_cifar.py", *RUN, "--workers", workers, "--out", undisturbed)
        begin = began(process, undisturbed)
        if process.wait():
            raise RuntimeError(process.stderr.read())
        span, killed, writing, lost, runs = time.time() - begin, 0, 0, [], 0
        while killed < (count + 1) // 2:
            out, runs = folder / f"killed-{workers}-{runs}", runs + 1
            for _ in range(min(each, (count + 1) // 2 - killed)):
                process, temporary = go_on(out, workers), out / "last.pt.tmp"
                began(process, out)
                time.sleep(draw.uniform(0, span / each))
                while killed % 2 and process.poll() is None and not temporary.exists():
                    pass                                          # a write lasts milliseconds
                process.kill()
                if process.wait() == -signal.SIGKILL:
                    killed, writing = killed + 1, writing + temporary.exists()
            process = go_on(out, workers)
            lost += differences(undisturbed, out) if process.wait() == 0 else [process.stderr.read()]
        result.append((f"SIGKILL while training, {workers} workers", killed,
                       f"{runs} runs continued to their end; {writing} kills inside a write", lost))
    return result


def go_on(out, workers):
    settings = ["--resume", out] if (out / "last.pt").exists() else [*RUN, "--out", out]
    return start(ROOT / "train_cifar.py", *settings, "--workers", workers)


def began(process, out):
    """Waits until a process has written its config.json; when that was."""
    now, config = time.time(), out / "config.json"
    while process.poll() is None and not (config.exists() and config.stat().st_mtime > now):
        time.sleep(0.001)
    return time.time()


def kill_cache(count, draw, folder):
    """SIGKILL while recordings are decoded into the cache; then the cache is built again, and compared."""
    generator, data = np.random.default_rng(0), folder / "recordings"
    for label in ("a", "b"):
        (data / label).mkdir(parents=True)
        for i in range(30):
            t = np.sort(generator.integers(0, 10**6, 100_000))
            train_dvs.write_aedat(data / label / f"{i}.aedat", t, *generator.integers(0, 128, (2, len(t))), t % 2)
    code = ("import sys; sys.path.insert(0, sys.argv[1]); import train_dvs; "
            "train_dvs.load(train_dvs.Settings(dataset='folder', data=sys.argv[2], cache=sys.argv[3]))")
    begin = time.perf_counter()
    start("-c", code, ROOT, data, folder / "whole").wait()
    whole, killed, lost = time.perf_counter() - begin, 0, []
    while killed < count:
        cache = folder / f"cache-{killed}"
        process = start("-c", code, ROOT, data, cache)
        while process.poll() is None and not list(cache.glob("*.tmp")):      # imports are over, decoding has begun
            time.sleep(0.01)
        time.sleep(draw.uniform(0, whole / 10))
        if process.poll() is None:
            process.kill()
            process.wait()
            killed += 1
            begun = {path.name: path.read_bytes() for path in cache.glob("*.json")}
            train_dvs.load(train_dvs.Settings(dataset="folder", data=str(data), cache=str(cache)))
            lost += [name for name, content in begun.items() if (cache / name).read_bytes() != content]
            lost += [path.name for path in (folder / "whole").glob("*.u8")
                     if (cache / path.name).read_bytes() != path.read_bytes()]
    return [("SIGKILL while building the cache", killed, "each build repeated", lost)]


def damage(count, draw, folder):
    """One bit flipped, or the end cut off: refused, or (a bit that carries nothing) read as the same content."""
    whole = (folder / "undisturbed-0" / "last.pt").read_bytes()
    truth, path, wrong, harmless = load_checkpoint(folder / "undisturbed-0"), folder / "damaged.pt", [], 0
    for i in range(count):
        content, at = bytearray(whole), draw.randrange(len(whole))
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


class Watched:
    """A data set that notes, at every batch of training, when it is and what the process holds."""

    def __init__(self, data):
        self.data, self.notes, self.shape, self.facts = data, [], data.shape, data.facts

    def __len__(self):
        return len(self.data)

    def __getitem__(self, key):
        if key[1] is not None:
            status = pathlib.Path("/proc/self/status").read_text()
            memory, threads = (int(status.split(name)[1].split()[0]) for name in ("VmRSS:", "Threads:"))
            self.notes.append((time.perf_counter(), memory / 1024, len(os.listdir("/proc/self/fd")), threads))
        return self.data[key]


def long_run(steps, draw, folder):
    """Steps on the demo's data: memory, open files and threads after the first hundred steps and at the end; speed."""
    epochs = -(-steps // 64)
    config = train_cifar.Settings(dataset="shapes", channels=8, batch_size=25, limit_train=1600, limit_test=100,
                                  label_smoothing=0.0, epochs=epochs, save_every=20, device="cpu", out=str(folder / "long"))
    train, test = train_cifar.load(config)
    watched = Watched(train)
    fit(config, watched, test)
    times, memory, files, threads = zip(*watched.notes)
    first, last = 100, len(times) - 100
    speed = float(np.median(np.diff(times[last:])) / np.median(np.diff(times[first:first + 100])))
    growth = max(memory[last:]) - max(memory[first:first + 100])
    lost = [f"memory grew by {growth:.0f} MB"] * (growth > 20) + [f"{name} grew" for name, counts in (
        ("open files", files), ("threads", threads)) if max(counts[first:]) > max(counts[:first])]
    lost += [f"a step takes {speed:.2f} times as long"] * (speed > 1.25)
    return [("long run, steps", len(times), f"memory {growth:+.1f} MB, {files[-1]} files, {threads[-1]} threads, a step takes "
             f"{speed:.2f} times as long at the end", lost)]


def main(options):
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        rows = []
        for part, count in ((kill, options.kills), (damage, options.flips), (kill_cache, options.cache_kills),
                            (long_run, options.steps)):
            found = part(count, draw, folder) if count else []
            print(found, flush=True)
            rows += found
    lines = ["| fault | tried | | lost |", "|---|---|---|---|"]
    lines += [f"| {name} | {count} | {note} | {', '.join(lost) or 'nothing'} |" for name, count, note, lost in rows]
    print("\n".join(lines))
    options.out.write_text(
        f"# Faults\n\n`python experiments/faults.py --kills {options.kills} --cache-kills {options.cache_kills} --flips "
        f"{options.flips} --steps {options.steps} --seed {options.seed}`, {datetime.date.today()}, Python "
        f"{sys.version.split()[0]}, torch {torch.__version__}, CPU. \"Nothing\" lost: weights, thresholds, optimizer, random "
        "state and logs (but for speed and memory) are the bits of an undisturbed run.\n\n" + "\n".join(lines) + OTHERS)
    return any(lost for *_, lost in rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in ("kills", 50), ("cache-kills", 20), ("flips", 300), ("steps", 2000), ("seed", 0):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "experiments" / "results" / "faults.md")
    sys.exit(main(parser.parse_args()))
