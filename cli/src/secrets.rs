//! Tokens and passwords: from a file or the environment, never from the command line, where every
//! user of the host could read them.

use std::fs;
use std::path::Path;

use aqueduct_tokio::proxy::Credentials;
use data_encoding::BASE64;
use http::HeaderValue;

use crate::exit::{Exit, Failure};

/// Where secrets of one kind are.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The option that names a file.
    pub option: &'static str,
    /// What it names.
    pub file: Option<&'a Path>,
    /// A variable of the environment; empty for none.
    pub variable: &'static str,
}

/// How a client says who it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Scheme {
    /// A token (RFC 6750).
    Bearer,
    /// A name and a password (RFC 7617).
    Basic,
}

/// What a proxy's clients have to show, of both kinds; `None` when none is named.
///
/// # Errors
/// A file that cannot be read; what is no token, no name and password, or empty.
pub fn taken(bearer: Source<'_>, basic: Source<'_>) -> Result<Option<Credentials>, Failure> {
    let tokens = bearer.secrets(Scheme::Bearer)?;
    let passwords = basic.secrets(Scheme::Basic)?;
    if tokens.is_empty() && passwords.is_empty() {
        return Ok(None);
    }
    let credentials = Credentials::new();
    let credentials = tokens.iter().fold(credentials, |all, one| all.bearer(one));
    Ok(Some(
        passwords
            .iter()
            .fold(credentials, |all, one| all.basic(one)),
    ))
}

/// What is shown to a proxy, if anything. A file goes before the environment.
///
/// # Errors
/// As for [`taken`]; and more than one secret.
pub fn shown(bearer: Source<'_>, basic: Source<'_>) -> Result<Option<HeaderValue>, Failure> {
    let (bearer, basic) = match (bearer.file, basic.file) {
        (None, None) => (bearer, basic),
        _ => (bearer.of_file(), basic.of_file()),
    };
    let tokens = bearer.secrets(Scheme::Bearer)?;
    let passwords = basic.secrets(Scheme::Basic)?;
    let value = match (tokens.as_slice(), passwords.as_slice()) {
        ([], []) => return Ok(None),
        ([token], []) => format!("Bearer {token}"),
        ([], [password]) => format!("Basic {password}"),
        _ => {
            let [bearer, basic] = [bearer, basic].map(|source| source.name());
            let why =
                format!("one secret can be shown to the proxy, not several: {bearer} {basic}");
            return Err(Failure::new(Exit::Usage, why.trim_end()));
        }
    };
    let mut value = HeaderValue::try_from(value)
        .map_err(|error| Failure::because(Exit::Usage, "the secret is no field value", error))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// What says who asks (RFC 7617). The password is the one given, or the first line of the file, or in
/// the environment as `AQUEDUCT_PASSWORD`.
///
/// # Errors
/// A file that cannot be read; no password; control characters.
pub fn basic(
    user: &str,
    password: Option<&str>,
    file: Option<&Path>,
) -> Result<HeaderValue, Failure> {
    const VARIABLE: &str = "AQUEDUCT_PASSWORD";
    let password = match (password, file) {
        (Some(password), _) => password.to_owned(),
        (None, Some(path)) => {
            let text = fs::read_to_string(path).map_err(|error| {
                let what = format!("cannot read `{}` (--password-file)", path.display());
                Failure::because(Exit::Failure, what, error)
            })?;
            text.lines().next().unwrap_or_default().to_owned()
        }
        (None, None) => std::env::var(VARIABLE).map_err(|error| {
            let what = format!("no password for -u: --password-file, or `{VARIABLE}`");
            Failure::because(Exit::Usage, what, error)
        })?,
    };
    let pair = format!("{user}:{password}");
    let coded = Scheme::Basic
        .encode(&pair)
        .ok_or_else(|| Failure::new(Exit::Usage, "name and password have no control characters"))?;
    let mut value = HeaderValue::try_from(format!("Basic {coded}"))
        .map_err(|error| Failure::because(Exit::Usage, "the secret is no field value", error))?;
    value.set_sensitive(true);
    Ok(value)
}

impl Source<'_> {
    fn of_file(mut self) -> Self {
        self.variable = "";
        self
    }

    /// Where they came from, for people.
    fn name(&self) -> String {
        let file = self.file.map(|_| self.option);
        let variable = (!self.variable.is_empty()).then_some(self.variable);
        [file, variable]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// All of them, as they stand behind the name of the scheme.
    fn secrets(&self, scheme: Scheme) -> Result<Vec<String>, Failure> {
        let mut all = Vec::new();
        if let Some(path) = self.file {
            let text = fs::read_to_string(path).map_err(|error| {
                let what = format!("cannot read `{}` ({})", path.display(), self.option);
                Failure::because(Exit::Failure, what, error)
            })?;
            all.extend(parse(&text, scheme, &path.display().to_string())?);
        }
        if self.variable.is_empty() {
            return Ok(all);
        }
        match std::env::var(self.variable) {
            Ok(text) => all.extend(parse(&text, scheme, self.variable)?),
            Err(std::env::VarError::NotPresent) => {}
            Err(error) => {
                let what = format!("`{}` cannot be used", self.variable);
                return Err(Failure::because(Exit::Usage, what, error));
            }
        }
        Ok(all)
    }
}

/// One secret a line. None at all is a mistake: whoever names a place wants somebody kept out. What
/// is wrong is told by its line, not by what stands there.
fn parse(text: &str, scheme: Scheme, place: &str) -> Result<Vec<String>, Failure> {
    let lines = text.lines().zip(1..).map(|(line, at)| (line.trim(), at));
    let secrets = lines.filter(|(line, _)| !line.is_empty());
    let secrets: Vec<_> = secrets
        .map(|(line, at)| {
            scheme.encode(line).ok_or_else(|| {
                let why = format!("line {at} of `{place}` is not {}", scheme.form());
                Failure::new(Exit::Usage, why)
            })
        })
        .collect::<Result<_, _>>()?;
    if secrets.is_empty() {
        let why = format!(
            "there is nothing in `{place}`: it has to be {}",
            scheme.form()
        );
        return Err(Failure::new(Exit::Usage, why));
    }
    Ok(secrets)
}

impl Scheme {
    fn form(self) -> &'static str {
        match self {
            Self::Bearer => "a token of letters, digits and -._~+/ with = at its end",
            Self::Basic => "NAME:PASSWORD without control characters",
        }
    }

    fn encode(self, line: &str) -> Option<String> {
        match self {
            //= https://www.rfc-editor.org/rfc/rfc6750#section-2.1
            // What a token may be made of.
            Self::Bearer => {
                let body = line.trim_end_matches('=');
                let is_taken = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
                (!body.is_empty() && body.bytes().all(is_taken)).then(|| line.to_owned())
            }
            //= https://www.rfc-editor.org/rfc/rfc7617#section-2
            // A name has no colon, and neither has control characters; both are UTF-8 here.
            Self::Basic => {
                let whole = line.contains(':') && !line.chars().any(char::is_control);
                whole.then(|| BASE64.encode(line.as_bytes()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    fn source(file: Option<&Path>) -> Source<'_> {
        Source {
            option: "--bearer-file",
            file,
            variable: "",
        }
    }

    #[test]
    fn a_secret_is_shown_in_its_scheme() {
        let none = source(None);
        assert_eq!(shown(none, none).unwrap(), None);
        let (_folder, token) = file("\n  abc-._~+/0==\n");
        let value = shown(source(Some(&token)), none).unwrap().unwrap();
        assert_eq!(value, "Bearer abc-._~+/0==");
        assert!(value.is_sensitive());
        let (_folder, password) = file("Aladdin:open sesame\n");
        let value = shown(none, source(Some(&password))).unwrap().unwrap();
        assert_eq!(value, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        let (_folder, two) = file("a\nb\n");
        let error = shown(source(Some(&two)), none).unwrap_err().to_string();
        assert!(error.contains("not several"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_told_without_what_it_is() {
        for (scheme, text, told) in [
            (Scheme::Bearer, "good\nsecret word\n", "line 2 of `f`"),
            (Scheme::Bearer, "====", "line 1 of `f`"),
            (Scheme::Bearer, "\n \n", "nothing in `f`"),
            (Scheme::Basic, "secret", "line 1 of `f`"),
            (Scheme::Basic, "a:se\u{7}cret", "line 1 of `f`"),
        ] {
            let error = parse(text, scheme, "f").unwrap_err();
            assert_eq!(error.exit(), Exit::Usage);
            let error = error.to_string();
            assert!(error.contains(told) && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn every_line_of_a_proxys_files_lets_in() {
        let (_one, tokens) = file("a\nb\n");
        let (_two, passwords) = file("u:p\n");
        let taken = taken(source(Some(&tokens)), source(Some(&passwords))).unwrap();
        let taken = taken.unwrap();
        for (value, is_taken) in [
            ("Bearer a", true),
            ("bearer b", true),
            ("Basic dTpw", true),
            ("Bearer c", false),
            ("Basic a", false),
        ] {
            let mut headers = http::HeaderMap::new();
            headers.insert(http::header::AUTHORIZATION, value.parse().unwrap());
            assert_eq!(taken.are_shown(&headers), is_taken, "{value}");
        }
    }
}
