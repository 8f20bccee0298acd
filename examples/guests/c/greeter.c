// The job class `greeter` in C.

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "greeter.h"

// An answer of its own memory, which the bindings free.
static bool answer(greeter_string_t *ret, const char *format, ...) {
    char text[512];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    greeter_string_dup(ret, text);
    return true;
}

static bool refuse(remuda_job_types_failure_t *err, uint8_t kind, const char *code,
                   const char *message) {
    err->kind = kind;
    greeter_string_dup(&err->code, code);
    greeter_string_dup(&err->message, message);
    err->hint.is_some = false;
    return false;
}

// What the payload says, as a C string. A class of your own would use a JSON library.
static char *text_of(greeter_string_t *payload) {
    char *text = malloc(payload->len + 1);
    if (!text) abort();
    memcpy(text, payload->ptr, payload->len);
    text[payload->len] = 0;
    return text;
}

// Greets whom the request names, and counts the greetings.
bool exports_remuda_job_requests_request(greeter_string_t *payload, greeter_string_t *ret,
                                         remuda_job_types_failure_t *err) {
    char name[100];
    char *request = text_of(payload), *at = strstr(request, "\"name\":");
    if (!at || sscanf(at + 7, " \"%99[^\"\\]\"", name) != 1) {
        return refuse(err, REMUDA_JOB_TYPES_KIND_INVALID, "no_name", "say whom to greet");
    }
    greeter_string_t key;
    greeter_string_set(&key, "count");
    greeter_list_u8_t kept;
    long count = 1;
    if (remuda_job_key_value_get(&key, &kept)) {
        greeter_string_t digits = {kept.ptr, kept.len};
        count += strtol(text_of(&digits), NULL, 10);
    }
    char digits[24];
    greeter_list_u8_t value = {(uint8_t *)digits, snprintf(digits, sizeof digits, "%ld", count)};
    remuda_job_key_value_error_t error;
    if (!remuda_job_key_value_set(&key, &value, &error)) {
        return refuse(err, REMUDA_JOB_TYPES_KIND_NO_CAPACITY, "", "the count cannot be kept");
    }
    return answer(ret, "{\"greeting\":\"Hello, %s!\",\"count\":%ld}", name, count);
}

// `add` adds numbers; `fail` shows what an abort becomes.
bool exports_remuda_job_functions_call(greeter_string_t *function, greeter_string_t *args,
                                       greeter_string_t *ret, remuda_job_types_failure_t *err) {
    char *name = text_of(function), *at = text_of(args);
    if (strcmp(name, "add") == 0) {
        long sum = 0;
        for (at = strpbrk(at, "-0123456789"); at; at = strpbrk(at, "-0123456789")) {
            sum += strtol(at, &at, 10);
        }
        return answer(ret, "%ld", sum);
    }
    if (strcmp(name, "fail") == 0) abort();
    return refuse(err, REMUDA_JOB_TYPES_KIND_NOT_FOUND, "no_such_function",
                  "there is no such function");
}

// Counts down and reports every step; each task is an instance of its own.
static uint64_t left;

bool exports_remuda_job_tasks_start(greeter_string_t *spec, remuda_job_types_failure_t *err) {
    char *text = text_of(spec), *end;
    left = strtoull(text, &end, 10);
    if (end == text || *end || *text == '-') {
        return refuse(err, REMUDA_JOB_TYPES_KIND_INVALID, "", "the spec is how far to count");
    }
    return true;
}

bool exports_remuda_job_tasks_run(exports_remuda_job_tasks_next_t *ret,
                                  remuda_job_types_failure_t *err) {
    (void)err;
    if (left == 0) {
        ret->tag = EXPORTS_REMUDA_JOB_TASKS_NEXT_DONE;
        return answer(&ret->val.done, "\"lift-off\"");
    }
    greeter_string_t event;
    remuda_job_events_error_t error;
    answer(&event, "{\"left\":%" PRIu64 "}", left);
    remuda_job_events_emit(&event, &error);
    greeter_string_free(&event);
    left -= 1;
    ret->tag = EXPORTS_REMUDA_JOB_TASKS_NEXT_WAIT;
    ret->val.wait = 1;
    return true;
}

// `{"add":N}` makes it longer; the answer is what is left.
bool exports_remuda_job_tasks_command(greeter_string_t *payload, greeter_string_t *ret,
                                      remuda_job_types_failure_t *err) {
    (void)err;
    char *number = strpbrk(text_of(payload), "0123456789");
    left += number ? strtoull(number, NULL, 10) : 0;
    return answer(ret, "%" PRIu64, left);
}

void exports_remuda_job_tasks_stop(uint64_t grace_ms) {
    (void)grace_ms;
    left = 0;
}
