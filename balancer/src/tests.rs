//! Values that several unit tests use.

use crate::marathon::{App, PortDefinition};
use crate::settings::Settings;

/// Settings with all features.
pub(crate) fn settings() -> Settings {
    serde_json::from_str(
        r#"{
            "marathons": ["10.0.0.1:8080"],
            "haproxy": {"command": "haproxy", "base": "/base.cfg", "apps": "/apps.cfg", "servers": "/servers",
                "admin_socket": "/admin", "master_socket": "/master"},
            "ports": {"from": 10000, "to": 20000, "reserved": [10080]},
            "groups": ["*"],
            "vhosts": true,
            "certificates": "/certificates",
            "listen": "127.0.0.1:9095"
        }"#,
    )
    .unwrap()
}

/// An app with one port and no tasks.
pub(crate) fn app(id: &str, port: u32, labels: &[(&str, &str)]) -> App {
    let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    App {
        id: id.to_owned(),
        instances: 1,
        labels: labels.iter().map(owned).collect(),
        port_definitions: vec![PortDefinition { port, protocol: "tcp".to_owned() }],
        ..App::default()
    }
}
