"""What the README says can be typed."""
import re
import shlex
import subprocess

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


@pytest.mark.parametrize("script, least", [(train_cifar, 4), (train_dvs, 4)])
def test_every_command_in_the_readme_and_the_docstrings_parses(script, least, monkeypatch):
    monkeypatch.setattr(script, "load", lambda *_: (None, None))
    monkeypatch.setattr(script, "compare", lambda *_: reached.append("demo"))
    monkeypatch.setattr(script, "fit", lambda *_, **__: reached.append("fit"))
    for name in ("simulate", "simulated"):
        monkeypatch.setattr(script, name, lambda *_: None, raising=False)
    reached, name = [], script.__name__
    commands = re.findall(rf"python {name}\.py([^`|&\n]*)", TEXT) + re.findall(rf"    python {name}\.py((?: \S+)*)  ", script.__doc__)
    assert len(commands) >= least
    for command in commands:
        script.main(shlex.split(command))
    assert len(reached) == len(commands) and "demo" in reached


def test_ci_runs_the_readmes_test_command():
    script = (ROOT / ".ci" / "run").read_text()
    command = subprocess.run(["grep", "-m", "1", "--", "-m pytest", str(ROOT / "README.md")], capture_output=True, text=True).stdout
    assert "grep -m 1 -- '-m pytest' README.md" in script and 'eval "$command"' in script
    assert command.startswith("python3 -m venv .venv && ") and command.rstrip().endswith("-m pytest -q")
