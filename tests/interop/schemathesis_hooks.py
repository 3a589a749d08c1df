"""What schemathesis is not to ask, loaded by it."""

from typing import Any

import schemathesis


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    """Not where a name in the path is empty: that is another path, the list's."""
    return "" not in (case.path_parameters or {}).values()
