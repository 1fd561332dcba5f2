"""What `mutation.py` breaks: file, function, the tests that look at it, and a list of
(what is broken, the code as `ast.unparse` prints it, what takes its place)."""

TABLES = (
    "test_networks.py -m 'not slow' -k 'tables or neuron_of_its or papers_size or released_codes'"
)
NETWORKS = (
    "test_networks.py -m 'not slow' -k 'still or side_by or norm or bad_networks or takes_the'"
)
PROBE = "test_networks.py -m 'not slow' -k probe"
ENERGY = "test_networks.py -m 'not slow' -k 'energy or arithmetic'"
CALIBRATE = "test_networks.py -m 'not slow' -k calibrate"
LOSSES = "test_networks.py::test_losses"
RECOMPUTE = "test_networks.py -m 'not slow' -k 'recompute'"
INFERENCE = "test_networks.py -m 'not slow' -k 'inference'"
COMPILE = "test_networks.py -m 'not slow' -k 'compile or compiler or compiles'"

MUTANTS = [
    (
        "dsatgo.py",
        "_Fold.forward",
        "test_networks.py -m 'not slow' -k 'tables or inference'",
        [
            (
                "timesteps and batch swapped",
                "unflatten(0, x.shape[:2])",
                "unflatten(0, x.shape[1::-1])",
            ),
            ("a still picture seen T times", "self.once and x.stride(0) == 0", "False"),
            ("any picture seen once", "self.once and x.stride(0) == 0", "self.once"),
        ],
    ),
    (
        "dsatgo.py",
        "_Layer",
        RECOMPUTE,
        [
            ("recompute keeps all", "self.again and", "False and"),
            ("recomputes in evaluation mode", "self.again and self.training", "self.again"),
            (
                "recomputing averages batch norm again",
                "(0.0, norm.num_batches_tracked.clone())",
                "(norm.momentum, norm.num_batches_tracked.clone())",
            ),
            (
                "recomputing counts a batch again",
                "(0.0, norm.num_batches_tracked.clone())",
                "(0.0, norm.num_batches_tracked)",
            ),
            (
                "batch norm stays at momentum 0",
                "norm.momentum, norm.num_batches_tracked = kept",
                "pass",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "_layer",
        "test_networks.py::test_batch_norm_starts_at_the_neurons_v_th",
        [
            ("batch norm not at v_th", "getattr(neuron, 'v_th', 1.0)", "1.0"),
            (
                "batch norm of an ANN at 0",
                "getattr(neuron, 'v_th', 1.0)",
                "getattr(neuron, 'v_th', 0.0)",
            ),
            ("the shift starts, not the scale", "norm.weight", "norm.bias"),
        ],
    ),
    (
        "dsatgo.py",
        "_conv",
        TABLES,
        [
            ("stride ignored", "kernel, stride, kernel // 2", "kernel, 1, kernel // 2"),
            ("padding of 1 whatever the kernel", "kernel // 2", "1"),
            ("convolutions with a bias", "bias=False", "bias=True"),
            ("fan-in", "mode='fan_out'", "mode='fan_in'"),
            ("uniform weights", "kaiming_normal_", "kaiming_uniform_"),
            ("gain of a linear layer", "nonlinearity='relu'", "nonlinearity='linear'"),
            (
                "norm of another precision",
                "nn.BatchNorm2d(cout)",
                "nn.BatchNorm2d(cout, eps=0.001)",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "_SEW",
        TABLES,
        [
            (
                "SEW without its sum",
                "self.conv2(self.conv1(x)) + self.skip(x)",
                "self.conv2(self.conv1(x))",
            ),
            ("a sum of the wrong spikes", "self.skip(x)", "self.skip(x) * 0.5"),
            ("strides in the second convolution", "new(), stride=stride)", "new())"),
            (
                "one neuron twice",
                "_conv(cout, cout, new())",
                "_conv(cout, cout, self.conv1.neuron)",
            ),
            ("a shortcut of 3x3", "new(), 1, stride)", "new(), 3, stride)"),
            ("a shortcut everywhere", "stride == 1 and cin == cout", "False"),
        ],
    ),
    (
        "dsatgo.py",
        "_Network.forward",
        NETWORKS,
        [
            (
                "noise at all but the first timestep",
                "x.expand(self.T, *x.shape)",
                "torch.stack([x] + [-x] * (self.T - 1))",
            ),
            ("integers accepted", "x.is_floating_point() and", "True and"),
            ("wrong T accepted", "x.shape[0] == self.T", "True"),
            ("wrong channels accepted", "x.shape[2] == self.in_channels", "True"),
            (
                "any size accepted",
                "x.shape[3] // 16 == x.shape[4] // 16 == self.side // 16",
                "True",
            ),
            (
                "only squares of its own size",
                "x.shape[3] // 16 == x.shape[4] // 16 == self.side // 16",
                "x.shape[3] == x.shape[4] == self.side // 16 * 16",
            ),
            (
                "a side ignored",
                "x.shape[3] // 16 == x.shape[4] // 16 == self.side // 16",
                "x.shape[4] // 16 == self.side // 16",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "_resnet",
        TABLES,
        [
            ("stem's kernel of 3", "(7, 2)", "(3, 2)"),
            ("stem without stride", "(7, 2)", "(7, 1)"),
            ("stem without its pool", "if stem == 'imagenet':", "if False:"),
            (
                "stem pooled after the neuron",
                "layers['stem'].current.append(nn.AvgPool2d(2))",
                "layers['stem'].append(_Fold(nn.AvgPool2d(2)))",
            ),
            ("stride 2 in every stage", "1 if j or not i else 2", "1 if j else 2"),
            (
                "stride 2 at the last block",
                "1 if j or not i else 2",
                "1 if j + 1 < n or not i else 2",
            ),
            ("one neuron in all of a block", "lambda: neuron(T)", "lambda kept=neuron(T): kept"),
            ("largest value pooled", "nn.AdaptiveAvgPool2d(1)", "nn.AdaptiveMaxPool2d(1)"),
            (
                "bias of the hidden layer",
                "nn.Linear(cout, hidden, bias=False)",
                "nn.Linear(cout, hidden)",
            ),
            (
                "bias of the classes",
                "nn.Linear(hidden or cout, num_classes, bias=False)",
                "nn.Linear(hidden or cout, num_classes)",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "_resnet",
        NETWORKS,
        [
            (
                "sizes unchecked",
                "_whole_numbers(num_classes=num_classes, T=T, in_channels=in_channels, channels=channels)",
                "pass",
            )
        ],
    ),
    (
        "dsatgo.py",
        "resnet19",
        TABLES,
        [
            ("Table 4's misprint", "(3, 3, 2)", "(3, 3, 3)"),
            ("hidden layer of 512", "hidden=256", "hidden=512"),
            ("twice as wide", "(1, 2, 4)", "(1, 2, 2)"),
            ("T=4", "T=2", "T=4"),
        ],
    ),
    (
        "dsatgo.py",
        "resnet18",
        TABLES,
        [
            ("T=4", "T=2", "T=4"),
            ("64 channels", "channels=128", "channels=64"),
            ("Table 4's misprint", "(3, 3, 2)", "(3, 3, 3)"),
            ("imagenet from 128 on", "(0.5, 1, 2, 4)", "(1, 1, 2, 4)"),
            ("ResNet-34", "(2, 2, 2, 2)", "(3, 4, 6, 3)"),
            ("stem ignored", "stem=stem)", "stem='cifar')"),
        ],
    ),
    (
        "dsatgo.py",
        "resnet18",
        NETWORKS,
        [
            ("any stem", "stem in ('cifar', 'imagenet')", "True"),
            ("odd channels", "channels % 2 == 0", "True"),
        ],
    ),
    (
        "dsatgo.py",
        "vggsnn",
        TABLES,
        [
            ("T=4", "T=10", "T=4"),
            ("three colours", "in_channels=2", "in_channels=3"),
            ("size of 32", "size=48", "size=32"),
            ("pooled a layer late", "(2, 1), (4, 0), (4, 1)", "(2, 0), (4, 1), (4, 1)"),
            ("widths as VGG-11", "(4, 0), (4, 1)", "(2, 0), (4, 1)"),
            ("pools of 3", "nn.AvgPool2d(2)", "nn.AvgPool2d(3, 2, 1)"),
            ("largest value pooled", "nn.AvgPool2d(2)", "nn.MaxPool2d(2)"),
            ("bias of the classes", "num_classes, bias=False", "num_classes"),
            ("neurons of one timestep", "neuron(T))", "neuron(1))"),
        ],
    ),
    (
        "dsatgo.py",
        "vggsnn",
        NETWORKS,
        [
            (
                "sizes unchecked",
                "_whole_numbers(num_classes=num_classes, T=T, in_channels=in_channels, channels=channels)",
                "pass",
            ),
            ("size 15", "size >= 16", "size >= 15"),
            ("half pixels", "isinstance(size, numbers.Integral) and", ""),
            ("sides not squared", "(size // 16) ** 2", "(size // 16)"),
            ("pools round up", "(size // 16) ** 2", "((size + 15) // 16) ** 2"),
            ("size forgotten", "in_channels, size, layers", "in_channels, None, layers"),
        ],
    ),
    (
        "dsatgo.py",
        "recompute",
        RECOMPUTE,
        [
            ("for good", "layer.again = enabled", "layer.again = True"),
            (
                "the first layer alone",
                "layer.again = enabled",
                "layer.again = enabled and not any(m.again for m in net.modules() if isinstance(m, _Layer))",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "for_inference",
        INFERENCE,
        [
            ("no copy", "copy.deepcopy(net)", "net"),
            ("in training mode", "copy.deepcopy(net).eval()", "copy.deepcopy(net)"),
            ("batch norm left out", "fuse(weights, norm)", "weights"),
            ("batch norm twice", "nn.Identity(), True", "norm, True"),
            ("a still picture seen T times", "nn.Identity(), True", "nn.Identity(), False"),
            (
                "twice folded",
                "isinstance(m, _Layer) and (not m.current.once)",
                "isinstance(m, _Layer)",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "readout",
        LOSSES,
        [
            ("the last timestep", "logits.mean(0)", "logits[-1]"),
            ("a sum", "logits.mean(0)", "logits.sum(0)"),
        ],
    ),
    (
        "dsatgo.py",
        "tet_loss",
        LOSSES,
        [
            ("TET weights swapped", "(1 - lam) * ce + lam *", "lam * ce + (1 - lam) *"),
            (
                "sums, not means, of timesteps",
                "logits.flatten(0, 1), labels.repeat(len(logits))",
                "logits.sum(0), labels",
            ),
            (
                "labels of other pictures",
                "labels.repeat(len(logits))",
                "labels.repeat_interleave(len(logits))",
            ),
            ("smoothing ignored", ", label_smoothing=label_smoothing", ""),
            ("phi ignored", "(logits - phi)", "logits"),
            ("not squared", ".square()", ".abs()"),
            ("summed", ".square().mean()", ".square().sum()"),
            ("lam of 5 %", "lam=0.001", "lam=0.05"),
            ("phi of 0", "phi=1.0", "phi=0.0"),
            ("cross-entropy at its full weight", "(1 - lam) * ce", "ce"),
        ],
    ),
    (
        "dsatgo.py",
        "probe",
        PROBE,
        [
            ("watches for good", "layer.figures, layer.seen = old", "pass"),
            (
                "stops the outer probe",
                "layer.figures, layer.seen = old",
                "layer.figures, layer.seen = (None, 0)",
            ),
            (
                "forgets how much the outer probe saw",
                "layer.figures, layer.seen = old",
                "layer.figures = old[0]",
            ),
            ("counts on", "layer.figures, layer.seen = ({}, 0)", "layer.figures = {}"),
        ],
    ),
    (
        "dsatgo.py",
        "_observe",
        PROBE,
        [
            ("the graph is kept", "@torch.no_grad()\n", ""),
            (
                "window around theta in TGO",
                "rectangle(u, fire[:, None]",
                "rectangle(u, theta[:, None]",
            ),
            (
                "the share that fires as the one with gradient",
                "inside.to(u.dtype).mean(1)",
                "(u >= fire[:, None]).to(u.dtype).mean(1)",
            ),
            ("theta, where it does not fire", "threshold=fire", "threshold=theta"),
            ("half the width", "width=k", "width=k / 2"),
            ("unbiased deviation", "correction=0", "correction=1"),
            ("mean of the spikes", "u_mean=u.mean(1)", "u_mean=s.mean(1)"),
            ("number of spikes", "firing_rate=s.mean(1)", "firing_rate=s.sum(1)"),
            ("floor without v_th", "FLOOR * layer.v_th", "FLOOR"),
            ("not floored", "theta <= FLOOR", "theta < FLOOR"),
            ("weighted by the last batch", "layer.seen += batch", "layer.seen = 2 * batch"),
            ("the last batch alone", "old + (value - old) * (batch / layer.seen)", "value"),
            ("the first batch alone", "old + (value - old) * (batch / layer.seen)", "old"),
            (
                "weights swapped",
                "old + (value - old) * (batch / layer.seen)",
                "value + (old - value) * (batch / layer.seen)",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "_mode",
        "test_networks.py -m 'not slow' -k 'energy or calibrate'",
        [
            ("mode not set", "net.train(training)", "net"),
            ("mode not restored", "module.training = mode", "pass"),
            ("one mode for all", "module.training = mode", "module.training = modes[0][1]"),
        ],
    ),
    (
        "dsatgo.py",
        "energy",
        ENERGY,
        [
            ("timesteps as pictures", "0 if x.dim() == 4 else 1", "0"),
            ("whole counts at the input as spikes", "len(layers) > 0 and", ""),
            ("negative whole numbers as spikes", "(x >= 0) & (x == x.round())", "x == x.round()"),
            ("pooled spikes as spikes", "(x >= 0) & (x == x.round())", "x >= 0"),
            (
                "inputs of a layer, not operations",
                "output.numel() * module.weight[0].numel()",
                "module.weight[0].numel()",
            ),
            ("of the whole batch", "module.weight[0].numel() / batch", "module.weight[0].numel()"),
            ("an ANN of T timesteps", "i['ops'] / i['T']", "i['ops']"),
            (
                "the first layer as accumulates",
                "if len(layers) > 1 else None",
                "if len(layers) > 0 else None",
            ),
            ("SEW sums as one spike", "x.double().mean().item()", "(x > 0).double().mean().item()"),
            (
                "rate of the first timestep",
                "s.double().mean().item()",
                "s[0].double().mean().item()",
            ),
            ("rate of the layer before", "layers[-1]['rate']", "layers[-2]['rate']"),
            ("in training mode", "training=False", "training=True"),
            ("hooks stay", "hook.remove()", "pass"),
            (
                "columns swapped",
                "layer['rate']), ('mac_counted', 'ac_counted', layer['arriving'])",
                "layer['arriving']), ('mac_counted', 'ac_counted', layer['rate'])",
            ),
            ("firing rates ignored", "(1 if rate is None else rate)", "1"),
            ("MACs as accumulates", "count[mac if rate is None else ac]", "count[ac]"),
            (
                "energy without accumulates",
                "millijoule(count['mac'], count['ac_paper'])",
                "millijoule(count['mac'], 0)",
            ),
            (
                "an SNN's energy for the ANN",
                "millijoule(count['mac_ann'], 0)",
                "millijoule(0, count['mac_ann'])",
            ),
            (
                "energy of the other column",
                "millijoule(count['mac_counted'], count['ac_counted'])",
                "millijoule(count['mac'], count['ac_counted'])",
            ),
            (
                "linear layers left out",
                "isinstance(m, (nn.Conv2d, nn.Linear, LIF))",
                "isinstance(m, (nn.Conv2d, LIF))",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "millijoule",
        ENERGY,
        [
            ("pJ swapped", "mac * 4.6 + ac * 0.9", "mac * 0.9 + ac * 4.6"),
            ("nanojoule", "1e-09", "1e-12"),
        ],
    ),
    (
        "dsatgo.py",
        "calibrate",
        CALIBRATE,
        [
            ("averages where there is no average", "and (m.momentum is not None)", ""),
            ("averages in every arm", "and m.adaptive", ""),
            ("batch norm left as it was", "m.track_running_stats]", "False]"),
            ("batch norm goes on from where it was", "norm.reset_running_stats()", "pass"),
            ("batch norm's moving average", "norm.momentum = None", "pass"),
            ("thresholds go on", "buffer.zero_()", "pass"),
            ("updates go on", "(lif.running_threshold, lif.updates)", "(lif.running_threshold,)"),
            ("in evaluation mode", "training=True", "training=False"),
            ("a moving average", "lif.momentum = 1 / seen", "pass"),
            ("weights off by one", "lif.momentum = 1 / seen", "lif.momentum = 1 / (seen + 1)"),
            (
                "labels not left out",
                "batch[0] if isinstance(batch, (tuple, list)) else batch",
                "batch",
            ),
            ("lists not taken", "isinstance(batch, (tuple, list))", "isinstance(batch, tuple)"),
            (
                "first picture of a batch",
                "batch[0] if isinstance(batch, (tuple, list)) else batch",
                "batch[0]",
            ),
            ("not moved", ".to(next(net.parameters()).device)", ""),
            ("no batch is fine", "seen > 0", "True"),
            ("infinity kept", "_require(finite", "_require(True"),
            ("left-out thresholds kept", "all((lif.updates == seen for lif in lifs))", "True"),
            ("not put back after an error", "net.load_state_dict(before)", "pass"),
            ("errors swallowed", "    raise\n", "    pass\n"),
            ("momenta not put back", "module.momentum = momentum", "pass"),
        ],
    ),
    (
        "dsatgo.py",
        "compile_neurons",
        COMPILE,
        [
            ("never off", "_compiled.clear()", "pass"),
            ("never on", "if enabled:", "if False:"),
            ("off by default", "enabled=True", "enabled=False"),
            ("forward alone", "(_lif_forward, _lif_backward)", "(_lif_forward,)"),
            ("PyTorch's limit of graphs", "max(64, torch._dynamo.config.recompile_limit)", "8"),
        ],
    ),
    (
        "dsatgo.py",
        "_run",
        COMPILE,
        [
            ("a graph for every layer size", "torch._dynamo.mark_dynamic(x, 1)", "pass"),
            ("strides and gradients compiled for", "x.data.contiguous()", "x"),
            ("asks the broken compiler again", "_compiled.clear()", "pass"),
            ("no word about it", "warnings.warn(", "str("),
            (
                "stops without a compiler",
                "torch._dynamo.exc.TorchDynamoException",
                "ZeroDivisionError",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "_run",
        "test_networks.py::test_no_compiler_means_one_warning_and_eager",
        [
            (
                "the compiler's own error goes on",
                "torch._dynamo.exc.TorchDynamoException",
                "torch._dynamo.exc.Unsupported",
            )
        ],
    ),
]
