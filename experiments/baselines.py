"""Neurons of other papers, for the comparisons of Figs. 8, 9, 11 and Table 2: in LIF's place by

    python train_cifar.py --neuron experiments/baselines.py:LTMD        or MPDAGL, ASGS

Each is what its paper does to the threshold or to the surrogate's width, on this project's vanilla
LIF: Eqs. 2-3 with a hard reset, through which the gradient flows; one leak a layer, learned from
0.2; threshold 1 and a rectangle of width 1 where the paper has none of its own. U >= threshold
fires, the window is closed. So beside `--threshold fixed --width fixed` each has one difference.
What else the papers train with is not here. DIET-SNN's threshold (Rathi and Roy 2023) is LIF's
`--threshold learned`.

Plain autograd, in float32 under --amp too: slower than LIF, more memory, and not compiled.
"""

import math

import torch
from torch import nn

from dsatgo import FLOOR
from dsatgo import LIF
from dsatgo import flatten
from dsatgo import require


def spike(u, theta, k):
    """1 where u >= theta, else 0. Its derivatives are those of a ramp, 1 high, k wide, theta in
    its middle: by u Eq. 4, by theta minus that, by k -(u - theta)/k^2, and all 0 outside.
    u [N], theta and k [] -> [N]"""
    x = u - theta
    ramp = x / k * (x.abs() <= k / 2)  # times, not where: a NaN stays one
    return (u >= theta).to(u.dtype) + (ramp - ramp.detach())


class Neuron(LIF):
    """The vanilla LIF as a plain loop. current [T, B, ...] -> spikes [T, B, ...] in the current's
    dtype; each call starts from rest. `probe` and `energy` see it as any LIF. What it inherits for
    Eqs. 5 and 6 does nothing here. ValueError: a current of another T."""

    def __init__(self, T):
        super().__init__(T, threshold="fixed", width="fixed")

    def widths(self, tau):
        """The surrogate's width at each timestep, [T]; where it fires, `thresholds`, is LIF's."""
        return torch.full_like(self.running_threshold, self.kappa)

    def forward(self, current):
        shape = tuple(current.shape)
        require(shape[:1] == (self.T,), "current of shape", shape, f"[T={self.T}, B, ...]")
        flat, unflatten = flatten(current)  # [T, N]
        tau = torch.sigmoid(self.w)
        fire = self.thresholds(tau)
        k = self.widths(tau)
        u = s = 0.0  # at rest
        seen = []
        for t, i in enumerate(flat):
            u = i + tau * u * (1 - s)  # Eq. 2; in tau's dtype, or wider
            s = spike(u, fire[t], k[t])  # Eq. 3
            seen.append((u, s))
        u, s = (torch.stack(column) for column in zip(*seen))  # [T, N]
        s = s.to(current.dtype)
        if self.watch is not None:
            rule = fire.detach(), fire.detach(), k.detach()
            self.watch(shape[1], u.detach(), s, *rule, -math.inf)  # no floor
        return unflatten(s)


class LTMD(Neuron):
    """Learnable thresholding: one threshold a layer, tanh(v), that the surrogate's gradient trains.
    Wang, Cheng, Lim: "LTMD: Learning Improvement of Spiking Neural Networks with Learnable
    Thresholding Neurons and Moderate Dropout", NeurIPS 2022; code: github.com/sq117/LTMD.

    v starts at 0.5, a threshold of 0.46, with batch norm's scale at 1, and the width is 1, as in
    its code. There the leak is fixed, 0.25, U must exceed the threshold, and the window is open.
    Without its dropout and lateral connections: what its tables call LT."""

    def __init__(self, T):
        super().__init__(T)
        self.v = nn.Parameter(torch.full((1,), 0.5))

    def thresholds(self, tau):
        return self.v.tanh().expand(self.T)


class MPDAGL(Neuron):
    """The width follows batch norm's mean scale and the leak: 2 gamma V_th sqrt(1 + tau^2), twice
    the deviation that the potential is expected to have; without the leak's term at t = 1. It has
    no gradient. Jiang, Wang, Jiang, Fan, Yan: "Adaptive Gradient Learning for Spiking Neural
    Networks by Exploiting Membrane Potential Dynamics", IJCAI 2025; code: jqjiang1999/MPD-AGL.

    There V_th is 0.5 and multiplies batch norm's output. Here batch norm's weight starts at V_th,
    so that it is gamma V_th, and V_th is 1 as in the other neurons: the width scales along with
    it, so neither the spikes nor the gradient of the weights before batch norm depend on it. The
    leak is learned there too; its window is open. Our reading: a mean that is not above 0, to
    which the paper gives no width, has the floor of Eq. 7's."""

    norm = None

    def follows(self, norm):
        self.norm = [norm]  # in a list, or the state dict would hold it twice

    def widths(self, tau):
        require(self.norm, "MPDAGL.norm", self.norm, "the batch norm before it: call follows(norm)")
        scale = self.norm[0].weight.detach().mean()  # gamma V_th
        later = torch.arange(self.T, device=tau.device) > 0
        k = 2 * scale * (1 + later * tau.detach() ** 2).sqrt()
        return k.clamp(min=FLOOR * self.kappa)


class ASGS(Neuron):
    """A learned factor of the surrogate's width, one a layer. Ai, Yang, Cai, Chen, Liu, Ma: "A
    cross-layer residual spiking neural network with adaptive threshold leaky integrate-and-fire
    neuron and learnable surrogate gradient", Knowledge-Based Systems 319, 2025. ASG-S alone, as
    Figs. 9 and 11 name it: the threshold of AT-LIF is not here.

    Our reading, of the abstract alone, which has a learnable factor scale the rectangle's width:
    it is exp(c), from 1, and one a layer. Since no spike depends on it, it learns as the width of
    the ramp in `spike`: its gradient grows with U - V_th. The abstract also has the surrogate's
    size near the threshold follow the gap between potential and spike, without saying how: unless
    that gradient is meant, it is not here."""

    def __init__(self, T):
        super().__init__(T)
        self.c = nn.Parameter(torch.zeros(1))

    def widths(self, tau):
        return super().widths(tau) * self.c.exp()
