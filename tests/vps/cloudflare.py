"""A fake Cloudflare: the DNS records part of its API, and a DNS server that serves these records.

Both listen on one address, in the network namespace of the thread that makes them.
"""

import itertools
import json
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from dnslib import AAAA, CAA, QTYPE, RR, SOA, TXT, A, DNSHeader, DNSRecord
from dnslib.server import BaseResolver, DNSHandler, DNSServer

ZONE_ID = "0123456789abcdef0123456789abcdef"
_TTL_SECONDS = 1


class Cloudflare:
    """One zone. Requests with `token` may change its records. `close` ends both servers.

    `records` has the records in the API's form, by ID; `history` each record that was ever written, as (type, name).
    """

    def __init__(self, address: str, zone: str, token: str) -> None:
        self.zone = zone
        self.token = token
        self.records: dict[str, dict[str, Any]] = {}
        self.history: list[tuple[str, str]] = []
        self._ids = (f"{number:032x}" for number in itertools.count(1))
        self._api = ThreadingHTTPServer((address, 0), _handler(self))
        threading.Thread(target=self._api.serve_forever, daemon=True).start()
        resolver = _Resolver(self)
        udp = DNSServer(resolver, address=address, port=0, handler=_Quiet)
        port = udp.server.server_address[1]
        tcp = DNSServer(resolver, address=address, port=port, handler=_Quiet, tcp=True)
        self._name_servers = (udp, tcp)
        for server in self._name_servers:
            server.start_thread()
        self.name_server = f"{address}:{port}"
        self.base_url = f"http://{address}:{self._api.server_address[1]}/client/v4"

    def close(self) -> None:
        self._api.shutdown()
        self._api.server_close()
        for server in self._name_servers:
            server.stop()
            server.server.server_close()

    def kept(self, kind: str) -> dict[str, dict[str, Any]]:
        """The records of one type by name."""
        return {record["name"]: record for record in list(self.records.values()) if record["type"] == kind}

    def answer(self, method: str, path: str, query: Mapping[str, list[str]], body: Any) -> tuple[HTTPStatus, Any]:
        """The status and the `result` of a request to the API."""
        match [part for part in path.removeprefix("/client/v4").split("/") if part]:
            case ["zones"]:
                is_ours = query.get("name") in (None, [self.zone])
                return HTTPStatus.OK, [{"id": ZONE_ID, "name": self.zone, "status": "active"}] if is_ours else []
            case ["zones", zone, "dns_records"] if zone == ZONE_ID and method == "POST":
                return HTTPStatus.OK, self._keep(next(self._ids), body)
            case ["zones", zone, "dns_records"] if zone == ZONE_ID and method == "GET":
                return HTTPStatus.OK, list(self.records.values())
            case ["zones", zone, "dns_records", id_] if zone == ZONE_ID and id_ in self.records:
                if method == "PUT":
                    self._keep(id_, body)
                return HTTPStatus.OK, self.records.pop(id_) if method == "DELETE" else self.records[id_]
        return HTTPStatus.NOT_FOUND, None

    def _keep(self, id_: str, body: dict[str, Any]) -> dict[str, Any]:
        data = body.get("data")
        content = " ".join(str(part) for part in data.values()) if data else body["content"]
        record = {"proxied": False, "ttl": 1, "comment": None, **body, "id": id_, "content": content}
        self.records[id_] = record
        self.history.append((record["type"], record["name"]))
        return record


def _handler(cloudflare: Cloudflare) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            url = urlsplit(self.path)
            if self.headers.get("Authorization") != f"Bearer {cloudflare.token}":
                status, result = HTTPStatus.FORBIDDEN, None
            else:
                status, result = cloudflare.answer(self.command, url.path, parse_qs(url.query), body)
            well = status == HTTPStatus.OK
            errors = [] if well else [{"code": 10000 + status, "message": status.phrase}]
            page = {"page": 1, "per_page": 50, "total_pages": 1, "count": 1, "total_count": 1}
            envelope = {"success": well, "errors": errors, "messages": [], "result": result, "result_info": page}
            text = json.dumps(envelope).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_DELETE = _serve

        def log_message(self, *_: object) -> None:
            """Write no log."""

    return Handler


class _Quiet(DNSHandler):  # type: ignore[misc] # dnslib has no types
    """A handler that writes no log."""

    def log(self, *_: object) -> None:
        """Write no log."""


class _Resolver(BaseResolver):  # type: ignore[misc] # dnslib has no types
    """Answers with the current records, and with the zone's SOA, which ACME clients look for."""

    def __init__(self, cloudflare: Cloudflare) -> None:
        self._cloudflare = cloudflare

    def resolve(self, request: DNSRecord, handler: DNSHandler) -> DNSRecord:
        reply = DNSRecord(DNSHeader(id=request.header.id, qr=1, aa=1, ra=1), q=request.q)
        name = str(request.q.qname).rstrip(".").lower()
        kind = QTYPE[request.q.qtype]
        zone = self._cloudflare.zone
        soa = RR(zone, QTYPE.SOA, ttl=_TTL_SECONDS, rdata=SOA(f"ns.{zone}", f"hostmaster.{zone}", (1, 60, 60, 60, 1)))
        if kind == "SOA" and name == zone:
            reply.add_answer(soa)
        for record in list(self._cloudflare.records.values()):
            if record["name"].lower() == name and record["type"] == kind:
                reply.add_answer(RR(name, request.q.qtype, ttl=_TTL_SECONDS, rdata=_rdata(record)))
        if not reply.rr:
            reply.add_auth(soa)
        return reply


def _rdata(record: Mapping[str, Any]) -> Any:
    content = record["content"]
    match record["type"]:
        case "A":
            return A(content)
        case "AAAA":
            return AAAA(content)
        case "CAA":
            return CAA(record["data"]["flags"], record["data"]["tag"], record["data"]["value"])
        case _:
            return TXT(content.strip('"'))
