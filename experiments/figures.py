"""What do the runs say, beside the paper's figures? Draws them from the logs, in seconds; with the checkpoints also those that
need a network, in about five minutes on two cores.

    python experiments/figures.py [WORK PICTURES]

The runs are those of train_all.py: their logs in experiments/results/runs, and WORK, the folder with their checkpoints;
PICTURES: the pictures they saw. Writes experiments/results/*.png and evidence.json, which experiments/README.md quotes.
"""
import collections
import csv
import json
import math
import pathlib
import statistics
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "experiments" / "results"
sys.path.insert(0, str(ROOT))

import matplotlib  # noqa: E402

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
import scipy.ndimage  # noqa: E402
import scipy.stats  # noqa: E402
import torch  # noqa: E402

import dsatgo  # noqa: E402
import reference_numpy  # noqa: E402
import train_cifar  # noqa: E402

ARMS = dict(vanilla="vanilla", AT="AT", TGO="TGO", both="AT+TGO")
SEEDS = (0, 1, 2)


def table(run, name):
    path = RESULTS / "runs" / run / f"{name}.csv"
    return [{k: v if k == "layer" else float(v) for k, v in row.items()} for row in csv.DictReader(path.open())]


def exists(*runs):
    return all((RESULTS / "runs" / run / "log.csv").exists() for run in runs)


def accuracy(run):
    """Test accuracy of the last epoch, in percent."""
    return 100 * table(run, "log")[-1]["test_accuracy"]


def last_epoch(run, figure):
    """{layer: [value for each timestep]} of the last epoch."""
    rows, result = table(run, "layers"), collections.defaultdict(list)
    for row in rows:
        if row["epoch"] == rows[-1]["epoch"]:
            result[row["layer"]].append(row[figure])
    return result


def over_layers(run, figure):
    """Mean over timesteps for each layer."""
    return [statistics.mean(values) for values in last_epoch(run, figure).values()]


def interval(differences):
    """Mean of paired differences and the half-width of its 95 % confidence interval (Student)."""
    half = scipy.stats.t.ppf(0.975, len(differences) - 1) * statistics.stdev(differences) / math.sqrt(len(differences))
    return statistics.mean(differences), half


def save(figure, name):
    figure.tight_layout()
    figure.savefig(RESULTS / f"{name}.png", dpi=90)
    plt.close(figure)


def bars(axis, names, values, errors=None):
    axis.bar(range(len(names)), values, yerr=errors, color="C0")
    axis.set_xticks(range(len(names)), names, fontsize=8)


# ---- from the logs ----
def arms():
    """Fig. 6 and Table 1: four arms, three seeds, pictures and events."""
    result, figure = {}, plt.figure(figsize=(9, 6))
    for row, data in enumerate(("pictures", "objects")):
        if not exists(*(f"{data}-{arm}-{seed}" for arm in ARMS for seed in SEEDS)):
            continue
        loss, test = (figure.add_subplot(2, 2, 2 * row + i + 1) for i in range(2))
        scores = {arm: [accuracy(f"{data}-{arm}-{seed}") for seed in SEEDS] for arm in ARMS}
        for arm, label in ARMS.items():
            logs = [table(f"{data}-{arm}-{seed}", "log") for seed in SEEDS]
            for axis, column in (loss, "loss"), (test, "test_accuracy"):
                axis.plot(range(1, len(logs[0]) + 1), np.mean([[r[column] for r in log] for log in logs], 0), label=label)
            result[f"{data} {label}"] = dict(mean=statistics.mean(scores[arm]), deviation=statistics.stdev(scores[arm]),
                                             seeds=scores[arm])
            if arm != "vanilla":
                pairs = [a - b for a, b in zip(scores[arm], scores["vanilla"])]
                result[f"{data} {label}"]["ahead of vanilla"] = interval(pairs)
        loss.set_ylabel(f"{data}: training loss")
        test.set_ylabel("test accuracy")
        loss.legend(fontsize=8)
    save(figure, "fig6-arms")
    return result


def layers():
    """Figs. 8, 10, 11 and 14: firing and gradients for each layer and timestep, thresholds over training."""
    result, figure = {}, plt.figure(figsize=(11, 7))
    firing, gradient, steps, over = (figure.add_subplot(2, 2, i + 1) for i in range(4))
    for i, (arm, label) in enumerate(ARMS.items()):
        run = f"pictures-{arm}-0"
        rate, available = over_layers(run, "firing_rate"), over_layers(run, "gradient_available")
        firing.plot(rate, "o-", ms=3, label=label, color=f"C{i}")
        gradient.plot(available, "o-", ms=3, label=label, color=f"C{i}")
        by_time = np.mean(list(last_epoch(run, "firing_rate").values()), 0)
        steps.bar(np.arange(len(by_time)) + i / 5, by_time, 0.18, color=f"C{i}", label=label)
        result[label] = dict(firing=statistics.mean(rate), spread=statistics.pstdev(rate),
                             with_gradient=statistics.mean(available), least=min(available),
                             last_three=statistics.mean(available[-3:]),
                             between_timesteps=float(np.ptp(by_time)))
    rows = table("pictures-both-0", "layers")
    for name in list(last_epoch("pictures-both-0", "threshold"))[::3]:
        values = [r["threshold"] for r in rows if r["layer"] == name and r["timestep"] == 1]
        over.plot(range(1, len(values) + 1), values, label=name.removesuffix(".neuron"))
    for axis, title in ((firing, "firing rate of each layer (Fig. 8)"), (gradient, "share with gradient (Fig. 11)"),
                        (steps, "firing rate at each timestep (Fig. 10)"), (over, "thresholds at t=1 over epochs (Fig. 14)")):
        axis.set_title(title, fontsize=9)
        axis.legend(fontsize=6)
    firing.axhline(reference_numpy.firing_probability(), color="grey", lw=0.5)
    save(figure, "fig8-10-11-14-layers")
    return result


def closed_form():
    """Figs. 1 and 5: shares in closed form for normal potentials, and what the networks' layers did, at their own mean and
    deviation."""
    figure, (fires, has) = plt.subplots(1, 2, figsize=(9, 3.5))
    sigma = np.linspace(0.1, 3, 200)
    fixed = 1 - scipy.stats.norm.cdf(1 / sigma)
    fires.plot(sigma, fixed, label="fixed threshold 1 (Fig. 1)")
    fires.axhline(reference_numpy.firing_probability(), color="C1", label="adaptive: Theorem 1")
    width = 1 + np.tanh(sigma - 1)
    for label, theta, k in (("vanilla", 1, 1), ("AT", sigma, 1), ("AT+TGO", sigma, width)):
        has.plot(sigma, reference_numpy.gradient_probability(theta, k, 0, sigma), label=label)
    result = {}
    for marker, arm in ("x", "vanilla"), ("o", "both"):
        figures = {name: np.concatenate(list(last_epoch(f"pictures-{arm}-0", name).values())) for name in (
            "u_mean", "u_std", "threshold", "width", "gradient_available", "firing_rate")}
        predicted = reference_numpy.gradient_probability(*(figures[name] for name in ("threshold", "width", "u_mean", "u_std")))
        has.plot(figures["u_std"], figures["gradient_available"], marker, color="grey", ms=3, label=f"layers of {ARMS[arm]}")
        fires.plot(figures["u_std"], figures["firing_rate"], marker, color="grey", ms=3, label=f"layers of {ARMS[arm]}")
        result[ARMS[arm]] = dict(gaussian_error=float(np.abs(predicted - figures["gradient_available"]).mean()),
                                 sigma=[float(figures["u_std"].min()), float(figures["u_std"].max())],
                                 firing=[float(figures["firing_rate"].min()), float(figures["firing_rate"].max())])
    fires.set(xlabel="deviation of the potential", ylabel="share firing")
    has.set(xlabel="deviation of the potential", ylabel="share with gradient")
    fires.legend(fontsize=7)
    has.legend(fontsize=7)
    save(figure, "fig1-5-shares")
    return result


def sweeps():
    """Figs. 7, 12 and 13, and when AT+TGO beats vanilla: accuracy against each setting, one seed."""
    figure, axes = plt.subplots(2, 2, figsize=(10, 7))
    result, base = {}, accuracy("pictures-both-0")
    groups = dict(
        scale=[(s, f"scale-{s}-vanilla" if s != 1 else "pictures-vanilla-0", f"scale-{s}-both" if s != 1 else "pictures-both-0")
               for s in (0.25, 0.5, 1, 2, 4)],
        other=[("T=4", "T-4-vanilla", "T-4-both"), ("decay 1e-3", "decay-0.001-vanilla", "decay-0.001-both"),
               ("decay 5e-3", "decay-0.005-vanilla", "decay-0.005-both")])
    for axis, (name, runs) in zip(axes[0], groups.items()):
        runs = [run for run in runs if exists(*run[1:])]
        for i, label in enumerate(("vanilla", "AT+TGO")):
            values = [accuracy(run[1 + i]) for run in runs]
            axis.bar(np.arange(len(runs)) + 0.4 * i, values, 0.38, label=label)
            for run, value in zip(runs, values):
                result[f"{name} {run[0]} {label}"] = dict(accuracy=value, **{
                    key: statistics.mean(over_layers(run[1 + i], column)) for key, column in (
                        ("firing", "firing_rate"), ("with_gradient", "gradient_available"))})
        axis.set_xticks(np.arange(len(runs)) + 0.2, [str(run[0]) for run in runs])
        axis.set_visible(len(runs) > 0)
        axis.set_title("initial scale of batch norm" if name == "scale" else "other settings", fontsize=9)
        axis.legend(fontsize=7)
    factors = [(f"f_c {f_c}", "pictures-both-0" if f_c == 1.0 else f"f_c-{f_c}") for f_c in (0.6, 0.8, 1.0, 1.2, 1.5)]
    rules = [("true", "pictures-both-0"), ("estimated", "estimated"), ("no mean", "momentum-none"), ("m 0.5", "momentum-0.5"),
             ("m 0.02", "momentum-0.02"), ("std width", "std"), ("learned", "learned")]
    for axis, runs, title in (axes[1][0], factors, "f_c (Fig. 12)"), (axes[1][1], rules, "rules (Figs. 7, 13)"):
        runs = [(label, run) for label, run in runs if exists(run)]
        bars(axis, [label for label, _ in runs], [accuracy(run) for _, run in runs])
        axis.set_visible(len(runs) > 1)
        axis.axhline(base, color="grey", lw=0.5)
        axis.set_title(title, fontsize=9)
        result |= {label: dict(accuracy=accuracy(run), firing=statistics.mean(over_layers(run, "firing_rate")))
                   for label, run in runs}
    save(figure, "sweeps")
    return result


# ---- from the networks ----
def network(work, run):
    checkpoint = dsatgo.load_checkpoint(work / run)
    config = train_cifar.Settings(**checkpoint["config"])
    net = dsatgo.build(config, len(checkpoint["facts"]["classes"]), (3, 32, 32))
    net.load_state_dict(checkpoint["model"])
    return net.eval(), checkpoint["facts"], config


def pictures(root, facts, count, part="test"):
    """`count` pictures, normalised as in training, and their labels."""
    paths, labels, _ = train_cifar.listed(root / part)
    chosen = torch.randperm(len(paths), generator=torch.Generator().manual_seed(1))[:count].tolist()
    images = torch.stack([train_cifar.pil_to_tensor(train_cifar.open_picture(paths[i])) for i in chosen])
    data = train_cifar.Pictures(images, labels[chosen], facts, None)
    return data[torch.arange(count), None, 0]


@torch.no_grad()
def correct(net, x, y):
    return 100 * statistics.mean((dsatgo.readout(net(a)).argmax(1) == b).float().mean().item()
                                 for a, b in zip(x.split(500), y.split(500)))


@torch.no_grad()
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
    net(x)
    for hook in hooks:
        hook.remove()
    return result


def distributions(work, root):
    """Fig. 2: potentials of a trained network of ten timesteps: above the window (saturation), below it (degeneration)."""
    figure, axes = plt.subplots(2, 4, figsize=(12, 5), sharex=True)
    result = {}
    for row, arm in zip(axes, ("vanilla", "both")):
        net, facts, _ = network(work, f"T-10-{arm}")
        seen = potentials(net, pictures(root, facts, 100)[0])
        shares = {name: [((u - fire[:, None]) * sign > k[:, None] / 2).float().mean().item() for sign in (1, -1)]
                  for name, (u, fire, k) in seen.items()}
        above, below = zip(*shares.values())
        result[ARMS[arm]] = dict(above=statistics.mean(above), below=statistics.mean(below), most_above=max(above),
                                 most_below=max(below))
        for axis, name in zip(row, ("stem.neuron", "stage1.2.conv2.neuron", "stage2.2.conv2.neuron", "stage3.1.conv2.neuron")):
            u, fire, _ = seen[name]
            for t in (0, 4, 9):
                axis.hist((u[t] - fire[t]).numpy(), 80, (-3, 3), histtype="step", density=True, label=f"t={t + 1}")
            axis.set_title(f"{ARMS[arm]}, {name.removesuffix('.neuron')}", fontsize=7)
    axes[0][0].legend(fontsize=7)
    save(figure, "fig2-distributions")
    return result


def similarity(a, b, side=7):
    """Mean structural similarity (Wang et al. 2004, uniform windows) of two pictures in [0, 1]."""
    def mean(x):
        return scipy.ndimage.uniform_filter(x, side)

    ma, mb = mean(a), mean(b)
    va, vb, vab = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    return float(((2 * ma * mb + 1e-4) * (2 * vab + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4))).mean())


def encoding(root, count=200):
    """Fig. 4: grey pictures as a current (brightness over its mean), encoded by one layer, T=4: similarity of firing rates."""
    paths, _, _ = train_cifar.listed(root / "test")
    step = len(paths) // count
    greys = [np.asarray(train_cifar.open_picture(path).convert("L"), float) / 255 for path in paths[::step][:count]]
    result = {}
    for name, rule in [(f"fixed {v}", dict(threshold="fixed", width="fixed", v_th=v)) for v in (0.5, 1.0, 1.5, 2.0)] + [
            ("adaptive", dict(threshold="true"))]:
        layer, scores = dsatgo.LIF(4, **rule), []
        for grey in greys:
            current = torch.tensor(grey / grey.mean(), dtype=torch.float32).expand(4, 1, *grey.shape)
            scores.append(similarity(grey, layer(current).mean((0, 1)).detach().numpy()))
        result[name] = statistics.mean(scores)
    figure, axis = plt.subplots(figsize=(5, 3))
    bars(axis, list(result), list(result.values()))
    axis.set_ylabel("structural similarity")
    save(figure, "fig4-encoding")
    return result


def landscape(work, root, side=11, reach=1.0):
    """Fig. 9: loss over two random directions, each filter's part scaled to the filter's norm (Li et al. 2018)."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 4))
    result, ticks = {}, np.linspace(-reach, reach, side)
    for axis, arm in zip(axes, ("vanilla", "both")):
        net, facts, _ = network(work, f"pictures-{arm}-0")
        x, y = pictures(root, facts, 500)
        torch.manual_seed(0)
        weights = [p for p in net.parameters() if p.dim() > 1]
        base, directions = [w.detach().clone() for w in weights], []
        for _ in range(2):
            directions.append([d * w.flatten(1).norm(dim=1).view(-1, *[1] * (w.dim() - 1)) / d.flatten(1).norm(dim=1).view(
                -1, *[1] * (w.dim() - 1)) for w, d in ((w, torch.randn_like(w)) for w in base)])
        values = np.zeros((side, side))
        with torch.no_grad():
            for i, a in enumerate(ticks):
                for j, b in enumerate(ticks):
                    for weight, start, one, two in zip(weights, base, *directions):
                        weight.copy_(start + a * one + b * two)
                    values[i, j] = torch.nn.functional.cross_entropy(dsatgo.readout(net(x)), y).item()
        axis.contour(ticks, ticks, values, 20)
        axis.set_title(f"{ARMS[arm]}: {values.min():.2f} to {values.max():.2f}", fontsize=9)
        inner = values[1:-1, 1:-1]
        around = np.stack([values[1 + i:side - 1 + i, 1 + j:side - 1 + j] for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j])
        result[ARMS[arm]] = dict(centre=values[side // 2, side // 2], minima=int((inner < around.min(0)).sum()),
                                 share_below_centre_plus_1=float((values < values[side // 2, side // 2] + 1).mean()))
    save(figure, "fig9-landscape")
    return result


def features(work, root, count=800):
    """Fig. 15: t-SNE of the last convolution's pooled spikes; silhouette by class, of the features and of the picture."""
    from sklearn.manifold import TSNE
    from sklearn.metrics import silhouette_score
    figure, axes = plt.subplots(1, 2, figsize=(9, 4))
    result = {}
    for axis, arm in zip(axes, ("vanilla", "both")):
        net, facts, _ = network(work, f"pictures-{arm}-0")
        x, y = pictures(root, facts, count)
        with torch.no_grad():
            trunk = torch.nn.Sequential(*[layer for name, layer in net.named_children() if name not in ("hidden", "classes")])
            pooled = trunk(x.expand(net.T, *x.shape)).mean(0).numpy()
        places = TSNE(random_state=0).fit_transform(pooled)
        axis.scatter(*places.T, c=y, cmap="tab10", s=4)
        axis.set_title(ARMS[arm], fontsize=9)
        result[ARMS[arm]] = dict(features=float(silhouette_score(pooled, y)), picture=float(silhouette_score(places, y)))
    save(figure, "fig15-tsne")
    return result


def energies(work, root):
    """Table 2 and Fig. 12: operations and energy of a picture, T=2, 8 channels."""
    result = {}
    for label, run in (("vanilla", "pictures-vanilla-0"), ("learned threshold", "learned"), ("AT+TGO", "pictures-both-0"),
                       ("AT+TGO, f_c 0.6", "f_c-0.6"), ("AT+TGO, f_c 0.8", "f_c-0.8"), ("AT+TGO, f_c 1.2", "f_c-1.2"),
                       ("AT+TGO, f_c 1.5", "f_c-1.5")):
        net, facts, _ = network(work, run)
        count = dsatgo.energy(net, pictures(root, facts, 200)[0])
        seconds = statistics.median(row["seconds"] for row in table(run, "log"))
        result[label] = dict(accuracy=accuracy(run), seconds_per_epoch=seconds) | {name: count[name] for name in (
            "mac", "ac_paper", "mj_paper", "ac_counted", "mac_counted", "mj_counted", "mj_ann")}
    return result


def shift(work, root):
    """Beyond the paper: accuracy under shifted inputs, as trained and after `calibrate` on other shifted pictures."""
    result = {}
    for arm in ("vanilla", "both"):
        net, facts, _ = network(work, f"pictures-{arm}-0")
        (x, y), (more, _) = pictures(root, facts, 2000), pictures(root, facts, 1000, "train")
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
        for name, contrast, level in (("none", 1, 0), ("contrast 0.5", 0.5, 0), ("contrast 0.25", 0.25, 0),
                                      ("noise 0.5", 1, 0.5)):
            shifted, others = (contrast * each + level * noise[:len(each)] for each in (x, more))
            before = correct(net, shifted, y)
            state = {k: v.clone() for k, v in net.state_dict().items()}
            dsatgo.calibrate(net, others.split(100))
            result[f"{ARMS[arm]}, {name}"] = dict(trained=before, calibrated=correct(net, shifted, y))
            net.load_state_dict(state)
    return result


def batches(work, root):
    """Beyond the paper: how far a batch's thresholds are from those of 4,000 pictures, by its size: mean of layers, percent."""
    net, facts, _ = network(work, "pictures-both-0")
    x, _ = pictures(root, facts, 4000, "train")
    reference, result = None, {}
    for size in (4000, 400, 100, 50, 20, 5):
        seen = []
        for part in x.split(size)[:20]:
            with torch.no_grad(), dsatgo.probe(net.train()) as figures:
                net(part)
            seen.append(torch.stack([f["threshold"] for f in figures.values()]))
        reference = seen[0] if reference is None else reference
        result[size] = float(100 * ((torch.stack(seen) - reference).abs() / reference).mean())
    return result


if __name__ == "__main__":
    path = RESULTS / "evidence.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    parts = {part.__name__: part() for part in (arms, layers, closed_form, sweeps)}
    if len(sys.argv) == 3:
        work, root = map(pathlib.Path, sys.argv[1:])
        torch.manual_seed(0)
        parts["encoding"] = encoding(root)
        for part in (distributions, landscape, features, energies, shift, batches):
            parts[part.__name__] = part(work, root)
            print(part.__name__, parts[part.__name__])
    path.write_text(json.dumps(found | parts, indent=1) + "\n")
    print(json.dumps(parts, indent=1))
