//! Asking before something is changed that the command line does not name.

use std::io::{self, IsTerminal, Write};

use crate::failure::{Failure, Outcome};

/// Whether to go on: told beforehand, or asked on a terminal.
///
/// # Errors
/// [`Failure::Declined`] if not; where nobody can be asked, with the advice to say so beforehand.
pub(crate) fn agree(beforehand: bool, question: &str) -> Outcome<()> {
    if beforehand {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::Declined("not asked on a terminal; say --yes to go on".into()));
    }
    eprint!("{question} [y/N] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { Err(Failure::Declined("nothing changed".into())) }
}
