"""Speech to text and text to speech. Source: FACTS.md 002 §9."""

from __future__ import annotations

from hashlib import blake2b

from emulator.backends import Ask
from emulator.backends.dify.apps import App
from emulator.backends.dify.files import MB, UUID, file_part, user_field
from emulator.backends.dify.people import end_user
from emulator.backends.dify.records import data_of
from emulator.backends.dify.wire import JSON, OWN_HEADERS, reply_json
from emulator.call import Reply
from emulator.errors import Refused
from emulator.world import prose
from emulator.world.media import speech_mp3

LARGEST_MB = 30
OBSERVED_TYPES = frozenset({"mp3", "m4a", "wav", "amr", "mpga"})
DOCUMENTED_TYPES = OBSERVED_TYPES | {"mp4", "mpeg", "webm", "x-m4a", "x-wav", "wave", "vnd.wave", "mpeg3"}
VIDEO_TYPES = frozenset({"video/mp4", "video/webm", "video/mpeg"})
"""Media types of recordings whose container is also one of video: browsers record speech into them."""


def to_text(ask: Ask) -> Reply:
    """`audioToText`: what was said depends on the bytes alone."""
    app: App = ask.caller
    if not app.hears:
        raise Refused("invalid_param", "Speech to text is not enabled")
    observed = ask.observed("audio_types")
    part = file_part(ask, "bad_request_key_error" if ask.observed("audio_missing") else "no_audio_uploaded")
    kind = (part.content_type or "").partition(";")[0].strip().lower()
    main, _, sub = kind.partition("/")
    taken = main == "audio" and sub in (OBSERVED_TYPES if observed else DOCUMENTED_TYPES)
    if not taken and (observed or kind not in VIDEO_TYPES):
        raise Refused("unsupported_audio_type")
    if len(part.data) > LARGEST_MB * MB:
        raise Refused("audio_too_large", f"Audio size larger than {LARGEST_MB} mb" if observed else None)
    end_user(ask, user_field(ask))
    rng = ask.world.seed.rng("transcript", blake2b(part.data, digest_size=16).hexdigest())
    return reply_json({"text": prose.transcript(rng, rng.choice(("en", "zh")))})


def to_audio(ask: Ask) -> Reply:
    """`textToAudioChat`: MP3 of a text or of a message's answer; `null` for a message there is nothing to say of."""
    app: App = ask.caller
    body = ask.body
    end_user(ask, body.get("user"))
    message_id, text = body.get("message_id"), body.get("text")
    if not app.speaks and not body.get("voice"):
        raise Refused("invalid_param", "TTS is not enabled")
    if message_id:
        message = data_of(ask.world).messages.get(message_id.lower()) if UUID.fullmatch(message_id) else None
        if message is None or not message.answer:
            return Reply(200, JSON, b"null\n")
        text = message.answer
    if not text:
        raise Refused("invalid_param", "Text is required")
    return Reply(200, (("Content-Type", "audio/mpeg"), *OWN_HEADERS), speech_mp3(text, body.get("voice") or ""))
