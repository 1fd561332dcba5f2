"""Which runs does the evidence rest on? This trains them all, two at a time, one thread each (those
of the whole of CIFAR-10 alone, two threads): by the seconds in the logs of a CPU eight hours on two
cores, twenty for those of the recipe's length, a day for the whole of CIFAR-10.

    python experiments/train_all.py DATA WORK [--only PATTERN] [--again] [--full]
    python experiments/train_all.py DATA WORK --check NAME

DATA: a folder with pictures/train|test/CLASS/* (CIFAR-10 as picture files),
objects/train|test/CLASS/* and nmnist/train/CLASS/* (event recordings). WORK: a folder outside the
repository for checkpoints and for the recordings of the simulated camera, which are made first.
Each run is one command of train_cifar.py or train_dvs.py, the paper's recipe but for the flags
given here. log.csv, layers.csv and the command are copied to experiments/results/runs/NAME; a run
that is there is not trained again (with --again it is, for networks.py wants the checkpoints, which
are not committed, but for the two networks of KEPT), and one that was interrupted goes on.

--check: trains a run again, from the commit and with the number of threads that its command.txt
names, and says whether its log is the same to the last digit, timings apart.

--full: the paper's data, networks and epochs, one run at a time, on a GPU, without the runs that
only make sense small. DATA then holds cifar10 (as torchvision has it, downloaded if absent) and
cifar10-dvs (its ten zip archives); the logs take the place of ours. How long it takes is estimated
before the first starts.
"""

import argparse
import concurrent.futures
import csv
import dataclasses
import datetime
import functools
import itertools
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import cost  # noqa: E402
import dsatgo  # noqa: E402
import train_cifar  # noqa: E402
import train_dvs  # noqa: E402

RESULTS = ROOT / "experiments" / "results"
RUNS = RESULTS / "runs"
SCRIPTS = {"train_cifar.py": train_cifar, "train_dvs.py": train_dvs}
FULL = {  # what cost.py knows of them
    "train_cifar.py": "CIFAR-10, ResNet-19, T = 2",
    "train_dvs.py": "CIFAR10-DVS, VGGSNN, T = 10",
}
ARMS = dict(
    vanilla=("fixed", "fixed"),
    AT=("true", "fixed"),
    TGO=("fixed", "threshold"),
    both=("true", "threshold"),
)
PAIR = ("vanilla", "both")
SCALES = (0.25, 4, 0.5, 2)  # of batch norm at the start, beside 1
SEEDS = range(3)
MORE = range(8)
STILL = (
    "train_cifar.py --dataset folder --data {data}/pictures --limit-train 5000 --limit-test 2000 "
    "--batch-size 50 --compile --channels 8"
)
EVENTS = "train_dvs.py --dataset folder --channels 8 --batch-size 20 --compile"
# asked of small data, or of less than all of it
SMALL = ("simulated", "nmnist", "long", "decay", "twenty", "recipe", "equal", "whole")
KEPT = ("whole-vanilla-0", "whole-both-0")  # whose networks lie beside the page, to look into
TIMINGS = ("images_per_s", "seconds", "peak_memory_mb")  # no run repeats these


def arm(name):
    threshold, width = ARMS[name]
    return f"--threshold {threshold} --width {width}"


def commands(full=False):
    """{name: script and flags}; `full`: without the flags of the small scale, so that what is left
    is the paper's recipe."""

    def still(flags, epochs=8):  # of a flag given twice the last counts
        if full:
            return f"train_cifar.py --data {{data}}/cifar10 {flags}"
        return f"{STILL} --epochs {epochs} {flags}"

    def events(flags, data="{data}/objects", epochs=8):
        if full:
            return f"train_dvs.py --data {{data}}/cifar10-dvs {flags}"
        return f"{EVENTS} --data {data} --epochs {epochs} {flags}"

    runs = figures(still, events) | conditions(still, events) | recipe(still)
    runs |= others(still) | equal(still) | whole()
    for seed, name in itertools.product(MORE, PAIR):
        runs[f"count-{name}-{seed}"] = events(f"{arm(name)} --seed {seed} --by count")
    for seed in MORE[3:]:  # three seeds leave intervals of ten points
        for name in PAIR:
            runs[f"pictures-{name}-{seed}"] = still(f"{arm(name)} --seed {seed}")
            runs[f"objects-{name}-{seed}"] = events(f"{arm(name)} --seed {seed}")
        runs[f"estimated-{seed}"] = still(f"--threshold estimated --seed {seed}")
    return {name: run for name, run in runs.items() if not (full and name.startswith(SMALL))}


def figures(still, events):
    """The runs of the paper's figures."""
    runs = {}
    for seed in SEEDS:  # Table 1, Figs. 1, 5, 6, 8 to 11, 14, 15
        for name in ARMS:
            runs[f"pictures-{name}-{seed}"] = still(f"{arm(name)} --seed {seed}")
            runs[f"objects-{name}-{seed}"] = events(f"{arm(name)} --seed {seed}")
    rules = {"estimated": "--threshold estimated", "momentum-none": "--momentum none"}
    for seed in SEEDS:  # Fig. 7, Eq. 7 against the released code's width
        for name, flags in (rules | {"std": "--width std"}).items():
            runs[f"{name}-{seed}"] = still(f"{flags} --seed {seed}")
        for name, flags in rules.items():
            runs[f"objects-{name}-{seed}"] = events(f"{flags} --seed {seed}")
    for f_c in (0.6, 0.8, 1.2, 1.5):  # Fig. 12
        runs[f"f_c-{f_c}"] = still(f"--f-c {f_c}")
    for momentum in (0.5, 0.02):  # Fig. 13
        runs[f"momentum-{momentum}"] = still(f"--momentum {momentum}")
    runs["learned"] = still("--threshold learned --width fixed")  # Table 2, a DIET-SNN-like neuron
    for name in PAIR:  # Fig. 2
        runs[f"T-10-{name}"] = still(f"{arm(name)} --T 10", epochs=2)
    return runs


def conditions(still, events):
    """When does it beat vanilla?"""
    runs = {}
    for seed in SEEDS:
        for name in PAIR:
            rule = f"{arm(name)} --seed {seed}"
            nmnist = f"{rule} --split random:0 --size 32"
            runs[f"nmnist-{name}-{seed}"] = events(nmnist, "{data}/nmnist/train")
            runs[f"simulated-{name}-{seed}"] = events(rule, "{work}/simulated", epochs=4)
            # the sum of learning rate x decay over all steps is 1, as in the paper's 400 epochs of
            # 500 steps at 1e-4
            runs[f"long-{name}-{seed}"] = still(f"{rule} --weight-decay 1e-2", epochs=20)
            runs[f"decay-{name}-{seed}"] = still(f"{rule} --weight-decay 5e-3")
            # Figs. 4, 9, 14, 15
            runs[f"twenty-{name}-{seed}"] = still(f"{rule} --weight-decay 1e-3", epochs=20)
        for scale in SCALES:
            for name in ARMS if seed == 0 else PAIR:
                flags = f"{arm(name)} --bn-scale {scale} --seed {seed}"
                runs[f"scale-{scale}-{name}-{seed}"] = still(flags)
    others = {
        "channels": (4, 16),
        "arch": ("vggsnn", "resnet18"),
        "T": (1, 4),
        "tau": (0.5, 0.9),
        "weight-decay": (1e-3,),
    }
    for flag, values in others.items():
        for value in values:
            for name in PAIR:
                runs[f"{flag}-{value}-{name}"] = still(f"{arm(name)} --{flag} {value}")
    narrow = "--arch resnet18 --channels 4"
    for f_c in (0.6, 0.8, 1.0):  # 16 features before the classes
        runs[f"narrow-f_c-{f_c}"] = still(f"{narrow} --f-c {f_c}")
    runs["narrow-vanilla"] = still(f"{arm('vanilla')} {narrow}")
    return runs


def recipe(still):
    """The recipe's own length: 400 epochs of 100 steps, on pictures of half the side."""
    runs = {}
    arms = dict(vanilla=arm("vanilla"), kappa=f"{arm('vanilla')} --kappa 2", both=arm("both"))
    arms["std"] = "--width std"
    arms["unfloored"] = "--neuron experiments/unfloored.py:Unfloored"
    arms["frozen"] = "--neuron experiments/frozen.py:Frozen"
    arms["frozen-vanilla"] = "--neuron experiments/frozen.py:FrozenVanilla"
    small = "--image-size 16 --limit-test 5000"
    for seed in range(6):
        for name, flags in arms.items():
            if name in ("vanilla", "kappa", "both") or seed < 3:
                runs[f"recipe-{name}-{seed}"] = still(f"{flags} --seed {seed} {small}", epochs=400)
    for name in PAIR:
        runs[f"recipe-wide-{name}"] = still(f"{arms[name]} {small} --channels 16", epochs=400)
    return runs


def others(still):
    """The neurons of other papers."""
    runs = {}
    for seed, name in itertools.product(SEEDS, ("LTMD", "MPDAGL", "ASGS")):
        flags = f"--neuron experiments/baselines.py:{name} --seed {seed}"
        runs[f"baseline-{name}-{seed}"] = still(flags)
    flags = "--neuron experiments/baselines.py:ASGS --weight-decay 1e-3"
    runs["twenty-ASGS-0"] = still(flags, epochs=20)  # Fig. 9
    return runs


def equal(still):
    """The same search for both arms: base width and initial threshold, decay with and without
    parameters of one dimension. Width 1 at threshold 1, decay 1e-4, are the runs pictures-*."""
    runs = {}
    for seed, name in itertools.product(MORE, PAIR):
        rule = f"{arm(name)} --seed {seed}"
        for kappa, v_th in itertools.product((1, 2, 3), (0.5, 1)):
            if (kappa, v_th) != (1, 1):
                flags = f"{rule} --kappa {kappa} --v-th {v_th}"
                runs[f"equal-{name}-kappa-{kappa}-v_th-{v_th}-{seed}"] = still(flags)
        runs[f"equal-{name}-norm-1e-4-{seed}"] = still(f"{rule} --no-norm-decay")
        decay = f"{rule} --weight-decay 5e-3"
        runs[f"equal-{name}-norm-5e-3-{seed}"] = still(f"{decay} --no-norm-decay")
        if seed not in SEEDS:  # the first three are the runs decay-*
            runs[f"equal-{name}-decay-5e-3-{seed}"] = still(decay)
    for seed, scale in itertools.product(SEEDS, SCALES):
        rule = f"--bn-scale {scale} --seed {seed}"
        flags = f"{arm('vanilla')} --kappa 2 {rule}"
        runs[f"equal-vanilla-kappa-2-scale-{scale}-{seed}"] = still(flags)
        for name in PAIR:  # the best of the above, for either arm
            flags = f"{arm(name)} --kappa 1 --v-th 0.5 {rule}"
            runs[f"equal-{name}-kappa-1-v_th-0.5-scale-{scale}-{seed}"] = still(flags)
    return runs


def whole():
    """All 50,000 pictures of CIFAR-10, 30 epochs."""
    runs = {}
    arms = dict(vanilla=arm("vanilla"), kappa=f"{arm('vanilla')} --kappa 2", both=arm("both"))
    every = "train_cifar.py --dataset folder --data {data}/pictures --channels 16 --epochs 30"
    for seed, name in itertools.product(range(4), arms):
        flags = f"{every} --compile {arms[name]} --seed {seed}"
        runs[f"whole-{name}-{seed}"] = f"{flags} --amp bf16"
    runs["whole-kappa-float32-0"] = f"{every} --compile {arms['kappa']} --seed 0"
    return runs


def record(options):
    """2,500 pictures before the simulated camera, once."""
    if not (options.work / "simulated").exists():
        unfinished = pathlib.Path(tempfile.mkdtemp(dir=options.work))
        pictures = str(options.data / "pictures")
        settings = dict(data=str(unfinished), simulate=pictures, limit_train=2000, limit_test=500)
        train_dvs.simulated(train_dvs.Settings(**settings))
        unfinished.rename(options.work / "simulated")


def train(name, command, options):
    """One run; -> its last line."""
    folder = RUNS / name
    out = options.work / name
    script, *flags = command.format(data=options.data, work=options.work).split()
    if (out / "last.pt").exists():
        checkpoint = train_cifar.load_checkpoint(out)
        stored = checkpoint["config"] | dict(out=None, resume=None)
        config, _ = train_cifar.parse(SCRIPTS[script].Settings, "", flags)
        if dataclasses.asdict(config) != stored:
            return f"failed: {out} was trained with other settings: remove it"
        if checkpoint["epoch"] == stored["epochs"] and (folder / "log.csv").exists():
            return f"there, and its checkpoint in {out}"
        flags = ["--resume", out]
        if config.neuron:  # it is code, and so asked for again
            flags += ["--neuron", config.neuron]
    else:
        flags += ["--out", out]
    threads = 0 if options.full else threads_of(name)
    print(f"{name}: begins; {out}/log.csv gets a line an epoch", flush=True)
    done = started(ROOT, [script, *flags], threads)
    if done.returncode:
        return f"failed: {last_line(done)}"
    note(name, command, out, f"OMP_NUM_THREADS={threads} " if threads else "")
    return last_line(done)


def note(name, command, out, before="", after=""):
    """What the page needs of a run: command and versions, logs, and of some the network."""
    folder = RUNS / name
    folder.mkdir(parents=True, exist_ok=True)
    about = json.loads((out / "config.json").read_text())
    names = ("python", "torch", "torchvision", "git", "device")
    versions = ", ".join(f"{name} {about[name]}" for name in names)
    versions += f" ({about['card']})" if about["card"] else ""
    made = f"{before}python {command}\n{datetime.date.today()}, {versions}{after}\n"
    (folder / "command.txt").write_text(made)
    copy_logs(out, folder)
    if name in KEPT:
        keep(out, name)


def keep(out, name):
    """The network of the last epoch, for `--eval` and `load_run`, without this machine's places."""
    held = train_cifar.load_checkpoint(out)
    state = {part: held[part] for part in ("model", "epoch", "best", "config", "facts")}
    state["config"] |= dict(data="data", out=None, resume=None, workers=None)
    train_cifar.save(RESULTS / f"{name}.pt", state)


def threads_of(name):
    return 2 if name.startswith("whole") else 1


def started(folder, command, threads, **environment):
    environment |= dict(OMP_NUM_THREADS=str(threads)) if threads else {}
    environment = os.environ | environment
    command = [sys.executable, *command]
    return subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True)


def last_line(done):
    said = (done.stderr if done.returncode else "") or done.stdout or f"exit code {done.returncode}"
    return said.strip().splitlines()[-1]


def check(name, options):
    """Trains a run again from the commit that its command.txt names. -> whether it differs"""
    command, made = (RUNS / name / "command.txt").read_text().splitlines()
    threads = re.match(r"OMP_NUM_THREADS=(\d+)|", command)[1] or "1"  # on a GPU it is not noted
    script, *flags = command.partition("python ")[2].split()
    flags = [flag.format(data=options.data, work=options.work) for flag in flags]
    commit = re.search(r"git (\w+)", made)[1]
    git = ["git", "-C", str(ROOT), "worktree"]
    with tempfile.TemporaryDirectory() as place:
        subprocess.run([*git, "add", "--detach", f"{place}/code", commit], check=True)
        try:
            hidden = dict(CUDA_VISIBLE_DEVICES="") if "device cpu" in made else {}
            command = [script, *flags, "--out", f"{place}/run"]
            done = started(f"{place}/code", command, threads, **hidden)
        finally:
            subprocess.run([*git, "remove", "--force", f"{place}/code"], check=True)
        if done.returncode:
            print(f"{name}: failed: {last_line(done)}")
            return True
        copy_logs(pathlib.Path(place, "run"), pathlib.Path(place))
        where = difference(RUNS / name, pathlib.Path(place))
    print(f"{name}, at {commit[:7]}, threads {threads}: {where or 'same to the last digit'}")
    return bool(where)


def difference(one, other):
    """The first figure of two runs' logs that differs, timings apart, or None."""
    for log in ("log.csv", "layers.csv"):
        rows, others = (list(csv.DictReader((place / log).open())) for place in (one, other))
        for row, again in itertools.zip_longest(rows, others, fillvalue={}):
            for column in {**row, **again}:
                values = again.get(column), row.get(column)
                if column not in TIMINGS and values[0] != values[1]:
                    epoch = (row or again)["epoch"]
                    return "{}, epoch {}: {} {}, {} there".format(log, epoch, column, *values)
    return None


def copy_logs(out, folder):
    """A run's logs; layers.csv of 400 epochs has 3 MB, so every tenth is kept, and the first."""
    head, *rows = (out / "layers.csv").read_text().splitlines(keepends=True)
    if int(rows[-1].split(",")[0]) > 100:
        rows = [row for row in rows if row.startswith("1,") or row.split(",")[0].endswith("0")]
    with train_cifar.replacing(folder / "layers.csv") as copy:
        copy.write("".join([head, *rows]).encode())
    with train_cifar.replacing(folder / "log.csv") as copy:  # last: it says that the run is there
        copy.write((out / "log.csv").read_bytes())


@functools.cache
def operations(script, arch, channels, T):
    """Of the forward passes of an epoch at full scale (cost.py)."""
    _, shape, samples = cost.RECIPES[FULL[script]]
    batch, inputs, *_, side = shape[-4:]
    if script == "train_dvs.py":
        shape = (T, *shape[1:])
    more = dict(size=side) if arch == "vggsnn" else {}
    make = functools.partial(dsatgo.NETWORKS[arch], 10, T, inputs, channels, **more)
    _, forward, _ = cost.step(make, shape)
    return forward * samples / batch


def announce(runs):
    """What --full will train and leave out; how long that takes, by the operations of each run, if
    they go as fast as those of the paper's CIFAR-10: 74 s an epoch (Table 2, RTX 4090)."""
    paper = operations("train_cifar.py", "resnet19", 128, 2)
    total = 0
    print("to train, one after the other:")
    for name, command in runs.items():
        script, *flags = command.split()
        config, _ = train_cifar.parse(SCRIPTS[script].Settings, "", flags)
        work = operations(script, config.arch, config.channels, config.T)
        hours = config.epochs * work / paper * 74 / 3600
        total += hours
        print(f"{name}: {hours:.1f} h")
    print(f"{len(runs)} runs, {total:,.0f} h if operations go as fast as in the paper's CIFAR-10")
    print("(those of narrow networks, which wait for Python, do not)")
    print(f"left out: {', '.join(f'{name}-*' for name in SMALL)}", flush=True)


def main(options):
    """-> whether a run failed"""
    options.work.mkdir(parents=True, exist_ok=True)
    wanted = {}
    for name, command in commands(options.full).items():
        there = (RUNS / name / "log.csv").exists()
        if re.search(options.only, name) and (options.again or options.full or not there):
            wanted[name] = command
    if not wanted:
        print(
            "nothing to train: the log of each such run is there (--again trains it anew)", end=""
        )
        print(", or no run has such a name")
    if any(name.startswith("simulated") for name in wanted):
        record(options)
    if options.full:
        announce(wanted)
    failed = []
    begun = time.monotonic()
    alone = [name for name in wanted if options.full or threads_of(name) > 1]
    for names, count in (([n for n in wanted if n not in alone], 2), (alone, 1)):
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            lines = pool.map(lambda name: train(name, wanted[name], options), names)
            for i, (name, line) in enumerate(zip(names, lines), 1):
                hours = (time.monotonic() - begun) / 3600
                print(f"{i}/{len(names)} after {hours:.1f} h, {name}: {line}", flush=True)
                failed += [name] * line.startswith("failed")
    return bool(failed)


if __name__ == "__main__":
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    for name in ("data", "work"):
        parser.add_argument(name, type=lambda text: pathlib.Path(text).resolve())
    text = "runs in whose name this regular expression is found"
    parser.add_argument("--only", default="", metavar="PATTERN", help=text)
    text = "also the runs whose logs are there"
    parser.add_argument("--again", action="store_true", help=text)
    text = "the paper's data, networks and epochs (not run by us)"
    parser.add_argument("--full", action="store_true", help=text)
    parser.add_argument("--check", metavar="NAME", help="train this run again and compare its log")
    options = parser.parse_args()
    if options.check and not (RUNS / options.check / "command.txt").exists():
        parser.exit(2, f"--check {options.check}: no such run in {RUNS}\n")
    sys.exit(check(options.check, options) if options.check else main(options))
