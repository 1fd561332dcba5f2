"""What the README says can be typed."""

import re
import shlex
from functools import partial

import mutation
import pytest
import torch
from conftest import ROOT
from torchvision.transforms.functional import to_pil_image

import train_cifar
import train_dvs

TEXT = (ROOT / "README.md").read_text()


BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.S)


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """The run and the picture that the README speaks of, in the working directory."""
    monkeypatch.chdir(tmp_path)
    small = "--dataset shapes --channels 1 --epochs 1 --limit-train 20 --limit-test 10".split()
    name = "runs/cifar10-resnet19-true-threshold-0"
    train_cifar.main([*small, "--batch-size", "10", "--out", name])
    to_pil_image(train_cifar.draw_shapes(1, 0)[0][0]).save("picture.png")


@pytest.mark.parametrize("block", BLOCKS)
def test_the_python_in_the_readme_runs(block, trained, capsys):
    torch.manual_seed(0)
    capsys.readouterr()
    exec(block, {})
    out = capsys.readouterr().out
    assert "tensor" in out or "accuracy" in out
    assert "False" not in out


def test_the_readme_names_as_many_faults_as_there_are():
    count = sum(len(changes) for *_, changes in mutation.MUTANTS)
    assert re.search(rf"\b{count}\s+faults", TEXT)


def test_the_readme_s_figures_are_those_of_the_evidence_page():
    page = (ROOT / "experiments" / "README.md").read_text()
    table = TEXT.partition("## Results")[2].partition("## ")[0]
    figures = re.findall(r"\d+\.\d \+- \d+\.\d", table)
    assert len(figures) >= 18
    assert not [figure for figure in figures if figure not in page]


def commands(script):
    """The arguments of each command of the README and of the script's docstring, where two blanks
    end them."""
    start = rf"(?:python|torchrun [^`\n]*?) {script.__name__}\.py"
    found = re.findall(start + r"([^`|&\n]*)", TEXT)
    found += re.findall(rf"^ *{start}((?: \S+)*)  ", script.__doc__, re.M)
    return [arguments.replace("$seed", "0") for arguments in found if "..." not in arguments]


@pytest.mark.parametrize("script", [train_cifar, train_dvs])
def test_every_command_in_the_readme_and_the_docstrings_gets_to_its_work(script, monkeypatch):
    reached = []

    def note(name, *_, **__):
        reached.append(name)

    for module in (train_cifar, train_dvs):  # wherever what they share lives
        for name in ("load", "simulate", "simulated", "download"):
            monkeypatch.setattr(module, name, lambda *_: (None, None), raising=False)
        for name in ("fit", "compare"):
            monkeypatch.setattr(module, name, partial(note, name), raising=False)
    given = commands(script)
    assert len(given) >= 5
    for arguments in given:
        script.main(shlex.split(arguments))
        assert reached.pop() == ("compare" if "--demo" in arguments else "fit"), arguments
        assert not reached
