"""One label of a published set that cannot be used is left out and counted; the others stay."""

import json
import pickle

import numpy as np
import pytest
import torch
from scipy.io import loadmat, savemat

from handvae.data.left_out import strict
from handvae.data.open import open_data
from handvae.errors import DataWarning, UserError

NAN = float("nan")


def spoil_json(file, change):
    def spoil(root):
        content = json.loads((root / file).read_text())
        change(content)
        (root / file).write_text(json.dumps(content))

    return spoil


def spoil_mat(file, name, place):
    def spoil(root):
        content = {key: value for key, value in loadmat(root / file).items() if not key.startswith("__")}
        content[name][place] = NAN
        savemat(root / file, content)

    return spoil


def spoil_pickle(file, change):
    def spoil(root):
        content = pickle.loads((root / file).read_bytes())
        change(content)
        (root / file).write_bytes(pickle.dumps(content, protocol=2))

    return spoil


def spoil_text(file, old, new):
    def spoil(root):
        text = (root / file).read_text()
        place = text.index(old)
        (root / file).write_text(text[:place] + new + text[place + len(old) :])

    return spoil


DATA, JOINTS, CAMERA = (
    f"annotations/test/InterHand2.6M_test_{part}.json" for part in ("data", "joint_3d", "camera")
)
RHD = "evaluation/anno_evaluation.pickle"
MSRA_LINE = "P0/1/joint.txt"
XYZ = "evaluation_xyz.json"
CASES = {
    "freihand-nan": (
        "freihand",
        spoil_json(XYZ, lambda xyz: xyz[1][4].__setitem__(2, NAN)),
    ),
    "freihand-null": ("freihand", spoil_json("evaluation_K.json", lambda k: k.__setitem__(0, None))),
    "freihand-short": ("freihand", spoil_json("evaluation_xyz.json", lambda xyz: xyz[0].pop())),
    "freihand-text": ("freihand", spoil_json("evaluation_scale.json", lambda s: s.__setitem__(1, "0.03"))),
    "rhd-nan": ("rhd", spoil_pickle(RHD, lambda frames: frames[1]["xyz"].__setitem__((3, 0), NAN))),
    "rhd-no-camera": ("rhd", spoil_pickle(RHD, lambda frames: frames[2].pop("K"))),
    "rhd-no-dictionary": ("rhd", spoil_pickle(RHD, lambda frames: frames.__setitem__(0, None))),
    "stb-nan": ("stb", spoil_mat("labels/B1Random_BB.mat", "handPara", (1, 4, 1))),
    "nyu-nan": ("nyu", spoil_mat("test/joint_data.mat", "joint_uvd", (0, 1, 3, 2))),
    "icvl-nan": ("icvl", spoil_text("Testing/test_seq_1.txt", ".png 1", ".png nan 1")),
    "icvl-word": ("icvl", spoil_text("Testing/test_seq_2.txt", ".png ", ".png none ")),
    "msra-nan": ("msra", spoil_text(MSRA_LINE, "\n", "\nnan ")),
    "interhand-frame": (
        "interhand",
        spoil_json(JOINTS, lambda j: j["0"]["1"]["world_coord"].__setitem__(3, 0)),
    ),
    "interhand-frame-empty": ("interhand", spoil_json(JOINTS, lambda j: j["0"]["0"].pop("world_coord"))),
    "interhand-type": ("interhand", spoil_json(DATA, lambda d: d["annotations"][1].update(hand_type="both"))),
    "interhand-flags": ("interhand", spoil_json(DATA, lambda d: d["annotations"][0]["joint_valid"].pop())),
    "interhand-picture": ("interhand", spoil_json(DATA, lambda d: d["images"][0].update(file_name=None))),
    "interhand-no-picture": (
        "interhand",
        spoil_json(DATA, lambda d: d["annotations"][0].pop("image_id")),
    ),
    "interhand-id": ("interhand", spoil_json(DATA, lambda d: d["annotations"][1].update(id=0))),
}


@pytest.mark.parametrize("case", CASES)
def test_one_entry_is_left_out_and_counted(case, own_copy):
    name, spoil = CASES[case]
    root, _ = own_copy(name)
    whole = len(open_data(root, "test"))
    if case == "msra-nan":
        # a number too many would be another fault
        path = root / MSRA_LINE
        lines = path.read_text().splitlines()
        lines[1] = "nan " + lines[1].split(" ", 1)[1]
        path.write_text("\n".join(lines) + "\n")
    else:
        spoil(root)

    with pytest.warns(DataWarning, match="left out"):
        data = open_data(root, "test")

    assert 0 < len(data) < whole
    assert data.left_out
    hands = data.labels(torch.arange(len(data)))
    assert torch.isfinite(hands.joints_3d[hands.joint_valid]).all()
    for row in (0, len(data) - 1):
        assert data.name(row)
    with strict(), pytest.raises(UserError):
        open_data(root, "test")


def test_a_picture_keeps_its_own_labels_when_an_entry_before_it_is_left_out(own_copy):
    root, joints = own_copy("freihand")
    spoil_json("training_xyz.json", lambda xyz: xyz[0][0].__setitem__(0, None))(root)
    with pytest.warns(DataWarning, match=r"1 of 3 entries is left out.*training 0"):
        data = open_data(root, "train")
    assert [data.name(row)[-12:] for row in range(4)] == [f"{n:08d}.jpg" for n in (1, 2, 4, 5)]
    torch.testing.assert_close(data.labels(torch.tensor([0, 3])).joints_3d, joints[1:3], atol=1e-3, rtol=0)


def test_a_set_of_which_nothing_is_left_is_refused(own_copy):
    root, _ = own_copy("freihand")
    (root / "evaluation_xyz.json").write_text(json.dumps([[[NAN] * 3] * 21] * 2))
    with pytest.raises(UserError, match=r"evaluation_xyz\.json: holds no entry that can be used"):
        open_data(root, "test")


@pytest.mark.parametrize("fault", ["nan", "no joints", "no pickle"])
def test_a_frame_of_ho3d_that_cannot_be_used_has_no_valid_joint(fault, own_copy):
    root, _ = own_copy("ho3d")
    path = root / "train" / "ABF10" / "meta" / "0001.pkl"
    content = pickle.loads(path.read_bytes())
    if fault == "nan":
        content["handJoints3D"] = np.full((21, 3), NAN)
    if fault == "no joints":
        del content["handJoints3D"]
    path.write_bytes(b"none" if fault == "no pickle" else pickle.dumps(content))

    data = open_data(root)
    with pytest.warns(DataWarning, match=r"0001\.pkl: .*taken for one without labels"):
        hands = data.labels(torch.arange(2))
    assert hands.joint_valid.all(1).tolist() == [True, False]
    assert torch.isfinite(hands.joints_2d).all()
