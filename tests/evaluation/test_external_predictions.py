"""Files of other people's predictions."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from handvae.errors import UserError
from handvae.evaluation.external_predictions import back_projected, read_joints
from handvae.geometry import project

JOINTS = np.random.default_rng(0).normal(0, 50, (5, 21, 3)) + np.array([0, 0, 500])


def write_npz(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


def write_json(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def write_text(path: Path, joints: np.ndarray) -> Path:
    np.savetxt(path, joints.reshape(len(joints), -1), fmt="%.9f")
    return path


@pytest.fixture
def truth(tmp_path) -> Path:
    return write_npz(tmp_path / "truth.npz", joints=JOINTS)


# ------------------------------------------------------------------------------------------------ --- reading


def test_every_format_reads_the_same(tmp_path):
    named = tmp_path / "named.txt"
    plain = write_text(tmp_path / "plain.txt", JOINTS)
    named.write_text(
        "".join(
            f"image_{n}.png {line.replace(' ', ', ')}\n"
            for n, line in enumerate(plain.read_text().splitlines())
        )
        + "\n"
    )
    files = [
        plain,
        named,
        write_npz(tmp_path / "three.npz", joints=JOINTS, other=np.zeros(3)),
        write_npz(tmp_path / "flat.npz", anything=JOINTS.reshape(5, 63)),
        write_json(tmp_path / "list.json", JOINTS.tolist()),
        write_json(tmp_path / "flat.json", JOINTS.reshape(5, 63).tolist()),
        write_json(tmp_path / "object.json", {"joints": JOINTS.tolist(), "method": "ours"}),
        write_json(tmp_path / "freihand.json", [JOINTS.tolist(), np.zeros((5, 4, 3)).tolist()]),
    ]
    for file in files:
        found = read_joints(file)
        np.testing.assert_allclose(found.joints, JOINTS, atol=1e-8, err_msg=file.name)
        assert found.valid.all()
        assert found.visible is None


def test_labels_and_visibility_are_read_beside_the_joints(tmp_path):
    valid, visible = np.arange(105).reshape(5, 21) % 3 > 0, np.arange(105).reshape(5, 21) % 2
    spoilt = np.where(valid[..., None], JOINTS, np.nan)
    for file in (
        write_npz(tmp_path / "a.npz", joints=spoilt, valid=valid, visible=visible),
        write_json(
            tmp_path / "a.json",
            {"joints": spoilt.tolist(), "valid": valid.tolist(), "visible": visible.tolist()},
        ),
    ):
        found = read_joints(file)
        assert found.valid.numpy().tolist() == valid.tolist()
        assert found.visible is not None
        assert found.visible.numpy().tolist() == (visible > 0).tolist()


def test_back_projection_undoes_projection():
    intrinsics = (588.03, 587.07, 320.0, 240.0)
    camera = torch.tensor([[588.03, 0, 320], [0, 587.07, 240], [0, 0, 1]], dtype=torch.float64)
    joints = torch.from_numpy(JOINTS)
    pixels = torch.cat([project(joints, camera.expand(5, 3, 3)), joints[..., 2:]], -1)
    torch.testing.assert_close(back_projected(pixels, intrinsics), joints)


def nan_at(frame: int, joint: int) -> np.ndarray:
    joints = JOINTS.copy()
    joints[frame, joint, 1] = np.nan
    return joints


BAD = {
    "nan in npz": (lambda p: write_npz(p / "x.npz", joints=nan_at(3, 7)), "joint 7 of frame 3"),
    "nan in text": (lambda p: write_text(p / "x.txt", nan_at(2, 0)), "joint 0 of frame 2"),
    "nan in json": (lambda p: write_json(p / "x.json", nan_at(1, 20).tolist()), "joint 20 of frame 1"),
    "a joint too few": (
        lambda p: write_json(p / "x.json", [*JOINTS.tolist(), JOINTS[0, :20].tolist()]),
        "frame 5 has 20 joints",
    ),
    "no label": (lambda p: write_json(p / "x.json", [[[0, 0, 1], None]]), "not all numbers"),
    "words": (lambda p: write_json(p / "x.json", "none"), "not all numbers"),
    "empty": (lambda p: write_json(p / "x.json", []), "shape"),
    "no json": (lambda p: (p / "x.json").write_text("[[") and p / "x.json", "is not JSON"),
    "uneven lines": (
        lambda p: (p / "x.txt").write_text("1 2 3\n1 2 3 4 5 6\n") and p / "x.txt",
        "line 2 has 6 numbers",
    ),
    "a word in a line": (
        lambda p: (p / "x.txt").write_text("1 2 3\n1 two 3\n") and p / "x.txt",
        "line 2 has 'two'",
    ),
    "four numbers": (
        lambda p: (p / "x.txt").write_text("1 2 3 4\n") and p / "x.txt",
        "no whole number of joints",
    ),
    "not text": (lambda p: (p / "x.txt").write_bytes(b"\xff\xfe\x80") and p / "x.txt", "is not text"),
    "blank": (lambda p: (p / "x.txt").write_text("\n\n") and p / "x.txt", "shape"),
    "pickle": (lambda p: write_npz(p / "x.npz", joints=np.array([{}], object)), "plain arrays"),
    "no archive": (lambda p: (p / "x.npz").write_bytes(b"PK\x03\x04 broken") and p / "x.npz", "plain arrays"),
    "several arrays": (
        lambda p: write_npz(p / "x.npz", a=JOINTS, b=JOINTS),
        "none is called `joints`; it has a, b",
    ),
    "flags": (lambda p: write_npz(p / "x.npz", joints=JOINTS, valid=np.ones((5, 20))), "`valid` has shape"),
    "one axis": (lambda p: write_npz(p / "x.npz", joints=np.zeros(63)), "shape"),
    "complex": (lambda p: write_npz(p / "x.npz", joints=JOINTS + 1j), "not all numbers"),
    "no suffix": (lambda p: p / "x.mat", "suffix '.mat'"),
    "absent": (lambda p: p / "x.npz", "no such file"),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_a_bad_file_is_refused_with_its_fault(case, tmp_path):
    make, fault = BAD[case]
    with pytest.raises(UserError, match="x\\.") as caught:
        read_joints(make(tmp_path))
    assert fault in str(caught.value)


def test_an_array_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match="has no array 'c'; it has a, b"):
        read_joints(write_npz(tmp_path / "x.npz", a=JOINTS, b=JOINTS), array="c")


# ------------------------------------------------------------------------------------------------ --- command


def report(folder: Path) -> dict[str, float]:
    return {
        measure["name"]: measure["value"]
        for measure in json.loads((folder / "report.json").read_text())["measures"]
    }


def test_the_command_measures_a_file_against_another(handvae, truth, tmp_path):
    moved = write_text(tmp_path / "moved.txt", JOINTS + np.array([0, 3, 4]))
    code, said, _ = handvae(
        "evaluate", "--predictions", moved, "--truth", truth, "--within", 4, 6, "--report", tmp_path
    )
    assert code == 0
    assert "3D, root as given, scale as given, no alignment, all 21 labelled joints: epe" in " ".join(
        said.split()
    )
    assert "similarity alignment" in said
    values = report(tmp_path)
    assert values["epe"] == pytest.approx(5, abs=1e-6)
    assert (values["pck@4_mm"], values["pcf@6_mm"]) == (0, 100)


def test_one_line_sums_up_before_the_table(handvae, truth, tmp_path):
    moved = write_text(tmp_path / "moved.txt", JOINTS + np.array([0, 3, 4]))
    _, text, _ = handvae("evaluate", "--predictions", moved, "--truth", truth)
    assert text.splitlines()[0] == "moved.txt against truth.npz (N = 5): 5.0 mm in 3D"


def test_the_command_prints_its_report_as_json(handvae, truth, tmp_path):
    _, text, _ = handvae("evaluate", "--predictions", truth, "--truth", truth, "--json", "--report", tmp_path)
    assert json.loads(text) == json.loads((tmp_path / "report.json").read_text())


def test_the_command_knows_units_roots_and_orders(handvae, truth, tmp_path):
    """The root of STB's order is joint 0 there too, and its middle MCP is joint 9."""
    metres = write_json(tmp_path / "metres.json", ((JOINTS + np.array([30, 0, 0])) / 1000).tolist())
    both = write_json(tmp_path / "truth.json", (JOINTS / 1000).tolist())
    assert (
        handvae(
            "evaluate",
            "--predictions",
            metres,
            "--truth",
            both,
            "--unit",
            "m",
            "--root",
            "wrist",
            "--report",
            tmp_path,
        )[0]
        == 0
    )
    assert report(tmp_path)["epe"] == pytest.approx(0, abs=1e-6)
    moved = JOINTS.copy()
    moved[:, 1:] *= 1.1
    other = write_npz(tmp_path / "other.npz", joints=moved)
    errors = {}
    for order in ("openpose", "rhd"):
        assert (
            handvae(
                "evaluate", "--predictions", other, "--truth", truth, "--order", order, "--report", tmp_path
            )[0]
            == 0
        )
        errors[order] = report(tmp_path)
    assert errors["openpose"]["epe"] == pytest.approx(errors["rhd"]["epe"])
    assert errors["openpose"]["bone_error"] != pytest.approx(errors["rhd"]["bone_error"])


def test_the_command_gives_predictions_in_bone_units_the_true_size(handvae, tmp_path):
    relative = JOINTS - JOINTS[:, :1]
    bones = np.linalg.norm(JOINTS[:, 10] - JOINTS[:, 9], axis=-1)[:, None, None]
    files = (
        write_npz(tmp_path / "p.npz", joints=relative / bones),
        write_npz(tmp_path / "t.npz", joints=JOINTS / 10),
    )
    options = (
        "--unit",
        "cm",
        "--root",
        "wrist",
        "--reroot",
        "truth",
        "--scale",
        "bone-units",
        "--report",
        tmp_path,
    )
    code, said, _ = handvae("evaluate", "--predictions", files[0], "--truth", files[1], *options)
    assert code == 0
    assert (
        "root wrist of the truth, scale given: prediction in bone units times the true bone 9-10"
        in " ".join(said.split())
    )
    assert report(tmp_path)["epe"] == pytest.approx(0, abs=1e-6)


def test_the_command_takes_two_axes_as_pixels(handvae, tmp_path):
    one, two = (write_text(tmp_path / f"{n}.txt", JOINTS[..., :2] + n) for n in (0, 1))
    code, said, _ = handvae(
        "evaluate",
        "--predictions",
        one,
        "--truth",
        two,
        "--axes",
        2,
        "--picture",
        "[224] px",
        "--report",
        tmp_path,
    )
    assert code == 0
    assert "2D, [224] px, root as given" in " ".join(said.split())
    assert report(tmp_path)["mpjpe_px"] == pytest.approx(2**0.5)


@pytest.mark.parametrize(
    ("joints", "fault"),
    [(JOINTS[:4], "4 frames"), (JOINTS[:, :16], "16 joints a frame"), (JOINTS[..., :2], "2 axes")],
)
def test_files_that_do_not_match_are_refused(refused, truth, tmp_path, joints, fault):
    assert fault in refused(
        "evaluate", "--predictions", write_npz(tmp_path / "p.npz", joints=joints), "--truth", truth
    )


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (("--dataset", "icvl"), "icvl has 16"),
        (("--dataset", "msra", "--camera", 1, 1, 0, 0), "--camera"),
        (("--within", 10, 200), "--within"),
        (("--order", "nobody"), "--order"),
        (("--truth-array", "other"), "no array 'other'"),
    ],
)
def test_options_that_do_not_fit_are_refused(refused, truth, options, fault):
    assert fault in refused("evaluate", "--predictions", truth, "--truth", truth, *options)


def test_a_prediction_may_not_leave_out_what_is_labelled(refused, truth, tmp_path):
    valid = np.ones((5, 21), bool)
    valid[2, 3:5] = False
    partial = write_npz(tmp_path / "p.npz", joints=JOINTS, valid=valid)
    assert "leaves out 2 joints" in refused("evaluate", "--predictions", partial, "--truth", truth)


def test_an_icvl_result_file_gives_the_published_number(handvae, data_root, tmp_path):
    file = data_root / "metrics" / "published_predictions.npz"
    if not file.is_file():
        pytest.skip(f"no metrics/published_predictions.npz under {data_root}")
    with np.load(file) as arrays:
        result = write_text(tmp_path / "ICVL_Pose_REN.txt", arrays["icvl__NEUCOM18_ICVL_Pose_REN_uvd"])
    truth = ("--truth", file, "--truth-array", "icvl_gt_uvd")
    assert (
        handvae("evaluate", "--predictions", result, *truth, "--dataset", "icvl", "--report", tmp_path)[0]
        == 0
    )
    assert report(tmp_path)["epe"] == pytest.approx(6.791, abs=5e-4)
