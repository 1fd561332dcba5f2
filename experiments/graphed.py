"""A step of a small network on a GPU waits for Python, not for the card. Here it is recorded as one
CUDA graph and replayed: the same operations, one launch. A batch of an evaluation is, too.

    python experiments/graphed.py train_cifar.py --amp bf16 ...

trains as the script named first (train_cifar.py or train_dvs.py) with its flags does, on one GPU;
`Graphed` stands wherever a Trainer does.
"""

import contextlib
import importlib
import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from dsatgo import Trainer  # noqa: E402

MODE = dict(capture_error_mode="thread_local")  # another thread may pin batches meanwhile


class Graphed(Trainer):
    """A Trainer on one GPU whose step is recorded once an epoch (the learning rate is part of it),
    and its evaluation of a batch once: weights may change, attributes of the network no more. The
    first batches of each, those of another shape, and in evaluations those that a probe watches are
    not replayed: what is made once (compiled neurons, cuDNN's choice) cannot be recorded. A network
    or a loss that waits for the card or decides by what it computes cannot either: RuntimeError."""

    FIRST = 3

    def __init__(self, net, epochs, *args, **more):
        super().__init__(net, epochs, *args, **more)
        if self.device.type != "cuda" or self.world > 1:
            what = f"{self.device}, processes: {self.world}"
            raise ValueError(f"a recorded step is one of one process on a GPU, got {what}")
        self.stream = torch.cuda.Stream()
        self.plain = 0  # steps that were not replayed
        self.recorded = self.graph = self.batch = None
        self.looks = 0  # batches of evaluations, likewise
        self.look_graph = self.look_batch = None

    def step(self, x, y):
        if self.plain < self.FIRST or x.shape != self.batch[0].shape:
            return self.alone(x, y)
        for held, part in zip(self.batch, (x, y)):
            held.copy_(part, non_blocking=True)
        if self.recorded != self.rate():
            self.record()
        self.graph.replay()
        self.steps += 1
        return self.loss_of_step.clone()

    @contextlib.contextmanager
    def aside(self):
        here = torch.cuda.current_stream()
        self.stream.wait_stream(here)
        with torch.cuda.stream(self.stream):
            yield
        here.wait_stream(self.stream)

    def alone(self, x, y):
        """A plain step, on the stream that records: autograd remembers streams."""
        with self.aside():
            loss = super().step(x, y)
        self.plain += 1
        if self.batch is None:
            self.batch = [part.to(self.device, copy=True) for part in (x, y)]
        return loss

    def look(self, model, x, y):
        if model.training or any(getattr(part, "watch", None) for part in model.modules()):
            return super().look(model, x, y)
        if self.looks < self.FIRST or x.shape != self.look_batch[0].shape:
            self.looks += 1
            if self.look_batch is None:
                self.look_batch = [part.to(self.device, copy=True) for part in (x, y)]
            with self.aside():
                return super().look(model, x, y)
        for held, part in zip(self.look_batch, (x, y)):
            held.copy_(part, non_blocking=True)
        if self.look_graph is None:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=self.stream, **MODE):
                self.looked = super().look(model, *self.look_batch)
            self.look_graph = graph
        self.look_graph.replay()
        return [value.clone() for value in self.looked]

    def record(self):
        self.graph = self.loss_of_step = None
        self.optimizer.zero_grad()  # gradients live in the graph's memory
        self.graph = torch.cuda.CUDAGraph()
        steps = self.steps
        with torch.cuda.graph(self.graph, stream=self.stream, **MODE):
            self.loss_of_step = super().step(*self.batch)
        self.steps = steps  # recording computes nothing
        self.recorded = self.rate()


if __name__ == "__main__":
    script, *flags = sys.argv[1:] or ["nothing"]
    if script not in ("train_cifar.py", "train_dvs.py"):
        print(f"{script}: must be train_cifar.py or train_dvs.py, then its flags", file=sys.stderr)
        sys.exit(2)
    train_cifar = importlib.import_module("train_cifar")  # it makes train_dvs.py's Trainer too
    train_cifar.Trainer = Graphed
    sys.argv = [script, *flags]
    importlib.import_module(script.removesuffix(".py")).main(flags)
