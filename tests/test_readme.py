"""What the README says can be typed."""

import re
import shlex
from functools import partial

import pytest
from conftest import ROOT

import train_cifar
import train_dvs

TEXT = (ROOT / "README.md").read_text()


def test_the_python_in_the_readme_runs(capsys):
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    assert blocks
    for block in blocks:
        exec(block, {})
    assert "tensor" in capsys.readouterr().out


def commands(script):
    """The arguments of each command of the README and of the script's docstring, where two blanks
    end them."""
    start = rf"(?:python|torchrun [^`\n]*?) {script.__name__}\.py"
    found = re.findall(start + r"([^`|&\n]*)", TEXT)
    found += re.findall(rf"^    {start}((?: \S+)*)  ", script.__doc__, re.M)
    return [arguments for arguments in found if "..." not in arguments]


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
