//! The text of the configuration file with the apps: frontends, backends and the rules of virtual
//! hosts. Pure and deterministic.
//!
//! Only values whose types cannot hold anything harmful are written. `global`, the administrators'
//! frontends and their backends are in the base file.

use std::fmt::Write;

use crate::change::Layout;
use crate::labels::{Mode, UrlPath, VirtualHost};
use crate::services::{Service, routes};
use crate::settings::Settings;

/// A service with the servers of its slots.
pub type Placed<'at> = (&'at Service, &'at Layout);

/// What all services have in common. The values were tried together against a real Marathon:
/// no request was lost in rolling upgrades.
///
/// - Ten retries, each at another server, since each one may meet a server that has gone.
/// - A new connection for each request, so that a server that has gone refuses instead of
///   resetting an idle connection; what is refused can be repeated, even a POST.
/// - Checks by TCP: a health page may say 503 before the others are in.
///
/// What went well is not logged. The base file says where the log goes.
const COMMON: &str = "\
    log global
    option dontlognull
    option dontlog-normal
    option redispatch 1
    retries 10
    timeout connect 1s
    timeout queue 10s
    default-server check inter 200ms fastinter 100ms downinter 200ms rise 1 fall 2
";

const TCP: &str = "\
    mode tcp
    option tcplog
    option clitcpka
    option srvtcpka
    timeout client 3h
    timeout server 3h
    timeout tunnel 3h
";

const HTTP: &str = "\
    mode http
    option httplog
    option forwardfor
    option http-server-close
    option idle-close-on-response
    retry-on conn-failure empty-response
    timeout client 1m
    timeout server 10m
    timeout tunnel 3h
    timeout http-request 10s
    timeout http-keep-alive 30s
";

/// Half a year.
const HSTS: &str = "http-response set-header Strict-Transport-Security max-age=15768000 \
                    if { ssl_fc }";

/// HAProxy takes 64 words on a line.
const MAX_HOSTS: usize = 40;

/// Writes the whole file.
pub fn render(services: &[Placed<'_>], settings: &Settings) -> String {
    let mut out = String::with_capacity(1024 * (services.len() + 2));
    out.push_str("# Written by platform-balancer; changes are lost.\n");
    section(&mut out, "defaults apps-tcp", &[COMMON, TCP]);
    section(&mut out, "defaults apps-http", &[COMMON, HTTP]);
    if settings.vhosts {
        virtual_hosts(&mut out, services, settings);
    }
    for (service, slots) in services {
        frontend(&mut out, service, settings);
        backend(&mut out, service, slots, settings);
    }
    out
}

fn section(out: &mut String, heading: &str, bodies: &[&str]) {
    line(out, format_args!("\n{heading}"));
    for setting in bodies.iter().flat_map(|body| body.lines()) {
        line(out, format_args!("    {}", setting.trim_start()));
    }
}

/// Appends a line. Writing to a string cannot fail.
fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = writeln!(out, "{text}");
}

fn virtual_hosts(out: &mut String, services: &[Placed<'_>], settings: &Settings) {
    let routes = routes(services.iter().map(|(service, _)| *service));
    let bind = &settings.bind;
    line(out, format_args!("\nfrontend apps-http from apps-http"));
    line(out, format_args!("    bind {bind}:{}", settings.http_port));
    line(out, format_args!("    http-request set-var(txn.plain) bool(true)"));
    line(out, format_args!("    http-request set-header X-Forwarded-Proto http"));
    rules(out, &routes, settings);
    let Some(certificates) = &settings.certificates else { return };
    line(out, format_args!("\nfrontend apps-https from apps-http"));
    line(
        out,
        format_args!(
            "    bind {bind}:{} ssl crt-list {} alpn h2,http/1.1",
            settings.https_port,
            certificates.display()
        ),
    );
    line(out, format_args!("    http-request set-header X-Forwarded-Proto https"));
    rules(out, &routes, settings);
}

/// The rules in their order. Hosts are compared whole, in lower case and without the port.
fn rules(out: &mut String, routes: &[&Service], settings: &Settings) {
    line(
        out,
        format_args!("    http-request set-var(txn.host) req.hdr(host),host_only,lower"),
    );
    for service in routes {
        for hosts in service.vhosts.chunks(MAX_HOSTS) {
            rule(out, service, hosts);
        }
    }
    if let Some(name) = &settings.default_backend {
        line(out, format_args!("    default_backend {name}"));
    }
}

fn rule(out: &mut String, service: &Service, hosts: &[VirtualHost]) {
    let words: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    let host = format!("{{ var(txn.host) -m str {} }}", words.join(" "));
    let name = &service.name;
    match service.path.as_ref().map(UrlPath::as_str) {
        None => line(out, format_args!("    use_backend {name} if {host}")),
        Some(path) => {
            line(out, format_args!("    use_backend {name} if {{ path {path} }} {host}"));
            line(
                out,
                format_args!("    use_backend {name} if {{ path_beg {path}/ }} {host}"),
            );
        }
    }
}

fn frontend(out: &mut String, service: &Service, settings: &Settings) {
    let (name, mode) = (&service.name, service.mode.word());
    line(out, format_args!("\nfrontend {name} from apps-{mode}"));
    line(out, format_args!("    bind {}:{}", settings.bind, service.port));
    line(out, format_args!("    default_backend {name}"));
}

fn backend(out: &mut String, service: &Service, slots: &Layout, settings: &Settings) {
    let (name, mode) = (&service.name, service.mode.word());
    userlist(out, service);
    line(out, format_args!("\nbackend {name} from apps-{mode}"));
    line(out, format_args!("    balance {}", service.balance.word()));
    if service.mode == Mode::Http {
        http_rules(out, service, settings);
    }
    for (place, address) in slots.iter().enumerate() {
        let slot = format!("s{}", place + 1);
        let cookie = match uses_cookie(service) {
            true => format!(" cookie {slot}"),
            false => String::new(),
        };
        match address {
            Some(address) => {
                line(out, format_args!("    server {slot} {address}{cookie}"))
            }
            None => {
                line(out, format_args!("    server {slot} 0.0.0.0:1{cookie} disabled"))
            }
        }
    }
}

fn http_rules(out: &mut String, service: &Service, settings: &Settings) {
    line(
        out,
        format_args!(
            "    http-request disable-l7-retry if {{ method POST PUT PATCH DELETE }}"
        ),
    );
    // Before the login, so that no password travels in plain text.
    if service.redirect && !service.vhosts.is_empty() {
        redirect(out, settings.https_port);
    }
    if let Some(auth) = &service.auth {
        line(
            out,
            format_args!(
                "    http-request auth realm {} unless {{ http_auth({}) }}",
                auth.realm(),
                service.name
            ),
        );
    }
    if service.hsts {
        line(out, format_args!("    {HSTS}"));
    }
    if uses_cookie(service) {
        line(
            out,
            format_args!("    cookie PLATFORM_SERVER insert indirect nocache httponly"),
        );
    }
}

/// Only requests that came by the common HTTP port are redirected, not those to the service port.
fn redirect(out: &mut String, https_port: u16) {
    let port = match https_port {
        443 => String::new(),
        port => format!(":{port}"),
    };
    line(
        out,
        format_args!(
            "    http-request redirect location https://%[var(txn.host)]{port}%[pathq] code 308 \
             if {{ var(txn.plain) -m bool }}"
        ),
    );
}

/// Over TCP there are no cookies, so the label says nothing there.
fn uses_cookie(service: &Service) -> bool {
    service.sticky && service.mode == Mode::Http
}

fn userlist(out: &mut String, service: &Service) {
    if let Some(auth) = &service.auth {
        line(out, format_args!("\nuserlist {}", service.name));
        line(out, format_args!("    user {} password {}", auth.user(), auth.password()));
    }
}
