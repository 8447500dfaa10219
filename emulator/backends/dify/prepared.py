"""Annotations: prepared answers, and the job that switches them on and off. Source: FACTS.md 002 §11."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from emulator.backends import Ask
from emulator.backends.dify.apps import App
from emulator.backends.dify.records import Annotation, Job, data_of
from emulator.backends.dify.wire import JSON, reply_json
from emulator.call import Reply
from emulator.errors import Refused
from emulator.world.paging import by_number

JOB_SECONDS = 2.0
KEPT_SECONDS = 600.0
MOST_A_PAGE = 100


def create(ask: Ask) -> Reply:
    """`createAnnotation`."""
    world = ask.world
    annotation = data_of(world).annotations.put(
        Annotation(
            id=world.seed.uuid("annotation"),
            app_id=ask.caller.id_in(ask),
            question=ask.body["question"],
            answer=ask.body["answer"],
            hit_count=0,
            created_at=world.clock.now(),
        )
    )
    return reply_json(_shown(annotation), 201)


def _shown(annotation: Annotation) -> dict[str, Any]:
    return {
        "id": annotation.id,
        "question": annotation.question,
        "answer": annotation.answer,
        "hit_count": annotation.hit_count,
        "created_at": int(annotation.created_at),
    }


def list_annotations(ask: Ask) -> Reply:
    """`getAnnotationList`: newest first; `has_more` is true on every full page."""
    found = data_of(ask.world).annotations.where("app", ask.caller.id_in(ask))[::-1]
    keyword = (ask.query.get("keyword") or "").casefold()
    if keyword:
        found = [one for one in found if keyword in one.question.casefold() or keyword in one.answer.casefold()]
    page, limit = ask.query["page"], ask.query["limit"]
    size = min(max(limit, 1), MOST_A_PAGE)
    shown = [_shown(one) for one in by_number(found, max(page, 1), size)]
    return reply_json(
        {"data": shown, "has_more": len(shown) == limit, "limit": limit, "total": len(found), "page": page}
    )


def find_annotation(ask: Ask) -> Annotation:
    """The app's annotation that the path names. Raises Refused `not_found`."""
    found = data_of(ask.world).annotations.get(ask.path["annotation_id"].lower())
    if found is None or found.app_id != ask.caller.id_in(ask):
        text = "Annotation not found" if ask.observed("annotation_missing_text") else "Annotation not found."
        raise Refused("not_found", text)
    return found


def update(ask: Ask) -> Reply:
    """`updateAnnotation`."""
    changed = replace(find_annotation(ask), question=ask.body["question"], answer=ask.body["answer"])
    return reply_json(_shown(data_of(ask.world).annotations.put(changed)))


def delete(ask: Ask) -> Reply:
    """`deleteAnnotation`."""
    data_of(ask.world).annotations.drop(find_annotation(ask).id)
    return Reply(204, JSON)


def switch(ask: Ask) -> Reply:
    """`initialAnnotationReplySettings`: starts a job, or tells of the one that is under way."""
    world, data = ask.world, data_of(ask.world)
    action, app_id = ask.path["action"], ask.caller.id_in(ask)
    now = world.clock.now()
    for job in data.jobs.where("app", app_id):
        if job.action == action and now < job.created_at + JOB_SECONDS:
            return reply_json({"job_id": job.id, "job_status": "processing"})
    job = data.jobs.put(Job(world.seed.uuid("job"), app_id, action, float(ask.body["score_threshold"]), now))
    return reply_json({"job_id": job.id, "job_status": "waiting"})


def status(ask: Ask) -> Reply:
    """`getInitialAnnotationReplySettingsStatus`."""
    job = data_of(ask.world).jobs.get(ask.path["job_id"].lower())
    now = ask.world.clock.now()
    if (
        job is None
        or job.action != ask.path["action"]
        or job.app_id != ask.caller.id_in(ask)
        or (now > job.created_at + KEPT_SECONDS and not job.lasting)
    ):
        raise Refused("invalid_param", "The job does not exist.")
    done = now >= job.created_at + JOB_SECONDS
    return reply_json({"job_id": job.id, "job_status": "completed" if done else "waiting", "error_msg": ""})


def threshold(ask: Ask, app: App) -> float | None:
    """How similar a query must be to an annotation's question; None while annotation reply is off."""
    now = ask.world.clock.now()
    done = [job for job in data_of(ask.world).jobs.where("app", app.id_in(ask)) if now >= job.created_at + JOB_SECONDS]
    last = done[-1] if done else None
    return last.threshold if last is not None and last.action == "enable" and last.threshold <= 1 else None
