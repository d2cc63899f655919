"""A real Chromium without a window, driven by its DevTools protocol."""

from __future__ import annotations

import base64
import json
import shutil
import urllib.request
from pathlib import Path
from typing import Any

import websocket

from .process import Process, wait_until

START_SECONDS = 60.0
ANSWER_SECONDS = 30.0
SCREENS = {"desktop": (1280, 900), "phone": (390, 844)}
_QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)


class Browser:
    """One process, with a profile of its own. `stop` ends it."""

    def __init__(self, directory: Path) -> None:
        profile = directory / "profile"
        profile.mkdir(parents=True)
        program = shutil.which("chromium")
        assert program, "no chromium: bash tests/run.sh --packages installs it"
        command = [program, *_QUIET, f"--user-data-dir={profile}", "about:blank"]
        self.process = Process("chromium", command, directory / "chromium.log")
        told = profile / "DevToolsActivePort"
        wait_until("chromium to listen", lambda: told.exists() and "\n" in told.read_text(), START_SECONDS)
        self._port = int(told.read_text().splitlines()[0])

    def open(self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False, script: bool = True) -> Page:
        new = urllib.request.Request(f"http://127.0.0.1:{self._port}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(new, timeout=ANSWER_SECONDS) as answer:
            target = json.load(answer)
        page = Page(target["webSocketDebuggerUrl"])
        page.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.ask("Emulation.setEmulatedMedia", features=[scheme])
        page.ask("Emulation.setScriptExecutionDisabled", value=not script)
        page.go(url)
        return page

    def shoot_all(self, url: str, name: Path) -> None:
        """Desktop and phone, light and dark; nothing is wider than the screen."""
        for kind, (width, height) in SCREENS.items():
            for dark in (False, True):
                page = self.open(url, width=width, height=height, dark=dark)
                assert page.overflows() <= 0, (kind, url)
                file = name.with_name(f"{name.name}-{kind}-{'dark' if dark else 'light'}.png")
                page.shoot(file)
                assert file.stat().st_size > 10_000, "an empty picture"
                assert page.complaints() == []
                page.close()

    def stop(self) -> None:
        self.process.stop()


class Page:
    """One tab."""

    def __init__(self, url: str) -> None:
        self._socket = websocket.create_connection(url, timeout=ANSWER_SECONDS, suppress_origin=True)
        self._number = 0
        self._complaints: list[str] = []
        self._loaded = 0
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def go(self, url: str) -> None:
        before = self._loaded
        assert not self.ask("Page.navigate", url=url).get("errorText"), url
        while self._loaded == before:
            self._take(self._socket.recv())

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = self._take(self._socket.recv())
            if message.get("id") == self._number:
                assert "error" not in message, (method, message["error"])
                return message["result"]

    def run(self, script: str) -> Any:
        """The value of an expression, which may be a promise."""
        told = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, (script, told)
        return told["result"].get("value")

    def text(self, selector: str) -> str:
        """What a reader sees there; empty where there is nothing."""
        return self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")

    def wait_text(self, selector: str, *wanted: str, timeout: float = ANSWER_SECONDS) -> str:
        said = [""]

        def seen() -> bool:
            said.append(self.text(selector))
            return all(word in said[-1] for word in wanted)

        try:
            wait_until(f"{selector} to say {wanted}", seen, timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}; it says {said[-1]!r}") from None
        return said[-1]

    def overflows(self) -> int:
        """By how many pixels the page is wider than the window."""
        return self.run("document.documentElement.scrollWidth - document.documentElement.clientWidth")

    def complaints(self) -> list[str]:
        """Errors of the console, and scripts that failed, so far."""
        self.run("0")
        return self._complaints

    def shoot(self, file: Path, *, whole: bool = False) -> None:
        shot = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        self.ask("Page.close")
        self._socket.close()

    def _take(self, text: str | bytes) -> dict[str, Any]:
        message = json.loads(text)
        parameters = message.get("params", {})
        match message.get("method"):
            case "Page.loadEventFired":
                self._loaded += 1
            case "Runtime.exceptionThrown":
                self._complaints.append(str(parameters["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if parameters["type"] in ("error", "warning", "assert"):
                self._complaints.append(str(parameters["args"]))
            case "Log.entryAdded" if parameters["entry"]["level"] in ("error", "warning"):
                self._complaints.append(str(parameters["entry"]))
        return message
