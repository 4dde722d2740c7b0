"""What happens round a command: full disks, closed pipes, terminals of ASCII, folders that have gone."""

import os
import subprocess
import sys

import pytest

from handvae.apps.commands import COMMANDS

HANDVAE = [sys.executable, "-m", "handvae.apps.cli"]


def run(*words: object, **options: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*HANDVAE, *map(str, words)], capture_output=True, text=True, check=False, **options
    )


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in COMMANDS)], ids=" ".join)
def test_a_help_that_cannot_be_written_is_one_line(words):
    with open("/dev/full", "w") as full:
        run = subprocess.run([*HANDVAE, *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert run.returncode == 2
    assert "No space left on device" in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_a_reader_that_goes_away_is_no_fault():
    process = subprocess.Popen(
        [*HANDVAE, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait() == 0


def test_a_terminal_of_ascii_shows_other_letters_as_escapes(small_set, tmp_path):
    folder = tmp_path / "Hände"
    small_set().rename(folder)
    result = run("data", "info", folder, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert (result.returncode, result.stderr) == (0, "")
    assert "H\\xe4nde" in result.stdout

    result = run("data", "info", tmp_path / "größe", env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("words", ["poses", "data info .", "estimate x.png", "render -n 2 --out out"])
def test_a_working_folder_that_has_gone_is_one_line_at_most(words, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    code = (
        f"import os, sys; os.chdir({str(gone)!r}); os.rmdir({str(gone)!r})\n"
        f"sys.argv = ['handvae', *{words.split()}]\n"
        "from handvae.apps.cli import main\n"
        "sys.exit(main())"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode in (0, 2), result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) <= 1


def test_a_labeller_that_reads_no_pictures_is_refused(refused, tmp_path):
    (tmp_path / "plain.jpg").write_bytes(b"")
    line = refused("data", "label", tmp_path / "plain.jpg", "--model", "lifting", "--out", tmp_path / "out")
    assert "reads joints_2d" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("count", [10**9, 10**12, 10**30])
def test_a_plan_of_absurd_size_is_refused(count, refused, handvae, tmp_path):
    folder = tmp_path / "set"
    assert handvae("render", "-n", "2", "--size", "16", "--plan-only", "--out", folder)[0] == 0
    plan = folder / "plan.json"
    plan.write_text(plan.read_text().replace('"count": 2', f'"count": {count}'))
    assert "count" in refused("data", "info", folder)
