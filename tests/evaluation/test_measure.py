"""What a measure says of itself."""

import json

import pytest

from handvae.evaluation.measure import Measure, PictureProtocol, PoseProtocol, Stated


def test_a_measure_prints_its_number_unit_n_and_protocol():
    measure = Measure("mpjpe_px", 1.25, "px", 343, Stated("2D, no alignment"))
    assert str(measure) == "mpjpe_px = 1.25 px (N = 343; 2D, no alignment)"


def test_a_pose_protocol_says_root_scale_alignment_and_joints():
    measure = Measure(
        "epe",
        12.578,
        "mm",
        1596,
        PoseProtocol("3D", "palm", "true bone 9-10", "none", "all 16"),
        "mean over joints and frames",
    )
    said = "3D, root palm, scale true bone 9-10, no alignment, all 16 joints"
    assert str(measure) == f"epe = 12.578 mm (N = 1596; mean over joints and frames; {said})"


def test_a_picture_protocol_says_extractor_size_and_batch_norm():
    words = str(PictureProtocol("inception", 64, "eval", "test pictures", "test poses, random appearance"))
    assert all(
        part in words
        for part in (
            "inception",
            "64 px",
            "batch norm eval",
            "test pictures",
            "test poses, random appearance",
        )
    )


def test_equal_protocols_group():
    assert len({PoseProtocol("3D"), PoseProtocol("3D"), PoseProtocol("3D", root="wrist")}) == 2


@pytest.mark.parametrize(("value", "kept"), [(1.5, 1.5), (float("nan"), None), (float("inf"), None)])
def test_the_json_of_a_measure_is_strict(value, kept):
    content = Measure("epe", value, "mm", 3, PoseProtocol("3D")).to_json()
    assert content["value"] == kept
    assert content["protocol"]["alignment"] == "none"
    assert content["protocol_text"].startswith("3D")
    json.dumps(content, allow_nan=False)
