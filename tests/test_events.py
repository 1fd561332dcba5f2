"""Event files, frames, splits, cache, simulated camera; then train_dvs.py itself, shrunk with its own flags."""
import io
import multiprocessing
import pathlib
import shutil
import struct
import zipfile

import numpy as np
import pytest
import torch
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from test_trainer import assert_same_run, load, refused, table
from torchvision.transforms.functional import pil_to_tensor, to_pil_image

import train_dvs
from train_cifar import draw_shapes
from train_dvs import decode_aedat, events_to_frames, main, read_aedat, read_nmnist, split_by

HEADER = b"#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n"


def written(events, header=HEADER):
    """A writer of our own, an event at a time: (microseconds, x, y, p) or (microseconds, address)."""
    body = b""
    for t, *rest in events:
        address, = rest if len(rest) == 1 else ((rest[1] << 8) + (rest[0] << 1) + rest[2],)
        body += struct.pack(">II", address, t % 2 ** 32)
    return header + body


def saved(tmp_path, content, name="one.aedat"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


# AEDAT 2.0

def test_a_file_by_hand(tmp_path):
    t, x, y, p = read_aedat(saved(tmp_path, written([(10, 20, 77, 1), (10, 0, 0, 0), (35, 127, 127, 1)])))
    assert t.dtype == np.int64 and t.tolist() == [0, 0, 25]
    assert x.tolist() == [20, 0, 127] and y.tolist() == [77, 0, 127] and p.tolist() == [1, 0, 1]


@given(st.lists(st.tuples(st.integers(0, 10 ** 6), st.integers(0, 127), st.integers(0, 127), st.integers(0, 1)), min_size=1),
       st.sampled_from([0, 1, 4_000_000_000]))
def test_round_trip(tmp_path_factory, events, start):
    events.sort(key=lambda event: event[0])
    data = written([(start + t, x, y, p) for t, x, y, p in events])
    t, x, y, p, dropped = decode_aedat(data, "made")
    assert [list(e) for e in zip(t + events[0][0], x, y, p)] == [list(e) for e in events] and dropped == 0
    path = tmp_path_factory.mktemp("round") / "ours.aedat"
    train_dvs.write_aedat(path, t, x, y, p)
    assert all(np.array_equal(a, b) for a, b in zip(read_aedat(path), (t, x, y, p)))


@pytest.mark.parametrize("header", [
    b"#!AER-DAT2.0\n# LF alone\n", b"#!AER-DAT2.0\r\n", HEADER + b"#End Of ASCII Header\r\n", HEADER + b"# End of ASCII Header\r\n",
    HEADER + b"#End of Preferences for this AEChip\r\n", HEADER + b"#End of Preferences for this AEChip\r\n# more\r\n#End Of ASCII Header\r\n",
    HEADER + b"# Timestamps tick is 1 us\r\n", HEADER + b"# created Sat Oct 06 2018\r\n"])
def test_header_endings(header):
    t, x, *_ = decode_aedat(written([(5, 1, 2, 0), (6, 3, 4, 1)], header), "f")
    assert t.tolist() == [0, 1] and x.tolist() == [1, 3]


def test_special_events_are_dropped_and_counted():
    t, x, y, p, dropped = decode_aedat(written([(5, 0x8000), (7, 1, 2, 0), (8, 0x8001), (9, 3, 4, 1)]), "f")
    assert dropped == 2 and t.tolist() == [0, 2] and x.tolist() == [1, 3]


BAD = [
    (b"", 0, "empty"), (HEADER, len(HEADER), "no events"), (b"#!AER-DAT2.0\r\n# unfinished", 14, "no events"),
    (b"#!AER-DAT1.0\r\n" + b"\0" * 12, 0, "AER-DAT1.0"), (b"#!AER-DAT3.1\r\n" + b"\0" * 16, 0, "AER-DAT3.1"),
    (b"#!AER-DAT4.0\r\n" + b"\0" * 16, 0, "AER-DAT4.0"), (b"\0" * 16, 0, "no AEDAT"), (b"PK\3\4 a zip", 0, "no AEDAT"),
    (written([(1, 2, 3, 0), (2, 2, 3, 0)])[:-3], len(HEADER) + 8, "truncated"),
    (written([(1, 2, 3, 0), (2, 0x10000)]), len(HEADER) + 8, "another sensor"),
    (written([(1, 2, 3, 0), (9, 2, 3, 0), (8, 2, 3, 0)]), len(HEADER) + 16, "backward, from 9 to 8"),
    (written([(2 ** 32 - 1, 2, 3, 0), (2 ** 32, 2, 3, 0)]), len(HEADER) + 8, "backward"),
    (written([(1, 0x8000)]), len(HEADER), "no events")]


@pytest.mark.parametrize("content, byte, reason", BAD)
def test_bad_files_are_named_with_byte_and_reason(tmp_path, content, byte, reason):
    path = saved(tmp_path, content)
    with pytest.raises(ValueError) as error:
        read_aedat(path)
    assert str(error.value).startswith(f"{path}: byte {byte}: ") and reason in str(error.value)


@given(st.binary(max_size=200), st.booleans(), st.data())
def test_fuzzed_files_are_refused_or_read_right(content, whole, data):
    """A ValueError that names the file, or the events that are there, read off one at a time."""
    if whole:
        content = written([(i * 3, i % 128, 2 * i % 128, i % 2) for i in range(10)])
        for _ in range(data.draw(st.integers(1, 3))):
            at = data.draw(st.integers(0, len(content) - 1))
            content = content[:at] + bytes([data.draw(st.integers(0, 255))]) + content[at + 1:]
    else:
        content = HEADER + content
    try:
        t, x, y, p, dropped = decode_aedat(content, "fuzzed.aedat")
    except ValueError as error:
        assert str(error).startswith("fuzzed.aedat: byte ")
        return
    lines = io.BytesIO(content)
    start = 0
    while content[start:start + 1] == b"#":
        line = lines.readline()
        start = lines.tell()
        if b"end of ascii header" in line.lower():
            break
    events = [struct.unpack(">II", content[i:i + 8]) for i in range(start, len(content), 8)]
    events = [(a, when) for a, when in events if not a & 0x8000]
    assert t.tolist() == [when - events[0][1] for _, when in events]
    assert x.tolist() == [a >> 1 & 127 for a, _ in events] and y.tolist() == [a >> 8 & 127 for a, _ in events]
    assert p.tolist() == [a & 1 for a, _ in events]


def test_nmnist(tmp_path):
    def event(x, y, p, t):
        return bytes([x, y]) + (p << 23 | t).to_bytes(3, "big")

    t, x, y, p = read_nmnist(saved(tmp_path, event(3, 33, 1, 100) + event(33, 0, 0, 300_000)))
    assert t.tolist() == [0, 299_900] and x.tolist() == [3, 33] and y.tolist() == [33, 0] and p.tolist() == [1, 0]
    for content, word in ((b"", "no events"), (b"123456", "byte 5"), (event(34, 0, 0, 1), "outside"), (event(1, 1, 0, 5) + event(1, 1, 0, 4), "byte 5")):
        path = saved(tmp_path, content)
        with pytest.raises(ValueError, match=word) as error:
            read_nmnist(path)
        assert str(path) in str(error.value)


# Frames

@given(st.integers(1, 12), st.sampled_from([1, 16, 30, 34, 48, 128]), st.sampled_from(["time", "count"]), st.sampled_from(["upright", "raw"]),
       st.sampled_from([(128, 128), (34, 34), (40, 20)]), st.integers(0, 2 ** 32 - 1))
def test_frames_count_every_event_once(T, size, by, orientation, sensor, seed):
    rng = np.random.default_rng(seed)
    n = rng.integers(1, 300)
    t = np.sort(rng.integers(0, 1000, n))
    t -= t[0]
    x, y, p = rng.integers(0, sensor[0], n).astype(np.uint8), rng.integers(0, sensor[1], n).astype(np.uint8), rng.integers(0, 2, n).astype(np.uint8)
    frames = events_to_frames(t, x, y, p, T, size, by, sensor, orientation)
    expected = np.zeros((T, 2, size, size), int)
    for i in range(n):                                            # an event at a time, as the contract says it
        column, row = int(x[i]), int(y[i])
        if orientation == "upright":
            column, row = sensor[0] - 1 - column, sensor[1] - 1 - row
        window = int(t[i]) * T // (int(t[-1]) + 1) if by == "time" else i * T // n
        expected[window, p[i], row * size // sensor[1], column * size // sensor[0]] += 1
    assert frames.dtype == np.uint8 and frames.shape == expected.shape and np.array_equal(frames, np.minimum(expected, 255))


def test_counts_saturate_and_empty_windows_are_empty_frames():
    t = np.array([0] * 300 + [999])
    frames = events_to_frames(t, *(np.zeros(301, np.uint8) for _ in range(3)), T=10, size=16, orientation="raw")
    assert frames[0, 0, 0, 0] == 255 and frames[9, 0, 0, 0] == 1 and frames[1:9].sum() == 0


# Splits and folders

def items(n=20, classes=("a", "b")):
    return [(f"{c}/cifar10_{c}_{i}.aedat", None, c) for c in classes for i in range(n)]


def test_named_splits():
    everything = items(1000)
    number = train_dvs.number
    train, test = split_by(everything, "tet")
    assert {number(i) for i in test} == set(range(900, 1000)) and len(test) == 200 and sorted(train + test) == sorted(everything)
    assert {number(i) for i in split_by(everything, "tebn")[1]} == set(range(100))
    one, same, other = (split_by(everything, f"random:{s}")[1] for s in (1, 1, 2))
    assert one == same != other and len(one) == 200 and len({i[2] for i in one}) == 2
    for split in ("random", "random:x", "last", "tet:1", ""):
        with pytest.raises(ValueError, match="--split"):
            split_by(everything, split)


def test_split_refuses_what_it_cannot_order():
    with pytest.raises(ValueError, match="same number"):
        split_by(items() + [("a/again_7.aedat", None, "a")], "tet")
    with pytest.raises(ValueError, match="no number"):
        split_by(items() + [("a/again.aedat", None, "a")], "tet")
    with pytest.raises(ValueError, match="too few"):
        split_by(items(1), "tet")


def recording(seed, label, n=400):
    """Events on a disc that is left or right, so that there is something to learn."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, 300_000, n))
    x, y = (np.clip(rng.normal(40 + 50 * label, 9, n), 0, 127)).astype(int), np.clip(rng.normal(64, 9, n), 0, 127).astype(int)
    return written(list(zip(t.tolist(), x.tolist(), y.tolist(), rng.integers(0, 2, n).tolist())))


@pytest.fixture
def folder(tmp_path):
    for part, start, n in (("train", 0, 20), ("test", 20, 10)):
        for label, name in enumerate(("left", "right")):
            (tmp_path / "data" / part / name).mkdir(parents=True)
            for i in range(start, start + n):
                saved(tmp_path / "data" / part / name, recording(i + 100 * label, label), f"{name}_{i}.aedat")
    return tmp_path / "data"


TINY = ["--channels", "1", "--T", "4", "--size", "16", "--batch-size", "10", "--epochs", "2", "--device", "cpu"]


def run(*arguments, base=TINY):
    main([*base, *map(str, arguments)])


def one_line(capsys, *arguments, base=TINY):
    return refused(capsys, *arguments, base=base, main=main)


def test_train_resume_and_eval(folder, tmp_path, capsys):
    data = ["--dataset", "folder", "--data", folder]
    run(*data, "--out", tmp_path / "whole")
    assert "40 recordings" in capsys.readouterr().out
    run(*data, "--out", tmp_path / "cut", "--stop-after", 1)
    assert "recordings" not in capsys.readouterr().out, "the cache is used"
    run("--resume", tmp_path / "cut", "--workers", 2, base=[])
    assert_same_run(tmp_path / "whole", tmp_path / "cut")
    capsys.readouterr()
    run("--eval", tmp_path / "whole", base=[])
    assert f"{float(table(tmp_path / 'whole' / 'log.csv')[1]['test_accuracy']):.2%}" in capsys.readouterr().out
    facts = load(tmp_path / "whole" / "last.pt")["facts"]
    assert facts["classes"] == ["left", "right"] and len(facts["test_list"]) == 64
    (folder / "test" / "left" / "left_20.aedat").rename(folder / "test" / "left" / "left_99.aedat")
    assert "test_list" in one_line(capsys, "--eval", tmp_path / "whole", base=[])


@pytest.mark.parametrize("arguments", [["--by", "count", "--orientation", "raw", "--phi", 0.5, "--lam", 0.1], ["--arch", "resnet19"],
                                       ["--arch", "resnet18", "--threshold", "fixed", "--label-smoothing", 0.1]])
def test_flags(folder, tmp_path, arguments):
    run("--dataset", "folder", "--data", folder, "--out", tmp_path / "run", "--epochs", 1, "--cache", tmp_path / "elsewhere", *arguments)
    assert len(table(tmp_path / "run" / "log.csv")) == 1 and not (folder / "cache").exists() and list((tmp_path / "elsewhere").glob("*.u8"))


def test_a_folder_without_parts_is_split_and_another_split_is_refused(folder, tmp_path, capsys):
    flat = tmp_path / "flat"
    for path in folder.glob("*/*/*.aedat"):
        (flat / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, flat / path.parent.name)
    run("--dataset", "folder", "--data", flat, "--out", tmp_path / "run", "--epochs", 1)
    assert len(train_dvs.load(train_dvs.Settings(dataset="folder", data=str(flat), T=4, size=16))[1]) == 6
    assert "--split" in one_line(capsys, "--eval", tmp_path / "run", "--split", "tebn", base=[])


def test_ten_archives_unopened(tmp_path, capsys):
    data = tmp_path / "zips"
    data.mkdir()
    for label, name in enumerate(train_dvs.FIGSHARE):
        with zipfile.ZipFile(data / f"{name}.zip", "w") as archive:
            for i in range(10):
                archive.writestr(f"{name}/cifar10_{name}_{i}.aedat", recording(i + 50 * label, label / 9))
    run("--data", data, "--out", tmp_path / "run", "--epochs", 1)
    assert "90 recordings" in capsys.readouterr().out
    assert load(tmp_path / "run" / "last.pt")["facts"]["classes"] == list(train_dvs.FIGSHARE)
    # CIFAR10-DVS is transposed, so upright is row = 127 - x, column = 127 - y
    _, test = train_dvs.load(train_dvs.Settings(data=str(data), T=4, size=16))
    t, x, y, p = decode_aedat(recording(9, 0), "f")[:4]
    assert np.array_equal(test.frames[0], events_to_frames(t, y, x, p, 4, 16))
    (data / "truck.zip").unlink()
    message = one_line(capsys, "--data", data, "--out", tmp_path / "other")
    assert "4724671" in message and "--download" in message and "--demo" in message
    (data / "truck.zip").write_bytes(b"not a zip")
    assert "truck.zip" in one_line(capsys, "--data", data, "--out", tmp_path / "other")
    assert "4724671" in one_line(capsys, "--data", tmp_path / "nowhere")


def test_download_asks_for_the_ten_archives(tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(train_dvs.torchvision.datasets.utils, "download_url", lambda *what: asked.append(what))
    one_line(capsys, "--data", tmp_path, "--download")
    assert len(asked) == 10 and asked[9][0].endswith("/7712839") and asked[9][2:] == ("truck.zip", "89f3922fd147d9aeff89e76a2b0b70a7")


def test_bad_recordings_are_named_or_left_out(folder, tmp_path, capsys):
    bad = saved(folder / "train" / "left", b"#!AER-DAT3.1\r\n", "left_77.aedat")
    data = ["--dataset", "folder", "--data", folder, "--epochs", 1]
    message = one_line(capsys, *data, "--out", tmp_path / "run")
    assert str(bad) in message and "3.1" in message and "--skip-bad" in message
    assert not list((folder / "cache").glob("*.u8*")), "nothing half-written stays"
    run(*data, "--out", tmp_path / "run", "--skip-bad")
    captured = capsys.readouterr()
    assert str(bad) in captured.err and "40 recordings" in captured.out


def test_bad_folders(folder, tmp_path, capsys):
    data = ["--dataset", "folder", "--data", folder, "--out", tmp_path / "run"]
    stray = saved(folder / "train" / "left", b"hello", "notes.txt")
    assert str(stray) in one_line(capsys, *data)
    stray.unlink()
    (folder / "train" / "empty").mkdir()
    assert "empty" in one_line(capsys, *data)
    (folder / "train" / "empty").rmdir()
    shutil.rmtree(folder / "train" / "left")
    shutil.rmtree(folder / "test" / "left")
    assert "two or more classes" in one_line(capsys, *data)
    assert "two or more classes" in one_line(capsys, "--dataset", "folder", "--data", tmp_path / "nothing")
    unreadable = folder / "train" / "right" / "right_0.aedat"
    unreadable.unlink()
    unreadable.symlink_to(tmp_path / "gone")
    shutil.copytree(folder / "test" / "right", folder / "test" / "left")
    shutil.copytree(folder / "test" / "right", folder / "train" / "left")
    assert "right_0.aedat" in one_line(capsys, *data)


def test_frames_are_drawn_on_red_off_blue(tmp_path):
    frames = np.zeros((2, 3, 2, 16, 16), np.uint8)
    frames[0, :, 0, 2, 3], frames[1, :, 1, 9, 8] = 5, 5           # bit 0: brighter, bit 1: darker
    train_dvs.plot_frames(train_dvs.Events(frames, torch.tensor([0, 1]), dict(classes=["a", "b"])), tmp_path / "frames.png")
    picture = pil_to_tensor(train_dvs.open_picture(tmp_path / "frames.png"))
    border, side = 2, 3 * 16
    on = picture[:, border + 2 * 3 + 1, border + 3 * 3 + 1]
    off = picture[:, border + 9 * 3 + 1, 2 * border + side + 8 * 3 + 1]
    assert on.tolist() == [255, 0, 0] and off.tolist() == [0, 0, 255] and picture[:, border + 40, border + 40].tolist() == [255] * 3


# The cache

def settings(folder, **more):
    return train_dvs.Settings(dataset="folder", data=str(folder), **{**dict(T=4, size=16), **more})


def test_cache_is_keyed_by_parameters_and_files_and_complete_or_not_used(folder, monkeypatch):
    train, _ = train_dvs.load(settings(folder))
    first = {path.name for path in (folder / "cache").glob("*.u8")}
    monkeypatch.setattr(train_dvs.multiprocessing, "Pool", None)  # decoding again would fail now
    again, _ = train_dvs.load(settings(folder))
    assert np.array_equal(train.frames, again.frames) and isinstance(again.frames, np.memmap)
    monkeypatch.undo()
    for more in (dict(T=5), dict(size=20), dict(by="count"), dict(orientation="raw")):
        train_dvs.load(settings(folder, **more))
    assert len({path.name for path in (folder / "cache").glob("*.u8")}) == 5 * len(first)
    path = folder / "train" / "left" / "left_0.aedat"
    path.write_bytes(recording(999, 1))
    changed, _ = train_dvs.load(settings(folder))
    assert not np.array_equal(changed.frames[0], train.frames[0]) and np.array_equal(changed.frames[1], train.frames[1])


def test_a_half_written_or_damaged_cache_is_not_used(folder):
    train, _ = train_dvs.load(settings(folder))
    frames = np.array(train.frames)
    about = [path for path in (folder / "cache").glob("*.json")]
    for path in about:
        path.unlink()                                             # killed before the description was written
    for path in (folder / "cache").glob("*.u8"):
        path.write_bytes(path.read_bytes()[:100])
        pathlib.Path(f"{path}.tmp").write_bytes(b"half")
    assert np.array_equal(train_dvs.load(settings(folder))[0].frames, frames)
    for path in (folder / "cache").glob("*.u8"):
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="remove"):
        train_dvs.load(settings(folder))


def test_a_full_disk_leaves_no_cache(folder, tmp_path, capsys, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dsatgo.os.fsync", full)
    assert "No space left" in one_line(capsys, "--dataset", "folder", "--data", folder, "--out", tmp_path / "run")
    assert not [path for path in (folder / "cache").iterdir() if path.suffix != ".lock"]


def _build(folder, queue):
    torch.set_num_threads(1)
    queue.put(int(train_dvs.load(settings(folder))[0].frames.sum()))


def test_two_processes_building_the_cache_at_once(folder):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    both = [context.Process(target=_build, args=(folder, queue)) for _ in range(2)]
    for process in both:
        process.start()
    sums = {queue.get(timeout=120) for _ in both}
    for process in both:
        process.join()
    assert sums == {int(train_dvs.load(settings(folder))[0].frames.sum())} and len(list((folder / "cache").glob("*.json"))) == 2


def test_augmentation_is_the_same_at_all_timesteps_and_keyed_by_sample():
    frames = np.zeros((200, 3, 2, 16, 16), np.uint8)
    frames[:, 0, 0, 8, 2] = 1
    frames[:, 1, 1, 8, 2] = 2
    data = train_dvs.Events(frames, torch.zeros(200), dict(classes=["a"]))
    x, _ = data[torch.arange(200), 0, 0]
    assert x.shape == (3, 200, 2, 16, 16) and x.dtype == torch.float32
    places = [x[t, :, c].flatten(1).argmax(1) for t, c in ((0, 0), (1, 1))]
    assert torch.equal(*places) and x[2].sum() == 0 and x[0].sum() == 200 and x[1].sum() == 400
    rows, columns = places[0] // 16, places[0] % 16
    assert set(rows.tolist()) == set(range(3, 14))
    assert set(columns.tolist()) == {(c + shift) % 16 for c in (2, 13) for shift in range(-5, 6)}
    alone = torch.cat([data[torch.tensor([i]), 0, 0][0] for i in range(200)], 1)
    assert torch.equal(alone, x) and not torch.equal(data[torch.arange(200), 1, 0][0], x)
    assert torch.equal(data[torch.arange(200), None, 0][0][:, 5], torch.from_numpy(frames[5]).float())


# The simulated camera

def test_simulated_camera_sees_moving_edges_only():
    dark_left = np.full((128, 128), 0.2, np.float32)
    dark_left[:, 64:] = 0.9
    t, x, y, p = train_dvs.record(dark_left, 0, noise=0)
    assert len(t) > 1000 and (np.diff(t) >= 0).all() and set(p.tolist()) == {0, 1}
    columns = 127 - x.astype(int)
    assert 40 < columns.min() and columns.max() < 90, "events along the edge alone"
    assert abs(p.mean() - 0.5) < 0.1, "a closed loop brightens as much as it darkens"
    # the picture moves to the left first (the view to the right), so the dark side brightens
    assert (p[t < 20_000] == 0).mean() > 0.9
    assert len(train_dvs.record(np.full((128, 128), 0.5), 0, noise=0)[0]) == 0
    noise = train_dvs.record(np.full((128, 128), 0.5), 0, noise=5.0)
    assert len(noise[0]) == pytest.approx(5 * 128 * 128 * 0.3, rel=0.1)
    gap = train_dvs.record(dark_left, 0, noise=0, refractory=100_000)
    assert 0 < len(gap[0]) < len(t)


def test_simulate_writes_recordings_that_are_upright(tmp_path, capsys):
    images, labels = draw_shapes(40, 0)
    for i, (image, label) in enumerate(zip(images, labels)):
        place = tmp_path / "pictures" / ("disc" if label < 5 else "other")
        place.mkdir(parents=True, exist_ok=True)
        to_pil_image(image).save(place / f"{i}.png")
    arguments = ["--dataset", "folder", "--data", tmp_path / "dvs", "--simulate", tmp_path / "pictures"]
    run(*arguments, "--out", tmp_path / "run", "--epochs", 1)
    assert len(list((tmp_path / "dvs").glob("*/*.aedat"))) == 40
    assert "not empty" in one_line(capsys, *arguments, "--out", tmp_path / "again")
    picture = np.zeros((128, 128), np.float32)
    picture[10:40, 80:110] = 1                                    # top right
    frames = events_to_frames(*train_dvs.record(picture, 0, noise=0), T=1, size=32)[0].sum(0)
    row, column = np.unravel_index(frames.argmax(), frames.shape)
    assert row < 14 and column > 16


def test_demo_prints_its_table(capsys, tmp_path):
    run("--demo", "--epochs", 1, "--limit-train", 30, "--limit-test", 20, "--channels", 1, "--T", 2, "--size", 16, "--out", tmp_path, base=[])
    lines = capsys.readouterr().out.splitlines()[-5:]
    assert [line.split()[:2] for line in lines[1:]] == [["1.0", "vanilla"], ["1.0", "AT+TGO"], ["0.3", "vanilla"], ["0.3", "AT+TGO"]]


# Real recordings, where they are at hand

SHARED = ROOT.parent / "shared" / "data"


@pytest.mark.skipif(not SHARED.is_dir(), reason="no recordings beside the repository")
def test_real_recordings(tmp_path):
    import tarfile
    for name in ("aedat-cases.tar", "nmnist-1000.tar"):
        with tarfile.open(SHARED / name) as archive:
            archive.extractall(tmp_path, filter="data")
    files = sorted(tmp_path.glob("*.aedat"))
    assert len(files) == 4
    for path in files:
        t, x, y, p = read_aedat(path)
        assert len(t) > 10_000 and (np.diff(t) >= 0).all() and x.max() <= 127 and y.max() <= 127
        assert events_to_frames(t, x, y, p).astype(int).sum() > 0.5 * len(t)
    for path in sorted(tmp_path.glob("train/*/*.bin"))[:20]:
        t, x, y, p = read_nmnist(path)
        assert 250_000 < t[-1] < 350_000 and len(t) > 1000
