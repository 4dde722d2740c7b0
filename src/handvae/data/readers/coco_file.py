"""A COCO-keypoints file, read entry by entry: what can be used of it, and what is wrong with the rest.

Files come from many tools: ids are numbers or texts, sizes may be missing, joints without a label are null
or NaN, hands of several kinds stand side by side. What means one thing only is read; what cannot be used
is a `Problem` of its own, and the rest is read on.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from jaxtyping import Bool, Float
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from handvae.data.dataset import require_few
from handvae.data.files.json import first_fault, members
from handvae.data.files.lenient import identity, labelled, size
from handvae.data.joint_order import OURS, JointOrder, order_by_names
from handvae.errors import UserError
from handvae.hand import BONES, JOINT_NAMES, LEFT, RIGHT, UNKNOWN, side_in

Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e9, le=1e9)]
OUTSIDE_SHARE = 0.1
"""A labelled joint may lie outside its picture by this share of the picture's larger side; farther out it is
an error."""
LONGEST_BONE = 0.85
"""Length of a bone over the diagonal of the hand's box, above which a label has slipped."""


# ------------------------------------------------------------------------------------------- the file's form


def _whole(value: Any) -> Any:
    """Whole numbers that tools write as 1.0; anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _person(value: Any) -> Any:
    """The number of a person; None for anything else, which hands can do without."""
    value = _whole(value)
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and -(2**63) <= value < 2**63 else None


def _digit(value: Any) -> Any:
    """A digit as gesture; None for anything else."""
    value = _person(value)
    return value if value is not None and 0 <= value <= 99 else None


def _text(value: Any) -> Any:
    """A text; numbers as they are written, None for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(_whole(value))
    return value if isinstance(value, str) else None


_Id = Annotated[int | str, BeforeValidator(identity)]
_Size = Annotated[int | None, Field(le=1_000_000), BeforeValidator(size)]
_Text = Annotated[str | None, BeforeValidator(_text)]
_Triple = Annotated[list[Number], Field(min_length=3, max_length=3)]


class _Source(BaseModel):
    """Fields that stand with a picture, or with a hand where hands of one picture differ."""

    model_config = ConfigDict(strict=True, frozen=True)
    person: Annotated[int | None, BeforeValidator(_person)] = None
    gesture: _Text = None
    digit: Annotated[int | None, BeforeValidator(_digit)] = None
    provenance: Annotated[
        dict[str, Any] | None, BeforeValidator(lambda value: value if isinstance(value, dict) else None)
    ] = None

    @property
    def gesture_name(self) -> str:
        """The name of the gesture; empty where it has none."""
        if self.gesture:
            return self.gesture
        return "" if self.digit is None else str(self.digit)

    @property
    def provenance_text(self) -> str:
        """As JSON; empty where there is none."""
        return "" if self.provenance is None else json.dumps(self.provenance)


class _Picture(_Source):
    id: _Id
    file_name: Annotated[str, Field(pattern=r"^[^\x00]+$")]
    width: _Size = None
    height: _Size = None
    split: _Text = None


class _Licence(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)
    name: str = ""


class _Category(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)
    id: _Id
    name: str = ""
    keypoints: list[str] | None = None


class _Annotation(_Source):
    id: _Id | None = None
    image_id: _Id
    category_id: _Id | None = None
    iscrowd: bool | int | float | str | None = None
    keypoints: Annotated[list[Number], BeforeValidator(labelled)]
    keypoints_3d: list[_Triple] | None = None
    hand_side: _Text = None
    root_mm: _Triple | None = None
    camera: Annotated[list[Number], Field(min_length=9, max_length=9)] | None = None
    keypoints_spread: list[Annotated[Number, Field(ge=0)]] | None = None
    label_spread: Annotated[Number, Field(ge=0)] | None = None


# ------------------------------------------------------------------------------------------- what is told


@dataclass(frozen=True)
class Problem:
    """One fault in a data set."""

    where: str
    fault: str
    remedy: str
    fatal: bool = True
    """False for a label that is unusual but can be used."""
    reason: str = "unusable"
    """The kind of fault in a few words, by which hands that are left out are counted; empty for a picture's,
    whose hands are counted for themselves."""
    name: str = ""
    """What has the fault, such as `annotation 7`."""
    split: str | None = None
    """Split of the picture that has the fault; None where it is not known."""

    def error(self) -> UserError:
        """The same as an exception."""
        return UserError(self.where, self.fault, self.remedy)


@dataclass(frozen=True)
class PictureEntry:
    """A picture of the file."""

    file_name: str
    size: tuple[int, int] | None
    """Width and height that the file declares, px."""
    split: str
    person: int | None
    gesture: str
    provenance: str


@dataclass(frozen=True)
class HandEntry:
    """A hand of the file that can be used; joints in our order."""

    name: str
    """Such as `annotation 7`."""
    picture: PictureEntry
    joints: Float[np.ndarray, "21 3"]
    """x and y in px, and visibility."""
    side: int
    joints_3d: Float[np.ndarray, "21 3"] | None
    spread: Float[np.ndarray, "21"] | None
    """Of the 2D labels, px."""
    root_mm: tuple[float, ...] | None
    camera: tuple[float, ...] | None
    joint_names: tuple[str, ...]
    person: int | None
    gesture: str
    provenance: str


@dataclass(frozen=True)
class _HandCategory:
    """What a category says of its hands."""

    order: JointOrder = OURS
    side: int = UNKNOWN
    fault: str = ""
    """Why its annotations cannot be used."""


# ------------------------------------------------------------------------------------------- reading


class CocoFile:
    """The entries of one annotation file.

    Pictures, licences and gestures are known when `hands` has come to its end.

    Args:
        path: the file.

    Raises:
        UserError: it is no JSON object, or its categories cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pictures: dict[int | str, PictureEntry] = {}
        self.licences: list[str] = []
        self.annotations = 0
        """Number of annotations, the unusable ones too."""
        self._repeated: set[int | str] = set()
        self._categories = dict(_categories(path))

    def hands(self) -> Iterator[HandEntry | Problem]:
        """The hands that can be used, and what is wrong with the others, one at a time.

        Raises:
            UserError: the file is no JSON object, or holds more than can be read.
        """
        # annotations that stand before their pictures: in most files, none
        waiting: list[_Annotation] = []
        ids: set[int | str] = set()

        for part, key, value in members(self.path):
            if not isinstance(key, int):
                continue
            match part:
                case "licenses":
                    self._add_licence(value)
                case "images":
                    yield from self._add_picture(key, value)
                case "annotations":
                    self.annotations += 1
                    require_few(self.path, "hands", self.annotations)
                    entry = self._annotation(key, value)
                    if isinstance(entry, Problem):
                        yield entry
                        continue

                    if entry.id is not None and entry.id in ids:
                        fault = f"two annotations have the id {entry.id}"
                        yield self._problem(fault, "give each annotation its own id", fatal=False)
                    if entry.id is not None:
                        ids.add(entry.id)

                    if entry.image_id in self.pictures:
                        yield from self._checked(entry)
                    else:
                        waiting.append(entry)

        if not self.pictures:
            fault = "images: at least one picture is required"
            raise UserError(self.path, fault, "give COCO keypoints: lists `images` and `annotations`")

        # now that all pictures are read
        for entry in waiting:
            yield from self._checked(entry)

    def _problem(
        self,
        fault: str,
        remedy: str,
        reason: str = "unusable",
        name: str = "",
        split: str | None = None,
        *,
        fatal: bool = True,
    ) -> Problem:
        return Problem(str(self.path), fault, remedy, fatal, reason, name, split)

    def _add_licence(self, value: Any) -> None:
        try:
            licence = _Licence.model_validate(value)
        except ValidationError:
            # it says nothing that a reader needs
            return
        if licence.name:
            self.licences.append(licence.name)

    def _add_picture(self, key: int, value: Any) -> Iterator[Problem]:
        """Keep a picture, or say why it cannot be used; its annotations then have no picture."""
        try:
            entry = _Picture.model_validate(value)
        except ValidationError as error:
            fault = first_fault(error, "images", key)
            yield self._problem(fault, "mend that field", reason="")
            return

        require_few(self.path, "pictures", len(self.pictures) + 1)
        if entry.id in self.pictures:
            # which of them an annotation means cannot be told
            self._repeated.add(entry.id)
            fault = f"two images have the id {entry.id}"
            yield self._problem(fault, "give each image its own id", fatal=False)
            return

        size = None if entry.width is None or entry.height is None else (entry.width, entry.height)
        self.pictures[entry.id] = PictureEntry(
            file_name=entry.file_name,
            size=size,
            split=entry.split or "",
            person=entry.person,
            gesture=entry.gesture_name,
            provenance=entry.provenance_text,
        )

    def _annotation(self, key: int, value: Any) -> _Annotation | Problem:
        name = f"annotations.{key}"
        is_empty = isinstance(value, dict) and value.get("keypoints", ()) in (None, [])
        lacks = isinstance(value, dict) and "keypoints" not in value
        if is_empty or lacks:
            fault = f"{name}.keypoints: Field required"
            return self._problem(
                fault, "label the joints, or remove the annotation", "without keypoints", name
            )

        try:
            return _Annotation.model_validate(value)
        except ValidationError as error:
            fault = first_fault(error, "annotations", key)
            return self._problem(fault, "mend that field", "with a faulty field", name)

    def _checked(self, entry: _Annotation) -> Iterator[HandEntry | Problem]:
        """The faults of an annotation, and the hand unless one is fatal."""
        problems = list(self._problems(entry))
        yield from problems
        if not any(problem.fatal for problem in problems):
            hand = self._hand(entry)
            odd = list(joint_problems(str(self.path), hand))
            yield from odd
            if not any(problem.fatal for problem in odd):
                yield hand

    def _problems(self, entry: _Annotation) -> Iterator[Problem]:
        """Faults of an annotation's form."""
        name = f"annotation {entry.id}"
        count = len(JOINT_NAMES)
        category = self._category(entry)
        visible = entry.keypoints[2::3]

        picture = self.pictures.get(entry.image_id)
        split = None if picture is None else picture.split

        def problem(fault: str, remedy: str, reason: str) -> Problem:
            return self._problem(f"{name}: {fault}", remedy, reason, name, split)

        if entry.image_id in self._repeated:
            fault = f"two images have the id {entry.image_id}"
            yield problem(fault, "give each image its own id", "of pictures that share an id")
        elif entry.image_id not in self.pictures:
            fault = f"image_id {entry.image_id} is not in images"
            yield problem(fault, "add the image or remove the annotation", "without their picture")
        elif category.fault:
            yield problem(
                category.fault, "rename the joints in categories", f"whose category {category.fault}"
            )
        elif entry.iscrowd not in (None, 0, False, "", "0", "false", "False"):
            yield problem("is a crowd (iscrowd)", "label single hands", "that are crowds")
        elif len(entry.keypoints) != 3 * count:
            fault = f"keypoints has {len(entry.keypoints)} numbers"
            yield problem(fault, "give 21 triples x, y, visibility", "of another number of keypoints")
        elif any(value not in (0, 1, 2) for value in visible):
            wrong = next(value for value in visible if value not in (0, 1, 2))
            fault = f"keypoints has the visibility {wrong:g}"
            yield problem(fault, "give 0, 1 or 2", "with a visibility that is none")
        elif entry.keypoints_3d is not None and len(entry.keypoints_3d) != count:
            fault = f"keypoints_3d has {len(entry.keypoints_3d)} joints"
            remedy = "give 21 triples in mm, or leave the field out"
            yield problem(fault, remedy, "of another number of joints in space")
        elif entry.keypoints_spread is not None and len(entry.keypoints_spread) != count:
            fault = f"keypoints_spread has {len(entry.keypoints_spread)} numbers"
            yield problem(fault, "give 21 in px, or leave the field out", "of another number of spreads")

    def _category(self, entry: _Annotation) -> _HandCategory:
        unknown = _HandCategory()
        return unknown if entry.category_id is None else self._categories.get(entry.category_id, unknown)

    def _hand(self, entry: _Annotation) -> HandEntry:
        """The hand of a sound annotation, its joints in our order."""
        category = self._category(entry)
        order = list(category.order.order)
        picture = self.pictures[entry.image_id]
        joints = np.array(entry.keypoints, np.float64).reshape(-1, 3)[order]

        spread = None
        if entry.keypoints_spread is not None:
            spread = np.array(entry.keypoints_spread)[order]
        elif entry.label_spread is not None:
            # one number for the hand, over its size
            spread = np.full(len(joints), entry.label_spread * _hand_size(joints))

        solid = entry.keypoints_3d
        side = {"left": LEFT, "right": RIGHT}.get((entry.hand_side or "").strip().lower(), category.side)
        return HandEntry(
            name=f"annotation {entry.id}",
            picture=picture,
            joints=joints,
            side=side,
            joints_3d=None if solid is None else np.array(solid)[order],
            spread=spread,
            root_mm=None if entry.root_mm is None else tuple(entry.root_mm),
            camera=None if entry.camera is None else tuple(entry.camera),
            joint_names=category.order.names,
            person=picture.person if entry.person is None else entry.person,
            gesture=entry.gesture_name or picture.gesture,
            provenance=entry.provenance_text or picture.provenance,
        )


def _hand_size(joints: Float[np.ndarray, "21 3"]) -> float:
    """Geometric mean of the sides of the labelled joints' box, px."""
    labelled = joints[joints[:, 2] > 0, :2]
    return float(np.sqrt(np.prod(np.ptp(labelled, axis=0)))) if len(labelled) else 0.0


def _categories(path: Path) -> Iterator[tuple[int | str, _HandCategory]]:
    """The categories by their ids; the file is read up to their end."""
    begun = False
    for part, _, value in members(path):
        if part != "categories":
            if begun:
                return
            continue

        begun = True
        try:
            category = _Category.model_validate(value)
        except ValidationError:
            # without an id no annotation can mean it; without names it says nothing of joints
            continue

        side = side_in(category.name)
        if not category.keypoints:
            yield category.id, _HandCategory(side=side)
            continue

        try:
            order = order_by_names(tuple(category.keypoints))
        except ValueError as error:
            yield category.id, _HandCategory(side=side, fault=f"{category.name!r} is not read: {error}")
        else:
            yield category.id, _HandCategory(order, side)


# ------------------------------------------------------------------------------------------- joints


def joint_problems(where: str, hand: HandEntry) -> Iterator[Problem]:
    """Faults of one hand's keypoints; of their place in the picture where its size is declared."""
    name = f"{hand.name} ({hand.picture.file_name})"
    labelled = hand.joints[:, 2] > 0

    def problem(fault: str, remedy: str, reason: str, *, fatal: bool = True) -> Problem:
        return Problem(where, f"{name}: {fault}", remedy, fatal, reason, hand.name, hand.picture.split)

    if labelled.sum() < 2:
        fault = f"keypoints has {labelled.sum()} labelled joints"
        yield problem(
            fault, "label at least two, or remove the annotation", "with fewer than two labelled joints"
        )
        return

    if hand.picture.size is not None:
        yield from outside_problems(where, hand, hand.picture.size)

    points = hand.joints[labelled, :2]
    extent = np.ptp(points, axis=0)
    if extent.max() <= 1 and points.min() >= 0 and points.max() <= 1 and extent.max() > 1e-3:
        fault = "keypoints lie between 0 and 1, not in pixels"
        yield problem(fault, "multiply x by the width and y by the height", "with joints between 0 and 1")
        return
    if extent.max() < 1:
        fault = "all keypoints lie on one point (to a pixel)"
        yield problem(fault, "mend them or remove the annotation", "whose joints lie on one point")
        return

    # a bone nearly as long as a fully labelled hand is a slipped label, not a pose
    lengths = {
        child: math.dist(hand.joints[parent, :2], hand.joints[child, :2])
        for parent, child in BONES
        if labelled[parent] and labelled[child]
    }
    longest = max(lengths, key=lambda child: lengths[child], default=0)
    if labelled.all() and lengths[longest] > LONGEST_BONE * math.hypot(*extent):
        fault = f"the bone to {JOINT_NAMES[longest]} is as long as the hand"
        yield problem(fault, "look at its keypoints", "with a bone as long as the hand", fatal=False)


def outside_problems(where: str, hand: HandEntry, size: tuple[int, int]) -> Iterator[Problem]:
    """A joint outside of the picture: a little is drawn too far, a lot is wrong."""
    labelled: Bool[np.ndarray, "21"] = hand.joints[:, 2] > 0
    sides = np.array(size)

    # px beyond the nearest edge; negative inside, 0 where not labelled
    outside = np.maximum(-hand.joints[:, :2], hand.joints[:, :2] - sides).max(axis=1) * labelled
    worst = int(outside.argmax())
    if outside[worst] <= 0:
        return

    x, y = hand.joints[worst, :2]
    place = f"at ({x:g}, {y:g}) lies outside the {size[0]} x {size[1]} px picture"
    fault = f"{hand.name} ({hand.picture.file_name}): keypoint {JOINT_NAMES[worst]} {place}"
    fatal = bool(outside[worst] > OUTSIDE_SHARE * sides.max())
    remedy = "mend it or set its visibility to 0"
    reason = "with a joint far outside the picture"
    yield Problem(where, fault, remedy, fatal, reason, hand.name, hand.picture.split)
