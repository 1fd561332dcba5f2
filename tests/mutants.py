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
            ("any picture seen once", "self.once and x.stride(0) == 0", "self.once"),
        ],
    ),
    (
        "dsatgo.py",
        "_Layer",
        RECOMPUTE,
        [
            ("recompute keeps all", "self.again and", "False and"),
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
        ],
    ),
    (
        "dsatgo.py",
        "_layer",
        "test_networks.py::test_batch_norm_starts_at_the_neurons_v_th",
        [
            ("batch norm not at v_th", "getattr(neuron, 'v_th', 1.0)", "1.0"),
        ],
    ),
    (
        "dsatgo.py",
        "_conv",
        TABLES,
        [
            ("convolutions with a bias", "bias=False", "bias=True"),
            ("fan-in", "mode='fan_out'", "mode='fan_in'"),
            ("uniform weights", "kaiming_normal_", "kaiming_uniform_"),
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
            (
                "stem pooled after the neuron",
                "layers['stem'].current.append(nn.AvgPool2d(2))",
                "layers['stem'].append(_Fold(nn.AvgPool2d(2)))",
            ),
            ("stride 2 in every stage", "1 if j or not i else 2", "1 if j else 2"),
            ("one neuron in all of a block", "lambda: neuron(T)", "lambda kept=neuron(T): kept"),
            ("largest value pooled", "nn.AdaptiveAvgPool2d(1)", "nn.AdaptiveMaxPool2d(1)"),
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
        ],
    ),
    (
        "dsatgo.py",
        "resnet18",
        TABLES,
        [
            ("imagenet from 128 on", "(0.5, 1, 2, 4)", "(1, 1, 2, 4)"),
        ],
    ),
    (
        "dsatgo.py",
        "resnet18",
        NETWORKS,
        [
            ("odd channels", "channels % 2 == 0", "True"),
        ],
    ),
    (
        "dsatgo.py",
        "vggsnn",
        TABLES,
        [
            ("T=4", "T=10", "T=4"),
            ("pooled a layer late", "(2, 1), (4, 0), (4, 1)", "(2, 0), (4, 1), (4, 1)"),
        ],
    ),
    (
        "dsatgo.py",
        "vggsnn",
        NETWORKS,
        [
            ("size 15", "size >= 16", "size >= 15"),
            ("pools round up", "(size // 16) ** 2", "((size + 15) // 16) ** 2"),
        ],
    ),
    (
        "dsatgo.py",
        "recompute",
        RECOMPUTE,
        [
            ("for good", "layer.again = enabled", "layer.again = True"),
        ],
    ),
    (
        "dsatgo.py",
        "for_inference",
        INFERENCE,
        [
            ("no copy", "copy.deepcopy(net)", "net"),
            ("batch norm left out", "fuse(weights, norm)", "weights"),
            ("a still picture seen T times", "nn.Identity(), True", "nn.Identity(), False"),
        ],
    ),
    (
        "dsatgo.py",
        "readout",
        LOSSES,
        [
            ("the last timestep", "logits.mean(0)", "logits[-1]"),
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
            ("lam of 5 %", "lam=0.001", "lam=0.05"),
        ],
    ),
    (
        "dsatgo.py",
        "probe",
        PROBE,
        [
            ("watches for good", "layer.figures, layer.seen = old", "pass"),
            (
                "forgets how much the outer probe saw",
                "layer.figures, layer.seen = old",
                "layer.figures = old[0]",
            ),
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
            ("theta, where it does not fire", "threshold=fire", "threshold=theta"),
            ("unbiased deviation", "correction=0", "correction=1"),
            ("floor without v_th", "FLOOR * layer.v_th", "FLOOR"),
            ("weighted by the last batch", "layer.seen += batch", "layer.seen = 2 * batch"),
        ],
    ),
    (
        "dsatgo.py",
        "_mode",
        "test_networks.py -m 'not slow' -k 'energy or calibrate'",
        [
            ("mode not restored", "module.training = mode", "pass"),
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
            ("in training mode", "training=False", "training=True"),
            ("hooks stay", "hook.remove()", "pass"),
            (
                "columns swapped",
                "layer['rate']), ('mac_counted', 'ac_counted', layer['arriving'])",
                "layer['arriving']), ('mac_counted', 'ac_counted', layer['rate'])",
            ),
            (
                "an SNN's energy for the ANN",
                "millijoule(count['mac_ann'], 0)",
                "millijoule(0, count['mac_ann'])",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "millijoule",
        ENERGY,
        [
            ("pJ swapped", "mac * 4.6 + ac * 0.9", "mac * 0.9 + ac * 4.6"),
        ],
    ),
    (
        "dsatgo.py",
        "calibrate",
        CALIBRATE,
        [
            ("averages where there is no average", "and (m.momentum is not None)", ""),
            ("averages in every arm", "and m.adaptive", ""),
            ("batch norm's moving average", "norm.momentum = None", "pass"),
            ("thresholds go on", "buffer.zero_()", "pass"),
            ("a moving average", "lif.momentum = 1 / seen", "pass"),
            ("not moved", ".to(next(net.parameters()).device)", ""),
            ("no batch is fine", "seen > 0", "True"),
            ("left-out thresholds kept", "all((lif.updates == seen for lif in lifs))", "True"),
            ("not put back after an error", "net.load_state_dict(before)", "pass"),
            ("momenta not put back", "module.momentum = momentum", "pass"),
        ],
    ),
    (
        "dsatgo.py",
        "compile_neurons",
        COMPILE,
        [
            ("never off", "_compiled.clear()", "pass"),
            ("PyTorch's limit of graphs", "max(64, torch._dynamo.config.recompile_limit)", "8"),
        ],
    ),
    (
        "dsatgo.py",
        "_run",
        COMPILE,
        [
            ("a graph for every layer size", "torch._dynamo.mark_dynamic(x, 1)", "pass"),
            ("asks the broken compiler again", "_compiled.clear()", "pass"),
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
    (
        "dsatgo.py",
        "_flatten",
        "test_networks.py::test_channels_last_changes_nothing",
        [("axes put back in their own order", "order.index(d)", "order[d]")],
    ),
    (
        "dsatgo.py",
        "_flatten",
        "test_neuron.py -m 'not slow' -k channels_last",
        [("channels-last copied", "sorted(rest, key=x.stride, reverse=True)", "rest")],
    ),
]
