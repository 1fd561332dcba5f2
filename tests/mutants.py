"""What `mutation.py` breaks."""
SET = "test_settings.py -m 'not slow' -k '{}'"
RUN = "test_trainer.py -m 'not slow' -k '{}'"
FAULT = "test_faults.py -m 'not slow' -k '{}'"

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
        "build",
        SET.format("makes_the_network"),
        [
            ("leak ignored", "tau=config.tau, ", ""),
            ("v_th ignored", "v_th=config.v_th, ", ""),
            ("kappa ignored", "kappa=config.kappa, ", ""),
            ("f_c ignored", "f_c=config.f_c, ", ""),
            ("momentum ignored", "momentum=config.momentum, ", ""),
            ("threshold ignored", "threshold=config.threshold, ", ""),
            ("width ignored", ", width=config.width", ""),
            ("channels ignored", "config.channels, neuron", "2, neuron"),
            ("bn_scale ignored", "config.bn_scale is not None", "False"),
            ("bn_scale on the shift", "module.weight, config", "module.bias, config"),
        ],
    ),
    (
        "dsatgo.py",
        "build",
        SET.format("recompute"),
        [("recompute ignored", "recompute(net, config.recompute)", "recompute(net, False)")],
    ),
    (
        "dsatgo.py",
        "_autocast",
        SET.format("amp"),
        [
            ("bf16 for fp16", "config.amp == 'fp16'", "False"),
            ("precision ignored", ", config.amp != 'off'", ", False"),
        ],
    ),
    (
        "dsatgo.py",
        "_pass",
        RUN.format("log_csv"),
        [
            ("hits of the last timestep", "readout(logits).argmax", "logits[-1].argmax"),
            ("loss not weighted by samples", "value.detach() * len(y)", "value.detach()"),
            ("samples not counted", "torch.tensor(len(y), device=device)", "torch.tensor(1, device=device)"),
        ],
    ),
    (
        "dsatgo.py",
        "_pass",
        SET.format("workers or every_epoch or resumed"),
        [
            ("workers ignored", "num_workers=workers", "num_workers=0"),
            ("augmented alike in every epoch", "(batch, epoch, config.seed)", "(batch, epoch and 0, config.seed)"),
        ],
    ),
    (
        "dsatgo.py",
        "evaluate",
        RUN.format("log_csv or layers_csv or evaluation_sees"),
        [
            ("evaluates in training mode", "net.eval()", "net.train()"),
            ("part of the test set", "order[rank::world]", "order[1::2]"),
            ("sorted by class", "torch.randperm(len(data), generator=torch.Generator().manual_seed(0))", "torch.arange(len(data))"),
            ("another order each time", "generator=torch.Generator().manual_seed(0)", "generator=None"),
            ("loss in accuracy's place", "accuracy=hits / count", "accuracy=total / count"),
            ("layers of one batch", "i == probed", "i == 1"),
            ("augmented test set", ", None, loss)", ", 0, loss)"),
        ],
    ),
    (
        "dsatgo.py",
        "fit",
        SET.format("sgd or lr or epochs or gradients or smoothing or every_epoch or batch or device"),
        [
            ("weight decay ignored", "weight_decay=config.weight_decay", "weight_decay=0.0001"),
            ("momentum 0.5", "momentum=0.9", "momentum=0.5"),
            ("learning rate ignored", "config.lr, momentum", "0.1, momentum"),
            ("some parameters left out", "SGD(net.parameters()", "SGD(list(net.parameters())[1:]"),
            ("cosine of another length", "CosineAnnealingLR(optimizer, config.epochs)", "CosineAnnealingLR(optimizer, 400)"),
            ("learning rate constant", "            scheduler.step()\n", "            pass\n"),
            ("label smoothing ignored", "label_smoothing=config.label_smoothing", "label_smoothing=0.1"),
            ("loss of the last timestep", "F.cross_entropy(readout(logits)", "F.cross_entropy(logits[-1]"),
            ("gradients add up", "optimizer.zero_grad()", "pass"),
            ("the same order in every epoch", "sample_seed(config.seed, epoch)", "sample_seed(config.seed)"),
            ("an order that the seed does not draw", "sample_seed(config.seed, epoch)", "sample_seed(epoch)"),
            ("the last batch is kept", " if len(part) == batch", ""),
            ("batch size ignored", "min(config.batch_size, len(train))", "min(10, len(train))"),
            ("device ignored", "config.device if config.device != 'auto' else 'cuda'", "'cuda'"),
        ],
    ),
    (
        "dsatgo.py",
        "fit",
        SET.format("makes_the_network and cifar"),
        [
            ("seed ignored", "torch.manual_seed(config.seed)", "torch.manual_seed(0)"),
            ("trains in evaluation mode", "            net.train()\n", "            net.eval()\n"),
        ],
    ),
    (
        "dsatgo.py",
        "fit",
        SET.format("compile or out or save_every or stop_after or eval or resume"),
        [
            ("compile ignored", "config.compile is None else config.compile", "True else config.compile"),
            ("out ignored", "config.out or f'runs", "f'runs"),
            ("the default folder without its seed", "-{config.seed}'", "'"),
            ("save_every ignored", "config.save_every and at['step'] % config.save_every == 0", "False"),
            ("saved every other time", "at['step'] % config.save_every == 0", "at['step'] % (2 * config.save_every) == 0"),
            ("stop_after ignored", "config.stop_after or config.epochs", "config.epochs"),
            ("stop_after changes the schedule", "CosineAnnealingLR(optimizer, config.epochs)", "CosineAnnealingLR(optimizer, config.stop_after or config.epochs)"),
            ("trains when asked to test", "if config.eval:\n        result = evaluate", "if False:\n        result = evaluate"),
            ("begins in the first epoch again", "range(at['epoch'],", "range(0,"),
        ],
    ),
    (
        "dsatgo.py",
        "fit",
        RUN.format("resume_after or signal or save_every or log_csv or best or writes"),
        [
            ("the scaler is not kept", ", scaler=scaler)", ")"),
            ("random numbers are not restored", "torch.set_rng_state(checkpoint[name])", "pass"),
            ("begins the epoch again", "batches[skipped:]", "batches"),
            ("meters of the resumed epoch lost", "at['meters'] * (rank == 0)", "at['meters'] * 0"),
            ("meters add up over epochs", "meters=torch.zeros(3, device=device), best", "best"),
            ("steps add up over epochs", "step=0, meters=torch.zeros(3, device=device)", "meters=torch.zeros(3, device=device)"),
            ("images a second of one batch", "(len(batches) - skipped) * batch / seconds", "batch / seconds"),
            ("the next epoch's rate in the log", "lr=lr, images", "lr=scheduler.get_last_lr()[0], images"),
            ("the best is the last", "result['accuracy'] > at['best']['accuracy']", "True"),
            ("the best is the worst", "result['accuracy'] > at['best']['accuracy']", "result['accuracy'] < at['best']['accuracy'] or epoch == 0"),
            ("the best's epoch from 0", "accuracy=result['accuracy'], epoch=epoch + 1)", "accuracy=result['accuracy'], epoch=epoch)"),
            ("train and test accuracy swapped", "train_accuracy=hits / count, test_accuracy=result['accuracy']", "train_accuracy=result['accuracy'], test_accuracy=hits / count"),
            ("timesteps from 0", "timestep=t + 1", "timestep=t"),
            ("a signal is ignored", "if stop:\n", "if False:\n"),
            ("exit code without the signal", "128 + stop", "128"),
            ("handlers stay", "stack.callback(signal.signal, number, signal.signal(number, lambda number, _: stops.append(number)))", "signal.signal(number, lambda number, _: stops.append(number))"),
        ],
    ),
    (
        "dsatgo.py",
        "fit",
        FAULT.format("not_finite or middle or overflow or skipped or lacks or something_else"),
        [
            ("no step is skipped", "scaler.step(optimizer)", "optimizer.step()"),
            ("loss is not scaled", "scaler.scale(value).backward()", "value.backward()"),
            ("scale stays", "                scaler.update()\n", ""),
            ("scale of 1 for fp16", "(2.0 ** 16, 2000) if config.amp == 'fp16' else", "(1.0, 2000) if False else"),
            ("momentum begins unset", "torch.zeros_like(p)", "None"),
            ("infinity goes on", "                    check(x)\n", "                    pass\n"),
            ("the last layer is named", "first layer: {first[0]}", "first layer: {first[-1]}"),
            ("other classes accepted", "if checkpoint['facts'].get(key) != value", "if False"),
            ("meters' fault is the scaler's", "for name in at:\n                at[name] = checkpoint[name]", "at = {name: checkpoint[name] for name in at}"),
        ],
    ),
    (
        "dsatgo.py",
        "fit",
        RUN.format("data or elsewhere or folder or living"),
        [
            ("any data set will do", "test.facts | dict(samples=len(train))", "{}"),
        ],
    ),
    (
        "dsatgo.py",
        "_log",
        RUN.format("resume_after or signal or save_every or writes"),
        [
            ("rows of before are lost", "[line for line in lines if int(line.split(',')[0]) < epoch]", "[]"),
            ("rows come twice", "int(line.split(',')[0]) < epoch", "True"),
        ],
    ),
    (
        "dsatgo.py",
        "_locked",
        RUN.format("living or elsewhere"),
        [
            ("no lock", "fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)", "pass"),
            ("a finished run is overwritten", "(out / 'last.pt').exists()", "False"),
            ("logs stay behind", "('best.pt', 'log.csv', 'layers.csv')", "('best.pt', 'layers.csv')"),
            ("the best stays behind", "('best.pt', 'log.csv', 'layers.csv')", "('log.csv', 'layers.csv')"),
        ],
    ),
    (
        "dsatgo.py",
        "replacing",
        RUN.format("whole_or_not"),
        [("written in place", "pathlib.Path(f'{path}.tmp')", "pathlib.Path(path)")],
    ),
    (
        "dsatgo.py",
        "replacing",
        FAULT.format("vanishes or cannot_be or full_disk"),
        [("half a file stays", "temporary.unlink(missing_ok=True)", "pass")],
    ),
    (
        "dsatgo.py",
        "load_checkpoint",
        FAULT.format("flipped or damage"),
        [("checksums not looked at", "bad := file.testzip()", "bad := None")],
    ),
    (
        "dsatgo.py",
        "load_checkpoint",
        RUN.format("damaged_checkpoints"),
        [("code is run", "weights_only=True", "weights_only=False")],
    ),
    (
        "dsatgo.py",
        "sample_seed",
        RUN.format("augmentation_depends or drawn_pictures"),
        [("one seed for all", "repr(key)", "repr(key[:1])")],
    ),
    (
        "train_cifar.py",
        "Settings",
        RUN.format("imagenet or recipe"),
        [
            ("ImageNet's T", "T=4", "T=2"),
            ("ImageNet's network", "arch='resnet18'", "arch='resnet19'"),
            ("ImageNet's batch", "batch_size=32", "batch_size=16"),
        ],
    ),
    (
        "train_cifar.py",
        "parse",
        RUN.format("changed_setting or bad_settings or eval_finds or help or recipe") + " test_settings.py",
        [
            ("settings of the checkpoint forgotten", "**preset | stored | given", "**preset | given"),
            ("a changed setting accepted", "and (not same)", "and False"),
            ("abbreviations accepted", "allow_abbrev=False", "allow_abbrev=True"),
            ("limits not looked at", "not least <= value <= most", "False"),
            ("resumed elsewhere by default", "stored['out'] = source if os.path.isdir(source) else os.path.dirname(source) or '.'", "pass"),
            ("stop_after is kept", "'resume', 'eval', 'stop_after', 'plot', 'demo'", "'resume', 'eval', 'plot', 'demo'"),
        ],
    ),
    (
        "train_cifar.py",
        "one_line_errors",
        RUN.format("bad_settings or whole_or_not"),
        [
            ("exit code 1", "or 2)", "or 1)"),
            ("a full disk is a traceback", "(ValueError, OSError)", "ValueError"),
        ],
    ),
    (
        "train_cifar.py",
        "draw_shapes",
        RUN.format("drawn_pictures"),
        [
            ("labels shifted", "labels = torch.arange(n) % len(CLASSES)", "labels = (torch.arange(n) + 1) % len(CLASSES)"),
            ("always in the middle", "uniform(-0.25, 0.25, 1, 1), y - ", "0, y - "),
            ("classes of one shape", "outside[labels, torch.arange(n)]", "outside[0, torch.arange(n)]"),
        ],
    ),
    (
        "train_cifar.py",
        "Pictures",
        RUN.format("arrives or augmentation or crop"),
        [
            ("AutoAugment never applied", "self.policy(x) if self.policy else x", "x"),
            ("never flipped", "x.flip(2) if flip else x", "x"),
            ("upside down", "x.flip(2) if flip", "x.flip(1) if flip"),
            ("flipped for all or none", "torch.rand(()) < 0.5", "True"),
            ("a smaller crop window", "torch.randint(0, 9, (2,))", "torch.randint(0, 8, (2,))"),
            ("not cropped", "top:top + x.shape[1], left:left + x.shape[2]", "4:4 + x.shape[1], 4:4 + x.shape[2]"),
            ("drawn once per batch", "sample_seed(seed, epoch, i)", "sample_seed(seed, epoch)"),
            ("drawn alike in every epoch", "sample_seed(seed, epoch, i)", "sample_seed(seed, i)"),
            ("the test set is augmented", "None if epoch is None else sample_seed", "sample_seed"),
            ("not normalised", "images.float() / 255 - mean", "images.float() / 255"),
            ("not divided by the deviation", "- mean) / std", "- mean)"),
            ("labels in another order", "self.labels[indices]", "self.labels[:len(indices)]"),
            ("the global generator is used up", "torch.random.fork_rng(devices=[])", "torch.random.fork_rng(enabled=False)"),
        ],
    ),
    (
        "train_cifar.py",
        "Files",
        RUN.format("imagenet"),
        [
            ("no AutoAugment", "transforms.AutoAugment(transforms.AutoAugmentPolicy.IMAGENET)", "transforms.Lambda(lambda x: x)"),
            ("CIFAR's policy", "AutoAugmentPolicy.IMAGENET", "AutoAugmentPolicy.CIFAR10"),
            ("the centre at training", "self.random(picture)", "self.centre(picture)"),
            ("never flipped", "transforms.RandomHorizontalFlip()", "transforms.RandomHorizontalFlip(0)"),
            ("the whole picture in the test", "transforms.Resize(side * 256 // 224)", "transforms.Resize(side)"),
        ],
    ),
    (
        "train_cifar.py",
        "decoded",
        RUN.format("bad"),
        [("bad files shift the labels", "labels[good]", "labels[:len(good)]")],
    ),
    (
        "train_cifar.py",
        "load",
        RUN.format("arrives or folder or cifar"),
        [
            ("the training set is tested", "cifar(config.dataset, root, train)", "cifar(config.dataset, root, True)"),
            ("ImageNet's mean", "0.485", "0.455"),
            ("mean of another channel", "images[:, c].flatten()", "images[:, 0].flatten()"),
            ("variance without its mean", " - mean.square()", ""),
            ("its own normalisation at --eval", "if facts is None", "if True"),
            ("val not looked for", "'val' if (root / 'val').is_dir() else 'test'", "'test'"),
        ],
    ),
    (
        "train_cifar.py",
        "load",
        SET.format("limit or image_size or skip_bad or data or seed"),
        [
            ("limits swapped", "config.limit_train if train else config.limit_test", "config.limit_test if train else config.limit_train"),
            ("the first ones, not drawn", "torch.randperm(len(images), generator=torch.Generator().manual_seed(config.seed))[:limit]", "torch.arange(limit)"),
            ("drawn alike for every seed", "manual_seed(config.seed)", "manual_seed(0)"),
            ("labels not drawn along", ", labels[chosen])", ", labels[:limit])"),
            ("image size ignored", "side = config.image_size", "side = 32"),
            ("skip_bad ignored", "prepare, config.skip_bad", "prepare, False"),
            ("data ignored", "pathlib.Path(config.data)", "pathlib.Path('data')"),
            ("the same pictures to train and test", "f'{config.seed} {train}'", "f'{config.seed}'"),
            ("the same pictures for every seed", "f'{config.seed} {train}'", "f'{train}'"),
        ],
    ),
    (
        "train_cifar.py",
        "compare",
        "test_trainer.py -k four_networks",
        [
            ("vanilla beside vanilla", "('AT+TGO', 'true', 'threshold')", "('AT+TGO', 'fixed', 'fixed')"),
            ("AT beside vanilla", "('AT+TGO', 'true', 'threshold')", "('AT+TGO', 'true', 'fixed')"),
            ("one scale", "bn_scale=scale", "bn_scale=1.0"),
            ("scales other than printed", "bn_scale=scale", "bn_scale=1.3 - scale"),
            ("columns swapped", "statistics.mean(inside), min(inside)", "min(inside), statistics.mean(inside)"),
            ("the greatest layer", "min(inside)", "max(inside)"),
            ("firing for gradients", "mean['firing_rate'], mean['gradient_available']", "mean['gradient_available'], mean['firing_rate']"),
            ("deviation of a sample", "statistics.pstdev", "statistics.stdev"),
            ("energy as counted", "['mj_paper']", "['mj_counted']"),
            ("the best accuracy", "result['accuracy'], statistics", "result['best']['accuracy'] + 0.1, statistics"),
        ],
    ),
    (
        "train_cifar.py",
        "main",
        SET.format("plot or resume or eval") + " test_trainer.py",
        [
            ("plot ignored", "if config.plot and os", "if False and os"),
            ("the checkpoint is not used", "checkpoint=checkpoint", "checkpoint=None"),
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
