"""What would a training step of the paper's recipes keep and compute? Counted on tensors without
data, in seconds, on any machine; nothing is measured.

    python experiments/cost.py

Parameters; operations of an epoch (two for each multiply-accumulate, a backward pass as two forward
passes); bytes that one step keeps for its backward pass, in float32 and under bfloat16 autocast,
with and without `recompute`. Prints the figures of the README's.
"""

import argparse
import pathlib
import sys

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from dsatgo import recompute, resnet18, resnet19, vggsnn  # noqa: E402

RECIPES = {  # name: network, input of a step, samples of an epoch
    "CIFAR-10, ResNet-19, T = 2": (resnet19, (100, 3, 32, 32), 50_000),
    "CIFAR-100, ResNet-19, T = 2": (lambda: resnet19(100), (100, 3, 32, 32), 50_000),
    "ImageNet, ResNet-18, T = 4": (
        lambda: resnet18(1000, T=4, stem="imagenet"),
        (32, 3, 224, 224),
        1_281_167,
    ),
    "CIFAR10-DVS, VGGSNN, T = 10": (vggsnn, (10, 50, 2, 48, 48), 9_000),
}


def step(make, shape, amp=False, again=False):
    """-> parameters, operations of a forward pass, bytes kept for the backward pass"""
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage()._cdata] = tensor.untyped_storage()
        return tensor

    with FakeTensorMode():
        net = make()
        if again:
            recompute(net)
        for parameter in net.parameters():
            keep(parameter)
        known = set(kept)
        counter = FlopCounterMode(display=False)
        hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
        with hooks, counter, torch.autocast("cpu", torch.bfloat16, enabled=amp):
            net(torch.empty(shape))
        size = sum(storage.nbytes() for key, storage in kept.items() if key not in known)
        return sum(p.numel() for p in net.parameters()), counter.get_total_flops(), size


def main():
    print(
        "| recipe | parameters | operations an epoch | kept a step, float32 | `--recompute` |",
        end="",
    )
    print(" `--amp bf16` | both |\n|---|---|---|---|---|---|---|")
    for name, (make, shape, samples) in RECIPES.items():
        parameters, forward, _ = step(make, shape)
        batch = shape[-4]
        kept = [
            f"{step(make, shape, amp, again)[2] / 2**30:.2f} GiB"
            for amp in (False, True)
            for again in (False, True)
        ]
        work = f"{3 * forward * samples / batch / 1e15:.2f} PFLOP"
        print(f"| {name} | {parameters / 1e6:.2f} M | {work} | " + " | ".join(kept) + " |")


if __name__ == "__main__":
    raw = argparse.RawDescriptionHelpFormatter
    argparse.ArgumentParser(description=__doc__, formatter_class=raw).parse_args()
    main()
