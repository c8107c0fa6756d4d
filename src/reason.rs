//! The reason of a failure: whole lines of a program's output, the decisive one first.
//!
//! Programs hide what an operator has to know: apt prints it before its summary, Java below many
//! stack frames, a unit's journal above the lines of systemd. Every reported failure goes
//! through this module, so that the first line of a reason is always the one to read.

/// How many bytes of an output a host sends: the end, which has the reason.
pub const KEPT: usize = 16 * 1024;

/// The kinds of lines that give a reason, the most reliable first. If several lines fit, one
/// counts: the first if the program prints a summary later, the last if every attempt prints one.
const SIGNS: [Sign; 6] = [
    Sign { is: of_apt, counts: Counts::First },
    Sign { is: of_docker, counts: Counts::Last },
    Sign { is: of_cause, counts: Counts::Last },
    Sign { is: of_exception, counts: Counts::First },
    Sign { is: of_failure, counts: Counts::Last },
    Sign { is: of_systemd, counts: Counts::First },
];

struct Sign {
    is: fn(&str) -> bool,
    counts: Counts,
}

enum Counts {
    First,
    Last,
}

/// The output of a failed program, its decisive line first and the others in their order. Lines
/// are whole; empty ones are left out.
pub fn decisive_first(said: &str) -> String {
    let lines: Vec<&str> =
        said.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let Some(first) = decisive(&lines) else { return String::new() };
    let others = lines.iter().enumerate().filter(|(n, _)| *n != first);
    let others = others.map(|(_, line)| *line);
    std::iter::once(lines[first].trim_start())
        .chain(others)
        .collect::<Vec<_>>()
        .join("\n")
}

/// The end of an output, from its first whole line on if the output was cut.
pub fn whole_lines(end: &str, is_cut: bool) -> &str {
    match end.split_once('\n') {
        Some((_, whole)) if is_cut && !whole.trim().is_empty() => whole,
        _ => end,
    }
}

/// The index of the decisive line; `None` if there is no output.
fn decisive(lines: &[&str]) -> Option<usize> {
    let by_sign = SIGNS.iter().find_map(|sign| {
        let mut fitting = (0..lines.len()).filter(|n| (sign.is)(lines[*n].trim_start()));
        match sign.counts {
            Counts::First => fitting.next(),
            Counts::Last => fitting.next_back(),
        }
    });
    let last = || (0..lines.len()).rfind(|n| !is_chatter(lines[*n].trim_start()));
    by_sign.or_else(last).or_else(|| lines.len().checked_sub(1))
}

fn of_apt(line: &str) -> bool {
    let sums_up = line.starts_with("E: Sub-process") || line.starts_with("E: Problem");
    (line.starts_with("E: ") && !sums_up) || line.starts_with("dpkg: error")
}

fn of_docker(line: &str) -> bool {
    line.contains("Error response from daemon: ")
        || line.contains("Cannot connect to the Docker daemon")
}

fn of_cause(line: &str) -> bool {
    line.starts_with("Caused by: ")
}

/// `java.io.IOException: why`, alone or after the beginning of a log line.
fn of_exception(line: &str) -> bool {
    let names = |word: &str| {
        let name = word.strip_suffix(':').unwrap_or(word);
        let thrown = name.ends_with("Exception") || name.ends_with("Error");
        thrown
            && name.contains('.')
            && name.chars().all(|c| c.is_alphanumeric() || ".$_".contains(c))
    };
    !is_chatter(line) && line.split(' ').any(names)
}

/// A line that a program itself calls an error.
fn of_failure(line: &str) -> bool {
    let small = line.to_ascii_lowercase();
    let begins =
        ["error", "fatal", "panic:", "failed to ", "cannot ", "exit with status"];
    let within = [
        "level=fatal",
        "level=error",
        ": error: ",
        " error ",
        " fatal ",
        "failed to start daemon",
        "error: ",
        "fatal: ",
    ];
    !is_chatter(line)
        && (begins.iter().any(|sign| small.starts_with(sign))
            || within.iter().any(|sign| small.contains(sign))
            || is_glog_failure(line))
}

/// Mesos logs as `F1129 17:06:55.000000     1 main.cpp:465] why`.
fn is_glog_failure(line: &str) -> bool {
    let mut letters = line.chars();
    matches!(letters.next(), Some('E' | 'F'))
        && letters.by_ref().take(4).filter(char::is_ascii_digit).count() == 4
        && letters.next() == Some(' ')
        && line.contains("] ")
}

fn of_systemd(line: &str) -> bool {
    line.starts_with("Job for ") && line.contains(" failed")
}

/// Lines that systemd and Java add around a reason; they are never the reason.
fn is_chatter(line: &str) -> bool {
    let begins = [
        "at ",
        "... ",
        "See ",
        "Run 'docker run --help'",
        "Started ",
        "Starting ",
        "Stopped ",
        "Stopping ",
        "Failed to start ",
    ];
    let begins = begins.iter().any(|sign| line.starts_with(sign));
    let of_unit = line.contains(".service: ");
    // Docker's engine prints `failed to start daemon` with its reason in lower case: no chatter.
    of_unit || begins
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(said: &[&str], decisive: &str) {
        let told = decisive_first(&said.join("\n"));
        assert_eq!(told.lines().next(), Some(decisive), "{told}");
        let mut lines: Vec<&str> = told.lines().skip(1).collect();
        lines.insert(
            said.iter().position(|line| line.trim() == decisive).unwrap(),
            decisive,
        );
        let all: Vec<String> = lines.iter().map(|line| line.trim().to_owned()).collect();
        let said: Vec<&str> = said.iter().map(|line| line.trim()).collect();
        assert_eq!(all, said, "every line is kept, in its order");
    }

    #[test]
    fn apt_says_it_before_it_sums_up() {
        check(
            &[
                "Reading package lists...",
                "The following packages have unmet dependencies:",
                " docker.io : Depends: n1 but it is not going to be installed",
                "E: Unable to correct problems, you have held broken packages.",
                "E: Sub-process /usr/bin/dpkg returned an error code (1)",
            ],
            "E: Unable to correct problems, you have held broken packages.",
        );
    }

    #[test]
    fn the_journal_of_a_unit_says_more_than_systemd_s_words_about_it() {
        check(
            &[
                "Job for docker.service failed because the control process exited with error code.",
                "See \"systemctl status docker.service\" for details.",
                "Starting docker.service - Docker Application Container Engine...",
                "failed to start daemon: pid file found, ensure docker is not running",
                "docker.service: Main process exited, code=exited, status=1/FAILURE",
                "docker.service: Failed with result 'exit-code'.",
                "Failed to start docker.service - Docker Application Container Engine.",
            ],
            "failed to start daemon: pid file found, ensure docker is not running",
        );
        check(
            &[
                "Job for x.service failed because the control process exited with error code.",
                "See \"systemctl status x.service\" for details.",
                "x.service: Main process exited, code=exited, status=3/NOTIMPLEMENTED",
            ],
            "Job for x.service failed because the control process exited with error code.",
        );
    }

    #[test]
    fn docker_s_last_refusal_counts() {
        check(
            &[
                "Error response from daemon: Get \"https://10.0.0.3:5000/v2/\": no route to host",
                "docker: Error response from daemon: cannot share the host's network namespace.",
                "See 'docker run --help'.",
                "platform-zookeeper.service: Main process exited, code=exited, status=125/n/a",
            ],
            "docker: Error response from daemon: cannot share the host's network namespace.",
        );
    }

    #[test]
    fn java_s_root_cause_counts() {
        check(
            &[
                "2026-01-01 10:00:00,000 ERROR Unexpected exception, exiting abnormally",
                "java.lang.RuntimeException: Unable to run quorum server",
                "\tat org.apache.zookeeper.QuorumPeer.loadDataBase(QuorumPeer.java:1)",
                "Caused by: java.lang.NumberFormatException: For input string: \"\"",
                "\tat java.lang.Long.parseLong(Long.java:1)",
                "\t... 4 more",
            ],
            "Caused by: java.lang.NumberFormatException: For input string: \"\"",
        );
        check(
            &[
                "Exception in thread \"main\" java.io.IOException: no space",
                "\tat a.B.main(B.java:1)",
                "x.service: Failed with result 'exit-code'.",
            ],
            "Exception in thread \"main\" java.io.IOException: no space",
        );
    }

    #[test]
    fn mesos_says_it_in_its_log() {
        check(
            &[
                "I1129 17:06:55.000000     1 main.cpp:465] Starting Mesos agent",
                "F1129 17:06:55.000000     1 main.cpp:466] Failed to recover: no such agent",
                "*** Check failure stack trace: ***",
                "    @     0x7f0  google::LogMessage::Fail()",
            ],
            "F1129 17:06:55.000000     1 main.cpp:466] Failed to recover: no such agent",
        );
    }

    #[test]
    fn of_what_has_no_sign_the_last_line_counts() {
        check(&["one", "two"], "two");
        check(
            &["x is a directory: move it away first"],
            "x is a directory: move it away first",
        );
        check(&["why", "x.service: Failed with result 'exit-code'."], "why");
        assert_eq!(decisive_first("\n \n"), "");
    }

    #[test]
    fn what_was_cut_begins_with_a_whole_line() {
        assert_eq!(whole_lines("cker.service\nnext\n", true), "next\n");
        assert_eq!(
            whole_lines("docker.service\nnext\n", false),
            "docker.service\nnext\n"
        );
        assert_eq!(
            whole_lines("one line without an end", true),
            "one line without an end"
        );
    }
}
