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
import concurrent.futures
import fnmatch
import multiprocessing
import os
import pathlib
import re
import shlex
import shutil
import sys
import tempfile

from mutants import MUTANTS

ROOT = pathlib.Path(__file__).resolve().parent.parent
SECONDS = 3  # a mutant takes this long on one core, on average
LIMIT = 300  # seconds, for mutants that never end
FORK = multiprocessing.get_context("forkserver")  # imports PyTorch once, not for every mutant


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


def check(folder, tests, log):
    """Runs in a process of its own: pytest on the copy in `folder`."""
    with open(log, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(folder)
    multiprocessing.set_start_method(None, force=True)  # the tests' own processes: as usual
    os.environ["HYPOTHESIS_PROFILE"] = "mutants"
    import pytest

    files = [f"tests/{word}" if ".py" in word else word for word in shlex.split(tests)]
    os._exit(pytest.main(["-xq", "-p", "no:cacheprovider", "--capture=fd", *files]))


def caught_by(file, tests, text):
    """The test that fails when `text` is what `file` holds; None if none does."""
    with tempfile.TemporaryDirectory() as folder:
        for path in ROOT.glob("*.[pm][yd]"):
            shutil.copy(path, folder)
        for part in ("tests", "experiments"):
            ignored = shutil.ignore_patterns("__pycache__", "results")
            shutil.copytree(ROOT / part, f"{folder}/{part}", ignore=ignored)
        pathlib.Path(folder, file).write_text(text)
        log = pathlib.Path(folder, "log")
        process = FORK.Process(target=check, args=(folder, tests, log))
        process.start()
        process.join(LIMIT)
        if process.is_alive():
            process.kill()
            return f"nothing within {LIMIT} s"
        output = log.read_text()
    failed = re.search(r"^(?:FAILED|ERROR) tests/(\S+)", output, re.M)
    if process.exitcode < 0:
        return f"signal {-process.exitcode}, which ended the tests"
    if process.exitcode not in (0, 1) or (process.exitcode == 1) != bool(failed):
        raise RuntimeError(f"pytest ended with {process.exitcode} for {tests}:\n{output[-3000:]}")
    return failed and failed.group(1)


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
    FORK.set_forkserver_preload(["torch", "torchvision", "scipy.stats", "pytest"])
    with concurrent.futures.ThreadPoolExecutor(cores) as pool:
        plain = (ROOT / "dsatgo.py").read_text()
        files = {word for _, _, tests, _ in jobs for word in shlex.split(tests) if ".py" in word}
        quick = " ".join(sorted({file.partition("::")[0] for file in files})) + " -m 'not slow'"
        unbroken = pool.submit(caught_by, "dsatgo.py", quick, plain)  # as it should be
        runs = [pool.submit(caught_by, file, tests, text) for _, file, tests, text in jobs]
        survivors = 0
        for (label, *_), run in zip(jobs, runs):
            survivors += not run.result()
            print(f"{label:75} {run.result() or 'SURVIVED'}", flush=True)
    if unbroken.result():
        sys.exit(f"the unbroken code fails {unbroken.result()}")
    print(f"{len(jobs) - survivors} of {len(jobs)} mutants caught")
    sys.exit(survivors > 0)


if __name__ == "__main__":
    main()
