"""The papers' tables by name."""

from handvae.errors import UserError
from handvae.evaluation.cm_vae_tables import CM_VAE_TABLES
from handvae.evaluation.da_vae_tables import DA_VAE_TABLES
from handvae.evaluation.dvae_tables import DVAE_TABLES
from handvae.evaluation.srv_vae_tables import SRV_VAE_TABLES
from handvae.evaluation.table import Table

TABLES: dict[str, Table] = {table.name: table for table in (*SRV_VAE_TABLES, *CM_VAE_TABLES, *DVAE_TABLES, *DA_VAE_TABLES)}


def find_table(name: str) -> Table:
    """The table of that name.

    Raises:
        UserError: there is none.
    """
    if name not in TABLES:
        raise UserError(name, "no such table", "there are " + ", ".join(TABLES))
    return TABLES[name]
