"""The papers' tables and figures by name."""

from handvae.errors import UserError
from handvae.reproduction.cm_vae import CM_VAE_FIGURES, CM_VAE_TABLES
from handvae.reproduction.da_vae import DA_VAE_FIGURES, DA_VAE_TABLES
from handvae.reproduction.dvae import DVAE_FIGURES, DVAE_TABLES
from handvae.reproduction.figure import PaperFigure
from handvae.reproduction.srv_vae import SRV_VAE_FIGURES, SRV_VAE_TABLES
from handvae.reproduction.table import Table
from handvae.words import nearest_or_all

TABLES: dict[str, Table] = {
    table.name: table for table in (*SRV_VAE_TABLES, *CM_VAE_TABLES, *DVAE_TABLES, *DA_VAE_TABLES)
}
FIGURES: dict[str, PaperFigure] = {
    figure.name: figure for figure in (*SRV_VAE_FIGURES, *DA_VAE_FIGURES, *CM_VAE_FIGURES, *DVAE_FIGURES)
}


def find_table(name: str) -> Table:
    """The table of that name; a name that is none may have been meant for a figure.

    Raises:
        UserError: there is none.
    """
    if name not in TABLES:
        raise UserError(name, "no such table or figure", nearest_or_all(name, [*TABLES, *FIGURES]))
    return TABLES[name]
