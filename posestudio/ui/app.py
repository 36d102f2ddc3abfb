"""Build the pages and serve them: one FastAPI app with Gradio at "/", photos, health and the owner's verbs beside it.

Each page is a route with its own address (`/`, `/inspect?instance=12&run=...&keypoint=left_wrist`), not a tab: an
address can be kept, sent, opened in a second window and left with the browser's Back; links between pages are plain
links that work without scripts; and a page loads only its own components.
"""

# pyright: reportPrivateImportUsage=false
# (gradio exports its names without saying so to type checkers)

import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import warnings
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # both are read when gradio is imported

import fastapi  # noqa: E402
import filelock  # noqa: E402
import gradio as gr  # noqa: E402
import uvicorn  # noqa: E402
from starlette.middleware.cors import CORSMiddleware  # noqa: E402

from posestudio.errors import InputError, StoreBusy  # noqa: E402
from posestudio.studio import owner  # noqa: E402
from posestudio.studio.jobs import Jobs  # noqa: E402
from posestudio.studio.studio import STORE_FILE, Studio, create  # noqa: E402
from posestudio.ui import (  # noqa: E402
    api,
    crops,
    downloads,
    edits,
    gallery,
    looks,
    media,
    reads,
    static_files,
    theme,
    uploads,
)
from posestudio.ui.guard import LOOPBACK, Guard  # noqa: E402
from posestudio.ui.tabs.correct import correct_tab  # noqa: E402
from posestudio.ui.tabs.evaluate import evaluate_tab  # noqa: E402
from posestudio.ui.tabs.export import export_tab  # noqa: E402
from posestudio.ui.tabs.images import images_tab  # noqa: E402
from posestudio.ui.tabs.inspect import inspect_tab  # noqa: E402
from posestudio.ui.tabs.sheet import sheet_tab  # noqa: E402
from posestudio.ui.tabs.train import train_tab  # noqa: E402

MAX_UPLOAD = "2gb"
SESSIONS = 200
"""How many loads of Train, Evaluate and Export Gradio remembers, half a megabyte each, also when the page is closed.
The one that was silent longest goes first; a page that is open asks each second."""
MAKING = ".making-demo"
"""A file that stands in a project folder while the demo project is being made."""
DEMO = "data/project"
"""Where the demo project is made if nothing is there."""

log = logging.getLogger(__name__)


def build(studio: Studio, jobs: Jobs | None = None) -> gr.Blocks:
    """All pages over one studio and its background work."""
    jobs = jobs or Jobs(studio)
    day = 24 * 3600
    with gr.Blocks(
        title="PoseStudio", analytics_enabled=False, fill_width=True, delete_cache=(3600, day)
    ) as demo:
        images_tab()
        api.endpoints(studio)
    with demo.route("Correct", "correct", show_in_navbar=False):
        correct_tab()
    with demo.route("Sheet", "sheet", show_in_navbar=False):
        sheet_tab()
    with demo.route("Inspect", "inspect", show_in_navbar=False):
        inspect_tab(studio.call("project_session")["project_id"])
    with demo.route("Train", "train", show_in_navbar=False) as page:
        train_tab(studio, jobs, page)
    with demo.route("Evaluate", "evaluate", show_in_navbar=False) as page:
        evaluate_tab(studio, jobs, page)
    with demo.route("Export", "export", show_in_navbar=False) as page:
        export_tab(studio, jobs, page)
    demo.queue(default_concurrency_limit=4)
    demo.state_session_capacity = SESSIONS
    return demo


def application(studio: Studio) -> fastapi.FastAPI:
    """The whole server as an ASGI app: guard, own routes, pages."""
    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.jobs, token = Jobs(studio), secrets.token_urlsafe(32)
    app.add_middleware(
        CORSMiddleware, allow_origins=[]
    )  # Gradio then adds no permissions of its own
    app.add_middleware(Guard)

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    app.include_router(
        media.routes(lambda number: reads.photo(studio, number), studio.project / "cache")
    )
    app.include_router(crops.routes(studio))
    app.include_router(edits.routes(studio, token))
    app.include_router(gallery.routes(studio, token))
    app.include_router(uploads.routes(studio, token))
    app.include_router(looks.routes(studio))
    app.include_router(downloads.routes(studio))
    app.include_router(owner.routes(studio))
    app.mount(static_files.ADDRESS, static_files.OwnFiles())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "SSR mode is not supported", UserWarning)
        return gr.mount_gradio_app(
            app,
            build(studio, app.state.jobs),
            path="/",
            theme=theme.theme(),
            css_paths=list(theme.STYLES),
            favicon_path=str(theme.LOGO),
            footer_links=[],
            run_history=False,
            show_error=False,
            ssr_mode=False,
            max_file_size=MAX_UPLOAD,
            blocked_paths=[str(studio.project)],
        )


def serve(project: Path | str = DEMO, host: str = "127.0.0.1", port: int = 7860) -> None:
    """Open the studio on a project until Ctrl+C; a project that is not there is made.

    Raises:
        InputError: the host is not this machine's own, or the port is taken. StoreBusy: another process has the
            project open.
    """
    folder = Path(project).expanduser().absolute()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl+C does
    with contextlib.suppress(KeyboardInterrupt), _bind(host, port) as listener:
        address = _address(host, listener.getsockname()[1])
        _prepare(folder)
        with Studio(folder, hold=True) as studio:
            studio.announce(address)
            app = application(studio)
            server = uvicorn.Server(
                uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2)
            )
            threading.Thread(
                target=reads.warm_up, args=(studio,), name="warm-up", daemon=True
            ).start()
            _say(f"PoseStudio is open at {address}  (project {folder}). Ctrl+C ends it.")
            try:
                server.run(sockets=[listener])
            finally:
                _end(app.state.jobs)
    _say("PoseStudio is closed.")


def _end(jobs: Jobs) -> None:
    """Before the store closes: a training stops at its step and keeps what it has; it can be resumed."""
    going = [job.name for job in jobs.going()]
    if going:
        _say(f"Ending {', '.join(going)} at the present step ...")
    jobs.close()


def _prepare(folder: Path) -> None:
    """Make a project where none is: the demo at DEMO, again if it was broken off, and an empty one anywhere else.

    Raises:
        StoreBusy: another process makes the demo there at this moment.
    """
    making = folder / MAKING
    if (folder / STORE_FILE).exists() and not making.exists():
        return
    if folder != Path(DEMO).absolute() and not making.exists():
        create(folder)
        _say(
            f"A new project at {folder}: drop photos on the page. A demo to try: posestudio demo DIR"
        )
        return
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder / f"{MAKING}.lock", timeout=0):
            _make_demo(folder, making)
    except filelock.Timeout as error:
        raise StoreBusy(
            f"Another posestudio serve is making the demo project at {folder}.\n"
            "Wait until it says where it is open, and use that page."
        ) from error


def _make_demo(folder: Path, making: Path) -> None:
    """Make the demo as the only one who does; what an earlier try left goes, unless somebody has worked in it."""
    from posestudio.studio import demo, verbs_keep  # lazy: torch, duckdb

    if (folder / STORE_FILE).exists() and not making.exists():
        return  # another process has just made it
    if making.exists() and not verbs_keep.clear(folder):
        making.unlink()
        _say(
            f"The demo at {folder} was broken off, but somebody has worked in it: it stays as it is."
        )
        return
    _say(f"No project at {folder} yet. Making the demo project of rendered people there:")
    making.touch()
    demo.make_demo(folder, progress=_progress)
    making.unlink()


def _progress(what: str, done: int, whole: int) -> None:
    quarter = max(1, whole // 4)
    if done == whole or done % quarter == 0:
        _say(f"  {what}: {done} of {whole}")


def _bind(host: str, port: int) -> socket.socket:
    if host not in LOOPBACK:
        raise InputError(
            f"--host {host} would open the studio to a network, and this version has no accounts yet.\n"
            "Use 127.0.0.1, and an SSH tunnel from elsewhere: ssh -L 7860:127.0.0.1:7860 THIS_MACHINE"
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        why = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"Cannot open port {port} on {host}: {why}.\n"
            f"Give another one: posestudio serve --port {min(port + 1, 65535)}"
        ) from error
    return listener


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
