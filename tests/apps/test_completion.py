"""The script that completes commands, presets and options in a shell."""

import shutil
import subprocess

import pytest

from handvae.apps.completion import script


@pytest.fixture(scope="module")
def bash_script():
    return script()


@pytest.mark.parametrize(
    ("typed", "completions"),
    [
        (["handvae", "synt"], ["synthesize"]),
        (["handvae", "data", "conv"], ["convert"]),
        (["handvae", "data", "check", "--proto"], ["--protocol"]),
        (["handvae", "train", "photos-6"], ["photos-64"]),
        (["handvae", "estimate", "photo.jpg", "--bo"], ["--box", "--bone-mm"]),
        (["handvae", "reproduce", "cm-vae-table"], ["cm-vae-table1", "cm-vae-table2"]),
    ],
)
def test_bash_completes_what_the_help_shows(typed, completions, bash_script):
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    words = " ".join(f'"{word}"' for word in typed)
    question = f'COMP_WORDS=({words}); COMP_CWORD={len(typed) - 1}; _handvae; echo "${{COMPREPLY[@]}}"'
    answer = subprocess.run([bash, "-c", f"{bash_script}\n{question}"], capture_output=True, text=True)
    assert answer.stderr == ""
    assert answer.stdout.split() == completions


def test_zsh_gets_the_same_words(handvae, bash_script):
    code, out, _ = handvae("--print-completion", "zsh")
    assert code == 0
    assert "bashcompinit" in out
    assert out.endswith(bash_script)


@pytest.mark.parametrize("words", [(), ("fish",), ("bash", "zsh")])
def test_another_shell_is_refused(words, refused):
    assert "give bash or zsh" in refused("--print-completion", *words)
