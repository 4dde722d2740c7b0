"""Which hands a model sees: the others are mirrored for it, and its answers back."""

from handvae.choices import Side
from handvae.systems.system import System


def shown_side(system: System) -> Side:
    """The side of the hands that a model sees, the other one being mirrored.

    A model of both sides sees right hands too: a hand and its mirror image then give mirrored joints.
    """
    return "left" if system.spec.sides == "left" else "right"
