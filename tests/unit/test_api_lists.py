"""What holds for every list alike: pages, their order, and what is said of a parameter that makes no sense."""

import pytest

from tests.unit.conftest import Api

LISTS = (
    "/clicktocall",
    "/clicktocall/{id}/history",
    "/history",
    "/cdrs",
    "/channels",
    "/users",
    "/media",
    "/webhooks",
    "/webhooks/{hook}/attempts",
    "/audit",
    "/never_call",
    "/children",
    "/descendants",
)


def listed(api: Api, path: str) -> str:
    if "{hook}" in path:
        hook = {"name": "x", "uri": "https://example.com/", "hook": "all"}
        return path.replace("{hook}", api.put("/webhooks", hook).json["data"]["id"])
    return path.replace("{id}", api.create()["id"]) if "{id}" in path else path


NONSENSE = (
    "paginate=maybe",
    "ascending=x",
    "descending=2",
    "page_size=abc",
    "page_size=0",
    "page_size=-1",
    "page_size=",
    "start_key=x",
    "created_from=yesterday",
    "modified_to=-1",
)
SENSE = (
    "",
    "paginate=TRUE",
    "paginate=0",
    "ascending=1",
    "descending=no",
    "paginate=",
    "start_key=",
)


@pytest.mark.parametrize("path", LISTS)
def test_every_list_names_the_parameter_that_makes_no_sense(api: Api, path: str) -> None:
    path = listed(api, path)
    for query in NONSENSE:
        answer = api.get(f"{path}?{query}")
        assert answer.status_code == 400, query
        assert list(answer.json["data"]) == [query.partition("=")[0]]


@pytest.mark.parametrize("path", LISTS)
def test_every_list_takes_true_and_false_as_others_write_them(api: Api, path: str) -> None:
    path = listed(api, path)
    for query in SENSE:
        answer = api.get(f"{path}?{query}")
        assert answer.status_code == 200, query
        assert answer.json["page_size"] == len(answer.json["data"])
    # What no entry has filters all of them out, as in Kazoo.
    assert api.get(f"{path}?filter_nothing=x").json["data"] == []


def test_every_list_in_pages_says_so_in_the_description(api: Api) -> None:
    paths = api.client.simulate_get("/openapi.json").json["paths"]
    for path in LISTS:
        known = "/accounts/{account_id}" + path.replace("{hook}", "{webhook_id}")
        names = {each["name"]: each for each in paths[known]["get"]["parameters"]}
        assert {"page_size", "start_key", "paginate", "ascending", "descending"} <= set(names)
        assert {"true", "false"} <= set(names["paginate"]["schema"]["enum"])
