"""The fixture with the clients and the kinds of tests that people have: one run of pytest over all of them."""

from __future__ import annotations

import pytest
from inner_pytest import Run, run_pytest

CLIENTS = """
import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import anyio
import httpx
import pytest
import requests
from dify_client import ChatClient

BODY = {"inputs": {}, "query": "Hi", "user": "abc-123", "response_mode": "streaming"}
KINDS = ("asyncio", "anyio")


def heard(lines):
    return [json.loads(line[5:]) for line in lines if line.startswith("data:")]


def fits(chat_emulator, events):
    # What the client has heard is what the journal says was sent, and it is over as soon as the client has it all.
    call = chat_emulator.calls("dify", "sendChatMessage").only
    assert call.request.json.items() >= BODY.items() and not call.under_way and call.closed == "ended"
    assert events and list(call.events) == events


@pytest.fixture
def address(chat_emulator):
    return chat_emulator.url("dify") + "/chat-messages"


@pytest.fixture
def headers(chat_emulator):
    return {"Authorization": "Bearer " + chat_emulator.api_key("dify")}


def test_requests(chat_emulator, address, headers):
    with requests.post(address, json=BODY, headers=headers, stream=True, timeout=20) as reply:
        fits(chat_emulator, heard(reply.iter_lines(decode_unicode=True)))


def test_httpx(chat_emulator, address, headers):
    with httpx.stream("POST", address, json=BODY, headers=headers) as reply:
        fits(chat_emulator, heard(reply.iter_lines()))


def test_the_official_client(chat_emulator):
    client = ChatClient(chat_emulator.api_key("dify"))
    client.base_url = chat_emulator.url("dify")
    with client.create_chat_message({}, "Hi", "abc-123", "streaming") as reply:
        fits(chat_emulator, heard(reply.iter_lines(decode_unicode=True)))
    conversations = client.get_conversations("abc-123").json()["data"]
    assert len(conversations) > 3
    chat_emulator.expect("dify", order=["sendChatMessage", "getConversationsList"])


def test_threads(chat_emulator, address, headers):
    def ask(number):
        reply = requests.post(address, json={**BODY, "query": f"number {number}"}, headers=headers, timeout=20)
        return number, [event for event in heard(reply.text.splitlines())]
    with ThreadPoolExecutor(8) as pool:
        answers = dict(pool.map(ask, range(24)))
    calls = chat_emulator.expect("dify", "sendChatMessage", times=24)
    for call in calls:
        number = int(call.request.json["query"].split()[1])
        assert list(call.events) == answers[number]


def test_a_call_in_the_background(chat_emulator, address, headers):
    thread = threading.Thread(target=lambda: requests.post(address, json=BODY, headers=headers, timeout=20))
    thread.start()
    chat_emulator.expect("dify", "sendChatMessage", times=1, within=20)
    thread.join()


def test_asyncio_run(chat_emulator, address, headers):
    async def main():
        async with httpx.AsyncClient() as client, client.stream("POST", address, json=BODY, headers=headers) as reply:
            fits(chat_emulator, heard([line async for line in reply.aiter_lines()]))
    asyncio.run(main())


@pytest.mark.asyncio
async def test_asyncio_with_httpx(chat_emulator, address, headers):
    async with httpx.AsyncClient() as client, client.stream("POST", address, json=BODY, headers=headers) as reply:
        fits(chat_emulator, heard([line async for line in reply.aiter_lines()]))


@pytest.mark.asyncio
async def test_asyncio_with_aiohttp(chat_emulator, address, headers):
    async with aiohttp.ClientSession() as client, client.post(address, json=BODY, headers=headers) as reply:
        fits(chat_emulator, heard([line.decode() async for line in reply.content]))


@pytest.mark.asyncio
async def test_asyncio_tasks(chat_emulator, address, headers):
    async with aiohttp.ClientSession() as client:
        async def ask(number):
            async with client.post(address, json={**BODY, "query": str(number)}, headers=headers) as reply:
                return await reply.text()
        answers = await asyncio.gather(*(ask(number) for number in range(20)))
    assert len(chat_emulator.expect("dify", "sendChatMessage", times=20)) == len(set(answers))


@pytest.mark.asyncio
async def test_asyncio_with_an_arming(chat_emulator, address, headers):
    async with aiohttp.ClientSession() as client:
        with chat_emulator.arm("dify", prefer="code=429"):
            async with client.post(address, json=BODY, headers=headers) as reply:
                assert reply.status == 429


@pytest.mark.asyncio
@pytest.mark.chat_emulator(speed=1)
async def test_asyncio_a_task_that_is_cancelled(chat_emulator, address, headers):
    chat_emulator.arm("dify", scenario="long-answer")
    came = asyncio.Event()
    async def read():
        async with aiohttp.ClientSession() as client, client.post(address, json=BODY, headers=headers) as reply:
            async for line in reply.content:
                came.set()
    task = asyncio.create_task(read())
    await asyncio.wait_for(came.wait(), 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    assert chat_emulator.calls("dify").only.closed == "left"


@pytest.fixture(params=["asyncio"])
def anyio_backend(request):
    return request.param


@pytest.mark.anyio
async def test_anyio(chat_emulator, address, headers):
    async with httpx.AsyncClient() as client, client.stream("POST", address, json=BODY, headers=headers) as reply:
        fits(chat_emulator, heard([line async for line in reply.aiter_lines()]))


@pytest.mark.anyio
async def test_anyio_tasks(chat_emulator, address, headers):
    async with httpx.AsyncClient() as client, anyio.create_task_group() as group:
        for number in range(5):
            async def ask(number=number):
                await client.post(address, json={**BODY, "query": str(number)}, headers=headers)
            group.start_soon(ask)
    # What blocks may be asked for in a thread, so that the loop goes on meanwhile.
    calls = await anyio.to_thread.run_sync(lambda: chat_emulator.expect("dify", "sendChatMessage", times=5))
    assert {call.request.json["query"] for call in calls} == set("01234")


@pytest.fixture
async def warm(chat_emulator, address, headers):
    async with httpx.AsyncClient() as client:
        await client.post(address, json=BODY, headers=headers)
    return chat_emulator


@pytest.mark.anyio
async def test_an_async_fixture_of_ones_own(warm):
    assert len(warm.calls("dify")) == 1
"""


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All of them in one run."""
    folder = tmp_path_factory.mktemp("clients")
    ini = "asyncio_default_fixture_loop_scope = function\n"
    return run_pytest(folder, CLIENTS, "-v", plugins=("anyio.pytest_plugin", "pytest_asyncio.plugin"), ini=ini)


NAMES = [line.split("def ")[1].partition("(")[0] for line in CLIENTS.splitlines() if "def test_" in line]


@pytest.mark.parametrize("name", NAMES)
def test_with(outcome: Run, name: str) -> None:
    lines = [line for line in outcome.output.splitlines() if f"::{name} " in line or f"::{name}[" in line]
    assert lines and all(" PASSED " in line for line in lines), outcome.output
