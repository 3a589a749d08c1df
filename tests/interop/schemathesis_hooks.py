"""What schemathesis is not to ask, loaded by it."""

from typing import Any

import schemathesis


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    """Not where a name in the path is empty: that is another path, the list's; nor a number in the query as what is no
    text: whatever stands there is text."""
    query = (case.query or {}).values()
    return "" not in (case.path_parameters or {}).values() and all(
        isinstance(value, (str, list, dict)) and not _is_number(value) for value in query
    )


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return "." in str(value)
