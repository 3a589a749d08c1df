"""The description of the API, OpenAPI 3.1, made from the routes, what is written beside the responders, and the schemas.

Nothing here names a route or a field of a document, so it says what there is and cannot go stale.
"""

import inspect
import re
from collections.abc import Mapping
from typing import Any

from c2c_sip.api.body import CHOICES
from c2c_sip.api.describe import Operation, Schema, operation_of
from c2c_sip.api.jsonschema import of_document

Json = dict[str, Any]

_VERBS = ("get", "put", "post", "patch", "delete")
_ENVELOPE = "application/json"
_PROBLEMS = {
    304: "Not changed since it was read (`If-None-Match`).",
    400: "Wrong input: `data` has each wrong field with the rules that it breaks.",
    401: "No credentials, or none that serve.",
    403: "The user may not.",
    404: "No such thing, or another account's.",
    405: "Not by this verb: `Allow` says by which.",
    409: "Others are changing it at the same time.",
    412: "It has been changed since it was read (`If-Match`).",
    413: "The body is too large.",
    415: "The body is not of a type that is read.",
    416: "There is no such range in it: `Content-Range` says how long it is.",
    429: "Too many; `Retry-After` says when to come back.",
    500: "Our fault.",
    503: "The trunk, the database or the capacity is not there now; `Retry-After` says when to come back.",
    504: "Nobody answered in time.",
}
_ANYWHERE = (400, 500, 503)
_WITH_BODY = (413, 415)
#: Values beyond which a list of them stands once for all.
_LONG = 50
_TEXT: Json = {"type": "string"}
_CHOICE: Json = {"type": "string", "enum": [*CHOICES, ""]}
_SECOND = {"type": "string", "pattern": "^[0-9]{1,12}$", "description": "Gregorian seconds."}
_RANGE: Json = {
    "type": "string",
    "pattern": "^bytes=[0-9]{1,9}-$",
    "description": "One range of octets, as `bytes=0-999`, `bytes=1000-` or `bytes=-500`.",
}
_PARAMETERS: Mapping[str, Schema] = {
    "page_size": {"type": "integer", "minimum": 1, "maximum": 999_999_999, "default": 50},
    "start_key": {"type": "string", "pattern": "^([0-4][0-9a-f]{47}([0-9a-f]{24})?)?$"},
    "paginate": _CHOICE | {"description": "`false`: the whole list at once, up to 10,000."},
    "ascending": _CHOICE | {"description": "`true`: oldest first."},
    "descending": _CHOICE | {"description": "`false`: the same."},
    "created_from": _SECOND,
    "created_to": _SECOND,
    "modified_from": _SECOND,
    "modified_to": _SECOND,
    "has_key": _TEXT,
    "key_missing": _TEXT,
    "has_value": _TEXT,
    "missing_value": _TEXT,
}
_INTRODUCTION = """\
Click-to-call: create a click-to-call, then activate it with a contact; its extension is called, and when it answers,
the contact, and the two are connected. The API is that of 2600Hz Kazoo's `clicktocall`.

Requests are `{"data": …}`; answers are `{"data": …, "status": "success", …}`. A token comes from `PUT /user_auth` or
`PUT /api_auth` and goes into `X-Auth-Token`, `Authorization: Bearer`, `?auth_token=` or `auth_token` beside `data`;
Basic authentication takes the account's id and the md5 of `user:password` instead. A `POST` stands for another verb
with `?verb=PUT` or `"verb": "put"` beside `data`. `/v1` answers `200` where `/v2` says `201` or `202`, and `503` where
it says `429` for a throttle.

Lists come in pages: `next_start_key` of one is `start_key` of the next. Any field is filtered by: `filter_FIELD=value`,
`filter_not_FIELD=value`, with dots for what is inside. Times are Gregorian seconds. `Accept: text/csv` makes a table of
history and CDRs. `X-Pretty-Print: true` makes JSON readable. `If-Match` with the `ETag` of a document refuses (412) an
edit on top of another's.
"""


def describe(routes: Mapping[str, Any], version: str) -> Json:
    """The whole description.

    :param routes: resources by path, as they are below ``/v1`` and ``/v2``
    """
    paths = {path: _path(path, resource) for path, resource in routes.items()}
    _link(paths)
    shared: Json = {}
    _share(paths, shared)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "c2c-sip",
            "version": version,
            "description": _INTRODUCTION,
            "license": {"name": "GPL-3.0-or-later", "identifier": "GPL-3.0-or-later"},
        },
        "servers": [{"url": "/v2"}, {"url": "/v1"}],
        "security": [{name: []} for name in ("token", "bearer", "basic", "query")],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"},
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "The account's id and the md5 of `user:password`.",
                },
                "query": {"type": "apiKey", "in": "query", "name": "auth_token"},
            },
            "schemas": {"Problem": _problem()} | shared,
            "responses": {
                str(status): {
                    "description": text,
                    "content": {_ENVELOPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
                for status, text in _PROBLEMS.items()
                if status != 304
            },
        },
    }


def _link(paths: Mapping[str, Json]) -> None:
    """Say of what is made where it is found: ``id`` of the answer is the next name in the paths below; of an activation,
    also in those of the history."""
    for path, item in paths.items():
        maker = item.get("post") if path.endswith("/connect") else item.get("put")
        if maker is None:
            continue
        names = re.findall(r"{(\w+)}", path)
        links: Json = {}
        places = re.escape(path)
        if path.endswith("/connect"):
            places = re.escape(path.removesuffix("connect")) + "(?:connect|history)"
        for below, found in paths.items():
            match = re.fullmatch(places + r"/{(\w+)}(/[\w.]+)*", below)
            if match is None:
                continue
            for verb in _VERBS:
                if verb in found:
                    links[found[verb]["operationId"]] = {
                        "operationId": found[verb]["operationId"],
                        "parameters": {name: f"$request.path.{name}" for name in names}
                        | {match[1]: "$response.body#/data/id"},
                    }
        if links:
            for status, response in maker["responses"].items():
                if status.startswith("2"):
                    response["links"] = links


def _share(node: Any, shared: Json) -> None:
    """Take long lists of values, such as all time zones, out of the schemas, which each would repeat them."""
    if isinstance(node, list):
        for each in node:
            _share(each, shared)
    elif isinstance(node, dict):
        values = node.get("enum")
        if isinstance(values, list) and len(values) > _LONG:
            name = next((n for n, each in shared.items() if each["enum"] == values), "")
            name = name or f"Values{len(shared) + 1}"
            shared[name] = {"enum": node.pop("enum")}
            node["$ref"] = f"#/components/schemas/{name}"
        for each in node.values():
            _share(each, shared)


def _problem() -> Json:
    return {
        "type": "object",
        "required": ["data", "status", "error", "message", "request_id"],
        "properties": {
            "data": {"type": "object"},
            "status": {"const": "error"},
            "error": {"type": "string", "pattern": "^[0-9]{3}$"},
            "message": {"type": "string"},
            "request_id": {"type": "string"},
        },
    }


def _path(path: str, resource: Any) -> Json:
    found: Json = {}
    names = re.findall(r"{(\w+)}", path)
    if names:
        found["parameters"] = [
            {
                "name": name,
                "in": "path",
                "required": True,
                "schema": {"type": "string", "minLength": 1, "maxLength": 128},
            }
            for name in names
        ]
    for verb in _VERBS:
        responder = getattr(resource, f"on_{verb}", None)
        if responder is not None:
            found[verb] = _operation(path, verb, resource, responder)
    return found


def _operation(path: str, verb: str, resource: Any, responder: Any) -> Json:
    # What nobody has described can be anything: better said so than not at all.
    described = operation_of(responder) or Operation(problems=(403, 409, 429, 504), who="depends")
    documented = inspect.getdoc(responder) or ""
    summary, _, more = documented.partition("\n")
    found: Json = {
        "operationId": _identifier(path, verb),
        "tags": [_tag(path)],
        "summary": summary.rstrip("."),
        "responses": _responses(path, verb, described),
    }
    if more.strip():
        found["description"] = more.strip()
    query = {name: _TEXT | dict(schema) for name, schema in described.query.items()}
    lists = _PARAMETERS if described.many else {}
    if query or lists:
        parameters = [*query.items(), *lists.items()]
        found["parameters"] = [_parameter(name, schema) for name, schema in parameters]
    if described.ranges:
        found["parameters"] = [{"name": "Range", "in": "header", "schema": _RANGE}]
    body = _body(described)
    if body is not None:
        found["requestBody"] = body
    if described.who == "anybody":
        found["security"] = []
    elif described.who == "depends":
        found["security"] = [{}, *({name: []} for name in ("token", "bearer", "basic", "query"))]
    return found


def _identifier(path: str, verb: str) -> str:
    """A name for a verb of a path: ``putAccountsClicktocall``, and of one of them ``postAccountsClicktocallOne``."""
    parts = [part for part in re.split(r"[/_.]", path) if part and not part.startswith("{")]
    name = verb + "".join(part.title() for part in parts if not part.endswith("}"))
    return name + ("One" if path.endswith("}") else "")


def _tag(path: str) -> str:
    """The last word of a path that is none of its parameters: what it is about."""
    words = [part for part in path.split("/") if part and not part.startswith("{")]
    return words[1] if len(words) > 1 else words[0]


def _parameter(name: str, schema: Schema) -> Json:
    """A parameter of the query; beside the keywords of its JSON Schema it may have ``required``."""
    found: Json = {"name": name, "in": "query", "schema": dict(schema)}
    if found["schema"].pop("required", False):
        found["required"] = True
    description = found["schema"].pop("description", None)
    if description:
        found["description"] = description
    return found


def _body(described: Operation) -> Json | None:
    content: Json = {}
    if described.body is not None:
        data = _schema(described.body, described.partial) | dict(described.body_also)
        envelope: Json = {
            "type": "object",
            "required": ["data"],
            "properties": {"data": data},
        }
        content[_ENVELOPE] = {"schema": envelope}
    for kind, schema in described.request_types.items():
        content[kind] = {"schema": dict(schema)}
    return {"required": True, "content": content} if content else None


def _schema(schema: Schema, partial: bool = False) -> Json:
    if isinstance(schema.get("type"), str):
        return dict(schema)  # a JSON Schema already
    return of_document(schema, partial)


def _responses(path: str, verb: str, described: Operation) -> Json:
    found: Json = {}
    for status in dict.fromkeys(reversed(described.status)):
        found[str(status)] = _success(verb, described, status == described.status[1])
    statuses = {*_ANYWHERE, *described.problems}
    if described.ranges:
        found["206"] = found["200"] | {"description": "The range of it that was asked for."}
        statuses.add(416)
    if described.who != "anybody":
        statuses.add(401)
    if "{" in path:
        statuses.add(404)
    if described.body is not None or described.request_types:
        statuses |= set(_WITH_BODY)
    for status in sorted(statuses):
        if status == 304:
            found["304"] = {"description": _PROBLEMS[304]}
        else:
            found[str(status)] = {"$ref": f"#/components/responses/{status}"}
    return found


def _success(verb: str, described: Operation, usual: bool) -> Json:
    answer = _schema(described.answer) if described.answer is not None else {}
    properties: Json = {
        "data": {"type": "array", "items": answer} if described.many else answer,
        "status": {"const": "success"},
        "request_id": {"type": "string"},
        "revision": {"type": "string"},
        "timestamp": {"type": "string"},
        "version": {"type": "string"},
        "node": {"type": "string"},
        "auth_token": {"type": "string"},
    }
    if described.many:
        properties |= {
            "page_size": {"type": "integer"},
            "start_key": {"type": "string"},
            "next_start_key": {"type": "string"},
        }
    required = [
        name for name in properties if name not in ("auth_token", "start_key", "next_start_key")
    ]
    envelope = {"type": "object", "required": required, "properties": properties}
    content: Json = {_ENVELOPE: {"schema": envelope}} if described.envelope else {}
    for kind in described.answer_types:
        content[kind] = {"schema": {"type": "string"}}
    text = {200: "Done.", 201: "Made.", 202: "Begun."}[described.status[1]]
    return {"description": text if usual else f"{text} (On v1.)", "content": content}
