"""Do others compute the same? The authors' released ResNet-19 beside ours, and a plain LIF beside
spikingjelly's and snntorch's; about a minute on one core.

    pip install -r experiments/requirements.txt
    python experiments/peers.py [--authors DIR] [--seed 0]

DIR holds a checkout of the authors' repository, DIR/DS-ATGO, whose code is imported from there;
without it that part says "not run". Both networks, 128 channels wide as released, start from the
same weights and take two steps of SGD on the same batch, in float64. What is changed in theirs,
while it runs and not on disk, stands on the page. Writes experiments/results/peers.md; exit code 2,
and a line for each, where it does not hold what is expected.
"""

import argparse
import contextlib
import datetime
import importlib
import importlib.metadata
import importlib.util
import pathlib
import subprocess
import sys
import textwrap
from functools import partial
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

from dsatgo import LIF, readout, resnet19  # noqa: E402
from train_cifar import replacing  # noqa: E402

PACKAGES = ("spikingjelly", "snntorch")
BATCH = 8
SIDE = 16
WHEN = ("step 1", "step 2", "evaluation")


def fail(text):
    print(f"{sys.argv[0]}: {text}", file=sys.stderr)
    sys.exit(2)


# ---- 1. The authors' network ----
def import_authors(folder):
    """Their class of the network and their module with the loss. It parses the command line."""
    sys.path.insert(0, str(folder / "DS-ATGO"))
    try:
        with mock.patch.object(sys, "argv", sys.argv[:1]):
            network = importlib.import_module("network_model.ResNet19")
            return network.ResNet19, importlib.import_module("functional")
    except ImportError as error:
        fail(f"--authors {folder}: no checkout DS-ATGO to import from: {error}")


@contextlib.contextmanager
def changed(population, spikes):
    """While their network runs: torch.std divides by n instead of n - 1, if `population`; .float(),
    which they call on the input and on the spikes, keeps the input's float64, and makes the spikes
    of the type `spikes`."""

    def widened(x):
        return x.to(x.dtype if x.is_floating_point() else spikes)

    std = partial(torch.std, correction=0) if population else torch.std
    with mock.patch.object(torch, "std", std), mock.patch.object(torch.Tensor, "float", widened):
        yield


@torch.no_grad()
def copy_weights(ours, theirs):
    """Every layer's parameters, statistics and running thresholds, from theirs to ours in the order
    of the layers. ValueError where two layers hold other things, or of other sizes."""

    def layers(net):
        return [m for m in net.modules() if list(m.parameters(recurse=False))]

    for to, of in zip(layers(ours), layers(theirs), strict=True):
        own, values = (
            dict(m.named_parameters(recurse=False)) | dict(m.named_buffers(recurse=False))
            for m in (to, of)
        )
        if isinstance(to, LIF):  # thresholds are a plain attribute of theirs, other buffers ours
            own = {name: own[name] for name in ("w", "running_threshold")}
            values["running_threshold"] = getattr(of, "running_threshold", torch.empty(0))
        kinds = [{name: x.numel() for name, x in each.items()} for each in (own, values)]
        if kinds[0] != kinds[1]:
            raise ValueError(f"{to} holds {kinds[0]}, {of} holds {kinds[1]}")
        for name, value in values.items():
            own[name].copy_(value.reshape(own[name].shape))


def difference(ours, theirs):
    """Of two lists of tensors: the largest absolute difference, and the largest relative one, each
    tensor's in units of its own largest element. NaN where a value is."""
    found = []
    for x, y in zip(ours, theirs, strict=True):
        off = (x.flatten() - y.flatten()).abs().max()
        found.append(torch.stack([off, off / y.abs().max() if off != 0 else off]))
    return torch.stack(found).amax(0).tolist()


class Side:
    """A network, the name of its neurons' class, its loss, and how [T, B, classes] are got; spikes
    have `time` where ours have it."""

    def __init__(self, net, neuron, loss, forward, time=0):
        self.net = net
        self.loss = loss
        self.forward = forward
        self.fired = []
        recipe = dict(lr=0.1, momentum=0.9, weight_decay=1e-4)
        self.update = torch.optim.SGD(net.parameters(), **recipe)

        def note(module, inputs, spikes):
            self.fired.append(spikes.detach().transpose(0, time) != 0)  # [T, B, ...]

        for module in net.modules():
            if type(module).__name__ == neuron:
                module.register_forward_hook(note)
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.momentum = 1.0  # after two steps of 0.1 evaluation would be silent

    def look(self, x, y):
        """A training step or, in evaluation mode, a forward pass. -> spikes, {figure: tensors}"""
        self.fired.clear()
        with torch.set_grad_enabled(self.net.training):
            logits = self.forward(self.net, x)
        found = dict(logits=[logits.detach()])
        if self.net.training:
            self.update.zero_grad()
            self.loss(readout(logits), y).backward()
            found["gradients"] = [p.grad.clone() for p in self.net.parameters()]
            self.update.step()
            every = [getattr(module, "running_threshold", None) for module in self.net.modules()]
            found["thresholds"] = [
                threshold.clone() for threshold in every if threshold is not None
            ]
            found["first threshold"] = found["thresholds"][:1]
        return list(self.fired), found


def sides(authors, population, spikes):
    """Ours and theirs, with the same weights."""
    network, functional = authors
    theirs = network(T=2, output_size=10).double()  # their leak is made in float32
    ours = resnet19(T=2, neuron=partial(LIF, width="std"))
    copy_weights(ours, theirs)

    def their_logits(net, x):
        functional.reset_net(net)
        with changed(population, spikes):
            return net(x).transpose(0, 1)  # [B, T, classes] -> [T, B, classes]

    loss = partial(F.cross_entropy, label_smoothing=0.1)
    their_loss = functional.CrossEntropyLabelSmooth()
    return (
        Side(ours, "LIF", loss, lambda net, x: net(x)),
        Side(theirs, "SpikingNeuron", their_loss, their_logits, time=1),
    )


def compare_networks(authors, seed, population, spikes):
    """Two steps on the same batch, then evaluation on it. -> {when: {figure: absolute and relative
    difference}}, with "firing", a layer's least and largest rate, and "layers", each one's spikes
    that differ."""
    torch.manual_seed(seed)
    both = sides(authors, population, spikes)
    x = torch.randn(BATCH, 3, SIDE, SIDE)
    y = torch.randint(10, (BATCH,))
    found = {}
    for when in WHEN:
        for side in both:
            side.net.train(when != "evaluation")
        (s, a), (t, b) = (side.look(x, y) for side in both)
        rates = [layer.double().mean().item() for layer in s]
        differ = [(p != q).sum().item() for p, q in zip(s, t, strict=True)]
        found[when] = {name: difference(a[name], b[name]) for name in a}
        found[when]["spikes"] = (sum(differ), sum(differ) / sum(p.numel() for p in s))
        found[when] |= {"firing": (min(rates), max(rates)), "layers": differ}
    return found


FIXED = "deviation over n, spikes in float64"
FLOAT = "deviation over n"
AS_IT_IS = "neither"
RUNS = {  # what is changed in theirs: population, spikes
    FIXED: (True, torch.float64),
    FLOAT: (True, torch.float32),
    AS_IT_IS: (False, torch.float32),
}
ROUNDING = 1e-11  # of float64, through twenty layers
BARS = [  # run, when, figure, its relative difference: at least, at most
    *((FIXED, when, "spikes", 0, 0) for when in WHEN),
    *((FIXED, when, "logits", 0, ROUNDING) for when in WHEN),
    *((FIXED, when, "gradients", 0, ROUNDING) for when in WHEN[:2]),
    *((FIXED, when, "thresholds", 0, ROUNDING) for when in WHEN[:2]),
    (FLOAT, "step 1", "spikes", 0, 0),
    (FLOAT, "step 1", "logits", 0, ROUNDING),
    (FLOAT, "step 1", "gradients", 1e-9, 1e-4),  # float32's: larger than float64's
    (AS_IT_IS, "step 1", "first threshold", 1e-8, 1e-6),  # 0.1 / 2n of n = 262,144: 1.9e-7
    (AS_IT_IS, "step 1", "spikes", 1e-6, 1),  # or the comparison could not see any
]


def judge_networks(found):
    """What is not as expected."""
    missed = []
    for run, when, name, least, most in BARS:
        value = found[run][when][name][1]
        if not least <= value <= most:  # NaN too
            text = f"{value:.1e}, expected {least:.0e} to {most:.0e}"
            missed.append(f"{run}, {when}: {name} differ by {text}")
    for run, moments in found.items():
        for when, figures in moments.items():
            least, most = figures["firing"]
            if not 0 < least <= most < 1:
                missed.append(f"{run}, {when}: a layer is silent or fires everywhere")
    return missed


def cell(name, absolute=None, relative=None):
    if not absolute:
        return "" if absolute is None else "0"
    if name == "spikes":
        return f"{absolute:,} ({relative:.1%})"
    return f"{absolute:.1e} ({relative:.1e})"


def networks_table(found):
    columns = {
        "spikes": "spikes that differ",
        "logits": "logits",
        "gradients": "gradients",
        "thresholds": "running thresholds",
        "first threshold": "the first layer's",
    }
    lines = [f"| changed in theirs | when | {' | '.join(columns.values())} |"]
    lines.append("|---" * (2 + len(columns)) + "|")
    for run, moments in found.items():
        for when, figures in moments.items():
            cells = [cell(name, *figures.get(name, ())) for name in columns]
            lines.append(f"| {run} | {when} | {' | '.join(cells)} |")
    return lines


# ---- 2. Plain neurons ----
def ours(current):
    return LIF(len(current), tau=0.5, threshold="fixed", width="fixed")(current)


def spikingjelly(current):
    from spikingjelly.activation_based.neuron import LIFNode

    return LIFNode(tau=2.0, decay_input=False, v_reset=0.0, step_mode="m")(current)


def snntorch(current, threshold=1.0, reset_delay=True):
    from snntorch import Leaky

    threshold = torch.tensor(threshold, dtype=current.dtype)
    leaky = Leaky(0.5, threshold, reset_mechanism="zero", reset_delay=reset_delay)
    potential = torch.zeros_like(current[0])
    spikes = []
    for i in current:
        spike, potential = leaky(i, potential)
        spikes.append(spike)
    return torch.stack(spikes)


BELOW_1 = 1 - 2**-53  # the largest float64 below 1
PEERS = {
    "spikingjelly `LIFNode`": spikingjelly,
    "snntorch `Leaky`": snntorch,
    "snntorch `Leaky`, `reset_delay=False`": partial(snntorch, reset_delay=False),
    "snntorch `Leaky`, threshold the float below 1": partial(snntorch, threshold=BELOW_1),
}


@torch.no_grad()
def compare_neurons(T=20, n=50_000, seed=0):
    """-> rows: peer, currents, spikes of ours, spikes that differ, whether any are expected to."""
    draw = torch.Generator().manual_seed(seed)
    currents = {
        "normal": torch.randn(T, n, generator=draw, dtype=torch.float64),
        "multiples of 1/4": torch.randint(-4, 8, (T, n), generator=draw, dtype=torch.float64) / 4,
    }
    rows = []
    for kind, current in currents.items():
        fired = ours(current)
        for name, peer in PEERS.items():
            differ = int((peer(current) != fired).sum())
            ties = kind != "normal" and name.startswith("snntorch") and "below" not in name
            rows.append((name, kind, int(fired.sum()), differ, ties))
    return rows


def judge_neurons(rows):
    """What is not as expected."""
    missed = []
    for name, kind, fired, differ, ties in rows:
        if fired == 0 or (differ > 0) != ties:
            expected = "some" if ties else "none"
            missed.append(f"{name}, {kind}: {differ} of {fired} spikes differ, expected {expected}")
    return missed


def neurons_table(rows, T, n):
    lines = [f"| peer | currents | spikes that differ, of {T * n:,} | ours that are 1 |"]
    lines.append("|---|---|---|---|")
    for name, kind, fired, differ, _ in rows:
        lines.append(f"| {name} | {kind} | {differ:,} | {fired:,} |")
    return lines


# ---- both ----
def page(options, networks, neurons):
    """What peers.md says."""
    given = "--authors DIR " if options.authors else ""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES]
    made = f"`python experiments/peers.py {given}--seed {options.seed}`, {datetime.date.today()}, "
    made += f"Python {sys.version.split()[0]}, torch {torch.__version__}, {', '.join(versions)}, "
    made += f"CPU, threads: {torch.get_num_threads()}."
    return "\n".join(
        ["# Peers", "", made, "", "## The authors' released ResNet-19", "", *networks, ""]
        + ["## Plain neurons", "", *neurons, ""]
    )


def wrap(text):
    return textwrap.fill(" ".join(text.split()), 128, break_on_hyphens=False)


def revision(checkout):
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() or "an unknown commit"


def networks_part(options):
    """-> lines of the page, what is not as expected"""
    if not options.authors:
        return ["**Not run**: `--authors` was not given."], []
    authors = import_authors(options.authors)
    found = {}
    for run, settings in RUNS.items():
        print(f"theirs, changed: {run}", file=sys.stderr)
        found[run] = compare_networks(authors, options.seed, *settings)
    rates = [figures["firing"] for moments in found.values() for figures in moments.values()]
    least = min(rate for rate, _ in rates)
    most = max(rate for _, rate in rates)
    commit = revision(options.authors / "DS-ATGO")
    about = f"""\
        DS-ATGO at {commit} beside `resnet19(neuron=partial(LIF, width="std"))`, both 128 channels
        wide, T=2, batch {BATCH} of {SIDE}x{SIDE} normal noise, each with its own loss (smoothed by
        0.1), the recipe's SGD. Weights are copied layer by layer; ours are made in float64, theirs
        converted to it (their leak keeps the value that it was given in float32). Differences are
        the largest absolute and, in brackets, relative ones, each tensor's in units of its own
        largest element. In every row a layer fires between {least:.1%} and {most:.1%}."""
    changes = """\
        In all rows `.float()` of their input is kept from making it float32, and batch norm's
        momentum is 1 in both networks, or evaluation after two steps would be silent. "Deviation
        over n": `torch.std` divides by n, as ours does, instead of n - 1. "Spikes in float64":
        otherwise they are float32, and so are the gradients that pass through them."""
    first = found[AS_IT_IS]["step 1"]
    layers = ", ".join(f"{count:,}" for count in first["layers"])
    raised = 10 * first["first threshold"][0]  # the average of Eq. 6 takes a tenth
    grows = f"""\
        With neither changed, n - 1 moves the first layer's thresholds by up to {raised:.1e} in step
        1, and each layer hands on more to the next. Spikes that then differ, layer by layer:
        {layers}."""
    lines = [wrap(about), "", wrap(changes), "", *networks_table(found), "", wrap(grows)]
    return lines, judge_networks(found)


def neurons_part(options, T=20, n=50_000):
    """-> lines of the page, what is not as expected"""
    rows = compare_neurons(T, n, options.seed)
    about = f"""\
        `LIF({T}, tau=0.5, threshold="fixed", width="fixed")` beside spikingjelly's
        `LIFNode(tau=2.0, decay_input=False, v_reset=0.0, step_mode="m")` and snntorch's
        `Leaky(beta=0.5, reset_mechanism="zero")`, float64, {n:,} neurons, {T} timesteps; gradients
        are not compared, since the surrogates differ. In all of them a neuron that fired at t - 1
        begins t at 0. snntorch sets it there at the beginning of t or, with `reset_delay=False`, at
        the end of t - 1: this changes the potential that it returns, not a spike. It fires above
        the threshold, the others at it too. Sums of multiples of 1/4 are exact and often end on it;
        with the largest float64 below 1 as threshold, which makes the two rules one, no spike
        differs."""
    return [wrap(about), "", *neurons_table(rows, T, n)], judge_neurons(rows)


def main(options):
    for name in PACKAGES:
        if importlib.util.find_spec(name) is None:
            fail(f"{name} is not there: pip install -r experiments/requirements.txt")
    torch.set_default_dtype(torch.float64)
    networks, missed = networks_part(options)
    neurons, more = neurons_part(options)
    text = page(options, networks, neurons)
    print(text)
    with replacing(options.out) as file:
        file.write(text.encode())
    for line in missed + more:
        print(f"not as expected: {line}", file=sys.stderr)
    return 2 if missed + more else 0


if __name__ == "__main__":
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    text = "a folder with a checkout of DS-ATGO"
    parser.add_argument("--authors", type=pathlib.Path, help=text)
    parser.add_argument("--seed", type=int, default=0)
    path = ROOT / "experiments" / "results" / "peers.md"
    parser.add_argument("--out", type=pathlib.Path, default=path)
    sys.exit(main(parser.parse_args()))
