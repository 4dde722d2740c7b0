"""3D joints with their spread as a picture, from two sides."""

import numpy as np
from jaxtyping import Float, UInt8

from handvae.hand import BONES
from handvae.inference.drawing import FINGER_COLOURS

VIEWS = ((8, -75, "nearly from the camera"), (8, -15, "nearly from the side"))
"""Elevation and azimuth in degrees, and what is said of it."""
DPI = 100


def plot_joints(
    joints: Float[np.ndarray, "21 3"], spread: Float[np.ndarray, "21 3"], unit: str
) -> UInt8[np.ndarray, "height width 3"]:
    """The skeleton in space: x to the right, y down, z away from the camera; bars reach one standard
    deviation to each side, each axis.

    Args:
        joints: relative to any root.
        spread: standard deviations, same unit.
        unit: in words.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # half a second, of no use to 2D models
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5), dpi=DPI)
    canvas = FigureCanvasAgg(figure)
    drawn, bars = (
        joints[:, [0, 2, 1]],
        spread[:, [0, 2, 1]],
    )  # matplotlib's third axis points up: depth goes into the page
    middle, reach = (
        (drawn.min(0) + drawn.max(0)) / 2,
        float(np.ptp(drawn, axis=0).max()) / 2 + float(spread.max()),
    )
    for number, (elevation, azimuth, said) in enumerate(VIEWS):
        axes = figure.add_subplot(1, len(VIEWS), number + 1, projection="3d")
        for parent, child in BONES:
            colour = _colour(child)
            axes.plot(*drawn[[parent, child]].T, color=colour, linewidth=2.5)
        for joint in range(len(drawn)):
            for axis in range(3):
                ends = np.repeat(drawn[joint][None], 2, 0)
                ends[:, axis] += np.array([-1, 1]) * bars[joint, axis]
                axes.plot(*ends.T, color=_colour(joint), linewidth=0.8, alpha=0.6)
        axes.scatter(*drawn.T, color=[_colour(joint) for joint in range(len(drawn))], s=14, depthshade=False)
        for set_limits, at in zip((axes.set_xlim, axes.set_ylim, axes.set_zlim), middle, strict=True):
            set_limits(at - reach, at + reach)
        axes.invert_zaxis()  # y runs down
        axes.set_box_aspect((1, 1, 1))
        axes.view_init(elevation, azimuth)
        axes.locator_params(nbins=4)
        axes.tick_params(labelsize=7, pad=0)
        axes.set(xlabel=f"x, {unit}", ylabel="z", zlabel="y")
        axes.set_title(said, y=0.98, fontsize=10)
    figure.subplots_adjust(0.0, 0.02, 0.98, 0.95, 0.02)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _colour(joint: int) -> tuple[float, float, float]:
    red, green, blue = FINGER_COLOURS[(joint - 1) // 4] if joint else (90, 90, 90)
    return red / 255, green / 255, blue / 255
