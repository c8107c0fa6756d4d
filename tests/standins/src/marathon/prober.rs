//! Makes the health checks that the leader makes itself.

use super::Leader;
use super::core::{Finding, Probe};
use serde_json::json;
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
    let found = timeout(probe.timeout, ask(&probe)).await.unwrap_or_else(|_| {
        wrong(format!("no answer within {} s", probe.timeout.as_secs_f64()))
    });
    leader.note(|core, now| core.probed(&probe, found, now));
}

fn wrong(cause: String) -> Finding {
    Finding { wrong: Some(cause), response: None }
}

async fn ask(probe: &Probe) -> Finding {
    let at = format!("{}:{}", probe.host, probe.port);
    let Some(path) = &probe.path else {
        let connected = tokio::net::TcpStream::connect(&at).await;
        return connected
            .map_or_else(|error| wrong(error.to_string()), |_| Finding::default());
    };
    let client = crate::framework::proxy::plain_client();
    let answer = match client.get(format!("http://{at}{path}")).send().await {
        Ok(answer) => answer,
        Err(error) => return wrong(error.to_string()),
    };
    let status = answer.status();
    let body = answer.text().await.unwrap_or_default();
    let is_good = probe.good.contains(&status.as_u16());
    Finding {
        wrong: (!is_good).then(|| status.to_string()),
        response: Some(
            json!({"status": status.as_u16(), "contentType": "", "body": body}),
        ),
    }
}
