//! Connections of this computer itself: over TLS only to whom the authority vouches for.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};

use super::net::Net;
use crate::api::direct::{Direct, Trust};
use crate::api::http::{ApiError, Endpoint, Reason};
use crate::api::marathon::Marathon;

/// A server with a certificate for this name, which is its own authority.
async fn server(name: &str) -> (Endpoint, String) {
    let key = KeyPair::generate().unwrap();
    let own =
        CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![own.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        while let Ok((stream, _)) = listener.accept().await {
            // A client that does not trust it ends the connection.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = [0; 1024];
            drop(stream.read(&mut request).await);
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npong";
            drop(stream.write_all(answer).await);
            drop(stream.shutdown().await);
        }
    });
    (Endpoint::new("127.0.0.1", port), own.pem())
}

async fn ping(at: &Endpoint, dialer: Direct) -> Result<(), ApiError> {
    let mut access = Net::default().access(&at.to_string(), &[]);
    access.dialer = Arc::new(dialer);
    access.deadline = Duration::from_secs(5);
    Marathon::new(access).ping().await
}

#[tokio::test]
async fn only_the_authority_that_is_given_is_trusted_and_only_for_the_name() {
    let (at, pem) = server("platform-edge.lab").await;
    let (_, other) = server("platform-edge.lab").await;
    let name = |name: &str| Some(ServerName::try_from(name.to_owned()).unwrap());
    let dialer = |pem: &str, name| Direct::tls(&Trust::Only(pem), name).unwrap();
    ping(&at, dialer(&pem, name("platform-edge.lab"))).await.unwrap();
    for untrusted in [
        dialer(&other, name("platform-edge.lab")),
        dialer(&pem, name("another.lab")),
        dialer(&pem, None),
        Direct::tls(&Trust::System, name("platform-edge.lab")).unwrap(),
    ] {
        let error = ping(&at, untrusted).await.unwrap_err();
        assert!(matches!(error.reason, Reason::Untrusted(_)), "{error:?}");
    }
}

#[tokio::test]
async fn what_does_not_speak_tls_and_what_does_not_listen_is_told_apart() {
    let (at, pem) = server("a.lab").await;
    let said = |error: ApiError| crate::event::in_words(&error);
    let plain = said(ping(&at, Direct::plain()).await.unwrap_err());
    assert!(plain.contains("closed the connection"), "{plain}");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let speaker = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await);
        }
    });
    let there = Endpoint::new("127.0.0.1", port);
    let dialer = || Direct::tls(&Trust::Only(&pem), None).unwrap();
    let no_tls = said(ping(&there, dialer()).await.unwrap_err());
    assert!(no_tls.contains("TLS is not possible there"), "{no_tls}");
    speaker.abort();
    assert!(speaker.await.unwrap_err().is_cancelled());
    let nobody = said(ping(&there, dialer()).await.unwrap_err());
    assert!(nobody.contains("cannot be reached"), "{nobody}");
    assert!(nobody.contains("Connection refused"), "{nobody}");
}
