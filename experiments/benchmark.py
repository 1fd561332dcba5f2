"""What does DS-ATGO cost, beside its peers, a plain LIF and the machine itself? About ten minutes on two cores.

    pip install -r experiments/requirements.txt
    python experiments/benchmark.py [--authors DIR] [--only PART,PART]

DIR holds checkouts of the authors' repositories, DIR/DS-ATGO and DIR/MPD-AGL (for VGGSNN); their code is imported from there,
narrowed where a width is literal, and without it or a peer's package that row says "not run". Everything that is compared runs
interleaved in one process, and a ratio is the median of the rounds' ratios. Writes experiments/results/benchmark.json and
prints the README's table. Run it on an otherwise idle machine; with CUDA the same parts run there, in bfloat16.
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
VANILLA = partial(LIF, threshold="fixed", width="fixed")
REUSE = dict(MALLOC_MMAP_MAX_="0", MALLOC_TRIM_THRESHOLD_=str(2**33))      # glibc: freed memory is kept, as GPU allocators do
AUTHORS = None


def autocast():
    return torch.autocast(DEVICE.type, torch.bfloat16, enabled=DEVICE.type == "cuda")


def seconds(function):
    if DEVICE.type == "cuda":
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
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
    return statistics.median(x / y for x, y in zip(times[a], times[b])) if a in times and b in times else None


def compiled(function):
    """`function` with compiled neurons; whatever runs beside it stays eager."""
    def call():
        dsatgo.compile_neurons()
        dsatgo._compiled.update(GRAPHS)
        function()
        dsatgo.compile_neurons(False)
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


def optimizer(net):
    return torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)


def channels_last(x):
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


def step_of(net, x, y, logits=lambda net, x: readout(net(x)), before=lambda: None):
    """One training step as a function."""
    net, update = net.to(DEVICE), optimizer(net)

    def step():
        before()
        update.zero_grad()
        with autocast():
            out = logits(net, x)
        F.cross_entropy(out.float(), y, label_smoothing=0.1).backward()
        update.step()
    return step


def convolutions_of(net, x):
    """Forward and backward of the network's convolutions and linear layers alone, on what they get in the network."""
    calls = []
    hooks = [m.register_forward_hook(lambda m, i, o: calls.append((m, i[0].detach().clone(), torch.randn_like(o))))
             for m in net.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    with autocast():
        net(x)
    for hook in hooks:
        hook.remove()

    def run():
        for n, (module, given, grad) in enumerate(calls):
            given.requires_grad_(n > 0).grad = module.weight.grad = None      # pictures need no gradient
            with autocast():
                out = module(given)
            out.backward(grad)
    return run


def flops_of(net, x):
    """Floating-point operations of a training step: a forward pass and two of the size in the backward pass."""
    per_picture = dsatgo.energy(net, x[:2] if x.dim() == 4 else x[:, :2])["mac_ann"] * net.T
    return 6 * per_picture * x.shape[0 if x.dim() == 4 else 1]


def matmul_rate(side=2048):
    a = torch.randn(side, side, device=DEVICE, dtype=torch.bfloat16 if DEVICE.type == "cuda" else torch.float32)
    return 2 * side**3 / statistics.median(interleaved(dict(matmul=lambda: a @ a), 9)["matmul"])


# ---- parts, each run in a process of its own: a dict of figures ----
def neuron(T=4, shape=(16, 128, 32, 32)):
    """Forward and backward of one layer of neurons, and copying its input."""
    x, grad = torch.randn(T, *shape, device=DEVICE), torch.rand(T, *shape, device=DEVICE)
    copy, functions = torch.empty_like(x), {}

    def run(layer, before=lambda: None):
        def call():
            before()
            for p in layer.parameters():
                p.grad = None
            layer(x.detach().requires_grad_()).backward(grad)
        return call

    functions["copy"] = lambda: copy.copy_(x)
    functions["eager"] = run(LIF(T).to(DEVICE))
    functions["compiled"] = compiled(run(LIF(T).to(DEVICE)))
    functions["vanilla"] = compiled(run(VANILLA(T).to(DEVICE)))
    if layers := author("DS-ATGO", "network_model.layers"):
        importlib.import_module("neuron").T = T
        theirs, xb, gb = layers.SpikingNeuron().to(DEVICE), x.transpose(0, 1).contiguous(), grad.transpose(0, 1).contiguous()

        def authors():
            theirs.neuron.neuron_reset()
            theirs.neuron.w.grad = None
            theirs(xb.detach().requires_grad_()).backward(gb)
        functions["authors"] = authors
    with contextlib.suppress(ImportError):
        from spikingjelly.activation_based import neuron as jelly
        plain = jelly.ParametricLIFNode(init_tau=5.0, step_mode="m").to(DEVICE)
        functions["spikingjelly"] = run(plain, plain.reset)
    with contextlib.suppress(ImportError):
        import snntorch
        leaky = snntorch.Leaky(beta=0.2, learn_beta=True, reset_mechanism="zero").to(DEVICE)

        def snn():
            current, potential, spikes = x.detach().requires_grad_(), leaky.reset_mem(), []
            for t in range(T):
                spike, potential = leaky(current[t], potential)
                spikes.append(spike)
            torch.stack(spikes).backward(grad)
        functions["snntorch"] = snn
    times = interleaved(functions, 21)
    return {f"{name} / {ours}": ratio(times, name, ours) for ours in ("compiled", "eager")
            for name in ("authors", "spikingjelly", "snntorch")} | {
        "compiled / vanilla": ratio(times, "compiled", "vanilla"),
        "compiled / seven passes": ratio(times, "compiled", "copy") / 3.5,        # a copy is two passes
        "copy GB/s": 2 * x.numel() * 4 / statistics.median(times["copy"]) / 1e9}


def training(make, x, y, authors_step, rounds=12):
    net = channels_last_net(make())
    functions = dict(convolutions=convolutions_of(net, x), eager=step_of(channels_last_net(make()), x, y),
                     compiled=compiled(step_of(net, x, y)),
                     vanilla=compiled(step_of(channels_last_net(make(neuron=VANILLA)), x, y)))
    if authors_step:
        functions["authors"] = authors_step
    times = interleaved(functions, rounds)
    rate = flops_of(net, x) / statistics.median(times["compiled"])
    return {"authors / compiled": ratio(times, "authors", "compiled"), "authors / eager": ratio(times, "authors", "eager"),
            "compiled / convolutions": ratio(times, "compiled", "convolutions"),
            "AT+TGO / vanilla": ratio(times, "compiled", "vanilla"), "share of the matmul rate": rate / matmul_rate()}


def channels_last_net(net):
    return net.to(DEVICE, memory_format=torch.channels_last)


def pictures(batch=50):
    return channels_last(torch.randn(batch, 3, 32, 32, device=DEVICE)), torch.randint(10, (batch,), device=DEVICE)


def their_resnet19():
    if not author("DS-ATGO", "network_model.layers"):
        return None, None
    module = narrowed("DS-ATGO", "network_model/ResNet19.py", ("[128, 256, 512]", "[32, 64, 128]"),
                      ("self.inplanes = 128", "self.inplanes = 32"))
    net = module.ResNet19(2, 10).to(DEVICE)
    return net, partial(importlib.import_module("functional").reset_net, net)


def training_resnet19():
    """A training step of ResNet-19, 32 channels, T=2, batch 50."""
    x, y = pictures()
    net, reset = their_resnet19()
    theirs = net and step_of(net, x.contiguous(), y, lambda net, x: net(x).mean(1), reset)
    return training(partial(resnet19, channels=32), x, y, theirs)


def training_vggsnn(T=10, batch=10, channels=16):
    """A training step of VGGSNN, 16 channels, T=10, 48x48, batch 10."""
    x, y = torch.rand(T, batch, 2, 48, 48, device=DEVICE), torch.randint(10, (batch,), device=DEVICE)
    theirs = None
    if author("MPD-AGL", "models.layers"):
        module = narrowed("MPD-AGL", "models/VGGSNN.py", ("[128, 256, 512]", str([c * channels for c in (2, 4, 8)])))
        net = module.VGGSNN(encode_channels=channels)
        theirs = step_of(net, x.transpose(0, 1).contiguous(), y, lambda net, x: net(x).mean(1))
    return training(partial(vggsnn, channels=channels), x, y, theirs)


def inference():
    """Inference of ResNet-19, 32 channels, T=2, batch 50; agreement of the folded network, trained on drawn pictures."""
    x, _ = pictures()
    net, plain = (channels_last_net(resnet19(channels=32, neuron=neuron)) for neuron in (LIF, VANILLA))
    for each in net, plain:
        dsatgo.calibrate(each, [x])
    functions = {"AT+TGO": compiled(partial(net.eval(), x)), "vanilla": compiled(partial(plain.eval(), x)),
                 "folded": compiled(partial(dsatgo.for_inference(net), x))}
    theirs, reset = their_resnet19()
    if theirs:
        theirs.eval()
        functions["authors"] = lambda: (reset(), theirs(x))
    with torch.no_grad(), autocast():
        times = interleaved(functions, 21)
    return {"AT+TGO / vanilla": ratio(times, "AT+TGO", "vanilla"), "authors / folded": ratio(times, "authors", "folded"),
            "authors / AT+TGO": ratio(times, "authors", "AT+TGO"), "AT+TGO / folded": ratio(times, "AT+TGO", "folded")} | same()


def same(batch=25):
    """Which share of 2,000 drawn pictures keeps its class when a trained network is folded."""
    from train_cifar import draw_shapes
    torch.manual_seed(0)
    x, y = draw_shapes(6000, 0)
    x, y, net = channels_last(x.float().to(DEVICE) / 128 - 1), y.to(DEVICE), channels_last_net(resnet19(channels=8))
    update = optimizer(net)
    for i in range(0, 4000, batch):
        update.zero_grad()
        F.cross_entropy(readout(net(x[i:i + batch])), y[i:i + batch]).backward()
        update.step()
    with torch.no_grad():
        plain, folded = (torch.cat([readout(each(part)).argmax(1) for part in x[4000:].split(100)])
                         for each in (net.eval(), dsatgo.for_inference(net)))
    return {"accuracy of the trained network": (plain == y[4000:]).double().mean().item(),
            "share of pictures with the same class": (plain == folded).double().mean().item()}


def kept(net, x, forward=lambda net, x: net(x)):
    """Bytes that a forward pass keeps for the backward pass, each storage once, parameters and input apart."""
    storages, known = {}, {t.untyped_storage().data_ptr() for t in (x, *net.parameters())}

    def pack(tensor):
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()       # held, so that no address comes twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), autocast():
        out = forward(net, x)
    del out
    return sum(storage.nbytes() for address, storage in storages.items() if address not in known)


def memory():
    """What ResNet-19, 32 channels, T=2, batch 50 keeps for the backward pass, in MB, and what recomputing costs."""
    x, y = pictures()
    net, again = (channels_last_net(resnet19(channels=32)) for _ in range(2))
    dsatgo.recompute(again)
    times = interleaved(dict(plain=compiled(step_of(net, x, y)), recompute=compiled(step_of(again, x, y))), 12)
    result = {"MB": kept(net, x) / 2**20, "MB, recompute": kept(again, x) / 2**20,
              "step, recompute / plain": ratio(times, "recompute", "plain")}
    theirs, reset = their_resnet19()
    if theirs:
        reset()
        result["ours / authors"] = kept(net, x) / kept(theirs, x.contiguous())
    return result | {"recompute / ours": result["MB, recompute"] / result["MB"]}


def exponent(sizes, values):
    """The slope of log(value) against log(size): 1 where the cost is proportional."""
    slope, _ = statistics.linear_regression([math.log(size) for size in sizes], [math.log(value) for value in values])
    return slope


def growth():
    """How a training step's time and memory grow with T and with the batch (ResNet-19, 16 channels): exponents."""
    result = {}
    for name, sizes, make in (("T", (1, 2, 4, 8, 16), lambda n: (n, 16)), ("batch", (16, 32, 64, 128, 256), lambda n: (2, n))):
        steps, memories = {}, []
        for size in sizes:
            T, batch = make(size)
            (x, y), net = pictures(batch), channels_last_net(resnet19(channels=16, T=T))
            steps[size], keeps = compiled(step_of(net, x, y)), kept(net, x)
            memories.append(keeps)
        times = interleaved(steps, 5)
        result[f"time against {name}"] = exponent(sizes, [statistics.median(times[size]) for size in sizes])
        result[f"memory against {name}"] = exponent(sizes, memories)
    return result


def syncs():
    """How often a training step waits for the device: reads of a value by the host, traced on any device."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Trace(TorchDispatchMode):
        reads = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            name = function._schema.name.split("::")[1]
            self.reads += name in ("_local_scalar_dense", "item", "nonzero", "is_nonzero", "equal")
            return function(*args, **(kwargs or {}))

    step = step_of(channels_last_net(resnet19(channels=4)), *pictures(4))
    step()
    with Trace() as trace:
        torch.ones(1).item()                                      # the trace must see one, or it sees nothing
        step()
    return {"host reads in a step": trace.reads - 1}


def pipeline(n=4000):
    """Pictures a second out of the data set with the full recipe, 32x32: one process, workers, and crop and flip alone."""
    from torchvision import transforms

    from train_cifar import Pictures, draw_shapes
    x, y = draw_shapes(n, 0)
    facts = dict(mean=[127.5] * 3, std=[64.0] * 3, classes=list(range(10)))
    recipe = Pictures(x, y, facts, transforms.AutoAugment(transforms.AutoAugmentPolicy.CIFAR10))
    batches, cores = [(part, 0, 0) for part in torch.randperm(n).split(100)], os.cpu_count()

    def read(data, workers=0):
        for _ in torch.utils.data.DataLoader(data, sampler=batches, batch_size=None, num_workers=workers):
            pass

    times = interleaved(dict(alone=partial(read, recipe), workers=partial(read, recipe, cores),
                             plain=partial(read, Pictures(x, y, facts, None))), 3, warmup=1)
    rate = {name: n / statistics.median(each) for name, each in times.items()}
    return {"pictures/s, one process": rate["alone"], "pictures/s, a worker on each core": rate["workers"],
            "pictures/s, one process without AutoAugment": rate["plain"]}


def compile_seconds():
    """In a process of its own: the first two steps of ResNet-19, 32 channels, over the time of two later ones; graphs."""
    dsatgo.compile_neurons()
    x, y = pictures()
    step = step_of(channels_last_net(resnet19(channels=32)), x, y)
    first = seconds(step) + seconds(step)
    from torch._dynamo.utils import counters
    print(json.dumps(dict(seconds=first - seconds(step) - seconds(step), graphs=counters["stats"]["unique_graphs"])))


def first_step():
    """Seconds that compiling adds to a run of ResNet-19, with an empty and with a filled cache on disk, and how many graphs."""
    with tempfile.TemporaryDirectory() as folder:
        cold, warm = (child("compile_seconds", TORCHINDUCTOR_CACHE_DIR=folder) for _ in range(2))
    return {"s, empty cache": cold["seconds"], "s, filled cache": warm["seconds"], "graphs": warm["graphs"]}


# ---- all of them ----
PARTS = dict(neuron=neuron, resnet19=training_resnet19, vggsnn=training_vggsnn, inference=inference, memory=memory,
             growth=growth, syncs=syncs, pipeline=pipeline, first_step=first_step)
BARS = [      # part, figure, bar: (at least, at most)
    ("neuron, memory reused", "authors / compiled", 8, None), ("neuron, memory reused", "spikingjelly / compiled", 5, None),
    ("neuron, memory reused", "snntorch / compiled", None, None), ("neuron, memory reused", "compiled / seven passes", None, 2),
    ("neuron, memory reused", "authors / eager", 1.5, None),
    ("neuron", "authors / compiled", 8, None), ("neuron", "spikingjelly / compiled", 5, None),
    ("neuron", "snntorch / compiled", None, None), ("neuron", "compiled / seven passes", None, 2),
    ("neuron", "authors / eager", 1.5, None),
    *((part, *bar) for part in ("resnet19", "vggsnn") for bar in (
        ("authors / compiled", 1.6, None), ("authors / eager", None, None), ("compiled / convolutions", None, 1.25),
        ("AT+TGO / vanilla", None, 1.03), ("share of the matmul rate", None, None))),
    ("inference", "AT+TGO / vanilla", 0.98, 1.02), ("inference", "authors / folded", 2, None),
    ("inference", "authors / AT+TGO", None, None), ("inference", "share of pictures with the same class", 0.999, None),
    ("memory", "ours / authors", None, 0.5), ("memory", "recompute / ours", None, 0.5),
    ("memory", "step, recompute / plain", None, 1.35),
    *(("growth", f"{cost} against {size}", None, 1.05) for cost in ("time", "memory") for size in ("T", "batch")),
    ("syncs", "host reads in a step", None, 0), ("first_step", "s, filled cache", None, 5),
    ("first_step", "s, empty cache", None, None), ("first_step", "graphs", None, None),
    *(("pipeline", f"pictures/s, {way}", None, None) for way in (
        "one process", "a worker on each core", "one process without AutoAugment"))]


def child(part, **environment):
    """A part's figures, from a process of its own."""
    command = [sys.executable, __file__, "--part", part, *(["--authors", str(AUTHORS)] if AUTHORS else [])]
    done = subprocess.run(command, env=os.environ | environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def table(results):
    """The rows of the README."""
    lines = ["| part | figure | measured | bar |", "|---|---|---|---|"]
    for part, name, least, most in BARS:
        value = results.get(part, {}).get(name)
        bar = " to ".join(f"{x:g}" for x in (least, most) if x is not None)
        bar = "" if not bar else bar if None not in (least, most) else f">= {bar}" if most is None else f"<= {bar}"
        missed = value is not None and (least is not None and value < least or most is not None and value > most)
        measured = "not run" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
        lines.append(f"| {part} | {name} | {measured}{' (missed)' * missed} | {bar} |")
    return "\n".join(lines)


def main(only):
    path = ROOT / "experiments" / "results" / "benchmark.json"
    stored = json.loads(path.read_text()) if path.exists() and only != set(PARTS) else {}
    results = stored.get("results", {})
    for part in [part for part in PARTS if part in only]:
        print(f"{part}: {PARTS[part].__doc__}", file=sys.stderr)
        results[part] = child(part)
        if part == "neuron" and DEVICE.type == "cpu":
            results["neuron, memory reused"] = child(part, **REUSE)
    result = dict(date=str(datetime.date.today()), python=platform.python_version(), torch=torch.__version__,
                  machine=platform.machine(), threads=torch.get_num_threads(), device=DEVICE.type,
                  card=torch.cuda.get_device_name() if DEVICE.type == "cuda" else None, spikingjelly=version("spikingjelly"),
                  snntorch=version("snntorch"), results=results)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(table(results))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--authors", type=pathlib.Path, help="a folder with checkouts of DS-ATGO and MPD-AGL")
    parser.add_argument("--only", default=",".join(PARTS), help="these parts alone; the rest stays as stored")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    AUTHORS = options.authors and options.authors.resolve()
    if unknown := set(options.only.split(",")) - set(PARTS):
        parser.error(f"--only: no part is called {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if AUTHORS and not (AUTHORS / "DS-ATGO" / "neuron.py").exists():
        parser.error(f"--authors {AUTHORS}: has no checkout DS-ATGO")
    if options.part:
        dsatgo.compile_neurons()
        GRAPHS = dict(dsatgo._compiled)
        dsatgo.compile_neurons(False)
        figures = globals()[options.part]() if options.part == "compile_seconds" else PARTS[options.part]()
        if figures is not None:
            print(json.dumps(figures))
    else:
        main(set(options.only.split(",")))
