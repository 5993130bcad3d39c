"""The status page and its feed, as text. Whatever they show is put in as text of a tree, which is then written out."""

import hashlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from html import escape
from pathlib import Path
from statistics import fmean, median
from string import Template
from xml.etree.ElementTree import Element, fromstring, tostring

from markdown_it import MarkdownIt

from app.status.measures import DAYS, Measured
from app.status.notices import Notice, State

_FOLDER = Path(__file__).parent
_TEMPLATE = Template((_FOLDER / "page.html").read_text())
_STYLE, _SCRIPT = ((_FOLDER / name).read_text() for name in ("page.css", "page.js"))
# Images would be fetched from elsewhere.
_MARKDOWN = MarkdownIt("js-default", {"html": False, "xhtmlOut": True, "maxNesting": 20}).disable("image")
_WELL, _SOME = 0.999, 0.95
_HEIGHT = 40


def page(title: str, measured: Mapping[str, Measured], notices: Sequence[Notice], now: datetime) -> str:
    """The page in HTML."""
    body = Element("main")
    body.append(_element("h1", title))
    old = "This page is out of date: nothing has written it for 10 minutes."
    body.append(_element("p", old, hidden="", **_class("banner stale")))
    body.append(_banner(measured, notices, now))
    told = {state: [it for it in notices if it.state(now) is state] for state in State}
    for heading, state in (("Open now", State.OPEN), ("Planned", State.AHEAD)):
        _articles(body, heading, told[state], now)
    for route, found in measured.items():
        body.append(_route(route, found, now.date()))
    _articles(body, "Before", told[State.OVER], now)
    footer = _element("footer", "Written at ", _time(now), ", in UTC. ", _element("a", "RSS", href="feed.xml"))
    return _TEMPLATE.substitute(
        title=escape(title),
        style=_STYLE,
        style_hash=_hash(_STYLE),
        script=_SCRIPT,
        script_hash=_hash(_SCRIPT),
        body="\n".join(tostring(it, encoding="unicode", method="html") for it in (body, footer)),
    )


def feed(title: str, url: str, notices: Sequence[Notice], now: datetime) -> str:
    """The notices as RSS 2.0."""
    channel = _element("channel", _element("title", title), _element("link", url), _element("description", title))
    channel.append(_element("lastBuildDate", format_datetime(now)))
    for it in notices:
        item = _element("item", _element("title", it.title), _element("link", f"{url}/#{it.name}"))
        item.append(_element("guid", f"{url}/#{it.name}", isPermaLink="false"))
        item.append(_element("pubDate", format_datetime(it.begins.astimezone(UTC))))
        facts = tostring(_facts(it, now), encoding="unicode", method="html")
        item.append(_element("description", facts + _MARKDOWN.render(it.text)))
        channel.append(item)
    return tostring(_element("rss", channel, version="2.0"), encoding="unicode", xml_declaration=True)


def _banner(measured: Mapping[str, Measured], notices: Sequence[Notice], now: datetime) -> Element:
    up = [it.up for it in measured.values()]
    if any(it is False for it in up):
        return _element("p", "Something does not answer.", **_class("banner bad"))
    if any(it.state(now) is State.OPEN for it in notices):
        return _element("p", "An incident or planned work is under way.", **_class("banner some"))
    if not up or None in up:
        return _element("p", "Nobody knows what is up now: the monitoring does not tell.", **_class("banner"))
    return _element("p", "Everything answers.", **_class("banner good"))


def _articles(body: Element, heading: str, notices: Sequence[Notice], now: datetime) -> None:
    if notices:
        body.append(_element("h2", heading))
    for it in sorted(notices, key=lambda it: it.begins, reverse=True):
        # Well-formed, since what looks like HTML in a notice has become text.
        text = fromstring(f"<div>{_MARKDOWN.render(it.text)}</div>")  # noqa: S314 - it declares no entities
        body.append(_element("article", _element("h3", it.title), _facts(it, now), text, id=it.name))


def _facts(notice: Notice, now: datetime) -> Element:
    facts = _element("small", "Planned work" if notice.planned else "Incident", f", {notice.state(now)}: from ")
    facts.append(_time(notice.begins))
    if notice.ends:
        facts[-1].tail = ", until "
        facts.append(_time(notice.ends))
    facts[-1].tail = f". Affects {', '.join(notice.affects)}." if notice.affects else "."
    return _element("p", facts)


def _route(route: str, found: Measured, today: date) -> Element:
    state = {True: "answers", False: "does not answer", None: "not known"}[found.up]
    section = _element("section", _element("h2", f"{route}: {state}"))
    shown = [today - timedelta(days=DAYS - 1 - index) for index in range(DAYS)]
    shares = {day: found.days.get(day) for day in shown}
    days = [_element("li", title=_day(day, share), **_class(_colour(share))) for day, share in shares.items()]
    section.append(_element("ol", *days, role="img", **_class("days"), **{"aria-label": _summary(found)}))
    section.append(_element("small", _summary(found)))
    if times := [it for it in found.seconds if it is not None]:
        most = max(times) or 1
        points = " ".join(
            f"{index},{_HEIGHT - it / most * _HEIGHT:.1f}" for index, it in enumerate(found.seconds) if it is not None
        )
        box = {"viewBox": f"0 0 {len(found.seconds)} {_HEIGHT}", "preserveAspectRatio": "none", "aria-hidden": "true"}
        section.append(_element("svg", _element("polyline", points=points), **box))
        figures = f"median {median(times) * 1000:.0f} ms, longest {most * 1000:.0f} ms"
        section.append(_element("small", f"Response time of the last 24 hours, averages of 15 minutes: {figures}"))
    return section


def _day(day: date, share: float | None) -> str:
    return f"{day}: {'not measured' if share is None else f'{_percent(share)} answered'}"


def _colour(share: float | None) -> str:
    if share is None:
        return "none"
    return "good" if share >= _WELL else "some" if share >= _SOME else "bad"


def _summary(found: Measured) -> str:
    days = list(found.days.values())
    if not days:
        return f"Measured on none of {DAYS} days"
    return f"{_percent(fmean(days))} answered, measured on {len(days)} of {DAYS} days"


def _percent(share: float) -> str:
    # Rounded down, but for what a float can't hold: 100% means all.
    return f"{int(share * 10_000 + 1e-6) / 100:g}%"


def _time(moment: datetime) -> Element:
    moment = moment.astimezone(UTC)
    return _element("time", f"{moment:%Y-%m-%d %H:%M}", datetime=moment.isoformat(timespec="seconds"))


def _element(tag: str, *content: str | Element, **attributes: str) -> Element:
    element = Element(tag, attributes)
    for it in content:
        if isinstance(it, Element):
            element.append(it)
        elif len(element):
            element[-1].tail = (element[-1].tail or "") + it
        else:
            element.text = (element.text or "") + it
    return element


def _class(name: str) -> dict[str, str]:
    return {"class": name}


def _hash(text: str) -> str:
    return b64encode(hashlib.sha256(text.encode()).digest()).decode()
