//! From the path of a request to names within a folder.

use crate::percent::{decode, encode_segment};

/// A path that cannot name a file, or tries to leave the folder.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct BadPath;

/// A request path in decoded names, none of which is special to the file system.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct AskedPath {
    pub(super) segments: Vec<String>,
    /// The path ends with a slash, so a folder is meant.
    pub(super) folder: bool,
}

impl AskedPath {
    /// The same path with a slash at its end, encoded anew. It starts with exactly one slash: a
    /// location of `//host/` would send the client to another server.
    pub(super) fn with_slash(&self, query: Option<&str>) -> String {
        let mut location = String::from("/");
        for segment in &self.segments {
            location.push_str(&encode_segment(segment));
            location.push('/');
        }
        if let Some(query) = query {
            location.push('?');
            location.push_str(query);
        }
        location
    }
}

/// Splits before it decodes, so that an encoded slash cannot separate names, and refuses every
/// name that some file system could take for more than a name.
pub(super) fn parse(path: &str) -> Result<AskedPath, BadPath> {
    let rest = path.strip_prefix('/').ok_or(BadPath)?;
    let (rest, folder) = match rest.strip_suffix('/') {
        Some(rest) => (rest, true),
        None => (rest, rest.is_empty()),
    };
    if rest.is_empty() {
        // `//` leaves nothing too, and is not the root.
        return if path == "/" {
            Ok(AskedPath {
                segments: Vec::new(),
                folder,
            })
        } else {
            Err(BadPath)
        };
    }
    let segments = rest.split('/').map(name).collect::<Result<_, _>>()?;
    Ok(AskedPath { segments, folder })
}

fn name(encoded: &str) -> Result<String, BadPath> {
    let name = decode(encoded).map_err(|_| BadPath)?;
    let name = String::from_utf8(name).map_err(|_| BadPath)?;
    let special = |c: char| c == '/' || c == '\\' || c.is_control();
    // On Windows a colon starts a stream or follows a drive, and dots and spaces at the end vanish.
    let special_on_windows =
        |name: &str| cfg!(windows) && (name.contains(':') || name.ends_with(['.', ' ']));
    if matches!(name.as_str(), "" | "." | "..")
        || name.contains(special)
        || special_on_windows(&name)
    {
        return Err(BadPath);
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_become_names() {
        for (path, segments, folder) in [
            ("/", &[][..], true),
            ("/a", &["a"][..], false),
            ("/a/", &["a"], true),
            ("/a/b.txt", &["a", "b.txt"], false),
            ("/%61%20b", &["a b"], false),
            ("/%C3%BC", &["ü"], false),
            ("/...", &["..."], false),
            ("/..a/b..", &["..a", "b.."], false),
            ("/a%252e", &["a%2e"], false),
        ] {
            let asked = parse(path).unwrap();
            assert_eq!(asked.segments, segments, "{path}");
            assert_eq!(asked.folder, folder, "{path}");
        }
    }

    #[test]
    fn whatever_could_leave_the_folder_is_refused() {
        for path in [
            "",
            "a",
            "*",
            "//",
            "//a",
            "/a//b",
            "/..",
            "/../a",
            "/a/..",
            "/a/../b",
            "/./a",
            "/.",
            "/%2e%2e/a",
            "/%2E%2e",
            "/.%2e/a",
            "/%2e",
            "/a%2fb",
            "/a%2F..%2fb",
            "/..%2f",
            "/a%5cb",
            "/a\\b",
            "/..\\a",
            "/%5c%5chost",
            "/a%00",
            "/a%00.html",
            "/a%0ab",
            "/%zz",
            "/%",
            "/%ff",
            "/a%7f",
            "http://a/",
        ] {
            assert_eq!(parse(path), Err(BadPath), "{path}");
        }
    }

    #[test]
    fn a_redirect_stays_on_this_server() {
        let asked = parse("/a%20b/%25").unwrap();
        assert_eq!(asked.with_slash(Some("x=1")), "/a%20b/%25/?x=1");
        assert!(parse("//evil.example/a").is_err());
    }
}
