"""``funcam explain`` with several networks: one panel, one record, and a gallery without truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from command_line import SCENES, Funcam, Ran, photo
from PIL import Image

from funcam.imaging.panel import TILE
from funcam.imaging.reading import read_image
from funcam.scenes import CLASSES
from funcam.zoo.nets import build_net

if TYPE_CHECKING:
    from terminal import Terminals

TWO = ("--net", "a:scenes", "--net", "b:scenes=random")


def document(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(Path("results", name).read_text())
    return loaded


def done(ran: Ran) -> Ran:
    assert (ran.code, ran.err) == (0, ""), ran
    return ran


def test_one_panel_and_one_record_of_all(funcam: Funcam, image: Path) -> None:
    done(funcam("explain", image, *TWO))

    record = document("pic-nets.json")
    assert record["files"] == {"panel": "pic-nets-panel.png", "record": "pic-nets.json"}
    assert [own["label"] for own in record["nets"]] == ["a", "b"]
    assert {path.name for path in Path("results").glob("*.json")} == {"pic-nets.json"}
    assert {path.name for path in Path("results").glob("*panel*")} == {"pic-nets-panel.png"}
    for own in record["nets"]:
        (explained,) = own["explained"]
        assert all(Path("results", file).is_file() for file in explained["files"].values())


def test_the_panel_has_a_row_for_each_network(funcam: Funcam, image: Path) -> None:
    done(funcam("explain", image, "--net", "a:scenes", "--out", "one"))
    done(funcam("explain", image, *TWO, "--net", "c:scenes"))

    one, three = (read_image(path).shape for path in ("one/pic-a-panel.png", "results/pic-nets-panel.png"))
    assert one[1] == three[1]
    assert 2 * TILE / 2 < three[0] - one[0] < 2 * 2 * TILE


def test_each_network_says_what_it_says_alone(funcam: Funcam, image: Path) -> None:
    done(funcam("explain", image, *TWO, "--quiet"))
    for own, label in zip(document("pic-nets.json")["nets"], "ab", strict=True):
        net = TWO[1] if label == "a" else TWO[3]
        done(funcam("explain", image, "--net", net, "--quiet", "--out", "alone"))
        alone = json.loads(Path(f"alone/pic-{label}.json").read_text())
        assert own["predictions"] == alone["predictions"]
        assert own["weights"] == alone["weights"]
        for kind in ("heatmap", "gb"):
            assert (
                Path(f"alone/pic-{label}-{kind}.jpg").read_bytes()
                == Path(f"results/pic-{label}-{kind}.jpg").read_bytes()
            )


def test_layers_by_label_and_json(funcam: Funcam, image: Path) -> None:
    layers = ("--layer", "a=trunk_output.block2", "--layer", "b=trunk_output")
    ran = funcam("explain", image, *TWO, *layers, "--json", "-m", "grad-cam")
    (record,) = map(json.loads, done(ran).out.splitlines())

    assert [own["layer"] for own in record["nets"]] == ["trunk_output.block2", "trunk_output"]


def test_what_one_network_fails_at_is_told_and_the_others_are_done(funcam: Funcam, image: Path) -> None:
    ran = funcam("explain", image, *TWO, "--layer", "a=nowhere", "--quiet")

    assert ran.code == 1
    assert "a: " in ran.err
    record = document("pic-nets.json")
    assert [own["label"] for own in record["nets"]] == ["b"]
    assert list(record["failed"]) == ["a"]


def test_a_broken_image_is_told_once(funcam: Funcam, image: Path) -> None:
    Path("bad.png").write_bytes(b"\x89PNG")
    ran = funcam("explain", "bad.png", image, *TWO, "--quiet")

    assert ran.code == 1
    assert [line.count("bad.png") for line in ran.err.splitlines()] == [1]
    assert [path.name for path in Path("results").glob("*.json")] == ["pic-nets.json"]


def test_the_gallery_in_markdown_has_every_network_and_picture(funcam: Funcam, image: Path) -> None:
    Image.fromarray(photo(seed=1)).save("other.png")
    done(funcam("explain", image, "other.png", *TWO, "--report", "README.md"))

    text = Path("README.md").read_text()
    assert "### pic.png" in text
    assert "### other.png" in text
    assert "random weights" in text
    rows = [line for line in text.splitlines() if line.startswith(("| a", "| b"))]
    assert [row[2] for row in rows] == ["a", "b", "a", "b"]
    assert all(row.count("![") == 7 for row in rows)  # the image, two maps as heatmap and overlay, two gradients
    pictures = {picture.name for picture in Path("README-gallery").iterdir()}
    assert len(pictures) == 2 + 4 * 6
    assert "Figures" not in text


def test_the_page_of_one_network_holds_maps_as_they_are(funcam: Funcam, image: Path) -> None:
    ran = done(funcam("explain", image, "--net", "scenes", "--report", "page.html", "--maps"))

    page = Path("page.html").read_text()
    assert "pic.png" in page
    assert '"method":"grad-cam"' in page
    assert "random weights" not in page
    assert "report in page.html" in ran.out


def test_a_report_of_somebody_else_is_not_overwritten(funcam: Funcam, image: Path) -> None:
    Path("README.md").write_text("mine\n")
    ran = funcam("explain", image, *TWO, "--report", "README.md")

    ran.error(2, "--report 'README.md' is there and funcam did not write it")
    assert Path("README.md").read_text() == "mine\n"
    assert not Path("results").exists()


OTHERS = (("other.png", *SCENES), ("pic.png", *SCENES, "--class", "star"), ("pic.png", *TWO))


@pytest.mark.parametrize(
    ("report", "other"),
    [
        *(("page.html", other) for other in OTHERS),
        ("README.md", OTHERS[0]),
        *(pytest.param("README.md", other, marks=pytest.mark.slow) for other in OTHERS[1:]),
    ],
)
def test_that_a_report_of_another_question_is_replaced_is_told(
    funcam: Funcam, image: Path, report: str, other: tuple[str, ...]
) -> None:
    Image.fromarray(photo(seed=1)).save("other.png")
    usual = ("--pictures", "none", "--report", report)
    done(funcam("explain", image, *SCENES, *usual))
    before = Path(report).read_bytes()

    ran = funcam("explain", *other, *usual)
    assert ran.code == 0
    assert f"--report '{report}' shows what other images, networks or options gave, and is replaced" in ran.err
    assert Path(report).read_bytes() != before
    assert "shows what other" not in funcam("explain", image, *SCENES, *usual, "--overwrite").err


def test_the_same_command_replaces_its_report(funcam: Funcam, image: Path) -> None:
    Path("photos").mkdir()
    image.rename("photos/pic.png")
    words = ("explain", "photos", *SCENES, "--pictures", "none", "--report", "page.html")
    done(funcam(*words))
    Image.fromarray(photo(seed=1)).save("photos/other.png")  # more images of the same words

    done(funcam(*words))
    assert "other.png" in Path("page.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*TWO, "--weights", "random"), "--weights 'random' is for one network"),
        (("--net", "scenes", "--net", "scenes"), "two networks are called 'scenes'"),
        ((*TWO, "--layer", "c=trunk"), "no network is called 'c'"),
        ((*SCENES, "--top", 3, "--class", 1), "--top was given and --class too"),
        (("--net", "a:scenes", "--net", "resnet18=random", "--open", "--pictures", "none"), "--open shows"),
    ],
)
def test_wrong_use_is_found_first(funcam: Funcam, image: Path, arguments: tuple[object, ...], message: str) -> None:
    funcam("explain", image, *arguments).error(2, message)


def test_results_of_two_images_never_share_a_name(funcam: Funcam, image: Path) -> None:
    Image.fromarray(photo(seed=1)).save("pic-a.png")
    ran = funcam("explain", image, "pic-a.png", "--net", "a-b:scenes", "--net", "b:scenes")

    ran.error(2, "'pic.png' and 'pic-a.png' would both be called pic-a-b")


@pytest.mark.parametrize("report", ["page.html", "page.md"])
def test_plain_numbers_have_no_percent(funcam: Funcam, image: Path, report: str) -> None:
    done(funcam("explain", image, *TWO, "--scores", "none", "--report", report))

    text = Path(report).read_text()
    assert "nan" not in text.split("<script>")[0].lower()
    if report.endswith(".md"):
        assert " % |" not in text
    else:
        assert '"probability":null' in text


# The likeliest classes


@pytest.mark.parametrize("recipe", [(), ("--recipe", "localise")])
def test_top_explains_the_likeliest_in_order(funcam: Funcam, image: Path, recipe: tuple[str, ...]) -> None:
    ran = done(funcam("explain", image, *SCENES, "--top", 3, "--json", *recipe))
    (record,) = map(json.loads, ran.out.splitlines())

    assert [one["index"] for one in record["explained"]] == [one["index"] for one in record["predictions"][:3]]
    for one in record["explained"]:
        assert f"{one['index']}_{one['name'].replace(' ', '_')}" in next(iter(one["files"].values()))


def test_top_of_several_images_is_of_each(funcam: Funcam, image: Path) -> None:
    Image.fromarray(np.full((40, 40, 3), 255, np.uint8)).save("white.png")
    ran = done(funcam("explain", image, "white.png", "--net", "scenes", "--top", 2, "--json"))

    for record in map(json.loads, ran.out.splitlines()):
        best = sorted(record["predictions"], key=lambda one: -one["probability"])
        assert [one["index"] for one in record["explained"]] == [one["index"] for one in best[:2]]


def test_top_of_more_classes_than_there_are(funcam: Funcam, image: Path) -> None:
    funcam("explain", image, *SCENES, "--top", len(CLASSES) + 1).error(2, f"has {len(CLASSES)} classes")


# On a terminal


@pytest.mark.parametrize("columns", [40, *(pytest.param(columns, marks=pytest.mark.slow) for columns in (80, 200))])
def test_on_a_terminal(terminals: Terminals, tmp_path: Path, columns: int) -> None:
    Image.fromarray(photo()).save(tmp_path / "pic.png")
    screen = terminals.run(
        "explain", "pic.png", *TWO, "--top", 2, "--report", "page.html", folder=tmp_path, columns=columns
    ).ended(0)

    for name in ("pic-nets-panel.png", "pic-nets.json", "report in page.html"):
        assert name in screen.text
    assert "random" in screen.text
    piped = terminals.run("explain", "pic.png", *TWO, folder=tmp_path, piped=True).piped
    assert "pic-nets.json" in piped


@pytest.mark.parametrize(
    ("options", "shown"), [((), "results/pic-nets-panel.png"), (("--report", "page.html"), "page.html")]
)
def test_open_shows_the_report_or_the_panel(
    terminals: Terminals, tmp_path: Path, options: tuple[str, ...], shown: str
) -> None:
    Image.fromarray(photo()).save(tmp_path / "pic.png")
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    browser.chmod(0o755)
    ran = terminals.run("explain", "pic.png", *TWO, "--open", *options, folder=tmp_path, BROWSER=str(browser))

    assert ran.code == 0, ran.sent
    assert (tmp_path / "opened").read_text().strip() == (tmp_path / shown).as_uri()


def test_ctrl_c_says_how_many_are_done(terminals: Terminals, tmp_path: Path) -> None:
    for number in range(40):
        Image.fromarray(photo(seed=number)).save(tmp_path / f"{number:02}.png")
    ran = terminals.run("explain", ".", *TWO, folder=tmp_path, interrupt_at="explaining")

    screen = ran.ended(130)
    assert "interrupted" in screen.text
    written = len(list((tmp_path / "results").glob("*-nets.json")))
    assert written < 40
    assert written == 0 or f"{written} of 40 images are explained" in screen.text


def test_a_class_that_one_network_lacks_names_the_network(funcam: Funcam, image: Path) -> None:
    ran = funcam("explain", image, "--net", "scenes", "--net", "other:scenes", "--class", "tiger cat")
    assert ran.code == 1
    assert ran.err.startswith("funcam: scenes: class 'tiger cat' is unknown")


def test_a_note_names_the_network_and_the_class_once_for_all_images(funcam: Funcam, image: Path) -> None:
    state = build_net("scenes").model.state_dict()
    state["fc.weight"] = -state["fc.weight"].abs()  # everything on the image speaks against every class
    torch.save(state, "against.pth")
    Image.fromarray(photo(seed=1)).save("other.png")
    ran = funcam("explain", image, "other.png", "--net", "a:scenes", "--net", "b:scenes=against.pth", "--class", "disk")

    told = " ".join(done(ran).out.split())
    assert told.count("note b: grad-cam at trunk_output is zero everywhere for class 4, 'disk'") == 1
