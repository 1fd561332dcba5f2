"""What the README says can be typed."""
import re
import shlex
import subprocess

from conftest import ROOT

import train_cifar

TEXT = (ROOT / "README.md").read_text()


def test_the_python_in_the_readme_runs(capsys):
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    assert blocks
    for block in blocks:
        exec(block, {})
    assert "tensor" in capsys.readouterr().out


def test_every_command_in_the_readme_parses(tmp_path, monkeypatch):
    monkeypatch.setattr(train_cifar, "load", lambda *_: (None, None))
    reached = []
    monkeypatch.setattr(train_cifar, "fit", lambda *_, **__: reached.append("fit"))
    monkeypatch.setattr(train_cifar, "compare", lambda *_: reached.append("demo"))
    commands = re.findall(r"python train_cifar\.py([^`|&\n]*)", TEXT)
    assert len(commands) >= 3
    for command in commands:
        if "..." not in command:
            train_cifar.main(shlex.split(command))
    assert reached.count("demo") >= 1


def test_ci_runs_the_readmes_test_command():
    script = (ROOT / ".ci" / "run").read_text()
    command = subprocess.run(["grep", "-m", "1", "--", "-m pytest", str(ROOT / "README.md")], capture_output=True, text=True).stdout
    assert "grep -m 1 -- '-m pytest' README.md" in script and 'eval "$command"' in script
    assert command.startswith("python3 -m venv .venv && ") and command.rstrip().endswith("-m pytest -q")
