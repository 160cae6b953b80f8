"""Reading images, against OpenCV, Pillow's own transformations and files written byte by byte."""

import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from funcam.errors import FuncamError
from funcam.imaging.reading import SUFFIXES, check_image, find_images, read_image

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
WIDE = RNG.integers(0, 65536, (5, 7, 3), dtype=np.uint16)


def png(width, height, depth, kind, rows, *chunks):
    """A PNG file, byte by byte."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [chunk(b"IHDR", header), *(chunk(*pair) for pair in chunks), chunk(b"IDAT", body), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(width, height, bits, pixels, photometric=1):
    """A grey TIFF file of one strip, byte by byte."""
    offset = 8 + 2 + 12 * 8 + 4
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric), (273, offset), (277, 1)]
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in [*tags, (279, len(pixels))]]
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries) + struct.pack("<I", 0) + pixels


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".ppm"])
def test_lossless_files_give_the_pixels_that_opencv_wrote(tmp_path, suffix):
    path = tmp_path / f"ünïcødé 图{suffix}"
    path.write_bytes(cv2.imencode(suffix, COLOUR[..., ::-1])[1].tobytes())
    image = read_image(path)
    assert image.dtype == np.uint8
    assert image.flags.writeable
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image, COLOUR)


@pytest.mark.parametrize("suffix", [".jpg", ".jfif", ".webp"])
def test_lossy_files_agree_with_opencv(tmp_path, suffix):
    smooth = cv2.resize(COLOUR, (70, 50), interpolation=cv2.INTER_CUBIC)
    path = tmp_path / f"x{suffix}"
    Image.fromarray(smooth).save(path, "WEBP" if suffix == ".webp" else "JPEG", quality=90)
    theirs = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(read_image(path).astype(int) - theirs).max() <= 3


def test_real_photos_agree_with_opencv(assets):
    paths = find_images([assets / "photos" / "seed", assets / "photos" / "peer"]).paths
    assert len(paths) == 7
    for path in paths:
        theirs = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        assert np.abs(read_image(path).astype(int) - theirs).mean() < 1


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("grey", [False, True])
def test_16_bits_are_scaled_not_clipped(tmp_path, suffix, grey):
    path = tmp_path / f"x{suffix}"
    values = WIDE[..., 0] if grey else WIDE
    assert cv2.imwrite(str(path), values if grey else values[..., ::-1])
    expected = np.rint(values / 257)
    expected = np.stack([expected] * 3, axis=-1) if grey else expected
    assert np.abs(read_image(path) - expected).max() <= 1


def test_16_bit_grey_with_alpha_lies_on_white(tmp_path):
    row = struct.pack(">4H", 0, 0, 40000, 65535)  # a transparent pixel, an opaque one
    path = tmp_path / "x.png"
    path.write_bytes(png(2, 1, 16, 4, [row]))
    np.testing.assert_allclose(read_image(path)[0, :, 0], [255, 40000 / 257], atol=1)


def test_12_bit_tiff_is_scaled_by_its_own_range(tmp_path):
    path = tmp_path / "x.tif"
    path.write_bytes(tiff(2, 1, 12, bytes([0xFF, 0xF8, 0x00])))  # 4095, 2048
    assert read_image(path)[0, :, 0].tolist() == [255, 128]


@pytest.mark.parametrize("bits", [8, 16])
def test_tiff_where_white_is_zero_is_not_a_negative(tmp_path, bits):
    path = tmp_path / "x.tif"
    path.write_bytes(tiff(2, 1, bits, np.array([0, 2**bits - 1], f"<u{bits // 8}").tobytes(), photometric=0))
    assert read_image(path)[0, :, 0].tolist() == [255, 0]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([-3.0, -1.0, 1.0], [0, 128, 255]),
        ([float("nan"), 0.0, 1.0], [0, 0, 255]),
        ([float("nan"), 1000.0, 2000.0], [0, 0, 255]),
        ([-3.0, float("inf"), -1.0], [0, 0, 255]),
    ],
)
def test_float_tiff_is_read_by_its_range(tmp_path, values, expected):
    path = tmp_path / "x.tiff"
    Image.fromarray(np.array([values], np.float32)).save(path)
    assert read_image(path)[0, :, 0].tolist() == expected


def test_a_float_tiff_of_no_number_is_refused(tmp_path):
    Image.fromarray(np.array([[np.nan, np.inf]], np.float32)).save(tmp_path / "no.tif")
    with pytest.raises(FuncamError, match="all its values are NaN or infinite"):
        read_image(tmp_path / "no.tif")


def test_a_constant_float_image_has_no_range_and_is_still_read(tmp_path):
    path = tmp_path / "x.tiff"
    Image.fromarray(np.full((2, 2), 7, np.float32)).save(path)
    assert read_image(path).shape == (2, 2, 3)


def test_cmyk_jpeg_has_the_colours_it_was_made_from(tmp_path):
    path = tmp_path / "x.jpg"
    block = np.full((16, 16, 3), (200, 60, 30), np.uint8)
    Image.fromarray(block).convert("CMYK").save(path, quality=95)
    assert np.abs(read_image(path).astype(int) - block).max() <= 4


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "I;16"])
def test_every_mode_becomes_the_same_black_and_white(tmp_path, mode):
    path = tmp_path / "x.png"
    picture = Image.fromarray(np.array([[0, 255]], np.uint8))
    if mode == "I;16":
        picture = Image.fromarray(np.array([[0, 65535]], np.uint16))
    elif mode == "RGBA":
        picture = picture.convert("RGB").convert("RGBA")
    else:
        picture = picture.convert(mode)
    picture.save(path)
    assert read_image(path).tolist() == [[[0] * 3, [255] * 3]]


def test_alpha_is_laid_on_white(tmp_path):
    path = tmp_path / "x.png"
    Image.fromarray(np.array([[[10, 20, 30, a] for a in (0, 51, 255)]], np.uint8)).save(path)
    expected = [[255, 255, 255], [206, 208, 210], [10, 20, 30]]  # 255 + (c - 255) / 5 in the middle
    assert np.abs(read_image(path)[0].astype(int) - expected).max() <= 1


def test_palette_transparency_is_laid_on_white(tmp_path):
    path = tmp_path / "x.png"
    palette = (b"PLTE", bytes([1, 2, 3, 40, 50, 60, 70, 80, 90]))
    path.write_bytes(png(3, 1, 8, 3, [bytes([0, 1, 2])], palette, (b"tRNS", bytes([255, 0]))))
    assert read_image(path)[0].tolist() == [[1, 2, 3], [255, 255, 255], [70, 80, 90]]


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".tiff"])
def test_of_several_frames_the_first_is_read(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    first, second = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    first.save(path, save_all=True, append_images=[second])
    assert np.abs(read_image(path).astype(int) - (255, 0, 0)).max() <= 3


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(tmp_path, suffix, orientation):
    path = tmp_path / f"x{suffix}"
    picture = Image.fromarray(cv2.resize(COLOUR, (64, 40), interpolation=cv2.INTER_NEAREST))
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(path, exif=exif)
    with Image.open(path) as theirs:
        expected = np.asarray(ImageOps.exif_transpose(theirs).convert("RGB"))
    assert expected.shape[:2] == ((40, 64) if orientation < 5 else (64, 40))
    np.testing.assert_array_equal(read_image(path), expected)


@pytest.mark.parametrize("size", [(1, 1), (1, 8000), (8000, 8000)])
def test_sizes_from_one_pixel_to_64_million_without_a_warning(tmp_path, size):
    path = tmp_path / "x.png"
    Image.new("1", size, 1).save(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(path).shape == (size[1], size[0], 3)


def test_a_bomb_is_refused_in_words(tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(png(60000, 60000, 1, 0, [b"\0"]))
    with pytest.raises(FuncamError, match=r"x.png.* holds more pixels than is safe"):
        read_image(path)


def refused(path, pattern):
    with pytest.raises(FuncamError, match=pattern) as caught:
        read_image(path)
    assert Path(path).name.replace("\n", "\\n").replace("\0", "\\x00") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_each_unreadable_file_has_its_own_message(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "notes.jpg").write_text("not an image")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "link.jpg").symlink_to("nowhere.jpg")
    refused(tmp_path / "empty.jpg", "empty")
    refused(tmp_path / "notes.jpg", "not an image")
    refused(tmp_path / "folder.jpg", "is a folder")
    refused(tmp_path / "link.jpg", "a link to a file that does not exist")
    refused(tmp_path / "emty.jpg", r"does not exist; nearest: 'empty.jpg'")
    refused(tmp_path / "Notes.JPG", r"does not exist; nearest: 'notes.jpg'")
    refused(tmp_path / "no" / "x.jpg", "nor does the folder")
    refused(tmp_path / "new\nline.jpg", "does not exist")
    refused(tmp_path / "nu\0ll.jpg", "does not exist")
    refused(tmp_path / ("x" * 300), "can't be read|does not exist")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    refused(tmp_path / "pipe.jpg", "not a regular file")


def test_a_file_that_may_not_be_read_says_so(tmp_path, monkeypatch):
    path = tmp_path / "x.jpg"
    path.write_bytes(b"x")

    def denied(*_):  # chmod does not stop root, who runs the tests in a container
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", denied)
    refused(path, "may not be read; check its permissions")


def encoded(kind, **options):
    stream = io.BytesIO()
    Image.fromarray(cv2.resize(COLOUR, (40, 30))).save(stream, kind, **options)
    return stream.getvalue()


FILES = {
    "JPEG": encoded("JPEG"),
    "PNG": encoded("PNG"),
    "WEBP": encoded("WEBP"),
    "TIFF": encoded("TIFF", compression="tiff_lzw"),
    "GIF": encoded("GIF"),
    "BMP": encoded("BMP"),
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_never_read_in_part_and_leaves_stderr_alone(tmp_path, capfd, kind, share):
    path = tmp_path / "x.bin"
    path.write_bytes(FILES[kind][: int(share * len(FILES[kind]))])
    refused(path, "truncated")
    assert capfd.readouterr().err == ""


@settings(max_examples=200)
@given(kind=st.sampled_from(sorted(FILES)), where=st.floats(0, 0.999), byte=st.integers(0, 255), cut=st.floats(0, 1))
def test_a_damaged_file_gives_pixels_or_one_line(tmp_path_factory, kind, where, byte, cut):
    data = bytearray(FILES[kind])
    data[int(where * len(data))] = byte
    path = tmp_path_factory.getbasetemp() / "damaged.bin"
    path.write_bytes(data[: max(1, int(2 * cut * len(data)))])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            check_image(read_image(path))
            line = "damaged.bin"
        except FuncamError as error:
            line = str(error)
    assert "damaged.bin" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    "image", [None, [[0]], np.zeros((2, 2)), np.zeros((2, 2, 4), np.uint8), np.zeros((0, 2, 3), np.uint8)]
)
def test_what_is_no_image_is_refused(image):
    with pytest.raises(FuncamError, match="uint8"):
        check_image(image)


@pytest.fixture
def album(tmp_path, monkeypatch):
    """b.jpg, a.PNG, c.jfif, .hidden.jpg, notes.txt, [1].jpg; sub/d.webp, sub/deep/e.gif; bare/ with no image."""
    for name in ["b.jpg", "a.PNG", "c.jfif", ".hidden.jpg", "notes.txt", "[1].jpg", "sub/d.webp", "sub/deep/e.gif"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "bare").mkdir()
    (tmp_path / "folder.jpg").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*arguments):
    found = find_images(arguments)
    assert found.problems == []
    return [path.as_posix() for path in found.paths]


def test_folders_globs_and_files_are_expanded_in_order_once(album):
    assert names(".") == ["[1].jpg", "a.PNG", "b.jpg", "c.jfif"]
    assert names("sub") == ["sub/d.webp"]
    assert names("*.jpg") == ["[1].jpg", "b.jpg"]
    assert names("[1].jpg") == ["[1].jpg"]
    assert names("**/*.[gw]*") == ["sub/d.webp", "sub/deep/e.gif"]
    assert names("sub/**") == ["sub/d.webp", "sub/deep/e.gif"]
    assert names("notes.txt", "b.jpg") == ["notes.txt", "b.jpg"]
    assert names("c.jfif", ".", "./c.jfif", "sub/../b.jpg", album / "a.PNG") == ["c.jfif", "[1].jpg", "a.PNG", "b.jpg"]


def test_a_home_directory_is_expanded(album, monkeypatch):
    monkeypatch.setenv("HOME", str(album))
    monkeypatch.setenv("USERPROFILE", str(album))
    assert names("~/b.jpg") == [(album / "b.jpg").as_posix()]


def test_links_with_names_of_their_own_are_files_of_their_own(album):
    (album / "link.jpg").symlink_to("b.jpg")
    assert names("b.jpg", "link.jpg") == ["b.jpg", "link.jpg"]


def test_what_gives_nothing_becomes_a_line_and_the_rest_is_found(album):
    found = find_images(["bb.jpg", "b.jpg", "bare", "*.xyz", "*.txt", "", "https://x.org/a.jpg", "no/x.jpg", "q\0"])
    assert [path.name for path in found.paths] == ["b.jpg"]
    expected = ["nearest: 'b.jpg'", "holds no images", "matches no file", "but no images", "empty path", "download"]
    assert len(found.problems) == 8
    for line, words in zip(found.problems, [*expected, "nor does the folder", "does not exist"], strict=True):
        assert words in line
        assert "\n" not in line


def test_one_path_is_not_a_list_of_them(album):
    with pytest.raises(FuncamError, match="list of paths"):
        find_images("b.jpg")


def test_suffixes_are_lower_case_and_dotted():
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in SUFFIXES)
