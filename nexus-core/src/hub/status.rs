//! What an answer means, or that there is none.

use super::hub_error;
use super::redirect::same_origin;
use super::retry::Failure;
use crate::Result;
use std::io::ErrorKind;
use std::time::Duration;
use ureq::http::{HeaderMap, Response, Uri};

/// Checks that an answer holds what was asked for; `redirected` when it leads to another host instead.
pub(super) fn check_status<B>(
    what: &str,
    uri: &Uri,
    endpoint: &Uri,
    response: &Response<B>,
    redirected: bool,
) -> Result<(), Failure> {
    let status = response.status().as_u16();
    let place = place(uri);
    let code = text(response.headers(), "x-error-code").unwrap_or_default();
    let why = match status {
        200 | 206 => {
            let kind = text(response.headers(), "content-type").unwrap_or_default();
            // No file of a model is a web page; a proxy or a login form is.
            if !kind.to_ascii_lowercase().starts_with("text/html") {
                return Ok(());
            }
            format!("{place} answered with a web page; check HF_ENDPOINT and the proxy")
        }
        // The caller sees from the status that its range was not served.
        416 => return Ok(()),
        _ if redirected => return Ok(()),
        408 | 429 | 500 | 502 | 503 | 504 => {
            let pause = text(response.headers(), "retry-after");
            let pause = pause.and_then(|seconds| seconds.trim().parse().ok());
            let why = format!("{place} answered with status {status}");
            return Err(Failure::Passing { why, pause: pause.map(Duration::from_secs) });
        }
        _ if !same_origin(uri, endpoint) => format!("{place} answered with status {status}"),
        401 | 403 if code == "GatedRepo" => format!(
            "the repository is gated (status {status}): accept its terms on its page and set HF_TOKEN \
             to an access token of that account"
        ),
        401 | 403 => format!(
            "no access (status {status}): the repository is private or gated, or does not exist, and there \
             is no folder of this name; check the name, or set HF_TOKEN to an access token that may read it"
        ),
        404 if code == "RevisionNotFound" => {
            "the repository has no such revision (status 404); write a branch, a tag or a commit after \
             the @"
                .into()
        }
        404 if code == "EntryNotFound" => "the repository has no such file (status 404)".into(),
        404 => "no such repository or revision on the hub (status 404), and no folder of this name".into(),
        _ => format!("{place} answered with status {status}"),
    };
    Err(hub_error(what, why).into())
}

/// The failure of a request that got no answer.
pub(super) fn unanswered(what: &str, uri: &Uri, error: ureq::Error) -> Failure {
    let why = format!("{}: {error}", place(uri));
    let lasting = match &error {
        // Invalid data is what a certificate that is not trusted is reported as.
        ureq::Error::Io(error) => {
            matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::InvalidData)
        }
        ureq::Error::Timeout(_) | ureq::Error::ConnectionFailed | ureq::Error::Protocol(_) => false,
        _ => true,
    };
    if lasting {
        let remedy = "check the network and HF_ENDPOINT, or set HF_HUB_OFFLINE=1 to use the cache";
        return hub_error(what, format!("{why}; {remedy}")).into();
    }
    Failure::passing(why)
}

/// A URL as it may be shown: without its query, which can hold a signature.
pub(super) fn place(uri: &Uri) -> String {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    format!("{}://{authority}{}", uri.scheme_str().unwrap_or("http"), uri.path())
}

/// A header, when it is text.
pub(super) fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}
