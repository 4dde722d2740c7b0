"""Models and data of `handvae evaluate`, checked before anything is predicted."""

from collections.abc import Sequence

from handvae.choices import Side
from handvae.data.crop import check_crop
from handvae.data.dataset import HandData
from handvae.data.subset import taken_for, with_known_sides
from handvae.errors import UserError
from handvae.evaluation.batch_norm import batch_norm_mode, renew_statistics
from handvae.evaluation.detection import CommandDetector, HandDetector, ModelDetector
from handvae.evaluation.features import SHIPPED
from handvae.evaluation.metrics import METRICS
from handvae.training.checkpoint import Model, find_model, load_model
from handvae.training.first_edition import METRICS as FIRST_EDITION_METRICS


def metric_names(text: str) -> tuple[str, ...] | None:
    """The names in a comma-separated list; None for `all`: every metric that the data allow.

    Raises:
        UserError: there is no such metric.
    """
    if text == "all":
        return None

    names = []
    for word in text.split(","):
        name = FIRST_EDITION_METRICS.get(word.strip(), word.strip())
        if name not in METRICS:
            raise UserError("--metrics", f"no metric {name!r}", f"there are {', '.join(METRICS)}, or all")
        names.append(name)

    return tuple(names)


def column_names(models: Sequence[Model]) -> list[str]:
    """A name for each model, numbered where two are the same."""
    names = [model.name for model in models]
    return [f"{name} ({index + 1})" if names.count(name) > 1 else name for index, name in enumerate(names)]


def with_sides(data: HandData, models: Sequence[Model], dataset: str, side: Side | None) -> HandData:
    """The hands whose sides are known, for models whose crops show one side.

    A data set that tells no side at all is taken to show the side that the models know, which a warning says.

    Args:
        data: the hands.
        models: are to be measured.
        dataset: where the data are from, for messages.
        side: of hands whose side the data do not tell, where the user gives it.

    Raises:
        UserError: hands are left out or taken for those of a side, in strict mode.
    """
    data = with_known_sides(data, dataset, side)
    known = {model.pose_estimator.crop.sides for model in models} - {"keep"}
    if "side" in data.spec.modalities or not known:
        return data

    return taken_for(data, dataset, "left" if known == {"left"} else "right", "--side")


def check_data_fits(model: Model, data: HandData, dataset: str) -> None:
    """Refuse data that a model cannot be measured on.

    Args:
        model: what is measured.
        data: the hands.
        dataset: where the data are from, for the message.

    Raises:
        UserError: the data have other joints, lack labels or inputs, or do not suit the model's crop.
    """
    system = model.pose_estimator
    modalities = data.spec.modalities

    if data.spec.joints != system.spec.joints:
        fault = f"has hands of {data.spec.joints} joints, and {model.name} reads {system.spec.joints}"
        raise UserError(dataset, fault, "give a set of the same joints (--protocol, where it has several)")

    if system.pose == "3d" and "joints_3d" not in modalities:
        fault = "has no keypoints_3d, and this model reads 3D poses"
        raise UserError(dataset, fault, "give a set with them, or a 2D model")

    if missing := [name for name in system.reads if name not in modalities]:
        fault = f"has no {', '.join(missing)}, which {model.name} reads"
        raise UserError(dataset, fault, "give a set with it, or a model that reads what the set has")

    check_crop(data, system.crop, dataset)


def choose_detector(model: Model, name: str | None, command: str | None) -> HandDetector | None:
    """The detector that looks at a model's pictures.

    Args:
        model: what is measured.
        name: a model's name or path, or `own` for the measured model itself; None for the shipped detector.
        command: a program instead of a model.

    Returns:
        None for a 3D model that would have to look at its own pictures.

    Raises:
        UserError: both are given, or the detector is no 2D model.
    """
    if name is not None and command is not None:
        raise UserError("--detector-command", "is given together with --detector", "give one of them")
    if command is not None:
        return CommandDetector(command)

    detector = name or SHIPPED
    if detector != "own" and find_model(detector) != model.path:
        return ModelDetector.of(load_model(detector))

    return ModelDetector.of(model) if model.pose_estimator.pose == "2d" else None


def renew_normalisation(model: Model, data: HandData, batches: int, seed: int) -> None:
    """Measure the statistics of a generator's batch normalisation again, on `batches` of generated pictures.

    Raises:
        UserError: the number is negative, or the model has no batch normalisation.
    """
    if batches < 0:
        raise UserError("--renew-statistics", f"is {batches}", "give 0 or more")
    if batches == 0:
        return
    if batch_norm_mode(model.generator) == "none":
        raise UserError("--renew-statistics", f"{model.name} has no batch normalisation", "leave it out")

    renew_statistics(model.generator, data, batches, seed=seed)
