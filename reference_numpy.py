"""DS-ATGO by hand: the method's forward and backward in NumPy, float64, nothing hidden.

    python reference_numpy.py                 a lesson in the paper's order, in numbers, in seconds
    python reference_numpy.py --plot FOLDER   the same in six pictures (needs matplotlib)

Read it beside the paper; equation numbers are the main text's, the names those of `dsatgo.py`,
whose tests hold it against this file. Every layer is a pair

    out, cache = forward(x, ...)     and     gradients = backward(dout, cache)

where dout is dL/dout, and the backward reads as the forward reversed.

    paper             code      shape         equation
    I(t)              current   [T, B, ...]   1   a layer's input
    U(t)              u         [T, B, ...]   2   the membrane potential
    S(t)              s         [T, B, ...]   3   the spikes, 0 or 1
    tau               tau       float         2   the leak
    V_th              v_th      float         3   the initial threshold
    Delta V_th(t)_n   theta     [T]           5   the adaptive threshold
    Delta V_th(t)     running   [T]           6   its moving average, used for inference
                      fire      [T]           3   where a neuron fires: theta or v_th
    kappa             kappa     float         4   the base width, and the k at the right of 7
    k                 k         [T]           7   the surrogate's width

Time comes first: [T, B, ...]; a layer without time is applied to [T*B, ...].
"""

import argparse
import pathlib
import runpy
from functools import partial

import numpy as np
from scipy.stats import norm

THRESHOLDS = ("true", "estimated", "fixed", "learned")
WIDTHS = ("threshold", "std", "fixed")
ARMS = {
    "vanilla": dict(threshold="fixed", width="fixed"),
    "AT": dict(threshold="true", width="fixed"),
    "TGO": dict(threshold="fixed", width="threshold"),
    "AT+TGO": dict(threshold="true", width="threshold"),
}
FLOOR = 1e-3  # the smallest theta, in units of v_th, and the smallest width, in units of kappa


# ---- 1. Spike and surrogate ----------------------------------------------------------------------
def heaviside(u, fire, k):
    """Eq. 3: 1 where u >= fire; equality fires. The width k plays no part forward."""
    return (u >= fire).astype(float)


def ramp(u, fire, k):
    """The function whose derivative Eq. 4 is: from 0 at fire - k/2 to 1 at fire + k/2. With it in
    the step's place the network is differentiable, and finite differences check the backward."""
    return np.clip((u - fire) / k + 0.5, 0, 1)


def rectangle(u, theta, width):
    """Eq. 4, the surrogate of dS/dU: 1/width in the closed window (ramp's fire, k), else 0."""
    return (np.abs(u - theta) <= width / 2) / width


# ---- 2. Threshold and width ----------------------------------------------------------------------
def adaptive_threshold(u, f_c=1.0):
    """Eq. 5, "true": f_c (mean + std) of one layer's timestep, whole batch; std divides by n."""
    return f_c * (u.mean() + np.sqrt(((u - u.mean()) ** 2).mean()))


def estimated_threshold(tau, v_th=1.0, f_c=1.0):
    """Eq. 5, "estimated": for currents that are N(0, v_th^2)."""
    return f_c * np.sqrt(1 + tau**2) * v_th


def moving_average(running, theta, momentum=0.1):
    """Eq. 6, after each training batch; what is not finite is not averaged in."""
    return np.where(np.isfinite(theta), momentum * theta + (1 - momentum) * running, running)


def surrogate_width(theta, v_th=1.0, kappa=1.0):
    """Eq. 7, both branches. The k at its right is kappa here; the floor is ours, not printed."""
    narrower = (1 - np.tanh(v_th - theta)) * kappa  # theta < v_th: the potentials are concentrated
    wider = (1 + np.tanh(theta - v_th)) * kappa  # theta >= v_th: they are dispersed
    return np.maximum(np.where(theta < v_th, narrower, wider), FLOOR * kappa)


def firing_probability(f_c=1.0, mu=0.0, sigma=1.0):
    """The share of a normal N(mu, sigma^2) above f_c (mu + sigma), not floored as in `lif_forward`:
    1 - Phi(1), 15.87 %, at f_c = 1 (Theorem 1); at any other f_c it depends on mu / sigma."""
    return 1 - norm.cdf(f_c + (f_c - 1) * mu / sigma)


def gradient_probability(theta, k, mu, sigma):
    """Fig. 5: the share of N(mu, sigma^2) inside the surrogate's window, within k/2 of theta."""
    return norm.cdf((theta + k / 2 - mu) / sigma) - norm.cdf((theta - k / 2 - mu) / sigma)


# ---- 3. The neuron -------------------------------------------------------------------------------
def theta_of(u, t, threshold, running, tau, v_th, f_c):
    """The threshold of timestep t: the one in `running` or, if that is None, by the rule."""
    if threshold not in THRESHOLDS:
        raise ValueError(f"threshold={threshold!r}: must be one of {THRESHOLDS}")
    if running is not None:
        return running[t]  # Eq. 6's, learned or fixed
    if threshold == "learned":
        return v_th  # where learning starts
    if threshold == "estimated":
        return estimated_threshold(tau, v_th, f_c)  # Eq. 5
    return adaptive_threshold(u, f_c)  # Eq. 5; "fixed" fires at v_th, but its width may follow


def width_of(u, theta, width, v_th, kappa):
    """The width of one timestep, by the rule."""
    if width not in WIDTHS:
        raise ValueError(f"width={width!r}: must be one of {WIDTHS}")
    if width == "threshold":
        return surrogate_width(theta, v_th, kappa)  # Eq. 7
    if width == "std":
        return surrogate_width(u.std(), v_th, kappa)  # what the released code computes instead
    return kappa


def lif_forward(
    current,
    tau=0.2,
    v_th=1.0,
    kappa=1.0,
    f_c=1.0,
    threshold="true",
    width="threshold",
    running=None,
    spike=heaviside,
):
    """One layer of LIF neurons, Eqs. 2-7: current [T, ...] -> spikes [T, ...], cache. The cache
    holds u [T, ...], theta, fire and k [T]. `threshold` and `width` are the rules of `dsatgo.LIF`.
    `running` [T] are thresholds in place of this batch's: the running ones at inference, or T
    times the learned one ("fixed" uses them for its width only). ValueError: no such rule.

    One neuron, tau = 1/2, fixed threshold and width 1, through three timesteps:
        U(1) = 1/2 * 0 + 1.5              = 1.5   >= 1: a spike
        U(2) = 1/2 * 1.5 * (1 - 1) + 0.5  = 0.5   < 1: none; the reset left nothing of U(1)
        U(3) = 1/2 * 0.5 * (1 - 0) + 0.75 = 1.0   >= 1: a spike, equality fires

    >>> spikes, cache = lif_forward(np.array([[1.5], [0.5], [0.75]]), tau=0.5, **ARMS["vanilla"])
    >>> cache["u"].ravel().tolist(), spikes.ravel().tolist()
    ([1.5, 0.5, 1.0], [1.0, 0.0, 1.0])

    Let L = S(3). All U lie in the closed window [0.5, 1.5], where dS/dU = 1, so dL/dU(3) = 1:
        dL/dU(2) = -tau U(2) dL/dU(3) + tau (1 - S(2)) dL/dU(3) = -0.25 + 0.5 = 0.25
        dL/dU(1) = -tau U(1) dL/dU(2) + tau (1 - S(1)) dL/dU(2) = -0.1875 + 0
        dL/dtau  = U(1) (1 - S(1)) dL/dU(2) + U(2) (1 - S(2)) dL/dU(3) = 0 + 0.5

    >>> dcurrent, dtau = lif_backward(np.array([[0.0], [0.0], [1.0]]), cache)
    >>> dcurrent.ravel().tolist(), float(dtau)
    ([-0.1875, 0.25, 1.0], 0.5)

    Two neurons, AT+TGO, tau = 1/2. Of two numbers mean + std is the larger (std divides by n):
        U(1) = (1.5, 0.5)                theta = 1 + 0.5 = 1.5        k = 1 + tanh(0.5) = 1.462
        U(2) = (0 + 0.75, 0.25 + 0.75)   theta = 0.875 + 0.125 = 1    k = 1 + tanh(0) = 1
    Let L = S_1(2) + S_2(2), so dL/dU(2) = (1, 1). At t = 1 the second is not within k/2 of theta:
        dL/dU(1) = (-tau 1.5 / 1.462 + 0, 0 + tau) = (-0.513, 0.5)    dL/dtau = 0 + 0.5

    >>> spikes, cache = lif_forward(np.array([[1.5, 0.5], [0.75, 0.75]]), tau=0.5)
    >>> dcurrent, dtau = lif_backward(np.array([[0.0, 0.0], [1.0, 1.0]]), cache)
    >>> spikes.tolist(), cache["k"].round(3).tolist(), dcurrent.round(3).tolist(), float(dtau)
    ([[1.0, 0.0], [0.0, 1.0]], [1.462, 1.0], [[-0.513, 0.5], [1.0, 1.0]], 0.5)
    """
    if threshold == "fixed" and width != "threshold":
        running = [v_th] * len(current)  # nothing follows the potentials
    u = s = np.zeros(current.shape[1:])  # at rest
    trace = []
    for t in range(len(current)):
        u = tau * u * (1 - s) + current[t]  # Eq. 2
        theta = theta_of(u, t, threshold, running, tau, v_th, f_c)  # Eq. 5, or Eq. 6's
        theta = max(theta, FLOOR * v_th) if np.isfinite(theta) else np.nan  # U = 0 must not fire
        fire = v_th if threshold == "fixed" else theta
        k = width_of(u, theta, width, v_th, kappa)  # Eq. 7
        s = spike(u, fire, k)  # Eq. 3
        s = s + 0 * (u - theta)  # changes nothing, but a NaN is passed on
        trace.append((u, s, theta, fire, k))
    u, s, theta, fire, k = (np.array(column) for column in zip(*trace))
    return s, dict(u=u, s=s, theta=theta, fire=fire, k=k, tau=tau, learned=threshold == "learned")


def lif_backward(dspikes, cache):
    """Eqs. 9, 10: dspikes [T, ...], which is Eq. 10's sum, from the layer above -> dL/dI [T, ...],
    dL/dtau and, of a learned threshold, dL/dtheta. Other thresholds, all widths: constants."""
    u, s, fire, k, tau = (cache[name] for name in ("u", "s", "fire", "k", "tau"))
    dcurrent = np.zeros_like(u)
    dtau = dtheta = 0.0
    du = np.zeros(u.shape[1:])  # nothing follows the last timestep
    for t in reversed(range(len(u))):
        # here du is dL/dU(t+1), and Eq. 2 says U(t+1) = tau U(t) (1 - S(t)) + I(t+1)
        dtau += (du * u[t] * (1 - s[t])).sum()
        ds = dspikes[t] - du * tau * u[t]  # Eq. 10: dU(t+1)/dS(t) = -tau U(t)
        through_spike = ds * rectangle(u[t], fire[t], k[t])  # Eq. 9, first term, with Eq. 4
        dtheta -= through_spike.sum()  # S falls as theta rises
        du = through_spike + du * tau * (1 - s[t])  # Eq. 9, second: dU(t+1)/dU(t)
        dcurrent[t] = du  # Eq. 2: dU(t)/dI(t) = 1
    if cache["learned"]:
        return dcurrent, dtau, dtheta
    return dcurrent, dtau


# ---- 4. Layers without time ----------------------------------------------------------------------
def linear_forward(x, weight):
    """Eq. 1: x [..., in], weight [out, in] -> [..., out]."""
    return x @ weight.T, (x, weight)


def linear_backward(dout, cache):
    """Eq. 11: dL/dw_ij sums dL/dI_i(t) S_j(t) over time and samples, not over j (a misprint)."""
    x, weight = cache
    dweight = dout.reshape(-1, dout.shape[-1]).T @ x.reshape(-1, x.shape[-1])  # Eq. 11
    dx = dout @ weight  # Eq. 10, second line
    return dx, dweight


def conv_forward(x, weight, stride=1, padding=1):
    """Eq. 1 with shared weights: x [N, in, H, W], weight [out, in, K, K] -> [N, out, H', W']."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride]  # [N, in, H', W', K, K]
    out = np.einsum("nchwij,ocij->nohw", windows, weight, optimize=True)
    return out, (x.shape, windows, weight, stride, padding)


def conv_backward(dout, cache):
    """Eqs. 10 and 11 as above, summed over places too."""
    shape, windows, weight, stride, padding = cache
    dweight = np.einsum("nohw,nchwij->ocij", dout, windows, optimize=True)
    dwindows = np.einsum("nohw,ocij->nchwij", dout, weight, optimize=True)
    dx = np.zeros(shape)
    height, width = dout.shape[2:]
    for i, j in np.ndindex(weight.shape[2:]):  # what each tap read, it hands back
        rows = slice(i, i + stride * height, stride)
        columns = slice(j, j + stride * width, stride)
        dx[:, :, rows, columns] += dwindows[..., i, j]
    return dx[:, :, padding : shape[2] - padding, padding : shape[3] - padding], dweight


def batchnorm_forward(x, gamma, beta, eps=1e-5, running=None):
    """Over time and batch (and place): x [N, C] or [N, C, H, W], N = T*B; gamma, beta [C]. tdBN is
    gamma starting at v_th. `running` (mean [C], variance [C]): evaluation mode."""
    axes = (0, *range(2, x.ndim))
    shape = (1, -1) + (1,) * (x.ndim - 2)
    of_batch = running is None
    if of_batch:
        running = (x.mean(axes), x.var(axes))
    mean, var = (statistic.reshape(shape) for statistic in running)
    gamma = gamma.reshape(shape)
    std = np.sqrt(var + eps)
    xhat = (x - mean) / std
    return gamma * xhat + beta.reshape(shape), (xhat, std, gamma, axes, of_batch)


def batchnorm_backward(dout, cache):
    xhat, std, gamma, axes, of_batch = cache
    dbeta = dout.sum(axes)
    dgamma = (dout * xhat).sum(axes)
    dxhat = dout * gamma
    if of_batch:  # mean and variance saw x as well
        through_mean = dxhat.mean(axes, keepdims=True)
        through_var = xhat * (dxhat * xhat).mean(axes, keepdims=True)
        dxhat = dxhat - through_mean - through_var
    return dxhat / std, dgamma, dbeta


def pool_forward(x):
    """2x2 average pool: [N, C, H, W] -> [N, C, H//2, W//2]. An odd last row or column is lost."""
    height, width = (side // 2 for side in x.shape[2:])
    blocks = x[:, :, : 2 * height, : 2 * width].reshape(*x.shape[:2], height, 2, width, 2)
    return blocks.mean((3, 5)), x.shape


def pool_backward(dout, shape):
    dx = np.zeros(shape)
    height, width = dout.shape[2:]
    dx[:, :, : 2 * height, : 2 * width] = dout.repeat(2, axis=2).repeat(2, axis=3) / 4
    return dx


def sew_forward(s, identity):
    """SEW residual: the spikes of the block and those that skipped it are added."""
    return s + identity, None


def sew_backward(dout, cache):
    return dout, dout


# ---- 5. Output and losses ------------------------------------------------------------------------
def readout_forward(logits):
    """Eq. 8: [T, B, classes] -> [B, classes], the mean over time."""
    return logits.mean(0), len(logits)


def readout_backward(dout, T):
    return np.repeat(dout[None] / T, T, axis=0)


def cross_entropy_forward(logits, labels, label_smoothing=0.0):
    """logits [N, classes], labels [N] -> scalar. Smoothing: that share goes to all classes."""
    shifted = logits - logits.max(1, keepdims=True)
    logp = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    target = np.full(logits.shape, label_smoothing / logits.shape[1])
    target[np.arange(len(labels)), labels] += 1 - label_smoothing
    return -(target * logp).sum(1).mean(), (np.exp(logp), target)


def cross_entropy_backward(dloss, cache):
    p, target = cache
    return dloss * (p - target) / len(p)


def tet_forward(logits, labels, phi=1.0, lam=1e-3, label_smoothing=0.0):
    """TET (Deng et al. 2022): [T, B, classes] -> every timestep's cross-entropy, a pull to phi."""
    flat = logits.reshape(-1, logits.shape[2])  # [T*B, classes]
    ce, cache = cross_entropy_forward(flat, np.tile(labels, len(logits)), label_smoothing)
    loss = (1 - lam) * ce + lam * ((logits - phi) ** 2).mean()
    return loss, (cache, logits, phi, lam)


def tet_backward(dloss, cache):
    cache, logits, phi, lam = cache
    dpull = dloss * lam * 2 * (logits - phi) / logits.size
    dflat = cross_entropy_backward(dloss * (1 - lam), cache)
    return dflat.reshape(logits.shape) + dpull


def sgd(weight, gradient, velocity, lr=0.1, momentum=0.9, weight_decay=1e-4):
    """One step -> weight, velocity; the decay is part of the gradient."""
    velocity = momentum * velocity + gradient + weight_decay * weight
    return weight - lr * velocity, velocity


# ---- 6. A network learns -------------------------------------------------------------------------
def train_rings(rng, steps=200, T=3, hidden=48, scale=1.0, threshold="true", width="threshold"):
    """Three rings around each other, two spiking layers: linear - batch norm, whose gamma starts at
    `scale` - LIF, twice, then linear and readout. Yields (step, loss, accuracy of the batch, which
    is new to the network); returns weights and leaks. Trains tau; `dsatgo` w, tau = sigmoid(w).

        for row in ref.train_rings(np.random.default_rng(0), scale=0.1): print(row)
    """
    labels = np.arange(150) % 3
    p = {}
    for layer, (m, n) in enumerate(((3, hidden), (hidden, hidden), (hidden, 3))):
        p["weight", layer] = rng.standard_normal((n, m)) * np.sqrt(2 / m)
    p["weight", 2] *= 0  # begins by knowing nothing
    for layer in (0, 1):
        p["gamma", layer] = np.full(hidden, scale)
        p["beta", layer] = np.zeros(hidden)
    taus = [0.2, 0.2]
    velocity = dict.fromkeys(p, 0.0)
    for step in range(steps):
        angle = rng.uniform(0, 2 * np.pi, 150)
        radius = labels + 1 + rng.uniform(-0.3, 0.3, 150)
        x = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.ones(150)], 1)  # 1: a bias
        x = np.tile(x, (T, 1, 1))  # the same input at every timestep
        caches = []
        for layer in (0, 1):
            x, linear = linear_forward(x, p["weight", layer])  # Eq. 1: [T, B, hidden]
            flat = x.reshape(-1, hidden)
            flat, batchnorm = batchnorm_forward(flat, p["gamma", layer], p["beta", layer])
            current = flat.reshape(x.shape)
            x, lif = lif_forward(current, taus[layer], threshold=threshold, width=width)  # Eqs. 2-7
            caches.append((linear, batchnorm, lif))
        logits, linear = linear_forward(x, p["weight", 2])
        mean, readout = readout_forward(logits)  # Eq. 8
        loss, entropy = cross_entropy_forward(mean, labels)
        yield step, loss, (mean.argmax(1) == labels).mean()

        dp = {}
        dmean = cross_entropy_backward(1.0, entropy)
        dlogits = readout_backward(dmean, readout)  # Eq. 8
        dx, dp["weight", 2] = linear_backward(dlogits, linear)
        for layer in (1, 0):
            linear, batchnorm, lif = caches[layer]
            dx, dtau = lif_backward(dx, lif)  # Eqs. 9, 10
            dflat = dx.reshape(-1, hidden)
            dflat, dp["gamma", layer], dp["beta", layer] = batchnorm_backward(dflat, batchnorm)
            dx, dp["weight", layer] = linear_backward(dflat.reshape(dx.shape), linear)  # Eq. 11
            taus[layer] = float(np.clip(taus[layer] - 0.1 * dtau, 0.01, 0.99))  # stays a leak
        for name in p:
            p[name], velocity[name] = sgd(p[name], dp[name], velocity[name])
    return p, taus


# ---- 7. The lesson -------------------------------------------------------------------------------
def show_theorem_1(rng):
    print("Theorem 1, with Eq. 5's f_c. Share of U above f_c (mean + std): exact, 100,000 samples")
    for mu, sigma in ((0, 1), (0, 0.1), (0.5, 0.5), (-1, 2), (3, 1)):
        u = mu + sigma * rng.standard_normal(100_000)
        print(f"  U ~ N({mu:4}, {sigma:3}^2) ", end="")
        for f_c in (1.0, 1.2):
            closed = firing_probability(f_c, mu, sigma)
            sampled = (u > adaptive_threshold(u, f_c)).mean()
            print(f"   f_c = {f_c}: {closed:6.2%} {sampled:6.2%}", end="")
        print()
    print("  At f_c = 1 it is the same for every normal; at 1.2 it depends on mean / std.")
    spikes, _ = lif_forward(u[None] - 6)  # N(3, 1^2) moved down by 6
    print(f"  A neuron's theta is at least {FLOOR} (ours): of N(-3, 1^2) {spikes.mean():.2%} fire.")
    u = np.linspace(-1, 1, 100_000)  # uniform: std 1 / sqrt(3)
    fired = (u > adaptive_threshold(u)).mean()
    print(f"  Other distributions differ: of a uniform U {fired:.2%} fire, (1 - 1 / sqrt(3)) / 2.")


def show_thresholds(rng):
    print("\nEq. 5. I ~ N(0, 1), tau = 0.2. The estimate ignores the reset, which lowers U's mean")
    spikes, cache = lif_forward(rng.standard_normal((4, 100_000)))
    true = cache["theta"]
    rate = " ".join(f"{share:.2%}" for share in spikes.mean(1))
    print(f"  estimated {estimated_threshold(0.2):.4f}   true {true.round(4)}   firing {rate}")
    after = moving_average(np.ones(4), true).round(4)
    print(f"Eq. 6. The running threshold after one update with these (1 before, m = 0.1): {after}")


def show_widths():
    print(f"\nEq. 7. The width on both sides of V_th = 1, kappa = 1; our floor: {FLOOR}")
    thetas = np.array([-9, 0, 0.5, 0.9, 1, 1.1, 1.5, 2, 9])
    print("  theta", *(f"{theta:6.1f}" for theta in thetas))
    print("  k    ", *(f"{k:6.3f}" for k in surrogate_width(thetas)))


def show_fig_5():
    print("\nFig. 5. Share of N(0, sigma^2) with a gradient, theta = sigma; driven: k by Eq. 7")
    for sigma in (0.1, 0.3, 1.0, 2.0, 4.0):
        k = surrogate_width(sigma)
        fixed = gradient_probability(sigma, 1.0, 0, sigma)
        driven = gradient_probability(sigma, k, 0, sigma)
        print(f"  sigma {sigma:3}   fixed {fixed:6.1%}   driven {driven:6.1%}   (k = {k:.3f})")


def show_rings(rng):
    print("\nA spiking network learns to tell three rings apart (Eqs. 1-5, 7-11)")
    for step, loss, accuracy in train_rings(rng):
        if step in (0, 10, 30, 100, 199):
            print(f"  step {step:3}   loss {loss:.3f}   accuracy {accuracy:6.1%}")
    print("  The four arms, batch norm starting at a scale: accuracy of steps 80 to 99")
    for name, rules in ARMS.items():
        print(f"  {name:8}", end="")
        for scale in (0.1, 1.0, 4.0):
            run = train_rings(np.random.default_rng(0), 100, scale=scale, **rules)
            late = [accuracy for _, _, accuracy in run][80:]
            print(f"   scale {scale}: {np.mean(late):6.1%}", end="")
        print()
    print("  One seed. In the paper TGO beats AT (Fig. 6), but is not defined; ours, inferred,")
    print(f"  fires at V_th = 1: at 0.1 no U is in its window, k = {surrogate_width(0.1):.2f}.")


def show_gradient(rng, layer, forward, backward, **inputs):
    """The error of each input's gradient against central differences of sum(out * dout)."""
    out, cache = forward(**inputs)
    dout = rng.standard_normal(np.shape(out))
    gradients = backward(dout, cache)
    if not isinstance(gradients, tuple):
        gradients = (gradients,)
    print(f"  {layer:12}", end="")
    for (name, x), gradient in zip(inputs.items(), gradients):
        numeric = np.zeros(np.shape(x))
        for place in np.ndindex(numeric.shape):
            bump = np.zeros(numeric.shape)
            bump[place] = 1e-6
            above, _ = forward(**{**inputs, name: x + bump})
            below, _ = forward(**{**inputs, name: x - bump})
            numeric[place] = ((above - below) * dout).sum() / 2e-6
        error = np.abs(gradient - numeric).max() / np.abs(numeric).max()
        print(f"   {name} {error:.0e}", end="")
    print()


def show_gradients(rng):
    print("\nEqs. 9-11. Errors against finite differences; theta and k held constant, S a ramp")
    x = rng.standard_normal((2, 2, 5, 5))
    kernel = rng.standard_normal((3, 2, 3, 3))
    current = rng.standard_normal((4, 7)) + 0.5
    logits = rng.standard_normal((3, 4, 3))
    weight = rng.standard_normal((2, 3))
    gamma, beta = rng.standard_normal((2, 2))
    smoothed = dict(labels=np.array([0, 2, 1, 1]), label_smoothing=0.1)
    frozen = partial(lif_forward, running=np.full(4, 0.8), spike=ramp)  # theta, k are constants
    learned = partial(lif_forward, threshold="learned", width="fixed", spike=ramp)  # from v_th
    entropy = partial(cross_entropy_forward, **smoothed)
    tet = partial(tet_forward, phi=0.5, lam=0.1, **smoothed)
    check = partial(show_gradient, rng)
    check("LIF", frozen, lif_backward, current=current, tau=0.3)
    check("LIF, learned", learned, lif_backward, current=current, tau=0.3, v_th=0.9)
    check("linear", linear_forward, linear_backward, x=logits, weight=weight)
    check("convolution", conv_forward, conv_backward, x=x, weight=kernel)
    check("  stride 2", partial(conv_forward, stride=2), conv_backward, x=x, weight=kernel)
    check("batch norm", batchnorm_forward, batchnorm_backward, x=x, gamma=gamma, beta=beta)
    check("pool", pool_forward, pool_backward, x=x)
    check("SEW sum", sew_forward, sew_backward, s=x, identity=x + 1)
    check("readout", readout_forward, readout_backward, logits=logits)
    check("entropy", entropy, cross_entropy_backward, logits=logits[0])
    check("TET", tet, tet_backward, logits=logits)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--plot", metavar="FOLDER", help="draw the lesson into FOLDER")
    folder = parser.parse_args().plot
    if folder is None:
        rng = np.random.default_rng(0)
        show_theorem_1(rng)
        show_thresholds(rng)
        show_widths()
        show_fig_5()
        show_rings(rng)
        show_gradients(rng)
        return
    plots = pathlib.Path(__file__).with_name("experiments") / "lesson_plots.py"
    try:
        runpy.run_path(str(plots))["draw"](folder)
    except (ImportError, OSError) as error:
        parser.exit(2, f"--plot {folder}: {error}\n")


if __name__ == "__main__":
    main()
