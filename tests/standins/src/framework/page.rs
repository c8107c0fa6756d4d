//! Pages of the web server underneath Marathon and Chronos.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

/// For those without the password.
pub(crate) fn unauthorized(realm: &str) -> Response {
    let page = "<html>\n<head>\n<meta http-equiv=\"Content-Type\" \
                content=\"text/html;charset=utf-8\"/>\n<title>Error 401 Unauthorized</title>\n\
                </head>\n<body><h2>HTTP ERROR 401</h2>\n<p>Reason:\n<pre>    \
                Unauthorized</pre></p>\n</body>\n</html>\n";
    let mut response = Response::new(Body::from(page));
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("text/html;charset=iso-8859-1");
    headers.insert(header::CONTENT_TYPE, kind);
    if let Ok(value) = HeaderValue::from_str(&format!("basic realm=\"{realm}\"")) {
        headers.insert(header::WWW_AUTHENTICATE, value);
    }
    response
}
