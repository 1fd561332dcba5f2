"""How fast are event files read, and how much memory does the cache take? About two minutes on two
cores.

    pip install -r experiments/requirements.txt
    python experiments/benchmark_events.py RECORDINGS

RECORDINGS: a folder with .aedat files (AEDAT 2.0, DVS128) below it. Rates are medians of
interleaved repeats in one run, the comparison with spikingjelly the median of the ratios. Writes
experiments/results/events.json. Run it on an otherwise idle machine.
"""

import contextlib
import datetime
import importlib.metadata
import io
import json
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

import train_dvs  # noqa: E402


def seconds(function, *arguments):
    begin = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - begin


def rate_of_decoding(files, repeats=7):
    """Events a second on one core, from bytes in memory."""
    contents = [path.read_bytes() for path in files]

    def decoded():
        return [train_dvs.decode_aedat(data, "f") for data in contents]

    count = sum(len(t) for t, *_ in decoded())
    times = [seconds(decoded) for _ in range(repeats)]
    return count, count / statistics.median(times)


def ratio_to_spikingjelly(files, repeats=5):
    """Times of its CIFAR10-DVS path over ours, file to frames of T = 10: in memory at its 128x128
    (its fixed size), and as it is used, by way of an events file and a frames file. Ours is
    measured at 48x48, in memory, one process, both times."""
    from spikingjelly.datasets import cifar10_dvs, utils

    def ours():
        for path in files:
            train_dvs.events_to_frames(*train_dvs.read_aedat(path), T=10, size=48)

    def memory():
        to_frames = utils.integrate_events_by_fixed_frames_number
        for path in files:
            to_frames(cifar10_dvs._load_origin_data(path), "number", 10, 128, 128)

    def on_disk():
        to_frames = utils.integrate_events_file_to_frames_file_by_fixed_frames_number
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            events = pathlib.Path(folder, "events.npz")
            for path in files:
                cifar10_dvs._read_aedat_save_to_np(path, events)
                to_frames(np.load, str(events), folder, "number", 10, 128, 128)

    ways = (ours, memory, on_disk)
    for way in ways:
        way()
    rounds = [[seconds(way) for way in ways] for _ in range(repeats)]
    in_memory = statistics.median(m / o for o, m, _ in rounds)
    return in_memory, statistics.median(d / o for o, _, d in rounds)


def build(folder):
    """In a process of its own: the peak memory of building a cache, in MB (Linux; ru_maxrss would
    include what started it)."""
    train_dvs.load(train_dvs.Settings(dataset="folder", data=folder))
    status = pathlib.Path("/proc/self/status").read_text()
    print(int(status.split("VmHWM:")[1].split()[0]) / 1024)


def cache(files, small=250, large=10_000):
    """Peak memory while building the cache of few and of many recordings, and the seconds to open
    the large one."""
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        for n in (small, large):
            root = pathlib.Path(folder, str(n))
            for label in ("a", "b"):
                (root / label).mkdir(parents=True)
                for i in range(n // 2):
                    (root / label / f"{i}.aedat").symlink_to(files[i % len(files)])
            command = [sys.executable, __file__, "--build", root]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            peaks.append(float(done.stdout.split()[-1]))
        opened = seconds(train_dvs.load, train_dvs.Settings(dataset="folder", data=str(root)))
        size = sum(path.stat().st_size for path in (root / "cache").glob("*.u8"))
    return peaks, opened, size


def main(folder):
    files = sorted(pathlib.Path(folder).resolve().rglob("*.aedat"))[:400]
    count, rate = rate_of_decoding(files)
    result = dict(
        date=str(datetime.date.today()),
        python=platform.python_version(),
        numpy=np.__version__,
        machine=platform.machine(),
        files=len(files),
        events=count,
        decoded_per_second=rate,
    )
    print(f"{len(files)} files, {count} events: {rate / 1e6:.1f} million events decoded", end="")
    print(" a second on one core")
    try:
        memory, disk = ratio_to_spikingjelly(files)
        version = importlib.metadata.version("spikingjelly")
        result |= dict(spikingjelly=version, ratio_in_memory=memory, ratio_by_files=disk)
        print(f"decoding and frames: {memory:.1f} times as fast as spikingjelly in memory", end="")
        print(f", {disk:.1f} times as by files")
    except ImportError as error:
        print(f"comparison not run: {error}")
    (small, large), opened, size = cache(files)
    result |= dict(peak_mb_250=small, peak_mb_10000=large, open_seconds=opened, cache_bytes=size)
    print(f"peak memory while building: {small:.0f} MB for 250 recordings, ", end="")
    print(f"{large:.0f} MB for 10,000 ({size / 1e9:.2f} GB)")
    print(f"a cache of 10,000 recordings opens in {opened:.2f} s")
    path = ROOT / "experiments" / "results" / "events.json"
    path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--build":
        build(sys.argv[2])
    elif len(sys.argv) == 2 and pathlib.Path(sys.argv[1]).is_dir():
        main(sys.argv[1])
    else:
        sys.exit(__doc__)
