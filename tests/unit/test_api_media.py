"""Audio of an account's own: uploaded in Kazoo's ways, listed, fetched, deleted; nothing but WAV, and not too much."""

import struct
from pathlib import Path
from typing import Any

import pytest

from c2c_sip.api.media import is_upload
from c2c_sip.config import Config, Database
from c2c_sip.store import Store, StoreError
from sipstack.media import wav
from tests.unit.conftest import Api, FakeCalling
from tests.unit.databases import each_database  # noqa: F401 - a fixture


def sound(samples: int = 800, rate: int = 8000, kind: int = 1, bits: int = 16) -> bytes:
    data = bytes(range(256)) * (samples * bits // 8 // 256 + 1)
    data = data[: samples * bits // 8]
    return (
        struct.pack(
            "<4sI4s4sIHHIIHH4sI",
            *(b"RIFF", len(data) + 36, b"WAVE", b"fmt ", 16),
            *(kind, 1, rate, rate * bits // 8, bits // 8, bits),
            *(b"data", len(data)),
        )
        + data
    )


@pytest.fixture(params=["database", "directory"])
def media(
    request: pytest.FixtureRequest,
    api: Api,
    store: Store,
    url: str,
    tmp_path: Path,
    calling: FakeCalling,
) -> Any:
    """The API with audio in the database, and in a directory."""
    if request.param == "database":
        yield api
        return
    store.close()
    there = Store.open(url, str(tmp_path / "audio"))
    calling.store = there
    yield Api(there, calling, api.account)
    there.close()


def create(api: Api, **more: Any) -> str:
    answer = api.put("/media", {"name": "Hold"} | more)
    assert answer.status_code == 201, answer.text
    return str(answer.json["data"]["id"])


def upload(
    api: Api, identifier: str, body: bytes, kind: str = "audio/wav", where: str = "/raw"
) -> Any:
    headers = {"Content-Type": kind}
    return api.request("POST", f"/media/{identifier}{where}", body=body, headers=headers)


@pytest.mark.parametrize("where", ["/raw", "", "/", "/raw/"])
@pytest.mark.parametrize("kind", ["audio/wav", "audio/x-wav", "Audio/WAV; codec=1"])
def test_the_life_of_a_recording(media: Api, where: str, kind: str) -> None:
    identifier = create(media, description="For waiting", streamable=True, language="en-us")
    one = f"/media/{identifier}"
    assert media.get(f"{one}/raw").status_code == 404
    shown = media.get(one).json["data"]
    assert shown == {
        "id": identifier,
        "name": "Hold",
        "description": "For waiting",
        "streamable": True,
        "language": "en-us",
        "media_source": "upload",
    }
    octets = sound()
    answer = upload(media, identifier, octets, kind, where)
    assert answer.status_code == 200
    full = shown | {"content_type": "audio/wav", "content_length": len(octets)}
    assert answer.json["data"] == full == media.get(one).json["data"]
    assert media.get("/media").json["data"] == [full]
    for path, headers in ((f"{one}/raw", {}), (one, {"Accept": "audio/wav"})):
        got = media.get(path, headers=headers)
        assert got.content == octets
        assert got.headers["content-type"] == "audio/wav"
        assert "sandbox" in got.headers["content-security-policy"]
        assert got.headers["cache-control"] == "no-store"
    assert media.patch(one, {"description": None, "x": 1}).json["data"]["x"] == 1
    assert media.get(f"{one}/raw").content == octets
    assert media.delete(one).status_code == 200
    for path in (one, f"{one}/raw"):
        assert media.get(path).status_code == 404
    assert media.get("/media").json["data"] == []


def test_a_later_upload_takes_the_place_of_the_one_before(media: Api, tmp_path: Path) -> None:
    identifier = create(media)
    for samples in (100, 200):
        assert upload(media, identifier, sound(samples)).status_code == 200
    assert media.get(f"/media/{identifier}/raw").content == sound(200)
    directory = tmp_path / "audio"
    if directory.exists():
        assert len(list(directory.iterdir())) == 1
        media.delete(f"/media/{identifier}")
        assert list(directory.iterdir()) == []


def test_a_form_brings_a_file_too(media: Api) -> None:
    identifier = create(media)
    octets = sound()
    body = (
        b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n'
        b"Content-Type: audio/x-wav\r\n\r\n" + octets + b"\r\n--b--\r\n"
    )
    answer = upload(media, identifier, body, "multipart/form-data; boundary=b")
    assert answer.status_code == 200, answer.text
    assert media.get(f"/media/{identifier}/raw").content == octets
    none = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n--b--\r\n'
    assert upload(media, identifier, none, "multipart/form-data; boundary=b").status_code == 400


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"RIFF",
        b"ID3" + bytes(100),
        sound()[:40],
        sound(0),
        sound(kind=85),
        sound(rate=1),
        sound(bits=12),
        b"\x7fELF" + bytes(1000),
        b"<html><script>alert(1)</script>",
    ],
)
def test_what_cannot_be_played_is_400_and_not_kept(api: Api, octets: bytes) -> None:
    identifier = create(api)
    assert upload(api, identifier, octets).status_code == 400
    assert api.get(f"/media/{identifier}/raw").status_code == 404


def test_another_type_is_415(api: Api) -> None:
    identifier = create(api)
    for kind in ("audio/mp3", "text/html", "application/json", "image/png"):
        assert upload(api, identifier, sound(), kind).status_code == 415, kind


def test_a_file_is_bounded_by_the_setting_and_not_by_what_a_document_may_have(api: Api) -> None:
    api = api.with_http(max_upload=200_000)
    identifier = create(api)
    assert upload(api, identifier, sound(90_000)).status_code == 200
    assert upload(api, identifier, sound(110_000)).status_code == 413
    assert len(api.get(f"/media/{identifier}/raw").content) == 180_044


def test_an_account_s_audio_is_bounded(store: Store, calling: FakeCalling, api: Api) -> None:
    config = Config(database=Database(media_quota=64_000))
    api = Api(store, calling, api.account, config)
    one, two = create(api), create(api)
    assert upload(api, one, sound(20_000)).status_code == 200
    assert upload(api, two, sound(20_000)).status_code == 409
    assert upload(api, one, sound(31_000)).status_code == 200
    api.delete(f"/media/{one}")
    assert upload(api, two, sound(20_000)).status_code == 200


def test_audio_is_its_account_s_only(api: Api) -> None:
    identifier = create(api)
    upload(api, identifier, sound())
    child = api.put("", {"name": "Child"}).json["data"]
    token = api.store.create_token(child["id"], None, "test")
    for method, path in (
        ("GET", f"/media/{identifier}"),
        ("GET", f"/media/{identifier}/raw"),
        ("POST", f"/media/{identifier}"),
        ("POST", f"/media/{identifier}/raw"),
        ("DELETE", f"/media/{identifier}"),
    ):
        where = f"/v1/accounts/{child['id']}{path}"
        assert api.request(method, where, json={"data": {"name": "x"}}).status_code == 404
        assert api.request(method, path, json={"data": {}}, token=token).status_code == 404
        assert api.request(method, path, json={"data": {}}, token=None).status_code == 401


def test_two_editors_of_audio_do_not_lose_each_other_s_change(api: Api) -> None:
    identifier = create(api)
    one = f"/media/{identifier}"
    tag = api.get(one).headers["etag"]
    assert api.patch(one, {"a": 1}, headers={"If-Match": tag}).status_code == 200
    headers = {"Content-Type": "audio/wav", "If-Match": tag}
    late = api.request("POST", f"{one}/raw", body=sound(), headers=headers)
    assert late.status_code == 412
    assert api.patch(one, {"a": 2}, headers={"If-Match": tag}).status_code == 412
    assert api.get(f"{one}/raw").status_code == 404


def test_an_upload_is_in_the_log_without_its_octets(api: Api) -> None:
    identifier = create(api)
    upload(api, identifier, sound())
    rows = api.get("/audit?filter_kind=media").json["data"]
    assert [row["action"] for row in rows] == ["upload", "create"]
    assert rows[0]["changes"]["content_length"] == {"to": len(sound())}


def test_octets_are_for_the_owner_of_the_process_only(
    tmp_path: Path, store: Store, url: str
) -> None:
    store.close()
    there = Store.open(url, str(tmp_path / "audio"))
    account = there.accounts()[0]["id"]
    made = there.media.create(account, {"name": "x"})
    there.media.put(account, made["id"], sound(), "audio/wav", 1)
    (file,) = (tmp_path / "audio").iterdir()
    assert file.stat().st_mode & 0o077 == 0
    assert (tmp_path / "audio").stat().st_mode & 0o077 == 0
    file.unlink()
    with pytest.raises(StoreError):
        there.media.octets(account, made["id"])
    there.close()


def test_a_directory_that_cannot_be_had_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError):
        Store.open(f"sqlite:///{tmp_path}/new.db", str(tmp_path / "file" / "below"))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/accounts/a/media/b/raw", True),
        ("/v2/accounts/a/media/b", True),
        ("/v2/accounts/a/media/b/raw/", True),
        ("/v2/accounts/a/media", False),
        ("/v2/accounts/a/media/b/c", False),
        ("/v2/accounts/a/clicktocall/media/raw", False),
        ("/x/v2/accounts/a/media/b", False),
    ],
)
def test_only_uploads_may_be_large(path: str, expected: bool) -> None:
    assert is_upload(path) is expected


def test_the_check_of_a_file_refuses_what_reading_it_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wav, "MOST_WORK", 1_000_000)
    for octets in (sound(), sound(rate=44_100), sound(60_000, rate=44_100), sound(bits=8), b"x"):
        outcomes = []
        for look in (wav.check, wav.read):
            try:
                look(octets)
                outcomes.append("")
            except wav.WavError as error:
                outcomes.append(str(error))
        assert outcomes[0] == outcomes[1]


#: What is asked for of 444 octets → the status, and from where to where the answer goes.
RANGES = {
    "bytes=0-9": (206, 0, 10),
    "bytes=44-": (206, 44, 444),
    "bytes=-4": (206, 440, 444),
    "bytes=-9999": (206, 0, 444),
    "bytes=443-9999": (206, 443, 444),
    "bytes=444-": (416, 0, 0),
    "bytes=-0": (416, 0, 0),
    "bytes=9-3": (200, 0, 444),
    "bytes=0-1,5-6": (200, 0, 444),
    "bytes=-": (200, 0, 444),
    "bytes=a-b": (200, 0, 444),
    "words=0-5": (200, 0, 444),
    "bytes=99999999999999999999-": (200, 0, 444),
}


def test_a_part_of_the_audio_may_be_asked_for(media: Api) -> None:
    identifier = create(media)
    octets = sound(200)
    assert len(octets) == 444
    assert upload(media, identifier, octets).status_code == 200
    for asked, (status, begin, end) in RANGES.items():
        answer = media.get(f"/media/{identifier}/raw", headers={"Range": asked})
        assert answer.status_code == status, asked
        if status == 416:
            assert answer.headers["content-range"] == "bytes */444"
            assert answer.json["message"] == "range_not_satisfiable"
            continue
        assert answer.content == octets[begin:end]
        assert int(answer.headers["content-length"]) == end - begin
        assert answer.headers["accept-ranges"] == "bytes"
        told = f"bytes {begin}-{end - 1}/444" if status == 206 else None
        assert answer.headers.get("content-range") == told
        conditional = {"Range": asked, "If-Range": '"x"'}
        assert media.get(f"/media/{identifier}/raw", headers=conditional).content == octets


def test_curl_s_upload_without_a_type_is_taken_for_what_it_is(api: Api) -> None:
    identifier = create(api)
    for kind in ("application/x-www-form-urlencoded", ""):
        assert upload(api, identifier, sound(200), kind).status_code == 200
        assert upload(api, identifier, b"name=value", kind).status_code == 415
