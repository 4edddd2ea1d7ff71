"""Responses whose clients go."""

import asyncio
import inspect

import pytest

from auralflow_pl.serving.web.responses import StemFileResponse, StemZipResponse

SCOPE = {"type": "http", "method": "GET", "headers": [], "asgi": {"spec_version": "2.3"}}


@pytest.mark.parametrize("form", [StemFileResponse, StemZipResponse])
def test_a_client_that_goes_in_the_middle_leaves_nothing_open(tmp_path, form):
    path = tmp_path / "vocals.wav"
    path.write_bytes(bytes(2**22))
    released, sent = [], []

    async def respond():
        gone = asyncio.Event()

        async def receive():
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)
            if len(sent) == 3:
                gone.set()
                if form is StemFileResponse:
                    raise OSError  # as other servers than uvicorn do
                await asyncio.sleep(60)

        await response(SCOPE, receive, send)

    given = path if form is StemFileResponse else {"vocals": path}
    response = form(given, "name", lambda: released.append(True))
    try:
        asyncio.run(respond())
    except OSError:
        assert form is StemFileResponse
    else:
        assert inspect.getgeneratorstate(response.blocks) == inspect.GEN_CLOSED
    assert released == [True]
    assert len(sent) == 3
