"""AT+TGO to the paper's letter: does it suffer from this implementation's floor?

    python train_cifar.py --neuron experiments/unfloored.py:Unfloored

LIF keeps the threshold at V_th / 1000 or above, and the width at kappa / 1000. Eq. 5 has no such
floor, nor has the released code: where mean + deviation is negative, so is the threshold, and
neurons at rest fire. Of normal potentials a sixth does, as Theorem 1 has it.
"""

import math

import dsatgo


def Unfloored(T):
    """AT+TGO without the floor, which is a module's constant: of all LIFs of the process."""
    dsatgo.FLOOR = -math.inf
    return dsatgo.LIF(T)
