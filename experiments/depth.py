"""How far down does the gradient reach without skip connections? Trains plain stacks of 8, 16 and
32 layers, vanilla and AT+TGO, batch norm's scale starting at 1 and at 0.5; one seed. About ten
minutes on two cores.

    python experiments/depth.py DATA

DATA: the folder of train_all.py (its pictures are used: 2,000 to train, 2,000 to test). Writes
results/depth.png and its table into experiments/README.md.
"""

import datetime
import pathlib
import sys

import torch
import torch.nn.functional as F
from figures import PAIR, fill, markdown, plt, save  # puts the repository on the path
from torch import nn

import dsatgo
import train_cifar

RULES = dict(vanilla=("fixed", "fixed"), both=("true", "threshold"))
DEPTHS = (8, 16, 32)


class Plain(nn.Module):
    """[B, 3, H, W] -> logits [T, B, 10]: `depth` times 3x3 convolution of 16 channels (the second:
    stride 2), norm, neuron."""

    def __init__(self, depth, scale, rule, T=2):
        super().__init__()
        self.T = T
        self.layers = nn.ModuleList()
        threshold, width = rule
        for i in range(depth):
            conv = nn.Conv2d(16 if i else 3, 16, 3, 2 if i == 1 else 1, 1, bias=False)
            norm = nn.BatchNorm2d(16)
            nn.init.constant_(norm.weight, scale)
            neuron = dsatgo.LIF(T, threshold=threshold, width=width)
            self.layers.append(nn.ModuleList([conv, norm, neuron]))
        self.classes = nn.Linear(16 * 16, 10)

    def forward(self, x):
        s = x.expand(self.T, *x.shape)
        for conv, norm, neuron in self.layers:
            s = neuron(norm(conv(s.flatten(0, 1))).unflatten(0, (self.T, -1)))
        pooled = F.adaptive_avg_pool2d(s.flatten(0, 1), 4)
        return self.classes(pooled.flatten(1)).unflatten(0, (self.T, -1))


def reach(net, x, y):
    """Gradient norm of the first layer's weights over the last one's."""
    net.train()
    loss = F.cross_entropy(dsatgo.readout(net(x)), y)
    grads = torch.autograd.grad(loss, [conv.weight for conv, *_ in net.layers])
    return (grads[0].norm() / grads[-1].norm()).item()


def train(net, x, y, epochs=10, batch=50):
    optimizer = torch.optim.SGD(net.parameters(), 0.1, 0.9, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(x) // batch)
    random = torch.Generator().manual_seed(0)
    for _ in range(epochs):
        for part in torch.randperm(len(x), generator=random).split(batch):
            optimizer.zero_grad()
            F.cross_entropy(dsatgo.readout(net(x[part])), y[part]).backward()
            optimizer.step()
            schedule.step()


def one(depth, scale, arm, train_set, test_set):
    """A stack, trained -> gradient's reach before and after, test accuracy, firing, with gradient;
    the last three in percent."""
    x, y = train_set
    test, labels = test_set
    torch.manual_seed(0)
    net = Plain(depth, scale, RULES[arm])
    before = reach(net, x[:200], y[:200])
    train(net, x, y)
    net.eval()
    with torch.no_grad(), dsatgo.probe(net) as seen:
        right = torch.cat([dsatgo.readout(net(part)).argmax(1) for part in test.split(500)])
    accuracy = 100 * (right == labels).float().mean().item()
    shares = [
        100 * torch.stack([layer[name].mean() for layer in seen.values()]).mean().item()
        for name in ("firing_rate", "gradient_available")
    ]
    return before, reach(net, x[:200], y[:200]), accuracy, *shares


def main(folder):
    data = str(pathlib.Path(folder) / "pictures")
    config = train_cifar.Settings(dataset="folder", data=data, limit_train=2000, limit_test=2000)
    sets = [part[torch.arange(len(part)), None, 0] for part in train_cifar.load(config)]
    dsatgo.compile_neurons()
    figure, axis = plt.subplots(figsize=(6, 3.5))
    rows = []
    for scale in (1.0, 0.5):
        for arm, label in PAIR.items():
            scores = []
            for depth in DEPTHS:
                before, after, *percents = one(depth, scale, arm, *sets)
                scores.append(percents[0])
                row = [f"{scale}", str(depth), label, f"{before:.2g}", f"{after:.2g}"]
                rows.append(row + [f"{value:.1f}" for value in percents])
                print(rows[-1], flush=True)
            style = "o-" if arm == "both" else "x--"
            axis.semilogx(DEPTHS, scores, style, base=2, label=f"{label}, scale {scale}")
    axis.set(xlabel="layers, no skips", ylabel="test accuracy, %")
    axis.set_xticks(DEPTHS, [str(depth) for depth in DEPTHS])
    axis.legend(fontsize=8)
    save(figure, "depth")
    head = ["scale", "layers", "arm", "gradient, first layer over last, before", "after training"]
    head += ["test accuracy, %", "firing, %", "with gradient, %"]
    made = f"{datetime.date.today()}, seed 0, torch {torch.__version__}, cpu."
    fill("depth", markdown(head, rows), f"`python experiments/depth.py DATA`, {made}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
