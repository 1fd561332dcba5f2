"""Which runs does the evidence rest on? This trains them all, two at a time, one thread each: about an hour on two cores.

    python experiments/train_all.py PICTURES OBJECTS WORK [--only TEXT]

PICTURES: DIR/train/CLASS/* and DIR/test/CLASS/* of CIFAR-10 pictures; OBJECTS: event recordings in the same layout; WORK: a
folder outside the repository for checkpoints. Each run is one command of train_cifar.py or train_dvs.py, the paper's recipe
but for the flags given here. log.csv, layers.csv and the command are copied to experiments/results/runs/NAME; a run that is
there is not trained again, and one that was interrupted goes on.
"""
import argparse
import concurrent.futures
import datetime
import json
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
RUNS = ROOT / "experiments" / "results" / "runs"
ARMS = dict(vanilla=("fixed", "fixed"), AT=("true", "fixed"), TGO=("fixed", "threshold"), both=("true", "threshold"))
SEEDS = (0, 1, 2)
PICTURES = ("--dataset folder --data {pictures} --limit-train 5000 --limit-test 2000 --channels 8 --batch-size 50 --epochs 8 "
            "--compile")
OBJECTS = "--dataset folder --data {objects} --channels 8 --epochs 8 --batch-size 20 --compile"


def arm(name):
    threshold, width = ARMS[name]
    return f"--threshold {threshold} --width {width}"


def commands():
    """{name: script and flags}, the runs that the figures need first."""
    runs = {}
    for seed in SEEDS:
        for name in ARMS:
            runs[f"pictures-{name}-{seed}"] = f"train_cifar.py {PICTURES} {arm(name)} --seed {seed}"
    for scale in (0.25, 0.5, 2, 4):                               # when does it beat vanilla? batch norm's initial scale
        for name in ("vanilla", "both"):
            runs[f"scale-{scale}-{name}"] = f"train_cifar.py {PICTURES} {arm(name)} --bn-scale {scale}"
    for seed in SEEDS:
        for name in ARMS:
            runs[f"objects-{name}-{seed}"] = f"train_dvs.py {OBJECTS} {arm(name)} --seed {seed}"
    for f_c in (0.6, 0.8, 1.2, 1.5):                              # Fig. 12
        runs[f"f_c-{f_c}"] = f"train_cifar.py {PICTURES} --f-c {f_c}"
    for momentum in ("none", 0.5, 0.02):                          # Figs. 7 and 13
        runs[f"momentum-{momentum}"] = f"train_cifar.py {PICTURES} --momentum {momentum}"
    runs["estimated"] = f"train_cifar.py {PICTURES} --threshold estimated"                 # Fig. 7
    runs["learned"] = f"train_cifar.py {PICTURES} --threshold learned --width fixed"       # Table 2, a DIET-SNN-like neuron
    runs["std"] = f"train_cifar.py {PICTURES} --width std"                                 # the released code's width
    for T in (4,):
        for name in ("vanilla", "both"):
            runs[f"T-{T}-{name}"] = f"train_cifar.py {PICTURES} {arm(name)} --T {T}"
    for decay in (1e-3, 5e-3):
        for name in ("vanilla", "both"):                          # potentials more concentrated than the threshold
            runs[f"decay-{decay}-{name}"] = f"train_cifar.py {PICTURES} {arm(name)} --weight-decay {decay}"
    runs["T-10-vanilla"] = f"train_cifar.py {PICTURES} {arm('vanilla')} --T 10 --epochs 2".replace("--epochs 8 ", "")   # Fig. 2
    runs["T-10-both"] = f"train_cifar.py {PICTURES} {arm('both')} --T 10 --epochs 2".replace("--epochs 8 ", "")
    return runs


def train(name, command, options):
    folder = RUNS / name
    if (folder / "log.csv").exists():
        return name, "there"
    script, *flags = command.format(pictures=options.pictures, objects=options.objects).split()
    out = options.work / name
    place = ["--resume", out] if (out / "last.pt").exists() else [*flags, "--out", out]
    done = subprocess.run([sys.executable, ROOT / script, *place], env=os.environ | dict(OMP_NUM_THREADS="1"), text=True,
                          capture_output=True)
    if done.returncode:
        return name, f"failed: {done.stderr.strip().splitlines()[-1]}"
    folder.mkdir(parents=True, exist_ok=True)
    about = json.loads((out / "config.json").read_text())
    versions = ", ".join(f"{key} {about[key]}" for key in ("python", "torch", "torchvision", "git", "device"))
    (folder / "command.txt").write_text(f"python {command}\n{datetime.date.today()}, {versions}\n")
    for file in ("layers.csv", "log.csv"):                        # log.csv last: it says that the run is there
        shutil.copy(out / file, folder / file)
    return name, done.stdout.strip().splitlines()[-1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("pictures", "objects", "work"):
        parser.add_argument(name, type=lambda text: pathlib.Path(text).resolve())
    parser.add_argument("--only", default="", help="runs whose name contains this")
    options = parser.parse_args()
    wanted = {name: command for name, command in commands().items() if options.only in name}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for name, line in pool.map(lambda item: train(*item, options), wanted.items()):
            print(f"{name}: {line}", flush=True)
