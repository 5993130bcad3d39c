"""The status page: notices, what Prometheus tells, the page and its feed."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest

from app.status.__main__ import Record, write
from app.status.measures import DAYS, Measured, Prometheus, measure, unknown
from app.status.notices import MOST_BYTES, MOST_FILES, State, parse, read
from app.status.page import feed, page
from app.status.settings import StatusSettings

NOW = datetime(2026, 11, 30, 12, 0, 30, tzinfo=UTC)
WORK = """+++
title = "Another disk"
begins = 2026-12-01T22:00:00Z
ends = 2026-12-02T00:30:00+01:00
planned = true
affects = ["api"]
+++
We are moving.
"""
TAG = re.compile("<[^>]+>")
FACTS = '+++\ntitle = "Slow"\nbegins = 2026-11-30T10:00:00Z\n+++\n'


class Tags(HTMLParser):
    """Each element with its attributes, as a browser would read them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


class Known(Prometheus):
    """A Prometheus that has kept these days of the api, and its answers since midnight."""

    def __init__(self, days: Mapping[date, float], up: float = 1) -> None:
        super().__init__("http://prometheus:9090")
        self.days, self.up = days, up
        self.asked: list[datetime] = []

    def now(self, query: str, at: datetime) -> dict[str, float]:
        return {"api": self.up}

    def between(self, query: str, first: datetime, last: datetime, step: timedelta) -> dict[str, dict[datetime, float]]:
        if step < timedelta(days=1):
            return {"api": {last: 0.25, last - step: 0.01}}
        self.asked.append(first)
        ends = {datetime.combine(day, datetime.min.time(), UTC) + step: share for day, share in self.days.items()}
        return {"api": {end: share for end, share in ends.items() if first <= end <= last}}


def days_before(count: int, share: float = 1.0) -> dict[date, float]:
    return {NOW.date() - timedelta(days=it): share for it in range(1, count + 1)}


def test_a_notice_is_open_between_its_times_and_work_is_told_ahead() -> None:
    notice = parse("slow.md", FACTS)
    assert notice.name == "slow"
    at = {hour: notice.state(datetime(2026, 11, 30, hour, tzinfo=UTC)) for hour in (9, 10, 23)}
    assert at == {9: State.AHEAD, 10: State.OPEN, 23: State.OPEN}
    ended = parse("slow.md", FACTS.replace("Z\n", "Z\nends = 2026-11-30T11:00:00Z\n"))
    assert ended.state(NOW) is State.OVER


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("Slow API.md", FACTS, "small letters"),
        ("a.md", "# Slow", r"two lines of \+\+\+"),
        ("a.md", "+++\ntitle = \n+++\n", "no TOML"),
        ("a.md", "+++\ntitle = 'a'\n+++\n", "begins: Field required"),
        ("a.md", FACTS.replace("Z", ""), "begins: Input should have timezone info"),
        ("a.md", FACTS.replace("title", "headline"), "headline: Extra inputs.*It may have title, begins, ends"),
        ("a.md", FACTS.replace("Z\n", "Z\nplanned = true\n"), "planned work needs `ends`"),
        ("a.md", FACTS.replace("Z\n", "Z\nends = 2026-11-30T09:00:00Z\n"), "`ends` is not after `begins`"),
        ("a.md", FACTS.replace("Slow", r"a\u0007"), "title"),
        ("a.md", f"{FACTS}a\x07", "which no feed may have"),
        ("a.md", f"{FACTS}\ufffe", "which no feed may have"),
    ],
)
def test_a_notice_that_cannot_be_used_is_refused_with_the_cause(name: str, content: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        parse(name, content)
    assert name in str(refused.value)


def test_the_work_for_notices_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("how to write one")
    assert read(tmp_path) == {}
    (tmp_path / "a.md").write_text(FACTS + "a" * MOST_BYTES)
    with pytest.raises(ValueError, match=r"a\.md has more than"):
        read(tmp_path)
    for index in range(MOST_FILES + 1):
        (tmp_path / f"{index}.md").write_text(FACTS)
    with pytest.raises(ValueError, match="Remove the oldest"):
        read(tmp_path)
    with pytest.raises(ValueError, match="there is no folder"):
        read(tmp_path / "gone")


ATTACKS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</style></main></body><iframe src=//evil>",
    "[a](javascript:alert(1))",
    "[a](JaVaScRiPt&colon;alert(1))",
    "[a](data:text/html;base64,PHNjcmlwdD4=)",
    '[a](<https://a.example/"onmouseover=alert(1)>)',
    "![a](https://evil.example/pixel.png)",
    "<https://a.example/'><svg/onload=alert(1)>>",
    '```"><script>alert(1)</script>\nx\n```',
    "&lt;script&gt;alert(1)&lt;/script&gt; &#0; &#x1;",
    "]]><script>alert(1)</script><![CDATA[",
    "[a]: javascript:alert(1)\n\n[a]",
    "> " * 200 + "deep",
    "$title $body ${script}",
)


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_notice_puts_more_than_text_and_plain_links_on_the_page(attack: str) -> None:
    title = attack.partition("\n")[0].replace("\\", "").replace("'", "")[:200]
    notice = parse(
        "a.md", f"+++\ntitle = '{title}'\nbegins = 2026-11-30T10:00:00Z\naffects = ['{title}']\n+++\n{attack}"
    )
    plain = page("Status", {}, [parse("a.md", f"{FACTS}plain")], NOW)
    shown = page("Status", {}, [notice], NOW)
    texts = {"a", "p", "em", "strong", "code", "pre", "ol", "ul", "li", "blockquote", "hr", "br", "table", "div"}
    own = [tag for tag, _ in Tags(plain).found]
    for tag, attributes in Tags(shown).found:
        assert tag in {*own, *texts}
        assert not [name for name in attributes if name.startswith("on")]
        assert tag not in ("img", "iframe", "svg")
        assert tag != "a" or re.match(r"(https?:)?//|feed\.xml", attributes["href"] or "")
    assert [tag for tag, _ in Tags(shown).found].count("script") == 1
    (channel,) = fromstring(feed("Status", "https://status.example.com", [notice], NOW))  # noqa: S314 - it is ours
    described = channel.findtext("item/description") or ""
    assert {tag for tag, _ in Tags(described).found} <= {*texts, "small", "time"}
    assert channel.findtext("item/title") == title


@pytest.mark.parametrize(
    ("hour", "heading", "state"), [(21, "Planned", "ahead"), (22, "Open now", "now"), (23.5, "Before", "over")]
)
def test_planned_work_is_on_the_page_and_in_the_feed_before_during_and_after_it(
    hour: float, heading: str, state: str
) -> None:
    work, now = parse("disk.md", WORK), datetime(2026, 12, 1, tzinfo=UTC) + timedelta(hours=hour)
    facts = f"Planned work, {state}: from 2026-12-01 22:00, until 2026-12-01 23:30. Affects api."
    shown = page("Status", {}, [work], now)
    assert f'<h2>{heading}</h2><article id="disk"><h3>Another disk</h3>' in shown
    assert f"{facts}We are moving." in TAG.sub("", shown)
    assert ("An incident or planned work is under way" in shown) is (state == "now")
    (channel,) = fromstring(feed("Status", "https://status.example.com", [work], now))  # noqa: S314 - it is ours
    assert channel.findtext("item/title") == "Another disk"
    assert channel.findtext("item/link") == "https://status.example.com/#disk"
    assert channel.findtext("item/pubDate") == "Tue, 01 Dec 2026 22:00:00 +0000"
    assert TAG.sub("", channel.findtext("item/description") or "").strip() == f"{facts}We are moving."


def test_what_is_over_is_asked_for_once_and_kept_for_longer_than_prometheus_keeps_it() -> None:
    kept = {"api": Measured(days={**days_before(200, 0.5), NOW.date() - timedelta(days=1): 0.1})}
    prometheus = Known(days_before(15))
    found = measure(prometheus, ["api"], kept, NOW)
    days = found["api"].days
    assert len(days) == DAYS
    assert days[NOW.date()] == 1
    assert days[NOW.date() - timedelta(days=1)] == 1, "that day was not over when it was kept"
    assert days[NOW.date() - timedelta(days=2)] == 0.5
    assert min(days) == NOW.date() - timedelta(days=DAYS - 1)
    assert measure(prometheus, ["api"], found, NOW)["api"].days == days
    assert len(prometheus.asked) == 1
    tomorrow = NOW + timedelta(days=1)
    measure(prometheus, ["api"], found, tomorrow)
    assert prometheus.asked[1:] == [datetime(2026, 12, 1, tzinfo=UTC)]


def test_a_new_page_asks_for_all_that_prometheus_has() -> None:
    prometheus = Known(days_before(15))
    assert len(measure(prometheus, ["api"], {}, NOW)["api"].days) == 16
    assert prometheus.asked == [datetime(2026, 9, 3, tzinfo=UTC)]


def test_the_page_tells_what_does_not_answer_and_what_nobody_knows() -> None:
    down = measure(Known({}, up=0), ["api"], {}, NOW)
    assert "api: does not answer" in page("Status", down, [], NOW)
    assert "Something does not answer" in page("Status", down, [], NOW)
    up = measure(Known(days_before(3, 0.99)), ["api"], {}, NOW)
    text = page("Status", up, [], NOW)
    assert "Everything answers" in text
    assert "99.25% answered, measured on 4 of 90 days" in text
    assert "median 130 ms, longest 250 ms" in text
    assert text.count('class="some"') == 3
    away = page("Status", unknown(["api"], up, NOW), [], NOW)
    assert "api: not known" in away
    assert "Nobody knows" in away
    assert "99.25%" in away


def test_without_prometheus_the_files_are_written_and_the_days_stay(tmp_path: Path) -> None:
    settings = StatusSettings(
        title="Status",
        url="https://status.example.com",
        routes=("api",),
        prometheus="http://127.0.0.1:1",
        folder=tmp_path,
    )
    record = Record(written=NOW, routes={"api": Measured(up=True, days=days_before(3))}, notices=[])
    (tmp_path / "status.json").write_text(record.model_dump_json())
    write(settings, [parse("a.md", FACTS)], NOW)
    assert sorted(it.name for it in tmp_path.iterdir()) == ["feed.xml", "index.html", "status.json"]
    kept = Record.model_validate_json((tmp_path / "status.json").read_text())
    assert kept.routes["api"] == Measured(days=days_before(3))
    assert "Slow" in (tmp_path / "feed.xml").read_text()
    (tmp_path / "status.json").write_text("{")
    write(settings, [], NOW)
    assert "Measured on none of 90 days" in (tmp_path / "index.html").read_text()
