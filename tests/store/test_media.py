"""Pictures: told by content, sized before decoding, upright once, one hash."""

import hashlib
import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from posestudio.errors import InputError
from posestudio.store import media


def picture(width: int = 40, height: int = 24, seed: int = 0) -> Image.Image:
    """A smooth, uneven image, so that turned or mirrored pixels differ."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 255, (5, 5, 3), np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def encode(image: Image.Image, kind: str = "JPEG", orientation: int | None = None) -> bytes:
    out = io.BytesIO()
    options = {}
    if orientation is not None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        exif[0x010F] = "maker"
        options["exif"] = exif
    if kind == "JPEG":
        options["quality"] = 95
    image.save(out, kind, **options)
    return out.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is huge and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", [None, 1])
def test_upright_images_are_stored_byte_for_byte(kind: str, orientation: int | None):
    data = encode(picture(), kind, orientation)
    found = media.read_picture(data)
    assert found.data == data
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert (found.width, found.height, found.rewritten) == (40, 24, False)


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_exif_orientation_is_applied_once(kind: str, orientation: int):
    upright = np.asarray(picture().convert("L"), float)
    back = {2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}[orientation]
    method = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}[back]
    stored = picture().transpose(Image.Transpose(method))
    found = media.read_picture(encode(stored, kind, orientation))
    assert found.rewritten and (found.width, found.height) == (40, 24)
    again = Image.open(io.BytesIO(found.data))
    assert again.getexif().get(0x0112, 1) == 1
    assert again.getexif().get(0x010F) == "maker", "other metadata stays"
    assert np.abs(np.asarray(again.convert("L"), float) - upright).mean() < 3
    twice = media.read_picture(found.data)
    assert twice.data == found.data and not twice.rewritten


def test_a_broken_exif_block_does_not_cost_the_image():
    data = encode(picture(), orientation=6)
    broken = data.replace(b"maker", b"\xff\xff\xff\xff\xff", 1)
    at = broken.index(b"Exif\x00\x00") + 6
    for place in range(at, at + 40):
        changed = bytearray(broken)
        changed[place] ^= 0xFF
        found = media.read_picture(bytes(changed))
        assert {found.width, found.height} == {40, 24}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_flipped_bytes_give_a_picture_or_a_reason(kind: str):
    rng = np.random.default_rng(7)
    data = encode(picture(), kind, orientation=8)
    for _ in range(300):
        changed = bytearray(data)
        for place in rng.integers(0, min(len(data), 200), rng.integers(1, 5)):
            changed[place] = rng.integers(256)
        try:
            assert media.read_picture(bytes(changed)).width > 0
        except InputError as error:
            assert str(error)


def test_a_coco_image_is_turned_only_if_its_file_says_so():
    data = encode(picture(40, 24), "PNG", orientation=6)
    kept = media.read_picture(data, said_wh=(40, 24))
    turned = media.read_picture(data, said_wh=(24, 40))
    assert (kept.width, kept.height) == (40, 24)
    assert (turned.width, turned.height) == (24, 40)
    for found in (kept, turned):
        again = Image.open(io.BytesIO(found.data))
        assert again.size == (found.width, found.height) and 0x0112 not in again.getexif()
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(kept.data))), np.asarray(picture()))
    with pytest.raises(InputError, match="40 x 24, the file says 30 x 24"):
        media.read_picture(data, said_wh=(30, 24))


def test_kind_is_told_by_content_not_by_name(tmp_path: Path):
    (tmp_path / "text.jpg").write_text("this is text, not a picture " * 20)
    with pytest.raises(InputError, match="by its content"):
        media.read_picture(media.read_file(tmp_path / "text.jpg"))
    (tmp_path / "picture.txt").write_bytes(encode(picture(), "PNG"))
    assert media.read_picture(media.read_file(tmp_path / "picture.txt")).width == 40
    for kind in ("GIF", "TIFF", "BMP"):
        with pytest.raises(InputError, match="by its content"):
            media.read_picture(encode(picture(), kind))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_truncated_images_are_found(kind: str, share: float):
    data = encode(picture(200, 200), kind)
    with pytest.raises(InputError, match="broken or truncated|by its content"):
        media.read_picture(data[: int(len(data) * share)])


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    "size", [(40_000, 40_000), (20_001, 10), (10_001, 10_000), (12_000, 12_000)]
)
def test_huge_images_are_refused_by_their_header(size: tuple[int, int]):
    with pytest.raises(InputError, match="pixels"):
        media.read_picture(png_header(*size))


def test_the_largest_allowed_size_passes_the_header_check():
    with pytest.raises(InputError, match="broken or truncated"):
        media.read_picture(png_header(10_000, 10_000))


def test_size_checks_print_no_warning():
    """Pillow would warn on stderr before our own refusal."""
    code = """if True:
        import sys
        from posestudio.errors import InputError
        from posestudio.store import media
        try:
            media.read_picture(sys.stdin.buffer.read())
        except InputError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=png_header(12_000, 12_000),
        capture_output=True,
        cwd=Path(media.__file__).parents[2],
    )
    assert b"12000 x 12000 pixels is too large" in done.stdout
    assert b"Warning" not in done.stderr


def test_files_that_are_no_files_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="no such file"):
        media.read_file(tmp_path / "none.jpg")
    with pytest.raises(InputError, match="not a regular file"):
        media.read_file(tmp_path)


def test_the_hash_survives_a_new_encoding_and_a_smaller_size():
    image = picture(400, 300, seed=3)
    hashes = [
        media.read_picture(encode(image)).phash,
        media.read_picture(encode(image, "PNG")).phash,
        media.read_picture(encode(image.resize((300, 225)))).phash,
    ]
    other = media.read_picture(encode(picture(400, 300, seed=4))).phash
    assert max((hashes[0] ^ h).bit_count() for h in hashes) <= 3
    assert (hashes[0] ^ other).bit_count() > 12
    assert all(0 <= h < 2**64 for h in hashes)


def test_sixteen_bit_gray_is_not_clipped_to_white():
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)
    out = io.BytesIO()
    Image.fromarray(np.tile(ramp, (64, 1))).save(out, "PNG")
    assert media.read_picture(out.getvalue()).phash == 2**64 - 1, "brighter from left to right"


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1", "LA"])
def test_other_color_modes_are_taken(mode: str):
    kind = "JPEG" if mode == "CMYK" else "PNG"
    found = media.read_picture(encode(picture().convert(mode), kind))
    assert (found.width, found.height) == (40, 24)


@pytest.mark.parametrize(
    ("name", "out"),
    [
        ("a.jpg", False),
        ("a/b/c.jpg", False),
        ("./a..jpg", False),
        ("../a.jpg", True),
        ("a/../../b.jpg", True),
        ("/etc/passwd", True),
        ("C:/a.jpg", True),
        ("a\\..\\b.jpg", True),
        ("\\\\host\\a.jpg", True),
        ("a\x00.jpg", True),
    ],
)
def test_names_that_lead_out(name: str, out: bool):
    assert media.leads_out(name) is out
