"""The files that `handvae estimate` writes of a hand: overlay, 3D plot, fitted hand, surface."""

from pathlib import Path
from typing import Any

from handvae.data.cloud import write_ply
from handvae.data.files.pictures import write_picture
from handvae.inference.plot_3d import plot_joints
from handvae.inference.result import Hand


def write_hand(stem: Path, hand: Hand) -> dict[str, Any]:
    """Write the pictures of a hand; return its entry of estimate.json, with their names.

    Args:
        stem: folder and beginning of the files' names.
        hand: what was read.
    """
    entry = hand.to_dict()
    overlay = stem.with_name(f"{stem.name}.png")
    write_picture(overlay, hand.draw())
    entry["overlay"] = overlay.name

    if hand.joints_3d is not None and hand.spread_3d is not None:
        plot = stem.with_name(f"{stem.name}_3d.png")
        write_picture(plot, plot_joints(hand.joints_3d, hand.spread_3d, "bone units"))
        entry["plot_3d"] = plot.name

    if hand.fitted is not None:
        picture = stem.with_name(f"{stem.name}_hand.png")
        write_picture(picture, hand.fitted.draw())
        entry["fitted_hand"] = picture.name

    if hand.cloud is not None:
        entry |= _write_cloud(stem.with_name(f"{stem.name}_cloud.ply"), hand)

    return entry


def _write_cloud(path: Path, hand: Hand) -> dict[str, str]:
    """The surface as a PLY file: in mm where the size of the hand is known."""
    assert hand.cloud is not None  # the caller has checked
    unit = "mm" if hand.unit_mm else "bone units"
    comment = f"visible surface relative to the {hand.root}, {unit}; x right, y down, z away"
    write_ply(path, hand.cloud * (hand.unit_mm or 1.0), comment)
    return {"cloud": path.name, "cloud_unit": unit}
