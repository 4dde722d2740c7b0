import hashlib
import threading

import pytest

from handvae.files import alone_in, check_space, file_digest, write_atomically, write_text_atomically


def test_a_text_is_written_whole_into_folders_that_are_made(tmp_path):
    write_text_atomically(tmp_path / "a" / "b.txt", "whole")
    assert (tmp_path / "a" / "b.txt").read_text() == "whole"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.txt"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail(beside):
        beside.write_text("half")
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]


def test_the_final_name_never_holds_a_part(tmp_path):
    path, seen = tmp_path / "file.txt", []
    path.write_text("old")

    def watch(beside):
        beside.write_text("new, first half")
        seen.append(path.read_text())
        beside.write_text("new, whole")

    write_atomically(path, watch)
    assert seen == ["old"]
    assert path.read_text() == "new, whole"


def test_a_digest_is_the_sha256_of_the_bytes(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(bytes(range(256)) * 5000)
    assert file_digest(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_one_waits_for_another_in_the_same_folder_and_not_for_one_elsewhere(tmp_path):
    order, inside = [], threading.Event()

    def second() -> None:
        inside.wait()
        with alone_in(tmp_path / "elsewhere"):
            order.append("elsewhere")
        with alone_in(tmp_path / "runs" / "one"):
            order.append("second")

    other = threading.Thread(target=second)
    other.start()
    with alone_in(tmp_path / "runs" / "one"):
        inside.set()
        other.join(0.3)
        assert order == ["elsewhere"]
        order.append("first")
    other.join()
    assert order == ["elsewhere", "first", "second"]
    assert not (tmp_path / "runs" / "one").exists()  # the folder is its user's to make


@pytest.mark.parametrize(
    "words",
    [
        "render -n 100000000 --size 1024 --out {out}",
        "synthesize --model {model} --pose victory -n 40 --out {out}",
        "upsample {data} --model {model} --times 3 --out {out}",
    ],
)
def test_what_the_disk_cannot_hold_is_refused_before_anything_is_made(
    words, refused, tiny_model, tiny_set, tmp_path, monkeypatch
):
    if not words.startswith("render"):
        monkeypatch.setattr("handvae.files.LEAST_BYTES_A_PIXEL", 1e12)
    out = tmp_path / "out"
    line = refused(*words.format(out=out, model=tiny_model, data=tiny_set).split())
    assert "GB at least" in line
    assert "are free there" in line
    assert not out.exists()


def test_what_the_disk_can_hold_passes(tmp_path):
    check_space(tmp_path / "not" / "there", 1000, 64)
