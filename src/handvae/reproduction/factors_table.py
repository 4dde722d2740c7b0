"""Tables of da-VAE: errors of 3D poses on the test split, and what each latent factor costs and holds."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from handvae.errors import UserError
from handvae.evaluation.latent_factors import factor_measures, probe_table
from handvae.evaluation.measure import Measure
from handvae.evaluation.plots import Curve, Plot
from handvae.reproduction.experiment import RowResult, trained
from handvae.reproduction.pose_table import PoseTable
from handvae.reproduction.recipe import resolve
from handvae.reproduction.report import Summary, by_row
from handvae.reproduction.table import Recipe, Scale, TableColumn, TableRow
from handvae.systems.da_vae import DaVae, DaVaeConfig
from handvae.training.checkpoint import Model

MASK_ROW = "mask network"
"""Names its run folder: one for each seed and length, which rows share."""

MASKS: dict[Scale, Recipe] = {"laptop": Recipe("rendered-mask-64"), "full": Recipe("mask-net")}

MASK_STEPS = 800
"""Of the mask network, at most; never more than a row's own."""

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
    """A trained mask network for data that have no masks; without it, one is trained first."""

    @property
    def columns(self) -> Sequence[TableColumn]:
        """The table's own."""
        return [COLUMNS[name] for name in self.plan.table.columns]

    @property
    def data(self) -> Sequence[str]:
        """Hands of both splits, and where masks come from."""
        if self.mask:
            source = f"mask network {self.mask}"
        else:
            source = "one for each seed, trained first on the same hands"
        return [*super().data, f"mask network of da-VAE and na-VAE: {source}"]

    def check(self) -> None:
        """Refuse data without 3D joints, or da-VAE without masks."""
        super().check()
        can_mask = self.mask or "mask" in self.train.spec.modalities
        if not can_mask and any(_is_da_vae(recipe) for _, recipe in self.plan.rows):
            remedy = "name a mask network that is trained (--mask)"
            raise UserError(self.train.spec.name, "has no masks", remedy)

    def model(self, row: TableRow, recipe: Recipe, seed: int) -> Model:
        """One training; da-VAE comes after its mask network."""
        if _is_da_vae(recipe):
            mask = self.mask or str(self._mask_network(seed).path.parent)
            recipe = replace(recipe, system={**recipe.system, "mask": mask})
        return super().model(row, recipe, seed)

    def _mask_network(self, seed: int) -> Model:
        plan = self.plan
        steps = None if plan.steps is None else min(MASK_STEPS, plan.steps)
        folder = plan.folder(f"{MASK_ROW} {steps or ''}", seed)
        return trained(MASKS[plan.scale], self.train, folder, seed, steps, plan.ranks)

    def measure(self, model: Model, seed: int) -> Iterator[Measure]:
        """Errors of poses; of da-VAE also what its latent costs and holds."""
        yield from super().measure(model, seed)
        system = model.pose_estimator
        if isinstance(system, DaVae) and set(system.fields) <= set(self.test.spec.modalities):
            yield from factor_measures(system, self.test, seed)

    def findings(self, results: Sequence[RowResult]) -> Sequence[str]:
        """The row with the least error; of da-VAE the cloud's error, and what each latent factor predicts."""
        rows = by_row(results)
        errors = {name: Summary.of(mine, "epe") for name, mine in rows.items()}
        best = min(errors, key=lambda name: sum(errors[name].values))
        lines = [f"least EPE: {best}, {errors[best]} mm"]

        for name, mine in rows.items():
            # every seed of a row has the same measures, unless its data changed in between
            common = set.intersection(*({measure.name for measure in result.measures} for result in mine))
            averages = {measure: Summary.of(mine, measure).mean for measure in common}
            if "chamfer_mm" in averages:
                lines.append(f"{name}: Chamfer distance of the cloud {averages['chamfer_mm']:.3g} mm")
            probes = probe_table(averages)
            if probes:
                lines.append(f"{name}, R² of linear probes: {'; '.join(probes)}")

        return lines

    def figures(self, results: Sequence[RowResult]) -> Sequence[Plot]:
        """Of a sweep: the error over the weight that changes."""
        table = self.plan.table
        names = dict.fromkeys(name for row in table.rows for name in row.places)
        if not names:
            return []

        curves = []
        for name in names:
            points = []
            for mine in by_row(results).values():
                places = mine[0].row.places
                if name in places:
                    points.append((math.log10(places[name]), Summary.of(mine, "epe").mean))
            points.sort()
            curves.append(Curve(name, tuple(x for x, _ in points), tuple(y for _, y in points)))

        seeds = ", ".join(map(str, self.plan.seeds))
        note = f"mean over seeds {seeds}; {len(self.test)} hands of {self.test.spec.name}, true scale"
        return [
            Plot(table.about, "log10 of the ratio", "EPE, mm", tuple(curves), note, from_zero=False),
        ]


def _is_da_vae(recipe: Recipe) -> bool:
    return isinstance(resolve(recipe, 0, None).system, DaVaeConfig)
