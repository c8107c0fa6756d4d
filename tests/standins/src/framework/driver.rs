//! The listening port of the native driver.
//!
//! The real drivers open a port that masters connect back to. Ours speaks HTTP to the master and
//! needs none, but a port that is taken or an address that is not the host's must show here as
//! it would there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

/// A port that is held as long as this lives.
#[derive(Debug)]
pub struct DriverPort {
    _listener: TcpListener,
}

/// Why the port could not be had.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The variable does not hold what it should.
    #[error("{0} is not what the driver can listen at: {1}")]
    Variable(&'static str, String),
    /// Taken, or not ours.
    #[error("the driver cannot listen at {0}; give LIBPROCESS_IP and LIBPROCESS_PORT")]
    Bind(SocketAddr, #[source] io::Error),
}

impl DriverPort {
    /// Listens where `LIBPROCESS_IP` and `LIBPROCESS_PORT` say; any free port when they do not.
    ///
    /// # Errors
    /// When a variable is malformed, or the address cannot be listened at.
    pub fn open(ip: Option<&str>, port: Option<&str>) -> Result<Self, DriverError> {
        let address = address(ip, port)?;
        let listener = TcpListener::bind(address)
            .map_err(|source| DriverError::Bind(address, source))?;
        Ok(Self { _listener: listener })
    }
}

fn address(ip: Option<&str>, port: Option<&str>) -> Result<SocketAddr, DriverError> {
    let wrong = |name, value: &str| DriverError::Variable(name, value.to_owned());
    let ip: IpAddr = match ip {
        None | Some("") => Ipv4Addr::UNSPECIFIED.into(),
        Some(text) => text.parse().map_err(|_| wrong("LIBPROCESS_IP", text))?,
    };
    let port: u16 = match port {
        None | Some("") => 0,
        Some(text) => text.parse().map_err(|_| wrong("LIBPROCESS_PORT", text))?,
    };
    Ok(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_say_where() {
        let found = address(Some("127.0.0.9"), Some("8088")).unwrap();
        assert_eq!(found, "127.0.0.9:8088".parse().unwrap());
        assert_eq!(address(None, None).unwrap(), "0.0.0.0:0".parse().unwrap());
        assert!(address(Some("host"), None).is_err());
    }

    #[test]
    fn a_taken_port_is_an_error() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port().to_string();
        let refused = DriverPort::open(Some("127.0.0.1"), Some(&port)).unwrap_err();
        assert!(matches!(refused, DriverError::Bind(..)));
    }
}
