"""Event files, frames, splits, cache, simulated camera; then train_dvs.py itself, shrunk with its own flags."""

import contextlib
import dataclasses
import io
import itertools
import multiprocessing
import os
import pathlib
import pickle
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import time
import types
import zipfile

import numpy as np
import pytest
import torch
import torchvision
from conftest import ROOT
from conftest import SHARED
from conftest import assert_same_run
from conftest import load
from conftest import refused as refused_by
from conftest import relative
from conftest import run as run_of
from conftest import table
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms.functional import pil_to_tensor
from torchvision.transforms.functional import to_pil_image

import dsatgo
import reference_numpy
import train_cifar
import train_dvs

HEADER = b"#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n"
END = b"#End Of ASCII Header\r\n"
TINY = "--channels 1 --T 4 --size 16 --batch-size 10 --epochs 1 --device cpu".split()


def run(*arguments, base=TINY):
    run_of(*arguments, base=base, main=train_dvs.main)


def refused(capsys, *arguments, base=TINY):
    return refused_by(capsys, *arguments, base=base, main=train_dvs.main)


def written(events, header=HEADER):
    """A writer of our own, an event at a time: (microseconds, x, y, p) or (microseconds, address)."""
    body = b""
    for t, *rest in events:
        address = rest[0] if len(rest) == 1 else (rest[1] << 8) + (rest[0] << 1) + rest[2]
        body += struct.pack(">II", address, t % 2**32)
    return header + body


def written_nmnist(events):
    return b"".join(bytes([x, y]) + (p << 23 | t).to_bytes(3, "big") for t, x, y, p in events)


def saved(folder, content, name="one.aedat"):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(content)
    return path


def drawn(n, seed, side=128):
    """n events anywhere: (microseconds, x, y, p), the first at 0."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, 300_000, n))
    columns = [t - t[0], rng.integers(0, side, n), rng.integers(0, side, n), rng.integers(0, 2, n)]
    return list(zip(*(values.tolist() for values in columns)))


def by_hand(events, T, size, by="time", orientation="upright", side=(128, 128), transposed=False):
    """Frames as the contract says them, an event at a time."""
    frames = np.zeros((T, 2, size, size), int)
    for i, (t, x, y, p) in enumerate(events):
        if orientation == "upright":
            if transposed:
                x, y = y, x
            x = side[0] - 1 - x
            y = side[1] - 1 - y
        window = t * T // (events[-1][0] + 1) if by == "time" else i * T // len(events)
        frames[window, p, y * size // side[1], x * size // side[0]] += 1
    return np.minimum(frames, 255)


# ---- AEDAT 2.0 ----
def test_a_file_by_hand_is_read(tmp_path):
    events = [(10, 20, 77, 1), (10, 0, 0, 0), (35, 127, 127, 1)]
    t, x, y, p = train_dvs.read_aedat(saved(tmp_path, written(events)))
    assert t.dtype == np.int64 and {x.dtype, y.dtype, p.dtype} == {np.dtype(np.uint8)}
    assert t.tolist() == [0, 0, 25] and p.tolist() == [1, 0, 1]
    assert x.tolist() == [20, 0, 127] and y.tolist() == [77, 0, 127]


event = st.tuples(
    st.integers(0, 10**6), st.integers(0, 127), st.integers(0, 127), st.integers(0, 1)
)


@given(st.lists(event, min_size=1), st.sampled_from([0, 1, 4_000_000_000]))
def test_what_is_written_is_read_again(tmp_path_factory, events, start):
    events.sort(key=lambda event: event[0])
    expected = [[event[0] - events[0][0], *event[1:]] for event in events]
    path = tmp_path_factory.mktemp("round") / "ours.aedat"
    path.write_bytes(written([(start + t, x, y, p) for t, x, y, p in events]))
    found = train_dvs.read_aedat(path)
    assert [list(map(int, event)) for event in zip(*found)] == expected
    train_dvs.write_aedat(path, *found)
    content = path.read_bytes()
    assert content.startswith(b"#!AER-DAT2.0\r\n")
    assert content.endswith(written(expected, b""))  # our own writer's bytes
    again = train_dvs.read_aedat(path)
    assert all(np.array_equal(a, b) for a, b in zip(again, found))


HEADERS = [
    b"#!AER-DAT2.0\n# LF alone\n",
    b"#!AER-DAT2.0\r\n",
    HEADER + END,
    HEADER + b"# End of ASCII Header\r\n",
    HEADER + b"#End of Preferences for this AEChip\r\n",
    HEADER + b"#End of Preferences for this AEChip\r\n# more\r\n" + END,
    HEADER + b"# Timestamps tick is 1 us\r\n",
    HEADER + b"# created Sat Oct 06 2018\r\n",
    HEADER + b"# AEChip: ch.unizh.ini.jaer.chip.retina.DVS128\r\n",
    HEADER + b"# AEChip: Dvs128\n#AEChip: ch.unizh.ini.caviar.chip.Tmpdiff128 \r\n",
]


@pytest.mark.parametrize("header", HEADERS)
def test_header_endings_that_are_found_in_the_wild_are_read(tmp_path, header):
    path = saved(tmp_path, written([(5, 1, 2, 0), (6, 3, 4, 1)], header))
    t, x, *_ = train_dvs.read_aedat(path)
    assert t.tolist() == [0, 1] and x.tolist() == [1, 3]


def test_special_events_are_dropped_and_counted():
    events = [(5, 0x8000), (7, 1, 2, 0), (8, 0x8001), (9, 3, 4, 1)]
    t, x, y, p, dropped = train_dvs.decode_aedat(written(events), "f")
    assert dropped == 2 and t.tolist() == [0, 2]
    assert x.tolist() == [1, 3] and y.tolist() == [2, 4] and p.tolist() == [0, 1]


BAD = [
    (b"", 0, "empty"),
    (HEADER, len(HEADER), "no events"),
    (b"#!AER-DAT2.0\r\n# unfinished", 14, "no events"),
    (b"#!AER-DAT1.0\r\n" + b"\0" * 12, 0, "AER-DAT1.0"),
    (b"#!AER-DAT3.1\r\n" + b"\0" * 16, 0, "AER-DAT3.1 instead of AER-DAT2.0: give its t, x, y, p"),
    (b"#!AER-DAT4.0\r\n" + b"\0" * 16, 0, "AER-DAT4.0"),
    (b"\0" * 16, 0, "no AEDAT"),
    (b"PK\3\4 a zip", 0, "no AEDAT"),
    (written([(1, 2, 3, 0), (2, 2, 3, 0)])[:-3], len(HEADER) + 8, "truncated"),
    (written([(1, 2, 3, 0), (2, 2, 3, 0)])[:-4], len(HEADER) + 8, "truncated"),
    (written([(1, 2, 3, 0), (2, 0x10000)]), len(HEADER) + 8, "another sensor"),
    (written([(1, 2, 3, 0), (9, 2, 3, 0), (8, 2, 3, 0)]), len(HEADER) + 16, "from 9 to 8"),
    (written([(9, 2, 3, 0), (2**32 - 1, 2, 3, 0), (2**31, 2, 3, 0)]), len(HEADER) + 16, "backward"),
    (written([(2**32 - 1, 2, 3, 0), (2**31 - 1, 2, 3, 0)]), len(HEADER) + 8, "backward"),
    (HEADER + b"# AEChip: Davis346red\r\n" + b"\0" * 8, len(HEADER), "Davis346red is no DVS128"),
    (HEADER + b"#AEChip: a.b.CochleaAMS1c\n" + b"\0" * 8, len(HEADER), "CochleaAMS1c is no DVS128"),
    (written([(1, 0x8000)]), len(HEADER), "no events"),
    # after the header's end a "#" is an event's
    (HEADER + END + b"#\0\0\n\0\0\0\1", len(HEADER + END), "another sensor"),
    (HEADER + END.lower() + b"#\0\0\n\0\0\0\1", len(HEADER + END), "another sensor"),
]


@pytest.mark.parametrize("content, byte, reason", BAD)
def test_bad_files_are_named_with_byte_and_reason(tmp_path, content, byte, reason):
    path = saved(tmp_path, content)
    with pytest.raises(ValueError) as error:
        train_dvs.read_aedat(path)
    assert str(error.value).startswith(f"{path}: byte {byte}: ") and reason in str(error.value)


@given(st.binary(max_size=200), st.booleans(), st.data())
def test_fuzzed_files_are_refused_or_read_right(content, whole, data):
    """A ValueError that names the file, or the events that are there, read off one at a time."""
    if whole:
        content = written([(i * 3, i % 128, 2 * i % 128, i % 2) for i in range(10)])
        for _ in range(data.draw(st.integers(1, 3))):
            at = data.draw(st.integers(0, len(content) - 1))
            content = content[:at] + bytes([data.draw(st.integers(0, 255))]) + content[at + 1 :]
    else:
        content = HEADER + content
    try:
        t, x, y, p, dropped = train_dvs.decode_aedat(content, "fuzzed.aedat")
    except ValueError as error:
        assert str(error).startswith("fuzzed.aedat: byte ")
        return
    lines = io.BytesIO(content)
    start = 0
    while content[start : start + 1] == b"#":
        line = lines.readline()
        start = lines.tell()
        if b"end of ascii header" in line.lower():
            break
    events = [struct.unpack(">II", content[i : i + 8]) for i in range(start, len(content), 8)]
    kept = [(address, when) for address, when in events if not address & 0x8000]
    assert dropped == len(events) - len(kept)
    steps = [(b - a) % 2**32 for (_, a), (_, b) in itertools.pairwise(kept)]
    assert t.tolist() == list(itertools.accumulate(steps, initial=0))
    assert x.tolist() == [address >> 1 & 127 for address, _ in kept]
    assert y.tolist() == [address >> 8 & 127 for address, _ in kept]
    assert p.tolist() == [address & 1 for address, _ in kept]


@pytest.mark.parametrize(
    "start, steps",
    [
        (2**32 - 2, [0, 1, 4, 900]),  # passes 2^32
        (2**32 - 2, [0, 2**31 - 1, 2**32]),  # and again
        (5, [0, 3_600_000_000, 3_600_000_001]),  # jumps forward by an hour
    ],
)
def test_a_clock_goes_on_beyond_32_bits_and_jumps_forward(tmp_path, start, steps):
    content = written([(start + step, 1, 2, 0) for step in steps])
    assert train_dvs.read_aedat(saved(tmp_path, content))[0].tolist() == steps


# ---- N-MNIST ----
def test_an_nmnist_file_by_hand_is_read(tmp_path):
    events = [(100, 3, 33, 1), (100, 4, 5, 1), (300_000, 33, 0, 0)]
    t, x, y, p = train_dvs.read_nmnist(saved(tmp_path, written_nmnist(events)))
    assert t.tolist() == [0, 0, 299_900] and p.tolist() == [1, 1, 0]
    assert x.tolist() == [3, 4, 33] and y.tolist() == [33, 5, 0]


@pytest.mark.parametrize(
    "content, byte, reason",
    [
        (b"", 0, "no events"),
        (b"123456", 5, "truncated"),
        (written_nmnist([(1, 1, 1, 0), (1, 34, 0, 0)]), 5, "34, 0) is outside 34x34 (N-Caltech101"),
        (written_nmnist([(1, 1, 1, 0), (1, 0, 34, 0)]), 5, "0, 34"),
        (written_nmnist([(5, 1, 1, 0), (5, 1, 1, 1), (4, 1, 1, 0)]), 10, "backward"),
    ],
)
def test_bad_nmnist_files_are_named_with_byte_and_reason(tmp_path, content, byte, reason):
    path = saved(tmp_path, content)
    with pytest.raises(ValueError) as error:
        train_dvs.read_nmnist(path)
    assert str(error.value).startswith(f"{path}: byte {byte}: ") and reason in str(error.value)


# ---- frames ----
@given(
    st.integers(1, 12),
    st.sampled_from([1, 16, 30, 34, 48, 128]),
    st.sampled_from(["time", "count"]),
    st.sampled_from(["upright", "raw"]),
    st.sampled_from([(128, 128), (34, 34), (40, 20)]),
    st.integers(0, 2**32 - 1),
)
def test_frames_count_every_event_once(T, size, by, orientation, side, seed):
    rng = np.random.default_rng(seed)
    n = rng.integers(1, 300)
    t = np.sort(rng.integers(0, 1000, n))
    t -= t[0]
    x = rng.integers(0, side[0], n).astype(np.uint8)
    y = rng.integers(0, side[1], n).astype(np.uint8)
    p = rng.integers(0, 2, n).astype(np.uint8)
    frames = train_dvs.events_to_frames(t, x, y, p, T, size, by, side, orientation)
    events = list(zip(*(values.tolist() for values in (t, x, y, p))))
    expected = by_hand(events, T, size, by, orientation, side)
    assert frames.dtype == np.uint8 and np.array_equal(frames, expected)


def test_frames_are_the_papers_unless_said_otherwise():
    events = drawn(500, 0)
    frames = train_dvs.events_to_frames(*np.array(events).T)
    assert np.array_equal(frames, by_hand(events, 10, 48, "time", "upright", (128, 128)))


def test_counts_saturate_and_empty_windows_are_empty_frames():
    t = np.array([0] * 300 + [999])
    nothing = np.zeros(301, np.uint8)
    frames = train_dvs.events_to_frames(t, nothing, nothing, nothing, 10, 16, orientation="raw")
    assert frames[0, 0, 0, 0] == 255 and frames[9, 0, 0, 0] == 1 and frames[1:9].sum() == 0


def as_people_call(**more):
    events = dict(t=[7, 8, 9, 16], x=[0, 1, 2, 3], y=[0, 0, 1, 1], p=[0, 1, 1, 0])
    return train_dvs.events_to_frames(**events | dict(T=5, size=16, orientation="raw") | more)


@pytest.mark.parametrize(
    "more",
    [
        dict(t=np.array([0, 1, 2, 9], np.uint32) + np.uint32(4_000_000_000)),
        dict(t=np.array([0, 1, 2, 9]) - 5),
        dict(t=np.array([0, 1, 2, 9], np.uint32) * np.uint32(10**8)),
        dict(p=np.array([False, True, True, False])),
        dict(x=np.arange(4, dtype=np.uint16), y=torch.tensor([0, 0, 1, 1])),
    ],
)
def test_events_of_any_whole_numbers_and_start_are_framed(more):
    assert np.array_equal(as_people_call(**more), as_people_call())


@pytest.mark.parametrize(
    "more, reason",
    [
        (dict(by="counts"), "by='counts'.*time, count"),
        (dict(orientation="Raw"), "orientation='Raw'.*upright, raw"),
        (dict(T=2.5), "T=2.5: must be a whole number"),
        (dict(size="16"), "size='16': must be a whole number"),
        (dict(sensor=(128, 0)), "height=0: must be a whole number"),
        (dict(x=[0, 1, 2, -3]), "x: -3 to 2, not 0 to 127"),
        (dict(y=[0, 1, 2, 128]), "y: 0 to 128, not 0 to 127"),
        (dict(sensor=(128, 1)), "y: 0 to 1, not 0 to 0"),
        (dict(p=[1, -1, 1, 1]), "p: -1 to 1, not 0 to 1"),
        (dict(t=[7, 9, 8, 16]), "t: goes backward at event 2, from 9 to 8"),
        (dict(t=[0.1, 0.2, 0.3, 0.4]), "t: float64"),
        (dict(x=[0.0, 1, 2, 3]), "x: float64"),
        (dict(x=[0, 1, 2]), r"x: int64 \[3\]"),
        (dict(t=[], x=[], y=[], p=[]), r"t: .* \[0\]"),
    ],
)
def test_what_is_no_event_is_refused(more, reason):
    with pytest.raises(ValueError, match=reason):
        as_people_call(**more)


def test_what_no_dvs128_sends_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="x: 200 to 200, not 0 to 127"):
        train_dvs.write_aedat(tmp_path / "one.aedat", [0], [200], [0], [1])
    assert not list(tmp_path.iterdir())


# ---- splits ----
def item(file, label):
    return train_dvs.Item(file, None, label)


def items(n=20, classes=("a", "b")):
    return [item(f"9/{c}/cifar10_{c}_{i}.aedat", c) for c in classes for i in range(n)]


def last_number(item):
    return int(item[0].removesuffix(".aedat").split("_")[-1])


@pytest.mark.parametrize("archived", [False, True])
def test_named_splits_take_the_last_or_first_tenth_by_number(archived):
    everything = items(1000)[::-1]
    if archived:
        everything = [train_dvs.Item("7.zip", name, label) for name, _, label in everything]
    for split, numbers in (("tet", range(900, 1000)), ("tebn", range(100))):
        train, test = train_dvs.split_by(everything, split)
        assert sorted(train + test) == sorted(everything)
        for label in "ab":
            names = [(item[1] or item[0], None) for item in test if item[2] == label]
            assert sorted(last_number(name) for name in names) == list(numbers)


def test_a_tenth_is_rounded_and_never_nothing():
    for n, expected in ((2, 1), (3, 1), (14, 1), (16, 2), (24, 2), (26, 3)):
        train, test = train_dvs.split_by(items(n, "a"), "tet")
        assert len(test) == expected and len(train) == n - expected
        assert {last_number(item) for item in test} == set(range(n - expected, n))


def test_random_splits_draw_a_tenth_of_each_class_by_the_seed():
    splits = [train_dvs.split_by(items(1000), f"random:{seed}") for seed in (1, 1, 2)]
    for train, test in splits:
        assert sorted(train + test) == sorted(items(1000))
        assert [sum(item[2] == label for item in test) for label in "ab"] == [100, 100]
        numbers = [last_number(item) for item in test]
        assert 400 < np.mean(numbers) < 600, "from all over the class"
    assert splits[0] == splits[1]
    assert not set(splits[0][1]) <= set(splits[2][1])


@pytest.mark.parametrize("name", ["DVS128-2014-10-13T15-4{}-51+0200-0.aedat", "{}.aedat"])
def test_random_splits_need_no_number_and_order_those_there_are(name):
    """jAER's names all end in the same number."""
    names = [name.format(i) for i in range(20)]
    if name == "{}.aedat":
        names = [f"r{'x' * i}.aedat" for i in range(20)]
    train, test = train_dvs.split_by([item(f"d/{name}", "a") for name in sorted(names)], "random:4")
    order = np.random.default_rng(4).permutation(20)
    assert [each.file for each in train + test] == [f"d/{names[i]}" for i in order]
    with pytest.raises(ValueError, match="--split random:0 needs none"):
        train_dvs.split_by([item(name, "a") for name in names], "tet")


@pytest.mark.parametrize("split", ["random", "random:x", "last", "tet:1", "tet:x", "tebn:", ""])
def test_unknown_splits_are_refused(split):
    with pytest.raises(ValueError, match="--split"):
        train_dvs.split_by(items(), split)


@pytest.mark.parametrize(
    "recordings, reason",
    [
        (items() + [item("a/again_7.aedat", "a")], "same number"),
        (items() + [item("7/a/again.aedat", "a")], "no number"),
        (items(1), "too few"),
        (items(5) + items(1, "c"), "class c"),
    ],
)
def test_what_cannot_be_ordered_is_refused(recordings, reason):
    with pytest.raises(ValueError, match=reason):
        train_dvs.split_by(recordings, "tet")


# ---- data to train on: recording i has LEAST + i events, so that frames tell whose they are ----
LEAST = 40
TEN = "airplane automobile bird cat deer dog frog horse ship truck".split()
SHARDS = (7, 8, 9, 10)  # numbers of an archive's recordings, which text sorts otherwise


class Made:
    def __init__(self):
        self.events = []
        self.labels = []
        self.numbers = []

    def add(self, label, number):
        self.labels.append(label)
        self.numbers.append(number)
        self.events.append(drawn(LEAST + len(self.events), len(self.events)))
        return written(self.events[-1])

    def of_test(self, chosen):
        """Which recordings a rule, number -> True or False, takes."""
        return {i for i, number in enumerate(self.numbers) if chosen(number)}


def fill_flat(folder, n=20):
    made = Made()
    for label in ("left", "right"):
        for i in range(n):
            saved(folder / label, made.add(label, i), f"cifar10_{label}_{i}.aedat")
    return made


def fill_zips(folder):
    folder.mkdir(parents=True, exist_ok=True)
    made = Made()
    for name in TEN:
        with zipfile.ZipFile(folder / f"{name}.zip", "w") as archive:
            for i in SHARDS:
                archive.writestr(f"{name}/cifar10_{name}_{i}.aedat", made.add(name, i))
            archive.writestr("readme.txt", "no recording")
    return made


def fill_parts(folder):
    made = Made()
    for part, start, n in (("train", 0, 20), ("test", 20, 10)):
        for label in ("left", "right"):
            for i in range(start, start + n):
                saved(folder / part / label, made.add(label, i), f"{label}_{i}.aedat")
    return made


@pytest.fixture
def folder(tmp_path):
    fill_parts(tmp_path / "data")
    return tmp_path / "data"


def whose(calls):
    """The recordings in these calls of a network, batch by batch."""
    return [[int(n) - LEAST for n in call.x.sum((0, 2, 3, 4)).tolist()] for call in calls]


# ---- settings: what a run does, held against what it was told ----
# the paper's recipe, where it is not train_cifar.Config's
DEFAULTS = dict(
    dataset="cifar10dvs",
    arch="vggsnn",
    channels=64,
    T=10,
    batch_size=50,
    label_smoothing=0.0,
    phi=1.0,
    lam=1e-3,
    size=48,
    by="time",
    split="tet",
    cache=None,
    orientation="upright",
    skip_bad=False,
    download=False,
    simulate=None,
)

RUNS = dict(
    zips=dict(
        channels=2,
        T=3,
        batch_size=6,
        size=17,
        by="count",
        split="tebn",
        orientation="raw",
        label_smoothing=0.1,
        phi=0.5,
        lam=0.2,
    ),
    flat=dict(
        dataset="folder",
        arch="resnet19",
        channels=1,
        T=4,
        batch_size=10,
        size=20,
        split="random:3",
        label_smoothing=0.3,
        phi=2.0,
        lam=0.05,
        cache="elsewhere",
        skip_bad=True,
    ),
    plain=dict(dataset="folder", arch="resnet18", channels=1, T=2, size=16),
    downloaded=dict(channels=1, T=2, size=16, download=True),
)


def fill(told, folder, zips):
    """The data of a run, and what there is to know about it."""
    made = types.SimpleNamespace(bad=None)
    if told.dataset == "folder":
        made = fill_flat(folder)
        made.bad = told.skip_bad and saved(folder / "left", b"#!AER-DAT3.1\r\n", "left_5000.aedat")
        # as the last of its class, it is in tet's test set, or in what random draws from
    elif told.download:
        made = fill_zips(zips)
    else:
        made = fill_zips(folder)
    return made


def stand_in(zips, asked):
    """For torchvision's download_url: copies from a folder here."""

    def download_url(url, root, filename=None, md5=None, **more):
        asked.append((url, filename, md5))
        pathlib.Path(root).mkdir(parents=True, exist_ok=True)
        shutil.copy(zips / filename, pathlib.Path(root) / filename)

    return download_url


@pytest.fixture
def trained(request, tmp_path, watch, monkeypatch, capsys):
    """One run of RUNS: `told` its settings, and all that was seen of it."""
    given_ = RUNS[request.param]
    told = types.SimpleNamespace(**DEFAULTS | given_)
    seen = types.SimpleNamespace(told=told, data=tmp_path / "data", asked=[])
    seen.made = fill(told, seen.data, tmp_path / "zips")
    where = torchvision.datasets.utils
    monkeypatch.setattr(where, "download_url", stand_in(tmp_path / "zips", seen.asked))
    monkeypatch.chdir(tmp_path)
    arguments = []
    for name, value in given_.items():
        flag = "--" + name.replace("_", "-")
        arguments += [flag] if value is True else [flag, value]
    base = ["--data", seen.data, "--out", tmp_path / "run", "--epochs", 1, "--device", "cpu"]
    run(*arguments, base=list(map(str, base)))
    captured = capsys.readouterr()
    seen.out = captured.out
    seen.err = captured.err
    seen.train = [call for call in watch.calls if call.training]
    seen.test = [call for call in watch.calls if not call.training]
    seen.log = table(tmp_path / "run" / "log.csv")
    seen.facts = load(tmp_path / "run" / "last.pt")["facts"]
    return seen


def check_dataset(seen):
    expected = TEN if seen.told.dataset == "cifar10dvs" else ["left", "right"]
    assert seen.facts["classes"] == expected == sorted(set(seen.made.labels))
    n = len(seen.made.labels)
    assert set(itertools.chain(*whose(seen.train + seen.test))) <= set(range(n))


def check_network(seen):
    """The arguments of the public function of that name, by the shapes that they lead to."""
    told = seen.told
    size = dict(size=told.size) if told.arch == "vggsnn" else {}
    make = getattr(dsatgo, told.arch)
    other = make(len(seen.facts["classes"]), told.T, 2, told.channels, **size)
    shapes = {name: value.shape for name, value in other.state_dict().items()}
    net = seen.train[0].net
    assert {name: value.shape for name, value in net.state_dict().items()} == shapes


def check_channels(seen):
    first = next(m for m in seen.train[0].net.modules() if isinstance(m, torch.nn.Conv2d))
    assert first.out_channels == seen.told.channels


def check_shapes(seen):
    told = seen.told
    for call in seen.train + seen.test:
        assert call.x.shape[0] == call.logits.shape[0] == told.T
        assert call.x.shape[2:] == (2, told.size, told.size)


def check_batches(seen):
    n = len(seen.made.labels) - len(set(itertools.chain(*whose(seen.test))))
    batch = min(seen.told.batch_size, n)
    assert [call.x.shape[1] for call in seen.train] == [batch] * (n // batch)


def check_loss(seen):
    """TET: its gradient at the logits in every step, and the epoch's mean in the log."""
    told = seen.told
    losses = []
    for call, mine in zip(seen.train, whose(seen.train)):
        labels = np.array([seen.facts["classes"].index(seen.made.labels[i]) for i in mine])
        logits = call.logits.double().numpy()
        found = reference_numpy.tet_forward(
            logits, labels, told.phi, told.lam, told.label_smoothing
        )
        losses.append(found[0])
        gradient = reference_numpy.tet_backward(1.0, found[1])
        assert gradient.std() > 1e-5 and relative(call.dlogits.numpy(), gradient) < 1e-4
    assert float(seen.log[0]["loss"]) == pytest.approx(np.mean(losses), rel=1e-4)


def frames_of(seen, i):
    """Recording i as this run should see it; CIFAR10-DVS is stored transposed."""
    told = seen.told
    settings = (told.T, told.size, told.by, told.orientation)
    return by_hand(seen.made.events[i], *settings, transposed=told.dataset == "cifar10dvs")


def check_test_frames(seen):
    for call, mine in zip(seen.test, whose(seen.test)):
        for j, i in enumerate(mine):
            assert np.array_equal(call.x[:, j].numpy(), frames_of(seen, i))


def check_training_frames(seen):
    """The recording, mirrored or not, rolled by up to 5 each way."""
    shifts = list(itertools.product(range(-5, 6), repeat=2))
    ways = set()
    for call, mine in zip(seen.train, whose(seen.train)):
        assert len(set(mine)) == len(mine)
        for j, i in enumerate(mine):
            x = call.x[:, j].numpy()
            plain = frames_of(seen, i)
            sides = (False, plain), (True, plain[..., ::-1])
            way = [
                (flip, *shift)
                for flip, side in sides
                for shift in shifts
                if np.array_equal(np.roll(side, shift, (2, 3)), x)
            ]
            assert len(way) == 1
            ways.add(way[0])
    assert len(ways) > 10


def check_split(seen):
    rule, _, seed = seen.told.split.partition(":")
    made = seen.made
    last, first = ({18, 19}, {0, 1}) if seen.told.dataset == "folder" else ({10}, {7})
    named = dict(tet=made.of_test(last.__contains__), tebn=made.of_test(first.__contains__))
    test = set(itertools.chain(*whose(seen.test)))
    train = set(itertools.chain(*whose(seen.train)))
    assert not test & train and train
    if rule in named:
        assert test == named[rule]
    else:
        labels = sorted(made.labels[i] for i in test)
        assert labels in (
            ["left"] * 2 + ["right"] * 2,
            ["left"] + ["right"] * 2,
        )  # bad one left out
        assert not test <= named["tet"] and not test <= named["tebn"]


def check_cache(seen):
    """One file for the training set and one for the test set, where it was said, and nowhere else."""
    told = seen.told
    there = seen.data.parent / told.cache if told.cache else seen.data / "cache"
    found = [path for path in seen.data.parent.rglob("*.u8")]
    assert len(found) == 2 and {path.parent for path in found} == {there}
    size = sum(path.stat().st_size for path in found)
    assert size == len(seen.made.labels) * told.T * 2 * told.size**2


def check_skip_bad(seen):
    if seen.told.skip_bad:
        assert str(seen.made.bad) in seen.err and "3.1" in seen.err
    else:
        assert "left out" not in seen.err


def check_download(seen):
    assert len(seen.asked) == 10 * seen.told.download
    assert seen.told.download == (seen.data.parent / "zips").exists()


CHECKS = dict(
    dataset=check_dataset,
    arch=check_network,
    channels=check_channels,
    T=check_shapes,
    batch_size=check_batches,
    label_smoothing=check_loss,
    phi=check_loss,
    lam=check_loss,
    size=check_shapes,
    by=check_test_frames,
    split=check_split,
    cache=check_cache,
    orientation=check_test_frames,
    skip_bad=check_skip_bad,
    download=check_download,
)


@pytest.mark.parametrize("trained", RUNS, indirect=True)
def test_a_run_does_what_its_settings_say(trained):
    for check in dict.fromkeys([*CHECKS.values(), check_training_frames]):
        check(trained)


def test_the_paper_s_recipe_is_the_default():
    config = train_dvs.Settings()
    assert {name: getattr(config, name) for name in DEFAULTS} == DEFAULTS


def test_random_splits_of_a_run_follow_the_seed(tmp_path, watch):
    fill_flat(tmp_path / "data")
    test = []
    for i, seed in enumerate((1, 1, 2)):
        watch.calls.clear()
        more = ["--split", f"random:{seed}", "--dataset", "folder", "--out", tmp_path / str(i)]
        run(*more, "--data", tmp_path / "data")
        calls = [call for call in watch.calls if not call.training]
        test.append(set(itertools.chain(*whose(calls))))
        assert len(test[-1]) == 4
    assert test[0] == test[1] != test[2]


def test_a_recording_that_cannot_be_read_stops_the_run_unless_skipped(folder, tmp_path, capsys):
    bad = saved(folder / "train" / "left", b"#!AER-DAT3.1\r\n", "left_77.aedat")
    data = ["--dataset", "folder", "--data", folder, "--out", tmp_path / "run"]
    for form in ([], ["--no-skip-bad"]):
        message = refused(capsys, *data, *form)
        assert str(bad) in message and "3.1" in message and "--skip-bad" in message
        assert message.count(str(bad)) == 1
        assert not list((folder / "cache").glob("*.u8*")), "nothing half-written stays"
    run(*data, "--skip-bad")
    captured = capsys.readouterr()
    assert str(bad) in captured.err and "40 recordings" in captured.out


@pytest.mark.parametrize(
    "error", [OSError("offline"), RuntimeError("File not found or corrupted.")]
)
def test_what_cannot_be_fetched_is_named_by_its_address(tmp_path, monkeypatch, capsys, error):
    def failing(*what, **more):
        raise error

    monkeypatch.setattr(torchvision.datasets.utils, "download_url", failing)
    message = refused(capsys, "--data", tmp_path / "none", "--download")
    assert "https://ndownloader.figshare.com/files/7712788: " in message
    assert str(error) in message and f"into {tmp_path / 'none'} as airplane.zip" in message


def test_without_download_nothing_is_fetched(tmp_path, monkeypatch, capsys):
    asked = []
    where = torchvision.datasets.utils
    monkeypatch.setattr(where, "download_url", lambda *what, **more: asked.append(what))
    for form in ([], ["--no-download"]):
        assert "4724671" in refused(capsys, "--data", tmp_path / "none", *form)
    refused(capsys, "--data", tmp_path / "none", "--dataset", "folder", "--download")
    assert not asked
    refused(capsys, "--data", tmp_path / "none", "--download")
    assert len(asked) == 10
    done = []
    monkeypatch.setattr(train_dvs, "once", lambda config, work: done.append(work.func))
    refused(capsys, "--data", tmp_path / "none", "--download")
    assert len(asked) == 10 and done == [train_dvs.download], "by one process alone"


@pytest.mark.parametrize("again", ["--eval", "--resume"])
def test_a_run_that_downloaded_does_not_download_again_unless_told_to(
    tmp_path, monkeypatch, capsys, again
):
    told = types.SimpleNamespace(**DEFAULTS | dict(channels=1, T=2, size=16, download=True))
    fill(told, tmp_path / "data", tmp_path / "zips")
    asked = []
    fetch = stand_in(tmp_path / "zips", asked)
    monkeypatch.setattr(torchvision.datasets.utils, "download_url", fetch)
    more = ["--data", tmp_path / "data", "--out", tmp_path / "run", "--channels", 1, "--T", 2]
    more += ["--size", 16, "--epochs", 2, "--stop-after", 1, "--device", "cpu"]
    run("--download", *more, base=[])
    assert len(asked) == 10
    more = [again, tmp_path / "run", *["--stop-after", 1] * (again == "--resume")]
    for form in ([], ["--no-download"]):
        run(*more, *form, base=[])
    assert len(asked) == 10
    run(*more, "--download", base=[])
    assert len(asked) == 20


# as the figshare article 4724671 and SpikingJelly list them
ARCHIVES = """
airplane 7712788 0afd5c4bf9ae06af762a77b180354fdd
automobile 7712791 8438dfeba3bc970c94962d995b1b9bdd
bird 7712794 a9c207c91c55b9dc2002dc21c684d785
cat 7712812 52c63c677c2b15fa5146a8daf4d56687
deer 7712815 b6bf21f6c04d21ba4e23fc3e36c8a4a3
dog 7712818 f379ebdf6703d16e0a690782e62639c3
frog 7712842 cad6ed91214b1c7388a5f6ee56d08803
horse 7712851 e7cbbf77bec584ffbf913f00e682782a
ship 7712836 41c7bd7d6b251be82557c6cce9a7d5c9
truck 7712839 89f3922fd147d9aeff89e76a2b0b70a7
"""


def test_the_ten_archives_are_asked_for_by_url_name_and_checksum(tmp_path, monkeypatch, capsys):
    asked = []
    fill_zips(tmp_path / "zips")
    where = torchvision.datasets.utils
    monkeypatch.setattr(where, "download_url", stand_in(tmp_path / "zips", asked))
    run("--data", tmp_path / "data", "--download", "--out", tmp_path / "run")
    expected = [line.split() for line in ARCHIVES.split("\n") if line]
    assert asked == [
        (f"https://ndownloader.figshare.com/files/{number}", f"{name}.zip", md5)
        for name, number, md5 in expected
    ]


# ---- augmentation in a run ----
def test_training_sees_each_recording_flipped_or_not_and_rolled_and_tests_see_it_as_it_is(
    tmp_path, watch
):
    """Two events in each recording, a darker one right of a brighter one at row 8, tell how it was turned."""
    epochs = 5
    for part, n in (("train", 24), ("test", 2)):
        for label in ("a", "b"):
            for i in range(n):
                events = [(0, 16, 64, 0), (1, 32, 64, 1), (2, 16, 64, 0), (3, 32, 64, 1)]
                saved(tmp_path / "data" / part / label, written(events), f"{i}.aedat")
    more = ["--orientation", "raw", "--T", 2, "--epochs", epochs, "--batch-size", 48]
    run("--dataset", "folder", "--data", tmp_path / "data", "--out", tmp_path / "run", *more)
    turns = []
    for call in watch.calls:
        brighter, darker = (call.x[:, :, p].flatten(2) for p in (0, 1))
        assert (brighter.sum(2) == 1).all() and (darker.sum(2) == 1).all()
        places = [divmod(cells.argmax(2).numpy(), 16) for cells in (brighter, darker)]
        (row, left), (other_row, right) = places
        assert (row == other_row).all()
        assert (row[0] == row[1]).all() and (left[0] == left[1]).all(), "the same at all timesteps"
        flips = (right - left) % 16 == 14
        assert (flips | ((right - left) % 16 == 2)).all()
        across = (left - np.where(flips, 13, 2) + 8) % 16 - 8
        if call.training:
            turns.append(np.stack([flips[0], row[0] - 8, across[0]]))
        else:
            assert not flips.any() and (row == 8).all() and (across == 0).all()
    flips, down, right = np.concatenate(turns, 1)
    assert len(turns) == epochs and not np.array_equal(turns[0], turns[1])
    assert 0.35 < flips.mean() < 0.65
    for shift in (down, right):
        values, counts = np.unique(shift, return_counts=True)
        assert values.tolist() == list(range(-5, 6)) and counts.min() > 5
    assert abs(np.corrcoef([flips, down, right]) - np.eye(3)).max() < 0.3, "drawn one by one"


def test_augmentation_is_keyed_by_seed_epoch_and_sample_alone():
    frames = np.random.default_rng(0).integers(0, 9, (40, 3, 2, 16, 16), dtype=np.uint8)
    data = train_dvs.Events(frames, torch.arange(40), dict(classes=["a"]))
    everything = torch.arange(40)
    x, y = data[everything, 0, 0]
    assert len(data) == 40 and tuple(data.shape) == (2, 16, 16)
    assert x.shape == (3, 40, 2, 16, 16) and x.dtype == torch.float32
    alone = [data[torch.tensor([i]), 0, 0] for i in reversed(range(40))][::-1]
    assert torch.equal(torch.cat([one for one, _ in alone], 1), x)
    assert torch.equal(torch.cat([label for _, label in alone]), y) and torch.equal(y, everything)
    assert not torch.equal(data[everything, 1, 0][0], x)
    assert not torch.equal(data[everything, 0, 1][0], x)
    plain = data[everything, None, 0][0]
    assert np.array_equal(plain.transpose(0, 1).numpy(), frames)


# ---- folders ----
def test_train_resume_and_eval(folder, tmp_path, capsys):
    data = ["--dataset", "folder", "--data", folder, "--epochs", 2]
    run(*data, "--out", tmp_path / "whole")
    assert "40 recordings" in capsys.readouterr().out
    run(*data, "--out", tmp_path / "cut", "--stop-after", 1)
    assert "recordings" not in capsys.readouterr().out, "the cache is used"
    run("--resume", tmp_path / "cut", "--workers", 2, base=[])
    assert_same_run(tmp_path / "whole", tmp_path / "cut")
    capsys.readouterr()
    run("--eval", tmp_path / "whole", base=[])
    accuracy = float(table(tmp_path / "whole" / "log.csv")[1]["test_accuracy"])
    assert f"{accuracy:.2%}" in capsys.readouterr().out
    facts = load(tmp_path / "whole" / "last.pt")["facts"]
    assert facts["classes"] == ["left", "right"]
    left = folder / "test" / "left"
    (left / "left_20.aedat").rename(left / "left_99.aedat")
    assert "test_list" in refused(capsys, "--eval", tmp_path / "whole", base=[])


def test_another_split_is_refused(tmp_path, capsys):
    fill_flat(tmp_path / "data")
    run("--dataset", "folder", "--data", tmp_path / "data", "--out", tmp_path / "run")
    assert "--split" in refused(capsys, "--eval", tmp_path / "run", "--split", "tebn", base=[])


def test_limits_draw_recordings_by_the_seed(tmp_path, watch):
    fill_parts(tmp_path / "data")
    drawn_by = []
    for i, (train, test, seed) in enumerate(((11, 5, 0), (11, 5, 1))):
        watch.calls.clear()
        data = ["--dataset", "folder", "--data", tmp_path / "data", "--out", tmp_path / str(i)]
        limits = ["--limit-train", train, "--limit-test", test, "--seed", seed]
        run(*data, *limits, "--batch-size", 1)
        one = set(sum(whose(call for call in watch.calls if call.training), []))
        other = set(sum(whose(call for call in watch.calls if not call.training), []))
        assert len(one) == train and len(other) == test
        assert max(one) < 40 <= min(other), "of the folder's own train and test"
        assert one != set(range(train)) and other != set(range(40, 40 + test))
        drawn_by.append((one, other))
    assert drawn_by[0][0] != drawn_by[1][0] and drawn_by[0][1] != drawn_by[1][1]


def test_the_test_list_depends_on_the_test_recordings_alone(tmp_path):
    fill_flat(tmp_path / "one")
    fill_flat(tmp_path / "other")
    (tmp_path / "other" / "left" / "cifar10_left_3.aedat").unlink()
    config = settings(tmp_path / "one")
    facts = [
        train_dvs.load(each)[1].facts["test_list"]
        for each in (
            config,
            settings(tmp_path / "other"),
            dataclasses.replace(config, split="tebn"),
        )
    ]
    assert facts[0] == facts[1] != facts[2]


def test_ten_archives_are_needed(tmp_path, capsys):
    fill_zips(tmp_path / "zips")
    data = ["--data", tmp_path / "zips", "--out", tmp_path / "run"]
    truck = tmp_path / "zips" / "truck.zip"
    truck.unlink()
    message = refused(capsys, *data)
    assert "4724671" in message and "--download" in message and "--demo" in message
    truck.write_bytes(b"not a zip")
    assert "truck.zip" in refused(capsys, *data)
    assert "4724671" in refused(capsys, "--data", tmp_path / "nowhere")


def test_a_damaged_recording_in_an_archive_is_named(tmp_path, capsys):
    fill_zips(tmp_path / "zips")
    with zipfile.ZipFile(tmp_path / "zips" / "truck.zip", "w") as archive:
        for i in SHARDS:
            archive.writestr(f"truck/cifar10_truck_{i}.aedat", HEADER)
    message = refused(capsys, "--data", tmp_path / "zips", "--out", tmp_path / "run")
    assert "truck/cifar10_truck_" in message and "no events" in message


def test_folders_that_are_not_what_they_should_be_are_refused(folder, tmp_path, capsys):
    data = ["--dataset", "folder", "--data", folder, "--out", tmp_path / "run"]
    (folder / "train" / "empty").mkdir()
    assert "in ['empty']" in refused(capsys, *data)
    saved(folder / "train" / "empty", b"hello", "notes.txt")
    assert "in ['empty']" in refused(capsys, *data)
    shutil.rmtree(folder / "train" / "empty")
    shutil.move(folder / "test" / "left", tmp_path / "left")
    assert "two or more classes" in refused(capsys, *data)
    shutil.rmtree(folder / "train" / "left")
    assert "two or more classes" in refused(capsys, *data)
    assert "two or more" in refused(capsys, "--dataset", "folder", "--data", tmp_path / "nothing")


LITTER = """left/.DS_Store left/._left_0.aedat left/.ipynb_checkpoints/left_0.aedat .hidden/left_0.aedat
__MACOSX/left/left_0.aedat cache/left_0.aedat .Trash-0 desktop.ini""".split()


def test_hidden_files_and_the_cache_are_not_recordings_and_endings_have_no_case(tmp_path, capsys):
    fill_flat(tmp_path, 4)
    expected = sorted(item(str(path), path.parent.name) for path in tmp_path.glob("*/*"))
    for name in LITTER:
        saved(tmp_path / os.path.dirname(name), b"litter", os.path.basename(name))
    with zipfile.ZipFile(tmp_path / "notes.zip", "w") as archive:
        archive.writestr("left/notes.txt", "no recording")
        archive.writestr("left/weights.npz", "no recording of this folder")
    for name in ("left_9.aedat", "notes.txt"):  # of no class
        saved(tmp_path, b"litter", name)
    assert sorted(train_dvs.recordings(tmp_path)) == expected
    assert "not taken: 1 .aedat, 1 .npz, 1 .txt" in capsys.readouterr().out
    upper = tmp_path / "left" / "cifar10_left_0.AEDAT"
    (tmp_path / "left" / "cifar10_left_0.aedat").rename(upper)
    for name in ("labels.csv", "labels.CSV", "readme"):
        saved(tmp_path / "left", b"no recording", name)
    assert str(upper) in {one.file for one in train_dvs.recordings(tmp_path)}
    assert "taken: 1 .aedat, 2 .csv, 1 .npz, 1 .txt, 1 without ending" in capsys.readouterr().out
    train, test = train_dvs.load(settings(tmp_path))
    assert len(train) + len(test) == len(expected)


@pytest.mark.parametrize("archived", [False, True])
def test_nmnist_is_read_as_it_is_distributed(tmp_path, archived):
    """Train and Test, or Train.zip and Test.zip, beside what macOS adds."""
    for part, n in (("Train", 6), ("Test", 2)):
        for i in range(n):
            events = written_nmnist(drawn(50 + i, i, 34))
            saved(tmp_path / part / str(i % 2), events, f"{i:05}.bin")
        saved(tmp_path / part / "__MACOSX" / "0", b"litter", "._00000.bin")
        if archived:
            shutil.make_archive(tmp_path / part, "zip", tmp_path, part)
            shutil.rmtree(tmp_path / part)
    train, test = train_dvs.load(settings(tmp_path))
    assert sorted(int(frames.sum()) for frames in train.frames) == list(range(50, 56))
    assert sorted(int(frames.sum()) for frames in test.frames) == [50, 51]
    assert train.facts["classes"] == ["0", "1"]


def patched(path, name, offset, value):
    """Bytes of a member's entry in an archive's directory, which begins 46 before its name, changed."""
    content = bytearray(path.read_bytes())
    at = content.rindex(name.encode()) - 46 + offset
    content[at : at + len(value)] = value
    path.write_bytes(content)


def damage_stream(path, name):
    content = path.read_bytes()
    at = content.index(name.encode()) + len(name)
    path.write_bytes(content[:at] + b"\xff" + content[at + 1 :])


BAD_MEMBERS = dict(
    stream=(damage_stream, "invalid block type"),
    encrypted=(lambda path, name: patched(path, name, 8, b"\1"), "encrypted"),
    deflate64=(lambda path, name: patched(path, name, 10, b"\x09"), "compression"),
)


@pytest.mark.parametrize("kind", BAD_MEMBERS)
def test_a_bad_member_is_named_with_its_archive_or_left_out(tmp_path, capsys, kind):
    damage, reason = BAD_MEMBERS[kind]
    data = tmp_path / "data"
    data.mkdir()
    with zipfile.ZipFile(data / "some.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(8):
            archive.writestr(f"{'ab'[i % 2]}/{i}.aedat", written(drawn(LEAST + i, i)))
    damage(data / "some.zip", "a/2.aedat")
    with pytest.raises(ValueError, match=f"some.zip/a/2.aedat: .*{reason}.*--skip-bad"):
        train_dvs.load(settings(data))
    train, test = train_dvs.load(settings(data, skip_bad=True))
    assert len(train) + len(test) == 7
    assert "some.zip/a/2.aedat" in capsys.readouterr().err
    train_dvs.load(settings(data, skip_bad=True))
    assert "without 1 recordings that could not be read" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name", ["x_7.aedat4", "x_7.DAT", "x_7.raw", "x_7.h5", "x_7.npz", "gone_7.aedat"]
)
def test_a_foreign_recording_or_dangling_link_is_named_or_left_out(folder, tmp_path, capsys, name):
    path = folder / "train" / "left" / name
    if name.startswith("gone"):
        path.symlink_to(tmp_path / "gone")
    else:
        path.write_bytes(b"foreign")
    with pytest.raises(ValueError) as error:
        train_dvs.load(settings(folder))
    assert str(path) in str(error.value) and "remove" not in str(error.value)
    if not name.startswith("gone"):
        assert f"a {path.suffix.lower()} file" in str(error.value)
        assert "events_to_frames" in str(error.value)
    train, _ = train_dvs.load(settings(folder, skip_bad=True))
    assert len(train) == 40 and str(path) in capsys.readouterr().err


@pytest.mark.parametrize("classes", [["left"], ["left", "right"]])
def test_a_class_that_loses_all_is_refused_and_leaves_no_cache(folder, classes):
    for label in classes:
        for path in (folder / "test" / label).iterdir():
            path.write_bytes(HEADER)
    train_dvs.cached_frames(settings(folder), train_dvs.recordings(folder / "train"), False)
    there = cached(folder / "cache")
    with pytest.raises(ValueError, match=f"no recording could be read of {', '.join(classes)}$"):
        train_dvs.load(settings(folder, skip_bad=True))
    assert len(cached(folder / "cache") - there) == 2, "the training set's"


def test_recordings_are_those_of_the_folders_or_of_the_archives(tmp_path):
    fill_flat(tmp_path / "flat", 3)
    found = train_dvs.recordings(tmp_path / "flat")
    paths = sorted((tmp_path / "flat").glob("*/*"))
    assert sorted(found) == [item(str(path), path.parent.name) for path in paths]
    fill_zips(tmp_path / "zips")
    found = train_dvs.recordings(tmp_path / "zips")
    assert sorted(found) == sorted(
        (str(tmp_path / "zips" / f"{name}.zip"), f"{name}/cifar10_{name}_{i}.aedat", name)
        for name in TEN
        for i in SHARDS
    )


def test_a_folder_of_nmnist_is_read_upright_from_its_own_sensor(tmp_path):
    expected = {}
    for i in range(8):
        label = "ab"[i % 2]
        events = drawn(50 + i, i, 34)
        saved(tmp_path / "data" / label, written_nmnist(events), f"{label}_{i}.bin")
        expected[50 + i] = by_hand(events, 4, 16, orientation="raw", side=(34, 34))
    for orientation in ("upright", "raw"):
        for part in train_dvs.load(settings(tmp_path / "data", orientation=orientation)):
            assert len(part.frames) in (6, 2)
            for frames in part.frames:
                assert np.array_equal(frames, expected[int(frames.sum())])


def test_what_decoding_drops_is_counted(tmp_path, capsys):
    for i in range(4):
        label = "ab"[i % 2]
        events = (
            [(0, 0x8000), (1, 0x8001)] + [(2, 3, 4, 1)] * 300 + [(9, 50, 60, 0)] * (300 * (i < 2))
        )
        saved(tmp_path / "data" / label, written(events), f"{i}.aedat")
    train_dvs.load(settings(tmp_path / "data"))
    lines = [line for line in capsys.readouterr().out.splitlines() if "special" in line]
    said = [
        [int(word) for word in line.replace(";", "").split() if word.isdigit()] for line in lines
    ]
    # training: the first of each class, with two cells of 300; "255" is the line's own
    assert said == [[2, 4, 4, 255], [2, 4, 2, 255]]


def test_a_clock_that_jumps_forward_is_said_in_one_line_with_the_time(tmp_path, capsys):
    fill_flat(tmp_path / "data", 4)
    events = [(i, 1, 2, 0) for i in (0, 250_000, 300_000, 3_600_300_000, 3_600_400_000)]
    path = saved(tmp_path / "data" / "left", written(events), "cifar10_left_2.aedat")
    train_dvs.load(settings(tmp_path / "data"))
    lines = [line for line in capsys.readouterr().out.splitlines() if "jumps" in line]
    assert lines == [f"{path}: after 0.3 s its clock jumps by 3600.0 s"]


# ---- the cache ----
def settings(folder, **more):
    given_ = dict(dataset="folder", T=4, size=16) | more
    return train_dvs.Settings(data=str(folder), **given_)


def cached(folder):
    """What the cache holds: written again means another inode or time."""
    paths = [path for path in folder.iterdir() if path.suffix != ".lock"]
    return {(path.name, path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


def test_a_cache_is_used_again_whatever_else_changes(folder):
    train, _ = train_dvs.load(settings(folder))
    there = cached(folder / "cache")
    other = dict(phi=0.5, lam=0.1, batch_size=7, epochs=3, seed=5, lr=0.3, channels=3, tau=0.4)
    again, _ = train_dvs.load(settings(folder, arch="resnet18", label_smoothing=0.2, **other))
    assert cached(folder / "cache") == there and np.array_equal(train.frames, again.frames)
    assert isinstance(again.frames, np.memmap) and not again.frames.flags.writeable
    again, _ = train_dvs.load(settings(folder, cache=str(folder / "cache")))
    assert cached(folder / "cache") == there


@pytest.mark.parametrize(
    "more",
    [
        dict(T=5),
        dict(size=20),
        dict(by="count"),
        dict(orientation="raw"),
        dict(limit_train=7),
        dict(limit_train=7, seed=3),
    ],
)
def test_a_cache_is_not_used_for_other_frames(folder, tmp_path, more):
    if "seed" in more:
        train_dvs.load(settings(folder, limit_train=7))
    train_dvs.load(settings(folder))
    there = cached(folder / "cache")
    train, test = train_dvs.load(settings(folder, **more))
    assert there < cached(folder / "cache")
    fresh = train_dvs.load(settings(folder, cache=str(tmp_path / "fresh"), **more))
    for old, new in zip((train, test), fresh):
        assert np.array_equal(old.frames, new.frames) and torch.equal(old.labels, new.labels)


def test_a_cache_is_not_used_when_a_file_has_changed(folder):
    train, _ = train_dvs.load(settings(folder))
    frames = np.array(train.frames)
    path = folder / "train" / "left" / "left_0.aedat"
    whole = path.read_bytes()
    path.write_bytes(written(drawn(90, 1000)))
    longer, _ = train_dvs.load(settings(folder))
    changed = [i for i, one in enumerate(longer.frames) if not np.array_equal(one, frames[i])]
    assert [int(longer.frames[i].sum()) for i in changed] == [90]
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))  # as long as at first
    path.write_bytes(written(drawn(LEAST, 1001)))
    other, _ = train_dvs.load(settings(folder))
    assert int(other.frames[changed[0]].sum()) == LEAST
    assert not np.array_equal(other.frames[changed[0]], frames[changed[0]])


def test_archives_of_cifar10dvs_are_transposed_and_not_taken_for_a_folder_s(tmp_path):
    made = fill_zips(tmp_path)
    for dataset, transposed in (("folder", False), ("cifar10dvs", True)):
        train, test = train_dvs.load(settings(tmp_path, dataset=dataset))
        for frames in (*train.frames, *test.frames):
            i = int(frames.sum()) - LEAST
            expected = by_hand(made.events[i], 4, 16, transposed=transposed)
            assert np.array_equal(frames, expected)


def test_recordings_left_out_do_not_shift_labels_and_are_not_taken_from_a_cache(folder, capsys):
    """The bad one first in its class; then a run that does not skip must not find its cache."""
    first = folder / "train" / "left" / "left_0.aedat"
    first.write_bytes(HEADER)
    last = folder / "train" / "left" / "left_19.aedat"
    last.write_bytes(HEADER)
    for _ in range(2):  # decoded, then from the cache
        train, _ = train_dvs.load(settings(folder, skip_bad=True))
        whose_ = [int(frames.sum()) - LEAST for frames in train.frames]
        assert sorted(whose_) == sorted(set(range(40)) - {0, 19})
        assert train.labels.tolist() == [int(i >= 20) for i in whose_]
        assert len(train) == 38
    with pytest.raises(ValueError, match="no events"):
        train_dvs.load(settings(folder))


def test_a_half_written_or_damaged_cache_is_not_used(folder):
    train, _ = train_dvs.load(settings(folder))
    frames = np.array(train.frames)
    for path in (folder / "cache").glob("*.json"):
        path.unlink()  # killed before the description was written
    for path in (folder / "cache").glob("*.u8"):
        path.write_bytes(path.read_bytes()[:100])
        pathlib.Path(f"{path}.tmp").write_bytes(b"half")
    assert np.array_equal(train_dvs.load(settings(folder))[0].frames, frames)


def zeros(path):
    path.write_bytes(bytes(path.stat().st_size))


def one_bit(path):
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "kind, damage",
    [
        ("u8", zeros),
        ("u8", one_bit),
        ("u8", lambda path: path.write_bytes(path.read_bytes()[:-1])),
        ("u8", lambda path: path.write_bytes(b"")),
        ("u8", lambda path: path.unlink()),
        ("json", lambda path: path.write_text("")),
        ("json", lambda path: path.write_text("[1]")),
        ("json", lambda path: path.write_text('{"good": 5, "crc32": 5}')),
        ("json", lambda path: path.write_text(path.read_text().replace("[0, 1,", "[1, 0,"))),
    ],
)
def test_a_damaged_cache_is_noticed_and_made_again_when_its_description_is_removed(
    folder, kind, damage
):
    frames = np.array(train_dvs.load(settings(folder))[0].frames)
    for path in (folder / "cache").glob(f"*.{kind}"):
        damage(path)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"remove \S+\.json, and it is made again$") as error:
            train_dvs.load(settings(folder))
        pathlib.Path(str(error.value).split("remove ")[1].split(",")[0]).unlink()
    assert np.array_equal(train_dvs.load(settings(folder))[0].frames, frames)


def no_writing(monkeypatch, number=30):
    """As in a folder that may only be read: EROFS."""

    def refused(*what, **more):
        raise OSError(number, os.strerror(number))

    for name in ("os.mkdir", "os.open", "os.replace", "fcntl.lockf"):
        monkeypatch.setattr(name, refused)


def test_a_complete_cache_is_used_where_nothing_may_be_written(folder, tmp_path, monkeypatch):
    for path in folder.glob("*/*/*"):
        os.utime(path, (1, 1))
    first, _ = train_dvs.load(settings(folder))
    for path in (folder / "cache").glob("*.lock"):
        path.unlink()
    folder = shutil.move(folder, tmp_path / "moved")
    no_writing(monkeypatch)
    there = sorted(folder.rglob("*"))
    again, _ = train_dvs.load(settings(folder))
    assert np.array_equal(first.frames, again.frames) and sorted(folder.rglob("*")) == there
    with pytest.raises(ValueError, match="--cache"):
        train_dvs.load(settings(folder, cache=str(tmp_path / "none")))


@pytest.mark.parametrize("number", [38, 37, 95])  # ENOSYS, ENOLCK, EOPNOTSUPP
def test_where_locks_are_not_to_be_had_one_line_says_so(folder, monkeypatch, capsys, number):
    def lockf(*what):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.lockf", lockf)
    train, test = train_dvs.load(settings(folder))
    lines = [line for line in capsys.readouterr().err.splitlines() if "no locks here" in line]
    assert len(train) == 40 and len(lines) == 2 and str(folder / "cache") in lines[0]


def no_caches(monkeypatch, number):
    def mkdir(path, *what, original=pathlib.Path.mkdir, **more):
        if path.name in ("cache", "named"):
            raise OSError(number, os.strerror(number), str(path))
        original(path, *what, **more)

    monkeypatch.setattr("pathlib.Path.mkdir", mkdir)


def test_a_full_disk_is_not_taken_for_one_that_may_only_be_read(folder, monkeypatch):
    no_caches(monkeypatch, 28)  # ENOSPC
    with pytest.raises(ValueError, match="No space left.*no frame cache; --cache"):
        train_dvs.load(settings(folder))


@pytest.mark.parametrize("number", [1, 13, 30])  # EPERM, EACCES, EROFS
def test_beside_data_that_may_only_be_read_a_run_keeps_its_frames_elsewhere(
    folder, tmp_path, monkeypatch, capsys, number
):
    usual = train_dvs.load(settings(folder, cache=str(tmp_path / "elsewhere")))
    no_caches(monkeypatch, number)
    there = sorted(folder.rglob("*"))
    capsys.readouterr()
    kept = train_dvs.load(settings(folder))
    assert capsys.readouterr().out.count(f"{folder / 'cache'} cannot be written") == 2
    assert all(np.array_equal(a.frames, b.frames) for a, b in zip(usual, kept))
    assert usual[0].facts == kept[0].facts and sorted(folder.rglob("*")) == there
    with pytest.raises(ValueError, match="named'?: no frame cache; --cache"):
        train_dvs.load(settings(folder, cache=str(tmp_path / "named")))


def test_frames_kept_for_one_run_are_gone_after_it(tmp_path):
    code = "import sys; sys.path.insert(0, sys.argv[1]); import train_dvs; print(train_dvs.scratch().name)"
    command = [sys.executable, "-c", code, os.path.dirname(train_dvs.__file__)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() and not os.path.exists(done.stdout.strip())


def test_recordings_stand_in_the_same_order_in_an_archive_and_unpacked(tmp_path):
    """A run goes on with them, as their checksums are taken in that order."""
    for part, n in (("Train", 12), ("Test", 3)):
        for label in "ba":
            for i in range(n):
                events = written_nmnist(drawn(50 + i, i, 34))
                saved(tmp_path / "unpacked" / part / label, events, f"{i:05}.bin")
        (tmp_path / "packed").mkdir(exist_ok=True)
        with zipfile.ZipFile(tmp_path / "packed" / f"{part}.zip", "w") as archive:
            for path in sorted((tmp_path / "unpacked" / part).rglob("*.bin"), reverse=True):
                archive.write(path, path.relative_to(tmp_path / "unpacked"))
    for a, b in zip(
        *(train_dvs.load(settings(tmp_path / name)) for name in ("unpacked", "packed"))
    ):
        assert a.facts == b.facts and np.array_equal(a.frames, b.frames)


def test_a_home_folder_is_found(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    train, _ = train_dvs.load(settings(f"~/{folder.name}", cache="~/frames"))
    assert len(train) == 40 and list((tmp_path / "frames").glob("*.u8"))
    assert not list(tmp_path.glob("~*"))


def test_frames_travel_as_the_path_of_their_file(folder):
    train, _ = train_dvs.load(settings(folder))
    assert len(pickle.dumps(train)) < train.frames[0].nbytes
    again = pickle.loads(pickle.dumps(train))
    assert np.array_equal(again.frames, train.frames) and isinstance(again.frames, np.memmap)
    assert torch.equal(again.labels, train.labels) and again.facts == train.facts
    np.save(folder / "mine.npy", train.frames[3:7].astype(np.uint16) * 300)
    mine = np.load(folder / "mine.npy", mmap_mode="r")  # behind a header, of another type
    for frames in (train.frames[3:7], np.array(train.frames[3:7]), mine):
        again = pickle.loads(pickle.dumps(train_dvs.Events(frames, train.labels[3:7], {})))
        assert np.array_equal(again.frames, frames) and again.frames.dtype == frames.dtype


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("augment", [True, False])
def test_augmentation_can_be_switched_off_also_in_workers(folder, flip, augment):
    """A hand that points to the left is another label than one to the right."""
    train, _ = train_dvs.load(settings(folder, flip=flip, augment=augment))
    frames = np.zeros(train.frames.shape, np.uint8)
    frames[..., 5, 5:9] = [1, 2, 3, 4]
    train.frames = frames
    whole = torch.arange(len(train))
    plain = train[whole, None, 0][0]
    x = pickle.loads(pickle.dumps(train))[whole, 0, 0][0]
    assert torch.equal(x, plain) != augment
    rows = x.sum(2).sum(2)[0]  # [B, W], its columns
    order = [row[row > 0].tolist() for row in rows]
    turned = [seen == sorted(seen, reverse=True) for seen in order]
    assert any(turned) == (augment and flip) and not all(turned)
    assert any(not torch.equal(a, b) for a, b in zip(rows, rows[1:])) == augment


def test_a_run_does_not_go_on_with_other_recordings(tmp_path, capsys):
    """Of the same names and sizes, but for one event's polarity; under another path it goes on."""
    fill_parts(tmp_path / "data")
    data = ["--dataset", "folder", "--data", tmp_path / "data", "--out", tmp_path / "run"]
    run(*data, "--epochs", 2, "--stop-after", 1)
    moved = shutil.move(tmp_path / "data", tmp_path / "moved")
    for name in ("test/left/left_20.aedat", "train/left/left_0.aedat"):
        whole = (moved / name).read_bytes()
        (moved / name).write_bytes(whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:])
        message = refused(capsys, "--resume", tmp_path / "run", "--data", moved, base=[])
        assert f"{name.split('/')[0]}_recordings" in message
        (moved / name).write_bytes(whole)
    run("--resume", tmp_path / "run", "--data", moved, base=[])
    assert len(table(tmp_path / "run" / "log.csv")) == 2


# ---- several processes ----
def doubled(job):
    return 2 * job


def signalled(job):
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)
    return job


def killed(job):
    if job == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return "x" * 10**5


def failing(job):
    if job == 3:
        raise OSError(28, "No space left on device")
    return "x" * 10**5


def held(job):
    return signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_work_is_spread_over_processes_that_no_signal_and_no_fault_leaves_hanging():
    assert sorted(train_dvs.spread(doubled, list(range(9)))) == list(range(0, 18, 2))
    assert sorted(train_dvs.spread(signalled, list(range(9)))) == list(range(9))
    (mask,) = train_dvs.spread(held, [0], "fork")
    assert mask >= {signal.SIGINT, signal.SIGTERM}, "from before it begins"
    with pytest.raises(ValueError, match="a worker process ended with -9"):
        list(train_dvs.spread(killed, list(range(40))))
    with pytest.raises(OSError, match="No space left"):
        list(train_dvs.spread(failing, list(range(40))))
    results = train_dvs.spread(doubled, list(range(10**5)))
    next(results)
    results.close()
    assert not multiprocessing.active_children()
    assert list(train_dvs.spread(doubled, [])) == []
    assert not held(0), "no signal stays held"


@pytest.mark.slow
def test_workers_of_a_server_that_runs_already_ignore_signals():
    process = multiprocessing.get_context("forkserver").Process(target=int)
    process.start()
    process.join()
    assert sorted(train_dvs.spread(signalled, list(range(4)), "forkserver")) == list(range(4))


def test_no_worker_outlives_a_run_that_is_killed():
    ready, begun = os.pipe()
    run_ = os.fork()
    if not run_:
        os.setsid()
        for _ in train_dvs.spread(doubled, list(range(10**5))):
            os.write(begun, b"!")
            time.sleep(100)
    os.read(ready, 1)
    time.sleep(0.1)  # until the workers wait for a reader
    os.kill(run_, signal.SIGKILL)
    os.waitpid(run_, 0)
    with pytest.raises(ProcessLookupError):
        for _ in range(50):
            os.killpg(run_, 0)
            time.sleep(0.1)


def test_ctrl_c_while_the_cache_is_built_leaves_nothing(folder, monkeypatch):
    monkeypatch.setattr(train_dvs, "counter", lambda *what: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        train_dvs.load(settings(folder))
    assert not cached(folder / "cache") and not multiprocessing.active_children()
    monkeypatch.undo()
    assert len(train_dvs.load(settings(folder))[0]) == 40


def test_a_disk_that_is_full_for_a_worker_is_no_bad_recording(folder):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))
    try:
        with pytest.raises(ValueError, match="File too large.*--cache"):
            train_dvs.load(settings(folder, skip_bad=True))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not cached(folder / "cache")


@pytest.mark.slow
@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, -15)])
def test_a_signal_to_the_whole_group_ends_a_cache_build(folder, tmp_path, number, code):
    """Within seconds; the next run builds it, and no worker is left."""
    cache = tmp_path / "cache"
    shutil.copytree(folder / "train", folder / "test", dirs_exist_ok=True)
    slow = "import time; old = train_dvs.events_to_frames\n"
    slow += "train_dvs.events_to_frames = lambda *a: (time.sleep(0.05), old(*a))[1]\n"
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import train_dvs; {slow}"
    arguments = ["--dataset", "folder", "--data", str(folder), "--cache", str(cache), *TINY]
    script += f"train_dvs.main({arguments!r})"
    process = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    while not list(cache.glob("*.tmp")) and process.poll() is None:
        time.sleep(0.02)
    time.sleep(0.2)
    os.killpg(process.pid, number)
    assert process.wait(timeout=10) == code
    with pytest.raises(ProcessLookupError):
        for _ in range(100):
            os.killpg(process.pid, 0)
            time.sleep(0.1)
    assert len(train_dvs.load(settings(folder, cache=str(cache)))[0]) == 40


def test_a_full_disk_leaves_no_cache(folder, tmp_path, capsys, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    more = ["--dataset", "folder", "--data", folder, "--out", tmp_path / "run"]
    assert "No space left" in refused(capsys, *more)
    assert not cached(folder / "cache")


def build(folder, queue):
    torch.set_num_threads(1)
    queue.put(int(train_dvs.load(settings(folder))[0].frames.sum()))


@pytest.mark.slow
def test_two_processes_building_the_cache_at_once(folder):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    both = [context.Process(target=build, args=(folder, queue)) for _ in range(2)]
    for process in both:
        process.start()
    sums = {queue.get(timeout=120) for _ in both}
    for process in both:
        process.join()
    assert sums == {sum(range(LEAST, LEAST + 40))}
    assert len(list((folder / "cache").glob("*.json"))) == 2


# ---- pictures of recordings ----
def pixel(picture, tile, row, column):
    """In the middle of a frame's pixel, magnified three times, in tiles of 16x16 with borders of 2."""
    down, right = (2 + number * (3 * 16 + 2) for number in divmod(tile, 6))
    return picture[:, down + 3 * row + 1, right + 3 * column + 1].tolist()


def test_frames_are_drawn_on_red_off_blue_six_of_each_class(tmp_path):
    labels = torch.tensor([1] + [0] * 8 + [1])
    frames = np.zeros((10, 3, 2, 16, 16), np.uint8)
    for i in range(10):
        frames[i, :, 0, 2, i] = 5  # bit 0: brighter
        frames[i, :, 1, 9, i] = 5
    frames[9] = 0
    frames[9, :, 0] = 1  # everywhere 3 in all, where 12 are full colour
    frames[9, 0, 1, 4, 4] = 2
    data = train_dvs.Events(frames, labels, dict(classes=["a", "b"]))
    train_dvs.plot_frames(data, tmp_path / "frames.png")
    picture = pil_to_tensor(train_cifar.open_picture(tmp_path / "frames.png"))
    assert picture.shape == (3, 2 * 50 + 2, 6 * 50 + 2)
    for tile, i in enumerate([1, 2, 3, 4, 5, 6, 0]):  # those of class a, then b's first
        assert pixel(picture, tile, 2, i) == [255, 0, 0]
        assert pixel(picture, tile, 9, i) == [0, 0, 255]
        assert pixel(picture, tile, 12, 12) == [255, 255, 255]
    assert pixel(picture, 7, 0, 0) == [255, 191, 191]
    assert pixel(picture, 7, 4, 4) == pytest.approx([255 * (1 - 2 / 12), 191, 191], abs=1)


def test_at_most_ten_classes_are_drawn(tmp_path):
    frames = np.ones((12, 1, 2, 16, 16), np.uint8)
    data = train_dvs.Events(frames, torch.arange(12), dict(classes=list("abcdefghijkl")))
    train_dvs.plot_frames(data, tmp_path / "frames.png")
    picture = pil_to_tensor(train_cifar.open_picture(tmp_path / "frames.png"))
    ground = picture[:, 0, 0].tolist()
    assert pixel(picture, 9, 5, 5) != ground and pixel(picture, 10, 5, 5) == ground


def test_a_run_with_plot_draws_its_curves_and_test_recordings(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    fill_parts(tmp_path / "data")
    drawn_of = []
    monkeypatch.setattr(train_dvs, "plot_frames", lambda data, path: drawn_of.append((data, path)))
    arguments = ["--dataset", "folder", "--data", tmp_path / "data", "--out", tmp_path / "run"]
    run(*arguments, "--plot")
    assert (tmp_path / "run" / "curves.png").exists()
    ((data, path),) = drawn_of
    assert path == tmp_path / "run" / "frames.png"
    assert {int(frames.sum()) - LEAST for frames in data.frames} == set(range(40, 60))


# ---- the simulated camera ----
def dark_then_bright(axis):
    """Two halves of brightness 0.2 and 0.9, whose logarithms, with 0.05 of darkness, differ by 1.335."""
    picture = np.full((128, 128), 0.2, np.float32)
    picture[:, 64:] = 0.9
    return picture if axis == 1 else picture.T.copy()


def counted(t, x, y, p, until=300_000):
    """Brighter minus darker events of each pixel up to a time, the picture upright."""
    count = np.zeros((128, 128), int)
    early = t < until
    rows, columns = 127 - y[early].astype(int), 127 - x[early].astype(int)
    np.add.at(count, (rows, columns), np.where(p[early] == 0, 1, -1))
    return count


def test_a_camera_s_pixels_count_thresholds_of_log_brightness():
    """A quarter of the way the view is furthest to the right: 7.68 pixels left of the edge have brightened."""
    events = train_dvs.record(dark_then_bright(1), 0, noise=0, mismatch=0)
    t, x, y, p = events
    assert (np.diff(t) >= 0).all() and set(p.tolist()) == {0, 1} and p.dtype == np.uint8
    assert 0 <= t.min() and t.max() < 302_500
    count = counted(*events, until=75_000)
    assert (count[:, 58:63] == int(1.335 / 0.25)).all()
    assert (count[:, :56] == 0).all() and (count[:, 65:] == 0).all()
    # three quarters: furthest to the left, and what lies right of the edge has darkened
    count = counted(*events, until=225_000)
    assert (count[:, 66:70] == -int(1.335 / 0.25)).all()
    assert (count[:, 73:] == 0).all()
    assert np.isin(counted(*events), (-1, 0, 1)).mean() > 0.98, "a closed loop"
    wider = train_dvs.record(dark_then_bright(1), 0, noise=0, mismatch=0, contrast=0.4)
    assert (counted(*wider, until=75_000)[:, 58:63] == int(1.335 / 0.4)).all()


def test_a_camera_moves_half_as_far_up_and_down_and_twice_as_often():
    """A figure of eight: an eighth of the way the view is furthest down, by 3.84 pixels."""
    events = train_dvs.record(dark_then_bright(0), 0, noise=0, mismatch=0)
    rows = 127 - events[2].astype(int)
    assert rows.min() in (59, 60) and rows.max() in (67, 68)
    assert (counted(*events, until=40_000)[61:63] == 5).all()
    assert (counted(*events, until=112_500)[65:67] == -5).all()
    assert (counted(*events, until=190_000)[61:63] == 5).all()


def test_a_camera_sees_nothing_where_nothing_changes():
    assert len(train_dvs.record(np.full((128, 128), 0.5, np.float32), 0, noise=0)[0]) == 0


def test_a_camera_s_pixels_differ_by_their_mismatch():
    def spread(mismatch):
        found = train_dvs.record(dark_then_bright(1), 0, noise=0, mismatch=mismatch)
        brighter = counted(*(values[found[3] == 0] for values in found))[:, 60]
        darker = counted(*(values[found[3] == 1] for values in found))[:, 60]
        assert not np.array_equal(brighter, -darker) or mismatch == 0
        return brighter.std()

    assert spread(0) == 0 and 0 < spread(0.1) < spread(0.4)
    few = train_dvs.record(dark_then_bright(1), 0, noise=0)  # as it is unless said otherwise
    assert counted(*few, until=75_000)[:, 60].std() > 0 or counted(*few)[:, 60].std() > 0


def test_a_camera_s_pixels_rest_for_their_refractory_time():
    picture = dark_then_bright(1)

    def shortest_gap(refractory):
        t, x, y, p = train_dvs.record(picture, 0, noise=0, refractory=refractory)
        place = y.astype(int) * 128 + x
        order = np.lexsort((t, place))
        return np.diff(t[order])[np.diff(place[order]) == 0].min()

    assert shortest_gap(1_000) < 5_000
    assert 97_500 <= shortest_gap(100_000) < 110_000  # times are spread over a step of 2,500


def test_a_camera_s_events_are_spread_over_each_step_of_2500_microseconds():
    within = train_dvs.record(dark_then_bright(1), 0, noise=0)[0] % 2_500
    tenths = np.bincount(within // 250, minlength=10) / len(within)
    assert len(tenths) == 10 and abs(tenths - 0.1).max() < 0.02


def test_a_camera_s_noise_is_anywhere_at_any_time():
    grey = np.full((128, 128), 0.5, np.float32)
    t, x, y, p = train_dvs.record(grey, 0, noise=5.0)
    assert len(t) == pytest.approx(5 * 128 * 128 * 0.3, rel=0.05)
    assert p.mean() == pytest.approx(0.5, abs=0.02) and t.mean() == pytest.approx(150_000, rel=0.03)
    for place in (x, y):
        counts = np.bincount(place, minlength=128)
        assert len(counts) == 128 and counts.min() > 120 and counts.max() < 280
    assert len(train_dvs.record(grey, 0)[0]) == pytest.approx(2 * 128 * 128 * 0.3, rel=0.05)
    shorter = train_dvs.record(grey, 0, duration=150_000)
    assert len(shorter[0]) == pytest.approx(2 * 128 * 128 * 0.15, rel=0.1)
    assert 140_000 < shorter[0].max() < 150_000


def test_a_camera_s_chance_is_its_seed_s():
    one, same, other = (train_dvs.record(dark_then_bright(1), seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, same))
    assert not np.array_equal(one[0], other[0])


def test_a_recording_of_a_picture_is_upright_in_grey_and_of_its_own_seed(tmp_path):
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[3:10, 20:27] = (0, 255, 0)  # top right, in green
    to_pil_image(picture).save(tmp_path / "picture.png")
    tensor = torch.from_numpy(picture).permute(2, 0, 1)
    found = []
    for source, seed in ((str(tmp_path / "picture.png"), 0), (tensor, 0), (tensor, 1)):
        path = tmp_path / "one.aedat"
        train_dvs.record_file((source, seed, path))
        events = train_dvs.read_aedat(path)
        total = train_dvs.events_to_frames(*events, T=1, size=32)[0].sum(0, dtype=int)
        rows, columns = np.nonzero(total > 40)  # noise is about 10
        # the square, and as far as it moves on either side
        assert 1 <= rows.min() and rows.max() <= 11
        assert 17 <= columns.min() and columns.max() <= 29
        assert columns.mean() == pytest.approx(23, abs=0.6) and rows.mean() == pytest.approx(
            6, abs=0.6
        )
        found.append(events)
    assert all(np.array_equal(a, b) for a, b in zip(found[0], found[1]))
    assert not np.array_equal(found[0][0], found[2][0])
    # green is 0.587 of white, ITU-R 601
    grey = np.zeros((32, 32), np.uint8)
    grey[3:10, 20:27] = round(0.587 * 255)
    train_dvs.record_file((torch.from_numpy(grey)[None], 0, tmp_path / "grey.aedat"))
    assert len(train_dvs.read_aedat(tmp_path / "grey.aedat")[0]) == pytest.approx(
        len(found[0][0]), rel=0.01
    )


def test_a_large_picture_is_averaged_not_sampled(tmp_path):
    """Black and white dots too small for the camera are a grey of little contrast."""
    dots = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (1, 512, 512), np.uint8) * 255)
    train_dvs.record_file((dots.expand(3, -1, -1), 0, tmp_path / "dots.aedat"))
    small = dots[:, ::4, ::4].expand(3, -1, -1)
    train_dvs.record_file((small, 0, tmp_path / "small.aedat"))
    n, most = (
        len(train_dvs.read_aedat(tmp_path / f"{name}.aedat")[0]) for name in ("dots", "small")
    )
    assert n < most / 4


def test_a_recording_s_brightness_is_of_one(tmp_path):
    """From 26/255 to 184/255 is 1.62 in logarithms with 0.05 of darkness: six and a half thresholds."""
    picture = np.full((1, 128, 128), 26, np.uint8)
    picture[:, :, 64:] = 184
    train_dvs.record_file((torch.from_numpy(picture), 0, tmp_path / "one.aedat"))
    count = counted(*train_dvs.read_aedat(tmp_path / "one.aedat"), until=75_000)
    assert np.median(count[:, 60:63]) == 6


def pictures(folder, counts):
    """A square each, at a place of its own in a row or, in class "down", in a column."""
    for part, n in counts.items():
        for label in ("across", "down"):
            (folder / part / label).mkdir(parents=True)
            for i in range(n):
                picture = np.zeros((128, 128), np.uint8)
                at = 10 + 20 * i
                rows = slice(100, 115) if label == "across" else slice(at, at + 15)
                columns = slice(at, at + 15) if label == "across" else slice(100, 115)
                picture[rows, columns] = 255
                to_pil_image(picture).save(folder / part / label / f"{i}.png")


def seen_at(path):
    """Row and column of the square's middle, in steps of 20 pixels, in a simulated recording."""
    events = train_dvs.read_aedat(path)
    total = train_dvs.events_to_frames(*events, T=1, size=32)[0].sum(0, dtype=int)
    place = [(at.mean() * 4 + 1.5 - 17) / 20 for at in np.nonzero(total > 40)]
    return tuple(round(2 * at) / 2 for at in place)


def in_this_process(monkeypatch):
    """Quicker than processes."""
    monkeypatch.setattr(train_dvs, "spread", lambda work, jobs, *more: (work(job) for job in jobs))


def test_every_simulated_recording_has_noise_of_its_own(tmp_path, monkeypatch):
    in_this_process(monkeypatch)
    grey = np.full((3, 128, 128), 128, np.uint8)
    train_dvs.simulate([(grey, label) for label in "abab"], tmp_path)
    paths = sorted(tmp_path.glob("*/*.aedat"))
    assert [path.name for path in paths] == ["a_0.aedat", "a_1.aedat", "b_0.aedat", "b_1.aedat"]
    assert len({train_dvs.read_aedat(path)[0].tobytes() for path in paths}) == 4


@pytest.mark.slow
def test_simulate_fills_a_folder_with_recordings_of_pictures(tmp_path, capsys):
    pictures(tmp_path / "pictures", {"": 5})
    across = tmp_path / "pictures" / "across"
    shutil.copy(across / "4.png", across / "5.png")
    arguments = ["--dataset", "folder", "--data", tmp_path / "dvs"]
    arguments += ["--simulate", tmp_path / "pictures", "--epochs", 2, "--T", 2]
    run(*arguments, "--out", tmp_path / "run", "--stop-after", 1)
    for label, n in (("across", 6), ("down", 5)):
        paths = sorted((tmp_path / "dvs" / label).iterdir())
        assert [path.name for path in paths] == [f"{label}_{i}.aedat" for i in range(n)]
        places = [(4.5, min(i, 4)) if label == "across" else (i, 4.5) for i in range(n)]
        assert list(map(seen_at, paths)) == places
    across = tmp_path / "dvs" / "across"
    one, other = (train_dvs.read_aedat(across / f"across_{i}.aedat")[0] for i in (4, 5))
    assert not np.array_equal(one, other), "the same picture, but another recording's noise"
    run("--resume", tmp_path / "run", base=[])  # simulates nothing again
    assert len(table(tmp_path / "run" / "log.csv")) == 2
    assert "not empty" in refused(capsys, *arguments, "--out", tmp_path / "again")


@pytest.mark.slow
@pytest.mark.parametrize(
    "counts, limits, expected",
    [
        ({"train": 4, "test": 3}, (5, 4), {"train": 5, "test": 4}),
        ({"": 5}, (6, 3), {".": 9}),
        ({"": 5}, (8, None), {".": 8}),
    ],
)
def test_simulate_keeps_parts_and_limits(tmp_path, counts, limits, expected):
    pictures(tmp_path / "pictures", counts)
    folders = dict(data=str(tmp_path / "dvs"), simulate=str(tmp_path / "pictures"))
    config = train_dvs.Settings(**folders, limit_train=limits[0], limit_test=limits[1])
    train_dvs.simulated(config)
    for part, n in expected.items():
        assert len(list((tmp_path / "dvs" / part).glob("*/*.aedat"))) == n
    assert len(list((tmp_path / "dvs").rglob("*.aedat"))) == sum(expected.values())


def without_camera(monkeypatch):
    """In the simulated camera's place: a recording of a few events for each picture. -> the
    parts it was asked to fill, and how many pictures with."""
    asked = []

    def simulate(pictures, folder, skip_bad=False):
        asked.append((folder.name.strip("."), len(pictures)))
        for i, (_, label) in enumerate(pictures):
            saved(folder / label, written(drawn(LEAST, i)), f"{label}_{i}.aedat")

    monkeypatch.setattr(train_dvs, "simulate", simulate)
    return asked


@pytest.mark.parametrize(
    "counts, limits, expected",
    [
        ({"train": 4, "test": 3}, (5, 4), {"train": 5, "test": 4}),
        ({"train": 2, "test": 1}, (None, None), {"train": 4, "test": 2}),
        ({"": 5}, (6, 3), {".": 9}),
        ({"": 5}, (8, None), {".": 8}),
        ({"": 5}, (None, 3), {".": 10}),
    ],
)
def test_a_run_simulates_parts_up_to_the_limits(tmp_path, monkeypatch, counts, limits, expected):
    asked = without_camera(monkeypatch)
    pictures(tmp_path / "pictures", counts)
    folders = dict(data=str(tmp_path / "dvs"), simulate=str(tmp_path / "pictures"))
    train_dvs.simulated(train_dvs.Settings(**folders, limit_train=limits[0], limit_test=limits[1]))
    assert asked == [(part.strip(".") or "unfinished", n) for part, n in expected.items()]
    for part, n in expected.items():
        assert len(list((tmp_path / "dvs" / part).glob("*/*.aedat"))) == n
    assert not (tmp_path / "dvs" / ".unfinished").exists()


def test_what_desktops_leave_among_pictures_is_not_simulated(tmp_path, monkeypatch, capsys):
    asked = without_camera(monkeypatch)
    root = tmp_path / "pictures"
    pictures(root, {"": 3})
    for place in (root / ".ipynb_checkpoints", root / "__MACOSX", root / "down" / ".thumbs"):
        place.mkdir()
        shutil.copy(root / "down" / "0.png", place / "0.png")
    (root / "down" / "._0.png").write_bytes(b"of a Mac")
    (root / "down" / "notes.txt").write_text("of a person")
    folders = dict(data=str(tmp_path / "dvs"), simulate=str(root))
    train_dvs.simulated(train_dvs.Settings(**folders))
    assert asked == [("unfinished", 6)]
    assert "files not taken, by ending: 1 .txt" in capsys.readouterr().out


def test_a_run_simulates_once_and_not_again_on_resuming(tmp_path, monkeypatch):
    asked = without_camera(monkeypatch)
    pictures(tmp_path / "pictures", {"": 5})
    arguments = ["--dataset", "folder", "--data", tmp_path / "dvs", "--out", tmp_path / "run"]
    arguments += ["--simulate", tmp_path / "pictures", "--batch-size", 2]
    run(*arguments, "--epochs", 2, "--stop-after", 1)
    assert asked == [("unfinished", 10)]
    run("--resume", tmp_path / "run", base=[])
    assert len(asked) == 1 and len(table(tmp_path / "run" / "log.csv")) == 2


def test_a_simulation_that_stopped_is_not_used_and_done_again(tmp_path, monkeypatch):
    pictures(tmp_path / "pictures", {"train": 4, "test": 3})
    monkeypatch.setenv("HOME", str(tmp_path))
    config = train_dvs.Settings(data="~/dvs", simulate="~/pictures", dataset="folder", T=4, size=16)
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        in_this_process(patch)
        patch.setattr(train_dvs, "counter", lambda *what: 1 / 0)  # after the first recording
        train_dvs.simulated(config)
    assert len(list((tmp_path / "dvs").rglob("*.aedat"))) == 1
    with pytest.raises(ValueError, match="half-way: --simulate does it again"):
        train_dvs.load(config)
    mine = saved(tmp_path / "dvs" / "train" / "old", written(drawn(9, 0)), "old_0.aedat")
    before = {path: path.read_bytes() for path in (tmp_path / "dvs").rglob("*.aedat")}
    with pytest.raises(ValueError, match="not empty"):  # what somebody put there is not removed
        train_dvs.simulated(config)
    assert {path: path.read_bytes() for path in (tmp_path / "dvs").rglob("*.aedat")} == before
    assert mine in before
    (tmp_path / "dvs" / "train" / "old").rename(tmp_path / "dvs" / ".unfinished" / "train" / "old")
    (tmp_path / "dvs" / "train").rmdir()
    without_camera(monkeypatch)
    train_dvs.simulated(config)
    train, test = train_dvs.load(config)
    assert (len(train), len(test)) == (8, 6) and train.facts["classes"] == ["across", "down"]
    with pytest.raises(ValueError, match="not empty"):
        train_dvs.simulated(config)


def test_a_broken_picture_is_named_or_left_out_of_a_simulation(tmp_path, monkeypatch, capsys):
    in_this_process(monkeypatch)
    pictures(tmp_path / "pictures", {"": 2})
    broken = saved(tmp_path / "pictures" / "down", b"no picture", "0.png")
    folders = dict(data=str(tmp_path / "dvs"), simulate=str(tmp_path / "pictures"))
    with pytest.raises(ValueError, match=f"{broken} is no picture"):
        train_dvs.simulated(train_dvs.Settings(**folders))
    train_dvs.simulated(train_dvs.Settings(**folders, skip_bad=True))
    assert f"left out: {broken}" in capsys.readouterr().err
    names = sorted(path.name for path in (tmp_path / "dvs").rglob("*.aedat"))
    assert names == ["across_0.aedat", "across_1.aedat", "down_1.aedat"]


def test_under_torchrun_one_process_simulates_and_decodes(tmp_path, monkeypatch):
    done = []
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(train_dvs, "once", lambda config, work: done.append(work.func))
    monkeypatch.setattr(train_dvs, "fit", lambda *what: None)
    fill_flat(tmp_path / "dvs", 2)
    data = ["--dataset", "folder", "--data", tmp_path / "dvs"]
    run(*data, "--simulate", tmp_path / "pictures")
    assert done == [train_dvs.simulated, train_dvs.load]


# ---- the demo ----
def test_the_demo_needs_ten_recordings_of_each_part(capsys, monkeypatch):
    without_camera(monkeypatch)
    for part, n in (("train", 9), ("test", 9), ("test", "none")):
        assert "ten classes" in refused(capsys, "--demo", f"--limit-{part}", n, base=[])


def label_of(gradient, logits):
    """Which of the labels TET's gradient at one sample's logits is of, with its own defaults; None if none."""
    classes = logits.shape[2]
    fits = []
    for label in range(classes):
        cache = reference_numpy.tet_forward(logits, np.array([label]), 1.0, 1e-3, 0.0)[1]
        if relative(gradient, reference_numpy.tet_backward(1.0, cache)) < 1e-4:
            fits.append(label)
    return fits[0] if len(fits) == 1 else None


def fires_at(neuron):
    """The smallest current that makes a neuron at rest fire at once, and the width of its surrogate, in evaluation."""
    current = torch.zeros(neuron.T, 1, 4001)
    current[0, 0] = torch.linspace(0.9, 1.1, 4001)
    current.requires_grad_()
    spikes = neuron.eval()(current)
    spikes[0].sum().backward()
    fires = spikes[0] == 1
    assert fires.any() and not fires.all()
    return current[0][fires].min().item(), 1 / current.grad[0].max().item()


def arm(call, step):
    """Batch norm's scale before the first step, and whether the rules are the adaptive ones: by what neurons do."""
    modules = list(call.net.modules())
    neurons = [m for m in modules if isinstance(m, dsatgo.LIF)]
    norms = [m.weight for m in modules if hasattr(m, "running_mean")]
    assert len(norms) == len(neurons) > 0 and {neuron.T for neuron in neurons} == {6}
    before = {id(p): old for p, old in zip(step.parameters, step.before)}
    (scale,) = {value for weight in norms for value in before[id(weight)].tolist()}
    kept = np.array([neuron.running_threshold[0].item() for neuron in neurons])
    fires, widths = np.array([fires_at(neuron) for neuron in neurons]).T
    adaptive = abs(kept - 1).max() > 5e-4
    expected = kept if adaptive else 1
    assert abs(fires - expected).max() < 1e-4
    assert abs(widths - (1 + np.tanh(expected - 1))).max() < 1e-4
    return round(scale, 6), "AT+TGO" if adaptive else "vanilla"


def test_the_demo_tests_on_pictures_it_does_not_train_on(capsys, monkeypatch):
    seen = {}

    def simulate(pictures, folder):
        seen[folder.name] = {picture.tobytes() for picture, _ in pictures}

    monkeypatch.setattr(train_dvs, "simulate", simulate)
    limits = ["--limit-train", 20, "--limit-test", 20]
    assert "needs recordings" in refused(capsys, "--demo", *limits, base=[])  # none was simulated
    assert seen.keys() == {"train", "test"} and len(seen["train"] | seen["test"]) == 40


@pytest.mark.slow
def test_the_demo_trains_two_rules_on_simulated_recordings(tmp_path, watch):
    limits = ["--limit-train", 20, "--limit-test", 10, "--epochs", 1, "--device", "cpu"]
    run("--demo", *limits, "--out", tmp_path, base=[])
    calls = [call for call in watch.calls if call.training]
    assert len(calls) == len(watch.steps) == 2  # 20 samples are one step of the demo's batch
    for call in calls:
        assert call.x.shape == (6, 20, 2, 32, 32)
        logits = call.logits.double().numpy()
        gradient = call.dlogits.numpy() * 20
        labels = [label_of(gradient[:, [i]], logits[:, [i]]) for i in range(20)]
        assert sorted(labels) == sorted(list(range(10)) * 2)
    arms = [arm(call, step) for call, step in zip(calls, watch.steps)]
    assert arms == [(0.2, "vanilla"), (0.2, "AT+TGO")]
    tested = [call.x.shape[1] for call in watch.calls if not call.training]
    assert set(tested) == {10}
    assert len(list(tmp_path.glob("*/log.csv"))) == 2


def test_the_demo_compares_on_frames_of_its_own_with_tet(tmp_path, monkeypatch):
    asked = without_camera(monkeypatch)
    calls = []
    monkeypatch.setattr(train_dvs, "compare", lambda *given_: calls.append(given_))
    run("--demo", "--limit-train", 20, "--limit-test", 10, "--out", tmp_path, base=[])
    assert asked == [("train", 20), ("test", 10)]
    ((config, train, test, loss),) = calls
    assert train.frames.shape == (20, 6, 2, 32, 32) and test.frames.shape == (10, 6, 2, 32, 32)
    assert (config.T, config.size) == (6, 32)
    logits = torch.randn(6, 5, 10)
    labels = torch.arange(5)
    expected = reference_numpy.tet_forward(logits.double().numpy(), labels.numpy(), 1.0, 1e-3, 0.0)
    assert float(loss(logits, labels)) == pytest.approx(expected[0], rel=1e-5)


# ---- every setting has a test ----
OWN = dict(
    simulate=test_simulate_fills_a_folder_with_recordings_of_pictures,
    demo=test_the_demo_trains_two_rules_on_simulated_recordings,
)


def different():
    """The settings that are not train_cifar.Config's, or have another default, or skip what is not theirs."""
    common = {field.name: field.default for field in dataclasses.fields(train_cifar.Config)}
    unset = object()
    return {
        field.name: field
        for field in dataclasses.fields(train_dvs.Settings)
        if common.get(field.name, unset) != field.default or field.name == "skip_bad"
    }


def test_every_setting_of_events_is_checked_at_values_that_tell():
    """A new setting fails here until a check and runs with enough of its values are given above."""
    fields = different()
    assert fields.keys() == DEFAULTS.keys() == CHECKS.keys() | OWN.keys() - {"demo"}
    for name in CHECKS:
        used = {(DEFAULTS | given_)[name] for given_ in RUNS.values()}
        default = DEFAULTS[name]
        choices = fields[name].metadata.get("choices")
        if choices:
            assert used >= set(choices), name
        elif isinstance(default, bool):
            assert used == {True, False}, name
        elif isinstance(default, (int, float)):
            assert len(used - {default}) >= 2, name
        elif default is None:
            assert None in used and len(used) > 1, name
    kinds = {(DEFAULTS | given_)["split"].split(":")[0] for given_ in RUNS.values()}
    assert kinds == {"tet", "tebn", "random"}


# ---- real recordings, where they are at hand ----
@pytest.mark.skipif(not SHARED.is_dir(), reason="no recordings beside the repository")
def test_real_recordings_are_read(tmp_path):
    for name in ("aedat-cases.tar", "nmnist-1000.tar"):
        with contextlib.closing(tarfile.open(SHARED / name)) as archive:
            archive.extractall(tmp_path, filter="data")
    files = sorted(tmp_path.glob("*.aedat"))
    assert len(files) == 4
    for path in files:
        t, x, y, p = train_dvs.read_aedat(path)
        assert len(t) > 10_000 and (np.diff(t) >= 0).all() and x.max() <= 127 and y.max() <= 127
        frames = train_dvs.events_to_frames(t, x, y, p)
        assert frames.astype(int).sum() > 0.5 * len(t)
    for path in sorted(tmp_path.glob("train/*/*.bin"))[:20]:
        t, x, y, p = train_dvs.read_nmnist(path)
        assert 250_000 < t[-1] < 350_000 and len(t) > 1000
