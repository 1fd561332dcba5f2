"""Train DS-ATGO on event-camera recordings.

    python train_dvs.py --data DIR                  the paper's recipe on CIFAR10-DVS, ten archives
    python train_dvs.py --data DIR --download       fetches them first (figshare article 4724671)
    python train_dvs.py --demo                      minutes on a CPU, before a simulated camera
    python train_dvs.py --dataset folder --data DIR  DIR/train|test/CLASS/*, or DIR/CLASS/*, --split
    python train_dvs.py --dataset folder --data DIR --simulate PICTURES  records PICTURES/CLASS/*

AEDAT 2.0 (DVS128) and N-MNIST files are read as they are. Frames are counts of events, two channels
of polarity, T windows.
"""

import dataclasses
import fcntl
import functools
import hashlib
import json
import multiprocessing
import os
import pathlib
import re
import sys
import tempfile
import zipfile
from collections import namedtuple

import numpy as np
import torch
import torch.nn.functional as F
import torchvision

from dsatgo import NETWORKS, tet_loss
from train_cifar import (
    Config,
    check_plot,
    compare,
    draw_shapes,
    fit,
    once,
    one_line_errors,
    open_picture,
    parse,
    plot_curves,
    replacing,
    sample_seed,
    setting,
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


@dataclasses.dataclass
class Settings(Config):
    dataset: str = setting(
        "cifar10dvs",
        "CIFAR10-DVS, or a folder of recordings (paper: CIFAR10-DVS)",
        choices=("cifar10dvs", "folder"),
    )
    arch: str = setting("vggsnn", "network (paper: vggsnn)", choices=tuple(NETWORKS))
    channels: int = setting(64, "width of the first stage (paper: 64)", least=1)
    T: int = setting(10, "timesteps, which are windows of a recording (paper: 10)", least=1)
    batch_size: int = setting(50, "samples a step, over all processes (paper: 50)", least=1)
    label_smoothing: float = setting(
        0.0, "of TET's cross-entropy (paper: not stated)", least=0, most=1
    )
    phi: float = setting(
        1.0, "TET's target for the logits (paper: not stated; TET's own trainer 1.0)"
    )
    lam: float = setting(
        1e-3,
        "TET's weight of that target (paper: not stated; TET's own trainer 1e-3)",
        least=0,
        most=1,
    )
    size: int = setting(48, "side of the frames (paper: 48)", least=16)
    by: str = setting(
        "time",
        "windows of equal time or of equal count (paper: not stated)",
        choices=("time", "count"),
    )
    split: str = setting(
        "tet",
        "test set of a folder without train and test: tet, the last tenth of each class by the "
        "number in the name; tebn, the first; random:SEED, a tenth drawn (paper: 9 to 1, not "
        "stated which)",
    )
    cache: str | None = setting(None, "folder of the frame cache; none: DATA/cache", free=True)
    orientation: str = setting(
        "upright",
        "as the camera saw it, or raw, as stored (paper: not stated)",
        choices=("upright", "raw"),
    )
    download: bool = setting(False, "fetch CIFAR10-DVS (about 8 GB) into --data first")
    simulate: str | None = setting(
        None, "first fill --data with simulated recordings of these pictures, PICTURES/CLASS/*"
    )

    PRESETS = dict(
        demo=dict(
            dataset="folder",
            channels=4,
            T=6,
            size=32,
            epochs=14,
            batch_size=20,
            limit_train=600,
            limit_test=200,
        )
    )


# ---- 1. Event files ------------------------------------------------------------------------------
def read_aedat(path):
    """AEDAT 2.0 of a DVS128 -> t int64 microseconds from 0, x and y uint8 0..127 and p uint8 0/1 as
    stored, each [N]. Special events (bit 15) are dropped. ValueError with the file, the byte and
    the reason for: another version, another sensor, a truncated tail, times that go backward, no
    events."""
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
    check(data.startswith(b"#!AER-DAT2.0"), 0, f"{version} instead of AER-DAT2.0")
    start = 0
    while data[start : start + 1] == b"#":  # the header: lines of text, ended by CR LF or LF
        end = data.find(b"\n", start) + 1
        check(end, start, "the header does not end, no events")
        line = data[start:end]
        start = end
        if b"end of ascii header" in line.lower():
            break
    tail = (len(data) - start) % 8
    check(not tail, len(data) - tail, f"truncated: {tail} bytes of an event's 8")
    words = np.frombuffer(data, ">u4", offset=start).astype(np.uint32)
    address = words[0::2]
    t = words[1::2].astype(np.int64)
    if (i := first(address >> 16 != 0)) is not None:
        reason = f"address {address[i]:#010x} is not a DVS128's: another sensor"
        check(False, start + 8 * i, reason)
    if (i := first(t[1:] < t[:-1])) is not None:
        reason = f"time goes backward, from {t[i]} to {t[i + 1]} microseconds"
        check(False, start + 8 * (i + 1), reason)
    special = address & 0x8000 != 0
    address = address[~special]
    t = t[~special]
    check(len(t), start, "no events")
    x = (address >> 1 & 127).astype(np.uint8)
    y = (address >> 8 & 127).astype(np.uint8)
    p = (address & 1).astype(np.uint8)
    return t - t[0], x, y, p, int(special.sum())


def write_aedat(path, t, x, y, p):
    """The inverse of `read_aedat`, with the shortest header."""
    t, x, y, p = (np.asarray(values, np.uint32) for values in (t, x, y, p))
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
        raise ValueError(f"{name}: byte {5 * i}: ({x[i]}, {y[i]}) is outside 34x34")
    p = (t >> 23).astype(np.uint8)
    t = t & (1 << 23) - 1
    if (i := first(t[1:] < t[:-1])) is not None:
        raise ValueError(f"{name}: byte {5 * (i + 1)}: time goes backward")
    return t - t[0], x, y, p, 0


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
    count, pixels binned by coordinate * size // side. "upright" turns the picture by 180 degrees (a
    DVS128's rows and columns run the other way), "raw" leaves it as stored. Counts stop at 255; a
    window without events is an empty frame."""
    window = t * T // (int(t[-1]) + 1) if by == "time" else np.arange(len(t)) * T // len(t)
    columns, rows = (np.arange(side) * size // side for side in sensor)
    if orientation == "upright":
        columns = columns[::-1]
        rows = rows[::-1]
    cell = ((window * 2 + p) * size + rows[y]) * size + columns[x]
    counts = np.bincount(cell, minlength=T * 2 * size * size)
    return np.minimum(counts, 255).astype(np.uint8).reshape(T, 2, size, size)


# ---- 2. Recordings and their cache ---------------------------------------------------------------
How = namedtuple("How", "T size by orientation transposed")  # how a recording becomes frames
Item = namedtuple("Item", "file member label")  # member: of a zip archive, or None


def name_of(item):
    return item.member or item.file


def decode(how, item):
    """One recording -> frames, special events dropped, cells at 255; or the error's text. Runs in
    worker processes."""
    name = name_of(item)
    try:
        if item.member:
            with zipfile.ZipFile(item.file) as archive:
                data = archive.read(item.member)
        else:
            data = pathlib.Path(item.file).read_bytes()
        form = FORMATS[pathlib.PurePath(name).suffix]
        t, x, y, p, dropped = form.decode(data, name)
        if how.transposed and how.orientation == "upright":
            x, y = y, x
        orientation = how.orientation if form.turned else "raw"
        frames = events_to_frames(t, x, y, p, how.T, how.size, how.by, form.sensor, orientation)
        return frames, dropped, int((frames == 255).sum())
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        text = str(error)
        return text if name in text else f"{name}: {text}"


def recordings(root):
    """An Item for every recording below `root`, or in the zip archives in it."""
    archives = sorted(root.glob("*.zip"))
    if archives:
        return [item for path in archives for item in members(path)]
    found = []
    for path in sorted(root.glob("*/*")):
        if path.parent.name == "cache":
            continue
        if path.suffix in FORMATS:
            found.append(Item(str(path), None, path.parent.name))
        elif path.is_file() and not path.name.startswith("."):
            raise ValueError(f"{path} is no recording ({' or '.join(FORMATS)}): remove it")
    used = {os.path.dirname(item.file) for item in found}
    for path in root.iterdir() if root.is_dir() else ():
        if path.is_dir() and path.name != "cache" and str(path) not in used:
            raise ValueError(f"{path}: a class without recordings")
    return found


def members(path):
    """The recordings in a zip archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".aedat")]
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path}: {error}") from error
    return [Item(str(path), name, pathlib.PurePosixPath(name).parent.name) for name in names]


def number(item):
    """The last number in the name of a recording."""
    digits = re.findall(r"\d+", os.path.basename(name_of(item)))
    if not digits:
        raise ValueError(f"{name_of(item)}: no number in the name to split by")
    return int(digits[-1])


def split_by(items, split):
    """-> training items, test items: a tenth of each class, by the number in the file name."""
    kind, _, seed = split.partition(":")
    if split not in ("tet", "tebn") and not (kind == "random" and seed.isdigit()):
        raise ValueError(f"--split {split}: must be tet, tebn or random:SEED")
    train = []
    test = []
    for label in sorted({item.label for item in items}):
        mine = sorted((item for item in items if item.label == label), key=number)
        for one, other in zip(mine, mine[1:]):
            if number(one) == number(other):
                raise ValueError(f"{name_of(other)}: the same number as {name_of(one)}")
        if len(mine) < 2:
            raise ValueError(f"class {label} has {len(mine)} recording, too few to split")
        if kind == "random":
            mine = [mine[i] for i in np.random.default_rng(int(seed)).permutation(len(mine))]
        n = max(1, round(len(mine) / 10))
        if kind == "tebn":
            mine = mine[n:] + mine[:n]
        train += mine[:-n]
        test += mine[-n:]
    return train, test


class Events:
    """Frames [N, T, 2, size, size], uint8, memory-mapped. Training: flip and roll by up to 5
    pixels, the same at all t."""

    def __init__(self, frames, labels, facts):
        self.frames = frames
        self.labels = labels
        self.facts = facts
        self.shape = frames.shape[2:]

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, key):
        indices, epoch, seed = key
        x = torch.from_numpy(self.frames[indices.numpy()])  # [B, T, 2, H, W]
        if epoch is not None:
            seeds = [sample_seed(seed, epoch, i) for i in indices.tolist()]
            x = torch.stack([self.augmented(one, seed) for one, seed in zip(x, seeds)])
        return x.transpose(0, 1).float(), self.labels[indices]  # [T, B, 2, H, W]

    def augmented(self, x, seed):
        random = torch.Generator().manual_seed(seed)
        flip = torch.rand((), generator=random) < 0.5
        down, right = torch.randint(-5, 6, (2,), generator=random).tolist()
        return torch.roll(x.flip(3) if flip else x, (down, right), (2, 3))


def cached_frames(config, items, transposed):
    """-> frames [N, T, 2, size, size] memory-mapped, which of the items they are. Decoded once, in
    parallel and in order, into one file under a temporary name; its description, written last,
    makes it complete. Another process doing the same waits."""
    folder = pathlib.Path(config.cache or pathlib.Path(config.data) / "cache")
    folder.mkdir(parents=True, exist_ok=True)
    how = How(config.T, config.size, config.by, config.orientation, transposed)
    stats = {item.file: os.stat(item.file) for item in items}
    files = sorted((name, (stat.st_size, stat.st_mtime_ns)) for name, stat in stats.items())
    identity = repr((1, tuple(how), [tuple(item) for item in items], files, config.skip_bad))
    key = hashlib.sha256(identity.encode()).hexdigest()[:16]
    path = folder / f"{key}.u8"
    about = folder / f"{key}.json"
    with open(folder / f"{key}.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not about.exists():
            good = decode_all(how, items, path, config.skip_bad)
            with replacing(about) as file:
                file.write(json.dumps(dict(good=good, bytes=path.stat().st_size)).encode())
    known = json.loads(about.read_text())
    good = known["good"]
    if not good or not path.exists() or path.stat().st_size != known["bytes"]:
        size = known["bytes"]
        raise ValueError(f"{path}: not {size} bytes of {len(good)} recordings: remove {folder}")
    shape = (len(good), config.T, 2, config.size, config.size)
    return np.memmap(path, np.uint8, "r", shape=shape), good


def decode_all(how, items, path, skip_bad):
    """Writes the frames of all items, one after the other. -> which of them could be read"""
    good = []
    dropped = full = 0
    with replacing(path) as file, multiprocessing.Pool() as pool:
        results = pool.imap(functools.partial(decode, how), items, chunksize=8)
        for i, result in enumerate(results):
            if isinstance(result, str):
                if not skip_bad:
                    raise ValueError(f"{result} (--skip-bad leaves such files out)")
                print(f"left out: {result}", file=sys.stderr)
                continue
            frames, special, cells = result
            file.write(frames.tobytes())
            good.append(i)
            dropped += special
            full += cells
            counter("recording", i, len(items))
    print(f"{len(good)} recordings; {dropped} special events dropped; {full} cells at 255")
    return good


def counter(what, i, n):
    if sys.stdout.isatty():
        print(f"\r{what} {i + 1}/{n}", end="\n" if i + 1 == n else "")


def download(root):
    root.mkdir(parents=True, exist_ok=True)
    with open(root / "lock", "a") as lock:  # under torchrun one downloads, the others wait
        fcntl.lockf(lock, fcntl.LOCK_EX)
        for name, (number, md5) in FIGSHARE.items():
            url = f"https://ndownloader.figshare.com/files/{number}"
            torchvision.datasets.utils.download_url(url, root, f"{name}.zip", md5)


def load(config):
    """The training set and the test set."""
    root = pathlib.Path(config.data)
    cifar10dvs = config.dataset == "cifar10dvs"
    if cifar10dvs and config.download:
        download(root)
    if (root / "train").is_dir():
        parts = [recordings(root / name) for name in ("train", "test")]
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
            f"test, found {names} and {tested}"
        )
    lines = sorted(f"{item.label}/{os.path.basename(name_of(item))}" for item in parts[1])
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    facts = dict(classes=names, test_list=digest)
    sets = []
    for items, limit in zip(parts, (config.limit_train, config.limit_test)):
        if limit and limit < len(items):
            order = np.random.default_rng(config.seed).permutation(len(items))
            items = [items[i] for i in order[:limit]]
        frames, good = cached_frames(config, items, cifar10dvs)
        labels = torch.tensor([names.index(items[i].label) for i in good])
        sets.append(Events(frames, labels, facts))
    return sets


# ---- 3. The simulated camera ---------------------------------------------------------------------
def views(picture, steps):
    """A grey picture [128, 128] on a closed loop, a figure of eight: steps + 1 views of it."""
    source = torch.from_numpy(np.ascontiguousarray(picture, np.float32))[None, None]
    grid = F.affine_grid(torch.eye(2, 3)[None], (1, 1, 128, 128), align_corners=False)
    for a in np.linspace(0, 2 * np.pi, steps + 1):
        shift = torch.tensor([np.sin(a) * 0.12, np.sin(2 * a) * 0.06], dtype=torch.float32)
        view = F.grid_sample(source, grid + shift, padding_mode="border", align_corners=False)
        yield view[0, 0].numpy()


def record(
    picture,
    seed,
    steps=120,
    duration=300_000,
    contrast=0.25,
    mismatch=0.03,
    refractory=1_000,
    noise=2.0,
):
    """A grey picture [128, 128] in [0, 1] goes round a closed loop before a DVS128 -> t, x, y, p as
    the sensor stores them. A pixel sends an event whenever the logarithm of its brightness has
    moved by its contrast threshold (which differs from pixel to pixel by `mismatch`) since its last
    one, but not within `refractory` microseconds; and `noise` a second for nothing."""
    random = np.random.default_rng(seed)
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
    source, seed, path = job
    if isinstance(source, str):
        picture = open_picture(source)
    else:
        picture = torchvision.transforms.functional.to_pil_image(source)
    grey = np.asarray(picture.convert("L").resize((128, 128), 2), np.float32) / 255
    write_aedat(path, *record(grey, seed))


def simulate(pictures, folder):
    """pictures: (path or tensor, class name) pairs, recorded as folder/CLASS/CLASS_i.aedat."""
    jobs = []
    counts = {}
    for i, (source, label) in enumerate(pictures):
        (folder / label).mkdir(parents=True, exist_ok=True)
        n = counts.get(label, 0)
        counts[label] = n + 1
        jobs.append((source, i, folder / label / f"{label}_{n}.aedat"))
    with multiprocessing.get_context("spawn").Pool() as pool:  # torch's threads survive no fork
        for i, _ in enumerate(pool.imap_unordered(record_file, jobs, chunksize=8)):
            counter("simulated", i, len(jobs))


def simulated(config):
    """--simulate: fills --data with recordings of a folder of pictures, of at most limit_train +
    limit_test of them."""
    source = pathlib.Path(config.simulate)
    root = pathlib.Path(config.data)
    if root.is_dir() and any(root.iterdir()):
        raise ValueError(
            f"--data {root} is not empty: --simulate writes recordings to a new folder"
        )
    parts = [(".", config.limit_train and config.limit_train + (config.limit_test or 0))]
    if (source / "train").is_dir():
        parts = [("train", config.limit_train), ("test", config.limit_test)]
    for part, limit in parts:
        found = torchvision.datasets.ImageFolder(source / part)
        chosen = np.random.default_rng(config.seed).permutation(len(found))[:limit]
        samples = [found.samples[i] for i in sorted(chosen)]
        simulate([(path, found.classes[label]) for path, label in samples], root / part)


def simulated_shapes(config, root):
    """The demo's recordings: drawn pictures before the camera."""
    for part, n in (("train", config.limit_train), ("test", config.limit_test)):
        images, labels = draw_shapes(n, f"{config.seed} {part}")
        simulate([(image, f"{label:02}") for image, label in zip(images, labels)], root / part)


# ---- 4. Main -------------------------------------------------------------------------------------
def plot_frames(data, path):
    """The first recordings of each class, all timesteps added up, ON red and OFF blue on white."""
    tiles = []
    for label in range(min(10, len(data.facts["classes"]))):
        for i in (data.labels == label).nonzero()[:6, 0].tolist():
            on, off = torch.from_numpy(data.frames[i].astype(np.float32)).sum(0)
            scale = 4 * max(on.mean(), off.mean(), 0.1)
            on = (on / scale).clamp(0, 1)
            off = (off / scale).clamp(0, 1)
            tiles.append(torch.stack([1 - off, 1 - torch.maximum(on, off), 1 - on]))
    tiles = F.interpolate(torch.stack(tiles), scale_factor=3)
    torchvision.utils.save_image(tiles, path, nrow=6, pad_value=0.8)
    print(f"wrote {path}")


def main(argv=None):
    with one_line_errors():
        config, checkpoint = parse(Settings, __doc__.splitlines()[0], argv)
        check_plot(config)
        tet = dict(phi=config.phi, lam=config.lam, label_smoothing=config.label_smoothing)
        loss = functools.partial(tet_loss, **tet)
        with tempfile.TemporaryDirectory() as folder:
            if config.demo:
                simulated_shapes(config, pathlib.Path(folder))
                config = dataclasses.replace(config, data=folder)
                compare(config, *load(config), loss)
                return
            if config.simulate and not checkpoint:
                once(config, functools.partial(simulated, config))
            train, test = load(config)
            result = fit(config, train, test, loss, checkpoint)
            if config.plot and os.environ.get("RANK", "0") == "0":
                plot_curves(result["out"])
                plot_frames(test, result["out"] / "frames.png")


if __name__ == "__main__":
    main()
