"""Owns what people and assistants say in this world: questions, answers, titles, deltas; Chinese and English.

Pure functions of their arguments: chance comes only from the generator that is handed in. The bank is in `phrases.py`.
What a caller wrote is only ever repeated as a few plain words, so every text made here can be sent as UTF-8 and quoted.
"""

import random
import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache

from emulator.world.phrases import AREAS, CHINESE_FILLERS, ENGLISH_FILLERS, GREETINGS, PHRASES, SLOTS, Area, Language

_LONGEST_TOPIC: Mapping[Language, int] = {"en": 60, "zh": 24}
_LONGEST_TITLE = 75
_LONGEST_ANSWER: Mapping[Language, int] = {"en": 400, "zh": 180}
# What a text is about is said early; this keeps the cost of a very long one small.
_READ_CHARACTERS = 600
_LONGEST_PIECE = 12
_LONGEST_GREETING = 60
_SHARE_OF_LISTS = 0.25


def language_of(text: str) -> Language:
    """Tell the language to answer in: Chinese if the text has a CJK ideograph, else English."""
    return "zh" if _IDEOGRAPH.search(text) else "en"


def answer_to(question: str, rng: random.Random, *, sentences: int | None = None) -> str:
    """Answer as an assistant would, in the question's language and about its topic.

    In: any text; how many sentences to say (at least one is said), or None for 2 to 5, about 150 to 400
    characters of English or 60 to 180 of Chinese, at times with a markdown list. Out: a text that never is
    empty, has no control characters but newlines and quotes at most 60 characters of the question. A greeting
    gets a greeting, whatever the number.
    """
    language = language_of(question)
    phrases = PHRASES[language]
    if _is_greeting(question):
        return rng.choice(phrases.greetings)
    topic = _slot(question, language)
    area = _area_of(question, language)

    if sentences is None and rng.random() < _SHARE_OF_LISTS:
        items = "\n".join(f"- {item}" for item in rng.sample(area.items, 3))
        lead = rng.choice(phrases.list_leads).format(topic=topic)
        return f"{lead}\n\n{items}\n\n{rng.choice(phrases.closers)}"

    wanted = rng.randint(3, 5) if sentences is None else max(sentences, 1)
    said = [rng.choice(phrases.openers).format(topic=topic)]
    said += _draw(rng, area.advice, wanted - 2)
    if wanted > 1:
        said.append(rng.choice(phrases.closers))
    if sentences is None:
        while len(phrases.between.join(said)) > _LONGEST_ANSWER[language]:
            del said[-2]
    return phrases.between.join(said)


def title_of(text: str, rng: random.Random) -> str:
    """Name a conversation by what was said in it.

    In: any text, such as the first question. Out: one line of 1 to 75 characters in the text's language.
    """
    language = language_of(text)
    phrases = PHRASES[language]
    if _is_greeting(text):
        return rng.choice(phrases.greeting_titles)
    topic = _topic_of(text, language)
    if not topic:
        return rng.choice(phrases.bare_titles)
    title = rng.choice(phrases.titles).format(topic=topic)
    if language_of(title) != language:
        # Nothing but foreign words: the words around them say the language.
        title = phrases.title_around.format(topic=topic)
    return _cut(title[0].upper() + title[1:], _LONGEST_TITLE)


def follow_ups(question: str, answer: str, rng: random.Random) -> list[str]:
    """Suggest what a person might ask next.

    In: the last question and its answer. Out: three different questions, each a line, in the question's
    language, or in the answer's if the question has no words.
    """
    topic_source = question if _words(question) else answer
    language = language_of(topic_source)
    phrases = PHRASES[language]
    topic = _slot(topic_source, language)
    # Only one names the topic: three times the same words read like a machine.
    asked = [rng.choice(phrases.follow_ups_on).format(topic=topic), *rng.sample(phrases.follow_ups, 2)]
    items = [line[2:].rstrip(".。；") for line in answer.splitlines() if line.startswith("- ")]
    named = [item for item in items if language_of(item) == language and _words(item)]
    if named:
        # A list invites a question about one of its lines.
        item = _cut(" ".join(_words(rng.choice(named))), _LONGEST_TOPIC["en"])
        asked[2] = phrases.about_an_item.format(topic=phrases.quoted.format(topic=item))
    return asked


def question(rng: random.Random, language: str) -> str:
    """Ask what a person might ask an assistant.

    In: a language tag; those that begin with zh are Chinese, all others English. Out: one question.
    """
    area = rng.choice([area for area in AREAS[_language(language)] if area.questions])
    return _filled(rng.choice(area.questions), rng, _language(language))


def opening(rng: random.Random, language: str) -> str:
    """Say what a person might begin a conversation with: a word of greeting or of reason, and a question."""
    phrases = PHRASES[_language(language)]
    return rng.choice(phrases.lead_ins) + phrases.between + question(rng, language)


def transcript(rng: random.Random, language: str) -> str:
    """Say what a speech-to-text model might have heard: one sentence. The language is as in `question`."""
    return _filled(rng.choice(PHRASES[_language(language)].transcripts), rng, _language(language))


def tokens_in(text: str) -> int:
    """Count tokens roughly: one a wide East Asian character, one for each 4 others begun; 0 for no text."""
    wide = sum(map(len, _WIDE.findall(text)))
    return wide + -(-(len(text) - wide) // 4)


def deltas(text: str, rng: random.Random | None = None) -> list[str]:
    """Cut a text as a model's tokens come.

    In: any text; a generator that varies the cuts, or None for even ones. Out: non-empty pieces that join to
    the text: words and parts of long words with the blank before them, marks, 1 to 3 Chinese characters,
    newlines each alone. No cut falls within what a person sees as one character.
    """
    clusters = _clusters(text)
    kinds = "".join([_kind_of(cluster[0]) for cluster in clusters])
    pieces = []
    for match in _PIECE.finditer(kinds):
        start, end = match.span()
        for size in _sizes(kinds[end - 1], end - start, rng):
            pieces.append("".join(clusters[start : start + size]))
            start += size
    return pieces


# --- cutting -----------------------------------------------------------------------------------------------

_IDEOGRAPH = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
# Ideographs, kana, hangul and the marks printed as wide as they are.
_WIDE = re.compile(
    "[\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U00020000-\U0003ffff]+"
)
_NEWLINES = "\n\r\v\f\x85\u2028\u2029"
_JOINER = "\u200d"

# Kinds: n newline, s blank, w letter, d digit, c ideograph or kana, q apostrophe, o any other.
# Of several blanks the last goes with what follows; an apostrophe after a letter begins a piece ('m, 're).
_PIECE = re.compile("n|s+(?=s[^sn])|s?w+|s?c+|s?d{1,3}|(?<=w)qw{1,2}(?!w)|s?[oq]|s+")


def _clusters(text: str) -> list[str]:
    """Cut a text into what a person sees as characters, after UAX #29 but without its tables."""
    if text.isascii() and "\r" not in text:
        return list(text)
    clusters: list[str] = []
    for character in text:
        if clusters and _continues(clusters[-1], character):
            clusters[-1] += character
        else:
            clusters.append(character)
    return clusters


def _continues(cluster: str, character: str) -> bool:
    last = cluster[-1]
    if last in _NEWLINES:
        return last == "\r" and character == "\n"
    if _extends(character) or (last == _JOINER and character not in _NEWLINES):
        return True
    # Halves of a surrogate pair, which a str can hold one after the other.
    if "\ud800" <= last <= "\udbff":
        return "\udc00" <= character <= "\udfff"
    # Two regional indicators are a flag.
    if "\U0001f1e6" <= last <= "\U0001f1ff":
        return len(cluster) == 1 and "\U0001f1e6" <= character <= "\U0001f1ff"
    # Jamo go on to the end of their syllable: vowels and finals never begin one.
    if "\u1100" <= last <= "\u115f":
        return "\u1100" <= character <= "\u11a7" or "\uac00" <= character <= "\ud7a3"
    return ("\u1160" <= last <= "\u11ff" or "\uac00" <= last <= "\ud7a3") and "\u1160" <= character <= "\u11ff"


@lru_cache(maxsize=4096)
def _extends(character: str) -> bool:
    """Tell whether a character changes the one before: combining marks, joiners, skin tones, tags."""
    return (
        unicodedata.category(character)[0] == "M"
        or character in "\u200c\u200d\uff9e\uff9f"
        or "\U0001f3fb" <= character <= "\U0001f3ff"
        or "\U000e0020" <= character <= "\U000e007f"
    )


@lru_cache(maxsize=4096)
def _kind_of(character: str) -> str:
    if character in _NEWLINES:
        return "n"
    if character.isspace():
        return "s"
    if character in "'’":
        return "q"
    category = unicodedata.category(character)[0]
    if category == "N":
        return "d"
    if category in "LM":
        return "c" if _IDEOGRAPH.match(character) or "\u3040" <= character <= "\u30ff" else "w"
    return "o"


def _sizes(kind: str, length: int, rng: random.Random | None) -> list[int]:
    """Cut a run of one kind, given by its length, into the lengths of its pieces."""
    if kind == "c":
        shortest, longest = 1, 3
    elif kind == "w" and length > _LONGEST_PIECE:
        shortest, longest = 3, 7
    else:
        return [length]
    sizes = []
    while length > 0:
        size = min((shortest + longest) // 2 if rng is None else rng.randint(shortest, longest), length)
        sizes.append(size)
        length -= size
    return sizes


def _cut(text: str, longest: int) -> str:
    """Shorten a text to a number of characters without cutting into what is seen as one of them."""
    if len(text) <= longest:
        return text
    kept = ""
    for cluster in _clusters(text[: longest + 1]):
        if len(kept) + len(cluster) > longest:
            break
        kept += cluster
    # A single cluster can be longer than the limit; then there is nothing to spare.
    return kept or text[:longest]


# --- what a text is about ----------------------------------------------------------------------------------

_CLAUSE_END: Mapping[Language, re.Pattern[str]] = {
    "en": re.compile(r"[.!?:;](?=\s|$)|[\n\r。！？]"),
    "zh": re.compile(r"[，。！？；：、,!?;\n\r]|[.:](?=\s|$)"),
}
# A sentence and the question mark it ends with, if it does; a dot within "node.js" or "3.5" ends none.
_SENTENCE = re.compile(r"((?:[^.!?。！？\n]|\.(?!\s|$))+)([?？]?)")
_ASKS = re.compile("什么|怎么|怎样|哪|多少|几")


@lru_cache(maxsize=4096)
def _is_plain(character: str) -> bool:
    """Tell whether a character may be repeated: letters, marks, numbers, and what stands within a word."""
    return unicodedata.category(character)[0] in "LMN" or character in "'’-+#."


def _words(text: str) -> list[str]:
    """Give a text's words, free of control characters, symbols, quotes and orphaned marks."""
    kept = "".join(character if _is_plain(character) else " " for character in text[:_READ_CHARACTERS])
    words = (_without_orphans(word) for word in kept.split())
    return [word for word in words if word]


def _without_orphans(word: str) -> str:
    start = 0
    while start < len(word) and unicodedata.category(word[start])[0] not in "LN":
        start += 1
    return word[start:].rstrip("'’-.")


def _topic_of(text: str, language: Language) -> str:
    """Name what a text is about in a few of its words; empty if it has none worth repeating."""
    read = text[:_READ_CHARACTERS]
    # People greet, explain and then ask: what they ask is the topic.
    asked = [sentence for sentence, mark in _SENTENCE.findall(read) if mark]
    name = _english_topic if language == "en" else _chinese_topic
    for source in (*asked[-1:], read):
        topics = [name(words) for clause in _CLAUSE_END[language].split(source) if (words := _words(clause))]
        best = max(topics, key=_tells, default="")
        if best:
            return best
    return ""


def _tells(topic: str) -> tuple[bool, int]:
    """Rank a topic: a Chinese clause that still asks says less than one that tells."""
    return bool(topic) and not _ASKS.search(topic), len(topic)


def _english_topic(words: Sequence[str]) -> str:
    salient = [word.lower().replace("’", "'") not in ENGLISH_FILLERS for word in words]
    if True not in salient:
        return ""
    first = salient.index(True)
    topic = ""
    for position in range(first, len(words)):
        longer = " ".join(words[first : position + 1])
        if len(longer) > _LONGEST_TOPIC["en"]:
            break
        # Only a salient word may end it: "list while keeping the" would be half a thought.
        if salient[position]:
            topic = longer
    return topic or _cut(words[first], _LONGEST_TOPIC["en"])


def _chinese_topic(words: Sequence[str]) -> str:
    # Cut first: what surrounds the topic is short, and stripping takes time that grows with the square.
    topic = _cut(" ".join(words), 4 * _LONGEST_TOPIC["zh"])
    shorter = CHINESE_FILLERS.sub("", topic).strip()
    while shorter != topic:
        topic, shorter = shorter, CHINESE_FILLERS.sub("", shorter).strip()
    return _without_orphans(_cut(topic, _LONGEST_TOPIC["zh"]))


def _slot(text: str, language: Language) -> str:
    """Give the topic as it stands in a sentence: quoted, or a word for it if there is none."""
    topic = _topic_of(text, language)
    phrases = PHRASES[language]
    return phrases.quoted.format(topic=topic) if topic else phrases.unnamed


def _is_greeting(text: str) -> bool:
    return len(text) <= _LONGEST_GREETING and " ".join(_words(text)).casefold() in GREETINGS


def _area_of(text: str, language: Language) -> Area:
    areas = AREAS[language]
    read = text[:_READ_CHARACTERS].casefold()
    # English signs are whole words, or "tea" would be found in "team".
    found_in = read if language == "zh" else {word.casefold() for word in _words(text)}
    # The last area is for whatever fits none; max takes the first of equals.
    best = max(areas, key=lambda area: sum(sign in found_in for sign in area.signs))
    return best if any(sign in found_in for sign in best.signs) else areas[-1]


def _language(tag: str) -> Language:
    return "zh" if tag.lower().startswith("zh") else "en"


def _draw(rng: random.Random, bank: Sequence[str], count: int) -> list[str]:
    """Draw sentences so that none comes again before all have come."""
    drawn: list[str] = []
    while len(drawn) < count:
        drawn += rng.sample(bank, min(len(bank), count - len(drawn)))
    return drawn


def _filled(template: str, rng: random.Random, language: Language) -> str:
    # Every slot draws, used or not, so that a changed template shifts nothing that is drawn later.
    return template.format(**{name: rng.choice(words) for name, words in SLOTS[language].items()})
