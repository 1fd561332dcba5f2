"""Draws the picture at the top of the README: what the two halves of the method do to a layer whose
potentials are normal, in closed form (Theorem 1, Fig. 5). In a second, without training.

    python experiments/overview.py        writes experiments/overview.png
"""

import argparse
import pathlib
import sys

import numpy as np
import scipy.stats
from matplotlib.figure import Figure

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from reference_numpy import gradient_probability, surrogate_width  # noqa: E402

SIGMAS = (0.3, 1.0, 3.0)
ARMS = {  # deviation -> threshold and width; V_th = kappa = 1
    "vanilla": lambda sigma: (1.0, 1.0),
    "AT+TGO": lambda sigma: (sigma, float(surrogate_width(np.array(sigma)))),
}


def panel(axis, sigma, theta, k):
    """The density of a normal potential, where it fires, and the surrogate's window."""
    reach = max(3.2 * sigma, 1.6)  # as far in both arms
    u = np.linspace(-3.2 * sigma, reach, 600)
    density = scipy.stats.norm.pdf(u, scale=sigma)
    axis.axvspan(theta - k / 2, theta + k / 2, color="gold", alpha=0.5, lw=0)
    axis.fill_between(u, density, color="0.75")
    axis.fill_between(u, density, where=u >= theta, color="tab:red", alpha=0.7, lw=0)
    axis.axvline(theta, color="tab:red", lw=1.5)
    axis.set(yticks=[], xlim=(u[0], reach), ylim=(0, 1.1 * density.max()))
    axis.tick_params(labelsize=8)
    fires = scipy.stats.norm.sf(theta, scale=sigma)
    learns = gradient_probability(theta, k, 0, sigma)
    axis.set_title(f"{fires:.1%} fire, {learns:.1%} learn", fontsize=10)


def main():
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.subplots(len(ARMS), len(SIGMAS))
    for line, (name, rule) in zip(axes, ARMS.items()):
        line[0].set_ylabel(name, fontsize=12)
        for axis, sigma in zip(line, SIGMAS):
            panel(axis, sigma, *rule(sigma))
    for axis, sigma in zip(axes[-1], SIGMAS):
        axis.set_xlabel(f"membrane potential, deviation {sigma}", fontsize=9)
    figure.suptitle(
        "Grey: potentials of a layer. Red line: threshold; right of it they fire. "
        "Yellow: the surrogate's window; inside it they learn.",
        fontsize=9,
    )
    path = ROOT / "experiments" / "overview.png"
    figure.savefig(path, dpi=110)
    print(f"wrote {path}")


if __name__ == "__main__":
    raw = argparse.RawDescriptionHelpFormatter
    argparse.ArgumentParser(description=__doc__, formatter_class=raw).parse_args()
    main()
