"""What is there from the start: two accounts, and conversations of theirs in English and Chinese with tool calls and
thinking. They come about as later ones do, only that their clock stands in the days before the session began."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from emulator.backends.toolchat import assistant
from emulator.backends.toolchat.accounts import seed_accounts
from emulator.backends.toolchat.messages import exchange
from emulator.backends.toolchat.records import Conversation, data_of, new_id
from emulator.streams.player import at_once
from emulator.streams.steps import Say, Step
from emulator.world.clock import Clock
from emulator.world.session import World

DAY = 86_400.0
PAUSE_SECONDS = 75.0
"""Between an answer and the next question."""
MODEL = "glm-5"


@dataclass(frozen=True, slots=True)
class Story:
    """One conversation: whose, how many days ago, and what was asked in it. `ids` are those that the spec's examples
    name: of the conversation, of its messages."""

    user_id: int
    days: float
    title: str
    questions: tuple[str, ...]
    project_id: str | None = None
    system_prompt: str | None = None
    thinking: bool = False
    id: str | None = None
    message_ids: tuple[tuple[str, str], ...] = ()


STORIES = (
    # The one to delete is the oldest, so that the first of a list is never taken from the other operations.
    Story(1, 21.4187, "旧的测试会话", ("你好", "请算一下 12 * 7 等于多少"), id="conv_5a1c9e40b7d4"),
    Story(
        1,
        18.2059,
        "Notes on the trip",
        ("What should I pack for three days by train?", "What's the weather in Hangzhou?"),
        message_ids=(("msg_1f8d25c07b94", "msg_1f8d25c07b95"),),
    ),
    Story(
        1,
        15.6431,
        "OpenAPI 资料",
        ("帮我搜索 OpenAPI 3.2 的新特性", "读取很大的 CSV 文件时，怎样才不会占满内存？"),
        project_id="project-emulator",
        system_prompt="回答尽量简短。",
    ),
    Story(2, 12.3318, "Dinner for six", ("What do I need for a vegetable soup for six?", "What is 6 * 0.35?")),
    Story(
        1, 9.7246, "Budget", ("What is (1280 + 3 * 45.5) / 12?", "How do I keep a small budget in mind?"), thinking=True
    ),
    Story(1, 6.1093, "上海的天气", ("上海明天天气怎么样？",), id="conv_5a1c9e40b7d3"),
    Story(2, 5.5572, "周末的安排", ("苏州未来3天的天气预报", "能推荐一条不用开车的周末路线吗？"), thinking=True),
    Story(
        1,
        2.9164,
        "Test plan",
        ("Search for contract tests of chat APIs", "Which of them should I try first?"),
        project_id="project-emulator",
        thinking=True,
    ),
    Story(2, 1.8625, "Reading list", ("Please summarise https://example.com/guide for me",)),
    Story(
        1,
        0.4137,
        "北京的天气",
        ("北京今天天气怎么样？", "出门散步前要准备些什么？"),
        project_id="project-emulator",
        id="conv_5a1c9e40b7d2",
        message_ids=(("msg_1f8d25c07b90", "msg_1f8d25c07b91"), ("msg_1f8d25c07b92", "msg_1f8d25c07b93")),
    ),
)
"""From the oldest to the newest."""


def populate(world: World) -> None:
    """Fill a session's world."""
    seed_accounts(world)
    for story in STORIES:
        _tell(world, story)


def _tell(world: World, story: Story) -> None:
    conversations = data_of(world).conversations
    clock = Clock("virtual", world.clock.epoch - story.days * DAY)
    conversation = conversations.put(
        Conversation(
            id=story.id or new_id(world, "conv", conversations),
            user_id=story.user_id,
            title=story.title,
            model=MODEL,
            project_id=story.project_id,
            system_prompt=story.system_prompt,
            temperature=1.0,
            max_tokens=65536,
            thinking_enabled=story.thinking,
            created_at=clock.now(),
            updated_at=clock.now(),
        )
    )
    for number, question in enumerate(story.questions):
        clock.pass_(PAUSE_SECONDS)
        ids = story.message_ids[number] if number < len(story.message_ids) else None
        steps = assistant.answer(world.seed, conversation, question, tools_enabled=True)
        _, _, player = exchange(world, clock, conversation, question, _in_one(steps), ids)
        at_once(player)
        conversation = conversations.get(conversation.id) or conversation


def _in_one(steps: Sequence[Step]) -> list[Step]:
    """The steps with each text in one piece: nobody watches."""
    return [replace(step, size=max(len(step.text), 1)) if isinstance(step, Say) else step for step in steps]
