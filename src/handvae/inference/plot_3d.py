"""3D joints with their spread as a picture, from two sides."""

import numpy as np
from jaxtyping import Float, UInt8

from handvae.hand import BONES
from handvae.inference.drawing import FINGER_COLOURS, RIM

VIEWS = ((8, -75, "nearly from the camera"), (8, -15, "nearly from the side"))
"""Elevation and azimuth in degrees, and the plot's title."""
DPI = 100


def plot_joints(
    joints: Float[np.ndarray, "21 3"], spread: Float[np.ndarray, "21 3"], unit: str
) -> UInt8[np.ndarray, "height width 3"]:
    """Plot the skeleton in space: x to the right, y down, z away from the camera.

    Bars reach one standard deviation to each side along each axis.

    Args:
        joints: relative to any root.
        spread: standard deviations, same unit.
        unit: in words.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # half a second, of no use to 2D models
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5), dpi=DPI)
    canvas = FigureCanvasAgg(figure)

    # matplotlib's third axis points up: depth goes into the page
    points = joints[:, [0, 2, 1]]
    bars = spread[:, [0, 2, 1]]
    middle = (points.min(0) + points.max(0)) / 2
    reach = float(np.ptp(points, axis=0).max()) / 2 + float(spread.max())

    for number, (elevation, azimuth, title) in enumerate(VIEWS):
        axes = figure.add_subplot(1, len(VIEWS), number + 1, projection="3d")
        for parent, child in BONES:
            axes.plot(*points[[parent, child]].T, color=_colour(child), linewidth=2.5)

        # a bar an axis: the spread is one of coordinates, not of places
        for joint in range(len(points)):
            for axis in range(3):
                ends = np.repeat(points[joint][None], 2, 0)
                ends[:, axis] += np.array([-1, 1]) * bars[joint, axis]
                axes.plot(*ends.T, color=_colour(joint), linewidth=0.8, alpha=0.6)

        colours = [_colour(joint) for joint in range(len(points))]
        axes.scatter(*points.T, color=colours, s=14, depthshade=False)

        axes.set_xlim(middle[0] - reach, middle[0] + reach)
        axes.set_ylim(middle[1] - reach, middle[1] + reach)
        axes.set_zlim(middle[2] - reach, middle[2] + reach)
        axes.invert_zaxis()  # y runs down
        axes.set_box_aspect((1, 1, 1))
        axes.view_init(elevation, azimuth)
        axes.locator_params(nbins=4)
        axes.tick_params(labelsize=7, pad=0)
        axes.set(xlabel=f"x, {unit}", ylabel="z", zlabel="y")
        axes.set_title(title, y=0.98, fontsize=10)

    figure.subplots_adjust(0.0, 0.02, 0.98, 0.95, 0.02)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _colour(joint: int) -> tuple[float, float, float]:
    red, green, blue = FINGER_COLOURS[(joint - 1) // 4] if joint else RIM
    return red / 255, green / 255, blue / 255
