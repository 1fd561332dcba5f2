"""DS-ATGO in one file: spiking networks whose firing threshold follows the distribution of the membrane potential
at each timestep (forward), and whose surrogate gradient's width follows that threshold (backward).

Jiang, Xu, Fan, Yan: "DS-ATGO: Dual-Stage Synergistic Learning via Forward Adaptive Threshold and Backward Gradient
Optimization for Spiking Neural Networks", AAAI 2026. Equation numbers are the main text's. Where the paper, its
released code and this file part stands in a table in README.md.

    paper             code                           shape         equation
    I(t)              current                        [T, B, ...]   1   a layer's input
    U(t)              u, the membrane potential      [T, B, ...]   2
    S(t)              s, the spikes, 0 or 1          [T, B, ...]   3
    tau               tau = sigmoid(w), the leak     []            2   learned, one per layer
    V_th              v_th, the initial threshold    float         3
    Delta V_th(t)_n   theta, this batch's threshold  [T]           5
    Delta V_th(t)     running_threshold              [T]           6   used for inference
    kappa             kappa, the base width          float         4, and the k at the right of 7
    k                 k, the width                   [T]           7
    f_c, m            f_c, momentum                  float         5, 6

Time comes first: [T, B, ...]; a layer without time is applied to [T*B, ...]. A neuron takes a whole sequence from rest, keeps
between calls no potential: nothing is to be reset, any batch size will do. A potential equal to its threshold fires.
"""
import contextlib, copy, dataclasses, hashlib, io, json, math, numbers, os, pathlib, shutil  # noqa: E401
import signal, subprocess, sys, time, warnings, zipfile  # noqa: E401
from collections import OrderedDict, namedtuple
from functools import partial

import torch
import torch.nn.functional as F
import torch.utils.checkpoint
from torch import nn

FLOOR = 1e-3    # the smallest theta, in units of v_th, and the smallest width, in units of kappa

########## 1. Surrogate gradient ##########################################################################
def rectangle(u, theta, width):
    """Eq. 4, the surrogate of dS/dU: 1/width where |u - theta| <= width/2 (both ends included), else 0. `theta`
    and `width` broadcast against `u`; the result has u's shape and dtype."""
    return (((u - theta).abs() <= width / 2).to(u.dtype) / width).to(u.dtype)

########## 2. Threshold and width #########################################################################
def adaptive_threshold(u, f_c=1.0):
    """Eq. 5, "true": f_c * (mean + std) over every element of `u`, one timestep of one layer with its whole batch.
    A scalar tensor, float32 or wider, without gradient, not floored. The variance is the population's, as the mean
    square of the difference from the mean: mean of squares minus square of mean would cancel for large means."""
    u = u.detach().to(torch.promote_types(u.dtype, torch.float32))
    mean = _mean(u)
    return f_c * (mean + _mean((u - mean).square()).sqrt())

def estimated_threshold(tau, v_th=1.0, f_c=1.0):
    """Eq. 5, "estimated": f_c * sqrt(1 + tau^2) * v_th, for currents that are N(0, v_th^2). `tau`: tensor or float."""
    return f_c * (1 + tau ** 2) ** 0.5 * v_th

def surrogate_width(theta, v_th=1.0, kappa=1.0):
    """Eq. 7, the width k for a tensor of thresholds: below kappa where theta < v_th, above it where theta > v_th. Its
    two branches are this one line, as 1 - tanh(a) = 1 + tanh(-a). Floored at kappa/1000: 1/k is a gradient's height."""
    return (kappa * (1 + torch.tanh(theta - v_th))).clamp(min=FLOOR * kappa)

########## 3. Neuron ######################################################################################
THRESHOLDS, WIDTHS = ("true", "estimated", "fixed", "learned"), ("threshold", "std", "fixed")
Rule = namedtuple("Rule", "threshold width v_th kappa f_c")      # how a layer sets its threshold and width, see LIF

def _lif_forward(current, tau, given, rule):
    """A layer's whole sequence, [T, N] -> u, s [T, N], theta, fire, k [T]. `given`: thresholds [T], or None for
    Eq. 5 on this batch. `fire` is where it fires: theta, or v_th if that is fixed."""
    dtype, wide = current.dtype, torch.promote_types(current.dtype, torch.float32)
    trace, u, s = [], None, None
    for t in range(len(current)):
        i = current[t].to(wide)
        u = i if t == 0 else torch.addcmul(i, tau * u, 1 - s).to(dtype).to(wide)   # Eq. 2: I + tau U (1 - S), from rest
        theta = adaptive_threshold(u, rule.f_c) if given is None else given[t]     # Eq. 5
        theta = theta.to(wide).clamp(min=FLOOR * rule.v_th)                        # a layer at rest must not fire
        fire = torch.full_like(theta, rule.v_th) if rule.threshold == "fixed" else theta
        s = torch.addcmul((u >= fire).to(wide), u, theta - theta)                  # Eq. 3, + 0 or NaN: never swallowed
        if rule.width == "fixed":
            k = torch.full_like(theta, rule.kappa)
        elif rule.width == "threshold":
            k = surrogate_width(theta, rule.v_th, rule.kappa)                      # Eq. 7
        elif rule.width == "std":                                                  # the released code's
            k = surrogate_width(_mean((u - _mean(u)).square()).sqrt(), rule.v_th, rule.kappa)
        else:
            raise NotImplementedError(f"width={rule.width!r} is a name without code")
        trace.append((u.to(dtype), s.to(dtype), theta, fire, k))
    return tuple(torch.stack(column) for column in zip(*trace))

def _lif_backward(ds, u, s, fire, k, tau, learned):
    """dL/dS -> dL/dI [T, N], dL/dtau [] and, of a learned threshold, dL/dtheta [T], from the saved potentials and
    spikes. k is a constant here, and theta unless learned; the reset is no constant."""
    T, dtype, wide = len(u), u.dtype, torch.promote_types(u.dtype, torch.float32)
    du, dtau, dcurrent, dtheta = None, torch.zeros_like(tau), [], []
    for t in reversed(range(T)):
        ut, kept, dst = u[t].to(wide), 1 - s[t].to(wide), ds[t].to(wide)
        if t + 1 < T:                                               # du still holds dL/dU(t+1)
            decayed, dtau = tau * du, dtau + (du * ut * kept).sum()     # dU(t+1)/dtau = U(t) (1 - S(t))
            dst = torch.addcmul(dst, decayed, ut, value=-1)         # Eq. 10: dU(t+1)/dS(t) = -tau U(t)
        dspike = dst * rectangle(ut, fire[t], k[t])                 # Eq. 9, first term, with Eq. 4
        du = torch.addcmul(dspike, decayed, kept) if t + 1 < T else dspike      # Eq. 9: dU(t+1)/dU(t) = tau (1 - S(t))
        dcurrent.append(du.to(dtype))                               # dU(t)/dI(t) = 1; Eq. 11 goes on from it
        if learned:
            dtheta.append(-dspike.sum())                            # dS/dtheta = -dS/dU
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
    """Leaky integrate-and-fire neurons, one layer, T >= 1 timesteps. Eqs. 2-7 forward, 9-10 backward.
    current [T, B, ...] -> spikes [T, B, ...] in the current's dtype; each call starts from rest.
    tau         initial leak in (0, 1); trained as sigmoid(w) unless learn_tau=False
    v_th        initial threshold V_th, > 0
    kappa       base width of the surrogate, > 0
    f_c         firing control factor of Eq. 5, > 0: larger fires less
    momentum    m of Eq. 6 in (0, 1], or None: no moving average, evaluation uses its own batch's threshold
    threshold   "true" and "estimated" (Eq. 5), "fixed" (v_th), "learned" (exp(a), one per layer)
    width       "threshold" (Eq. 7), "fixed" (kappa), "std" (the authors' released code: Eq. 7 with the batch's
                standard deviation in theta's place, in evaluation mode too)

    The paper's arms as (threshold, width): vanilla ("fixed", "fixed"); AT ("true", "fixed"); TGO ("fixed",
    "threshold"), which fires at v_th while the width follows the threshold Eq. 5 would have set; AT+TGO, the default.
    Buffers, alike in every arm: running_threshold [T], float32 or wider, and updates, how many training batches it
    has averaged. Training fires at the batch's threshold, evaluation at the running one. theta is floored at
    v_th/1000, so a silent layer stays silent. A layer whose potentials are all equal and not 0 is a tie (mean + 0
    against itself): whether it fires is rounding. Where theta or a potential is not finite, the spikes are NaN.
    ValueError: an argument out of range, a current of the wrong T, empty or not floating point."""

    def __init__(self, T, *, tau=0.2, v_th=1.0, kappa=1.0, f_c=1.0, momentum=0.1,
                 threshold="true", width="threshold", learn_tau=True):
        super().__init__()
        _whole_numbers(T=T)
        big = torch.finfo().max
        for name, value, high in ("tau", tau, 1), ("v_th", v_th, big), ("kappa", kappa, big), ("f_c", f_c, big):
            _require(isinstance(value, numbers.Real) and 0 < value < high, name, value, f"a number > 0 and < {high:.3g}")
        m_fits = momentum is None or isinstance(momentum, numbers.Real) and 0 < momentum <= 1
        _require(m_fits, "momentum", momentum, "a number > 0 and <= 1, or None")
        _require(threshold in THRESHOLDS, "threshold", threshold, f"one of {THRESHOLDS}")
        _require(width in WIDTHS, "width", width, f"one of {WIDTHS}")
        self.T, self.v_th, self.momentum, self.rule = T, v_th, momentum, Rule(threshold, width, v_th, kappa, f_c)
        self.adaptive = threshold in ("true", "estimated") or (threshold, width) == ("fixed", "threshold")  # needs Eq. 5
        for name, value, learned in ("w", math.log(tau / (1 - tau)), learn_tau), ("a", math.log(v_th), threshold == "learned"):
            value = torch.tensor(value)
            self.register_parameter(name, nn.Parameter(value)) if learned else self.register_buffer(name, value)
        wide = torch.promote_types(torch.get_default_dtype(), torch.float32)
        self.register_buffer("running_threshold", torch.full((T,), float(v_th), dtype=wide))
        self.register_buffer("updates", torch.tensor(0))
        self.figures, self.seen, self._unwarned = None, 0, True   # figures: a dict while `probe` watches; seen: pictures

    def forward(self, current):
        if current.dim() < 2 or current.shape[0] != self.T or current.numel() == 0 or not current.is_floating_point():
            raise ValueError(f"LIF(T={self.T}) takes a floating-point current [T={self.T}, B, ...] of at least one element, "
                             f"got {current.dtype} of shape {tuple(current.shape)}")
        wide = torch.promote_types(current.dtype, torch.float32)
        tau, threshold = torch.sigmoid(self.w.to(wide)), self.rule.threshold
        if threshold not in ("true", "estimated", "fixed", "learned"):
            raise NotImplementedError(f"threshold={threshold!r} is a name without code")
        if threshold == "learned":
            given = self.a.to(wide).exp().expand(self.T)
        elif not self.adaptive:
            given = torch.full_like(self.running_threshold, self.v_th)
        elif not self.training and self.momentum is not None:     # the threshold of inference
            self._warn_if_never_updated()
            given = self.running_threshold
        elif threshold == "estimated":
            given = estimated_threshold(tau.detach(), self.v_th, self.rule.f_c).expand(self.T)
        else:
            given = None                                          # Eq. 5 on this batch
        flat, unflatten = _flatten(current)                                                              # [T, N]
        s, u, theta, fire, k = _LIF.apply(flat, tau, given, self.rule)
        # a forward pass inside a backward pass is torch.utils.checkpoint's second one: Eq. 6 has been applied
        again = not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1
        if self.adaptive and self.training and self.momentum is not None and not again:
            with torch.no_grad():
                old, m, finite = self.running_threshold, self.momentum, theta.isfinite()
                self.running_threshold.copy_(torch.where(finite, m * theta + (1 - m) * old, old))        # Eq. 6
                self.updates += finite.all()
        if self.figures is not None:
            _observe(self, current.shape[1], u, s, theta, fire, k)
        return unflatten(s)

    def _warn_if_never_updated(self):
        if self._unwarned and not torch.compiler.is_compiling() and not self.updates.is_meta:
            self._unwarned = False        # looked at once after construction or loading: it syncs
            if self.updates == 0:
                warnings.warn("LIF evaluates thresholds that were never updated: train the network, load trained "
                              "weights, or call calibrate(net, batches)", stacklevel=3)

    def _load_from_state_dict(self, *args):
        super()._load_from_state_dict(*args)
        self._unwarned = True

    def _apply(self, fn, recurse=True):
        kept = self.running_threshold
        super()._apply(fn, recurse)
        if self.running_threshold.dtype in (torch.float16, torch.bfloat16):       # .half() must not round it
            self.running_threshold = kept.to(self.running_threshold.device)
        return self

    def extra_repr(self):
        return ", ".join(f"{k}={v!r}" for k, v in dict(T=self.T, **self.rule._asdict(), momentum=self.momentum).items())

########## 4. Networks, Tables 4 and 5 ####################################################################
def ReLU(T):
    """In a neuron's place (`neuron=ReLU`, with T=1): the iso-architecture ANN of the comparisons."""
    return nn.ReLU()

class _Fold(nn.Sequential):
    """Layers without time, applied to [T*B, ...]; with `once`, a picture repeated by `expand` is looked at once."""
    once = False

    def forward(self, x):
        if self.once and x.stride(0) == 0:
            return super().forward(x[0]).expand(len(x), *[-1] * (x.dim() - 1))
        return super().forward(x.flatten(0, 1)).unflatten(0, x.shape[:2])

class _Layer(nn.Sequential):
    """Weights and batch norm (Eq. 1), neuron (Eqs. 2-3); with `again`, only its input is kept for the backward pass."""
    again = False

    def forward(self, x):
        if not (self.again and self.training and torch.is_grad_enabled()) or torch.compiler.is_compiling():
            return super().forward(x)
        return torch.utils.checkpoint.checkpoint(self._pass, x, use_reentrant=False, preserve_rng_state=False)

    def _pass(self, x):
        norm, kept = self.current[1], (self.current[1].momentum, self.current[1].num_batches_tracked)
        if torch._C._current_graph_task_id() != -1:     # in a backward pass: the running statistics have seen this batch
            norm.momentum, norm.num_batches_tracked = 0.0, norm.num_batches_tracked.clone()
        try:
            return super().forward(x)
        finally:
            norm.momentum, norm.num_batches_tracked = kept

def _layer(weights, norm, neuron):
    """Weights, batch norm over time and batch (tdBN, alpha = 1: scaled to N(0, v_th^2)), neuron."""
    nn.init.constant_(norm.weight, getattr(neuron, "v_th", 1.0))
    return _Layer(OrderedDict(current=_Fold(weights, norm), neuron=neuron))

def _conv(cin, cout, neuron, kernel=3, stride=1):
    conv = nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return _layer(conv, nn.BatchNorm2d(cout), neuron)

class _SEW(nn.Module):
    """Spike-element-wise residual block (Fang et al. 2021a): the sum is taken after the spikes."""
    def __init__(self, cin, cout, stride, new):
        super().__init__()
        self.conv1, self.conv2 = _conv(cin, cout, new(), stride=stride), _conv(cout, cout, new())
        self.skip = nn.Identity() if stride == 1 and cin == cout else _conv(cin, cout, new(), 1, stride)

    def forward(self, x):
        return self.conv2(self.conv1(x)) + self.skip(x)

class _Network(nn.Sequential):
    """Layers on [T, B, ...], after what checks the input and repeats a still picture."""
    def __init__(self, T, in_channels, side, layers):
        super().__init__(OrderedDict(layers))
        self.T, self.in_channels, self.side = T, in_channels, side

    def forward(self, x):
        if x.dim() == 4:
            x = x.expand(self.T, *x.shape)                                                               # [T, B, C, H, W]
        fits = x.dim() == 5 and x.is_floating_point() and x.shape[0] == self.T and x.shape[2] == self.in_channels
        if not fits or self.side and not (x.shape[3] // 16 == x.shape[4] // 16 == self.side // 16):
            shape = f"B, {self.in_channels}, " + (f"{self.side}, {self.side}" if self.side else "H, W")
            raise ValueError(f"this network takes floating-point [{shape}] or [T={self.T}, {shape}], "
                             f"got {x.dtype} of shape {tuple(x.shape)}")
        return super().forward(x)                                                                        # [T, B, classes]

def _resnet(num_classes, T, in_channels, channels, neuron, widths, blocks, hidden=None, stem="cifar"):
    """Stem, stages of SEW blocks (each but the first begins with stride 2), pool, classes."""
    _whole_numbers(num_classes=num_classes, T=T, in_channels=in_channels, channels=channels)
    widths = [int(width * channels) for width in widths]
    layers = dict(stem=_conv(in_channels, widths[0], neuron(T), *((3, 1) if stem == "cifar" else (7, 2))))
    if stem == "imagenet":
        layers["stem"].current.append(nn.AvgPool2d(2))            # before the neuron: the blocks add up whole spikes
    for i, (cin, cout, n) in enumerate(zip([widths[0], *widths], widths, blocks)):
        layers[f"stage{i + 1}"] = nn.Sequential(*(
            _SEW(cout if j else cin, cout, 1 if j or not i else 2, lambda: neuron(T)) for j in range(n)))
    layers["pool"] = _Fold(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    if hidden:
        layers["hidden"] = _layer(nn.Linear(cout, hidden, bias=False), nn.BatchNorm1d(hidden), neuron(T))
    return _Network(T, in_channels, None, layers | dict(classes=_Fold(nn.Linear(hidden or cout, num_classes, bias=False))))

def resnet19(num_classes=10, T=2, in_channels=3, channels=128, neuron=LIF):
    """ResNet-19 of Table 4 with SEW blocks, 3, 3 and 2 of them: [B, C, H, W], the same picture at every timestep, or
    [T, B, C, H, W] -> logits [T, B, num_classes]; `readout` averages them. `channels` is the first stage's width; the
    hidden layer is 256 wide whatever it is. `neuron(T)` is called once per layer. ValueError for sizes below 1."""
    return _resnet(num_classes, T, in_channels, channels, neuron, (1, 2, 4), (3, 3, 2), hidden=256)

def resnet18(num_classes=10, T=2, in_channels=3, channels=128, neuron=LIF, stem="cifar"):
    """ResNet-18 of Table 4: `resnet19` without the hidden layer. stem="imagenet" is the standard form for 224x224: 7x7 conv
    of stride 2, batch norm, 2x2 average pool, neuron; four stages of two blocks, channels/2 (64) to 4 channels (512) wide."""
    _require(stem in ("cifar", "imagenet"), "stem", stem, "'cifar' or 'imagenet'")
    _require(stem == "cifar" or channels % 2 == 0, "channels", channels, "even for stem='imagenet'")
    widths, blocks = ((1, 2, 4), (3, 3, 2)) if stem == "cifar" else ((0.5, 1, 2, 4), (2, 2, 2, 2))
    return _resnet(num_classes, T, in_channels, channels, neuron, widths, blocks, stem=stem)

def vggsnn(num_classes=10, T=10, in_channels=2, channels=64, size=48, neuron=LIF):
    """VGGSNN of Table 5: [T, B, C, size, size], or [B, C, size, size] -> logits [T, B, num_classes]. `size`, at least
    16, is the input's side: four 2x2 pools leave size // 16, cropping the rest as PyTorch does. Errors as in `resnet19`."""
    _whole_numbers(num_classes=num_classes, T=T, in_channels=in_channels, channels=channels)
    _require(isinstance(size, numbers.Integral) and size >= 16, "size", size, "a whole number >= 16")
    layers, cin = {}, in_channels
    for i, (width, pool) in enumerate(((1, 0), (2, 1), (4, 0), (4, 1), (8, 0), (8, 1), (8, 0), (8, 1)), 1):
        layers[f"conv{i}"], cin = _conv(cin, width * channels, neuron(T)), width * channels
        if pool:
            layers[f"pool{i}"] = _Fold(nn.AvgPool2d(2))
    layers["classes"] = _Fold(nn.Flatten(), nn.Linear(cin * (size // 16) ** 2, num_classes, bias=False))
    return _Network(T, in_channels, size, layers)

def recompute(net, enabled=True):
    """Let each layer of `net` keep its input alone for the backward pass and compute the rest again there: a quarter of the
    memory, about a third more time, the same gradients; running thresholds and batch norm see each batch once. -> net"""
    for layer in (m for m in net.modules() if isinstance(m, _Layer)):
        layer.again = enabled
    return net

def for_inference(net):
    """A copy of `net` in evaluation mode for inference alone: batch norm folded into the weights before it, the first layer of
    a still picture computed once instead of T times. Equal to `net.eval()` but for rounding, which can flip single spikes."""
    net = copy.deepcopy(net).eval()
    for layer in (m for m in net.modules() if isinstance(m, _Layer) and not m.current.once):
        weights, norm, fusion = *layer.current[:2], torch.nn.utils.fusion
        fuse = fusion.fuse_conv_bn_eval if isinstance(weights, nn.Conv2d) else fusion.fuse_linear_bn_eval
        layer.current[0], layer.current[1], layer.current.once = fuse(weights, norm), nn.Identity(), True
    return net

########## 5. Losses ######################################################################################
def readout(logits):
    """Eq. 8: logits [T, B, classes] -> [B, classes], the output layer's potential averaged over time."""
    return logits.mean(0)

def tet_loss(logits, labels, phi=1.0, lam=1e-3, label_smoothing=0.0):
    """Temporal efficient training (Deng et al. 2022): (1 - lam) * mean over t of the cross-entropy at t, plus lam * the
    mean square of logits - phi. logits [T, B, classes], labels [B] -> scalar. Defaults: its CIFAR10-DVS trainer's."""
    ce = F.cross_entropy(logits.flatten(0, 1), labels.repeat(len(logits)), label_smoothing=label_smoothing)
    return (1 - lam) * ce + lam * (logits - phi).square().mean()

########## 6. Probe, energy, calibration ##################################################################
@contextlib.contextmanager
def probe(net):
    """Watch every LIF: `with probe(net) as figures: net(pictures)`, then figures["stem.neuron"]["firing_rate"] is [T].
    Per layer, in the order of net.named_modules(), and timestep: firing_rate (of the LIF's own output), gradient_available
    (share of neurons in the surrogate's window, Fig. 11), threshold and width as used, u_mean, u_std (population), floored
    (whether theta's floor acted). Forward passes are averaged by batch size, no spikes kept. Not for compiled wrappers."""
    layers = {name: layer for name, layer in net.named_modules() if isinstance(layer, LIF)}
    before = [(layer.figures, layer.seen) for layer in layers.values()]
    for layer in layers.values():
        layer.figures, layer.seen = {}, 0
    try:
        yield {name: layer.figures for name, layer in layers.items()}
    finally:
        for layer, old in zip(layers.values(), before):
            layer.figures, layer.seen = old

@torch.no_grad()
def _observe(layer, batch, u, s, theta, fire, k):
    u, s = u.to(theta.dtype), s.to(theta.dtype)
    inside = rectangle(u, fire[:, None], k[:, None]) > 0
    new = dict(firing_rate=s.mean(1), gradient_available=inside.to(u.dtype).mean(1), threshold=fire, width=k,
               u_mean=u.mean(1), u_std=u.std(1, correction=0), floored=(theta <= FLOOR * layer.v_th).to(u.dtype))
    layer.seen += batch
    for name, value in new.items():
        old = layer.figures.get(name, value)
        layer.figures[name] = old + (value - old) * (batch / layer.seen)

@contextlib.contextmanager
def _mode(net, training):
    modes = [(module, module.training) for module in net.modules()]
    try:
        yield net.train(training)
    finally:
        for module, mode in modes:
            module.training = mode

def energy(net, x):
    """Operations and energy of inference per picture of `x`, the network's input; in evaluation mode, all modes then restored.
    Convolutions and linear layers count; batch norm folds into them, pools are left out, as in the paper. A dict of floats:
    mac, ac_paper, mj_paper       appendix C: a layer's firing rate x T x its operations are accumulates (AC); the first
        layer and the last, which no neuron follows, multiply-accumulates (MAC)
    mac_counted, ac_counted, mj_counted       by what arrives: whole numbers are as many ACs as the spikes they add up (a
        SEW sum of 3 is three); all else, pooled spikes for one, and the first layer are MACs
    mac_ann, mj_ann               the iso-architecture ANN: each operation once, all MACs"""
    layers, batch = [], x.shape[0 if x.dim() == 4 else 1]

    def weights_ran(module, inputs, output):
        x, = inputs                                                                                      # [T*B, ...]
        spikes = len(layers) > 0 and bool(((x >= 0) & (x == x.round())).all())
        layers.append(dict(ops=output.numel() * module.weight[0].numel() / batch, T=len(x) // batch,     # ops of all T
                           arriving=x.double().mean().item() if spikes else None, rate=None))

    def neuron_ran(module, inputs, s):
        layers[-1]["rate"] = s.double().mean().item() if len(layers) > 1 else None

    hooks = [m.register_forward_hook(weights_ran if isinstance(m, (nn.Conv2d, nn.Linear)) else neuron_ran)
             for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear, LIF))]
    try:
        with torch.no_grad(), _mode(net, training=False):
            net(x)
    finally:
        for hook in hooks:
            hook.remove()
    count = dict(mac=0.0, ac_paper=0.0, mac_counted=0.0, ac_counted=0.0, mac_ann=sum(i["ops"] / i["T"] for i in layers))
    for layer in layers:
        for mac, ac, rate in ("mac", "ac_paper", layer["rate"]), ("mac_counted", "ac_counted", layer["arriving"]):
            count[mac if rate is None else ac] += layer["ops"] * (1 if rate is None else rate)
    return count | dict(mj_paper=millijoule(count["mac"], count["ac_paper"]), mj_ann=millijoule(count["mac_ann"], 0),
                        mj_counted=millijoule(count["mac_counted"], count["ac_counted"]))

def millijoule(mac, ac):
    """Energy in mJ: 4.6 pJ a multiply-accumulate, 0.9 pJ an accumulate (45 nm, Horowitz 2014; appendix C)."""
    return (mac * 4.6 + ac * 0.9) * 1e-9

@torch.no_grad()
def calibrate(net, batches):
    """Running thresholds (Eq. 6) and batch-norm statistics of `net` anew, each the plain mean over `batches`, an iterable
    of inputs or of (input, label), moved to the network's device; in training mode without gradients, the modes restored.
    ValueError for no batch, or a statistic that comes out not finite; on any error the buffers are as they were."""
    lifs = [m for m in net.modules() if isinstance(m, LIF) and m.adaptive and m.momentum is not None]
    norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    momenta, before, seen = [(m, m.momentum) for m in lifs + norms], copy.deepcopy(net.state_dict()), 0
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None                                  # PyTorch's cumulative mean
        for buffer in (b for lif in lifs for b in (lif.running_threshold, lif.updates)):
            buffer.zero_()
        with _mode(net, training=True):
            for seen, batch in enumerate(batches, 1):
                for lif in lifs:
                    lif.momentum = 1 / seen
                net((batch[0] if isinstance(batch, (tuple, list)) else batch).to(next(net.parameters()).device))
        _require(seen > 0, "batches", batches, "at least one batch")
        finite = all(buffer.isfinite().all() for buffer in net.buffers()) and all(lif.updates == seen for lif in lifs)
        _require(finite, "batches", batches, "such that all statistics are finite: NaN or infinity in inputs or weights?")
    except BaseException:
        net.load_state_dict(before)
        raise
    finally:
        for module, momentum in momenta:
            module.momentum = momentum

########## 7. Compilation, and what the neuron leans on ###################################################
_compiled = {}      # eager function -> compiled function, empty unless asked for
_synced = False     # set while `fit` trains with --sync-stats

def compile_neurons(enabled=True):
    """Run every LIF's forward and backward through torch.compile, in the whole process, or no longer. Layers are flattened
    to [T, N] with N dynamic: one graph for each T, not for each layer size. Rounding differs from eager mode, so spikes may: a
    few in a million in float32, one in two thousand in bfloat16. Without a compiler the first call warns once, and all goes on
    in eager mode. Inside torch.compile(net) this changes nothing."""
    _compiled.clear()
    if enabled:     # T, dtype, arm and mode each make a graph; the limit is there to catch graphs without end
        torch._dynamo.config.recompile_limit = max(64, torch._dynamo.config.recompile_limit)
        _compiled.update((f, torch.compile(f, fullgraph=True)) for f in (_lif_forward, _lif_backward))

def _run(function, *args):
    if torch.compiler.is_compiling() or function not in _compiled or _synced:
        return function(*args)
    # views, strides and requires_grad are guarded on: each change of theirs would be compiled for
    args = [x.data.contiguous() if isinstance(x, torch.Tensor) else x for x in args]
    for x in (x for x in args if isinstance(x, torch.Tensor) and x.dim() == 2 and x.shape[1] > 1):
        torch._dynamo.mark_dynamic(x, 1)
    try:
        return _compiled[function](*args)
    except torch._dynamo.exc.TorchDynamoException as error:
        _compiled.clear()
        warnings.warn(f"neurons run in eager mode, torch.compile failed: {str(error).splitlines()[0]}", stacklevel=2)
        return function(*args)

def _mean(x):
    """The mean over this batch or, with --sync-stats, over the equal shares of it that the processes hold."""
    mean = x.mean()
    if _synced:
        torch.distributed.all_reduce(mean)
        mean /= torch.distributed.get_world_size()
    return mean

def _flatten(x):
    """[T, ...] -> [T, N], elements as they lie in memory, so that channels-last costs no copy; and what undoes it."""
    rest = range(1, x.dim())
    order = [0, *(rest if torch.compiler.is_compiling() else sorted(rest, key=x.stride, reverse=True))]
    x = x.permute(order)
    return x.flatten(1), lambda y: y.unflatten(1, x.shape[1:]).permute([order.index(d) for d in range(len(order))])

def _require(ok, name, value, allowed):
    if not ok:
        raise ValueError(f"{name}={value!r}: must be {allowed}")

def _whole_numbers(**values):
    for name, value in values.items():
        fits = type(value) is not bool and isinstance(value, numbers.Integral) and value >= 1
        _require(fits, name, value, "a whole number >= 1")

########## 8. Settings ####################################################################################
def setting(default, text, **more):
    """A field of `Config`: default, what --help says (with the paper's value), choices=, least= and most=."""
    return dataclasses.field(default=default, metadata=dict(text=text, **more))

@dataclasses.dataclass
class Config:
    """The settings of a run, which its checkpoints store; the scripts make their command line of it."""
    data: str = setting("data", "folder of the data set")
    dataset: str = setting("cifar10", "which data set")
    arch: str = setting("resnet19", "network", choices=("resnet18", "resnet19", "vggsnn"))
    channels: int = setting(128, "width of the first stage (paper: 128; VGGSNN 64)", least=1)
    T: int = setting(2, "timesteps (paper: 2; ImageNet 4, CIFAR10-DVS 10)", least=1)
    threshold: str = setting("true", "the LIF's rule (paper: true)", choices=THRESHOLDS)
    width: str = setting("threshold", "the surrogate's rule (paper: threshold)", choices=WIDTHS)
    f_c: float = setting(1.0, "firing control factor of Eq. 5 (paper: 1.0, and 1.2 to save energy)")
    momentum: float | None = setting(0.1, "m of Eq. 6, or none: no moving average (paper: 0.1)")
    tau: float = setting(0.2, "initial leak (paper: 0.2)")
    v_th: float = setting(1.0, "initial threshold (paper: 1.0)")
    kappa: float = setting(1.0, "base width of the surrogate (paper: 1)")
    bn_scale: float | None = setting(None, "initial weight of every batch norm; none: v_th (paper: v_th)", least=0)
    epochs: int = setting(400, "length of the schedule (paper: 400)", least=1)
    stop_after: int | None = setting(None, "end cleanly after this many epochs, schedule unchanged", least=1)
    batch_size: int = setting(100, "samples a step, over all processes (paper: 100; ImageNet 32, CIFAR10-DVS 50)", least=1)
    lr: float = setting(0.1, "initial learning rate, cosine to 0 (paper: 0.1)", least=0)
    weight_decay: float = setting(1e-4, "on every parameter (paper: 1e-4)", least=0)
    label_smoothing: float = setting(0.1, "of the cross-entropy (paper: not stated; its released code 0.1)", least=0, most=1)
    seed: int = setting(0, "of weights, order and augmentation (paper: five seeds, not stated)", least=0)
    device: str = setting("auto", "cpu, cuda, cuda:1, ...; auto: a GPU where there is one (paper: RTX 4090)")
    amp: str = setting("off", "mixed precision (paper: not stated)", choices=("off", "bf16", "fp16"))
    compile: bool | None = setting(None, "neurons through torch.compile; none: on a GPU only (paper: not stated)")
    recompute: bool = setting(False, "a quarter of the memory, a third more time, the same gradients (paper: -)")
    workers: int | None = setting(None, "processes that prepare batches; none: up to 8 on a GPU, else 0", least=0)
    out: str | None = setting(None, "folder to write to; none: runs/DATASET-ARCH-THRESHOLD-WIDTH-SEED")
    resume: str | None = setting(None, "go on from this checkpoint or run folder, with its settings")
    eval: str | None = setting(None, "only test this checkpoint, or a run folder's last.pt, with its settings")
    save_every: int | None = setting(None, "write last.pt every so many steps as well as after each epoch", least=1)
    limit_train: int | None = setting(None, "train on so many samples, drawn by the seed", least=1)
    limit_test: int | None = setting(None, "test on so many samples, drawn by the seed", least=1)
    sync_stats: bool = setting(False, "thresholds, and batch norm on GPUs, see the batch of all processes (paper: -)")
    plot: bool = setting(False, "write curves.png at the end (needs matplotlib)")
    demo: bool = setting(False, "no download, no GPU, minutes: arms side by side and a table")

########## 9. Training ####################################################################################
def build(config, classes, shape):
    """The network of `config` for inputs (C, H, W), channels-last, which about halves a convolution's time on a CPU."""
    neuron = partial(LIF, tau=config.tau, v_th=config.v_th, kappa=config.kappa, f_c=config.f_c, momentum=config.momentum,
                     threshold=config.threshold, width=config.width)
    stem = "imagenet" if config.dataset == "imagenet" else "cifar"
    arch = dict(resnet19=resnet19, resnet18=partial(resnet18, stem=stem), vggsnn=partial(vggsnn, size=shape[1]))[config.arch]
    net = arch(classes, config.T, shape[0], config.channels, neuron=neuron)
    for module in net.modules():
        if config.bn_scale is not None and isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.constant_(module.weight, config.bn_scale)
    return recompute(net, config.recompute).to(memory_format=torch.channels_last)

def sample_seed(*key):
    """A 63-bit seed from (seed, epoch, sample), for augmentation that neither order nor worker count can change."""
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=8).digest(), "big") >> 1

def load_checkpoint(path):
    """A checkpoint, or a run folder's last.pt, as a dict; code in it is not run. ValueError if it is none."""
    path = pathlib.Path(path)
    path = path / "last.pt" if path.is_dir() else path
    try:
        with zipfile.ZipFile(path) as file:                       # its checksums, which torch.load does not look at
            _require(not (bad := file.testzip()), "checksum of", bad, "that of its content, so the file is damaged")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        checkpoint["model"], checkpoint["config"]["arch"], checkpoint["facts"]["classes"]
    except Exception as error:                                    # whatever damaged bytes may raise
        raise ValueError(f"{path} is no checkpoint of this program: {type(error).__name__}: {str(error)[:200]}") from error
    return checkpoint

@contextlib.contextmanager
def replacing(path):
    """A file to write to, under a temporary name, which it loses when all is on disk: none is ever half-written."""
    temporary = pathlib.Path(f"{path}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)

def _log(path, epoch, rows):
    """Puts the epoch's rows in place of whatever the file holds from that epoch on."""
    lines = path.read_text().splitlines()[1:] if path.exists() else []
    lines = [line for line in lines if int(line.split(",")[0]) < epoch] + [",".join(map(str, row.values())) for row in rows]
    with replacing(path) as file:
        file.write("\n".join([",".join(rows[0]), *lines, ""]).encode())

def _processes():
    return (torch.distributed.get_rank(), torch.distributed.get_world_size()) if torch.distributed.is_initialized() else (0, 1)

def _summed(meters):
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(meters)
    return meters.tolist()

def _autocast(config, device):
    return torch.autocast(device.type, torch.float16 if config.amp == "fp16" else torch.bfloat16, config.amp != "off")

def _pass(config, model, data, batches, epoch, loss):
    """For each batch of indices: inputs, loss, and [loss x samples, hits, samples] to add up."""
    device = next(model.parameters()).device
    keys = [(batch, epoch, config.seed) for batch in batches if len(batch)]
    workers = config.workers if config.workers is not None else min(8, os.cpu_count()) if device.type == "cuda" else 0
    for x, y in torch.utils.data.DataLoader(data, sampler=keys, batch_size=None, num_workers=workers,
                                            pin_memory=device.type == "cuda", generator=torch.Generator()):
        x, y = x.to(device, non_blocking=True), y.to(device, non_blocking=True)
        with _autocast(config, device):
            logits = model(x).float()                                                                    # [T, B, classes]
        value, hits = loss(logits, y), (readout(logits).argmax(1) == y).sum()
        yield x, value, torch.stack([value.detach() * len(y), hits, torch.tensor(len(y), device=device)])

@torch.no_grad()
def evaluate(config, net, data, loss, probed=10):
    """Every sample of `data` once, over all processes, in evaluation mode and one fixed random order: dict(loss, accuracy in
    [0, 1], layers: what `probe` saw in this process's first `probed` batches). `data` and `loss` as in `fit`."""
    (rank, world), meters = _processes(), torch.zeros(3, device=next(net.eval().parameters()).device)
    with contextlib.ExitStack() as watching:
        layers = watching.enter_context(probe(net))               # folders are sorted: a batch of one class is no sample
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
        for i, (*_, more) in enumerate(_pass(config, net, data, order[rank::world].split(config.batch_size), None, loss), 1):
            meters += more
            if i == probed:
                watching.close()
    total, hits, count = _summed(meters)
    return dict(loss=total / count, accuracy=hits / count, layers=layers)

def fit(config, train, test, loss=None, checkpoint=None):
    """Train on `train`, test on `test` after each epoch, write the run's folder; with config.eval only test. A data set has
    a length, `shape` (C, H, W), `facts` (a dict kept in checkpoints, with "classes"), and data[indices, epoch, seed] ->
    inputs, labels, augmented unless epoch is None. `loss(logits [T, B, classes], labels)` defaults to the cross-entropy of
    `readout`; `checkpoint`: what `parse` returned. Returns the last `evaluate`, with `net` and `best`. ValueError, OSError."""
    global _synced
    if "RANK" in os.environ and not torch.distributed.is_initialized():                                  # under torchrun
        torch.distributed.init_process_group("gloo" if config.device == "cpu" or not torch.cuda.is_available() else "nccl")
    rank, world = _processes()
    name = config.device if config.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.zeros(0, device=f"cuda:{os.environ['LOCAL_RANK']}" if name == "cuda" and world > 1 else name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {name}: {str(error).splitlines()[0]}") from error
    out = pathlib.Path(config.out or f"runs/{config.dataset}-{config.arch}-{config.threshold}-{config.width}-{config.seed}")
    say = partial(print, flush=True) if rank == 0 else lambda _: None
    loss = loss or (lambda logits, y: F.cross_entropy(readout(logits), y, label_smoothing=config.label_smoothing))
    compile_neurons(device.type == "cuda" if config.compile is None else config.compile)
    torch.manual_seed(config.seed)
    net = build(config, len(test.facts["classes"]), test.shape).to(device)
    net = nn.SyncBatchNorm.convert_sync_batchnorm(net) if config.sync_stats and device.type == "cuda" else net
    model = net if world == 1 else nn.parallel.DistributedDataParallel(net)
    model.broadcast_buffers = False                               # not at every step
    optimizer = torch.optim.SGD(net.parameters(), config.lr, momentum=0.9, weight_decay=config.weight_decay, fused=True)
    for p in net.parameters():                                    # or a first step that is skipped leaves them unset
        optimizer.state[p]["momentum_buffer"] = torch.zeros_like(p)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.epochs)
    # in every precision, without asking the host: skips a step whose gradients are not finite, and halves its scale
    scale, interval = (2.0**16, 2000) if config.amp == "fp16" else (1.0, 2**31 - 1)
    scaler = torch.amp.GradScaler(device.type, init_scale=scale, growth_interval=interval)
    parts = dict(model=net, optimizer=optimizer, scheduler=scheduler, scaler=scaler)
    at = dict(epoch=0, step=0, best=dict(accuracy=-1.0, epoch=0), meters=torch.zeros(3))                 # where the run stands
    facts = test.facts if config.eval else test.facts | dict(samples=len(train))
    if checkpoint:
        if different := [key for key, value in facts.items() if checkpoint["facts"].get(key) != value]:
            raise ValueError(f"--data {config.data}: not what the run was trained on, by its {', '.join(different)}")
        try:
            for name in ["model"] if config.eval else parts:
                parts[name].load_state_dict(checkpoint[name])
            for name in at:
                at[name] = checkpoint[name]
            at["meters"] = at["meters"] * (rank == 0)             # they are of all processes
            name = "rng"
            torch.set_rng_state(checkpoint[name])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(f"{config.resume or config.eval}: its {name} does not fit its settings: {error}") from error
    if config.eval:
        result = evaluate(config, net, test, loss)
        say(f"test accuracy {result['accuracy']:.2%}, loss {result['loss']:.4f}, {len(test)} samples, epoch {at['epoch']}")
        return result | dict(net=net, best=at["best"])
    batch, result, stops = min(config.batch_size, len(train)), None, []
    _require(batch % world == 0, "--batch-size", batch, f"divisible by the {world} processes")

    def share():                                                  # rank 0's statistics
        for buffer in net.buffers() if world > 1 else ():
            torch.distributed.broadcast(buffer, 0)

    def save(*names):
        share()
        state = {name: part.state_dict() for name, part in parts.items()} | at | dict(
            meters=torch.tensor(_summed(at["meters"].clone())), rng=torch.get_rng_state(),
            config=dataclasses.asdict(config), facts=facts)
        torch.save(state, buffer := io.BytesIO())
        for name in names if rank == 0 else ():
            with replacing(out / name) as file:
                file.write(buffer.getbuffer())

    def check(x):
        if scaler.get_scale() < 1 or not all(value.isfinite().all() for value in net.state_dict().values()):
            with torch.no_grad(), probe(net) as figures, _autocast(config, device):
                net(x)
            first = [layer for layer, seen in figures.items() if not seen["u_mean"].isfinite().all()] or [
                name for name, value in net.state_dict().items() if not value.isfinite().all()] or ["none: the gradient"]
            raise ValueError(f"not finite in epoch {at['epoch'] + 1}, step {at['step']}, lr {scheduler.get_last_lr()[0]:.3g}; "
                             f"first layer: {first[0]}; last good checkpoint: {[*out.glob('last.pt'), None][0]}")

    with contextlib.ExitStack() as stack:
        if rank == 0:
            stack.enter_context(_locked(out, config.resume and pathlib.Path(config.resume)))
            with replacing(out / "config.json") as file:
                file.write(_describe(config, facts, device))
        for number in (signal.SIGINT, signal.SIGTERM):            # end the step, save, leave
            stack.callback(signal.signal, number, signal.signal(number, lambda number, _: stops.append(number)))
        for epoch in range(at["epoch"], min(config.epochs, config.stop_after or config.epochs)):
            begin = shown = time.perf_counter()
            order = torch.randperm(len(train), generator=torch.Generator().manual_seed(sample_seed(config.seed, epoch)))
            batches = [part[rank::world] for part in order.split(batch) if len(part) == batch]
            skipped, at["meters"] = at["step"], at["meters"].to(device)
            net.train()
            _synced, lr = config.sync_stats and world > 1, scheduler.get_last_lr()[0]
            for x, value, meters in _pass(config, model, train, batches[skipped:], epoch, loss):
                optimizer.zero_grad()
                scaler.scale(value).backward()
                scaler.step(optimizer)
                scaler.update()
                at |= dict(step=at["step"] + 1, meters=at["meters"] + meters)
                stop = max(stops, default=0)
                if world > 1:                                     # all processes stop at the same step, or none does
                    torch.distributed.all_reduce(flag := torch.tensor(stop, device=device), torch.distributed.ReduceOp.MAX)
                    stop = int(flag)
                due = stop or config.save_every and at["step"] % config.save_every == 0
                if device.type == "cpu" or due or at["step"] % 50 == 0 or at["step"] == len(batches):   # elsewhere it waits
                    check(x)
                if due:
                    save("last.pt")
                if stop:
                    hint = "" if config.demo else f"; to go on: python {sys.argv[0]} --resume '{out}'"
                    say(f"\nstopped in epoch {epoch + 1}, step {at['step']}{hint}")
                    sys.exit(128 + stop)
                now = time.perf_counter()
                if rank == 0 and sys.stdout.isatty() and now - shown > 0.5:
                    shown, step, (total, hits, count) = now, at["step"], at["meters"].tolist()      # waits for the device
                    rate = (step - skipped) * batch / (now - begin)
                    left = int(((config.epochs - epoch) * len(batches) - step) * batch / rate)
                    print(f"\repoch {epoch + 1}/{config.epochs}  step {step}/{len(batches)}  loss {total / count:.4f}  acc "
                          f"{hits / count:.2%}  {rate:.0f} images/s  left {left // 3600}:{left // 60 % 60:02}:{left % 60:02} ",
                          end="", flush=True)
            _synced, seconds, (total, hits, count) = False, time.perf_counter() - begin, _summed(at["meters"])
            scheduler.step()
            share()
            result = evaluate(config, net, test, loss)
            if not math.isfinite(total + result["loss"]):
                raise ValueError(f"loss is not finite after epoch {epoch + 1}, lr {lr:.3g}; what {out} holds is from before")
            improved, reached = result["accuracy"] > at["best"]["accuracy"], dict(accuracy=result["accuracy"], epoch=epoch + 1)
            at |= dict(epoch=epoch + 1, step=0, meters=torch.zeros(3, device=device), best=reached if improved else at["best"])
            rate = (len(batches) - skipped) * batch / seconds
            row = dict(epoch=epoch + 1, loss=total / count, train_accuracy=hits / count, test_accuracy=result["accuracy"],
                       lr=lr, images_per_s=rate, seconds=seconds, peak_memory_mb=_peak_mb(device))
            if rank == 0:
                _log(out / "log.csv", epoch + 1, [row])
                _log(out / "layers.csv", epoch + 1, [
                    dict(epoch=epoch + 1, layer=layer, timestep=t + 1) | {k: v[t].item() for k, v in seen.items()}
                    for layer, seen in result["layers"].items() for t in range(config.T)])
            save("last.pt", *["best.pt"] * improved)
            line = f"epoch {epoch + 1}/{config.epochs}  loss {total / count:.4f}  train {hits / count:.2%}  test "
            line += f"{result['accuracy']:.2%}  lr {lr:.3g}  {rate:.0f} images/s  {seconds:.1f} s"
            say(f"\r{line:110}" if sys.stdout.isatty() else line)
        result = result or evaluate(config, net, test, loss)
    say(f"test accuracy {result['accuracy']:.2%} after epoch {at['epoch']} (best over epochs, chosen on the test set: "
        f"{at['best']['accuracy']:.2%}, epoch {at['best']['epoch']}); written to {out}")
    return result | dict(net=net, best=at["best"], out=out)

@contextlib.contextmanager
def _locked(out, source):
    """The run's folder for this process alone, until it ends, however it ends. `source`: what --resume named, or None."""
    import fcntl
    out.mkdir(parents=True, exist_ok=True)
    source = source and (source if source.is_dir() else source.parent)
    with open(out / "lock", "a") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)      # unlike flock's, not inherited by workers
        except OSError as error:
            raise ValueError(f"another run is writing to {out}: choose another --out") from error
        elsewhere = source and source.resolve() != out.resolve()
        if (elsewhere or not source) and (out / "last.pt").exists():
            raise ValueError(f"{out} holds a run: go on with --resume {out}, or choose another --out")
        for name in [n for n in ("best.pt", "log.csv", "layers.csv") if elsewhere and (source / n).exists()]:
            shutil.copy(source / name, out / name)
        yield

def _describe(config, facts, device):
    import torchvision
    command = [shutil.which("git") or "true", "-C", str(pathlib.Path(__file__).parent), "rev-parse", "HEAD"]
    git = subprocess.run(command, capture_output=True, text=True).stdout.strip() or None
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return json.dumps(dict(settings=dataclasses.asdict(config), facts=facts, git=git, python=sys.version.split()[0],
                           torch=torch.__version__, torchvision=torchvision.__version__, platform=sys.platform,
                           device=str(device), card=card), indent=1).encode()

def _peak_mb(device):
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else peak
