"""Batch norm's weight, gamma, stays where it starts: does the drift of the layers' deviations cost
accuracy?

    python train_cifar.py --neuron experiments/frozen.py:Frozen         or FrozenVanilla

Under AT+TGO the spikes do not depend on a common factor of gamma and beta, and the surrogate's
gradient still pushes along it (tests/test_mechanism.py). With gamma fixed no layer can drift that
way; beta is trained.
"""

import dsatgo


class Frozen(dsatgo.LIF):
    """AT+TGO, batch norm's weight fixed."""

    def follows(self, norm):
        norm.weight.requires_grad_(False)


def FrozenVanilla(T):
    """Vanilla, batch norm's weight fixed."""
    return Frozen(T, threshold="fixed", width="fixed")
