"""`handvae upsample`: counts, provenance, resuming, shards, formats, and what it refuses."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from handvae.data.crop import Crop
from handvae.data.export.formats import FORMATS
from handvae.data.open import open_data
from handvae.data.readers.coco import CocoHands
from handvae.systems.detector import Detector, DetectorConfig
from handvae.training.appearances import NamedAppearance, write_named_appearances
from handvae.training.checkpoint import save_model
from handvae.upsampling import plan as upsampling_plan
from handvae.upsampling.upsample import Upsampler


@pytest.fixture(scope="module")
def tiny_detector(tmp_path_factory: pytest.TempPathFactory, tiny_spec) -> Path:
    """A detector with random weights. Not to be changed."""
    torch.manual_seed(2)
    system = Detector(DetectorConfig(widths=(8, 8, 16), heatmap_levels=1), tiny_spec, Crop(32)).eval()
    path = tmp_path_factory.mktemp("detector") / "reader.safetensors"
    save_model(path, system)
    return path


@pytest.fixture
def command(tiny_set: Path, tiny_model: Path, tiny_detector: Path) -> list[object]:
    """The command with small models, a limit at which all pictures pass, and small parts."""
    return ["upsample", tiny_set, "--model", tiny_model, "--detector", tiny_detector, "--max-error", "9"]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(upsampling_plan, "SHARD_PICTURES", 16)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_set_has_a_picture_for_each_copy_of_each_training_hand(command, handvae, tiny_set, tmp_path):
    code, said, error = handvae(*command, "--times", 2, "--out", tmp_path / "u")
    assert code == 0, error
    assert "64 pictures with labels" in said
    new = CocoHands(tmp_path / "u")
    assert len(new) == 64
    joints = new.labels(torch.arange(64)).require("joints_2d")
    assert ((joints >= 0) & (joints <= 32)).all()
    assert not (tmp_path / "u.shards").exists()
    assert "no fault" in handvae("data", "check", tmp_path / "u")[1]


def test_no_picture_has_the_pose_or_the_looks_of_a_test_hand(command, handvae, tiny_set, tmp_path):
    code, _, error = handvae(
        *command,
        "--times",
        3,
        "--poses",
        "same",
        "interpolated",
        "--appearance",
        "dataset",
        "--out",
        tmp_path / "u",
    )
    assert code == 0, error
    new, test = CocoHands(tmp_path / "u"), set(CocoHands(tiny_set, "test").file_names)
    stories = [json.loads(new.provenance_of(row)) for row in range(len(new))]
    used = {story["pose"]["hand"] for story in stories} | {story["pose"].get("with") for story in stories}
    used |= {story["appearance"]["name"].removeprefix("hand ") for story in stories}
    assert len(used) > 30
    assert not used & test
    assert {new.split_of(row) for row in range(len(new))} == {"train"}


def test_provenance_tells_model_detector_seed_and_error(command, handvae, tmp_path):
    handvae(*command, "--limit", 5, "--seed", 3, "--out", tmp_path / "u")
    images = json.loads((tmp_path / "u" / "annotations.json").read_text())["images"]
    lines = [json.loads(line) for line in (tmp_path / "u" / "provenance.jsonl").read_text().splitlines()]
    assert [image["provenance"] for image in images] == lines
    assert len(lines) == 5
    for story in lines:
        assert story["seed"] == 3
        assert "tiny.safetensors" in story["model"]
        assert "reader.safetensors" in story["detector"]
        assert story["check_error"] > 0
        assert story["pose"].keys() == {"hand", "person", "kind"}


def test_the_check_drops_what_the_detector_reads_elsewhere(command, handvae, tmp_path):
    """A detector of random weights finds no joint where it is: with a middling limit, some pictures stay and
    some go."""
    handvae(*command, "--times", 2, "--out", tmp_path / "all")
    errors = sorted(
        json.loads(line)["check_error"]
        for line in (tmp_path / "all" / "provenance.jsonl").read_text().splitlines()
    )
    limit = (errors[31] + errors[32]) / 2
    code, _, error = handvae(*command, "--times", 2, "--max-error", limit, "--out", tmp_path / "half")
    assert code == 0, error
    assert len(CocoHands(tmp_path / "half")) == 32
    report = json.loads((tmp_path / "half" / "report.json").read_text())
    values = {measure["name"]: measure["value"] for measure in report["measures"]}
    assert values["pictures_asked"] == 64
    assert values["pictures_dropped"] == 32
    page = (tmp_path / "half" / "report.html").read_text()
    assert page.count("data:image/png") >= 3
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")


def test_nothing_is_written_where_no_picture_passes(command, handvae, tmp_path):
    code, _, error = handvae(*command, "--limit", 5, "--max-error", "0.0001", "--out", tmp_path / "u")
    assert code == 2
    assert "no picture passed" in error.splitlines()[-1]  # the lines before tell of the progress
    assert not (tmp_path / "u").exists()


def test_a_killed_job_that_goes_on_gives_the_same_bytes(command, handvae, tmp_path, monkeypatch):
    options = [*command, "--times", 2, "--poses", "same", "perturbed"]
    assert handvae(*options, "--out", tmp_path / "whole" / "u")[0] == 0
    drawn, shard = [], Upsampler.shard

    def killed(self, number):
        if number == 2 and not drawn:
            drawn.append(number)
            raise KeyboardInterrupt
        return shard(self, number)

    monkeypatch.setattr(Upsampler, "shard", killed)
    assert handvae(*options, "--out", tmp_path / "cut" / "u")[0] == 130
    assert not (tmp_path / "cut" / "u").exists()
    code, said, error = handvae(*options, "--out", tmp_path / "cut" / "u")
    assert code == 0, error
    assert "32 were there" in said
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_shards_of_the_first_edition_are_continued(command, handvae, tmp_path, monkeypatch):
    """It kept them in OUT.parts, as part-00000.parquet."""
    options = [*command, "--times", 2, "--out", tmp_path / "u"]
    assert handvae(*options, "--shard", "0/2")[0] == 0
    older = (tmp_path / "u.shards").rename(tmp_path / "u.parts")
    for path in older.glob("shard-*"):
        path.rename(older / path.name.replace("shard-", "part-"))
    code, said, error = handvae(*options)
    assert code == 0, error
    assert "32 were there" in said
    assert len(CocoHands(tmp_path / "u")) == 64
    assert [path.name for path in tmp_path.iterdir()] == ["u"]


def test_a_job_killed_while_it_reports_goes_on(command, handvae, tmp_path, monkeypatch):
    options = [*command, "--times", 1, "--out", tmp_path / "u"]
    monkeypatch.setattr(
        "handvae.upsampling.job.upsample_page", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    assert handvae(*options)[0] == 130
    assert (tmp_path / "u" / "annotations.json").is_file()
    monkeypatch.undo()
    monkeypatch.setattr(upsampling_plan, "SHARD_PICTURES", 16)
    assert handvae(*options)[0] == 0
    assert (tmp_path / "u" / "report.json").is_file()
    assert not (tmp_path / "u.shards").exists()


def test_shards_together_are_one_job(command, handvae, tmp_path):
    options = [*command, "--times", 3]
    assert handvae(*options, "--out", tmp_path / "one" / "u")[0] == 0
    for shard in ("1/2", "0/2"):
        assert handvae(*options, "--shard", shard, "--out", tmp_path / "two" / "u")[0] == 0
        assert not (tmp_path / "two" / "u").exists()
    code, said, error = handvae(*options, "--out", tmp_path / "two" / "u")
    assert code == 0, error
    assert "0 pictures made" in said
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


def test_what_is_there_is_not_made_again_and_other_options_do_not_replace_it(
    command, handvae, refused, tmp_path
):
    options = [*command, "--limit", 8, "--out", tmp_path / "u"]
    assert handvae(*options)[0] == 0
    before = contents(tmp_path)
    assert "is there already" in handvae(*options)[1]
    assert "--overwrite" in refused(*options, "--seed", 1)
    assert contents(tmp_path) == before
    assert handvae(*options, "--seed", 1, "--overwrite")[0] == 0
    assert contents(tmp_path) != before


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_can_be_written(name, command, handvae, tmp_path):
    code, _, error = handvae(*command, "--limit", 6, "--format", name, "--out", tmp_path / "u")
    assert code == 0, error
    assert len((tmp_path / "u" / "provenance.jsonl").read_text().splitlines()) == 6
    if name not in ("webdataset", "yolo-pose"):  # nothing here reads them
        assert len(open_data(tmp_path / "u")) == 6


@pytest.mark.parametrize("name", ["coco", "parquet"])
def test_with_the_real_pictures_it_is_a_larger_training_set(name, command, handvae, tiny_set, tmp_path):
    code, _, error = handvae(
        *command, "--times", 1, "--include-real", "--format", name, "--out", tmp_path / "u"
    )
    assert code == 0, error
    both, real = open_data(tmp_path / "u", "train"), CocoHands(tiny_set, "train")
    assert len(both) == 64
    at_wrist = real.labels(torch.arange(32)).require("joints_2d")
    torch.testing.assert_close(
        both.labels(torch.arange(32, 64)).require("joints_2d"), at_wrist, atol=0.01, rtol=0
    )
    assert (both.picture(40) == real.picture(8)).all()


@pytest.mark.parametrize(
    ("schedule", "real"), [("mix", False), ("mix-then-real", False), ("mix-then-real", True)]
)
def test_the_commands_told_at_the_end_train_by_the_schedule(
    schedule, real, command, handvae, tiny_set, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    flag = ["--include-real"] if real else []
    code, said, error = handvae(
        *command, "--limit", 8, "--schedule", schedule, *flag, "--out", tmp_path / "u"
    )
    assert code == 0, error
    told = [line.split()[1:] for line in said.splitlines() if line.startswith("  handvae train")]
    assert len(told) == (2 if schedule == "mix-then-real" else 1)
    for words in told:
        code, _, error = handvae(
            *words, "--train.steps", 1, "--train.batch", 4, "--train.no-compile", "--train.workers", 1
        )
        assert code == 0, error
    counts = [
        json.loads((tmp_path / words[-1] / "config.json").read_text())["data"]["count"] for words in told
    ]
    assert counts == [40, 32][: len(told)], "the training hands and those made; the training hands"


def test_a_photo_and_a_folder_of_photos_give_their_looks(command, handvae, tiny_set, tmp_path):
    for n, appearances in enumerate((tiny_set / "images" / "003.png", tiny_set / "images")):
        code, _, error = handvae(
            *command, "--limit", 3, "--appearance", appearances, "--out", tmp_path / str(n)
        )
        assert code == 0, error
    told = [
        json.loads((tmp_path / str(n) / "provenance.jsonl").read_text().splitlines()[0])["appearance"]["name"]
        for n in (0, 1)
    ]
    assert told[0].startswith("003.png")
    assert told[1].startswith("mean of the 48 photos")


def test_a_named_look_is_told_in_the_provenance(command, handvae, tiny_model, tmp_path):
    model = Path(shutil.copy(tiny_model, tmp_path / "m.safetensors"))
    write_named_appearances(model, {"pale": NamedAppearance(torch.ones(4), "")})
    code, _, error = handvae(
        *command, "--model", model, "--limit", 2, "--appearance", "pale", "--out", tmp_path / "u"
    )
    assert code == 0, error
    assert '"name": "pale (' in (tmp_path / "u" / "provenance.jsonl").read_text()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--times", "0"], "--times"),
        (["--limit", "0"], "--limit"),
        (["--seed", "-1"], "--seed"),
        (["--max-error", "0"], "--max-error"),
        (["--max-error", "nan"], "--max-error"),
        (["--shard", "2/2"], "--shard"),
        (["--downstream", "-1"], "--downstream"),
        (["--split", "validation"], "validation"),
        (["--split", "None"], "--split"),
        (["--appearance", "nobody"], "nobody: is no photo"),
        (["--model", "no-such-model"], "no-such-model"),
        (["--detector", "no-such-model"], "no-such-model"),
    ],
)
def test_what_it_refuses(options, said, command, refused, tmp_path):
    assert said in refused(*command, "--out", tmp_path / "u", *options)
    assert list(tmp_path.iterdir()) == []


def test_a_generator_does_not_check_itself(command, refused, tiny_model, tmp_path):
    assert "check its own work" in refused(*command, "--detector", tiny_model, "--out", tmp_path / "u")


def test_a_detector_makes_no_pictures(command, refused, tiny_detector, tmp_path):
    assert "makes no pictures" in refused(*command, "--model", tiny_detector, "--out", tmp_path / "u")


def test_a_folder_that_holds_something_else_is_not_written_into(command, refused, tmp_path):
    (tmp_path / "u").mkdir()
    (tmp_path / "u" / "letter.txt").write_text("dear")
    assert "already exists" in refused(*command, "--limit", 2, "--out", tmp_path / "u")
    assert contents(tmp_path) == {"u/letter.txt": b"dear"}


def test_the_data_set_itself_is_not_written_over(command, refused, tiny_set):
    assert "is the data set itself" in refused(*command, "--limit", 2, "--overwrite", "--out", tiny_set)
