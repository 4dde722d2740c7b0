"""Words of messages that many places need: a number with its noun, and the name that was probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches


def plural(count: int, noun: str, nouns: str = "") -> str:
    """A number and its noun: `1 hand`, `2,000 hands`.

    Args:
        count: how many.
        noun: the noun of one.
        nouns: the noun of several, where it is not `noun` and an s.
    """
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def nearest_or_all(name: str, known: Iterable[str], before: str = "") -> str:
    """The remedy for a name that is none: the nearest one, or all where nothing is near.

    Args:
        name: what was given.
        known: the names that there are.
        before: words that stand before the suggestion, as in `did you mean handvae data info?`.
    """
    names = list(known)
    near = get_close_matches(name.lower(), names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {before}{near[0]}?"
    return f"give one of {', '.join(names)}"
