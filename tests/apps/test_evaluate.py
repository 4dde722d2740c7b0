"""`handvae evaluate` end to end with a tiny model: table, report.json and the page."""

import base64
import io
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from handvae.evaluation.metrics import METRICS
from handvae.systems.srv_vae import SrvVaeConfig
from handvae.training.checkpoint import save_model


@pytest.fixture(scope="module")
def second_model(tmp_path_factory, tiny_model):
    """The same weights under another name."""
    path = tmp_path_factory.mktemp("models") / "second.safetensors"
    path.write_bytes(tiny_model.read_bytes())
    return path


@pytest.fixture
def evaluate(handvae, tiny_set, tmp_path):
    """Evaluates models on the drawn test hands; returns what was printed, report.json and report.html."""

    def run(*words: object) -> tuple[str, dict, str]:
        folder = tmp_path / "report"
        code, said, error = handvae("evaluate", *words, "--split", "test", "--report", folder)
        assert code == 0, error
        return said, json.loads((folder / "report.json").read_text()), (folder / "report.html").read_text()

    return run


class Page(HTMLParser):
    """What a page's elements ask for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.asked: list[str] = []
        self.styles: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.asked += [
            value or ""
            for name, value in attrs
            if name in {"src", "href", "srcset", "data", "poster", "xlink:href"}
        ]
        self.styles += [value or "" for name, value in attrs if name == "style"]


def test_evaluate_prints_n_and_protocol_and_reports_the_same(evaluate, tiny_model, tiny_set):
    said, content, _ = evaluate(tiny_model, tiny_set, "--metrics", "pose,picture,spread")
    (model,) = content["models"]
    measures = {measure["name"]: measure for measure in model["measures"]}
    assert {"mpjpe_px", "error_over_hand_size_median", "pckb@0.10", "psnr"} <= measures.keys()
    assert all(measure["n"] == 16 and measure["protocol_text"] for measure in measures.values())
    assert f"{measures['mpjpe_px']['value']:.4g} px" in said
    assert "no alignment" in " ".join(said.split())
    low, high = measures["mpjpe_px"]["interval"]
    assert low < measures["mpjpe_px"]["value"] < high


def test_the_table_tells_measures_apart_by_their_whole_names(evaluate, tiny_model, second_model, tiny_set):
    said, content, _ = evaluate(tiny_model, second_model, tiny_set, "--metrics", "pose,picture")
    assert all(said.count(measure["name"]) >= 1 for measure in content["models"][0]["measures"])


def test_evaluate_compares_modelled_with_true_variance(evaluate, tiny_model, tiny_set):
    _, content, _ = evaluate(tiny_model, tiny_set, "--metrics", "pixels")
    values = {m["name"]: m["value"] for m in content["models"][0]["measures"]}
    assert values["mirrored_1_modelled_over_true_variance"] == pytest.approx(1.0, abs=0.3)
    assert values["tangent_8_variance_map_correlation"] > values["tangent_1_variance_map_correlation"] > 0


def test_the_page_loads_nothing_from_elsewhere_and_shows_every_number_with_its_protocol(
    evaluate, tiny_model, tiny_set
):
    _, content, text = evaluate(tiny_model, tiny_set, "--metrics", "pose,picture,spread")
    page = Page(text)
    assert page.asked  # pictures are there ...
    assert all(url.startswith("data:image/png;base64,") for url in page.asked)  # ... and in the page itself
    assert {"script", "link", "iframe", "object", "embed", "base"}.isdisjoint(page.tags)
    assert all("url(" not in style for style in [*page.styles, *re.findall(r"<style>(.*?)</style>", text)])
    assert "http" not in text
    assert "@import" not in text
    for measure in content["models"][0]["measures"]:
        assert f"{measure['value']:.4g}" in text
        assert measure["name"] in text
    assert "root as given, scale as given, no alignment, all labelled joints" in text


def test_the_pictures_in_the_page_are_whole_and_not_blank(evaluate, tiny_model, tiny_set):
    _, _, text = evaluate(tiny_model, tiny_set, "--metrics", "pose")
    pictures = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1])))) for url in Page(text).asked
    ]
    assert len(pictures) == 3  # worst, best, sheet
    assert all(picture.std() > 5 for picture in pictures)


def test_the_same_seed_gives_the_same_page(evaluate, tiny_model, tiny_set):
    first, second = (
        evaluate(tiny_model, tiny_set, "--metrics", "pose"),
        evaluate(tiny_model, tiny_set, "--metrics", "pose"),
    )
    assert first == second
    assert evaluate(tiny_model, tiny_set, "--metrics", "pose", "--seed", "1")[1] != first[1]


def test_two_models_stand_side_by_side_with_their_differences(evaluate, tiny_model, second_model, tiny_set):
    said, content, text = evaluate(tiny_model, second_model, tiny_set, "--metrics", "pose")
    assert [model["name"] for model in content["models"]] == [str(tiny_model), str(second_model)]
    assert {d["name"] for d in content["differences"]} >= {"mpjpe_px", "pckb@0.05"}
    assert all(d["value"] == 0 and d["p_value"] == 1 for d in content["differences"])  # the same weights
    assert "Compared on the same hands" in said
    assert "permutation test" in text


def test_a_model_given_twice_is_numbered(evaluate, tiny_model, tiny_set):
    _, content, _ = evaluate(tiny_model, tiny_model, tiny_set, "--metrics", "picture")
    assert [model["name"].rsplit(" ", 1)[1] for model in content["models"]] == ["(1)", "(2)"]


def test_an_unknown_metric_is_named_with_those_there_are(refused, tiny_model, tiny_set, tmp_path):
    line = refused("evaluate", tiny_model, tiny_set, "--metrics", "pose,fid", "--report", tmp_path / "report")
    assert "'fid'" in line
    assert all(name in line for name in METRICS)
    assert not (tmp_path / "report").exists()


def test_the_help_names_every_metric(handvae):
    code, printed, _ = handvae("evaluate", "--help")
    assert code == 0
    said = " ".join(re.sub(r"[│╭╰─╮╯]", " ", printed).split())
    assert all(name in said for name in METRICS)


def test_a_model_without_a_data_set_says_what_is_missing(refused, tiny_model):
    assert "a model and a data set are needed" in refused("evaluate", tiny_model)


@pytest.fixture
def solid_model(build, tmp_path):
    """A model of 3D poses."""
    config = SrvVaeConfig(
        pose="3d", appearance_dims=4, encoder_widths=(8, 16, 16, 16), decoder_widths=(16, 16, 8, 8, 8)
    )
    save_model(tmp_path / "solid.safetensors", build(config))
    return tmp_path / "solid.safetensors"


def test_published_curves_stand_beside_those_of_a_3d_model(evaluate, solid_model, tiny_set, tmp_path):
    curves = tmp_path / "curves.json"
    curves.write_text(json.dumps({"PSO": {"x": [20, 30.5, 50], "y": [0.3, 0.6, 0.9], "auc": 0.7}}))
    _, _, text = evaluate(solid_model, tiny_set, "--metrics", "pose", "--curves", curves)
    assert "PSO (published)" in text
    assert text.count("stroke-dasharray") == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "the file"),
        ('{"PSO": {"x": [1, 2]}}', "PSO.y"),
        ('{"PSO": {"x": [1, 2], "y": [0.5]}}', "PSO: x and y"),
        ('{"PSO": {"x": [1], "y": [50]}}', "PSO: x and y"),
        ('{"PSO": {"x": [1], "y": ["NaN"]}}', "PSO.y.0"),
    ],
)
def test_a_file_of_other_curves_is_refused(content, words, refused, solid_model, tiny_set, tmp_path):
    curves = tmp_path / "curves.json"
    curves.write_text(content)
    line = refused(
        "evaluate",
        solid_model,
        tiny_set,
        "--metrics",
        "pose",
        "--curves",
        curves,
        "--report",
        tmp_path / "report",
    )
    assert str(curves) in line
    assert words in line
    assert not (tmp_path / "report").exists()


def test_published_curves_need_errors_in_mm(refused, tiny_model, tiny_set, tmp_path):
    curves = tmp_path / "curves.json"
    curves.write_text(json.dumps({"PSO": {"x": [20], "y": [0.3]}}))
    assert "no 3D model" in refused("evaluate", tiny_model, tiny_set, "--metrics", "pose", "--curves", curves)


def test_another_program_reads_the_pictures(evaluate, tiny_model, tiny_set, tmp_path):
    """Found in every second picture, at one place: the share and the program's name are reported."""
    script = tmp_path / "finder.py"
    script.write_text(
        "import json, pathlib, sys\n"
        "names = sorted(p.name for p in pathlib.Path(sys.argv[1]).glob('*.png'))\n"
        "print(json.dumps({n: [[16.0, 16.0]] * 21 if i % 2 else None for i, n in enumerate(names)}))\n"
    )
    _, content, text = evaluate(
        tiny_model,
        tiny_set,
        "--metrics",
        "consistency,leakage",
        "--detector-command",
        f"{sys.executable} {script}",
    )
    values = {m["name"]: m["value"] for m in content["models"][0]["measures"]}
    assert values["consistency_random_found"] == values["consistency_real_found"] == 50
    assert "finder.py: another program" in text
    assert len(Page(text).asked) == 4  # worst, best, sheet, swaps


def test_a_detector_is_another_model_or_the_measured_one(evaluate, tiny_model, second_model, tiny_set):
    for detector, words in ((second_model, "another model"), (tiny_model, "NOT independent")):
        _, _, text = evaluate(tiny_model, tiny_set, "--metrics", "consistency", "--detector", detector)
        assert words in text


def test_two_detectors_are_refused(refused, tiny_model, tiny_set):
    line = refused("evaluate", tiny_model, tiny_set, "--detector", tiny_model, "--detector-command", "cat")
    assert "--detector-command" in line


# ------------------------------------------------------------------------------------- summary, JSON, aliases


def test_one_line_sums_up_before_the_table(handvae, tiny_model, tiny_set):
    _, text, _ = handvae("evaluate", tiny_model, tiny_set, "--metrics", "pose,spread")
    line = text.splitlines()[0]
    number = r"[\d.]+"
    tail = rf"\(test, N = 16\): {number} % of hand size in 2D, spread {number} % within one deviation"
    assert re.fullmatch(rf".* on tiny {tail}", line)


def test_several_models_share_the_line_and_their_differences_have_one(
    evaluate, tiny_model, second_model, tiny_set
):
    text, _, _ = evaluate(tiny_model, second_model, tiny_set, "--metrics", "pose")
    line = text.splitlines()[0]
    assert line.startswith("2 models on tiny (test, N = 16): ")
    assert line.count("% of hand size in 2D") == 2
    assert "differences: 0 with p < 0.05" in text


def test_json_prints_the_report_and_nothing_else(evaluate, tiny_model, tiny_set):
    text, content, _ = evaluate(tiny_model, tiny_set, "--metrics", "pose", "--json")
    assert json.loads(text) == content


def test_quiet_prints_the_table_and_no_remarks(handvae, tiny_model, tiny_set):
    code, out, error = handvae("evaluate", tiny_model, tiny_set, "--metrics", "pose", "--quiet")
    assert (code, error) == (0, "")
    assert "error_over_hand_size_median" in out
    assert len(out) < len(handvae("evaluate", tiny_model, tiny_set, "--metrics", "pose")[1])


def test_a_metric_of_the_first_edition_is_known_by_its_old_name(refused, tiny_model, tiny_set):
    old, new = (
        refused("evaluate", tiny_model, tiny_set, "--metrics", name) for name in ("parts", "latent_factors")
    )
    assert old == new
    assert "latent_factors" in new


@pytest.mark.parametrize("module", ["evaluate", "evaluate_predictions"])
def test_the_options_load_without_torch(module):
    script = f"import sys, handvae.apps.{module}; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
