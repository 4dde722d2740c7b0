"""Every fault of an annotation file ends in one line that names file, field and remedy, before anything is
written."""

import json
import math

import pytest


def keypoint(joint: int, x: object, y: object = 10.0):
    def spoil(content):
        content["annotations"][1]["keypoints"][3 * joint : 3 * joint + 2] = [x, y]

    return spoil


def annotation(**fields: object):
    return lambda content: content["annotations"][1].update(fields)


def picture(**fields: object):
    return lambda content: content["images"][1].update(fields)


FAULTS = {
    "twenty joints": (annotation(keypoints=[10.0, 10.0, 2] * 20), ["annotation 1", "keypoints has 60 numbers", "21"]),
    "no keypoints": (lambda c: c["annotations"][1].pop("keypoints"), ["annotations.1.keypoints", "required"]),
    "NaN keypoint": (keypoint(4, math.nan), ["annotations.1.keypoints.12", "finite"]),
    "infinite keypoint": (keypoint(4, 5.0, math.inf), ["annotations.1.keypoints.13", "finite"]),
    "infinite joint in space": (annotation(keypoints_3d=[[0.0, 0.0, -math.inf]] * 21), ["annotations.1.keypoints_3d.0.2", "finite"]),
    "huge unlabelled keypoint": (annotation(keypoints=[1e39, 0.0, 0] * 21), ["annotations.1.keypoints.0", "less than"]),
    "string for a number": (keypoint(0, "12.5"), ["annotations.1.keypoints.0", "number"]),
    "null for a number": (keypoint(0, None), ["annotations.1.keypoints.0", "number"]),
    "number for a list": (annotation(keypoints=7), ["annotations.1.keypoints", "list"]),
    "keypoint far outside": (keypoint(8, 500.0), ["annotation 1", "index_tip", "(500, 10)", "96 x 96"]),
    "keypoint far to the left": (keypoint(8, -60.0), ["annotation 1", "index_tip", "outside"]),
    "no joint labelled": (annotation(keypoints=[0.0, 0.0, 0] * 21), ["annotation 1", "0 labelled joints"]),
    "all joints on one point": (annotation(keypoints=[5.0, 5.0, 2] * 21), ["annotation 1", "one point"]),
    "all joints nearly on one point": (annotation(keypoints=[5.0, 5.0, 2, 5.0, 5.0 + 1e-9, 2] * 10 + [5.0, 5.0, 2]), ["one point"]),
    "twenty joints in space": (lambda c: c["annotations"][1]["keypoints_3d"].pop(), ["annotation 1", "keypoints_3d has 20"]),
    "a joint in space with two numbers": (lambda c: c["annotations"][1]["keypoints_3d"][5].pop(), ["annotations.1.keypoints_3d.5"]),
    "two pictures of one id": (picture(id=0), ["two images have the id 0"]),
    "two annotations of one id": (annotation(id=0), ["two annotations have the id 0"]),
    "annotation of an unknown picture": (annotation(image_id=404), ["annotation 1", "image_id 404"]),
    "unknown side": (annotation(hand_side="both"), ["annotations.1.hand_side", "left"]),
    "picture without a name": (lambda c: c["images"][1].pop("file_name"), ["images.1.file_name"]),
    "picture without width": (picture(width=0), ["images.1.width"]),
    "absurd width": (picture(width=10**30), ["images.1.width"]),
    "absurd person": (picture(person=10**30), ["images.1.person"]),
    "person as a word": (picture(person="Anna"), ["images.1.person"]),
    "name that climbs out": (picture(file_name="../../x.jpg"), ["../../x.jpg", "leaves"]),
    "absolute name": (picture(file_name="/etc/hostname"), ["/etc/hostname", "leaves"]),
    "name with a null byte": (picture(file_name="images/\0.png"), ["images.1.file_name"]),
    "empty name": (picture(file_name=""), ["images.1.file_name"]),
    "no annotations": (lambda c: c.update(annotations=[]), ["holds no hand"]),
    "no field images": (lambda c: c.pop("images"), ["images", "required"]),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_labels_is_named_and_nothing_is_written(
    fault, small_set, refused, tiny_model, tmp_path
):
    spoil, words = FAULTS[fault]
    root = small_set(spoil)
    line = refused("synthesize", "--model", tiny_model, "--pose", root, "--out", tmp_path / "out")
    assert "annotations.json" in line or str(root) in line
    assert [word for word in words if word not in line] == []
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize(
    "fault", ["NaN keypoint", "annotation of an unknown picture", "name that climbs out"]
)
def test_training_refuses_the_same_faults_and_leaves_no_run(fault, small_set, refused, tiny_flags, tmp_path):
    root = small_set(FAULTS[fault][0])
    line = refused(
        "train",
        "photos-64",
        "--data.root",
        root,
        "--data.split",
        "train",
        "--out",
        tmp_path / "run",
        *tiny_flags,
    )
    assert FAULTS[fault][1][0] in line
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
