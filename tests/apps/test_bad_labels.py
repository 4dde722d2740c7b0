"""Every fault of an annotation file ends in one line that names file, field and remedy, before anything is
written."""

import json
import math
import re

import pytest


def keypoint(joint: int, x: object, y: object = 10.0):
    def spoil(content):
        content["annotations"][1]["keypoints"][3 * joint : 3 * joint + 2] = [x, y]

    return spoil


def annotation(**fields: object):
    return lambda content: content["annotations"][1].update(fields)


def picture(**fields: object):
    return lambda content: content["images"][1].update(fields)


# what is wrong, and words of what `data check` says of it
UNUSABLE = {
    "twenty joints": (annotation(keypoints=[10.0, 10.0, 2] * 20), ["annotation 1", "keypoints has 60 numbers", "21"]),
    "no keypoints": (lambda c: c["annotations"][1].pop("keypoints"), ["annotations.1.keypoints", "required"]),
    "NaN keypoint": (keypoint(4, math.nan), ["annotations.1.keypoints.12", "finite"]),
    "infinite keypoint": (keypoint(4, 5.0, math.inf), ["annotations.1.keypoints.13", "finite"]),
    "infinite joint in space": (annotation(keypoints_3d=[[0.0, 0.0, -math.inf]] * 21), ["annotations.1.keypoints_3d.0.2", "finite"]),
    "huge keypoint": (annotation(keypoints=[1e39, 0.0, 2] * 21), ["annotations.1.keypoints.0", "less than"]),
    "string for a number": (keypoint(0, "12.5"), ["annotations.1.keypoints.0", "number"]),
    "null for a number": (keypoint(0, None), ["annotations.1.keypoints.0", "number"]),
    "number for a list": (annotation(keypoints=7), ["annotations.1.keypoints", "list"]),
    "a visibility that is none": (annotation(keypoints=[10.0, 10.0, 7] * 21), ["annotation 1", "visibility 7", "0, 1 or 2"]),
    "keypoint far outside": (keypoint(8, 500.0), ["annotation 1", "index_tip", "(500, 10)", "96 x 96"]),
    "keypoint far to the left": (keypoint(8, -60.0), ["annotation 1", "index_tip", "outside"]),
    "no joint labelled": (annotation(keypoints=[0.0, 0.0, 0] * 21), ["annotation 1", "0 labelled joints"]),
    "all joints on one point": (annotation(keypoints=[5.0, 5.0, 2] * 21), ["annotation 1", "one point"]),
    "all joints nearly on one point": (annotation(keypoints=[5.0, 5.0, 2, 5.0, 5.0 + 1e-9, 2] * 10 + [5.0, 5.0, 2]), ["one point"]),
    "joints between 0 and 1": (annotation(keypoints=[number / 25 for j in range(21) for number in (j, 20 - j, 50)]), ["between 0 and 1", "multiply"]),
    "twenty joints in space": (lambda c: c["annotations"][1]["keypoints_3d"].pop(), ["annotation 1", "keypoints_3d has 20"]),
    "a joint in space with two numbers": (lambda c: c["annotations"][1]["keypoints_3d"][5].pop(), ["annotations.1.keypoints_3d.5"]),
    "a crowd": (annotation(iscrowd=1), ["annotation 1", "crowd"]),
    "a crowd as a word": (annotation(iscrowd=True), ["annotation 1", "crowd"]),
    "annotation of an unknown picture": (annotation(image_id=404), ["annotation 1", "image_id 404"]),
    "picture without a name": (lambda c: c["images"][1].pop("file_name"), ["images.1.file_name"]),
    "absurd width": (picture(width=10**30), ["images.1.width"]),
    "name with a null byte": (picture(file_name="images/\0.png"), ["images.1.file_name"]),
    "empty name": (picture(file_name=""), ["images.1.file_name"]),
    "annotation that is none": (lambda c: c["annotations"].__setitem__(1, None), ["annotations.1"]),
    "picture that is none": (lambda c: c["images"].__setitem__(1, 7), ["images.1"]),
}  # fmt: skip
"""Entries that no reader can use; the others of their file are read."""

HARMLESS = {
    "two annotations of one id": annotation(id=0),
    "person as a word": picture(person="Anna"),
    "absurd person": picture(person=10**30),
    "unknown side": annotation(hand_side="both"),
    "no side": annotation(hand_side=""),
    "ids as text": lambda c: [p.update(id=str(p["id"])) for p in c["images"]],
    "ids as words": lambda c: (
        [p.update(id=f"frame_{p['id']}") for p in c["images"]],
        [a.update(image_id=f"frame_{a['image_id']}") for a in c["annotations"]],
    ),
    "whole numbers with a point": lambda c: [
        a.update(id=float(a["id"]), image_id=float(a["image_id"])) for a in c["annotations"]
    ],
    "no width": picture(width=None),
    "width 0": picture(width=0),
    "neither width nor height": lambda c: [p.pop(side) for p in c["images"] for side in ("width", "height")],
    "null where no label is": lambda c: c["annotations"][1]["keypoints"].__setitem__(
        slice(6, 9), [None, None, 0]
    ),
    "NaN where no label is": lambda c: c["annotations"][1]["keypoints"].__setitem__(
        slice(6, 9), [math.nan, math.nan, 0]
    ),
    "triples": lambda c: c["annotations"][1].update(
        keypoints=[c["annotations"][1]["keypoints"][i : i + 3] for i in range(0, 63, 3)]
    ),
    "a digit that is none": picture(digit="four"),
    "a licence that is none": lambda c: c.update(licenses=[3]),
    "categories without names": lambda c: c.update(categories=[{"id": 1, "name": "hand"}, 4]),
}
"""What means one thing only, or what hands can do without: every hand is read."""

REFUSED = {
    "name that climbs out": (picture(file_name="../../x.jpg"), ["../../x.jpg", "leaves"]),
    "absolute name": (picture(file_name="/etc/hostname"), ["/etc/hostname", "leaves"]),
    "no annotations": (lambda c: c.update(annotations=[]), ["holds no hand"]),
    "no field images": (lambda c: c.pop("images"), ["images", "required"]),
}
"""Files that mean harm, or hold nothing."""


@pytest.mark.parametrize("fault", UNUSABLE)
def test_what_cannot_be_used_is_left_out_counted_and_explained(fault, small_set, handvae):
    root = small_set(UNUSABLE[fault][0])
    code, said, error = handvae("data", "info", root)
    assert code == 0, error
    assert re.search(r"hands +2\b", said)
    assert "is left out: 1" in said


@pytest.mark.parametrize("fault", UNUSABLE)
def test_a_check_names_the_field_and_the_remedy(fault, small_set, handvae):
    spoil, words = UNUSABLE[fault]
    code, _, error = handvae("data", "check", small_set(spoil))
    assert code == 2
    assert [word for word in words if word not in error] == []


@pytest.mark.parametrize("fault", UNUSABLE)
def test_strictly_nothing_is_left_out_and_nothing_written(fault, small_set, refused, tiny_model, tmp_path):
    root = small_set(UNUSABLE[fault][0])
    line = refused("synthesize", "--model", tiny_model, "--pose", root, "--out", tmp_path / "out", "--strict")
    assert "left out" in line
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize("form", HARMLESS)
def test_every_hand_is_read_of_what_other_tools_write(form, small_set, handvae):
    code, said, error = handvae("data", "info", small_set(HARMLESS[form]))
    assert (code, error) == (0, "")
    assert re.search(r"hands +3\b", said)


@pytest.mark.parametrize("fault", UNUSABLE)
def test_a_file_of_which_nothing_can_be_used_is_refused_with_its_first_fault(fault, small_set, refused):
    def spoil(content):
        UNUSABLE[fault][0](content)
        for name in ("annotations", "images"):
            content[name] = content[name][1:2]
        # it stands first now
        if isinstance(content["images"][0], dict):
            content["images"][0]["id"] = 1

    assert "annotations.json" in refused("data", "info", small_set(spoil))


@pytest.mark.parametrize("fault", REFUSED)
def test_a_file_that_means_harm_is_refused_and_nothing_is_written(
    fault, small_set, refused, tiny_model, tmp_path
):
    spoil, words = REFUSED[fault]
    line = refused("synthesize", "--model", tiny_model, "--pose", small_set(spoil), "--out", tmp_path / "out")
    assert [word for word in words if word not in line] == []
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_training_refuses_strictly_and_leaves_no_run(small_set, refused, tiny_flags, tmp_path):
    root = small_set(UNUSABLE["NaN keypoint"][0])
    words = ("train", "photos-64", "--data.root", root, "--data.split", "train", "--out", tmp_path / "run")
    line = refused(*words, *tiny_flags, "--strict")
    assert "faulty field" in line
    assert not (tmp_path / "run").exists()


FILES = {
    "empty": (b"", ["the file"]),
    "no JSON": (b"keypoints: 3", ["Invalid JSON"]),
    "cut off": (b'{"images": [], "annotations": [', ["Invalid JSON"]),
    "a list": (b"[1, 2]", ["the file"]),
    "a number": (b"3", ["the file"]),
    "no text": (bytes(range(256)), ["Invalid JSON"]),
    "nested without end": (b"[" * 500_000, ["Invalid JSON"]),
    "objects nested without end": (b'{"images":' * 500_000, ["Invalid JSON"]),
}


@pytest.mark.parametrize("fault", FILES)
@pytest.mark.parametrize("command", ["info", "check"])
def test_a_file_that_is_no_annotation_is_refused(fault, command, refused, tmp_path):
    content, words = FILES[fault]
    (tmp_path / "annotations.json").write_bytes(content)
    line = refused("data", command, tmp_path)
    assert str(tmp_path / "annotations.json") in line
    assert [word for word in words if word not in line] == []
    assert len(line) < 500


def test_a_folder_called_annotations_json_is_no_annotation(refused, tmp_path):
    (tmp_path / "annotations.json").mkdir()
    line = refused("data", "info", tmp_path)
    assert "annotations.json" in line
    assert "did you mean" not in line


def test_an_annotation_of_another_name_is_suggested(refused, tmp_path):
    (tmp_path / "annotation.json").write_text("{}")
    assert "did you mean" in refused("data", "info", tmp_path)


@pytest.mark.parametrize("command", [("data", "info"), ("data", "check")])
def test_a_folder_that_is_not_there_is_named(command, refused, tmp_path):
    line = refused(*command, tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in line
    assert "no such folder" in line


def test_an_unknown_split_names_the_known_ones(tiny_set, refused):
    line = refused("data", "info", tiny_set, "--split", "validation")
    assert "'validation'" in line
    assert "test, train" in line


def test_a_split_asked_of_a_set_without_splits_says_how_to_read_it_all(small_set, refused, tiny_model):
    def forget(content):
        for picture in content["images"]:
            del picture["split"]

    line = refused("evaluate", tiny_model, small_set(forget))
    assert "split" in line
    assert "split None" in line


def test_a_check_lists_every_fault_and_ends_with_their_number(small_set, handvae):
    def spoil(content):
        content["annotations"][0]["image_id"] = 404
        content["annotations"][2]["keypoints"] = [1.0]

    code, _, error = handvae("data", "check", small_set(spoil))
    assert code == 2
    lines = error.splitlines()
    assert [line.startswith("fault: ") for line in lines] == [True, True, False]
    assert "2 faults" in lines[-1]


def test_a_check_of_a_sound_set_says_so(small_set, handvae):
    code, said, error = handvae("data", "check", small_set())
    assert code == 0
    assert error == ""
    assert "no fault" in said


def test_the_info_of_a_set_counts_hands_and_people(tiny_set, handvae):
    code, said, _ = handvae("data", "info", tiny_set, "--split", "train")
    assert code == 0
    assert "32 (0 left, 32 right)" in said
    assert "96 x 96" in said
    assert json.loads((tiny_set / "annotations.json").read_text())["images"][0]["person"] == 0
