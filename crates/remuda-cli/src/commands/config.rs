//! `remuda config show`.

use crate::{
    args::{AgentArgs, Format},
    config,
    environment::Environment,
    error::Stop,
    output::{Printer, Table},
};

pub(super) fn show(
    args: &AgentArgs,
    format: Format,
    environment: &Environment,
) -> Result<(), Stop> {
    let config = config::load(args, environment)?;
    let printer = Printer::new(format);
    if printer.is_json() {
        return Ok(printer.json(&config.effective)?);
    }
    let mut table = Table::new(["KEY", "VALUE", "FROM"]);
    for setting in config.effective {
        table.row([setting.key.to_owned(), setting.value, setting.origin.to_string()]);
    }
    Ok(printer.table(table)?)
}
