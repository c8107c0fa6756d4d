//! Makes the health checks that the leader makes itself.

use super::Leader;
use super::core::Probe;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{interval, timeout};

/// Makes checks when they are due; never ends.
pub(super) async fn watch_health(leader: &Arc<Leader>) {
    let mut seconds = interval(Duration::from_secs(1));
    loop {
        seconds.tick().await;
        for probe in leader.note(|core, now| core.due_probes(now)) {
            tokio::spawn(check(leader.clone(), probe));
        }
    }
}

async fn check(leader: Arc<Leader>, probe: Probe) {
    let result = timeout(probe.timeout, ask(&probe)).await;
    let wrong = match result {
        Ok(Ok(())) => None,
        Ok(Err(cause)) => Some(cause),
        Err(_) => Some(format!("no answer within {} s", probe.timeout.as_secs_f64())),
    };
    leader.note(|core, now| core.probed(&probe, wrong, now));
}

async fn ask(probe: &Probe) -> Result<(), String> {
    let Some(path) = &probe.path else {
        let connected =
            tokio::net::TcpStream::connect((probe.host.as_str(), probe.port)).await;
        return connected.map(|_| ()).map_err(|error| error.to_string());
    };
    let url = format!("http://{}:{}{path}", probe.host, probe.port);
    let client = crate::framework::proxy::plain_client();
    let answer = client.get(url).send().await.map_err(|error| error.to_string())?;
    match answer.status().as_u16() {
        200..=399 => Ok(()),
        status => Err(format!("HTTP {status}")),
    }
}
