"""What is said must be believable to a person and harmless to a program; most tests are about the second."""

import random
import re
import unicodedata
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from emulator.world.prose import (
    answer_to,
    deltas,
    follow_ups,
    language_of,
    opening,
    question,
    title_of,
    tokens_in,
    transcript,
)

LANGUAGES = ("en", "zh")
SEEDS = range(150)
# Whatever a JSON string can carry, halves of surrogate pairs and unassigned code points among it.
ANY_TEXT = st.text(st.characters(codec=None), max_size=200)
MANY_SCRIPTS = st.text(
    st.sampled_from(
        "aé你好。 ,.?!\n\r\0\u0301\u200d\u200c\ufe0f\u202e🙂👩🏽🇩🇪\u1112\u1161한नि\ud83d\ude00שא\U000e0067'-1"
    )
)
TEXTS = st.one_of(ANY_TEXT, MANY_SCRIPTS)
RANDOMS = st.integers(0, 10_000).map(random.Random)


def has_han(text: str) -> bool:
    return any("\u4e00" <= character <= "\u9fff" for character in text)


def assert_harmless(text: str) -> None:
    """No control or format characters, surrogates, private or unassigned code points; newlines may be."""
    text.encode("utf-8")
    assert not [c for c in text if c != "\n" and unicodedata.category(c)[0] == "C"]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("", "en"),
        ("Hello", "en"),
        ("你好", "zh"),
        ("Please translate 你好", "zh"),
        ("\U00020000", "zh"),
        ("\u3400", "zh"),
        ("\uf900", "zh"),
        ("Привет", "en"),
        ("，。！", "en"),
        ("안녕하세요", "en"),
        ("\ud840\udc00", "en"),
    ],
)
def test_language(text: str, language: str) -> None:
    assert language_of(text) == language


@pytest.mark.parametrize("text", ["hi", "Hello!", "HEY", " hello \n", "Good morning.", "hi there :)", "How are you?"])
def test_an_english_greeting_gets_a_greeting(text: str) -> None:
    answer = answer_to(text, random.Random(1), sentences=5)
    assert answer.startswith(("Hello", "Hi")) and len(answer) < 100
    assert not has_han(title_of(text, random.Random(1)))


@pytest.mark.parametrize("text", ["你好", "您好！", "你好，在吗？", "嗨", "早上好。", "hello，你好"])
def test_a_chinese_greeting_gets_a_greeting(text: str) -> None:
    assert answer_to(text, random.Random(1)).startswith(("你好", "您好", "嗨"))
    assert title_of(text, random.Random(1)) in {"问候", "打个招呼", "初次问好"}


@pytest.mark.parametrize("text", ["Hi, how do I bake bread?", "你好，怎么烤面包？", "hithere", "Say hello to Kyoto"])
def test_a_greeting_before_a_question_is_a_question(text: str) -> None:
    assert '"' in answer_to(text, random.Random(1)) or "“" in answer_to(text, random.Random(1))


@pytest.mark.parametrize(
    ("asked", "topic"),
    [
        ("What's the capital of France?", '"capital of France"'),
        ("Can you explain photosynthesis to me, please?", '"photosynthesis"'),
        ("I'm new here. How do I write tests with node.js 3.5?", '"tests with node.js 3.5"'),
        ("Should I use C++ or C#?", '"C++ or C#"'),
        ("请问北京今天天气怎么样？", "“北京今天天气”"),
        ("我是新手，请说得简单一点。成年人学吉他，按什么顺序练习比较好？", "“成年人学吉他”"),
        ("读取很大的 CSV 文件，怎么办", "“读取很大的 CSV 文件”"),
        ('Tell me about <script>"drop" tables;</script>', '"script drop tables script"'),
        ("Why {topic} and {0}?", '"topic and 0"'),
    ],
)
def test_an_answer_names_the_topic(asked: str, topic: str) -> None:
    for seed in range(20):
        assert topic in answer_to(asked, random.Random(seed))


@pytest.mark.parametrize("asked", ["", "?", "🙂🙂", "\ud800", "\0\0", "who are you?", "你是谁", "介绍一下你自己"])
def test_an_answer_without_a_topic_quotes_nothing(asked: str) -> None:
    for seed in range(20):
        answer = answer_to(asked, random.Random(seed))
        assert "“" not in answer and '"' not in answer
        assert len(answer) > 50


@pytest.mark.parametrize(("language", "shortest", "longest"), [("en", 150, 400), ("zh", 60, 180)])
def test_an_answer_is_as_long_as_people_expect(language: str, shortest: int, longest: int) -> None:
    with_list = 0
    for seed in SEEDS:
        rng = random.Random(seed)
        asked = question(rng, language)
        answer = answer_to(asked, rng)
        assert shortest <= len(answer) <= longest
        assert has_han(answer) == (language == "zh")
        assert "{" not in answer and "  " not in answer
        items = [line for line in answer.splitlines() if line.startswith("- ")]
        assert len(items) in (0, 3)
        with_list += bool(items)
        if not items:
            assert 2 <= len(re.findall(r"[.!?](?:\s|$)|[。！？]", answer)) <= 5
    assert 0 < with_list < len(SEEDS) / 2


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("wanted", "said"), [(1, 1), (2, 2), (5, 5), (12, 12), (30, 30), (0, 1), (-3, 1)])
def test_an_answer_has_as_many_sentences_as_wanted(language: str, wanted: int, said: int) -> None:
    for seed in range(30):
        rng = random.Random(seed)
        answer = answer_to(question(rng, language), rng, sentences=wanted)
        assert len(re.findall(r"[.!?](?:\s|$)|[。！？]", answer)) == said
        assert "\n" not in answer


@settings(max_examples=200, deadline=None)
@given(TEXTS, RANDOMS, st.none() | st.integers(1, 8))
@example("\u202eevil\u202c \ud83d", random.Random(0), None)
@example("a" + "\u0301" * 500, random.Random(0), None)
@example("的" * 5000, random.Random(0), None)
def test_an_answer_to_anything_is_harmless(text: str, rng: random.Random, sentences: int | None) -> None:
    answer = answer_to(text, rng, sentences=sentences)
    assert answer == answer.strip() != ""
    assert_harmless(answer)
    assert language_of(answer) == language_of(text)
    if sentences is None:
        assert len(answer) <= 400


@settings(max_examples=50, deadline=None)
@given(st.text("αβγδε жщю", max_size=400), RANDOMS)
def test_an_answer_quotes_at_most_sixty_characters(text: str, rng: random.Random) -> None:
    answer = answer_to(text, rng)
    for quote in re.findall('"(.*?)"', answer):
        assert len(quote) <= 60
        assert quote in " ".join(text.split())
    assert sum(character in "αβγδεжщю" for character in answer) <= 60


@settings(max_examples=200, deadline=None)
@given(TEXTS, RANDOMS)
@example("ß" * 100, random.Random(0))
@example("word " * 100, random.Random(0))
def test_a_title_is_one_short_line(text: str, rng: random.Random) -> None:
    title = title_of(text, rng)
    assert title == title.strip() and 1 <= len(title) <= 75
    assert "\n" not in title
    assert_harmless(title)
    assert language_of(title) == language_of(text)


@pytest.mark.parametrize("language", LANGUAGES)
def test_titles_of_questions_read_like_titles(language: str) -> None:
    for seed in SEEDS:
        rng = random.Random(seed)
        title = title_of(question(rng, language), rng)
        assert has_han(title) == (language == "zh")
        assert title[0].isupper() or language == "zh"
        assert not title.endswith(("?", "？", ".", "。"))


@settings(max_examples=200, deadline=None)
@given(TEXTS, TEXTS, RANDOMS)
@example("", "- \ud800\n- a", random.Random(0))
@example("What?", "- a b c\n- " + "x" * 500, random.Random(0))
def test_three_different_follow_ups(asked: str, answer: str, rng: random.Random) -> None:
    suggestions = follow_ups(asked, answer, rng)
    assert len(set(suggestions)) == len(suggestions) == 3
    for suggestion in suggestions:
        assert suggestion.endswith(("?", "？")) and "\n" not in suggestion
        assert len(suggestion) < 140
        assert_harmless(suggestion)


@pytest.mark.parametrize("language", LANGUAGES)
def test_follow_ups_speak_the_language_and_name_topic_or_item(language: str) -> None:
    for seed in SEEDS:
        rng = random.Random(seed)
        asked = question(rng, language)
        suggestions = follow_ups(asked, answer_to(asked, rng), rng)
        assert all(has_han(suggestion) == (language == "zh") for suggestion in suggestions)
        assert any("“" in suggestion or '"' in suggestion for suggestion in suggestions)
    # A question without words is followed up in the answer's language.
    assert has_han("".join(follow_ups("🙂", "我们去公园吧。", random.Random(1))))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("say", [question, opening, transcript])
def test_the_bank_is_rich_and_in_its_language(say: object, language: str) -> None:
    assert callable(say)
    said = {say(random.Random(seed), language) for seed in range(300)}
    assert len(said) >= (8 if say is transcript else 12)
    for text in said:
        assert has_han(text) == (language == "zh")
        assert text.endswith(("。", "？") if language == "zh" else (".", "?"))
        assert "{" not in text and "\n" not in text and 8 <= len(text) <= 160
        assert_harmless(text)
        if say is not transcript:
            assert text[-1] in "?？"


@pytest.mark.parametrize(("tag", "chinese"), [("zh-Hans", True), ("ZH_cn", True), ("en-GB", False), ("", False)])
def test_language_tags(tag: str, chinese: bool) -> None:
    assert has_han(question(random.Random(1), tag)) is chinese


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        (" ", 1),
        ("a", 1),
        ("abcd", 1),
        ("abcde", 2),
        ("你", 1),
        ("你好，世界", 5),
        ("你好 world", 4),
        ("\ud800", 1),
    ],
)
def test_tokens(text: str, tokens: int) -> None:
    assert tokens_in(text) == tokens


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("Hello, I can", ["Hello", ",", " I", " can"]),
        ("I'm sure you don't.", ["I", "'m", " sure", " you", " don", "'t", "."]),
        ("one\n\n- two", ["one", "\n", "\n", "-", " two"]),
        ("a\r\n  b \n", ["a", "\r\n", " ", " b", " ", "\n"]),
        ("in 2026, 12345", ["in", " 202", "6", ",", " 123", "45"]),
        ("internationalization", ["inter", "natio", "naliz", "ation"]),
        ("你好，我可以帮你", ["你好", "，", "我可", "以帮", "你"]),
        ('x = "a"', ["x", " =", ' "', "a", '"']),
        ("👨‍👩‍👧🇩🇪🇫🇷", ["👨‍👩‍👧", "🇩🇪", "🇫🇷"]),
    ],
)
def test_even_deltas(text: str, pieces: list[str]) -> None:
    assert deltas(text) == pieces


@pytest.mark.parametrize(
    "cluster",
    [
        "e\u0301",  # a letter and its accent
        "👍🏽",  # skin tone
        "👩‍💻",
        "❤️",  # variation selector
        "1️⃣",
        "नि",
        "\u1112\u1161\u11ab",  # Korean syllable in three jamo
        "葛\U000e0100",  # ideographic variation
        "🏴\U000e0067\U000e0062\U000e007f",  # flag in tags
        "🇨🇳",
        "\ud83d\ude00",  # a pair as two halves in one str
        "ｶﾞ",
        "\r\n",
    ],
)
def test_what_is_seen_as_one_is_never_cut(cluster: str) -> None:
    text = f"你{cluster * 3}好 abc{cluster}de {cluster}\n{cluster}"
    for rng in (None, *map(random.Random, range(30))):
        pieces = deltas(text, rng)
        assert sum(piece.count(cluster) for piece in pieces) == 6
        assert "".join(pieces) == text


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.none() | RANDOMS)
def test_deltas_join_to_the_text(text: str, rng: random.Random | None) -> None:
    pieces = deltas(text, rng)
    assert "".join(pieces) == text
    assert "" not in pieces
    for before, after in pairwise(pieces):
        last, first = before[-1], after[0]
        if last not in "\n\r\v\f\x85\u2028\u2029":
            assert unicodedata.category(first)[0] != "M" and first not in "\u200c\u200d"
            assert last != "\u200d" or first in "\n\r\v\f\x85\u2028\u2029"
        assert not ("\ud800" <= last <= "\udbff" and "\udc00" <= first <= "\udfff")
        assert (last, first) != ("\r", "\n")
    assert all(piece in ("\n", "\r\n") for piece in pieces if "\n" in piece)


@pytest.mark.parametrize("language", LANGUAGES)
def test_deltas_of_an_answer_are_small(language: str) -> None:
    for seed in range(30):
        rng = random.Random(seed)
        pieces = deltas(answer_to(question(rng, language), rng), rng)
        assert all(len(piece) <= (3 if has_han(piece) else 12) for piece in pieces)
        assert len(pieces) >= 20


def test_the_same_chance_says_the_same_and_nothing_else_is_drawn() -> None:
    def everything(seed: int) -> list[object]:
        rng = random.Random(seed)
        said: list[object] = []
        for language in LANGUAGES:
            asked = opening(rng, language)
            answer = answer_to(asked, rng)
            said += [asked, answer, title_of(asked, rng), follow_ups(asked, answer, rng), deltas(answer, rng)]
            said.append(transcript(rng, language))
        return said

    before = random.getstate()
    assert everything(7) == everything(7)
    assert everything(7) != everything(8)
    assert random.getstate() == before
