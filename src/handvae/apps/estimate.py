"""`handvae estimate`: poses from photos, depth pictures or 2D joints, as pictures and JSON."""

from collections.abc import Sequence

from handvae.apps.estimate_options import Options
from handvae.apps.hand_options import parse_box, parse_side
from handvae.apps.options import parse
from handvae.apps.output import output
from handvae.errors import UserError


def main(arguments: Sequence[str]) -> None:
    """Parse, read, write."""
    options = parse(Options, arguments, "handvae estimate")
    _check(options)
    side, box = parse_side(options.side), parse_box(options.box)

    from handvae.apps.estimate_files import EstimateFolder
    from handvae.apps.estimate_read import read_each, read_together
    from handvae.apps.film import film_in, read_video
    from handvae.device import find_device
    from handvae.hand import JOINT_NAMES
    from handvae.inference.depth_input import DepthFormat
    from handvae.inference.estimator import Estimator, default_model
    from handvae.inference.locate import Located
    from handvae.inference.pictures import pictures_in

    if (film := film_in(options.files)) is not None:
        return read_video(options, film)

    paths = [path for given in options.files for path in pictures_in(given)]
    if not paths:
        raise UserError("command line", "no photo is given", "name at least one picture or file of joints")

    name = options.model or default_model(paths[0])
    estimator = Estimator.open(name, options.lift, find_device(options.device))
    depth = DepthFormat(options.depth_encoding, options.depth_unit_mm, options.focal)
    located = Located(side, box, options.min_score, options.max_hands, depth)

    with output(options.quiet, options.json, options.out) as result:
        folder = EstimateFolder(options.out)
        read = read_together if options.together else read_each
        read(estimator, paths, located, options.bone_mm or None, options.draw, folder)

        content = {"model": name, "joint_names": JOINT_NAMES}
        print(f"joints: {folder.finish(content)}")
        result(content | {"hands": folder.entries, "without_hand": folder.without_hand})


def _check(options: Options) -> None:
    """Refuse numbers that are none, before anything is loaded."""
    numbers = {
        "--depth-unit-mm": options.depth_unit_mm,
        "--focal": options.focal,
        "--bone-mm": options.bone_mm,
    }
    for name, value in numbers.items():
        if not 0 <= value < float("inf") or (name == "--depth-unit-mm" and value == 0):
            raise UserError(name, f"is {value}", "give a positive number")
