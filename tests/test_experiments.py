"""The evidence: every run's command is one that the scripts take, the page's tables are what the
committed logs say, and each of its figures has a verdict."""

import argparse
import csv
import importlib
import math
import re
import shutil
import statistics
import subprocess
import sys
import tarfile

import pytest
import scipy.stats
import torch
from conftest import FOLDER, ROOT, SHARED, grey_pictures

import train_cifar
import train_dvs

RESULTS = ROOT / "experiments" / "results"
ARMS = ("vanilla", "both")


@pytest.fixture
def train_all(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    yield importlib.import_module("train_all")
    sys.modules.pop("train_all")


@pytest.fixture
def figures(monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    yield importlib.import_module("figures")
    sys.modules.pop("figures")


def settings(command):
    script, *flags = command.format(data="data", work="work").split()
    module = {"train_cifar.py": train_cifar, "train_dvs.py": train_dvs}[script]
    config, _ = train_cifar.parse(module.Settings, "", flags)
    return config


def logged(run, name):
    with open(RESULTS / "runs" / run / f"{name}.csv") as file:
        return list(csv.DictReader(file))


def test_the_runs_are_those_of_train_all(train_all):
    commands = train_all.commands()
    there = {path.name for path in (RESULTS / "runs").iterdir()}
    assert there <= set(commands)
    pending = set(commands) - there  # "not run" on the page
    assert all(name.startswith(("recipe-", "whole-")) for name in pending)
    for name in there:
        command = commands[name]
        ran = (RESULTS / "runs" / name / "command.txt").read_text().splitlines()[0]
        assert settings(ran.partition("python ")[2]) == settings(command), name
        # layers.csv: before and since tau and gamma
        for file, figures in (("log", [8]), ("layers", [10, 12])):
            rows = logged(name, file)
            assert int(rows[-1]["epoch"]) == settings(command).epochs, name
            assert len(rows[0]) in figures and {len(row) for row in rows} == {len(rows[0])}, name


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.pt")), ids=lambda path: path.stem)
def test_a_network_beside_the_page_is_that_of_its_run(path, train_all, tmp_path, capsys):
    assert path.stem in train_all.KEPT and path.stat().st_size < 1_000_000
    checkpoint = train_cifar.load_checkpoint(path)
    config = settings(train_all.commands()[path.stem])
    stored = checkpoint["config"]
    assert train_cifar.Settings(**stored | dict(data=config.data)) == config
    assert checkpoint["epoch"] == config.epochs and stored["data"] == "data"
    net, prepare = train_cifar.load_run(path)
    assert len(prepare.classes) == 10 and not net.training
    if not SHARED.is_dir():
        pytest.skip("no pictures beside the repository")
    with tarfile.open(SHARED / "cifar10-jpeg.tar") as archive:
        members = [one for one in archive if one.name.endswith(".jpg") and "test/" in one.name]
        archive.extractall(tmp_path, members[::5], filter="data")
    train_cifar.main(["--eval", str(path), "--data", str(tmp_path), "--no-compile"])
    accuracy = float(re.search(r"test accuracy ([\d.]+)%", capsys.readouterr().out)[1])
    logged_ = 100 * float(logged(path.stem, "log")[-1]["test_accuracy"])
    assert accuracy == pytest.approx(logged_, abs=5)  # 1,000 of its 5,000 pictures


def test_at_full_scale_the_runs_are_the_recipes_of_the_paper(train_all):
    runs = train_all.commands(full=True)
    assert set(runs) < set(train_all.commands())
    assert not {"long-both-0", "simulated-both-0"} & set(runs)
    assert settings(runs["pictures-both-0"]) == train_cifar.Settings(data="data/cifar10")
    vanilla = dict(threshold="fixed", width="fixed", seed=1)
    paper = train_dvs.Settings(data="data/cifar10-dvs", **vanilla)
    assert settings(runs["objects-vanilla-1"]) == paper
    for name, command in runs.items():
        assert settings(command).epochs == 400 and settings(command).limit_train is None, name


@pytest.mark.parametrize(
    "title, data",
    [
        ("CIFAR-10 pictures", "pictures"),
        ("five objects, DVS128 camera", "objects"),
        ("N-MNIST", "nmnist"),
        ("simulated camera", "simulated"),
    ],
)
def test_table_1_of_the_page_is_what_the_logs_say(title, data):
    page = (ROOT / "experiments" / "README.md").read_text()
    text = page.partition("<!-- arms -->")[2].partition("<!-- end -->")[0]
    cells = re.search(rf"^\| {re.escape(title)} \| (.*) \|$", text, re.M)[1].split(" | ")
    assert cells.pop(0) == "test accuracy, %"
    for name, cell in zip(("vanilla", "AT", "TGO", "both"), cells):
        if cell != "not run":
            runs = [f"{data}-{name}-{seed}" for seed in range(3)]
            scores = [100 * float(logged(run, "log")[-1]["test_accuracy"]) for run in runs]
            mean = f"{statistics.mean(scores):.1f} +- {statistics.stdev(scores):.1f}"
            assert cell == mean
    assert cells[0] != "not run" != cells[3]


def test_the_other_tables_of_the_page_are_what_the_logs_say(figures, monkeypatch):
    monkeypatch.setattr(figures, "save", lambda figure, name: figures.plt.close(figure))
    text = (ROOT / "experiments" / "README.md").read_text()
    for part in figures.PARTS:
        assert f"<!-- {part.__name__} -->\n\n{part()}\n" in text, part.__name__


def test_every_figure_is_on_the_page_with_its_source_and_a_verdict():
    text = (ROOT / "experiments" / "README.md").read_text()
    shown = set(re.findall(r"\]\(results/([^)]*\.png)\)", text))
    assert {path.name for path in RESULTS.glob("*.png")} == shown
    sections = [part for part in re.split(r"^## ", text, flags=re.M)[1:] if "<!-- end -->" in part]
    assert len(sections) >= 10
    ours = ("When does it beat vanilla, and by how much?", "Beyond the paper")
    verdict = r"\*\*(Reproduced|Not reproduced|Undecided|Not testable at this scale)\b"
    made = r"`python experiments/.*`, 20\d\d-\d\d-\d\d"
    for part in sections:
        title = part.splitlines()[0]
        assert title in ours or re.search(verdict, part), title
        for table in re.findall(r"<!-- \w+ -->(.*?)<!-- end -->", part, re.S):
            shown, fold, hidden = table.partition("<details><summary>")
            assert "|" in shown and not re.search(made, shown), title
            assert re.search(made, hidden) and hidden.count("</details>") == 1, title


def test_each_verdict_says_what_would_change_it():
    text = (ROOT / "experiments" / "README.md").read_text()
    first, terms, verdicts, *_ = re.split(r"^## ", text, flags=re.M)
    assert terms.startswith("Terms") and verdicts.startswith("Verdicts")
    head, _, *rows = re.findall(r"^\|(.*)\|$", verdicts, re.M)
    assert head.split("|")[-2:] == [" verdict ", " what would change it "]
    assert len(rows) >= 15
    allowed = r"(not reproduced|undecided|reproduced)\b"
    for row in rows:
        *_, verdict, change = row.split(" | ")
        assert len(row.split(" | ")) == 5 and re.match(allowed, verdict), row
        assert len(change) > 10 or verdict.startswith("reproduced"), row
    assert "within a seed" not in text.partition("## Expected")[0]


def test_a_run_is_known_by_its_name_and_seed(figures, train_all):
    for run, command in train_all.commands().items():
        name, seed = figures.seed_of(run)
        assert seed == settings(command).seed, run
        assert run in (name, f"{name}-{seed}")


def test_the_runs_that_have_ended_are_those_with_a_log(figures, monkeypatch, tmp_path):
    for run in ("recipe-std-2", "recipe-std-0", "recipe-std-x", "recipe-stdx-1", "recipe-wide-std"):
        (tmp_path / "runs" / run).mkdir(parents=True)
        (tmp_path / "runs" / run / "log.csv").touch()
    (tmp_path / "runs" / "recipe-std-1").mkdir()  # not ended
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    assert figures.ended("recipe-std") == {0: "recipe-std-0", 2: "recipe-std-2"}
    assert figures.ended("recipe-wide-std") == {0: "recipe-wide-std"}
    assert figures.ended("recipe-both") == {}


def test_the_recipes_table_takes_whatever_has_ended(figures, monkeypatch, tmp_path):
    """One seed, then three of vanilla and two of AT+TGO: paired by the seeds that both have."""
    arms = dict(vanilla=(0.5, 0.6, 0.7), both=(0.4, 0.4))
    for arm, accuracies in arms.items():
        for seed, accuracy in enumerate(accuracies):
            folder = tmp_path / "runs" / f"recipe-{arm}-{seed}"
            shutil.copytree(RESULTS / "runs" / f"recipe-{arm}-0", folder)
            text = (folder / "log.csv").read_text().splitlines()
            head, last = text[0].split(","), text[-1].split(",")
            last[head.index("test_accuracy")] = str(accuracy)
            (folder / "log.csv").write_text("\n".join([*text[:-1], ",".join(last)]))
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    monkeypatch.setattr(figures, "save", lambda figure, name: figures.plt.close(figure))
    table, _, _ = figures.recipe().partition("\n\n")
    rows = {row.split(" | ")[0]: row.split(" | ")[1:4] for row in table.splitlines()}
    assert rows["| vanilla"] == ["3", "60.0 +- 10.0", "-"]
    low, half = statistics.mean((-10, -20)), 12.7062 * 5  # Student, one degree of freedom
    assert rows["| AT+TGO"] == ["2", "40.0 +- 0.0", f"{low:+.1f} +- {half:.1f}"]
    assert rows["| vanilla, kappa 2"][0] == "0" and rows["| vanilla, 16 channels"][1] == "not run"


def last(run, column):
    return float(logged(run, "log")[-1][column])


def test_the_search_is_paired_by_seed_and_names_each_arms_best(figures):
    table, _, scales = figures.equal().partition("\n\n")
    rows = {row.split(" | ")[0]: row.split(" | ")[1:] for row in table.splitlines()}
    count = int(re.search(r"ended: (\d) of 8", table)[1])
    names = [f"equal-{{}}-kappa-2-v_th-1-{seed}" for seed in range(count)]
    pairs = [[100 * last(name.format(arm), "test_accuracy") for name in names] for arm in ARMS]
    points = [b - a for a, b in zip(*pairs)]
    half = scipy.stats.t.ppf(0.975, count - 1) * statistics.stdev(points) / math.sqrt(count)
    found = rows["| kappa 2, V_th 1"]
    assert found[2] == f"{statistics.mean(points):+.1f} +- {half:.1f}"
    (best,) = (row for title, row in rows.items() if title.startswith("| each arm's best"))
    for i in range(2):
        means = [
            float(row[i].split()[0])
            for title, row in rows.items()
            if " decay" in title or "kappa" in title
        ]
        assert float(best[i].split()[0]) == max(means)
    assert len(rows) == 12 and scales.count("scale") == 5


def test_the_gap_is_that_of_five_epochs_training_accuracy(figures):
    rows = [row.split(" | ") for row in figures.gaps({0: "recipe-vanilla-0"}).splitlines()]
    rates = {}
    for arm in ARMS:
        log = logged(f"recipe-{arm}-0", "log")
        rates[arm] = [
            100 * float(row["train_accuracy"]) for row in log if 16 <= int(row["epoch"]) <= 20
        ]
    gap = f"{statistics.mean(rates['both']) - statistics.mean(rates['vanilla']):+.1f}"
    row = next(row for row in rows if row[0] == "| AT+TGO")
    assert row[2] == f"{gap} ({gap} to {gap})", "one seed: mean and both ends of the range"


def test_e_is_the_sum_of_learning_rate_times_decay_over_one_minus_momentum(figures):
    rates = sum(0.05 * (1 + math.cos(math.pi * epoch / 400)) for epoch in range(400))
    assert figures.exposure("recipe-both-0") == pytest.approx(100 * rates * 1e-4 / 0.1, rel=1e-9)
    assert 0.044 < figures.exposure("pictures-both-0") < 0.046
    assert 10.4 < figures.exposure("long-both-0") < 10.6
    assert math.isnan(figures.exposure("objects-both-0"))


def test_a_check_names_the_first_figure_that_differs(train_all, tmp_path):
    head = "epoch,loss,test_accuracy,seconds\n"
    for name, seconds in (("one", 5), ("other", 9)):
        (tmp_path / name).mkdir()
        for log in ("log.csv", "layers.csv"):
            (tmp_path / name / log).write_text(f"{head}1,0.5,0.1,{seconds}\n2,0.25,0.3,{seconds}\n")
    one, other = tmp_path / "one", tmp_path / "other"
    assert train_all.difference(one, other) is None, "timings are no difference"
    text = (other / "layers.csv").read_text()
    (other / "layers.csv").write_text(text.replace("0.3", "0.30000000000000004"))
    found = train_all.difference(one, other)
    assert found == "layers.csv, epoch 2: test_accuracy 0.30000000000000004, 0.3 there"
    (other / "layers.csv").write_text(text.rpartition("2,")[0])
    assert "layers.csv, epoch 2: epoch None, 2 there" == train_all.difference(one, other)


FULL = """
import argparse, pathlib, sys, train_all
train_all.train = lambda *_: "trained"
options = argparse.Namespace(data=None, work=pathlib.Path(sys.argv[1]), again=False, full=True)
options.only = "^(pictures-both-0|T-4-both|objects-both-0)$"
train_all.main(options)
"""


def test_full_scale_says_what_it_takes_before_it_begins(tmp_path):
    """In a process of its own: one that has had fake tensors cannot be forked by other tests."""
    command = [sys.executable, "-c", FULL, tmp_path]
    done = subprocess.run(command, cwd=ROOT / "experiments", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = done.stdout
    paper = 400 * 74 / 3600
    assert f"pictures-both-0: {paper:.1f} h\n" in said
    assert f"T-4-both: {2 * paper:.1f} h\n" in said
    events = paper * 0.74 / 1.37  # PFLOP an epoch, as in the README
    hours = re.search(r"objects-both-0: ([\d.]+) h", said)[1]
    assert float(hours) == pytest.approx(events, abs=0.1)
    assert re.search(r"3 runs, (\d+) h", said)[1] == f"{3 * paper + events:.0f}"
    assert said.index("left out: simulated-*") < said.index("1/3 after 0.0 h")


def test_a_check_trains_where_the_log_was_made(train_all, monkeypatch):
    """A machine with a GPU would use it, and differ."""
    given = []

    def started(*_, **environment):
        given.append(environment)
        return subprocess.CompletedProcess([], 1, "", "not trained here")

    monkeypatch.setattr(train_all.subprocess, "run", lambda *_, **more: None)
    monkeypatch.setattr(train_all, "started", started)
    for name in ("recipe-kappa-1", "recipe-kappa-5"):
        assert train_all.check(name, argparse.Namespace(data="data", work="work"))
    assert given == [dict(CUDA_VISIBLE_DEVICES=""), {}]


@pytest.fixture
def one_thread():
    """As side_by_side.py trains: with two, sums have another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    "flags, words",
    [
        ([], "nothing: must be train_cifar.py or train_dvs.py"),
        (["dsatgo.py"], "dsatgo.py: must be"),
        (["train_cifar.py", *FOLDER, "--dataset", "shapes", "--limit-train", "4"], "got cpu"),
    ],
)
def test_a_recorded_step_needs_a_script_and_a_gpu(flags, words, tmp_path):
    script = ROOT / "experiments" / "graphed.py"
    command = [sys.executable, str(script), *flags]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and words in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("begun", [False, True])
def test_runs_side_by_side_are_those_that_go_alone(
    begun, train_all, tmp_path, monkeypatch, one_thread
):
    """Same logs to the last digit: augmented pictures are the same whoever makes them."""
    sys.modules.pop("side_by_side", None)  # it would hold another train_all
    side_by_side = importlib.import_module("side_by_side")
    flags = f"--dataset folder --data {grey_pictures(tmp_path, 24)} {' '.join(FOLDER)} --epochs 3"
    commands = {
        f"whole-{arm}-{seed}": f"train_cifar.py {flags} {train_all.arm(arm)} --seed {seed}"
        for arm in ("vanilla", "both")
        for seed in range(2)
    }
    monkeypatch.setattr(train_all, "commands", lambda: commands)
    monkeypatch.setattr(train_all, "RUNS", tmp_path / "together")
    monkeypatch.setattr(train_all, "KEPT", ())
    monkeypatch.setattr(side_by_side.Shared, "CHUNK", 7)
    options = argparse.Namespace(data=tmp_path, work=tmp_path / "work", only="^whole", processes=3)
    for name, command in commands.items():
        flags = command.split()[1:]
        train_cifar.main([*flags, "--out", str(tmp_path / "alone" / name)])
        if begun:
            train_cifar.main([*flags, "--out", str(options.work / name), "--stop-after", "1"])
    assert not side_by_side.main(options)
    for name, command in commands.items():
        assert train_all.difference(tmp_path / "together" / name, tmp_path / "alone" / name) is None
        written = (tmp_path / "together" / name / "command.txt").read_text()
        assert written.startswith(f"python {command}\n")
        assert written.endswith("device cpu, in side_by_side.py\n")
    some = {f"some-{seed}": f"{command} --limit-train 10 --seed {seed}" for seed in range(2)}
    commands |= {"other-0": command, "other-1": some["some-1"]} | some
    for options.only in ("other", "some"):  # other pictures, and those that other seeds draw
        with pytest.raises(ValueError, match=f"--only {options.only}: .* in their seed"):
            side_by_side.main(options)
    options.only = "some-1"
    train_cifar.main([*some["some-1"].split()[1:], "--out", str(tmp_path / "alone" / "some-1")])
    assert not side_by_side.main(options)
    both = (tmp_path / place / "some-1" for place in ("together", "alone"))
    assert train_all.difference(*both) is None


@pytest.mark.slow
def test_a_run_side_by_side_does_not_wait_for_pictures_that_nobody_makes(
    train_all, tmp_path, monkeypatch
):
    sys.modules.pop("side_by_side", None)
    side_by_side = importlib.import_module("side_by_side")
    flags = f"--dataset folder --data {grey_pictures(tmp_path, 24)} {' '.join(FOLDER)}"
    monkeypatch.setattr(train_all, "commands", lambda: {"whole-0": f"train_cifar.py {flags}"})
    monkeypatch.setattr(train_all, "RUNS", tmp_path / "together")
    monkeypatch.setattr(side_by_side, "make_share", lambda *_: sys.exit(3))
    options = argparse.Namespace(data=tmp_path, work=tmp_path / "work", only="", processes=2)
    assert side_by_side.main(options)
    assert not (tmp_path / "together").exists()
