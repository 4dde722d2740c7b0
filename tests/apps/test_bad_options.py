"""Options and arguments that cannot be followed: one line, exit code 2, nothing written."""

import json

import pytest

from handvae.hand import POSE_NAMES
from handvae.systems.srv_vae import SrvVaeConfig
from handvae.training.checkpoint import save_model


@pytest.fixture
def synthesize(refused, tiny_model, tmp_path):
    """Runs `synthesize`, which must refuse its options and write nothing; returns the line."""

    def run(*options: object) -> str:
        before = sorted(tmp_path.rglob("*"))
        line = refused("synthesize", "--model", tiny_model, "--out", tmp_path / "out", *options)
        assert sorted(tmp_path.rglob("*")) == before
        return line

    return run


# ------------------------------------------------------------------------------------------- - mistyped words


@pytest.mark.parametrize(
    ("typed", "meant"), [("synthesise", "synthesize"), ("tarin", "train"), ("evalute", "evaluate")]
)
def test_a_mistyped_command_is_answered_with_the_nearest(typed, meant, refused):
    assert f"did you mean handvae {meant}?" in refused(typed)


def test_a_word_that_is_near_no_command_points_to_the_help(refused):
    assert "handvae --help" in refused("xyzzy")


def test_a_mistyped_preset_is_answered_with_the_nearest(refused, tiny_set, tmp_path):
    line = refused("train", "photos-46", "--data.root", tiny_set, "--out", tmp_path / "run")
    assert "photos-46" in line
    assert "did you mean photos-64?" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("arguments", [(), ("--data.root", "x")], ids=["nothing", "options first"])
def test_training_without_a_preset_lists_them(arguments, handvae):
    code, said, error = handvae("train", *arguments)
    assert code == 2
    assert len(error.splitlines()) == 1
    assert all(name in said for name in ("photos-64", "srv-vae-2d"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--train.stepz", "3"], ["--train.stepz", "did you mean --train.steps"]),
        (["--train.steps", "many"], ["--train.steps", "many"]),
        (["--train.steps", "0"], ["steps is at least 1"]),
        (["--train.batch", "0"], ["batch"]),
        (["--train.lr", "nan"], ["lr"]),
        (["--train.lr", "-1"], ["lr"]),
        (["--train.workers", "0"], ["workers"]),
        (["--train.ema", "1"], ["ema"]),
        (["--train.seed", "-1"], ["seed"]),
        (["--train.epochs", "0"], ["epochs"]),
        (["--train.schedule", "linear"], ["linear", "cosine"]),
        (["--system.pose", "3d"], ["pose='2d'"]),
        (["--system.teacher-forcing", "1.5"], ["teacher_forcing"]),
        (["--system.encoder-widths", "8", "0"], ["encoder_widths"]),
        (["--crop.size-px", "50"], ["50 px", "use a multiple of 16, such as 48"]),
        (["--crop.margin", "0.5"], ["margin"]),
        (["--augment.noise", "-1"], ["noise is -1"]),
        (["--augment.scale", "1"], ["scale is 1"]),
        (["--augment.mirror", "nan"], ["mirror is nan"]),
        (["--augment.mirror", "0.5"], ["--crop.sides", "right"]),
        (["--data.split", "validation"], ["'validation'", "test, train"]),
    ],
)
def test_a_wrong_training_option_is_named_and_no_run_begins(
    options, words, refused, tiny_set, tiny_flags, tmp_path
):
    line = refused(
        "train",
        "photos-64",
        "--data.root",
        tiny_set,
        "--out",
        tmp_path / "run",
        *tiny_flags,
        "--train.steps",
        "1",
        *options,
    )
    assert [word for word in words if word not in line] == []
    assert "handvae train photos-64 --help" in line or ";" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["synthesize", "transfer", "walk", "data", "train photos-64", "evaluate"])
def test_a_required_option_that_is_absent_is_named(command, refused):
    line = refused(*command.split())
    assert f"see handvae {command} --help" in line


@pytest.mark.parametrize(
    "command",
    [
        *(
            "demo",
            "synthesize --pose open --out x",
            "transfer a.jpg open",
            "walk open fist",
            "estimate a.jpg",
            "data info x",
        ),
        *("train photos-64 --data.root x --out y", "evaluate photos-64 x"),
    ],
)
def test_an_unknown_option_is_named_by_every_command(command, refused):
    assert "--no-such-option" in refused(*command.split(), "--no-such-option")


# --------------------------------------------------------------------------------------------- -------- poses


def test_an_unknown_pose_is_answered_with_the_nearest_or_with_all(synthesize):
    line = synthesize("--pose", "victroy")
    assert "victroy" in line
    assert "did you mean victory?" in line
    assert all(name in synthesize("--pose", "xyzzy") for name in POSE_NAMES)


def pose(**changes: object) -> object:
    return {"keypoints": [[float(joint), float(joint % 5)] for joint in range(21)]} | changes


POSES = {
    "twenty joints": (
        [[1.0, 2.0]] * 20,
        "pose 0: list should have at least 21 items after validation, not 20",
    ),
    "one number a joint": ([[float(joint)] for joint in range(21)], "21"),
    "joints of mixed length": ([[1.0, 2.0]] * 20 + [[1.0, 2.0, 3.0]], "21"),
    "no pose": ([], "no pose"),
    "an estimate of no hand": ({"hands": []}, "no pose"),
    "another object": ({"joints": []}, "21"),
    "words": ([["a", "b"]] * 21, "pose 0, joint 0: "),
    "all on one point": ([[3.0, 3.0]] * 21, "one point"),
    "null": (None, "21"),
    "a number": (3, "21"),
}


@pytest.mark.parametrize("fault", POSES)
def test_a_pose_file_that_holds_no_pose_is_refused(fault, synthesize, tmp_path):
    content, word = POSES[fault]
    path = tmp_path / "pose.json"
    path.write_text(json.dumps(content))
    line = synthesize("--pose", path)
    assert str(path) in line
    assert word in line


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "1e39"])
def test_a_pose_file_with_a_number_that_is_not_finite_is_refused(number, synthesize, tmp_path):
    path = tmp_path / "pose.json"
    path.write_text(json.dumps(pose()).replace("[7.0", f"[{number}"))
    line = synthesize("--pose", path)
    assert str(path) in line
    assert "pose 0, joint 7, number 0" in line


@pytest.mark.parametrize(
    "content", [b"", b"victory", b"[" * 300_000, bytes(range(256))], ids=["empty", "text", "nested", "bytes"]
)
def test_a_pose_file_that_is_no_json_is_refused(content, synthesize, tmp_path):
    path = tmp_path / "pose.json"
    path.write_bytes(content)
    assert str(path) in synthesize("--pose", path)


def test_an_unknown_view_lists_the_known_ones(synthesize):
    line = synthesize("--pose", "open", "--view", "top")
    assert "--view" in line
    assert "palm, back" in line


def test_a_data_set_in_which_no_hand_is_whole_gives_no_pose(synthesize, small_set):
    def hide(content):
        for row in content["annotations"]:
            row["keypoints"][-1] = 0

    assert "all 21 keypoints" in synthesize("--pose", small_set(hide))


# ---------------------------------------------------------------------------------------- numbers and folders


@pytest.mark.parametrize("count", ["0", "-3", "few", "99999999999999"])
def test_a_count_of_none_or_of_more_than_memory_holds_is_refused(count, synthesize):
    assert "-n" in synthesize("--pose", "open", "-n", count)


@pytest.mark.parametrize("command", ["synthesize --pose open", "walk open fist", "demo"])
def test_a_negative_seed_is_refused(command, refused, tiny_model, tmp_path):
    line = refused(*command.split(), "--model", tiny_model, "--out", tmp_path / "out", "--seed", "-1")
    assert "seed" in line
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_appearance_is_refused(synthesize, tmp_path):
    assert "nobody.jpg" in synthesize("--pose", "open", "--appearance", tmp_path / "nobody.jpg")


def test_an_out_folder_that_holds_something_is_refused_and_kept(synthesize, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    line = synthesize("--pose", "open")
    assert "already exists" in line
    assert "--overwrite" in line


def test_a_folder_that_cannot_be_made_is_refused(synthesize, refused, tiny_model, tmp_path):
    (tmp_path / "file").write_text("")
    line = refused("synthesize", "--model", tiny_model, "--pose", "open", "--out", tmp_path / "file" / "out")
    assert "file" in line


@pytest.mark.parametrize("text", ["1,2,3", "1,2,3,4,5", "a,b,c,d", "1;2;3;4"])
def test_a_box_that_is_not_four_numbers_is_refused(text, refused, tiny_model, tiny_set, tmp_path):
    photo = tiny_set / "images" / "000.png"
    line = refused("estimate", photo, "--model", tiny_model, "--out", tmp_path / "out", f"--box={text}")
    assert "--box" in line
    assert "x,y,width,height" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "box",
    [
        "100,0,20,20",
        "0,-30,20,20",
        "10,10,0,20",
        "10,10,20,-5",
        "nan,0,10,10",
        "0,0,inf,10",
        "0,0,1e30,1e30",
        "5,5,1e-30,1e-30",
    ],
)
def test_a_box_that_does_not_lie_in_the_picture_is_refused(box, refused, tiny_model, tiny_set, tmp_path):
    photo = tiny_set / "images" / "000.png"
    line = refused("estimate", photo, "--model", tiny_model, "--out", tmp_path / "out", f"--box={box}")
    assert "--box" in line
    assert "96 x 96" in line
    assert not (tmp_path / "out").exists()


def test_a_side_that_is_neither_is_refused(refused, tiny_model, tiny_set, tmp_path):
    line = refused(
        "estimate",
        tiny_set / "images" / "000.png",
        "--model",
        tiny_model,
        "--out",
        tmp_path / "out",
        "--side",
        "both",
    )
    assert "left" in line
    assert not (tmp_path / "out").exists()


def test_estimate_without_a_photo_says_so(refused, tiny_model):
    assert "photo" in refused("estimate", "--model", tiny_model)


@pytest.mark.parametrize("name", ["sheet", "sheet.txt"])
def test_a_sheet_in_no_picture_format_is_refused(name, refused, tiny_model, tiny_set, tmp_path):
    photo = tiny_set / "images" / "000.png"
    line = refused("transfer", photo, "open", "--model", tiny_model, "--out", tmp_path / name)
    assert name in line
    assert ".png" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("most", ["0", "-1"])
def test_a_sheet_of_no_pose_is_refused(most, refused, tiny_model, tiny_set, tmp_path):
    photo = tiny_set / "images" / "000.png"
    assert "--most" in refused(
        "transfer", photo, "open", "--model", tiny_model, "--out", tmp_path / "a.png", "--most", most
    )
    assert list(tmp_path.iterdir()) == []


def test_a_demo_of_photos_that_are_not_there_begins_nothing(refused, tiny_model, tmp_path):
    line = refused("demo", "--model", tiny_model, "--photos", tmp_path / "nowhere", "--out", tmp_path / "out")
    assert "nowhere" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("frames", ["1", "0", "-4", "100000000"])
def test_a_walk_of_less_than_two_frames_or_of_more_than_memory_holds_is_refused(
    frames, refused, tiny_model, tmp_path
):
    line = refused(
        "walk", "open", "fist", "--model", tiny_model, "--out", tmp_path / "walk.gif", "--frames", frames
    )
    assert "--frames" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["walk.png", "walk", "walk.mp4"])
def test_a_walk_is_written_as_what_its_name_says_or_not_at_all(name, refused, tiny_model, tmp_path):
    assert ".gif" in refused("walk", "open", "fist", "--model", tiny_model, "--out", tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_get_its_name_is_called_by_it(refused, tiny_model, tmp_path):
    """It is written beside it first, under a name that means nothing to the user."""
    (tmp_path / "walk.gif").mkdir()
    line = refused(
        "walk", "open", "fist", "--model", tiny_model, "--out", tmp_path / "walk.gif", "--frames", 2
    )
    assert f"{tmp_path / 'walk.gif'}: " in line
    assert [path.name for path in tmp_path.iterdir()] == ["walk.gif"]


# ------------------------------------------------------------------------------------------------- 3D models,
# data without 3D


@pytest.fixture
def flat_set(small_set):
    """Hands without joints in space."""

    def drop(content):
        for row in content["annotations"]:
            del row["keypoints_3d"]

    return small_set(drop)


@pytest.fixture
def solid_model(build, tmp_path):
    """A model of 3D poses."""
    config = SrvVaeConfig(
        pose="3d", appearance_dims=4, encoder_widths=(8, 16, 16, 16), decoder_widths=(16, 16, 8, 8, 8)
    )
    save_model(tmp_path / "solid.safetensors", build(config))
    return tmp_path / "solid.safetensors"


@pytest.mark.parametrize(
    "command",
    [
        ("evaluate", "MODEL", "SET", "--split", "train", "--report"),
        ("synthesize", "--pose", "SET", "--model", "MODEL", "--out"),
    ],
)
def test_a_3d_model_refuses_a_set_without_joints_in_space(command, refused, solid_model, flat_set, tmp_path):
    words = {"MODEL": solid_model, "SET": flat_set}
    line = refused(*(words.get(word, word) for word in command), tmp_path / "out")
    assert str(flat_set) in line
    assert "3D" in line
    assert not (tmp_path / "out").exists()


def test_a_3d_preset_is_not_trained_on_a_set_without_joints_in_space(refused, flat_set, tmp_path):
    line = refused(
        "train", "srv-vae-3d", "--data.root", flat_set, "--out", tmp_path / "run", "--train.no-compile"
    )
    assert "keypoints_3d" in line
    assert not (tmp_path / "run").exists()
