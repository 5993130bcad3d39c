from pathlib import Path

import pytest
import yaml

from tools.console.steps import StepFailed
from tools.stack import config
from tools.stack.config import PLATFORM, compose, merge

PREVIOUS = {"encryptionsalt": "v1:salt", "config": {"vps:dashboardPassword": {"secure": "v1:x"}, "vps:old": 1}}


def test_mappings_are_merged_key_by_key_and_the_rest_is_replaced() -> None:
    assert merge({"a": {"b": 1, "c": [1]}, "d": 1}, {"a": {"c": [2]}, "d": {"e": 2}}) == {
        "a": {"b": 1, "c": [2]},
        "d": {"e": 2},
    }


def test_the_template_wins_over_the_machine_and_overrides_win_over_both() -> None:
    template = {"config": {PLATFORM: {"edge": {"domain": "template", "http_port": 1}}}}
    machine = {"edge": {"domain": "machine", "address": "machine"}}
    platform = compose(template, machine, {"edge": {"http_port": 2}}, PREVIOUS)["config"][PLATFORM]
    assert platform == {"edge": {"domain": "template", "address": "machine", "http_port": 2}}


def test_only_salt_and_secrets_of_the_previous_file_are_kept() -> None:
    content = compose({}, {}, {}, PREVIOUS)
    assert content["encryptionsalt"] == "v1:salt"
    assert set(content["config"]) == {PLATFORM, "vps:dashboardPassword"}


def test_composing_changes_none_of_its_sources() -> None:
    template = {"config": {PLATFORM: {"edge": {"http_port": 1}}}}
    compose(template, {"edge": {"address": "x"}}, {"edge": {"http_port": 2}}, PREVIOUS)
    assert template == {"config": {PLATFORM: {"edge": {"http_port": 1}}}}


def test_the_rendered_file_names_its_template_and_can_be_read_back() -> None:
    text = config.render({"config": {"a": 1}}, "local")
    assert text.startswith("# Written by `make up` from Pulumi.local.yaml")
    assert yaml.safe_load(text) == {"config": {"a": 1}}


@pytest.mark.parametrize("text", ["config: [", "just words"])
def test_a_file_that_is_not_a_config_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "Pulumi.local.yaml"
    file.write_text(text)
    with pytest.raises(StepFailed, match=r"Pulumi\.local\.yaml"):
        config.load(file)


def test_an_unknown_key_is_named_before_anything_is_changed() -> None:
    with pytest.raises(StepFailed, match=r"edge\.htp_port: unknown key") as caught:
        config.settings("local", {"edge": {"htp_port": 1}})
    assert "Nothing was changed" in caught.value.fix
