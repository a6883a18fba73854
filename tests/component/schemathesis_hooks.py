"""What schemathesis cannot know: a valid `Idempotency-Key` names one request.

It sends one key with many bodies, and the second is rightly a 422 (`key_reused`). So
each key that is valid becomes one of its own, of the same length; one that is not
stays as it is.
"""

import itertools
import re

import schemathesis

KEY = "idempotency-key"
VALID = re.compile(r"[!-~]{16,255}")
NUMBERS = itertools.count(1)


@schemathesis.hook
def before_call(context, case, kwargs):
    for name, value in list((case.headers or {}).items()):
        if name.lower() == KEY and isinstance(value, str) and VALID.fullmatch(value):
            case.headers[name] = f"{next(NUMBERS):016x}{value[16:]}"
