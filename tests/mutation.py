"""Does the suite catch broken code? `python tests/mutation.py` breaks the project on purpose, one line
at a time in a temporary copy, runs the tests that look at that line, and prints which one caught it.

    --list            what is broken where, without running anything
    --only PATTERN    only mutants whose name or function matches (as in a shell: * and ?)

A mutant is found in the code as `ast.unparse` prints it, within a named function ("" is the whole
file, a class may stand for its body), so comments and line breaks may change. Exit code 1: a mutant
survived, or the unbroken code fails. Exit code 2: mutants that are no longer found, all listed.
"""

import argparse
import ast
import contextlib
import fnmatch
import gc
import os
import pathlib
import re
import shlex
import shutil
import signal
import sys
import tempfile
import time

os.environ["OMP_NUM_THREADS"] = "1"  # one mutant per core
os.environ["HYPOTHESIS_PROFILE"] = "mutants"

# imported once, not for every mutant
import hypothesis.extra.numpy  # noqa: E402, F401
import pytest  # noqa: E402
import scipy.stats  # noqa: E402, F401
import torch  # noqa: E402, F401
import torchvision  # noqa: E402, F401

from mutants import MUTANTS  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
SECONDS = 1.0  # a mutant takes this long on one core, on average
LIMIT = 300  # seconds, for mutants that never end


def find(tree, name):
    """The node of "function", "Class.method", "outer.inner" or, for "", the whole file."""
    for part in filter(None, name.split(".")):
        inside = [node for node in tree.body if getattr(node, "name", None) == part]
        found = inside or [node for node in ast.walk(tree) if getattr(node, "name", None) == part]
        if len(found) != 1:
            raise LookupError(f"{len(found)} places are called {part}")
        tree = found[0]
    return tree


def broken(file, function, old, new):
    """The text of `file` with `old`, which must stand exactly once in `function`, replaced."""
    tree = ast.parse((ROOT / file).read_text())
    node = find(tree, function)
    text = ast.unparse(node)
    if text.count(old) != 1:
        raise LookupError(f"{old!r} stands {text.count(old)} times")
    other = ast.parse(text.replace(old, new))
    if ast.dump(other) == ast.dump(ast.parse(text)):
        raise LookupError(f"{new!r} changes nothing")
    node.__dict__.update((other if node is tree else other.body[0]).__dict__)
    return ast.unparse(tree)


def start(file, tests, text):
    """Forks a process that runs pytest on a copy of the project whose `file` holds `text`."""
    folder = tempfile.mkdtemp()
    for path in ROOT.glob("*.[pm][yd]"):
        shutil.copy(path, folder)
    for part in ("tests", "experiments"):
        ignored = shutil.ignore_patterns("__pycache__", "results")
        shutil.copytree(ROOT / part, f"{folder}/{part}", ignore=ignored)
    pathlib.Path(folder, file).write_text(text)
    process = os.fork()
    if process:
        return process, (folder, tests)
    os.setsid()  # a test that ends its process group ends this mutant alone
    signal.alarm(LIMIT)
    log = os.open(f"{folder}/log", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(folder)
    files = [f"tests/{word}" if ".py" in word else word for word in shlex.split(tests)]
    flags = "-xq -p no:cacheprovider --capture=fd --assert=plain".split()  # as quick as can be
    os._exit(pytest.main([*flags, *files]))


def caught_by(folder, tests, status):
    """The test that failed in the process that ended with `status`; None if none did."""
    output = pathlib.Path(folder, "log").read_text()
    shutil.rmtree(folder, ignore_errors=True)
    failed = re.search(r"^(?:FAILED|ERROR) tests/(\S+)", output, re.M)
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGALRM:
        return f"nothing within {LIMIT} s"
    if code < 0:
        return f"signal {-code}, which ended the tests"
    if code not in (0, 1) or (code == 1) != bool(failed):
        sys.exit(f"pytest ended with {code} for {tests}:\n{output[-3000:]}")
    return failed and failed.group(1)


def run(jobs, cores):
    """Yields (label, what caught it, seconds) for each of `jobs`, `cores` of them at a time."""
    waiting = list(reversed(jobs))
    running = {}
    while waiting or running:
        while waiting and len(running) < cores:
            label, *job = waiting.pop()
            process, what = start(*job)
            running[process] = label, what, time.monotonic()
        process, status = os.wait()
        label, what, since = running.pop(process)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)  # what its tests have left behind
        yield label, caught_by(*what, status), time.monotonic() - since


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--only", default="*", metavar="PATTERN")
    asked = parser.parse_args()
    jobs = []
    lost = []
    for file, function, tests, changes in MUTANTS:
        for name, old, new, *narrow in changes:
            label = f"{file}:{function}: {name}"
            try:
                text = broken(file, function, old, new)
            except (LookupError, SyntaxError) as error:
                lost.append(f"{label}: {error}")
                continue
            if any(fnmatch.fnmatch(x, asked.only) for x in (name, function, label)):
                jobs.append((label, file, *(narrow or [tests]), text))
    if lost:
        print("not found:", *lost, sep="\n  ", file=sys.stderr)
        sys.exit(2)
    if asked.list:
        for label, _, tests, _ in jobs:
            print(f"{label}    [{tests}]")
        print(f"{len(jobs)} mutants")
        return
    cores = os.cpu_count() or 1
    minutes = len(jobs) * SECONDS / cores / 60 + 1
    print(f"{len(jobs)} mutants, about {minutes:.0f} minutes on {cores} cores", flush=True)
    files = {word for _, _, tests, _ in jobs for word in shlex.split(tests) if ".py" in word}
    quick = " ".join(sorted({file.partition("::")[0] for file in files})) + " -m 'not slow'"
    plain = (ROOT / "dsatgo.py").read_text()
    jobs.insert(0, ("the unbroken code", "dsatgo.py", quick, plain))  # as it should be
    survivors = 0
    gc.freeze()  # no mutant looks again through all that was imported
    for label, test, seconds in run(jobs, cores):
        if label == "the unbroken code":
            if test:
                sys.exit(f"{label} fails {test}")
            continue
        survivors += not test
        print(f"{label:75} {test or 'SURVIVED'}    {seconds:.1f} s", flush=True)
    print(f"{len(jobs) - 1 - survivors} of {len(jobs) - 1} mutants caught")
    sys.exit(survivors > 0)


if __name__ == "__main__":
    main()
