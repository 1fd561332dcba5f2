"""Does the suite catch a broken method? `python tests/mutation.py` breaks dsatgo.py on purpose, one place at a time in a
temporary copy, runs the fast tests on it and prints which test caught it. A mutant that survives is a hole: exit code 1."""
import concurrent.futures
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SUITE = ["tests/test_neuron.py", "tests/test_networks.py", "tests/test_reference.py"]
FAST = ["-k", "not compil and not memorises and not export and not graph and not dtype1 and not alone"]

# what is broken, the text in dsatgo.py (it must stand there exactly once), what takes its place
MUTANTS = [
    ("a tie does not fire", "(u >= fire).to(wide)", "(u > fire).to(wide)"),
    ("fires at theta in TGO", 'rule.v_th) if rule.threshold == "fixed" else theta', 'rule.v_th) if False else theta'),
    ("sign in Eq. 7", "torch.tanh(theta - v_th)", "torch.tanh(v_th - theta)"),
    ("Eq. 7 without kappa", "(kappa * (1 + torch.tanh", "(1.0 * (1 + torch.tanh"),
    ("width not floored", ".clamp(min=FLOOR * kappa)", ""),
    ("no reset", "torch.addcmul(i, tau * u, 1 - s)", "(i + tau * u)"),
    ("soft reset", "torch.addcmul(i, tau * u, 1 - s)", "(i + tau * (u - s * rule.v_th))"),
    ("no potential carried over", "i if t == 0 else", "i if True else"),
    ("potential not rounded to the input's dtype", ".to(dtype).to(wide)", ""),
    ("compared in the input's dtype", "(u >= fire).to(wide)", "(u.to(dtype) >= fire.to(dtype)).to(wide)"),
    ("reset detached in the backward", "dst = torch.addcmul(dst, decayed, ut, value=-1)", "pass"),
    ("sign of the reset path", "torch.addcmul(dst, decayed, ut, value=-1)", "torch.addcmul(dst, decayed, ut)"),
    ("gradient not stopped by the reset", "du = torch.addcmul(dspike, decayed, kept)", "du = dspike + decayed"),
    ("no leak in the backward", "du = torch.addcmul(dspike, decayed, kept)", "du = torch.addcmul(dspike, du, kept)"),
    ("leak's gradient lost", "dtau + (du * ut * kept).sum()", "dtau + 0"),
    ("leak's gradient ignores the reset", "(du * ut * kept).sum()", "(du * ut).sum()"),
    ("sign of the learned threshold's gradient", "dtheta.append(-dspike.sum())", "dtheta.append(dspike.sum())"),
    ("width not halved", "<= width / 2)", "<= width)"),
    ("open window", "(u - theta).abs() <= width / 2", "(u - theta).abs() < width / 2"),
    ("surrogate of height 1", ".to(u.dtype) / width)", ".to(u.dtype))"),
    ("unbiased variance", "_mean((u - mean).square()).sqrt()", "u.std()"),
    ("one-pass variance", "_mean((u - mean).square()).sqrt()", "(_mean(u.square()) - mean ** 2).sqrt()"),
    ("variance without its root", "_mean((u - mean).square()).sqrt()", "_mean((u - mean).square())"),
    ("f_c on the mean alone", "f_c * (mean + _mean((u - mean).square()).sqrt())",
     "f_c * mean + _mean((u - mean).square()).sqrt()"),
    ("gradient through theta", "u = u.detach().to(torch.promote_types", "u = u.to(torch.promote_types"),
    ("statistics in half precision", "u = u.detach().to(torch.promote_types(u.dtype, torch.float32))", "u = u.detach()"),
    ("estimate without the square", "(1 + tau ** 2) ** 0.5", "(1 + tau) ** 0.5"),
    ("theta not floored", ".clamp(min=FLOOR * rule.v_th)", ""),
    ("NaN swallowed", "torch.addcmul((u >= fire).to(wide), u, theta - theta)", "(u >= fire).to(wide)"),
    ("momentum swapped", "m * theta + (1 - m) * old", "(1 - m) * theta + m * old"),
    ("NaN averaged in", "torch.where(finite, m * theta + (1 - m) * old, old)", "m * theta + (1 - m) * old"),
    ("running value used in training", "elif not self.training and self.momentum is not None:",
     "elif self.momentum is not None:"),
    ("momentum=None evaluates the running value", "elif not self.training and self.momentum is not None:",
     "elif not self.training:"),
    ("evaluation averages", "if self.adaptive and self.training and self.momentum is not None",
     "if self.adaptive and self.momentum"),
    ("recomputation averages again", " and not again:", ":"),
    ("updates not counted", "self.updates += finite.all()", "pass"),
    ("thresholds rounded by half()", "self.running_threshold = kept.to(self.running_threshold.device)", "pass"),
    ("no warning", "if self.updates == 0:", "if False:"),
    ("warns at every call", "self._unwarned = False ", "pass "),
    ("not warned again after loading", "        self._unwarned = True\n", "        pass\n"),
    ("running thresholds are no buffer", 'self.register_buffer("running_threshold", torch.full((T,), float(v_th), dtype=wide))',
     "self.running_threshold = torch.full((T,), float(v_th))"),
    ("sums, not means, of timesteps", "logits.flatten(0, 1), labels.repeat(len(logits))", "logits.sum(0), labels"),
    ("wrong T accepted", "current.dim() < 2 or current.shape[0] != self.T", "current.dim() < 2"),
    ("empty batch accepted", "current.numel() == 0 or not", "not"),
    ("integers accepted", " or not current.is_floating_point()", ""),
    ("vanilla computes statistics", '(threshold, width) == ("fixed", "threshold")', 'threshold == "fixed"'),
    ("twice differentiable, wrongly", "    @torch.autograd.function.once_differentiable\n", ""),
    ("channels-last copied", "*(rest if torch.compiler.is_compiling() else sorted(rest, key=x.stride, reverse=True))", "*rest"),
    ("readout of the last timestep", "return logits.mean(0)", "return logits[-1]"),
    ("TET weights swapped", "(1 - lam) * ce + lam *", "lam * ce + (1 - lam) *"),
    ("SEW without its sum", "self.conv2(self.conv1(x)) + self.skip(x)", "self.conv2(self.conv1(x))"),
    ("batch norm not at v_th", 'getattr(neuron, "v_th", 1.0)', "1.0"),
    ("recomputing averages batch norm again", "0.0, norm.num_batches_tracked.clone()", "norm.momentum, norm.num_batches_tracked.clone()"),
    ("recomputing counts a batch again", "0.0, norm.num_batches_tracked.clone()", "0.0, norm.num_batches_tracked"),
    ("recompute keeps all", "layer.again = enabled", "layer.again = False"),
    ("a still picture seen T times", "nn.Identity(), True", "nn.Identity(), False"),
    ("any picture seen once", "if self.once and x.stride(0) == 0:", "if self.once:"),
]


def caught_by(mutant):
    name, old, new = mutant
    source = (ROOT / "dsatgo.py").read_text()
    assert source.count(old) == 1, f"{name}: {old!r} stands {source.count(old)} times in dsatgo.py"
    with tempfile.TemporaryDirectory() as folder:
        for file in ROOT.glob("*.py"):
            shutil.copy(file, folder)
        shutil.copytree(ROOT / "tests", pathlib.Path(folder, "tests"), ignore=shutil.ignore_patterns("__pycache__"))
        pathlib.Path(folder, "dsatgo.py").write_text(source.replace(old, new))
        run = subprocess.run([sys.executable, "-m", "pytest", "-xq", "-p", "no:cacheprovider", *SUITE, *FAST], cwd=folder,
                             capture_output=True, text=True, timeout=600)
    failure = re.search(r"^(?:FAILED|ERROR) \S*?(?:::)?(\w+\S*|tests/\S+)", run.stdout, re.M)
    return name, failure and run.returncode == 1 and failure.group(1)


if __name__ == "__main__":
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = list(pool.map(caught_by, [("nothing", "import torch\n", "import torch\n"), *MUTANTS]))
    for name, test in results[1:]:
        print(f"{name:45} {'caught by ' + test if test else 'SURVIVED'}")
    assert not results[0][1], f"the unbroken file fails {results[0][1]}"
    survivors = sum(not test for _, test in results[1:])
    print(f"{len(MUTANTS) - survivors} of {len(MUTANTS)} mutants caught")
    sys.exit(survivors > 0)
