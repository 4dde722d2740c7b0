"""`handvae --print-completion bash|zsh`: a script with which a shell completes commands, presets and options.

The words are those that the commands' own help shows, so the script is as new as the package that printed it.
"""

import contextlib
import io
import re
from collections.abc import Sequence

from handvae.apps.commands import COMMANDS, run
from handvae.apps.data import SUBCOMMANDS
from handvae.errors import UserError

SHELLS = ("bash", "zsh")

BASH = """\
_handvae() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" words=""
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="{commands}"
    else
        case "${{COMP_WORDS[1]}} ${{COMP_WORDS[2]}}" in
{cases}
        esac
    fi
    COMPREPLY=( $(compgen -W "$words" -- "$current") )
}}
complete -o default -o bashdefault -F _handvae handvae
"""
"""Where no word fits, the shell completes names of files."""

ZSH = "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n"
"""zsh runs bash's completions."""


def main(arguments: Sequence[str]) -> None:
    """Print the script.

    Raises:
        UserError: the shell is none of those that are known.
    """
    if len(arguments) != 1 or arguments[0] not in SHELLS:
        fault = f"{' '.join(arguments) or 'nothing'} is no shell that is known"
        raise UserError("--print-completion", fault, "give bash or zsh")
    print((ZSH if arguments[0] == "zsh" else "") + script(), end="")


def script() -> str:
    """The completion script for bash."""
    cases = [_case(f"data {name}", words_of(["data", name])) for name in SUBCOMMANDS]
    cases += [_case(f"{name} ", words_of([name])) for name in COMMANDS]
    return BASH.format(commands=" ".join(COMMANDS), cases="\n".join(cases))


def words_of(command: Sequence[str]) -> list[str]:
    """What may follow a command: the names and the options in its help."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        # Without a preset or a table, these two list what there is instead of their options
        run(command[0], [*command[1:], "--help" if command[0] in ("train", "reproduce") else "--help-all"])

    names, options = [], []
    for line in text.getvalue().splitlines():
        names += re.findall(r"^  ([a-z][\w.-]*)  ", line)
        row = line.strip("│| ")
        if row.startswith("-"):  # in tyro's boxes: flags, two spaces, what they do
            options += re.findall(r"--[a-z][\w.-]*", row.partition("  ")[0])

    return list(dict.fromkeys([*names, *options, "--help", "--help-all"]))


def _case(prefix: str, words: Sequence[str]) -> str:
    return f'            "{prefix}"*) words="{" ".join(words)}" ;;'
