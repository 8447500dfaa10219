"""What an app is and looks like. Source: FACTS.md 002 §10."""

from __future__ import annotations

from emulator.backends import Ask
from emulator.backends.dify.apps import App
from emulator.backends.dify.prepared import threshold
from emulator.backends.dify.wire import reply_json
from emulator.call import Reply
from emulator.errors import Refused


def welcome(ask: Ask) -> Reply:
    """`GET /v1/`: needs no key, is not in the document."""
    return reply_json({"welcome": "Dify OpenAPI", "api_version": "v1", "server_version": "1.13.2"})


def info(ask: Ask) -> Reply:
    """`getChatAppInfo`."""
    app: App = ask.caller
    return reply_json(
        {
            "name": app.name,
            "description": app.description,
            "tags": list(app.tags),
            "mode": app.mode,
            "author_name": ask.world.seed.faker("author").name(),
        }
    )


def parameters(ask: Ask) -> Reply:
    """`getChatAppParameters`: all twelve members, always."""
    app: App = ask.caller
    speech = {"enabled": app.speaks, "voice": "alloy", "language": "en-US", "autoPlay": "disabled"}
    return reply_json(
        {
            "opening_statement": app.opening,
            "suggested_questions": list(app.questions),
            "suggested_questions_after_answer": {"enabled": app.suggests},
            "speech_to_text": {"enabled": app.hears},
            "text_to_speech": speech if app.speaks else {"enabled": False},
            "retriever_resource": {"enabled": app.cites},
            "annotation_reply": {"enabled": threshold(ask, app) is not None},
            "more_like_this": {"enabled": False},
            "user_input_form": [control.shown() for control in app.form],
            "sensitive_word_avoidance": {"enabled": False, "type": "", "configs": []},
            "file_upload": {
                "image": {
                    "enabled": app.images > 0,
                    "number_limits": app.images or 3,
                    "detail": "high",
                    "transfer_methods": ["remote_url", "local_file"],
                }
            },
            "system_parameters": {
                "image_file_size_limit": 10,
                "video_file_size_limit": 100,
                "audio_file_size_limit": 50,
                "file_size_limit": 15,
                "workflow_file_upload_limit": 10,
            },
        }
    )


def meta(ask: Ask) -> Reply:
    """`getChatAppMeta`."""
    app: App = ask.caller
    return reply_json({"tool_icons": dict(app.icons)})


def site(ask: Ask) -> Reply:
    """`getChatWebAppSettings`."""
    app: App = ask.caller
    if not app.site:
        raise Refused("forbidden")
    return reply_json(
        {
            "title": app.name,
            "chat_color_theme": app.colour,
            "chat_color_theme_inverted": False,
            "icon_type": "emoji",
            "icon": app.emoji,
            "icon_background": "#FFFFFF",
            "description": app.description,
            "copyright": "chat-emulator",
            "privacy_policy": "https://example.com/privacy",
            "custom_disclaimer": "",
            "default_language": "en-US",
            "show_workflow_steps": app.mode == "advanced-chat",
            "use_icon_as_answer_icon": True,
            "icon_url": None,
        }
    )
