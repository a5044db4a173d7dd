from __future__ import annotations

import pytest

# Their assertions are to be explained as a test's are.
for _name in ("life", "actor"):
    pytest.register_assert_rewrite(f"tests.fidelity.{_name}")
