"""Tables of da-VAE: errors of 3D poses on the test split, and what the parts of the latent cost and hold."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from handvae.errors import UserError
from handvae.evaluation.latent_factors import factor_measures, probe_table
from handvae.evaluation.measure import Measure
from handvae.evaluation.plots import Curve, Plot
from handvae.reproduction.experiment import Cell, trained
from handvae.reproduction.pose_table import PoseTable
from handvae.reproduction.report import Summary, by_row
from handvae.reproduction.table import Recipe, Scale, TableColumn, TableRow
from handvae.systems.da_vae import DaVae, DaVaeConfig
from handvae.training.checkpoint import Model

MASK_ROW = "mask network"
"""Of its run folder: one for each seed and length, which rows share."""
MASKS: dict[Scale, Recipe] = {"laptop": Recipe("rendered-mask-64"), "full": Recipe("mask-net")}
MASK_STEPS = 800
"""Of the mask network, at most; else as many as a row has."""
COLUMNS = {
    "EPE": TableColumn("EPE, mm", "epe", "EPE"),
    "AUC": TableColumn("AUC 20-50", "auc_20_50", "AUC"),
    "ELBO": TableColumn("ELBO", "elbo", "ELBO"),
    "KL pose": TableColumn("KL pose", "kl_pose", "KL pose"),
    "KL cloud": TableColumn("KL cloud", "kl_cloud", "KL cloud"),
    "KL RGB": TableColumn("KL RGB", "kl_rgb", "KL RGB"),
}
"""By their keys in `Table.columns`."""


@dataclass(frozen=True)
class FactorsTable(PoseTable):
    """Tables 1 to 4 and the sweeps of figures 2 and 3 of da-VAE's paper."""

    mask: str = ""
    """A trained mask network for data that have no masks; else one is trained first."""

    @property
    def columns(self) -> Sequence[TableColumn]:
        """The table's own."""
        return [COLUMNS[name] for name in self.job.table.columns]

    @property
    def data(self) -> Sequence[str]:
        """Hands of both splits, and where masks come from."""
        mask = (
            f"mask network {self.mask}" if self.mask else "one for each seed, trained first on the same hands"
        )
        return [*super().data, f"mask network of da-VAE and na-VAE: {mask}"]

    def check(self) -> None:
        """Refuse data without 3D joints, or without what shows the hand."""
        super().check()
        if (
            not self.mask
            and "mask" not in self.train.spec.modalities
            and any(_is_da(recipe) for _, recipe in self.job.rows)
        ):
            raise UserError(
                self.train.spec.name, "has no masks", "name a mask network that is trained (--mask)"
            )

    def model(self, row: TableRow, recipe: Recipe, seed: int) -> Model:
        """One training; of da-VAE behind that of its mask network."""
        if _is_da(recipe):
            recipe = replace(
                recipe, system={**recipe.system, "mask": self.mask or str(self._mask(seed).path.parent)}
            )
        return super().model(row, recipe, seed)

    def _mask(self, seed: int) -> Model:
        job = self.job
        steps = None if job.steps is None else min(MASK_STEPS, job.steps)
        return trained(
            MASKS[job.scale],
            self.train,
            job.folder(f"{MASK_ROW} {steps or ''}", seed),
            seed,
            steps,
            job.ranks,
        )

    def measure(self, model: Model, seed: int) -> Iterator[Measure]:
        """Errors of poses; of da-VAE also what its latent costs and holds."""
        yield from super().measure(model, seed)
        system = model.reader
        if isinstance(system, DaVae) and set(system.fields) <= set(self.test.spec.modalities):
            yield from factor_measures(system, self.test, seed)

    def findings(self, cells: Sequence[Cell]) -> Sequence[str]:
        """Which row reads best; of da-VAE the cloud's error and which part of the latent tells which
        factors."""
        rows, lines = by_row(cells), []
        means = {name: Summary.of(mine, "epe") for name, mine in rows.items()}
        best = min(means, key=lambda name: sum(means[name].values))
        lines.append(f"least EPE: {best}, {means[best]} mm")
        for name, mine in rows.items():
            common = set.intersection(*({measure.name for measure in cell.measures} for cell in mine))
            averages = {measure: sum(Summary.of(mine, measure).values) / len(mine) for measure in common}
            if "chamfer_mm" in averages:
                lines.append(f"{name}: Chamfer distance of the cloud {averages['chamfer_mm']:.3g} mm")
            probes = probe_table(averages)
            if probes:
                lines.append(f"{name}, R² of linear probes: {'; '.join(probes)}")
        return lines

    def figures(self, cells: Sequence[Cell]) -> Sequence[Plot]:
        """Of a sweep: the error over what changes."""
        errors = [
            (mine[0].row.places, fmean(Summary.of(mine, "epe").values)) for mine in by_row(cells).values()
        ]
        names = dict.fromkeys(name for row in self.job.table.rows for name in row.places)
        curves = []
        for name in names:
            line = sorted((math.log10(places[name]), error) for places, error in errors if name in places)
            curves.append(Curve(name, tuple(x for x, _ in line), tuple(y for _, y in line)))
        note = f"mean over seeds {', '.join(map(str, self.job.seeds))}; {len(self.test)} hands of {self.test.spec.name}, true scale"
        return (
            [
                Plot(
                    self.job.table.about,
                    "log10 of the ratio",
                    "EPE, mm",
                    tuple(curves),
                    note,
                    from_zero=False,
                )
            ]
            if curves
            else []
        )


def _is_da(recipe: Recipe) -> bool:
    return isinstance(recipe.settled(0, None).system, DaVaeConfig)
