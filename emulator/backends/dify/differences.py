"""Where Dify's document and the running system disagree: every ≠ line of FACTS.md, section 002, as one entry.

Entries whose two sides are alike record a ruling: both profiles go by what clients need.
"""

from __future__ import annotations

from emulator.backends import Difference

FACTS = "FACTS.md 002"

DIFFERENCES = (
    Difference(
        "internal_error_text",
        "500 `internal_server_error` says `Internal server error.`",
        "it says werkzeug's default sentence",
        f"{FACTS} §1 Error bodies",
    ),
    Difference(
        "body_no_object",
        "a JSON body that is no object gets 400 `invalid_param`",
        "it gets 500 `unknown`, `Internal Server Error`",
        f"{FACTS} §1 Error bodies; DESIGN.md, Rulings",
    ),
    Difference(
        "html_not_found",
        "unknown paths and malformed ids get a JSON 404",
        "they get werkzeug's HTML page",
        f"{FACTS} §1 Error bodies; DESIGN.md, Rulings",
    ),
    Difference(
        "not_found_hint",
        "404 texts as documented",
        "a hint at similar routes follows, where there are any",
        f"{FACTS} §1 404 text",
    ),
    Difference(
        "too_many_requests",
        "too many concurrent requests get 429 `too_many_requests`",
        "they get 400 `invalid_param` with the number allowed",
        f"{FACTS} §1 429",
    ),
    Difference(
        "too_large_text",
        "`File size exceeded.`",
        "`File size exceeded. {message}`, the placeholder unfilled",
        f"{FACTS} §1 Fixed codes",
    ),
    Difference(
        "message_id",
        "`id` equals `message_id`, although an example differs",
        "the same",
        f"{FACTS} §2 Blocking reply; DESIGN.md, Rulings",
    ),
    Difference(
        "ping_frame",
        "keep-alive is the frame `event: ping`, although the document lists a JSON event",
        "the same",
        f"{FACTS} §2 Streaming: framing",
    ),
    Difference(
        "stop_unknown_task",
        "stopping an unknown task succeeds",
        "the same, although comments mention 404",
        f"{FACTS} §3",
    ),
    Difference(
        "upload_addresses",
        "an upload has `user_id` and `file_key`, and no `source_url`",
        "it has a signed `source_url`, and neither of the two",
        f"{FACTS} §5",
    ),
    Difference(
        "attached_upload",
        "an upload that is unknown or another user's gets 404 `file_not_found`, in a query and in a preview",
        "an unknown one gets 400 `invalid_param` in a query: `Invalid upload file`, `… file id`, `… file id format`; "
        "uploads are for all users of the workspace",
        f"{FACTS} §1 End users, §2; DESIGN.md, Rulings, Small print",
    ),
    Difference(
        "end_user_type",
        "`service_api`",
        "`service-api`",
        f"{FACTS} §6",
    ),
    Difference(
        "end_user_times",
        "ISO times with `Z`",
        "ISO times without a zone",
        f"{FACTS} §6",
    ),
    Difference(
        "feedback_times",
        "ISO times with `Z`",
        "ISO times without a zone",
        f"{FACTS} §7",
    ),
    Difference(
        "history_order",
        "oldest first within a page: only so does `first_id` lead to earlier messages, as documented",
        "the same, although the document speaks of reverse order",
        f"{FACTS} §8",
    ),
    Difference(
        "parent_message",
        "`parent_message_id` is null",
        "it is the UUID of zeros for messages sent by API",
        f"{FACTS} §8",
    ),
    Difference(
        "delete_needs_body",
        "`DELETE /conversations/{id}` needs no body",
        "without a JSON content type it gets 415",
        f"{FACTS} §8",
    ),
    Difference(
        "variable_mismatch_text",
        "`Value type mismatch: expected string, got integer.`",
        "`Type mismatch: variable 'x' expects string, but got integer type`",
        f"{FACTS} §8",
    ),
    Difference(
        "audio_missing",
        "audio-to-text without a file gets `no_audio_uploaded`",
        "it gets 400 `bad_request_key_error`",
        f"{FACTS} §9",
    ),
    Difference(
        "audio_types",
        "mp3, mp4, mpeg, mpga, m4a, wav and webm are taken",
        "only `audio/` + mp3, m4a, wav, amr, mpga are",
        f"{FACTS} §9",
    ),
    Difference(
        "site_missing_text",
        "`Forbidden.`",
        "werkzeug's default sentence",
        f"{FACTS} §10",
    ),
    Difference(
        "annotation_missing_text",
        "`Annotation not found.`",
        "`Annotation not found`",
        f"{FACTS} §11",
    ),
    Difference(
        "annotation_action",
        "another action than enable or disable gets 400 `invalid_param`",
        "it gets 500",
        f"{FACTS} §11; DESIGN.md, Rulings",
    ),
)
