"""What do the trained networks show, beside the paper's figures? Draws Figs. 2, 4, 9, 10, 12, 13
and 15. Measures Table 2, inference under shift and batch size against threshold quality.
Without training, a quarter of an hour on two cores.

    python experiments/networks.py WORK [--only PART]

WORK: the folder of train_all.py with the checkpoints; the data must still lie where they were
trained. Writes experiments/results/*.png, and its tables into experiments/README.md. The part
`times` wants an idle machine.
"""

import argparse
import contextlib
import functools
import itertools
import pathlib
import statistics
import time

import numpy as np
import scipy.ndimage
import sklearn.manifold
import sklearn.metrics
import torch
import torch.nn.functional as F
from figures import (  # puts the repository on the path
    PAIR,
    USED,
    accuracy,
    fill,
    markdown,
    plt,
    save,
    source,
    trained,
)

import dsatgo
import train_cifar
import train_dvs

# the settings that say which data a run has
KEYS = ("data", "dataset", "limit_train", "limit_test", "seed")
KEYS += ("image_size", "T", "size", "by", "split", "cache")


LEARNED = "learned threshold (DIET-SNN-like)"
ASGS = "ASG-S, our reading of its abstract"


@functools.lru_cache
def data(script, config):
    """(training set, test set) of a configuration's data, given as a tuple of its settings."""
    return script.load(script.Settings(**dict(config)))


def network(work, run):
    """-> net, the run's training set, its test set."""
    USED.add(run)
    checkpoint = train_cifar.load_checkpoint(work / run)
    script = train_dvs if "phi" in checkpoint["config"] else train_cifar
    config = script.Settings(**checkpoint["config"])
    known = [key for key in KEYS if hasattr(config, key)]
    train, test = data(script, tuple((key, getattr(config, key)) for key in known))
    net = train_cifar.build(config, len(checkpoint["facts"]["classes"]), test.shape)
    net.load_state_dict(checkpoint["model"])
    return net.eval(), train, test


def lifs(net):
    return {name: layer for name, layer in net.named_modules() if isinstance(layer, dsatgo.LIF)}


def samples(part, count):
    """The first `count` samples as evaluation sees them, and their labels."""
    return part[torch.arange(min(count, len(part))), None, 0]


def correct(net, batches):
    """Test accuracy in percent over (input, labels) pairs."""
    with torch.no_grad():
        right = [(dsatgo.readout(net(x)).argmax(1) == y).float() for x, y in batches]
    return 100 * torch.cat(right).mean().item()


def spread(values, places=1):
    mean = statistics.mean(values)
    return f"{mean:.{places}f} +- {statistics.stdev(values):.{places}f}"


def potentials(net, x):
    """{layer: (potentials [T, N], where it fires [T], width [T])}."""
    result = {}

    def note(name, batch, u, s, theta, fire, k, floor):
        result[name] = u, fire, k

    with torch.no_grad(), contextlib.ExitStack() as stack:
        for name, layer in lifs(net).items():
            layer.watch = functools.partial(note, name)
            stack.callback(setattr, layer, "watch", None)
        net(x)
    return result


@contextlib.contextmanager
def spikes_of(net, *names):
    """{layer: its spikes in every forward pass, a list}, of the neurons of the layers named."""
    seen = {name: [] for name in names}

    def note(name, module, inputs, s):
        seen[name].append(s)

    with contextlib.ExitStack() as stack:
        for name in names:
            layer = net.get_submodule(f"{name}.neuron")
            hook = layer.register_forward_hook(functools.partial(note, name))
            stack.callback(hook.remove)
        yield seen


# ---- parts ----
def distributions(work):
    """Fig. 2: potentials of networks of ten timesteps: above the window (saturation), below it
    (degeneration)."""
    figure, axes = plt.subplots(4, 4, figsize=(13, 9), sharex=True)
    rows = []
    runs = {
        "T-10-vanilla": "T=10, vanilla",
        "T-10-both": "T=10, AT+TGO",
        "scale-0.25-vanilla-0": "scale 0.25, vanilla",
        "scale-4-vanilla-0": "scale 4, vanilla",
    }
    names = ("stem", "stage1.2.conv2", "stage2.2.conv2", "stage3.1.conv2")
    for row, (run, label) in zip(axes, runs.items()):
        net, _, test = network(work, run)
        seen = potentials(net, samples(test, 100)[0])
        above, below = (outside(seen.values(), sign) for sign in (1, -1))  # [layers, T]
        shares = (above.mean(), above.max(), below.mean(), below.max())
        inside = 100 - above.mean() - below.mean()
        rows.append([label, *(f"{share:.1f}" for share in (*shares, inside))])
        for axis, name in zip(row, names):
            u, fire, k = seen[f"{name}.neuron"]
            for t in sorted({0, len(u) // 2, len(u) - 1}):
                style = dict(range=(-3, 3), histtype="step", density=True, label=f"t={t + 1}")
                axis.hist((u[t] - fire[t]).numpy(), 80, **style)
            axis.axvspan(-k.mean() / 2, k.mean() / 2, color="grey", alpha=0.2)
            axis.set_title(f"{label}, {name}", fontsize=7)
            axis.legend(fontsize=6)
    text = "potential minus threshold; grey: where there is a gradient"
    for axis in axes[-1]:
        axis.set_xlabel(text, fontsize=6)
    save(figure, "fig2-distributions")
    head = ["network", "above the window, %", "most, one layer and timestep"]
    return markdown(head + ["below, %", "most", "with gradient, %"], rows)


def outside(layers, sign):
    """The share of potentials above (sign 1) or below (-1) the window, [layers, T] in percent."""
    shares = [
        (sign * (u - fire[:, None]) > k[:, None] / 2).float().mean(1) for u, fire, k in layers
    ]
    return 100 * torch.stack(shares)


def similarity(a, b, side=7):
    """Mean structural similarity (Wang et al. 2004, uniform windows) of two pictures in [0, 1]."""

    def mean(x):
        return scipy.ndimage.uniform_filter(x, side)

    ma = mean(a)
    mb = mean(b)
    va = mean(a * a) - ma**2
    vb = mean(b * b) - mb**2
    vab = mean(a * b) - ma * mb
    above = (2 * ma * mb + 1e-4) * (2 * vab + 9e-4)
    below = (ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4)
    return float((above / below).mean())


def encoding(work):
    """Fig. 4: grey pictures encoded by one layer in four timesteps, the current their brightness
    from 0 to 1, that over the set's mean, and normalised by the set's mean and deviation:
    similarity of the firing rates to the picture."""
    _, _, test = network(work, "pictures-both-0")
    greys = test.images[:200].double().mean(1).numpy() / 255
    rules = {
        f"fixed {v}": dict(threshold="fixed", width="fixed", v_th=v) for v in (0.25, 0.5, 1.0, 1.5)
    }
    rules |= {"adaptive": dict(threshold="true")}
    rules |= {"adaptive, f_c 0.5": dict(threshold="true", f_c=0.5)}
    currents = {
        "brightness": greys,
        "over the mean": greys / greys.mean(),
        "normalised": (greys - greys.mean()) / greys.std(),
    }
    figure, axes = plt.subplots(3, len(rules) + 1, figsize=(11, 5.2))
    rows = []
    for pictures, (kind, inputs) in zip(axes, currents.items()):
        pictures[0].imshow(greys[3], cmap="gray")
        pictures[0].set_title(kind, fontsize=8)
        scores = []
        for axis, (name, rule) in zip(pictures[1:], rules.items()):
            layer = dsatgo.LIF(4, **rule)  # in training mode: Eq. 5 of this very picture
            rates = [rates_of(layer, one) for one in inputs]
            scores.append(mean_similarity(greys, rates))
            axis.imshow(rates[3], cmap="gray", vmin=0, vmax=1)
            axis.set_title(f"{name}: {scores[-1]:.3f}", fontsize=7)
        rows.append([kind, *(f"{score:.3f}" for score in scores)])
    for axis in axes.flat:
        axis.set_axis_off()
    save(figure, "fig4-encoding")
    notes = []
    for arm, label in PAIR.items():  # and the first layer of trained networks
        net, _, _ = network(work, f"twenty-{arm}-0")
        with torch.no_grad():
            maps = net.stem(net.input(samples(test, 200)[0])).mean((0, 2)).numpy()
        notes.append(f"{label} {mean_similarity(greys, maps):.3f}")
    note = "First layer of trained networks (twenty epochs), mean spikes of channels and timesteps"
    table = markdown(["current, mean similarity of 200 pictures", *rules], rows)
    return f"{table}\n\n{note}: {', '.join(notes)}."


def rates_of(layer, picture):
    """The firing rates that a neuron for each pixel encodes a picture in."""
    current = torch.tensor(picture, dtype=torch.float32).expand(4, 1, 32, 32)
    return layer(current).mean((0, 1)).detach().numpy()


def mean_similarity(greys, others):
    return statistics.mean(similarity(grey, one) for grey, one in zip(greys, others))


def landscape(work, side=13, reach=1.0):
    """Fig. 9: loss on 300 test pictures over two random directions, each filter's part scaled to
    the filter's norm (Li et al. 2018)."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 4))
    rows = []
    ticks = np.linspace(-reach, reach, side)
    for axis, (arm, label) in zip(axes, (PAIR | {"ASGS": ASGS}).items()):
        net, _, test = network(work, f"twenty-{arm}-0")
        values = losses(net, *samples(test, 300), ticks)
        axis.contour(ticks, ticks, values, 25)
        axis.set_title(f"{label}: loss {values.min():.2f} to {values.max():.2f}", fontsize=9)
        around = [
            values[1 + i : side - 1 + i, 1 + j : side - 1 + j]
            for i, j in itertools.product((-1, 0, 1), repeat=2)
            if i or j
        ]
        minima = (values[1:-1, 1:-1] < np.stack(around).min(0)).sum()
        centre = values[side // 2, side // 2]
        near = 100 * (values < centre + 0.5).mean()
        row = [label, f"{centre:.2f}", f"{values.max():.2f}", str(int(minima)), f"{near:.0f}"]
        rows.append(row)
    save(figure, "fig9-landscape")
    head = ["arm, twenty epochs, seed 0", "loss at the centre", "largest", "local minima inside"]
    return markdown(head + ["share of the plane within 0.5 of the centre, %"], rows)


def losses(net, x, y, ticks):
    """Loss at each point of the plane, [ticks, ticks]."""
    torch.manual_seed(0)
    weights = [p for p in net.parameters() if p.dim() > 1]
    base = [w.detach().clone() for w in weights]
    directions = []
    for _ in range(2):
        random = [torch.randn_like(w) for w in base]
        scaled = []
        for pair in zip(random, base):
            scaled.append(torch.stack([d * (f.norm() / d.norm()) for d, f in zip(*pair)]))
        directions.append(scaled)
    values = np.zeros((len(ticks), len(ticks)))
    with torch.no_grad():
        for i, a in enumerate(ticks):
            for j, b in enumerate(ticks):
                for weight, start, one, two in zip(weights, base, *directions):
                    weight.copy_(start + a * one + b * two)
                values[i, j] = F.cross_entropy(dsatgo.readout(net(x)), y).item()
    return values


def case(work):
    """Fig. 10: one recording's frames, the spikes of the first layer and of the third, and the
    firing rates over timesteps."""
    figure, axes = plt.subplots(5, 10, figsize=(12, 6.4))
    rows = []
    for number, (arm, label) in enumerate(PAIR.items()):
        net, _, test = network(work, f"objects-{arm}-0")
        x, _ = test[torch.tensor([len(test) // 2]), None, 0]  # [T, 1, 2, H, W]
        with torch.no_grad(), spikes_of(net, "conv1", "conv3") as seen:
            net(x)
        for t in range(10):
            axes[0, t].imshow(x[t, 0].sum(0).clamp(max=4), cmap="gray")
        for i, (name, (spikes,)) in enumerate(seen.items()):
            s = spikes[:, 0]  # [T, C, H, W]
            for t, axis in enumerate(axes[1 + 2 * number + i]):
                axis.imshow(s[t].mean(0), cmap="gray", vmin=0, vmax=0.8)
                axis.set_title(f"{label} {name}: {100 * s[t].mean():.1f} %", fontsize=6)
            rates = 100 * s.mean((1, 2, 3))
            span = f"{rates.min():.1f} to {rates.max():.1f}"
            uneven = f"{rates.std() / rates.mean():.2f}"
            rows.append([label, name, f"{rates.mean():.1f}", span, uneven])
    for axis in axes.flat:
        axis.set_axis_off()
    save(figure, "fig10-case")
    head = ["arm, one recording", "layer", "firing over ten timesteps, %", "range"]
    return markdown(head + ["deviation over mean"], rows)


def momenta(work):
    """Fig. 13, line chart: the running thresholds of each layer, mean of both timesteps, after
    training at each momentum."""

    def thresholds(run):
        net, _, _ = network(work, run)
        return np.array([lif.running_threshold.mean().item() for lif in lifs(net).values()])

    figure, axis = plt.subplots(figsize=(8, 3.5))
    lines = {}
    for m, run in ((0.02, "momentum-0.02"), (0.1, "pictures-both-0"), (0.5, "momentum-0.5")):
        lines[f"m = {m}"] = thresholds(run)
        axis.plot(lines[f"m = {m}"], "o-", ms=3, label=f"m = {m}: {accuracy(run):.1f} %")
    reference = lines.pop("m = 0.1")
    lines["m = 0.1, seed 1"] = thresholds("pictures-both-1")
    axis.plot(lines["m = 0.1, seed 1"], ":", color="grey", label="m = 0.1, seed 1")
    axis.set(xlabel="layer", ylabel="running threshold")
    axis.legend(fontsize=8)
    save(figure, "fig13-momentum")
    rows = []
    for label, line in lines.items():
        rows.append([label, f"{100 * np.mean(np.abs(line - reference) / reference):.1f}"])
    head = ["running thresholds against m = 0.1, seed 0", "mean distance, % of the threshold"]
    return markdown(head, rows)


def energies(work):
    """Table 2 and Fig. 12: operations and energy of a picture."""
    paper = {
        "vanilla": "443.14; 7.08; 0.43",
        LEARNED: "1084.02; 7.08; 1.01",
        "LTMD": "1047.98; 7.08; 0.98",
        "AT+TGO, f_c 1.0": "690.84; 7.08; 0.65",
        "AT+TGO, f_c 1.2": "493.32; 7.08; 0.48",
    }
    runs = {"vanilla": "pictures-vanilla-0", LEARNED: "learned", "LTMD": "baseline-LTMD-0"}
    runs |= {"MPD-AGL's width": "baseline-MPDAGL-0", ASGS: "baseline-ASGS-0"}
    for f_c in (0.6, 0.8, 1.0, 1.2, 1.5):
        runs[f"AT+TGO, f_c {f_c}"] = "pictures-both-0" if f_c == 1 else f"f_c-{f_c}"
    rows = []
    figure, axis = plt.subplots(figsize=(6, 4))
    for label, run in runs.items():
        net, _, test = network(work, run)
        count = dsatgo.energy(net, samples(test, 500)[0])
        operations = [count[name] for name in ("ac_paper", "mac", "ac_counted", "mac_counted")]
        cells = [f"{n / 1e6:.2f}" for n in operations]
        cells += [f"{1e3 * count[name]:.2f}" for name in ("mj_paper", "mj_counted")]
        score = accuracy(run)
        scores = [f"{score:.1f}", f"{trained(run):.1f}"]
        rows.append([label, *cells, *scores, paper.get(label, "-")])
        spent = 1e3 * count["mj_counted"]
        axis.plot(spent, score, "o", color="C1" if "f_c" in label else "C0")
        short = label.removeprefix("AT+TGO, ").partition(" (")[0].partition(",")[0]
        axis.annotate(short, (spent, score), fontsize=7)
    cells = [*["0", f"{count['mac_ann'] / 1e6:.2f}"] * 2, *[f"{1e3 * count['mj_ann']:.2f}"] * 2]
    ann = ["ANN of the same shape, not trained", *cells, *["not run"] * 2, "0; 2285.35; 10.51"]
    rows.insert(0, ann)
    axis.set(xlabel="microjoule a picture, by what arrives", ylabel="test accuracy, %, seed 0")
    save(figure, "fig12-energy")
    head = ["", "AC, M (appendix C)", "MAC, M", "AC, M (counted)", "MAC, M (counted)"]
    head += ["microjoule (appendix C)", "microjoule (counted)", "accuracy, seed 0, %"]
    head += ["training accuracy"]
    return markdown(head + ["the paper: AC, MAC (M), mJ"], rows)


def times(work, rounds=100):
    """Table 2's times: a training step and a test batch of 50, as ratios to vanilla's, all networks
    in turn in one process. The ANN: ReLU for neurons and one timestep."""
    runs = {
        "vanilla": "pictures-vanilla-0",
        LEARNED: "learned",
        "AT+TGO, f_c 1.0": "pictures-both-0",
        "AT+TGO, f_c 1.2": "f_c-1.2",
    }
    nets = {}
    for label, run in runs.items():
        nets[label], train, _ = network(work, run)
    ann = dsatgo.resnet19(10, 1, 3, 8, neuron=dsatgo.ReLU)
    nets["ANN"] = ann.to(memory_format=torch.channels_last)
    x, y = samples(train, 50)
    x = x.contiguous(memory_format=torch.channels_last)
    spent = {label: ([], []) for label in nets}
    labels = list(nets)
    for i in range(rounds + 1):
        first = i % len(labels)
        for label in labels[first:] + labels[:first]:  # each goes first in turn
            took = step_and_test(nets[label], x, y)
            if i:  # the first round compiles
                for times_of, seconds in zip(spent[label], took):
                    times_of.append(seconds)
    paper = {
        "ANN": "38; 2",
        "vanilla": "67; 4",
        LEARNED: "69; 4",
        "AT+TGO, f_c 1.0": "74; 4",
        "AT+TGO, f_c 1.2": "74; 4",
    }
    rows = []
    for label, theirs in paper.items():
        ratios = []
        for pair in zip(spent[label], spent["vanilla"]):
            ratios.append(statistics.median(a / b for a, b in zip(*pair)))
        rows.append([label, *(f"{ratio:.2f}" for ratio in ratios), theirs])
    head = ["median of ratios to vanilla's", "training step", "test batch"]
    return markdown(head + ["the paper, s an epoch: train; test"], rows)


def step_and_test(net, x, y):
    """Seconds of a training step and of a test."""
    net.train()
    optimizer = torch.optim.SGD(net.parameters(), 0.0, momentum=0.9, fused=True)
    net.zero_grad()
    start = time.perf_counter()
    F.cross_entropy(dsatgo.readout(net(x)), y).backward()
    optimizer.step()
    middle = time.perf_counter()
    with torch.no_grad():
        net.eval()(x)
    return middle - start, time.perf_counter() - middle


def features(work, count=2000):
    """Fig. 15: t-SNE of the last convolution's spikes, averaged over time and space; how well
    classes part: silhouette, and the majority of the ten nearest neighbours."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.5))
    rows = []
    last = "stage3.1.conv2"
    for axis, (arm, label) in zip(axes, PAIR.items()):
        net, _, test = network(work, f"twenty-{arm}-0")
        x, y = samples(test, count)
        pooled = []
        for part in x.split(500):
            with torch.no_grad(), spikes_of(net, last) as seen:
                net(part)
            pooled.append(seen[last][0].mean((0, 3, 4)))
        pooled = torch.cat(pooled).numpy()
        places = sklearn.manifold.TSNE(random_state=0).fit_transform(pooled)
        axis.scatter(*places.T, c=y, cmap="tab10", s=4)
        axis.set_title(label, fontsize=9)
        cells = []
        for space in (pooled, places):
            points = torch.tensor(space)
            distances = torch.cdist(points, points).fill_diagonal_(float("inf"))
            nearest = y[distances.topk(10, largest=False).indices].mode(1).values
            cells.append(f"{sklearn.metrics.silhouette_score(space, y):.3f}")
            cells.append(f"{100 * (nearest == y).float().mean():.1f}")
        rows.append([label, *cells])
    save(figure, "fig15-tsne")
    head = ["arm, twenty epochs, seed 0", "silhouette of the features"]
    head += ["their ten nearest neighbours right, %", "silhouette of the map"]
    return markdown(head + ["neighbours in the map right, %"], rows)


def contrast(factor):
    return lambda x, random: factor * x


def noise(level):
    return lambda x, random: x + level * torch.from_numpy(random.standard_normal(x.shape, "f4"))


def thinned(keep):
    """Each event kept or not: the camera's rate falls."""
    return lambda x, random: torch.from_numpy(random.binomial(x.int().numpy(), keep)).float()


SHIFTS = dict(
    pictures={
        "none": lambda x, random: x,
        "contrast 0.5": contrast(0.5),
        "contrast 0.25": contrast(0.25),
        "noise 0.5": noise(0.5),
        "noise 1.0": noise(1.0),
    },
    objects={
        "none": lambda x, random: x,
        "event rate 0.5": thinned(0.5),
        "event rate 0.25": thinned(0.25),
    },
)


def shift(work):
    """Accuracy under shifted inputs, as trained and after `calibrate` on other inputs shifted
    alike, in random batches."""
    rows = []
    for kind, shifts in SHIFTS.items():
        for name, change in shifts.items():
            cells = []
            for arm in PAIR:
                scores = [shifted(work, f"{kind}-{arm}-{seed}", seed, change) for seed in range(3)]
                cells += [spread(values) for values in zip(*scores)]
            rows.append([kind, name, *cells])
    head = ["data", "shift", "vanilla, as trained", "vanilla, calibrated"]
    return markdown(head + ["AT+TGO, as trained", "AT+TGO, calibrated"], rows)


def shifted(work, run, seed, change):
    """Accuracy under a shift, before `calibrate` and after."""
    net, train, test = network(work, run)
    random = np.random.default_rng(seed)
    changed = []
    for part in torch.arange(len(test)).split(200):
        x, y = test[part, None, 0]
        changed.append((change(x, random), y))
    order = torch.from_numpy(random.permutation(len(train)))[:1000].split(50)
    others = [change(train[part, None, 0][0], random) for part in order if len(part) == 50]
    before = correct(net, changed)
    dsatgo.calibrate(net, others)
    return before, correct(net, changed)


def batches(work):
    """How far the thresholds of a batch are from those of 4,000 pictures, by its size, in
    evaluation mode."""
    net, train, _ = network(work, "pictures-both-0")
    for layer in lifs(net).values():
        layer.momentum = None  # evaluation at the batch's own thresholds
    x, _ = samples(train, 4000)
    reference = thresholds_of(net, x)
    rows = []
    for size in (400, 100, 50, 20, 5, 1):
        seen = torch.stack([thresholds_of(net, part) for part in x.split(size)[:20]])
        gap = 100 * (seen - reference).abs() / reference  # [batches, layers, T]
        rows.append([str(size), f"{gap.mean():.2f}", f"{gap.mean((0, 2)).max():.2f}"])
    head = ["pictures in a batch", "mean distance of a threshold from that of 4,000, %"]
    return markdown(head + ["worst layer"], rows)


def thresholds_of(net, x):
    """[layers, T]"""
    with torch.no_grad(), dsatgo.probe(net) as figures:
        net(x)
    return torch.stack([seen["threshold"] for seen in figures.values()])


def sortedness(work):
    """Without a moving average a test batch has thresholds of its own: in random order, and sorted
    by class."""
    rows = []
    runs = {"no moving average": "objects-momentum-none", "moving average": "objects-both"}
    for label, run in runs.items():
        scores = {"random": [], "sorted": []}
        for seed in (0, 1, 2):
            net, _, test = network(work, f"{run}-{seed}")
            drawn = torch.randperm(len(test), generator=torch.Generator().manual_seed(0))
            orders = {"random": drawn, "sorted": test.labels.argsort(stable=True)}
            for kind, order in orders.items():
                parts = (test[part, None, 0] for part in order.split(20))
                scores[kind].append(correct(net, parts))
        rows.append([label, *(spread(values) for values in scores.values())])
    head = ["five objects, test batches of 20", "random order", "sorted by class"]
    return markdown(head, rows)


PARTS = (
    distributions,
    encoding,
    landscape,
    case,
    momenta,
    energies,
    features,
    shift,
    batches,
    sortedness,
    times,
)

if __name__ == "__main__":
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("--only", choices=[part.__name__ for part in PARTS])
    options = parser.parse_args()
    dsatgo.compile_neurons()
    for part in PARTS:
        if options.only in (None, part.__name__):
            torch.manual_seed(0)
            USED.clear()
            with train_cifar.one_line_errors():  # no checkpoint there, or no data
                found = part(options.work)
            print(found, flush=True)
            fill(part.__name__, found, source(f"networks.py WORK --only {part.__name__}"))
