"""Small networks on a GPU: each run of train_all.py alone would leave the card idle and wait for
pictures. Here they go side by side, share the pictures, and their steps are recorded (graphed.py).

    python experiments/side_by_side.py DATA WORK --only PATTERN [--processes N]

Runs of train_cifar.py only; of some pictures, which a run's seed draws, those of one seed. Pictures
are decoded once. Augmentation is a function of seed, epoch and picture, so the runs of a seed see
the same ones, and each is made once, by N processes: a run's command alone would see the same
bytes. float32 is that of the CPU, without TF32. What is written is train_all.py's; a run that was
interrupted goes on, one whose log is there is left out. All stays in memory: 150 MB for each epoch
and seed of CIFAR-10.
"""

import argparse
import contextlib
import copy
import multiprocessing
import os
import pathlib
import re
import sys
import time

import graphed
import torch
import train_all  # and with it the scripts' folder
from train_all import train_cifar

# what decides, beside the seed, which pictures a run sees
PICTURES = ("dataset", "data", "image_size", "limit_train", "limit_test", "epochs")
PICTURES += ("flip", "augment")


class Shared(train_cifar.Pictures):
    """A training set whose augmented pictures are made once, by others: pictures [epochs, N, C, H,
    W] and `ready` [epochs, chunks], in memory that processes share."""

    CHUNK = 500

    def __init__(self, plain, epochs, seed):
        super().__init__(plain.images, plain.labels, plain.facts)
        self.seed = seed
        # its "normalisation" gives back the bytes
        self.source = copy.copy(plain)
        self.source.facts = dict(mean=[0.0] * 3, std=[1 / 255] * 3)
        self.made = torch.empty(epochs, *plain.images.shape, dtype=torch.uint8).share_memory_()
        chunks = -(-len(plain) // self.CHUNK)
        self.ready = torch.zeros(epochs, chunks, dtype=torch.bool).share_memory_()

    def make(self, epoch, chunk):
        indices = torch.arange(len(self)).split(self.CHUNK)[chunk]
        pictures, _ = self.source[indices, epoch, self.seed]
        self.made[epoch, indices] = pictures.round().to(torch.uint8)
        self.ready[epoch, chunk] = True

    def __getitem__(self, key):
        indices, epoch, seed = key
        if epoch is None or seed != self.seed:
            raise ValueError(f"epoch {epoch}, seed {seed}: shared are those of seed {self.seed}")
        while not self.ready[epoch].all():
            time.sleep(0.01)
        return train_cifar.normalised(self.made[epoch, indices], self.facts), self.labels[indices]


def make_share(sets, share, processes, first):
    """Every `processes`-th chunk of pictures, epoch by epoch, from the one that is wanted first."""
    torch.set_num_threads(1)
    os.nice(10)  # after the runs, which wait for the GPU
    epochs, chunks = next(iter(sets.values())).ready.shape
    work = [(epoch, each) for epoch in range(first, epochs) for each in sets.values()]
    work = [(each, epoch, chunk) for epoch, each in work for chunk in range(chunks)]
    for each, epoch, chunk in work[share::processes]:
        each.make(epoch, chunk)


def train(config, train_set, test_set):
    """One run, its output in a file beside its folder."""
    torch.set_num_threads(1)
    sys.argv[0] = "train_cifar.py"  # which goes on with a run that was stopped
    if torch.cuda.is_available():
        train_cifar.Trainer = graphed.Graphed
        torch.backends.cudnn.allow_tf32 = False
    with open(f"{config.out}.txt", "a", buffering=1) as file, contextlib.redirect_stdout(file):
        with contextlib.redirect_stderr(file), train_cifar.one_line_errors():
            train_cifar.fit(config, train_set, test_set)


def configured(options):
    """{name: settings} of the runs that are asked for, and how many epochs all have. ValueError"""
    configs = {}
    begun = []
    for name, command in train_all.commands().items():
        if re.search(options.only, name) and not (train_all.RUNS / name / "log.csv").exists():
            flags = command.format(data=options.data, work=options.work).split()
            if flags[0] != "train_cifar.py":
                raise ValueError(f"--only {options.only}: {name} is no run of train_cifar.py")
            config, _ = train_cifar.parse(train_cifar.Settings, "", flags[1:])
            config.out = str(options.work / name)
            config.workers = 0  # the pictures are made elsewhere
            if (options.work / name / "last.pt").exists():
                config.resume = config.out
                begun.append(train_cifar.load_checkpoint(config.out)["epoch"])
            configs[name] = config
    settings = {tuple(getattr(config, name) for name in PICTURES) for config in configs.values()}
    limited = any(config.limit_train or config.limit_test for config in configs.values())
    seeds = {config.seed for config in configs.values()}
    if len(settings) != 1 or limited and len(seeds) > 1:
        what = f"no run, or runs that differ in {PICTURES} or, of some pictures, in their seed"
        raise ValueError(f"--only {options.only}: {what}")
    return configs, min(begun) if len(begun) == len(configs) else 0


def main(options):
    """-> whether a run failed"""
    options.work.mkdir(parents=True, exist_ok=True)
    configs, first = configured(options)
    config = next(iter(configs.values()))
    plain, test = train_cifar.load(config)
    sets = {seed: Shared(plain, config.epochs, seed) for seed in {c.seed for c in configs.values()}}
    fork = multiprocessing.get_context("fork")  # nothing is copied, and no GPU was asked yet
    n = options.processes
    makers = [
        fork.Process(target=make_share, args=(sets, i, n, first), daemon=True) for i in range(n)
    ]
    runs = {
        name: fork.Process(target=train, args=(config, sets[config.seed], test))
        for name, config in configs.items()
    }
    for process in [*makers, *runs.values()]:
        process.start()
    while any(process.is_alive() for process in runs.values()):
        time.sleep(0.1)
        if any(process.exitcode for process in makers):  # whose pictures would be waited for
            for process in runs.values():
                process.kill()  # it waits, and hears nothing
    for name, process in runs.items():
        if process.exitcode == 0:
            command = train_all.commands()[name]
            train_all.note(name, command, options.work / name, after=", in side_by_side.py")
        print(f"{name}: exit code {process.exitcode}", flush=True)
    return any(process.exitcode for process in runs.values())


if __name__ == "__main__":
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    for name in ("data", "work"):
        parser.add_argument(name, type=lambda text: pathlib.Path(text).resolve())
    text = "runs of train_all.py in whose name this regular expression is found"
    parser.add_argument("--only", required=True, metavar="PATTERN", help=text)
    text = "how many make pictures (default: three in four cores)"
    parser.add_argument(
        "--processes", type=int, default=max(1, os.cpu_count() * 3 // 4), metavar="N", help=text
    )
    with train_cifar.one_line_errors():
        sys.exit(main(parser.parse_args()))
