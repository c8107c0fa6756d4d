//! What HAProxy learns of the backends of its base file: who leads, and what they did before a
//! reload.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use platform_balancer::haproxy::Control;
use platform_balancer::leaders;
use platform_balancer::servers_state::SlotState::{self, Down, Up};
use platform_balancer::settings::Masters;
use serde_json::{Value, json};

use crate::support::{Edge, Running, until};

/// A master that answers every request with the same frameworks, or that nobody leads.
#[derive(Clone)]
struct Master {
    address: SocketAddr,
    frameworks: Arc<Mutex<Option<Value>>>,
}

impl Master {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let master = Self { address, frameworks: Arc::default() };
        let clone = master.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // The balancer asks again.
                drop(clone.answer(stream));
            }
        });
        master
    }

    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let first = lines.next().transpose()?.unwrap_or_default();
        assert_eq!(first, "POST /api/v1 HTTP/1.1");
        let (status, body) = match &*self.frameworks.lock().unwrap() {
            Some(frameworks) => {
                let frameworks = json!({"frameworks": frameworks});
                let body =
                    json!({"type": "GET_FRAMEWORKS", "get_frameworks": frameworks});
                ("200 OK", body.to_string())
            }
            None => ("503 Service Unavailable", String::new()),
        };
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes())?;
        // Whatever else was sent is read, so that the answer is not reset.
        drop(stream.shutdown(std::net::Shutdown::Write));
        drop(lines);
        stream.read_to_end(&mut Vec::new()).map(drop)
    }

    /// Chronos leads on this host, if it is active.
    fn chronos(&self, host: &str, is_active: bool) {
        *self.frameworks.lock().unwrap() = Some(json!([{
            "framework_info": {"name": "chronos", "hostname": host},
            "active": is_active, "connected": is_active, "recovered": false,
        }]));
    }

    fn leads_no_more(&self) {
        *self.frameworks.lock().unwrap() = None;
    }
}

/// A backend of two servers that listen, and of one that does not.
struct Backend {
    control: Control,
    _haproxy: Running,
    _servers: [TcpListener; 2],
    _edge: Edge,
}

impl Backend {
    fn start(leaders: SocketAddr) -> Self {
        let edge = Edge::new();
        let servers =
            [4401, 4402].map(|port| TcpListener::bind((edge.ip, port)).unwrap());
        let lines: Vec<String> = (1..=3)
            .map(|n| {
                format!(
                    "    server s{n} {}:440{n} check inter 500ms fall 1 agent-check agent-addr {} \
                     agent-port {} agent-inter 50ms agent-send \"chronos host-{n}\\n\"\n",
                    edge.ip,
                    leaders.ip(),
                    leaders.port()
                )
            })
            .collect();
        edge.add_to_base(
            &format!("    server-state-file {}\n", edge.path("servers").display()),
            &format!(
                "\nbackend chronos\n    load-server-state-from-file global\n{}",
                lines.concat()
            ),
        );
        let control = Control::new(edge.read_settings().haproxy);
        let haproxy = edge.start();
        Self { control, _haproxy: haproxy, _servers: servers, _edge: edge }
    }

    fn states(&self) -> Option<Vec<SlotState>> {
        let all = self.control.state(Some("chronos")).ok()?;
        Some(all["chronos"].iter().map(|slot| slot.state()).collect())
    }

    fn becomes(&self, expected: [SlotState; 3]) {
        until(&format!("the servers are {expected:?}"), || {
            (self.states()? == expected).then_some(())
        });
    }
}

#[test]
fn only_the_instance_that_mesos_shows_as_active_is_used() {
    let (master, edge) = (Master::start(), Edge::new());
    master.chronos("host-2", true);
    let listener = TcpListener::bind((edge.ip, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let password_file = edge.path("password");
    std::fs::write(&password_file, "secret").unwrap();
    let login =
        serde_json::from_value(json!({"user": "edge", "password_file": password_file}));
    let masters = vec![master.address.to_string()];
    leaders::serve(listener, Masters { masters, login: login.unwrap() });

    let backend = Backend::start(address);
    backend.becomes([Down, Up, Down]);
    master.chronos("host-2", false);
    backend.becomes([Down, Down, Down]);
    master.chronos("host-1", true);
    backend.becomes([Up, Down, Down]);
    // What led may lead no more either: nobody can say.
    master.leads_no_more();
    backend.becomes([Down, Down, Down]);
    // One that does not listen is not used, whatever Mesos says.
    master.chronos("host-3", true);
    backend.becomes([Down, Down, Down]);
}

#[test]
fn servers_that_were_down_before_a_reload_are_down_after_it() {
    // Nobody tells who leads, so all are up that listen.
    let backend = Backend::start(SocketAddr::from(([127, 0, 0, 1], 1)));
    backend.becomes([Up, Up, Down]);
    backend.control.reload().unwrap();
    assert_eq!(backend.states().unwrap(), [Up, Up, Down]);
}
