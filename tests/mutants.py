"""What `mutation.py` breaks: file, function, the tests that look at it, and a list of
(what is broken, the code as `ast.unparse` prints it, what takes its place, and the one test to run
where that saves time)."""

MUTANTS = [
    (
        "dsatgo.py",
        "rectangle",
        "test_neuron.py -m 'not slow'",
        [
            ("open window", "<= width / 2", "< width / 2", "test_neuron.py::test_a_trace_by_hand"),
            (
                "surrogate of height 1",
                ".mul_(1 / width)",
                "",
                "test_neuron.py::test_equals_plain_autograd[true-threshold-True]",
            ),
            (
                "one side of the window only",
                "(u - theta).abs_()",
                "(u - theta)",
                "test_neuron.py::test_equals_plain_autograd[true-threshold-True]",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "wide",
        "test_neuron.py -m 'not slow'",
        [
            (
                "float64 narrowed",
                "torch.promote_types(x.dtype, torch.float32)",
                "torch.float32",
                "test_neuron.py::test_equals_plain_autograd[true-threshold-True]",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "mean_and_std",
        "test_neuron.py -m 'not slow'",
        [
            ("gradient through theta", "u = u.detach()", "pass", "test_neuron.py::test_eq5"),
            (
                "statistics in half precision",
                "x.mean(dtype=torch.promote_types(x.dtype, torch.float32))",
                "x.mean()",
                "test_neuron.py::test_eq5_is_computed_in_float32_or_wider[dtype0]",
            ),
            (
                "variance without its root",
                ".square_()).sqrt()",
                ".square_())",
                "test_neuron.py::test_equals_plain_autograd[true-threshold-True]",
            ),
            (
                "unbiased variance",
                "average((wide(u) - mean).square_()).sqrt()",
                "wide(u).std()",
                "test_neuron.py::test_equals_plain_autograd[true-threshold-True]",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "mean_and_std",
        "test_reference.py -m 'not slow' -k large_mean",
        [
            (
                "one-pass variance",
                "average((wide(u) - mean).square_()).sqrt()",
                "(average(wide(u).square()) - mean ** 2).sqrt()",
                "test_reference.py::test_float32_with_a_large_mean",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "mean_and_std",
        "test_neuron.py -k synced",
        [
            (
                "statistics of one process",
                "torch.distributed.all_reduce(x)",
                "pass",
                "test_neuron.py::test_synced_statistics_are_those_of_the_whole_batch",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "adaptive_threshold",
        "test_neuron.py -m 'not slow'",
        [
            (
                "f_c on the mean alone",
                "return f_c * (mean + std)",
                "return f_c * mean + std",
                "test_neuron.py::test_equals_plain_autograd[true-threshold-True]",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "estimated_threshold",
        "test_neuron.py -m 'not slow'",
        [
            (
                "estimate without the square",
                "tau ** 2",
                "tau",
                "test_neuron.py::test_equals_plain_autograd[estimated-threshold-True]",
            ),
            (
                "estimate without f_c",
                "f_c * (1",
                "(1",
                "test_neuron.py::test_equals_plain_autograd[estimated-threshold-True]",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "surrogate_width",
        "test_reference.py -m 'not slow' -k eq_7",
        [
            ("sign in Eq. 7", "theta - v_th", "v_th - theta", "test_reference.py::test_eq_7"),
            (
                "Eq. 7 without kappa",
                "(kappa * (1 + torch",
                "(1.0 * (1 + torch",
                "test_reference.py::test_eq_7",
            ),
            ("width not floored", ".clamp(min=FLOOR * kappa)", "", "test_reference.py::test_eq_7"),
        ],
    ),
    (
        "dsatgo.py",
        "theta_of",
        "test_neuron.py -m 'not slow'",
        [
            (
                "f_c ignored in the neuron",
                "(u, rule.f_c, rule.synced)",
                "(u, 1.0, rule.synced)",
                "test_neuron.py::test_equals_plain_autograd[true-threshold-True]",
            ),
            (
                "an unknown threshold is true",
                "require(known, 'threshold', rule.threshold, f'one of {THRESHOLDS}')",
                "pass",
                "test_neuron.py::test_a_rule_with_a_name_and_no_code_is_an_error[threshold-True]",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "width_of",
        "test_neuron.py -m 'not slow'",
        [
            (
                "fixed width without kappa",
                "full_like(theta, rule.kappa)",
                "full_like(theta, 1.0)",
                "test_neuron.py::test_equals_plain_autograd[true-fixed-True]",
            ),
            (
                "width without kappa",
                "(theta, rule.v_th, rule.kappa)",
                "(theta, rule.v_th)",
                "test_neuron.py::test_equals_plain_autograd[true-threshold-True]",
            ),
            (
                "width std follows the threshold",
                "mean_and_std(u, rule.synced)[1]",
                "theta",
                "test_neuron.py::test_equals_plain_autograd[true-std-True]",
            ),
            (
                "width std follows the mean",
                "(u, rule.synced)[1]",
                "(u, rule.synced)[0]",
                "test_neuron.py::test_equals_plain_autograd[true-std-True]",
            ),
            (
                "an unknown width is fixed",
                "require(rule.width == 'fixed', 'width', rule.width, f'one of {WIDTHS}')",
                "pass",
                "test_neuron.py::test_a_rule_with_a_name_and_no_code_is_an_error[width-True]",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "lif_forward",
        "test_neuron.py -m 'not slow'",
        [
            (
                "a tie does not fire",
                "u >= fire",
                "u > fire",
                "test_neuron.py::test_a_trace_by_hand",
            ),
            (
                "fires at theta in TGO",
                "if rule.threshold == 'fixed'",
                "if False",
                "test_neuron.py::test_equals_plain_autograd[fixed-threshold-True]",
            ),
            (
                "a learned threshold fires at v_th",
                "== 'fixed' else theta",
                "!= 'true' else theta",
                "test_neuron.py::test_equals_plain_autograd[estimated-threshold-True]",
            ),
            ("no reset", "tau * u, 1 - s", "tau * u, torch.ones_like(s)"),
            (
                "leak on the input as well",
                "addcmul(wide(i), tau",
                "addcmul((1 - tau) * wide(i), tau",
            ),
            (
                "potential not rounded to the input's dtype",
                "u = wide(us[t])",
                "pass",
                "test_neuron.py::test_the_potential_is_rounded_to_the_inputs_dtype_and_all_else_is_wider[true-dtype0-True]",
            ),
            (
                "compared in the input's dtype",
                "(u >= fire)",
                "(u.to(current.dtype) >= fire.to(current.dtype))",
                "test_neuron.py::test_the_potential_is_rounded_to_the_inputs_dtype_and_all_else_is_wider[true-dtype0-True]",
            ),
            ("theta not floored", ".clamp(min=FLOOR * rule.v_th)", ""),
            ("theta's floor not in units of v_th", "FLOOR * rule.v_th", "FLOOR"),
            (
                "NaN swallowed",
                ".addcmul_(u, zero)",
                "",
                "test_neuron.py::test_nan_and_infinity_are_never_swallowed_and_never_averaged_in[nan-True-true-threshold]",
            ),
            (
                "NaN potential swallowed",
                "(u, zero)",
                "(theta, zero)",
                "test_neuron.py::test_nan_and_infinity_are_never_swallowed_and_never_averaged_in[nan-True-estimated-threshold]",
            ),
            ("first timestep's threshold for all", "given[t]", "given[0]"),
            (
                "the width at fire, not at theta",
                "width_of(us[t], theta,",
                "width_of(us[t], fire,",
                "test_neuron.py::test_equals_plain_autograd[fixed-threshold-True]",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "lif_backward",
        "test_neuron.py -m 'not slow'",
        [
            (
                "reset detached in the backward",
                "dst = torch.addcmul(dst, leaked, ut, value=-1)",
                "pass",
            ),
            (
                "gradient not stopped by the reset",
                "(du, leaked, kept)",
                "(du, leaked, torch.ones_like(kept))",
            ),
            (
                "no leak in the backward",
                "(du, leaked, kept)",
                "(du, leaked / tau, kept)",
                "test_neuron.py::test_equals_plain_autograd[true-threshold-True]",
            ),
            (
                "leak's gradient of one timestep",
                "dtau + (du * ut * kept).sum()",
                "(du * ut * kept).sum()",
            ),
            ("leak's gradient ignores the reset", "(du * ut * kept)", "(du * ut)"),
            (
                "sign of the learned threshold's gradient",
                "-du.sum()",
                "du.sum()",
                "test_neuron.py::test_equals_plain_autograd[learned-threshold-True]",
            ),
            (
                "threshold's gradient over all paths",
                "-du.sum()",
                "-(torch.addcmul(du, leaked, kept) if t < T - 1 else du).sum()",
                "test_neuron.py::test_equals_plain_autograd[learned-threshold-True]",
            ),
            ("first timestep's window for all", "fire[t], k[t]", "fire[0], k[0]"),
            ("first timestep's spikes for all", "ut < fire[t]", "ut < fire[0]"),
            (
                "backward in half precision",
                "wide(u[t])",
                "u[t]",
                "test_neuron.py::test_the_potential_is_rounded_to_the_inputs_dtype_and_all_else_is_wider[true-dtype0-True]",
            ),
            (
                "gradient rounded at every timestep",
                "dcurrent.append(du.to(ds.dtype))",
                "du = wide(du.to(ds.dtype))\n        dcurrent.append(du.to(ds.dtype))",
                "test_neuron.py::test_the_potential_is_rounded_to_the_inputs_dtype_and_all_else_is_wider[true-dtype0-True]",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "lif_backward",
        "test_reference.py -m 'not slow' -k dyadic",
        [
            ("a tie is not reset in the backward", "ut < fire[t]", "ut <= fire[t]"),
        ],
    ),
    (
        "dsatgo.py",
        "Sequence",
        "test_neuron.py -m 'not slow'",
        [
            (
                "twice differentiable, wrongly",
                "@torch.autograd.function.once_differentiable",
                "",
                "test_neuron.py::test_differentiating_twice_is_an_error",
            ),
            (
                "a learned threshold gets no gradient",
                "ctx.needs_input_grad[2]",
                "False",
                "test_neuron.py::test_equals_plain_autograd[learned-threshold-True]",
            ),
            (
                "window around theta, not where it fires",
                "save_for_backward(fire",
                "save_for_backward(theta",
                "test_neuron.py::test_equals_plain_autograd[fixed-threshold-True]",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "Sequence.setup_context",
        "test_modules.py -m 'not slow' -k 'in_place or only_the_spikes'",
        [
            (
                "running thresholds with a graph",
                "ctx.mark_non_differentiable(theta, fire, k, *u)",
                "pass",
                "test_modules.py::test_only_the_spikes_have_a_gradient",
            ),
            (
                "spikes kept as potentials",
                "*u = output",
                "*u = output; u = [*output[0]]",
                "test_neuron.py::test_equals_plain_autograd[true-threshold-True]",
            ),
            (
                "all of the current kept",
                "fire, k, inputs[1], *u)",
                "fire, k, inputs[1], *u, inputs[0])",
                "test_neuron.py::test_keeps_the_potentials_alone_for_the_backward_pass[dtype0]",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "Sequence.forward",
        "test_modules.py -m 'not slow' -k 'attribute or reset or synced or func_grad'",
        [
            ("the processes' statistics compiled", ", eager=rule.synced", ""),
        ],
    ),
    (
        "dsatgo.py",
        "LIF.__init__",
        "test_neuron.py -m 'not slow' -k 'range or signature or state or statistics or equals or dtype or refused'",
        [
            (
                "tau of 1",
                "1 if name == 'tau'",
                "2 if name == 'tau'",
                "test_neuron.py::test_arguments_out_of_range[tau-1]",
            ),
            (
                "any f_c",
                "require(fits, name, value",
                "require(fits or name == 'f_c', name, value",
                "test_neuron.py::test_arguments_out_of_range[f_c-0]",
            ),
            (
                "arguments of 0",
                "0 < value < most",
                "0 <= value < most",
                "test_neuron.py::test_arguments_out_of_range[tau-0]",
            ),
            (
                "any T",
                "require_counts(T=T)",
                "pass",
                "test_neuron.py::test_arguments_out_of_range[T-0]",
            ),
            (
                "momentum above 1",
                "0 < momentum <= 1",
                "0 < momentum",
                "test_neuron.py::test_arguments_out_of_range[momentum-1.5]",
            ),
            (
                "leak not learned by default",
                "learn_tau=True",
                "learn_tau=False",
                "test_neuron.py::test_signatures_are_the_contracts",
            ),
            (
                "learn_tau ignored",
                "w=learn_tau",
                "w=True",
                "test_neuron.py::test_every_arm_has_the_same_state_and_learns_what_it_should",
            ),
            (
                "narrow running thresholds",
                "wide(torch.zeros(T))",
                "torch.zeros(T)",
                "test_neuron.py::test_a_narrow_default_dtype_does_not_narrow_the_running_thresholds",
            ),
            (
                "running thresholds are no buffer",
                "self.register_buffer('running_threshold', wide(torch.zeros(T)))",
                "self.running_threshold = wide(torch.zeros(T))",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "LIF.reset_parameters",
        "test_neuron.py -m 'not slow' -k 'range or signature or state or statistics or equals or dtype or refused'",
        [
            ("w is not the logit", "math.log(self.tau / (1 - self.tau))", "math.log(self.tau)"),
            ("a is not the logarithm", "math.log(self.v_th)", "self.v_th"),
            ("running thresholds start at 1", "threshold.fill_(self.v_th)", "threshold.fill_(1.0)"),
        ],
    ),
    (
        "dsatgo.py",
        "LIF.reset_parameters",
        "test_modules.py -m 'not slow' -k 'attribute or reset or synced or func_grad'",
        [
            ("updates go on", "self.updates.zero_()", "pass"),
            (
                "not warned again after a reset",
                "self._unlooked = True",
                "self._unlooked = not hasattr(self, '_unlooked')",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "LIF.adaptive",
        "test_neuron.py -m 'not slow' -k 'range or signature or state or statistics or equals or dtype or refused'",
        [
            ("vanilla computes statistics", "self.width != 'threshold'", "self.width == 'std'"),
            ("TGO without statistics", " and self.width != 'threshold'", ""),
            ("a learned threshold computes statistics", " and self.threshold != 'learned'", ""),
        ],
    ),
    (
        "dsatgo.py",
        "LIF.thresholds",
        "test_neuron.py -m 'not slow'",
        [
            ("learned threshold without exp", "wide(self.a).exp()", "wide(self.a)"),
            (
                "running value used in training",
                "if not self.training and self.momentum is not None:",
                "if self.momentum is not None:",
            ),
            (
                "momentum=None evaluates the running value",
                "if not self.training and self.momentum is not None:",
                "if not self.training:",
            ),
            ("gradient through the estimate", "tau.detach()", "tau"),
            ("estimated is true", "if self.threshold == 'estimated'", "if False"),
        ],
    ),
    (
        "dsatgo.py",
        "LIF.thresholds",
        "test_neuron.py -m 'not slow' -k 'warn or half or prints or device'",
        [
            ("no warning", "if self.updates == 0:", "if False:"),
            ("warns at every call", "self._unlooked = False", "pass"),
            ("looks at counts on no device", " and (not self.updates.is_meta)", ""),
        ],
    ),
    (
        "dsatgo.py",
        "LIF.forward",
        "test_neuron.py -m 'not slow'",
        [
            (
                "wrong T accepted",
                "current.shape[0] == self.T",
                "True",
                "test_neuron.py::test_a_current_of_the_wrong_shape_is_refused_with_the_numbers[shape0]",
            ),
            (
                "empty batch accepted",
                " and (current.numel() > 0)",
                "",
                "test_neuron.py::test_a_current_of_the_wrong_shape_is_refused_with_the_numbers[shape3]",
            ),
            ("integers accepted", " or not current.is_floating_point()", ""),
            (
                "leak in half precision",
                "self.w.to(torch.promote_types(flat.dtype, torch.float32))",
                "self.w.to(flat.dtype)",
            ),
            (
                "v_th and kappa swapped",
                "self.v_th, self.kappa, self",
                "self.kappa, self.v_th, self",
            ),
            (
                "evaluation averages",
                "self.adaptive and self.training and",
                "self.adaptive and",
                "test_neuron.py::test_average_of_eq6",
            ),
            ("every arm averages", "if self.adaptive and self.training", "if self.training"),
            ("recomputation averages again", " and (not in_backward()):", ":"),
            ("momentum swapped", "m * theta + (1 - m) * old", "(1 - m) * theta + m * old"),
            (
                "NaN averaged in",
                "torch.where(finite, average, old)",
                "m * theta + (1 - m) * old",
                "test_neuron.py::test_nan_and_infinity_are_never_swallowed_and_never_averaged_in[nan-True-true-threshold]",
            ),
            (
                "one NaN keeps all timesteps out",
                "theta.isfinite()",
                "theta.isfinite().all()",
                "test_neuron.py::test_a_timestep_that_is_not_finite_does_not_stop_the_others_from_being_averaged",
            ),
            (
                "averages where it fires",
                "m * theta",
                "m * fire",
                "test_neuron.py::test_equals_plain_autograd[fixed-threshold-True]",
            ),
            (
                "half an update counted",
                "finite.all()",
                "finite.any()",
                "test_neuron.py::test_a_timestep_that_is_not_finite_does_not_stop_the_others_from_being_averaged",
            ),
            (
                "output in another order",
                "return unflatten(s)",
                "return s.view_as(current)",
                "test_neuron.py::test_the_layout_in_memory_changes_nothing[channels_last]",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "LIF.forward",
        "test_modules.py -m 'not slow' -k 'attribute or reset or synced or func_grad'",
        [
            ("evaluation asks the other processes", "self.synced and self.training", "self.synced"),
        ],
    ),
    (
        "dsatgo.py",
        "LIF",
        "test_neuron.py -m 'not slow' -k 'warn or half or prints or device'",
        [
            (
                "not warned again after loading",
                "super()._load_from_state_dict(*args)\n        self._unlooked = True",
                "super()._load_from_state_dict(*args)",
            ),
            (
                "thresholds rounded by half()",
                "self.running_threshold, self.updates = (b.to(self.w.device) for b in kept)",
                "pass",
            ),
            (
                "stays on its device",
                "b.to(self.w.device)",
                "b",
                "test_neuron.py::test_a_move_to_another_device_in_half_takes_the_running_thresholds_along",
            ),
            (
                "widths not printed",
                "T threshold width tau",
                "T threshold tau",
                "test_neuron.py::test_a_layer_prints_its_settings",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "flatten",
        "test_neuron.py -m 'not slow' -k 'layout or copy'",
        [
            ("channels-last copied", "order.sort(key=x.stride, reverse=True)", "pass"),
            ("axes put back in the wrong order", "order.index(d) + 1", "order[d - 1]"),
        ],
    ),
    (
        "dsatgo.py",
        "require_counts",
        "test_neuron.py -m 'not slow' -k range",
        [
            ("True is a number", " and (n is not True)", ""),
            ("0 is a size", "n >= 1", "n >= 0"),
            ("NumPy's whole numbers refused", "numbers.Integral", "int"),
        ],
    ),
    (
        "dsatgo.py",
        "require",
        "test_neuron.py -m 'not slow' -k range",
        [
            ("refused without the value", "{name}={value!r}", "{name}"),
        ],
    ),
    (
        "dsatgo.py",
        "Fold.forward",
        "test_networks.py -m 'not slow' -k 'tables or inference'",
        [
            (
                "timesteps and batch swapped",
                "unflatten(0, x.shape[:2])",
                "unflatten(0, x.shape[1::-1])",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "Layer",
        "test_networks.py -m 'not slow' -k recompute",
        [
            ("recompute keeps all", "self.again and", "False and"),
            (
                "recomputing averages batch norm again",
                "(0.0, norm.num_batches_tracked.clone())",
                "(norm.momentum, norm.num_batches_tracked.clone())",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "Layer.__init__",
        "test_networks.py::test_batch_norm_starts_at_the_neurons_v_th",
        [
            ("batch norm not at v_th", "getattr(neuron, 'v_th', 1.0)", "1.0"),
        ],
    ),
    (
        "dsatgo.py",
        "Layer.__init__",
        "test_modules.py -m 'not slow' -k 'slice or follows or refuses_other or listed'",
        [
            ("the neuron does not see its batch norm", "neuron.follows(norm)", "pass"),
        ],
    ),
    (
        "dsatgo.py",
        "conv_layer",
        "test_networks.py -m 'not slow' -k 'tables or neuron_of_its or papers_size or released_codes'",
        [
            ("convolutions with a bias", "bias=False", "bias=True"),
            ("fan-in", "mode='fan_out'", "mode='fan_in'"),
        ],
    ),
    (
        "dsatgo.py",
        "SEW",
        "test_networks.py -m 'not slow' -k 'tables or neuron_of_its or papers_size or released_codes'",
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
        "Input.forward",
        "test_networks.py -m 'not slow' -k 'still or side_by or norm or bad_networks or takes_the'",
        [
            (
                "noise at all but the first timestep",
                "x.expand(T, *x.shape)",
                "torch.stack([x] + [-x] * (T - 1))",
            ),
            ("integers accepted", " or not x.is_floating_point()", ""),
            (
                "a side ignored",
                "x.shape[3] // 16 == x.shape[4] // 16 == side // 16",
                "x.shape[4] // 16 == side // 16",
            ),
            ("any number of channels", " and (x.shape[2] == channels)", ""),
        ],
    ),
    (
        "dsatgo.py",
        "resnet",
        "test_networks.py -m 'not slow' -k 'tables or neuron_of_its or papers_size or released_codes'",
        [
            (
                "stem pooled after the neuron",
                "first.current.append(nn.AvgPool2d(2))",
                "first.append(Fold(nn.AvgPool2d(2)))",
            ),
            ("stride 2 in every stage", "2 if i > 0 and j == 0 else 1", "2 if j == 0 else 1"),
            ("one neuron in all of a block", "lambda: neuron(T)", "lambda kept=neuron(T): kept"),
            (
                "Table 4's misprint",
                "(2 * channels, 3), (4 * channels, 2)",
                "(2 * channels, 3), (4 * channels, 3)",
            ),
            (
                "imagenet from 128 on",
                "(channels // 2, 2), (channels, 2), (2 * channels, 2), (4 * channels, 2)]\n        first = conv_layer(in_channels, channels // 2,",
                "(channels, 2), (channels, 2), (2 * channels, 2), (4 * channels, 2)]\n        first = conv_layer(in_channels, channels,",
                "test_networks.py::test_each_layer_has_a_neuron_of_its_own_and_uses_it_once[imagenet]",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "resnet",
        "test_networks.py -m 'not slow' -k 'still or side_by or norm or bad_networks or takes_the'",
        [
            (
                "sizes unchecked",
                "require_counts(num_classes=num_classes, T=T, in_channels=in_channels, channels=channels)",
                "pass",
                '"test_networks.py::test_bad_networks_and_inputs[<lambda>-words11]"',
            ),
            (
                "odd channels",
                "channels % 2 == 0",
                "True",
                '"test_networks.py::test_bad_networks_and_inputs[<lambda>-words19]"',
            ),
        ],
    ),
    (
        "dsatgo.py",
        "vggsnn",
        "test_networks.py -m 'not slow' -k 'tables or neuron_of_its or papers_size or released_codes'",
        [
            ("pooled a layer late", "if i % 2 == 0:", "if i in (3, 4, 6, 8):"),
        ],
    ),
    (
        "dsatgo.py",
        "vggsnn",
        "test_networks.py -m 'not slow' -k 'still or side_by or norm or bad_networks or takes_the'",
        [
            ("size 15", "size >= 16", "size >= 15"),
        ],
    ),
    (
        "dsatgo.py",
        "recompute",
        "test_networks.py -m 'not slow' -k recompute",
        [
            ("for good", "module.again = enabled", "module.again = True"),
        ],
    ),
    (
        "dsatgo.py",
        "recompute",
        "test_modules.py -m 'not slow' -k 'slice or follows or refuses_other or listed'",
        [
            (
                "recomputes nothing in silence",
                "require(layers, 'net', type(net).__name__, 'a network with layers of this file')",
                "pass",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "for_inference",
        "test_networks.py -m 'not slow' -k inference",
        [
            ("no copy", "copy.deepcopy(net).eval()", "net.eval()"),
            (
                "batch norm left out",
                "fuse.get(type(current[0]), fusion.fuse_conv_bn_eval)(current[0], current[1])",
                "current[0]",
            ),
            ("not twice", " if not isinstance(m.current[1], nn.Identity)", ""),
        ],
    ),
    (
        "dsatgo.py",
        "readout",
        "test_networks.py::test_losses",
        [
            ("the last timestep", "logits.mean(0)", "logits[-1]"),
        ],
    ),
    (
        "dsatgo.py",
        "tet_loss",
        "test_networks.py::test_losses",
        [
            ("TET weights swapped", "(1 - lam) * ce + lam *", "lam * ce + (1 - lam) *"),
            (
                "sums, not means, of timesteps",
                "logits.flatten(0, 1), every",
                "logits.sum(0), labels",
            ),
            (
                "labels of other pictures",
                "labels.repeat(len(logits))",
                "labels.repeat_interleave(len(logits))",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "probe",
        "test_networks.py -m 'not slow' -k probe",
        [
            ("watches for good", "stack.callback(setattr, lif, 'watch', lif.watch)", "pass"),
            ("forgets the outer probe", "lif, 'watch', lif.watch)", "lif, 'watch', None)"),
        ],
    ),
    (
        "dsatgo.py",
        "observe",
        "test_networks.py -m 'not slow' -k probe",
        [
            ("the graph is kept", "@torch.no_grad()\n", ""),
            (
                "window around theta in TGO",
                "rectangle(u, fire[:, None]",
                "rectangle(u, theta[:, None]",
            ),
            ("theta, where it does not fire", "threshold=fire", "threshold=theta"),
            (
                "weighted by the last batch",
                "seen['samples'] += batch",
                "seen['samples'] = 2 * batch",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "LIF.forward",
        "test_networks.py -m 'not slow' -k probe",
        [
            ("floor without v_th", "FLOOR * self.v_th", "FLOOR"),
        ],
    ),
    (
        "dsatgo.py",
        "observe",
        "test_modules.py -m 'not slow' -k floor",
        [
            ("floored only at the floor itself", "1.01 * floor", "floor"),
        ],
    ),
    (
        "dsatgo.py",
        "energy",
        "test_networks.py -m 'not slow' -k 'energy or arithmetic'",
        [
            ("timesteps as pictures", "x.shape[-4:][0]", "len(x)"),
            ("whole counts at the input as spikes", "len(layers) > 0 and", ""),
            ("pooled spikes as spikes", "(x >= 0) & (x == x.round())", "x >= 0"),
            ("an ANN of T timesteps", "ops / T ** in_time", "ops"),
            ("the first layer as accumulates", "if len(layers) > 1:", "if len(layers) > 0:"),
            ("SEW sums as one spike", "wide(x).mean().item()", "(x > 0).double().mean().item()"),
            (
                "rate of the first timestep",
                "wide(s).mean().item()",
                "s[0].double().mean().item()",
            ),
            ("in training mode", "copy.deepcopy(net).eval()", "copy.deepcopy(net).train()"),
            ("no copy", "copy.deepcopy(net).eval()", "net.eval()"),
            (
                "columns swapped",
                "(layer['rate'] or 0)\n        count['mac_counted'] += layer['ops'] * (layer['arriving'] is None)\n        count['ac_counted'] += layer['ops'] * (layer['arriving'] or 0)",
                "(layer['arriving'] or 0)\n        count['mac_counted'] += layer['ops'] * (layer['arriving'] is None)\n        count['ac_counted'] += layer['ops'] * (layer['rate'] or 0)",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "energy",
        "test_modules.py -m 'not slow' -k energy",
        [
            (
                "any network's first axis is the batch",
                "require(batch is not None, 'batch', batch, 'how many samples x holds')",
                "batch = len(x) if batch is None else batch",
            ),
            ("any batch", "require(in_time or len(x) == batch,", "require(True,"),
            ("time not folded into the batch", " or x.shape[:2] == (T, batch)", ""),
            ("a layer before time T times", "T ** in_time", "T"),
            ("other layers counted as none", "any((p.dim() > 1", "any((p.dim() > 9"),
            ("convolutions of one axis are refused", "nn.Conv1d, ", ""),
        ],
    ),
    (
        "dsatgo.py",
        "energy",
        "test_networks.py -m 'not slow' -k 'energy or arithmetic'",
        [
            ("pJ swapped", "(4.6e-09, 9e-10)", "(9e-10, 4.6e-09)"),
        ],
    ),
    (
        "dsatgo.py",
        "calibrate",
        "test_networks.py -m 'not slow' -k calibrate",
        [
            (
                "no layer without parameters",
                "next(iter(net.state_dict().values())).device",
                "next(net.parameters()).device",
            ),
            ("averages where there is no average", "and m.momentum", ""),
            ("averages in every arm", "and m.adaptive", ""),
            ("batch norm's moving average", "norm.momentum = None", "pass"),
            ("thresholds go on", "buffer.zero_()", "pass"),
            (
                "a moving average",
                "lif.momentum = 1 / seen",
                "pass",
                "test_networks.py::test_calibrate_is_the_plain_mean_over_batches",
            ),
            (
                "no batch is fine",
                "seen > 0",
                "True",
                "test_networks.py::test_calibrate_loses_nothing_when_it_fails",
            ),
            (
                "left-out thresholds kept",
                " + [lif.updates == seen for lif in lifs]",
                "",
                "test_networks.py::test_calibrate_refuses_a_threshold_that_was_left_out",
            ),
            (
                "no copy",
                "copy.deepcopy(net).train()",
                "net.train()",
                "test_networks.py::test_calibrate_is_the_plain_mean_over_batches",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "compile_neurons",
        "test_networks.py -m 'not slow' -k 'compile or compiler or compiles or older'",
        [
            (
                "never off",
                "compiled.clear()",
                "pass",
                "test_networks.py::test_compile_neurons_compiles_both_passes_until_told_otherwise",
            ),
            (
                "PyTorch's limit of graphs",
                "recompile_limit=512",
                "recompile_limit=8",
                "test_networks.py::test_twelve_kinds_of_neurons_stay_compiled",
            ),
            (
                "an older torch's limit stays 8",
                "torch.__version__ < (2, 12)",
                "False",
                "test_networks.py::test_an_older_torch_has_one_limit_for_all",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "compile_neurons",
        "test_modules.py -m 'not slow' -k compile",
        [
            (
                "tells how it is, not how it was",
                "return before",
                "return bool(compiled)",
                "test_modules.py::test_compile_neurons_tells_how_it_was",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "run",
        "test_networks.py -m 'not slow' -k 'compile or compiler or compiles'",
        [
            (
                "a graph for every layer size",
                "torch._dynamo.mark_dynamic(x, x.dim() - 1)",
                "pass",
                "test_networks.py::test_a_new_layer_size_compiles_nothing_new[eager]",
            ),
            (
                "asks the broken compiler again",
                "compile_neurons(False)",
                "pass",
                "test_networks.py::test_a_compiler_that_fails_is_named_once_and_not_asked_again",
            ),
            (
                "stops without a compiler",
                "(known.TorchDynamoException, known.FailOnRecompileLimitHit)",
                "ZeroDivisionError",
                "test_networks.py::test_a_compiler_that_fails_is_named_once_and_not_asked_again",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "Trainer.__init__",
        "test_modules.py -m 'not slow' -k 'trainer or healthy or processes'",
        [
            (
                "any precision",
                "amp in ('off', 'bf16', 'fp16')",
                "True",
                "test_modules.py::test_trainer_refuses_an_unknown_precision",
            ),
            (
                "momentum of 0.8",
                "momentum=0.9",
                "momentum=0.8",
                "test_modules.py::test_trainer_takes_any_network_and_loader",
            ),
            (
                "no decay",
                "weight_decay=weight_decay",
                "weight_decay=0",
                "test_modules.py::test_trainer_takes_any_network_and_loader",
            ),
            (
                "no smoothing",
                ", label_smoothing=0.1",
                "",
                "test_modules.py::test_trainer_takes_any_network_and_loader",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "Trainer.__init__",
        "test_faults.py -m 'not slow' -k 'overflow or skipped_first'",
        [
            (
                "a skipped first step leaves no momentum",
                "self.optimizer.state[p]['momentum_buffer'] = torch.zeros_like(p)",
                "pass",
                "test_faults.py::test_overflow_of_fp16_skips_steps_and_goes_on",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "Trainer.__init__",
        "test_modules.py -m 'not slow' -k 'later_one or healthy'",
        [
            ("skips halve a scale that nothing restores", "1 - 2 ** (-23)", "0.5"),
            ("skips leave no trace", "1 - 2 ** (-23)", "1 - 2 ** (-52)"),
        ],
    ),
    (
        "dsatgo.py",
        "Trainer.rate",
        "test_modules.py -m 'not slow' -k 'trainer or healthy or processes'",
        [
            (
                "the rate rises beyond the schedule",
                "min(1, self.epoch / self.epochs)",
                "self.epoch / self.epochs",
                "test_modules.py::test_trainer_takes_any_network_and_loader",
            ),
            (
                "the rate does not reach 0",
                "/ self.epochs))",
                "/ (self.epochs + 1)))",
                "test_modules.py::test_trainer_takes_any_network_and_loader",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "Trainer.look",
        "test_modules.py -m 'not slow' -k 'trainer or healthy or processes'",
        [
            (
                "losses of batches, not of samples",
                "loss.detach() * len(y)",
                "loss.detach()",
                "test_modules.py::test_trainer_takes_any_network_and_loader",
            ),
            (
                "float64 is narrowed",
                "wide(model(x))",
                "model(x).float()",
                "test_modules.py::test_trainer_takes_any_network_and_loader",
            ),
            (
                "hits of the last timestep",
                "readout(logits).argmax(1)",
                "logits[-1].argmax(1)",
                "test_modules.py::test_trainer_takes_any_network_and_loader",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "Trainer.look",
        "test_settings.py -m 'not slow' -k amp",
        [
            (
                "float32 whatever is asked for",
                "enabled=self.amp != 'off'",
                "enabled=False",
                "test_settings.py::test_amp[train_cifar-bf16]",
            ),
            (
                "bf16 for fp16",
                "dict(fp16=torch.float16).get(self.amp, torch.bfloat16)",
                "torch.bfloat16",
                "test_settings.py::test_amp[train_cifar-fp16]",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "Trainer.step",
        "test_modules.py -m 'not slow' -k 'trainer or healthy or processes'",
        [
            (
                "one rate for all epochs",
                "group['lr'] = self.rate()",
                "pass",
                "test_modules.py::test_trainer_takes_any_network_and_loader",
            ),
            (
                "steps not counted",
                "self.steps += 1",
                "pass",
                "test_modules.py::test_trainer_takes_any_network_and_loader",
            ),
            (
                "meters of the last batch",
                "self.meters += more",
                "self.meters = more",
                "test_modules.py::test_trainer_takes_any_network_and_loader",
            ),
            (
                "trains in evaluation mode after an evaluation",
                "self.net.train()",
                "pass",
                "test_modules.py::test_trainer_evaluates_between_two_steps_and_changes_nothing",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "Trainer.step",
        "test_settings.py -m 'not slow' -k 'sgd or gradients'",
        [
            (
                "gradients add up",
                "self.optimizer.zero_grad()",
                "pass",
                "test_settings.py::test_gradients_are_of_this_step_alone[train_cifar]",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "Trainer.step",
        "test_faults.py -m 'not slow' -k 'overflow or skipped_first'",
        [
            (
                "the scale never falls",
                "self.scaler.update()",
                "pass",
                "test_faults.py::test_overflow_of_fp16_skips_steps_and_goes_on",
            ),
            (
                "steps though not finite",
                "self.scaler.step(self.optimizer)",
                "self.optimizer.step()",
                "test_faults.py::test_overflow_of_fp16_skips_steps_and_goes_on",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "Trainer.together",
        "test_modules.py -m 'not slow' -k 'trainer or healthy or processes'",
        [
            (
                "meters of one process",
                "torch.distributed.all_reduce(meters)",
                "pass",
                "test_modules.py::test_processes_add_up_their_meters_and_share_rank_0s_buffers",
            ),
            (
                "buffers of one's own",
                "torch.distributed.broadcast(buffer, 0)",
                "pass",
                "test_modules.py::test_processes_add_up_their_meters_and_share_rank_0s_buffers",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "Trainer.end_epoch",
        "test_modules.py -m 'not slow' -k 'trainer or healthy or processes'",
        [
            (
                "the epoch does not end",
                "self.epoch += 1",
                "pass",
                "test_modules.py::test_the_example_of_trainer_runs",
            ),
            ("steps of all epochs", "self.steps = 0", "pass"),
            (
                "meters of all epochs",
                "self.meters.zero_()",
                "pass",
                "test_modules.py::test_trainer_takes_any_network_and_loader",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "Trainer.evaluate",
        "test_modules.py -m 'not slow' -k 'trainer or healthy or processes'",
        [
            (
                "evaluates in training mode",
                "self.net.eval()",
                "pass",
                "test_modules.py::test_trainer_takes_any_network_and_loader",
            ),
            (
                "evaluates with a graph",
                "@torch.no_grad()\n",
                "",
                "test_modules.py::test_trainer_evaluates_between_two_steps_and_changes_nothing",
            ),
            (
                "the training's meters as well",
                "torch.zeros_like(self.meters)",
                "self.meters.clone()",
                "test_modules.py::test_trainer_evaluates_between_two_steps_and_changes_nothing",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "Trainer.healthy",
        "test_modules.py -m 'not slow' -k 'trainer or healthy or processes'",
        [
            (
                "any scale",
                "finite and self.scaler.get_scale() >= 1",
                "finite",
                "test_modules.py::test_healthy_sees_a_weight_that_is_not_finite_and_a_scale_that_fell",
            ),
            (
                "any weight",
                "finite and self.scaler",
                "self.scaler",
                "test_modules.py::test_healthy_sees_a_weight_that_is_not_finite_and_a_scale_that_fell",
            ),
            (
                "looks at no buffer",
                "self.net.state_dict().values()",
                "self.net.parameters()",
                "test_modules.py::test_healthy_sees_a_statistic_that_is_not_finite",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "Trainer.state_dict",
        "test_modules.py -m 'not slow' -k 'trainer or healthy or processes'",
        [
            (
                "saving adds up the meters in place",
                "self.meters.clone()",
                "self.meters",
                "test_modules.py::test_processes_add_up_their_meters_and_share_rank_0s_buffers",
            ),
        ],
    ),
    (
        "dsatgo.py",
        "Trainer.load_state_dict",
        "test_modules.py -m 'not slow' -k 'trainer or healthy or processes'",
        [
            (
                "momentum forgotten",
                ".copy_(state['momentum'][name])",
                ".zero_()",
                "test_modules.py::test_a_trainer_restored_goes_on_as_if_nothing_had_happened[off]",
            ),
            (
                "scale forgotten",
                "self.scaler.state_dict() | scale",
                "self.scaler.state_dict()",
                "test_modules.py::test_trainer_restores_the_scale",
            ),
            (
                "dice thrown anew",
                "torch.set_rng_state(state['rng'])",
                "pass",
                "test_modules.py::test_a_trainer_restored_goes_on_as_if_nothing_had_happened[off]",
            ),
            (
                "every process takes the meters of all",
                " * (self.world == 1 or torch.distributed.get_rank() == 0)",
                "",
                "test_modules.py::test_processes_add_up_their_meters_and_share_rank_0s_buffers",
            ),
            (
                "the epoch begins again",
                "self.steps = state['steps']",
                "pass",
                "test_modules.py::test_a_trainer_restored_goes_on_as_if_nothing_had_happened[off]",
            ),
        ],
    ),
    (
        "reference_numpy.py",
        "",
        "test_reference.py -m 'not slow' -k 'hand or defaults or fig_5 or theorem_1 or eq_7 or estimated'",
        [
            (
                "TGO is AT",
                "'TGO': dict(threshold='fixed', width='threshold')",
                "'TGO': dict(threshold='true', width='fixed')",
                "test_reference.py::test_the_arms_are_the_papers",
            ),
            (
                "a tie does not fire",
                "(u >= fire).astype(float)",
                "(u > fire).astype(float)",
                "test_reference.py::test_the_reference_by_hand",
            ),
            (
                "ramp of slope 1",
                "np.clip((u - fire) / k + 0.5",
                "np.clip(u - fire + 0.5",
                "test_reference.py::test_the_reference_by_hand",
            ),
            (
                "f_c on the mean alone",
                "f_c * (u.mean() + np.sqrt(((u - u.mean()) ** 2).mean()))",
                "f_c * u.mean() + u.std()",
                "test_reference.py::test_theorem_1",
            ),
            (
                "estimate without the square",
                "f_c * np.sqrt(1 + tau ** 2)",
                "f_c * np.sqrt(1 + tau)",
                "test_reference.py::test_estimated_threshold",
            ),
            (
                "momentum swapped",
                "momentum * theta + (1 - momentum) * running",
                "(1 - momentum) * theta + momentum * running",
                "test_reference.py::test_the_reference_by_hand",
            ),
            (
                "NaN averaged in",
                "np.isfinite(theta), momentum",
                "True, momentum",
                "test_reference.py::test_the_reference_by_hand",
            ),
            (
                "branches swapped",
                "np.where(theta < v_th, narrower, wider)",
                "np.where(theta < v_th, 1 - wider, wider)",
                "test_reference.py::test_eq_7",
            ),
            (
                "narrow branch's sign",
                "(1 - np.tanh(v_th - theta))",
                "(1 - np.tanh(theta - v_th))",
                "test_reference.py::test_eq_7",
            ),
            (
                "width's floor not in units of kappa",
                "wider), FLOOR * kappa)",
                "wider), FLOOR)",
                "test_reference.py::test_eq_7",
            ),
            (
                "Theorem 1 without the mean",
                "norm.cdf(f_c + (f_c - 1) * mu / sigma)",
                "norm.cdf(f_c)",
                "test_reference.py::test_theorem_1",
            ),
            (
                "window's lower end",
                "norm.cdf((theta - k / 2 - mu) / sigma)",
                "norm.cdf((theta - k / 2 + mu) / sigma)",
                "test_reference.py::test_fig_5_closed_form[0.7-0.3-2]",
            ),
            (
                "decay left out",
                "+ gradient + weight_decay * weight",
                "+ gradient",
                "test_reference.py::test_the_reference_by_hand",
            ),
            (
                "dampened momentum",
                "momentum * velocity + gradient +",
                "momentum * velocity + (1 - momentum) * gradient +",
                "test_reference.py::test_the_reference_by_hand",
            ),
        ],
    ),
    (
        "reference_numpy.py",
        "theta_of",
        "test_reference.py -m 'not slow' -k 'neuron_equals or silent or misspelt or nan or default or dyadic or examples'",
        [
            (
                "any threshold's rule",
                "if threshold not in THRESHOLDS:",
                "if False:",
                "test_reference.py::test_the_reference_refuses_a_misspelt_rule[None-True-threshold]",
            ),
            (
                "one running threshold",
                "running[t]",
                "running[0]",
                "test_reference.py -k equals_the_reference",
            ),
            (
                "estimated is true",
                "threshold == 'estimated'",
                "False",
                "test_reference.py -k equals_the_reference",
            ),
            (
                "f_c ignored",
                "adaptive_threshold(u, f_c)",
                "adaptive_threshold(u)",
                "test_reference.py -k equals_the_reference",
            ),
        ],
    ),
    (
        "reference_numpy.py",
        "width_of",
        "test_reference.py -m 'not slow' -k 'neuron_equals or silent or misspelt or nan or default or dyadic or examples'",
        [
            (
                "any width's rule",
                "if width not in WIDTHS:",
                "if False:",
                "test_reference.py::test_the_reference_refuses_a_misspelt_rule[None-True-width]",
            ),
            (
                "width std follows theta",
                "surrogate_width(u.std(), v_th, kappa)",
                "surrogate_width(theta, v_th, kappa)",
                "test_reference.py -k equals_the_reference",
            ),
        ],
    ),
    (
        "reference_numpy.py",
        "lif_forward",
        "test_reference.py -m 'not slow' -k 'neuron_equals or silent or misspelt or nan or default or dyadic or examples'",
        [
            (
                "reset left out",
                "tau * u * (1 - s)",
                "tau * u",
                "test_reference.py -k equals_the_reference",
            ),
            (
                "fixed threshold follows",
                "threshold == 'fixed' and width != 'threshold'",
                "False",
                "test_reference.py::test_the_reference_swallows_no_nan_either[nan-True-arm7]",
            ),
            (
                "theta not floored",
                "max(theta, FLOOR * v_th)",
                "theta",
                "test_reference.py::test_a_silent_layer_is_silent_in_the_reference_too",
            ),
            (
                "fires at theta in TGO",
                "v_th if threshold == 'fixed' else theta",
                "theta",
                "test_reference.py -k equals_the_reference",
            ),
            (
                "NaN swallowed",
                " + 0 * (u - theta)",
                "",
                "test_reference.py::test_the_reference_swallows_no_nan_either[nan-True-arm0]",
            ),
        ],
    ),
    (
        "reference_numpy.py",
        "lif_backward",
        "test_reference.py -m 'not slow' -k 'derivative or examples'",
        [
            (
                "leak's gradient ignores the reset",
                "u[t] * (1 - s[t])).sum()",
                "u[t]).sum()",
                "test_reference.py::test_the_references_backward_is_the_derivative_of_the_ramp[2-arm0]",
            ),
            (
                "reset path lost",
                "dspikes[t] - du * tau * u[t]",
                "dspikes[t]",
                "test_reference.py::test_the_references_backward_is_the_derivative_of_the_ramp[2-arm0]",
            ),
            (
                "reset path without the leak",
                "du * tau * u[t]",
                "du * u[t]",
                "test_reference.py::test_the_references_backward_is_the_derivative_of_the_ramp[2-arm0]",
            ),
            (
                "no path through time",
                "through_spike + du * tau * (1 - s[t])",
                "through_spike",
                "test_reference.py::test_the_references_backward_is_the_derivative_of_the_ramp[2-arm0]",
            ),
            (
                "sign of the threshold's gradient",
                "dtheta -= ",
                "dtheta += ",
                "test_reference.py::test_the_references_backward_is_the_derivative_of_the_ramp[1-arm7]",
            ),
            (
                "threshold's gradient over all paths",
                "dtheta -= through_spike.sum()",
                "dtheta -= du.sum()",
                "test_reference.py::test_the_references_backward_is_the_derivative_of_the_ramp[1-arm7]",
            ),
        ],
    ),
    (
        "reference_numpy.py",
        "",
        "test_reference.py -m 'not slow' -k 'torchs'",
        [
            (
                "weight's gradient transposed",
                "dout.reshape(-1, dout.shape[-1]).T @ x.reshape(-1, x.shape[-1])",
                "(dout.sum((0, 1))[:, None] * x.sum((0, 1)))",
                "test_reference.py::test_reference_layers_are_torchs[linear]",
            ),
            (
                "padding left in",
                "dx[:, :, padding:shape[2] - padding, padding:shape[3] - padding]",
                "dx[:, :, :shape[2] - 2 * padding, :shape[3] - 2 * padding]",
                "test_reference.py::test_reference_layers_are_torchs[conv]",
            ),
            (
                "SEW without its sum",
                "(s + identity, None)",
                "(s, None)",
                "test_reference.py::test_reference_layers_are_torchs[sew]",
            ),
            (
                "skipped spikes without gradient",
                "return (dout, dout)",
                "return (dout, 0 * dout)",
                "test_reference.py::test_reference_layers_are_torchs[sew]",
            ),
            (
                "readout of the last timestep",
                "(logits.mean(0), len(logits))",
                "(logits[-1], len(logits))",
                "test_reference.py::test_reference_layers_are_torchs[readout]",
            ),
            (
                "readout's gradient a sum",
                "dout[None] / T",
                "dout[None]",
                "test_reference.py::test_reference_layers_are_torchs[readout]",
            ),
            (
                "no shift by the maximum",
                "logits - logits.max(1, keepdims=True)",
                "logits",
                "test_reference.py::test_reference_layers_are_torchs[cross_entropy_as_it_is]",
            ),
            (
                "smoothing not spread",
                "label_smoothing / logits.shape[1]",
                "0.0",
                "test_reference.py::test_reference_layers_are_torchs[cross_entropy]",
            ),
            (
                "cross-entropy a sum",
                "(target * logp).sum(1).mean()",
                "(target * logp).sum(1).sum()",
            ),
            (
                "TET's labels in the wrong order",
                "np.tile(labels, len(logits))",
                "np.repeat(labels, len(logits))",
            ),
            (
                "TET's weights swapped",
                "(1 - lam) * ce + lam *",
                "lam * ce + (1 - lam) *",
                "test_reference.py::test_reference_layers_are_torchs[tet]",
            ),
            ("TET's pull towards 0", "((logits - phi) ** 2)", "(logits ** 2)"),
            (
                "TET's gradient half",
                "lam * 2 * (logits",
                "lam * (logits",
                "test_reference.py::test_reference_layers_are_torchs[tet]",
            ),
        ],
    ),
    (
        "reference_numpy.py",
        "conv_backward",
        "test_reference.py -m 'not slow' -k 'torchs'",
        [
            (
                "a tap over another",
                "dx[:, :, rows, columns] += ",
                "dx[:, :, rows, columns] = ",
                "test_reference.py::test_reference_layers_are_torchs[conv]",
            ),
        ],
    ),
    (
        "reference_numpy.py",
        "batchnorm_forward",
        "test_reference.py -m 'not slow' -k 'torchs'",
        [
            (
                "eps left out",
                "np.sqrt(var + eps)",
                "np.sqrt(var)",
                "test_reference.py::test_reference_layers_are_torchs[batch_norm]",
            ),
        ],
    ),
    (
        "reference_numpy.py",
        "batchnorm_backward",
        "test_reference.py -m 'not slow' -k 'torchs'",
        [
            (
                "mean is a constant",
                "dxhat - through_mean - through_var",
                "dxhat - through_var",
                "test_reference.py::test_reference_layers_are_torchs[batch_norm]",
            ),
            (
                "variance is a constant",
                "dxhat - through_mean - through_var",
                "dxhat - through_mean",
                "test_reference.py::test_reference_layers_are_torchs[batch_norm]",
            ),
            (
                "evaluation as training",
                "if of_batch:",
                "if True:",
                "test_reference.py::test_reference_layers_are_torchs[batch_norm_in_evaluation]",
            ),
        ],
    ),
    (
        "reference_numpy.py",
        "pool_backward",
        "test_reference.py -m 'not slow' -k 'torchs'",
        [
            (
                "gradient of a sum pool",
                "axis=3) / 4",
                "axis=3)",
                "test_reference.py::test_reference_layers_are_torchs[pool]",
            ),
        ],
    ),
    (
        "reference_numpy.py",
        "train_rings",
        "test_reference.py -m 'not slow' -k 'lesson or rings'",
        [
            (
                "begins by guessing",
                "p['weight', 2] *= 0",
                "p['weight', 2] *= 0.1",
                "test_reference.py::test_the_rings_are_learned_as_pytorch_learns_them",
            ),
            (
                "second layer's leak for both",
                "taus[layer], threshold",
                "taus[1], threshold",
                "test_reference.py::test_the_rings_are_learned_as_pytorch_learns_them",
            ),
            (
                "leaks do not learn",
                "taus[layer] - 0.1 * dtau",
                "taus[layer]",
                "test_reference.py::test_the_rings_are_learned_as_pytorch_learns_them",
            ),
            (
                "layers backward in order",
                "in (1, 0)",
                "in (0, 1)",
                "test_reference.py::test_the_rings_are_learned_as_pytorch_learns_them",
            ),
            (
                "velocities forgotten",
                "p[name], velocity[name] = sgd",
                "p[name], _ = sgd",
                "test_reference.py::test_the_rings_are_learned_as_pytorch_learns_them",
            ),
            (
                "scale ignored",
                "np.full(hidden, scale)",
                "np.ones(hidden)",
                "test_reference.py::test_the_rings_of_every_arm_and_scale_are_pytorchs[0.1-AT+TGO]",
            ),
            (
                "threshold's rule ignored",
                "threshold=threshold, width=width",
                "width=width",
                "test_reference.py::test_the_rings_of_every_arm_and_scale_are_pytorchs[0.1-vanilla]",
            ),
            (
                "width's rule ignored",
                "threshold=threshold, width=width",
                "threshold=threshold",
                "test_reference.py::test_the_rings_of_every_arm_and_scale_are_pytorchs[3.0-AT]",
            ),
            (
                "initial leaks returned",
                "return (p, taus)",
                "return (p, [0.2, 0.2])",
                "test_reference.py::test_the_rings_of_every_arm_and_scale_are_pytorchs[1.0-AT+TGO]",
            ),
        ],
    ),
    (
        "reference_numpy.py",
        "show_theorem_1",
        "test_reference.py -m 'not slow' -k 'lesson or rings'",
        [
            (
                "closed form of another f_c",
                "firing_probability(f_c, mu, sigma)",
                "firing_probability(1.0, mu, sigma)",
                "test_reference.py::test_the_lesson_on_theorem_1",
            ),
            (
                "every distribution",
                "for every normal",
                "for every distribution",
                "test_reference.py::test_the_lesson_does_not_say_that_all_distributions_are_normal",
            ),
            (
                "another uniform",
                "(u > adaptive_threshold(u)).mean()",
                "(u > u.std() + 0.1).mean()",
                "test_reference.py::test_the_lesson_does_not_say_that_all_distributions_are_normal",
            ),
        ],
    ),
    (
        "reference_numpy.py",
        "show_rings",
        "test_reference.py -m 'not slow' -k 'lesson or rings'",
        [
            (
                "one arm four times",
                "scale=scale, **rules",
                "scale=scale",
                "test_reference.py::test_the_lessons_table_is_what_the_arms_reach",
            ),
            (
                "the first steps",
                "[80:]",
                "[:80]",
                "test_reference.py::test_the_lessons_table_is_what_the_arms_reach",
            ),
        ],
    ),
    (
        "reference_numpy.py",
        "main",
        "test_reference.py -m 'not slow' -k 'plot or arguments or pictures'",
        [
            (
                "no matplotlib, no word",
                "(ImportError, OSError)",
                "OSError",
                "test_reference.py::test_plot_without_matplotlib_says_how_to_get_it",
            ),
            (
                "no folder, no word",
                "(ImportError, OSError)",
                "ImportError",
                "test_reference.py::test_plot_into_what_is_no_folder_ends_in_one_line",
            ),
            (
                "abbreviated flags",
                ", allow_abbrev=False",
                "",
                "test_reference.py::test_the_lesson_refuses_unknown_arguments",
            ),
            (
                "failure is success",
                "parser.exit(2",
                "parser.exit(0",
                "test_reference.py::test_plot_into_what_is_no_folder_ends_in_one_line",
            ),
            (
                "pictures' code from where one stands",
                "pathlib.Path(__file__).with_name('experiments')",
                "pathlib.Path('experiments')",
                "test_reference.py::test_the_reference_alone_in_a_folder_names_what_its_pictures_need",
            ),
        ],
    ),
    (
        "experiments/lesson_plots.py",
        "",
        "test_reference.py -m 'not slow' -k 'plot or decision'",
        [
            (
                "temporary file left",
                "unfinished.unlink(missing_ok=True)",
                "pass",
                "test_reference.py::test_plot_leaves_nothing_half_written",
            ),
            (
                "blank pictures",
                "figure.savefig(",
                "plt.figure(figsize=(7, 4)).savefig(",
                "test_reference.py::test_plot_draws_six_pictures",
            ),
            (
                "a picture forgotten",
                "trace=trace, ",
                "",
                "test_reference.py::test_plot_draws_six_pictures",
            ),
            (
                "statistics of what is asked",
                "running=statistics)",
                "running=None)",
                "test_reference.py::test_the_decision_map_knows_the_rings",
            ),
            (
                "thresholds of what is asked",
                "running=running, **rules)",
                "**rules)",
                "test_reference.py::test_the_decision_map_knows_the_rings",
            ),
        ],
    ),
    (
        "reference_numpy.py",
        "show_thresholds",
        "test_reference.py -m 'not slow' -k 'lesson or rings'",
        [
            (
                "estimate of another leak",
                "estimated_threshold(0.2)",
                "estimated_threshold(0.5)",
                "test_reference.py::test_the_lesson_on_eqs_5_6_and_7",
            ),
            (
                "average of another start",
                "np.ones(4)",
                "np.zeros(4)",
                "test_reference.py::test_the_lesson_on_eqs_5_6_and_7",
            ),
        ],
    ),
    (
        "reference_numpy.py",
        "show_fig_5",
        "test_reference.py -m 'not slow' -k 'lesson or rings'",
        [
            (
                "share at another threshold",
                "gradient_probability(sigma, k, 0, sigma)",
                "gradient_probability(1.0, k, 0, sigma)",
                "test_reference.py::test_the_lesson_on_fig_5",
            ),
        ],
    ),
    (
        "reference_numpy.py",
        "show_gradient",
        "test_reference.py -m 'not slow' -k 'lesson or rings'",
        [
            (
                "step not doubled",
                "/ 2e-06",
                "/ 1e-06",
                "test_reference.py::test_the_lessons_gradients_are_right",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "build",
        "test_settings.py -m 'not slow' -k 'makes_the_network and cifar'",
        [
            (
                "leak ignored",
                "'tau', ",
                "",
                "test_settings.py::test_what_makes_the_network[train_cifar-tau-0.4]",
            ),
            (
                "v_th ignored",
                "'v_th', ",
                "",
                "test_settings.py::test_what_makes_the_network[train_cifar-v_th-0.5]",
            ),
            (
                "kappa ignored",
                "'kappa', ",
                "",
                "test_settings.py::test_what_makes_the_network[train_cifar-kappa-0.5]",
            ),
            (
                "f_c ignored",
                "'f_c', ",
                "",
                "test_settings.py::test_what_makes_the_network[train_cifar-f_c-0.7]",
            ),
            (
                "momentum ignored",
                "'momentum', ",
                "",
                "test_settings.py::test_what_makes_the_network[train_cifar-momentum-None]",
            ),
            (
                "threshold ignored",
                "'threshold', ",
                "",
                "test_settings.py::test_what_makes_the_network[train_cifar-threshold-estimated]",
            ),
            (
                "width ignored",
                ", 'width')",
                ")",
                "test_settings.py::test_what_makes_the_network[train_cifar-width-std]",
            ),
            (
                "channels ignored",
                "config.channels, neuron",
                "2, neuron",
                "test_settings.py::test_what_makes_the_network[train_cifar-channels-1]",
            ),
            (
                "T ignored",
                "config.T, shape",
                "2, shape",
                "test_settings.py::test_what_makes_the_network[train_cifar-T-1]",
            ),
            (
                "bn_scale ignored",
                "config.bn_scale is not None",
                "False",
                "test_settings.py::test_what_makes_the_network[train_cifar-bn_scale-0.3]",
            ),
            (
                "bn_scale on the shift",
                "module.weight, config",
                "module.bias, config",
                "test_settings.py::test_what_makes_the_network[train_cifar-bn_scale-0.3]",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "build",
        "test_settings.py -m 'not slow' -k 'recompute'",
        [
            (
                "recompute ignored",
                "if config.recompute",
                "if False",
                "test_settings.py::test_recompute[train_cifar-True]",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "build",
        "test_trainer.py -m 'not slow' -k 'imagenet_arrives'",
        [
            (
                "ImageNet's form for none",
                "config.dataset == 'imagenet'",
                "False",
                "test_trainer.py::test_imagenet_arrives_as_its_recipe_says",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "Feed",
        "test_settings.py -m 'not slow' -k 'workers'",
        [
            (
                "workers ignored",
                "num_workers=workers",
                "num_workers=0",
                "test_settings.py::test_workers[train_cifar-1]",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "Feed.__getitem__",
        "test_trainer.py -m 'not slow' -k 'cifar_arrives'",
        [
            (
                "augmented alike in every epoch",
                "[part, epoch, self.seed]",
                "[part, epoch and 0, self.seed]",
                "test_trainer.py::test_cifar_arrives_as_the_recipe_says[cifar10]",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "fit",
        "test_settings.py -m 'not slow' -k 'batch or every_epoch or resumed'",
        [
            (
                "the same order in every epoch",
                "sample_seed(config.seed, epoch)",
                "sample_seed(config.seed)",
                "test_settings.py::test_every_epoch_has_an_order_of_its_own_that_the_seed_draws[train_cifar-3]",
            ),
            (
                "an order that the seed does not draw",
                "sample_seed(config.seed, epoch)",
                "sample_seed(epoch)",
                "test_settings.py::test_every_epoch_has_an_order_of_its_own_that_the_seed_draws[train_cifar-3]",
            ),
            (
                "the last batch is kept",
                " if len(part) == batch",
                "",
                "test_settings.py::test_batch_size[train_cifar-4]",
            ),
            (
                "no order at all",
                "torch.randperm(len(train), generator=random)",
                "torch.arange(len(train))",
                "test_settings.py::test_every_epoch_has_an_order_of_its_own_that_the_seed_draws[train_cifar-3]",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "Run.evaluate",
        "test_trainer.py -m 'not slow' -k 'log_csv or layers_csv or evaluation_sees or cifar_arrives'",
        [
            (
                "part of the test set",
                "order[self.rank::self.world]",
                "order[1::2]",
                "test_trainer.py::test_log_csv_is_what_happened",
            ),
            (
                "sorted by class",
                "torch.randperm(n, generator=torch.Generator().manual_seed(0))",
                "torch.arange(n)",
                "test_trainer.py::test_evaluation_sees_every_sample_once_in_one_random_order",
            ),
            (
                "another order each time",
                "generator=torch.Generator().manual_seed(0)",
                "generator=None",
                "test_trainer.py::test_evaluation_sees_every_sample_once_in_one_random_order",
            ),
            (
                "layers of one batch",
                "i == 10",
                "i == 1",
                "test_trainer.py::test_layers_csv_is_what_the_probe_sees_on_the_test_set",
            ),
            (
                "augmented test set",
                "self.feed.batches(parts)",
                "self.feed.batches(parts, 0)",
                "test_trainer.py::test_cifar_arrives_as_the_recipe_says[cifar10]",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "start",
        "test_settings.py -m 'not slow' -k 'device'",
        [
            ("device ignored", "name = config.device", "name = 'auto'"),
        ],
    ),
    (
        "train_cifar.py",
        "fit",
        "test_settings.py -m 'not slow' -k 'compile' test_trainer.py",
        [
            (
                "compile ignored",
                "if wanted is not None:",
                "if False:",
                "test_settings.py::test_compile[train_cifar-True]",
            ),
            (
                "compiled on the CPU too",
                "config.compile is None and device.type == 'cuda'",
                "config.compile is None",
                "test_settings.py::test_compile[train_cifar-None]",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "fit",
        "test_trainer.py -m 'not slow' -k 'leaves_compiled or after_an_exception'",
        [
            (
                "compilation stays",
                "stack.callback(compile_neurons, compile_neurons(wanted))",
                "compile_neurons(wanted)",
                "test_trainer.py::test_a_run_leaves_compiled_neurons_as_the_caller_had_them[asked0-False]",
            ),
            (
                "compilation ends with the run",
                "stack.callback(compile_neurons, compile_neurons(wanted))",
                "stack.callback(compile_neurons, compile_neurons(wanted) and False)",
                "test_trainer.py::test_a_run_leaves_compiled_neurons_as_the_caller_had_them[asked0-True]",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "fit",
        "test_settings.py -m 'not slow' -k 'makes_the_network and cifar and seed'",
        [
            ("seed ignored", "torch.manual_seed(config.seed)", "torch.manual_seed(0)"),
        ],
    ),
    (
        "train_cifar.py",
        "fit",
        "test_settings.py -m 'not slow' -k 'sgd or lr or epochs or smoothing or batch or stop_after or amp'",
        [
            (
                "weight decay ignored",
                "config.weight_decay, loss",
                "0.0001, loss",
                "test_settings.py::test_a_step_is_sgd_with_this_decay_and_momentum[train_cifar-0.0]",
            ),
            (
                "learning rate ignored",
                "config.lr, config",
                "0.1, config",
                "test_settings.py::test_lr[train_cifar-0.0]",
            ),
            (
                "schedule of another length",
                "recipe = (config.epochs",
                "recipe = (400",
                "test_settings.py::test_lr[train_cifar-0.03]",
            ),
            (
                "stop_after changes the schedule",
                "recipe = (config.epochs",
                "recipe = (config.stop_after or config.epochs",
                "test_settings.py::test_stop_after[train_cifar-2]",
            ),
            (
                "precision ignored",
                "loss, config.amp,",
                "loss, 'off',",
                "test_settings.py::test_amp[train_cifar-bf16]",
            ),
            (
                "label smoothing ignored",
                "smooth = config.label_smoothing",
                "smooth = 0.1",
                "test_settings.py::test_label_smoothing[train_cifar-0.0]",
            ),
            (
                "no group without decay",
                "config.amp, config.norm_decay)",
                "config.amp)",
                "test_settings.py::test_norm_decay[train_cifar-False]",
            ),
            (
                "a network that is not finite is tested",
                "if not math.isfinite(result['loss']):",
                "if False:",
                "test_trainer.py::test_a_test_loss_that_is_not_finite_is_no_result",
            ),
            (
                "loss of the last timestep",
                "F.cross_entropy(readout(z)",
                "F.cross_entropy(z[-1]",
                "test_settings.py::test_label_smoothing[train_cifar-0.0]",
            ),
            (
                "batch size ignored",
                "min(config.batch_size, len(train))",
                "min(10, len(train))",
                "test_settings.py::test_batch_size[train_cifar-4]",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "fit",
        "test_settings.py -m 'not slow' -k 'eval or resume'",
        [
            (
                "trains when asked to test",
                "if config.eval:\n            result",
                "if False:\n            result",
                "test_settings.py::test_eval[train_cifar-folder]",
            ),
            (
                "begins in the first epoch again",
                "range(trainer.epoch,",
                "range(0,",
                "test_settings.py::test_a_run_resumed_in_epoch_3_sees_what_it_would_have_seen[train_cifar]",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "fit",
        "test_trainer.py -m 'not slow' -k 'other_data'",
        [
            (
                "any data set will do",
                "test.facts | dict(samples=len(train))",
                "{}",
                "test_trainer.py::test_resume_refuses_other_data",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "Run.__init__",
        "test_settings.py -m 'not slow' -k 'out'",
        [
            ("out ignored", "config.out or f'runs", "f'runs"),
            ("the default folder without its seed", "-{config.seed}'", "'"),
        ],
    ),
    (
        "train_cifar.py",
        "Run.restore",
        "test_trainer.py -m 'not slow' -k 'other_data or resume_after or best_pt or eval'",
        [
            (
                "other data accepted",
                "if repr(held.get(n)) != repr(fact)",
                "if False",
                "test_trainer.py::test_resume_refuses_other_data",
            ),
            (
                "the best so far is forgotten",
                "self.best = checkpoint['best']",
                "pass",
                "test_trainer.py::test_resume_after_an_epoch_is_bit_for_bit",
            ),
            (
                "only the network is restored",
                "self.trainer.load_state_dict(checkpoint)",
                "self.trainer.net.load_state_dict(checkpoint['model'])",
                "test_trainer.py::test_resume_after_an_epoch_is_bit_for_bit",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "Run.__init__",
        "test_settings.py -m 'not slow' -k 'stop_after'",
        [
            (
                "stop_after ignored",
                "config.stop_after or config.epochs",
                "config.epochs",
                "test_settings.py::test_stop_after[train_cifar-1]",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "Run.stop",
        "test_trainer.py -m 'not slow' -k signal",
        [
            (
                "exit code without the signal",
                "128 + number",
                "128",
                "test_trainer.py::test_a_signal_ends_the_step_saves_and_resumes_bit_for_bit[2]",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "Run.evaluate",
        "test_trainer.py -m 'not slow' -k test_pass",
        [
            ("the test pass is deaf", "if (stop := (state and self.stop_of())):", "if False:"),
        ],
    ),
    (
        "train_cifar.py",
        "start",
        "test_trainer.py -m 'not slow' -k 'is_taken or under_torchrun'",
        [
            ("no GPU is selected", "torch.cuda.set_device(device)", "pass"),
            ("all take the first GPU", "f\"cuda:{os.environ.get('LOCAL_RANK', 0)}\"", "'cuda:0'"),
            ("messages go by the GPU", "cpu:gloo,cuda:nccl", "nccl"),
            ("convolutions are not tuned", "cudnn.benchmark = True", "cudnn.benchmark = False"),
            ("any device under torchrun", "if name != 'cuda':", "if False:"),
        ],
    ),
    (
        "train_cifar.py",
        "Feed",
        "test_trainer.py -k 'live_through or ended_by or whole_group'",
        [
            ("workers of one epoch", "workers > 0", "False"),
            (
                "a worker at work is waited for",
                "worker.kill()",
                "pass",
                "test_trainer.py::test_a_stop_does_not_wait_for_a_worker_that_never_answers",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "Run.save",
        "test_trainer.py -m 'not slow' -k 'best_is or writes or resume_after or signal'",
        [
            ("best.pt at every epoch", "and improved", ""),
            ("best.pt never", "and improved", "and False"),
            ("best.pt without its settings", "'best', 'config', 'facts')", "'best', 'facts')"),
            (
                "last.pt after every epoch",
                "due or time.monotonic() - self.saved > 60",
                "True",
                "test_trainer.py::test_checkpoints_of_short_epochs_are_written_once_a_minute",
            ),
            (
                "last.pt once an hour",
                "> 60",
                "> 3600",
                "test_trainer.py::test_checkpoints_of_short_epochs_are_written_once_a_minute",
            ),
            (
                "the minute never begins",
                "self.saved = time.monotonic()",
                "pass",
                "test_trainer.py::test_checkpoints_of_short_epochs_are_written_once_a_minute",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "Run.save",
        "test_settings.py -m 'not slow' -k 'save_every'",
        [
            (
                "last.pt of the epoch before",
                "save(self.out / 'last.pt', state)",
                "state['epoch'] and save(self.out / 'last.pt', state)",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "Run.train_epoch",
        "test_settings.py -m 'not slow' -k 'save_every or sgd'",
        [
            (
                "save_every ignored",
                "config.save_every and trainer.steps % config.save_every == 0",
                "False",
            ),
            (
                "saved every other time",
                "trainer.steps % config.save_every",
                "trainer.steps % (2 * config.save_every)",
            ),
            ("one step too few", "trainer.step(x, y)", "trainer.steps == 2 or trainer.step(x, y)"),
        ],
    ),
    (
        "train_cifar.py",
        "Run.train_epoch",
        "test_trainer.py -m 'not slow' -k 'signal or save_every or log_csv'",
        [
            ("begins the epoch again", "parts[skipped:]", "parts"),
            (
                "a signal is ignored",
                "if stop:\n",
                "if False:\n",
                "test_trainer.py::test_a_signal_ends_the_step_saves_and_resumes_bit_for_bit[2]",
            ),
            (
                "images a second of one batch",
                "(len(parts) - skipped) * min",
                "min",
                "test_trainer.py::test_save_every_saves_within_the_epoch_and_a_crash_loses_no_more",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "Run.train_epoch",
        "test_faults.py -m 'not slow' -k 'not_finite or middle'",
        [
            (
                "infinity goes on",
                "not trainer.healthy()",
                "False",
                "test_faults.py::test_a_picture_that_is_not_finite_stops_the_run_at_its_step_and_harms_nothing[off]",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "Run.fault",
        "test_faults.py -m 'not slow' -k 'not_finite or middle'",
        [
            (
                "the last layer is named",
                "[*first, 'none: the gradient'][0]",
                "[*first, 'none: the gradient'][-1]",
                "test_faults.py::test_a_picture_that_is_not_finite_stops_the_run_at_its_step_and_harms_nothing[off]",
            ),
            (
                "all layers are named",
                "if not value.isfinite().all()",
                "if True",
                "test_faults.py::test_a_layer_in_the_middle_is_named",
            ),
            (
                "epochs from 0",
                "epoch {trainer.epoch + 1}",
                "epoch {trainer.epoch}",
                "test_faults.py::test_a_picture_that_is_not_finite_stops_the_run_at_its_step_and_harms_nothing[off]",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "Run.end_epoch",
        "test_trainer.py -m 'not slow' -k 'log_csv or best_is or writes'",
        [
            (
                "the next epoch's rate in the log",
                "lr=lr",
                "lr=trainer.rate()",
                "test_trainer.py::test_a_run_writes_what_it_should",
            ),
            (
                "the best is the last",
                "result['accuracy'] > self.best['accuracy']",
                "True",
                "test_trainer.py::test_best_is_the_best_over_epochs",
            ),
            (
                "the best is the worst",
                "result['accuracy'] > self.best['accuracy']",
                "result['accuracy'] < self.best['accuracy'] or trainer.epoch == 1",
                "test_trainer.py::test_best_is_the_best_over_epochs",
            ),
            (
                "the best's epoch from 0",
                "epoch=trainer.epoch)\n",
                "epoch=trainer.epoch - 1)\n",
                "test_trainer.py::test_a_run_writes_what_it_should",
            ),
            (
                "test accuracy in train accuracy's place",
                "train_accuracy=seen['accuracy']",
                "train_accuracy=result['accuracy']",
                "test_trainer.py::test_log_csv_is_what_happened",
            ),
            (
                "loss of the test set",
                "loss=seen['loss']",
                "loss=result['loss']",
                "test_trainer.py::test_log_csv_is_what_happened",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "layer_rows",
        "test_trainer.py -m 'not slow' -k 'layers_csv'",
        [
            (
                "timesteps from 0",
                "timestep=t + 1",
                "timestep=t",
                "test_trainer.py::test_layers_csv_is_what_the_probe_sees_on_the_test_set",
            ),
            (
                "the weight's own leak parameter",
                "torch.sigmoid(lif.w)",
                "lif.w",
                "test_trainer.py::test_layers_csv_is_what_the_probe_sees_on_the_test_set",
            ),
            (
                "the shift in gamma's place",
                "[1].weight.mean()",
                "[1].bias.mean()",
                "test_trainer.py::test_layers_csv_is_what_the_probe_sees_on_the_test_set",
            ),
            (
                "every row is of the first timestep",
                "value[t].item()",
                "value[0].item()",
                "test_trainer.py::test_layers_csv_is_what_the_probe_sees_on_the_test_set",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "signals",
        "test_trainer.py -m 'not slow' -k 'signal or after_an'",
        [
            (
                "handlers stay",
                "stack.callback(signal.signal, number, signal.signal(number, note))",
                "signal.signal(number, note)",
                "test_trainer.py::test_a_signal_ends_the_step_saves_and_resumes_bit_for_bit[2]",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "",
        "test_trainer.py -m 'not slow' -k 'signal'",
        [
            (
                "SIGTERM is not caught",
                "(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)",
                "(signal.SIGINT, signal.SIGHUP)",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "rows_before",
        "test_trainer.py -m 'not slow' -k 'rows_of or writes'",
        [
            (
                "rows of before are lost",
                "return [line for line in lines if line[0] != 'e' and int(line.split(',')[0]) < epoch]",
                "return []",
            ),
            (
                "rows come twice",
                "int(line.split(',')[0]) < epoch",
                "True",
                "test_trainer.py::test_rows_of_epochs_that_are_trained_again_are_replaced",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "locked",
        "test_trainer.py -m 'not slow' -k 'living or elsewhere'",
        [
            (
                "no lock",
                "lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)",
                "pass",
                "test_trainer.py::test_a_living_or_finished_run_is_not_overwritten",
            ),
            (
                "a finished run is overwritten",
                "(out / 'last.pt').exists()",
                "False",
                "test_trainer.py::test_a_living_or_finished_run_is_not_overwritten",
            ),
            (
                "logs stay behind",
                "('best.pt', 'log.csv', 'layers.csv')",
                "('best.pt', 'layers.csv')",
                "test_trainer.py::test_resume_elsewhere_takes_the_logs_along",
            ),
            (
                "the best stays behind",
                "('best.pt', 'log.csv', 'layers.csv')",
                "('log.csv', 'layers.csv')",
                "test_trainer.py::test_resume_elsewhere_takes_the_logs_along",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "replacing",
        "test_faults.py -m 'not slow' -k 'half_files'",
        [
            ("written in place", "pathlib.Path(f'{path}.tmp')", "pathlib.Path(path)"),
            ("half a file stays", "temporary.unlink(missing_ok=True)", "pass"),
            ("not on the disk before it is renamed", "os.fsync(file.fileno())", "pass"),
        ],
    ),
    (
        "train_cifar.py",
        "load_checkpoint",
        "test_faults.py -m 'not slow' -k 'flipped or damage'",
        [
            ("checksums not looked at", "bad := file.testzip()", "bad := None"),
        ],
    ),
    (
        "train_cifar.py",
        "load_checkpoint",
        "test_trainer.py -m 'not slow' -k 'damaged_checkpoints'",
        [
            ("code is run", "weights_only=True", "weights_only=False"),
        ],
    ),
    (
        "train_cifar.py",
        "sample_seed",
        "test_trainer.py -m 'not slow' -k 'augmentation_depends'",
        [
            ("one seed for all", "repr(key)", "repr(key[:1])"),
        ],
    ),
    (
        "train_cifar.py",
        "Settings",
        "test_trainer.py -m 'not slow' -k 'imagenet_arrives'",
        [
            (
                "ImageNet's T",
                "T=4",
                "T=2",
                "test_trainer.py::test_imagenet_arrives_as_its_recipe_says",
            ),
            (
                "ImageNet's network",
                "arch='resnet18'",
                "arch='resnet19'",
                "test_trainer.py::test_imagenet_arrives_as_its_recipe_says",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "parser_of",
        "test_trainer.py -m 'not slow' -k 'bad_settings or help'",
        [
            (
                "abbreviations accepted",
                "allow_abbrev=False",
                "allow_abbrev=True",
                "test_trainer.py::test_bad_settings_end_in_one_line[arguments11-words11]",
            ),
            (
                "exit code 1",
                "parser.exit(2,",
                "parser.exit(1,",
                "test_trainer.py::test_bad_settings_end_in_one_line[arguments2-words2]",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "stored_settings",
        "test_trainer.py -m 'not slow' -k 'changed_setting or moved or where_and_how or best_pt or resume_after or eval_finds'",
        [
            (
                "a changed setting accepted",
                "not free and (not same)",
                "False",
                "test_trainer.py::test_resume_refuses_a_changed_setting_by_name",
            ),
            (
                "nothing may change",
                "if not free and (not same)",
                "if not same",
                "test_trainer.py::test_resume_after_an_epoch_is_bit_for_bit",
            ),
            (
                "resumed where it was",
                "stored['out'] = source if os.path.isdir(source) else os.path.dirname(source) or '.'",
                "pass",
                "test_trainer.py::test_a_folder_that_was_moved_goes_on_where_it_is",
            ),
            (
                "best.pt is resumed",
                "'steps' not in checkpoint",
                "False",
                "test_trainer.py::test_best_pt_is_tested_but_not_resumed",
            ),
            ("stop_after is kept", "if name not in ONCE}", "if name not in ONCE - {'stop_after'}}"),
        ],
    ),
    (
        "train_cifar.py",
        "stored_settings",
        "test_faults.py -m 'not slow' -k 'something_else or other_script'",
        [
            ("unknown settings accepted", "sorted(stored.keys() - known.keys())", "[]"),
        ],
    ),
    (
        "train_cifar.py",
        "parse",
        "test_trainer.py -m 'not slow' -k 'changed_setting or eval_finds or resume_after'",
        [
            ("settings of the checkpoint forgotten", "| stored | given", "| given"),
        ],
    ),
    (
        "train_cifar.py",
        "check_limits",
        "test_trainer.py -m 'not slow' -k 'bad_settings'",
        [
            ("limits not looked at", "not least <= value <= most", "False"),
        ],
    ),
    (
        "train_cifar.py",
        "one_line_errors",
        "test_trainer.py -m 'not slow' -k 'bad_settings'",
        [
            ("exit code 1", "sys.exit(2)", "sys.exit(1)"),
        ],
    ),
    (
        "train_cifar.py",
        "one_line_errors",
        "test_faults.py -m 'not slow' -k 'half_files'",
        [
            (
                "a full disk is a traceback",
                "(ValueError, OSError, MemoryError",
                "(ValueError, MemoryError",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "draw_shapes",
        "test_trainer.py -m 'not slow' -k 'drawn_shapes'",
        [
            ("always in the middle", "uniform(-0.4, 0.4, 2, 1)", "uniform(0, 0, 2, 1)"),
            ("classes of one shape", "glyphs[labels]", "glyphs[0 * labels]"),
        ],
    ),
    (
        "train_cifar.py",
        "Run.progress",
        "test_trainer.py -m 'not slow' -k 'after_a_minute'",
        [("every minute", "self.wait = math.inf", "pass")],
    ),
    (
        "train_cifar.py",
        "Run.introduce",
        "test_trainer.py -m 'not slow' -k 'says_what_it_is'",
        [("from the first epoch on", "self.trainer.epoch + 1", "1")],
    ),
    (
        "train_cifar.py",
        "normalised",
        "test_trainer.py::test_cifar_arrives_as_the_recipe_says[cifar10]",
        [
            ("not normalised", ".float() / 255 - mean)", ".float() / 255)"),
            ("not divided by the deviation", "- mean) / std", "- mean)"),
        ],
    ),
    (
        "train_cifar.py",
        "load_run",
        "test_trainer.py -k 'trained_network_predicts'",
        [
            ("in training mode", "net.eval()", "net.train()"),
            ("another side", "if config.dataset == 'imagenet'", "if True"),
            ("weights as they began", "net.load_state_dict(checkpoint['model'])", "pass"),
        ],
    ),
    (
        "train_cifar.py",
        "Pictures",
        "test_trainer.py -m 'not slow' -k 'cifar_arrives or augmentation or crop'",
        [
            (
                "AutoAugment never applied",
                "self.policy(x) if self.policy else x",
                "x",
                "test_trainer.py::test_cifar_arrives_as_the_recipe_says[cifar10]",
            ),
            (
                "never flipped",
                "if torch.rand(()) < 0.5 and self.flip:",
                "if torch.rand(()) < 0:",
                "test_trainer.py::test_crop_and_flip_are_drawn_per_picture",
            ),
            (
                "upside down",
                "x.flip(2)",
                "x.flip(1)",
                "test_trainer.py::test_cifar_arrives_as_the_recipe_says[cifar10]",
            ),
            (
                "all flipped",
                "torch.rand(()) < 0.5",
                "True",
                "test_trainer.py::test_crop_and_flip_are_drawn_per_picture",
            ),
            (
                "a smaller crop window",
                "torch.randint(0, 9, (2,))",
                "torch.randint(0, 8, (2,))",
                "test_trainer.py::test_crop_and_flip_are_drawn_per_picture",
            ),
            (
                "not cropped",
                "top:top + height, left:left + width",
                "4:4 + height, 4:4 + width",
                "test_trainer.py::test_cifar_arrives_as_the_recipe_says[cifar10]",
            ),
            (
                "drawn once per batch",
                "sample_seed(seed, epoch, i)",
                "sample_seed(seed, epoch)",
                "test_trainer.py::test_imagenet_crops_at_random_and_flips",
            ),
            (
                "drawn alike in every epoch",
                "sample_seed(seed, epoch, i)",
                "sample_seed(seed, i)",
                "test_trainer.py::test_cifar_arrives_as_the_recipe_says[cifar10]",
            ),
            (
                "drawn alike for every seed",
                "sample_seed(seed, epoch, i)",
                "sample_seed(epoch, i)",
                "test_trainer.py::test_augmentation_depends_on_seed_epoch_and_picture_alone",
            ),
            (
                "the test set is augmented",
                "if epoch is None",
                "if False",
                "test_trainer.py::test_cifar_arrives_as_the_recipe_says[cifar10]",
            ),
            (
                "the training set is not",
                "if epoch is None",
                "if True",
                "test_trainer.py::test_cifar_arrives_as_the_recipe_says[cifar10]",
            ),
            (
                "labels in another order",
                "self.labels[indices]",
                "self.labels[:len(indices)]",
                "test_trainer.py::test_cifar_arrives_as_the_recipe_says[cifar10]",
            ),
            (
                "the global generator is used up",
                "torch.random.fork_rng(devices=[])",
                "torch.random.fork_rng(enabled=False)",
                "test_trainer.py::test_augmentation_depends_on_seed_epoch_and_picture_alone",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "Files",
        "test_trainer.py -m 'not slow' -k 'imagenet_arrives or imagenet_crops'",
        [
            (
                "CIFAR's policy",
                "AutoAugmentPolicy.IMAGENET",
                "AutoAugmentPolicy.CIFAR10",
                "test_trainer.py::test_imagenet_arrives_as_its_recipe_says",
            ),
            (
                "no policy",
                "*parts, policy,",
                "*parts,",
                "test_trainer.py::test_imagenet_arrives_as_its_recipe_says",
            ),
            (
                "the centre at training",
                "self.random(open_picture(self.images[i]))",
                "self.plain(i)",
                "test_trainer.py::test_imagenet_arrives_as_its_recipe_says",
            ),
            (
                "never flipped",
                "0.5 * flip",
                "0",
            ),
            (
                "the whole picture in the test",
                "scaled(side * 256 // 224, side)",
                "scaled(side, side)",
                "test_trainer.py::test_imagenet_arrives_as_its_recipe_says",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "decoded",
        "test_trainer.py -m 'not slow' -k 'left_out_does'",
        [
            ("bad files shift the labels", "labels[good]", "labels[:len(good)]"),
        ],
    ),
    (
        "train_cifar.py",
        "chosen",
        "test_settings.py -m 'not slow' -k 'limit'",
        [
            (
                "limits swapped",
                "config.limit_train if train else config.limit_test",
                "config.limit_test if train else config.limit_train",
            ),
            (
                "the first ones, not drawn",
                "torch.randperm(n, generator=torch.Generator().manual_seed(config.seed))[:limit]",
                "torch.arange(limit)",
                "test_settings.py::test_limits_draw_by_the_seed[train_cifar]",
            ),
            (
                "drawn alike for every seed",
                "manual_seed(config.seed)",
                "manual_seed(0)",
                "test_settings.py::test_limits_draw_by_the_seed[train_cifar]",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "shapes",
        "test_trainer.py -m 'not slow' -k 'training_pictures_differ'",
        [
            ("the same pictures for every seed", "f'{config.seed} {train}'", "f'{train}'"),
        ],
    ),
    (
        "train_cifar.py",
        "shapes",
        "test_trainer.py -m 'not slow' -k 'training_pictures_differ'",
        [
            ("the same pictures to train and test", "f'{config.seed} {train}'", "f'{config.seed}'"),
        ],
    ),
    (
        "train_cifar.py",
        "",
        "test_trainer.py -m 'not slow' -k 'one_size or fit_resumes'",
        [
            ("drawn pictures of one size", "{train}', config.image_size)", "{train}')"),
            ("another size of CIFAR is ignored", "if config.image_size != 32:", "if False:"),
            (
                "fit resumes with other settings",
                "_, checkpoint = stored_settings(type(config), source, given)",
                "checkpoint = load_checkpoint(source)",
            ),
            ("fit goes on from nothing", "run.restore(checkpoint)", "pass"),
        ],
    ),
    (
        "train_cifar.py",
        "",
        "test_events.py -m 'not slow' -k 'download_again'",
        [
            ("downloads again", "'demo', 'download'}", "'demo'}"),
            ("no download at --eval", "'cache', 'download', 'eval'", "'cache', 'eval'"),
        ],
    ),
    (
        "train_cifar.py",
        "cifar",
        "test_trainer.py -m 'not slow' -k 'cifar'",
        [
            (
                "the training set is tested",
                "found = kind(root, train=train)\n",
                "found = kind(root, train=True)\n",
            ),
            (
                "labels not drawn along",
                "torch.tensor(found.targets)[which]",
                "torch.tensor(found.targets)[:len(which)]",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "files",
        "test_trainer.py -m 'not slow' -k 'folder' test_settings.py",
        [
            (
                "val not looked for",
                "'val' if place.with_name('val').is_dir() else 'test'",
                "'test'",
                "test_trainer.py::test_folder",
            ),
            ("data ignored", "pathlib.Path(config.data, 'train')", "pathlib.Path('data', 'train')"),
            (
                "a second test set goes without a word",
                "tell(",
                "str(",
                "test_trainer.py::test_what_is_not_taken_of_a_folder_is_said",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "files",
        "test_trainer.py -m 'not slow' -k 'folder_arrives or labels_of_drawn'",
        [
            (
                "labels of a folder not drawn along",
                "torch.tensor(labels)",
                "torch.tensor([label for _, label in found][:len(paths)])",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "files",
        "test_settings.py -m 'not slow' -k 'image_size or skip_bad'",
        [
            (
                "image size ignored",
                "scaled(config.image_size, config.image_size)",
                "scaled(32, 32)",
            ),
            ("skip_bad ignored", "prepare, config.skip_bad", "prepare, False"),
        ],
    ),
    (
        "train_cifar.py",
        "normalisation",
        "test_trainer.py -m 'not slow' -k 'cifar_arrives or imagenet_arrives'",
        [
            ("ImageNet's mean", "0.485", "0.455"),
            ("mean of another channel", "images[:, c].flatten()", "images[:, 0].flatten()"),
            ("variance without its mean", " - mean.square()", ""),
        ],
    ),
    (
        "train_cifar.py",
        "load",
        "test_trainer.py -m 'not slow' -k 'cifar_arrives'",
        [
            ("its own normalisation at --eval", "if 'mean' not in facts", "if True"),
        ],
    ),
    (
        "train_cifar.py",
        "compare",
        "test_trainer.py -k two_networks",
        [
            ("AT beside vanilla", "width=width", "width='fixed'"),
            (
                "columns swapped",
                "inside=statistics.mean(inside), least=min(inside)",
                "least=statistics.mean(inside), inside=min(inside)",
            ),
            ("energy as counted", "['mj_paper']", "['mj_counted']"),
            ("another accuracy", "accuracy=result['accuracy']", "accuracy=result['loss'] / 9"),
        ],
    ),
    (
        "train_cifar.py",
        "main",
        "test_settings.py -m 'not slow' -k 'plot or resume or eval'",
        [
            ("plot ignored", "if config.plot and os", "if False and os"),
        ],
    ),
    (
        "train_cifar.py",
        "check_kind",
        "test_faults.py -m 'not slow' -k 'cannot_hold or altered'",
        [
            (
                "what is not finite is taken",
                "held.isfinite().all()",
                "True",
                "test_faults.py::test_what_a_checkpoint_cannot_hold_is_named",
            ),
            (
                "another dtype is taken",
                "(held.dtype, held.shape) == (own.dtype, own.shape)",
                "held.shape == own.shape",
                "test_faults.py::test_altered_checkpoints_are_refused_in_one_line",
            ),
            (
                "another shape is taken",
                "(held.dtype, held.shape) == (own.dtype, own.shape)",
                "held.dtype == own.dtype",
                "test_faults.py::test_what_a_checkpoint_cannot_hold_is_named",
            ),
            ("a sparse tensor is taken", "held.layout == own.layout", "True"),
            (
                "more names are taken",
                "held.keys() == own.keys()",
                "held.keys() >= own.keys()",
                "test_faults.py::test_altered_checkpoints_are_refused_in_one_line",
            ),
            (
                "another type of number",
                "type(held) is type(own)",
                "True",
                "test_faults.py::test_altered_checkpoints_are_refused_in_one_line",
            ),
            (
                "too large a number",
                "<= held <= own",
                "<= held",
                "test_faults.py::test_what_a_checkpoint_cannot_hold_is_named",
            ),
            (
                "a negative number",
                "-isinstance(own, float) <= held <= own",
                "held <= own",
                "test_faults.py::test_what_a_checkpoint_cannot_hold_is_named",
            ),
            (
                "only the outermost",
                "check_kind(held[part], own[part]",
                "check_kind(own[part], own[part]",
                "test_faults.py::test_what_a_checkpoint_cannot_hold_is_named",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "Run.restore",
        "test_faults.py -m 'not slow' -k 'cannot_hold or altered'",
        [
            ("meters unlike the steps", "(seen > 0) == (checkpoint['steps'] > 0)", "True"),
            ("steps that no epoch has", "own['steps'] = ", "own['steps'] = 99 + "),
        ],
    ),
    (
        "train_cifar.py",
        "load_checkpoint",
        "test_faults.py -m 'not slow' -k 'cannot_hold or altered'",
        [
            ("a deviation of 0", "min(facts.get('std', [1])) <= 0", "False"),
        ],
    ),
    (
        "train_cifar.py",
        "check_limits",
        "test_faults.py -m 'not slow' -k 'cannot_hold or altered'",
        [
            ("any type", "type(value) is not kind", "False"),
        ],
    ),
    (
        "train_cifar.py",
        "check_limits",
        "test_trainer.py -m 'not slow' -k 'bad_settings'",
        [
            (
                "whole numbers without end",
                "2 ** 31 - 1 if kind is int else sys.float_info.max",
                "sys.float_info.max",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "converter",
        "test_faults.py -m 'not slow' -k 'not_set or tilde'",
        [
            ("nothing is a setting", "if not text:", "if False:"),
            ("a folder named ~", "kind(os.path.expanduser(text))", "kind(text)"),
        ],
    ),
    (
        "train_cifar.py",
        "stored_settings",
        "test_settings.py -m 'not slow' -k 'neuron'",
        [
            ("a checkpoint's code is run", "'neuron' not in given", "False"),
        ],
    ),
    (
        "train_cifar.py",
        "build",
        "test_settings.py -m 'not slow' -k 'neuron'",
        [
            ("the LIF in its place", "if config.neuron:", "if False:"),
        ],
    ),
    (
        "train_cifar.py",
        "build",
        "test_trainer.py -m 'not slow' -k 'bad_settings'",
        [
            ("its errors are tracebacks", "except Exception", "except OSError"),
        ],
    ),
    (
        "train_cifar.py",
        "Feed.__getstate__",
        "test_faults.py::test_workers_get_the_data_but_not_the_loader",
        [("its loader travels", "dict(loader=None)", "{}")],
    ),
    (
        "train_cifar.py",
        "check_plot",
        "test_trainer.py -m 'not slow' -k 'bad_settings'",
        [
            ("a demo of one's own neuron", "if config.neuron and config.demo:", "if False:"),
        ],
    ),
    (
        "train_cifar.py",
        "one_line_errors",
        "test_faults.py -m 'not slow' -k 'memory or other_errors or stdout or no_text'",
        [
            ("no memory is a traceback", "MemoryError, RuntimeError)", "RuntimeError)"),
            ("every error in one line", "not known", "False"),
            ("a full GPU is a traceback", "not known", "True"),
            ("a closed stdout", "sys.stdout or open(os.devnull, 'w')", "sys.stdout"),
            ("ascii", "errors='backslashreplace'", "errors='strict'"),
        ],
    ),
    (
        "train_cifar.py",
        "lock",
        "test_faults.py -m 'not slow' -k 'lock'",
        [
            ("without locks no run", "error.errno in (errno.EACCES, errno.EAGAIN)", "True"),
            (
                "every error is no lock",
                "error.errno in (errno.EACCES, errno.EAGAIN)",
                "False",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "rows_before",
        "test_faults.py -m 'not slow' -k 'spreadsheet or damaged_log'",
        [
            ("a blank line stops the run", "line.strip(', ')", "True"),
            ("any file is a log", "not re.match", "False and re.match"),
        ],
    ),
    (
        "train_cifar.py",
        "locked",
        "test_faults.py -m 'not slow' -k 'damaged_log or left_by_a_kill'",
        [
            ("a damaged log is found after training", "rows_before(out / name, 0)", "pass"),
            ("layers.csv is not looked at", "in ('log.csv', 'layers.csv'):", "in ('log.csv',):"),
            ("temporary files stay", "'best.pt', 'last.pt')", "'last.pt')"),
        ],
    ),
    (
        "train_cifar.py",
        "Pictures",
        "test_settings.py -m 'not slow' -k 'test_flip or test_augment'",
        [
            ("--no-flip ignored", "< 0.5 and self.flip", "< 0.5"),
            ("--no-augment ignored", "epoch is None or not self.augment", "epoch is None"),
        ],
    ),
    (
        "train_cifar.py",
        "Files",
        "test_settings.py -m 'not slow' -k 'test_flip'",
        [
            ("--no-flip ignored", "0.5 * flip", "0.5"),
        ],
    ),
    (
        "train_cifar.py",
        "open_picture",
        "test_faults.py -m 'not slow' -k '16_bits or 32_bits or transparent or exif or noticed or left_out'",
        [
            ("EXIF ignored", "ImageOps.exif_transpose(file)", "file.copy()"),
            ("16 bits clipped", "point(lambda x: x / 256)", "point(lambda x: x * 1)"),
            ("a PGM's 16 bits refused", "file.format in ('PNG', 'PPM')", "False"),
            ("32 bits clipped", "elif deep or file.mode in 'IF'", "elif False"),
            ("16 bits keep their key", " and 'transparency' not in file.info", ""),
            ("hidden colours", "if picture.has_transparency_data:", "if False:"),
            ("on black", "'white'", "'black'"),
            ("other pictures under the same names", "hashlib.sha256(data).digest()", "b''"),
            ("renamed pictures", "os.fsencode(os.path.basename(path))", "b''"),
            ("a converted picture is not told", "was=was", "was='RGB'"),
        ],
    ),
    (
        "train_cifar.py",
        "listed",
        "test_faults.py -m 'not slow' -k 'left_out or no_data_set or noticed'",
        [
            (
                "litter within a class",
                "re.search('/\\\\.|/__MACOSX', path[len(str(place)):])",
                "False",
            ),
            (
                "hidden folders are classes",
                "place.glob('[!.]*') if p.is_dir()",
                "place.glob('*') if p.is_dir()",
            ),
            (
                "pictures of no class go without a word",
                "p.is_file()",
                "p.is_file() and False",
                "test_trainer.py::test_what_is_not_taken_of_a_folder_is_said",
            ),
            ("a Mac's folder is a class", "p.is_dir() and p.name != '__MACOSX'", "p.is_dir()"),
            ("other files are not told", "+others", "{}"),
            ("a class without pictures", "if (empty := (set", "if (empty := set() and (set"),
        ],
    ),
    (
        "train_cifar.py",
        "files",
        "test_faults.py -m 'not slow' -k 'noticed'",
        [
            ("sizes are not looked at", "{os.path.getsize(path)}", ""),
            ("streamed names are not looked at", "{os.path.basename(path)} ", ""),
        ],
    ),
    (
        "train_cifar.py",
        "load",
        "test_faults.py -m 'not slow' -k 'noticed'",
        [
            (
                "other data of the same count",
                "digest.update(hashlib.sha256(sample).digest())",
                "pass",
            ),
        ],
    ),
    (
        "train_cifar.py",
        "cifar",
        "test_faults.py -m 'not slow' -k 'cifar_that'",
        [
            ("reading writes", "found = kind(root, train=train)\n", "raise RuntimeError\n"),
        ],
    ),
    (
        "train_dvs.py",
        "Settings",
        "test_events.py -m 'not slow' -k 'recipe'",
        [("ten times the pull of TET", "setting(0.001", "setting(0.01")],
    ),
    (
        "train_dvs.py",
        "Settings",
        "test_events.py -m 'not slow' -k 'demo_compares'",
        [("another demo's size", "size=32", "size=48")],
    ),
    (
        "train_dvs.py",
        "decode_aedat",
        "test_events.py -m 'not slow' -k 'by_hand_is_read or header or special or bad_files or written_is_read or clock_goes'",
        [
            ("special events kept", "address = address[~special]\n    t = t[~special]", "pass"),
            ("time not from 0", "return (t - t[0],", "return (t,"),
            ("bit 16 accepted", "address >> 16 != 0", "address >> 17 != 0"),
            (
                "equal times taken for a crossing",
                "clock[1:] < clock[:-1]",
                "clock[1:] <= clock[:-1]",
            ),
            ("a crossing refused", "np.diff(clock[i:i + 2]).view(np.int32) < 0", "True"),
            ("a crossing not counted", "t[i + 1:] += 1 << 32", "pass"),
            ("backward times accepted", "check(not back,", "check(True,"),
            ("half events accepted", "% 8", "% 4"),
            (
                "header goes on after its end",
                "if b'end of ascii header' in line.lower():",
                "if False:",
            ),
            ("another chip accepted", "check(not other,", "check(True,"),
            ("the chip in one case only", ", line, re.I)", ", line)"),
        ],
    ),
    (
        "train_dvs.py",
        "write_aedat",
        "test_events.py -m 'not slow' -k 'written_is_read'",
        [("x and y swapped", "y << 8 | x << 1 | p", "x << 8 | y << 1 | p")],
    ),
    (
        "train_dvs.py",
        "write_aedat",
        "test_events.py -m 'not slow' -k 'not_written'",
        [
            (
                "places that wrap",
                "t, x, y, p = events_of(t, x, y, p, (128, 128))",
                "t, x, y, p = (np.asarray(v, np.int64) for v in (t, x, y, p))",
            )
        ],
    ),
    (
        "train_dvs.py",
        "decode_nmnist",
        "test_events.py -m 'not slow' -k 'nmnist_file'",
        [
            (
                "x and y swapped",
                "x = rows[:, 0]\n    y = rows[:, 1]",
                "x = rows[:, 1]\n    y = rows[:, 0]",
            ),
            ("polarity left in the time", "t = t & (1 << 23) - 1", "pass"),
            ("rows not checked", " | (y > 33)", ""),
        ],
    ),
    (
        "train_dvs.py",
        "",
        "test_events.py -m 'not slow' -k 'folder_of_nmnist'",
        [
            (
                "N-MNIST on the DVS128's sensor",
                "Format(decode_nmnist, (34, 34)",
                "Format(decode_nmnist, (128, 128)",
            ),
            ("N-MNIST turned", "turned=False", "turned=True"),
        ],
    ),
    (
        "train_dvs.py",
        "events_of",
        "test_events.py -m 'not slow' -k 'whole_numbers or no_event'",
        [
            ("floats cut off", "values.dtype.kind not in 'biu' or ", ""),
            ("empty, and of several lengths", "values.shape != (max(1, np.size(t)),)", "False"),
            (
                "negative places wrap",
                "0 <= values.min() <= values.max() < end",
                "values.max() < end",
            ),
            ("places beyond the sensor", "values.max() < end", "values.max()"),
            ("uint32 overflows", "values.astype(np.int64, copy=False)", "values"),
            ("backward times", "(i := first(t[1:] < t[:-1]))", "(i := None)"),
        ],
    ),
    (
        "train_dvs.py",
        "events_to_frames",
        "test_events.py -m 'not slow' -k 'frames_count or frames_are_the or saturate or whole_numbers or no_event'",
        [
            (
                "the last event in a window of its own",
                "(int(t[-1] - t[0]) + 1)",
                "max(int(t[-1] - t[0]), 1)",
            ),
            ("times taken to begin at 0", "(t - t[0]) * T", "t * T"),
            ("another choice in place of a misspelt one", "if value not in choices:", "if False:"),
            ("mirrored, not turned", "rows = rows[::-1]", "pass"),
            ("counts wrap", "np.minimum(counts, 255)", "counts"),
            (
                "binned by the other axis's length",
                "for side in sensor)",
                "for side in sensor[::-1])",
            ),
        ],
    ),
    (
        "train_dvs.py",
        "stops_held",
        "test_events.py -m 'not slow' -k 'spread_over'",
        [
            (
                "signals reach a worker's beginning",
                "signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)",
                "signal.pthread_sigmask(signal.SIG_BLOCK, [])",
            ),
            ("signals stay held", "signal.pthread_sigmask(signal.SIG_SETMASK, before)", "pass"),
        ],
    ),
    (
        "train_dvs.py",
        "serve",
        "test_events.py -k 'runs_already'",
        [("signals end a worker", "signal.signal(number, signal.SIG_IGN)", "pass")],
    ),
    (
        "train_dvs.py",
        "serve",
        "test_events.py -m 'not slow' -k 'outlives or spread_over'",
        [
            ("workers wait for a reader for ever", "ours.close()", "pass"),
            ("an error ends a worker", "except Exception as error:", "except KeyError as error:"),
        ],
    ),
    (
        "train_dvs.py",
        "spread",
        "test_events.py -m 'not slow' -k 'spread_over'",
        [
            ("a killed worker not noticed", "if (code := worker.exitcode):", "if False:"),
            ("errors taken for results", "if isinstance(result, Exception):", "if False:"),
            ("workers stay", "worker.kill()\n                worker.join()", "pass"),
            ("one worker's share is everybody's", "jobs[k::count]", "jobs"),
        ],
    ),
    (
        "train_dvs.py",
        "turns",
        "test_events.py -m 'not slow' -k 'locks_are_not'",
        [
            ("nobody waits", "lock(file)", "pass"),
        ],
    ),
    (
        "train_dvs.py",
        "ending",
        "test_events.py -m 'not slow' -k 'endings_have'",
        [("endings in one case only", ".suffix.lower()", ".suffix")],
    ),
    (
        "train_dvs.py",
        "decode",
        "test_events.py -m 'not slow' -k 'settings_say or are_transposed or drops or damaged or bad_member or foreign or jumps'",
        [
            (
                "CIFAR10-DVS not transposed",
                "if how.transposed and how.orientation == 'upright':",
                "if False:",
            ),
            (
                "raw transposed too",
                "if how.transposed and how.orientation == 'upright':",
                "if how.transposed:",
            ),
            (
                "special events not reported",
                "dropped, int(",
                "0, int(",
                "test_events.py::test_what_decoding_drops_is_counted",
            ),
            (
                "what is raised in decoding ends the run",
                "except Exception as error:",
                "except (ValueError, OSError) as error:",
                "test_events.py::test_a_bad_member_is_named_with_its_archive_or_left_out",
            ),
            (
                "a file's name left out",
                "text if name in text else f'{name}: {text}'",
                "text",
                "test_events.py::test_a_bad_member_is_named_with_its_archive_or_left_out",
            ),
            (
                "foreign files not named",
                "if ending(name) in FOREIGN:",
                "if False:",
                "test_events.py::test_a_foreign_recording_or_dangling_link_is_named_or_left_out",
            ),
            (
                "a jump not said",
                "if seconds[jump] > 1:",
                "if False:",
                "test_events.py::test_a_clock_that_jumps_forward_is_said_in_one_line_with_the_time",
            ),
        ],
    ),
    (
        "train_dvs.py",
        "name_of",
        "test_events.py -m 'not slow' -k 'bad_member'",
        [("the archive not named", "f'{item.file}/{item.member}'", "item.member")],
    ),
    (
        "train_dvs.py",
        "inside",
        "test_events.py -m 'not slow' -k 'endings_have'",
        [("hidden files listed", " if not hidden(path.name)", "")],
    ),
    (
        "train_dvs.py",
        "members",
        "test_events.py -m 'not slow' -k 'recordings_are_those or distributed'",
        [
            (
                "an archive's class is its own name",
                "pathlib.PurePosixPath(name).parent.name",
                "path.name",
            ),
            ("litter in archives", " and (not hidden(name))", ""),
        ],
    ),
    (
        "train_dvs.py",
        "recordings",
        "test_events.py -m 'not slow' -k 'folders_that or endings_have'",
        [
            ("files left out without a word", "tell(", "str("),
            ("recordings of no class go without a word", ", *loose}", "}"),
            ("the cache is a class", " and path.name != 'cache'", ""),
            (
                "as an archive has them",
                "sorted(found, key=known_as)",
                "found",
                "test_events.py::test_recordings_stand_in_the_same_order_in_an_archive_and_unpacked",
            ),
            (
                "empty classes ignored",
                "- {item.label for item in found}",
                "- {path.name for path in folders}",
            ),
            (
                "any archive before the folders",
                "if ending(item.member) in FORMATS]",
                "if ending(item.member) in known]",
            ),
        ],
    ),
    (
        "train_dvs.py",
        "number",
        "test_events.py -m 'not slow' -k 'named_splits or tenth'",
        [
            ("first number of the name", "found[-1]", "found[0]"),
            ("ordered as text", "return found[-1]", "return str(found[-1])"),
        ],
    ),
    (
        "train_dvs.py",
        "numbers",
        "test_events.py -m 'not slow' -k 'need_no_number'",
        [("random splits ordered as text", "[int(digits) for", "[digits for")],
    ),
    (
        "train_dvs.py",
        "split_by",
        "test_events.py -m 'not slow' -k 'named_splits or tenth or random_splits_draw or ordered or need_no_number'",
        [
            ("tet and tebn swapped", "if kind == 'tebn':", "if kind == 'tet':"),
            ("trained on the test set", "train += mine[:-n]", "train += mine"),
            ("rounded down", "round(len(mine) / 10)", "len(mine) // 10"),
            ("same numbers accepted", "number(one) == number(other)", "False"),
            (
                "random splits need numbers that differ",
                "if not drawn and number(one)",
                "if number(one)",
            ),
            ("random splits need numbers", "numbers if drawn else number", "number"),
            ("the seed ignored", "default_rng(int(seed))", "default_rng(0)"),
        ],
    ),
    (
        "train_dvs.py",
        "Events",
        "test_events.py -m 'not slow' -k 'flipped or augmentation or switched_off'",
        [
            ("test recordings augmented", "epoch is not None and", "True and"),
            ("--no-augment ignored", "and self.augment:", "and True:"),
            ("--no-flip ignored", "flip and self.flip", "flip"),
            ("the same at every epoch", "sample_seed(seed, epoch, i)", "sample_seed(seed, i)"),
            (
                "keyed by the place in the batch",
                "for i in indices.tolist()",
                "for i in range(len(x))",
            ),
            ("flipped in time", "x.flip(3)", "x.flip(0)"),
            ("one shift both ways", "(down, right), (2, 3)", "(down, down), (2, 3)"),
        ],
    ),
    (
        "train_dvs.py",
        "Events.__reduce__",
        "test_events.py -m 'not slow' -k 'travel or switched_off'",
        [
            ("workers flip all the same", ", self.flip, self.augment)", ", True, self.augment)"),
            ("workers augment all the same", ", self.flip, self.augment)", ", self.flip, True)"),
            ("frames travel by value", "frames is self.mapped", "False"),
            (
                "a part travels as the whole file's beginning",
                "frames is self.mapped",
                "isinstance(frames, np.memmap)",
            ),
        ],
    ),
    (
        "train_dvs.py",
        "cached_frames",
        "test_events.py -m 'not slow' -k 'file_has_changed or are_transposed or left_out or half_written or damaged_cache or complete_cache or bad_member or home or full_for'",
        [
            (
                "transposition not in the key",
                "tuple(how)",
                "tuple(how)[:4]",
                "test_events.py::test_archives_of_cifar10dvs_are_transposed_and_not_taken_for_a_folder_s",
            ),
            (
                "files not in the key",
                ", stat.st_size, stat.st_mtime_ns",
                "",
                "test_events.py::test_a_cache_is_not_used_when_a_file_has_changed",
            ),
            (
                "skipping not in the key",
                "which, config.skip_bad",
                "which",
                "test_events.py::test_recordings_left_out_do_not_shift_labels_and_are_not_taken_from_a_cache",
            ),
            (
                "the path in the key",
                "os.path.relpath(item.file, root)",
                "item.file",
                "test_events.py::test_a_complete_cache_is_used_where_nothing_may_be_written",
            ),
            (
                "half-written caches accepted",
                "if not about.exists():\n            folder",
                "if not path.exists():\n            folder",
                "test_events.py::test_a_half_written_or_damaged_cache_is_not_used",
            ),
            (
                "damage not noticed",
                "if sums != known['crc32']:",
                "if False:",
                "test_events.py::test_a_damaged_cache_is_noticed_and_made_again_when_its_description_is_removed",
            ),
            (
                "a damaged description ends in a traceback",
                "except Exception as error:",
                "except KeyError as error:",
                "test_events.py::test_a_damaged_cache_is_noticed_and_made_again_when_its_description_is_removed",
            ),
            (
                "a full disk in a traceback",
                "except OSError as error:",
                "except KeyError as error:",
                "test_events.py::test_a_disk_that_is_full_for_a_worker_is_no_bad_recording",
            ),
            (
                "a full disk taken for a folder to be read",
                " or error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS)",
                "",
                "test_events.py::test_a_full_disk_is_not_taken_for_one_that_may_only_be_read",
            ),
            (
                "a folder that was named is not used without a word",
                "if config.cache or",
                "if",
                "test_events.py::test_beside_data_that_may_only_be_read_a_run_keeps_its_frames_elsewhere",
            ),
            (
                "left out from a cache without a word",
                "if len(sums) < len(items):",
                "if False:",
                "test_events.py::test_a_bad_member_is_named_with_its_archive_or_left_out",
            ),
            (
                "a folder called ~",
                "root / 'cache').expanduser()",
                "root / 'cache')",
                "test_events.py::test_a_home_folder_is_found",
            ),
        ],
    ),
    (
        "train_dvs.py",
        "cached_frames",
        "test_events.py -m 'not slow' -k 'settings_say and flat'",
        [("always in the data's folder", "config.cache or root", "root")],
    ),
    (
        "train_dvs.py",
        "decode_all",
        "test_events.py -m 'not slow' -k 'left_out or cannot_be_read or loses_all'",
        [
            ("skips without being told", "elif skip_bad:", "elif True:"),
            ("gaps stay", "if i != j:", "if False:"),
            (
                "a class that loses all",
                "- {items[i].label for i in good}",
                "- {item.label for item in items}",
            ),
            (
                "labels shifted by what was left out",
                "dict(good=good",
                "dict(good=list(range(len(good)))",
            ),
        ],
    ),
    (
        "train_dvs.py",
        "download",
        "test_events.py -m 'not slow' -k 'ten_archives_are_asked or address'",
        [
            ("checksums not given", "f'{name}.zip', md5)", "f'{name}.zip')"),
            (
                "a wrong checksum in a traceback",
                "except (OSError, RuntimeError) as error:",
                "except OSError as error:",
            ),
        ],
    ),
    (
        "train_dvs.py",
        "load",
        "test_events.py -m 'not slow' -k 'limits or test_list or folders_that or another_split or go_on_with or stopped_is or distributed'",
        [
            (
                "the split ignored",
                "split_by(items, config.split)",
                "split_by(items, 'tet')",
                "test_events.py::test_the_test_list_depends_on_the_test_recordings_alone",
            ),
            ("other classes to test accepted", " or names != tested", ""),
            (
                "test list of the training set",
                "checksum(parts[1],",
                "checksum(parts[0],",
                "test_events.py::test_the_test_list_depends_on_the_test_recordings_alone",
            ),
            (
                "test recordings not limited",
                "getattr(config, f'limit_{part}')",
                "config.limit_train",
            ),
            ("limited to the first", "order[:limit]", "range(limit)"),
            (
                "goes on with other recordings",
                "checksum(items, sums)",
                "checksum(items, [0] * len(items))",
                "test_events.py::test_a_run_does_not_go_on_with_other_recordings",
            ),
            (
                "half a simulation used",
                "if (root / UNFINISHED).exists():",
                "if False:",
                "test_events.py::test_a_simulation_that_stopped_is_not_used_and_done_again",
            ),
            (
                "Train and Test are classes",
                "path.name.lower(): path",
                "path.name: path",
                "test_events.py::test_nmnist_is_read_as_it_is_distributed",
            ),
        ],
    ),
    (
        "train_dvs.py",
        "views",
        "test_events.py -m 'not slow' -k 'thresholds_of_log or half_as_far'",
        [("black beyond the picture", "padding_mode='border'", "padding_mode='zeros'")],
    ),
    (
        "train_dvs.py",
        "record",
        "test_events.py -m 'not slow' -k 'camera'",
        [
            ("linear brightness", "np.log(view + 0.05)", "view"),
            ("darker is bit 0", "sign < 0", "sign > 0"),
            ("the reference jumps to what is seen", "+= sign * threshold[fires]", "= level[fires]"),
            ("no refractory time", " & (now - last >= refractory)", ""),
            ("rows stored upright", "127 - column, 127 - row", "127 - column, row"),
            (
                "not in order",
                "order = np.argsort(times, kind='stable')",
                "order = np.arange(len(times))",
            ),
        ],
    ),
    (
        "train_dvs.py",
        "record_file",
        "test_events.py -m 'not slow' -k 'recording_of_a_picture or broken_picture'",
        [
            ("red alone", "picture.convert('L')", "picture.convert('RGB').split()[0]"),
            (
                "a broken picture ends all",
                "except ValueError as error:",
                "except KeyError as error:",
            ),
        ],
    ),
    (
        "train_dvs.py",
        "simulate",
        "test_events.py -m 'not slow' -k 'noise_of_its_own or broken_picture'",
        [
            ("one seed for all", "jobs.append((source, i,", "jobs.append((source, 0,"),
            ("each recording over the last", "counts[label] += 1", "pass"),
            (
                "broken pictures left out without being told",
                "if bad and (not skip_bad):",
                "if False:",
            ),
            ("left out without a word", "print(f'left out: {bad}', file=sys.stderr)", "pass"),
        ],
    ),
    (
        "train_dvs.py",
        "simulated",
        "test_events.py -m 'not slow' -k 'simulates_parts or stopped_is or broken_picture or desktops_leave'",
        [
            (
                "litter before the camera",
                "listed(source / part)",
                "(lambda found: (found.samples, found.classes))"
                "(torchvision.datasets.ImageFolder(source / part))",
                "test_events.py::test_what_desktops_leave_among_pictures_is_not_simulated",
            ),
            (
                "limits of training alone",
                "config.limit_train + (config.limit_test or 0)",
                "config.limit_train",
            ),
            ("parts in one folder", "unfinished / part,", "unfinished,"),
            ("over somebody's recordings", "if inside(root):", "if False:"),
            ("what stopped stays", "shutil.rmtree(unfinished, ignore_errors=True)", "pass"),
            ("half-way in its place", "root / UNFINISHED", "root / 'train'"),
            ("never whole", "unfinished.rmdir()", "pass"),
        ],
    ),
    (
        "train_dvs.py",
        "simulated_shapes",
        "test_events.py -m 'not slow' -k 'demo_needs'",
        [("a demo that lacks classes", "< 10", "< 1")],
    ),
    (
        "train_dvs.py",
        "plot_frames",
        "test_events.py -m 'not slow' -k 'are_drawn_on_red'",
        [("on and off swapped", "on, off = torch.from_numpy", "off, on = torch.from_numpy")],
    ),
    (
        "train_dvs.py",
        "main",
        "test_events.py -m 'not slow' -k 'settings_say or with_plot'",
        [
            ("smoothing ignored", ", label_smoothing=config.label_smoothing", ""),
            (
                "cross-entropy in place of TET",
                "fit(config, train, test, loss)",
                "fit(config, train, test)",
            ),
            ("plots the training set", "plot_frames(test,", "plot_frames(train,"),
        ],
    ),
    (
        "train_dvs.py",
        "main",
        "test_events.py -m 'not slow' -k 'simulates_once or demo_compares or without_download or torchrun'",
        [
            (
                "simulates again on resuming",
                "config.simulate and (not checkpoint)",
                "config.simulate",
            ),
            (
                "cross-entropy in the demo",
                "compare(config, *load(config), loss)",
                "compare(config, *load(config))",
            ),
            (
                "downloads for a folder",
                "if config.download and config.dataset == 'cifar10dvs':",
                "if config.download:",
            ),
            (
                "every process simulates",
                "once(config, functools.partial(simulated, config))",
                "simulated(config)",
            ),
            ("every process decodes", "if 'RANK' in os.environ:", "if False:"),
        ],
    ),
]
