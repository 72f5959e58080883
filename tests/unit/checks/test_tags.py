"""Which image a target stands for, asked of a registry over HTTP; and a registry of which nothing is believed."""

from __future__ import annotations

import base64
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakeregistry import FakeRegistry
from topgraft import cli
from topgraft.checks import registry as module
from topgraft.checks import tags
from topgraft.checks.credentials import authorization
from topgraft.checks.failure import CheckError
from topgraft.checks.registry import Registry

Ask = Callable[[Registry], dict[str, str]]
HOST = "registry.example"
EARLY, LATE = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00.123456789Z"


def secret(directory: Path, auths: dict[str, Any], name: str = "0", file: str = ".dockerconfigjson") -> Path:
    (directory / name).mkdir(exist_ok=True)
    (directory / name / file).write_text(json.dumps({"auths": auths}))
    return directory


def basic(text: str = "robot:secret") -> dict[str, str]:
    return {"auth": base64.b64encode(text.encode()).decode()}


def asked(fake: FakeRegistry, ask: Ask, secrets: Path = Path("/nonexistent")) -> Any:
    with fake.serve() as url:
        return ask(Registry(f"{HOST}/{fake.repository}", {HOST: url}, secrets))


def refused(fake: FakeRegistry, ask: Ask, secrets: Path = Path("/nonexistent")) -> str:
    with pytest.raises(CheckError) as raised:
        asked(fake, ask, secrets)
    return f"{raised.value.reason}: {raised.value}"


class TestTag:
    def test_is_its_digest(self) -> None:
        fake = FakeRegistry()
        digest = fake.push("v1", "latest", revision="3f2a9c1d")
        assert asked(fake, lambda r: tags.by_tag(r, "v1", "TagOnly")) == {
            "tag": "v1",
            "digest": digest,
            "commit": "3f2a9c1d",
        }

    @pytest.mark.parametrize("form", [{"index": True}, {"annotate": True}])
    def test_of_an_index_or_with_annotations(self, form: dict[str, bool]) -> None:
        fake = FakeRegistry()
        digest = fake.push("v1", revision="3f2a9c1d", **form)
        found = asked(fake, lambda r: tags.by_tag(r, "v1", "TagOnly"))
        assert (found["digest"], found["commit"]) == (digest, "3f2a9c1d")

    def test_that_is_not_there(self) -> None:
        fake = FakeRegistry()
        fake.push("v1")
        assert "TagNotFound: registry.example/team/digits has no tag 'v2'" in refused(
            fake, lambda r: tags.by_tag(r, "v2", "EveryCommit")
        )
        assert "TagNotFound" in refused(FakeRegistry(), lambda r: tags.latest(r, "EveryCommit"))

    def test_of_a_commit_counts_under_tag_only_if_a_release_has_the_image(self) -> None:
        fake = FakeRegistry()
        fake.push("3f2a9c1")
        assert "CommitNotTagged" in refused(fake, lambda r: tags.by_tag(r, "3f2a9c1", "TagOnly"))
        assert asked(fake, lambda r: tags.by_tag(r, "3f2a9c1", "EveryCommit"))["commit"] == "3f2a9c1"
        fake.push("3f2a9c1", "v2")
        assert asked(fake, lambda r: tags.by_tag(r, "3f2a9c1", "TagOnly"))["tag"] == "v2"


class TestCommit:
    def test_by_its_tag_shortened_or_not(self) -> None:
        fake = FakeRegistry()
        digest = fake.push("sha-3f2a9c1d")
        for commit in ("3f2a9c1", "3f2a9c1d", "3f2a9c1d" + "0" * 32):
            assert asked(fake, lambda r, c=commit: tags.by_commit(r, c, "EveryCommit"))["digest"] == digest

    def test_by_its_label(self) -> None:
        fake = FakeRegistry()
        fake.push("v1", revision="a" * 40)
        digest = fake.push("v2", revision="b" * 40)
        found = asked(fake, lambda r: tags.by_commit(r, "b" * 7, "TagOnly"))
        assert found == {"tag": "v2", "digest": digest, "commit": "b" * 40}

    def test_without_a_tag_of_its_own_under_tag_only(self) -> None:
        fake = FakeRegistry()
        fake.push("3f2a9c1")
        fake.push("v1", revision="b" * 40)
        said = refused(fake, lambda r: tags.by_commit(r, "3f2a9c1d", "TagOnly"))
        assert "CommitNotTagged: registry.example/team/digits has commit 3f2a9c1d (3f2a9c1) without a tag" in said
        fake.push("v2", revision="3f2a9c1d")
        assert asked(fake, lambda r: tags.by_commit(r, "3f2a9c1d", "TagOnly"))["tag"] == "v2"

    def test_that_is_not_there(self) -> None:
        fake = FakeRegistry()
        fake.push("v1", revision="not a commit")
        assert "CommitNotFound" in refused(fake, lambda r: tags.by_commit(r, "3f2a9c1", "EveryCommit"))

    def test_of_several_images(self) -> None:
        fake = FakeRegistry()
        fake.push("3f2a9c1a")
        fake.push("3f2a9c1b")
        assert "LatestAmbiguous: registry.example/team/digits: commit 3f2a9c1 stands for several images" in refused(
            fake, lambda r: tags.by_commit(r, "3f2a9c1", "EveryCommit")
        )


class TestLatest:
    def test_is_the_highest_version_without_reading_the_others(self) -> None:
        fake = FakeRegistry(page=2)
        for tag in ("v1", "v2", "v10", "v11-rc.1", "latest"):
            fake.push(tag)
        assert asked(fake, lambda r: tags.latest(r, "EveryCommit"))["tag"] == "v10"
        assert len([path for path, _ in fake.seen if "/manifests/" in path]) == 1

    def test_is_the_newest_by_time_where_commits_count(self) -> None:
        fake = FakeRegistry()
        fake.push("v1", created=EARLY)
        newest = fake.push("3f2a9c1", "main", created=LATE)
        found = asked(fake, lambda r: tags.latest(r, "EveryCommit"))
        assert found == {"tag": "3f2a9c1", "digest": newest, "commit": "3f2a9c1"}

    def test_never_is_an_untagged_commit_under_tag_only(self) -> None:
        fake = FakeRegistry()
        fake.push("v1", created=EARLY)
        fake.push("3f2a9c1", created=LATE)
        assert asked(fake, lambda r: tags.latest(r, "TagOnly"))["tag"] == "v1"
        fake.images.pop("v1")
        said = refused(fake, lambda r: tags.latest(r, "TagOnly"))
        assert "TagNotFound" in said
        assert "no tag but those of commits, and spec.publishPolicy is TagOnly" in said

    def test_of_one_image_the_version_is_its_name(self) -> None:
        fake = FakeRegistry()
        fake.push("3f2a9c1", "v2", "2.0.0", created=LATE)
        fake.push("v1", created=EARLY)
        assert asked(fake, lambda r: tags.latest(r, "EveryCommit"))["tag"] == "2.0.0"

    @pytest.mark.parametrize("created", [LATE, "", "1970-01-01T00:00:00Z", "yesterday", "2026-01-01"])
    def test_is_nothing_where_the_time_does_not_tell(self, created: str) -> None:
        fake = FakeRegistry()
        fake.push("3f2a9c1", created=created)
        fake.push("4f2a9c1", created=created)
        assert "LatestAmbiguous" in refused(fake, lambda r: tags.latest(r, "EveryCommit"))

    def test_reads_no_more_than_it_may(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tags, "MAX_READ", 3)
        fake = FakeRegistry()
        for number in range(4):
            fake.push(f"{number}aaaaaaa", created=LATE)
        assert "TooManyTags" in refused(fake, lambda r: tags.latest(r, "EveryCommit"))


class TestAuthentication:
    @pytest.mark.parametrize("kind", ["Basic", "Bearer"])
    @pytest.mark.parametrize("key", [HOST, f"https://{HOST}", f"https://{HOST}/v2/", f"{HOST}/team/digits"])
    def test_with_the_pull_secret(self, tmp_path: Path, kind: str, key: str) -> None:
        fake = FakeRegistry(auth=kind)
        fake.push("v1")
        secrets = secret(tmp_path, {"other.example": basic("a:b"), key: basic()})
        assert asked(fake, lambda r: tags.latest(r, "TagOnly"), secrets)["tag"] == "v1"

    @pytest.mark.parametrize("kind", ["Basic", "Bearer"])
    @pytest.mark.parametrize("entry", [{}, basic("robot:wrong"), {"auth": "%%%"}, {"username": "robot"}])
    def test_without_a_right_one(self, tmp_path: Path, kind: str, entry: dict[str, str]) -> None:
        fake = FakeRegistry(auth=kind)
        fake.push("v1")
        said = refused(fake, lambda r: tags.latest(r, "TagOnly"), secret(tmp_path, {HOST: entry}))
        assert said.startswith("ImagePullDenied")
        assert "spec.serving.imagePullSecrets" in said
        assert "wrong" not in said

    def test_user_and_password_and_the_old_form(self, tmp_path: Path) -> None:
        secret(tmp_path, {HOST: {"username": "robot", "password": "secret"}})
        assert authorization(tmp_path, HOST, "team/digits") == basic()["auth"]
        (tmp_path / "1").mkdir()
        (tmp_path / "1/.dockercfg").write_text(json.dumps({f"{HOST}/team": basic("old:form")}))
        assert authorization(tmp_path, HOST, "team/digits") == basic("old:form")["auth"], "the longest path counts"
        assert authorization(tmp_path, HOST, "teammate/digits") == basic()["auth"]
        assert authorization(tmp_path, "other", "team/digits") == ""

    @pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io", "registry-1.docker.io"])
    def test_docker_hub_by_any_of_its_names(self, tmp_path: Path, key: str) -> None:
        assert authorization(secret(tmp_path, {key: basic()}), "docker.io", "library/digits") == basic()["auth"]

    @pytest.mark.parametrize("text", ["", "[]", "no json", '{"auths": []}', '{"auths": {"registry.example": 7}}'])
    def test_a_broken_secret_is_none(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "0").mkdir()
        (tmp_path / "0/.dockerconfigjson").write_text(text)
        assert authorization(tmp_path, HOST, "team/digits") == ""

    def test_no_password_goes_where_a_registry_redirects_to(self, tmp_path: Path) -> None:
        fake, elsewhere = FakeRegistry(auth="Basic"), FakeRegistry()
        fake.push("3f2a9c1", created=LATE)
        elsewhere.blobs = fake.blobs
        with elsewhere.serve() as url:
            fake.redirect_blobs = f"{url}/v2/team/digits"
            found = asked(fake, lambda r: tags.latest(r, "EveryCommit"), secret(tmp_path, {HOST: basic()}))
        assert found["tag"] == "3f2a9c1"
        assert [header for _, header in elsewhere.seen] == [""]

    def test_no_password_goes_to_a_realm_without_https_that_nobody_named(self, tmp_path: Path) -> None:
        fake = FakeRegistry(auth="Bearer", realm="ftp://elsewhere.example/token")
        fake.push("v1")
        assert "ImagePullDenied" in refused(
            fake, lambda r: tags.latest(r, "TagOnly"), secret(tmp_path, {HOST: basic()})
        )

    def test_the_list_of_tags_goes_on_in_no_other_place(self) -> None:
        fake = FakeRegistry(page=1, next_page="http://127.0.0.1:1/v2/team/digits/tags/list")
        fake.push("v1")
        fake.push("v2")
        assert "RegistryUnavailable" in refused(fake, lambda r: tags.latest(r, "TagOnly"))


class TestHostileRegistry:
    @pytest.mark.parametrize("status", [429, 500, 502, 503])
    def test_that_does_not_work_is_the_environments_fault(self, status: int) -> None:
        fake = FakeRegistry(faults={"/v2/": status})
        assert f"status {status}" in refused(fake, lambda r: tags.latest(r, "TagOnly"))
        assert refused(fake, lambda r: tags.latest(r, "TagOnly")).startswith("RegistryUnavailable")

    @pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b"[" * 100_000, b"\xff"])
    def test_that_answers_no_json(self, body: bytes) -> None:
        fake = FakeRegistry(raw={"/v2/team/digits/tags/list": body})
        assert refused(fake, lambda r: tags.latest(r, "TagOnly")).startswith("RegistryUnavailable")

    @pytest.mark.parametrize("body", [b'{"tags": null}', b'{"tags": 7}', b'{"tags": [7, null]}', b"{}"])
    def test_that_lists_no_tags(self, body: bytes) -> None:
        fake = FakeRegistry(raw={"/v2/team/digits/tags/list": body})
        assert refused(fake, lambda r: tags.latest(r, "TagOnly")).startswith("TagNotFound")

    def test_that_answers_without_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MAX_ANSWER_BYTES", 100)
        fake = FakeRegistry()
        fake.push(*(f"v{number}" for number in range(100)))
        assert "more than 100 bytes" in refused(fake, lambda r: tags.latest(r, "TagOnly"))

    def test_that_lists_tags_without_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MAX_TAGS", 5)
        fake = FakeRegistry(page=1, next_page="/v2/team/digits/tags/list?n=1")
        fake.push("v1")
        fake.push("v2")
        assert refused(fake, lambda r: tags.latest(r, "TagOnly")).startswith("TooManyTags")

    def test_that_is_not_there(self) -> None:
        with pytest.raises(CheckError) as raised:
            Registry(f"{HOST}/a", {HOST: "http://127.0.0.1:1"}, Path("/nonexistent")).tags()
        assert raised.value.reason == "RegistryUnavailable"


class TestCommand:
    def test_leaves_its_answer_where_the_kubelet_looks(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "log").touch()
        monkeypatch.setenv("TOPGRAFT_TERMINATION_LOG", str(tmp_path / "log"))
        fake = FakeRegistry()
        digest = fake.push("v1")
        with fake.serve() as url:
            common = ["tags", f"--repository={HOST}/team/digits", f"--registry={HOST}={url}", "--policy=TagOnly"]
            assert cli.main([*common, "--latest"]) == 0
            assert json.loads((tmp_path / "log").read_text()) == {"tag": "v1", "digest": digest}
            assert cli.main([*common, "--tag=v2"]) == 1
            assert json.loads((tmp_path / "log").read_text())["error"]["reason"] == "TagNotFound"
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0), "its deadline is its own, not that of what runs next"

    @pytest.mark.parametrize(
        "text", ["a", "a=b", "=http://a", "a=ftp://b", "a/b=http://c", "a=http://u:p@c", "a=http://"]
    )
    def test_refuses_an_endpoint_that_is_none(self, text: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            cli.main(["tags", "--repository=a/b", "--latest", f"--registry={text}"])
        assert "is not HOST=URL" in capsys.readouterr().err
