"""Where a run comes from, as text: its config, its environment, and the commands for another."""

from typing import Any

from jaxseg.percent import MISSING
from jaxseg.reporting.run import Run


def duration(seconds: float | None) -> str:
    """3725 -> "1 h 2 min"."""
    if seconds is None:
        return MISSING
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def shown(value: Any) -> str:
    """A config value as text."""
    if value is None:
        return MISSING
    if isinstance(value, list):
        return ", ".join(map(shown, value)) if value else "none"
    if isinstance(value, str):
        return value or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def rate(run: Run) -> str:
    """Images per second of training as text."""
    return f"{run.images_per_second:.3g}" if run.images_per_second else MISSING


def reproduction(run: Run) -> str:
    """The commands that reproduce the run."""
    environment = environment_of(run)
    command, commit = environment.get("command", ""), environment.get("git", "")
    lines = []
    if commit:
        clean = commit.removesuffix("-dirty")
        dirty = "  # plus uncommitted changes" if clean != commit else ""
        lines.append(f"git checkout {clean}{dirty}")
    return "\n".join([*lines, *([command] if command else [])])


def environment_of(run: Run) -> dict[str, Any]:
    """environment.json or, without one, the environment stored in the main evaluation."""
    if not run.environment.get("command") and run.main:
        return run.main.record.get("environment") or {}
    return run.environment


def devices(environment: dict[str, Any]) -> str:
    """["cpu", "cpu"] -> "2 x cpu"."""
    kinds = environment.get("devices") or []
    return ", ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds))


def environment_rows(run: Run) -> list[tuple[str, str]]:
    """Where the run took place, as (label, text)."""
    environment = environment_of(run)
    versions = environment.get("versions") or {}
    starts = environment.get("starts") or []
    rows = [
        ("code", environment.get("git") or ""),
        ("started", environment.get("started") or ""),
        ("starts", f"{len(starts)} (resumed {len(starts) - 1} times)" if len(starts) > 1 else ""),
        ("host", environment.get("host") or ""),
        ("devices", devices(environment)),
        ("processes", str(environment.get("processes") or "")),
        ("Python", environment.get("python") or ""),
        ("packages", ", ".join(f"{name} {version}" for name, version in versions.items())),
    ]
    changes = [line for start in starts for line in start.get("changed") or []]
    rows += [("changed on restart", line) for line in changes]
    return [(label, text) for label, text in rows if text]


def config_parts(run: Run) -> list[dict[str, Any]]:
    """The fields by part of the experiment: {"title", "fields": (path within it, text)}."""
    parts: dict[str, list[tuple[str, str]]] = {}
    for path, value in run.config.items():
        names = path.split(".")
        depth = 2 if names[:2] == ["model", "backbone"] else 1
        title = ".".join(names[:depth])
        parts.setdefault(title, []).append((".".join(names[depth:]) or title, shown(value)))
    return [{"title": title, "fields": fields} for title, fields in parts.items()]
