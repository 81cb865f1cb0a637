//! Where a redirect leads.

use super::hub_error;
use super::status::{place, text};
use crate::Result;
use ureq::http::{Response, Uri};

/// Whether two URLs have the same scheme, host and port, so that one token serves for both.
pub(super) fn same_origin(a: &Uri, b: &Uri) -> bool {
    a.scheme() == b.scheme() && a.authority() == b.authority()
}

/// The target of a redirect; none when the response is not one.
///
/// # Errors
/// When the target is missing, is not a URL or an absolute path, or would leave https.
pub(super) fn next<B>(what: &str, from: &Uri, response: &Response<B>) -> Result<Option<Uri>> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let refused = |why: &str| hub_error(what, format!("{}: {why}", place(from)));
    let location = text(response.headers(), "location")
        .ok_or_else(|| refused("a redirect without a readable Location"))?;
    let scheme = from.scheme_str().unwrap_or("https");
    let authority = from.authority().map_or("", |authority| authority.as_str());
    let absolute = if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        location
    };
    let target: Uri = absolute.parse().map_err(|_| refused("a redirect to what is not a URL"))?;
    match target.scheme_str() {
        Some("https") => Ok(Some(target)),
        Some("http") if scheme == "http" => Ok(Some(target)),
        Some("http") => Err(refused("a redirect from https to http; refused")),
        _ => Err(refused("a redirect to what is neither https nor http")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(from: &str, location: &str) -> Option<String> {
        let response =
            Response::builder().status(302).header("location", location).body(()).unwrap();
        next("test", &from.parse().unwrap(), &response).ok().flatten().map(|uri| uri.to_string())
    }

    #[test]
    fn a_target_is_resolved_against_its_source() {
        let from = "https://a.example:8443/x/y?q=1";
        assert_eq!(follow(from, "/z?p").unwrap(), "https://a.example:8443/z?p");
        assert_eq!(follow(from, "//b.example/z").unwrap(), "https://b.example/z");
        assert_eq!(follow(from, "https://b.example/z").unwrap(), "https://b.example/z");
        for location in ["http://b.example/z", "ftp://b.example/", "z", "file:///etc/passwd"] {
            assert_eq!(follow(from, location), None, "{location}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let same = |a: &str, b: &str| same_origin(&a.parse().unwrap(), &b.parse().unwrap());
        assert!(same("https://a.example/x", "https://A.example/y"));
        for other in ["http://a.example/", "https://a.example:444/", "https://a.example@b.example/"]
        {
            assert!(!same("https://a.example/", other), "{other}");
        }
    }
}
