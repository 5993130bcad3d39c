"""Packages in real sandboxes, from an index of this machine."""

import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from websockets.sync.client import connect

from app.environments import ENVIRONMENTS
from app.packages.store import unused
from tests.sandbox.executor import Host
from tests.sandbox.processes import ANSWER_SECONDS, Platform, output_json
from tools.measure.package_index import Index, serving, tarball, wheel

NOT_READY = "packages_unavailable"


@pytest.fixture(scope="module")
def index() -> Iterator[Index]:
    """An index that each test adds to, under names of its own."""
    with serving() as found:
        yield found


@pytest.fixture(scope="module")
def packaged(
    host: Host,
    names: Iterator[str],
    tmp_path_factory: pytest.TempPathFactory,
    index: Index,
) -> Iterator[Platform]:
    """A platform with a packages service, of the environments that take packages."""
    served = [name for name, environment in ENVIRONMENTS.items() if environment.index]
    options = {
        "PACKAGES_INDEX": index.url,
        "PACKAGES_REGISTRY": index.registry,
        "PACKAGES_SETS_PER_HOUR": "1000",
    }
    platform = Platform(host, next(names), served, tmp_path_factory.mktemp("packages") / "platform", **options)
    try:
        yield platform.start()
    finally:
        platform.stop()


def prepared(platform: Platform, *packages: str) -> httpx.Response:
    """The answer of POST /packages."""
    body = {"environment": "python", "packages": packages}
    return httpx.post(f"{platform.url}/packages", json=body, timeout=100)


def test_a_package_is_imported_and_there_is_no_network(packaged: Platform, index: Index) -> None:
    index.package("greeting", "def hello(name):\n    return f'Hello, {name}!'\n", needs=["politeness"])
    index.package("politeness")
    code = """
import greeting, importlib.metadata, json, politeness, socket
routes = [line.split()[0] for line in open("/proc/net/dev").read().splitlines()[2:]]
print(json.dumps([greeting.hello("World"), importlib.metadata.version("greeting"), routes]))
"""
    assert output_json(packaged.run("python", code, packages=["greeting"])) == ["Hello, World!", "1.0", ["lo:"]]


def test_the_list_of_what_was_locked(packaged: Platform, index: Index) -> None:
    index.package("listed", needs=["below"])
    index.package("below")
    answer = prepared(packaged, "listed").json()
    assert [(package["name"], package["version"]) for package in answer["packages"]] == [
        ("below", "1.0"),
        ("listed", "1.0"),
    ]
    assert {len(package["hash"]) for package in answer["packages"]} == {len("sha256:") + 64}


REQUIRES = """
const { hello } = require("greeting-js");
const routes = require("fs").readFileSync("/proc/net/dev", "utf8").trim().split("\\n").slice(2);
const part = require("@scope/named/part");
console.log(JSON.stringify([hello("World"), part, routes.map((it) => it.trim().split(":")[0])]));
"""
IMPORTS = """
import { hello } from "greeting-js";
import part from "@scope/named/part";
import { readFileSync } from "fs";
const routes = readFileSync("/proc/net/dev", "utf8").trim().split("\\n").slice(2);
console.log(JSON.stringify([hello("World"), part, routes.map((it) => it.trim().split(":")[0])]));
"""


@pytest.mark.parametrize(
    ("environment", "main", "code"),
    [
        ("node", "main.js", REQUIRES),
        ("node", "main.mjs", IMPORTS),
        ("node", "main.js", IMPORTS),
        ("typescript", "main.ts", f"const typed: string = 'x';{IMPORTS}"),
    ],
    ids=["require", "import", "import in a .js file", "typescript"],
)
def test_node_finds_its_packages(packaged: Platform, index: Index, environment: str, main: str, code: str) -> None:
    index.module("polite", "exports.say = (name) => `Hello, ${name}!`\n")
    greeting = "exports.hello = (name) => require('polite').say(name)\n"
    index.module("greeting-js", greeting, dependencies={"polite": "^1"})
    exported = {"./part": {"import": "./part.mjs", "require": "./part.cjs"}}
    files = {"package/part.mjs": "export default 7", "package/part.cjs": "module.exports = 7"}
    index.publish("@scope/named", tarball(files, name="@scope/named", exports=exported))
    answer = packaged.run(
        environment, files=[{"name": main, "content": code}], packages=["greeting-js@1", "@scope/named"]
    )
    assert output_json(answer) == ["Hello, World!", 7, ["lo"]]


def test_the_modules_of_node_are_not_shadowed(packaged: Platform, index: Index) -> None:
    shadow = "throw new Error('shadowed')"
    for name in ("fs", "path"):
        index.publish(name, tarball({"package/index.js": shadow, "package/promises.js": shadow}, name=name))
    code = """
const fs = require("fs"), path = require("path");
require("fs/promises");
console.log(fs === require("node:fs"), path === require("node:path"), fs.existsSync("/node_modules/fs/index.js"));
"""
    assert packaged.run("node", code, packages=["fs", "path"])["stdout"] == "true true true\n"
    assert packaged.run("node", 'console.log(require("fs").existsSync("/node_modules"))')["stdout"] == "false\n"


def test_an_execution_without_packages_sees_none(packaged: Platform, index: Index) -> None:
    index.package("private")
    code = "import importlib.util as u; print([u.find_spec(name) is not None for name in ('private', 'other')])"
    index.package("other")
    assert packaged.run("python", code, packages=["private"])["stdout"] == "[True, False]\n"
    assert packaged.run("python", code, packages=["other"])["stdout"] == "[False, True]\n"
    assert packaged.run("python", code)["stdout"] == "[False, False]\n"


def test_the_standard_library_and_the_image_are_not_shadowed(packaged: Platform, index: Index) -> None:
    names = ("json/__init__.py", "os.py", "site.py", "encodings/__init__.py", "sitecustomize.py", "evil.pth")
    files = dict.fromkeys(names, "raise SystemExit('shadowed')")
    index.add("shadow", wheel("shadow", {**files, "evil.pth": "import sys; sys.exit('pth')", "shadow.py": ""}))
    code = "import json, os, site, encodings, shadow; print(json.__file__, os.__file__)"
    answer = packaged.run("python", code, packages=["shadow"])
    assert answer["stdout"] == "/usr/lib/python3.13/json/__init__.py /usr/lib/python3.13/os.py\n"


def test_packages_can_not_be_written_and_no_lock_is_shared(packaged: Platform, index: Index) -> None:
    index.package("shared")
    code = """
import fcntl, os, shared, sys, time
try:
    open(shared.__file__, "a")
except OSError as error:
    print(type(error).__name__)
file = open(shared.__file__)
fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
print("locked", flush=True)
time.sleep(float(sys.argv[1]))
"""
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(packaged.run, "python", code, packages=["shared"], args=["2"]) for _ in range(2)]
        assert {future.result()["stdout"] for future in both} == {"OSError\nlocked\n"}


def test_python_data_keeps_its_own(packaged: Platform, index: Index) -> None:
    own = {package["name"]: package["version"] for package in packaged.environment("python-data")["packages"]}
    index.add("numpy", wheel("numpy", {"numpy.py": ""}, own["numpy"]), version=own["numpy"])
    index.package("analysis", needs=["numpy"])
    code = "import analysis, numpy; print(numpy.__file__)"
    answer = packaged.run("python-data", code, packages=["analysis"])
    assert answer["stdout"] == "/usr/lib/python3/dist-packages/numpy/__init__.py\n"


def test_streams_tell_the_steps(packaged: Platform, index: Index) -> None:
    index.package("streamed")
    index.package("evented")
    with connect(f"{packaged.url.replace('http', 'ws')}/execute/stream", open_timeout=ANSWER_SECONDS) as socket:
        code = "import streamed; print(streamed.value)"
        start = {"type": "start", "environment": "python", "code": code, "packages": ["streamed"]}
        socket.send(json.dumps(start))
        frames = [json.loads(frame) for frame in socket]
    kinds = [frame["type"] for frame in frames]
    assert list(dict.fromkeys(kinds)) == ["preparing", "started", "output", "result"]
    body = {"environment": "python", "code": "import evented", "packages": ["evented"]}
    answer = httpx.post(f"{packaged.url}/execute", json=body, headers={"Accept": "text/event-stream"}, timeout=100)
    events = [line for line in answer.text.splitlines() if line.startswith("event:")]
    assert (events[0], events[-1]) == ("event: preparing", "event: result")
    missing = {**body, "packages": ["missing"]}
    answer = httpx.post(f"{packaged.url}/execute", json=missing, headers={"Accept": "text/event-stream"}, timeout=100)
    assert '"code":"package_not_found"' in answer.text


def test_a_batch_has_packages(packaged: Platform, index: Index) -> None:
    index.package("batched")
    body = {
        "environment": "python",
        "code": "import batched; print(input(), batched.value)",
        "packages": ["batched"],
        "inputs": [{"stdin": "a"}, {"stdin": "b"}],
    }
    answer = httpx.post(f"{packaged.url}/execute/batch", json=body, timeout=100)
    results = [json.loads(line)["result"]["stdout"] for line in answer.text.splitlines()]
    assert results == ["a 1\n", "b 1\n"]


def test_what_can_be_asked_for_is_listed(packaged: Platform, shared: Platform) -> None:
    rules = httpx.get(f"{packaged.url}/environments", timeout=ANSWER_SECONDS).json()["packages"]
    assert rules["environments"] == ["python", "python-data", "node"]
    assert httpx.get(f"{shared.url}/environments", timeout=ANSWER_SECONDS).json()["packages"] is None
    for answer in (shared.post("python", "x", packages=["any"]), prepared(shared, "any")):
        assert (answer.status_code, answer.json()["code"]) == (400, "package_not_allowed")


def test_fifty_executions_at_once_prepare_one_set(packaged: Platform, index: Index) -> None:
    index.package("wanted")
    before = len(index.asked)
    with ThreadPoolExecutor(50) as pool:
        asked = [
            pool.submit(packaged.run, "python", "import wanted; print(wanted.value)", packages=["wanted"])
            for _ in range(50)
        ]
        assert {future.result()["stdout"] for future in asked} == {"1\n"}
    assert len([path for path in index.asked[before:] if path.startswith("/simple/")]) == 1
    packaged.wait_until_idle()


def test_a_set_in_use_is_held_until_its_sandbox_is_gone(packaged: Platform, index: Index) -> None:
    index.package("lasting")
    identity = prepared(packaged, "lasting").json()["id"]
    place = packaged.store / "sets" / identity

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(packaged.run, "python", "import lasting, time; time.sleep(2)", packages=["lasting"])
        while unused(place):
            assert not running.done()
            time.sleep(0.05)
        assert running.result()["status"] == "success"
    packaged.wait_until_idle()
    assert unused(place)


def test_without_the_service_all_else_runs(packaged: Platform, index: Index) -> None:
    index.package("before")
    index.package("after")
    assert packaged.packages is not None
    packaged.packages.signal(signal.SIGKILL)
    refused = packaged.post("python", "import before", packages=["before"])
    assert (refused.status_code, refused.json()["code"]) == (503, NOT_READY)
    assert packaged.run("python", "print(1)")["stdout"] == "1\n"
    packaged.start_packages()
    assert packaged.run("python", "import after", packages=["after"])["status"] == "success"


@pytest.mark.parametrize("after", [0.1, 0.3, 0.5])
def test_a_kill_at_any_moment_leaves_no_half_set_and_loses_no_request(
    packaged: Platform, index: Index, after: float
) -> None:
    name = f"killed{round(after * 100)}"
    files = {f"{name}/part{number}.py": f"value = {number}\n" for number in range(100)}
    index.add(name, wheel(name, {**files, f"{name}/__init__.py": ""}))
    assert packaged.packages is not None
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(prepared, packaged, name)
        time.sleep(after)
        packaged.packages.signal(signal.SIGKILL)
        packaged.start_packages()
        assert asked.result().is_success
    assert list((packaged.store / "new").iterdir()) == []
    code = f"import importlib as i; print(sum(i.import_module(f'{name}.part{{n}}').value for n in range(100)))"
    assert packaged.run("python", code, packages=[name])["stdout"] == f"{sum(range(100))}\n"
