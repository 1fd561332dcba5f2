"""The evidence: every run's command is one that the scripts take, the page's tables are what the
committed logs say, and each of its figures has a verdict."""

import csv
import importlib
import re
import statistics
import sys

import pytest
from conftest import ROOT

import train_cifar
import train_dvs

RESULTS = ROOT / "experiments" / "results"


@pytest.fixture
def train_all(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    yield importlib.import_module("train_all")
    sys.modules.pop("train_all")


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
    assert all(name.startswith(("recipe-", "equal-", "whole-")) for name in pending)
    for name in there:
        command = commands[name]
        ran = (RESULTS / "runs" / name / "command.txt").read_text().splitlines()[0]
        assert settings(ran.partition("python ")[2]) == settings(command), name
        # layers.csv: before and since tau and gamma
        for file, figures in (("log", [8]), ("layers", [10, 12])):
            rows = logged(name, file)
            assert int(rows[-1]["epoch"]) == settings(command).epochs, name
            assert len(rows[0]) in figures and {len(row) for row in rows} == {len(rows[0])}, name


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
    for name, cell in zip(("vanilla", "AT", "TGO", "both"), cells):
        if cell != "not run":
            runs = [f"{data}-{name}-{seed}" for seed in range(3)]
            scores = [100 * float(logged(run, "log")[-1]["test_accuracy"]) for run in runs]
            assert cell == f"{statistics.mean(scores):.1f} +- {statistics.stdev(scores):.1f}"
    assert cells[0] != "not run" != cells[3]


def test_the_other_tables_of_the_page_are_what_the_logs_say(monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    figures = importlib.import_module("figures")
    monkeypatch.setattr(figures, "save", lambda figure, name: figures.plt.close(figure))
    text = (ROOT / "experiments" / "README.md").read_text()
    for part in figures.PARTS:
        assert f"<!-- {part.__name__} -->\n\n{part()}\n" in text, part.__name__
    sys.modules.pop("figures")


def test_every_figure_is_on_the_page_with_its_source_and_a_verdict():
    text = (ROOT / "experiments" / "README.md").read_text()
    shown = set(re.findall(r"\]\(results/([^)]*\.png)\)", text))
    assert {path.name for path in RESULTS.glob("*.png")} == shown
    sections = [part for part in re.split(r"^## ", text, flags=re.M)[1:] if "<!-- end -->" in part]
    assert len(sections) >= 10
    ours = ("When does it beat vanilla, and by how much?", "Beyond the paper")
    verdict = r"\*\*(Reproduced|Not reproduced|Not testable at this scale)\b"
    made = r"`python experiments/.*`, 20\d\d-\d\d-\d\d"
    for part in sections:
        title = part.splitlines()[0]
        assert title in ours or re.search(verdict, part), title
        for table in re.findall(r"<!-- \w+ -->(.*?)<!-- end -->", part, re.S):
            assert "|" in table and re.search(made, table), title


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
