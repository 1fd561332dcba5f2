"""What did a run do, layer by layer? The pictures that --plot writes (needs matplotlib).

    python train_cifar.py --plot --out runs/mine     curves.png, layers.png, potentials.png in it
    python train_cifar.py --demo --plot --out runs/demo     arms.png: both arms side by side

`experiments/compare.py` draws the curves of several runs in one picture.
"""

import csv
import io
import os
import pathlib
import statistics

import torch
from matplotlib.figure import Figure

from dsatgo import LIF

SHOWN = 6  # layers in a picture of potentials
INK = dict(firing="tab:red", window="gold", potential="0.6")


def save(figure, path):
    """Writes the picture whole or not at all."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, format="png")
    temporary = pathlib.Path(f"{path}.tmp")
    temporary.write_bytes(buffer.getvalue())
    os.replace(temporary, path)
    print(f"wrote {path}")


def rows_of(path):
    with open(path) as file:
        return list(csv.DictReader(file))


def curves(logs, path):
    """Loss and accuracies over epochs. logs: {label: rows of log.csv}."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    losses, accuracies = figure.subplots(1, 2)
    for i, (label, rows) in enumerate(logs.items()):
        epochs = [int(row["epoch"]) for row in rows]
        drawn = [(losses, "loss", "-")]
        drawn += [(accuracies, "test_accuracy", "-"), (accuracies, "train_accuracy", ":")]
        for axis, column, line in drawn:
            values = [float(row[column]) for row in rows]
            axis.plot(
                epochs, values, line, color=f"C{i % 10}", label=label if line == "-" else None
            )
    for axis in (losses, accuracies):
        axis.xaxis.get_major_locator().set_params(integer=True)
    losses.set(xlabel="epoch", ylabel="training loss")
    accuracies.set(xlabel="epoch", ylabel="accuracy: test, and training dotted")
    if len(logs) > 1:
        losses.legend(fontsize="small")
    save(figure, path)


def layers(out, path):
    """Firing rate, share with gradient, threshold and potential's deviation of each layer over
    epochs, means over timesteps."""
    columns = {
        "firing_rate": "firing rate",
        "gradient_available": "share with gradient",
        "threshold": "threshold",
        "u_std": "deviation of the potential",
    }
    by_layer = {}
    for row in rows_of(pathlib.Path(out) / "layers.csv"):
        by_layer.setdefault(row["layer"], {}).setdefault(int(row["epoch"]), []).append(row)
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots(2, 2).flatten()
    for axis, (column, title) in zip(axes, columns.items()):
        for i, epochs in enumerate(by_layer.values()):
            values = [statistics.mean(float(row[column]) for row in t) for t in epochs.values()]
            colour = (i / max(len(by_layer) - 1, 1), 0.3, 0.7)
            axis.plot(list(epochs), values, ".-", color=colour, linewidth=1)
        axis.set_title(title, fontsize="medium")
        axis.set_ylim(bottom=0)
        axis.xaxis.get_major_locator().set_params(integer=True)
    for axis in axes[2:]:
        axis.set_xlabel("epoch")
    figure.suptitle(f"{len(by_layer)} layers, the first blue, the last red; in evaluation mode")
    save(figure, path)


@torch.no_grad()
def looked_into(net, x):
    """{layer: (u [T, N], fire [T], k [T])} of every LIF, in evaluation mode."""
    seen = {}
    before = net.training, {}
    for name, lif in net.named_modules():
        if isinstance(lif, LIF):
            before[1][lif] = lif.watch

            def note(batch, u, s, theta, fire, k, floor, name=name):
                seen[name] = (u.float().cpu(), fire.cpu(), k.cpu())

            lif.watch = note
    try:
        net.eval()(x.to(next(net.parameters()).device))
    finally:
        net.train(before[0])
        for lif, watch in before[1].items():
            lif.watch = watch
    return seen


def chosen(seen):
    """At most SHOWN layers, evenly from the first to the last."""
    names = list(seen)
    n = min(SHOWN, len(names))
    return [names[round(i * (len(names) - 1) / max(n - 1, 1))] for i in range(n)]


def distribution(axis, u, fire, k):
    """Histogram of a layer's potentials at one timestep, its window, and where it fires."""
    sigma = u.std().item()
    low = min(u.mean().item() - 3 * sigma, (fire - k).item())
    high = max(u.mean().item() + 3 * sigma, (fire + k).item())
    inside = ((u - fire).abs() <= k / 2).float().mean()
    axis.axvspan(fire - k / 2, fire + k / 2, color=INK["window"], alpha=0.5)
    axis.hist(u.numpy(), bins=60, range=(low, high), color=INK["potential"])
    axis.axvline(fire, color=INK["firing"])
    axis.set_yticks([])
    axis.tick_params(labelsize="small")
    return f"{(u >= fire).float().mean():.1%} fire, {inside:.1%} with gradient"


def potentials(net, x, path):
    """A few layers' potentials of a batch at the last timestep, threshold and window."""
    seen = looked_into(net, x)
    if not seen:
        return
    figure = Figure(figsize=(9, 4.8), layout="constrained")
    for axis, name in zip(figure.subplots(2, 3).flat, chosen(seen)):
        u, fire, k = (value[-1] for value in seen[name])
        text = distribution(axis, u, fire, k)
        axis.set_title(f"{name.removesuffix('.neuron')}\n{text}", fontsize="small")
    figure.suptitle("Potentials at the last timestep; red: threshold, yellow: surrogate's window")
    save(figure, path)


def run(result, x):
    """Of one run: `result` of fit, and inputs of the test set."""
    out = result["out"]
    curves({"": rows_of(out / "log.csv")}, out / "curves.png")
    if (out / "layers.csv").exists():
        layers(out, out / "layers.png")
    potentials(result["net"], x, out / "potentials.png")


def arms(rows, x, path):
    """The demo's runs side by side: accuracy, then potentials of the first, a middle and the last
    layer. rows: dicts with the arm and the `result` of fit."""
    figure = Figure(figsize=(8, 9), layout="constrained")
    axes = figure.subplots(4, len(rows))
    for column, row in zip(axes.T, rows):
        log = rows_of(row["result"]["out"] / "log.csv")
        epochs = [int(line["epoch"]) for line in log]
        column[0].plot(epochs, [float(line["test_accuracy"]) for line in log], ".-")
        column[0].xaxis.get_major_locator().set_params(integer=True)
        column[0].set_ylim(0, 1)
        column[0].set_xlabel("epoch", fontsize="small")
        column[0].set_ylabel("test accuracy", fontsize="small")
        column[0].set_title(row["arm"])
        seen = looked_into(row["result"]["net"], x)
        names = list(seen)
        for axis, name in zip(column[1:], (names[0], names[len(names) // 2], names[-1])):
            u, fire, k = (value[-1] for value in seen[name])
            text = distribution(axis, u, fire, k)
            axis.set_title(f"{name.removesuffix('.neuron')}\n{text}", fontsize="small")
    figure.suptitle("Potentials at the last timestep; red: threshold, yellow: surrogate's window")
    save(figure, path)
