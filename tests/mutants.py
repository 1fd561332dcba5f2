"""What `mutation.py` breaks: file, function, the tests that look at it, and a list of
(what is broken, the code as `ast.unparse` prints it, what takes its place)."""

DVS = "train_dvs.py"


def quick(words):
    return f"test_events.py -m 'not slow' -k '{words}'"


MUTANTS = [
    (
        DVS,
        "Settings",
        "test_events.py -k recipe",
        [
            ("ResNet-19 by default", "setting('vggsnn'", "setting('resnet19'"),
            ("ten times the pull of TET", "setting(0.001", "setting(0.01"),
        ],
    ),
    (
        DVS,
        "Settings",
        "test_events.py -m slow -k demo",
        [("another demo's size", "size=32", "size=48")],
    ),
    (
        DVS,
        "",
        quick("ten_archives"),
        [
            (
                "another checksum",
                "'truck': (7712839, '89f3922fd147",
                "'truck': (7712839, '89f3922fd148",
            )
        ],
    ),
    (
        DVS,
        "decode_aedat",
        quick("file or written or header or special or fuzzed"),
        [
            (
                "address and time swapped",
                "(words[0::2], words[1::2].astype(np.int64))",
                "(words[1::2], words[0::2].astype(np.int64))",
            ),
            ("x of 8 bits from bit 0", "address >> 1 & 127", "address & 127"),
            ("special events kept", "if dropped:", "if False:"),
            ("time not from 0", "return (t - t[0],", "return (t,"),
            ("bit 16 accepted", "address >> 16 != 0", "address >> 17 != 0"),
            ("equal times refused", "t[1:] < t[:-1]", "t[1:] <= t[:-1]"),
            ("half events accepted", "% 8", "% 4"),
            (
                "header goes on after its end",
                "if b'end of ascii header' in line.lower():",
                "if False:",
            ),
            ("the header's end in small letters only", "in line.lower()", "in line"),
        ],
    ),
    (
        DVS,
        "write_aedat",
        quick("written_is_read"),
        [("x and y swapped", "y << 8 | x << 1 | p", "x << 8 | y << 1 | p")],
    ),
    (
        DVS,
        "decode_nmnist",
        quick("nmnist"),
        [
            ("x and y swapped", "(rows[:, 0], rows[:, 1],", "(rows[:, 1], rows[:, 0],"),
            ("little-endian time", "[1 << 16, 1 << 8, 1]", "[1, 1 << 8, 1 << 16]"),
            ("polarity left in the time", "t & (1 << 23) - 1)", "t)"),
            ("rows not checked", " | (y > 33)", ""),
            ("time not from 0", "return (t - t[0],", "return (t,"),
        ],
    ),
    (
        DVS,
        "events_to_frames",
        quick("frames"),
        [
            ("the last event in a window of its own", "(int(t[-1]) + 1)", "max(int(t[-1]), 1)"),
            ("mirrored, not turned", "(columns[::-1], rows[::-1])", "(columns[::-1], rows)"),
            (
                "counts wrap",
                "np.minimum(np.bincount(cell, minlength=T * 2 * size * size), 255)",
                "np.bincount(cell, minlength=T * 2 * size * size)",
            ),
            (
                "binned by the other axis's length",
                "for side in sensor)",
                "for side in sensor[::-1])",
            ),
        ],
    ),
    (
        DVS,
        "decode",
        quick("settings_say or nmnist or transposed or drops or damaged or cannot_be_read"),
        [
            (
                "CIFAR10-DVS not transposed",
                "if transposed and orientation == 'upright':",
                "if False:",
            ),
            ("raw transposed too", "if transposed and orientation == 'upright':", "if transposed:"),
            ("N-MNIST on the DVS128's sensor", "(34, 34) if nmnist else (128, 128)", "(128, 128)"),
            ("N-MNIST turned", "'raw' if nmnist else orientation", "orientation"),
            ("no full cells counted", "int((frames == 255).sum())", "int((frames > 255).sum())"),
            ("special events not reported", "return (frames, dropped,", "return (frames, 0,"),
            (
                "unreadable files end the run with a traceback",
                "(ValueError, OSError, zipfile.BadZipFile)",
                "(OSError, zipfile.BadZipFile)",
            ),
        ],
    ),
    (
        DVS,
        "recordings",
        quick("folders or hidden or archives or nmnist"),
        [
            (
                "an archive's class is its own name",
                "pathlib.PurePosixPath(name).parent.name",
                "path.name",
            ),
            (
                "strays ignored",
                "elif path.is_file() and (not path.name.startswith('.')):",
                "elif False:",
            ),
            ("the cache is a class", "if path.parent.name == 'cache':", "if False:"),
            (
                "empty classes ignored",
                "raise ValueError(f'{path}: a class without recordings')",
                "pass",
            ),
        ],
    ),
    (
        DVS,
        "number",
        quick("split or ordered or tenth"),
        [
            ("first number of the name", "digits[-1]", "digits[0]"),
            ("ordered as text", "return int(digits[-1])", "return digits[-1]"),
        ],
    ),
    (
        DVS,
        "split_by",
        quick("split or ordered or tenth"),
        [
            (
                "tet and tebn swapped",
                "mine[:n] if kind == 'tebn' else mine[-n:]",
                "mine[-n:] if kind == 'tebn' else mine[:n]",
            ),
            ("trained on the test set", "mine[n:] if kind == 'tebn' else mine[:-n]", "mine"),
            ("rounded down", "round(len(mine) / 10)", "len(mine) // 10"),
            ("same numbers accepted", "if number(one) == number(other):", "if False:"),
            ("the seed ignored", "default_rng(int(seed))", "default_rng(0)"),
        ],
    ),
    (
        DVS,
        "Events",
        quick("flipped or augmentation"),
        [
            ("test recordings augmented", "if epoch is not None:", "if True:"),
            ("the same at every epoch", "sample_seed(seed, epoch, i)", "sample_seed(seed, i)"),
            (
                "keyed by the place in the batch",
                "zip(x, indices.tolist())",
                "zip(x, range(len(x)))",
            ),
            ("flipped in time", "x.flip(3)", "x.flip(0)"),
            ("rolled by 4 at most downwards", "torch.randint(-5, 6,", "torch.randint(-5, 5,"),
            ("one shift both ways", "(down, right), (2, 3)", "(down, down), (2, 3)"),
        ],
    ),
    (
        DVS,
        "cached_frames",
        quick("cache or settings_say or cannot_be_read or transposed or full_disk or drops"),
        [
            ("always in the data's folder", "config.cache or ", ""),
            ("transposition not in the key", "(1, how, items", "(1, how[:4], items"),
            ("windows not in the key", "(1, how, items", "(1, how[:2] + how[3:], items"),
            ("files not in the key", ", sorted(files.items())", ""),
            ("skipping not in the key", ", config.skip_bad))", "))"),
            ("skips without being told", "if not config.skip_bad:", "if False:"),
            ("labels shifted by what was left out", "good.append(i)", "good.append(len(good))"),
            ("half-written caches accepted", "if not about.exists():", "if not path.exists():"),
            ("decoded again at every run", "if not about.exists():", "if True:"),
        ],
    ),
    (
        DVS,
        "load",
        quick("settings_say or download or limits or test_list or archives or folders"),
        [
            (
                "downloads for a folder",
                "config.dataset == 'cifar10dvs' and config.download:",
                "config.download:",
            ),
            ("checksums not given", "f'{name}.zip', md5)", "f'{name}.zip')"),
            ("the split ignored", "split_by(items, config.split)", "split_by(items, 'tet')"),
            (
                "other classes to test accepted",
                " or names != sorted({item[2] for item in parts[1]})",
                "",
            ),
            ("test list of the training set", "for item in parts[1])))", "for item in parts[0])))"),
            (
                "test recordings not limited",
                "(config.limit_train, config.limit_test)",
                "(config.limit_train, None)",
            ),
            (
                "limited to the first",
                "np.random.default_rng(config.seed).permutation(len(items))[:limit]",
                "range(limit)",
            ),
            ("folders transposed", "config.dataset == 'cifar10dvs')\n", "True)\n"),
        ],
    ),
    (
        DVS,
        "record",
        quick("camera"),
        [
            ("linear brightness", "np.log(view + 0.05)", "view"),
            ("darker is bit 0", "sign < 0", "sign > 0"),
            ("the reference jumps to what is seen", "+= sign * threshold[fires]", "= level[fires]"),
            ("no refractory time", " & (now - last >= refractory)", ""),
            ("moves the other way", "grid + shift", "grid - shift"),
            ("black beyond the picture", "padding_mode='border'", "padding_mode='zeros'"),
            ("rows stored upright", "127 - column, 127 - row", "127 - column, row"),
            ("ten times the noise", "duration / 1000000.0)", "duration / 100000.0)"),
            ("the seed ignored", "default_rng(seed)", "default_rng(0)"),
            (
                "not in order",
                "order = np.argsort(times, kind='stable')",
                "order = np.arange(len(times))",
            ),
            ("no mismatch unless said", "mismatch=0.03", "mismatch=0.0"),
        ],
    ),
    (
        DVS,
        "record_file",
        quick("recording_of_a_picture or brightness"),
        [
            ("brightness up to 255", " / 255", ""),
            ("one seed for all", ", seed))", ", 0))"),
            ("red alone", "picture.convert('L')", "picture.convert('RGB').split()[0]"),
        ],
    ),
    (
        DVS,
        "simulate",
        "test_events.py -k simulate_fills",
        [
            ("one seed for all", "jobs.append((source, i,", "jobs.append((source, 0,"),
            ("each recording over the last", "counts[label] += 1", "pass"),
        ],
    ),
    (
        DVS,
        "simulated",
        "test_events.py -k 'simulate_fills or simulate_keeps'",
        [
            (
                "limits of training alone",
                "config.limit_train + (config.limit_test or 0)",
                "config.limit_train",
            ),
            ("parts in one folder", "root / part)", "root)"),
        ],
    ),
    (
        DVS,
        "plot_frames",
        quick("drawn or draws"),
        [
            ("on and off swapped", "on, off = torch.from_numpy", "off, on = torch.from_numpy"),
            ("five of each class", "[:6, 0]", "[:5, 0]"),
            ("scaled by on alone", "max(on.mean(), off.mean(), 0.1)", "max(off.mean(), 0.1)"),
        ],
    ),
    (
        DVS,
        "main",
        quick("settings_say or plot"),
        [
            ("phi ignored", "phi=config.phi", "phi=1.0"),
            ("lam ignored", "lam=config.lam", "lam=0.001"),
            ("smoothing ignored", ", label_smoothing=config.label_smoothing", ""),
            (
                "cross-entropy in place of TET",
                "fit(config, train, test, loss, checkpoint)",
                "fit(config, train, test, None, checkpoint)",
            ),
            ("plots the training set", "plot_frames(test,", "plot_frames(train,"),
        ],
    ),
    (
        DVS,
        "main",
        "test_events.py -k simulate_fills",
        [
            (
                "simulates again on resuming",
                "config.simulate and (not checkpoint)",
                "config.simulate",
            )
        ],
    ),
    (
        DVS,
        "main",
        "test_events.py -k demo_trains",
        [
            (
                "cross-entropy in the demo",
                "compare(config, train, test, loss)",
                "compare(config, train, test)",
            )
        ],
    ),
]
