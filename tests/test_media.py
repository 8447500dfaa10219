"""Media are read here by hand, bit by bit, from the standards: no decoder has to be installed."""

import struct
import time
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.world.media import mp3_frames, picture_png, speech_mp3

TEXTS = ["", " ", "a", "Hello, how are you?", "你好，今天天气怎么样？", "🙂\n\0", "\ud800", "word " * 400]
GOLDEN_SPEECH = 0x6D3F21F1
GOLDEN_PICTURE = 0x22E22A0B


def read_bits(frame: bytes, at: int, count: int) -> int:
    whole = int.from_bytes(frame, "big")
    return whole >> (len(frame) * 8 - at - count) & ((1 << count) - 1)


def tones_of(frame: bytes) -> list[tuple[int, int, int]]:
    """Decode a frame's two granules (ISO/IEC 11172-3, 2.4.1.7) to (MDCT line, value, global_gain)."""
    assert read_bits(frame, 32, 9) == 0, "main_data_begin: the frame must not need earlier ones"
    at_side, at_main = 32 + 18, 32 + 136
    tones = []
    for _ in range(2):
        length, big_values, gain = (
            read_bits(frame, at_side, 12),
            read_bits(frame, at_side + 12, 9),
            read_bits(frame, at_side + 21, 8),
        )
        assert read_bits(frame, at_side + 29, 5) == 0, "no scale factors, long blocks"
        assert [read_bits(frame, at_side + 34 + 5 * n, 5) for n in range(3)] == [1, 1, 1], "table_select"
        bits = f"{read_bits(frame, at_main, length):0{length}b}"
        at_side, at_main = at_side + 59, at_main + length
        values: list[int] = []
        while bits:
            code, pair = next(
                (code, pair)
                for code, pair in (("1", (0, 0)), ("001", (0, 1)), ("01", (1, 0)), ("000", (1, 1)))
                if bits.startswith(code)
            )
            bits = bits[len(code) :]
            for size in pair:
                values.append(-size if size and bits[0] == "1" else size)
                bits = bits[size:]  # a sign follows every value but 0
        assert len(values) == 2 * big_values
        ((line, value),) = [(line, value) for line, value in enumerate(values) if value]
        tones.append((line, value, gain))
    assert at_main <= len(frame) * 8
    return tones


@pytest.mark.parametrize("text", TEXTS)
def test_speech_is_mpeg_1_layer_3_of_32_kbit_and_32_khz_in_mono(text: str) -> None:
    data = speech_mp3(text)
    assert len(data) % 144 == 0
    for at in range(0, len(data), 144):
        (header,) = struct.unpack(">I", data[at : at + 4])
        assert header >> 21 == 0x7FF, "sync word"
        assert header >> 19 & 3 == 3, "MPEG-1"
        assert header >> 17 & 3 == 1, "Layer III"
        assert header >> 16 & 1 == 1, "no CRC"
        assert header >> 12 & 15 == 1, "32 kbit/s"
        assert header >> 10 & 3 == 2, "32 kHz"
        assert header >> 9 & 1 == 0, "no padding: 144 * 32000 / 32000 bytes"
        assert header >> 6 & 3 == 3, "one channel"
        assert header & 3 == 0, "no emphasis"


@pytest.mark.parametrize("text", TEXTS)
def test_every_granule_of_speech_sounds(text: str) -> None:
    for frame in mp3_frames(speech_mp3(text, "voice")):
        for line, value, gain in tones_of(frame):
            assert 7 <= line <= 36, "200 to 1000 Hz"
            assert abs(value) == 1
            assert 185 <= gain <= 204, "heard, and far from clipping (0.33 of full scale was measured at 203)"


@pytest.mark.parametrize(
    ("characters", "frames"),
    [(0, 14), (1, 14), (8, 14), (9, 15), (50, 84), (499, 832), (500, 833), (501, 833), (100_000, 833)],
)
def test_speech_lasts_60_ms_a_character_within_half_a_second_and_thirty(characters: int, frames: int) -> None:
    assert len(mp3_frames(speech_mp3("x" * characters))) == frames
    assert 500 <= frames * 36 <= 30_000


def test_speech_follows_text_and_voice() -> None:
    variants = [speech_mp3(text, voice) for text in TEXTS for voice in ("", "low", "high")]
    assert len(set(variants)) == len(variants)
    assert variants == [speech_mp3(text, voice) for text in TEXTS for voice in ("", "low", "high")]
    # Bytes that no other machine and no later version may change without a reason.
    assert zlib.crc32(speech_mp3("Hello", "golden")) == GOLDEN_SPEECH


def test_speech_hears_what_comes_after_thirty_seconds() -> None:
    assert speech_mp3("x" * 600 + "a") != speech_mp3("x" * 600 + "b")


def test_a_blank_is_softer_than_a_letter() -> None:
    gains = [gain for frame in mp3_frames(speech_mp3("aaaa aaaa")) for _, _, gain in tones_of(frame)]
    # The fifth syllable: 240 to 300 ms, granules of 18 ms.
    assert max(gains[14:16]) < min(gains[:13] + gains[17:26])


def test_frames_join_to_the_file() -> None:
    data = speech_mp3("Cut me, please.")
    assert b"".join(mp3_frames(data)) == data
    assert {len(frame) for frame in mp3_frames(data)} == {144}
    assert mp3_frames(b"") == []


@pytest.mark.parametrize(
    "data",
    [b"x", b"ID3" + bytes(141), speech_mp3("x")[:-1], speech_mp3("x")[1:], speech_mp3("x") + bytes(144)],
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no frame of 144 bytes at byte"):
        mp3_frames(data)


@settings(max_examples=30, deadline=None)
@given(st.text(st.characters(codec=None), max_size=40), st.text(max_size=5))
def test_any_text_can_be_spoken(text: str, voice: str) -> None:
    for frame in mp3_frames(speech_mp3(text, voice)):
        tones_of(frame)


def chunks_of(png: bytes) -> list[tuple[bytes, bytes]]:
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, []
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        body = png[at + 8 : at + 8 + length]
        (crc,) = struct.unpack(">I", png[at + 8 + length : at + 12 + length])
        assert crc == zlib.crc32(kind + body)
        chunks.append((kind, body))
        at += 12 + length
    return chunks


@pytest.mark.parametrize("size", [(256, 256), (1, 1), (3, 500), (333, 77), (1024, 600)])
@pytest.mark.parametrize("text", ["", "a cat on a roof", "\ud800"])
def test_a_picture_is_a_png_of_the_asked_size(text: str, size: tuple[int, int]) -> None:
    width, height = size
    (header, palette, pixels, end) = chunks_of(picture_png(text, width, height))
    assert header == (b"IHDR", struct.pack(">IIBBBBB", width, height, 2, 3, 0, 0, 0))
    assert (palette[0], len(palette[1])) == (b"PLTE", 4 * 3)
    assert (pixels[0], end) == (b"IDAT", (b"IEND", b""))
    line_bytes = 1 + (width * 2 + 7) // 8
    raw = zlib.decompress(pixels[1])
    assert len(raw) == line_bytes * height
    assert set(raw[::line_bytes]) == {0}, "filter of each line"


def test_a_picture_runs_from_the_first_colour_to_the_last() -> None:
    _, (_, palette), (_, pixels), _ = chunks_of(picture_png("sunset"))
    assert len({palette[at : at + 3] for at in range(0, 12, 3)}) == 4
    lines = zlib.decompress(pixels)
    assert lines[1] >> 6 <= 1 and lines[-1] & 3 >= 2
    assert {lines[at] & 3 for at in range(1, len(lines), 8)} == {0, 1, 2, 3}


def test_a_picture_follows_its_text_and_is_small_and_quick() -> None:
    pictures = [picture_png(text) for text in TEXTS]
    assert len(set(pictures)) == len(pictures)
    assert max(map(len, pictures)) < 20_000
    assert zlib.crc32(picture_png("Hello")) == GOLDEN_PICTURE
    spent = []
    for text in TEXTS:
        start = time.perf_counter()
        assert picture_png(text) == pictures[TEXTS.index(text)]
        spent.append(time.perf_counter() - start)
    assert min(spent) < 0.005


@pytest.mark.parametrize("size", [(0, 1), (1, 0), (-1, 5), (4097, 1), (1, 4097)])
def test_other_sizes_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="a picture is 1 to 4096 pixels"):
        picture_png("x", *size)
