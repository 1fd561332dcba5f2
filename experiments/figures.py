"""What do the runs' logs say, beside the paper's figures? Draws Figs. 1, 5 to 8, 10, 11, 14 and when AT+TGO beats vanilla, and
writes the tables of experiments/README.md. In seconds, without training.

    python experiments/figures.py

Reads the logs in experiments/results/runs (train_all.py); writes experiments/results/*.png and the parts of
experiments/README.md between <!-- NAME --> and <!-- end -->.
"""
import collections
import csv
import datetime
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

ARMS = dict(vanilla="vanilla", AT="AT", TGO="TGO", both="AT+TGO")
PAIR = dict(vanilla="vanilla", both="AT+TGO")
SEEDS, MORE = range(3), range(8)                                  # more: vanilla, AT+TGO, estimated, as they are
DATA = dict(pictures="CIFAR-10 pictures", objects="five objects, DVS128 camera", nmnist="N-MNIST", simulated="simulated camera")


# ---- reading ----
USED = set()                                                      # the runs that the figure being made has looked at


def table(run, name):
    USED.add(run)
    path = RESULTS / "runs" / run / f"{name}.csv"
    return [{k: v if k == "layer" else float(v) for k, v in row.items()} for row in csv.DictReader(path.open())]


def accuracy(run):
    """Test accuracy of the last epoch, in percent."""
    return 100 * table(run, "log")[-1]["test_accuracy"]


def last_epoch(run, column):
    """{layer: [value for each timestep]} of the last epoch."""
    rows, result = table(run, "layers"), collections.defaultdict(list)
    for row in rows:
        if row["epoch"] == rows[-1]["epoch"]:
            result[row["layer"]].append(row[column])
    return result


def over_layers(run, column):
    """[layers] in percent, the mean over timesteps."""
    return [100 * statistics.mean(values) for values in last_epoch(run, column).values()]


def interval(differences):
    """Mean of paired differences and the half-width of its 95 % confidence interval (Student)."""
    half = scipy.stats.t.ppf(0.975, len(differences) - 1) * statistics.stdev(differences) / math.sqrt(len(differences))
    return statistics.mean(differences), half


def save(figure, name):
    figure.tight_layout()
    figure.savefig(RESULTS / f"{name}.png", dpi=90)
    plt.close(figure)


def markdown(head, rows):
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def percent(values):
    return f"{statistics.mean(values):.1f} +- {statistics.stdev(values):.1f}" if len(values) > 1 else f"{values[0]:.1f}"


def ahead(runs, others):
    """How far the first runs are ahead of the others, in points of accuracy, paired by seed."""
    pairs = [accuracy(a) - accuracy(b) for a, b in zip(runs, others)]
    return f"{pairs[0]:+.1f}" if len(pairs) == 1 else "{:+.1f} +- {:.1f}".format(*interval(pairs))


# ---- figures ----
def arms():
    """Fig. 6 and Table 1: four arms, three seeds, pictures and events."""
    figure, axes = plt.subplots(2, 2, figsize=(10, 7))
    for data, (loss, test) in zip(("pictures", "objects"), axes):
        for name, label in ARMS.items():
            logs = [table(f"{data}-{name}-{seed}", "log") for seed in SEEDS]
            for axis, column in (loss, "loss"), (test, "test_accuracy"):
                curves = np.array([[row[column] for row in log] for log in logs])
                axis.plot(range(1, curves.shape[1] + 1), curves.mean(0), label=label)
                axis.fill_between(range(1, curves.shape[1] + 1), curves.min(0), curves.max(0), alpha=0.12)
        loss.set(title=f"{DATA[data]}: training loss", xlabel="epoch")
        test.set(title="test accuracy", xlabel="epoch")
        loss.legend(fontsize=8)
    save(figure, "fig6-arms")
    paper = dict(pictures="CIFAR-10: 95.20 (96.91 - 1.71), 96.91 +- 0.12", objects="CIFAR10-DVS: 81.40 (83.70 - 2.30), 83.70",
                 nmnist="-", simulated="CIFAR10-DVS: the same")
    rows = []
    for data, title in DATA.items():
        runs = {name: [f"{data}-{name}-{seed}" for seed in SEEDS] for name in ARMS}
        alone = [f"{name} {ahead(runs[name], runs['vanilla'])}" for name in ("AT", "TGO") if data in ("pictures", "objects")]
        cells = ["not run" if data in ("nmnist", "simulated") and name not in PAIR else
                 percent([accuracy(run) for run in runs[name]]) for name in ARMS]
        more = [[f"{data}-{name}-{seed}" for seed in (MORE if data in ("pictures", "objects") else SEEDS)] for name in PAIR]
        rows.append([title, *cells, f"{ahead(*more[::-1])} ({len(more[0])} seeds)", "; ".join(alone) or "not run", paper[data]])
    for title, score in ("CIFAR-100", "80.59 +- 0.17"), ("ImageNet", "68.86 +- 0.25"), ("CIFAR10-DVS itself", "83.70 +- 0.41"):
        rows.append([title, *["not run"] * 6, score])
    head = ["test accuracy, %", *ARMS.values(), "AT+TGO minus vanilla, paired, 95 % interval",
            "each alone, minus vanilla (3 seeds)", "the paper, full scale"]
    return markdown(head, rows)


def layers():
    """Figs. 8, 10, 11 and 14: firing and gradients for each layer and timestep, thresholds over training."""
    figure, ((first, second, gradient), (steps, spread, over)) = plt.subplots(2, 3, figsize=(14, 7))
    rows = []
    groups = [(data, DATA[data], label, [f"{data}-{name}-{seed}" for seed in SEEDS])
              for data in ("pictures", "objects") for name, label in ARMS.items()]
    groups += [("pictures", DATA["pictures"], "learned, seed 0", ["learned"])]
    groups += [(prefix, f"{DATA['pictures']}, {title}", label, [f"{prefix}-{name}-{seed}" for seed in SEEDS])
               for prefix, title in (("twenty", "twenty epochs, weight decay 1e-3"), ("decay", "weight decay 5e-3"))
               for name, label in PAIR.items()]
    for kind, data, label, runs in groups:
        rates = np.array([over_layers(run, "firing_rate") for run in runs])                     # [seeds, layers]
        available = np.array([over_layers(run, "gradient_available") for run in runs])
        by_layer = 100 * np.mean([list(last_epoch(run, "firing_rate").values()) for run in runs], 0)      # [layers, T]
        lines = dict(pictures=zip((first, second, gradient), (*by_layer.T, available.mean(0))),
                     objects=zip((steps, spread), (by_layer.mean(0), by_layer.std(0))),
                     decay=[(gradient, available.mean(0))]).get(kind, [])
        for axis, line in lines:
            axis.plot(range(1, len(line) + 1), line, "x:" if kind == "decay" else "o-", ms=3,
                      label=f"{label}, decay 5e-3" if kind == "decay" else label)
        floored = [sum(min(t) < 0.0011 for t in last_epoch(run, "threshold").values()) for run in runs]
        rows.append([data, label, percent(rates.mean(1)), percent(rates.std(1)), f"{np.ptp(by_layer.mean(0)):.1f}",
                     percent(available.mean(1)), percent(available.min(1)), percent(available[:, -3:].mean(1)),
                     f"{statistics.mean(floored):.1f}"])
    paper = [["the paper: firing CIFAR-10,", "vanilla", "10.66", "-", "-", "-", "-", "below 15.13", "-"],
             ["gradient CIFAR-100", "AT+TGO", "15", "1.62", "-", "-", "above 38.53", "36.54", "-"]]
    values = collections.defaultdict(list)
    for row in table("twenty-both-0", "layers"):
        if row["timestep"] == 1:
            values[row["layer"]].append(row["threshold"])
    for name in [*list(values)[::3], "hidden.neuron"]:
        over.plot(range(1, len(values[name]) + 1), values[name], label=name.removesuffix(".neuron"))
    for axis, title, label in ((first, "pictures: firing, %, at t=1 (Fig. 8)", "layer"),
                               (second, "pictures: firing, %, at t=2 (Fig. 8)", "layer"),
                               (gradient, "pictures: share with gradient, % (Fig. 11)", "layer"),
                               (steps, "objects: firing, %, mean of layers (Fig. 10)", "timestep"),
                               (spread, "objects: its deviation over layers, points", "timestep"),
                               (over, "running thresholds at t=1, twenty epochs (Fig. 14)", "epoch")):
        axis.set_title(title, fontsize=9)
        axis.set_xlabel(label, fontsize=8)
        axis.legend(fontsize=6)
    for axis in first, second:
        axis.axhline(100 * reference_numpy.firing_probability(), color="grey", lw=0.5)
    gradient.set_ylim(0, 75)                                      # room for the legend
    save(figure, "fig8-10-11-14-layers")
    return markdown(["data", "arm", "firing, %", "spread over layers", "between timesteps", "with gradient, %", "least layer",
                     "last three layers", "layers at theta's floor"], rows + paper)


def closed_form():
    """Figs. 1 and 5: shares in closed form for normal potentials, and those of the networks' layers."""
    figure, (fires, has) = plt.subplots(1, 2, figsize=(10, 4))
    sigma = np.linspace(0.05, 3, 200)
    fires.plot(sigma, 1 - scipy.stats.norm.cdf(1 / sigma), label="fixed threshold 1 (Fig. 1)")
    fires.axhline(reference_numpy.firing_probability(), color="C2", label="adaptive: Theorem 1")
    for label, theta, k in (("vanilla", 1, 1), ("AT", sigma, 1), ("AT+TGO", sigma, 1 + np.tanh(sigma - 1))):
        has.plot(sigma, reference_numpy.gradient_probability(theta, k, 0, sigma), label=label)
    rows = []
    for marker, (name, label) in zip("x.", PAIR.items()):
        runs = [f"pictures-{name}-{seed}" for seed in SEEDS] + [f"scale-{scale}-{name}-0" for scale in (0.25, 0.5, 2, 4)]
        seen = {column: np.concatenate([np.concatenate(list(last_epoch(run, column).values())) for run in runs]) for column in (
            "u_mean", "u_std", "threshold", "width", "gradient_available", "firing_rate")}
        z = (seen["threshold"] - seen["u_mean"]) / seen["u_std"]
        fired = np.abs(1 - scipy.stats.norm.cdf(z) - seen["firing_rate"])
        share = np.abs(reference_numpy.gradient_probability(seen["threshold"], seen["width"], seen["u_mean"], seen["u_std"])
                       - seen["gradient_available"])
        fires.plot(seen["u_std"], seen["firing_rate"], marker, color="grey", ms=4, label=f"layers of {label}")
        has.plot(seen["u_std"], seen["gradient_available"], marker, color="grey", ms=4, label=f"layers of {label}")
        theta, k = (1, 1) if name == "vanilla" else (seen["u_std"], 1 + np.tanh(seen["u_std"] - 1))
        drawn = np.abs(reference_numpy.gradient_probability(theta, k, 0, seen["u_std"]) - seen["gradient_available"])
        rows.append([label, str(len(z)), f"{seen['u_std'].min():.2f} to {seen['u_std'].max():.2f}",
                     *(f"{100 * np.mean(gap):.1f}, at most {100 * np.max(gap):.1f}" for gap in (fired, share, drawn))])
    fires.set(xlabel="deviation of the potential", ylabel="share firing")
    has.set(xlabel="deviation of the potential", ylabel="share with gradient", xlim=(0, 3.2))
    fires.set_xlim(0, 3.2)
    fires.legend(fontsize=7)
    has.legend(fontsize=7)
    save(figure, "fig1-5-shares")
    return markdown(["arm", "layers x timesteps", "deviation of the potential",
                     "firing: distance from a normal of the layer's mean, points: mean", "share with gradient: the same",
                     "share with gradient: distance from the curve drawn (mean 0)"], rows)


def rules():
    """Figs. 7 and 13: estimated against true, with and without moving average; momenta; the released code's width."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4))
    rows = []
    for axis, (data, prefix) in zip(axes, (("pictures", ""), ("objects", "objects-"))):
        groups = {"vanilla": f"{data}-vanilla", "true": f"{data}-both", "estimated": f"{prefix}estimated",
                  "true, no average": f"{prefix}momentum-none"} | ({"std width": "std"} if data == "pictures" else {})
        more = {"vanilla", "true"} | ({"estimated"} if data == "pictures" else set())
        groups = {label: [f"{run}-{seed}" for seed in (MORE if label in more else SEEDS)] for label, run in groups.items()}
        scores = [[accuracy(run) for run in runs] for runs in groups.values()]
        axis.boxplot(scores, tick_labels=list(groups))
        for i, values in enumerate(scores, 1):
            axis.plot([i] * len(values), values, "k.", ms=4)
        axis.set_title(f"{DATA[data]}: test accuracy, % (Fig. 7)", fontsize=9)
        axis.tick_params(labelsize=7)
        rows += [[DATA[data], label, str(len(runs)), percent([accuracy(run) for run in runs]),
                  ahead(runs, groups["true"]) if label != "true" else "-"] for label, runs in groups.items()]
    for run, label in (("momentum-0.5", "momentum 0.5"), ("momentum-0.02", "momentum 0.02"), ("learned", "learned threshold")):
        rows.append([DATA["pictures"] + ", seed 0", label, "1", percent([accuracy(run)]), ahead([run], ["pictures-both-0"])])
    save(figure, "fig7-rules")
    return markdown(["data", "rule", "seeds", "test accuracy, %", "minus AT+TGO, paired"], rows)


def when():
    """When does AT+TGO beat vanilla? Batch norm's initial scale: three seeds, and one (0) of AT and TGO alone."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 4))
    scales, rows, runs = (0.25, 0.5, 1, 2, 4), [], {}
    for name, label in ARMS.items():
        seeds = SEEDS if name in PAIR else (0,)
        runs[name] = [[f"pictures-{name}-{seed}" if scale == 1 else f"scale-{scale}-{name}-{seed}" for seed in seeds]
                      for scale in scales]
        cells = [[percent([accuracy(run) for run in group]) for group in runs[name]]]
        curves = [[statistics.mean(accuracy(run) for run in group) for group in runs[name]]]
        for column in ("firing_rate", "gradient_available"):
            curves.append([statistics.mean(statistics.mean(over_layers(run, column)) for run in group) for group in runs[name]])
            cells.append([f"{value:.1f}" for value in curves[-1]])
        title = label if name in PAIR else f"{label}, seed 0"
        for axis, values in zip(axes, curves):
            axis.semilogx(scales, values, "o-" if name in PAIR else "x:", label=title, base=2)
        rows.append([title, *("; ".join(values) for values in zip(*cells))])
    rows.append(["AT+TGO minus vanilla, paired, 95 % interval", *(ahead(*pair) for pair in zip(runs["both"], runs["vanilla"]))])
    for axis, title in zip(axes, ("test accuracy, %", "firing rate, %", "share with gradient, %")):
        axis.set(title=title, xlabel="initial scale of batch norm")
    axes[0].legend(fontsize=8)
    save(figure, "when-scale")
    return markdown(["accuracy; firing; with gradient, %", *(f"scale {scale}" for scale in scales)], rows)


def settings():
    """The same question for every other setting."""
    def seeds(name, of=SEEDS):
        return [[f"{name}-{arm}-{seed}" for seed in of] for arm in PAIR]

    def one(name):
        return [[f"{name}-{arm}"] for arm in PAIR]

    groups = {"as is: ResNet-19, 8 channels, T=2": seeds("pictures", MORE), "twenty epochs, weight decay 1e-3": seeds("twenty"),
              "twenty epochs, weight decay 1e-2": seeds("long"),
              "weight decay 1e-3": one("weight-decay-0.001"), "weight decay 5e-3": seeds("decay"),
              "T=1": one("T-1"), "T=4": one("T-4"), "T=10, two epochs": one("T-10"), "initial leak 0.5": one("tau-0.5"),
              "initial leak 0.9": one("tau-0.9"), "4 channels": one("channels-4"), "16 channels": one("channels-16"),
              "VGGSNN": one("arch-vggsnn"), "ResNet-18": one("arch-resnet18"),
              "ResNet-18, 4 channels: 16 features": [["narrow-vanilla"], ["narrow-f_c-1.0"]],
              "the same, f_c 0.8": [["narrow-vanilla"], ["narrow-f_c-0.8"]],
              "the same, f_c 0.6": [["narrow-vanilla"], ["narrow-f_c-0.6"]],
              "events, objects, frames of equal time": seeds("objects", MORE),
              "events, objects, frames of equal count": seeds("count"), "events, N-MNIST": seeds("nmnist"),
              "events, simulated camera": seeds("simulated")}
    scales = {f"batch norm's scale {scale}": seeds(f"scale-{scale}") for scale in (0.25, 0.5, 2, 4)}
    figure, (axis, against) = plt.subplots(1, 2, figsize=(14, 6.5))
    rows = []
    for i, (title, pair) in enumerate((groups | scales).items()):
        cells, shares = [], []
        for runs in pair:
            firing, gradient = (statistics.mean(statistics.mean(over_layers(run, column)) for run in runs)
                                for column in ("firing_rate", "gradient_available"))
            cells.append(f"{percent([accuracy(run) for run in runs])}; {firing:.1f}; {gradient:.1f}")
            shares.append(gradient)
        if title in groups:                                       # the scales have a table of their own
            rows.append([title, str(len(pair[0])), *cells, ahead(*pair[::-1])])
        points = [accuracy(b) - accuracy(a) for a, b in zip(*pair)]
        axis.plot(points, [i] * len(points), ".", color="C0")
        axis.plot(statistics.mean(points), i, "|", ms=14, color="C3")
        colour = "C1" if "event" in title else "C2" if title in scales else "C0"
        against.plot(shares[0], statistics.mean(points), "o", ms=3 + 2 * len(points), color=colour, alpha=0.6)
        if abs(statistics.mean(points)) > 3:
            against.annotate(title, (shares[0], statistics.mean(points)), fontsize=6, va="bottom" if title in scales else "top")
    axis.axvline(0, color="grey", lw=0.5)
    axis.set_yticks(range(len(groups) + len(scales)), [*groups, *scales], fontsize=7)
    axis.invert_yaxis()
    axis.set_xlabel("AT+TGO minus vanilla, points of test accuracy: seeds and their mean")
    against.axhline(0, color="grey", lw=0.5)
    against.set(xlabel="vanilla's share with gradient at the end, %",
                ylabel="AT+TGO minus vanilla, points of test accuracy",
                title="green: scales, orange: events; size: number of seeds", xlim=(-1, 28))
    save(figure, "when-settings")
    return markdown(["setting", "seeds", *(f"{label}: accuracy; firing; with gradient, %" for label in PAIR.values()),
                     "AT+TGO minus vanilla"], rows)


def source(command):
    """How a figure was made, and from which runs, by their seeds, with the dates, versions and commits of their training."""
    seeds, groups = collections.defaultdict(list), collections.defaultdict(list)
    for run in sorted(USED):
        name, seed = re.fullmatch(r"(.*?)(?:-([0-7]))?", run).groups()
        seeds[name].append(seed or "0")
    for name, of in seeds.items():
        groups[", ".join(of)].append(name)
    made = [(RESULTS / "runs" / run / "command.txt").read_text().splitlines()[1].split(", ") for run in USED]
    dates, *versions, commits, device = (sorted(set(values)) for values in zip(*made))
    commits = ", ".join(commit.removeprefix("git ")[:7] for commit in commits)
    runs = "; ".join(f"{', '.join(names)} (seed {of})" for of, names in groups.items())
    return (f"`python experiments/{command}`, {datetime.date.today()}. Runs: {runs}. Trained {', '.join(dates)}, "
            f"{', '.join(sum(versions, []))}, {', '.join(device)}, at {commits}.")


def fill(name, content, made):
    """Puts a figure's table, and below it how it was made, into experiments/README.md."""
    path = ROOT / "experiments" / "README.md"
    text = path.read_text()
    before, mark, after = text.partition(f"<!-- {name} -->\n")
    old, end, after = after.partition("<!-- end -->")
    if not mark or not end or "<!-- " in old:
        sys.exit(f"experiments/README.md has no place for this table: it needs <!-- {name} --> and <!-- end --> after it")
    path.write_text(f"{before}{mark}\n{content}\n\n{made}\n\n{end}{after}")


if __name__ == "__main__":
    for part in (arms, layers, closed_form, rules, when, settings):
        USED.clear()
        fill(part.__name__, part(), source("figures.py"))
