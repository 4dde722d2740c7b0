"""Where the hands of a photo are: in a box, where labels next to it say, or where the finder finds them."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from handvae.choices import Side
from handvae.data.crop import Crop
from handvae.data.hands import Hands
from handvae.errors import DataWarning, UserError
from handvae.geometry import joints_box
from handvae.hand import LEFT, RIGHT
from handvae.inference.crops import HandCrop, check_box, crop_by_labels, crop_square, labels_beside
from handvae.inference.depth_input import DepthFormat
from handvae.inference.finding import HandSearch, Picture, SeenHand
from handvae.inference.networks import Device, device_of
from handvae.inference.pictures import PictureSource, read_rgb, source_name, source_path
from handvae.inference.sides import shown_side
from handvae.inference.square import Box, Square
from handvae.systems.hand_reader import HandReader
from handvae.systems.system import Generator, PoseEstimator

FOUND = "the hand finder"
"""How a crop was found that the finder found."""
GIVEN = "the given box"
LABELLED = "the keypoints' box in annotations.json"


@dataclass(frozen=True)
class Located:
    """Which hands of an input are wanted, and where they are."""

    side: Side | None = None
    """None: as a file of joints or the labels next to a photo tell, else as it is recognised."""
    box: Box | None = None
    """x, y, width, height of a hand's joints, px; None: as labels next to a photo tell, else it is searched
    for, or what is nearest in a depth picture."""
    min_score: float = 0.5
    """Least probability of a hand that is searched for."""
    max_hands: int = 10
    """Hands of a photo that are searched for, at most."""
    depth: DepthFormat = field(default_factory=DepthFormat)


@dataclass(frozen=True, eq=False)
class Photo:
    """A picture, decoded."""

    source: Path | None
    """None for a picture in memory."""
    pixels: Picture

    @classmethod
    def read(cls, source: PictureSource, box: Box | None = None) -> "Photo":
        """Decode a picture.

        Raises:
            UserError: the file is missing or damaged, or the box does not lie in it.
            TypeError: as `read_rgb`.
            ValueError: as `read_rgb`.
        """
        pixels = read_rgb(source)
        if box is not None:
            height, width = pixels.shape[:2]
            check_box(source_name(source), box, width, height)
        return cls(source_path(source), pixels)


@dataclass(frozen=True, eq=False)
class _Place:
    """A hand of a photo, before it is cut for a model."""

    photo: Photo
    square: Square | None
    """None: the labels tell."""
    located_by: str
    side: Side | None = None
    """None: not told."""
    labels: Hands | None = None
    seen: SeenHand | None = None


@dataclass(frozen=True, eq=False)
class PhotoCutter:
    """Cuts the hands of photos out, as a model sees them."""

    crop: Crop
    shows: Side | None
    """The side that its crops show, the other one being mirrored; None: hands as they are."""
    reader: HandReader | None = None
    """The model itself, where it is a reader: then all crops are read."""
    device: Device = "cpu"

    @classmethod
    def of(cls, system: PoseEstimator) -> "PhotoCutter":
        """The cutter of a model that reads hands; what it needs besides runs where the model does."""
        if isinstance(system, HandReader):
            return cls(system.crop, None, system, device_of(system))
        return cls(system.crop, shown_side(system), None, device_of(system))

    @classmethod
    def of_generator(cls, system: Generator) -> "PhotoCutter":
        """The cutter of a model that makes hands: one of both sides sees them as they are."""
        shows = None if system.spec.sides == "both" else shown_side(system)
        return cls(system.crop, shows, None, device_of(system))

    def cut(self, photos: Sequence[Photo], located: Located) -> list[list[HandCrop]]:
        """The hands of photos.

        Labels next to a photo tell all its hands, unless a box is given; without either they are searched
        for.

        Raises:
            UserError: a shipped model that searches is not there.
        """
        places = self._places(photos, located)
        places = self._recognised(places, located)
        return [[self._cut(place, located) for place in own] for own in places]

    def _places(self, photos: Sequence[Photo], located: Located) -> list[list[_Place]]:
        margin = self.crop.margin
        if located.box is not None:
            square = Square.of_box(located.box, margin)
            return [[_Place(photo, square, GIVEN, located.side)] for photo in photos]

        places: list[list[_Place]] = []
        unknown = []
        for photo in photos:
            labels = None if photo.source is None else labels_beside(photo.source)
            places.append([] if labels is None else _labelled(photo, labels))
            if labels is None:
                unknown.append(photo)

        if unknown:
            found = iter(
                self._search().find([photo.pixels for photo in unknown], located.min_score, located.max_hands)
            )
            for number, photo in enumerate(photos):
                if photo in unknown:
                    places[number] = [_found(photo, hand, margin) for hand in next(found)]
        return places

    def _recognised(self, places: list[list[_Place]], located: Located) -> list[list[_Place]]:
        """Read the hands that were not read yet, where the model is a reader or their side is not told."""

        def is_to_be_read(place: _Place) -> bool:
            untold = located.side is None and place.side is None
            return place.seen is None and (self.reader is not None or (self.shows is not None and untold))

        rest = [place for own in places for place in own if is_to_be_read(place)]
        if not rest:
            return places

        search = self._search()
        squares = [[place.square or _square(place, search.reader.crop.margin)] for place in rest]
        seen = search.look([place.photo.pixels for place in rest], squares)
        read = {id(place): replace(place, seen=hands[0]) for place, hands in zip(rest, seen, strict=True)}
        return [[read.get(id(place), place) for place in own] for own in places]

    def _cut(self, place: _Place, located: Located) -> HandCrop:
        photo, seen = place.photo, place.seen
        # what labels tell outranks the caller, who speaks of all hands
        told = place.side or located.side
        side: Side = told or (seen.side if seen is not None else "right")
        mirror = self.shows is not None and side != self.shows

        if place.labels is not None and self.reader is None:
            labels = replace(place.labels, side=torch.tensor([LEFT if side == "left" else RIGHT]))
            crop = replace(self.crop, sides="keep" if self.shows is None else self.shows)
            cut = crop_by_labels(photo.source, photo.pixels, labels, crop)
        else:
            square = place.square or _square(place, self.crop.margin)
            if seen is not None and place.located_by == FOUND and self.reader is not None:
                square = seen.square
            cut = crop_square(photo.source, photo.pixels, square, self.crop, place.located_by, mirror)

        return replace(
            cut,
            side=side,
            side_score=None if told or seen is None else seen.side_score,
            score=None if seen is None else seen.score,
            seen=seen if self.reader is not None else None,
        )

    def _search(self) -> HandSearch:
        search = HandSearch.open(device=self.device)
        return search if self.reader is None else replace(search, reader=self.reader)


def one_hand(
    source: PictureSource, system: PoseEstimator, box: Box | None = None, side: Side | None = None
) -> HandCrop:
    """The one hand of a photo that is wanted: in the box, the first that labels name, or the surest found.

    Args:
        source: the photo.
        system: sees the crop.
        box: of the hand's joints, px.
        side: which hand it is; None: as it is told or recognised.

    Raises:
        UserError: the picture cannot be read, the box does not lie in it, or no hand is found.
    """
    crop = _first_hand(source, system, box, side)
    if crop is None:
        fault, remedy = "no hand is found in it", "give the box of its joints, or another photo"
        raise UserError(source_name(source), fault, remedy)
    return crop


def one_hand_each(
    sources: Sequence[PictureSource],
    system: PoseEstimator,
    box: Box | None = None,
    side: Side | None = None,
) -> list[HandCrop]:
    """The one hand of each photo; of several photos, those without a hand are left out with a warning.

    Args:
        sources: the photos.
        system: as in `one_hand`, which takes a single photo.
        box: likewise, in every photo.
        side: likewise.

    Raises:
        UserError: as `one_hand`, of a single photo; or no photo shows a hand.
    """
    if len(sources) == 1:
        return [one_hand(sources[0], system, box, side)]

    crops = [_first_hand(source, system, box, side) for source in sources]
    empty = [source_name(source) for source, crop in zip(sources, crops, strict=True) if crop is None]
    if len(empty) == len(sources):
        raise UserError(
            empty[0], f"no hand is found in it, nor in {len(empty) - 1} others", "give other photos"
        )
    if empty:
        left_out = f"{len(empty)} of {len(sources)} photos are left out"
        warnings.warn(f"{left_out}: no hand is found in {', '.join(empty[:3])}", DataWarning, stacklevel=2)
    return [crop for crop in crops if crop is not None]


def _first_hand(
    source: PictureSource, system: PoseEstimator, box: Box | None, side: Side | None
) -> HandCrop | None:
    is_generator = isinstance(system, Generator)
    cutter = PhotoCutter.of_generator(system) if is_generator else PhotoCutter.of(system)
    (crops,) = cutter.cut([Photo.read(source, box)], Located(side, box, max_hands=1))
    return crops[0] if crops else None


def _labelled(photo: Photo, labels: Hands) -> list[_Place]:
    sides: dict[int, Side] = {LEFT: "left", RIGHT: "right"}
    told: list[Side | None] = [None] * len(labels)
    if labels.side is not None:
        told = [sides.get(side) for side in labels.side.tolist()]
    return [_Place(photo, None, LABELLED, side, labels[row : row + 1]) for row, side in enumerate(told)]


def _found(photo: Photo, hand: SeenHand, margin: float) -> _Place:
    return _Place(photo, Square.of_joints(hand.joints_2d, margin), FOUND, None, None, hand)


def _square(place: _Place, margin: float) -> Square:
    """Round the labelled joints of a place."""
    assert place.labels is not None, "what is not labelled has a square"
    joints, valid = place.labels.require_all("joints_2d", "joint_valid")
    centre, side_px = joints_box(joints, valid, margin=margin)
    x, y = centre[0].tolist()
    return Square((x, y), float(side_px[0]))
