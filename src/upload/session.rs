//! Who asks: a login session, since Pulp hashes passwords anew for every request with one, which
//! takes it half a second.

use reqwest::RequestBuilder;
use reqwest::header::{COOKIE, HeaderMap, HeaderValue, REFERER, SET_COOKIE};

use crate::secret::Secret;

/// How requests show who asks.
#[derive(Clone)]
pub(super) enum Pass {
    /// By cookies of a session.
    Session {
        cookies: HeaderValue,
        /// Of the page that a form would be on: Django compares it where it is reached by TLS.
        referer: HeaderValue,
        /// Proves that the cookies are sent by who has got them.
        token: HeaderValue,
    },
    /// By the password each time, where there are no sessions.
    Password { user: String, password: Secret },
}

impl Pass {
    /// The session that a login has opened.
    pub fn session(host: &str, headers: &HeaderMap) -> Option<Pass> {
        let cookie = |name: &str| {
            headers.get_all(SET_COOKIE).iter().find_map(|header| {
                let pair = header.to_str().ok()?.split(';').next()?.trim();
                let (key, value) = pair.split_once('=')?;
                (key == name && !value.is_empty()).then(|| value.to_owned())
            })
        };
        let (id, token) = (cookie("sessionid")?, cookie("csrftoken")?);
        Some(Pass::Session {
            cookies: secret(&format!("sessionid={id}; csrftoken={token}"))?,
            referer: HeaderValue::from_str(&format!("{host}/")).ok()?,
            token: secret(&token)?,
        })
    }

    /// Puts it into a request.
    pub fn show(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Pass::Session { cookies, referer, token } => request
                .header(COOKIE, cookies.clone())
                .header(REFERER, referer.clone())
                .header("X-CSRFToken", token.clone()),
            Pass::Password { user, password } => request.basic_auth(user, Some(password.expose())),
        }
    }
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_of_a_login() {
        let mut headers = HeaderMap::new();
        let session = |headers: &HeaderMap| match Pass::session("http://h", headers) {
            Some(Pass::Session { cookies, token, .. }) => {
                Some((cookies.to_str().unwrap().to_owned(), token.to_str().unwrap().to_owned()))
            }
            _ => None,
        };
        headers
            .append(SET_COOKIE, "csrftoken=C1; expires=x; Path=/; SameSite=Lax".parse().unwrap());
        assert_eq!(session(&headers), None);
        headers.append(SET_COOKIE, "sessionid=S=1; HttpOnly".parse().unwrap());
        let seen = session(&headers).unwrap();
        assert_eq!(seen, ("sessionid=S=1; csrftoken=C1".into(), "C1".into()));
    }
}
