"""DS-ATGO by hand: the method's forward and backward in NumPy, float64, nothing hidden.

    python reference_numpy.py        a lesson in the paper's order, with numbers, in seconds

Read it beside the paper; equation numbers are the main text's, the names those of `dsatgo.py`, whose tests hold it against
this file. Every layer is a pair

    out, cache = forward(x, ...)     and     gradients = backward(dout, cache)

where dout is dL/dout, and the backward reads as the forward reversed. Time comes first: [T, B, ...]; N is everything behind T.

    current  I(t)  a layer's input          theta  the adaptive threshold, Eqs. 5, 6      tau     the leak
    u        U(t)  membrane potential       k      width of the surrogate, Eq. 7          v_th    initial threshold V_th
    s        S(t)  spikes                   fire   where a neuron fires: theta or v_th    kappa   base width
"""
import numpy as np
from scipy.stats import norm

FLOOR = 1e-3    # the smallest theta, in units of v_th, and the smallest width, in units of kappa
RULES = dict(threshold=("true", "estimated", "fixed", "learned"), width=("threshold", "std", "fixed"))

# ---- 1. Spike and surrogate ----
def heaviside(u, fire, k):
    """Eq. 3: 1 where u >= fire. The surrogate's width k plays no part forward."""
    return (u >= fire).astype(float)

def ramp(u, fire, k):
    """The function whose derivative Eq. 4 is: from 0 at fire - k/2 to 1 at fire + k/2. With it in the step's place the
    network is differentiable, and finite differences must agree with the backward pass."""
    return np.clip((u - fire) / k + 0.5, 0, 1)

def rectangle(u, theta, width):
    """Eq. 4, the surrogate of dS/dU: 1/width inside the closed window, 0 outside."""
    return (np.abs(u - theta) <= width / 2) / width

# ---- 2. Threshold and width ----
def adaptive_threshold(u, f_c=1.0):
    """Eq. 5, "true": f_c (mean + std) over all of u, one timestep of one layer with its whole batch."""
    return f_c * (u.mean() + np.sqrt(((u - u.mean()) ** 2).mean()))

def estimated_threshold(tau, v_th=1.0, f_c=1.0):
    """Eq. 5, "estimated"."""
    return f_c * np.sqrt(1 + tau ** 2) * v_th

def moving_average(running, theta, momentum=0.1):
    """Eq. 6, after each training batch; what is not finite is not averaged in."""
    return np.where(np.isfinite(theta), momentum * theta + (1 - momentum) * running, running)

def surrogate_width(theta, v_th=1.0, kappa=1.0):
    """Eq. 7, both of its branches as printed."""
    narrower = (1 - np.tanh(v_th - theta)) * kappa          # theta < v_th: the potentials are concentrated
    wider = (1 + np.tanh(theta - v_th)) * kappa             # theta >= v_th: they are dispersed
    return np.maximum(np.where(theta < v_th, narrower, wider), FLOOR * kappa)

def firing_probability(f_c=1.0, mu=0.0, sigma=1.0):
    """Theorem 1: the share of N(mu, sigma^2) above f_c (mu + sigma). At f_c = 1 it is 1 - Phi(1) = 15.87 % whatever mu and
    sigma are; at any other f_c it depends on mu / sigma."""
    return 1 - norm.cdf(f_c + (f_c - 1) * mu / sigma)

def gradient_probability(theta, k, mu, sigma):
    """Fig. 5: the share of N(mu, sigma^2) inside the surrogate's window, within k/2 of theta."""
    return norm.cdf((theta + k / 2 - mu) / sigma) - norm.cdf((theta - k / 2 - mu) / sigma)

# ---- 3. The neuron ----
def lif_forward(current, tau=0.2, v_th=1.0, kappa=1.0, f_c=1.0, threshold="true", width="threshold", running=None,
                spike=heaviside):
    """One layer of LIF neurons, Eqs. 2-7: current [T, ...] -> spikes [T, ...], cache. The cache holds u [T, ...], theta, fire
    and k [T]. `threshold` and `width` are the rules of `dsatgo.LIF`. `running` [T] are thresholds to use in place of this
    batch's: the running ones at inference, or learned ones ("fixed" has no use for them, unless its width follows them).
    ValueError: a rule that is none of these.

    One neuron, tau = 1/2, fixed threshold and width 1, through three timesteps:
        U(1) = 1/2 * 0 + 1.5             = 1.5   >= 1: a spike
        U(2) = 1/2 * 1.5 * (1 - 1) + 0.5 = 0.5   < 1: none, and nothing is left of U(1) since the neuron was reset
        U(3) = 1/2 * 0.5 * (1 - 0) + 0.75 = 1.0  >= 1: a spike, equality fires

    >>> spikes, cache = lif_forward(np.array([[1.5], [0.5], [0.75]]), tau=0.5, threshold="fixed", width="fixed")
    >>> cache["u"].ravel().tolist(), spikes.ravel().tolist()
    ([1.5, 0.5, 1.0], [1.0, 0.0, 1.0])

    Let L = S(3). All three potentials lie in the window [0.5, 1.5], where dS/dU = 1:
        dL/dU(3) = 1
        dL/dU(2) = tau (1 - S(2)) dL/dU(3) + dL/dS(2) = 0.5 - 0.25 = 0.25,    dL/dS(2) = -tau U(2) dL/dU(3) = -0.25
        dL/dU(1) = tau (1 - S(1)) dL/dU(2) + dL/dS(1) = 0 - 0.1875,           dL/dS(1) = -tau U(1) dL/dU(2) = -0.1875
        dL/dtau  = U(1) (1 - S(1)) dL/dU(2) + U(2) (1 - S(2)) dL/dU(3) = 0 + 0.5

    >>> dcurrent, dtau = lif_backward(np.array([[0.0], [0.0], [1.0]]), cache)
    >>> dcurrent.ravel().tolist(), float(dtau)
    ([-0.1875, 0.25, 1.0], 0.5)
    """
    for name, rule in dict(threshold=threshold, width=width).items():
        if rule not in RULES[name]:
            raise ValueError(f"{name}={rule!r}: must be one of {RULES[name]}")
    u = s = np.zeros(current.shape[1:])                                            # at rest
    trace = []
    for t in range(len(current)):
        u = tau * u * (1 - s) + current[t]                                         # Eq. 2
        if threshold == "fixed" and width != "threshold":
            theta = v_th
        elif running is not None:
            theta = running[t]                                                     # Eq. 6, inference
        elif threshold == "learned":
            theta = v_th                                                           # where learning starts
        elif threshold == "estimated":
            theta = estimated_threshold(tau, v_th, f_c)                            # Eq. 5
        else:
            theta = adaptive_threshold(u, f_c)                                     # Eq. 5
        theta = max(theta, FLOOR * v_th) if np.isfinite(theta) else np.nan         # a layer at rest must not fire
        fire = v_th if threshold == "fixed" else theta
        k = {"threshold": surrogate_width(theta, v_th, kappa), "std": surrogate_width(u.std(), v_th, kappa),
             "fixed": kappa}[width]                                                # Eq. 7, or the released code's
        s = spike(u, fire, k) + 0 * (u - theta)                                    # Eq. 3; NaN stays NaN
        trace.append((u, s, theta, fire, k))
    u, s, theta, fire, k = (np.array(column) for column in zip(*trace))
    return s, dict(u=u, s=s, theta=theta, fire=fire, k=k, tau=tau, learned=threshold == "learned")

def lif_backward(dspikes, cache):
    """dL/dS [T, ...] -> dL/dI [T, ...], dL/dtau and, of a learned threshold, dL/dtheta. Thresholds and widths are constants
    otherwise, as in Eqs. 9-10."""
    u, s, fire, k, tau = (cache[name] for name in ("u", "s", "fire", "k", "tau"))
    du, dtau, dtheta = np.zeros(u.shape[1:]), 0.0, 0.0                             # after the last timestep
    dcurrent = np.zeros_like(u)
    for t in reversed(range(len(u))):                                              # du is dL/dU(t+1)
        dtau += (du * u[t] * (1 - s[t])).sum()                                     # Eq. 2: dU(t+1)/dtau
        ds = dspikes[t] - du * tau * u[t]                                          # Eq. 10, by dU(t+1)/dS(t)
        through_spike = ds * rectangle(u[t], fire[t], k[t])                        # Eq. 9, first term
        du = through_spike + du * tau * (1 - s[t])                                 # Eq. 9, second: dU(t+1)/dU(t)
        dtheta -= through_spike.sum()                                              # S falls as theta rises
        dcurrent[t] = du                                                           # Eq. 2: dU(t)/dI(t) = 1
    return (dcurrent, dtau, dtheta) if cache["learned"] else (dcurrent, dtau)

# ---- 4. Layers without time: applied to [T*B, ...] in the networks; here the leading axes may be any ----
def linear_forward(x, weight):
    """Eq. 1: x [..., in], weight [out, in] -> [..., out]."""
    return x @ weight.T, (x, weight)

def linear_backward(dout, cache):
    """Eq. 11 as the chain rule gives it: dL/dw_ij sums dL/dI_i(t) S_j(t) over timesteps and samples."""
    x, weight = cache
    dweight = dout.reshape(-1, dout.shape[-1]).T @ x.reshape(-1, x.shape[-1])      # Eq. 11
    return dout @ weight, dweight

def conv_forward(x, weight, stride=1, padding=1):
    """x [N, in, H, W], weight [out, in, K, K] -> [N, out, H', W']: Eq. 1 with shared weights."""
    K = weight.shape[2]
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (K, K), axis=(2, 3))[:, :, ::stride, ::stride]
    return np.einsum("nchwij,ocij->nohw", windows, weight, optimize=True), (x.shape, windows, weight, stride, padding)

def conv_backward(dout, cache):
    shape, windows, weight, stride, padding = cache
    dweight = np.einsum("nohw,nchwij->ocij", dout, windows, optimize=True)         # Eq. 11, summed over positions too
    dx, (height, width) = np.zeros(shape), dout.shape[2:]
    for i in range(weight.shape[2]):
        for j in range(weight.shape[3]):                                           # what each tap read, it hands back
            dx[:, :, i:i + stride * height:stride, j:j + stride * width:stride] += np.einsum(
                "nohw,oc->nchw", dout, weight[:, :, i, j], optimize=True)
    return dx[:, :, padding:shape[2] - padding, padding:shape[3] - padding], dweight

def batchnorm_forward(x, gamma, beta, eps=1e-5, running=None):
    """Batch norm over time and batch (and place): x [N, C] or [N, C, H, W], N = T*B. tdBN is gamma starting at v_th.
    `running` (mean, variance): evaluation mode."""
    axes, shape = (0, *range(2, x.ndim)), (1, -1) + (1,) * (x.ndim - 2)
    mean, var = (x.mean(axes), x.var(axes)) if running is None else running
    xhat = (x - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + eps)
    return gamma.reshape(shape) * xhat + beta.reshape(shape), (xhat, gamma, var, eps, axes, shape, running is None)

def batchnorm_backward(dout, cache):
    xhat, gamma, var, eps, axes, shape, batch = cache
    dgamma, dbeta, dxhat = (dout * xhat).sum(axes), dout.sum(axes), dout * gamma.reshape(shape)
    if batch:                                                                      # mean and variance saw x as well
        dxhat = dxhat - dxhat.mean(axes, keepdims=True) - xhat * (dxhat * xhat).mean(axes, keepdims=True)
    return dxhat / np.sqrt(var.reshape(shape) + eps), dgamma, dbeta

def pool_forward(x):
    """2x2 average pool of stride 2: [N, C, H, W] -> [N, C, H//2, W//2]; an odd last row or column is left out."""
    height, width = x.shape[2] // 2 * 2, x.shape[3] // 2 * 2
    blocks = x[:, :, :height, :width].reshape(*x.shape[:2], height // 2, 2, width // 2, 2)
    return blocks.mean((3, 5)), x.shape

def pool_backward(dout, shape):
    dx = np.zeros(shape)
    spread = np.repeat(np.repeat(dout, 2, 2), 2, 3) / 4
    dx[:, :, :spread.shape[2], :spread.shape[3]] = spread
    return dx

def sew_forward(s, identity):
    """SEW residual: the spikes of the block and those that skipped it are added."""
    return s + identity, None

def sew_backward(dout, cache):
    return dout, dout

# ---- 5. Output and losses ----
def readout_forward(logits):
    """Eq. 8: [T, B, classes] -> [B, classes], the mean over time."""
    return logits.mean(0), len(logits)

def readout_backward(dout, T):
    return np.repeat(dout[None] / T, T, axis=0)

def cross_entropy_forward(logits, labels, label_smoothing=0.0):
    """logits [N, classes], labels [N] -> scalar. Smoothing spreads that share of the target over all classes."""
    shifted = logits - logits.max(1, keepdims=True)
    logp = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    target = np.full(logits.shape, label_smoothing / logits.shape[1])
    target[np.arange(len(labels)), labels] += 1 - label_smoothing
    return -(target * logp).sum(1).mean(), (np.exp(logp), target)

def cross_entropy_backward(dloss, cache):
    p, target = cache
    return dloss * (p - target) / len(p)

def tet_forward(logits, labels, phi=1.0, lam=1e-3, label_smoothing=0.0):
    """TET (Deng et al. 2022): logits [T, B, classes]. The cross-entropy of every timestep, and a pull towards phi."""
    flat = logits.reshape(-1, logits.shape[2])                                     # [T*B, classes]
    ce, cache = cross_entropy_forward(flat, np.tile(labels, len(logits)), label_smoothing)
    return (1 - lam) * ce + lam * ((logits - phi) ** 2).mean(), (cache, logits, phi, lam)

def tet_backward(dloss, cache):
    cache, logits, phi, lam = cache
    dflat = cross_entropy_backward(dloss * (1 - lam), cache)
    return dflat.reshape(logits.shape) + dloss * lam * 2 * (logits - phi) / logits.size

def sgd(weight, gradient, velocity, lr=0.1, momentum=0.9, weight_decay=1e-4):
    """One step -> weight, velocity. The decay is part of the gradient, the first velocity is the first gradient."""
    velocity = momentum * velocity + gradient + weight_decay * weight
    return weight - lr * velocity, velocity

# ---- 6. The lesson ----
def gradient_error(forward, backward, *inputs, rng, eps=1e-6):
    """Largest relative error of each input's gradient against central differences of sum(out * dout), dout random."""
    out, cache = forward(*inputs)
    dout = rng.standard_normal(np.shape(out))
    gradients = backward(dout, cache)
    errors = []
    for i, (x, gradient) in enumerate(zip(inputs, gradients if isinstance(gradients, tuple) else (gradients,))):
        numeric = np.zeros(np.shape(x))
        for place in np.ndindex(np.shape(x)):
            bump = np.zeros(np.shape(x))
            bump[place] = eps
            ends = [forward(*inputs[:i], x + sign * bump, *inputs[i + 1:])[0] for sign in (1, -1)]
            numeric[place] = ((ends[0] - ends[1]) * dout).sum() / (2 * eps)
        errors.append(np.abs(gradient - numeric).max() / np.abs(numeric).max())
    return errors

def train_rings(rng, steps=200, T=3, hidden=48):
    """Three rings around each other, two spiking layers: linear - batch norm - LIF, twice, then linear and readout.
    Yields (step, loss, accuracy of the batch)."""
    sizes, labels = (3, hidden, hidden, 3), np.arange(150) % 3
    weights = [rng.standard_normal((n, m)) * np.sqrt(2 / m) for m, n in zip(sizes, sizes[1:])]
    weights[2] *= 0                                                                # begins by knowing nothing
    norms = [value for _ in range(2) for value in (np.ones(hidden), np.zeros(hidden))]
    parameters, taus = [*weights, *norms], [0.2, 0.2]
    velocities = [0.0 for _ in parameters]
    for step in range(steps):
        angle, radius = rng.uniform(0, 2 * np.pi, 150), labels + 1 + rng.uniform(-0.3, 0.3, 150)
        x = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.ones(150)], 1)    # the last one is the bias
        x, caches = np.tile(x, (T, 1, 1)), []                                      # the same input at every timestep
        for layer in range(2):
            x, linear = linear_forward(x, parameters[layer])                       # [T, B, hidden]
            flat, batchnorm = batchnorm_forward(x.reshape(-1, hidden), *parameters[3 + 2 * layer:5 + 2 * layer])
            x, lif = lif_forward(flat.reshape(x.shape), taus[layer])
            caches.append((linear, batchnorm, lif))
        logits, linear = linear_forward(x, parameters[2])
        mean, readout = readout_forward(logits)
        loss, entropy = cross_entropy_forward(mean, labels)
        yield step, loss, (mean.argmax(1) == labels).mean()

        gradients = [None] * len(parameters)
        dx, gradients[2] = linear_backward(readout_backward(cross_entropy_backward(1.0, entropy), readout), linear)
        for layer in (1, 0):
            linear, batchnorm, lif = caches[layer]
            dx, dtau = lif_backward(dx, lif)
            dflat, *gradients[3 + 2 * layer:5 + 2 * layer] = batchnorm_backward(dx.reshape(-1, hidden), batchnorm)
            dx, gradients[layer] = linear_backward(dflat.reshape(dx.shape), linear)
            taus[layer] = float(np.clip(taus[layer] - 0.1 * dtau, 0.01, 0.99))
        for i, gradient in enumerate(gradients):
            parameters[i], velocities[i] = sgd(parameters[i], gradient, velocities[i])

def lesson():
    rng = np.random.default_rng(0)
    print("Theorem 1. The share of potentials above theta = f_c (mean + std), in closed form and in 100,000 samples")
    for mu, sigma in ((0, 1), (0, 0.1), (0.5, 0.5), (-1, 2), (3, 1)):
        u = mu + sigma * rng.standard_normal(100_000)
        print(f"  U ~ N({mu:4}, {sigma:3}^2) ", *(
            f"  f_c = {f_c}: {firing_probability(f_c, mu, sigma):6.2%} {(u > adaptive_threshold(u, f_c)).mean():6.2%}"
            for f_c in (1.0, 1.2)))
    print("  At f_c = 1 they agree for every distribution; at 1.2 the share depends on mean / std.\n")

    print("Eq. 5. Currents N(0, 1), tau = 0.2: the estimated threshold, and the true one at each timestep")
    spikes, cache = lif_forward(rng.standard_normal((4, 100_000)))
    print(f"  estimated {estimated_threshold(0.2):.4f}   true {cache['theta'].round(4)}   firing {spikes.mean(1).round(4)}")
    average = moving_average(np.ones(4), cache["theta"])
    print(f"Eq. 6. The running threshold, 1 before, after these thresholds once, m = 0.1: {average.round(4)}\n")

    print("Eq. 7. The width on both sides of V_th = 1, kappa = 1")
    thetas = np.array([-9, 0, 0.5, 0.9, 1, 1.1, 1.5, 2, 9])
    print("  theta", *(f"{theta:6.1f}" for theta in thetas), "\n  k    ", *(f"{k:6.3f}" for k in surrogate_width(thetas)), "\n")

    print("Fig. 5. The share of U ~ N(0, sigma^2) with a gradient, theta = sigma: width fixed at 1, and driven by theta")
    for sigma in (0.1, 0.3, 1.0, 2.0, 4.0):
        shares = [gradient_probability(sigma, k, 0, sigma) for k in (1.0, surrogate_width(sigma))]
        print(f"  sigma {sigma:3}   fixed {shares[0]:6.1%}   driven {shares[1]:6.1%}   (k = {surrogate_width(sigma):.3f})")

    print("\nA spiking network learns to tell three rings apart (Eqs. 1-11)")
    for step, loss, accuracy in train_rings(rng):
        if step in (0, 10, 30, 100, 199):
            print(f"  step {step:3}   loss {loss:.3f}   accuracy {accuracy:6.1%}")

    print("\nEqs. 9-11. Each gradient's largest error against finite differences, with the ramp in the step's place")
    x, w, labels = rng.standard_normal((2, 2, 5, 5)), rng.standard_normal((3, 2, 3, 3)), np.array([0, 2, 1, 1])
    current, logits = rng.standard_normal((4, 7)) + 0.5, rng.standard_normal((3, 4, 3))
    frozen = dict(running=np.full(4, 0.8), spike=ramp)                             # thresholds and widths are constants
    checks = [
        ("LIF", "current tau", lambda i, tau: lif_forward(i, tau, **frozen), lif_backward, current, 0.3),
        ("LIF, learned", "current tau theta", lambda i, tau, theta: lif_forward(
            i, tau, theta, threshold="learned", width="fixed", spike=ramp), lif_backward, current, 0.3, 0.9),
        ("linear", "x weight", linear_forward, linear_backward, logits, rng.standard_normal((2, 3))),
        ("convolution", "x weight", conv_forward, conv_backward, x, w),
        ("  of stride 2", "x weight", lambda x, w: conv_forward(x, w, 2), conv_backward, x, w),
        ("batch norm", "x gamma beta", batchnorm_forward, batchnorm_backward, x, np.array([0.5, 2.0]), np.array([0.1, -1.0])),
        ("average pool", "x", pool_forward, pool_backward, x),
        ("SEW sum", "spikes identity", sew_forward, sew_backward, x, x + 1),
        ("readout", "logits", readout_forward, readout_backward, logits),
        ("cross-entropy", "logits", lambda z: cross_entropy_forward(z, labels, 0.1), cross_entropy_backward, logits[0]),
        ("TET", "logits", lambda z: tet_forward(z, labels, 0.5, 0.1, 0.1), tet_backward, logits)]
    for name, inputs, *check in checks:
        errors = gradient_error(*check, rng=rng)
        print(f"  {name:14}", "   ".join(f"{what} {error:.0e}" for what, error in zip(inputs.split(), errors)))

if __name__ == "__main__":
    lesson()
