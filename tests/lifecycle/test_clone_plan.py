"""What a clone's plan says of adapters that nothing is known of."""

from __future__ import annotations

from vmsnapshot.lifecycle.clone.plan import adapter_findings
from vmsnapshot.model.machine import Machine


def test_adapters_that_were_not_read_are_on_no_network_that_was_given() -> None:
    """A rehearsal gives each adapter a network, and none where there is none: unknown ones are an error."""
    (found,) = adapter_findings(Machine(), {})
    assert (found.severity, found.code) == ("error", "adaptersNotRead")
    assert adapter_findings(Machine(network_adapters={}), {}) == []
    assert adapter_findings(Machine(), None) == []
