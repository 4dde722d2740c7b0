"""Pictures labelled by finder and reader; the networks see bright rectangles as hands."""

import json

import numpy as np

from bright_hands import picture
from handvae.data.files.pictures import write_picture
from handvae.data.labelling.label import vote
from handvae.hand import LEFT, RIGHT
from handvae.inference.reader_labeller import ReaderLabeller

# squares beside the middle's height: turned views keep them in the picture
BOXES = ((30, 40, 70, 80), (140, 45, 170, 75))


def test_all_views_of_a_picture_are_searched_together(search, monkeypatch):
    asked = []
    find = search.find

    def counted(self, pictures, *options):
        asked.append(len(pictures))
        return find(pictures, *options)

    monkeypatch.setattr(type(search), "find", counted)
    votes = vote(ReaderLabeller(search, "mine"), picture(BOXES[0]))
    assert asked == [3]
    (only,) = votes
    assert only.hand.side == RIGHT
    np.testing.assert_allclose(only.hand.joints_2d.mean(0), [50, 60], atol=3)


def test_a_side_that_is_given_outranks_the_recognised_one(search):
    (only,) = vote(ReaderLabeller(search, "mine", "left"), picture(BOXES[0]))
    assert only.hand.side == LEFT


def test_a_set_has_all_hands_of_its_pictures(search, handvae, tmp_path):
    (tmp_path / "photos").mkdir()
    write_picture(tmp_path / "photos" / "a.png", picture(*BOXES))
    write_picture(tmp_path / "photos" / "b.png", picture())
    words = ("data", "label", tmp_path / "photos", "--most-spread", "9", "--out", tmp_path / "set")
    code, said, error = handvae(*words)
    assert code == 0, error
    assert "2 hands from 2 pictures" in said
    content = json.loads((tmp_path / "set" / "annotations.json").read_text())
    assert len(content["images"]) == 1
    assert len(content["annotations"]) == 2
    assert "no hand found" in (tmp_path / "set" / "left_out.txt").read_text()
