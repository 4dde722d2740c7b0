"""`data check --json` and `data info --json` print one object of numbers and lists, whatever the data."""

import json
import shutil

import pytest


@pytest.fixture
def spoilt(tiny_set, tmp_path):
    """Makes a copy of a sound set with a spoilt annotation file."""

    def make(change):
        root = tmp_path / "set"
        shutil.copytree(tiny_set, root)
        content = json.loads((root / "annotations.json").read_text())
        change(content)
        (root / "annotations.json").write_text(json.dumps(content))
        return root

    return make


def test_a_check_prints_its_oddities_in_the_object_alone(tiny_set, handvae):
    code, printed, error = handvae("data", "check", tiny_set, "--json", "--quiet")
    content = json.loads(printed)
    assert code == 0
    assert error == ""
    assert content["faults"] == len(content["problems"]) == 0
    assert isinstance(content["oddities"], list)


def test_a_missing_picture_is_a_problem_of_the_object_and_the_code_is_2(spoilt, handvae):
    root = spoilt(lambda content: None)
    (root / "images" / "003.png").unlink()
    code, printed, error = handvae("data", "check", root, "--json", "--quiet")
    assert code == 2
    assert len(error.splitlines()) == 1
    assert any("003.png" in problem["where"] for problem in json.loads(printed)["problems"])


@pytest.mark.parametrize("value", [3, "none", {"a": 1}])
def test_a_file_of_wrong_types_still_gives_an_object(value, spoilt, handvae):
    root = spoilt(lambda content: content.update(annotations=value))
    code, printed, _ = handvae("data", "check", root, "--json", "--quiet")
    assert code == 2
    assert json.loads(printed)["faults"] >= 1


def test_info_gives_numbers_and_lists(tiny_set, handvae):
    code, printed, error = handvae("data", "info", tiny_set, "--json")
    assert code == 0, error
    content = json.loads(printed)
    assert content["hands"] == {"count": 48, "read": 48, "left": 0, "right": 48}
    assert content["splits"] == {"train": 32, "test": 16}
    assert content["labelled_joints"]["labelled"] == 1
    assert "joints_2d" in content["labels"]
    assert content["hands_extent"]["min_px"] <= content["hands_extent"]["median_px"]
    assert sum(size["count"] for size in content["picture_sizes"]) > 0
