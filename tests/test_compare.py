"""experiments/compare.py: arms, means and intervals of run folders by hand."""

import importlib
import json

import pytest
from conftest import ROOT

import train_cifar


@pytest.fixture
def compare(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    return importlib.import_module("compare")


@pytest.fixture
def runs(tmp_path):
    """Vanilla at 50 and 54 %, AT+TGO at 51 and 57 %; the folder and the device are no difference."""
    made = []
    for threshold, width, scores in (("fixed", "fixed", (50, 54)), ("true", "threshold", (51, 57))):
        for seed, score in enumerate(scores):
            out = tmp_path / f"{threshold}-{seed}"
            out.mkdir()
            settings = dict(
                threshold=threshold, width=width, seed=seed, lr=0.1, epochs=2, out=str(out)
            )
            settings |= dict(device=f"cuda:{seed}", workers=seed)
            (out / "config.json").write_text(json.dumps(dict(settings=settings)))
            head = "epoch,loss,train_accuracy,test_accuracy\n1,2.5,0.1,0.9\n"
            (out / "log.csv").write_text(f"{head}2,{1 + seed},0.4,{score / 100}\n")
            made.append(out)
    return made


def test_arms_means_deviations_and_the_paired_interval(compare, runs, capsys):
    compare.main([str(run) for run in runs])
    head, vanilla, both = capsys.readouterr().out.splitlines()
    assert vanilla.split()[:2] == ["vanilla", "0,1"] and vanilla.split()[-1] == "-"
    for text in ("52.00 +- 2.83", "40.00 +- 0.00", "1.50 +- 0.71"):
        assert text in vanilla
    # differences 1 and 3: mean 2, deviation sqrt(2), its error 1, Student's t of one degree 12.706
    assert "AT+TGO" in both and both.endswith("+2.00 +- 12.71 (2 seeds)")
    assert "54.00 +- 4.24" in both


def test_arms_are_named_by_what_differs(compare, runs):
    for run in runs[2:]:
        about = json.loads((run / "config.json").read_text())
        about["settings"] |= dict(threshold="fixed", width="fixed", lr=0.2)
        (run / "config.json").write_text(json.dumps(about))
    arms = compare.arms_of({run: compare.read(run) for run in runs})
    assert list(arms) == ["--lr 0.1", "--lr 0.2"]
    assert list(compare.arms_of({run: compare.read(run) for run in runs[:1]})) == ["all"]


def test_a_run_that_has_not_ended_is_named(compare, runs, capsys):
    about = json.loads((runs[1] / "config.json").read_text())
    for run in runs[:2]:
        about["settings"] |= dict(epochs=3, seed=runs.index(run))
        (run / "config.json").write_text(json.dumps(about))
    compare.main([str(run) for run in runs[:2]])
    assert capsys.readouterr().out.count("not ended, epoch 2 of 3") == 2


def test_seeds_that_do_not_pair(compare, runs, capsys):
    compare.main([str(runs[0]), str(runs[3])])
    assert capsys.readouterr().out.splitlines()[-1].endswith("no seed in common")
    compare.main([str(runs[0]), str(runs[2])])
    assert capsys.readouterr().out.splitlines()[-1].endswith("+1.00 (one seed)")


def test_what_is_no_run_or_twice_the_same_is_refused(compare, runs, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (runs[1] / "log.csv").write_text("epoch,loss,train_accuracy,test_accuracy\n")
    for wrong in (tmp_path / "none", tmp_path / "empty", runs[1]):
        with pytest.raises(SystemExit) as end:
            compare.main([str(runs[0]), str(wrong)])
        message = capsys.readouterr().err
        assert end.value.code == 2 and str(wrong) in message and message.count("\n") == 1
    with pytest.raises(SystemExit):
        compare.main([str(runs[0]), f"{runs[0]}/../{runs[0].name}"])
    assert "has seed 0" in capsys.readouterr().err


def test_curves_are_drawn(compare, runs, tmp_path):
    pytest.importorskip("matplotlib")
    compare.main([*map(str, runs), "--plot", str(tmp_path / "curves.png")])
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_of_the_script_is_read(compare, tmp_path, capsys):
    """The names of settings and columns are those that the scripts write."""
    flags = "--dataset shapes --channels 1 --limit-train 20 --limit-test 10 --epochs 1".split()
    train_cifar.main([*flags, "--batch-size", "10", "--out", str(tmp_path / "run")])
    capsys.readouterr()
    compare.main([str(tmp_path / "run")])
    assert capsys.readouterr().out.splitlines()[1].startswith("all  0      1 ")
