"""The plugin's service under the real engine, with the fake package behind it."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from devkit.processes import alive
from devkit.waiting import until
from tests.plugin.conftest import Beside, FakePackage

TOKEN = "fake:index:Thing"
SECRET = {"fn::secret": "swordfish"}


def test_values_of_every_kind_go_through_the_engine(fake: FakePackage) -> None:
    """Unknowns, nested secrets, nulls and integers arrive as such, and the state hides secrets."""
    stack = fake.stack
    settings = {"whole": 3, "part": 1.5, "nothing": [None], "list": [{"password": SECRET}], "yes": True}
    fake.write(a={"label": "one", "settings": settings}, b={"label": "${a.computed}"})
    stack.preview().check()
    first, second = fake.asked("create")
    hidden = {"value": "swordfish"}  # a Secret, as the log writes it
    assert first["inputs"]["settings"] == {**settings, "list": [{"password": hidden}]}
    assert type(first["inputs"]["settings"]["whole"]) is int
    assert (second["inputs"], second["preview"]) == ({"label": "UNKNOWN"}, True)
    assert fake.things == {}

    told = stack.up().check()
    assert "    first line\n    second line\n" in told.text
    assert "swordfish" not in told.text
    assert fake.asked("create")[-1]["inputs"] == {"label": "made as id-a"}
    stored = stack.state_text()
    assert "made as id-a" in stored
    assert "swordfish" not in stored
    for side in ("inputs", "outputs"):
        kept = stack.resource("a")[side]["settings"]["list"][0]["password"]
        assert json.loads(kept["plaintext"]) == "swordfish"
    stack.preview("--expect-no-changes").check()


def test_a_change_is_shown_in_detail_and_done(fake: FakePackage, beside: Beside) -> None:
    """A nested change updates, another kind replaces, and destroy deletes; so does a stack in memory."""
    settings = {"inner": {"a": 1, "b": 2}}
    fake.write(a={"label": "one", "kind": "k", "settings": settings})
    beside.run("up").check()

    fake.write(a={"label": "one", "kind": "k", "settings": {"inner": {"a": 1, "b": 3}}})
    told = beside.run("preview").check().text
    assert "~ b: 2 => 3" in told
    assert "~ a:" not in told
    beside.run("up").check()
    (update,) = [item for item in fake.asked("update") if not item["preview"]]
    assert update["old_inputs"]["settings"] == settings
    assert update["old_state"]["computed"] == "made as id-a"

    fake.write(a={"label": "one", "kind": "other", "settings": {"inner": {"a": 1, "b": 3}}})
    assert "1 to replace" in beside.run("preview").check().text
    beside.run("up").check()

    beside.run("destroy").check()
    assert fake.things == {}


def test_drift_is_shown_and_what_is_gone_is_made_again(fake: FakePackage, beside: Beside) -> None:
    """A preview shows changed outputs; a refresh shows what Diff calls a change, and stores both.

    A thing that somebody removed leaves the state with a refresh; the next update makes it. When an
    engine has ended, so have its plugins.
    """
    stack = fake.stack
    fake.write(a={"label": "one"})
    beside.run("up").check()
    assert fake.plugins()
    assert not [pid for pid in fake.plugins() if alive(pid)]

    fake.things = {"id-a": {**fake.things["id-a"], "cpus": 8, "label": "edited"}}
    assert "cpus    : 2 => 8" in beside.run("preview").check().text
    told = beside.run("refresh").check().text
    assert '~ label: "one" => "edited"' in told
    assert "cpus" not in told
    kept = stack.resource("a")
    assert (kept["inputs"]["label"], kept["outputs"]["cpus"]) == ("edited", 8)
    same = beside.mini.resource("a")
    assert (same.inputs, same.outputs) == (kept["inputs"], kept["outputs"])

    fake.things = {}
    assert "1 deleted" in beside.run("refresh").check().text
    beside.run("up").check()
    assert list(fake.things) == ["id-a"]


def test_what_was_half_made_is_kept_and_continued(fake: FakePackage, beside: Beside) -> None:
    """A partial state is in the stack with its reason, and the next update continues from it."""
    stack = fake.stack
    fake.write(a={"label": "one", "behave": "half", "settings": {"password": SECRET}})
    told = beside.run("up").failed().text
    assert "it isn't ready yet" in told
    kept = stack.resource("a")
    assert (kept["id"], kept["initErrors"]) == ("id-a", ["it isn't ready yet"])
    assert kept["refreshBeforeUpdate"]
    assert "swordfish" not in stack.state_text()
    same = beside.mini.resource("a")
    assert (same.id, list(same.init_errors), same.refresh_before_update) == ("id-a", kept["initErrors"], True)

    fake.write(a={"label": "one", "settings": {"password": SECRET}})
    beside.run("up").check()
    assert fake.asked("update")
    assert len([item for item in fake.asked("create") if not item["preview"]]) == 1
    assert "initErrors" not in stack.resource("a")


def test_an_error_is_shown_without_secrets(fake: FakePackage) -> None:
    """A refusal and a mistake of the provider's own are told in one text, without the secret."""
    settings = {"password": SECRET}
    fake.write(a={"behave": "refuse", "settings": settings}, b={"behave": "crash", "settings": settings})
    told = fake.stack.up("--continue-on-error").failed().text
    assert "no: {'behave': 'refuse', 'settings': {'password': '[secret]'}}" in told
    assert "please report it with this text: KeyError" in told
    assert "swordfish" not in told
    assert "Traceback" not in told
    assert "exited prematurely" not in told


def test_a_refused_input_is_named(fake: FakePackage) -> None:
    """A failed check names the property, in a preview too."""
    fake.write(a={"label": "bad"})
    told = fake.stack.preview().failed().text
    assert "label" in told
    assert "no thing is called bad" in told


def test_an_import_needs_no_inputs(fake: FakePackage) -> None:
    """An existing thing is taken over by its id, with the inputs that Read found."""
    fake.things = {"id-x": {"label": "found", "kind": "k", "cpus": 4}}
    fake.write()
    fake.stack.import_(TOKEN, "x", "id-x").check()
    (read,) = fake.asked("read")
    assert (read["state"], read["inputs"]) == (None, None)
    kept = fake.stack.resource("x")
    assert (kept["id"], kept["inputs"]) == ("id-x", {"label": "found", "kind": "k"})
    fake.write(x={"label": "found", "kind": "k"})
    fake.stack.preview("--expect-no-changes").check()


def test_ctrl_c_cancels_what_is_under_way(fake: FakePackage) -> None:
    """The create that blocks is cancelled, says so, and the run ends as a failed one."""
    fake.write(a={"behave": "block"})
    running = fake.stack.start("up", "--yes", "--skip-preview")
    until(lambda: fake.asked("create"))
    running.interrupt()
    told = running.wait().failed().text
    assert "cancelled while it was made" in told
    fake.write(a={"label": "one"})
    fake.stack.up().check()
    assert list(fake.things) == ["id-a"]


def test_no_plugin_outlives_a_killed_engine(fake: FakePackage) -> None:
    """After `kill -9` of the engine in the middle of a create, none of its plugins is left."""
    fake.write(a={"behave": "block"})
    running = fake.stack.start("up", "--yes", "--skip-preview")
    until(lambda: fake.asked("create"))
    running.kill()
    running.process.wait(30)
    until(lambda: not [pid for pid in fake.plugins() if alive(pid)])
    assert fake.asked("cancel")


def test_settings_of_the_stack_have_their_types(fake: FakePackage) -> None:
    """Strings, booleans and lists of the configuration file arrive typed, secrets as secrets."""
    stack = fake.stack
    stack.config("fake:user", "true")
    stack.config("fake:verify", "true")
    stack.config("fake:password", "swordfish", secret=True)
    stack.run("config", "set", "--path", "fake:hosts[0]", "one").check()
    fake.write(a={"label": "one"})
    told = stack.up().check().text
    expected = {
        "user": "true",
        "verify": True,
        "password": "Secret([secret])",
        "hosts": ["one"],
    }
    assert fake.asked("check_configuration")[-1] == expected
    assert fake.asked("configure")[-1] == expected
    assert "swordfish" not in told + stack.state_text()


def test_settings_of_a_program_have_their_types(fake: FakePackage) -> None:
    """A provider made by the program gets the same values, and a secret stays one in the state."""
    provider: dict[str, Any] = {
        "type": "pulumi:providers:fake",
        "properties": {"verify": True, "password": "swordfish", "hosts": ["one"]},
    }
    thing = {"type": "fake:Thing", "properties": {}, "options": {"provider": "${mine}"}}
    fake.stack.write({"resources": {"mine": provider, "a": thing}})
    fake.stack.up().check()
    assert fake.asked("configure")[-1] == {
        "verify": True,
        "password": "Secret([secret])",
        "hosts": ["one"],
    }
    assert "swordfish" not in fake.stack.state_text()
    fake.stack.preview("--expect-no-changes").check()


def test_a_function_gives_its_result(fake: FakePackage) -> None:
    """A result is an output of the program; a refused argument fails it by name."""
    invoke: dict[str, Any] = {"function": "fake:echo", "arguments": {"text": "hello"}, "return": "text"}
    fake.stack.write({"outputs": {"said": {"fn::invoke": invoke}}})
    assert 'said: "hello"' in fake.stack.up().check().text
    invoke["arguments"]["text"] = "fail"
    fake.stack.write({"outputs": {"said": {"fn::invoke": invoke}}})
    assert "this one fails" in fake.stack.up().failed().text


def test_things_are_listed_from_the_command_line(fake: FakePackage) -> None:
    """`pulumi do ... list` gives what can be imported, and asks by the query's properties."""
    fake.things = {
        "id-x": {"label": "first", "kind": "k", "cpus": 4},
        "id-y": {"label": "second", "kind": "other", "cpus": 4},
    }
    listing = ("do", "--package", str(fake.plugin / "pulumi-resource-fake"), TOKEN, "list")
    first, second = {"id": "id-x", "name": "first"}, {"id": "id-y", "name": "second"}
    assert json.loads(fake.stack.run(*listing).check().text) == [first, second]
    told = fake.stack.run(*listing, "--kind", "other").check().text
    assert json.loads(told) == [second]
    assert json.loads(fake.stack.run(*listing, "--count", "1").check().text) == [first]


def test_the_engine_attaches_to_a_plugin_started_by_hand(fake: FakePackage) -> None:
    """PULUMI_DEBUG_PROVIDERS names the port of a plugin that serves one run after another."""
    command = [str(fake.plugin / "pulumi-resource-fake")]
    with subprocess.Popen(command, env=fake.stack.environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            fake.stack.environment["PULUMI_DEBUG_PROVIDERS"] = f"fake:{port}"
            fake.write(a={"label": "one"}, b={"label": "${a.computed}"})
            fake.stack.up().check()
            fake.write(a={"label": "two"})
            fake.stack.preview().check()
            fake.stack.up().check()
            assert set(fake.things) == {"id-a"}
            assert fake.plugins() == [process.pid]
        finally:
            process.terminate()
    assert process.returncode == 0
