//! `gerelion explain`: what the code of an error means.

use clap::Args;
use gerelion::errors::{Code, Failure, errors_page, explanation, show};

/// Options of `gerelion explain`.
#[derive(Args)]
pub struct Arguments {
    /// The code, as GR-0203
    code: Option<String>,
}

/// Run the command.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Some(code) = &arguments.code else {
        return show(&errors_page());
    };
    let text = explanation(code).ok_or_else(|| {
        Code::BAD_VALUE.says(format!(
            "'{code}' is no code of an error; codes are like GR-0203, and `gerelion explain` without one lists them all"
        ))
    })?;
    show(&text)
}
