//! The stand-in of `mesos-agent`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(standins::agent::run(std::env::args().skip(1)));
            // Threads that wait for tasks' processes must not keep this one.
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            standins::agent::log(&format!("cannot start: {error}"));
            ExitCode::FAILURE
        }
    }
}
