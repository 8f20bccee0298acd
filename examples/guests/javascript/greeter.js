// The job class `greeter` in JavaScript.

import { get, set } from "remuda:job/key-value@1.0.0";
import { emit } from "remuda:job/events@1.0.0";

const failure = (kind, code, message) => ({ kind, code, message, hint: undefined });

// Greets whom the request names, and counts the greetings.
export const requests = {
  request(payload) {
    const request = JSON.parse(payload);
    if (typeof request?.name !== "string") throw failure("invalid", "no_name", "say whom to greet");
    const kept = get("count");
    const count = (kept ? Number(new TextDecoder().decode(kept)) : 0) + 1;
    set("count", new TextEncoder().encode(String(count)));
    return JSON.stringify({ greeting: `Hello, ${request.name}!`, count });
  },
};

// `add` adds numbers; `fail` shows what an exception becomes.
export const functions = {
  call(name, args) {
    const values = JSON.parse(args);
    if (name === "add") return JSON.stringify(values.reduce((sum, value) => sum + value, 0));
    if (name === "fail") throw new Error("on purpose");
    throw failure("not-found", "no_such_function", `there is no function \`${name}\``);
  },
};

// Counts down and reports every step; each task is an instance of its own.
let left = 0;

export const tasks = {
  start(spec) {
    left = JSON.parse(spec);
    if (!Number.isInteger(left) || left < 0) {
      throw failure("invalid", "", "the spec is how far to count");
    }
  },
  run() {
    if (left === 0) return { tag: "done", val: JSON.stringify("lift-off") };
    emit(JSON.stringify({ left }));
    left -= 1;
    return { tag: "wait", val: 1n };
  },
  // `{"add": N}` makes it longer; the answer is what is left.
  command(payload) {
    left += JSON.parse(payload).add;
    return JSON.stringify(left);
  },
  stop(_graceMs) {
    left = 0;
  },
};
