"""`handvae render`: procedural hands with every label, as a data set or as a sheet of one pose."""

from collections.abc import Sequence

from handvae.apps.options import parse
from handvae.apps.output import output
from handvae.apps.render_options import Options, check_kind
from handvae.apps.short_help import print_short_help


def main(arguments: Sequence[str]) -> None:
    """Parse, draw, write."""
    print_short_help(Options, arguments, "handvae render", more=True)

    from handvae.apps.render_write import WholeOptions, write_data_set, write_pose_sheet

    options = parse(WholeOptions, arguments, "handvae render")
    check_kind(options)

    # several jobs may write shards of one data set at the same time, but not the same shards
    out = options.out if options.pose is not None else options.out / options.shard.replace("/", " of ")
    with output(options.quiet, options.json, out) as result:
        if options.pose is not None:
            result(write_pose_sheet(options))
        else:
            result(write_data_set(options))
