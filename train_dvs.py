"""Train DS-ATGO on event-camera recordings.

    python train_dvs.py --data DIR                      the paper's recipe on CIFAR10-DVS: DIR holds its ten zip archives
    python train_dvs.py --data DIR --download           fetches them first (figshare article 4724671)
    python train_dvs.py --demo                          minutes on a CPU, no download: pictures before a simulated camera
    python train_dvs.py --dataset folder --data DIR     DIR/train|test/CLASS/*, or DIR/CLASS/* split by --split; .aedat or .bin
    python train_dvs.py --dataset folder --data DIR --simulate PICTURES      fills DIR with recordings of PICTURES/CLASS/* first

AEDAT 2.0 (DVS128) and N-MNIST files are read as they are. Frames are counts of events, two channels of polarity, T windows.
"""
import dataclasses
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

import numpy as np
import torch
import torch.nn.functional as F
import torchvision

from dsatgo import Config, fit, replacing, sample_seed, setting, tet_loss
from train_cifar import check_plot, compare, draw_shapes, one_line_errors, open_picture, parse, plot_curves

FIGSHARE = {"airplane": (7712788, "0afd5c4bf9ae06af762a77b180354fdd"),
            "automobile": (7712791, "8438dfeba3bc970c94962d995b1b9bdd"),
            "bird": (7712794, "a9c207c91c55b9dc2002dc21c684d785"), "cat": (7712812, "52c63c677c2b15fa5146a8daf4d56687"),
            "deer": (7712815, "b6bf21f6c04d21ba4e23fc3e36c8a4a3"), "dog": (7712818, "f379ebdf6703d16e0a690782e62639c3"),
            "frog": (7712842, "cad6ed91214b1c7388a5f6ee56d08803"), "horse": (7712851, "e7cbbf77bec584ffbf913f00e682782a"),
            "ship": (7712836, "41c7bd7d6b251be82557c6cce9a7d5c9"), "truck": (7712839, "89f3922fd147d9aeff89e76a2b0b70a7")}

@dataclasses.dataclass
class Settings(Config):
    dataset: str = setting("cifar10dvs", "CIFAR10-DVS, or a folder of recordings (paper: CIFAR10-DVS)",
                           choices=("cifar10dvs", "folder"))
    arch: str = setting("vggsnn", "network (paper: vggsnn)", choices=("resnet18", "resnet19", "vggsnn"))
    channels: int = setting(64, "width of the first stage (paper: 64)", least=1)
    T: int = setting(10, "timesteps, which are windows of a recording (paper: 10)", least=1)
    batch_size: int = setting(50, "samples a step, over all processes (paper: 50)", least=1)
    label_smoothing: float = setting(0.0, "of TET's cross-entropy (paper: not stated)", least=0, most=1)
    phi: float = setting(1.0, "TET's target for the logits (paper: not stated; TET's own trainer 1.0)")
    lam: float = setting(1e-3, "TET's weight of that target (paper: not stated; TET's own trainer 1e-3)", least=0, most=1)
    size: int = setting(48, "side of the frames (paper: 48)", least=16)
    by: str = setting("time", "windows of equal time or of equal count (paper: not stated)", choices=("time", "count"))
    split: str = setting("tet", "test set of a folder without train and test: tet, the last tenth of each class by the number "
                         "in the name; tebn, the first; random:SEED, a tenth drawn (paper: 9 to 1, not stated which)")
    cache: str | None = setting(None, "folder of the frame cache; none: DATA/cache")
    orientation: str = setting("upright", "as the camera saw it, or raw, as stored (paper: not stated)",
                               choices=("upright", "raw"))
    skip_bad: bool = setting(False, "leave out unreadable recordings, naming them, instead of stopping")
    download: bool = setting(False, "fetch CIFAR10-DVS (about 8 GB) into --data first")
    simulate: str | None = setting(None, "first fill --data with simulated recordings of these pictures, PICTURES/CLASS/*")

    PRESETS = dict(demo=dict(dataset="folder", channels=4, T=6, size=32, epochs=14, batch_size=20, limit_train=600,
                             limit_test=200))

# ---- event files ----
def read_aedat(path):
    """AEDAT 2.0 of a DVS128 -> t int64 microseconds from 0, x and y uint8 0..127 and p uint8 0/1 as stored, each [N].
    Special events (bit 15) are dropped. ValueError with the file, the byte and the reason for: another version, another
    sensor, a truncated tail, times that go backward, no events."""
    with open(path, "rb") as file:
        return decode_aedat(file.read(), path)[:4]

def decode_aedat(data, name):
    """`read_aedat` of bytes; the fifth thing returned is how many special events were dropped."""
    def bad(at, reason):
        return ValueError(f"{name}: byte {at}: {reason}")

    if not data.startswith(b"#!AER-DAT2.0"):
        found = re.match(rb"#!AER-DAT[\d.]+", data)
        reason = f"{found.group().decode()[2:]} instead of AER-DAT2.0" if found else "no AEDAT 2.0 header"
        raise bad(0, reason if data else "empty file")
    start = 0
    while data[start:start + 1] == b"#":                          # the header: lines of text, ended by CR LF or LF
        end = data.find(b"\n", start) + 1
        if not end:
            raise bad(start, "the header does not end, no events")
        line, start = data[start:end], end
        if b"end of ascii header" in line.lower():
            break
    if tail := (len(data) - start) % 8:
        raise bad(len(data) - tail, f"truncated: {tail} bytes of an event's 8")
    words = np.frombuffer(data, ">u4", offset=start).astype(np.uint32)
    address, t = words[0::2], words[1::2].astype(np.int64)
    foreign = address >> 16 != 0
    if foreign.any():
        i = int(foreign.argmax())
        raise bad(start + 8 * i, f"address {address[i]:#010x} is not a DVS128's: another sensor")
    backward = t[1:] < t[:-1]
    if backward.any():
        i = int(backward.argmax()) + 1
        raise bad(start + 8 * i, f"time goes backward, from {t[i - 1]} to {t[i]} microseconds")
    special = address & 0x8000 != 0
    dropped = int(special.sum())
    if dropped:
        address, t = address[~special], t[~special]
    if not len(t):
        raise bad(start, "no events")
    x, y, p = (bits.astype(np.uint8) for bits in (address >> 1 & 127, address >> 8 & 127, address & 1))
    return t - t[0], x, y, p, dropped

def write_aedat(path, t, x, y, p):
    """The inverse of `read_aedat`, with the shortest header."""
    t, x, y, p = (np.asarray(values, np.uint32) for values in (t, x, y, p))
    words = np.stack([y << 8 | x << 1 | p, t], 1).astype(">u4")
    with replacing(path) as file:
        file.write(b"#!AER-DAT2.0\r\n# simulated DVS128\r\n" + words.tobytes())

def read_nmnist(path):
    """N-MNIST -> t int64 microseconds, x and y uint8 0..33, p uint8 0/1, each [N]: 5 bytes an event, x, y, then 1 bit of
    polarity and 23 of time, big-endian. ValueError as in `read_aedat`."""
    with open(path, "rb") as file:
        return decode_nmnist(file.read(), path)[:4]

def decode_nmnist(data, name):
    if len(data) % 5 or not data:
        raise ValueError(f"{name}: byte {len(data) // 5 * 5}: {'truncated: an event has 5 bytes' if data else 'no events'}")
    rows = np.frombuffer(data, np.uint8).reshape(-1, 5)
    x, y, t = rows[:, 0], rows[:, 1], (rows[:, 2:].astype(np.int64) * [1 << 16, 1 << 8, 1]).sum(1)
    outside = (x > 33) | (y > 33)
    if outside.any():
        raise ValueError(f"{name}: byte {5 * int(outside.argmax())}: ({x[outside][0]}, {y[outside][0]}) is outside 34x34")
    p, t = (t >> 23).astype(np.uint8), t & (1 << 23) - 1
    backward = t[1:] < t[:-1]
    if backward.any():
        raise ValueError(f"{name}: byte {5 * int(backward.argmax()) + 5}: time goes backward")
    return t - t[0], x, y, p, 0

def events_to_frames(t, x, y, p, T=10, size=48, by="time", sensor=(128, 128), orientation="upright"):
    """Events [N] -> counts, uint8 [T, 2, size, size], channel p: T windows of equal duration or count, pixels binned by
    coordinate * size // side. "upright" turns the picture by 180 degrees (a DVS128's rows and columns run the other way),
    "raw" leaves it as stored. Counts stop at 255; a window without events is an empty frame."""
    window = t * T // (int(t[-1]) + 1) if by == "time" else np.arange(len(t)) * T // len(t)
    columns, rows = (np.arange(side) * size // side for side in sensor)
    if orientation == "upright":
        columns, rows = columns[::-1], rows[::-1]
    cell = ((window * 2 + p) * size + rows[y]) * size + columns[x]
    return np.minimum(np.bincount(cell, minlength=T * 2 * size * size), 255).astype(np.uint8).reshape(T, 2, size, size)

# ---- recordings and their cache ----
def decode(how, item):
    """One recording -> frames, special events dropped, cells at 255; or the ValueError's text. Runs in worker processes."""
    T, size, by, orientation, transposed = how
    name, member = item
    try:
        if member:
            with zipfile.ZipFile(name) as archive:
                data = archive.read(member)
        else:
            data = pathlib.Path(name).read_bytes()
        nmnist = (member or name).endswith(".bin")                # stored upright
        *events, dropped = (decode_nmnist if nmnist else decode_aedat)(data, member or name)
        t, x, y, p = events
        if transposed and orientation == "upright":
            x, y = y, x
        frames = events_to_frames(t, x, y, p, T, size, by, (34, 34) if nmnist else (128, 128), "raw" if nmnist else orientation)
        return frames, dropped, int((frames == 255).sum())
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        return f"{member or name}: {error}" if str(member or name) not in str(error) else str(error)

def recordings(root):
    """(file or archive, member or None, class) of every recording below `root`, or in the zip archives in it."""
    found, archives = [], sorted(root.glob("*.zip"))
    for path in archives:
        try:
            with zipfile.ZipFile(path) as archive:
                members = [name for name in archive.namelist() if name.endswith(".aedat")]
                found += [(str(path), name, pathlib.PurePosixPath(name).parent.name) for name in members]
        except zipfile.BadZipFile as error:
            raise ValueError(f"{path}: {error}") from error
    for path in sorted(root.glob("*/*")) if not archives else ():
        if path.parent.name == "cache":
            continue
        if path.suffix in (".aedat", ".bin"):
            found.append((str(path), None, path.parent.name))
        elif path.is_file() and not path.name.startswith("."):
            raise ValueError(f"{path} is no recording (.aedat or .bin): remove it")
    for path in root.iterdir() if not archives and root.is_dir() else ():
        if path.is_dir() and path.name != "cache" and not any(str(path) == os.path.dirname(file) for file, _, _ in found):
            raise ValueError(f"{path}: a class without recordings")
    return found

def number(item):
    digits = re.findall(r"\d+", os.path.basename(item[1] or item[0]))
    if not digits:
        raise ValueError(f"{item[1] or item[0]}: no number in the name to split by")
    return int(digits[-1])

def split_by(items, split):
    """-> training items, test items: a tenth of each class, by the number in the file name."""
    kind, _, seed = split.partition(":")
    if kind not in ("tet", "tebn", "random") or (kind == "random") != seed.isdigit():
        raise ValueError(f"--split {split}: must be tet, tebn or random:SEED")
    train, test = [], []
    for label in sorted({item[2] for item in items}):
        mine = sorted((item for item in items if item[2] == label), key=number)
        for one, other in zip(mine, mine[1:]):
            if number(one) == number(other):
                raise ValueError(f"{other[1] or other[0]}: the same number as {one[1] or one[0]}")
        n = max(1, round(len(mine) / 10))
        if len(mine) < 2:
            raise ValueError(f"class {label} has {len(mine)} recording, too few to split")
        order = np.random.default_rng(int(seed)).permutation(len(mine)) if seed else np.arange(len(mine))
        mine = [mine[i] for i in order]
        test += mine[:n] if kind == "tebn" else mine[-n:]
        train += mine[n:] if kind == "tebn" else mine[:-n]
    return train, test

class Events:
    """Frames [N, T, 2, size, size], uint8, memory-mapped. Training: flip and roll by up to 5 pixels, the same at all t."""

    def __init__(self, frames, labels, facts):
        self.frames, self.labels, self.facts, self.shape = frames, labels, facts, frames.shape[2:]

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, key):
        indices, epoch, seed = key
        x = torch.from_numpy(self.frames[indices.numpy()])                                                 # [B, T, 2, H, W]
        if epoch is not None:
            x = torch.stack([self.augment(one, sample_seed(seed, epoch, i)) for one, i in zip(x, indices.tolist())])
        return x.transpose(0, 1).float(), self.labels[indices]                                             # [T, B, 2, H, W]

    def augment(self, x, seed):
        random = torch.Generator().manual_seed(seed)
        flip, (down, right) = torch.rand((), generator=random) < 0.5, torch.randint(-5, 6, (2,), generator=random).tolist()
        return torch.roll(x.flip(3) if flip else x, (down, right), (2, 3))

def cached_frames(config, items, transposed):
    """-> frames [N, T, 2, size, size] memory-mapped, which of the items they are. Decoded once, in parallel and in order, into
    one file under a temporary name; its description, written last, makes it complete. Another process doing the same waits."""
    import fcntl
    folder = pathlib.Path(config.cache or pathlib.Path(config.data) / "cache")
    folder.mkdir(parents=True, exist_ok=True)
    how = config.T, config.size, config.by, config.orientation, transposed
    files = {name: (os.stat(name).st_size, os.stat(name).st_mtime_ns) for name, _, _ in items}
    key = hashlib.sha256(repr((1, how, items, sorted(files.items()), config.skip_bad)).encode()).hexdigest()[:16]
    path, about = folder / f"{key}.u8", folder / f"{key}.json"
    shape = config.T, 2, config.size, config.size
    with open(folder / f"{key}.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not about.exists():
            good, dropped, full = [], 0, 0
            with replacing(path) as file, multiprocessing.Pool() as pool:
                for i, result in enumerate(pool.imap(functools.partial(decode, how), [item[:2] for item in items], 8)):
                    if isinstance(result, str):
                        if not config.skip_bad:
                            raise ValueError(result + " (--skip-bad leaves such files out)")
                        print(f"left out: {result}", file=sys.stderr)
                        continue
                    good.append(i)
                    file.write(result[0].tobytes())
                    dropped, full = dropped + result[1], full + result[2]
                    if sys.stdout.isatty():
                        print(f"\rrecording {i + 1}/{len(items)}", end="" if i + 1 < len(items) else "\n")
            print(f"{len(good)} recordings; {dropped} special events dropped; {full} cells at 255")
            with replacing(about) as file:
                file.write(json.dumps(dict(good=good, bytes=path.stat().st_size)).encode())
    about = json.loads(about.read_text())
    if not about["good"] or not path.exists() or path.stat().st_size != about["bytes"]:
        raise ValueError(f"{path}: not {about['bytes']} bytes of {len(about['good'])} recordings: remove {folder}")
    return np.memmap(path, np.uint8, "r", shape=(len(about["good"]), *shape)), about["good"]

def load(config):
    """The training set and the test set."""
    root, parted = pathlib.Path(config.data), (pathlib.Path(config.data) / "train").is_dir()
    if config.dataset == "cifar10dvs" and config.download:
        for name, (number, md5) in FIGSHARE.items():
            url = f"https://ndownloader.figshare.com/files/{number}"
            torchvision.datasets.utils.download_url(url, root, f"{name}.zip", md5)
    if parted:
        parts = [recordings(root / name) for name in ("train", "test")]
    else:
        items = recordings(root) if root.is_dir() else []
        if config.dataset == "cifar10dvs" and len({item[2] for item in items}) != 10:
            raise ValueError(f"--data {root}: not the ten archives of CIFAR10-DVS, airplane.zip ... truck.zip, of "
                             "figshare article 4724671; --download fetches them, --demo needs no data")
        parts = split_by(items, config.split) if items else [[], []]
    names = sorted({item[2] for item in parts[0]})
    if len(names) < 2 or names != sorted({item[2] for item in parts[1]}):
        raise ValueError(f"--data {root}: needs recordings of the same two or more classes to train and to test, found {names} "
                         f"and {sorted({item[2] for item in parts[1]})}")
    test = "\n".join(sorted(f"{item[2]}/{os.path.basename(item[1] or item[0])}" for item in parts[1]))
    facts = dict(classes=names, test_list=hashlib.sha256(test.encode()).hexdigest())
    sets = []
    for items, limit in zip(parts, (config.limit_train, config.limit_test)):
        if limit and limit < len(items):
            items = [items[i] for i in np.random.default_rng(config.seed).permutation(len(items))[:limit]]
        frames, good = cached_frames(config, items, config.dataset == "cifar10dvs")
        sets.append(Events(frames, torch.tensor([names.index(items[i][2]) for i in good]), facts))
    return sets

# ---- the simulated camera ----
def record(picture, seed, steps=120, duration=300_000, contrast=0.25, mismatch=0.03, refractory=1_000, noise=2.0):
    """A grey picture [128, 128] in [0, 1] goes round a closed loop before a DVS128 -> t, x, y, p as the sensor stores them. A
    pixel sends an event whenever the logarithm of its brightness has moved by its contrast threshold (which differs from pixel
    to pixel by `mismatch`) since its last one, but not within `refractory` microseconds; and `noise` a second for nothing."""
    random = np.random.default_rng(seed)
    on, off = (np.maximum(contrast * (1 + mismatch * random.standard_normal((128, 128))), 0.05) for _ in range(2))
    angle = np.linspace(0, 2 * np.pi, steps + 1)
    source = torch.from_numpy(np.ascontiguousarray(picture, np.float32))[None, None]
    grid = torch.nn.functional.affine_grid(torch.eye(2, 3)[None], (1, 1, 128, 128), align_corners=False)
    times, places, polarity = [], [], []
    last, reference = np.full((128, 128), -refractory), None
    for i, a in enumerate(angle):
        shift = torch.tensor([np.sin(a) * 0.12, np.sin(2 * a) * 0.06], dtype=torch.float32)                # a figure of eight
        view = F.grid_sample(source, grid + shift, padding_mode="border", align_corners=False)[0, 0].numpy()
        level = np.log(view + 0.05)
        reference = level.copy() if reference is None else reference
        now = i * duration // steps
        for sign, threshold in ((1, on), (-1, off)):
            fires = (sign * (level - reference) >= threshold) & (now - last >= refractory)
            reference[fires] += sign * threshold[fires]
            last[fires] = now
            places.append(np.flatnonzero(fires))
            polarity.append(np.full(len(places[-1]), sign < 0))
            times.append(now + random.integers(0, duration // steps, len(places[-1])))
    n = random.poisson(noise * 128 * 128 * duration / 1e6)
    times, places, polarity = (np.concatenate([*some, more]) for some, more in (
        (times, random.integers(0, duration, n)), (places, random.integers(0, 128 * 128, n)),
        (polarity, random.random(n) < 0.5)))
    order = np.argsort(times, kind="stable")
    row, column = places[order] // 128, places[order] % 128
    return times[order], 127 - column, 127 - row, polarity[order].astype(np.uint8)                        # bit 1: darker

def record_file(job):
    source, seed, path = job
    picture = open_picture(source) if isinstance(source, str) else torchvision.transforms.functional.to_pil_image(source)
    write_aedat(path, *record(np.asarray(picture.convert("L").resize((128, 128), 2), np.float32) / 255, seed))

def simulate(pictures, folder):
    """pictures: (path or tensor, class name) pairs, recorded as folder/CLASS/CLASS_i.aedat."""
    jobs, counts = [], {}
    for i, (source, label) in enumerate(pictures):
        (folder / label).mkdir(parents=True, exist_ok=True)
        jobs.append((source, i, folder / label / f"{label}_{counts.setdefault(label, 0)}.aedat"))
        counts[label] += 1
    with multiprocessing.get_context("spawn").Pool() as pool:     # torch's threads do not survive a fork
        for i, _ in enumerate(pool.imap_unordered(record_file, jobs, 8)):
            if sys.stdout.isatty():
                print(f"\rsimulated {i + 1}/{len(jobs)}", end="" if i + 1 < len(jobs) else "\n")

def simulated(config):
    """--simulate: fills --data with recordings of a folder of pictures, of at most limit_train + limit_test of them."""
    source, root = pathlib.Path(config.simulate), pathlib.Path(config.data)
    if root.is_dir() and any(root.iterdir()):
        raise ValueError(f"--data {root} is not empty: --simulate writes recordings into a new folder")
    for part, limit in (("train", config.limit_train), ("test", config.limit_test)) if (source / "train").is_dir() else (
            (".", config.limit_train and config.limit_train + (config.limit_test or 0)),):
        found = torchvision.datasets.ImageFolder(source / part)
        chosen = np.random.default_rng(config.seed).permutation(len(found))[:limit]
        simulate([(found.samples[i][0], found.classes[found.samples[i][1]]) for i in sorted(chosen)], root / part)

def plot_frames(data, path):
    """The first recordings of each class, all timesteps added up, ON red and OFF blue on white."""
    tiles = []
    for label in range(min(10, len(data.facts["classes"]))):
        for i in (data.labels == label).nonzero()[:6, 0].tolist():
            on, off = torch.from_numpy(data.frames[i].astype(np.float32)).sum(0)
            scale = 2 * max(on.mean(), off.mean(), 0.1)
            on, off = (on / scale / 2).clamp(0, 1), (off / scale / 2).clamp(0, 1)
            tiles.append(torch.stack([1 - off, 1 - torch.maximum(on, off), 1 - on]))
    torchvision.utils.save_image(F.interpolate(torch.stack(tiles), scale_factor=3), path, nrow=6, pad_value=0.8)
    print(f"wrote {path}")

def main(argv=None):
    with one_line_errors():
        config, checkpoint = parse(Settings, __doc__.splitlines()[0], argv)
        check_plot(config)
        loss = functools.partial(tet_loss, phi=config.phi, lam=config.lam, label_smoothing=config.label_smoothing)
        with tempfile.TemporaryDirectory() as folder:
            if config.demo:
                config = dataclasses.replace(config, data=folder)
                for part, n in (("train", config.limit_train), ("test", config.limit_test)):
                    images, labels = draw_shapes(n, f"{config.seed} {part}")
                    simulate([(image, f"{label:02}") for image, label in zip(images, labels)], pathlib.Path(folder) / part)
            elif config.simulate and not checkpoint:
                simulated(config)
            train, test = load(config)
            if config.demo:
                return compare(config, train, test, loss)
            result = fit(config, train, test, loss, checkpoint)
            if config.plot and os.environ.get("RANK", "0") == "0":
                plot_curves(result["out"])
                plot_frames(test, result["out"] / "frames.png")

if __name__ == "__main__":
    main()
