"""Tables at full scale: the paper's data sets, in their true layouts, open by the protocol named and have
what each row needs."""

from dataclasses import replace

import pytest
import torch

from handvae.data.open import open_data, recognise
from handvae.reproduction.papers import TABLES
from handvae.reproduction.recipe import resolve
from handvae.systems.build import build_system
from handvae.systems.da_vae import DaVaeConfig

SWEEPS = ("da-vae-figure2", "da-vae-figure3")
"""Their rows differ in weights of the loss alone."""
KNOWN = [table for table in TABLES.values() if table.name not in SWEEPS]
RECIPES = {
    need: {recipe.words: recipe for table in KNOWN for _, recipe in table.rows_at("full", need)}
    for table in KNOWN
    for need in table.needs
}


@pytest.mark.parametrize("need", RECIPES, ids=lambda need: f"{need.layout}-{need.protocol}")
def test_the_papers_data_set_opens_by_its_protocol_and_has_what_each_row_needs(need, laid_out):
    root, _ = laid_out(need.layout)
    assert recognise(root) == need.layout
    data, test = (open_data(root, split, need.protocol) for split in ("train", "test"))
    assert len(test) > 0
    for recipe in RECIPES[need].values():
        preset = resolve(recipe, 0, None)
        config = preset.system
        if isinstance(config, DaVaeConfig) and "mask" not in data.spec.modalities:
            config = replace(config, mask="named by --mask")
        sides = data.spec.sides if preset.crop.sides == "keep" else preset.crop.sides
        with torch.device("meta"):  # sizes alone
            system = build_system(config, replace(data.spec, sides=sides), preset.crop)
        # a tag is another picture of the same content
        needed = {"content" if field == "tag" else field for field in system.fields}
        assert needed <= set(data.spec.modalities)
