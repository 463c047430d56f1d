//! The `kakehi` binary: parse, run, print the error chain, exit.

use std::process::ExitCode;

use kakehi::cli::{self, Exit};

fn main() -> ExitCode {
    let parsed = match cli::parse(std::env::args_os()) {
        Ok(parsed) => parsed,
        Err(message) => {
            // Help and version end well, everything else is a usage error. A closed pipe is nobody's fault.
            drop(message.print());
            return if message.use_stderr() { Exit::Usage.into() } else { Exit::Success.into() };
        }
    };
    match cli::main(parsed) {
        Ok(exit) => exit.into(),
        Err(error) => {
            let exit = error.exit();
            if exit != Exit::Success {
                cli::report(&error);
            }
            exit.into()
        }
    }
}
