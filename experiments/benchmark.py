"""What does DS-ATGO cost, beside its peers, a plain LIF and the machine itself? About ten minutes
on two cores.

    pip install -r experiments/requirements.txt
    python experiments/benchmark.py [--authors DIR] [--only PART,PART]

DIR holds checkouts of the authors' repositories, DIR/DS-ATGO and DIR/MPD-AGL (for VGGSNN); their
code is imported from there, narrowed where a width is literal, and without it or a peer's package
that row says "not run". Everything that is compared runs interleaved in one process, and a ratio is
the median of the rounds' ratios. Writes experiments/results/benchmark.json and prints the table of
results/benchmark.md. Run it on an otherwise idle machine. With CUDA the same parts run there, in
bfloat16 and with the recipes' widths and batches, and results/benchmark-cuda.json is written.
"""

import argparse
import contextlib
import datetime
import importlib
import importlib.metadata
import json
import math
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import types
from functools import partial

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

import dsatgo  # noqa: E402
from dsatgo import LIF, readout, resnet19, vggsnn  # noqa: E402

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
CUDA = DEVICE.type == "cuda"
# channels and batch of a training step: of the recipe, or what two cores do in a second
RESNET19 = (128, 100) if CUDA else (32, 50)
VGGSNN = (64, 50) if CUDA else (16, 10)
VANILLA = partial(LIF, threshold="fixed", width="fixed")
# glibc: freed memory is kept, as GPU allocators do
REUSE = dict(MALLOC_MMAP_MAX_="0", MALLOC_TRIM_THRESHOLD_=str(2**33))
AUTHORS = None


def autocast():
    return torch.autocast(DEVICE.type, torch.bfloat16, enabled=CUDA)


def seconds(function):
    if CUDA:
        begin = torch.cuda.Event(enable_timing=True)
        end = torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        begin.record()
        function()
        end.record()
        torch.cuda.synchronize()
        return begin.elapsed_time(end) / 1e3
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def interleaved(functions, rounds, warmup=3):
    """{name: seconds of each round}, after warming up."""
    for function in functions.values():
        for _ in range(warmup):
            function()
    times = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            times[name].append(seconds(function))
    return times


def ratio(times, a, b):
    """How many times as long `a` takes as `b`; None where one was not run."""
    if a not in times or b not in times:
        return None
    return statistics.median(x / y for x, y in zip(times[a], times[b]))


def ratios(times, *names):
    """{"a / b": the ratio}, for names such as "a / b"."""
    return {name: ratio(times, *name.split(" / ")) for name in names}


def compiled(function):
    """`function` with compiled neurons; whatever runs beside it stays eager."""

    def call():
        dsatgo.compiled.update(GRAPHS)  # compile_neurons would take milliseconds of what is timed
        function()
        dsatgo.compiled.clear()

    return call


def author(repository, module):
    """A module of the authors' code, or None. It parses the command line when imported."""
    if AUTHORS is None:
        return None
    sys.path.insert(0, str(AUTHORS / repository))
    sys.argv = [sys.argv[0]]
    return importlib.import_module(module)


def narrowed(repository, path, *replacements):
    """The authors' module with other literals in its source."""
    source = (AUTHORS / repository / path).read_text()
    for old, new in replacements:
        assert old in source, f"{path} of {repository} has no {old}"
        source = source.replace(old, new)
    module = types.ModuleType("narrowed")
    exec(compile(source, path, "exec"), module.__dict__)
    return module


def recorded(function):
    """`function`, which must not ask the host, as one CUDA graph: what the card does, alone."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            function()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    graph.reads = function  # its tensors must outlive this
    with torch.cuda.graph(graph, stream=stream):
        function()
    return graph.replay


def optimizer(net):
    return torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)


def channels_last(x):
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


def channels_last_net(net):
    return net.to(DEVICE, memory_format=torch.channels_last)


def pictures(batch=50):
    x = torch.randn(batch, 3, 32, 32, device=DEVICE)
    return channels_last(x), torch.randint(10, (batch,), device=DEVICE)


def step_of(net, x, y, logits=lambda net, x: readout(net(x)), before=lambda: None):
    """One training step as a function."""
    net = net.to(DEVICE)
    update = optimizer(net)

    def step():
        before()
        update.zero_grad()
        with autocast():
            out = logits(net, x)
        F.cross_entropy(out.float(), y, label_smoothing=0.1).backward()
        update.step()

    return step


def convolutions_of(net, x):
    """Forward and backward of the network's convolutions and linear layers alone, on what they get
    in the network."""
    calls = []

    def note(module, inputs, output):
        calls.append((module, inputs[0].detach().clone(), torch.randn_like(output)))

    hooks = [
        module.register_forward_hook(note)
        for module in net.modules()
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear))
    ]
    with autocast():
        net(x)
    for hook in hooks:
        hook.remove()

    def run():
        for n, (module, given, grad) in enumerate(calls):
            given.requires_grad_(n > 0)  # pictures need no gradient
            given.grad = None
            module.weight.grad = None
            with autocast():
                out = module(given)
            out.backward(grad)

    return run


def flops_of(net, x):
    """Floating-point operations of a training step: a forward pass and two of the size in the
    backward pass."""
    still = x.dim() == 4
    T, *_ = net.input.takes
    per_picture = dsatgo.energy(net, x[:2] if still else x[:, :2])["mac_ann"] * T
    return 6 * per_picture * x.shape[0 if still else 1]


def matmul_rate(side=8192 if CUDA else 2048):
    dtype = torch.bfloat16 if CUDA else torch.float32
    a = torch.randn(side, side, device=DEVICE, dtype=dtype)
    return 2 * side**3 / statistics.median(interleaved(dict(matmul=lambda: a @ a), 9)["matmul"])


# ---- parts, each run in a process of its own: a dict of figures ----
def neuron(T=4, shape=(64 if CUDA else 16, 128, 32, 32), rounds=21):
    """Forward and backward of one layer of neurons, and copying its input. On a GPU also recorded
    (the authors' code asks the host, and cannot be)."""
    x = torch.randn(T, *shape, device=DEVICE)
    grad = torch.rand(T, *shape, device=DEVICE)
    copy = torch.empty_like(x)

    def run(layer, before=lambda: None):
        def call():
            before()
            for p in layer.parameters():
                p.grad = None
            layer(x.detach().requires_grad_()).backward(grad)

        return call

    functions = {}
    functions["copy"] = lambda: copy.copy_(x)
    functions["eager"] = run(LIF(T).to(DEVICE))
    functions["compiled"] = compiled(run(LIF(T).to(DEVICE)))
    functions["vanilla"] = compiled(run(VANILLA(T).to(DEVICE)))
    if authors := authors_neuron(T, x, grad):
        functions["authors"] = authors
    with contextlib.suppress(ImportError):
        from spikingjelly.activation_based import neuron as jelly

        plain = jelly.ParametricLIFNode(init_tau=5.0, step_mode="m").to(DEVICE)
        functions["spikingjelly"] = run(plain, plain.reset)
    with contextlib.suppress(ImportError):
        functions["snntorch"] = snntorch_neuron(T, x, grad)
    peers = ("authors", "spikingjelly", "snntorch")
    names = [f"{name} / {ours}" for ours in ("compiled", "eager") for name in peers]
    found = {}
    for suffix in ("", ", recorded")[: 1 + CUDA]:
        if suffix:
            functions.pop("authors", None)
            functions = {name: recorded(function) for name, function in functions.items()}
        times = interleaved(functions, rounds)
        for name, value in ratios(times, *names, "compiled / vanilla").items():
            found[name + suffix] = value
        passes = ratio(times, "compiled", "copy") / 3.5  # a copy is two passes
        found[f"compiled / seven passes{suffix}"] = passes
    return found | {"copy GB/s": 2 * x.numel() * 4 / statistics.median(times["copy"]) / 1e9}


def authors_neuron(T, x, grad):
    layers = author("DS-ATGO", "network_model.layers")
    if not layers:
        return None
    importlib.import_module("neuron").T = T
    theirs = layers.SpikingNeuron().to(DEVICE)
    x = x.transpose(0, 1).contiguous()
    grad = grad.transpose(0, 1).contiguous()

    def call():
        theirs.neuron.neuron_reset()
        theirs.neuron.w.grad = None
        theirs(x.detach().requires_grad_()).backward(grad)

    return call


def snntorch_neuron(T, x, grad):
    import snntorch

    leaky = snntorch.Leaky(beta=0.2, learn_beta=True, reset_mechanism="zero").to(DEVICE)

    def call():
        current = x.detach().requires_grad_()
        potential = leaky.reset_mem()
        spikes = []
        for t in range(T):
            spike, potential = leaky(current[t], potential)
            spikes.append(spike)
        torch.stack(spikes).backward(grad)

    return call


def rewrite(commit="006b0ba", shape=(2, 100, 64, 32, 32), rounds=21):
    """Forward and backward of a compiled layer of neurons, before and after `lif_forward` and
    `lif_backward` were written for what torch.compile makes of them."""
    command = ["git", "-C", str(ROOT), "show", f"{commit}:dsatgo.py"]
    old = types.ModuleType("old")
    sys.modules["old"] = old
    source = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    exec(compile(source, "dsatgo.py", "exec"), old.__dict__)
    dsatgo.compile_neurons()
    old.compile_neurons()
    found = {}
    for dtype in (torch.bfloat16, torch.float32):
        x = torch.randn(shape, device=DEVICE).to(dtype)

        def run(layer, x):
            layer(x.detach().requires_grad_()).backward(x)

        layers = dict(before=old.LIF(len(x)).to(DEVICE), now=LIF(len(x)).to(DEVICE))
        functions = {name: partial(run, layer, x) for name, layer in layers.items()}
        times = interleaved(functions, rounds)
        name = str(dtype).removeprefix("torch.")
        found[f"{name}, before / now"] = ratio(times, "before", "now")
        spikes = layers["now"](x)
        dsatgo.compile_neurons(False)
        differ = (spikes != layers["now"](x)).float().mean().item()
        found[f"{name}, share of spikes other than eager ones"] = differ
        dsatgo.compile_neurons()
    return found


def training(make, x, y, authors_step, rounds=12):
    net = channels_last_net(make())
    plain = channels_last_net(make(neuron=VANILLA))
    functions = dict(
        convolutions=convolutions_of(net, x),
        eager=step_of(channels_last_net(make()), x, y),
        compiled=compiled(step_of(net, x, y)),
        vanilla=compiled(step_of(plain, x, y)),
    )
    if authors_step:
        functions["authors"] = authors_step
    times = interleaved(functions, rounds)
    rate = flops_of(net, x) / statistics.median(times["compiled"])
    names = ("authors / compiled", "authors / eager", "compiled / convolutions")
    return ratios(times, *names) | {
        "AT+TGO / vanilla": ratio(times, "compiled", "vanilla"),
        "share of the matmul rate": rate / matmul_rate(),
    }


def their_resnet19():
    if not author("DS-ATGO", "network_model.layers"):
        return None, None
    channels, _ = RESNET19
    module = narrowed(
        "DS-ATGO",
        "network_model/ResNet19.py",
        ("[128, 256, 512]", str([channels, 2 * channels, 4 * channels])),
        ("self.inplanes = 128", f"self.inplanes = {channels}"),
    )
    net = module.ResNet19(2, 10).to(DEVICE)
    return net, partial(importlib.import_module("functional").reset_net, net)


def training_resnet19(rounds=12):
    """A training step of ResNet-19, T=2, 32 channels and batch 50 (CUDA: 128, 100)."""
    channels, batch = RESNET19
    x, y = pictures(batch)
    net, reset = their_resnet19()
    theirs = net and step_of(net, x.contiguous(), y, lambda net, x: net(x).mean(1), reset)
    return training(partial(resnet19, channels=channels), x, y, theirs, rounds)


def training_vggsnn(T=10, rounds=12):
    """A training step of VGGSNN, T=10, 48x48, 16 channels and batch 10 (CUDA: 64, 50)."""
    channels, batch = VGGSNN
    x = torch.rand(T, batch, 2, 48, 48, device=DEVICE)
    y = torch.randint(10, (batch,), device=DEVICE)
    theirs = None
    if author("MPD-AGL", "models.layers"):
        widths = str([c * channels for c in (2, 4, 8)])
        module = narrowed("MPD-AGL", "models/VGGSNN.py", ("[128, 256, 512]", widths))
        net = module.VGGSNN(encode_channels=channels)
        theirs = step_of(net, x.transpose(0, 1).contiguous(), y, lambda net, x: net(x).mean(1))
    return training(partial(vggsnn, T=T, channels=channels), x, y, theirs, rounds)


def graphed(rounds=12):
    """A step of the Trainer and the same one recorded (graphed.py), ResNet-19, T=2, batch 100."""
    from graphed import Graphed

    if not CUDA:
        return {}
    dsatgo.compile_neurons()
    found = {}
    for channels in (16, RESNET19[0]):
        x, y = pictures(100)
        make = partial(resnet19, channels=channels)
        more = dict(epochs=1, amp="bf16")
        functions = {
            "plain": partial(dsatgo.Trainer(channels_last_net(make()), **more).step, x, y),
            "recorded": partial(Graphed(channels_last_net(make()), **more).step, x, y),
            "convolutions": recorded(convolutions_of(channels_last_net(make()), x)),
        }
        times = interleaved(functions, rounds, warmup=5)
        for name in ("plain / recorded", "recorded / convolutions"):
            found[f"{name}, {channels} channels"] = ratio(times, *name.split(" / "))
        rate = flops_of(make().to(DEVICE), x) / statistics.median(times["recorded"])
        found[f"share of the matmul rate, {channels} channels"] = rate / matmul_rate()
    return found


def inference(rounds=21):
    """Inference of ResNet-19, T=2, 32 channels and batch 50 (CUDA: 128, 100); agreement of the
    folded network, trained on drawn pictures."""
    channels, batch = RESNET19
    x, _ = pictures(batch)
    net = channels_last_net(resnet19(channels=channels))
    plain = channels_last_net(resnet19(channels=channels, neuron=VANILLA))
    for each in net, plain:
        dsatgo.calibrate(each, [x])
    functions = {
        "AT+TGO": compiled(partial(net.eval(), x)),
        "vanilla": compiled(partial(plain.eval(), x)),
        "folded": compiled(partial(dsatgo.for_inference(net), x)),
    }
    theirs, reset = their_resnet19()
    if theirs:
        theirs.eval()
        functions["authors"] = lambda: (reset(), theirs(x))
    with torch.no_grad(), autocast():
        times = interleaved(functions, rounds)
    names = ("AT+TGO / vanilla", "authors / folded", "authors / AT+TGO", "AT+TGO / folded")
    return ratios(times, *names) | same()


def same(batch=25, n=4000):
    """Which share of 2,000 drawn pictures keeps its class when a trained network is folded; on CUDA
    as PyTorch comes, which rounds convolutions to TF32, and without."""
    from train_cifar import draw_shapes

    torch.manual_seed(0)
    x, y = draw_shapes(n + 2000, 0)
    x = channels_last(x.float().to(DEVICE) / 128 - 1)
    y = y.to(DEVICE)
    net = channels_last_net(resnet19(channels=8))
    update = optimizer(net)
    for i in range(0, n, batch):
        update.zero_grad()
        F.cross_entropy(readout(net(x[i : i + batch])), y[i : i + batch]).backward()
        update.step()
    nets = net.eval(), dsatgo.for_inference(net)
    found = {}
    for name in ("", ", without TF32") if CUDA else ("",):
        torch.backends.cudnn.allow_tf32 = not name
        with torch.no_grad():
            plain, folded = (
                torch.cat([readout(each(part)).argmax(1) for part in x[n:].split(100)])
                for each in nets
            )
        if not name:
            found["accuracy of the trained network"] = (plain == y[n:]).double().mean().item()
        share = (plain == folded).double().mean().item()
        found[f"share of pictures with the same class{name}"] = share
    return found


def kept(net, x, forward=lambda net, x: net(x)):
    """Bytes that a forward pass keeps for the backward pass, each storage once, parameters and
    input apart."""
    storages = {}
    known = {t.untyped_storage().data_ptr() for t in (x, *net.parameters())}

    def pack(tensor):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage  # held, so that no address comes twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), autocast():
        out = forward(net, x)
    del out
    return sum(storage.nbytes() for address, storage in storages.items() if address not in known)


def memory(rounds=12):
    """What ResNet-19, T=2, 32 channels and batch 50 (CUDA: 128, 100) keeps for the backward pass,
    in MiB, and what recomputing costs."""
    channels, batch = RESNET19
    x, y = pictures(batch)
    net, again = (channels_last_net(resnet19(channels=channels)) for _ in range(2))
    dsatgo.recompute(again)
    functions = dict(plain=compiled(step_of(net, x, y)), recompute=compiled(step_of(again, x, y)))
    times = interleaved(functions, rounds)
    result = {
        "MiB": kept(net, x) / 2**20,
        "MiB, recompute": kept(again, x) / 2**20,
        "step, recompute / plain": ratio(times, "recompute", "plain"),
    }
    theirs, reset = their_resnet19()
    if theirs:
        reset()
        result["ours / authors"] = kept(net, x) / kept(theirs, x.contiguous())
    return result | {"recompute / ours": result["MiB, recompute"] / result["MiB"]}


def exponent(sizes, values):
    """The slope of log(value) against log(size): 1 where the cost is proportional."""
    logs = ([math.log(number) for number in numbers] for numbers in (sizes, values))
    slope, _ = statistics.linear_regression(*logs)
    return slope


def growth(T=(1, 2, 4, 8, 16), batch=(16, 32, 64, 128, 256), rounds=5):
    """How a training step's time and memory grow with T and with the batch (ResNet-19, 16
    channels): exponents."""
    result = {}
    sizes = {"T": [(n, 16) for n in T], "batch": [(2, n) for n in batch]}
    for name, values in dict(T=T, batch=batch).items():
        steps = {}
        memories = []
        for value, (timesteps, samples) in zip(values, sizes[name]):
            x, y = pictures(samples)
            net = channels_last_net(resnet19(channels=16, T=timesteps))
            steps[value] = compiled(step_of(net, x, y))
            memories.append(kept(net, x))
        times = interleaved(steps, rounds)
        medians = [statistics.median(times[value]) for value in values]
        result[f"time against {name}"] = exponent(values, medians)
        result[f"memory against {name}"] = exponent(values, memories)
    return result


def syncs():
    """How often a step of the Trainer waits for the device: reads of a value by the host, traced on
    any device."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Trace(TorchDispatchMode):
        reads = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            name = function._schema.name.split("::")[1]
            reading = ("_local_scalar_dense", "item", "nonzero", "is_nonzero", "equal")
            self.reads += name in reading
            return function(*args, **(kwargs or {}))

    trainer = dsatgo.Trainer(channels_last_net(resnet19(channels=4)), epochs=1)
    batch = pictures(4)
    trainer.step(*batch)
    with Trace() as trace:
        torch.ones(1).item()  # the trace must see one, or it sees nothing
        trainer.step(*batch)
    return {"host reads in a step": trace.reads - 1}


def pipeline(n=4000):
    """Pictures a second out of the data set with the full recipe, 32x32: one process, workers, and
    crop and flip alone."""
    from torchvision import transforms

    from train_cifar import Pictures, draw_shapes

    x, y = draw_shapes(n, 0)
    facts = dict(mean=[0.5] * 3, std=[0.25] * 3, classes=list(range(10)))
    policy = transforms.AutoAugment(transforms.AutoAugmentPolicy.CIFAR10)
    recipe = Pictures(x, y, facts, policy)
    batches = [(part, 0, 0) for part in torch.randperm(n).split(100)]

    def read(data, workers=0):
        loader = torch.utils.data.DataLoader(
            data, sampler=batches, batch_size=None, num_workers=workers
        )
        for _ in loader:
            pass

    functions = dict(
        alone=partial(read, recipe),
        workers=partial(read, recipe, os.cpu_count()),
        plain=partial(read, Pictures(x, y, facts, None)),
    )
    times = interleaved(functions, 3, warmup=1)
    rate = {name: n / statistics.median(each) for name, each in times.items()}
    return {
        "pictures/s, one process": rate["alone"],
        "pictures/s, a worker on each core": rate["workers"],
        "pictures/s, one process without AutoAugment": rate["plain"],
    }


def checkpoints(rounds=9):
    """What the end of an epoch of five seconds writes: best.pt each time, last.pt once a minute;
    the network of the recipe."""
    import train_cifar

    config = train_cifar.Settings()
    trainer = dsatgo.Trainer(channels_last_net(resnet19()), epochs=400)
    trainer.step(*pictures(2))
    with tempfile.TemporaryDirectory(dir=".") as folder:
        config.out = folder
        run = train_cifar.Run(config, trainer, None, dict(classes=[]), rank=0, world=1)

        def write(improved, due):
            run.saved = time.monotonic()
            run.save(run.state(), improved, due)

        functions = dict(best=partial(write, True, False), last=partial(write, False, True))
        times = interleaved(functions, rounds)
    best, last = (statistics.median(times[name]) for name in ("best", "last"))
    return {"share of a 5 s epoch": (best + last * 5 / 60) / 5}


def compile_seconds():
    """In a process of its own: the first two steps of ResNet-19, 32 channels, over the time of two
    later ones; graphs."""
    dsatgo.compile_neurons()
    x, y = pictures()
    step = step_of(channels_last_net(resnet19(channels=32)), x, y)
    first = seconds(step) + seconds(step)
    from torch._dynamo.utils import counters

    later = seconds(step) + seconds(step)
    print(json.dumps(dict(seconds=first - later, graphs=counters["stats"]["unique_graphs"])))


def first_step():
    """Seconds that compiling adds to a run of ResNet-19, with an empty and with a filled cache on
    disk, and how many graphs."""
    with tempfile.TemporaryDirectory() as folder:
        cold, warm = (child("compile_seconds", TORCHINDUCTOR_CACHE_DIR=folder) for _ in range(2))
    return {
        "s, empty cache": cold["seconds"],
        "s, filled cache": warm["seconds"],
        "graphs": warm["graphs"],
    }


# ---- all of them ----
PARTS = dict(
    neuron=neuron,
    rewrite=rewrite,
    resnet19=training_resnet19,
    vggsnn=training_vggsnn,
    graphed=graphed,
    inference=inference,
    memory=memory,
    growth=growth,
    syncs=syncs,
    pipeline=pipeline,
    checkpoints=checkpoints,
    first_step=first_step,
)
NEURON = (  # figure, bar: (at least, at most)
    ("authors / compiled", 8, None),
    ("spikingjelly / compiled", 5, None),
    ("snntorch / compiled", None, None),
    ("compiled / seven passes", None, 2),
    ("authors / eager", 1.5, None),
)
STEP = (
    ("authors / compiled", 1.6, None),
    ("authors / eager", None, None),
    ("compiled / convolutions", None, 1.25),
    ("AT+TGO / vanilla", None, 1.03),
    ("share of the matmul rate", None, None),
)
BARS = [  # part, figure, bar
    *(("neuron, memory reused", *bar) for bar in NEURON),
    *(("neuron", *bar) for bar in NEURON),
    ("rewrite", "bfloat16, before / now", 1.3, None),
    ("rewrite", "float32, before / now", 1, None),
    ("rewrite", "bfloat16, share of spikes other than eager ones", None, 1e-4),
    ("rewrite", "float32, share of spikes other than eager ones", None, 1e-4),
    *(("resnet19", *bar) for bar in STEP),
    *(("vggsnn", *bar) for bar in STEP),
    ("inference", "AT+TGO / vanilla", 0.98, 1.02),
    ("inference", "authors / folded", 2, None),
    ("inference", "authors / AT+TGO", None, None),
    ("inference", "share of pictures with the same class", 0.999, None),
    ("memory", "ours / authors", None, 0.5),
    ("memory", "recompute / ours", None, 0.5),
    ("memory", "step, recompute / plain", None, 1.35),
    ("growth", "time against T", None, 1.05),
    ("growth", "time against batch", None, 1.05),
    ("growth", "memory against T", None, 1.05),
    ("growth", "memory against batch", None, 1.05),
    ("syncs", "host reads in a step", None, 0),
    ("checkpoints", "share of a 5 s epoch", None, 0.05),
    ("first_step", "s, filled cache", None, 5),
    ("first_step", "s, empty cache", None, None),
    ("first_step", "graphs", None, None),
    ("pipeline", "pictures/s, one process", None, None),
    ("pipeline", "pictures/s, a worker on each core", None, None),
    ("pipeline", "pictures/s, one process without AutoAugment", None, None),
]


def child(part, **environment):
    """A part's figures, from a process of its own."""
    command = [sys.executable, __file__, "--part", part]
    if AUTHORS:
        command += ["--authors", str(AUTHORS)]
    environment = os.environ | environment
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def bar_text(least, most):
    if least is not None and most is not None:
        return f"{least:g} to {most:g}"
    if least is not None:
        return f">= {least:g}"
    return "" if most is None else f"<= {most:g}"


def value_text(value, least, most):
    if value is None:
        return "not run"
    missed = least is not None and value < least or most is not None and value > most
    text = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return text + " (missed)" * missed


def table(results):
    """The rows of results/benchmark.md."""
    lines = ["| part | figure | measured | bar |", "|---|---|---|---|"]
    for part, name, least, most in BARS:
        measured = value_text(results.get(part, {}).get(name), least, most)
        lines.append(f"| {part} | {name} | {measured} | {bar_text(least, most)} |")
    return "\n".join(lines)


def main(only):
    path = ROOT / "experiments" / "results" / f"benchmark{'-cuda' * CUDA}.json"
    stored = json.loads(path.read_text()) if path.exists() and only != set(PARTS) else {}
    results = stored.get("results", {})
    for part in [part for part in PARTS if part in only]:
        print(f"{part}: {PARTS[part].__doc__}", file=sys.stderr)
        results[part] = child(part)
        if part == "neuron" and DEVICE.type == "cpu":
            results["neuron, memory reused"] = child(part, **REUSE)
    result = dict(
        date=str(datetime.date.today()),
        python=platform.python_version(),
        torch=torch.__version__,
        machine=platform.machine(),
        threads=torch.get_num_threads(),
        device=DEVICE.type,
        card=torch.cuda.get_device_name() if CUDA else None,
        spikingjelly=version("spikingjelly"),
        snntorch=version("snntorch"),
        results=results,
    )
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(table(results))


def parse():
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    text = "a folder with checkouts of DS-ATGO and MPD-AGL"
    parser.add_argument("--authors", type=pathlib.Path, help=text)
    text = "these parts alone; the rest stays as stored"
    parser.add_argument("--only", default=",".join(PARTS), help=text)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.only = set(options.only.split(","))
    options.authors = options.authors and options.authors.resolve()
    if unknown := options.only - set(PARTS):
        names = ", ".join(sorted(unknown))
        parser.error(f"--only: no part is called {names}; there are {', '.join(PARTS)}")
    if options.authors and not (options.authors / "DS-ATGO" / "neuron.py").exists():
        parser.error(f"--authors {options.authors}: has no checkout DS-ATGO")
    return options


if __name__ == "__main__":
    options = parse()
    AUTHORS = options.authors
    if options.part:
        dsatgo.compile_neurons()
        GRAPHS = dict(dsatgo.compiled)
        dsatgo.compile_neurons(False)
        parts = PARTS | dict(compile_seconds=compile_seconds)
        figures = parts[options.part]()
        if figures is not None:
            print(json.dumps(figures))
    else:
        main(options.only)
