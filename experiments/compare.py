"""Which of these runs is better, and is that more than chance?

    python experiments/compare.py runs/a-0 runs/a-1 runs/b-0 runs/b-1 [--plot compare.png]

Each RUN is a folder that train_cifar.py or train_dvs.py wrote. Runs that differ by their seed alone
are one arm; arms are named by the settings in which they differ. Printed of each: accuracy, mean
and standard deviation over seeds, after the last epoch; and how far it is from the first arm,
paired by seed, with the 95 % confidence interval of the mean (Student). --plot draws their curves
(needs matplotlib). Runs can be compared while they go on: the epoch is printed.
"""

import argparse
import csv
import dataclasses
import json
import math
import pathlib
import statistics
import sys

import scipy.stats

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import train_cifar  # noqa: E402
import train_dvs  # noqa: E402

NAMES = {  # the paper's arms: (threshold, width)
    ("fixed", "fixed"): "vanilla",
    ("true", "fixed"): "AT",
    ("fixed", "threshold"): "TGO",
    ("true", "threshold"): "AT+TGO",
}


def interval(differences):
    """Mean of paired differences and the half-width of its 95 % confidence interval (Student)."""
    n = len(differences)
    half = scipy.stats.t.ppf(0.975, n - 1) * statistics.stdev(differences) / math.sqrt(n)
    return statistics.mean(differences), half


def irrelevant():
    """Settings that say where and how a run runs, not what it is."""
    fields = [*dataclasses.fields(train_cifar.Settings), *dataclasses.fields(train_dvs.Settings)]
    return {field.name for field in fields if field.metadata.get("free")} | train_cifar.ONCE


def read(out):
    """A run's settings that count, and the rows of its log. ValueError: no run, or no epoch yet"""
    try:
        settings = json.loads((out / "config.json").read_text())["settings"]
        with open(out / "log.csv") as file:
            rows = list(csv.DictReader(file))
        settings = {name: settings[name] for name in settings.keys() - irrelevant()}
        dict(rows[-1])["test_accuracy"], settings["seed"]
    except (OSError, ValueError, LookupError) as error:
        raise ValueError(
            f"{out}: no folder of a run with an epoch: {type(error).__name__}: {error}"
        ) from error
    return settings, rows


def label(settings, differing):
    """An arm by what tells it from the others: the paper's name, and flags."""
    rules = settings["threshold"], settings["width"]
    words = []
    if differing & {"threshold", "width"}:
        words.append(NAMES.get(rules, "{}/{}".format(*rules)))
    for name in sorted(differing - {"threshold", "width"}):
        words.append(f"{train_cifar.flag(name)} {settings[name]}")
    return " ".join(words) or "all"


def arms_of(runs):
    """{label: {seed: rows}}, in the order given. ValueError: a seed twice in an arm"""
    known = [settings for settings, _ in runs.values()]
    names = set().union(*known) - {"seed"}
    differing = {n for n in names if len({repr(settings.get(n)) for settings in known}) > 1}
    arms = {}
    for out, (settings, rows) in runs.items():
        seeds = arms.setdefault(label(settings, differing), {})
        if settings["seed"] in seeds:
            raise ValueError(f"{out}: another run of the same settings has seed {settings['seed']}")
        seeds[settings["seed"]] = rows
    return arms


def accuracy(rows, column="test_accuracy"):
    """In percent, after the last epoch."""
    return 100 * float(rows[-1][column])


def spread(values):
    text = f"{statistics.mean(values):.2f}"
    return f"{text} +- {statistics.stdev(values):.2f}" if len(values) > 1 else text


def against(seeds, first):
    """How far an arm is ahead of another, in points of test accuracy, paired by seed."""
    common = sorted(seeds.keys() & first.keys())
    points = [accuracy(seeds[seed]) - accuracy(first[seed]) for seed in common]
    if len(points) < 2:
        return f"{points[0]:+.2f} (one seed)" if points else "no seed in common"
    mean, half = interval(points)
    return f"{mean:+.2f} +- {half:.2f} ({len(points)} seeds)"


def table(arms):
    """The lines that are printed."""
    head = ["arm", "seeds", "epoch", "test, %, +- deviation", "training, %", "training loss"]
    head += ["minus the first, 95 % interval"]
    lines = [head]
    first = next(iter(arms.values()))
    for name, seeds in arms.items():
        runs = list(seeds.values())
        epochs = sorted({rows[-1]["epoch"] for rows in runs}, key=int)
        cells = [name, ",".join(map(str, sorted(seeds))), "/".join(epochs)]
        cells.append(spread([accuracy(rows) for rows in runs]))
        cells.append(spread([accuracy(rows, "train_accuracy") for rows in runs]))
        cells.append(spread([float(rows[-1]["loss"]) for rows in runs]))
        lines.append([*cells, "-" if seeds is first else against(seeds, first)])
    widths = [max(map(len, column)) for column in zip(*lines)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]


def main(argv=None):
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("runs", nargs="+", metavar="RUN", type=pathlib.Path)
    parser.add_argument("--plot", metavar="FILE", help="draw the curves there")
    options = parser.parse_args(argv)
    with train_cifar.one_line_errors():
        runs = {out: read(out) for out in options.runs}
        arms = arms_of(runs)
        print("\n".join(table(arms)))
        for out, (settings, rows) in runs.items():
            if int(rows[-1]["epoch"]) < settings["epochs"]:
                print(f"{out}: not ended, epoch {rows[-1]['epoch']} of {settings['epochs']}")
        if options.plot:
            train_cifar.check_plot(train_cifar.Settings(plot=True))
            logs = {
                f"{name}, {seed}": rows for name, of in arms.items() for seed, rows in of.items()
            }
            train_cifar.draw("curves", logs, options.plot)


if __name__ == "__main__":
    main()
