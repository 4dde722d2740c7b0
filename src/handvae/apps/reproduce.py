"""`handvae reproduce TABLE`: a paper's table, trained and measured again, beside what was published; or one of its figures."""

import json
from collections.abc import Sequence

from handvae.apps.reproduce_figures import FIGURES, draw
from handvae.apps.reproduce_kinds import reproductions
from handvae.apps.reproduce_latent import LATENT_FIGURES, draw_latent
from handvae.apps.reproduce_walks import WALKS, draw_walk
from handvae.errors import UserError
from handvae.evaluation.page import Section, page, plot
from handvae.evaluation.paper_tables import TABLES, find_table
from handvae.evaluation.reproduction import Reproduction
from handvae.evaluation.reproduction_report import as_json, markdown
from handvae.files import write_text_atomically
from handvae.training.distributed import ranks


def main(arguments: Sequence[str]) -> None:
    """Find the table or figure, parse what its kind asks for, train and measure what is missing, print, write."""
    if not arguments or arguments[0].startswith("-"):
        listing = "\n".join(f"  {name:<17}{known.about}" for name, known in (TABLES | FIGURES | WALKS | LATENT_FIGURES).items())
        print(f"usage: handvae reproduce TABLE --data DIR [options]\n\ntables and figures:\n{listing}")
        if not set(arguments) & {"-h", "--help"}:
            raise UserError("reproduce", "no table given", "name one of the above first")
        return
    name, *words = arguments
    for known, make_sheet in ((FIGURES, draw), (WALKS, draw_walk), (LATENT_FIGURES, draw_latent)):
        if name in known:
            make_sheet(name, words)
            return
    table = find_table(name)
    with ranks() as here:
        if here.ranks > 1:
            raise UserError("torchrun", f"started {here.ranks} processes, and a reproduction is one", "start it without")
        make(reproductions(table, words, here))


def make(work: Reproduction) -> None:
    """Fill the table's cells, saying which are done; print the table and write it."""
    job, cells = work.job, []
    count = len(job.rows) * len(job.seeds)
    for cell in work.cells():
        cells.append(cell)
        print(f"{cell.row.name}, seed {cell.seed}: {len(cells)} of {count} done", flush=True)
    text = markdown(work, cells)
    folder = job.out / job.table.name
    write_text_atomically(folder / "report.json", json.dumps(as_json(work, cells), indent=1) + "\n")
    write_text_atomically(folder / "table.md", text)
    if figures := work.figures(cells):
        shown = [Section("", "".join(plot(figure) for figure in figures))]
        write_text_atomically(folder / "figure.html", page(job.table.name, shown))
        print(f"figure: {folder / 'figure.html'}")
    print(f"\n{text}\ntable: {folder / 'table.md'}")
