//! The engine: one function, called once. Nothing of the machine is known to it but the time.

use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};

use rquickjs::{
    CatchResultExt, CaughtError, Context, Ctx, Function, Object, Runtime, Value,
    context::EvalOptions,
    function::{Args, Rest},
    promise::PromiseState,
};

use super::{
    protocol::{Call, Fault, Said, Sort},
    voice::Voice,
};

/// How deep calls may go, in bytes of the stack of the thread.
pub(super) const STACK: usize = 1024 * 1024;

/// How much of the message and of the stack of an error is told, in bytes.
const MAX_MESSAGE: usize = 8 * 1024;

type Shared = Rc<RefCell<Voice>>;

/// Calls the function. The last thing said is its result, or why there is none.
pub(super) fn run(call: &Call, voice: Voice) {
    let voice = Rc::new(RefCell::new(voice));
    let deadline = Instant::now().checked_add(Duration::from_millis(call.timeout_ms));
    let outcome = evaluate(call, deadline, &voice);
    let late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
    let outcome = outcome.map_err(|fault| match fault.sort {
        // What was interrupted ends with whatever error it was about to make.
        Sort::Threw | Sort::Result | Sort::OutOfMemory if late => {
            let message = format!("ran longer than {} ms\n{}", call.timeout_ms, fault.message);
            Fault::new(Sort::TimedOut, message.trim_end())
        }
        _ => fault,
    });
    Voice::end(outcome);
}

fn evaluate(call: &Call, deadline: Option<Instant>, voice: &Shared) -> Result<String, Fault> {
    let no_engine = |error: rquickjs::Error| Fault::new(Sort::OutOfMemory, error.to_string());
    let runtime = Runtime::new().map_err(no_engine)?;
    runtime.set_memory_limit(usize::try_from(call.memory_bytes).unwrap_or(usize::MAX));
    runtime.set_max_stack_size(STACK);
    let late = move || deadline.is_some_and(|deadline| Instant::now() >= deadline);
    runtime.set_interrupt_handler(Some(Box::new(late)));
    let context = Context::full(&runtime).map_err(no_engine)?;
    context.with(|ctx| {
        install(&ctx, voice)
            .catch(&ctx)
            .map_err(|error| explain(&ctx, Sort::OutOfMemory, &error))?;
        let function = function(&ctx, &call.source)?;
        let returned = called(&ctx, &function, call)
            .catch(&ctx)
            .map_err(|error| explain(&ctx, Sort::Threw, &error))?;
        let value = settled(&ctx, returned, late)?;
        let text = ctx
            .json_stringify(value)
            .catch(&ctx)
            .map_err(|error| explain(&ctx, Sort::Result, &error))?;
        let Some(text) = text else { return Ok("null".to_owned()) };
        let too_long = || {
            let message = format!("its result is longer than {} bytes", call.max_result);
            Fault::new(Sort::Result, message)
        };
        // Still memory of the engine; what is too long is never copied.
        let text =
            text.to_cstring().catch(&ctx).map_err(|error| explain(&ctx, Sort::Result, &error))?;
        if text.len() > call.max_result { Err(too_long()) } else { Ok(text.as_str().to_owned()) }
    })
}

fn function<'js>(ctx: &Ctx<'js>, source: &str) -> Result<Function<'js>, Fault> {
    let mut options = EvalOptions::default();
    options.strict = false;
    options.filename = Some("function.js".to_owned());
    // On the same line, so that the lines of errors are those of the source; the end on the next,
    // because the source may end with a comment.
    let value: Value<'js> = ctx
        .eval_with_options(format!("({source}\n)"), options)
        .catch(ctx)
        .map_err(|error| explain(ctx, Sort::Syntax, &error))?;
    let name = value.type_name();
    value.into_function().ok_or_else(|| {
        Fault::new(Sort::NoFunction, format!("its value is no function but of type {name}"))
    })
}

fn called<'js>(
    ctx: &Ctx<'js>,
    function: &Function<'js>,
    call: &Call,
) -> rquickjs::Result<Value<'js>> {
    let mut args = Args::new(ctx.clone(), call.args.len());
    for argument in &call.args {
        args.push_arg(ctx.json_parse(argument.to_string())?)?;
    }
    function.call_arg(args)
}

/// Waits for a promise: runs what is to be run, until nothing is left or the time is over.
fn settled<'js>(
    ctx: &Ctx<'js>,
    value: Value<'js>,
    late: impl Fn() -> bool,
) -> Result<Value<'js>, Fault> {
    let Some(promise) = value.as_promise().cloned() else { return Ok(value) };
    while promise.state() == PromiseState::Pending && !late() && ctx.execute_pending_job() {}
    if let Some(result) = promise.result::<Value<'js>>() {
        return result.catch(ctx).map_err(|error| explain(ctx, Sort::Threw, &error));
    }
    let message = "it awaits something that never happens, or ran out of memory while it waited";
    Err(Fault::new(Sort::Threw, if late() { "" } else { message }))
}

/// What a function finds besides the language itself.
fn install<'js>(ctx: &Ctx<'js>, voice: &Shared) -> rquickjs::Result<()> {
    let log = {
        let voice = Rc::clone(voice);
        move |ctx: Ctx<'js>, values: Rest<Value<'js>>| -> rquickjs::Result<()> {
            if voice.borrow().logs() {
                let line = line(&ctx, &values.0)?;
                voice.borrow_mut().log(&line);
            }
            Ok(())
        }
    };
    let log = Function::new(ctx.clone(), log)?;
    let console = Object::new(ctx.clone())?;
    for name in ["log", "debug", "info", "warn", "error"] {
        console.set(name, log.clone())?;
    }
    ctx.globals().set("console", console)?;
    let progress = {
        let voice = Rc::clone(voice);
        move |value: Value<'js>| voice.borrow_mut().say(&Said::Progress(value.as_number()))
    };
    ctx.globals().set("progress", Function::new(ctx.clone(), progress)?)?;
    let emit = {
        let voice = Rc::clone(voice);
        move |ctx: Ctx<'js>, value: Value<'js>| -> rquickjs::Result<()> {
            if let Some(text) = ctx.json_stringify(value)? {
                let text = text.to_cstring()?;
                if text.len() > crate::events::MAX_LINE {
                    let most = crate::events::MAX_LINE;
                    let message = format!("an event is longer than {most} bytes");
                    return Err(rquickjs::Exception::throw_range(&ctx, &message));
                }
                voice.borrow_mut().value(text.as_str());
            }
            Ok(())
        }
    };
    ctx.globals().set("emit", Function::new(ctx.clone(), emit)?)
}

/// A line of the log: texts as they are, and everything else as JSON.
fn line<'js>(ctx: &Ctx<'js>, values: &[Value<'js>]) -> rquickjs::Result<String> {
    let mut line = String::new();
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            line.push(' ');
        }
        let text = match value.as_string() {
            Some(text) => Some(text.clone()),
            None => ctx.json_stringify(value.clone())?,
        };
        match text {
            Some(text) => line.push_str(beginning(text.to_cstring()?.as_str(), Voice::MAX_LINE)),
            None => line.push_str(value.type_name()),
        }
    }
    Ok(line)
}

fn explain<'js>(ctx: &Ctx<'js>, sort: Sort, error: &CaughtError<'js>) -> Fault {
    let message = match error {
        CaughtError::Exception(exception) => {
            let name: Option<String> = exception.as_object().get("name").ok();
            let name = name.unwrap_or_else(|| "Error".to_owned());
            let message = exception.message().unwrap_or_default();
            let stack = exception.stack().unwrap_or_default();
            let message = beginning(&message, MAX_MESSAGE);
            format!("{name}: {message}\n{}", beginning(&stack, MAX_MESSAGE))
        }
        CaughtError::Value(value) if value.is_null() => {
            // The engine does so when not even an error fits into its memory.
            return Fault::new(Sort::OutOfMemory, "out of memory, or it threw null");
        }
        CaughtError::Value(value) => {
            let text = line(ctx, std::slice::from_ref(value)).unwrap_or_default();
            format!("threw {}", beginning(&text, MAX_MESSAGE))
        }
        CaughtError::Error(rquickjs::Error::Allocation) => "out of memory".to_owned(),
        CaughtError::Error(error) => error.to_string(),
    };
    let message = message.trim_end();
    let spent = ["InternalError: out of memory", "out of memory"];
    let is_spent = spent.iter().any(|spent| message.lines().next() == Some(spent));
    Fault::new(if is_spent { Sort::OutOfMemory } else { sort }, message)
}

/// At most this many bytes, whole characters.
fn beginning(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}
