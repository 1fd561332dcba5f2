"""The lesson of reference_numpy.py in six pictures, without training longer than it does.

    python reference_numpy.py --plot FOLDER

Writes theorem1.png, thresholds.png (Eq. 5), width.png (Eqs. 4, 7), fig5.png, trace.png (Eqs. 2-7)
and rings.png, each under a temporary name first. A file of one of these names is replaced.
"""

import os
import pathlib
import sys

try:
    import matplotlib
except ImportError as error:
    raise ImportError(f"matplotlib is needed: pip install matplotlib ({error})") from error

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
from scipy.stats import norm  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import reference_numpy as ref  # noqa: E402

WIDE = 7  # inches, so that 700 pixels show a letter at its size
SMALL = 8.5  # points
COLOURS = ("C0", "C1", "C2")
NEURON = 42  # of trace(): it fires early under AT+TGO alone, and late under both


def theorem_1():
    """Three normal potentials, each with the same share above its threshold; and what f_c, or
    another distribution, does to it."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDE, 3.6))
    grid = np.linspace(-3, 7, 1000)
    for (mu, sigma), colour in zip(((0, 0.4), (1, 1), (4, 0.7)), COLOURS):
        density = norm.pdf(grid, mu, sigma)
        left.plot(grid, density, color=colour, label=f"N({mu}, {sigma}²)")
        left.fill_between(grid, density, where=grid >= mu + sigma, color=colour, alpha=0.4)
    left.set(xlabel="potential U", ylabel="density", ylim=(0, 1.1), xlim=(-2.5, 7))
    left.set_title(f"above mean + std: {ref.firing_probability():.2%} of each", fontsize=10)
    left.legend(fontsize=SMALL)

    f_c = np.linspace(0.5, 1.6, 200)
    for ratio, colour in zip((-0.5, 0, 1), COLOURS):
        share = 100 * ref.firing_probability(f_c, ratio, 1)
        right.plot(f_c, share, color=colour, label=f"normal, mean / std = {ratio}")
    uniform = np.linspace(-1, 1, 100_001)
    fired = 100 * (uniform > ref.adaptive_threshold(uniform)).mean()
    right.plot(1, fired, "kx", label=f"uniform: {fired:.1f} %")
    right.axvline(1, color="grey", lw=0.8, ls=":")
    right.set(xlabel="$f_c$", ylabel="share that fires, %", ylim=(0, 62))
    right.set_title("one share for all normals at $f_c$ = 1 only", fontsize=10)
    right.legend(fontsize=SMALL)
    figure.suptitle("Theorem 1: the threshold mean + std, and Eq. 5's $f_c$ (mean + std)")
    return figure


def thresholds():
    """Eq. 5 at each timestep: both of its lines, and how many neurons then fire."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDE, 4.3))
    t = np.arange(1, 9)
    current = np.random.default_rng(0).standard_normal((len(t), 50_000))
    for tau, colour in zip((0.2, 0.5, 0.9), COLOURS):
        for threshold, style in (("true", "o-"), ("estimated", "--"), ("fixed", ":")):
            spikes, cache = ref.lif_forward(current, tau, threshold=threshold)
            label = f"{threshold}, τ = {tau}"
            if threshold != "fixed":
                left.plot(t, cache["fire"], style, color=colour, ms=4, label=label)
            right.plot(t, 100 * spikes.mean(1), style, color=colour, ms=4, label=label)
    fixed = left.axhline(1, color="black", ls=":", label="fixed, any τ: $V_{th}$")
    theorem = right.axhline(100 * ref.firing_probability(), color="grey", lw=0.8, label="Theorem 1")
    left.set(xlabel="timestep t", ylabel="threshold θ(t)", xticks=t)
    right.set(xlabel="timestep t", ylabel="share that fires, %", xticks=t)
    left.set_title(
        "true < estimated: the estimate ignores\nthe reset, which lowers the mean", fontsize=10
    )
    right.set_title("true comes closest to Theorem 1", fontsize=10)
    lines = [line for line in right.get_lines() if line is not theorem]  # a column for each tau
    handles = [*lines, fixed, theorem]
    figure.legend(handles=handles, fontsize=SMALL, ncol=4, loc="outside lower center")
    figure.suptitle("Eq. 5 at each timestep, for currents N(0, 1)")
    return figure


def width():
    """Eq. 7's two branches, and the surrogate of Eq. 4 that they make."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDE, 3.6))
    below = np.linspace(0, 1, 100)
    above = np.linspace(1, 4, 100)
    left.plot(below, ref.surrogate_width(below), label="θ < $V_{th}$: 1 - tanh($V_{th}$ - θ)")
    left.plot(above, ref.surrogate_width(above), label="θ ≥ $V_{th}$: 1 + tanh(θ - $V_{th}$)")
    left.plot(1, 1, "ko", ms=4)
    left.axhline(1, color="grey", ls=":", lw=0.8)
    left.set(xlabel="threshold θ", ylabel="width k", ylim=(0, 2.7))
    left.set_title("$V_{th}$ = κ = 1", fontsize=10)
    left.legend(fontsize=SMALL, loc="upper left")
    u = np.linspace(-0.5, 4.5, 2001)
    for theta, colour in zip((0.3, 1, 2.5), COLOURS):
        k = ref.surrogate_width(theta)
        slope = ref.rectangle(u, theta, k)
        right.plot(u, slope, color=colour, label=f"θ = {theta}, k = {k:.2f}")
        right.fill_between(u, slope, color=colour, alpha=0.2)
        right.axvline(theta, color=colour, ls=":", lw=0.8)
    right.set(xlabel="potential U", ylabel="dS/dU", ylim=(0, None))
    right.set_title("Eq. 4: of area 1, around θ", fontsize=10)
    right.legend(fontsize=SMALL)
    figure.suptitle("Eq. 7: the width of the surrogate follows the threshold")
    return figure


def fig_5():
    """The paper's Fig. 5 for deviations of our own choice, and its shares over all deviations."""
    figure, axes = plt.subplot_mosaic("ab;cc", figsize=(WIDE, 6))
    u = np.linspace(-4, 6, 2000)
    for name, title in (("a", "(a) fixed width, k = 1"), ("b", "(b) width by Eq. 7")):
        for sigma, colour in zip((0.4, 1, 2), COLOURS):
            k = 1.0 if name == "a" else ref.surrogate_width(sigma)
            density = norm.pdf(u, 0, sigma)
            share = ref.gradient_probability(sigma, k, 0, sigma)
            label = f"σ = {sigma}, k = {k:.2f}: {share:.0%}"
            axes[name].plot(u, density, color=colour, label=label)
            inside = ref.rectangle(u, sigma, k) > 0
            axes[name].fill_between(u, density, where=inside, color=colour, alpha=0.4)
        axes[name].set(xlabel="potential U", ylabel="density", ylim=(0, 1.45), xlim=(-4, 6))
        axes[name].set_title(title, fontsize=10)
        axes[name].legend(fontsize=SMALL, loc="upper right")
    sigma = np.linspace(0.05, 4, 400)
    by_eq_7 = ref.surrogate_width(sigma)
    for k, label, style in ((1.0, "fixed, k = 1", "k--"), (by_eq_7, "by Eq. 7", "k-")):
        share = 100 * ref.gradient_probability(sigma, k, 0, sigma)
        axes["c"].plot(sigma, share, style, label=label)
    ends = f"{share[0]:.0f} % at σ = {sigma[0]}, {share[-1]:.0f} % at σ = {sigma[-1]:.0f}"
    axes["c"].set_title(f"Eq. 7 does not hold the share constant: {ends}", fontsize=10)
    axes["c"].set(xlabel="deviation σ", ylabel="share with gradient, %", ylim=(0, 105))
    axes["c"].legend(fontsize=SMALL)
    figure.suptitle(
        "Fig. 5, with σ of our choice: which potentials N(0, σ²) have a gradient, θ = σ"
    )
    return figure


def trace():
    """One neuron of a layer whose input's deviation grows tenfold, under vanilla and AT+TGO."""
    figure, axes = plt.subplots(2, 1, figsize=(WIDE, 6), sharex=True, sharey=True)
    T = 20
    t = np.arange(1, T + 1)
    strength = np.linspace(0.3, 3, T)[:, None]
    current = strength * np.random.default_rng(0).standard_normal((T, 200))
    for axis, name in zip(axes, ("vanilla", "AT+TGO")):
        spikes, cache = ref.lif_forward(current, 0.5, **ref.ARMS[name])
        fire = cache["fire"]
        u = cache["u"][:, NEURON]
        half = cache["k"] / 2
        inside = ref.rectangle(cache["u"], fire[:, None], cache["k"][:, None]) > 0
        axis.fill_between(
            t, fire - half, fire + half, color="C1", alpha=0.25, label="window, θ ± k/2"
        )
        axis.plot(t, fire, color="C3", label="threshold θ(t)")
        axis.plot(t, u, "o-", color="C0", ms=4, label="potential U(t)")
        fired = spikes[:, NEURON] > 0
        axis.plot(t[fired], np.full(fired.sum(), 5.2), "k|", ms=12, mew=2, label="spike")
        axis.set(ylabel="potential", ylim=(-2.5, 6), xticks=t)
        fires, learns = (
            f"{100 * x[0].mean():.1f} and {100 * x[-1].mean():.1f} %" for x in (spikes, inside)
        )
        shares = f"{fires} of the layer fire, {learns} have a gradient"
        axis.set_title(f"{name}, t = 1 and {T}: {shares}", fontsize=10)
    axes[1].set_xlabel("timestep t")
    handles = axes[0].get_legend_handles_labels()
    figure.legend(*handles, fontsize=SMALL, ncol=4, loc="outside lower center")
    figure.suptitle(
        "Eqs. 2-7, τ = 0.5: one neuron of 200; the input's deviation grows from 0.3 to 3"
    )
    return figure


def trained(**settings):
    """What train_rings ends with (weights, leaks), and its accuracy over the last twenty steps."""
    run = ref.train_rings(np.random.default_rng(0), 100, **settings)
    accuracies = []
    while True:
        try:
            accuracies.append(next(run)[2])
        except StopIteration as end:
            return *end.value, np.mean(accuracies[-20:])


def infer(p, taus, x, seen, rules):
    """Logits of x [B, 3], by the means, variances and thresholds in `seen`, a list with an entry a
    layer; where it is empty, by those of x, which it then holds."""
    measure = not seen
    x = np.tile(x, (3, 1, 1))  # T = 3, as in training
    for layer, tau in enumerate(taus):
        x, _ = ref.linear_forward(x, p["weight", layer])
        flat = x.reshape(-1, x.shape[-1])
        if measure:
            seen.append([(flat.mean(0), flat.var(0)), None])
        statistics, running = seen[layer]
        flat, _ = ref.batchnorm_forward(
            flat, p["gamma", layer], p["beta", layer], running=statistics
        )
        x, cache = ref.lif_forward(flat.reshape(x.shape), tau, running=running, **rules)
        if measure:
            seen[layer][1] = cache["theta"]
    logits, _ = ref.linear_forward(x, p["weight", 2])
    return ref.readout_forward(logits)[0]


def rings():
    """What each arm has learned in a hundred steps that start at a tenth of the threshold."""
    figure, axes = plt.subplots(2, 2, figsize=(WIDE, 7.5), sharex=True, sharey=True)
    rng = np.random.default_rng(1)
    n = 1500
    labels = np.arange(n) % 3
    angle = rng.uniform(0, 2 * np.pi, n)
    radius = labels + 1 + rng.uniform(-0.3, 0.3, n)  # the rings of train_rings
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.ones(n)], 1)
    side = np.linspace(-3.6, 3.6, 150)
    grid = np.stack([*np.meshgrid(side, side), np.ones((150, 150))], 2).reshape(-1, 3)
    colours = matplotlib.colors.ListedColormap(COLOURS)
    for axis, (name, rules) in zip(axes.flat, ref.ARMS.items()):
        p, taus, _ = trained(scale=0.1, **rules)
        seen = []
        right = (infer(p, taus, points, seen, rules).argmax(1) == labels).mean()
        found = infer(p, taus, grid, seen, rules).argmax(1).reshape(150, 150)
        box = (side[0], side[-1], side[0], side[-1])
        style = dict(cmap=colours, vmin=0, vmax=2)
        axis.imshow(found, extent=box, origin="lower", alpha=0.35, interpolation="nearest", **style)
        axis.scatter(*points[:300, :2].T, c=labels[:300], s=7, **style)
        axis.set_title(f"{name}: {right:.1%} of {n} new points right", fontsize=10)
    for axis in axes[1]:
        axis.set_xlabel("x")
    for axis in axes[:, 0]:
        axis.set_ylabel("y")
    dot = dict(ls="", marker="o", ms=4)
    handles = [
        plt.Line2D([], [], color=c, label=f"ring {i + 1}", **dot) for i, c in enumerate(COLOURS)
    ]
    handles.append(
        matplotlib.patches.Patch(color="grey", alpha=0.35, label="area: the network's answer")
    )
    figure.legend(handles=handles, fontsize=SMALL, ncol=4, loc="outside lower center")
    figure.suptitle("Eqs. 1-5, 7-11: three rings after 100 steps, batch norm starting at scale 0.1")
    return figure


PICTURES = dict(
    theorem1=theorem_1,
    thresholds=thresholds,
    width=width,
    fig5=fig_5,
    trace=trace,
    rings=rings,
)


def draw(folder):
    """Writes the six pictures. OSError: the folder cannot be made or written to."""
    folder = pathlib.Path(folder).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in PICTURES.items():
        path = folder / f"{name}.png"
        unfinished = folder / f".{name}.{os.getpid()}"
        with plt.rc_context({"figure.constrained_layout.use": True, "font.size": 9.5}):
            figure = picture()
            try:
                figure.savefig(unfinished, format="png", dpi=150)
                unfinished.replace(path)
            finally:
                unfinished.unlink(missing_ok=True)
                plt.close(figure)
        print(path)
