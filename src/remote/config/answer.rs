//! Reads the output of `ssh -G`.
//!
//! Pure except for the environment's variables. The output is bytes: file names and the
//! operator's own commands need not be UTF-8.

use super::tokens::{BadValue, Here, Tokens};
use super::{Agent, HostConfig, Question};

/// A setting that cannot be completed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadSetting {
    /// The setting as written.
    pub(super) setting: String,
    pub(super) why: BadValue,
}

/// Reads the output for a question.
pub(super) fn read(answer: &[u8], question: &Question) -> Result<HostConfig, BadSetting> {
    let mut config = HostConfig { port: 22, ..HostConfig::default() };
    let lines = || answer.split(|&byte| byte == b'\n').filter_map(split_setting);
    let here = lines().find(|(keyword, _)| *keyword == b"controlpath");
    let here = here.and_then(|(_, path)| Here::read(path)).unwrap_or_default();
    let mut global = Vec::new();
    let mut incomplete = Vec::new();
    for (keyword, value) in lines() {
        let some = || (value != b"none").then(|| text(value));
        let paths =
            || value.split(u8::is_ascii_whitespace).map(|path| here.in_home(path));
        match keyword {
            b"hostname" => config.hostname = text(value),
            b"user" => config.user = text(value),
            b"port" => config.port = text(value).parse().unwrap_or(22),
            b"identitiesonly" => config.identities_only = value == b"yes",
            b"identityagent" => config.identity_agent = read_agent(value, &here),
            b"proxyjump" => {
                let some = some();
                let jumps = some.iter().flat_map(|value| value.split(','));
                config.proxy_jump = jumps.map(str::to_owned).collect();
            }
            b"userknownhostsfile" => config.known_hosts = paths().collect(),
            b"globalknownhostsfile" => global = paths().collect(),
            b"revokedhostkeys" => {
                config.revoked_keys = some().map(|_| here.in_home(value));
            }
            b"hostkeyalias" => config.host_key_alias = some(),
            b"identityfile" | b"certificatefile" | b"proxycommand"
                if value != b"none" =>
            {
                incomplete.push((keyword, value));
            }
            _ => {}
        }
    }
    config.known_hosts.extend(global);
    let tokens = tokens(&config, question, here);
    for (keyword, value) in incomplete {
        complete(&mut config, &tokens, keyword, value).map_err(|why| BadSetting {
            setting: format!("{} {}", text(keyword), text(value)),
            why,
        })?;
    }
    Ok(config)
}

fn split_setting(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let blank = line.iter().position(|&byte| byte == b' ')?;
    Some((&line[..blank], &line[blank + 1..]))
}

fn complete(
    config: &mut HostConfig,
    tokens: &Tokens,
    keyword: &[u8],
    value: &[u8],
) -> Result<(), BadValue> {
    match keyword {
        b"identityfile" => config.identity_files.push(tokens.path(value)?),
        b"certificatefile" => config.certificate_files.push(tokens.path(value)?),
        _ => config.proxy_command = Some(tokens.command(value)?),
    }
    Ok(())
}

fn tokens(config: &HostConfig, question: &Question, here: Here) -> Tokens {
    let nearest = config.proxy_jump.last().map_or("", String::as_str);
    let server = nearest.rsplit_once('@').map_or(nearest, |(_, server)| server);
    let jump = match server.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next(),
        None => server.split(':').next(),
    };
    Tokens {
        hostname: config.hostname.clone(),
        asked: question.host.clone(),
        alias: config.host_key_alias.clone().unwrap_or_else(|| question.host.clone()),
        port: config.port,
        user: config.user.clone(),
        jump: jump.unwrap_or_default().to_owned(),
        here,
    }
}

fn read_agent(value: &[u8], here: &Here) -> Agent {
    match (value, value.strip_prefix(b"$")) {
        (b"none", _) => Agent::None,
        (b"SSH_AUTH_SOCK", _) => Agent::Environment,
        (_, Some(name)) => {
            Agent::Variable(text(name).trim_matches(['{', '}']).to_owned())
        }
        (path, None) => Agent::Socket(here.in_home(path)),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::path::PathBuf;

    use super::*;

    const HERE: &str = "controlpath /home/op/0a1b/1000/desk/desk.example/ann\n";

    fn read_all(answer: &str) -> Result<HostConfig, BadSetting> {
        let question = Question { host: "web".into(), user: None, port: None };
        read(format!("{HERE}{answer}").as_bytes(), &question)
    }

    #[test]
    fn an_answer_is_read_with_paths_in_the_operators_home() {
        let config = read_all(
            "user bob\nhostname 10.0.0.9\nport 2222\nidentitiesonly yes\n\
             hostkeyalias the-web\nidentityagent none\nidentityfile ~/.ssh/a\n\
             identityfile /k/%u-%n.key\ncertificatefile ~/.ssh/c\nglobalknownhostsfile /etc/ssh/g1 /etc/ssh/g2\n\
             userknownhostsfile ~/.ssh/kh\nproxyjump ops@b1:22,b2\n\
             proxycommand nc %h %p\nrevokedhostkeys /k/gone\n",
        );
        let expected = HostConfig {
            hostname: "10.0.0.9".into(),
            user: "bob".into(),
            port: 2222,
            identity_files: vec!["/home/op/.ssh/a".into(), "/k/ann-web.key".into()],
            certificate_files: vec!["/home/op/.ssh/c".into()],
            identities_only: true,
            identity_agent: Agent::None,
            proxy_jump: vec!["ops@b1:22".into(), "b2".into()],
            proxy_command: Some("nc 10.0.0.9 2222".into()),
            known_hosts: ["/home/op/.ssh/kh", "/etc/ssh/g1", "/etc/ssh/g2"]
                .map(PathBuf::from)
                .to_vec(),
            revoked_keys: Some("/k/gone".into()),
            host_key_alias: Some("the-web".into()),
        };
        assert_eq!(config, Ok(expected));
    }

    #[test]
    fn none_means_that_there_is_none() {
        let config = read_all(
            "proxyjump none\nproxycommand none\nidentityfile none\nrevokedhostkeys none\n",
        );
        assert_eq!(config, Ok(HostConfig { port: 22, ..HostConfig::default() }));
    }

    #[test]
    fn a_setting_that_cannot_be_completed_is_told_as_it_is_written() {
        let bad = read_all("user $(>x)\nproxycommand nc %r\n").unwrap_err();
        assert_eq!(bad.setting, "proxycommand nc %r");
        assert!(matches!(bad.why, BadValue::Unsafe { token: 'r', .. }), "{bad:?}");
        let bad = read_all("identityfile /k/%z\n").unwrap_err();
        assert_eq!(bad.why, BadValue::NoToken("z".into()));
    }

    #[test]
    fn agents_are_found_by_socket_variable_or_environment() {
        let agent = |value: &str| {
            read_all(&format!("identityagent {value}\n")).unwrap().identity_agent
        };
        assert_eq!(agent("SSH_AUTH_SOCK"), Agent::Environment);
        assert_eq!(agent("$MINE"), Agent::Variable("MINE".into()));
        assert_eq!(agent("${MINE}"), Agent::Variable("MINE".into()));
        assert_eq!(agent("~/a.sock"), Agent::Socket("/home/op/a.sock".into()));
    }

    #[test]
    fn names_of_files_need_not_be_utf8() {
        let question = Question { host: "web".into(), user: None, port: None };
        let config = read(b"identityfile /k/caf\xe9\n", &question).unwrap();
        assert_eq!(
            config.identity_files,
            [PathBuf::from(OsStr::from_bytes(b"/k/caf\xe9"))]
        );
    }
}
