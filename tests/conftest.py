"""What every test shares: the project on the path, two threads, eager neurons, and hypothesis without dice in CI."""
import os
import pathlib
import sys

import hypothesis
import pytest
import torch

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import dsatgo  # noqa: E402

hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, max_examples=50)
hypothesis.settings.register_profile("long", deadline=None, max_examples=2000)      # HYPOTHESIS_PROFILE=long pytest
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(autouse=True)
def same_start():
    torch.manual_seed(0)
    yield
    dsatgo.compile_neurons(False)
