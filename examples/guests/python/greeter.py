"""The job class `greeter` in Python."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.tasks import Next_Done, Next_Wait
from wit_world.imports import events, key_value
from wit_world.imports.types import Failure, Kind


def refuse(kind, code, message):
    return Err(Failure(kind, code, message, None))


class Requests(exports.Requests):
    def request(self, payload):
        """Greets whom the request names, and counts the greetings."""
        request = json.loads(payload)
        if not isinstance(request, dict) or not isinstance(request.get("name"), str):
            raise refuse(Kind.INVALID, "no_name", "say whom to greet")
        count = int(key_value.get("count") or b"0") + 1
        key_value.set("count", str(count).encode())
        return json.dumps({"greeting": f"Hello, {request['name']}!", "count": count})


class Functions(exports.Functions):
    def call(self, function, args):
        """`add` adds numbers; `fail` shows what an exception becomes."""
        values = json.loads(args)
        if function == "add":
            return json.dumps(sum(values))
        if function == "fail":
            raise RuntimeError("on purpose")
        raise refuse(Kind.NOT_FOUND, "no_such_function", f"there is no function `{function}`")


class Tasks(exports.Tasks):
    """Counts down and reports every step; each task is an instance of its own."""

    left = 0

    def start(self, spec):
        left = json.loads(spec)
        if not isinstance(left, int) or left < 0:
            raise refuse(Kind.INVALID, "", "the spec is how far to count")
        Tasks.left = left

    def run(self):
        if Tasks.left == 0:
            return Next_Done(json.dumps("lift-off"))
        events.emit(json.dumps({"left": Tasks.left}))
        Tasks.left -= 1
        return Next_Wait(1)

    def command(self, payload):
        """`{"add": N}` makes it longer; the answer is what is left."""
        Tasks.left += json.loads(payload)["add"]
        return json.dumps(Tasks.left)

    def stop(self, grace_ms):
        Tasks.left = 0
