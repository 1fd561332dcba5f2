"""Which runs does the evidence rest on? This trains them all, two at a time, one thread each: about three hours on two cores.

    python experiments/train_all.py DATA WORK [--only PATTERN] [--again] [--full]

DATA: a folder with pictures/train|test/CLASS/* (CIFAR-10 as picture files), objects/train|test/CLASS/* and nmnist/train/CLASS/*
(event recordings). WORK: a folder outside the repository for checkpoints and for the recordings of the simulated camera, which
are made first. Each run is one command of train_cifar.py or train_dvs.py, the paper's recipe but for the flags given here.
log.csv, layers.csv and the command are copied to experiments/results/runs/NAME; a run that is there is not trained again (with
--again it is, for networks.py wants the checkpoints, which are not committed), and one that was interrupted goes on.

--full: the paper's data, networks and epochs, one run at a time, on a GPU, without the runs that only make sense small.
DATA then holds cifar10 (as torchvision has it, downloaded if absent) and cifar10-dvs (its ten zip archives); with --again the
logs take the place of ours.
"""
import argparse
import concurrent.futures
import dataclasses
import datetime
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import dsatgo  # noqa: E402
import train_cifar  # noqa: E402
import train_dvs  # noqa: E402

RUNS = ROOT / "experiments" / "results" / "runs"
ARMS = dict(vanilla=("fixed", "fixed"), AT=("true", "fixed"), TGO=("fixed", "threshold"), both=("true", "threshold"))
SEEDS, MORE = range(3), range(8)
PAIR = ("vanilla", "both")
STILL = "train_cifar.py --dataset folder --data {data}/pictures --limit-train 5000 --limit-test 2000 --batch-size 50 --compile"
EVENTS = "train_dvs.py --dataset folder --channels 8 --batch-size 20 --compile"


def arm(name):
    threshold, width = ARMS[name]
    return f"--threshold {threshold} --width {width}"


def commands(full=False):
    """{name: script and flags}; `full`: without the flags of the small scale, so that what is left is the paper's recipe."""
    def still(flags, epochs=8):                                   # of a flag given twice the last counts
        return f"train_cifar.py --data {{data}}/cifar10 {flags}" if full else f"{STILL} --channels 8 --epochs {epochs} {flags}"

    def events(flags, data="{data}/objects", epochs=8):
        small = f"{EVENTS} --data {data} --epochs {epochs} {flags}"
        return f"train_dvs.py --data {{data}}/cifar10-dvs {flags}" if full else small

    runs = {}
    for seed in SEEDS:                                            # Table 1, Figs. 1, 5, 6, 8 to 11, 14, 15
        for name in ARMS:
            runs[f"pictures-{name}-{seed}"] = still(f"{arm(name)} --seed {seed}")
            runs[f"objects-{name}-{seed}"] = events(f"{arm(name)} --seed {seed}")
    for seed in SEEDS:                                            # Fig. 7, Eq. 7 against the released code's width
        for name, flags in ("estimated", "--threshold estimated"), ("momentum-none", "--momentum none"), ("std", "--width std"):
            runs[f"{name}-{seed}"] = still(f"{flags} --seed {seed}")
        for name, flags in ("estimated", "--threshold estimated"), ("momentum-none", "--momentum none"):
            runs[f"objects-{name}-{seed}"] = events(f"{flags} --seed {seed}")
    for f_c in (0.6, 0.8, 1.2, 1.5):                              # Fig. 12
        runs[f"f_c-{f_c}"] = still(f"--f-c {f_c}")
    for momentum in (0.5, 0.02):                                  # Fig. 13
        runs[f"momentum-{momentum}"] = still(f"--momentum {momentum}")
    runs["learned"] = still("--threshold learned --width fixed")                           # Table 2, a DIET-SNN-like neuron
    for name in PAIR:                                             # Fig. 2
        runs[f"T-10-{name}"] = still(f"{arm(name)} --T 10", epochs=2)

    # when does it beat vanilla?
    for seed in SEEDS:
        for name in PAIR:
            rule = f"{arm(name)} --seed {seed}"
            runs[f"nmnist-{name}-{seed}"] = events(f"{rule} --split random:0 --size 32", "{data}/nmnist/train")
            runs[f"simulated-{name}-{seed}"] = events(rule, "{work}/simulated", epochs=4)
            # the sum of learning rate x decay over all steps is 1, as in the paper's 400 epochs of 500 steps at 1e-4
            runs[f"long-{name}-{seed}"] = still(f"{rule} --weight-decay 1e-2", epochs=20)
            runs[f"decay-{name}-{seed}"] = still(f"{rule} --weight-decay 5e-3")
            runs[f"twenty-{name}-{seed}"] = still(f"{rule} --weight-decay 1e-3", epochs=20)        # Figs. 4, 9, 14, 15
            runs[f"count-{name}-{seed}"] = events(f"{rule} --by count")
        for scale in (0.25, 4, 0.5, 2):
            for name in ARMS if seed == 0 else PAIR:
                runs[f"scale-{scale}-{name}-{seed}"] = still(f"{arm(name)} --bn-scale {scale} --seed {seed}")
    for flag, values in (("channels", (4, 16)), ("arch", ("vggsnn", "resnet18")), ("T", (1, 4)), ("tau", (0.5, 0.9)),
                         ("weight-decay", (1e-3,))):
        for value in values:
            for name in PAIR:
                runs[f"{flag}-{value}-{name}"] = still(f"{arm(name)} --{flag} {value}")
    for f_c in (0.6, 0.8, 1.0):                                   # 16 features before the classes
        runs[f"narrow-f_c-{f_c}"] = still(f"--arch resnet18 --channels 4 --f-c {f_c}")
    runs["narrow-vanilla"] = still(f"{arm('vanilla')} --arch resnet18 --channels 4")
    for seed in MORE[3:]:                                         # three seeds leave intervals of ten points
        for name in PAIR:
            runs[f"pictures-{name}-{seed}"] = still(f"{arm(name)} --seed {seed}")
            runs[f"objects-{name}-{seed}"] = events(f"{arm(name)} --seed {seed}")
        runs[f"estimated-{seed}"] = still(f"--threshold estimated --seed {seed}")
    small = ("simulated", "nmnist", "long", "decay", "twenty")    # asked of small data or a short schedule
    return {name: command for name, command in runs.items() if not (full and name.startswith(small))}


def record(options):
    """2,500 pictures before the simulated camera, once."""
    if not (options.work / "simulated").exists():
        unfinished = pathlib.Path(tempfile.mkdtemp(dir=options.work))
        train_dvs.simulated(train_dvs.Settings(data=str(unfinished), simulate=str(options.data / "pictures"), limit_train=2000,
                                               limit_test=500))
        unfinished.rename(options.work / "simulated")


def train(name, command, options):
    """One run; -> its last line."""
    folder, out = RUNS / name, options.work / name
    script, *flags = command.format(data=options.data, work=options.work).split()
    if (out / "last.pt").exists():
        module = dict(zip(("train_cifar.py", "train_dvs.py"), (train_cifar, train_dvs)))[script]
        checkpoint = dsatgo.load_checkpoint(out)
        stored = checkpoint["config"] | dict(out=None, resume=None)
        if dataclasses.asdict(train_cifar.parse(module.Settings, "", flags)[0]) != stored:
            return f"failed: {out} was trained with other settings: remove it"
        if checkpoint["epoch"] == stored["epochs"] and (folder / "log.csv").exists():
            return f"there, and its checkpoint in {out}"
        flags = ["--resume", out]
    else:
        flags += ["--out", out]
    environment = os.environ | ({} if options.full else dict(OMP_NUM_THREADS="1"))
    done = subprocess.run([sys.executable, ROOT / script, *flags], env=environment, text=True, capture_output=True)
    if done.returncode:
        return f"failed: {(done.stderr or done.stdout or f'exit code {done.returncode}').strip().splitlines()[-1]}"
    folder.mkdir(parents=True, exist_ok=True)
    about = json.loads((out / "config.json").read_text())
    versions = ", ".join(f"{key} {about[key]}" for key in ("python", "torch", "torchvision", "git", "device"))
    (folder / "command.txt").write_text(f"python {command}\n{datetime.date.today()}, {versions}\n")
    for file in ("layers.csv", "log.csv"):                        # log.csv last: it says that the run is there
        with dsatgo.replacing(folder / file) as copy:
            copy.write((out / file).read_bytes())
    return done.stdout.strip().splitlines()[-1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "work"):
        parser.add_argument(name, type=lambda text: pathlib.Path(text).resolve())
    parser.add_argument("--only", default="", metavar="PATTERN", help="runs in whose name this regular expression is found")
    parser.add_argument("--again", action="store_true", help="also the runs whose logs are there")
    parser.add_argument("--full", action="store_true", help="the paper's data, networks and epochs (not run by us)")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    wanted = {name: command for name, command in commands(options.full).items() if re.search(options.only, name)
              and (options.again or not (RUNS / name / "log.csv").exists())}
    if not wanted:
        print("nothing to train: the log of each such run is there (--again trains it anew), or no run has such a name")
    if any(name.startswith("simulated") for name in wanted):
        record(options)
    failed = False
    with concurrent.futures.ThreadPoolExecutor(1 if options.full else 2) as pool:
        for name, line in zip(wanted, pool.map(lambda item: train(*item, options), wanted.items())):
            print(f"{name}: {line}", flush=True)
            failed |= line.startswith("failed")
    sys.exit(failed)
