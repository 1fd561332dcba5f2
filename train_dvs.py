"""Train DS-ATGO on event-camera recordings.

    python train_dvs.py --data DIR                  the paper's recipe on CIFAR10-DVS, ten archives
    python train_dvs.py --data DIR --download       fetches them first (figshare article 4724671)
    python train_dvs.py --demo                      both arms: simulated, 4 channels, 14 epochs
    python train_dvs.py --dataset folder --data DIR  DIR/train|test/CLASS/*, or DIR/CLASS/*, --split
    python train_dvs.py --dataset folder --data DIR --simulate PICTURES  records PICTURES/CLASS/*

AEDAT 2.0 (DVS128) and N-MNIST files are read; frames count events: polarities in T windows.
"""

import contextlib
import dataclasses
import errno
import functools
import hashlib
import json
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import re
import shutil
import signal
import sys
import tempfile
import zipfile
import zlib
from collections import Counter, namedtuple

import numpy as np
import torch
import torch.nn.functional as F
import torchvision

from dsatgo import NETWORKS, require_counts, tet_loss
from train_cifar import (
    Config,
    check_plot,
    compare,
    draw,
    draw_shapes,
    fit,
    listed,
    lock,
    once,
    one_line_errors,
    open_picture,
    parse,
    replacing,
    sample_seed,
    setting,
    tell,
)

FIGSHARE = {
    "airplane": (7712788, "0afd5c4bf9ae06af762a77b180354fdd"),
    "automobile": (7712791, "8438dfeba3bc970c94962d995b1b9bdd"),
    "bird": (7712794, "a9c207c91c55b9dc2002dc21c684d785"),
    "cat": (7712812, "52c63c677c2b15fa5146a8daf4d56687"),
    "deer": (7712815, "b6bf21f6c04d21ba4e23fc3e36c8a4a3"),
    "dog": (7712818, "f379ebdf6703d16e0a690782e62639c3"),
    "frog": (7712842, "cad6ed91214b1c7388a5f6ee56d08803"),
    "horse": (7712851, "e7cbbf77bec584ffbf913f00e682782a"),
    "ship": (7712836, "41c7bd7d6b251be82557c6cce9a7d5c9"),
    "truck": (7712839, "89f3922fd147d9aeff89e76a2b0b70a7"),
}
STOPS = (signal.SIGINT, signal.SIGTERM)
UNFINISHED = ".unfinished"  # in --data, where a simulation writes until it is whole
BY = ("time", "count")
ORIENTATIONS = ("upright", "raw")


@dataclasses.dataclass
class Settings(Config):
    dataset: str = setting(
        "cifar10dvs", "CIFAR10-DVS or a folder (paper: the first)", choices=("cifar10dvs", "folder")
    )
    arch: str = setting("vggsnn", "network (paper: vggsnn)", choices=tuple(NETWORKS))
    channels: int = setting(64, "width of the first stage (paper: 64)", least=1)
    T: int = setting(10, "timesteps, which are windows of a recording (paper: 10)", least=1)
    batch_size: int = setting(50, "samples a step, over all processes (paper: 50)", least=1)
    label_smoothing: float = setting(0.0, "of TET (paper: not stated)", least=0, most=1)
    phi: float = setting(1.0, "TET's target for the logits (paper: not stated; TET's trainer 1.0)")
    lam: float = setting(
        1e-3, "weight of that target (paper: not stated; TET's trainer 1e-3)", least=0, most=1
    )
    size: int = setting(48, "side of the frames (paper: 48)", least=16)
    by: str = setting("time", "windows of equal time or count (paper: not stated)", choices=BY)
    split: str = setting(
        "tet",
        "of a folder without train and test: tet tests on the last tenth of each class by number, "
        "tebn on the first, random:SEED on a drawn one (paper: 9 to 1, not stated which)",
    )
    cache: str | None = setting(None, "folder of the frame cache; none: DATA/cache", free=True)
    orientation: str = setting("upright", "or as stored (paper: not stated)", choices=ORIENTATIONS)
    download: bool = setting(False, "fetch CIFAR10-DVS (about 8 GB) into --data", free=True)
    simulate: str | None = setting(None, "first fill --data with recordings of PICTURES/CLASS/*")

    PRESETS = dict(
        demo=dict(dataset="folder", channels=4, T=6, size=32, epochs=14, batch_size=20)
        | dict(limit_train=600, limit_test=200, bn_scale=0.2)
    )


# ---- 1. Event files ------------------------------------------------------------------------------
def read_aedat(path):
    """AEDAT 2.0 of a DVS128 -> t int64 microseconds from 0, x and y uint8 0..127 and p uint8 0/1 as
    stored, each [N]. Special events (bit 15) are dropped; a clock that passes 2^32 goes on.
    ValueError with the file, the byte and the reason for: another version, another sensor (by the
    header's AEChip or an address), a truncated tail, times that go backward, no events."""
    with open(path, "rb") as file:
        return decode_aedat(file.read(), path)[:4]


def first(mask):
    """The index of the first True in a mask, or None."""
    return int(mask.argmax()) if mask.any() else None


def decode_aedat(data, name):
    """`read_aedat` of bytes; the fifth thing returned is how many special events were dropped."""

    def check(ok, at, reason):
        if not ok:
            raise ValueError(f"{name}: byte {at}: {reason}")

    check(data, 0, "empty file")
    found = re.match(rb"#!AER-DAT[\d.]+", data)
    check(found, 0, "no AEDAT 2.0 header")
    version = found.group().decode()[2:]
    check(data.startswith(b"#!AER-DAT2.0"), 0, f"{version} instead of AER-DAT2.0: {INSTEAD}")
    start = 0
    while data[start : start + 1] == b"#":  # the header: lines of text, ended by CR LF or LF
        end = data.find(b"\n", start) + 1
        check(end, start, "the header does not end, no events")
        line = data[start:end]
        other = re.match(rb"#\s*AEChip:(?!.*(dvs|tmpdiff)128\s*$)", line, re.I)
        check(not other, start, f"{line.decode(errors='replace').strip()} is no DVS128: {INSTEAD}")
        start = end
        if b"end of ascii header" in line.lower():
            break
    tail = (len(data) - start) % 8
    check(not tail, len(data) - tail, f"truncated: {tail} bytes of an event's 8")
    words = np.frombuffer(data, ">u4", offset=start).astype(np.uint32)
    address = words[0::2]
    clock = words[1::2]
    if (i := first(address >> 16 != 0)) is not None:
        reason = f"address {address[i]:#010x} is not a DVS128's: another sensor"
        check(False, start + 8 * i, reason)
    t = clock.astype(np.int64)
    for i in np.flatnonzero(clock[1:] < clock[:-1]).tolist():
        back = np.diff(clock[i : i + 2]).view(np.int32) < 0  # else it has passed 2^32
        reason = f"time goes backward, from {clock[i]} to {clock[i + 1]} microseconds"
        check(not back, start + 8 * (i + 1), reason)
        t[i + 1 :] += 1 << 32
    special = address & 0x8000 != 0
    address = address[~special]
    t = t[~special]
    check(len(t), start, "no events")
    x = (address >> 1 & 127).astype(np.uint8)
    y = (address >> 8 & 127).astype(np.uint8)
    p = (address & 1).astype(np.uint8)
    return t - t[0], x, y, p, int(special.sum())


def events_of(t, x, y, p, sensor):
    """What people call events -> int64 arrays [N]. ValueError if empty, not of one length or not of
    whole numbers, off the sensor (width, height), backward in time, of a polarity but 0 and 1."""
    events = []
    for name, values, end in zip("txyp", (t, x, y, p), (None, *sensor, 2)):
        values = np.asarray(values)
        if values.dtype.kind not in "biu" or values.shape != (max(1, np.size(t)),):
            raise ValueError(f"{name}: {values.dtype} {list(values.shape)}, not [N] whole numbers")
        if end and not 0 <= values.min() <= values.max() < end:
            raise ValueError(f"{name}: {values.min()} to {values.max()}, not 0 to {end - 1}")
        events.append(values.astype(np.int64, copy=False))
    t = events[0]
    if (i := first(t[1:] < t[:-1])) is not None:
        raise ValueError(f"t: goes backward at event {i + 1}, from {t[i]} to {t[i + 1]}")
    return events


def write_aedat(path, t, x, y, p):
    """The inverse of `read_aedat`, with the shortest header. ValueError if no DVS128 sends that."""
    t, x, y, p = events_of(t, x, y, p, (128, 128))
    words = np.stack([y << 8 | x << 1 | p, t], 1).astype(">u4")
    with replacing(path) as file:
        file.write(b"#!AER-DAT2.0\r\n# simulated DVS128\r\n" + words.tobytes())


def read_nmnist(path):
    """N-MNIST -> t int64 microseconds, x and y uint8 0..33, p uint8 0/1, each [N]: 5 bytes an
    event, x, y, then 1 bit of polarity and 23 of time, big-endian. ValueError as in
    `read_aedat`."""
    with open(path, "rb") as file:
        return decode_nmnist(file.read(), path)[:4]


def decode_nmnist(data, name):
    """`read_nmnist` of bytes; the fifth thing returned is 0, as there are no special events."""
    if len(data) % 5 or not data:
        reason = "truncated: an event has 5 bytes" if data else "no events"
        raise ValueError(f"{name}: byte {len(data) // 5 * 5}: {reason}")
    rows = np.frombuffer(data, np.uint8).reshape(-1, 5)
    x = rows[:, 0]
    y = rows[:, 1]
    t = (rows[:, 2:].astype(np.int64) * [1 << 16, 1 << 8, 1]).sum(1)
    if (i := first((x > 33) | (y > 33))) is not None:
        place = f"({x[i]}, {y[i]}) is outside 34x34 (N-Caltech101, perhaps)"
        raise ValueError(f"{name}: byte {5 * i}: {place}: {INSTEAD}")
    p = (t >> 23).astype(np.uint8)
    t = t & (1 << 23) - 1
    if (i := first(t[1:] < t[:-1])) is not None:
        raise ValueError(f"{name}: byte {5 * (i + 1)}: time goes backward")
    return t - t[0], x, y, p, 0


FOREIGN = ".aedat4 .dat .raw .h5 .hdf5 .mat .npy .npz".split()  # recordings not read here
INSTEAD = "give its t, x, y, p to write_aedat or events_to_frames (README, Your own data)"

# An event format is a function (bytes, name) -> t, x, y, p, special events dropped; and a line in
# FORMATS. turned: whether its rows and columns run the other way.
Format = namedtuple("Format", "decode sensor turned")
FORMATS = {
    ".aedat": Format(decode_aedat, (128, 128), turned=True),
    ".bin": Format(decode_nmnist, (34, 34), turned=False),
}


def events_to_frames(
    t, x, y, p, T=10, size=48, by="time", sensor=(128, 128), orientation="upright"
):
    """Events [N] -> counts, uint8 [T, 2, size, size], channel p: T windows of equal duration or
    count ("time" or "count"), pixels binned by coordinate * size // side. t: whole microseconds
    from any start; x, y: from 0 to below `sensor`, (width, height); p: 0 or 1. "upright" turns the
    picture by 180 degrees (a DVS128's rows and columns run the other way), "raw" leaves it as
    stored. Counts stop at 255; a window without events is an empty frame. ValueError for anything
    else."""
    for name, value, choices in (("by", by, BY), ("orientation", orientation, ORIENTATIONS)):
        if value not in choices:
            raise ValueError(f"{name}={value!r}: must be one of {', '.join(choices)}")
    require_counts(T=T, size=size, width=sensor[0], height=sensor[1])
    t, x, y, p = events_of(t, x, y, p, sensor)
    if by == "time":
        window = (t - t[0]) * T // (int(t[-1] - t[0]) + 1)
    else:
        window = np.arange(len(t)) * T // len(t)
    columns, rows = (np.arange(side) * size // side for side in sensor)
    if orientation == "upright":
        columns = columns[::-1]
        rows = rows[::-1]
    cell = ((window * 2 + p) * size + rows[y]) * size + columns[x]
    counts = np.bincount(cell, minlength=T * 2 * size * size)
    return np.minimum(counts, 255).astype(np.uint8).reshape(T, 2, size, size)


# ---- 2. Work in several processes ----------------------------------------------------------------
@contextlib.contextmanager
def stops_held():
    """SIGINT and SIGTERM wait until this is left; a process started within begins without them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def serve(work, jobs, ours, theirs):
    """A worker process. What stops a run is sent to its whole group; the run ends its workers."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)
    ours.close()  # when the reader is gone, too, sending fails: no worker outlives the run
    with contextlib.suppress(BrokenPipeError):
        for job in jobs:
            try:
                result = work(job)
            except Exception as error:
                result = error
            theirs.send(result)


def spread(work, jobs, method=None):
    """Yields work(job) of each of the list of jobs as they are done, by a process per core, which
    share nothing that one of them could leave locked. Raises what `work` raises, and ValueError
    for a worker that was killed. However it is left, no worker stays."""
    context = multiprocessing.get_context(method)
    count = min(os.cpu_count() or 1, len(jobs))
    workers = {}
    try:
        with stops_held():
            for k in range(count):
                ours, theirs = context.Pipe(duplex=False)
                share = (work, jobs[k::count], ours, theirs)
                worker = context.Process(target=serve, args=share, daemon=True)
                worker.start()
                workers[ours] = worker
                theirs.close()
        while workers:
            for pipe in multiprocessing.connection.wait(list(workers)):
                try:
                    result = pipe.recv()
                except (EOFError, OSError):  # at its end, or within a result
                    worker = workers.pop(pipe)
                    worker.join()
                    if code := worker.exitcode:
                        text = f"a worker process ended with {code} (-9: killed; out of memory?)"
                        raise ValueError(text) from None
                    continue
                if isinstance(result, Exception):
                    raise result
                yield result
    finally:
        with stops_held():
            for worker in workers.values():
                worker.kill()
                worker.join()


@contextlib.contextmanager
def turns(path):
    """Runs that do the same wait for each other, where there are locks."""
    with open(path, "a") as file:
        lock(file)
        yield


def counter(what, i, n):
    if sys.stdout.isatty():
        print(f"\r{what} {i + 1}/{n}", end="\n" * (i + 1 == n))


# ---- 3. Recordings and their cache ---------------------------------------------------------------
How = namedtuple("How", "T size by orientation transposed")  # how a recording becomes frames
Item = namedtuple("Item", "file member label")  # member: of a zip archive, or None


def name_of(item):
    return f"{item.file}/{item.member}" if item.member else item.file


def known_as(item):
    """What stays the same wherever a recording lies."""
    return f"{item.label}/{os.path.basename(name_of(item))}"


def ending(name):
    return pathlib.PurePath(name).suffix.lower()


def decode(how, path, job):
    """Writes a recording's frames to their place in a file. -> its number, and what is wrong with
    it or: a checksum, events dropped, cells at 255, what to say. Runs in worker processes."""
    i, item = job
    name = name_of(item)
    try:
        if item.member:
            with zipfile.ZipFile(item.file) as archive:
                data = archive.read(item.member)
        else:
            data = pathlib.Path(item.file).read_bytes()
        if ending(name) in FOREIGN:
            raise ValueError(f"a {ending(name)} file, which this does not read: {INSTEAD}")
        form = FORMATS[ending(name)]
        t, x, y, p, dropped = form.decode(data, name)
        if how.transposed and how.orientation == "upright":
            x, y = y, x
        orientation = how.orientation if form.turned else "raw"
        frames = events_to_frames(t, x, y, p, how.T, how.size, how.by, form.sensor, orientation)
    except Exception as error:  # whatever damaged bytes may raise
        text = str(error) or type(error).__name__
        return i, text if name in text else f"{name}: {text}"
    with open(path, "r+b") as file:
        file.seek(i * frames.nbytes)
        file.write(frames)
    seconds = np.diff(t, prepend=0) / 1e6
    jump = int(seconds.argmax())
    said = ""
    if seconds[jump] > 1:
        said = f"{name}: after {t[jump - 1] / 1e6:.1f} s its clock jumps by {seconds[jump]:.1f} s"
    return i, (zlib.crc32(frames, i), dropped, int((frames == 255).sum()), said)


def hidden(name):
    """What desktops and notebooks leave behind."""
    return any(part[0] == "." or part == "__MACOSX" for part in pathlib.PurePosixPath(name).parts)


def inside(folder):
    """The paths in a folder, sorted, without what is hidden; none if there is no such folder."""
    paths = folder.glob("*")
    return sorted(path for path in paths if not hidden(path.name))


def recordings(root):
    """An Item for every recording in the archives in a folder, or in the archive `root`; if there
    are none to read, in the folders of its classes. One line says what is not taken."""
    archives = [path for path in [root, *inside(root)] if ending(path) == ".zip"]
    folders = [path for path in inside(root) if path.is_dir() and path.name != "cache"]
    archived = [item for path in archives for item in members(path)]
    filed = [Item(str(file), None, path.name) for path in folders for file in inside(path)]
    known = {*FORMATS, *FOREIGN}
    loose = [Item(str(path), None, "") for path in inside(root) if ending(path) in known]
    found = [item for item in archived if ending(item.member) in FORMATS]
    if not found and folders:
        found = [item for item in filed if ending(item.file) in known]
        if bare := {path.name for path in folders} - {item.label for item in found}:
            raise ValueError(f"{root}: no recordings ({' or '.join(FORMATS)}) in {sorted(bare)}")
    found = found or [item for item in archived if ending(item.member) in known]
    left = [name_of(item) for item in {*archived, *filed, *loose} - {*found}]
    tell(f"{root}: files not taken:", Counter(ending(name) or "without ending" for name in left))
    return sorted(found, key=known_as)


def members(path):
    """An Item for every file in a zip archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception as error:
        raise ValueError(f"{path}: {error}") from error
    names = [name for name in names if not name.endswith("/") and not hidden(name)]
    labels = [pathlib.PurePosixPath(name).parent.name or path.stem for name in names]
    return [Item(str(path), name, label) for name, label in zip(names, labels)]


def numbers(item):
    """All numbers in the name of a recording."""
    return [int(digits) for digits in re.findall(r"\d+", pathlib.PurePath(name_of(item)).stem)]


def number(item):
    """The last number in the name of a recording."""
    if not (found := numbers(item)):
        raise ValueError(f"{name_of(item)}: no number in the name; --split random:0 needs none")
    return found[-1]


def split_by(items, split):
    """-> training items, test items: a tenth of each class, by the number in the file name."""
    kind, _, seed = split.partition(":")
    if split not in ("tet", "tebn") and not (kind == "random" and seed.isdigit()):
        raise ValueError(f"--split {split}: must be tet, tebn or random:SEED")
    drawn = kind == "random"
    train = []
    test = []
    for label in sorted({item.label for item in items}):
        mine = [item for item in items if item.label == label]
        mine.sort(key=numbers if drawn else number)
        for one, other in zip(mine, mine[1:]):
            if not drawn and number(one) == number(other):
                why = f"the same number as {name_of(one)}; --split random:0 needs none"
                raise ValueError(f"{name_of(other)}: {why}")
        if len(mine) < 2:
            raise ValueError(f"class {label} has {len(mine)} recording, too few to split")
        if drawn:
            mine = [mine[i] for i in np.random.default_rng(int(seed)).permutation(len(mine))]
        n = max(1, round(len(mine) / 10))
        if kind == "tebn":
            mine = mine[n:] + mine[:n]
        train += mine[:-n]
        test += mine[-n:]
    return train, test


class Events:
    """Frames [N, T, 2, size, size], uint8, or path and shape of a file of them, which is mapped;
    labels [N]. Training, if `augment`: `flip`, and roll by up to 5 pixels, the same at all t."""

    def __init__(self, frames, labels, facts, flip=True, augment=True):
        self.mapped = None
        if isinstance(frames, tuple):  # path and shape
            frames = self.mapped = np.memmap(frames[0], np.uint8, "r", shape=frames[1])
        self.frames = frames
        self.labels = labels
        self.facts = facts
        self.flip = flip
        self.augment = augment
        self.shape = frames.shape[2:]

    def __reduce__(self):
        """To workers a file mapped here goes as path and shape, not by value."""
        frames = self.frames
        if frames is self.mapped:
            frames = frames.filename, frames.shape
        return type(self), (frames, self.labels, self.facts, self.flip, self.augment)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, key):
        indices, epoch, seed = key
        x = torch.from_numpy(self.frames[indices.numpy()])  # [B, T, 2, H, W]
        if epoch is not None and self.augment:
            seeds = [sample_seed(seed, epoch, i) for i in indices.tolist()]
            x = torch.stack([self.augmented(one, seed) for one, seed in zip(x, seeds)])
        return x.transpose(0, 1).float(), self.labels[indices]  # [T, B, 2, H, W]

    def augmented(self, x, seed):
        random = torch.Generator().manual_seed(seed)
        flip = torch.rand((), generator=random) < 0.5
        down, right = torch.randint(-5, 6, (2,), generator=random).tolist()
        return torch.roll(x.flip(3) if flip and self.flip else x, (down, right), (2, 3))


@functools.cache
def scratch():
    """A folder that is there until this process ends."""
    return tempfile.TemporaryDirectory()


def cached_frames(config, items, transposed):
    """-> path and shape of the frames [N, T, 2, size, size], the items they are of, a checksum of
    each. Decoded once, in parallel, into one file under a temporary name; its description, written
    last, makes it complete, and then it is only read. Another process doing the same waits."""
    root = pathlib.Path(config.data).expanduser()
    folder = pathlib.Path(config.cache or root / "cache").expanduser()
    how = How(config.T, config.size, config.by, config.orientation, transposed)
    which = []
    for item in items:
        stat = os.stat(item.file, follow_symlinks=os.path.exists(item.file))  # or a dangling link's
        place = os.path.relpath(item.file, root)
        which.append((place, stat.st_size, stat.st_mtime_ns, item.member, item.label))
    identity = repr((2, tuple(how), which, config.skip_bad))
    key = hashlib.sha256(identity.encode()).hexdigest()[:16]
    path = folder / f"{key}.u8"
    about = folder / f"{key}.json"
    try:
        if not about.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with turns(folder / f"{key}.lock"):
                if not about.exists():  # now that others are done
                    made = json.dumps(decode_all(how, items, path, config.skip_bad))
                    with replacing(about) as file:
                        file.write(made.encode())
    except OSError as error:
        if config.cache or error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise ValueError(f"{error}: no frame cache; --cache names a folder for it") from error
        print(f"{folder} cannot be written: frames are kept for this run alone, without --cache")
        config = dataclasses.replace(config, cache=scratch().name)
        return cached_frames(config, items, transposed)
    try:
        known = json.loads(about.read_text())
        with open(path, "rb") as file:
            sums = [zlib.crc32(file.read(2 * how.T * how.size**2), i) for i in known["good"]]
        if sums != known["crc32"]:
            raise ValueError("it does not hold what was written")
        if len(sums) < len(items):
            print(f"{path} is without {len(items) - len(sums)} recordings that could not be read")
        shape = (len(sums), how.T, 2, how.size, how.size)
        return (path, shape), [items[i] for i in known["good"]], sums
    except Exception as error:
        raise ValueError(f"{path}: {error}; remove {about}, and it is made again") from error


def decode_all(how, items, path, skip_bad):
    """Writes the frames of all items, one after the other. -> the cache's description: which of
    them could be read (`good`), and the checksum of each of those (`crc32`)."""
    seen = {}
    with replacing(path) as file:
        work = functools.partial(decode, how, file.name)
        with contextlib.closing(spread(work, list(enumerate(items)))) as results:
            for done, (i, result) in enumerate(results):
                counter("recording", done, len(items))
                if not isinstance(result, str):
                    seen[i] = result
                elif skip_bad:
                    print(f"left out: {result}", file=sys.stderr)
                else:
                    raise ValueError(f"{result} (--skip-bad leaves such files out)")
        good = sorted(seen)
        if lost := {item.label for item in items} - {items[i].label for i in good}:
            raise ValueError(f"no recording could be read of {', '.join(sorted(lost))}")
        sums, dropped, top, said = zip(*(seen[i] for i in good))
        size = how.T * 2 * how.size**2
        with open(file.name, "r+b") as whole:
            for j, i in enumerate(good):
                if i != j:  # closes the gaps that were left
                    whole.seek(i * size)
                    frames = whole.read(size)
                    whole.seek(j * size)
                    whole.write(frames)
            whole.truncate(len(good) * size)
    for text in filter(None, said):
        print(text)
    print(f"{len(good)} recordings; {sum(dropped)} special events dropped; {sum(top)} cells at 255")
    return dict(good=good, crc32=sums)


def download(root):
    root.mkdir(parents=True, exist_ok=True)
    with turns(root / "lock"):
        for name, (code, md5) in FIGSHARE.items():
            url = f"https://ndownloader.figshare.com/files/{code}"
            try:
                torchvision.datasets.utils.download_url(url, root, f"{name}.zip", md5)
            except (OSError, RuntimeError) as error:
                raise ValueError(f"{url}: {error}; put it into {root} as {name}.zip") from error


def checksum(items, content):
    """Of recordings, wherever they lie: class, name, and what is given of their content."""
    lines = sorted(map("{} {}".format, map(known_as, items), content))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def load(config):
    """The training set and the test set."""
    root = pathlib.Path(config.data).expanduser()
    cifar10dvs = config.dataset == "cifar10dvs"
    if (root / UNFINISHED).exists():
        raise ValueError(f"{root / UNFINISHED} is half-way: --simulate does it again")
    named = {path.name.lower(): path for path in inside(root)}
    parts = [named.get(part, named.get(f"{part}.zip")) for part in ("train", "test")]
    if all(parts):
        parts = [recordings(part) for part in parts]
    else:
        items = recordings(root)
        if cifar10dvs and len({item.label for item in items}) != 10:
            raise ValueError(
                f"--data {root}: not the ten archives of CIFAR10-DVS, airplane.zip ... truck.zip, "
                "of figshare article 4724671; --download fetches them, --demo needs no data"
            )
        parts = split_by(items, config.split)
    names, tested = (sorted({item.label for item in items}) for items in parts)
    if len(names) < 2 or names != tested:
        raise ValueError(
            f"--data {root}: needs recordings of the same two or more classes to train and to "
            f"test, DIR/train|test/CLASS/* or DIR/CLASS/*; found {names} and {tested}"
        )
    facts = dict(classes=names, test_list=checksum(parts[1], [""] * len(parts[1])))
    sets = []
    for part, items in zip(("train", "test"), parts):
        limit = getattr(config, f"limit_{part}")
        if limit and limit < len(items):
            order = np.random.default_rng(config.seed).permutation(len(items))
            items = [items[i] for i in order[:limit]]
        frames, items, sums = cached_frames(config, items, cifar10dvs)
        labels = torch.tensor([names.index(item.label) for item in items])
        sets.append(Events(frames, labels, facts, config.flip, config.augment))
        if not config.eval:  # which may test on fewer
            facts[f"{part}_recordings"] = [len(items), checksum(items, sums)]
    return sets


# ---- 4. The simulated camera ---------------------------------------------------------------------
def views(picture, steps):
    """A grey picture [128, 128] on a closed loop, a figure of eight: steps + 1 views of it."""
    source = torch.from_numpy(np.ascontiguousarray(picture, np.float32))[None, None]
    grid = F.affine_grid(torch.eye(2, 3)[None], (1, 1, 128, 128), align_corners=False)
    for a in np.linspace(0, 2 * np.pi, steps + 1):
        shift = torch.tensor([np.sin(a) * 0.12, np.sin(2 * a) * 0.06], dtype=torch.float32)
        view = F.grid_sample(source, grid + shift, padding_mode="border", align_corners=False)
        yield view[0, 0].numpy()


def record(
    picture, seed, duration=300_000, contrast=0.25, mismatch=0.03, refractory=1_000, noise=2.0
):
    """A grey picture [128, 128] in [0, 1] goes round a closed loop before a DVS128 -> t, x, y, p as
    the sensor stores them. A pixel sends an event whenever the logarithm of its brightness has
    moved by its contrast threshold (which differs from pixel to pixel by `mismatch`) since its last
    one, but not within `refractory` microseconds; and `noise` a second for nothing."""
    random = np.random.default_rng(seed)
    steps = 120
    on, off = (
        np.maximum(contrast * (1 + mismatch * random.standard_normal((128, 128))), 0.05)
        for _ in range(2)
    )
    times = []
    places = []
    darker = []
    last = np.full((128, 128), -refractory)
    reference = None
    for i, view in enumerate(views(picture, steps)):
        level = np.log(view + 0.05)
        if reference is None:
            reference = level.copy()
        now = i * duration // steps
        for sign, threshold in ((1, on), (-1, off)):
            fires = (sign * (level - reference) >= threshold) & (now - last >= refractory)
            reference[fires] += sign * threshold[fires]
            last[fires] = now
            places.append(np.flatnonzero(fires))
            darker.append(np.full(len(places[-1]), sign < 0))
            times.append(now + random.integers(0, duration // steps, len(places[-1])))
    n = random.poisson(noise * 128 * 128 * duration / 1e6)
    times.append(random.integers(0, duration, n))
    places.append(random.integers(0, 128 * 128, n))
    darker.append(random.random(n) < 0.5)
    times, places, darker = (np.concatenate(parts) for parts in (times, places, darker))
    order = np.argsort(times, kind="stable")
    row, column = np.divmod(places[order], 128)
    return times[order], 127 - column, 127 - row, darker[order].astype(np.uint8)


def record_file(job):
    """-> what is wrong with the picture, or None. Runs in worker processes."""
    source, seed, path = job
    if isinstance(source, str):
        try:
            picture = open_picture(source)
        except ValueError as error:
            return str(error)
    else:
        picture = torchvision.transforms.functional.to_pil_image(torch.as_tensor(source))
    grey = np.asarray(picture.convert("L").resize((128, 128), 2), np.float32) / 255
    write_aedat(path, *record(grey, seed))


def simulate(pictures, folder, skip_bad=False):
    """pictures: (path or array, class name) pairs, recorded as folder/CLASS/CLASS_i.aedat."""
    jobs = []
    counts = Counter()
    for i, (source, label) in enumerate(pictures):
        (folder / label).mkdir(parents=True, exist_ok=True)
        jobs.append((source, i, folder / label / f"{label}_{counts[label]}.aedat"))
        counts[label] += 1
    # torch's threads survive no fork
    with contextlib.closing(spread(record_file, jobs, "spawn")) as results:
        for i, bad in enumerate(results):
            if bad and not skip_bad:
                raise ValueError(f"{bad} (--skip-bad leaves it out)")
            if bad:
                print(f"left out: {bad}", file=sys.stderr)
            counter("simulated", i, len(jobs))


def simulated(config):
    """--simulate: fills --data with recordings of at most limit_train + limit_test pictures."""
    source = pathlib.Path(config.simulate).expanduser()
    root = pathlib.Path(config.data).expanduser()
    unfinished = root / UNFINISHED
    if inside(root):
        raise ValueError(f"--data {root} is not empty: --simulate writes to a new folder")
    shutil.rmtree(unfinished, ignore_errors=True)  # of a simulation that stopped
    parts = [(".", config.limit_train and config.limit_train + (config.limit_test or 0))]
    if (source / "train").is_dir():
        parts = [("train", config.limit_train), ("test", config.limit_test)]
    for part, limit in parts:
        found, classes = listed(source / part)
        chosen = np.random.default_rng(config.seed).permutation(len(found))[:limit]
        pictures = [(found[i][0], classes[found[i][1]]) for i in sorted(chosen)]
        simulate(pictures, unfinished / part, config.skip_bad)
    for path in inside(unfinished):
        path.rename(root / path.name)
    unfinished.rmdir()


def simulated_shapes(config, root):
    """The demo's recordings: drawn pictures before the camera."""
    if min(config.limit_train or 0, config.limit_test or 0) < 10:
        raise ValueError("--limit-train, --limit-test: the demo has ten classes, so 10 or more")
    for part, n in (("train", config.limit_train), ("test", config.limit_test)):
        images, labels = draw_shapes(n, f"{config.seed} {part}")
        pictures = [(image, f"{label:02}") for image, label in zip(images.numpy(), labels)]
        simulate(pictures, root / part)


# ---- 5. Main -------------------------------------------------------------------------------------
def plot_frames(data, path):
    """The first recordings of each class, all timesteps added up, ON red and OFF blue on white."""
    tiles = []
    for label in range(min(10, len(data.facts["classes"]))):
        for i in (data.labels == label).nonzero()[:6, 0].tolist():
            on, off = torch.from_numpy(data.frames[i].astype(np.float32)).sum(0)
            scale = 4 * max(on.mean(), off.mean(), 0.1)
            on, off = ((count / scale).clamp(0, 1) for count in (on, off))
            tiles.append(torch.stack([1 - off, 1 - torch.maximum(on, off), 1 - on]))
    tiles = F.interpolate(torch.stack(tiles), scale_factor=3)
    torchvision.utils.save_image(tiles, path, nrow=6, pad_value=0.8)
    print(f"wrote {path}")


def main(argv=None):
    with one_line_errors():
        config, checkpoint = parse(Settings, __doc__, argv)
        check_plot(config)
        tet = dict(phi=config.phi, lam=config.lam, label_smoothing=config.label_smoothing)
        loss = functools.partial(tet_loss, **tet)
        if config.demo:
            config = dataclasses.replace(config, data=tempfile.mkdtemp(dir=scratch().name))
            simulated_shapes(config, pathlib.Path(config.data))
            compare(config, *load(config), loss)
            return
        if config.download and config.dataset == "cifar10dvs":
            once(config, functools.partial(download, pathlib.Path(config.data).expanduser()))
        if config.simulate and not checkpoint:
            once(config, functools.partial(simulated, config))
        if "RANK" in os.environ:  # one makes the frame cache
            once(config, functools.partial(load, config))
        train, test = load(config)
        result = fit(config, train, test, loss)
        if config.plot and os.environ.get("RANK", "0") == "0":
            draw("run", result, test[torch.arange(min(100, len(test))), None, 0][0])
            plot_frames(test, result["out"] / "frames.png")


if __name__ == "__main__":
    main()
