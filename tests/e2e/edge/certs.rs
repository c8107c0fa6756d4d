//! The certificates, and their authority, are replaced while everyone goes on.

use std::io::Read;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use platform::certificate::Certificate;
use platform::event::Event;
use reqwest::blocking::{Client, Response};

use super::{Requests, SERVICES, password, status, vip};
use crate::harness::{End, Lab, Run};

pub(super) fn are_replaced_while_everyone_goes_on(lab: &Lab) {
    let before = authorities(lab);
    let stream = open_stream(lab);
    goes_on(lab, || {
        let rotated = lab.run(&["certs rotate", "--yes", "-o", "json"]).exits(0);
        restarts_only_registries(&rotated);
    });
    // Of the proof, which comes after the reload.
    reads(stream, "/platform-proof");
    assert_eq!(authorities(lab), before);
    lab.is_settled();

    goes_on(lab, || {
        let words = ["certs rotate", "--ca", "--yes", "-o", "json"];
        let mut running = lab.start(&words);
        running.wait_for("a registry's certificate of the new authority", |event| {
            matches!(event, Event::StepStarted { step, .. }
                if step == "restart unit platform-registry.service")
        });
        running.kill();
        assert_eq!(authorities(lab).len(), 2, "both are trusted");
        let note = "The certificate authority is being exchanged";
        assert!(lab.run(&["plan"]).said().contains(note));
        lab.up();
    });
    let after = authorities(lab);
    assert!(after.len() == 1 && after != before, "{after:?}");
    lab.is_settled();
    let trusted = std::fs::read(lab.state().join("ca/ca.crt")).expect("it is kept");
    for host in ["control-1", "workers-1"] {
        let files = lab.machine(host).sh("cat /etc/docker/certs.d/*:5000/ca.crt");
        // Two edge hosts and the virtual IP.
        assert_eq!(files.as_bytes(), [trusted.as_slice(); 3].concat(), "{host}");
    }
    let listed = lab.run(&["certs ls", "-o", "json"]).exits(0).json();
    let rows = listed["certificates"].as_array().expect("a list");
    assert_eq!(rows.len(), 3, "{listed:#}");
    for row in rows {
        assert_eq!(row["issuer"], after[0].subject.as_str(), "{row:#}");
        assert_eq!(row["state"], "fine", "{row:#}");
    }
}

/// A certificate of the operator is shown to everyone, and `up` itself still trusts only the
/// cluster's authority. A key that does not fit it is told before anything is touched.
pub(super) fn may_be_the_operators_own(lab: &Lab, body: &str) {
    let names = format!("subjectAltName=IP:{},DNS:*.lab.internal", vip(lab));
    for name in ["own", "other"] {
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
            ])
            .args(["-nodes", "-days", "90", "-subj", "/CN=own", "-addext", &names])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-out", &format!("{name}.crt"), "-keyout", &format!("{name}.key")])
            .current_dir(lab.folder())
            .output();
        let made = made.expect("OpenSSL runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
    let with = |key: &str| {
        let tls = format!("access: {{tls: {{certificate: own.crt, key: {key}}}, ");
        lab.rewrite(&body.replace("access: {", &tls));
    };
    with("other.key");
    let refused = lab.run(&["up", "--yes"]).exits(3).said();
    assert!(
        refused.contains("other.key does not belong to the certificate"),
        "{refused}"
    );
    with("own.key");
    let up = lab.up();
    assert!(up.has_done("reload unit platform-haproxy.service"), "{}", up.said());
    lab.is_settled();
    let login = ("ann", password(lab, "ann"));
    let ask = |trusted: PathBuf| {
        let ca = std::fs::read(trusted).expect("it is there");
        let ca = reqwest::Certificate::from_pem(&ca).expect("a certificate");
        let client = Client::builder().no_proxy().tls_certs_only([ca]).build();
        status(&client.expect("a client"), lab, SERVICES[0], Some((login.0, &login.1)))
    };
    assert_eq!(ask(lab.folder().join("own.crt")), Some(200));
    assert_eq!(ask(lab.state().join("ca/ca.crt")), None);
    lab.rewrite(body);
    lab.up();
    assert_eq!(ask(lab.state().join("ca/ca.crt")), Some(200));
}

/// The authorities that clients trust.
fn authorities(lab: &Lab) -> Vec<Certificate> {
    let file = lab.state().join("ca/ca.crt");
    let text = std::fs::read_to_string(file).expect("it is kept");
    Certificate::all_in(&text).expect("certificates")
}

fn restarts_only_registries(rotated: &Run) {
    let done = |step| rotated.has_done(step);
    assert!(done("reload unit platform-haproxy.service"), "{}", rotated.said());
    assert!(!done("restart unit platform-haproxy.service"), "{}", rotated.said());
    assert!(done("restart unit platform-registry.service"), "{}", rotated.said());
}

/// While this is done, every request to the edge is answered, and a host can always pull.
fn goes_on(lab: &Lab, work: impl FnOnce() + Send) {
    let (machine, ended) = (lab.machine("control-1"), AtomicBool::new(false));
    let pulls = std::thread::scope(|scope| {
        let pulling = scope.spawn(|| {
            let mut pulls = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                pulls.push(machine.sh(PULL));
            }
            pulls
        });
        let end = End(&ended);
        let requests = Requests::during(lab, work);
        drop(end);
        let failed = requests.failed.into_inner().expect("no request panics");
        let n_asked = requests.n_asked.into_inner();
        assert!(failed.is_empty() && n_asked > 10, "of {n_asked}: {failed:?}");
        pulling.join().expect("every pull ends")
    });
    // One registry may be restarting, but none may be refused for its certificate.
    let is_bad = |said: &&String| said.contains("none") || said.contains("x509");
    let bad: Vec<&String> = pulls.iter().filter(is_bad).collect();
    assert!(bad.is_empty() && pulls.len() > 5, "of {}: {bad:?}", pulls.len());
}

/// Pulls an image that the host has, as the host itself does: from the first registry that serves.
const PULL: &str = "\
    images=$(docker image ls -q)\n\
    format='{{range .RepoDigests}}{{println .}}{{end}}'\n\
    image=$(docker image inspect -f \"$format\" $images | grep -m 1 ':5000/')\n\
    for registry in $(ls /etc/docker/certs.d); do\n\
        docker --config /etc/platform/docker pull -q \"$registry/${image#*/}\" 2>&1 && exit\n\
    done\n\
    echo none";

/// Marathon's events through the edge.
fn open_stream(lab: &Lab) -> Response {
    let ca = std::fs::read(lab.state().join("ca/ca.crt")).expect("it is kept");
    let ca = reqwest::Certificate::from_pem(&ca).expect("a certificate");
    let builder = Client::builder().no_proxy().tls_certs_only([ca]);
    let client = builder.timeout(Duration::from_secs(300)).build().expect("a client");
    let request = client.get(format!("https://{}:8443/v2/events", vip(lab)));
    let request = request.basic_auth("ann", Some(password(lab, "ann")));
    let stream = request.header("Accept", "text/event-stream").send();
    stream.and_then(Response::error_for_status).expect("Marathon's events")
}

/// Reads a stream until this comes.
fn reads(mut stream: Response, wanted: &str) {
    let (mut text, mut part) = (String::new(), [0; 4096]);
    while !text.contains(wanted) {
        let n = stream.read(&mut part).expect("the stream goes on");
        assert!(n > 0, "the stream ended without {wanted}: {text}");
        text.push_str(&String::from_utf8_lossy(&part[..n]));
    }
}
