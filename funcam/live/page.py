"""The page: its parts, and what happens when one of them is used. It needs Gradio."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from funcam.errors import FuncamError
from funcam.live import HINT, told
from funcam.live.alone import Alone
from funcam.live.session import Session
from funcam.live.shelf import Shelf
from funcam.live.side import CHOICES, Asked, Side
from funcam.methods import METHODS

try:
    import gradio as gr
    from starlette.middleware import Middleware
except ModuleNotFoundError as error:  # of an extra: every module of funcam can be imported without any
    if error.name not in ("gradio", "starlette"):
        raise
    gr = SimpleNamespace(Blocks=object)

COLOURS = ("viridis", "cividis", "magma", "gray", "turbo", "jet")
"""The colour maps of a page; all but the last two can be told apart by the colour-blind, and in grey."""

_HERE = Path(__file__).parent
_MOST_BYTES = 20 * 2**20
_FORGOTTEN = (60, 600)
"""Seconds: every so often, uploads as old as that are deleted; the rest is when the server ends."""

_FONTS = {
    "font": ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
    "font_mono": ["ui-monospace", "SFMono-Regular", "Consolas", "monospace"],
}


class Page(gr.Blocks):  # type: ignore[misc]
    """A page of Gradio's that asks nobody but its server for anything, and takes no large files."""

    def launch(self, **how: Any) -> Any:
        """Serve it, on this machine only unless `server_name` or the environment says otherwise."""
        usual = {
            "theme": gr.themes.Default(primary_hue="blue", neutral_hue="slate", **_FONTS).set(
                body_text_color_subdued="*neutral_600"  # Gradio's own is too light to be read
            ),
            "css": (_HERE / "page.css").read_text(encoding="utf-8"),
            "head": "<script>document.documentElement.lang = 'en'</script>",
            "max_file_size": _MOST_BYTES,
            "app_kwargs": {"middleware": [Middleware(Alone)]},
            "footer_links": [],
            "share": False,
            "ssr_mode": False,
            "pwa": False,
            "mcp_server": False,
            "enable_monitoring": False,
            "run_history": False,
        }
        return super().launch(**{**usual, **how})


def _as_file(payload: Any) -> str | None:
    """The file that a picture came in: funcam reads it, and says what is wrong with it."""
    return None if payload is None else str(payload.path)


class _Controls(NamedTuple):
    """What one side is chosen by."""

    net: gr.Dropdown
    weights: gr.Dropdown
    method: gr.Dropdown
    layer: gr.Slider


def build(shelf: Shelf) -> Page:
    """The page with these networks.

    Args:
        shelf: the networks.

    Raises:
        FuncamError: Gradio is not installed.
    """
    if isinstance(gr, SimpleNamespace):
        raise FuncamError(HINT)
    page = Page(title="funcam", analytics_enabled=False, delete_cache=_FORGOTTEN)
    with page:
        _Parts(shelf).wire(page)
    return page


class _Parts:
    """The parts of a page, from the top down."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.session = gr.State(Session, time_to_live=_FORGOTTEN[1])
        gr.Markdown(
            "# Why did you say that?\nDrop, paste or photograph a picture: a map shows what speaks for a class."
        )
        with gr.Row(elem_id="page"):
            with gr.Column(elem_id="given"):
                self.picture = gr.Image(
                    label="Picture",
                    sources=["upload", "webcam", "clipboard"],
                    type="filepath",
                    height=280,
                    buttons=[],
                    elem_id="picture",
                    alt_text="The picture that you gave",
                )
                self.picture.preprocess = _as_file  # a class of ours would make Gradio write a file beside this one
                self.draw = gr.Button("Draw a scene", elem_id="draw")
            with gr.Column(elem_id="shown"):
                self.problem = gr.HTML(elem_id="problem", apply_default_css=False)
                self.classes = gr.Radio([], label="Class", elem_id="classes", visible=False)
                script = (_HERE / "page.js").read_text(encoding="utf-8")
                self.maps = gr.HTML(elem_id="maps", js_on_load=script, apply_default_css=False)
                gr.Markdown("Click a place, or move there with the arrow keys: which classes does it speak for?")
                self.place = gr.HTML(elem_id="place", apply_default_css=False)
                self.files = gr.HTML(elem_id="files", apply_default_css=False)
                with gr.Accordion("The same in Python", open=False):
                    self.code = gr.Code(language="python", interactive=False, show_label=False, elem_id="code")
            with gr.Column(elem_id="chosen"):
                self.first = _controls(shelf, "first", "grad-cam")
                self.two = gr.Checkbox(label="Two side by side", elem_id="two")
                with gr.Group(visible=False) as self.beside:
                    self.second = _controls(shelf, "second", "grad-cam++")
                self.colours = gr.Dropdown([*COLOURS], value=COLOURS[0], label="Colours", elem_id="colours")

    def wire(self, page: Page) -> None:
        """What happens when a part is used."""
        used = [self.session, *self.first, self.two, *self.second, self.colours, self.classes]
        shown = [self.problem, self.classes, self.maps, self.place, self.files, self.code]
        outputs = [self.session, *shown, self.beside, *self.first, *self.second]

        def on(event: Any, function: Callable[..., Any], *more: Any, show_progress: str = "minimal") -> None:
            how = {"show_progress": show_progress, "trigger_mode": "always_last", "api_visibility": "private"}
            event(function, [*more, *used], outputs, **how)

        on(page.load, self._draw)
        on(self.draw.click, self._draw)
        on(self.picture.input, self._open, self.picture)
        for part in (*self.first, self.two, *self.second):
            on(part.input, self._show)
        on(self.maps.click, self._point, show_progress="hidden")
        for quick in (self.colours, self.classes):
            on(quick.input, self._show, show_progress="hidden")

    def _draw(self, session: Session, *used: Any) -> Any:
        return self._begun(session.draw_next, session, used)

    def _open(self, path: str | None, session: Session, *used: Any) -> Any:
        return self._begun(lambda: session.open(path) if path else session.close(), session, used)

    def _point(self, event: gr.EventData, session: Session, *used: Any) -> Any:
        return self._begun(lambda: session.point(event.x, event.y), session, used)

    def _begun(self, begin: Callable[[], None], session: Session, used: tuple[Any, ...]) -> Any:
        try:
            begin()
        except FuncamError as error:
            return {self.problem: told.problem(str(error)), **({} if session.name else self._nothing(session))}
        return self._show(session, *used)

    def _nothing(self, session: Session) -> dict[Any, Any]:
        """No map of an earlier picture stands under a new one."""
        return {
            self.session: session,
            self.classes: gr.update(visible=False),
            **dict.fromkeys((self.maps, self.place, self.files, self.code), ""),
        }

    def _show(self, session: Session, *used: Any) -> Any:
        """Everything that the session has to show; what isn't in the answer stays as it is."""
        two, colours = used[4], used[9]
        if not session.name:
            return {self.problem: "", self.beside: gr.update(visible=two), **self._nothing(session)}
        asked = [Asked(*used[:4]), *([Asked(*used[5:9])] if two else [])]
        asked = [self._settled(session, number, each) for number, each in enumerate(asked)]
        chosen = used[10] if session.sides else None  # of another picture the likeliest
        try:
            session.look(self.shelf, asked)
            place = session.tables()
        except FuncamError as error:
            return {self.problem: told.problem(str(error)), self.beside: gr.update(visible=two)}
        buttons = told.choices(session.sides)
        chosen = chosen if chosen in [name for _, name in buttons] else buttons[0][1]
        answer = {
            self.session: session,
            self.problem: "",
            self.classes: gr.update(choices=buttons, value=chosen, visible=True),
            self.maps: told.pictures(session.sides, chosen, colours, session.cells()),
            self.place: place,
            self.code: told.programs(session.sides, chosen, colours, session.name),
            self.beside: gr.update(visible=two),
        }
        if session.needs_files((asked, colours)):
            answer[self.files] = told.downloads(session.sides, colours)
        for controls, side in zip((self.first, self.second), session.sides, strict=False):
            answer |= self._told(controls, side)
        return answer

    def _settled(self, session: Session, number: int, asked: Asked) -> Asked:
        """With weights that the network has, and at the default layer of one that wasn't there before."""
        known = self.shelf.weights(asked.name)
        asked = asked._replace(weights=asked.weights if asked.weights in known else known[0])
        before = [(side.asked.name, side.asked.weights) for side in session.sides[number : number + 1]]
        return asked if (asked.name, asked.weights) in before else asked._replace(layer=-1)

    def _told(self, controls: _Controls, side: Side) -> dict[Any, Any]:
        """The weights and layers that there are for a side."""
        last = len(side.loaded.layers) - 1
        label = f"Layer {side.layer + 1} of {last + 1}, from edges to objects: {side.loaded.layers[side.layer].name}"
        moved = {} if side.asked.layer == side.layer else {"value": side.layer}
        return {
            controls.weights: gr.update(choices=_named(self.shelf.weights(side.asked.name)), value=side.asked.weights),
            controls.layer: gr.update(maximum=max(last, 1), label=label, **moved),
        }


def _named(weights: list[str]) -> list[tuple[str, str]]:
    return [(told.short(each), each) for each in weights]


def _controls(shelf: Shelf, which: str, method: str) -> _Controls:
    name = shelf.names[0]
    weights = shelf.weights(name)
    methods = [(METHODS[each].title, each) for each in CHOICES]
    return _Controls(
        gr.Dropdown(shelf.names, value=name, label="Network", elem_id=f"{which}-net"),
        gr.Dropdown(_named(weights), value=weights[0], label="Weights", elem_id=f"{which}-weights"),
        gr.Dropdown(methods, value=method, label="Method", elem_id=f"{which}-method"),
        gr.Slider(0, 1, value=0, step=1, label="Layer", elem_id=f"{which}-layer", buttons=[]),
    )
