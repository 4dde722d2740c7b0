"""Choose and name the appearances of a shipped model, in NAME.appearances.json next to its weights; draw a
sheet.

python runs/appearances.py photos-64 --sheet out/appearances.png
"""

import argparse
from pathlib import Path

import torch

from handvae.data.files.pictures import write_picture
from handvae.inference.poses import read_poses
from handvae.inference.sheets import appearance_sheet, pose_header
from handvae.training.appearances import read_named_appearances, write_named_appearances
from handvae.training.checkpoint import find_model, load_model
from handvae.upsampling.naming import named_appearances


def main() -> None:
    """Write the file, and the sheet if asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    model = load_model(options.model)
    write_named_appearances(find_model(options.model), named_appearances(model.generator))
    appearances = read_named_appearances(model)
    for name, appearance in appearances.items():
        print(f"{name:<28}{appearance.about}")
    if options.sheet is not None:
        system = model.generator
        poses = [read_poses(name, None, "palm", system) for name in ("open", "victory", "ok", "fist")]
        joints = torch.cat([pose.joints for pose in poses])
        headers = [pose_header(pose.joints_2d[0], system.crop.size_px) for pose in poses]
        write_picture(options.sheet, appearance_sheet(system, {name: appearance.appearance for name, appearance in appearances.items()}, joints, headers))


if __name__ == "__main__":
    main()
