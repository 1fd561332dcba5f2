"""What do the trained networks show, beside the paper's figures? Draws Figs. 2, 4, 9, 10, 12, 13, 15 and measures Table 2,
inference under shift and batch size against threshold quality. Without training, a quarter of an hour on two cores.

    python experiments/networks.py WORK [--only PART]

WORK: the folder of train_all.py with the checkpoints; the data must still lie where they were trained. Writes
experiments/results/*.png, and its tables into experiments/README.md. The part `times` wants an idle machine.
"""
import argparse
import dataclasses
import functools
import pathlib
import statistics
import time

import numpy as np
import scipy.ndimage
import sklearn.manifold
import sklearn.metrics
import torch
from figures import PAIR, USED, accuracy, fill, markdown, plt, save, source  # puts the repository on the path

import dsatgo
import train_cifar
import train_dvs


@functools.lru_cache
def data(script, config):
    """(training set, test set) of a configuration's data, given as a tuple of its settings."""
    return script.load(script.Settings(**dict(config)))


def network(work, run):
    """-> net, the run's training set, its test set."""
    USED.add(run)
    checkpoint = dsatgo.load_checkpoint(work / run)
    script = train_dvs if "phi" in checkpoint["config"] else train_cifar
    config = script.Settings(**checkpoint["config"])
    keys = [field.name for field in dataclasses.fields(config) if field.name in (
        "data", "dataset", "limit_train", "limit_test", "seed", "image_size", "T", "size", "by", "split", "cache")]
    train, test = data(script, tuple((key, getattr(config, key)) for key in keys))
    net = dsatgo.build(config, len(checkpoint["facts"]["classes"]), test.shape)
    net.load_state_dict(checkpoint["model"])
    return net.eval(), train, test


def samples(part, count):
    """The first `count` samples as evaluation sees them, and their labels."""
    return part[torch.arange(min(count, len(part))), None, 0]


def correct(net, batches):
    """Test accuracy in percent over (input, labels) pairs."""
    with torch.no_grad():
        right = [(dsatgo.readout(net(x)).argmax(1) == y).float() for x, y in batches]
    return 100 * torch.cat(right).mean().item()


def potentials(net, x):
    """{layer: (potentials [T, N], where it fires [T], width [T])}, from the currents that reach the neurons."""
    result, hooks = {}, []
    for name, layer in net.named_modules():
        if isinstance(layer, dsatgo.LIF):
            def hook(module, inputs, output, name=name):
                given = module.running_threshold if module.adaptive else torch.full((module.T,), module.v_th)
                u, _, _, fire, k = dsatgo._lif_forward(inputs[0].flatten(1), torch.sigmoid(module.w), given, module.rule)
                result[name] = u, fire, k
            hooks.append(layer.register_forward_hook(hook))
    with torch.no_grad():
        net(x)
    for hook in hooks:
        hook.remove()
    return result


def distributions(work):
    """Fig. 2: potentials of networks of ten timesteps: above the window (saturation), below it (degeneration)."""
    figure, axes = plt.subplots(4, 4, figsize=(13, 9), sharex=True)
    rows = []
    runs = {"T-10-vanilla": "T=10, vanilla", "T-10-both": "T=10, AT+TGO", "scale-0.25-vanilla-0": "scale 0.25, vanilla",
            "scale-4-vanilla-0": "scale 4, vanilla"}
    for row, (run, label) in zip(axes, runs.items()):
        net, _, test = network(work, run)
        seen = potentials(net, samples(test, 100)[0])
        above, below = (100 * torch.stack([(sign * (u - fire[:, None]) > k[:, None] / 2).float().mean(1)
                                           for u, fire, k in seen.values()]) for sign in (1, -1))        # [layers, T]
        rows.append([label, f"{above.mean():.1f}", f"{above.max():.1f}", f"{below.mean():.1f}", f"{below.max():.1f}",
                     f"{100 - above.mean() - below.mean():.1f}"])
        for axis, name in zip(row, ("stem.neuron", "stage1.2.conv2.neuron", "stage2.2.conv2.neuron", "stage3.1.conv2.neuron")):
            u, fire, k = seen[name]
            for t in sorted({0, len(u) // 2, len(u) - 1}):
                axis.hist((u[t] - fire[t]).numpy(), 80, range=(-3, 3), histtype="step", density=True, label=f"t={t + 1}")
            axis.axvspan(-k.mean() / 2, k.mean() / 2, color="grey", alpha=0.2)
            axis.set_title(f"{label}, {name.removesuffix('.neuron')}", fontsize=7)
            axis.legend(fontsize=6)
    for axis in axes[-1]:
        axis.set_xlabel("potential minus threshold; grey: where there is a gradient", fontsize=6)
    save(figure, "fig2-distributions")
    return markdown(["network", "above the window, %", "most, one layer and timestep", "below, %", "most", "with gradient, %"],
                    rows)


def similarity(a, b, side=7):
    """Mean structural similarity (Wang et al. 2004, uniform windows) of two pictures in [0, 1]."""
    def mean(x):
        return scipy.ndimage.uniform_filter(x, side)

    ma, mb = mean(a), mean(b)
    va, vb, vab = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    return float(((2 * ma * mb + 1e-4) * (2 * vab + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4))).mean())


def encoding(work):
    """Fig. 4: grey pictures encoded by one layer in four timesteps, the current their brightness from 0 to 1, that over the
    set's mean, and normalised by the set's mean and deviation: similarity of the firing rates to the picture."""
    _, _, test = network(work, "pictures-both-0")
    greys = test.images[:200].double().mean(1).numpy() / 255
    rules = [(f"fixed {v}", dict(threshold="fixed", width="fixed", v_th=v)) for v in (0.25, 0.5, 1.0, 1.5)] + [
        ("adaptive", dict(threshold="true")), ("adaptive, f_c 0.5", dict(threshold="true", f_c=0.5))]
    currents = {"brightness": greys, "over the mean": greys / greys.mean(), "normalised": (greys - greys.mean()) / greys.std()}
    figure, axes = plt.subplots(3, len(rules) + 1, figsize=(11, 5.2))
    rows = []
    for pictures, (kind, inputs) in zip(axes, currents.items()):
        pictures[0].imshow(greys[3], cmap="gray")
        pictures[0].set_title(kind, fontsize=8)
        scores = []
        for axis, (name, rule) in zip(pictures[1:], rules):
            layer = dsatgo.LIF(4, **rule)                          # in training mode: Eq. 5 of this very picture
            rates = [layer(torch.tensor(one, dtype=torch.float32).expand(4, 1, 32, 32)).mean((0, 1)).detach().numpy()
                     for one in inputs]
            scores.append(statistics.mean(similarity(grey, rate) for grey, rate in zip(greys, rates)))
            axis.imshow(rates[3], cmap="gray", vmin=0, vmax=1)
            axis.set_title(f"{name}: {scores[-1]:.3f}", fontsize=7)
        rows.append([kind, *(f"{score:.3f}" for score in scores)])
    for axis in axes.flat:
        axis.set_axis_off()
    save(figure, "fig4-encoding")
    trained = []
    for arm, label in PAIR.items():                                # and the first layer of trained networks
        net, _, _ = network(work, f"twenty-{arm}-0")
        with torch.no_grad():
            maps = net.stem(samples(test, 200)[0].expand(net.T, -1, -1, -1, -1)).mean((0, 2)).numpy()
        trained.append(f"{label} {statistics.mean(similarity(grey, one) for grey, one in zip(greys, maps)):.3f}")
    return markdown(["current, mean similarity of 200 pictures", *(name for name, _ in rules)], rows) + (
        f"\n\nFirst layer of trained networks (twenty epochs), mean spikes of channels and timesteps: {', '.join(trained)}.")


def landscape(work, side=13, reach=1.0):
    """Fig. 9: loss on 300 test pictures over two random directions, each filter's part scaled to the filter's norm (Li et al.
    2018)."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 4))
    rows, ticks = [], np.linspace(-reach, reach, side)
    for axis, (arm, label) in zip(axes, PAIR.items()):
        net, _, test = network(work, f"twenty-{arm}-0")
        x, y = samples(test, 300)
        torch.manual_seed(0)
        weights = [p for p in net.parameters() if p.dim() > 1]
        base, directions = [w.detach().clone() for w in weights], []
        for _ in range(2):
            random = [torch.randn_like(w) for w in base]
            directions.append([torch.stack([d * (f.norm() / d.norm()) for d, f in zip(*pair)]) for pair in zip(random, base)])
        values = np.zeros((side, side))
        with torch.no_grad():
            for i, a in enumerate(ticks):
                for j, b in enumerate(ticks):
                    for weight, start, one, two in zip(weights, base, *directions):
                        weight.copy_(start + a * one + b * two)
                    values[i, j] = torch.nn.functional.cross_entropy(dsatgo.readout(net(x)), y).item()
        axis.contour(ticks, ticks, values, 25)
        axis.set_title(f"{label}: loss {values.min():.2f} to {values.max():.2f}", fontsize=9)
        inner = values[1:-1, 1:-1]
        around = np.stack([values[1 + i:side - 1 + i, 1 + j:side - 1 + j] for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j])
        centre = values[side // 2, side // 2]
        rows.append([label, f"{centre:.2f}", f"{values.max():.2f}", str(int((inner < around.min(0)).sum())),
                     f"{100 * (values < centre + 0.5).mean():.0f}"])
    save(figure, "fig9-landscape")
    return markdown(["arm, twenty epochs, seed 0", "loss at the centre", "largest", "local minima inside",
                     "share of the plane within 0.5 of the centre, %"], rows)


def case(work):
    """Fig. 10: one recording's frames, the spikes of the first layer and of the third, and the firing rates over timesteps."""
    def keep(spikes, name, module, inputs, s):
        spikes[name] = s[:, 0]

    figure, axes = plt.subplots(5, 10, figsize=(12, 6.4))
    rows = []
    for row, (arm, label) in enumerate(PAIR.items()):
        net, _, test = network(work, f"objects-{arm}-0")
        x = test[torch.tensor([len(test) // 2]), None, 0][0]                                             # [T, 1, 2, H, W]
        spikes, hooks = {}, []
        for name in ("conv1", "conv3"):
            layer = net.get_submodule(f"{name}.neuron")
            hooks.append(layer.register_forward_hook(functools.partial(keep, spikes, name)))
        with torch.no_grad():
            net(x)
        for hook in hooks:
            hook.remove()
        for t in range(10):
            axes[0, t].imshow(x[t, 0].sum(0).clamp(max=4), cmap="gray")
            for i, name in enumerate(spikes):
                axes[1 + 2 * row + i, t].imshow(spikes[name][t].mean(0), cmap="gray", vmin=0, vmax=0.8)
                axes[1 + 2 * row + i, t].set_title(f"{label} {name}: {100 * spikes[name][t].mean():.1f} %", fontsize=6)
        for name, s in spikes.items():
            rates = 100 * s.mean((1, 2, 3))
            rows.append([label, name, f"{rates.mean():.1f}", f"{rates.min():.1f} to {rates.max():.1f}",
                         f"{rates.std() / rates.mean():.2f}"])
    for axis in axes.flat:
        axis.set_axis_off()
    save(figure, "fig10-case")
    return markdown(["arm, one recording", "layer", "firing over ten timesteps, %", "range", "deviation over mean"], rows)


def momenta(work):
    """Fig. 13, line chart: the running thresholds of each layer, mean of both timesteps, after training at each momentum."""
    figure, axis = plt.subplots(figsize=(8, 3.5))
    lines = {}
    for m, run in (0.02, "momentum-0.02"), (0.1, "pictures-both-0"), (0.5, "momentum-0.5"):
        net, _, _ = network(work, run)
        lines[m] = np.array([layer.running_threshold.mean().item() for layer in net.modules() if isinstance(layer, dsatgo.LIF)])
        axis.plot(lines[m], "o-", ms=3, label=f"m = {m}: {accuracy(run):.1f} %")
    other, _, _ = network(work, "pictures-both-1")
    seed = np.array([layer.running_threshold.mean().item() for layer in other.modules() if isinstance(layer, dsatgo.LIF)])
    axis.plot(seed, ":", color="grey", label="m = 0.1, seed 1")
    axis.set(xlabel="layer", ylabel="running threshold")
    axis.legend(fontsize=8)
    save(figure, "fig13-momentum")
    return markdown(["running thresholds against m = 0.1, seed 0", "mean distance, % of the threshold"], [
        [label, f"{100 * np.mean(np.abs(line - lines[0.1]) / lines[0.1]):.1f}"] for label, line in (
            ("m = 0.02", lines[0.02]), ("m = 0.5", lines[0.5]), ("m = 0.1, seed 1", seed))])


def energies(work):
    """Table 2 and Fig. 12: operations and energy of a picture."""
    paper = {"vanilla": "443.14; 7.08; 0.43", "learned threshold (DIET-SNN-like)": "1084.02; 7.08; 1.01",
             "AT+TGO, f_c 1.0": "690.84; 7.08; 0.65", "AT+TGO, f_c 1.2": "493.32; 7.08; 0.48"}
    rows, points = [], []
    for label, run in (("vanilla", "pictures-vanilla-0"), ("learned threshold (DIET-SNN-like)", "learned"),
                       ("AT+TGO, f_c 0.6", "f_c-0.6"), ("AT+TGO, f_c 0.8", "f_c-0.8"), ("AT+TGO, f_c 1.0", "pictures-both-0"),
                       ("AT+TGO, f_c 1.2", "f_c-1.2"), ("AT+TGO, f_c 1.5", "f_c-1.5")):
        net, _, test = network(work, run)
        count = dsatgo.energy(net, samples(test, 500)[0])
        rows.append([label, *(f"{count[name] / 1e6:.2f}" for name in ("ac_paper", "mac", "ac_counted", "mac_counted")),
                     *(f"{1e3 * count[name]:.2f}" for name in ("mj_paper", "mj_counted")), f"{accuracy(run):.1f}",
                     paper.get(label, "-")])
        points.append((label, 1e3 * count["mj_counted"], accuracy(run)))
    rows.insert(0, ["ANN of the same shape, not trained", *["0", f"{count['mac_ann'] / 1e6:.2f}"] * 2,
                    *[f"{1e3 * count['mj_ann']:.2f}"] * 2, "not run", "0; 2285.35; 10.51"])
    rows += [[name, *["not included"] * 7, score] for name, score in (("LTMD", "1047.98; 7.08; 0.98"), ("ASG", "-"))]
    figure, axis = plt.subplots(figsize=(6, 4))
    for label, energy, score in points:
        axis.plot(energy, score, "o", color="C1" if "f_c" in label else "C0")
        axis.annotate(label.removeprefix("AT+TGO, ").partition(" (")[0], (energy, score), fontsize=7)
    axis.set(xlabel="microjoule a picture, by what arrives", ylabel="test accuracy, %, seed 0")
    save(figure, "fig12-energy")
    return markdown(["", "AC, M (appendix C)", "MAC, M", "AC, M (counted)", "MAC, M (counted)", "microjoule (appendix C)",
                     "microjoule (counted)", "accuracy, seed 0, %", "the paper: AC, MAC (M), mJ"], rows)


def times(work, rounds=100):
    """Table 2's times: a training step and a test batch of 50, as ratios to vanilla's, all networks in turn in one process.
    The ANN: ReLU for neurons and one timestep."""
    nets = {}
    for label, run in (("vanilla", "pictures-vanilla-0"), ("learned threshold (DIET-SNN-like)", "learned"),
                       ("AT+TGO, f_c 1.0", "pictures-both-0"), ("AT+TGO, f_c 1.2", "f_c-1.2")):
        nets[label], train, _ = network(work, run)
    nets["ANN"] = dsatgo.resnet19(10, 1, 3, 8, neuron=lambda T: torch.nn.ReLU()).to(memory_format=torch.channels_last)
    x, y = samples(train, 50)
    x = x.contiguous(memory_format=torch.channels_last)
    spent = {label: ([], []) for label in nets}
    for i in range(rounds + 1):
        labels = list(nets)
        for label in labels[i % len(labels):] + labels[:i % len(labels)]:                          # each goes first in turn
            net = nets[label].train()
            optimizer = torch.optim.SGD(net.parameters(), 0.0, momentum=0.9, fused=True)
            net.zero_grad()
            start = time.perf_counter()
            torch.nn.functional.cross_entropy(dsatgo.readout(net(x)), y).backward()
            optimizer.step()
            middle = time.perf_counter()
            with torch.no_grad():
                net.eval()(x)
            if i:                                                  # the first round compiles
                spent[label][0].append(middle - start)
                spent[label][1].append(time.perf_counter() - middle)
    paper = {"ANN": "38; 2", "vanilla": "67; 4", "learned threshold (DIET-SNN-like)": "69; 4", "AT+TGO, f_c 1.0": "74; 4",
             "AT+TGO, f_c 1.2": "74; 4"}
    ratios = {label: [statistics.median(a / b for a, b in zip(*pair)) for pair in zip(spent[label], spent["vanilla"])]
              for label in paper}
    return markdown(["median of ratios to vanilla's", "training step", "test batch", "the paper, s an epoch: train; test"],
                    [[label, *(f"{ratio:.2f}" for ratio in ratios[label]), paper[label]] for label in paper])


def features(work, count=2000):
    """Fig. 15: t-SNE of the last convolution's spikes, averaged over time and space; how well classes part: silhouette, and the
    majority of the ten nearest neighbours."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.5))
    rows = []
    for axis, (arm, label) in zip(axes, PAIR.items()):
        net, _, test = network(work, f"twenty-{arm}-0")
        x, y = samples(test, count)
        seen = []
        hook = net.get_submodule("stage3.1.conv2.neuron").register_forward_hook(
            lambda module, inputs, s, seen=seen: seen.append(s.mean((0, 3, 4))))
        correct(net, zip(x.split(500), y.split(500)))
        hook.remove()
        pooled = torch.cat(seen).numpy()
        places = sklearn.manifold.TSNE(random_state=0).fit_transform(pooled)
        axis.scatter(*places.T, c=y, cmap="tab10", s=4)
        axis.set_title(label, fontsize=9)
        cells = []
        for space in pooled, places:
            distances = torch.cdist(torch.tensor(space), torch.tensor(space)).fill_diagonal_(float("inf"))
            nearest = y[distances.topk(10, largest=False).indices].mode(1).values
            cells += [f"{sklearn.metrics.silhouette_score(space, y):.3f}", f"{100 * (nearest == y).float().mean():.1f}"]
        rows.append([label, *cells])
    save(figure, "fig15-tsne")
    return markdown(["arm, twenty epochs, seed 0", "silhouette of the features", "their ten nearest neighbours right, %",
                     "silhouette of the map", "neighbours in the map right, %"], rows)


def shift(work):
    """Accuracy under shifted inputs, as trained and after `calibrate` on other inputs shifted alike, in random batches."""
    def contrast(factor):
        return lambda x, random: factor * x

    def noise(level):
        return lambda x, random: x + level * torch.from_numpy(random.standard_normal(x.shape, np.float32))

    def thinned(keep):                                             # each event kept or not: the camera's rate falls
        return lambda x, random: torch.from_numpy(random.binomial(x.int().numpy(), keep)).float()

    same = ("none", lambda x, random: x)
    rows = []
    for kind, shifts in ("pictures", [same, *((f"contrast {c}", contrast(c)) for c in (0.5, 0.25)),
                                      *((f"noise {n}", noise(n)) for n in (0.5, 1.0))]), (
            "objects", [same, *((f"event rate {r}", thinned(r)) for r in (0.5, 0.25))]):
        for name, change in shifts:
            cells = []
            for arm in PAIR:
                before, after = [], []
                for seed in (0, 1, 2):
                    net, train, test = network(work, f"{kind}-{arm}-{seed}")
                    random = np.random.default_rng(seed)
                    shifted = [(change(x, random), y) for x, y in (
                        test[part, None, 0] for part in torch.arange(len(test)).split(200))]
                    order = torch.from_numpy(random.permutation(len(train)))[:1000].split(50)
                    others = [change(train[part, None, 0][0], random) for part in order if len(part) == 50]
                    before.append(correct(net, shifted))
                    dsatgo.calibrate(net, others)
                    after.append(correct(net, shifted))
                cells += [f"{statistics.mean(v):.1f} +- {statistics.stdev(v):.1f}" for v in (before, after)]
            rows.append([kind, name, *cells])
    return markdown(["data", "shift", "vanilla, as trained", "vanilla, calibrated", "AT+TGO, as trained", "AT+TGO, calibrated"],
                    rows)


def batches(work):
    """How far the thresholds of a batch are from those of 4,000 pictures, by its size, in evaluation mode."""
    net, train, _ = network(work, "pictures-both-0")
    for layer in net.modules():
        if isinstance(layer, dsatgo.LIF):
            layer.momentum = None                                 # evaluation at the batch's own thresholds
    x, _ = samples(train, 4000)
    reference, rows = None, []
    for size in (4000, 400, 100, 50, 20, 5, 1):
        seen = []
        for part in x.split(size)[:20]:
            with torch.no_grad(), dsatgo.probe(net) as figures:
                net(part)
            seen.append(torch.stack([f["threshold"] for f in figures.values()]))
        seen = torch.stack(seen)                                                                         # [batches, layers, T]
        reference = seen[0] if reference is None else reference
        gap = 100 * (seen - reference).abs() / reference
        if size < 4000:
            rows.append([str(size), f"{gap.mean():.2f}", f"{gap.mean((0, 2)).max():.2f}"])
    return markdown(["pictures in a batch", "mean distance of a threshold from that of 4,000, %", "worst layer"], rows)


def sortedness(work):
    """Without a moving average a test batch has thresholds of its own: in random order, and sorted by class."""
    rows = []
    for label, run in ("no moving average", "objects-momentum-none"), ("moving average", "objects-both"):
        scores = {"random": [], "sorted": []}
        for seed in (0, 1, 2):
            net, _, test = network(work, f"{run}-{seed}")
            for kind, order in ("random", torch.randperm(len(test), generator=torch.Generator().manual_seed(0))), (
                    "sorted", test.labels.argsort(stable=True)):
                scores[kind].append(correct(net, (test[part, None, 0] for part in order.split(20))))
        rows.append([label, *(f"{statistics.mean(v):.1f} +- {statistics.stdev(v):.1f}" for v in scores.values())])
    return markdown(["five objects, test batches of 20", "random order", "sorted by class"], rows)


PARTS = (distributions, encoding, landscape, case, momenta, energies, features, shift, batches, sortedness, times)

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("--only", choices=[part.__name__ for part in PARTS])
    options = parser.parse_args()
    dsatgo.compile_neurons()
    for part in PARTS:
        if options.only in (None, part.__name__):
            torch.manual_seed(0)
            USED.clear()
            with train_cifar.one_line_errors():                   # no checkpoint there, or no data
                found = part(options.work)
            print(found, flush=True)
            fill(part.__name__, found, source(f"networks.py WORK --only {part.__name__}"))
