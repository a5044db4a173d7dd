"""The plugin's service under the real engine, with the made-up package behind it."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from tests.plugin.conftest import Beside, MadeUp
from tests.support.processes import alive
from tests.support.waiting import until

TOKEN = "madeup:index:Thing"
SECRET = {"fn::secret": "swordfish"}


def test_values_of_every_kind_go_through_the_engine(madeup: MadeUp) -> None:
    """Unknowns, nested secrets, nulls and integers arrive as such, and the state hides secrets."""
    stack = madeup.stack
    settings = {"whole": 3, "part": 1.5, "nothing": [None], "list": [{"password": SECRET}], "yes": True}
    madeup.write(a={"label": "one", "settings": settings}, b={"label": "${a.computed}"})
    stack.preview().check()
    first, second = madeup.asked("create")
    hidden = {"value": "swordfish"}  # a Secret, as the log writes it
    assert first["inputs"]["settings"] == {**settings, "list": [{"password": hidden}]}
    assert type(first["inputs"]["settings"]["whole"]) is int
    assert (second["inputs"], second["preview"]) == ({"label": "UNKNOWN"}, True)
    assert madeup.things == {}

    told = stack.up().check()
    assert "    first line\n    second line\n" in told.text
    assert "swordfish" not in told.text
    assert madeup.asked("create")[-1]["inputs"] == {"label": "made as id-a"}
    stored = stack.state_text()
    assert "made as id-a" in stored
    assert "swordfish" not in stored
    for side in ("inputs", "outputs"):
        kept = stack.resource("a")[side]["settings"]["list"][0]["password"]
        assert json.loads(kept["plaintext"]) == "swordfish"
    stack.preview("--expect-no-changes").check()


def test_a_change_is_shown_in_detail_and_done(madeup: MadeUp, beside: Beside) -> None:
    """A nested change updates, another kind replaces, and destroy deletes; so does a stack in memory."""
    settings = {"inner": {"a": 1, "b": 2}}
    madeup.write(a={"label": "one", "kind": "k", "settings": settings})
    beside.run("up").check()

    madeup.write(a={"label": "one", "kind": "k", "settings": {"inner": {"a": 1, "b": 3}}})
    told = beside.run("preview").check().text
    assert "~ b: 2 => 3" in told
    assert "~ a:" not in told
    beside.run("up").check()
    (update,) = [item for item in madeup.asked("update") if not item["preview"]]
    assert update["old_inputs"]["settings"] == settings
    assert update["old_state"]["computed"] == "made as id-a"

    madeup.write(a={"label": "one", "kind": "other", "settings": {"inner": {"a": 1, "b": 3}}})
    assert "1 to replace" in beside.run("preview").check().text
    beside.run("up").check()

    beside.run("destroy").check()
    assert madeup.things == {}


def test_drift_is_shown_and_what_is_gone_is_made_again(madeup: MadeUp, beside: Beside) -> None:
    """A preview shows changed outputs; a refresh shows what Diff calls a change, and stores both.

    A thing that somebody removed leaves the state with a refresh; the next update makes it. When an
    engine has ended, so have its plugins.
    """
    stack = madeup.stack
    madeup.write(a={"label": "one"})
    beside.run("up").check()
    assert madeup.plugins()
    assert not [pid for pid in madeup.plugins() if alive(pid)]

    madeup.things = {"id-a": {**madeup.things["id-a"], "cpus": 8, "label": "edited"}}
    assert "cpus    : 2 => 8" in beside.run("preview").check().text
    told = beside.run("refresh").check().text
    assert '~ label: "one" => "edited"' in told
    assert "cpus" not in told
    kept = stack.resource("a")
    assert (kept["inputs"]["label"], kept["outputs"]["cpus"]) == ("edited", 8)
    same = beside.mini.resource("a")
    assert (same.inputs, same.outputs) == (kept["inputs"], kept["outputs"])

    madeup.things = {}
    assert "1 deleted" in beside.run("refresh").check().text
    beside.run("up").check()
    assert list(madeup.things) == ["id-a"]


def test_what_was_half_made_is_kept_and_continued(madeup: MadeUp, beside: Beside) -> None:
    """A partial state is in the stack with its reason, and the next update continues from it."""
    stack = madeup.stack
    madeup.write(a={"label": "one", "behave": "half", "settings": {"password": SECRET}})
    told = beside.run("up").failed().text
    assert "it isn't ready yet" in told
    kept = stack.resource("a")
    assert (kept["id"], kept["initErrors"]) == ("id-a", ["it isn't ready yet"])
    assert kept["refreshBeforeUpdate"]
    assert "swordfish" not in stack.state_text()
    same = beside.mini.resource("a")
    assert (same.id, list(same.init_errors), same.refresh_before_update) == ("id-a", kept["initErrors"], True)

    madeup.write(a={"label": "one", "settings": {"password": SECRET}})
    beside.run("up").check()
    assert madeup.asked("update")
    assert len([item for item in madeup.asked("create") if not item["preview"]]) == 1
    assert "initErrors" not in stack.resource("a")


def test_an_error_is_shown_without_secrets(madeup: MadeUp) -> None:
    """A refusal and a mistake of the provider's own are told in one text, without the secret."""
    settings = {"password": SECRET}
    madeup.write(a={"behave": "refuse", "settings": settings}, b={"behave": "crash", "settings": settings})
    told = madeup.stack.up("--continue-on-error").failed().text
    assert "no: {'behave': 'refuse', 'settings': {'password': '[secret]'}}" in told
    assert "please report it with this text: KeyError" in told
    assert "swordfish" not in told
    assert "Traceback" not in told
    assert "exited prematurely" not in told


def test_a_refused_input_is_named(madeup: MadeUp) -> None:
    """A failed check names the property, in a preview too."""
    madeup.write(a={"label": "bad"})
    told = madeup.stack.preview().failed().text
    assert "label" in told
    assert "no thing is called bad" in told


def test_an_import_needs_no_inputs(madeup: MadeUp) -> None:
    """An existing thing is taken over by its id, with the inputs that Read found."""
    madeup.things = {"id-x": {"label": "found", "kind": "k", "cpus": 4}}
    madeup.write()
    madeup.stack.import_(TOKEN, "x", "id-x").check()
    (read,) = madeup.asked("read")
    assert (read["state"], read["inputs"]) == (None, None)
    kept = madeup.stack.resource("x")
    assert (kept["id"], kept["inputs"]) == ("id-x", {"label": "found", "kind": "k"})
    madeup.write(x={"label": "found", "kind": "k"})
    madeup.stack.preview("--expect-no-changes").check()


def test_ctrl_c_cancels_what_is_under_way(madeup: MadeUp) -> None:
    """The create that blocks is cancelled, says so, and the run ends as a failed one."""
    madeup.write(a={"behave": "block"})
    running = madeup.stack.start("up", "--yes", "--skip-preview")
    until(lambda: madeup.asked("create"))
    running.interrupt()
    told = running.wait().failed().text
    assert "cancelled while it was made" in told
    madeup.write(a={"label": "one"})
    madeup.stack.up().check()
    assert list(madeup.things) == ["id-a"]


def test_no_plugin_outlives_a_killed_engine(madeup: MadeUp) -> None:
    """After `kill -9` of the engine in the middle of a create, none of its plugins is left."""
    madeup.write(a={"behave": "block"})
    running = madeup.stack.start("up", "--yes", "--skip-preview")
    until(lambda: madeup.asked("create"))
    running.kill()
    running.process.wait(30)
    until(lambda: not [pid for pid in madeup.plugins() if alive(pid)])
    assert madeup.asked("cancel")


def test_settings_of_the_stack_have_their_types(madeup: MadeUp) -> None:
    """Strings, booleans and lists of the configuration file arrive typed, secrets as secrets."""
    stack = madeup.stack
    stack.config("madeup:user", "true")
    stack.config("madeup:verify", "true")
    stack.config("madeup:password", "swordfish", secret=True)
    stack.run("config", "set", "--path", "madeup:hosts[0]", "one").check()
    madeup.write(a={"label": "one"})
    told = stack.up().check().text
    expected = {
        "user": "true",
        "verify": True,
        "password": "Secret([secret])",
        "hosts": ["one"],
    }
    assert madeup.asked("check_configuration")[-1] == expected
    assert madeup.asked("configure")[-1] == expected
    assert "swordfish" not in told + stack.state_text()


def test_settings_of_a_program_have_their_types(madeup: MadeUp) -> None:
    """A provider made by the program gets the same values, and a secret stays one in the state."""
    provider: dict[str, Any] = {
        "type": "pulumi:providers:madeup",
        "properties": {"verify": True, "password": "swordfish", "hosts": ["one"]},
    }
    thing = {"type": "madeup:Thing", "properties": {}, "options": {"provider": "${mine}"}}
    madeup.stack.write({"resources": {"mine": provider, "a": thing}})
    madeup.stack.up().check()
    assert madeup.asked("configure")[-1] == {
        "verify": True,
        "password": "Secret([secret])",
        "hosts": ["one"],
    }
    assert "swordfish" not in madeup.stack.state_text()
    madeup.stack.preview("--expect-no-changes").check()


def test_a_function_gives_its_result(madeup: MadeUp) -> None:
    """A result is an output of the program; a refused argument fails it by name."""
    invoke: dict[str, Any] = {"function": "madeup:echo", "arguments": {"text": "hello"}, "return": "text"}
    madeup.stack.write({"outputs": {"said": {"fn::invoke": invoke}}})
    assert 'said: "hello"' in madeup.stack.up().check().text
    invoke["arguments"]["text"] = "fail"
    madeup.stack.write({"outputs": {"said": {"fn::invoke": invoke}}})
    assert "this one fails" in madeup.stack.up().failed().text


def test_things_are_listed_from_the_command_line(madeup: MadeUp) -> None:
    """`pulumi do ... list` gives what can be imported, and asks by the query's properties."""
    madeup.things = {
        "id-x": {"label": "first", "kind": "k", "cpus": 4},
        "id-y": {"label": "second", "kind": "other", "cpus": 4},
    }
    listing = ("do", "--package", str(madeup.plugin / "pulumi-resource-madeup"), TOKEN, "list")
    first, second = {"id": "id-x", "name": "first"}, {"id": "id-y", "name": "second"}
    assert json.loads(madeup.stack.run(*listing).check().text) == [first, second]
    told = madeup.stack.run(*listing, "--kind", "other").check().text
    assert json.loads(told) == [second]
    assert json.loads(madeup.stack.run(*listing, "--count", "1").check().text) == [first]


def test_the_engine_attaches_to_a_plugin_started_by_hand(madeup: MadeUp) -> None:
    """PULUMI_DEBUG_PROVIDERS names the port of a plugin that serves one run after another."""
    command = [str(madeup.plugin / "pulumi-resource-madeup")]
    with subprocess.Popen(
        command, env=madeup.stack.environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            madeup.stack.environment["PULUMI_DEBUG_PROVIDERS"] = f"madeup:{port}"
            madeup.write(a={"label": "one"}, b={"label": "${a.computed}"})
            madeup.stack.up().check()
            madeup.write(a={"label": "two"})
            madeup.stack.preview().check()
            madeup.stack.up().check()
            assert set(madeup.things) == {"id-a"}
            assert madeup.plugins() == [process.pid]
        finally:
            process.terminate()
    assert process.returncode == 0
