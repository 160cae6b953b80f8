"""`funcam batch` and `funcam batch show`: what a user types, and what comes of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import Funcam, photo
from PIL import Image

from funcam.imaging.reading import read_image


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(5):
        Image.fromarray(photo(seed=number)).save(folder / f"{number}.png")
    return folder


def test_a_folder_becomes_a_store_and_the_same_command_finds_it_whole(funcam: Funcam, photos: Path) -> None:
    ran = funcam("batch", "photos", "--net", "scenes", "--out", "store", "--batch", 2)
    assert (ran.code, ran.out) == (0, "5 images in store; `funcam batch show store` draws them\n")
    assert ran.err == ""
    before = {path.name: path.read_bytes() for path in Path("store").glob("maps-*")}
    assert len(before) == 1
    assert funcam("batch", "photos", "--net", "scenes", "--out", "store", "--batch", 2).code == 0
    assert funcam("batch", "--as-listed", "--net", "scenes", "--out", "store", "--batch", 2).code == 0
    assert before == {path.name: path.read_bytes() for path in Path("store").glob("maps-*")}


def test_a_damaged_picture_is_told_each_time_and_the_others_are_done(funcam: Funcam, photos: Path) -> None:
    (photos / "2.png").write_bytes((photos / "2.png").read_bytes()[:99])
    ran = funcam("batch", "photos", "--net", "scenes", "--out", "store")
    assert ran.code == 1
    assert ran.out == "5 images in store, 1 of them failed; `funcam batch show store` draws them\n"
    assert ran.err.count("\n") == 1
    assert "2.png' is truncated or damaged" in ran.err
    again = funcam("batch", "photos", "--net", "scenes", "--out", "store")
    assert (again.code, again.out) == (1, ran.out)


def test_another_question_is_refused_and_the_store_stays(funcam: Funcam, photos: Path) -> None:
    funcam("batch", "photos", "--net", "scenes", "--out", "store")
    before = {path: path.read_bytes() for path in Path("store").rglob("*") if path.is_file()}
    funcam("batch", "photos", "--net", "scenes", "--out", "store", "--class", 3).error(
        1, "target is 3, there 'predicted'"
    )
    assert before == {path: path.read_bytes() for path in Path("store").rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--net", "scenes", "--out", "s"], "no images; give folders"),
        (["photos", "--as-listed", "--net", "scenes", "--out", "s"], "--as-listed was given and images too"),
        (["photos", "--out", "s"], "--net"),
        (["photos", "--net", "scenes"], "--out"),
        (["photos", "--net", "scenes", "--out", "s", "--fit", "native"], "--fit 'native' is unknown"),
        (["photos", "--net", "scenes", "--out", "s", "--maps", "float8"], "--maps 'float8' is unknown"),
        (["photos", "--net", "scenes", "--out", "s", "--threshold", "0"], "share of the peak"),
        (["photos", "--net", "scenes", "--out", "s", "--target", "label", "--class", "3"], "give one or the other"),
        (["photos", "--net", "scenes", "--out", "s", "--engine", "spark"], "expected local or ray"),
        (["photos", "--net", "scenes", "--out", "s", "--address", "auto"], "--engine ray"),
        (["photos", "--net", "scenes", "--out", "s", "--engine", "ray", "--device", "cpu"], "of the local engine"),
        (["photos", "--net", "scenez", "--out", "s"], "scenes"),
        (["photos", "--net", "scenes", "--out", "s", "--pictures", "panel"], "--pictures 'panel' is unknown"),
        (["photos", "--net", "scenes", "--out", "s", "--pictures", "overlay", "--maps", "none"], "needs maps"),
        (["photos", "--net", "scenes", "--out", "s", "--method", "all"], "--method all: one method is taken here"),
        (["photos", "--net", "scenes", "--out", "s", "-m", "fem", "-m", "cam"], "--method was given 2 times"),
        (["photos", "--net", "scenes", "--out", "s", "-l", "stem.0,stem.2"], "stem.0, stem.2, or add --combine mean"),
        (["photos", "--net", "scenes", "--out", "s", "--shard", "65537"], "'--shard'"),
    ],
)
def test_wrong_use_is_told_before_anything_is_written(
    funcam: Funcam, photos: Path, words: list[str], expected: str
) -> None:
    funcam("batch", *words).error(2, expected)
    assert not Path("s").exists()


def test_a_layer_that_is_not_there_is_told_once_and_not_of_each_image(funcam: Funcam, photos: Path) -> None:
    funcam("batch", "photos", "--net", "scenes", "--out", "s", "--layer", "stem.9").error(1, "layer 'stem.9' is not in")
    assert not Path("s").exists()


def test_several_layers_make_one_map_where_they_are_combined(funcam: Funcam, photos: Path) -> None:
    layers = ("--layer", "stem.0", "--layer", "stem.2", "--combine", "mean")
    assert funcam("batch", "photos", "--net", "scenes", "--out", "s", *layers).code == 0


@pytest.mark.parametrize("method", ["guided-backprop", "gradient"])
def test_methods_that_give_no_map_are_refused(funcam: Funcam, photos: Path, method: str) -> None:
    funcam("batch", "photos", "--net", "scenes", "--out", "s", "-m", method).error(1, "one map of each image")


def test_a_folder_that_is_no_store_is_left_alone(funcam: Funcam, photos: Path) -> None:
    before = sorted(photos.iterdir())
    funcam("batch", "photos", "--net", "scenes", "--out", "photos").error(1, "holds other files")
    assert sorted(photos.iterdir()) == before


def test_show_draws_pictures_of_the_images_own_size_and_a_sheet(funcam: Funcam, photos: Path) -> None:
    funcam("batch", "photos", "--net", "scenes", "--out", "store")
    ran = funcam("batch", "show", "store", "--query", "index < 3", "--format", "png", "--alpha", "0")
    assert (ran.code, ran.out) == (0, "3 pictures and sheet.jpg in store-pictures\n")
    assert sorted(path.name for path in Path("store-pictures").iterdir()) == [
        *(f"0000000{number}-{number}.png" for number in range(3)),
        "sheet.jpg",
    ]
    for number in range(3):  # without heat the picture is the image
        shown = read_image(f"store-pictures/0000000{number}-{number}.png")
        np.testing.assert_array_equal(shown, read_image(photos / f"{number}.png"))


def test_a_store_without_maps_is_told_once_and_its_rows_are_shown(funcam: Funcam, photos: Path) -> None:
    ran = funcam("batch", "photos", "--net", "scenes", "--out", "store", "--maps", "none")
    assert ran.out == "5 images in store; `funcam batch show store --json` tells of them\n"
    for words in ([], ["--report", "page.html"]):
        funcam("batch", "show", "store", *words).error(1, r"holds no maps \(--maps none\), figures only; add --json")
    assert not Path("page.html").exists()
    assert len(funcam("batch", "show", "store", "--json").out.splitlines()) == 5


def test_a_store_among_its_images_is_none_of_them(funcam: Funcam, photos: Path) -> None:
    command = ("batch", "photos", "--net", "scenes", "--pictures", "overlay", "--out")
    for store in ("photos/store", "photos/store", "photos/deep/other"):
        ran = funcam(*command, store)
        assert (ran.code, ran.out) == (0, f"5 images in {store}; `funcam batch show {store}` draws them\n")
    assert "5 images in it" in funcam("batch", "photos/store/pictures", *command[2:4], "--out", "it").out


def test_images_that_all_failed_are_not_said_to_be_drawn(funcam: Funcam, photos: Path) -> None:
    ran = funcam("batch", "photos", "--net", "scenes", "--out", "store", "--target", "label")
    assert ran.out == "5 images in store, 5 of them failed; `funcam batch show store --json` tells of them\n"


def test_shards_that_are_missing_are_told(funcam: Funcam, photos: Path) -> None:
    funcam("batch", "photos", "--net", "scenes", "--out", "store", "--shard", "2", "-q")
    Path("store/maps-00001.parquet").unlink()
    ran = funcam("batch", "show", "store", "--json")
    assert [json.loads(line)["index"] for line in ran.out.splitlines()] == [0, 1, 4]
    assert "shards of store are missing, with their rows (1, the first is shard 1)" in ran.err
    assert funcam("batch", "show", "store", "--json", "-q").err == ""
    (photos / "0.png").write_bytes(b"damaged")
    funcam("batch", "show", "store", "--report", "page.html")
    assert "<title>2 of 5 images in store</title>" in Path("page.html").read_text()


def test_show_prints_rows_as_json(funcam: Funcam, photos: Path) -> None:
    (photos / "4.png").write_bytes(b"")
    funcam("batch", "photos", "--net", "scenes", "--out", "store", "--class", "3")
    ran = funcam("batch", "show", "store", "--json")
    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert [row["index"] for row in rows] == list(range(5))
    assert [row["class"] for row in rows] == [3, 3, 3, 3, None]
    assert all(row["top"][0]["name"] for row in rows[:4])
    assert "empty" in rows[4]["error"]
    assert [
        json.loads(line)["index"]
        for line in funcam("batch", "show", "store", "--json", "--query", "error != null").out.splitlines()
    ] == [4]


def test_an_image_that_changed_is_explained_anew_and_what_was_drawn_of_it_too(funcam: Funcam, photos: Path) -> None:
    command = ["batch", "photos", "--net", "scenes", "--shard", "2", "--pictures", "overlay", "--out"]
    funcam(*command, "store")
    (photos / "1.png").write_bytes((photos / "3.png").read_bytes())
    ran = funcam(*command, "store")
    assert "images have changed; their shards are made anew, 1 of 3" in ran.err
    funcam(*command, "whole")
    drawn = "pictures/00000/00000001-1.jpg"
    for name in ("maps-00000.parquet", "maps-00001.parquet", drawn):
        assert (Path("store") / name).read_bytes() == (Path("whole") / name).read_bytes(), name


def test_a_wrong_source_leaves_no_store_and_an_address_is_none(funcam: Funcam, photos: Path) -> None:
    assert funcam("batch", "nowhere", "--net", "scenes", "--out", "store").code != 0
    assert not Path("store").exists()
    for command in ("batch", "explain"):
        ran = funcam(command, str(photos / "1.png"), "--net", "scenes", "--out", "s3://bucket/store")
        assert ran.code != 0
        assert "is an address, and results go to a folder" in ran.err
    assert not Path("s3:").exists()


def test_show_says_of_an_image_that_changed_and_draws_the_others(funcam: Funcam, photos: Path) -> None:
    funcam("batch", "photos", "--net", "scenes", "--out", "store")
    (photos / "1.png").write_bytes((photos / "2.png").read_bytes())
    (photos / "3.png").unlink()
    ran = funcam("batch", "show", "store", "--out", "drawn")
    assert ran.code == 1
    assert "1.png' has changed since it was explained" in ran.err
    assert "3.png" in ran.err
    assert len(list(Path("drawn").glob("0*"))) == 3


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (["nowhere"], 1, "is no store"),
        (["store", "--query", "colour = 3"], 1, "no column 'colour'"),
        (["store", "--query", "index > 99"], 1, "no row"),
        (["store", "--colormap", "jett"], 2, "nearest: 'jet'"),
        (["store", "--format", "tif"], 2, "--format 'tif' is unknown"),
        (["store", "--report", "page.pdf"], 2, "expected a page"),
        (["store", "--report", "page.html", "--json"], 2, "give one or the other"),
    ],
)
def test_show_says_what_is_wrong(funcam: Funcam, photos: Path, words: list[str], code: int, expected: str) -> None:
    funcam("batch", "photos", "--net", "scenes", "--out", "store", "-q")
    funcam("batch", "show", *words).error(code, expected)


def test_names_that_a_tar_tells_name_no_file(funcam: Funcam, tmp_path: Path, photos: Path) -> None:
    import tarfile

    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        tar.add(photos / "0.png", "../../etc/\x1b[31mevil.png")
    assert funcam("batch", "evil.tar", "--net", "scenes", "--out", "store").code == 0
    ran = funcam("batch", "show", "store")
    assert ran.code == 0
    (drawn,) = Path("store-pictures").glob("0*")
    assert drawn.name == "00000000-x1b_31mevil.jpg"


def test_pictures_that_are_asked_for_lie_beside_the_shards_and_only_missing_ones_are_drawn(
    funcam: Funcam, photos: Path
) -> None:
    (photos / "2.png").write_bytes((photos / "2.png").read_bytes()[:99])
    words = ("batch", "photos", "--net", "scenes", "--out", "store", "--batch", 2, "--shard", 3)
    assert funcam(*words).code == 1
    assert not Path("store/pictures").exists()
    shards = {path: path.read_bytes() for path in Path("store").glob("maps-*")}
    assert funcam(*words, "--pictures", "overlay").code == 1
    drawn = {str(path): path.read_bytes() for path in Path("store/pictures").rglob("*.*")}
    assert sorted(drawn) == [f"store/pictures/{number // 3:05d}/{number:08d}-{number}.jpg" for number in (0, 1, 3, 4)]
    assert shards == {path: path.read_bytes() for path in Path("store").glob("maps-*")}
    funcam("batch", "show", "store", "--query", "error = null", "--out", "shown", "-q")
    for path, data in drawn.items():
        assert Path("shown", Path(path).name).read_bytes() == data
    kept, gone = sorted(drawn)[:2]
    Path(gone).unlink()
    Path(kept).write_bytes(b"mine")
    assert funcam(*words, "--pictures", "overlay").code == 1
    assert Path(kept).read_bytes() == b"mine"
    assert Path(gone).read_bytes() == drawn[gone]


def test_a_picture_of_an_image_that_is_gone_is_told_and_the_others_are_drawn(funcam: Funcam, photos: Path) -> None:
    funcam("batch", "photos", "--net", "scenes", "--out", "store", "-q")
    (photos / "1.png").unlink()
    ran = funcam("batch", "--as-listed", "--net", "scenes", "--out", "store", "--pictures", "overlay")
    assert ran.code == 1
    assert ran.err.count("\n") == 1
    assert "1.png" in ran.err
    assert len(list(Path("store/pictures").rglob("*.jpg"))) == 4


def test_a_folder_of_pictures_that_somebody_planted_is_refused(funcam: Funcam, photos: Path, tmp_path: Path) -> None:
    funcam("batch", "photos", "--net", "scenes", "--out", "store", "-q")
    (tmp_path / "elsewhere").mkdir()
    Path("store/pictures").symlink_to(tmp_path / "elsewhere")
    funcam("batch", "photos", "--net", "scenes", "--out", "store", "--pictures", "overlay").error(1, "it is a link")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_show_writes_a_page_over_a_sample_that_is_the_same_each_time(funcam: Funcam, photos: Path) -> None:
    (photos / "4.png").write_bytes(b"")
    funcam("batch", "photos", "--net", "scenes", "--out", "store", "-q", "--fit", "pad")
    words = ("batch", "show", "store", "--query", "error = null", "--sample", 3)
    ran = funcam(*words, "--report", "page.html")
    assert (ran.code, ran.out) == (0, "3 images in page.html\n")
    chosen = [json.loads(line)["path"] for line in funcam(*words, "--json").out.splitlines()]
    page = Path("page.html").read_text()
    assert [f"{number}.png" in page for number in range(5)] == [f"photos/{n}.png" in chosen for n in range(5)]
    funcam(*words, "--out", "drawn", "-q")
    assert [path.name[9:-4] for path in sorted(Path("drawn").glob("0*"))] == [Path(path).stem for path in chosen]


def test_show_tells_what_a_page_can_not_show(funcam: Funcam, photos: Path) -> None:
    (photos / "3.png").write_bytes(b"")
    funcam("batch", "photos", "--net", "scenes", "--out", "store", "-q")
    (photos / "1.png").unlink()
    ran = funcam("batch", "show", "store", "--report", "page.html")
    assert (ran.code, ran.out) == (1, "3 images in page.html\n")
    assert ran.err.count("\n") == 2


@pytest.mark.parametrize("at", [1, 2])
def test_an_interrupt_tells_what_the_store_holds(
    funcam: Funcam, photos: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    from pyarrow import parquet

    from funcam.cli.batch_progress import Told

    calls = []

    def interrupted(told: Told, images: int, failures: int) -> None:
        calls.append(images)
        if len(calls) == at:
            raise KeyboardInterrupt

    words = ("batch", "photos", "--net", "scenes", "--out", "store", "--batch", 1, "--shard", 2)
    with monkeypatch.context() as patched:
        patched.setattr(Told, "add", interrupted)
        ran = funcam(*words)
    held = sum(parquet.read_table(path).num_rows for path in Path("store").rglob("*.parquet"))
    assert ran.code == 130
    assert f"{held} of 5 images are done; the same command goes on" in ran.err
    assert held >= at
    assert funcam(*words).code == 0


def test_show_leaves_what_it_did_not_write(funcam: Funcam, photos: Path) -> None:
    funcam("batch", photos.name, "--net", "scenes", "--out", "store", "-q")
    Path("page.html").write_text("mine")
    funcam("batch", "show", "store", "--report", "page.html").error(2, "funcam did not write it")
    assert Path("page.html").read_text() == "mine"
    assert funcam("batch", "show", "store", "--report", "page.html", "--overwrite", "-q").code == 0
    assert funcam("batch", "show", "store", "--report", "page.html", "-q").code == 0
    other = ("batch", "show", "store", "--query", "predicted = 4", "--report", "page.html")
    assert "shows what other images, networks or options gave" in funcam(*other).err
    assert funcam(*other, "-q").err == ""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--most", "2", "--sample", "2"], "--most and --sample were given"),
        (["--json", "--out", "shown"], "--out is of pictures, and --json makes none"),
        (["--json", "--alpha", "0.5"], "--alpha is of pictures, and --json makes none"),
        (["--json", "--overwrite"], "--overwrite is of pictures"),
        (["--report", "page.html", "--format", "png"], "--format is of pictures, and --report makes none"),
        (["--report", "page.html", "--size", "9"], "--size is of pictures"),
        (["--out", "store"], "'store' is in the store, which holds nothing else; choose another place"),
        (["--out", "store/shown"], "is in the store"),
        (["--report", "store/page.html"], "is in the store"),
    ],
)
def test_show_uses_what_it_is_given_or_refuses_it(
    funcam: Funcam, photos: Path, words: list[str], expected: str
) -> None:
    """Among files of others a store is none any more: what is shown in it would end the store."""
    funcam("batch", "photos", "--net", "scenes", "--out", "store")
    before = sorted(Path().rglob("*"))
    funcam("batch", "show", "store", *words).error(2, expected)
    assert sorted(Path().rglob("*")) == before
    assert funcam("batch", "photos", "--net", "scenes", "--out", "store").code == 0


def test_show_prints_as_many_rows_as_were_asked_for_and_a_page_has_the_heat_that_was(
    funcam: Funcam, photos: Path
) -> None:
    funcam("batch", "photos", "--net", "scenes", "--out", "store")
    Path("funcam.toml").write_text('format = "png"\n')  # a configuration's style is refused nowhere
    assert len(funcam("batch", "show", "store", "--json").out.splitlines()) == 5
    assert len(funcam("batch", "show", "store", "--json", "--most", "2").out.splitlines()) == 2
    assert funcam("batch", "show", "store", "--report", "page.html", "--alpha", "0.125").code == 0
    assert '"alpha":0.125' in Path("page.html").read_text()
