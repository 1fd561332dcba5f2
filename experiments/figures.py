"""What do the runs' logs say, beside the paper's figures? Draws Figs. 1, 5 to 8, 10, 11, 14, when
AT+TGO beats vanilla, and what its layers do in runs of the recipe's length; writes the tables of
experiments/README.md. In seconds, without training.

    python experiments/figures.py

Reads the logs in experiments/results/runs (train_all.py); writes experiments/results/*.png and the
parts of experiments/README.md between <!-- NAME --> and <!-- end -->.
"""

import argparse
import collections
import csv
import datetime
import itertools
import math
import pathlib
import re
import statistics
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "experiments" / "results"
sys.path.insert(0, str(ROOT))

import matplotlib  # noqa: E402

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
import scipy.stats  # noqa: E402

import reference_numpy  # noqa: E402
from compare import interval  # noqa: E402

ARMS = dict(vanilla="vanilla", AT="AT", TGO="TGO", both="AT+TGO")
PAIR = dict(vanilla="vanilla", both="AT+TGO")
SEEDS = range(3)
MORE = range(8)  # vanilla, AT+TGO, estimated, as they are
SCALES = (0.25, 0.5, 2, 4)  # of batch norm at the start, beside 1
RECIPE = dict(  # runs of 400 epochs
    vanilla="vanilla",
    kappa="vanilla, kappa 2",
    std="AT, width from sigma",
    both="AT+TGO",
    unfloored="AT+TGO, no floor",
    frozen="AT+TGO, gamma fixed",
)
RECIPE["frozen-vanilla"] = "vanilla, gamma fixed"
WHOLE = dict(vanilla="vanilla", kappa="vanilla, kappa 2", both="AT+TGO")  # of CIFAR-10
WHOLE["kappa-float32"] = "vanilla, kappa 2, float32"
QUANTITIES = dict(  # title, factor, scale, limits
    u_std=("deviation sigma", 1, "log", (0.05, 12)),
    threshold=("threshold theta", 1, "log", (7e-4, 30)),
    width=("width k", 1, "linear", (0, 2.1)),
    gradient_available=("share with gradient, %", 100, "symlog", (0, 100)),
    gamma=("batch norm's gamma", 1, "log", (0.01, 6)),
    tau=("leak tau", 1, "linear", (0, 1)),
)
OF_RECIPE = ("arm", "seeds ended", "test accuracy, %", "minus vanilla, paired")
OF_RECIPE += ("training accuracy, %", "training loss", "firing, %", "spread over layers")
OF_RECIPE += ("between timesteps", "with gradient, %", "last three layers", "layers below 1 %")
OF_RANGES = ("layers, last epoch", "sigma", "theta", "k", "gamma", "tau", "firing, %")
OF_RANGES += ("with gradient, %", "layers at theta's floor", "E")
AS_IS = "kappa 1, V_th 1"
SHOWN = (1, 50, 100, 200, 400)  # epochs of the runs of 400
AT_FLOOR = 0.0011  # a running threshold nears v_th / 1000 from above
DATA = dict(
    pictures="CIFAR-10 pictures",
    objects="five objects, DVS128 camera",
    nmnist="N-MNIST",
    simulated="simulated camera",
)


# ---- reading ----
USED = set()  # the runs that the figure being made has looked at


def table(run, name):
    USED.add(run)
    path = RESULTS / "runs" / run / f"{name}.csv"
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return [{k: v if k == "layer" else float(v) for k, v in row.items()} for row in rows]


def accuracy(run):
    """Test accuracy of the last epoch, in percent."""
    return 100 * table(run, "log")[-1]["test_accuracy"]


def trained(run):
    """Training accuracy of the last epoch, in percent."""
    return 100 * table(run, "log")[-1]["train_accuracy"]


def loss(run):
    """Training loss of the last epoch."""
    return table(run, "log")[-1]["loss"]


SCORES = {"test accuracy, %": accuracy, "training accuracy, %": trained, "training loss": loss}


def last_epoch(run, column):
    """{layer: [value for each timestep]} of the last epoch."""
    rows = table(run, "layers")
    result = collections.defaultdict(list)
    for row in rows:
        if row["epoch"] == rows[-1]["epoch"]:
            result[row["layer"]].append(row[column])
    return result


def has_ended(run):
    return (RESULTS / "runs" / run / "log.csv").exists()


def seed_of(run):
    """-> name, seed; a run without a seed in its name has seed 0."""
    name, seed = re.fullmatch(r"(.*?)(?:-(\d+))?", run).groups()
    return name, int(seed or 0)


def ended(name):
    """{seed: run} of the runs NAME and NAME-SEED whose logs are there."""
    found = {}
    for path in (RESULTS / "runs").glob("*/log.csv"):
        of, seed = seed_of(path.parent.name)
        if of == name:
            found[seed] = path.parent.name
    return dict(sorted(found.items()))


def flag(run, name, default):
    """What a run's command gives a flag: of a flag given twice the last counts."""
    command = (RESULTS / "runs" / run / "command.txt").read_text().splitlines()[0]
    return float((re.findall(rf"--{name} (\S+)", command) or [default])[-1])


def exposure(run):
    """E: the sum over a run's steps of learning rate x decay / (1 - momentum), momentum 0.9."""
    pictures = 50_000 if run.startswith("whole") else flag(run, "limit-train", "nan")
    steps = pictures // flag(run, "batch-size", 100)
    rates = math.fsum(row["lr"] for row in table(run, "log"))
    return steps * rates * flag(run, "weight-decay", 1e-4) / (1 - 0.9)


def over_layers(run, column):
    """[layers] in percent, the mean over timesteps."""
    return [100 * statistics.mean(values) for values in last_epoch(run, column).values()]


def fires(run):
    """In percent, the mean over layers and timesteps."""
    return statistics.mean(over_layers(run, "firing_rate"))


def learns(run):
    """The share with gradient, in percent, the mean over layers and timesteps."""
    return statistics.mean(over_layers(run, "gradient_available"))


SHARES = {"firing, %": fires, "with gradient, %": learns}


def save(figure, name):
    figure.tight_layout()
    figure.savefig(RESULTS / f"{name}.png", dpi=90)
    plt.close(figure)


def markdown(head, rows):
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def percent(values, places=1):
    mean = f"{statistics.mean(values):.{places}f}"
    if len(values) == 1:
        return mean
    return f"{mean} +- {statistics.stdev(values):.{places}f}"


def score(runs, of=accuracy):
    return percent([of(run) for run in runs], places_of(of))


def ahead(runs, others, of=accuracy):
    """How far the first runs are ahead of the others, paired by seed."""
    pairs = [of(a) - of(b) for a, b in zip(runs, others)]
    mean, *half = interval(pairs) if len(pairs) > 1 else pairs
    places = places_of(of)
    return " +- ".join([f"{mean:+.{places}f}", *(f"{x:.{places}f}" for x in half)])


def places_of(of):
    return 3 if of is loss else 1


def side_by_side(pair, of, places=1):
    """Means of vanilla's and AT+TGO's runs."""
    return " / ".join(f"{statistics.mean(map(of, runs)):.{places}f}" for runs in pair)


# ---- figures ----
def arms():
    """Fig. 6 and Table 1: four arms, three seeds, pictures and events."""
    figure, axes = plt.subplots(2, 2, figsize=(10, 7))
    for data, (left, right) in zip(("pictures", "objects"), axes):
        for name, label in ARMS.items():
            logs = [table(f"{data}-{name}-{seed}", "log") for seed in SEEDS]
            for axis, column in ((left, "loss"), (right, "test_accuracy")):
                curves = np.array([[row[column] for row in log] for log in logs])
                epochs = range(1, curves.shape[1] + 1)
                axis.plot(epochs, curves.mean(0), label=label)
                axis.fill_between(epochs, curves.min(0), curves.max(0), alpha=0.12)
        left.set(title=f"{DATA[data]}: training loss", xlabel="epoch")
        right.set(title="test accuracy", xlabel="epoch")
        left.legend(fontsize=8)
    save(figure, "fig6-arms")
    rows = []
    for data in DATA:
        rows += rows_of_arms(data)
    paper = {"CIFAR-100": "80.59 +- 0.17", "ImageNet": "68.86 +- 0.25"}
    paper["CIFAR10-DVS itself"] = "83.70 +- 0.41"
    for title, theirs in paper.items():
        rows.append([title, "test accuracy, %", *["not run"] * 7, theirs])
    head = ["data", "after the last epoch", *ARMS.values()]
    head += [f"{ARMS[name]} minus vanilla, paired" for name in ("both", "AT", "TGO")]
    return markdown([*head, "the paper, full scale: vanilla, AT+TGO"], rows)


def rows_of_arms(data):
    paper = dict(
        pictures="CIFAR-10: 95.20 (96.91 - 1.71), 96.91 +- 0.12",
        objects="CIFAR10-DVS: 81.40 (83.70 - 2.30), 83.70",
        nmnist="-",
        simulated="CIFAR10-DVS: the same",
    )
    full = data in ("pictures", "objects")  # all arms, more seeds
    names = ARMS if full else PAIR
    runs = {name: [f"{data}-{name}-{seed}" for seed in SEEDS] for name in names}
    seeds = MORE if full else SEEDS
    vanilla, both = ([f"{data}-{name}-{seed}" for seed in seeds] for name in PAIR)
    rows = []
    for title, of in SCORES.items():
        cells = [score(runs[name], of) if name in runs else "not run" for name in ARMS]
        cells.append(f"{ahead(both, vanilla, of)} ({len(seeds)} seeds)")
        for name in ("AT", "TGO"):
            there = name in runs
            cells.append(ahead(runs[name], runs["vanilla"], of) if there else "not run")
        rows.append([DATA[data], title, *cells, paper[data] if of is accuracy else "-"])
    return rows


def layers():
    """Figs. 8, 10, 11 and 14: firing and gradients for each layer and timestep, thresholds over
    training."""
    figure, axes = plt.subplots(2, 3, figsize=(14, 7))
    (first, second, gradient), (steps, spread, over) = axes
    rows = []
    for kind, data, label, runs in groups_of_layers():
        available = np.array([over_layers(run, "gradient_available") for run in runs])
        by_layer = firing_by_layer(runs)
        lines = []
        if kind == "pictures":
            lines = zip((first, second, gradient), (*by_layer.T, available.mean(0)))
        elif kind == "objects":
            lines = zip((steps, spread), (by_layer.mean(0), by_layer.std(0)))
        elif kind == "firing":
            lines = zip((first, second), by_layer.T)
        elif kind in ("gradient", "decay"):
            lines = [(gradient, available.mean(0))]
        style = "x:" if kind == "decay" else "o-"
        title = f"{label}, decay 5e-3" if kind == "decay" else label
        for axis, line in lines:
            axis.plot(range(1, len(line) + 1), line, style, ms=3, label=title)
        thresholds = [last_epoch(run, "threshold").values() for run in runs]
        floored = [sum(min(t) < AT_FLOOR for t in of_run) for of_run in thresholds]
        shares = [*steadiness(runs), percent(available.mean(1)), percent(available.min(1))]
        shares.append(percent(available[:, -3:].mean(1)))
        shares.append("-" if kind in ("firing", "gradient") else f"{statistics.mean(floored):.1f}")
        rows.append([data, label, *shares])
    thresholds_over_training(over)
    titles = {
        first: ("pictures: firing, %, at t=1 (Fig. 8)", "layer"),
        second: ("pictures: firing, %, at t=2 (Fig. 8)", "layer"),
        gradient: ("pictures: share with gradient, % (Fig. 11)", "layer"),
        steps: ("objects: firing, %, mean of layers (Fig. 10)", "timestep"),
        spread: ("objects: its deviation over layers, points", "timestep"),
        over: ("running thresholds at t=1, twenty epochs (Fig. 14)", "epoch"),
    }
    for axis, (title, label) in titles.items():
        axis.set_title(title, fontsize=9)
        axis.set_xlabel(label, fontsize=8)
        axis.legend(fontsize=6)
    for axis in (first, second):
        axis.axhline(100 * reference_numpy.firing_probability(), color="grey", lw=0.5)
    gradient.set_ylim(0, 75)  # room for the legend
    save(figure, "fig8-10-11-14-layers")
    head = ["data", "arm", "firing, %", "spread over layers", "between timesteps"]
    head += ["with gradient, %", "least layer", "last three layers", "layers at theta's floor"]
    vanilla = "the paper: firing CIFAR-10, | vanilla | 10.66 | - | - | - | - | below 15.13 | -"
    both = "gradient CIFAR-100 | AT+TGO | 15 | 1.62 | - | - | above 38.53 | 36.54 | -"
    return markdown(head, rows + [vanilla.split(" | "), both.split(" | ")])


def firing_by_layer(runs):
    """[layers, T] in percent, the mean over runs."""
    return 100 * np.mean([list(last_epoch(run, "firing_rate").values()) for run in runs], 0)


def steadiness(runs):
    """Firing; its deviation over layers; the largest minus the smallest of the timesteps' means."""
    rates = np.array([over_layers(run, "firing_rate") for run in runs])  # [seeds, layers]
    over_time = np.ptp(firing_by_layer(runs).mean(0))
    return [percent(rates.mean(1)), percent(rates.std(1)), f"{over_time:.1f}"]


def groups_of_layers():
    """The rows of `layers`: kind, data, label, runs."""
    groups = []

    def add(prefix, title, arms):
        for name, label in arms.items():
            groups.append((prefix, title, label, [f"{prefix}-{name}-{seed}" for seed in SEEDS]))

    pictures = DATA["pictures"]
    add("pictures", pictures, ARMS)
    add("objects", DATA["objects"], ARMS)
    groups.append(("pictures", pictures, "learned, seed 0", ["learned"]))
    for kind, name, label in (
        ("firing", "LTMD", "LTMD"),
        ("gradient", "ASGS", "ASG-S, our reading"),
    ):
        runs = [f"baseline-{name}-{seed}" for seed in SEEDS]
        groups.append((kind, pictures, label, runs))
    add("twenty", f"{pictures}, twenty epochs, weight decay 1e-3", PAIR)
    add("decay", f"{pictures}, weight decay 5e-3", PAIR)
    return groups


def thresholds_over_training(axis):
    values = collections.defaultdict(list)
    for row in table("twenty-both-0", "layers"):
        if row["timestep"] == 1:
            values[row["layer"]].append(row["threshold"])
    for name in [*list(values)[::3], "hidden.neuron"]:
        line = values[name]
        axis.plot(range(1, len(line) + 1), line, label=name.removesuffix(".neuron"))


def closed_form():
    """Figs. 1 and 5: shares in closed form for normal potentials, and those of the networks'
    layers."""
    figure, (fires, has) = plt.subplots(1, 2, figsize=(10, 4))
    sigma = np.linspace(0.05, 3, 200)
    fixed = 1 - scipy.stats.norm.cdf(1 / sigma)
    fires.plot(sigma, fixed, label="fixed threshold 1 (Fig. 1)")
    adaptive = reference_numpy.firing_probability()
    fires.axhline(adaptive, color="C2", label="adaptive: Theorem 1")
    widths = {"vanilla": (1, 1), "AT": (sigma, 1), "AT+TGO": (sigma, 1 + np.tanh(sigma - 1))}
    for label, (theta, k) in widths.items():
        has.plot(sigma, reference_numpy.gradient_probability(theta, k, 0, sigma), label=label)
    rows = []
    for marker, (name, label) in zip("x.", PAIR.items()):
        seen = seen_in_layers(name)
        style = dict(color="grey", ms=4, label=f"layers of {label}")
        fires.plot(seen["u_std"], seen["firing_rate"], marker, **style)
        has.plot(seen["u_std"], seen["gradient_available"], marker, **style)
        gaps = [
            f"{100 * gap.mean():.1f}, at most {100 * gap.max():.1f}" for gap in apart(name, seen)
        ]
        above = apart(name, seen)[-1][seen["threshold"] > AT_FLOOR]
        gaps.append(f"at most {100 * above.max():.1f} ({len(above)} layers x timesteps)")
        range_of = f"{seen['u_std'].min():.2f} to {seen['u_std'].max():.2f}"
        rows.append([label, str(len(seen["u_std"])), range_of, *gaps])
    fires.set(xlabel="deviation of the potential", ylabel="share firing")
    has.set(xlabel="deviation of the potential", ylabel="share with gradient", xlim=(0, 3.2))
    fires.set_xlim(0, 3.2)
    fires.legend(fontsize=7)
    has.legend(fontsize=7)
    save(figure, "fig1-5-shares")
    head = ["arm", "layers x timesteps", "deviation of the potential"]
    head += ["firing: distance from a normal of the layer's mean, points: mean"]
    head += ["share with gradient: the same"]
    head += ["share with gradient: distance from the curve drawn (mean 0)"]
    head += ["the same without layers at theta's floor"]
    return markdown(head, rows)


def seen_in_layers(name):
    """{column: [layers x timesteps]} of an arm's runs at all scales."""
    runs = [f"pictures-{name}-{seed}" for seed in SEEDS]
    runs += [f"scale-{scale}-{name}-0" for scale in SCALES]
    seen = {}
    for column in ("u_mean", "u_std", "threshold", "width", "gradient_available", "firing_rate"):
        of_runs = [np.concatenate(list(last_epoch(run, column).values())) for run in runs]
        seen[column] = np.concatenate(of_runs)
    return seen


def apart(name, seen):
    """How far layers are from the closed form: in firing, in their share with gradient, and in that
    from the curve drawn."""
    theta = seen["threshold"]
    mean = seen["u_mean"]
    std = seen["u_std"]
    probability = reference_numpy.gradient_probability
    fired = np.abs(1 - scipy.stats.norm.cdf((theta - mean) / std) - seen["firing_rate"])
    share = np.abs(probability(theta, seen["width"], mean, std) - seen["gradient_available"])
    curve = (1, 1) if name == "vanilla" else (std, 1 + np.tanh(std - 1))
    drawn = np.abs(probability(*curve, 0, std) - seen["gradient_available"])
    return fired, share, drawn


def rules():
    """Figs. 7 and 13: estimated against true, with and without moving average; momenta; the
    released code's width."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4))
    rows = []
    for axis, (data, prefix) in zip(axes, (("pictures", ""), ("objects", "objects-"))):
        names = {
            "vanilla": f"{data}-vanilla",
            "true": f"{data}-both",
            "estimated": f"{prefix}estimated",
            "true, no average": f"{prefix}momentum-none",
        }
        more = {"vanilla", "true"}
        if data == "pictures":
            names["std width"] = "std"
            more.add("estimated")
        groups = {}
        for label, name in names.items():
            seeds = MORE if label in more else SEEDS
            groups[label] = [f"{name}-{seed}" for seed in seeds]
        points = [[accuracy(run) for run in runs] for runs in groups.values()]
        axis.boxplot(points, tick_labels=list(groups))
        for i, values in enumerate(points, 1):
            axis.plot([i] * len(values), values, "k.", ms=4)
        axis.set_title(f"{DATA[data]}: test accuracy, % (Fig. 7)", fontsize=9)
        axis.tick_params(labelsize=7)
        for label, runs in groups.items():
            rows.append(row_of_rules(DATA[data], label, runs, groups["true"]))
    singles = {"momentum-0.5": "momentum 0.5", "momentum-0.02": "momentum 0.02"}
    singles["learned"] = "learned threshold"
    for run, label in singles.items():
        data = f"{DATA['pictures']}, seed 0"
        rows.append(row_of_rules(data, label, [run], ["pictures-both-0"]))
    save(figure, "fig7-rules")
    head = ["data", "rule", "seeds", *SCORES, "minus AT+TGO, paired: test accuracy"]
    return markdown([*head, "training accuracy"], rows)


def row_of_rules(data, label, runs, both):
    cells = [score(runs, of) for of in SCORES.values()]
    minus = [ahead(runs, both, of) for of in (accuracy, trained)]
    return [data, label, str(len(runs)), *cells, *(["-", "-"] if runs == both else minus)]


def when():
    """When does AT+TGO beat vanilla? Batch norm's initial scale: three seeds, and one (0) of AT and
    TGO alone."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 4))
    scales = sorted([1, *SCALES])
    runs = {}
    for name, label in ARMS.items():
        for seeds in (SEEDS, (0,)) if name in PAIR else [(0,)]:
            groups = runs[label if seeds == SEEDS else f"{label}, seed 0"] = []
            for scale in scales:
                start = "pictures" if scale == 1 else f"scale-{scale}"
                groups.append([f"{start}-{name}-{seed}" for seed in seeds])
    of_axes = ("test accuracy, %", "firing, %", "with gradient, %")
    rows = []
    for title, of in (SCORES | SHARES).items():
        for label, groups in runs.items():
            rows.append([title, label, *(score(group, of) for group in groups)])
            if title in of_axes and (label in PAIR.values() or label.startswith(("AT,", "TGO"))):
                values = [statistics.mean(map(of, group)) for group in groups]
                axis = axes[of_axes.index(title)]
                style = "o-" if label in PAIR.values() else "x:"
                axis.semilogx(scales, values, style, label=label, base=2)
        if of in (accuracy, trained):
            minus = [ahead(*pair, of) for pair in zip(runs["AT+TGO"], runs["vanilla"])]
            rows.append([title, "AT+TGO minus vanilla, paired, 95 % interval", *minus])
    for axis, title in zip(axes, of_axes):
        axis.set(title=title, xlabel="initial scale of batch norm")
    axes[0].legend(fontsize=8)
    save(figure, "when-scale")
    return markdown(["", "arm", *(f"scale {scale}" for scale in scales)], rows)


def pairs_of_runs():
    """{setting: runs of vanilla, runs of AT+TGO}."""

    def seeds(name, of=SEEDS):
        return [[f"{name}-{arm}-{seed}" for seed in of] for arm in PAIR]

    def one(name):
        return [[f"{name}-{arm}"] for arm in PAIR]

    def narrow(f_c):
        return [["narrow-vanilla"], [f"narrow-f_c-{f_c}"]]

    return {
        "as is: ResNet-19, 8 channels, T=2": seeds("pictures", MORE),
        "twenty epochs, weight decay 1e-3": seeds("twenty"),
        "twenty epochs, weight decay 1e-2": seeds("long"),
        "weight decay 1e-3": one("weight-decay-0.001"),
        "weight decay 5e-3": searched()["decay 5e-3"],
        "T=1": one("T-1"),
        "T=4": one("T-4"),
        "T=10, two epochs": one("T-10"),
        "initial leak 0.5": one("tau-0.5"),
        "initial leak 0.9": one("tau-0.9"),
        "4 channels": one("channels-4"),
        "16 channels": one("channels-16"),
        "VGGSNN": one("arch-vggsnn"),
        "ResNet-18": one("arch-resnet18"),
        "ResNet-18, 4 channels: 16 features": narrow(1.0),
        "the same run of vanilla, f_c 0.8": narrow(0.8),
        "the same run of vanilla, f_c 0.6": narrow(0.6),
        "events, objects, frames of equal time": seeds("objects", MORE),
        "events, objects, frames of equal count": seeds("count", MORE),
        "events, N-MNIST": seeds("nmnist"),
        "events, simulated camera, four epochs": seeds("simulated"),
    } | {f"batch norm's scale {scale}": seeds(f"scale-{scale}") for scale in SCALES}


def settings():
    """The same question for every other setting."""
    pairs = pairs_of_runs()
    figure, (axis, against) = plt.subplots(1, 2, figsize=(14, 6.5))
    rows = []
    for i, (title, pair) in enumerate(pairs.items()):
        scaled = title.startswith("batch norm's scale")
        if not scaled:  # the scales have a table of their own
            pull = exposure(pair[0][0])
            minus = [ahead(*pair[::-1], of) for of in (accuracy, trained)]
            cells = [*map(score, pair), *minus, side_by_side(pair, loss, 3)]
            cells += [side_by_side(pair, of) for of in SHARES.values()]
            e = "-" if np.isnan(pull) else f"{pull:.3g}"
            rows.append([title, str(len(pair[0])), e, *cells])
        points = [accuracy(b) - accuracy(a) for a, b in zip(*pair)]
        mean = statistics.mean(points)
        axis.plot(points, [i] * len(points), ".", color="C0")
        axis.plot(mean, i, "|", ms=14, color="C3")
        colour = "C2" if scaled else "C0"
        colour = "C1" if "event" in title else colour
        size = 3 + 2 * len(points)
        share = statistics.mean(map(learns, pair[0]))
        if "the same" not in title:  # that run of vanilla is in the picture already
            against.plot(share, mean, "o", ms=size, color=colour, alpha=0.6)
        if abs(mean) > 3 and "the same" not in title:
            side = "bottom" if scaled else "top"
            against.annotate(title, (share, mean), fontsize=6, va=side)
    axis.axvline(0, color="grey", lw=0.5)
    axis.set_yticks(range(len(pairs)), list(pairs), fontsize=7)
    axis.invert_yaxis()
    axis.set_xlabel("AT+TGO minus vanilla, points of test accuracy: seeds and their mean")
    against.axhline(0, color="grey", lw=0.5)
    against.set(
        xlabel="vanilla's share with gradient at the end, %",
        ylabel="AT+TGO minus vanilla, points of test accuracy",
        title="green: scales, orange: events; size: number of seeds",
        xlim=(-1, 28),
    )
    save(figure, "when-settings")
    head = ["setting", "seeds", "E", "vanilla, test accuracy, %", "AT+TGO"]
    head += ["AT+TGO minus vanilla, paired", "the same in training accuracy"]
    head += [f"{title}: vanilla / AT+TGO" for title in ("training loss", *SHARES)]
    return markdown(head, rows)


def searched():
    """{setting: runs of vanilla, runs of AT+TGO}: the same search for both arms, eight seeds."""
    found = {}
    for kappa, v_th in itertools.product((1, 2, 3), (1, 0.5)):
        title = f"kappa {kappa}, V_th {v_th}"
        names = f"equal-{{}}-kappa-{kappa}-v_th-{v_th}-{{}}"
        found[title] = "pictures-{}-{}" if title == AS_IS else names
    found["decay 1e-4, not on batch norm and leak"] = "equal-{}-norm-1e-4-{}"
    found["decay 5e-3, not on batch norm and leak"] = "equal-{}-norm-5e-3-{}"
    found["decay 5e-3"] = "equal-{}-decay-5e-3-{}"
    pairs = {}
    for title, names in found.items():
        pairs[title] = [[names.format(arm, seed) for seed in MORE] for arm in PAIR]
    for arm, runs in zip(PAIR, pairs["decay 5e-3"]):
        runs[: len(SEEDS)] = [f"decay-{arm}-{seed}" for seed in SEEDS]
    return pairs


def equal():
    """Both arms with the same search, the best of each, and vanilla's wider window at other
    scales."""
    pairs = searched()
    runs_of = {seed: [runs[seed] for pair in pairs.values() for runs in pair] for seed in MORE}
    seeds = [seed for seed, runs in runs_of.items() if all(map(has_ended, runs))]
    pairs = {title: [[of[s] for s in seeds] for of in pair] for title, pair in pairs.items()}
    rows = []
    for title, pair in pairs.items():
        minus = [ahead(runs, as_is) for runs, as_is in zip(pair, pairs[AS_IS])]
        rows.append([title, *row_of_search(pair), *(["-", "-"] if title == AS_IS else minus)])
    titles = []
    for i in range(2):
        mean = {title: statistics.mean(map(accuracy, pair[i])) for title, pair in pairs.items()}
        titles.append(max(mean, key=mean.get))
    pair = [pairs[title][i] for i, title in enumerate(titles)]
    rows.append(["each arm's best: {}; {}".format(*titles), *row_of_search(pair), "-", "-"])
    head = [
        f"setting; seeds that have ended: {len(seeds)} of {len(MORE)}",
        "vanilla, test accuracy, %",
        "AT+TGO",
    ]
    head += ["AT+TGO minus vanilla, paired", "the same in training accuracy"]
    head += ["training accuracy, %: vanilla / AT+TGO", "training loss: vanilla / AT+TGO"]
    head += [f"vanilla minus that of {AS_IS}", "AT+TGO minus the same of it"]
    return f"{markdown(head, rows)}\n\n{scaled()}"


def row_of_search(pair):
    vanilla, both = pair
    cells = [score(vanilla), score(both)]
    cells += [ahead(both, vanilla, of) for of in (accuracy, trained)]
    return [*cells, side_by_side(pair, trained), side_by_side(pair, loss, 3)]


def scaled():
    """Batch norm's scales, three seeds: both arms with their best setting; AT+TGO as it is beside
    vanilla with kappa 2."""
    scales = sorted([1, *SCALES])
    best = "kappa 1, V_th 0.5"
    names = {  # at scale 1, at another
        f"vanilla, {best}": ("equal-vanilla-kappa-1-v_th-0.5", "{one}-scale-{scale}"),
        f"AT+TGO, {best}": ("equal-both-kappa-1-v_th-0.5", "{one}-scale-{scale}"),
        "vanilla, kappa 2": ("equal-vanilla-kappa-2-v_th-1", "equal-vanilla-kappa-2-scale-{scale}"),
        "AT+TGO": ("pictures-both", "scale-{scale}-both"),
    }
    runs = {}
    for label, (one, other) in names.items():
        groups = [one if scale == 1 else other.format(one=one, scale=scale) for scale in scales]
        runs[label] = [[f"{group}-{seed}" for seed in SEEDS] for group in groups]
    rows = []
    for title, of in SCORES.items():
        for pair in (list(runs)[:2], list(runs)[2:]):
            rows += [[title, label, *(score(group, of) for group in runs[label])] for label in pair]
            minus = [ahead(both, vanilla, of) for vanilla, both in zip(*map(runs.get, pair))]
            rows.append([title, "the latter minus the former, paired", *minus])
    return markdown(["", "arm, three seeds", *(f"scale {scale}" for scale in scales)], rows)


def recipe():
    """The runs of the recipe's length that have ended: accuracy, and what became of layers."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 4))
    vanilla = ended("recipe-vanilla")
    rows = []
    ranges = []
    for name, label in RECIPE.items():
        runs = ended(f"recipe-{name}")
        if runs:
            curves_of(runs.values(), label, axes)
            ranges.append(row_of_ranges(label, runs.values()))
        rows.append(row_of_recipe(label, runs, vanilla))
    wide = ended("recipe-wide-vanilla")
    for name, label in PAIR.items():
        rows.append(row_of_recipe(f"{label}, 16 channels", ended(f"recipe-wide-{name}"), wide))
    titles = ("training loss", "test accuracy, %", "layers with gradient in less than 1 %")
    for axis, title in zip(axes, titles):
        axis.set(title=title, xlabel="epoch")
    axes[1].legend(fontsize=8)
    save(figure, "recipe-curves")
    return "\n\n".join([markdown(OF_RECIPE, rows), gaps(vanilla), markdown(OF_RANGES, ranges)])


def whole():
    """The runs of the whole of CIFAR-10 that have ended, in the same terms."""
    vanilla = ended("whole-vanilla")
    rows = []
    ranges = []
    for name, label in WHOLE.items():
        runs = ended(f"whole-{name}")
        rows.append(row_of_recipe(label, runs, vanilla))
        if runs:
            ranges.append(row_of_ranges(label, runs.values()))
    return "\n\n".join([markdown(OF_RECIPE, rows), markdown(OF_RANGES, ranges)])


def gaps(vanilla):
    """When does the gap in training accuracy open, and when the first starved layer?"""
    ends = (20, 30, 50, 100, 200, 400)
    rows = []
    for name, label in RECIPE.items():
        runs = {seed: run for seed, run in ended(f"recipe-{name}").items() if seed in vanilla}
        if name == "vanilla" or not runs:
            continue
        behind = []
        starved = []
        for end in ends:
            points = [around(run, end) - around(vanilla[seed], end) for seed, run in runs.items()]
            mean = statistics.mean(points)
            behind.append(f"{mean:+.1f} ({min(points):+.1f} to {max(points):+.1f})")
            shares = [shares_over_epochs(run)[end].values() for run in runs.values()]
            starved.append(f"{statistics.mean(sum(x < 0.01 for x in of) for of in shares):.1f}")
        rows.append([label, "training accuracy minus vanilla's, points (seeds)", *behind])
        rows.append([label, "layers with gradient in less than 1 %", *starved])
    return markdown(["arm", "", *(f"epochs {end - 4} to {end}" for end in ends)], rows)


def around(run, end):
    """Training accuracy of the five epochs that end there, in percent."""
    return 100 * statistics.mean(row["train_accuracy"] for row in table(run, "log")[end - 5 : end])


def curves_of(runs, label, axes):
    """Mean over seeds, and the least and the largest of them, over epochs."""
    runs = list(runs)
    logs = [table(run, "log") for run in runs]
    values = [[[row["loss"] for row in log] for log in logs]]
    values.append([[100 * row["test_accuracy"] for row in log] for log in logs])
    epochs = [[row["epoch"] for row in logs[0]]] * 2
    shares = [shares_over_epochs(run) for run in runs]
    epochs.append(list(shares[0]))
    values.append([[sum(x < 0.01 for x in of.values()) for of in run.values()] for run in shares])
    for axis, x, curves in zip(axes, epochs, np.array(values, dtype=object)):
        curves = np.array(list(curves), dtype=float)
        axis.plot(x, curves.mean(0), label=label, lw=1)
        axis.fill_between(x, curves.min(0), curves.max(0), alpha=0.12)


def shares_over_epochs(run):
    """{epoch: {layer: share with gradient, the mean over timesteps}}"""
    found = collections.defaultdict(lambda: collections.defaultdict(list))
    for row in table(run, "layers"):
        found[row["epoch"]][row["layer"]].append(row["gradient_available"])
    return {e: {n: statistics.mean(v) for n, v in of.items()} for e, of in found.items()}


def last_shares(run):
    return list(shares_over_epochs(run).values())[-1]


def row_of_recipe(label, runs, vanilla):
    """An arm's runs {seed: run} at their last epoch."""
    if not runs:
        return [label, "0", *["not run"] * 10]
    both = [seed for seed in runs if seed in vanilla]
    minus = ahead([runs[seed] for seed in both], [vanilla[seed] for seed in both]) if both else "-"
    runs = list(runs.values())
    available = np.array([over_layers(run, "gradient_available") for run in runs])
    cells = [score(runs), "-" if runs == list(vanilla.values()) else minus, score(runs, trained)]
    cells += [f"{statistics.mean(map(loss, runs)):.3f}", *steadiness(runs)]
    cells += [percent(available.mean(1)), percent(available[:, -3:].mean(1))]
    return [label, str(len(runs)), *cells, f"{(available < 1).sum(1).mean():.1f}"]


def row_of_ranges(label, runs):
    """The least and the largest value over layers, timesteps and runs, at the last epoch."""
    cells = []
    for column in ("u_std", "threshold", "width", "gamma", "tau"):
        found = [sum(last_epoch(run, column).values(), []) for run in runs]
        low, high = (f"{x:.{3 if x < 0.01 else 2}f}" for x in (np.min(found), np.max(found)))
        cells.append(low if low == high else f"{low} to {high}")
    for column in ("firing_rate", "gradient_available"):
        layers = {}
        for run in runs:
            for layer, share in zip(last_epoch(run, column), over_layers(run, column)):
                layers[layer] = min(share, layers.get(layer, share))
        least = min(layers, key=layers.get)
        most = max(max(over_layers(run, column)) for run in runs)
        where = least.removesuffix(".neuron")
        cells.append(f"{layers[least]:.1f} ({where}) to {most:.1f}")
    floors = [last_epoch(run, "threshold").values() for run in runs]
    floored = [sum(min(t) < AT_FLOOR for t in of) for of in floors]
    cells += [f"{statistics.mean(floored):.1f}", f"{exposure(next(iter(runs))):.4g}"]
    return [label, *cells]


def mechanism():
    """What the layers of one seed do over the recipe's length, at the last timestep. Black, red and
    orange: the first layer, the one before the classes, AT+TGO's least."""
    arms = [name for name in ("vanilla", "std", "both") if 0 in ended(f"recipe-{name}")]
    shares = last_shares("recipe-both-0")
    marked = {"stem.neuron": "black", "hidden.neuron": "C3", min(shares, key=shares.get): "C1"}
    figure, axes = plt.subplots(len(QUANTITIES), len(arms), figsize=(9, 14), sharex=True)
    rows = []
    for column, name in zip(axes.T, arms):
        layers = over_epochs(f"recipe-{name}-0")
        for axis, (quantity, (_, times, scale, limits)) in zip(column, QUANTITIES.items()):
            for layer in sorted(layers, key=marked.__contains__):  # the marked ones on top
                values = [times * row[quantity] for row in layers[layer].values()]
                style = dict(color="grey", lw=0.7, alpha=0.6)
                if layer in marked:
                    title = layer.removesuffix(".neuron")
                    style = dict(color=marked[layer], lw=1.8, label=title)
                axis.plot(list(layers[layer]), values, **style)
            axis.set_yscale(scale, **(dict(linthresh=0.1) if scale == "symlog" else {}))
            axis.set_ylim(limits)
        column[0].set_title(f"{RECIPE[name]}, seed 0", fontsize=10)
        column[-1].set_xlabel("epoch")
        rows += [row_of_mechanism(RECIPE[name], layer, layers[layer]) for layer in marked]
    for axis, (title, *_) in zip(axes[:, 0], QUANTITIES.values()):
        axis.set_ylabel(title, fontsize=11)
    for axis in axes[2]:
        axis.axhline(1 + np.tanh(-1), color="C0", ls=":", lw=1)
    axes[0][-1].legend(fontsize=8, loc="lower left")
    save(figure, "recipe-mechanism")
    head = ["arm, seed 0", "layer", "mean of U", "sigma", "theta", "k", "gamma", "firing, %"]
    head += ["with gradient, %", "the same if U were normal, %"]
    return f"{markdown(head, rows)}\n\n{each_seed()}"


def each_seed():
    """The same in figures, for every run of the recipe's length."""
    rows = []
    for name, label in RECIPE.items():
        for seed, run in ended(f"recipe-{name}").items():
            shares = shares_over_epochs(run)
            starved = [sum(x < 0.01 for x in shares[epoch].values()) for epoch in SHOWN]
            floored = collections.defaultdict(set)  # at one of the timesteps
            for row in table(run, "layers"):
                if row["threshold"] < AT_FLOOR:
                    floored[row["epoch"]].add(row["layer"])
            cells = [f"{accuracy(run):.1f}", f"{loss(run):.3f}"]
            for column in ("u_std", "threshold"):
                values = sum(last_epoch(run, column).values(), [])
                cells.append(f"{min(values):.2g} to {max(values):.3g}")
            for counts in (starved, [len(floored[epoch]) for epoch in SHOWN]):
                cells.append("; ".join(map(str, counts)))
            least = min(shares[SHOWN[-1]].items(), key=lambda pair: pair[1])
            cells.append(f"{least[0].removesuffix('.neuron')}, {100 * least[1]:.1f}")
            rows.append([label, str(seed), *cells])
    head = ["arm", "seed", "test accuracy, %", "training loss", "sigma at the end", "theta"]
    head += ["layers with gradient in less than 1 %", "layers at theta's floor"]
    return markdown([*head, "least layer at the end, its share with gradient, %"], rows)


def over_epochs(run):
    """{layer: {epoch: its row of the last timestep}}"""
    found = collections.defaultdict(dict)
    for row in table(run, "layers"):
        found[row["layer"]][int(row["epoch"])] = row  # timesteps come in order
    return found


def row_of_mechanism(label, layer, rows):
    """A layer at some epochs, and the share of a normal potential that its window would hold."""
    cells = collections.defaultdict(list)
    for epoch in SHOWN:
        row = rows[epoch]
        shares = [row["firing_rate"], row["gradient_available"]]
        shares.append(
            reference_numpy.gradient_probability(
                row["threshold"], row["width"], row["u_mean"], row["u_std"]
            )
        )
        for name in ("u_mean", "u_std", "threshold", "width", "gamma"):
            cells[name].append(f"{row[name]:.3g}")
        for name, share in zip(("fires", "has", "normal"), shares):
            cells[name].append(f"{100 * share:.1f}")
    return [label, layer.removesuffix(".neuron"), *("; ".join(of) for of in cells.values())]


# ---- the page ----
def others():
    """The neurons of other papers (baselines.py) in Figs. 8 and 11's terms."""
    names = {"vanilla": "pictures-vanilla", "AT+TGO": "pictures-both"}
    names |= {"LTMD": "baseline-LTMD", "MPD-AGL's width": "baseline-MPDAGL"}
    names["ASG-S, our reading of its abstract"] = "baseline-ASGS"
    vanilla, both = ([f"pictures-{name}-{seed}" for seed in SEEDS] for name in PAIR)
    rows = []
    for label, name in names.items():
        runs = [run for seed, run in ended(name).items() if seed in SEEDS]
        if len(runs) < len(SEEDS):
            rows.append([label, "not run", *["-"] * 10])
            continue
        available = np.array([over_layers(run, "gradient_available") for run in runs])
        minus = [ahead(runs, vanilla), *(ahead(runs, both, of) for of in (accuracy, trained))]
        if runs == vanilla:
            minus[0] = "-"
        if runs == both:
            minus[1:] = "-", "-"
        cells = [score(runs), *minus, score(runs, trained)]
        cells += [f"{statistics.mean(map(loss, runs)):.3f}", *steadiness(runs)[:2]]
        cells += [percent(available.mean(1)), percent(available.min(1))]
        rows.append([label, *cells, percent(available[:, -3:].mean(1))])
    head = ["neuron, three seeds", "test accuracy, %", "minus vanilla, paired"]
    head += ["minus AT+TGO, paired", "the same in training accuracy"]
    head += ["training accuracy, %", "training loss", "firing, %", "spread over layers"]
    return markdown([*head, "with gradient, %", "least layer", "last three layers"], rows)


def source(command):
    """How a figure was made, and from which runs, by their seeds, with the dates, versions and
    commits of their training."""
    seeds = collections.defaultdict(list)
    for run in sorted(USED):
        name, seed = seed_of(run)
        seeds[name].append(str(seed))
    groups = collections.defaultdict(list)
    for name, of in seeds.items():
        groups[", ".join(of)].append(name)
    made = []
    for run in USED:
        lines = (RESULTS / "runs" / run / "command.txt").read_text().splitlines()
        made.append(lines[1].split(", "))
    dates, *versions, commits, device = (sorted(set(values)) for values in zip(*made))
    commits = ", ".join(commit.removeprefix("git ")[:7] for commit in commits)
    runs = "; ".join(f"{', '.join(names)} (seed {of})" for of, names in groups.items())
    return (
        f"`python experiments/{command}`, {datetime.date.today()}. Runs: {runs}. Trained "
        f"{', '.join(dates)}, {', '.join(sum(versions, []))}, {', '.join(device)}, at {commits}."
    )


def folded(made):
    return f"<details><summary>How this was made</summary>\n\n{made}\n\n</details>"


def fill(name, content, made):
    """Puts a figure's table, and below it, folded, how it was made, into experiments/README.md."""
    path = ROOT / "experiments" / "README.md"
    before, mark, after = path.read_text().partition(f"<!-- {name} -->\n")
    old, end, after = after.partition("<!-- end -->")
    if not mark or not end or "<!-- " in old:
        sys.exit(
            "experiments/README.md has no place for this table: it needs "
            f"<!-- {name} --> and <!-- end --> after it"
        )
    path.write_text(f"{before}{mark}\n{content}\n\n{folded(made)}\n\n{end}{after}")


PARTS = (arms, layers, closed_form, rules, when, settings, equal)
PARTS += (recipe, mechanism, whole, others)

if __name__ == "__main__":
    raw = argparse.RawDescriptionHelpFormatter
    argparse.ArgumentParser(description=__doc__, formatter_class=raw).parse_args()
    for part in PARTS:
        USED.clear()
        fill(part.__name__, part(), source("figures.py"))
