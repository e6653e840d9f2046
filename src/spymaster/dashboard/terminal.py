"""The page's one element: charts and tables drawn in the browser, fed over NiceGUI's socket."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import nicegui.elements.echart  # noqa: F401  (ECharts, under the name nicegui-echart)
from nicegui import __version__
from nicegui.dependencies import esm_modules, register_esm, register_vue_component
from nicegui.element import Element

from spymaster.dashboard.letters import PATH, Letters

WEB = Path(__file__).parent / "web"


def _version() -> int:
    """Of the files' bytes: browsers keep them for a year under an address that has it."""
    digest = blake2b(digest_size=6)
    for path in sorted(WEB.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return int.from_bytes(digest.digest())


register_esm("spymaster-terminal", WEB, max_time=_version())


def head() -> str:
    """The page's style, and what its browser shall fetch at once instead of one by one."""
    links = [
        f'<link rel="modulepreload" href="/_nicegui/{__version__}/esm/{key}/{path.name}">'
        for key, module in esm_modules.items()
        if module.name in ("nicegui-echart", "spymaster-terminal")
        for path in _modules(module.path)
    ]
    return f"<style>{(WEB / 'terminal.css').read_text()}</style>{''.join(links)}"


def _modules(folder: Path) -> list[Path]:
    """The modules that are always needed: of ECharts not its part for three dimensions."""
    found = [p for p in sorted(folder.glob("*.js")) if p.name != "terminal.js"]
    if folder == WEB:
        return found
    return [p for p in found if p.name == "index.js" or f'"./{p.name}"' in _entry(folder)]


def _entry(folder: Path) -> str:
    return (folder / "index.js").read_text()


class Terminal(Element):
    """Draws what it is told. Says `join`, `zoom` and `pause` of its own."""

    component = register_vue_component(WEB / "terminal.js", max_time=_version())

    def __init__(self, settings: Mapping[str, Any], letters: Letters) -> None:
        super().__init__()
        self._props["settings"] = dict(settings)
        self._letters = letters
        self._first: str | None = letters.promise(self.client.id)

    def asks(self) -> str:
        """What its browser runs at once: it fetches the first state."""
        return (
            f'<script>window.spymasterFirst = {{ ticket: "{self._first}", told: '
            f'fetch("{PATH}/{self._first}").then((answer) => answer.json()) }};</script>'
        )

    def tell(self, what: str, told: Mapping[str, Any]) -> None:
        """Give the page a message: full, delta, pulse or failed; of a full one its ticket."""
        if self.is_deleted:
            return
        if what == "full":
            ticket, self._first = self._first or self._letters.promise(self.client.id), None
            self._letters.write(ticket, told)
            told = {"ticket": ticket, "path": PATH}
        elif what == "failed":
            self._letters.forget(self.client.id)
            self._first = None
        self.run_method("take", what, told)

    @property
    def waiting(self) -> int:
        """Messages that were given and are not yet sent."""
        return len(self.client.outbox.messages)
