"""DS-ATGO in one file: spiking networks whose firing threshold follows the distribution of the
membrane potential at each timestep (forward), and whose surrogate gradient's width follows that
threshold (backward).

Jiang, Xu, Fan, Yan: "DS-ATGO: Dual-Stage Synergistic Learning via Forward Adaptive Threshold and
Backward Gradient Optimization for Spiking Neural Networks", AAAI 2026. Equation numbers are the
main text's. Where the paper, its released code and this file part is a table in README.md.

    paper             code                             shape        equation
    I(t)              current                          [T, B, ...]  1   a layer's input
    U(t)              u, the membrane potential        [T, B, ...]  2
    S(t)              s, the spikes, 0 or 1            [T, B, ...]  3
    tau               tau = sigmoid(w), the leak       []           2   learned, one per layer
    V_th              v_th, the initial threshold      float        3
    Delta V_th(t)_n   theta, this batch's threshold    [T]          5
    Delta V_th(t)     running_threshold                [T]          6   used for inference
    kappa ("k" right  kappa, the base width            float        4, 7
      of Eq. 7)
    k                 k, the width at each timestep    [T]          7
    f_c, m            f_c, momentum                    float        5, 6

Time comes first: [T, B, ...]. A layer without time (convolution, batch norm, linear, pool) is
applied to [T*B, ...]. A neuron consumes a whole sequence from rest and keeps no membrane potential
between calls: there is nothing to reset, and the batch size may change at any time. A neuron whose
potential equals its threshold fires.

    from functools import partial
    net = resnet19(num_classes=10, T=2)                                           # AT+TGO, the paper's
    net = resnet19(neuron=partial(LIF, threshold="fixed", width="fixed"))         # vanilla SNN
    logits = readout(net(pictures))                                               # [B, 10]
"""
import contextlib
import math
import numbers
import warnings
from collections import OrderedDict
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

FLOOR = 1e-3    # the smallest theta, in units of v_th, and the smallest width, in units of kappa

#############################################
#           1. Surrogate gradient           #
#############################################

def rectangle(u, theta, width):
    """Eq. 4, the surrogate of dS/dU: 1/width where |u - theta| <= width/2 (both ends included),
    else 0. `theta` and `width` broadcast against `u`; the result has u's shape and dtype."""
    return ((u - theta).abs() <= width / 2).to(u.dtype) / width

#############################################
#         2. Threshold and its width        #
#############################################

def adaptive_threshold(u, f_c=1.0):
    """Eq. 5, "true": f_c * (mean + std) over every element of `u`, one timestep of one layer with
    its whole batch. Returns a scalar tensor, float32 or wider, without gradient, not floored.
    The variance is the population's, as the mean square of the difference from the mean: in one
    pass (mean of squares minus square of mean) large means would cancel it."""
    u = u.detach().to(torch.promote_types(u.dtype, torch.float32))
    mean = u.mean()
    return f_c * (mean + (u - mean).square().mean().sqrt())


def estimated_threshold(tau, v_th=1.0, f_c=1.0):
    """Eq. 5, "estimated": f_c * sqrt(1 + tau^2) * v_th, for currents normalised to N(0, v_th^2).
    `tau`: tensor or float."""
    return f_c * (1 + tau ** 2) ** 0.5 * v_th


def surrogate_width(theta, v_th=1.0, kappa=1.0):
    """Eq. 7, the window's width k for thresholds `theta` (a tensor of any shape): below kappa where
    theta < v_th, above it where theta > v_th. Both branches of Eq. 7 are this one line, as
    1 - tanh(a) = 1 + tanh(-a). Floored at kappa/1000, since 1/k is the gradient's height."""
    return (kappa * (1 + torch.tanh(theta - v_th))).clamp(min=FLOOR * kappa)

#############################################
#                 3. Neuron                 #
#############################################

class Rule(NamedTuple):
    """How a layer sets its threshold and width; see `LIF`."""
    threshold: str
    width: str
    v_th: float
    kappa: float
    f_c: float


def _lif_forward(current, tau, given, rule):
    """A layer's whole sequence, [T, N] -> u, s [T, N], theta, fire, k [T]. `given`: thresholds [T],
    or None for Eq. 5 on this batch. `fire` is where it fires: theta, or v_th if that is fixed."""
    dtype, wide = current.dtype, torch.promote_types(current.dtype, torch.float32)
    u = s = torch.zeros_like(current[0], dtype=wide)                               # at rest
    trace = []
    for t in range(len(current)):
        u = (tau * u * (1 - s) + current[t]).to(dtype).to(wide)                    # Eq. 2
        theta = adaptive_threshold(u, rule.f_c) if given is None else given[t]     # Eq. 5
        theta = theta.to(wide).clamp(min=FLOOR * rule.v_th)     # a layer at rest must not fire
        fire = torch.full_like(theta, rule.v_th) if rule.threshold == "fixed" else theta
        s = (u >= fire).to(wide) + 0 * (u - theta)              # Eq. 3; 0 * NaN: never swallowed
        if rule.width == "threshold":
            k = surrogate_width(theta, rule.v_th, rule.kappa)                      # Eq. 7
        elif rule.width == "std":
            k = surrogate_width((u - u.mean()).square().mean().sqrt(), rule.v_th, rule.kappa)
        else:
            k = torch.full_like(theta, rule.kappa)
        trace.append((u.to(dtype), s.to(dtype), theta, fire, k))
    return tuple(torch.stack(column) for column in zip(*trace))


def _lif_backward(ds, u, s, fire, k, tau, learned):
    """dL/dS -> dL/dI [T, N], dL/dtau [] and, of a learned threshold, dL/dtheta [T], from the saved
    potentials and spikes. k is a constant here, and theta unless learned; the reset is no constant."""
    wide = torch.promote_types(u.dtype, torch.float32)
    du, dtau = torch.zeros_like(u[0], dtype=wide), torch.zeros_like(tau)
    dcurrent, dtheta = [], []
    for t in reversed(range(len(u))):                           # du holds dL/dU(t+1)
        ut, kept = u[t].to(wide), 1 - s[t].to(wide)
        dtau = dtau + (du * ut * kept).sum()                    # dU(t+1)/dtau = U(t) (1 - S(t))
        dst = ds[t].to(wide) - du * tau * ut                    # Eq. 10: dU(t+1)/dS(t) = -tau U(t)
        dspike = dst * rectangle(ut, fire[t], k[t])             # Eq. 9, first term, with Eq. 4
        du = dspike + du * tau * kept                           # Eq. 9: dU(t+1)/dU(t) = tau (1 - S(t))
        dcurrent.append(du.to(u.dtype))                         # dU(t)/dI(t) = 1; Eq. 11 goes on from it
        if learned:
            dtheta.append(-dspike.sum())                        # dS/dtheta = -dS/dU
    return torch.stack(dcurrent[::-1]), dtau, torch.stack(dtheta[::-1]) if learned else None


class _LIF(torch.autograd.Function):
    """The two above as one operation; keeps u and s, and nothing else of that size."""

    @staticmethod
    def forward(ctx, current, tau, given, rule):
        u, s, theta, fire, k = _run(_lif_forward, current, tau, given, rule)
        ctx.save_for_backward(u, s, fire, k, tau)
        ctx.mark_non_differentiable(u, theta, fire, k)
        ctx.set_materialize_grads(False)
        return s, u, theta, fire, k

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, ds, *_):
        return *_run(_lif_backward, ds, *ctx.saved_tensors, ctx.needs_input_grad[2]), None


class LIF(nn.Module):
    """Leaky integrate-and-fire neurons, one layer, T timesteps. Eqs. 2-7 forward, 9-10 backward.

    current [T, B, ...] -> spikes [T, B, ...] in the current's dtype. Each call starts from rest.

    T           timesteps, >= 1
    tau         initial leak in (0, 1); trained as sigmoid(w) unless learn_tau=False
    v_th        initial threshold V_th, > 0
    kappa       base width of the surrogate, > 0
    f_c         firing control factor of Eq. 5, > 0: larger fires less
    momentum    m of Eq. 6 in (0, 1], or None: no moving average, evaluation uses its batch's threshold
    threshold   "true" and "estimated" (Eq. 5), "fixed" (v_th), "learned" (exp(a), one per layer)
    width       "threshold" (Eq. 7), "fixed" (kappa), "std" (the authors' released code: Eq. 7 with
                the batch's standard deviation in theta's place, in evaluation mode too)

    The paper's arms as (threshold, width): vanilla ("fixed", "fixed"); AT ("true", "fixed");
    TGO ("fixed", "threshold"), which fires at v_th while the width follows the threshold that Eq. 5
    would have set; AT+TGO ("true", "threshold"), the default.

    Buffers, alike in every arm: running_threshold [T], float32 or wider, and updates, how many
    training batches it has averaged. Training fires at the batch's threshold, evaluation at the
    running one. The threshold is floored at v_th/1000, so a silent layer stays silent. A layer whose
    potentials are all equal and not 0 is a tie, mean + 0 against itself: whether it fires is
    rounding. Where a threshold or a potential is not finite, the spikes are NaN.

    Raises ValueError for an argument out of range, and for a current of the wrong T, an empty one,
    or one that is not floating point. Differentiating twice is an error."""

    def __init__(self, T, *, tau=0.2, v_th=1.0, kappa=1.0, f_c=1.0, momentum=0.1,
                 threshold="true", width="threshold", learn_tau=True):
        super().__init__()
        _require(isinstance(T, numbers.Integral) and T >= 1, "T", T, "a whole number >= 1")
        _require(_real(tau) and 0 < tau < 1, "tau", tau, "a number between 0 and 1, both excluded")
        for name, value in (("v_th", v_th), ("kappa", kappa), ("f_c", f_c)):
            _require(_real(value) and 0 < value < math.inf, name, value, "a finite number > 0")
        _require(momentum is None or _real(momentum) and 0 < momentum <= 1, "momentum", momentum,
                 "a number > 0 and <= 1, or None")
        for name, value, allowed in (("threshold", threshold, ("true", "estimated", "fixed", "learned")),
                                     ("width", width, ("threshold", "std", "fixed"))):
            _require(value in allowed, name, value, "one of " + ", ".join(map(repr, allowed)))
        self.T, self.v_th, self.momentum = T, v_th, momentum
        self.rule = Rule(threshold, width, v_th, kappa, f_c)
        # Eqs. 5 and 6 are computed only where something follows them
        self.adaptive = threshold in ("true", "estimated") or (threshold, width) == ("fixed", "threshold")
        w, a = (torch.tensor(x, dtype=torch.get_default_dtype()) for x in (math.log(tau / (1 - tau)), math.log(v_th)))
        for name, value, learned in (("w", w, learn_tau), ("a", a, threshold == "learned")):
            self.register_parameter(name, nn.Parameter(value)) if learned else self.register_buffer(name, value)
        self.register_buffer("running_threshold", torch.full((T,), float(v_th)))
        self.register_buffer("updates", torch.tensor(0))
        self.figures = None           # a dict while `probe` watches this layer
        self._unwarned = True

    def forward(self, current):
        if current.dim() < 2 or current.shape[0] != self.T:
            raise ValueError(f"LIF(T={self.T}) takes a current [T={self.T}, B, ...], got shape {tuple(current.shape)}")
        if current.numel() == 0 or not current.is_floating_point():
            raise ValueError("LIF takes a floating-point current of at least one element, got "
                             f"{current.dtype} of shape {tuple(current.shape)}")
        wide = torch.promote_types(current.dtype, torch.float32)
        tau = torch.sigmoid(self.w.to(wide))
        batch = self.training or self.momentum is None
        if self.adaptive and batch:       # this batch's own threshold
            given = None if self.rule.threshold != "estimated" else (
                estimated_threshold(tau.detach(), self.v_th, self.rule.f_c).expand(self.T))
        elif self.adaptive:               # the one learned in training
            self._warn_if_never_updated()
            given = self.running_threshold
        elif self.rule.threshold == "learned":
            given = self.a.to(wide).exp().expand(self.T)
        else:
            given = torch.full_like(self.running_threshold, self.v_th)
        flat, unflatten = _flatten(current)                                        # [T, N]
        s, u, theta, fire, k = _LIF.apply(flat, tau, given, self.rule)
        if self.adaptive and self.training and self.momentum is not None and not _recomputing():
            self._average(theta)
        if self.figures is not None:
            self._observe(current.shape[1], u, s, theta, fire, k)
        return unflatten(s)

    @torch.no_grad()
    def _average(self, theta):
        old, m = self.running_threshold, self.momentum
        self.running_threshold.copy_(torch.where(theta.isfinite(), m * theta + (1 - m) * old, old))   # Eq. 6
        self.updates += theta.isfinite().all()

    def _warn_if_never_updated(self):
        if self._unwarned and not torch.compiler.is_compiling() and not self.updates.is_meta:
            self._unwarned = False        # looked at once after construction or loading: it syncs
            if self.updates == 0:
                warnings.warn("LIF evaluates thresholds that were never updated: train the network, load "
                              "trained weights, or call calibrate(net, batches)", stacklevel=3)

    @torch.no_grad()
    def _observe(self, batch, u, s, theta, fire, k):
        u, s = u.to(theta.dtype), s.to(theta.dtype)
        new = dict(firing_rate=s.mean(1), threshold=fire, width=k, u_mean=u.mean(1), u_std=u.std(1, correction=0),
                   gradient_available=(rectangle(u, fire[:, None], k[:, None]) > 0).to(theta.dtype).mean(1),
                   floored=(theta <= FLOOR * self.v_th).to(theta.dtype))
        seen = self.figures["pictures"] = self.figures.get("pictures", 0) + batch
        for name, value in new.items():
            old = self.figures.get(name, value)
            self.figures[name] = old + (value - old) * (batch / seen)

    def _load_from_state_dict(self, *args):
        super()._load_from_state_dict(*args)
        self._unwarned = True

    def _apply(self, fn, recurse=True):
        kept = self.running_threshold
        super()._apply(fn, recurse)
        if self.running_threshold.dtype in (torch.float16, torch.bfloat16):   # .half() must not round it
            self.running_threshold = kept.to(self.running_threshold.device)
        return self

    def extra_repr(self):
        return f"T={self.T}, " + ", ".join(f"{k}={v!r}" for k, v in self.rule._asdict().items()) + f", momentum={self.momentum}"


class ReLU(nn.ReLU):
    """In a neuron's place (`neuron=ReLU`, T=1): the iso-architecture ANN of the comparisons."""

    def __init__(self, T):
        super().__init__()


def _require(ok, name, value, allowed):
    if not ok:
        raise ValueError(f"{name}={value!r}: must be {allowed}")


def _real(value):
    return isinstance(value, numbers.Real)


def _recomputing():
    """A forward pass inside a backward pass is torch.utils.checkpoint's second one: Eq. 6 has been applied."""
    return not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1


def _flatten(x):
    """[T, ...] -> [T, N] with each timestep's elements in the order they have in memory (a neuron
    treats them alike), so that channels-last costs no copy; and the function that undoes it."""
    rest = range(1, x.dim())
    order = [0, *(rest if torch.compiler.is_compiling() else sorted(rest, key=x.stride, reverse=True))]
    x = x.permute(order)
    return x.flatten(1), lambda y: y.unflatten(1, x.shape[1:]).permute([order.index(d) for d in range(len(order))])

#############################################
#         4. Networks, Tables 4, 5          #
#############################################

class _Fold(nn.Sequential):
    """Layers without time, applied to [T*B, ...]."""

    def forward(self, x):
        return super().forward(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def _layer(weights, norm, neuron):
    """weights, batch norm over time and batch (tdBN, alpha = 1: scaled to N(0, v_th^2)), neuron."""
    nn.init.constant_(norm.weight, getattr(neuron, "v_th", 1.0))
    return nn.Sequential(OrderedDict(current=_Fold(weights, norm), neuron=neuron))      # Eq. 1, then Eqs. 2-3


def _conv(cin, cout, neuron, kernel=3, stride=1):
    conv = nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return _layer(conv, nn.BatchNorm2d(cout), neuron)


class _SEW(nn.Module):
    """Spike-element-wise residual block (Fang et al. 2021a): the sum is taken after the spikes."""

    def __init__(self, cin, cout, stride, neuron):
        super().__init__()
        self.conv1, self.conv2 = _conv(cin, cout, neuron(), stride=stride), _conv(cout, cout, neuron())
        self.skip = nn.Identity() if stride == 1 and cin == cout else _conv(cin, cout, neuron(), 1, stride)

    def forward(self, x):
        return self.conv2(self.conv1(x)) + self.skip(x)


class _Network(nn.Sequential):
    """Layers on [T, B, ...], after what repeats a still picture and checks the input."""

    def __init__(self, T, in_channels, side, **layers):
        super().__init__(OrderedDict(layers))
        self.T, self.in_channels, self.side = T, in_channels, side

    def forward(self, x):
        if x.dim() == 4:
            x = x.expand(self.T, *x.shape)                                         # [T, B, C, H, W]
        if (x.dim() != 5 or x.shape[0] != self.T or x.shape[2] != self.in_channels or not x.is_floating_point()
                or self.side and (x.shape[3] // 16, x.shape[4] // 16) != (self.side // 16,) * 2):
            side = f"{self.side}, {self.side}" if self.side else "H, W"
            raise ValueError(f"this network takes floating-point [B, {self.in_channels}, {side}] or [T={self.T}, B, "
                             f"{self.in_channels}, {side}], got {x.dtype} of shape {tuple(x.shape)}")
        return super().forward(x)                                                  # [T, B, classes]


def _check_sizes(**sizes):
    for name, value in sizes.items():
        _require(isinstance(value, numbers.Integral) and value >= 1, name, value, "a whole number >= 1")


def _stage(cin, cout, blocks, stride, neuron):
    return nn.Sequential(*(_SEW(cout if i else cin, cout, 1 if i else stride, neuron) for i in range(blocks)))


def _trunk(c, T, in_channels, neuron):
    """Table 4 without its classifier: [T, B, in_channels, H, W] -> [T, B, 4c]."""
    return dict(stem=_conv(in_channels, c, neuron()),
                stage1=_stage(c, c, 3, 1, neuron),
                stage2=_stage(c, 2 * c, 3, 2, neuron),
                stage3=_stage(2 * c, 4 * c, 2, 2, neuron),
                pool=_Fold(nn.AdaptiveAvgPool2d(1), nn.Flatten()))


def resnet19(num_classes=10, T=2, in_channels=3, channels=128, neuron=LIF):
    """ResNet-19 of Table 4 with SEW blocks (3, 3 and 2 of them): [B, C, H, W], the same picture at
    every timestep, or [T, B, C, H, W] -> logits [T, B, num_classes]; average them with `readout`.
    `channels` is the first stage's width; the 256-wide layer before the classes does not change
    with it. `neuron(T)` is called once per layer. Raises ValueError for sizes below 1."""
    _check_sizes(num_classes=num_classes, T=T, in_channels=in_channels, channels=channels)
    return _Network(T, in_channels, None, **_trunk(channels, T, in_channels, lambda: neuron(T)),
                    hidden=_layer(nn.Linear(4 * channels, 256, bias=False), nn.BatchNorm1d(256), neuron(T)),
                    classes=_Fold(nn.Linear(256, num_classes, bias=False)))


def resnet18(num_classes=10, T=2, in_channels=3, channels=128, neuron=LIF, stem="cifar"):
    """ResNet-18 of Table 4: `resnet19` without the 256-wide layer. stem="imagenet" is the standard
    form for 224x224 instead, which the paper does not spell out: 7x7 convolution of stride 2, batch
    norm, 2x2 average pool, neuron; then four stages of two blocks, channels/2 (64) to 4 channels
    (512) wide. Input, output and errors as in `resnet19`."""
    _check_sizes(num_classes=num_classes, T=T, in_channels=in_channels, channels=channels)
    _require(stem in ("cifar", "imagenet"), "stem", stem, "'cifar' or 'imagenet'")
    new = lambda: neuron(T)                                                        # noqa: E731
    layers = _trunk(channels, T, in_channels, new)
    if stem == "imagenet":
        _require(channels % 2 == 0, "channels", channels, "even for stem='imagenet', whose first stage has half of them")
        widths = [channels // 2, channels // 2, channels, 2 * channels, 4 * channels]
        layers = dict(stem=_conv(in_channels, widths[0], new(), 7, 2),
                      **{f"stage{i}": _stage(widths[i - 1], widths[i], 2, 1 if i == 1 else 2, new) for i in range(1, 5)},
                      pool=layers["pool"])
        layers["stem"].current.append(nn.AvgPool2d(2))    # before the neuron, so that the blocks add up whole spikes
    return _Network(T, in_channels, None, **layers, classes=_Fold(nn.Linear(4 * channels, num_classes, bias=False)))


def vggsnn(num_classes=10, T=10, in_channels=2, channels=64, size=48, neuron=LIF):
    """VGGSNN of Table 5: [T, B, C, size, size], or [B, C, size, size] -> logits [T, B, num_classes].
    `size` is the input's side, at least 16: four 2x2 pools leave size // 16, cropping the rest as
    PyTorch's pools do. Errors as in `resnet19`."""
    _check_sizes(num_classes=num_classes, T=T, in_channels=in_channels, channels=channels)
    _require(isinstance(size, numbers.Integral) and size >= 16, "size", size, "a whole number >= 16")
    layers, cin = OrderedDict(), in_channels
    for i, (width, pool) in enumerate(((1, 0), (2, 1), (4, 0), (4, 1), (8, 0), (8, 1), (8, 0), (8, 1)), 1):
        layers[f"conv{i}"] = _conv(cin, width * channels, neuron(T))
        cin = width * channels
        if pool:
            layers[f"pool{i}"] = _Fold(nn.AvgPool2d(2))
    classes = nn.Linear(cin * (size // 16) ** 2, num_classes, bias=False)
    return _Network(T, in_channels, size, **layers, classes=_Fold(nn.Flatten(), classes))

#############################################
#                 5. Losses                 #
#############################################

def readout(logits):
    """Eq. 8: logits [T, B, classes] -> [B, classes], the output layer's potential, averaged over time."""
    return logits.mean(0)


def tet_loss(logits, labels, phi=1.0, lam=1e-3, label_smoothing=0.0):
    """Temporal efficient training (Deng et al. 2022): (1 - lam) * mean over t of the cross-entropy at
    t, plus lam * the mean square of logits - phi. logits [T, B, classes], labels [B] -> scalar. The
    defaults are those of its authors' CIFAR10-DVS trainer."""
    ce = F.cross_entropy(logits.flatten(0, 1), labels.repeat(len(logits)), label_smoothing=label_smoothing)
    return (1 - lam) * ce + lam * (logits - phi).square().mean()

#############################################
#       6. Probe, energy, calibration       #
#############################################

@contextlib.contextmanager
def probe(net):
    """Watch every LIF of `net` while the context is open:

        with probe(net) as figures:
            net(pictures)
        figures["stage1.0.conv1.neuron"]["firing_rate"]        # tensor [T]

    Per layer, in the order of net.named_modules(), and timestep: firing_rate (of the LIF's own
    output), gradient_available (share of neurons inside the surrogate's window, Fig. 11), threshold
    and width as used, u_mean, u_std (population), floored (whether theta's floor acted), each a
    tensor [T]; and pictures, how many were seen. Several forward passes are averaged, weighted by
    their batch sizes. No spike tensor is kept. Probe the network itself, not its compiled wrapper."""
    layers = {name: layer for name, layer in net.named_modules() if isinstance(layer, LIF)}
    before = [layer.figures for layer in layers.values()]
    for layer in layers.values():
        layer.figures = {}
    try:
        yield {name: layer.figures for name, layer in layers.items()}
    finally:
        for layer, figures in zip(layers.values(), before):
            layer.figures = figures


MAC_PJ, AC_PJ = 4.6, 0.9      # a multiply-accumulate and an accumulate, 45 nm (Horowitz 2014)


def energy(net, x):
    """Operations and energy of inference, per picture of `x` (the network's input, [B, ...] or
    [T, B, ...]), counted in evaluation mode; the mode is restored. Convolutions and linear layers
    count; batch norm folds into them, and pools are left out, as in the paper. A dict of floats:

    mac, ac_paper, mj_paper        appendix C: a layer's firing rate x T x its operations are
        accumulates; the first layer and the last, which no neuron follows, are multiply-accumulates
    mac_counted, ac_counted, mj_counted    by what arrives: inputs that are all whole numbers >= 0 are
        accumulates, each as many as the spikes it adds up (a SEW sum of 3 is three); everything else,
        pooled spikes for one, and the first layer are multiply-accumulates
    mac_ann, mj_ann                the iso-architecture ANN: each operation once, all MAC
    mj: millijoule, at 4.6 pJ a MAC and 0.9 pJ an AC."""
    layers, batch, was_training = [], x.shape[0 if x.dim() == 4 else 1], net.training

    def weights_ran(module, inputs, output):
        x, = inputs                                                                # [T*B, ...]
        ops = output.numel() * module.weight[0].numel() / batch                    # of T timesteps
        spikes = bool(((x >= 0) & (x == x.round())).all())
        arriving = x.double().mean().item() if spikes and layers else None
        layers.append(dict(ops=ops, T=len(x) // batch, arriving=arriving, rate=None))

    def neuron_ran(module, inputs, s):
        layers[-1]["rate"] = s.double().mean().item()

    hooks = [m.register_forward_hook(weights_ran) for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    hooks += [m.register_forward_hook(neuron_ran) for m in net.modules() if isinstance(m, LIF)]
    try:
        with torch.no_grad():
            net.eval()(x)
    finally:
        net.train(was_training)
        for hook in hooks:
            hook.remove()
    layers[0]["rate"] = None                                                       # pictures arrive, not spikes
    count = dict(mac=0.0, ac_paper=0.0, mac_counted=0.0, ac_counted=0.0, mac_ann=0.0)
    for layer in layers:
        for mac, ac, rate in (("mac", "ac_paper", layer["rate"]), ("mac_counted", "ac_counted", layer["arriving"])):
            count[mac if rate is None else ac] += layer["ops"] * (1 if rate is None else rate)
        count["mac_ann"] += layer["ops"] / layer["T"]
    return count | dict(mj_paper=millijoule(count["mac"], count["ac_paper"]),
                        mj_counted=millijoule(count["mac_counted"], count["ac_counted"]),
                        mj_ann=millijoule(count["mac_ann"], 0))


def millijoule(mac, ac):
    """Energy of `mac` multiply-accumulates and `ac` accumulates in mJ (appendix C)."""
    return (mac * MAC_PJ + ac * AC_PJ) * 1e-9


@torch.no_grad()
def calibrate(net, batches):
    """Running thresholds (Eq. 6) and batch-norm statistics of `net` anew, each the plain mean over
    `batches`, an iterable of inputs or of (input, label) tuples, moved to the network's device. Runs
    in training mode without gradients and restores the mode. No batch at all, or a statistic that
    comes out not finite: ValueError; on any error the buffers are as they were."""
    lifs = [m for m in net.modules() if isinstance(m, LIF) and m.momentum is not None]
    norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    modes = {m: m.training for m in net.modules()}
    momenta = {m: m.momentum for m in lifs + norms}
    before = [(buffer, buffer.clone()) for buffer in net.buffers()]
    device, seen = before[0][0].device, 0
    try:
        net.train()
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None                           # PyTorch's cumulative mean
        for lif in lifs:
            lif.updates.zero_()
        for seen, batch in enumerate(batches, 1):
            for lif in lifs:
                lif.momentum = 1 / seen
            net((batch[0] if isinstance(batch, (tuple, list)) else batch).to(device))
        _require(seen > 0, "batches", batches, "at least one batch")
        for name, buffer in net.named_buffers():
            if not buffer.isfinite().all():
                raise ValueError(f"calibrate: {name} is not finite: look for NaN or infinity in the weights or inputs")
    except BaseException:
        for buffer, old in before:
            buffer.copy_(old)
        raise
    finally:
        for module, mode in modes.items():
            module.training = mode
        for module, momentum in momenta.items():
            module.momentum = momentum

#############################################
#               7. Compilation              #
#############################################

_compiled = {}      # eager function -> compiled function, empty unless asked for


def compile_neurons(enabled=True):
    """Run every LIF's forward and backward through torch.compile, in the whole process, or no longer.
    Layers are flattened to [T, N] with N dynamic: one graph for each T, not for each layer size.
    Rounding differs from eager mode, so of spikes a few in a million may. Where there is no compiler,
    the first call warns once and everything goes on in eager mode. Inside torch.compile(net) this
    changes nothing."""
    _compiled.clear()
    if enabled:
        # T, dtype, arm and mode each make a graph; the limit is there to catch graphs without end
        torch._dynamo.config.recompile_limit = max(64, torch._dynamo.config.recompile_limit)
        _compiled.update((f, torch.compile(f, fullgraph=True)) for f in (_lif_forward, _lif_backward))


def _run(function, *args):
    if torch.compiler.is_compiling() or function not in _compiled:
        return function(*args)
    # what torch.compile would guard on and thus compile again for: views, strides, requires_grad
    args = [x.data.contiguous() if isinstance(x, torch.Tensor) else x for x in args]
    for x in args:
        if isinstance(x, torch.Tensor) and x.dim() == 2 and x.shape[1] > 1:
            torch._dynamo.mark_dynamic(x, 1)
    try:
        return _compiled[function](*args)
    except torch._dynamo.exc.TorchDynamoException as error:
        _compiled.clear()
        warnings.warn(f"neurons run in eager mode, torch.compile failed: {str(error).splitlines()[0]}", stacklevel=2)
        return function(*args)
