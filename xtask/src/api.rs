//! `cargo xtask api`: what programs that we did not write make of the document of the API.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    programs::{Untested, isolation, python_program, target_dir},
    shell::{cargo, read, step},
};

/// Its options and its configuration change between releases.
const REQUESTS: &str = "schemathesis==4.32.5";
/// Requests for each operation unless told otherwise: those of `cargo xtask test`.
const FEW: u32 = 20;
/// Refusals are part of the API, and so is being away; anything else that a server says of itself is
/// a mistake. `dev2` exists; what else is asked for does not.
const CONFIG: &str = r#"
[generation]
with-security-parameters = false

[warnings]
fail-on = ["missing_auth"]

[checks.not_a_server_error]
expected-statuses = ["2xx", "4xx", 502, 503, 504, 507]

[parameters]
"path.node" = "dev2"
"#;

/// Asks a cluster as often as wanted for each operation.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let each = match words {
        [] => FEW,
        ["--requests", number] => number.parse().context("--requests wants a number")?,
        _ => bail!("usage: cargo xtask api [--requests N]"),
    };
    let mut untested = Untested::default();
    step("build", cargo().args(["build", "--quiet", "-p", "remuda-cli"]))?;
    requests(&mut untested, &document()?, each)?;
    untested.report();
    ensure!(untested.is_empty(), "nothing was asked");
    Ok(())
}

/// All of it, as a part of `cargo xtask test`.
pub(crate) fn check(untested: &mut Untested) -> Result<()> {
    let document = document()?;
    client(untested, &document)?;
    requests(untested, &document, FEW)
}

/// Writes the document of the API into an empty folder.
fn document() -> Result<PathBuf> {
    let dir = target_dir().join("xtask-openapi");
    if dir.exists() {
        fs::remove_dir_all(&dir).context("cannot empty the folder of the API's document")?;
    }
    fs::create_dir_all(&dir).context("cannot make a folder for the API's document")?;
    let document =
        read(cargo().args(["run", "--quiet", "-p", "remuda-api", "--example", "openapi"]))?;
    let path = dir.join("openapi.json");
    fs::write(&path, document).context("cannot write the OpenAPI document")?;
    Ok(path)
}

/// Lets a generator of clients read the document.
fn client(untested: &mut Untested, document: &Path) -> Result<()> {
    let Some(generator) = python_program("openapi-python-client", "openapi-python-client") else {
        untested.note("OpenAPI by a generator", "openapi-python-client could not be installed");
        return Ok(());
    };
    let dir = document.with_file_name("client");
    let mut generate = Command::new(generator);
    generate.args(["generate", "--meta", "none"]);
    generate.arg("--path").arg(document).arg("--output-path").arg(dir);
    step("OpenAPI by a generator", &mut generate)
}

/// Lets a generator of requests, good and bad ones, ask a cluster of two nodes, and compare the
/// answers with the document. What deletes comes last: nothing more can be asked of a node that is
/// gone.
///
/// The cluster has a network of its own, because addresses are made up too.
fn requests(untested: &mut Untested, document: &Path, each: u32) -> Result<()> {
    let what = "API by generated requests";
    let Some(generator) = python_program(REQUESTS, "schemathesis") else {
        untested.note(what, "schemathesis could not be installed");
        return Ok(());
    };
    let Some(isolation) = isolation() else {
        untested.note(what, "needs `unshare` and `ip`, for a network of its own");
        return Ok(());
    };
    let dir = document.with_file_name("requests");
    fs::create_dir_all(&dir).context("cannot make a folder for generated requests")?;
    fs::write(dir.join("schemathesis.toml"), CONFIG).context("cannot write the configuration")?;
    let script = "set -e
        ip link set lo up
        remuda=$1; generator=$2; document=$3; each=$4
        exec \"$remuda\" dev --controls 1 --workers 1 -- /bin/sh -c 'set -e
            ask() {
                \"$generator\" run \"$document\" --url \"$REMUDA_ADDR\" \\
                    --header \"Authorization: Bearer $REMUDA_TOKEN\" --exclude-path /v1/events \\
                    --checks not_a_server_error,content_type_conformance \\
                    --checks response_schema_conformance --phases examples,coverage,fuzzing \\
                    --max-examples \"$each\" --seed 1 --request-timeout 20 --continue-on-failure \\
                    --suppress-health-check all --no-color \"$@\"
            }
            generator=$0; document=$1; each=$2; remuda=$3
            ask --exclude-method DELETE
            \"$remuda\" node show dev2
            ask --include-method DELETE
        ' \"$generator\" \"$document\" \"$each\" \"$remuda\"";
    let mut ask = Command::new("unshare");
    ask.current_dir(&dir).args(isolation).args(["/bin/sh", "-c", script, "sh"]);
    ask.arg(target_dir().join("debug/remuda")).arg(generator).arg(document).arg(each.to_string());
    step(what, &mut ask)
}
