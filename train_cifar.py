"""Train DS-ATGO on still pictures.

    python train_cifar.py                               the paper's recipe on CIFAR-10 (downloaded on first use)
    python train_cifar.py --demo                        minutes on a CPU, no download: vanilla beside AT+TGO
    python train_cifar.py --dataset cifar100            the paper's recipe on CIFAR-100
    python train_cifar.py --dataset folder --data DIR   DIR/train/CLASS/* and DIR/test/CLASS/* (or DIR/val)
    python train_cifar.py --dataset imagenet --data DIR the same, ResNet-18 at 224x224, streamed
    torchrun --nproc-per-node=4 train_cifar.py ...      several processes
"""
import argparse
import concurrent.futures
import contextlib
import dataclasses
import importlib.util
import os
import pathlib
import statistics
import sys
import tempfile
import typing

import torch
import torch.nn.functional as F
import torchvision
from torchvision import transforms
from torchvision.transforms.functional import pil_to_tensor

from dsatgo import Config, energy, fit, load_checkpoint, sample_seed, setting

CLASSES = ["disc", "ring", "square", "frame", "triangle", "cross", "bar", "pair", "crescent", "corner"]

@dataclasses.dataclass
class Settings(Config):
    dataset: str = setting("cifar10", "CIFAR from torchvision; shapes drawn here; a folder held in memory; imagenet, a folder "
                           "streamed (paper: CIFAR-10, CIFAR-100, ImageNet)",
                           choices=("cifar10", "cifar100", "shapes", "folder", "imagenet"))
    image_size: int = setting(32, "side that pictures of a folder are scaled and cropped to (paper: 32; ImageNet 224)", least=1)
    skip_bad: bool = setting(False, "leave out files that are no pictures, naming them, instead of stopping")

    PRESETS = dict(imagenet=dict(arch="resnet18", T=4, batch_size=32, image_size=224, workers=4),
                   demo=dict(dataset="shapes", channels=8, epochs=4, batch_size=25, limit_train=1600, limit_test=500,
                             label_smoothing=0.0))

# ---- command line, of train_dvs.py too ----
FREE = dict(resume={"out", "resume", "stop_after", "workers", "plot"},      # what may differ from the checkpoint's
            eval={"data", "eval", "device", "amp", "compile", "workers", "batch_size", "limit_test", "skip_bad", "cache"})

def parse(cls, description, argv=None):
    """Command line -> settings, an instance of `cls`, and the checkpoint that --resume or --eval names, or None.
    Raises ValueError for settings that no run can have; unknown or misspelt flags end the process, exit code 2."""
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    parser.error = lambda message: parser.exit(2, f"{parser.prog}: {message}\n")
    for field in dataclasses.fields(cls):
        kind, *optional = typing.get_args(field.type) or (field.type,)

        def convert(text, kind=kind, optional=optional):
            return None if optional and text.lower() == "none" else kind(text)

        convert.__name__, choices = kind.__name__, field.metadata.get("choices")        # the name stands in argparse's messages
        more = dict(action=argparse.BooleanOptionalAction) if kind is bool else dict(type=convert, choices=choices)
        text = f"{field.metadata['text']} [{'none' if field.default is None else field.default}]".replace("%", "%%")
        parser.add_argument(_flag(field.name), dest=field.name, default=argparse.SUPPRESS, help=text, **more)
    given, stored, checkpoint = vars(parser.parse_args(argv)), {}, None
    source = given.get("resume") or given.get("eval")
    if source:
        if given.get("resume") and given.get("eval"):
            raise ValueError(f"--eval {given['eval']}: must be given without --resume")
        checkpoint = load_checkpoint(source)
        once = {"resume", "eval", "stop_after", "plot", "demo"}
        stored = {k: v for k, v in checkpoint["config"].items() if k not in once}
        stored["out"] = source if os.path.isdir(source) else os.path.dirname(source) or "."
        for name, value in given.items():
            same = name not in once and value == stored.get(name, value)
            if name not in FREE["resume" if "resume" in given else "eval"] and not same:
                raise ValueError(f"{_flag(name)} {value}: the run of {source} has {stored.get(name)}")
        if other := (stored.keys() | once) ^ {field.name for field in dataclasses.fields(cls)}:
            raise ValueError(f"{source} is of another script or version: its data set is {stored.get('dataset')}, and it has "
                             f"or lacks the settings {', '.join(sorted(map(str, other)))}")
    preset = getattr(cls, "PRESETS", {}).get("demo" if given.get("demo") else given.get("dataset"), {})
    config = cls(**preset | stored | given)
    for field in dataclasses.fields(cls):
        value, least = getattr(config, field.name), field.metadata.get("least")
        most = field.metadata.get("most", sys.float_info.max)
        if None not in (value, least) and not least <= value <= most:
            raise ValueError(f"{_flag(field.name)} {value}: must be a number from {least} to {most}")
        if value not in (field.metadata.get("choices") or [value]):
            raise ValueError(f"{_flag(field.name)} {value}: must be one of {', '.join(field.metadata['choices'])}")
    return config, checkpoint

def _flag(name):
    return "--" + name.replace("_", "-")

@contextlib.contextmanager
def one_line_errors():
    """In scripts: bad input and full disks end in one line on stderr and exit code 2, Ctrl-C outside training in 130."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)
    except (ValueError, OSError) as error:
        text = str(error).strip().split("\n")                    # a worker's error comes with its traceback
        text = text[-1] if text[0].startswith("Caught") else " ".join(text)
        sys.exit(print(f"{sys.argv[0]}: {text}", file=sys.stderr) or 2)

# ---- drawn pictures ----
def draw_shapes(n, seed, side=32):
    """n pictures of CLASSES in turn, uint8 [n, 3, side, side] and labels [n]: one shape each of random place, size, turn and
    colours on a shaded, noisy ground. What a class has in common is no pixel, so a linear classifier does not see it."""
    random = torch.Generator().manual_seed(sample_seed("shapes", seed))

    def uniform(low, high, *shape):
        return torch.rand(n, *shape, generator=random) * (high - low) + low

    labels = torch.arange(n) % len(CLASSES)
    x, y = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="xy")
    turn, size = uniform(-0.3, 0.3, 1, 1), uniform(0.5, 0.75, 1, 1)
    x, y = x - uniform(-0.25, 0.25, 1, 1), y - uniform(-0.25, 0.25, 1, 1)
    u, v = (x * turn.cos() + y * turn.sin()) / size, (y * turn.cos() - x * turn.sin()) / size          # [n, side, side]
    a, b, r, box = u.abs(), v.abs(), torch.hypot(u, v), torch.maximum(u.abs(), v.abs())
    outside = torch.stack([                                       # how far outside each shape a pixel lies, [10, n, side, side]
        r - 1, (r - 0.8).abs() - 0.2, box - 0.8, (box - 0.75).abs() - 0.15, torch.maximum(0.87 * a + 0.5 * v, -v) - 0.5,
        torch.minimum(torch.maximum(a - 0.3, b - 1), torch.maximum(b - 0.3, a - 1)), torch.maximum(a - 1, b - 0.3),
        torch.minimum(torch.hypot(u - 0.6, v), torch.hypot(u + 0.6, v)) - 0.45,
        torch.maximum(r - 1, 0.8 - torch.hypot(u - 0.5, v)),
        torch.minimum(torch.maximum((u + 0.6).abs() - 0.25, b - 0.9), torch.maximum((v - 0.65).abs() - 0.25, a - 0.85))])
    outside = outside[labels, torch.arange(n)] * size * side / 2                                       # in pixels
    ink = (0.5 - outside).clamp(0, 1)[:, None]
    ground, colour = uniform(0.1, 0.5, 3, 1, 1), uniform(0.6, 1, 3, 1, 1)
    paper = ground + uniform(-0.2, 0.2, 1, 1, 1) * x[:, None] + uniform(-0.2, 0.2, 1, 1, 1) * y[:, None]
    pictures = paper + (colour - paper) * ink + 0.08 * torch.randn(n, 3, side, side, generator=random)
    pictures = torch.where(uniform(0, 1, 1, 1, 1) < 0.3, 1 - pictures, pictures)
    return (pictures.clamp(0, 1) * 255).round().to(torch.uint8), labels

# ---- data sets: data[indices, epoch, seed] -> inputs [B, 3, H, W], labels [B] ----
class Pictures:
    """uint8 pictures in memory. Training: crop after 4 pixels of padding, flip, and `policy` (AutoAugment or None), each
    drawn per picture from (seed, epoch, picture); then per-channel normalisation."""

    def __init__(self, images, labels, facts, policy):
        self.images, self.labels, self.facts, self.policy = images, labels, facts, policy
        self.shape = tuple(images.shape[1:])

    def __len__(self):
        return len(self.images)

    def __getitem__(self, key):
        indices, epoch, seed = key
        with torch.random.fork_rng(devices=[]):                   # torchvision draws from the global generator
            seeds = [None if epoch is None else sample_seed(seed, epoch, i) for i in indices.tolist()]
            images = torch.stack([self.picture(i, key) for i, key in zip(indices.tolist(), seeds)])
        mean, std = (torch.tensor(self.facts[name])[:, None, None] for name in ("mean", "std"))
        return (images.float() / 255 - mean) / std, self.labels[indices]

    def picture(self, i, seed):
        x = self.images[i]
        if seed is None:
            return x
        torch.default_generator.manual_seed(seed)
        (top, left), flip = torch.randint(0, 9, (2,)).tolist(), torch.rand(()) < 0.5
        x = F.pad(x, (4, 4, 4, 4))[:, top:top + x.shape[1], left:left + x.shape[2]]
        x = x.flip(2) if flip else x
        return self.policy(x) if self.policy else x

class Files(Pictures):
    """Picture files, decoded when asked for (by the workers): RandomResizedCrop, flip, AutoAugment; or the centre."""

    def __init__(self, paths, labels, facts, side):
        self.images, self.labels, self.facts, self.shape = paths, labels, facts, (3, side, side)
        random = [transforms.RandomResizedCrop(side), transforms.RandomHorizontalFlip(),
                  transforms.AutoAugment(transforms.AutoAugmentPolicy.IMAGENET)]
        self.random, self.centre = transforms.Compose(random), transforms.Compose(
            [transforms.Resize(side * 256 // 224), transforms.CenterCrop(side)])

    def picture(self, i, seed):
        picture = open_picture(self.images[i])
        if seed is None:
            return pil_to_tensor(self.centre(picture))
        torch.default_generator.manual_seed(seed)
        return pil_to_tensor(self.random(picture))

def open_picture(path):
    try:
        return torchvision.datasets.folder.pil_loader(path)
    except Exception as error:                                    # PIL raises many kinds on damaged files
        raise ValueError(f"{path} is no picture: {error}; remove it, or give --skip-bad") from error

def decoded(paths, labels, prepare, skip_bad):
    """prepare(picture) of every file, in threads -> list, paths and labels; without those that are no pictures, if skip_bad."""
    def one(path):
        try:
            return prepare(open_picture(path))
        except ValueError as error:
            if not skip_bad:
                raise
            print(f"left out: {error}", file=sys.stderr)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        results = list(pool.map(one, paths))
    good = [i for i, result in enumerate(results) if result is not None]
    if not good:
        raise ValueError("none of the files is a picture")
    return [results[i] for i in good], [paths[i] for i in good], labels[good]

def listed(root):
    """DIR/<class>/* -> paths, labels [N], class names."""
    found = torchvision.datasets.ImageFolder(root)
    return [path for path, _ in found.samples], torch.tensor(found.targets), found.classes

def cifar(name, root, train):
    kind = dict(cifar10=torchvision.datasets.CIFAR10, cifar100=torchvision.datasets.CIFAR100)[name]
    import fcntl
    try:
        root.mkdir(parents=True, exist_ok=True)
        with open(root / "lock", "a") as lock:                    # under torchrun one process downloads, the others wait
            fcntl.lockf(lock, fcntl.LOCK_EX)
            found = kind(root, train=train, download=True)
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{name} is not in --data {root} and could not be downloaded ({error}): put {kind.filename} from "
                         f"{kind.url} there; --demo needs no data") from error
    return torch.from_numpy(found.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(found.targets), found.classes

def load(config, facts=None):
    """The training set (None for --eval) and the test set. `facts`: a checkpoint's, with its normalisation."""
    root, parts = pathlib.Path(config.data), []
    policy = transforms.AutoAugment(transforms.AutoAugmentPolicy.CIFAR10) if config.dataset != "shapes" else None
    for train in (True, False):
        if train and config.eval:
            parts.append(None)
            continue
        limit = config.limit_train if train else config.limit_test
        if config.dataset in ("cifar10", "cifar100"):
            images, labels, classes = cifar(config.dataset, root, train)
        elif config.dataset == "shapes":
            (images, labels), classes = draw_shapes(limit or (10_000 if train else 2_000), f"{config.seed} {train}"), CLASSES
        else:
            images, labels, classes = listed(root / ("train" if train else "val" if (root / "val").is_dir() else "test"))
        if limit and limit < len(images):
            chosen = torch.randperm(len(images), generator=torch.Generator().manual_seed(config.seed))[:limit]
            images, labels = images[chosen] if isinstance(images, torch.Tensor) else [images[i] for i in chosen], labels[chosen]
        if config.dataset == "imagenet":
            if config.skip_bad:                                   # looks at every file once
                _, images, labels = decoded(images, labels, bool, True)
            facts = facts or dict(classes=classes, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
        elif config.dataset == "folder":
            side = config.image_size
            prepare = transforms.Compose([transforms.Resize(side), transforms.CenterCrop(side), transforms.PILToTensor()])
            images, _, labels = decoded(images, labels, prepare, config.skip_bad)
            images = torch.stack(images)
        if facts is None:                                         # of the training set, which comes first
            levels = torch.arange(256).double() / 255
            counts = torch.stack([images[:, c].flatten().bincount(minlength=256) for c in range(3)]) / images[:, 0].numel()
            mean = counts.double() @ levels
            std = (counts.double() @ levels.square() - mean.square()).sqrt()
            facts = dict(classes=classes, mean=[round(x, 4) for x in mean.tolist()],
                         std=[max(round(x, 4), 1e-3) for x in std.tolist()])
        if classes != facts["classes"]:
            raise ValueError(f"--data {root}: the test set has classes {classes}, the training set {facts['classes']}")
        if len(classes) < 2 or not 0 <= labels.min() <= labels.max() < len(classes):
            raise ValueError(f"--data {root}: labels from {labels.min()} to {labels.max()} and {len(classes)} classes; needed "
                             "are two classes or more, and labels that number them from 0")
        parts.append(Files(images, labels, facts, config.image_size) if config.dataset == "imagenet" else
                     Pictures(images, labels, facts, policy))
    return parts

# ---- side by side ----
def compare(config, train, test, loss=None):
    """Trains vanilla and AT+TGO, with potentials that suit a fixed threshold (batch norm's scale 1) and with potentials
    too small for it (0.3), same seed, and prints a table of what each arrived at."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for scale in (1.0, 0.3):
            for arm, threshold, width in (("vanilla", "fixed", "fixed"), ("AT+TGO", "true", "threshold")):
                print(f"\n{arm}, batch norm's scale starting at {scale}")
                run = dataclasses.replace(config, bn_scale=scale, threshold=threshold, width=width,
                                          out=f"{config.out or folder}/scale-{scale}-{arm}")
                result = fit(run, train, test, loss)
                if config.plot:
                    plot_curves(result["out"])
                mean = {name: [seen[name].mean().item() for seen in result["layers"].values()]
                        for name in ("firing_rate", "gradient_available")}
                picture = test[torch.arange(min(100, len(test))), None, 0][0].to(next(result["net"].parameters()).device)
                firing, inside = mean["firing_rate"], mean["gradient_available"]
                rows.append((scale, arm, result["accuracy"], statistics.mean(firing), statistics.pstdev(firing),
                             statistics.mean(inside), min(inside), energy(result["net"], picture)["mj_paper"]))
    print("\n  BN scale  arm      accuracy  firing  +- over layers  with gradient  least layer  mJ/picture")
    for scale, arm, *shares, mj in rows:
        print("  {:<9} {:8} {:8.1%} {:7.1%} {:15.1%} {:14.1%} {:12.1%} {:11.4f}".format(scale, arm, *shares, mj))
    return rows

def plot_curves(out):
    """curves.png beside a run's log.csv: loss and accuracy over epochs."""
    import matplotlib
    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    names, *rows = [line.split(",") for line in (out / "log.csv").read_text().splitlines()]
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for axis, wanted in zip(axes, (["loss"], ["train_accuracy", "test_accuracy"])):
        for name in wanted:
            values = [float(row[names.index(name)]) for row in rows]
            axis.plot([int(row[0]) for row in rows], values, ".-", label=name.replace("_", " "))
        axis.set_xlabel("epoch")
        axis.legend()
    figure.savefig(out / "curves.png", dpi=150)
    print(f"wrote {out / 'curves.png'}")

def check_plot(config):
    if config.plot and not importlib.util.find_spec("matplotlib"):
        raise ValueError("--plot needs matplotlib: pip install matplotlib")
    if config.plot and config.demo and not config.out:
        raise ValueError("--plot with --demo needs --out, a folder for the pictures")

def main(argv=None):
    with one_line_errors():
        config, checkpoint = parse(Settings, __doc__.splitlines()[0], argv)
        check_plot(config)
        train, test = load(config, checkpoint and checkpoint["facts"])
        if config.demo:
            compare(config, train, test)
        else:
            result = fit(config, train, test, checkpoint=checkpoint)
            if config.plot and os.environ.get("RANK", "0") == "0":
                plot_curves(result["out"])

if __name__ == "__main__":
    main()
