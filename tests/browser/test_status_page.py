"""The status page in a real browser. Skipped, with the reason, where Chromium is missing."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Page, async_playwright, expect

from epp.envoyconfig.settings import Mode
from tests.helpers.picker import running_stack

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on the path: apt-get install chromium"
)


@asynccontextmanager
async def empty_page() -> AsyncIterator[Page]:
    async with async_playwright() as browsers:
        browser = await browsers.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield await browser.new_page()
        await browser.close()


async def test_the_page_shows_the_pool_and_what_was_decided() -> None:
    async with (
        running_stack(Mode.LIGHT, count=2) as stack,
        stack.client() as client,
        empty_page() as page,
    ):
        await client.chat.completions.create(
            model="sim",
            messages=[{"role": "user", "content": "A secret prompt"}],
            max_tokens=2,
            extra_headers={"x-request-id": "my-request"},
        )
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(f"http://127.0.0.1:{stack.picker.metrics_port}/")
        endpoints = page.locator("#endpoints tbody tr")
        await expect(endpoints).to_have_count(2)
        await expect(endpoints.first).to_contain_text(stack.addresses[0])
        decisions = page.locator("#decisions tbody tr")
        await expect(decisions).to_have_count(1)
        await expect(decisions.first).to_contain_text("my-request")
        await expect(page.locator("#ready")).to_have_text("ready")
        await expect(page.locator("#learned")).to_contain_text("earned")
        await expect(endpoints.first).to_contain_text("1.00 \u00d7")
        assert "secret" not in await page.content()
        await stack.servers[0].stop()
        await expect(page.locator("#endpoints tr.gone")).to_have_count(1, timeout=15_000)
        assert complaints == []
        stack.picker.kill()
        await expect(page.locator("#problem")).to_contain_text("does not answer")


LOOKED_AT: dict[str, object] = {
    "plugins": [{"type": "queue-scorer"}, {"type": "max-score-picker"}],
    "schedulingProfiles": [
        {
            "name": "live",
            "plugins": [{"pluginRef": "queue-scorer"}, {"pluginRef": "max-score-picker"}],
        }
    ],
    "shadowProfiles": [{"name": "drawn", "plugins": [{"pluginRef": "max-score-picker"}]}],
}


@pytest.mark.parametrize("shadows", [True, False])
async def test_the_page_shows_shadows_where_there_are_some(shadows: bool) -> None:
    document = LOOKED_AT if shadows else None
    async with (
        running_stack(Mode.LIGHT, count=1, document=document) as stack,
        stack.client() as client,
        empty_page() as page,
    ):
        messages = [{"role": "user", "content": "x"}]
        await client.chat.completions.create(model="sim", messages=messages, max_tokens=2)  # type: ignore[call-overload]
        await page.goto(f"http://127.0.0.1:{stack.picker.metrics_port}/")
        await expect(page.locator("#decisions tbody tr")).to_have_count(1)
        rows = page.locator("#shadows tbody tr")
        if shadows:
            await expect(rows).to_have_count(1)
            await expect(rows.locator("td").nth(0)).to_have_text("drawn")
            await expect(rows.locator("td").nth(1)).to_have_text("live")
            await expect(rows.locator("td").nth(2)).to_have_text("1")
            await expect(rows.locator("td").nth(3)).to_have_text("100.0 %")
        else:
            await expect(rows).to_have_count(0)
            await expect(page.locator("#shadow-section")).to_be_hidden()


SPLIT: dict[str, object] = {
    "plugins": [
        *({"type": f"{role}-filter"} for role in ("prefill", "decode")),
        {"type": "always-disagg-pd-decider"},
        {
            "type": "disagg-profile-handler",
            "parameters": {"deciders": {"prefill": "always-disagg-pd-decider"}},
        },
    ],
    "schedulingProfiles": [
        {"name": role, "plugins": [{"pluginRef": f"{role}-filter"}]}
        for role in ("prefill", "decode")
    ],
}


async def test_the_page_shows_who_prefills() -> None:
    async with (
        running_stack(Mode.LIGHT, count=2, roles=("prefill", "decode"), document=SPLIT) as stack,
        stack.client() as client,
        empty_page() as page,
    ):
        messages = [{"role": "user", "content": "x"}]
        await client.chat.completions.create(model="sim", messages=messages, max_tokens=2)  # type: ignore[call-overload]
        await page.goto(f"http://127.0.0.1:{stack.picker.metrics_port}/")
        prefiller, decoder = stack.addresses
        decisions = page.locator("#decisions tbody tr")
        await expect(decisions.first).to_contain_text(f"{decoder}; prefill {prefiller}")
