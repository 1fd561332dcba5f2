"""DS-ATGO in one file: spiking networks whose firing threshold follows the distribution of the
membrane potential at each timestep (forward), and whose surrogate gradient's width follows that
threshold (backward). Reference implementation, version 1.0, MIT licence.

Jiang, Xu, Fan, Yan: "DS-ATGO: Dual-Stage Synergistic Learning via Forward Adaptive Threshold and
Backward Gradient Optimization for Spiking Neural Networks", AAAI 2026. Equation numbers are the
main text's. README.md says where the paper, its released code and this file differ.

    paper             code                           shape         equation
    I(t)              current                        [T, B, ...]   1   a layer's input
    U(t)              u, the membrane potential      [T, B, ...]   2
    S(t)              s, the spikes, 0 or 1          [T, B, ...]   3
    tau               tau = sigmoid(w), the leak     [1]           2   learned, one per layer
    V_th              v_th, the initial threshold    float         3
    Delta V_th(t)_n   theta, this batch's threshold  [T]           5
    Delta V_th(t)     running_threshold              [T]           6   used for inference
    kappa             kappa, the base width          float         4, and the k at the right of 7
    k                 k, the width                   [T]           7
    f_c, m            f_c, momentum                  float         5, 6

Time comes first: [T, B, ...]; a layer without time is applied to [T*B, ...]. A neuron takes a whole
sequence from rest: nothing is to be reset between calls. A potential equal to its threshold fires.
"""

import contextlib
import copy
import math
import numbers
import warnings
from collections import OrderedDict, namedtuple
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import fusion
from torch.utils.checkpoint import checkpoint

THRESHOLDS = ("true", "estimated", "fixed", "learned")
WIDTHS = ("threshold", "std", "fixed")
FLOOR = 1e-3  # the smallest theta, in units of v_th, and the smallest width, in units of kappa
Rule = namedtuple("Rule", "threshold width v_th kappa f_c synced")  # a layer's settings, see LIF
# for torch.compile: both passes see rounded potentials; each timestep is written where it belongs
PLAN = {"emulate_precision_casts": True, "max_complex_pointwise_cat_inputs": 0}
compiled = {}  # eager function -> compiled function, and whether it is for one size alone


# ---- 0. What the neuron leans on -----------------------------------------------------------------
def require(ok, name, value, allowed):
    if not ok:
        raise ValueError(f"{name}={value!r}: must be {allowed}")


def require_counts(**values):
    for name, n in values.items():
        fits = isinstance(n, numbers.Integral) and n >= 1 and n is not True
        require(fits, name, n, "a whole number >= 1")


def wide(x):
    """float32 or wider: no statistic and no comparison is made in half precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def in_backward():
    """Whether this is torch.utils.checkpoint's second forward pass, inside a backward pass."""
    return not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1


def flatten(x):
    """[T, ...] -> [T, N] as it lies in memory (channels-last costs no copy), and what undoes it."""
    order = list(range(1, x.dim()))
    if not torch.compiler.is_compiling():
        order.sort(key=x.stride, reverse=True)
    x = x.permute(0, *order)
    back = [0] + [order.index(d) + 1 for d in range(1, x.dim())]
    return x.flatten(1), lambda y: y.unflatten(1, x.shape[1:]).permute(back)


def compile_neurons(enabled=True):
    """Run every LIF of this process through torch.compile, or no longer. -> whether it was so. One
    graph for each T, arm, dtype and, with a GPU, size; sums in another order, so a few spikes in a
    million differ from eager mode's. Without a compiler: one warning, then eager mode."""
    before = bool(compiled)
    compiled.clear()
    one_size = torch.cuda.is_available()
    options = {name: value for name, value in PLAN.items() if hasattr(torch._inductor.config, name)}
    more = dict(dynamic=False if one_size else None, recompile_limit=512, options=options)
    if enabled and torch.__version__ < (2, 12):  # a limit for all that the process compiles
        torch._dynamo.config.recompile_limit = more.pop("recompile_limit")
    for function in (lif_forward, lif_backward) if enabled else ():
        compiled[function] = torch.compile(function, fullgraph=True, **more), one_size
    return before


def run(function, *args, eager=False):
    """function(*args), compiled if that was asked for."""
    if eager or function not in compiled or torch.compiler.is_compiling():
        return function(*args)
    call, one_size = compiled[function]
    # views, strides and requires_grad are guarded on: each change of theirs would be compiled for
    args = [x.data.contiguous() if isinstance(x, torch.Tensor) else x for x in args]
    for x in filter(torch.is_tensor, args):
        if not one_size and x.shape[-1] > len(args[0]):  # a layer's size, not T
            torch._dynamo.mark_dynamic(x, x.dim() - 1)
    known = torch._dynamo.exc
    try:
        return call(*args)
    except (known.TorchDynamoException, known.FailOnRecompileLimitHit) as error:
        compile_neurons(False)
        warnings.warn(f"neurons run eagerly, torch.compile failed: {str(error).splitlines()[0]}")
        return function(*args)


# ---- 1. Surrogate gradient -----------------------------------------------------------------------
def rectangle(u, theta, width):
    """Eq. 4, the surrogate of dS/dU: 1/width where |u - theta| <= width/2 (both ends included),
    else 0. `theta` and `width` broadcast against `u`; the result has u's shape and dtype."""
    return ((u - theta).abs_() <= width / 2).to(u.dtype).mul_(1 / width)


# ---- 2. Threshold and width ----------------------------------------------------------------------
def mean_and_std(u, synced=False):
    """Two scalars of all of `u` or, if synced, of the equal shares that all processes hold, float32
    or wider, no gradient. In two passes: mean(u^2) - mean(u)^2 would cancel for large means."""

    def average(x):
        x = x.mean(dtype=torch.promote_types(x.dtype, torch.float32))
        if synced:
            torch.distributed.all_reduce(x)
            x /= torch.distributed.get_world_size()
        return x

    u = u.detach()
    mean = average(u)
    return mean, average((wide(u) - mean).square_()).sqrt()


def adaptive_threshold(u, f_c=1.0, synced=False):
    """Eq. 5, "true": f_c * (mean + std) over every element of `u`, one timestep of one layer with
    its whole batch. A scalar tensor, float32 or wider, without gradient, not floored."""
    mean, std = mean_and_std(u, synced)
    return f_c * (mean + std)


def estimated_threshold(tau, v_th=1.0, f_c=1.0):
    """Eq. 5, "estimated": f_c * sqrt(1 + tau^2) * v_th, for currents that are N(0, v_th^2)."""
    return f_c * (1 + tau**2) ** 0.5 * v_th


def surrogate_width(theta, v_th=1.0, kappa=1.0):
    """Eq. 7, the width k for a tensor of thresholds. Its two branches are this one line, as
    1 - tanh(a) = 1 + tanh(-a). Floored at kappa/1000, since 1/k is the height of a gradient."""
    return (kappa * (1 + torch.tanh(theta - v_th))).clamp(min=FLOOR * kappa)


# ---- 3. Neuron -----------------------------------------------------------------------------------
def theta_of(u, rule):
    """Eq. 5 of one timestep, by the layer's rule; other rules do not need u: LIF.thresholds."""
    known = rule.threshold in ("true", "fixed")  # "fixed" fires at v_th, but its width may follow
    require(known, "threshold", rule.threshold, f"one of {THRESHOLDS}")
    return adaptive_threshold(u, rule.f_c, rule.synced)


def width_of(u, theta, rule):
    """Eq. 7 of one timestep, by the layer's rule; "std" is the released code's."""
    if rule.width == "threshold":
        return surrogate_width(theta, rule.v_th, rule.kappa)
    if rule.width == "std":
        return surrogate_width(mean_and_std(u, rule.synced)[1], rule.v_th, rule.kappa)
    require(rule.width == "fixed", "width", rule.width, f"one of {WIDTHS}")
    return torch.full_like(theta, rule.kappa)


def lif_forward(current, tau, given, rule):
    """Eqs. 2, 3, 5, 7, a layer's whole sequence: current [T, N] -> s [T, N], theta, fire, k [T] and
    T times u [N]. given: LIF.thresholds, or None: Eq. 5 of each u. fire, where: theta or v_th."""
    us = []
    trace = []
    u = s = None  # at rest
    for t, i in enumerate(current):
        # Eq. 2: I + tau U (1 - S); a clone, or all of the current would be kept
        u = torch.addcmul(wide(i), tau * u, 1 - s) if t > 0 else i.clone()
        us.append(u.to(i.dtype))
        u = wide(us[t])  # as the backward pass will see it
        theta = theta_of(us[t], rule) if given is None else given[t]  # Eq. 5; evaluation: Eq. 6
        theta = theta.to(u.dtype).clamp(min=FLOOR * rule.v_th)  # a layer at rest must not fire
        fire = torch.full_like(theta, rule.v_th) if rule.threshold == "fixed" else theta
        zero = theta - theta  # NaN where theta is not finite: no fault is silent
        s = (u >= fire).to(u.dtype).addcmul_(u, zero)  # Eq. 3
        k = width_of(us[t], theta, rule)  # Eq. 7
        trace.append((s.to(i.dtype), theta, fire, k))
    return *(torch.stack(column) for column in zip(*trace)), *us


def lif_backward(ds, fire, k, tau, learned, *u):
    """Eqs. 9, 10: dL/dS [T, N] -> dL/dI [T, N], dL/dtau and, if learned, dL/dfire [T]. theta and k
    count as constants; through the reset 1 - S there is a gradient. S is compared anew."""
    T = len(u)
    du = leaked = None  # nothing comes after T
    dtau = torch.zeros_like(tau)
    dcurrent = []
    dfire = []
    for t in reversed(range(T)):
        ut = wide(u[t])
        kept = (ut < fire[t]).to(ut.dtype)  # 1 - S(t)
        dst = wide(ds[t])  # Eq. 10's sum over the next layer, by autograd
        if t < T - 1:  # du still holds dL/dU(t+1)
            dtau = dtau + (du * ut * kept).sum()  # by Eq. 2: dU(t+1)/dtau = U (1 - S)
            leaked = tau * du
            dst = torch.addcmul(dst, leaked, ut, value=-1)  # Eq. 10: dU(t+1)/dS(t) = -tau U(t)
        du = dst * rectangle(ut, fire[t], k[t])  # Eq. 9, first term, with Eq. 4
        if learned:
            dfire.append(-du.sum())  # dS/dfire = -dS/dU
        if t < T - 1:
            du = torch.addcmul(du, leaked, kept)  # Eq. 9, second: dU(t+1)/dU(t) = tau (1 - S(t))
        dcurrent.append(du.to(ds.dtype))  # dU(t)/dI(t) = 1; Eq. 11 goes on from it
    return torch.stack(dcurrent[::-1]), dtau, torch.stack(dfire[::-1]) if learned else None


class Sequence(torch.autograd.Function):
    """The two above as one operation. It keeps the potentials, and nothing else of that size."""

    @staticmethod
    def forward(current, tau, given, rule):
        return run(lif_forward, current, tau, given, rule, eager=rule.synced)

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, theta, fire, k, *u = output
        ctx.save_for_backward(fire, k, inputs[1], *u)
        ctx.mark_non_differentiable(theta, fire, k, *u)
        ctx.set_materialize_grads(False)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, ds, *_):
        fire, k, tau, *u = ctx.saved_tensors
        return *run(lif_backward, ds, fire, k, tau, ctx.needs_input_grad[2], *u), None


class LIF(nn.Module):
    """Leaky integrate-and-fire neurons, a layer: Eqs. 2, 3, 5-7 forward, 4, 9, 10 backward.
    current [T, B, ...] -> spikes [T, B, ...] in the current's dtype; each call starts from rest.

    tau         initial leak in (0, 1); trained as sigmoid(w) unless learn_tau=False
    v_th        initial threshold V_th, > 0
    kappa       base width of the surrogate, > 0
    f_c         firing control factor of Eq. 5, > 0: larger fires less
    momentum    m of Eq. 6 in (0, 1], or None: no moving average, evaluation uses its own batch's
    threshold   "true" and "estimated" (Eq. 5), "fixed" (v_th), "learned" (exp(a), one per layer)
    width       "threshold" (Eq. 7), "fixed" (kappa), "std" (released code: std in theta's place)

    The paper's arms as (threshold, width): vanilla ("fixed", "fixed"); AT ("true", "fixed"); TGO
    ("fixed", "threshold"), fires at v_th, its width follows Eq. 5's threshold; AT+TGO, the default.
    All but T and learn_tau are attributes that act when set, "learned" if given here, tau by
    reset_parameters(). Training fires at the batch's threshold (of all processes' if `synced` is
    set), evaluation at the buffer running_threshold [T], from v_th, which has averaged `updates`
    batches. theta is floored at v_th/1000: a silent layer stays silent. Equal u > 0 are a tie at
    f_c = 1, which rounding decides. Spikes are NaN where theta or u is not finite. The output may
    be changed in place. ValueError: an argument out of range; a current that does not fit."""

    synced = False
    watch = None  # what `probe` has called with what the layer did

    def __init__(
        self,
        T,
        *,
        tau=0.2,
        v_th=1.0,
        kappa=1.0,
        f_c=1.0,
        momentum=0.1,
        threshold="true",
        width="threshold",
        learn_tau=True,
    ):
        super().__init__()
        require_counts(T=T)
        for name, value in dict(tau=tau, v_th=v_th, kappa=kappa, f_c=f_c).items():
            most = 1 if name == "tau" else torch.finfo().max
            fits = isinstance(value, numbers.Real) and 0 < value < most
            require(fits, name, value, f"a number > 0 and < {most:.3g}")
            setattr(self, name, value)
        fits = momentum is None or isinstance(momentum, numbers.Real) and 0 < momentum <= 1
        require(fits, "momentum", momentum, "a number > 0 and <= 1, or None")
        require(threshold in THRESHOLDS, "threshold", threshold, f"one of {THRESHOLDS}")
        require(width in WIDTHS, "width", width, f"one of {WIDTHS}")
        self.T = T
        self.momentum = momentum
        self.threshold = threshold
        self.width = width
        for name, learned in dict(w=learn_tau, a=threshold == "learned").items():
            setattr(self, name, (nn.Parameter if learned else nn.Buffer)(torch.zeros(1)))
        self.register_buffer("running_threshold", wide(torch.zeros(T)))
        self.register_buffer("updates", wide(torch.zeros(1)))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self):
        """Leak, learned threshold and running thresholds as they were at the start."""
        self.w.fill_(math.log(self.tau / (1 - self.tau)))
        self.a.fill_(math.log(self.v_th))
        self.running_threshold.fill_(self.v_th)
        self.updates.zero_()
        self._unlooked = True

    @property
    def adaptive(self):
        """Whether the layer has thresholds of Eq. 5, and so a moving average."""
        vanilla = self.threshold == "fixed" and self.width != "threshold"
        return not vanilla and self.threshold != "learned"

    def thresholds(self, tau):
        """The thresholds [T] of this call, or None: those of its own batch, Eq. 5."""
        if self.threshold == "learned":
            return wide(self.a).exp().expand(self.T)
        if not self.adaptive:
            return torch.full_like(self.running_threshold, self.v_th)
        if not self.training and self.momentum is not None:  # inference, Eq. 6
            if self._unlooked and not torch.compiler.is_compiling() and not self.updates.is_meta:
                self._unlooked = False  # once after construction or loading: it waits for a device
                if self.updates == 0:
                    warnings.warn("LIF's thresholds were never updated: train, load or calibrate")
            return self.running_threshold
        if self.threshold == "estimated":
            return estimated_threshold(tau.detach(), self.v_th, self.f_c).expand(self.T)
        return None

    def forward(self, current):
        fits = current.dim() >= 2 and current.shape[0] == self.T and current.numel() > 0
        if not fits or not current.is_floating_point():
            takes = f"LIF takes floating-point currents [T={self.T}, B, ...], not empty"
            raise ValueError(f"{takes}, got {current.dtype} of shape {tuple(current.shape)}")
        synced = self.synced and self.training
        rule = Rule(self.threshold, self.width, self.v_th, self.kappa, self.f_c, synced)
        flat, unflatten = flatten(current)  # [T, N]
        tau = torch.sigmoid(self.w.to(torch.promote_types(flat.dtype, torch.float32)))
        s, theta, fire, k, *u = Sequence.apply(flat, tau, self.thresholds(tau), rule)
        if self.adaptive and self.training and self.momentum is not None and not in_backward():
            m, old, finite = self.momentum, self.running_threshold, theta.isfinite()
            average = m * theta + (1 - m) * old  # Eq. 6
            old.copy_(torch.where(finite, average, old))
            self.updates += finite.all()
        if self.watch is not None:
            self.watch(current.shape[1], torch.stack(u), s, theta, fire, k, FLOOR * self.v_th)
        return unflatten(s)  # [T, B, ...]

    def _load_from_state_dict(self, *args):
        super()._load_from_state_dict(*args)
        self._unlooked = True

    def _apply(self, fn, recurse=True):
        kept = (self.running_threshold, self.updates)
        super()._apply(fn, recurse)
        if self.running_threshold.dtype in (torch.float16, torch.bfloat16):  # not to be rounded
            self.running_threshold, self.updates = (b.to(self.w.device) for b in kept)
        return self

    def extra_repr(self):
        names = "T threshold width tau v_th kappa f_c momentum".split()
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in names)


# ==== For the neuron alone, copy everything above this line. What follows knows this LIF only. ===


# ---- 4. Networks, Tables 4 and 5 -----------------------------------------------------------------
def ReLU(T):
    """In a neuron's place (`neuron=ReLU`, T=1): the iso-architecture ANN of the comparisons."""
    return nn.ReLU()


class Fold(nn.Sequential):
    """Layers without time, applied to [T*B, ...]."""

    def forward(self, x):  # [T, B, ...]
        return super().forward(x.flatten(0, 1)).unflatten(0, x.shape[:2])


class Layer(nn.Sequential):
    """Weights and batch norm over time and batch (Eq. 1; tdBN, alpha = 1: scaled to N(0, v_th^2)),
    neuron (Eqs. 2-3). With `again` only its input is kept for the backward pass."""

    again = False

    def __init__(self, weights, norm, neuron):
        super().__init__(OrderedDict(current=Fold(weights, norm), neuron=neuron))
        nn.init.constant_(norm.weight, getattr(neuron, "v_th", 1.0))
        if hasattr(neuron, "follows"):
            neuron.follows(norm)

    def forward(self, x):
        again = self.again and self.training and torch.is_grad_enabled()
        if not again or torch.compiler.is_compiling():
            return super().forward(x)
        return checkpoint(self._pass, x, use_reentrant=False, preserve_rng_state=False)

    def _pass(self, x):
        norm = self.current[1]
        kept = norm.momentum, norm.num_batches_tracked
        if in_backward() and norm.track_running_stats:  # which have seen this batch
            norm.momentum, norm.num_batches_tracked = 0.0, norm.num_batches_tracked.clone()
        try:
            return super().forward(x)
        finally:
            norm.momentum, norm.num_batches_tracked = kept


def conv_layer(cin, cout, neuron, kernel=3, stride=1):
    conv = nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return Layer(conv, nn.BatchNorm2d(cout), neuron)


class SEW(nn.Module):
    """Spike-element-wise residual block (Fang et al. 2021a): spikes first, then the sum."""

    def __init__(self, cin, cout, stride, new):
        super().__init__()
        self.conv1 = conv_layer(cin, cout, new(), stride=stride)
        self.conv2 = conv_layer(cout, cout, new())
        same = stride == 1 and cin == cout
        self.skip = nn.Identity() if same else conv_layer(cin, cout, new(), 1, stride)

    def forward(self, x):
        return self.conv2(self.conv1(x)) + self.skip(x)


class Input(nn.Module):
    """A network's first layer: checks its input and shows a still picture at every timestep."""

    def __init__(self, T, in_channels, side=None):
        super().__init__()
        self.takes = (T, in_channels, side)

    def forward(self, x):
        T, channels, side = self.takes
        if x.dim() == 4:
            x = x.expand(T, *x.shape)
        fits = x.dim() == 5 and x.shape[0] == T and x.shape[2] == channels
        if fits and side:  # four pools leave the same
            fits = x.shape[3] // 16 == x.shape[4] // 16 == side // 16
        if not fits or not x.is_floating_point():
            shape = f"B, {channels}, {side or 'H'}, {side or 'W'}"
            takes = f"this network takes floating-point [{shape}] or [T={T}, {shape}]"
            raise ValueError(f"{takes}, got {x.dtype} of shape {tuple(x.shape)}")
        return x  # [T, B, C, H, W]


def resnet(num_classes, T, in_channels, channels, neuron, stem="cifar", fc=None):
    """Stem, stages of SEW blocks (each but the first begins with stride 2), pool, classes."""
    require_counts(num_classes=num_classes, T=T, in_channels=in_channels, channels=channels)
    require(stem in ("cifar", "imagenet"), "stem", stem, "'cifar' or 'imagenet'")
    if stem == "cifar":
        stages = [(channels, 3), (2 * channels, 3), (4 * channels, 2)]
        first = conv_layer(in_channels, channels, neuron(T))
    else:
        require(channels % 2 == 0, "channels", channels, "even for stem='imagenet'")
        stages = [(channels // 2, 2), (channels, 2), (2 * channels, 2), (4 * channels, 2)]
        first = conv_layer(in_channels, channels // 2, neuron(T), kernel=7, stride=2)
        first.current.append(nn.AvgPool2d(2))  # before the neuron: blocks add up whole spikes
    layers = dict(input=Input(T, in_channels), stem=first)
    cin = stages[0][0]
    for i, (cout, blocks) in enumerate(stages):
        stage = nn.Sequential()
        for j in range(blocks):
            stage.append(SEW(cin, cout, 2 if i > 0 and j == 0 else 1, lambda: neuron(T)))
            cin = cout
        layers[f"stage{i + 1}"] = stage
    layers["pool"] = Fold(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    if fc:
        layers["hidden"] = Layer(nn.Linear(cin, fc, bias=False), nn.BatchNorm1d(fc), neuron(T))
        cin = fc
    layers["classes"] = Fold(nn.Linear(cin, num_classes, bias=False))
    return nn.Sequential(OrderedDict(layers))


def resnet19(num_classes=10, T=2, in_channels=3, channels=128, neuron=LIF):
    """ResNet-19 of Table 4, SEW blocks: [B, C, H, W], the picture at every timestep, or [T, B, C,
    H, W] -> logits [T, B, num_classes] for `readout`. `channels`: the first stage's width.
    `neuron(T)` is called once per layer. ValueError for sizes below 1."""
    return resnet(num_classes, T, in_channels, channels, neuron, fc=256)


def resnet18(num_classes=10, T=2, in_channels=3, channels=128, neuron=LIF, stem="cifar"):
    """ResNet-18 of Table 4: `resnet19` without the 256-wide layer. stem="imagenet": the standard
    form for 224x224, 7x7 conv, 2x2 average pool, channels/2 (64) to 4 channels (512) wide."""
    return resnet(num_classes, T, in_channels, channels, neuron, stem)


def vggsnn(num_classes=10, T=10, in_channels=2, channels=64, size=48, neuron=LIF):
    """VGGSNN of Table 5, called as `resnet19`. `size`, at least 16, is the input's side: four 2x2
    pools leave size // 16, cropping the rest as PyTorch does."""
    require_counts(num_classes=num_classes, T=T, in_channels=in_channels, channels=channels)
    require(isinstance(size, numbers.Integral) and size >= 16, "size", size, "an integer >= 16")
    layers = dict(input=Input(T, in_channels, size))
    cin = in_channels
    for i, width in enumerate((1, 2, 4, 4, 8, 8, 8, 8), 1):
        layers[f"conv{i}"] = conv_layer(cin, width * channels, neuron(T))
        cin = width * channels
        if i % 2 == 0:
            layers[f"pool{i}"] = Fold(nn.AvgPool2d(2))
    weights = nn.Linear(cin * (size // 16) ** 2, num_classes, bias=False)
    layers["classes"] = Fold(nn.Flatten(), weights)
    return nn.Sequential(OrderedDict(layers))


NETWORKS = dict(resnet18=resnet18, resnet19=resnet19, vggsnn=vggsnn)


def recompute(net, enabled=True):
    """Let each layer keep its input alone for the backward pass and compute the rest again there: a
    third of the memory, a third more time, the same gradients. ValueError for other networks."""
    layers = [module for module in net.modules() if isinstance(module, Layer)]
    require(layers, "net", type(net).__name__, "a network with layers of this file")
    for module in layers:
        module.again = enabled
    return net


def for_inference(net):
    """A copy of `net` in evaluation mode, batch norm folded into the weights before it: equal but
    for rounding, which can flip single spikes. ValueError as in `recompute`."""
    net = recompute(copy.deepcopy(net).eval(), enabled=False)
    layers = [module for module in net.modules() if isinstance(module, Layer)]
    fuse = {nn.Linear: fusion.fuse_linear_bn_eval}  # other weights: convolutions
    for current in [m.current for m in layers if not isinstance(m.current[1], nn.Identity)]:
        current[0] = fuse.get(type(current[0]), fusion.fuse_conv_bn_eval)(current[0], current[1])
        current[1] = nn.Identity()
    return net


# ---- 5. Losses -----------------------------------------------------------------------------------
def readout(logits):
    """Eq. 8: logits [T, B, classes] -> [B, classes], the output layer's potential over time."""
    return logits.mean(0)


def tet_loss(logits, labels, phi=1.0, lam=1e-3, label_smoothing=0.0):
    """TET (Deng et al. 2022): (1 - lam) * mean over t of the cross-entropy at t + lam * the mean
    square of logits - phi. logits [T, B, classes], labels [B]. Defaults: its own, CIFAR10-DVS."""
    every = labels.repeat(len(logits))  # [T*B]
    ce = F.cross_entropy(logits.flatten(0, 1), every, label_smoothing=label_smoothing)
    return (1 - lam) * ce + lam * (logits - phi).square().mean()


# ---- 6. Probe, energy, calibration ---------------------------------------------------------------
@contextlib.contextmanager
def probe(net):
    """Watch every LIF: `with probe(net) as figures: net(x)`. figures["stem.neuron"] has, each [T],
    firing_rate (of the LIF's own output), gradient_available (share in the window, Fig. 11),
    threshold, width, u_mean, u_std (population), floored (its floor acted): means by sample."""
    figures = {}
    with contextlib.ExitStack() as stack:
        for name, lif in net.named_modules():
            if isinstance(lif, LIF):
                stack.callback(setattr, lif, "watch", lif.watch)
                figures[name] = {}
                lif.watch = partial(observe, figures[name], {"samples": 0})
        yield figures


@torch.no_grad()
def observe(figures, seen, batch, u, s, theta, fire, k, floor):
    u = u.to(theta.dtype)
    new = dict(
        firing_rate=s.to(u.dtype).mean(1),
        gradient_available=(rectangle(u, fire[:, None], k[:, None]) > 0).to(u.dtype).mean(1),
        threshold=fire,
        width=k,
        u_mean=u.mean(1),
        u_std=u.std(1, correction=0),
        floored=(theta <= 1.01 * floor).to(u.dtype),  # Eq. 6 comes down to it from above
    )
    seen["samples"] += batch
    for name, value in new.items():
        figures[name] = torch.lerp(figures.get(name, value), value, batch / seen["samples"])


@torch.no_grad()
def energy(net, x, batch=None):
    """Operations and energy of inference per sample of the input `x`, of a copy in evaluation mode.
    `batch`: its samples, for networks not of this file. Convolutions and Linear layers count, batch
    norm and pools do not, as in the paper. ValueError: another layer with weights, by name. -> dict

    mac, ac_paper, mj_paper    appendix C: a layer's firing rate x T x its operations are
        accumulates (AC); the first and the last, which no neuron follows, multiply-accumulates
    mac_counted, ac_counted, mj_counted    by what arrives: whole numbers are as many ACs as the
        spikes they add up (a SEW sum of 3 is three); all else and the first layer are MACs
    mac_ann, mj_ann    the iso-architecture ANN: each operation once, all MACs"""
    if batch is None and isinstance(getattr(net, "input", None), Input):
        batch = x.shape[-4:][0]
    require(batch is not None, "batch", batch, "how many samples x holds")
    T = max([module.T for module in net.modules() if isinstance(module, LIF)], default=1)
    layers = []

    def weights_ran(module, inputs, output):
        x = inputs[0]
        in_time = len(x) == T * batch or x.shape[:2] == (T, batch)
        what = f"that of {list(x.shape)}, which {module} gets, with T={T}"
        require(in_time or len(x) == batch, "batch", batch, what)
        spikes = len(layers) > 0 and bool(((x >= 0) & (x == x.round())).all())
        ops = output.numel() * module.weight[0].numel() / batch  # at all timesteps
        arriving = wide(x).mean().item() if spikes else None
        layers.append(dict(ops=ops, once=ops / T**in_time, arriving=arriving, rate=None))

    def neuron_ran(module, inputs, s):
        if len(layers) > 1:
            layers[-1]["rate"] = wide(s).mean().item()

    net = copy.deepcopy(net).eval()
    for name, module in net.named_modules():
        if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)):
            module.register_forward_hook(weights_ran)
        elif isinstance(module, LIF):
            module.register_forward_hook(neuron_ran)
        elif any(p.dim() > 1 for p in module.parameters(recurse=False)):
            raise ValueError(f"energy cannot count {name or 'net'}, a {type(module).__name__}")
    net(x)
    count = dict.fromkeys(("mac", "ac_paper", "mac_counted", "ac_counted", "mac_ann"), 0.0)
    for layer in layers:
        count["mac"] += layer["ops"] * (layer["rate"] is None)
        count["ac_paper"] += layer["ops"] * (layer["rate"] or 0)
        count["mac_counted"] += layer["ops"] * (layer["arriving"] is None)
        count["ac_counted"] += layer["ops"] * (layer["arriving"] or 0)
        count["mac_ann"] += layer["once"]
    mac, ac = 4.6e-9, 0.9e-9  # mJ of one (45 nm, Horowitz 2014; appendix C)
    count["mj_paper"] = count["mac"] * mac + count["ac_paper"] * ac
    count["mj_counted"] = count["mac_counted"] * mac + count["ac_counted"] * ac
    count["mj_ann"] = count["mac_ann"] * mac
    return count


@torch.no_grad()
def calibrate(net, batches):
    """Running thresholds (Eq. 6) and batch-norm statistics anew, the plain mean over `batches` of
    inputs or (input, label), in training mode on a copy: an error changes nothing. ValueError: no
    batch, or a statistic that is not finite."""
    twin = copy.deepcopy(net).train()
    lifs = [m for m in twin.modules() if isinstance(m, LIF) and m.adaptive and m.momentum]
    for buffer in [buffer for lif in lifs for buffer in (lif.running_threshold, lif.updates)]:
        buffer.zero_()
    for norm in twin.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm) and norm.track_running_stats:
            norm.reset_running_stats()
            norm.momentum = None  # PyTorch's cumulative mean
    seen = 0
    for seen, batch in enumerate(batches, 1):
        for lif in lifs:
            lif.momentum = 1 / seen
        x = batch[0] if isinstance(batch, (tuple, list)) else batch
        twin(x.to(next(iter(net.state_dict().values())).device))
    require(seen > 0, "batches", batches, "at least one batch")
    finite = [b.isfinite().all() for b in twin.buffers()] + [lif.updates == seen for lif in lifs]
    require(all(finite), "batches", seen, "such that all is finite and each LIF runs once a batch")
    net.load_state_dict(twin.state_dict())


# ---- 7. Trainer ----------------------------------------------------------------------------------
class Trainer:
    """Table 3's recipe for any network that returns logits [T, B, classes] and any batches (x, y):
    SGD, momentum 0.9, a learning rate that falls to 0 from epoch to epoch as a cosine. `loss` of
    logits and labels: by default cross-entropy of `readout`, smoothed by 0.1. `amp`: "off", "bf16",
    "fp16". norm_decay=False: what has one dimension does not decay. Infinite gradients: no step. In
    a process group all must call all methods; rank 0's buffers are evaluated and saved.

    >>> trainer = Trainer(vggsnn(T=2, channels=1, size=16), epochs=1)
    >>> loss = trainer.step(torch.randn(4, 2, 16, 16), torch.tensor([3, 1, 4, 1]))
    >>> trainer.end_epoch()["samples"], trainer.epoch
    (4, 1)
    """

    def __init__(
        self, net, epochs, lr=0.1, weight_decay=1e-4, loss=None, amp="off", norm_decay=True
    ):
        require(amp in ("off", "bf16", "fp16"), "amp", amp, "'off', 'bf16' or 'fp16'")
        self.net = self.model = net
        self.world = 1
        if torch.distributed.is_initialized():
            self.world = torch.distributed.get_world_size()
            self.model = nn.parallel.DistributedDataParallel(net)
            self.model.broadcast_buffers = False  # `together` does
        self.device = next(net.parameters()).device
        self.epochs = epochs
        self.lr = lr
        self.loss = loss or (lambda z, y: F.cross_entropy(readout(z), y, label_smoothing=0.1))
        self.amp = amp
        sgd = partial(torch.optim.SGD, momentum=0.9, weight_decay=weight_decay, fused=True)
        decayed = [p for p in net.parameters() if norm_decay or p.dim() > 1]
        others = [p for p in net.parameters() if not norm_decay and p.dim() < 2]
        self.optimizer = sgd([dict(params=decayed), dict(params=others, weight_decay=0.0)], lr)
        for p in net.parameters():  # or a first step that is skipped leaves them unset
            self.optimizer.state[p]["momentum_buffer"] = torch.zeros_like(p)
        # skips infinite gradients without asking the host; fp16 needs a scale, 1 falls by a trifle
        more = (2.0**16, 2.0, 0.5, 2000) if amp == "fp16" else (1.0, 2.0, 1 - 2**-23, 2**31 - 1)
        self.scaler = torch.amp.GradScaler(self.device.type, *more)
        self.epoch = self.steps = 0  # epochs that have ended, and steps done in this one
        exact = torch.float32 if self.device.type == "mps" else torch.float64
        self.meters = torch.zeros(3, dtype=exact, device=self.device)  # loss x n, hits, n

    def rate(self):  # of this epoch
        return self.lr * (1 + math.cos(math.pi * min(1, self.epoch / self.epochs))) / 2

    def look(self, model, x, y):
        """Loss of one batch, and what it adds to the meters."""
        x, y = (part.to(self.device, non_blocking=True) for part in (x, y))
        dtype = dict(fp16=torch.float16).get(self.amp, torch.bfloat16)
        with torch.autocast(self.device.type, dtype, enabled=self.amp != "off"):
            logits = wide(model(x))  # [T, B, classes]
        loss = self.loss(logits, y)
        hits = (readout(logits).argmax(1) == y).sum()
        return loss, torch.stack([loss.detach() * len(y), hits, torch.full_like(hits, len(y))])

    def step(self, x, y):
        """One batch, or this process's share of it. -> its loss, which nothing has waited for"""
        self.net.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        loss, more = self.look(self.model, x, y)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.meters += more
        self.steps += 1
        return loss.detach()

    def together(self, meters):
        """Rank 0's buffers everywhere. -> the meters of all processes"""
        if self.world > 1:
            torch.distributed.all_reduce(meters)
            for buffer in self.net.buffers():
                torch.distributed.broadcast(buffer, 0)
        return meters

    def end_epoch(self):
        """-> dict(loss, accuracy, samples), what this epoch's steps saw"""
        loss, hits, samples = self.together(self.meters).tolist()
        self.epoch += 1
        self.steps = 0
        self.meters.zero_()
        return dict(loss=loss / samples, accuracy=hits / samples, samples=int(samples))

    @torch.no_grad()
    def evaluate(self, batches):
        """This process's share of (x, y), in evaluation mode -> dict(loss, accuracy), of all."""
        meters = self.together(torch.zeros_like(self.meters))
        self.net.eval()
        for x, y in batches:
            meters += self.look(self.net, x, y)[1]
        loss, hits, samples = self.together(meters).tolist()
        return dict(loss=loss / samples, accuracy=hits / samples)

    def healthy(self):
        """Whether all is finite and no step was skipped (fp16: its scale is 1 or more). Waits."""
        finite = all(value.isfinite().all() for value in self.net.state_dict().values())
        return finite and self.scaler.get_scale() >= 1

    def state_dict(self):
        """All that training changes: what a checkpoint must hold. scale: and its steps so far."""
        held = self.optimizer.state
        momentum = {name: held[p]["momentum_buffer"] for name, p in self.net.named_parameters()}
        state = dict(epoch=self.epoch, steps=self.steps, meters=self.together(self.meters.clone()))
        state |= dict(model=self.net.state_dict(), momentum=momentum, rng=torch.get_rng_state())
        scaler = self.scaler.state_dict()
        return state | dict(scale=torch.tensor([scaler["scale"], scaler["_growth_tracker"]]))

    def load_state_dict(self, state):
        """Rank 0 takes the meters of all. KeyError: a part is missing; RuntimeError, ValueError."""
        self.net.load_state_dict(state["model"])
        for name, p in self.net.named_parameters():
            self.optimizer.state[p]["momentum_buffer"].copy_(state["momentum"][name])
        scale = dict(zip(("scale", "_growth_tracker"), state["scale"].tolist()))
        self.scaler.load_state_dict(self.scaler.state_dict() | scale)
        torch.set_rng_state(state["rng"])
        self.meters.copy_(state["meters"] * (self.world == 1 or torch.distributed.get_rank() == 0))
        self.epoch = state["epoch"]
        self.steps = state["steps"]
