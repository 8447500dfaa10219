"""Owns the bytes of media that a backend hands out: speech as MP3, pictures as PNG.

Both are real files that players and browsers open, made here by hand: no encoder library, and the same
bytes on every machine. It refuses to draw from chance or the clock, and knows nothing of HTTP.
"""

import colorsys
import hashlib
import struct
import zlib

# ISO/IEC 11172-3: MPEG-1, Layer III, no CRC, 32 kbit/s, 32 kHz, no padding, one channel, original.
_FRAME_HEADER = 0xFFFB18C4
# 1152 samples at 32 kHz and 32 kbit/s: no fraction, so no frame needs padding and all are alike.
_FRAME_BYTES = 144
_FRAME_MS = 36
_GRANULE_MS = 18

_SYLLABLE_MS = 60
_SHORTEST_MS = 500
_LONGEST_MS = 30_000

# global_gain of a syllable's granules, a step is 1.5 dB: attack, vowel, fall. A blank is a soft breath.
_LOUDNESS = (200, 203, 202, 198)
_BREATH = 188

# Steps of a pentatonic scale as MDCT lines of 27.8 Hz: neighbours sound well in any order.
_SCALE = (0, 2, 4, 7, 10, 13, 17, 21)
_LOWEST_LINES = (7, 8, 9, 11, 13, 15)

# (0,0), (0,±1), (±1,0) in Huffman table 1, without the sign.
_NO_PAIR, _SECOND_OF_PAIR, _FIRST_OF_PAIR = "1", "001", "01"

_CELL = 32
_LARGEST_SIDE = 4096
# All that the two bytes of a stored block's length can say.
_STORED_BYTES = 0xFFFF


def speech_mp3(text: str, voice: str = "") -> bytes:
    """Speak a text: a tone for each character, as an MP3 file.

    In: any text, and a voice's name, which moves the register. Out: MPEG-1 Layer III frames of 144 bytes and
    36 ms each (32 kHz, mono, 32 kbit/s), about 60 ms a character, at least 0.5 s and at most 30 s in all.
    Equal arguments give equal bytes; no frame needs the one before it.
    """
    spoken = text.strip() or "…"
    digest = _digest(voice, text)
    lowest = _LOWEST_LINES[_digest(voice)[0] % len(_LOWEST_LINES)]
    wanted_ms = min(max(len(spoken) * _SYLLABLE_MS, _SHORTEST_MS), _LONGEST_MS)
    # Rounded up to whole frames, except where that would pass the limit.
    frames = min(-(-wanted_ms // _FRAME_MS), _LONGEST_MS // _FRAME_MS)

    granules = []
    for number in range(frames * 2):
        syllable, within = divmod(number * _GRANULE_MS, _SYLLABLE_MS)
        character = spoken[syllable % len(spoken)]
        # The digest has a say in every tone: short texts and the tail beyond 30 s make a difference too.
        step = (ord(character) + digest[syllable % len(digest)]) % len(_SCALE)
        gain = _BREATH if character.isspace() else _LOUDNESS[within // _GRANULE_MS]
        granules.append(_granule(lowest + _SCALE[step], _is_negative(number, lowest + _SCALE[step]), gain))
    return b"".join(_frame(*granules[at : at + 2]) for at in range(0, len(granules), 2))


def mp3_frames(data: bytes) -> list[bytes]:
    """Cut what `speech_mp3` made into its frames, each of which decodes on its own.

    In: whole frames, as many as there are. Out: the frames in order; joined they are `data` again. A piece
    to be played needs at least two: players know the first by the second. Raises `ValueError` if the bytes
    are not such frames.
    """
    frames = [data[at : at + _FRAME_BYTES] for at in range(0, len(data), _FRAME_BYTES)]
    header = _FRAME_HEADER.to_bytes(4, "big")
    for number, frame in enumerate(frames):
        if len(frame) != _FRAME_BYTES or not frame.startswith(header):
            raise ValueError(f"no frame of 144 bytes at byte {number * _FRAME_BYTES}")
    return frames


def picture_png(text: str, width: int = 256, height: int = 256) -> bytes:
    """Draw a mosaic that runs from one colour to another, both chosen by the text.

    In: any text; width and height in pixels, 1 to 4096. Out: a PNG file with a palette of four colours,
    about width x height / 4 bytes. Equal arguments give equal bytes. Raises `ValueError` for other sizes.
    """
    if not (1 <= width <= _LARGEST_SIDE and 1 <= height <= _LARGEST_SIDE):
        raise ValueError(f"a picture is 1 to {_LARGEST_SIDE} pixels wide and high, not {width} x {height}")
    digest = _digest(text)
    columns, rows = -(-width // _CELL), -(-height // _CELL)
    lines = []
    for row in range(rows):
        cells = b"".join(_cell(digest, column, row, columns + rows) for column in range(columns))
        # Each line begins with its filter; 0 leaves the pixels as they are.
        line = b"\0" + cells[: -(-width // 4)]
        lines.append(line * min(_CELL, height - row * _CELL))
    header = struct.pack(">IIBBBBB", width, height, 2, 3, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", header),
            _chunk(b"PLTE", _palette(digest)),
            _chunk(b"IDAT", _stored(b"".join(lines))),
            _chunk(b"IEND", b""),
        )
    )


def _digest(*words: str) -> bytes:
    # surrogatepass: whatever a JSON string can carry has a digest, half a surrogate pair too.
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogatepass")).digest()


def _is_negative(number: int, line: int) -> bool:
    """Tell the sign that a line has in a granule so that its tone goes on from the granule before."""
    # A steady tone at the middle of a line turns by line + 1/2 half circles from one granule to the next.
    return (number * (2 * line + 1)) % 4 in (1, 2)


def _granule(line: int, negative: bool, gain: int) -> tuple[str, str]:
    """Give side information and main data, as digits 0 and 1, of 18 ms of one MDCT line."""
    pair, second = divmod(line, 2)
    main = _NO_PAIR * pair + (_SECOND_OF_PAIR if second else _FIRST_OF_PAIR) + ("1" if negative else "0")
    side = (
        f"{len(main):012b}"  # part2_3_length; no scale factors, so this is the Huffman code alone
        f"{pair + 1:09b}"  # big_values
        f"{gain:08b}"  # global_gain
        "0000"  # scalefac_compress
        "0"  # window_switching_flag: long blocks
        "000010000100001"  # table_select: table 1 in all three regions
        "0111"  # region0_count
        "111"  # region1_count
        "000"  # preflag, scalefac_scale, count1table_select
    )
    return side, main


def _frame(first: tuple[str, str], second: tuple[str, str]) -> bytes:
    # 18 zeros: main_data_begin (nothing borrowed from earlier frames), private bits, scfsi.
    bits = f"{_FRAME_HEADER:032b}" + "0" * 18 + first[0] + second[0] + first[1] + second[1]
    return int(bits.ljust(_FRAME_BYTES * 8, "0"), 2).to_bytes(_FRAME_BYTES, "big")


def _cell(digest: bytes, column: int, row: int, span: int) -> bytes:
    """Give one line of a cell: 32 pixels of 2 bits in one of the four colours."""
    drift = digest[(column * 7 + row * 11) % len(digest)] % 3 - 1
    shade = min(max(4 * (column + row) // span + drift, 0), 3)
    return bytes([0b01010101 * shade]) * (_CELL // 4)


def _palette(digest: bytes) -> bytes:
    """Give four colours of three bytes, in equal steps from the first to the last."""
    hue = (digest[0] << 8 | digest[1]) / 65536
    # Near neighbours on the colour circle, one pale and one deep, go together.
    start = colorsys.hsv_to_rgb(hue, 0.25 + digest[2] / 1024, 0.95)
    end = colorsys.hsv_to_rgb((hue + 0.1 + digest[3] / 1280) % 1.0, 0.75, 0.45 + digest[4] / 1024)
    return bytes(
        int(255 * (a * (3 - shade) + b * shade) / 3) for shade in range(4) for a, b in zip(start, end, strict=True)
    )


def _stored(data: bytes) -> bytes:
    """Wrap bytes as a zlib stream (RFC 1950) of stored blocks (RFC 1951, 3.2.4)."""
    # Not zlib.compress: builds of zlib differ in what they make of the same bytes.
    blocks = []
    for at in range(0, len(data), _STORED_BYTES):
        piece = data[at : at + _STORED_BYTES]
        is_last = at + _STORED_BYTES >= len(data)
        blocks.append(struct.pack("<BHH", is_last, len(piece), len(piece) ^ 0xFFFF) + piece)
    return b"\x78\x01" + b"".join(blocks) + struct.pack(">I", zlib.adler32(data))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
