"""Which hands a paper trains on and which it keeps for testing: one answer for tables, figures and walks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from handvae.data.dataset import HandData
from handvae.data.open import open_data, recognise
from handvae.errors import UserError
from handvae.reproduction.table import DataNeed, Scale, TableRow


@dataclass(frozen=True)
class Protocol:
    """A data set on disk as a paper divides it."""

    root: Path
    name: str | None
    """As the set's reader names it (docs/data.md); None: the reader's first."""

    def hands(self, split: str | None) -> HandData:
        """The hands of a split, `train` or `test`.

        Raises:
            UserError: as `open_data`.
        """
        return open_data(self.root, split, self.name)


def protocol_of(
    rows: Sequence[TableRow], root: Path, asked: str | None = None, scale: Scale | None = None
) -> Protocol:
    """How the paper divides a data set for rows: also at laptop scale, where the data are the paper's own.

    Args:
        rows: of a table, or those that a figure shows.
        root: the data set.
        asked: a protocol that the user names; None for the paper's.
        scale: full scale allows only the paper's protocols.

    Raises:
        UserError: full scale has other protocols than the one that is asked for.
    """
    need = need_of(rows, recognise(root))
    if need is None:
        return Protocol(root, asked)

    papers = (need.protocol, *need.others)
    if scale == "full" and asked is not None and asked not in papers:
        fault = f"is {asked}, and full scale has the paper's ({', '.join(papers)})"
        raise UserError("--protocol", fault, "leave it out")
    return Protocol(root, asked or need.protocol)


def need_of(rows: Sequence[TableRow], layout: str) -> DataNeed | None:
    """The data set of that layout that rows are trained on at full scale; None where there is none."""
    needs = {row.need for row in rows if row.need is not None and row.need.layout == layout}
    if len(needs) > 1:
        protocols = ", ".join(sorted(need.protocol for need in needs))
        raise ValueError(f"rows of one table or figure divide {layout} differently: {protocols}")
    return needs.pop() if needs else None
